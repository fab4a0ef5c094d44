//! Every parser of outside bytes, fed its seeds and mutations of them: the same
//! ones in every run of `make test`, others for `PROBITY_FUZZ_SECONDS` each.

use probity_tests::fuzz::{Length, TARGETS, feed, target};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Mutations in a run of `make test`.
const RUNS: u64 = 2_000;
/// The longest an input of 16 KiB may take: far more than any does, far less than
/// would hold a service up. Debug builds on a crowded machine included.
const LONGEST: Duration = Duration::from_secs(5);

fn stands(name: &str) {
    let target = target(name).unwrap();
    let (seed, length) = match std::env::var("PROBITY_FUZZ_SECONDS") {
        Ok(seconds) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            (now.as_secs(), Length::Time(Duration::from_secs(seconds.parse().unwrap())))
        }
        Err(_) => (1, Length::Runs(RUNS)),
    };
    let begun = Instant::now();
    println!("{name}: seed {seed}");
    let fed = feed(target, seed, length);
    let took = begun.elapsed();
    println!("{name}: {} inputs in {took:.1?}, the slowest in {:.1?}", fed.inputs, fed.slowest);
    assert!(fed.slowest < LONGEST, "{name}: an input took {:?}", fed.slowest);
}

macro_rules! parsers {
    ($($name:ident)*) => {
        $(#[test] fn $name() { stands(stringify!($name)); })*

        #[test]
        fn no_target_is_forgotten() {
            let names = TARGETS.map(|target| target.name);
            assert_eq!([$(stringify!($name)),*], names);
            let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
            let listed = std::fs::read_to_string(programs.join("Cargo.toml")).unwrap();
            for name in names {
                let program = std::fs::read_to_string(programs.join(format!("fuzz_targets/{name}.rs"))).unwrap();
                assert!(program.contains(&format!("target!(\"{name}\")")), "fuzz/fuzz_targets/{name}.rs");
                assert!(listed.contains(&format!("name = \"{name}\"")), "{name} is no program of fuzz/Cargo.toml");
            }
        }
    };
}

parsers! {
    tender payment report mime watchlist document transcoder token definition cel filter schedule checkpoint
    receipt export policy refresh value
}
