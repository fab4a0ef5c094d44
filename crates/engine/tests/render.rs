//! Pictures of definitions and executions.
//!
//! `PROBITY_PICTURES=folder` also stores them, to be looked at. When Graphviz is installed, it
//! reads every graph.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use probity_engine::render::{Bar, BarKind, Row, dot, gantt_svg, mermaid, timeline};
use probity_engine::{Definition, Execution, Fact};
use probity_types::Micros;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use support::{EVERYTHING, definition};

const START: i64 = 1_795_000_000_000_000;

/// Facts as the journal has them: milliseconds since the start, and what happened.
fn journal(facts: &[(i64, Value)]) -> Vec<(Micros, Fact)> {
    let fact =
        |value: &Value| serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{value}: {e}"));
    facts.iter().map(|(ms, value)| (Micros(START + ms * 1_000), fact(value))).collect()
}

fn opened(subject: &str) -> Value {
    json!({"type": "case.opened", "case": "cases/case_01", "kind": "payment", "subject": subject, "documents": [],
        "priority": 2, "owner": "users/sam", "owner_roles": [], "definition": "everything", "version": "1"})
}

fn scheduled(step: &str, attempt: u32) -> Value {
    json!({"type": "step.scheduled", "step": step, "attempt": attempt, "input": {}})
}

fn completed(step: &str, attempt: u32) -> Value {
    json!({"type": "step.completed", "step": step, "attempt": attempt, "output": {}})
}

fn failed(step: &str, attempt: u32, error: &str, retry_ms: Option<i64>) -> Value {
    json!({"type": "step.attempt_failed", "step": step, "attempt": attempt, "code": "X-1", "error": error,
        "retry_at_us": retry_ms.map(|ms| START + ms * 1_000)})
}

fn moved(from: &str, to: &str) -> Value {
    json!({"type": "case.transition", "from": from, "to": to, "reason": "so"})
}

/// A case with everything that can be seen: retries, an incident, a timer, people, taking back.
fn eventful() -> Vec<(Micros, Fact)> {
    journal(&[
        (0, opened("<b>Payments & \"more\"</b>")),
        (0, scheduled("documents", 1)),
        (400, failed("documents", 1, "intake does not answer: <connection refused> & \u{1b}[31m", Some(900))),
        (900, scheduled("documents", 2)),
        (1_300, failed("documents", 2, "intake does not answer", Some(2_600))),
        (2_600, scheduled("documents", 3)),
        (3_000, completed("documents", 3)),
        (3_000, json!({"type": "step.skipped", "step": "unusable", "reason": "its condition does not hold"})),
        (3_000, moved("pending", "investigating")),
        (3_000, scheduled("triage", 1)),
        (3_000, scheduled("investigate", 1)),
        (3_700, completed("triage", 1)),
        (3_700, json!({"type": "timer.started", "step": "cool_down", "at_us": START + 8_700_000})),
        (4_500, failed("investigate", 1, "no such list", None)),
        (4_500, json!({"type": "incident.opened", "step": "investigate", "reason": "no such list"})),
        (7_000, json!({"type": "incident.retried", "step": "investigate", "actor": "users/ops"})),
        (7_000, scheduled("investigate", 2)),
        (8_000, completed("investigate", 2)),
        (8_700, completed("cool_down", 1)),
        (8_700, moved("investigating", "remediating")),
        (8_700, scheduled("hold", 1)),
        (8_700, scheduled("tell", 1)),
        (9_200, completed("hold", 1)),
        (9_900, completed("tell", 1)),
        (
            9_900,
            json!({"type": "approval.requested", "step": "decision", "reason": "3 findings", "required": 2}),
        ),
        (
            13_000,
            json!({"type": "approval.given", "step": "decision", "actor": "users/ana",
            "disposition": "CONFIRMED", "note": "clear"}),
        ),
        (
            15_500,
            json!({"type": "compensation.started", "ending": "cancelled", "reason": "wrong file",
            "actor": "users/sam"}),
        ),
        (15_500, json!({"type": "compensation.scheduled", "step": "tell", "attempt": 1, "input": {}})),
        (
            16_200,
            json!({"type": "compensation.attempt_failed", "step": "tell", "attempt": 1, "error": "busy",
            "retry_at_us": START + 17_000_000}),
        ),
        (17_000, json!({"type": "compensation.scheduled", "step": "tell", "attempt": 2, "input": {}})),
        (17_600, json!({"type": "compensation.completed", "step": "tell"})),
        (17_600, json!({"type": "compensation.scheduled", "step": "hold", "attempt": 1, "input": {}})),
        (18_300, json!({"type": "compensation.completed", "step": "hold"})),
        (18_300, moved("remediating", "cancelled")),
        (18_300, json!({"type": "execution.ended", "ending": "cancelled", "reason": "wrong file"})),
    ])
}

