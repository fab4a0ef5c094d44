//! What is known of a request before anybody looks at what it asks for.

use super::rating;
use super::refusal::Refusal;
use crate::config::Config;
use crate::domain::rates::Standing;
use crate::error::Error;
use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue};
use probity_resilience::Criticality;
use probity_resilience::deadline::{GRPC_TIMEOUT, parse_timeout};
use probity_runtime::{IDEMPOTENCY_KEY, REQUEST_ID, RemoteAddr};
use probity_telemetry::TraceContext;
use probity_telemetry::trace::extract;
use probity_types::correlation::{is_id, new_id};
use std::time::Duration;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// Longest idempotency key.
const MAX_KEY: usize = 128;

/// The marks of a request.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// The caller's request id, else one of ours.
    pub(super) request_id: String,
    /// The caller's correlation id, else the request id.
    pub(super) correlation_id: String,
    /// The trace it belongs to: of the span around us, else of the caller.
    pub(super) trace: Option<TraceContext>,
    /// The id of that trace, 32 hex digits, or empty.
    pub(super) trace_id: String,
    /// Where it came from.
    pub(super) address: String,
    /// How long the caller waits.
    pub(super) timeout: Option<Duration>,
    /// The idempotency key.
    pub(super) idempotency_key: Option<HeaderValue>,
    /// How important the caller says it is.
    pub(super) criticality: Criticality,
    /// How the nearest of its limits stands.
    pub(super) standing: Option<Standing>,
    /// The RPC once it is known; a fixed word until then.
    pub(super) route: String,
}

impl Arrival {
    /// Reads the marks. What is wrong with them is answered beside, so that even
    /// such an answer carries ids.
    pub(super) fn read(request: &Request, config: &Config) -> (Self, Result<(), Refusal>) {
        let headers = request.headers();
        let address = request.extensions().get::<RemoteAddr>().map(|addr| addr.0.ip().to_string());
        let trace = probity_telemetry::span::current().or_else(|| extract(headers));
        let mut arrival = Self {
            request_id: String::new(),
            correlation_id: String::new(),
            trace_id: trace.as_ref().map(TraceContext::trace_id_hex).unwrap_or_default(),
            trace,
            address: address.unwrap_or_default(),
            timeout: None,
            idempotency_key: None,
            criticality: Criticality::default(),
            standing: None,
            route: "none".to_owned(),
        };
        let sound = arrival.marks(headers).and_then(|()| within_limits(request, config));
        if arrival.request_id.is_empty() {
            arrival.request_id = new_id();
        }
        if arrival.correlation_id.is_empty() {
            arrival.correlation_id.clone_from(&arrival.request_id);
        }
        (arrival, sound.map_err(Refusal::from))
    }

    fn marks(&mut self, headers: &HeaderMap) -> Result<(), Error> {
        if let Some(id) = id(headers, REQUEST_ID, REQUEST_ID)? {
            self.request_id = id;
        }
        if let Some(id) = id(headers, CORRELATION_ID.as_str(), "x-correlation-id")? {
            self.correlation_id = id;
        }
        self.timeout = timeout(headers)?;
        self.idempotency_key = key(headers)?;
        self.criticality = Criticality::of(headers);
        Ok(())
    }

    /// Whether it is known which RPC is asked for.
    pub(super) fn is_routed(&self) -> bool {
        self.route.starts_with('/')
    }

    /// Keeps the limit that is nearest to its end.
    pub(super) fn stands(&mut self, standing: Option<Standing>) {
        let share = |s: &Standing| f64::from(s.left) / f64::from(s.limit.burst.max(1));
        let nearer = |new: &Standing| self.standing.as_ref().is_none_or(|old| share(new) <= share(old));
        if let Some(new) = standing.filter(nearer) {
            self.standing = Some(new);
        }
    }

    /// Tells the caller how to find this request again, and how its limits stand.
    pub(super) fn echo(&self, headers: &mut HeaderMap) {
        for (name, id) in
            [(HeaderName::from_static(REQUEST_ID), &self.request_id), (CORRELATION_ID, &self.correlation_id)]
        {
            if let Ok(value) = HeaderValue::from_str(id) {
                headers.insert(name, value);
            }
        }
        if let Some(standing) = &self.standing {
            rating::tell(standing, headers);
        }
    }
}

