//! Pictures of executions: bars in the terminal, SVG, DOT and Mermaid.

use super::fetch;
use crate::args::flows::Graph;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Output, plain, word};
use anyhow::Context as _;
use comfy_table::Color;
use probity_proto::orchestrator::{
    Execution, Picture, RenderExecutionRequest, RenderExecutionResponse, Step, StepStatus,
};
use probity_proto::time::micros;
use probity_types::{Clock as _, SystemClock};
use std::path::PathBuf;
use std::time::Duration;

/// How wide the bars are together.
const WIDTH: usize = 48;
/// Longest name of a step that is shown whole.
const NAME: usize = 24;

async fn render(client: &Client, name: &str, picture: Picture) -> Result<RenderExecutionResponse, Failure> {
    let request = RenderExecutionRequest { name: name.to_owned(), picture: picture.into() };
    let call = |client: Client, request| async move { client.executions().render_execution(request).await };
    client.call("draw the execution", None, request, call).await
}

/// The graph of the steps.
pub(super) async fn graph(client: &Client, name: &str, language: Graph, out: Output) -> Result<(), Failure> {
    let picture = match language {
        Graph::Dot => Picture::Dot,
        Graph::Mermaid => Picture::Mermaid,
    };
    out.line(render(client, name, picture).await?.content.trim_end())
}

/// When the steps ran.
pub(super) async fn gantt(
    client: &Client,
    name: &str,
    file: Option<PathBuf>,
    out: Output,
) -> Result<(), Failure> {
    if let Some(file) = file {
        let svg = render(client, name, Picture::GanttSvg).await?.content;
        std::fs::write(&file, svg).with_context(|| format!("{} cannot be written", file.display()))?;
        return out.line(format_args!("{}: written", file.display()));
    }
    let execution = fetch(client, name).await?;
    if out.is_json() {
        return out.json(&output::json(super::EXECUTION, &execution)?);
    }
    bars(&execution, SystemClock.now().0)
        .into_iter()
        .try_for_each(|(colour, line)| out.line(out.coloured(&line, colour)))
}

/// When a step began and ended; what still goes on ends now.
fn span(step: &Step, now: i64) -> Option<(i64, i64)> {
    let start = micros(step.start_time.as_ref()?);
    Some((start, step.end_time.as_ref().map_or(now, micros).max(start)))
}

/// A line a step: its name, its bar, how long it took.
fn bars(execution: &Execution, now: i64) -> Vec<(Color, String)> {
    let spans: Vec<_> = execution.steps.iter().filter_map(|step| span(step, now)).collect();
    let begin = spans.iter().map(|(start, _)| *start).min().unwrap_or(now);
    let total = spans.iter().map(|(_, end)| *end).max().unwrap_or(now).saturating_sub(begin).max(1);
    // A cell for each share of the time; 128 bits, so that no product overflows.
    let cell = |at: i64| {
        let share = i128::from(at - begin) * WIDTH as i128 / i128::from(total);
        usize::try_from(share).unwrap_or(0).min(WIDTH)
    };
    let line = |step: &Step| {
        let bar = span(step, now).map_or_else(String::new, |(start, end)| {
            let from = cell(start).min(WIDTH - 1);
            format!("{}{}", " ".repeat(from), "█".repeat(cell(end).max(from + 1) - from))
        });
        let status = word("STEP_STATUS_", step.status().as_str_name());
        let name = output::short(&plain(&step.id), NAME);
        let text = format!("{name:<NAME$} │{bar:<WIDTH$}│ {:>9}  {status}", took(step));
        (colour(step.status()), text.trim_end().to_owned())
    };
    execution.steps.iter().map(line).collect()
}

/// How long a step took; empty when it has not begun or still goes on.
pub(super) fn took(step: &Step) -> String {
    let (Some(start), Some(end)) = (&step.start_time, &step.end_time) else { return String::new() };
    let took = Duration::from_micros(micros(end).saturating_sub(micros(start)).unsigned_abs());
    match took.as_secs() {
        0 => format!("{} ms", took.as_millis()),
        1..=599 => format!("{:.1} s", took.as_secs_f64()),
        600..=35_999 => format!("{} min", took.as_secs() / 60),
        _ => format!("{} h", took.as_secs() / 3_600),
    }
}

/// The colour of a step's status.
pub(super) const fn colour(status: StepStatus) -> Color {
    match status {
        StepStatus::Completed => Color::Green,
        StepStatus::Failed => Color::Red,
        StepStatus::Running => Color::Cyan,
        StepStatus::BackingOff | StepStatus::Waiting | StepStatus::Compensated => Color::Yellow,
        StepStatus::Skipped | StepStatus::Blocked | StepStatus::Unspecified => Color::DarkGrey,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_proto::time::timestamp;

    fn step(id: &str, start: i64, end: i64) -> Step {
        Step {
            id: id.into(),
            status: StepStatus::Completed.into(),
            start_time: Some(timestamp(start)),
            end_time: Some(timestamp(end)),
            ..Step::default()
        }
    }

    #[test]
    fn bars_stand_where_their_time_was() {
        let blocked = Step { id: "later".into(), status: StepStatus::Blocked.into(), ..Step::default() };
        let steps = vec![step("one", 0, 500_000), step("two", 500_000, 1_000_000), blocked];
        let lines = bars(&Execution { steps, ..Execution::default() }, 0);
        let bar = |line: usize| lines[line].1.split('│').nth(1).unwrap().to_owned();
        assert_eq!(bar(0), "█".repeat(24) + &" ".repeat(24));
        assert_eq!(bar(1), " ".repeat(24) + &"█".repeat(24));
        assert_eq!(bar(2).trim(), "");
        assert!(lines[0].1.ends_with("500 ms  completed"), "{}", lines[0].1);
    }
}
