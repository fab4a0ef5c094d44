//! What traces say: which operations take long by themselves, and where failures
//! begin. Reads the JSON of Jaeger's query API; makes no calls.

use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// A span, with what it did not spend waiting for its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its trace.
    pub trace: String,
    /// Its service.
    pub service: String,
    /// What was done.
    pub operation: String,
    /// From its begin to its end.
    pub took: Duration,
    /// The part of it in which no child was at work.
    pub own: Duration,
    /// Why it failed, when it did and none of its children did: the failure began here.
    pub cause: Option<String>,
}

/// How long an operation takes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slow {
    /// The service.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// How many spans there are of it.
    pub count: usize,
    /// Half of them take no longer by themselves.
    pub p50: Duration,
    /// 99 of 100 take no longer by themselves.
    pub p99: Duration,
    /// The longest of them.
    pub worst: Duration,
    /// The trace of the longest.
    pub trace: String,
}

/// Where failures begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The service.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// What it says.
    pub why: String,
    /// How many began here.
    pub count: usize,
    /// The trace of one of them.
    pub trace: String,
}

/// The spans of traces as `/api/traces` answers them; what cannot be read is left out.
#[must_use]
pub fn read(answer: &Value) -> Vec<Span> {
    let traces = answer.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    traces.iter().flat_map(of_trace).collect()
}

/// A span as it was sent.
struct Raw<'t> {
    id: &'t str,
    parent: Option<&'t str>,
    service: &'t str,
    operation: &'t str,
    begin: u64,
    end: u64,
    failure: Option<String>,
}

fn of_trace(trace: &Value) -> Vec<Span> {
    let id = text(trace, "traceID");
    let spans = trace.get("spans").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let raw: Vec<_> = spans.iter().filter_map(|span| of_span(trace, span)).collect();
    let mut children: HashMap<&str, Vec<&Raw<'_>>> = HashMap::new();
    for span in &raw {
        if let Some(parent) = span.parent {
            children.entry(parent).or_default().push(span);
        }
    }
    let finished = |span: &Raw<'_>| {
        let below = children.get(span.id).map(Vec::as_slice).unwrap_or_default();
        let blamed = below.iter().any(|child| child.failure.is_some());
        Span {
            trace: id.to_owned(),
            service: span.service.to_owned(),
            operation: span.operation.to_owned(),
            took: Duration::from_micros(span.end - span.begin),
            own: Duration::from_micros(span.end - span.begin - covered(span, below)),
            cause: span.failure.clone().filter(|_| !blamed),
        }
    };
    raw.iter().map(finished).collect()
}

fn of_span<'t>(trace: &'t Value, span: &'t Value) -> Option<Raw<'t>> {
    let begin = span.get("startTime")?.as_u64()?;
    let process = trace.get("processes")?.get(text(span, "processID"))?;
    let references = span.get("references").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of = |reference: &&Value| {
        text(reference, "refType") == "CHILD_OF" && text(reference, "traceID") == text(span, "traceID")
    };
    Some(Raw {
        id: text(span, "spanID"),
        parent: references.iter().find(of).map(|reference| text(reference, "spanID")),
        service: text(process, "serviceName"),
        operation: text(span, "operationName"),
        begin,
        end: begin.checked_add(span.get("duration")?.as_u64()?)?,
        failure: failure(span),
    })
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Why a span failed, in the words it has for it.
fn failure(span: &Value) -> Option<String> {
    let tags = span.get("tags").and_then(Value::as_array)?;
    let tag = |key: &str| tags.iter().find(|tag| text(tag, "key") == key).and_then(|tag| tag.get("value"));
    let failed = tag("error").is_some_and(|value| value.as_bool() == Some(true) || value == "true")
        || tag("otel.status_code").is_some_and(|value| value == "ERROR");
    if !failed {
        return None;
    }
    let said = tag("otel.status_description").and_then(Value::as_str).filter(|said| !said.is_empty());
    let code = || {
        let number = tag("rpc.grpc.status_code")?;
        let number = number.as_i64().or_else(|| number.as_str()?.parse().ok())?;
        Some(crate::failure::grpc_name(i32::try_from(number).ok()?.into()))
    };
    let http = || {
        tag("http.status_code")
            .or_else(|| tag("http.response.status_code"))
            .map(|code| format!("HTTP {code}"))
    };
    said.map(str::to_owned).or_else(code).or_else(http).or_else(|| Some("error".to_owned()))
}

/// Microseconds of a span in which at least one child was at work.
fn covered(span: &Raw<'_>, children: &[&Raw<'_>]) -> u64 {
    let clip = |at: u64| at.clamp(span.begin, span.end);
    let mut parts: Vec<_> = children.iter().map(|child| (clip(child.begin), clip(child.end))).collect();
    parts.sort_unstable();
    let (mut sum, mut until) = (0, span.begin);
    for (begin, end) in parts {
        sum += end.saturating_sub(begin.max(until));
        until = until.max(end);
    }
    sum
}

/// The operations that take longest by themselves, by their p99.
#[must_use]
pub fn slowest(spans: &[Span], top: usize) -> Vec<Slow> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Span>> = BTreeMap::new();
    for span in spans {
        groups.entry((&span.service, &span.operation)).or_default().push(span);
    }
    let mut slow: Vec<_> = groups.into_iter().filter_map(|(of, spans)| group(of, spans)).collect();
    slow.sort_by(|a, b| b.p99.cmp(&a.p99).then_with(|| a.operation.cmp(&b.operation)));
    slow.truncate(top);
    slow
}

