//! `probity trace slow`: asks Jaeger, prints what is slow and where failures begin.

use crate::args::SlowArgs;
use crate::failure::Failure;
use crate::http::Api;
use crate::output::{self, Output, plain, short};
use crate::spans::{self, Span};
use probity_types::{Clock as _, SystemClock};
use serde_json::Value;
use std::collections::HashSet;
use std::time::Duration;

/// Runs the command.
///
/// # Errors
/// When Jaeger does not answer.
pub(crate) async fn slow(args: SlowArgs, out: Output) -> Result<(), Failure> {
    let jaeger = Api::new("Jaeger", "--jaeger", &args.jaeger)?;
    let spans = fetch(&jaeger, &args).await?;
    let since = args.since.as_secs() / 60;
    if spans.is_empty() {
        return out
            .line(format_args!("no traces of the last {since} minutes: is telemetry.otlp_endpoint set?"));
    }
    out.line(format_args!(
        "{} spans of {} traces of the last {since} minutes\n",
        spans.len(),
        spans::traces(&spans)
    ))?;
    slowest(&spans, args.top, out)?;
    causes(&spans, args.top, out)
}

/// The spans of the traces of every service, each trace once.
async fn fetch(jaeger: &Api, args: &SlowArgs) -> Result<Vec<Span>, Failure> {
    let services = match &args.service {
        Some(service) => vec![service.clone()],
        None => {
            let answer = jaeger.get("/api/services", &[]).await?;
            let names = answer.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
            names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
    };
    let (limit, lookback) = (args.limit.to_string(), format!("{}us", args.since.as_micros()));
    let longer = args.longer_than.map(|time| format!("{}us", time.as_micros()));
    let (mut seen, mut spans) = (HashSet::new(), Vec::new());
    for service in services {
        let (end, start) = window(args.since);
        let mut query = vec![
            ("service", service.as_str()),
            ("limit", limit.as_str()),
            ("lookback", lookback.as_str()),
            ("start", start.as_str()),
            ("end", end.as_str()),
        ];
        query.extend(longer.as_deref().map(|time| ("minDuration", time)));
        let found = spans::read(&jaeger.get("/api/traces", &query).await?);
        let new: HashSet<_> =
            found.iter().map(|span| span.trace.clone()).filter(|trace| !seen.contains(trace)).collect();
        spans.extend(found.into_iter().filter(|span| new.contains(&span.trace)));
        seen.extend(new);
    }
    Ok(spans)
}

/// Now and so long ago, in microseconds since 1970.
fn window(since: Duration) -> (String, String) {
    let now = SystemClock.now().0;
    let since = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    (now.to_string(), now.saturating_sub(since).max(0).to_string())
}

fn slowest(spans: &[Span], top: usize, out: Output) -> Result<(), Failure> {
    let mut table =
        output::table(&["SERVICE", "OPERATION", "SPANS", "OWN P50", "OWN P99", "WORST", "ITS TRACE"]);
    for slow in spans::slowest(spans, top) {
        table.add_row([
            plain(&slow.service),
            short(&slow.operation, 70),
            slow.count.to_string(),
            ms(slow.p50),
            ms(slow.p99),
            ms(slow.worst),
            plain(&slow.trace),
        ]);
    }
    out.table(&table)
}

fn causes(spans: &[Span], top: usize, out: Output) -> Result<(), Failure> {
    let causes = spans::causes(spans, top);
    if causes.is_empty() {
        return out.line("\nno span failed");
    }
    out.line("")?;
    let mut table = output::table(&["FAILURES BEGIN IN", "OPERATION", "WHY", "TIMES", "A TRACE"]);
    for cause in causes {
        table.add_row([
            plain(&cause.service),
            short(&cause.operation, 70),
            short(&cause.why, 60),
            cause.count.to_string(),
            plain(&cause.trace),
        ]);
    }
    out.table(&table)
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
