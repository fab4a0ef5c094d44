//! The program against a platform it started itself, as a new user would use it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROBITY: &str = env!("CARGO_BIN_EXE_probity");

/// A platform in a process of its own, on a folder of its own.
struct Platform {
    child: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
    dir: tempfile::TempDir,
}

impl Platform {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut child = Command::new(PROBITY)
            .args(["dev", "--port", "0", "--data"])
            .arg(dir.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("READY ").expect(&line).to_owned();
        Self { child, stdout, url, dir }
    }

    fn data(&self, path: &str) -> PathBuf {
        self.dir.path().join("data").join(path)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROBITY);
        command.args(args).env("PROBITY_SERVER", &self.url).env("PROBITY_TOKEN_FILE", self.data("token"));
        command
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Ran {
        Ran(self.command(args).output().unwrap())
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "the platform did not drain");
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut rest).unwrap();
        assert!(rest.contains("grpcurl -plaintext"), "{rest}");
    }
}

/// Tests that fail leave no process behind.
impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Ran(Output);

impl Ran {
    fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Checks the exit code and that all parts were printed, on either stream.
    #[track_caller]
    fn expect(self, code: i32, parts: &[&str]) -> Self {
        let all = self.out() + &self.err();
        assert_eq!(self.0.status.code(), Some(code), "{all}");
        for part in parts {
            assert!(all.contains(part), "{part:?} is not in:\n{all}");
        }
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.out(), self.err()))
    }

    fn json_lines(&self) -> Vec<Value> {
        self.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Everything about a case once it is final or waits.
fn settled(platform: &Platform, name: &str) -> Value {
    let begin = Instant::now();
    loop {
        let show = platform.run(&["case", "show", name, "-o", "json"]).expect(0, &[]).json();
        let case = &show["case"];
        let ended = ["CASE_STATE_RESOLVED", "CASE_STATE_FAILED", "CASE_STATE_CANCELLED"];
        if ended.iter().any(|state| case["state"] == *state) || !case["waiting"].is_null() {
            return show;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{case:#}");
    }
}

/// One platform, one walk: each part builds on the ones before.
#[test]
fn a_new_user_walks_through() {
    let platform = Platform::start();
    what_was_written(&platform);
    let (clean, suspect) = opens_cases(&platform);
    refuses_what_is_broken(&platform);
    shows_and_lists(&platform, &clean, &suspect);
    decides(&platform, &clean, &suspect);
    proves(&platform, &clean);
    guards(&platform, &suspect);
    workflows_and_watchlists(&platform);
    executions_and_schedules(&platform);
    tasks_and_dead_letters(&platform);
    people_log_in_and_out(&platform);
    platform.stop();
}

/// Without a token at hand: the session of a login serves the other commands.
fn people_log_in_and_out(platform: &Platform) {
    let password = platform.file("password", "correct horse battery\nnot read\n");
    let wrong = platform.file("wrong", "wrong horse battery");
    let short = platform.file("short", "short");
    let add = ["user", "add", "olga", "--roles", "officer", "--password-file"];
    let with = |args: &[&str], file: &Path| platform.run(&[args, &[text(file)]].concat());
    with(&add, &short).expect(1, &["GTW-0033", "12 to 256 characters"]);
    with(&add, &password).expect(0, &["users/olga", "officer", "enabled"]);
    with(&add, &password).expect(1, &["GTW-0029"]);
    let made = platform
        .run(&["user", "add", "paul", "--roles", "auditor", "--generate"])
        .expect(0, &["shown this once"]);
    assert_eq!(made.out().trim().len(), 24, "the password alone is on standard output");
    // Where no data/token is found.
    let home = platform.dir.path().join("olga");
    std::fs::create_dir(&home).unwrap();
    let as_olga = |args: &[&str]| {
        let mut command = platform.command(args);
        command
            .env_remove("PROBITY_TOKEN_FILE")
            .env("PROBITY_SESSION_FILE", platform.data("../sessions.json"));
        Ran(command.current_dir(&home).output().unwrap())
    };
    let login = |file: &Path| as_olga(&["login", "olga", "--password-file", text(file)]);
    as_olga(&["case", "list"]).expect(2, &["probity login"]);
    login(&wrong).expect(1, &["GTW-0027", "the account or the password is wrong"]);
    login(&password).expect(0, &["users/olga of default"]);
    as_olga(&["case", "list"]).expect(0, &[]);
    as_olga(&["user", "list"]).expect(1, &["GTW-0016"]);
    platform.run(&["user", "disable", "olga"]).expect(0, &["disabled"]);
    as_olga(&["case", "list"]).expect(1, &["GTW-0015"]);
    platform.run(&["user", "enable", "olga"]).expect(0, &["enabled"]);
    login(&password).expect(0, &[]);
    platform.run(&["key", "rotate"]).expect(0, &["announced", "signing"]);
    as_olga(&["case", "list"]).expect(0, &[]);
    as_olga(&["logout"]).expect(0, &["logged out"]);
    as_olga(&["case", "list"]).expect(2, &["probity login"]);
}

fn what_was_written(platform: &Platform) {
    let token = platform.data("token");
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(platform.data("samples/manifest.json").exists());
    let second = Command::new(PROBITY).args(["dev", "--port", "0", "--data"]).arg(platform.data("")).output();
    Ran(second.unwrap()).expect(1, &["in use by another platform"]);
}

/// Opens a clean and a suspect tender; the same again opens nothing new.
fn opens_cases(platform: &Platform) -> (String, String) {
    let open = |file: &str| {
        let file = platform.data("samples/tenders").join(file);
        platform.run(&["case", "open", "--kind", "tender", text(&file), "-o", "json"]).expect(0, &[]).json()
    };
    let clean = open("tender-002.json");
    let suspect = open("tender-001.json");
    assert_eq!(open("tender-002.json")["name"], clean["name"]);
    assert_ne!(clean["name"], suspect["name"]);
    for kind in ["payment", "message", "report"] {
        let folder = platform.data(&format!("samples/{kind}s"));
        let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        platform
            .run(&["case", "open", "--kind", kind, "--key", &format!("k-{kind}"), text(&file)])
            .expect(0, &["opened 1, refused 0 of 1 items", "cases/case_"]);
    }
    let name = |case: &Value| case["name"].as_str().unwrap().to_owned();
    (name(&clean), name(&suspect))
}

fn refuses_what_is_broken(platform: &Platform) {
    let lines = ["{\"ocid\":\"ocds-x-1\"}", "{\"ocid\":", "[[", "{\"ocid\":\"ocds-x-2\"}"].join("\n");
    let file = platform.file("mixed.jsonl", lines);
    let file = text(&file);
    let empty = platform.file("empty.json", "");
    let latin = platform.file("latin.json", b"{\"ocid\":\"caf\xe9\"}");
    platform
        .run(&["case", "open", "--kind", "tender", file, text(&empty), text(&latin), "/nowhere.json"])
        .expect(
            1,
            &[
                "mixed.jsonl:2: refused: the line ends in the middle",
                "mixed.jsonl:3: refused: ",
                "empty.json:1: refused: the file is empty",
                "latin.json:1: refused: is not UTF-8",
                "/nowhere.json: refused: cannot be read",
                "opened 2, refused 5 of 7 items",
            ],
        );
    platform.run(&["case", "open", "--kind", "tender"]).expect(2, &["FILE"]);
}

fn shows_and_lists(platform: &Platform, clean: &str, suspect: &str) {
    let show = settled(platform, clean);
    assert_eq!(show["case"]["state"], "CASE_STATE_RESOLVED", "{show:#}");
    assert_eq!(show["findings"].as_array().unwrap().len(), 0);
    let show = settled(platform, suspect);
    assert_eq!(show["findings"][0]["rule"], "R018", "{show:#}");
    assert!(!show["case"]["waiting"].is_null(), "{show:#}");
    assert!(!show["history"].as_array().unwrap().is_empty());
    let id = suspect.strip_prefix("cases/").unwrap();
    platform
        .run(&["case", "show", id])
        .expect(0, &[suspect, "Findings (1)", "R018", "Policies say", "History"]);
    platform.run(&["case", "show", clean, "--watch"]).expect(0, &["resolved", "→"]);
    let listed = platform.run(&["case", "list", "--all", "-o", "json"]).expect(0, &[]).json_lines();
    assert_eq!(listed.len(), 7);
    platform
        .run(&["case", "list", "--state", "resolved", "--kind", "tender"])
        .expect(0, &["resolved", "tender"]);
    let waiting = platform.run(&["case", "list", "--waiting", "-o", "json"]).expect(0, &[]).json_lines();
    assert!(waiting.iter().any(|case| case["name"] == suspect));
}

/// The administrator closes a case that waits; deciding it otherwise is refused.
fn decides(platform: &Platform, clean: &str, suspect: &str) {
    let close = ["case", "close", suspect, "--disposition", "confirmed", "--note", "seen on site"];
    platform.run(&close).expect(0, &["resolved", "confirmed"]);
    let other = ["case", "close", suspect, "--disposition", "false-positive"];
    platform.run(&other).expect(1, &["error: "]);
    let ended = ["case", "close", clean, "--disposition", "confirmed"];
    platform.run(&ended).expect(1, &["could not close the case", "FAILED_PRECONDITION", "request  "]);
    platform.run(&["case", "cancel", "case_nothing", "--reason", "r"]).expect(1, &["could not cancel"]);
}

fn proves(platform: &Platform, clean: &str) {
    let file = platform.dir.path().join("receipt.json");
    let begin = Instant::now();
    // The log follows within moments.
    while platform.run(&["audit", "receipt", clean, "--out", text(&file)]).0.status.code() != Some(0) {
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
    let key = platform.run(&["audit", "checkpoint", "-o", "json"]).expect(0, &[]).json();
    let key = key["logKey"]["verifierKey"].as_str().unwrap().to_owned();
    let offline = |args: &[&str]| {
        Ran(Command::new(PROBITY)
            .args(["audit", "verify", text(&file), "--offline"])
            .args(args)
            .output()
            .unwrap())
    };
    offline(&[]).expect(0, &["verified", clean, "compare it with the log's"]);
    offline(&["--key", &key]).expect(0, &["verified", "pinned key"]);
    offline(&["--key", "nonsense"]).expect(2, &["verifier key"]);
    platform.run(&["audit", "verify", text(&file)]).expect(0, &["verified", "pinned key"]);
    let receipt = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, receipt.replace(clean, "cases/case_other")).unwrap();
    offline(&["--key", &key]).expect(1, &["does not hold"]);
    platform.run(&["audit", "check"]).expect(0, &["intact"]);
}

fn guards(platform: &Platform, case: &str) {
    let issue = ["token", "issue", "--actor", "ana", "--roles", "submitter", "--ttl", "30m"];
    let token = platform.run(&issue).expect(0, &["valid until"]).out();
    let submitter = platform
        .command(&["case", "close", case, "--disposition", "inconclusive"])
        .env("PROBITY_TOKEN", token.trim())
        .output();
    Ran(submitter.unwrap()).expect(1, &["PERMISSION_DENIED", "probity token issue"]);
    let nobody = platform.command(&["case", "list"]).env("PROBITY_TOKEN", "a.b.c").output();
    Ran(nobody.unwrap()).expect(1, &["UNAUTHENTICATED", "--token-file"]);
    let dead = ["case", "list", "--server", "http://127.0.0.1:1", "--retry-for", "0"];
    platform.run(&dead).expect(1, &["is the platform running at http://127.0.0.1:1"]);
    let none = ["case", "list", "--token-file", "/nowhere"];
    platform.run(&none).expect(2, &["cannot be read", "probity dev"]);
}

fn workflows_and_watchlists(platform: &Platform) {
    let listed = platform.run(&["workflow", "list", "-o", "json"]).expect(0, &[]).json_lines();
    assert!(listed.len() >= 4, "{listed:?}");
    let name = listed[0]["name"].as_str().unwrap();
    let source = platform.run(&["workflow", "show", name]).expect(0, &[]).out();
    let good = platform.file("good.yaml", &source);
    platform.run(&["workflow", "lint", text(&good)]).expect(0, &["good.yaml", "0 errors"]);
    platform.run(&["workflow", "register", text(&good)]).expect(0, &["registered as", name]);
    let bad = platform.file("bad.yaml", "name: broken\nsteps:\n  - id: a\n    needs: [a]\n");
    platform.run(&["workflow", "lint", text(&bad)]).expect(1, &["bad.yaml:", "error"]);
    platform.run(&["workflow", "register", text(&bad)]).expect(1, &["could not register the definition"]);

    platform.run(&["watchlist", "list"]).expect(0, &["no watchlists are loaded"]);
    let entries = "9001,\"NEFARIOUS HOLDINGS\",\"-0-\",\"TEST\",\"-0-\",\"-0-\",\"-0-\",\"-0-\",\"-0-\",\"-0-\",\"-0-\",\"-0-\"\n";
    let entries = platform.file("sdn.csv", entries);
    platform.run(&["watchlist", "import", "test-list", text(&entries)]).expect(0, &["test-list"]);
    platform.run(&["watchlist", "list"]).expect(0, &["test-list", "1"]);
}

/// Goes on when it is told.
const PATIENT: &str = "name: patient
steps:
  - {id: first, wait: {timer: 1ms}}
  - {id: second, needs: [first], wait: {signal: go}}
output: {number: input.number}
";

fn executions_and_schedules(platform: &Platform) {
    let file = platform.file("patient.yaml", PATIENT);
    platform.run(&["workflow", "register", text(&file)]).expect(0, &["registered as"]);
    let start = ["execution", "start", "patient", "--input", "{\"number\": 7}", "--key", "e-1", "--json"];
    let started = platform.run(&start).expect(0, &[]).json();
    let again = platform.run(&start).expect(0, &[]).json();
    assert_eq!(started["name"], again["name"], "the same key is the same execution");
    let name = started["name"].as_str().unwrap();
    platform
        .run(&["execution", "list", "--filter", "definition = patient"])
        .expect(0, &["EXECUTION", "patient"]);
    platform.run(&["execution", "list", "--filter", "colour = 1"]).expect(1, &["colour", "filter"]);
    platform.run(&["execution", "pause", name, "--reason", "lunch"]).expect(0, &["paused"]);
    platform.run(&["execution", "resume", name]).expect(0, &["patient"]);
    platform.run(&["execution", "signal", name, "go", "--payload", "{"]).expect(2, &["is no JSON"]);
    platform.run(&["execution", "signal", name, "go"]).expect(0, &["patient"]);
    // Ends when the execution does.
    platform.run(&["execution", "watch", name]).expect(0, &["execution.started", "second"]);
    let whole = platform.run(&["execution", "get", name, "--json"]).expect(0, &[]).json();
    assert_eq!(whole["output"], serde_json::json!({"number": 7}));
    platform.run(&["execution", "get", name]).expect(0, &["completed", "second", "{\"number\""]);
    platform.run(&["execution", "history", name]).expect(0, &["execution.started", "first"]);
    platform.run(&["execution", "gantt", name]).expect(0, &["first", "█", "completed"]);
    let svg = platform.data("gantt.svg");
    platform.run(&["execution", "gantt", name, "--out", text(&svg)]).expect(0, &["written"]);
    assert!(std::fs::read_to_string(&svg).unwrap().contains("<svg"));
    platform.run(&["execution", "graph", name, "--as", "mermaid"]).expect(0, &["flowchart"]);
    platform.run(&["execution", "count"]).expect(0, &["completed", "all"]);
    platform.run(&["execution", "cancel", name, "--reason", "late"]).expect(1, &["could not cancel"]);

    let create = ["schedule", "create", "nightly", "--definition", "patient", "--timing", "30 2 * * *"];
    let with = ["--zone", "Europe/Vienna", "--input", "{\"number\": 1}"];
    platform.run(&[&create[..], &with[..]].concat()).expect(0, &["nightly", "30 2 * * *"]);
    platform.run(&create).expect(1, &["ORC-0047"]);
    platform.run(&["schedule", "trigger", "nightly"]).expect(0, &["triggered", "exec_"]);
    platform.run(&["schedule", "update", "nightly", "--timing", "@hourly"]).expect(0, &["@hourly"]);
    platform.run(&["schedule", "update", "nightly"]).expect(2, &["say what to change"]);
    platform.run(&["schedule", "pause", "nightly"]).expect(0, &["paused"]);
    platform.run(&["schedule", "get", "nightly"]).expect(0, &["patient", "Europe/Vienna", "triggered"]);
    platform.run(&["schedule", "list"]).expect(0, &["nightly"]);
    let runs = platform.run(&["schedule", "runs", "nightly", "--json"]).expect(0, &[]).json_lines();
    assert_eq!((runs.len(), &runs[0]["triggered"]), (1, &Value::Bool(true)));
    platform.run(&["schedule", "preview", "@daily", "--count", "2"]).expect(0, &["00:00:00 UTC"]);
    platform.run(&["schedule", "delete", "nightly"]).expect(0, &["nightly"]);
    platform.run(&["schedule", "list"]).expect(0, &["no schedules"]);
}

fn tasks_and_dead_letters(platform: &Platform) {
    let enqueue = ["task", "enqueue", "mail", "--queue", "mails", "--payload", "{\"to\": \"ana\"}", "--json"];
    let task = platform.run(&enqueue).expect(0, &[]).json();
    let name = task["name"].as_str().unwrap();
    platform.run(&["task", "get", name]).expect(0, &["mails", "queued", "{\"to\":\"ana\"}"]);
    platform.run(&["task", "list", "--filter", "queue = mails"]).expect(0, &["mail"]);
    platform.run(&["queue", "list"]).expect(0, &["mails"]);
    platform.run(&["queue", "update", "mails", "--rate", "5/1m"]).expect(0, &["5 in 60 s"]);
    platform.run(&["queue", "pause", "mails"]).expect(0, &["paused"]);
    platform.run(&["queue", "resume", "mails"]).expect(0, &["mails"]);
    platform.run(&["task", "cancel", name, "--reason", "by hand"]).expect(0, &["cancelled"]);
    platform.run(&["deadletter", "list"]).expect(0, &["no dead letters"]);
    platform.run(&["deadletter", "get", "exec_00000000000000000000000000000000.a"]).expect(1, &["ORC-0040"]);
    platform.run(&["deadletter", "patterns"]).expect(0, &["0 dead letters, 0 open"]);
    platform.run(&["deadletter", "requeue", "--filter", "peer = intake", "--dry-run"]).expect(0, &["0 of 0"]);
    platform.run(&["deadletter", "clear", "--dry-run"]).expect(0, &["0 would be deleted"]);
}

fn demo(data: &Path) -> Command {
    let mut command = Command::new(PROBITY);
    command.args(["demo", "--exit", "--port", "0", "--data"]).arg(data).stdout(Stdio::piped());
    command
}

/// A second run goes on with the same cases, also after a kill in the middle.
#[test]
fn a_demonstration_goes_on_where_it_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("demo");
    let mut first = demo(&data).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    let cases = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("opened ")));
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(cases.unwrap().unwrap().starts_with("opened 16 cases"));

    let ran = Ran(demo(&data).output().unwrap())
        .expect(0, &["opened 16 cases", "verified offline", "READY http://"]);
    let table = ran.out();
    let rows = table.lines().filter(|line| line.trim_start().starts_with("case_")).count();
    assert_eq!(rows, 16, "{table}");
    Ran(demo(&data).output().unwrap()).expect(0, &["verified offline"]);
    let receipts = std::fs::read_dir(data.join("receipts")).unwrap().count();
    assert_eq!(receipts, 1);
}