fn group((service, operation): (&str, &str), mut spans: Vec<&Span>) -> Option<Slow> {
    spans.sort_by_key(|span| span.own);
    let worst = spans.last()?;
    let at =
        |percent: usize| spans.get((spans.len() * percent).div_ceil(100).saturating_sub(1)).map(|s| s.own);
    Some(Slow {
        service: service.to_owned(),
        operation: operation.to_owned(),
        count: spans.len(),
        p50: at(50)?,
        p99: at(99)?,
        worst: worst.own,
        trace: worst.trace.clone(),
    })
}

/// Where failures begin, the most frequent first.
#[must_use]
pub fn causes(spans: &[Span], top: usize) -> Vec<Cause> {
    let mut groups: BTreeMap<(&str, &str, &str), (usize, &str)> = BTreeMap::new();
    for span in spans {
        if let Some(why) = &span.cause {
            let group = groups.entry((&span.service, &span.operation, why)).or_insert((0, &span.trace));
            group.0 += 1;
        }
    }
    let mut causes: Vec<_> = groups
        .into_iter()
        .map(|((service, operation, why), (count, trace))| Cause {
            service: service.to_owned(),
            operation: operation.to_owned(),
            why: why.to_owned(),
            count,
            trace: trace.to_owned(),
        })
        .collect();
    causes.sort_by_key(|cause| Reverse(cause.count));
    causes.truncate(top);
    causes
}

/// How many traces these spans are of.
#[must_use]
pub fn traces(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.trace.as_str()).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A span: id, parent, service, operation, begin, duration, tags.
    fn span(id: &str, parent: &str, service: &str, at: (u64, u64), tags: &Value) -> Value {
        let references = if parent.is_empty() {
            json!([])
        } else {
            json!([{"refType": "CHILD_OF", "traceID": "t", "spanID": parent}])
        };
        json!({"traceID": "t", "spanID": id, "operationName": format!("op-{id}"), "references": references,
               "startTime": at.0, "duration": at.1, "tags": tags, "processID": service})
    }

    fn answer(spans: &[Value]) -> Value {
        let processes = json!({"gateway": {"serviceName": "gateway"}, "intake": {"serviceName": "intake"}});
        json!({"data": [{"traceID": "t", "spans": spans, "processes": processes}]})
    }

    #[test]
    fn time_of_children_is_not_a_spans_own() {
        let check = |children: &[(u64, u64)], expect: u64| {
            let mut spans = vec![span("a", "", "gateway", (100, 100), &json!([]))];
            for (n, at) in children.iter().enumerate() {
                spans.push(span(&format!("c{n}"), "a", "intake", *at, &json!([])));
            }
            let own = read(&answer(&spans)).first().unwrap().own;
            assert_eq!(own, Duration::from_micros(expect), "{children:?}");
        };
        check(&[], 100);
        check(&[(110, 30)], 70);
        check(&[(110, 30), (120, 40)], 50);
        check(&[(110, 30), (120, 10)], 70);
        check(&[(150, 30), (110, 30)], 40);
        check(&[(50, 100)], 50);
        check(&[(50, 300)], 0);
        check(&[(300, 10)], 100);
    }

    #[test]
    fn a_failure_begins_where_no_child_failed() {
        let error = |code: i64| json!([{"key": "error", "value": true}, {"key": "rpc.grpc.status_code", "value": code}]);
        let spans = read(&answer(&[
            span("a", "", "gateway", (0, 90), &error(14)),
            span("b", "a", "gateway", (5, 80), &error(14)),
            span("c", "b", "intake", (10, 60), &error(13)),
            span("d", "a", "intake", (10, 60), &json!([{"key": "error", "value": false}])),
        ]));
        let causes = causes(&spans, 10);
        assert_eq!(causes.len(), 1, "{causes:?}");
        assert_eq!(
            (causes[0].operation.as_str(), causes[0].why.as_str(), causes[0].count),
            ("op-c", "INTERNAL", 1)
        );
    }

    #[test]
    fn the_slowest_come_first_with_the_trace_to_look_at() {
        let spans: Vec<_> = (1..=100)
            .map(|n| Span {
                trace: format!("t{n}"),
                service: "intake".to_owned(),
                operation: if n > 50 { "slow" } else { "quick" }.to_owned(),
                took: Duration::from_millis(n),
                own: Duration::from_millis(n),
                cause: None,
            })
            .collect();
        let slow = slowest(&spans, 1);
        assert_eq!((slow[0].operation.as_str(), slow[0].count, slow[0].trace.as_str()), ("slow", 50, "t100"));
        assert_eq!((slow[0].p50, slow[0].p99), (Duration::from_millis(75), Duration::from_millis(100)));
        assert_eq!(traces(&spans), 100);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let check = |answer: Value| assert!(read(&answer).is_empty(), "{answer}");
        check(json!({}));
        check(json!({"data": [{"traceID": "t", "spans": [{"spanID": "a"}]}]}));
        check(
            json!({"data": [{"traceID": "t", "processes": {}, "spans": [{"startTime": 1, "duration": -1}]}]}),
        );
    }
}
