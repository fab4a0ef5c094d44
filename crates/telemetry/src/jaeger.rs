//! Answers the variables of the retired Jaeger exporter.
//!
//! Deployments that used it would otherwise lose their traces in silence: the
//! variables are still set and nothing reads them any more.

const REPLACED: [(&str, &str); 6] = [
    (
        "OTEL_EXPORTER_JAEGER_ENDPOINT",
        "set OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4317 (Jaeger takes OTLP there)",
    ),
    (
        "OTEL_EXPORTER_JAEGER_AGENT_HOST",
        "set OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4317 (there is no agent)",
    ),
    (
        "OTEL_EXPORTER_JAEGER_AGENT_PORT",
        "set OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4317 (there is no agent)",
    ),
    ("OTEL_EXPORTER_JAEGER_USER", "set OTEL_EXPORTER_OTLP_HEADERS=authorization=..."),
    ("OTEL_EXPORTER_JAEGER_PASSWORD", "set OTEL_EXPORTER_OTLP_HEADERS=authorization=..."),
    ("OTEL_EXPORTER_JAEGER_TIMEOUT", "set telemetry.export_timeout_ms"),
];

/// A sentence for every retired variable that is set. The values are not read:
/// some are secrets.
pub(crate) fn notices(is_set: impl Fn(&str) -> bool) -> Vec<String> {
    let set = REPLACED.iter().filter(|(name, _)| is_set(name));
    set.map(|(name, instead)| format!("{name} is ignored: {instead}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_otlp_equivalent_of_each() {
        assert!(notices(|_| false).is_empty());
        assert_eq!(notices(|_| true).len(), REPLACED.len());
        let one = notices(|name| name == "OTEL_EXPORTER_JAEGER_ENDPOINT");
        assert!(one[0].contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{one:?}");
    }
}