fn replayed(definition: &Arc<Definition>, facts: &[(Micros, Fact)]) -> Execution {
    Execution::replay(definition.clone(), facts).unwrap()
}

/// Keeps a picture to look at.
fn keep(name: &str, text: &str) {
    if let Some(folder) = std::env::var_os("PROBITY_PICTURES") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(name), text).unwrap();
    }
}

/// `documents: failed 400, back_off 500…`, in milliseconds.
fn told(row: &Row) -> String {
    let ms = |bar: &Bar| (bar.to.0 - bar.from.0) / 1_000;
    let bars: Vec<_> = row.bars.iter().map(|bar| format!("{:?} {}", bar.kind, ms(bar))).collect();
    format!("{} ({}): {}", row.step.as_deref().unwrap_or("case"), row.standing, bars.join(", "))
}

#[test]
fn a_timeline_tells_attempts_waits_and_people_apart() {
    let (definition, facts) = (definition(EVERYTHING), eventful());
    let rows = timeline(&replayed(&definition, &facts), &facts, Micros(START + 60_000_000));
    let expect = [
        "case (ended): State 3000, State 5700, State 9600",
        "documents (done): Failed 400, BackOff 500, Failed 400, BackOff 1300, Attempt 400",
        "unusable (skipped): ",
        "triage (done): Attempt 700",
        "investigate (done): Failed 1500, Incident 2500, Attempt 1000",
        "cool_down (done): Timer 5000",
        "hold (taken back): Attempt 500, Back 700",
        "tell (taken back): Attempt 1200, BackFailed 700, BackOff 800, Back 600",
        "decision (not finished): Approval 5600",
    ];
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), expect);
    let decision = rows.iter().find(|row| row.step.as_deref() == Some("decision")).unwrap();
    assert_eq!(decision.marks[0].note, "users/ana: CONFIRMED: clear");
}

#[test]
fn what_goes_on_reaches_up_to_now() {
    let definition = definition(EVERYTHING);
    let facts = journal(&[(0, opened("s")), (10, scheduled("documents", 1))]);
    let bars = |now_ms: i64| {
        let rows = timeline(&replayed(&definition, &facts), &facts, Micros(START + now_ms * 1_000));
        rows[0].bars.clone()
    };
    let expect = |to_ms: i64| Bar {
        kind: BarKind::Attempt,
        attempt: Some(1),
        from: Micros(START + 10_000),
        to: Micros(START + to_ms * 1_000),
        open: true,
        note: String::new(),
    };
    assert_eq!(bars(250), [expect(250)]);
    assert_eq!(bars(-5_000), [expect(10)], "a clock that was set back");
}

/// Checks that elements of an SVG are closed in order and that nothing but text and known
/// elements is in it.
fn well_formed(svg: &str) {
    let known = ["svg", "style", "defs", "pattern", "rect", "title", "text", "path", "g"];
    let mut open: Vec<&str> = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("every < is an element");
        let name = tag.trim_matches('/').split([' ', '/']).next().unwrap();
        assert!(known.contains(&name), "{name}");
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name)),
            (false, true) => {}
            (false, false) => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    for bad in svg.split('&').skip(1) {
        let entity = bad.split(';').next().unwrap();
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&entity), "{entity}");
    }
    assert!(
        !svg.contains("NaN") && !svg.contains("inf") && !svg.chars().any(|c| c.is_control() && c != '\n')
    );
}

