//! The protocol of ownership, explored exhaustively: every interleaving of the
//! statements of some replicas, with crashes, pauses, wrong clocks and commits
//! nobody waits for any more.
//!
//! What it shows: a shard's turns are taken by the log that has the shard and by no
//! other, none that was answered is lost, a sealed log takes nothing, and from
//! every moment one replica alone comes by every shard and every log left to relay.
//! Each rule of the protocol is then switched off, and the model must find out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod database;
mod explore;
mod protocol;
mod world;

use explore::{Found, explore};
use protocol::Rules;
use world::Bounds;

/// Two replicas: enough for every hole that was ever found.
const SHORT: Bounds = Bounds { replicas: 2, logs: 3, turns: 1, losses: 1, releases: 1 };
fn bounds() -> Vec<Bounds> {
    match std::env::var("PROBITY_MODEL").as_deref() {
        // Some 3,600,000 moments; half a minute of an optimised build.
        Ok("whole") => vec![
            SHORT,
            Bounds { turns: 2, releases: 0, ..SHORT },
            Bounds { replicas: 3, losses: 0, releases: 0, ..SHORT },
        ],
        _ => vec![Bounds { releases: 0, ..SHORT }],
    }
}

#[test]
fn no_interleaving_breaks_the_protocol() {
    for bounds in bounds() {
        let found = explore(bounds, Rules::SHIPPED);
        println!("{bounds:?}: {} moments, {} with a stale write refused", found.moments, found.refused);
        assert_eq!(found.problem, None, "{}", found.trace.join("\n"));
        assert!(found.refused > 0, "a stale owner must have tried");
    }
}

/// Without a rule the model must find the problem that the rule is there for.
fn check(without: &str, rules: Rules, expect: &str) {
    let Found { problem, trace, .. } = explore(SHORT, rules);
    let problem = problem.unwrap_or_else(|| panic!("nothing is wrong without {without}"));
    assert!(problem.contains(expect), "without {without}: {problem}\n{}", trace.join("\n"));
    println!("without {without}: {problem}, in {} steps", trace.len());
}

#[test]
fn every_rule_is_needed() {
    let rules = Rules::SHIPPED;
    check("sealing", Rules { seal_takes_a_position: false, ..rules }, "is sealed and took a turn");
    check("the sealer's renewal", Rules { sealer_renews: false, ..rules }, "never relayed");
    check("the claimer's renewal", Rules { claimer_renews: false, ..rules }, "nobody can have");
    check("new numbers", Rules { numbers_are_new: false, ..rules }, "never relayed");
    check("answering last", Rules { answer_after_commit: false, ..rules }, "is lost");
}
