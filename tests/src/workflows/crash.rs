//! SIGKILL of the server amid executions: how long until all are done, and what
//! was done twice.

use super::Engine;
use super::driver::{Line, Steps, Target};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Callers that start executions and wait for them.
const CALLERS: usize = 64;
/// Steps of one execution.
const STEPS: usize = 4;
/// How long a step takes, so that many are under way at the kill.
const DELAY_MS: u64 = 20;
/// How long everything may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What a crash showed.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    /// From the kill until the server was ready again, in seconds.
    pub ready_s: f64,
    /// From the kill until every execution was done, in seconds.
    pub done_s: f64,
    /// Attempts of steps beyond one each.
    pub repeated: usize,
    /// Steps whose attempts went by different idempotency keys, so that a receiver
    /// could not have told them apart.
    pub doubled: usize,
    /// Executions without a result in the end.
    pub lost: usize,
}

/// Starts `executions`, kills the server when half of the steps were begun, starts
/// it again at once, and waits for every result.
pub async fn crash(engine: &mut Engine, executions: usize) -> Crash {
    let steps = Steps { delay_ms: DELAY_MS, log: true };
    std::fs::write(engine.effects(), "").expect("an empty file of effects");
    let keys: Rc<Vec<String>> = Rc::new((0..executions).map(|n| format!("crash{n}")).collect());
    let target = engine.target().clone();
    let starting = tokio::task::spawn_local(each(target.clone(), keys.clone(), steps, false));
    let begun = Instant::now();
    while attempts(engine.effects()) < executions * STEPS / 2 && begun.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let killed = Instant::now();
    engine.kill().await;
    engine.restart().await;
    let ready_s = killed.elapsed().as_secs_f64();
    starting.await.expect("the callers");
    let lost = each(target, keys, steps, true).await;
    let done_s = killed.elapsed().as_secs_f64();
    let (repeated, doubled) = count(engine.effects());
    Crash { ready_s, done_s, repeated, doubled, lost }
}

/// Starts every execution, or waits for every result; tries again while nobody
/// answers. Answers how many had no success in time.
async fn each(target: Target, keys: Rc<Vec<String>>, steps: Steps, wait: bool) -> usize {
    let next = Rc::new(Cell::new(0));
    let callers = (0..CALLERS).map(|_| {
        let (target, keys, next) = (target.clone(), keys.clone(), next.clone());
        tokio::task::spawn_local(async move {
            let mut line = Line::new(&target);
            let mut lost = 0;
            while let Some(key) = keys.get(next.replace(next.get() + 1)) {
                lost += usize::from(!settle(&target, &mut line, key, steps, wait).await);
            }
            lost
        })
    });
    futures::future::join_all(callers).await.into_iter().map(|lost| lost.expect("a caller")).sum()
}

async fn settle(target: &Target, line: &mut Line<'_>, key: &str, steps: Steps, wait: bool) -> bool {
    let call = if wait { (target.attach)(key, steps) } else { (target.send)(key, steps) };
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        match line.call(&call).await {
            Ok(body) if !wait || (target.is_done)(&body) => return true,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    false
}

fn attempts(effects: &Path) -> usize {
    std::fs::read(effects).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
}

/// Lines are `key,execution,step`, one an attempt. How many attempts there were
/// beyond one a step, and how many keys.
fn count(effects: &Path) -> (usize, usize) {
    let text = std::fs::read_to_string(effects).unwrap_or_default();
    let steps: BTreeSet<&str> =
        text.lines().filter_map(|line| line.split_once(',')).map(|(_, step)| step).collect();
    let keys: BTreeSet<&str> =
        text.lines().filter_map(|line| line.split_once(',')).map(|(key, _)| key).collect();
    (text.lines().count() - steps.len(), keys.len().saturating_sub(steps.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_and_keys_are_counted() {
        let check = |text: &str, expect: (usize, usize)| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("effects");
            std::fs::write(&file, text).unwrap();
            assert_eq!(count(&file), expect, "{text:?}");
        };
        check("", (0, 0));
        check("k1,c1,a\nk2,c1,b\n", (0, 0));
        check("k1,c1,a\nk1,c1,a\n", (1, 0));
        check("k1,c1,a\nk9,c1,a\n", (1, 1));
        check("k1,c1,a\nk1,c1,a\nk1,c1,a\nk2,c2,a\n", (2, 0));
    }
}