#[test]
fn a_gantt_chart_shows_every_kind_once_in_its_legend() {
    let (definition, facts) = (definition(EVERYTHING), eventful());
    let svg = gantt_svg(&replayed(&definition, &facts), &facts, Micros(START));
    keep("gantt.svg", &svg);
    well_formed(&svg);
    for class in
        ["state", "attempt", "failed", "backoff", "timer", "approval", "incident", "back", "backfailed"]
    {
        assert!(svg.contains(&format!("<rect class=\"{class}\"")), "{class}");
    }
    for text in [
        "everything · cases/case_01",
        "cancelled · began 2026-11-18 11:06:40 UTC · 18.3 s",
        ">+10 s<",
        "taking back failed",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(svg.contains("&lt;connection refused&gt; &amp;"));
    assert!(!svg.contains("<script") && !svg.contains("href"));
}

#[test]
fn running_and_long_cases_can_be_read_too() {
    let definition = definition(EVERYTHING);
    let running = eventful()[..15].to_vec();
    let svg = gantt_svg(&replayed(&definition, &running), &running, Micros(START + 6_000_000));
    keep("gantt-running.svg", &svg);
    well_formed(&svg);
    assert!(svg.contains("needs a person") && svg.contains("still going on") && svg.contains("not started"));

    let mut long = journal(&[(0, opened("s"))]);
    for attempt in 1..=5_000 {
        let at = i64::from(attempt) * 40_000;
        let more = [
            (at, scheduled("documents", attempt)),
            (at + 300, failed("documents", attempt, "no", Some(at + 40_000))),
        ];
        long.extend(journal(&more));
    }
    let svg = gantt_svg(&replayed(&definition, &long), &long, Micros(START));
    keep("gantt-long.svg", &svg);
    well_formed(&svg);
    let bars = svg.matches("<rect").count();
    assert!(bars < 3_000, "{bars} bars for 5,000 attempts");
    let empty = gantt_svg(&replayed(&definition, &long[..1]), &[], Micros(START));
    well_formed(&empty);
}

#[test]
fn more_rows_than_can_be_drawn_leave_a_note() {
    let steps: String = (0..200).map(|n| format!("  - {{id: s{n}, wait: {{timer: 1s}}}}\n")).collect();
    let source = format!("name: wide\nsteps:\n{steps}verdict:\n  - {{outcome: clear, reasons: \"[]\"}}\n");
    let definition = definition(&source);
    let facts = journal(&[(0, opened("s"))]);
    let svg = gantt_svg(&replayed(&definition, &facts), &facts, Micros(START));
    well_formed(&svg);
    assert_eq!(svg.matches(">not started<").count(), 200.min(probity_engine::render::MAX_ROWS));
}

const LISTS: &str = "name: lists
steps:
  - {id: list, task: list, queue: desk}
  - {id: each, needs: [list], for_each: steps.list.names, concurrency: 3, task: one, input: {name: item}}
  - {id: child, needs: [list], workflow: other, input: {n: input.n}}
  - {id: go, needs: [each], wait: {signal: go}}
  - {id: stop, needs: [child], when: \"false\", fail: \"'no'\"}
";

fn one(kind: &str, item: u32, more: &Value) -> Value {
    let mut fact = json!({"type": kind, "step": "each", "item": item, "attempt": 1});
    fact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fact
}

/// Seven items, three at a time; the fourth fails for good, then the signal comes.
fn of_lists(count: u32, broken: u32) -> Vec<(Micros, Fact)> {
    let parent = json!({"execution": "executions/exec_00", "step": "orders", "item": 2});
    let mut all = vec![
        (
            0,
            json!({"type": "execution.started", "execution": "executions/exec_01", "priority": 2, "input": {"n": 1},
            "owner": "users/sam", "owner_roles": [], "definition": "lists", "version": "1", "parent": parent}),
        ),
        (0, scheduled("list", 1)),
        (200, json!({"type": "step.completed", "step": "list", "attempt": 1, "output": {"names": []}})),
        (200, json!({"type": "step.expanded", "step": "each", "items": vec!["x"; count as usize]})),
        (200, scheduled("child", 1)),
    ];
    for item in 0..count {
        let at = 300 + i64::from(item / 3) * 500;
        all.push((at, one("step.scheduled", item, &json!({"input": {}}))));
        if item == broken {
            let failed = json!({"code": "X-1", "error": "it broke", "retry_at_us": null});
            all.push((at + 200, one("step.attempt_failed", item, &failed)));
            all.push((
                at + 200,
                json!({"type": "incident.opened", "step": "each", "item": item, "reason": "it broke"}),
            ));
        } else {
            let took = 150 + i64::from(item % 3) * 100;
            all.push((at + took, one("step.completed", item, &json!({"output": {}}))));
        }
    }
    all.sort_by_key(|(at, _)| *at);
    journal(&all)
}

#[test]
fn items_have_rows_of_their_own() {
    let definition = definition(LISTS);
    let facts = of_lists(7, 3);
    let execution = replayed(&definition, &facts);
    let rows = timeline(&execution, &facts, Micros(START + 2_000_000));
    let told: Vec<_> = rows.iter().map(|row| (row.item, told(row))).collect();
    let expect = [
        (None, "list (done): Attempt 200"),
        (None, "each (6 of 7 done): Items 1800"),
        (Some(0), "each (done): Attempt 150"),
        (Some(1), "each (done): Attempt 250"),
        (Some(2), "each (done): Attempt 350"),
        (Some(3), "each (needs a person): Failed 200, Incident 1000"),
        (Some(4), "each (done): Attempt 250"),
        (Some(5), "each (done): Attempt 350"),
        (Some(6), "each (done): Attempt 150"),
        (None, "child (running): Attempt 1800"),
        (None, "go (not started): "),
        (None, "stop (not started): "),
    ];
    assert_eq!(told, expect.map(|(item, text)| (item, text.to_owned())));
    let svg = gantt_svg(&execution, &facts, Micros(START + 2_000_000));
    keep("gantt-items.svg", &svg);
    well_formed(&svg);
    for text in ["lists · executions/exec_01", "for orders[2] of executions/exec_00", ">each[3]<", "7 items"]
    {
        assert!(svg.contains(text), "{text}");
    }

    let many = of_lists(300, 250);
    let rows = timeline(&replayed(&definition, &many), &many, Micros(START + 99_000_000));
    let items: Vec<_> = rows.iter().filter_map(|row| row.item).collect();
    assert_eq!((items.len(), items.last()), (probity_engine::render::MAX_ITEMS, Some(&250)));
    assert!(rows[1].standing.contains("299 of 300 done, 40 drawn"), "{}", rows[1].standing);
}

#[test]
fn graphs_tell_lists_workflows_and_signals_apart() {
    let definition = definition(LISTS);
    let facts = of_lists(7, 3);
    let execution = replayed(&definition, &facts);
    let (graph, chart) = (dot(&definition, Some(&execution)), mermaid(&definition, Some(&execution)));
    keep("items.dot", &graph);
    keep("items.mmd", &chart);
    accepted(&graph);
    for text in [
        "for each of steps.list.names",
        "6 of 7 done",
        "needs a person: 3",
        "runs other",
        "task list in desk",
        "waits for the signal go",
    ] {
        assert!(graph.contains(text) && chart.contains(text), "{text}: {graph}\n{chart}");
    }
    assert!(graph.contains("shape=component") && graph.contains("peripheries=2"), "{graph}");
    assert!(chart.contains("[[\"child"), "{chart}");
}

/// Has Graphviz read a graph, when it is installed.
fn accepted(graph: &str) {
    let child = Command::new("dot").arg("-Tsvg").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return };
    child.stdin.take().unwrap().write_all(graph.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{graph}");
    keep("graph.svg", &String::from_utf8_lossy(&output.stdout));
}

#[test]
fn graphs_have_every_step_and_every_need() {
    let (definition, facts) = (definition(EVERYTHING), eventful());
    let execution = replayed(&definition, &facts[..15]);
    let needs: usize = definition.steps.iter().map(|step| step.needs.len()).sum();
    let check = |graph: &str, arrow: &str, dashed: &str| {
        for step in &definition.steps {
            assert!(graph.contains(&step.id), "{graph}");
        }
        assert_eq!(graph.matches(arrow).count() + graph.matches(dashed).count(), needs, "{graph}");
        for text in [
            "PENDING",
            "INVESTIGATING",
            "REMEDIATING",
            "IntakeService/CheckDocuments",
            "waits 5 s",
            "asks people",
        ] {
            assert!(graph.contains(text), "{text}: {graph}");
        }
    };
    let graph = dot(&definition, None);
    check(&graph, " -> ", "\u{0}");
    accepted(&graph);
    let graph = dot(&definition, Some(&execution));
    keep("graph.dot", &graph);
    accepted(&graph);
    check(&graph, " -> ", "\u{0}");
    assert!(graph.contains("done, attempt 3") && graph.contains("needs a person"));
    let chart = mermaid(&definition, Some(&execution));
    keep("graph.mmd", &chart);
    check(&chart, " --> ", " -.-> ");
    assert!(chart.contains("):::wrong\n") && chart.contains("classDef wrong fill:"));
    assert!(!mermaid(&definition, None).contains("wrong"));
}

#[test]
fn conditions_cannot_break_out_of_a_graph() {
    let hostile = r#"case.subject != 'a\"]; b -> c <script>&amp;#quot; \\n | {x} `y` %% --> end'"#;
    let source = format!(
        "name: hostile\nsteps:\n  - id: end\n    when: {}\n    wait: {{timer: 1s}}\nverdict:\n  - {{outcome: clear, reasons: \"[]\"}}\n",
        serde_json::to_string(hostile).unwrap()
    );
    let definition = definition(&source);
    accepted(&dot(&definition, None));
    let chart = mermaid(&definition, None);
    keep("hostile.mmd", &chart);
    assert_eq!(chart.lines().count(), 3, "{chart}");
    assert_eq!(chart.matches('"').count(), 2, "{chart}");
    assert!(!chart.contains("<script") && !chart.contains('`') && !chart.contains('|'), "{chart}");
}

fn any_fact() -> impl Strategy<Value = Value> {
    let steps = vec![
        "documents",
        "unusable",
        "triage",
        "investigate",
        "cool_down",
        "hold",
        "tell",
        "decision",
        "nobody",
    ];
    (prop::sample::select(steps), 0_u8..12, 1_u32..4, any::<Option<i64>>(), ".{0,20}").prop_map(
        |(step, kind, attempt, retry, text)| match kind {
            0 => scheduled(step, attempt),
            1 => completed(step, attempt),
            2 => json!({"type": "step.attempt_failed", "step": step, "attempt": attempt, "code": "X", "error": text, "retry_at_us": retry}),
            3 => json!({"type": "step.skipped", "step": step, "reason": text, "actor": "users/a"}),
            4 => json!({"type": "timer.started", "step": step, "at_us": retry.unwrap_or(0)}),
            5 => json!({"type": "approval.requested", "step": step, "reason": text, "required": 1}),
            6 => json!({"type": "approval.given", "step": step, "actor": text, "disposition": "CONFIRMED", "note": ""}),
            7 => json!({"type": "incident.opened", "step": step, "reason": text}),
            8 => json!({"type": "incident.retried", "step": step, "actor": text}),
            9 => json!({"type": "compensation.scheduled", "step": step, "attempt": attempt, "input": {}}),
            10 => json!({"type": "compensation.attempt_failed", "step": step, "attempt": attempt, "error": text, "retry_at_us": retry}),
            _ => json!({"type": "compensation.started", "ending": "failed", "reason": text}),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Histories no engine would write, under a clock that jumps: still a picture.
    #[test]
    fn any_journal_gives_a_picture(
        events in prop::collection::vec((prop_oneof![0_i64..10_000, -9_000_000_000_i64..9_000_000_000], any_fact()), 0..40),
        now in -1_000_000_i64..1_000_000,
    ) {
        let definition = definition(EVERYTHING);
        let events: Vec<_> = [(0, opened("s"))].into_iter().chain(events).collect();
        let facts = journal(&events);
        let execution = replayed(&definition, &facts);
        well_formed(&gantt_svg(&execution, &facts, Micros(START + now)));
        let rows = timeline(&execution, &facts, Micros(START + now));
        prop_assert_eq!(rows.len(), definition.steps.len());
        for bar in rows.iter().flat_map(|row| &row.bars) {
            prop_assert!(bar.from <= bar.to);
        }
    }
}
