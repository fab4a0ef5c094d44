//! Every example of the guide selects what the guide says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_filter::{Bind, Field, Filter, Kind, Order, Schema};
use std::collections::BTreeMap;

const GUIDE: &str = include_str!("../../../docs/guides/filters.md");
const PRIORITIES: [(&str, i64); 4] = [("LOW", 1), ("NORMAL", 2), ("HIGH", 3), ("CRITICAL", 4)];

type Row = BTreeMap<String, Bind>;

fn schema() -> Schema {
    Schema::new("executions")
        .with(Field::text("name", "name"))
        .with(Field::names("state", "state", &["RUNNING", "WAITING", "ENDED"]))
        .with(Field::ranks("priority", "priority", &PRIORITIES))
        .with(Field::text("owner", "owner").nullable())
        .with(Field::text("subject", "subject"))
        .with(Field::int("attempts", "attempts"))
        .with(Field::time("create_time", "create_us"))
        .with(Field::time("end_time", "end_us").nullable())
        .with(Field::duration("lag", "lag_us").nullable())
        .with(Field::bool("paused", "paused"))
        .searching(Field::text("subject", "subject"))
        .searching(Field::text("owner", "owner").nullable())
}

/// The cells of every table whose first heading is `head`, without its heading.
fn tables(head: &str) -> Vec<Vec<String>> {
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect::<Vec<_>>();
    let mut rows = Vec::new();
    let mut lines = GUIDE.lines();
    while let Some(line) = lines.next() {
        if line.starts_with(&format!("| {head} |")) {
            rows.extend(lines.by_ref().skip(1).take_while(|line| line.starts_with('|')).map(cells));
        }
    }
    rows
}

/// What a filter must compare a field with to mean the text of a cell.
fn stored(field: &Field, text: &str) -> Bind {
    let schema = Schema::new("cells").with(field.clone());
    let source = format!("{} = \"{}\"", field.name, text.replace(['"', '*'], ""));
    let read = || Filter::parse(&source).unwrap().check(&schema).unwrap().sql(1).binds.remove(0);
    if field.kind == Kind::Text { Bind::from(text) } else { read() }
}

fn list() -> Vec<Row> {
    let schema = schema();
    let line = GUIDE.lines().find(|line| line.starts_with("| name |")).unwrap();
    let heads: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
    let filled = |(head, text): (&&str, String)| {
        (!text.is_empty()).then(|| ((*head).to_owned(), stored(schema.field(head).unwrap(), &text)))
    };
    tables("name").into_iter().map(|cells| heads.iter().zip(cells).filter_map(filled).collect()).collect()
}

fn names<'r>(rows: impl IntoIterator<Item = &'r Row>) -> String {
    let name = |row: &Row| match &row["name"] {
        Bind::Text(name) => name.clone(),
        Bind::Int(number) => number.to_string(),
    };
    let names: Vec<_> = rows.into_iter().map(name).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[test]
fn filters_select_what_the_guide_says() {
    let (schema, list, examples) = (schema(), list(), tables("filter"));
    assert_eq!((list.len(), examples.len()), (5, 33));
    for cells in examples {
        let text = cells[0].trim_matches('`');
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{}", error.caret()));
        let predicate = filter.check(&schema).unwrap_or_else(|error| panic!("{}", error.caret()));
        let found = list.iter().filter(|row| predicate.matches(&|name: &str| row.get(name).cloned()));
        assert_eq!(names(found), cells[1], "{text}");
    }
}

#[test]
fn orders_give_what_the_guide_says() {
    let (schema, examples) = (schema(), tables("order_by"));
    assert_eq!(examples.len(), 5);
    for cells in examples {
        let order = Order::parse(cells[0].trim_matches('`'), &schema).unwrap();
        let mut list = list();
        list.sort_by(|a, b| {
            order.compare(&|name: &str| a.get(name).cloned(), &|name: &str| b.get(name).cloned())
        });
        assert_eq!(names(&list), cells[1], "{}", cells[0]);
    }
}
