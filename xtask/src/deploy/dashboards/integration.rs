//! Between the services: calls, events, breakers.

use crate::deploy::panels::Form::Lines;
use crate::deploy::panels::{Board, Panel};

pub(super) const BOARD: Board = Board {
    uid: "probity-integration",
    title: "Probity: between the services",
    about: "Calls between services, events to the audit log, and what protects the ones from the others.",
    panels: &[
        Panel {
            title: "Slowest methods, p99",
            about: "The ten slowest of all services.",
            unit: "s",
            form: Lines,
            queries: &[(
                r#"topk(10, histogram_quantile(0.99, sum by (le, service, rpc_method) (rate(rpc_server_duration_seconds_bucket{service=~"$service", rpc_method!="unknown"}[$__rate_interval]))))"#,
                "{{service}} {{rpc_method}}",
            )],
        },
        Panel {
            title: "Busiest methods",
            about: "The ten most called, per second.",
            unit: "reqps",
            form: Lines,
            queries: &[(
                r#"topk(10, sum by (service, rpc_method) (rate(rpc_server_duration_seconds_count{service=~"$service", rpc_method!="unknown"}[$__rate_interval])))"#,
                "{{service}} {{rpc_method}}",
            )],
        },
        Panel {
            title: "Calls to peers, p99",
            about: "As the callers measure them: with the network and the wait for a place.",
            unit: "s",
            form: Lines,
            queries: &[(
                r#"histogram_quantile(0.99, sum by (le, service, rpc_service) (rate(rpc_client_duration_seconds_bucket{service=~"$service"}[$__rate_interval])))"#,
                "{{service}} → {{rpc_service}}",
            )],
        },
        Panel {
            title: "Calls of the engine under way",
            about: "To the services that do the steps.",
            unit: "short",
            form: Lines,
            queries: &[("sum(orchestrator_calls_in_flight)", "calls")],
        },
        Panel {
            title: "Events into the log",
            about: "Entries per second; repeated ones are recognised.",
            unit: "ops",
            form: Lines,
            queries: &[
                ("sum(rate(audit_entries_appended_total[$__rate_interval]))", "new"),
                ("sum(rate(audit_entries_duplicate_total[$__rate_interval]))", "repeated"),
            ],
        },
        Panel {
            title: "Entries in the log",
            about: "",
            unit: "short",
            form: Lines,
            queries: &[("max(audit_tree_size)", "entries")],
        },
        Panel {
            title: "Age of the newest checkpoint",
            about: "Grows while nothing happens; with cases moving it must not.",
            unit: "s",
            form: Lines,
            queries: &[("time() - max(audit_last_checkpoint_timestamp_seconds)", "age")],
        },
        Panel {
            title: "Breakers",
            about: "Peers that are left alone now: open, or being tried again.",
            unit: "short",
            form: Lines,
            queries: &[(
                r#"max by (service, peer, state) (circuit_breaker_state{state!="closed"})"#,
                "{{service}} → {{peer}} {{state}}",
            )],
        },
        Panel {
            title: "Changes of breakers in an hour",
            about: "",
            unit: "short",
            form: Lines,
            queries: &[(
                "sum by (service, peer, to) (increase(circuit_breaker_transitions_total[1h]))",
                "{{service}} → {{peer}} {{to}}",
            )],
        },
        Panel {
            title: "Calls answered without the peer",
            about: "Refused by a breaker, a bulkhead or a budget, per second, by error code.",
            unit: "reqps",
            form: Lines,
            queries: &[(
                "sum by (service, peer, code) (rate(calls_refused_total[$__rate_interval]))",
                "{{service}} → {{peer}} {{code}}",
            )],
        },
        Panel {
            title: "Calls tried again",
            about: "Per second.",
            unit: "reqps",
            form: Lines,
            queries: &[(
                r#"sum by (service) (rate(call_retries_total{service=~"$service"}[$__rate_interval]))"#,
                "{{service}}",
            )],
        },
        Panel {
            title: "Not tried again for want of budget",
            about: "Per second.",
            unit: "reqps",
            form: Lines,
            queries: &[(
                r#"sum by (service) (rate(retry_budget_exhausted_total{service=~"$service"}[$__rate_interval]))"#,
                "{{service}}",
            )],
        },
        Panel {
            title: "Dead letters",
            about: "Open ones, by state.",
            unit: "short",
            form: Lines,
            queries: &[("max by (state) (dead_letter_queue_depth)", "{{state}}")],
        },
    ],
};
