//! Tracing, OTLP export, Prometheus registries and JSON logs behind one init.
