//! How the services do: up, rate, errors, duration.

use crate::deploy::panels::Form::{Lines, Numbers};
use crate::deploy::panels::{Board, Panel};

pub(super) const BOARD: Board = Board {
    uid: "probity-services",
    title: "Probity: services",
    about: "Is each service up, how fast does it answer, and how often does it fail.",
    panels: &[
        Panel {
            title: "Up",
            about: "1 for every process that Prometheus reaches.",
            unit: "short",
            form: Numbers,
            queries: &[(r#"up{job=~"$service"}"#, "{{job}} {{instance}}")],
        },
        Panel {
            title: "Calls per second",
            about: "Calls answered by each service.",
            unit: "reqps",
            form: Lines,
            queries: &[(
                r#"sum by (service) (rate(rpc_server_duration_seconds_count{service=~"$service"}[$__rate_interval]))"#,
                "{{service}}",
            )],
        },
        Panel {
            title: "Failed calls",
            about: "Share of calls that ended with a fault of the service or a deadline; a refusal is none.",
            unit: "percentunit",
            form: Lines,
            queries: &[(
                r#"(sum by (service) (rate(rpc_server_duration_seconds_count{service=~"$service", rpc_grpc_status_code=~"2|4|13|14|15"}[$__rate_interval])) or 0 * sum by (service) (rate(rpc_server_duration_seconds_count{service=~"$service"}[$__rate_interval]))) / sum by (service) (rate(rpc_server_duration_seconds_count{service=~"$service"}[$__rate_interval]))"#,
                "{{service}}",
            )],
        },
        Panel {
            title: "Time to answer, p50",
            about: "Half of the calls are faster.",
            unit: "s",
            form: Lines,
            queries: &[(
                r#"histogram_quantile(0.5, sum by (le, service) (rate(rpc_server_duration_seconds_bucket{service=~"$service"}[$__rate_interval])))"#,
                "{{service}}",
            )],
        },
        Panel {
            title: "Time to answer, p95",
            about: "19 of 20 calls are faster. Streams and waiting calls last as long as they are asked to.",
            unit: "s",
            form: Lines,
            queries: &[(
                r#"histogram_quantile(0.95, sum by (le, service) (rate(rpc_server_duration_seconds_bucket{service=~"$service"}[$__rate_interval])))"#,
                "{{service}}",
            )],
        },
        Panel {
            title: "Time to answer, p99",
            about: "99 of 100 calls are faster.",
            unit: "s",
            form: Lines,
            queries: &[(
                r#"histogram_quantile(0.99, sum by (le, service) (rate(rpc_server_duration_seconds_bucket{service=~"$service"}[$__rate_interval])))"#,
                "{{service}}",
            )],
        },
        Panel {
            title: "Requests at the door",
            about: "HTTP requests per second, by status.",
            unit: "reqps",
            form: Lines,
            queries: &[("sum by (status) (rate(http_requests_total[$__rate_interval]))", "{{status}}")],
        },
        Panel {
            title: "Slowest routes, p99",
            about: "The ten slowest, by RPC.",
            unit: "s",
            form: Lines,
            queries: &[(
                "topk(10, histogram_quantile(0.99, sum by (le, route) (rate(http_request_duration_seconds_bucket[$__rate_interval]))))",
                "{{route}}",
            )],
        },
        Panel {
            title: "Error budget left",
            about: "Of the 0.1 % that may fail in 30 days.",
            unit: "percentunit",
            form: Numbers,
            queries: &[(
                r#"1 - (sum(increase(http_requests_total{status=~"5.."}[30d])) or vector(0)) / sum(increase(http_requests_total[30d])) / 0.001"#,
                "left",
            )],
        },
        Panel {
            title: "Under way",
            about: "Calls being answered now.",
            unit: "short",
            form: Lines,
            queries: &[
                (r#"sum by (service) (rpc_server_active_requests{service=~"$service"})"#, "{{service}}"),
                ("sum(http_active_requests)", "HTTP"),
            ],
        },
        Panel {
            title: "Refused at the door",
            about: "Requests without a good token or role, per second, by error code.",
            unit: "reqps",
            form: Lines,
            queries: &[("sum by (code) (rate(auth_denials_total[$__rate_interval]))", "{{code}}")],
        },
        Panel {
            title: "Since the last start",
            about: "How long each process has been running.",
            unit: "s",
            form: Numbers,
            queries: &[(r#"time() - process_start_time_seconds{job=~"$service"}"#, "{{job}} {{instance}}")],
        },
    ],
};
