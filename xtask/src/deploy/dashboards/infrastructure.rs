//! Processes, caches and stores.

use crate::deploy::panels::Form::Lines;
use crate::deploy::panels::{Board, Panel};

pub(super) const BOARD: Board = Board {
    uid: "probity-infrastructure",
    title: "Probity: processes and stores",
    about: "What the processes use of the machine, and how their stores do.",
    panels: &[
        Panel {
            title: "Processor",
            about: "Cores in use.",
            unit: "short",
            form: Lines,
            queries: &[(
                r#"sum by (job) (rate(process_cpu_seconds_total{job=~"$service"}[$__rate_interval]))"#,
                "{{job}}",
            )],
        },
        Panel {
            title: "Memory",
            about: "Resident, of the 512 MiB a pod may have.",
            unit: "bytes",
            form: Lines,
            queries: &[(r#"max by (job) (process_resident_memory_bytes{job=~"$service"})"#, "{{job}}")],
        },
        Panel {
            title: "File descriptors",
            about: "Share of those allowed.",
            unit: "percentunit",
            form: Lines,
            queries: &[(
                r#"max by (job) (process_open_fds{job=~"$service"} / process_max_fds{job=~"$service"})"#,
                "{{job}}",
            )],
        },
        Panel {
            title: "Threads",
            about: "",
            unit: "short",
            form: Lines,
            queries: &[(r#"max by (job) (process_threads{job=~"$service"})"#, "{{job}}")],
        },
        Panel {
            title: "Answered by a cache",
            about: "Share of lookups, by cache.",
            unit: "percentunit",
            form: Lines,
            queries: &[(
                "sum by (service, cache) (rate(cache_hits_total[$__rate_interval])) / (sum by (service, cache) (rate(cache_hits_total[$__rate_interval])) + sum by (service, cache) (rate(cache_misses_total[$__rate_interval])))",
                "{{service}} {{cache}}",
            )],
        },
        Panel {
            title: "Database connections",
            about: "Share of the read-only connections in use, and of the places where writes wait.",
            unit: "percentunit",
            form: Lines,
            queries: &[
                (
                    r#"max by (service) (db_connections_in_use{service=~"$service"} / db_connections_max{service=~"$service"})"#,
                    "{{service}} reads",
                ),
                (
                    r#"max by (service) (db_writes_waiting{service=~"$service"} / db_writes_waiting_max{service=~"$service"})"#,
                    "{{service}} writes",
                ),
            ],
        },
        Panel {
            title: "Operations a commit",
            about: "More load makes larger commits, not more of them.",
            unit: "short",
            form: Lines,
            queries: &[(
                r#"sum by (service) (rate(db_operations_total{service=~"$service"}[$__rate_interval])) / sum by (service) (rate(db_transactions_total{service=~"$service"}[$__rate_interval]))"#,
                "{{service}}",
            )],
        },
        Panel {
            title: "Commits of the engine",
            about: "Per second; each is one transaction of many turns.",
            unit: "ops",
            form: Lines,
            queries: &[("sum(rate(orchestrator_commit_turns_count[$__rate_interval]))", "commits")],
        },
        Panel {
            title: "Turns in a commit",
            about: "More load makes larger commits, not more of them.",
            unit: "short",
            form: Lines,
            queries: &[(
                "sum(rate(orchestrator_commit_turns_sum[$__rate_interval])) / sum(rate(orchestrator_commit_turns_count[$__rate_interval]))",
                "turns",
            )],
        },
        Panel {
            title: "Time to a durable checkpoint",
            about: "From taking a batch of entries to the signed checkpoint on disk.",
            unit: "s",
            form: Lines,
            queries: &[
                (
                    "histogram_quantile(0.5, sum by (le) (rate(audit_append_duration_seconds_bucket[$__rate_interval])))",
                    "p50",
                ),
                (
                    "histogram_quantile(0.99, sum by (le) (rate(audit_append_duration_seconds_bucket[$__rate_interval])))",
                    "p99",
                ),
            ],
        },
        Panel {
            title: "Document bytes stored",
            about: "Per second.",
            unit: "Bps",
            form: Lines,
            queries: &[("sum(rate(document_bytes_stored_total[$__rate_interval]))", "bytes")],
        },
    ],
};
