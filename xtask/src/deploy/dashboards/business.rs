//! What the platform is for: cases, red flags, decisions.

use crate::deploy::panels::Form::{Lines, Numbers};
use crate::deploy::panels::{Board, Panel};

pub(super) const BOARD: Board = Board {
    uid: "probity-business",
    title: "Probity: cases",
    about: "What comes in, what is found in it, and what becomes of it.",
    panels: &[
        Panel {
            title: "Cases opened in an hour",
            about: "By kind.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (kind) (increase(orchestrator_cases_opened_total[1h]))", "{{kind}}")],
        },
        Panel {
            title: "Where cases go, in an hour",
            about: "Transitions of cases, by the state they enter.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (to) (increase(orchestrator_case_transitions_total[1h]))", "{{to}}")],
        },
        Panel {
            title: "How long cases take",
            about: "From opening to the last state, of the cases that came to it in the last day.",
            unit: "s",
            form: Lines,
            queries: &[
                (
                    "histogram_quantile(0.5, sum by (le) (increase(orchestrator_case_resolution_seconds_bucket[1d])))",
                    "half of them",
                ),
                (
                    "histogram_quantile(0.95, sum by (le) (increase(orchestrator_case_resolution_seconds_bucket[1d])))",
                    "95 %",
                ),
            ],
        },
        Panel {
            title: "What people say of red flags, in a day",
            about: "Dispositions as they are recorded, corrections among them.",
            unit: "short",
            form: Lines,
            queries: &[(
                "sum by (disposition) (increase(probity_findings_disposed_total[1d]))",
                "{{disposition}}",
            )],
        },
        Panel {
            title: "False positives by rule",
            about: "Share of wrong flags among those of which people could tell; the ten worst rules.",
            unit: "percentunit",
            form: Lines,
            queries: &[("topk(10, max by (rule) (probity_findings_false_positive_ratio))", "{{rule}}")],
        },
        Panel {
            title: "Decided without a person",
            about: "Cases that were resolved in the last hour without remediation, of all that were resolved or went into it.",
            unit: "percentunit",
            form: Numbers,
            queries: &[(
                r#"clamp_min(1 - sum(increase(orchestrator_case_transitions_total{to="remediating"}[1h])) / sum(increase(orchestrator_cases_opened_total[1h])), 0)"#,
                "by itself",
            )],
        },
        Panel {
            title: "Red flags in an hour",
            about: "The ten rules that find most.",
            unit: "short",
            form: Lines,
            queries: &[("topk(10, sum by (rule) (increase(anticorruption_findings_total[1h])))", "{{rule}}")],
        },
        Panel {
            title: "Red flags by severity, in an hour",
            about: "",
            unit: "short",
            form: Lines,
            queries: &[("sum by (severity) (increase(anticorruption_findings_total[1h]))", "{{severity}}")],
        },
        Panel {
            title: "Investigations in an hour",
            about: "By kind of case.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (kind) (increase(anticorruption_investigations_total[1h]))", "{{kind}}")],
        },
        Panel {
            title: "Items read and refused, in an hour",
            about: "Releases, rows and messages inside the documents.",
            unit: "short",
            form: Lines,
            queries: &[(
                "sum by (kind, outcome) (increase(anticorruption_items_total[1h]))",
                "{{kind}} {{outcome}}",
            )],
        },
        Panel {
            title: "Spam triage in an hour",
            about: "Messages by band; the middle one goes to people.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (band) (increase(spam_classifications_total[1h]))", "{{band}}")],
        },
        Panel {
            title: "Policy decisions in an hour",
            about: "Evaluated cases by decision.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (decision) (increase(compliance_evaluations_total[1h]))", "{{decision}}")],
        },
        Panel {
            title: "Documents stored in an hour",
            about: "By where their bytes are.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (place) (increase(documents_stored_total[1h]))", "{{place}}")],
        },
        Panel {
            title: "Documents checked in an hour",
            about: "By whether they can be used.",
            unit: "short",
            form: Lines,
            queries: &[("sum by (usable) (increase(documents_checked_total[1h]))", "{{usable}}")],
        },
        Panel {
            title: "Names on watchlists",
            about: "Entries of all loaded lists; 0: nobody is screened.",
            unit: "short",
            form: Numbers,
            queries: &[("max(anticorruption_watchlist_entries)", "entries")],
        },
    ],
};
