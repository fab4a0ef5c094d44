//! Breadth first through every moment, so that what is found is found in the
//! fewest steps; and from each moment, whether one replica alone can put all right.

use super::database::SHARDS;
use super::protocol::{Program, Rules};
use super::world::{Action, Bounds, World};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Steps a survivor may take to put everything right; far more than it needs.
const PATIENCE: usize = 400;

/// What the exploration found.
#[derive(Debug, Default)]
pub struct Found {
    pub moments: usize,
    /// Moments in which a stale owner had been refused.
    pub refused: usize,
    pub problem: Option<String>,
    /// How it came to it.
    pub trace: Vec<String>,
}

/// 128 bits tell moments apart: two of them alike among 10^8 is one in 10^22.
fn print_of(world: &World) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        world.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Visits every moment that can come about.
pub fn explore(bounds: Bounds, rules: Rules) -> Found {
    let start = World::new(bounds);
    let mut came_from: HashMap<u128, (u128, String)> = HashMap::new();
    came_from.insert(print_of(&start), (0, String::new()));
    let mut recovered = HashSet::new();
    let mut queue = VecDeque::from([start]);
    let mut found = Found::default();
    while let Some(world) = queue.pop_front() {
        found.moments += 1;
        found.refused += usize::from(world.refused);
        let problem = world.problem().or_else(|| stuck(&world, rules, &mut recovered));
        if let Some(problem) = problem {
            found.problem = Some(problem);
            found.trace = trace(&came_from, print_of(&world));
            return found;
        }
        let here = print_of(&world);
        for action in world.actions(bounds) {
            let Some(next) = world.after(&action, rules) else { continue };
            came_from.entry(print_of(&next)).or_insert_with(|| {
                queue.push_back(next);
                (here, format!("{action:?}"))
            });
        }
    }
    found
}

fn trace(came_from: &HashMap<u128, (u128, String)>, mut at: u128) -> Vec<String> {
    let mut steps = Vec::new();
    while let Some((before, action)) = came_from.get(&at).filter(|(before, _)| *before != 0) {
        steps.push(action.clone());
        at = *before;
    }
    steps.reverse();
    steps
}

/// Whether some replica, left alone, never comes by everything.
fn stuck(world: &World, rules: Rules, recovered: &mut HashSet<u128>) -> Option<String> {
    (0..world.replicas.len()).find_map(|survivor| recover(world.left_to(survivor), rules, recovered))
}

/// Lets a replica put everything right. `recovered` are moments from which that
/// has gone well before.
fn recover(mut alone: World, rules: Rules, recovered: &mut HashSet<u128>) -> Option<String> {
    let mut way = Vec::new();
    for _ in 0..PATIENCE {
        let here = print_of(&alone);
        way.push(here);
        let next = if recovered.contains(&here) { None } else { sensible(&alone, rules) };
        match next {
            Some(next) => alone = next,
            None if recovered.contains(&here) => break,
            None => match missing(&alone) {
                None => break,
                problem => return problem,
            },
        }
    }
    if way.len() == PATIENCE {
        return Some("a replica alone goes round in circles: there are shards nobody can have".to_owned());
    }
    recovered.extend(way);
    None
}

/// What a replica alone does next; none when there is nothing left that it can do.
fn sensible(alone: &World, rules: Rules) -> Option<World> {
    let bounds = Bounds { replicas: 1, logs: u8::MAX, turns: 0, losses: 0, releases: 0 };
    let actions = alone.actions(bounds);
    let next = actions.iter().filter_map(|action| Some((action, alone.after(action, rules)?)));
    // What changes nothing, such as a seal that fails again and again, is no way out.
    next.filter(|(action, next)| !is_vain(alone, action, next, rules)).map(|(_, next)| next).next()
}

fn is_vain(alone: &World, action: &Action, next: &World, rules: Rules) -> bool {
    let Action::Starts(_, program) = action else { return false };
    if matches!(program, Program::Turn { .. } | Program::Release { .. }) {
        return true;
    }
    let mut end = next.clone();
    while end.replicas[0].transaction.is_some() {
        let steps = [Action::Goes(0), Action::Commits(0)];
        match steps.iter().find_map(|step| end.after(step, rules)) {
            Some(later) => end = later,
            None => return true,
        }
    }
    end.db == alone.db && end.replicas[0].log == alone.replicas[0].log
}

fn missing(alone: &World) -> Option<String> {
    let me = alone.replicas[0].log;
    if let Some(shard) = (0..SHARDS).find(|s| alone.db.shards[*s] != me) {
        let log = alone.db.shards[shard];
        return Some(format!("shard {shard} points at log {log}: nobody can have it"));
    }
    let left = |log: &u8| alone.db.log(*log).exists && *log != me;
    alone.db.numbers().find(left).map(|log| format!("log {log} is never relayed to its end"))
}
