//! `probity workflow lint`, `dry-run`, `simulate`, `schema` and `render`: what can be
//! known of a definition without a platform. Nothing is called and nothing is stored.

use super::{json_value, read_text};
use crate::args::flows::Graph;
use crate::args::trials::{LintArgs, RenderArgs, SimulateArgs, TrialArgs};
use crate::failure::Failure;
use crate::output::{Output, note, plain};
use crate::values;
use comfy_table::Color;
use probity_engine::definition::MAX_SOURCE;
use probity_engine::trial::{Answers, Plan, Script, Scripted, Timeline, dry_run, simulate};
use probity_engine::{Definition, Finding, Opening, Severity, What, lint, render};
use probity_orchestrator::Contracts;
use probity_types::{Role, Roles};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often files that are watched are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Most failures of a step in a row that a fault rate makes.
const MOST_FAILURES: u32 = 20;

/// What linting a file gave.
struct Linted {
    file: PathBuf,
    source: String,
    findings: Vec<Finding>,
}

impl Linted {
    fn read(file: &Path, contracts: &Contracts) -> Result<Self, Failure> {
        let source = read_text(file, MAX_SOURCE as u64)?;
        let findings = lint(&source, contracts);
        Ok(Self { file: file.to_owned(), source, findings })
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Checks files; with `--watch` again and again.
pub(crate) async fn lint_files(args: &LintArgs, out: Output) -> Result<(), Failure> {
    let contracts = Contracts::new();
    if !args.watch {
        return lint_once(args, &contracts, out);
    }
    loop {
        let seen = changes(&args.files);
        match lint_once(args, &contracts, out) {
            Ok(()) | Err(Failure::Refused) => {}
            // Editors replace files: one that is away for a moment comes back.
            Err(Failure::Other(error)) => note(format_args!("error: {error:#}")),
            Err(other) => return Err(other),
        }
        note(format_args!("watching {} for changes; Ctrl-C ends it", counted(args.files.len(), "file")));
        while changes(&args.files) == seen {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn changes(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let changed = |file: &PathBuf| {
        let data = std::fs::metadata(file).ok()?;
        Some((data.modified().ok()?, data.len()))
    };
    files.iter().map(changed).collect()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn lint_once(args: &LintArgs, contracts: &Contracts, out: Output) -> Result<(), Failure> {
    let (mut errors, mut warnings) = (0, 0);
    for file in &args.files {
        let linted = Linted::read(file, contracts)?;
        errors += linted.count(Severity::Error);
        warnings += linted.count(Severity::Warning);
        linted.findings.iter().try_for_each(|finding| tell(&linted, finding, out))?;
        if linted.findings.is_empty() && !out.is_json() {
            out.line(format_args!("{}: {}", file.display(), out.coloured("ok", Color::Green)))?;
        }
    }
    if !out.is_json() && errors + warnings > 0 {
        let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
        let files = counted(args.files.len(), "file");
        out.line(format_args!("{files}: {errors}, {warnings}"))?;
    }
    let refused = errors > 0 || (args.deny_warnings && warnings > 0);
    if refused { Err(Failure::Refused) } else { Ok(()) }
}

fn tell(linted: &Linted, finding: &Finding, out: Output) -> Result<(), Failure> {
    let (file, at) = (linted.file.display(), &finding.at);
    if out.is_json() {
        return out.json_line(&json!({
            "file": file.to_string(),
            "line": at.line,
            "column": at.column,
            "severity": finding.severity.as_str(),
            "message": at.message,
        }));
    }
    let colour = if finding.severity == Severity::Error { Color::Red } else { Color::Yellow };
    let severity = out.coloured(finding.severity.as_str(), colour);
    let place = if at.line == 0 { String::new() } else { format!("{}:{}:", at.line, at.column) };
    out.line(format_args!("{file}:{place} {severity}: {}", plain(&at.message)))?;
    out.text(&excerpt(&linted.source, at.line, at.column))
}

/// The line with a mark below the column; nothing when there is no such place.
fn excerpt(source: &str, line: u64, column: u64) -> String {
    let number = usize::try_from(line).unwrap_or(0);
    let text = number.checked_sub(1).and_then(|index| source.lines().nth(index));
    let Some(text) = text else { return String::new() };
    // Tabs stay, so that the mark stands where the text does.
    let before = text.chars().take(usize::try_from(column.saturating_sub(1)).unwrap_or(0));
    let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let shown: String =
        text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
    let margin = " ".repeat(line.to_string().len());
    format!("  {line} │ {shown}\n  {margin} │ {indent}^\n")
}

/// A definition that is accepted; what is wrong with it has been told when not.
fn accepted(file: &Path, out: Output) -> Result<Arc<Definition>, Failure> {
    let contracts = Contracts::new();
    let linted = Linted::read(file, &contracts)?;
    match Definition::compile(&linted.source, &contracts) {
        Ok(definition) => Ok(Arc::new(definition)),
        Err(_) => {
            let mut errors = linted.findings.iter().filter(|finding| finding.severity == Severity::Error);
            errors.try_for_each(|finding| tell(&linted, finding, out))?;
            Err(Failure::Refused)
        }
    }
}

fn opening(definition: &Definition, args: &TrialArgs) -> Result<Opening, Failure> {
    let input = args.input.as_deref().map(json_value).transpose()?.unwrap_or(Value::Null);
    let what = if definition.is_case() {
        if args.input.is_some() {
            let why = "--input: a case has no input; its steps read its documents (give --answer STEP=JSON)";
            return Err(Failure::Usage(why.to_owned()));
        }
        let kind = args.kind.map(|kind| kind.as_str().parse()).transpose().ok().flatten().or(definition.kind);
        let kind = kind.ok_or_else(|| Failure::Usage("--kind: say what the case is about".to_owned()))?;
        let documents = vec![format!("documents/{}", "0".repeat(64))];
        What::Case { kind, subject: "a trial".to_owned(), documents }
    } else {
        definition.check_input(&input).map_err(|errors| {
            let all: Vec<_> = errors.iter().map(|error| format!("{error}")).collect();
            Failure::Usage(format!("--input does not fit the definition: {}", all.join("; ")))
        })?;
        What::Plain
    };
    let name = if definition.is_case() { "cases/case_trial" } else { "executions/exec_trial" };
    Ok(Opening {
        name: name.to_owned(),
        what,
        input,
        priority: 2,
        owner: "users/trial".to_owned(),
        owner_roles: Roles::new([Role::Officer]),
        parent: None,
    })
}

fn answers(definition: &Definition, args: &TrialArgs) -> Result<Answers, Failure> {
    let answers = args.answer.iter().map(|(step, text)| {
        known(definition, "--answer", step)?;
        Ok((step.clone(), json_value(text)?))
    });
    answers.collect()
}

fn known(definition: &Definition, flag: &str, step: &str) -> Result<(), Failure> {
    if definition.index(step).is_some() {
        return Ok(());
    }
    let steps: Vec<_> = definition.steps.iter().map(|step| step.id.as_str()).collect();
    Err(Failure::Usage(format!("{flag}: there is no step {step:?}; there are {}", steps.join(", "))))
}

/// What would be called, without calling it.
pub(crate) fn dry(args: &TrialArgs, out: Output) -> Result<(), Failure> {
    let definition = accepted(&args.file, out)?;
    let plan = dry_run(&definition, opening(&definition, args)?, &answers(&definition, args)?);
    if out.is_json() {
        out.json(&plan_json(&plan))?;
    } else {
        out.text(&coloured_lines(&plan.to_string(), out))?;
    }
    if plan.trouble.is_empty() { Ok(()) } else { Err(Failure::Refused) }
}

fn plan_json(plan: &Plan) -> Value {
    let calls = plan.calls.iter().map(|call| {
        json!({ "step": call.step, "target": call.target, "input": call.input, "compensation": call.compensation })
    });
    let conditions =
        plan.conditions.iter().map(|c| json!({ "step": c.step, "when": c.when, "held": c.held }));
    let waits = plan.waits.iter().map(|wait| json!({ "step": wait.step, "what": wait.what }));
    json!({
        "calls": calls.collect::<Vec<_>>(),
        "conditions": conditions.collect::<Vec<_>>(),
        "waits": waits.collect::<Vec<_>>(),
        "ends": plan.ends,
        "gives": plan.gives,
        "trouble": plan.trouble,
    })
}

/// Lives through failures and delays on a virtual clock.
pub(crate) fn simulated(args: &SimulateArgs, out: Output) -> Result<(), Failure> {
    let definition = accepted(&args.trial.file, out)?;
    let opening = opening(&definition, &args.trial)?;
    let script = script(&definition, args)?;
    let timeline = simulate(&definition, opening, &script, args.seed);
    if out.is_json() {
        out.json(&timeline_json(&timeline))?;
    } else {
        out.text(&coloured_lines(&timeline.to_string(), out))?;
    }
    if timeline.trouble.is_empty() { Ok(()) } else { Err(Failure::Refused) }
}

fn timeline_json(timeline: &Timeline) -> Value {
    let lines = timeline.lines.iter().map(|line| {
        json!({
            "at_seconds": line.at.as_secs_f64(),
            "what": line.what,
            "step": line.step,
            "reason": line.reason,
        })
    });
    json!({
        "lines": lines.collect::<Vec<_>>(),
        "ends": timeline.ends,
        "gives": timeline.gives,
        "trouble": timeline.trouble,
    })
}

fn script(definition: &Definition, args: &SimulateArgs) -> Result<Script, Failure> {
    let mut script = Script { answers: answers(definition, &args.trial)?, ..Script::default() };
    let mut dice = fastrand::Rng::with_seed(args.seed);
    for step in definition.steps.iter().filter(|_| args.faults > 0) {
        let failures = (0..MOST_FAILURES).take_while(|_| dice.u8(0..100) < args.faults).count();
        let failures = u32::try_from(failures).unwrap_or(MOST_FAILURES);
        script.steps.insert(step.id.clone(), Scripted { failures, ..Scripted::default() });
    }
    for (step, text) in &args.fail {
        known(definition, "--fail", step)?;
        let usage =
            || Failure::Usage(format!("--fail {step}={text}: write STEP=2, STEP=2:CODE or STEP=1:CODE!"));
        let (count, code) = text.split_once(':').unwrap_or((text, ""));
        let scripted = script.steps.entry(step.clone()).or_default();
        scripted.failures = count.parse().map_err(|_| usage())?;
        scripted.transient = !code.ends_with('!');
        if !code.trim_end_matches('!').is_empty() {
            code.trim_end_matches('!').clone_into(&mut scripted.code);
        }
    }
    for (step, text) in &args.takes {
        known(definition, "--takes", step)?;
        let seconds =
            values::seconds(text).map_err(|why| Failure::Usage(format!("--takes {step}: {why}")))?;
        script.steps.entry(step.clone()).or_default().takes = Duration::from_secs(seconds.unsigned_abs());
    }
    Ok(script)
}

/// The last line says how it ended, in the colour of that.
fn coloured_lines(text: &str, out: Output) -> String {
    let colour = |line: &str| match line.split_whitespace().nth(1) {
        Some("completed") if line.starts_with("ends") => Some(Color::Green),
        _ if line.starts_with("ends") => Some(Color::Red),
        _ => None,
    };
    let lines = text.lines().map(|line| {
        let line = plain_line(line);
        colour(&line).map_or_else(|| line.clone(), |colour| out.coloured(&line, colour))
    });
    lines.fold(String::new(), |all, line| all + &line + "\n")
}

/// As [`plain`], with the spaces that align.
fn plain_line(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The JSON Schema of the language, for editors.
pub(crate) fn schema(out: Output) -> Result<(), Failure> {
    out.line(probity_engine::definition::SCHEMA.trim_end())
}

/// The graph of a definition.
pub(crate) fn graph(args: &RenderArgs, out: Output) -> Result<(), Failure> {
    let definition = accepted(&args.file, out)?;
    let picture = match args.language {
        Graph::Dot => render::dot(&definition, None),
        Graph::Mermaid => render::mermaid(&definition, None),
    };
    out.line(picture.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_below_the_column() {
        let source = "a: 1\n\tb: é!\n";
        let check = |line: u64, column: u64, expect: &str| assert_eq!(excerpt(source, line, column), expect);
        check(1, 4, "  1 │ a: 1\n    │    ^\n");
        check(2, 6, "  2 │ \tb: é!\n    │ \t    ^\n");
        check(0, 0, "");
        check(9, 1, "");
    }
}
