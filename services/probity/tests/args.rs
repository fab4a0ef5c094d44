//! The command line: what is understood and what is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use clap::{CommandFactory as _, Parser as _};
use probity_cli::args::Cli;

#[test]
fn the_definition_of_the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_is_told_apart_from_right() {
    let check = |line: &str, fits: bool| {
        let parsed = Cli::try_parse_from(line.split_whitespace());
        assert_eq!(parsed.is_ok(), fits, "{line}: {parsed:?}");
    };
    check("probity dev", true);
    check("probity dev --port 0 --data /x --no-samples", true);
    check("probity dev --port 70000", false);
    check("probity up --port 0 --data /x --config c.toml", true);
    check("probity service intake --listen 127.0.0.1:0", true);
    check("probity demo --exit --port 0", true);
    check("probity case open --kind tender a.json b.json", true);
    check("probity case open --kind tender", false);
    check("probity case open --kind invoice a.json", false);
    check("probity case open a.json", false);
    check("probity case open --kind report a.txt --jobs 0", false);
    check("probity case open --kind report a.txt --key K-1 --subject S", true);
    check("probity case list --state resolved --waiting --all -o json", true);
    check("probity case -o json list", true);
    check("probity case list -o yaml", false);
    check("probity case show case_1 --watch --server http://x:1", true);
    check("probity case close case_1 --disposition false-positive --note n", true);
    check("probity case close case_1", false);
    check("probity case cancel case_1", false);
    check("probity audit verify r.json --offline --key k", true);
    check("probity audit verify r.json --key k --key-file f", false);
    check("probity token issue --actor ana --roles officer,auditor --ttl 8h", true);
    check("probity token issue --actor ana --roles root", false);
    check("probity login olga --tenant t2 --password-file - --server http://x:1", true);
    check("probity login olga --password secret", false);
    check("probity user add olga --roles officer,auditor --generate", true);
    check("probity user add olga --roles officer --generate --password-file f", false);
    check("probity user add olga", false);
    check("probity user password olga --tenant t2", true);
    check("probity key rotate --at-once", true);
    check("probity token issue --actor ana --roles officer --ttl soon", false);
    check("probity workflow lint f.yaml g.yaml --watch --deny-warnings", true);
    check("probity workflow lint", false);
    check("probity workflow dry-run f.yaml --input {} --answer a=1", true);
    check("probity workflow dry-run f.yaml --answer a", false);
    check("probity workflow simulate f.yaml --seed 7 --fail a=2:BUSY! --takes b=90s --faults 30", true);
    check("probity workflow simulate f.yaml --faults 100", false);
    check("probity workflow schema", true);
    check("probity workflow render f.yaml --as dot", true);
    check("probity execution list --filter x --all --json", true);
    check("probity execution list --json -o table", false);
    check("probity execution start d --input @f --priority high --key k --wait 30s", true);
    check("probity execution start d --wait soon", false);
    check("probity execution cancel e", false);
    check("probity execution cancel e --reason r", true);
    check("probity execution signal e go --payload {}", true);
    check("probity execution fork e s --input -", true);
    check("probity execution gantt e --out g.svg", true);
    check("probity task enqueue mail --queue q --delay 10m --unique u", true);
    check("probity queue update q --rate 100/1s --max-running 0", true);
    check("probity queue update q --rate fast", false);
    check("probity deadletter requeue l --payload {}", true);
    check("probity deadletter requeue --filter x --limit 9 --dry-run", true);
    check("probity deadletter requeue", false);
    check("probity deadletter requeue l --filter x", false);
    check("probity deadletter requeue l --dry-run", false);
    check("probity deadletter discard l", false);
    check("probity schedule create s --definition d --timing @daily --overlap buffer-one", true);
    check("probity schedule create s --definition d", false);
    check("probity schedule update s --note n", true);
    check("probity schedule preview @daily --zone Europe/Vienna --count 3", true);
    check("probity watchlist import ofac-sdn sdn.csv --aliases alt.csv", true);
    check("probity samples generate dir --seed 7 --rows 19", false);
    check("probity samples generate dir --seed 7 --rows 100000", true);
    check("probity", false);
    check("probity fly", false);
}

#[test]
fn keys_are_limited() {
    let check = |text: &str, fits: bool| {
        let line = ["probity", "case", "open", "--kind", "report", "a.txt", "--key", text];
        assert_eq!(Cli::try_parse_from(line).is_ok(), fits, "{text}");
    };
    check("demo-1", true);
    check("", false);
    check("two words", false);
    check("ü", false);
    check(&"k".repeat(112), true);
    check(&"k".repeat(113), false);
}

/// The defaults are given to the allocator as it is compiled (`.cargo/config.toml`), where a build from elsewhere would
/// miss them in silence.
#[test]
fn the_allocator_has_the_defaults_it_was_measured_with() {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_probity"))
        .arg("--version")
        .env("_RJEM_MALLOC_CONF", "stats_print:true")
        .output()
        .unwrap();
    let said = String::from_utf8(program.stderr).unwrap();
    for option in ["narenas: 2", "background_thread: true", "dirty_decay_ms: 100", "thp: \"never\""] {
        assert!(said.contains(&format!("opt.{option}")), "{option}: {said}");
    }
}
