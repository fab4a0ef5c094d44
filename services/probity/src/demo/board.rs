//! The table of cases that moves: redrawn in place on a terminal, a line a
//! change elsewhere.

use super::{Opened, is_settled};
use crate::commands::case::{colour, outlook, state};
use crate::failure::Failure;
use crate::output::{self, Column, Output, plain, short};
use crate::samples::Expected;
use comfy_table::{Cell, Table};
use probity_proto::orchestrator::Case;
use std::io::Write as _;

/// The cases of the demonstration, and what is drawn of them.
pub(super) struct Board {
    out: Output,
    rows: Vec<Row>,
    /// Lines of the last drawing, to be drawn over.
    drawn: usize,
    changed: bool,
}

struct Row {
    expected: Expected,
    case: Case,
}

impl Board {
    pub(super) fn new(out: Output, opened: Vec<Opened>) -> Self {
        let row = |opened: Opened| Row { expected: opened.item.expected().clone(), case: opened.case };
        Self { out, rows: opened.into_iter().map(row).collect(), drawn: 0, changed: true }
    }

    /// The names of the cases that something more will happen to.
    pub(super) fn moving(&self) -> Vec<String> {
        self.rows.iter().filter(|row| !is_settled(&row.case)).map(|row| row.case.name.clone()).collect()
    }

    /// Takes in where a case stands now.
    pub(super) fn update(&mut self, case: Case) -> Result<(), Failure> {
        let Some(row) = self.rows.iter_mut().find(|row| row.case.name == case.name) else { return Ok(()) };
        if row.case.state == case.state && is_settled(&row.case) == is_settled(&case) {
            return Ok(());
        }
        row.case = case;
        self.changed = true;
        if self.out.terminal {
            return Ok(());
        }
        let case = &row.case;
        let kind = output::word("CASE_KIND_", case.kind().as_str_name());
        self.out.line(format_args!("{}  {kind:<8} {:<13} {}", plain(&case.name), state(case), outlook(case)))
    }

    /// Draws the table over the last one, on a terminal.
    pub(super) fn draw(&mut self) -> Result<(), Failure> {
        if !self.out.terminal || !self.changed {
            return Ok(());
        }
        let text = self.table().to_string();
        let mut out = std::io::stdout().lock();
        if self.drawn > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.drawn)?;
        }
        writeln!(out, "{text}")?;
        out.flush()?;
        self.drawn = text.lines().count();
        self.changed = false;
        Ok(())
    }

    /// The last drawing, and the cases.
    pub(super) fn finish(mut self) -> Result<Vec<Case>, Failure> {
        self.changed = true;
        if self.out.terminal {
            self.draw()?;
        } else {
            self.out.table(&self.table())?;
        }
        Ok(self.rows.into_iter().map(|row| row.case).collect())
    }

    fn table(&self) -> Table {
        let mut table = output::lines(&[
            ("CASE", Column::WholeFrom(130)),
            ("KIND", Column::Whole),
            ("SUBJECT", Column::Cut(32)),
            ("HIDDEN IN IT", Column::Cut(26)),
            ("STATE", Column::Whole),
            ("FOUND", Column::Whole),
            ("VERDICT OR WAITING", Column::CutFrom(80, 100)),
        ]);
        for row in &self.rows {
            table.add_row(row.line());
        }
        table
    }
}

impl Row {
    fn line(&self) -> comfy_table::Row {
        let case = &self.case;
        output::one_line(vec![
            Cell::new(plain(case.name.strip_prefix("cases/").unwrap_or(&case.name))),
            Cell::new(output::word("CASE_KIND_", case.kind().as_str_name())),
            Cell::new(short(&case.subject, 44)),
            Cell::new(hidden(&self.expected)),
            Cell::new(state(case)).fg(colour(case)),
            Cell::new(case.finding_count),
            Cell::new(outlook(case)),
        ])
    }
}

fn hidden(expected: &Expected) -> String {
    let spam = (expected.spam == Some(true)).then_some("spam");
    let parts: Vec<_> = expected.rules.iter().copied().chain(spam).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Format;
    use crate::samples::{Set, Sizes};
    use probity_proto::orchestrator::CaseState;

    #[test]
    fn a_board_follows_its_cases() {
        let item = Set::new(1, Sizes::default()).items().next().unwrap();
        let case = |state: CaseState| Case { name: "cases/a".into(), state: state.into(), ..Case::default() };
        let out = Output { format: Format::Table, terminal: true };
        let mut board = Board::new(out, vec![Opened { item, case: case(CaseState::Pending) }]);
        assert_eq!(board.moving(), ["cases/a"]);
        assert!(board.table().to_string().contains("R018"));
        board.update(case(CaseState::Resolved)).unwrap();
        assert!(board.moving().is_empty());
        board.update(Case { name: "cases/other".into(), ..Case::default() }).unwrap();
        assert!(board.table().to_string().contains("resolved"));
    }
}
