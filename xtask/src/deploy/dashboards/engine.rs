//! Executions, steps, tasks and their owners.

use crate::deploy::panels::Form::Lines;
use crate::deploy::panels::{Board, Panel};

pub(super) const BOARD: Board = Board {
    uid: "probity-engine",
    title: "Probity: the engine",
    about: "Executions, steps and tasks, and who owns them.",
    panels: &[
        Panel {
            title: "Executions in memory",
            about: "Under way now; those that only wait for a person rest on disk.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (instance) (orchestrator_executions_in_memory)", "{{instance}}")],
        },
        Panel {
            title: "Executions that wait for a place",
            about: "Their definitions limit how many run.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (instance) (orchestrator_executions_queued)", "{{instance}}")],
        },
        Panel {
            title: "Runs of schedules in an hour",
            about: "By what became of them.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (outcome) (increase(schedule_runs_total[1h]))", "{{outcome}}")],
        },
        Panel {
            title: "How late schedules start",
            about: "95 % of the runs of an hour started within this time of theirs.",
            unit: "s",
            form: Lines,
            queries: &[(
                "histogram_quantile(0.95, sum by (le) (increase(schedule_delay_seconds_bucket[1h])))",
                "95 %",
            )],
        },
        Panel {
            title: "Behind the audit log",
            about: "How long the oldest event has waited that the log does not have, by service.",
            unit: "s",
            form: Lines,
            queries: &[("max by (service) (outbox_oldest_age_seconds)", "{{service}}")],
        },
        Panel {
            title: "Executions ended",
            about: "Per second.",
            unit: "ops",
            form: Lines,
            queries: &[
                ("sum(rate(orchestrator_executions_ended_total[$__rate_interval]))", "ended"),
                (
                    "sum(rate(orchestrator_executions_started_total[$__rate_interval]))",
                    "started without a case",
                ),
            ],
        },
        Panel {
            title: "Attempts of steps",
            about: "Per second, by outcome.",
            unit: "ops",
            form: Lines,
            queries: &[(
                "sum by (outcome) (rate(orchestrator_step_attempts_total[$__rate_interval]))",
                "{{outcome}}",
            )],
        },
        Panel {
            title: "Incidents in an hour",
            about: "Steps that need a person to mend something.",
            unit: "short",
            form: Lines,
            queries: &[("sum(increase(orchestrator_incidents_total[1h]))", "incidents")],
        },
        Panel {
            title: "Dead letters",
            about: "Open ones, by state.",
            unit: "short",
            form: Lines,
            queries: &[("max by (state) (dead_letter_queue_depth)", "{{state}}")],
        },
        Panel {
            title: "Oldest dead letter",
            about: "How long it waits.",
            unit: "s",
            form: Lines,
            queries: &[("max(dead_letter_oldest_age_seconds)", "age")],
        },
        Panel {
            title: "Tasks given to workers",
            about: "Per second, and those whose workers gave no sign of life.",
            unit: "ops",
            form: Lines,
            queries: &[
                ("sum(rate(orchestrator_tasks_taken_total[$__rate_interval]))", "taken"),
                ("sum(rate(orchestrator_task_leases_expired_total[$__rate_interval]))", "expired"),
            ],
        },
        Panel {
            title: "Shards",
            about: "Owned, by replica; together 256.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (instance) (orchestrator_shards_owned)", "{{instance}}")],
        },
        Panel {
            title: "Commits that failed",
            about: "In an hour: everybody in them was told to ask again.",
            unit: "short",
            form: Lines,
            queries: &[
                ("sum(increase(orchestrator_commit_failures_total[1h]))", "failed"),
                ("sum(increase(orchestrator_fenced_commits_total[1h]))", "fenced"),
            ],
        },
        Panel {
            title: "Cases that cannot be read",
            about: "In an hour; each rests until somebody looks.",
            unit: "short",
            form: Lines,
            queries: &[("sum(increase(orchestrator_unreadable_cases_total[1h]))", "cases")],
        },
    ],
};
