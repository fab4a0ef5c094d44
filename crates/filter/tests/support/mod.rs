//! A list with a field of every kind, its rows, and filters that make sense over it.

use probity_filter::{Bind, Field, Schema};
use proptest::prelude::*;
use proptest::sample::select;

/// Every kind of field, with and without missing values.
pub(crate) fn schema() -> Schema {
    Schema::new("executions")
        .with(Field::text("name", "t.name"))
        .with(Field::text("owner", "t.owner").nullable())
        .with(Field::names("state", "t.state", &["RUNNING", "WAITING", "ENDED"]))
        .with(Field::ranks("priority", "t.priority", &[("LOW", 1), ("NORMAL", 2), ("HIGH", 3)]).nullable())
        .with(Field::int("attempts", "t.attempts"))
        .with(Field::bool("case", "t.is_case"))
        .with(Field::time("create_time", "t.created"))
        .with(Field::time("end_time", "t.ended").nullable())
        .with(Field::duration("lag", "t.lag").nullable())
        .searching(Field::text("name", "t.name"))
        .searching(Field::text("owner", "t.owner").nullable())
}

/// One row: its fields in the order of [`COLUMNS`].
pub(crate) type Row = Vec<(&'static str, Option<Bind>)>;

/// The fields of a row.
pub(crate) const COLUMNS: [&str; 9] =
    ["name", "owner", "state", "priority", "attempts", "case", "create_time", "end_time", "lag"];

/// The value of a field of a row.
pub(crate) fn cell<'r>(row: &'r Row) -> impl Fn(&str) -> Option<Bind> + 'r {
    |name| row.iter().find(|(field, _)| *field == name).and_then(|(_, value)| value.clone())
}

/// Few texts, many of them nearly alike, and all that a database could stumble over.
fn texts() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "a",
        "A",
        "ab",
        "aba",
        "b",
        "%",
        "a%b",
        "_",
        "a_b",
        "*",
        "a*b",
        "\\",
        "'",
        "\"",
        "a'b\"c",
        "ä",
        "a\u{308}",
        "😀",
        "a😀b",
        "\n",
        "a\tb",
        "tender",
        "Tender 42",
        "AND",
        "$1",
        "--",
        "NULL",
        " ",
        "a ",
    ])
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![0_i64..5, select(vec![-1, i64::MIN, i64::MAX, 10_000_000])]
}

/// Times on both sides of every time a filter asks for.
fn moments() -> impl Strategy<Value = i64> {
    select(vec![-1, 0, 1, 1_000_000, 86_400_000_000, 1_795_000_000_000_000])
}

/// A row of any kind.
pub(crate) fn row() -> impl Strategy<Value = Row> {
    let optional = |values: BoxedStrategy<Bind>| prop::option::weighted(0.7, values);
    let text = || texts().prop_map(Bind::from).boxed();
    let int = |values: BoxedStrategy<i64>| values.prop_map(Bind::Int).boxed();
    let states = select(vec!["RUNNING", "WAITING", "ENDED"]).prop_map(Bind::from);
    let values = (
        text(),
        optional(text()),
        states,
        optional(int((1_i64..=3).boxed())),
        int(numbers().boxed()),
        int((0_i64..=1).boxed()),
        int(moments().boxed()),
        optional(int(moments().boxed())),
        optional(int(numbers().boxed())),
    );
    values.prop_map(|(name, owner, state, priority, attempts, case, created, ended, lag)| {
        let values =
            [Some(name), owner, Some(state), priority, Some(attempts), Some(case), Some(created), ended, lag];
        COLUMNS.into_iter().zip(values).collect()
    })
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '*' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out + "\""
}

fn pattern() -> impl Strategy<Value = String> {
    (texts(), any::<bool>(), any::<bool>()).prop_map(|(text, start, end)| {
        let (start, end) = if text.is_empty() && start != end { (false, false) } else { (start, end) };
        let star = |open| if open { "*" } else { "" };
        let inner = quoted(text);
        format!("\"{}{}{}\"", star(start), &inner[1..inner.len() - 1], star(end))
    })
}

fn comparison() -> impl Strategy<Value = String> {
    let plain = || select(vec!["=", "!=", ":"]);
    let all = || select(vec!["=", "!=", "<", "<=", ">", ">=", ":"]);
    let part = || texts().prop_filter("a part has letters", |text| !text.is_empty()).prop_map(quoted);
    let times = || {
        select(vec![
            "1970-01-01",
            "1970-01-01T00:00:01Z",
            "\"1970-01-02T01:00:00+01:00\"",
            "2026-11-18T11:06:40Z",
        ])
    };
    let nullable = || select(vec!["owner", "priority", "end_time", "lag"]);
    prop_oneof![
        (select(vec!["name", "owner"]), select(vec!["=", "!="]), pattern())
            .prop_map(|(field, op, value)| format!("{field} {op} {value}")),
        (select(vec!["name", "owner"]), part()).prop_map(|(field, value)| format!("{field}:{value}")),
        (plain(), select(vec!["RUNNING", "WAITING", "ENDED"])).prop_map(|(op, v)| format!("state {op} {v}")),
        (all(), select(vec!["LOW", "NORMAL", "HIGH"])).prop_map(|(op, v)| format!("priority{op}{v}")),
        (all(), numbers()).prop_map(|(op, v)| format!("attempts {op} {v}")),
        (plain(), any::<bool>()).prop_map(|(op, v)| format!("case {op} {v}")),
        (select(vec!["create_time", "end_time"]), all(), times())
            .prop_map(|(f, op, v)| format!("{f} {op} {v}")),
        (all(), select(vec!["0s", "3us", "10s", "0.000002s", "-1us"]))
            .prop_map(|(op, v)| format!("lag {op} {v}")),
        nullable().prop_map(|field| format!("{field}:*")),
        nullable().prop_map(|field| format!("{field} != *")),
        part(),
        "state = \\((RUNNING|WAITING)( OR (ENDED|RUNNING)){1,2}\\)",
        "attempts > \\(1 AND 0\\)",
    ]
}

/// Filters that the schema accepts.
pub(crate) fn filter() -> impl Strategy<Value = String> {
    comparison().prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} AND {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} OR {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("NOT ( {a} )")),
            inner.prop_map(|a| format!("-({a})")),
        ]
    })
}
