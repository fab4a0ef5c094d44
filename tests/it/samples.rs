//! The code samples of the API documentation, run as they are printed there: one
//! operation of each shape in each language there is on this machine.

use crate::stand::Stand;
use probity_tests::Embedded;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A read, a list, JSON sent, a change in part, a deletion, a file sent, nobody's
/// token, a stream.
const SHAPES: [&str; 8] = [
    "CaseService_GetCase",
    "CaseService_ListCases",
    "ExecutionService_StartExecution",
    "ScheduleService_UpdateSchedule",
    "ScheduleService_DeleteSchedule",
    "IntakeService_UploadDocument",
    "GatewayService_GetPlatform",
    "DeadLetterService_ExportDeadLetters",
];

/// How a sample of a language is run: its label, and the command that takes the file.
struct Language {
    label: &'static str,
    file: &'static str,
    command: Vec<String>,
    /// What the first line of its output begins with.
    begins: &'static str,
}

fn program(name: &str, version: &str) -> Option<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let places =
        [PathBuf::from(name), home.join("go/bin").join(name), PathBuf::from("/usr/local/go/bin").join(name)];
    let answers =
        |place: &PathBuf| Command::new(place).arg(version).output().is_ok_and(|o| o.status.success());
    places.into_iter().find(answers).map(|place| place.display().to_string())
}

/// The languages of this machine; the others are named.
fn languages() -> Vec<Language> {
    let mut all = Vec::new();
    let mut add =
        |label: &'static str, tool: (&str, &str), file: &'static str, args: &[&str], begins: &'static str| {
            match program(tool.0, tool.1) {
                Some(found) => {
                    let command =
                        std::iter::once(found).chain(args.iter().map(|arg| (*arg).to_owned())).collect();
                    all.push(Language { label, file, command, begins });
                }
                None => println!("samples in {label} SKIPPED: there is no {}", tool.0),
            }
        };
    add("curl", ("curl", "--version"), "sample.sh", &[], "");
    add("grpcurl", ("grpcurl", "--version"), "sample.sh", &[], "");
    add("Python", ("python3", "--version"), "sample.py", &[], "");
    add("TypeScript", ("node", "--version"), "sample.mjs", &[], "200 ");
    add("Go", ("go", "version"), "sample.go", &["run"], "200 OK");
    all
}

impl Language {
    fn run(&self, source: &str, folder: &Path, platform: &(String, String)) -> Output {
        let file = folder.join(self.file);
        std::fs::write(&file, source).expect("a file");
        let mut command = if self.file.ends_with(".sh") {
            Command::new("sh")
        } else {
            let mut command = Command::new(&self.command[0]);
            command.args(&self.command[1..]);
            command
        };
        let tools = Path::new(&self.command[0]).parent().map(Path::to_path_buf).unwrap_or_default();
        let path = format!("{}:{}", std::env::var("PATH").unwrap_or_default(), tools.display());
        command
            .arg(&file)
            .env("PATH", path)
            .env("PROBITY_URL", &platform.0)
            .env("PROBITY_TOKEN", &platform.1);
        command.current_dir(folder).output().expect("it runs")
    }

    /// What was wrong with a run.
    fn problem(&self, output: &Output) -> Option<String> {
        let text = String::from_utf8_lossy(&output.stdout);
        let refused = text.contains("urn:probity:error:");
        let sound = output.status.success() && text.starts_with(self.begins) && !refused;
        (!sound).then(|| {
            format!("{} {text:.300} {:.600}", output.status, String::from_utf8_lossy(&output.stderr))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_of_every_shape_run_in_every_language() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let mut stand = Stand::new(&platform).await;
    let (_, text) = stand.get("/api/openapi.json");
    let document: Value = serde_json::from_str(&text).expect("the document");
    let items = document["paths"].as_object().expect("paths").values();
    let operations: BTreeMap<_, _> = items
        .flat_map(|item| item.as_object().expect("an item").values())
        .map(|operation| (operation["operationId"].as_str().expect("an id"), operation))
        .collect();
    let work = tempfile::tempdir().unwrap();
    let at = (platform.url.clone(), stand.token().to_owned());
    let (mut ran, mut wrong) = (BTreeMap::new(), Vec::new());
    for language in languages() {
        for shape in SHAPES {
            let samples = operations[shape]["x-codeSamples"].as_array().expect("samples");
            let sample = samples.iter().find(|sample| sample["label"] == language.label).expect("a sample");
            let source = stand.with_real_ids(shape, sample["source"].as_str().expect("text")).await;
            // The same call in another language may be written in other bytes.
            let method = shape.rsplit('_').next().unwrap_or_default();
            let source = source.replace(&format!("{method}-1"), &format!("{method}-{}", language.label));
            let output = language.run(&source, work.path(), &at);
            *ran.entry(language.label).or_insert(0) += 1;
            wrong.extend(
                language
                    .problem(&output)
                    .map(|why| format!("{shape} in {}: {why}\n{source}\n", language.label)),
            );
        }
    }
    for shape in SHAPES {
        let source = operations[shape]["x-codeSamples"][5]["source"].as_str().expect("a sample in Rust");
        wrong.extend(unreadable(source).map(|why| format!("{shape} in Rust: {why}\n{source}\n")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("samples that ran: {ran:?}; those in Rust are read by rustfmt");
    platform.stop().await;
}

/// Why rustfmt cannot read a sample: what it needs to run is no part of this build.
fn unreadable(source: &str) -> Option<String> {
    let mut command = Command::new("rustfmt");
    command.args(["--edition", "2024", "--check", "--config", "max_width=1000"]);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else {
        println!("samples in Rust SKIPPED: there is no rustfmt");
        return None;
    };
    child.stdin.take().expect("a pipe").write_all(source.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.contains("error").then_some(text)
}