/// The one value of a header, if it is there.
fn single<'h>(
    headers: &'h HeaderMap,
    name: &str,
    shown: &'static str,
) -> Result<Option<&'h HeaderValue>, Error> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (_, Some(_)) => Err(Error::Header { name: shown, why: "is given more than once" }),
        (first, None) => Ok(first),
    }
}

fn id(headers: &HeaderMap, name: &str, shown: &'static str) -> Result<Option<String>, Error> {
    let Some(value) = single(headers, name, shown)? else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| is_id(text));
    let wrong = Error::Header {
        name: shown,
        why: "must have 1 to 128 letters, digits, dots, hyphens and underscores",
    };
    text.map(|text| Some(text.to_owned())).ok_or(wrong)
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(value) = single(headers, GRPC_TIMEOUT, GRPC_TIMEOUT)? else { return Ok(None) };
    let read = value.to_str().ok().and_then(parse_timeout);
    let wrong =
        Error::Header { name: GRPC_TIMEOUT, why: "must be at most eight digits and one of n, u, m, S, M, H" };
    read.map(Some).ok_or(wrong)
}

fn key(headers: &HeaderMap) -> Result<Option<HeaderValue>, Error> {
    let Some(value) = single(headers, IDEMPOTENCY_KEY, IDEMPOTENCY_KEY)? else { return Ok(None) };
    let plain = (1..=MAX_KEY).contains(&value.len()) && value.as_bytes().iter().all(|b| b.is_ascii_graphic());
    let wrong = Error::Header { name: IDEMPOTENCY_KEY, why: "must have 1 to 128 visible ASCII characters" };
    if plain { Ok(Some(value.clone())) } else { Err(wrong) }
}

fn within_limits(request: &Request, config: &Config) -> Result<(), Error> {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > config.max_uri_bytes {
        return Err(Error::UriTooLong(config.max_uri_bytes));
    }
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > config.max_headers || bytes > config.max_header_bytes {
        return Err(Error::HeadersTooLarge { count: config.max_headers, bytes: config.max_header_bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn read(headers: &[(&str, &str)]) -> (Arrival, Result<(), Refusal>) {
        let mut request = Request::builder().uri("/v1/cases");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Arrival::read(&request.body(Body::empty()).expect("request"), &Config::default())
    }

    #[test]
    fn ids_are_taken_made_or_refused() {
        let (arrival, sound) = read(&[("x-request-id", "abc"), ("x-correlation-id", "order-7")]);
        assert!(sound.is_ok());
        assert_eq!((arrival.request_id.as_str(), arrival.correlation_id.as_str()), ("abc", "order-7"));
        let (arrival, sound) = read(&[]);
        assert!(sound.is_ok() && is_id(&arrival.request_id));
        assert_eq!(arrival.request_id, arrival.correlation_id);
        let (arrival, sound) = read(&[("x-request-id", "a b")]);
        assert!(sound.is_err() && is_id(&arrival.request_id), "even a refusal has an id");
    }

    #[test]
    fn bad_marks_are_refused() {
        let check =
            |headers: &[(&str, &str)], ok: bool| assert_eq!(read(headers).1.is_ok(), ok, "{headers:?}");
        check(&[("grpc-timeout", "30S")], true);
        check(&[("grpc-timeout", "30 S")], false);
        check(&[("grpc-timeout", "")], false);
        check(&[("grpc-timeout", "1S"), ("grpc-timeout", "2S")], false);
        check(&[("idempotency-key", "order-7")], true);
        check(&[("idempotency-key", "")], false);
        check(&[("idempotency-key", &"k".repeat(129))], false);
        check(&[("idempotency-key", "a b")], false);
        check(&[("x-correlation-id", "<script>")], false);
        check(&[("x-big", &"x".repeat(64 << 10))], false);
    }

    #[test]
    fn long_requests_are_refused() {
        let request = Request::builder().uri(format!("/{}", "a".repeat(9_000))).body(Body::empty());
        assert!(Arrival::read(&request.expect("request"), &Config::default()).1.is_err());
        let many: Vec<_> = (0..200).map(|i| (format!("x-{i}"), "v".to_owned())).collect();
        let many: Vec<_> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert!(read(&many).1.is_err());
    }
}
