//! W3C Trace Context: the `traceparent` and `tracestate` headers.
//!
//! A trace has an id even when nothing is exported, so that the log lines of one
//! request can be found together across services.

use http::{HeaderMap, HeaderValue};
use std::fmt;
use std::str::FromStr;

/// Header of the trace and parent span ids.
pub const TRACEPARENT: &str = "traceparent";
/// Header of what other vendors add; passed on untouched.
pub const TRACESTATE: &str = "tracestate";

const STATE_LIMIT: usize = 512;
const SAMPLED: u8 = 1;

/// Where in which trace a piece of work stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span that is the parent of what comes next; never zero.
    pub span_id: u64,
    /// Whether the trace is recorded.
    pub sampled: bool,
    /// The `tracestate` of the caller, or empty.
    pub state: String,
}

/// Why a `traceparent` was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent (00-<32 hex digits>-<16 hex digits>-<2 hex digits>)")]
pub struct Malformed;

impl TraceContext {
    /// A new trace, with ids drawn at random.
    #[must_use]
    pub fn root(sampled: bool) -> Self {
        let trace_id = fastrand::u128(1..);
        Self { trace_id, span_id: fastrand::u64(1..), sampled, state: String::new() }
    }

    /// The same trace, one span further.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: fastrand::u64(1..), ..self.clone() }
    }

    /// The trace id as 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut parts = text.split('-');
        let version: u8 = hex(parts.next(), 2)?;
        let trace_id: u128 = hex(parts.next(), 32)?;
        let span_id: u64 = hex(parts.next(), 16)?;
        let flags: u8 = hex(parts.next(), 2)?;
        // A later version may add parts at the end; version 0 has none.
        let too_long = version == 0 && parts.next().is_some();
        if version == u8::MAX || too_long || trace_id == 0 || span_id == 0 {
            return Err(Malformed);
        }
        Ok(Self { trace_id, span_id, sampled: flags & SAMPLED == SAMPLED, state: String::new() })
    }
}

/// A number from exactly `digits` lower-case hexadecimal digits.
fn hex<T: TryFrom<u128>>(part: Option<&str>, digits: usize) -> Result<T, Malformed> {
    let part = part.filter(|p| p.len() == digits).ok_or(Malformed)?;
    if !part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Malformed);
    }
    let number = u128::from_str_radix(part, 16).map_err(|_| Malformed)?;
    T::try_from(number).map_err(|_| Malformed)
}

/// The trace context of a request, when it carries a well-formed one. A caller
/// that sends several, or a broken one, starts a new trace.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Option<TraceContext> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (first, second) = (all.next()?, all.next());
    if second.is_some() {
        return None;
    }
    let mut context: TraceContext = first.to_str().ok()?.parse().ok()?;
    context.state = state(headers);
    Some(context)
}

fn state(headers: &HeaderMap) -> String {
    let parts: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|v| v.to_str().ok()).collect();
    let joined = parts.join(",");
    if joined.len() > STATE_LIMIT { String::new() } else { joined }
}

/// Puts the trace context on a request, in place of any that was there.
pub fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    headers.remove(TRACESTATE);
    if let Ok(value) = HeaderValue::from_str(&context.to_string()) {
        headers.insert(TRACEPARENT, value);
    }
    if let Some(value) = Some(&context.state).filter(|s| !s.is_empty()).and_then(|s| s.parse().ok()) {
        headers.insert(TRACESTATE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_what_the_standard_allows() {
        let check = |text: &str, expect: Option<bool>| {
            assert_eq!(text.parse::<TraceContext>().ok().map(|c| c.sampled), expect, "{text}");
        };
        check(GOOD, Some(true));
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", Some(false));
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", Some(true));
        check("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", Some(true));
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", None);
        check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None);
        check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None);
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None);
        check("00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None);
        check("00-4bf92f35-00f067aa0ba902b7-01", None);
        check("", None);
    }

    #[test]
    fn headers_carry_it_and_a_doubled_header_counts_as_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(extract(&headers), None);
        let sent = TraceContext { state: "vendor=1".to_owned(), ..GOOD.parse().unwrap() };
        inject(&sent, &mut headers);
        assert_eq!(extract(&headers), Some(sent));
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(extract(&headers), None);
    }

    #[test]
    fn an_overlong_tracestate_is_dropped_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(GOOD));
        headers.insert(TRACESTATE, HeaderValue::from_str(&"x".repeat(STATE_LIMIT + 1)).unwrap());
        assert_eq!(extract(&headers).map(|c| c.state), Some(String::new()));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(trace_id in 1u128.., span_id in 1u64.., sampled: bool) {
            let context = TraceContext { trace_id, span_id, sampled, state: String::new() };
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = text.parse::<TraceContext>();
        }
    }
}
