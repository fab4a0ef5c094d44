//! The core in a hostile world (`support/world.rs`): thousands of lives, each made
//! from a seed. The same seed leaves the same trace.
//!
//! `PROBITY_SIM_SEEDS` sets how many seeds are run (10,000 by default).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(missing_docs, unreachable_pub, dead_code)]

mod support;

use probity_engine::definition::Definition;
use probity_engine::fact::Ending;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use support::flows::{CASE, FLOW, case, items, plain};
use support::world::World;
use support::{EVERYTHING, definition};

/// One life; which definition it is of follows from the seed.
fn live(seed: u64, definitions: &[Arc<Definition>]) -> (Ending, String) {
    let which = usize::try_from(seed).unwrap() % definitions.len();
    let opening = if which == 1 { plain(items(u32::try_from(seed % 7).unwrap())) } else { case() };
    let mut world = World::new(seed, &definitions[which], opening);
    world.live(60);
    let trace = serde_json::to_vec(&world.journal).unwrap();
    (world.execution.ended.unwrap(), hex::encode(Sha256::digest(trace)))
}

fn definitions() -> Vec<Arc<Definition>> {
    [EVERYTHING, FLOW, CASE].into_iter().map(definition).collect()
}

/// How the lives of these seeds end, with which definition each was of.
fn lives(seeds: impl Iterator<Item = u64>, definitions: &[Arc<Definition>]) -> Vec<(u64, Ending)> {
    let life = |seed| {
        let life = catch_unwind(AssertUnwindSafe(|| live(seed, definitions)));
        (seed % 3, life.unwrap_or_else(|_| panic!("seed {seed}")).0)
    };
    seeds.map(life).collect()
}

#[test]
fn no_seed_breaks_an_invariant() {
    let seeds = std::env::var("PROBITY_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let definitions = definitions();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let ends = std::thread::scope(|scope| {
        let lives = |first| lives((first..seeds).step_by(threads), &definitions);
        let lives: Vec<_> = (0..threads as u64).map(|first| scope.spawn(move || lives(first))).collect();
        lives
            .into_iter()
            .flat_map(|lives| lives.join().expect("no seed may break an invariant"))
            .collect::<Vec<_>>()
    });
    let mut count: HashMap<(u64, Ending), u32> = HashMap::new();
    ends.into_iter().for_each(|end| *count.entry(end).or_default() += 1);
    let ends = count;
    println!("{seeds} seeds: {ends:?}");
    for which in 0..3 {
        for end in [Ending::Completed, Ending::Failed, Ending::Cancelled] {
            // The officers' definition has no way to fail by itself.
            let possible = which != 2 || end != Ending::Failed;
            let seen = ends.contains_key(&(which, end));
            assert!(
                seen || !possible || seeds < 1_000,
                "no life of {which} ended {end:?}: the world is too narrow"
            );
        }
    }
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    let definitions = definitions();
    for seed in 0..60 {
        assert_eq!(live(seed, &definitions), live(seed, &definitions));
    }
}
