//! Log records: one line each, on stderr, that nothing in a value can forge.
//!
//! A record carries the correlation fields of the spans it was written in (see
//! [`CORRELATION`]) beside its own. Values of fields that hold secrets or
//! personal data by their name are withheld ([`WITHHELD`]), long values are cut,
//! and every control or direction-changing character is escaped, so that no
//! input can begin a line of its own or steer a terminal.
//!
//! Deliberately absent: files, rotation and shipping. The platform around the
//! process takes stderr.

mod fields;
mod filter;
mod line;

pub use fields::{CORRELATION, WITHHELD};
pub use filter::LogFilter;

use crate::{Error, LogFormat};
use fields::{Correlation, EventFields};
use line::Line;
use probity_types::{Clock as _, SystemClock};
use std::io::Write as _;
use std::sync::Arc;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Reads a `log_filter`.
pub fn filter(text: &str) -> Result<LogFilter, Error> {
    LogFilter::parse(text)
}

/// Takes finished lines, each with its newline.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// Writes each line to stderr in one call. A full or closed stderr loses lines;
/// it never stops the service.
#[must_use]
pub fn stderr() -> Sink {
    Arc::new(|line| {
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    })
}

/// The layer that writes records.
pub struct LogLayer {
    service: String,
    format: LogFormat,
    colour: bool,
    sink: Sink,
}

impl LogLayer {
    /// A layer that writes to `sink`; `service` names records outside any span
    /// that does.
    pub fn new(service: impl Into<String>, format: LogFormat, sink: Sink) -> Self {
        Self { service: service.into(), format, colour: false, sink }
    }

    /// Colours levels, for a terminal.
    #[must_use]
    pub const fn with_colour(mut self, colour: bool) -> Self {
        self.colour = colour;
        self
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut found = Correlation::default();
        attrs.record(&mut found);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(found);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(found) = span.extensions_mut().get_mut::<Correlation>() {
            values.record(found);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let mut correlation = Correlation::default();
        for span in ctx.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Correlation>() {
                correlation.fill_from(outer);
            }
        }
        let meta = event.metadata();
        let line = Line {
            time: SystemClock.now(),
            level: *meta.level(),
            target: meta.target(),
            service: &self.service,
            correlation: &correlation,
            fields: &fields,
        };
        (self.sink)(&match self.format {
            LogFormat::Json => line.json(),
            LogFormat::Pretty => line.pretty(self.colour),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use proptest::prelude::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// Runs `work` with a log and returns what it wrote.
    fn written(format: LogFormat, filter_text: &str, work: impl FnOnce()) -> String {
        let text = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&text);
        let layer = LogLayer::new("gateway", format, Arc::new(move |line| copy.lock().push_str(line)));
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter(filter_text).unwrap()));
        tracing::subscriber::with_default(subscriber, work);
        let text = text.lock();
        text.clone()
    }

    fn json(line: &str) -> serde_json::Value {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    #[test]
    fn a_record_carries_the_fields_of_its_spans_inner_ones_first() {
        let text = written(LogFormat::Json, "info", || {
            let outer = tracing::info_span!(
                "rpc",
                service = "orchestrator",
                request_id = "r1",
                tenant = tracing::field::Empty
            );
            let _outer = outer.enter();
            outer.record("tenant", "acme");
            let _inner = tracing::info_span!("step", step = "screen", request_id = "r2").entered();
            tracing::warn!(attempt = 3, "step failed");
        });
        let line = json(&text);
        assert_eq!(line["service"], "orchestrator");
        assert_eq!(line["request_id"], "r2");
        assert_eq!(line["tenant"], "acme");
        assert_eq!(line["step"], "screen");
        assert_eq!(line["level"], "warn");
        assert_eq!(line["message"], "step failed");
        assert_eq!(line["fields"]["attempt"], 3);
    }

    #[test]
    fn spans_keep_their_fields_when_the_filter_is_narrow() {
        let text = written(LogFormat::Json, "error", || {
            let _span = tracing::info_span!("rpc", request_id = "r1").entered();
            tracing::info!("not shown");
            tracing::error!("shown");
        });
        assert_eq!(text.lines().count(), 1);
        assert_eq!(json(&text)["request_id"], "r1");
        assert_eq!(json(&text)["service"], "gateway");
    }

    #[test]
    fn secrets_and_personal_data_are_withheld_by_name() {
        let text = written(LogFormat::Json, "info", || {
            tracing::info!(token = "abc.def", user_email = "a@b.example", bytes = 7, "login");
        });
        let line = json(&text);
        assert_eq!(line["fields"]["token"], "[withheld]");
        assert_eq!(line["fields"]["user_email"], "[withheld]");
        assert_eq!(line["fields"]["bytes"], 7);
    }

    #[test]
    fn the_causes_of_an_error_are_told_once() {
        let inner = std::io::Error::other("disk full");
        let text = written(LogFormat::Json, "info", || {
            let error = crate::Error::Runtime(inner);
            tracing::error!(error = &error as &dyn std::error::Error, "failed");
        });
        assert_eq!(json(&text)["fields"]["error"], "the OTLP exporter could not be started: disk full");
    }

    proptest! {
        #[test]
        fn no_value_begins_a_line_or_steers_a_terminal(value in "\\PC{0,20}[\\x00-\\x1f\\x7f-\\u{9f}\u{2028}\u{202e}\u{2066}]{1,4}.{0,20}") {
            for format in [LogFormat::Json, LogFormat::Pretty] {
                let text = written(format, "info", || {
                    let _span = tracing::info_span!("rpc", request_id = value.as_str()).entered();
                    tracing::info!(subject = value.as_str(), "{value}");
                });
                prop_assert_eq!(text.matches('\n').count(), 1);
                prop_assert!(text.ends_with('\n'));
                prop_assert!(!text.trim_end_matches('\n').chars().any(line::is_dangerous), "{:?}", text);
                if format == LogFormat::Json {
                    let line = json(&text);
                    prop_assert_eq!(line["message"].as_str(), Some(value.as_str()));
                }
            }
        }
    }
}
