//! The code samples of the API documentation, run as they are printed there: one
//! operation of each shape in each language there is on this machine.

use crate::stand::Stand;
use probity_tests::Embedded;
use probity_tests::peers::cache;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
        problem(self.begins, output)
    }
}

/// What was wrong with a run whose output should begin so.
fn problem(begins: &str, output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let refused = text.contains("urn:probity:error:");
    let sound = output.status.success() && text.starts_with(begins) && !refused;
    (!sound)
        .then(|| format!("{} {text:.300} {:.600}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// What the samples in Rust say they need. Nobody asks for TLS here.
const RUST: &str = "[package]\nname = \"samples\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n\
                    [dependencies]\nreqwest = { version = \"0.12\", default-features = false, features = [\"blocking\"] }\n";

/// Builds the samples in Rust, all at once, in a folder of the cache; answers where
/// the programs are. None, with the reason printed, when what they need cannot be had.
///
/// # Errors
/// What the compiler says of them.
fn built(sources: &[(&str, String)]) -> Result<Option<PathBuf>, String> {
    let home = cache("samples-rust");
    let programs = home.join("src/bin");
    let _ = std::fs::remove_dir_all(&programs);
    std::fs::create_dir_all(&programs).expect("the cache folder");
    std::fs::write(home.join("Cargo.toml"), RUST).expect("a file");
    for (name, source) in sources {
        std::fs::write(programs.join(format!("{name}.rs")), source).expect("a file");
    }
    let cargo = |args: &[&str]| {
        let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        command.args(args).current_dir(&home).env("CARGO_TARGET_DIR", home.join("target"));
        command.env_remove("RUSTFLAGS").env_remove("RUSTC_WORKSPACE_WRAPPER").output().expect("cargo")
    };
    let fetched = cargo(&["fetch", "--quiet"]);
    if !fetched.status.success() {
        println!("samples in Rust SKIPPED: {}", String::from_utf8_lossy(&fetched.stderr));
        return Ok(None);
    }
    let output = cargo(&["build", "--quiet"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(Some(home.join("target/debug"))) } else { Err(said) }
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
    let mut sources = Vec::new();
    for shape in SHAPES {
        let source = operations[shape]["x-codeSamples"][5]["source"].as_str().expect("a sample in Rust");
        let source = stand.with_real_ids(shape, source).await;
        let method = shape.rsplit('_').next().unwrap_or_default();
        sources.push((shape, source.replace(&format!("{method}-1"), &format!("{method}-Rust"))));
    }
    match built(&sources) {
        Err(said) => wrong.push(format!("the samples in Rust do not compile: {said}")),
        Ok(None) => {}
        Ok(Some(programs)) => {
            for (shape, source) in &sources {
                let mut command = Command::new(programs.join(shape));
                command.env("PROBITY_URL", &at.0).env("PROBITY_TOKEN", &at.1);
                let said = problem("200 OK", &command.output().expect("it runs"));
                wrong.extend(said.map(|why| format!("{shape} in Rust: {why}\n{source}\n")));
                *ran.entry("Rust").or_insert(0) += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("samples that ran: {ran:?}");
    platform.stop().await;
}
