//! Checks a log against its signed checkpoints: reads the store page by page and
//! lets [`Checker`] compare. The service does it for an RPC, the command line on
//! a store of its own.

use crate::domain::check::{CheckReport, Checker, Page, Problem};
use crate::error::Error;
use crate::store::Store;
use probity_merkle::{Checkpoint, TileId, VerifierKey};
use probity_storage::Db;
use std::ops::Range;

/// When the newest checkpoint does not hold, so many older ones are tried.
const TRIES: i64 = 16;

/// Recomputes the log in `db` and compares it with what `key` signed.
///
/// A log that was cut back to an older checkpoint together with everything after
/// it looks like a log that never grew; [`check_with_witness`] finds that.
///
/// # Errors
/// When the store cannot be read. What is wrong with the log is no error.
pub async fn check(db: &Db, key: &VerifierKey) -> Result<CheckReport, Error> {
    run(&Store::new(db.clone()), key, None).await
}

/// As [`check`], and the log must also be an extension of `witness`: a checkpoint
/// that was kept somewhere else and opened with the key of the log.
///
/// # Errors
/// As [`check`].
pub async fn check_with_witness(
    db: &Db,
    key: &VerifierKey,
    witness: Checkpoint,
) -> Result<CheckReport, Error> {
    run(&Store::new(db.clone()), key, Some(witness)).await
}

pub(crate) async fn run(
    store: &Store,
    key: &VerifierKey,
    witness: Option<Checkpoint>,
) -> Result<CheckReport, Error> {
    let (covered, problem) = basis(store, key).await?;
    let mut checker = Checker::new(key.clone(), covered, witness);
    if let Some(problem) = problem {
        checker.report(problem);
    }
    ends(store, &mut checker).await?;
    while let Some(range) = checker.next_page() {
        let page = read(store, &range).await?;
        let full = checker.page(&range, &page);
        let stored = store.tiles(full.iter().map(|(id, _)| *id)).await?;
        full.iter().for_each(|(id, made)| checker.tile(*id, made, stored.get(id)));
    }
    let edge = checker.edge();
    let stored = store.tiles(edge.iter().map(|(id, _)| *id)).await?;
    edge.iter().for_each(|(id, made)| checker.tile(*id, made, stored.get(id)));
    if let Some(index) = checker.gap()
        && let Some(next) = store.next_index(index).await?
    {
        checker.next_after_gap(next);
    }
    Ok(checker.finish())
}

/// The size to check against: that of the newest checkpoint that holds. When it
/// is not the newest of all, that one is a problem of its own.
async fn basis(store: &Store, key: &VerifierKey) -> Result<(u64, Option<Problem>), Error> {
    let mut problem = None;
    for mark in store.newest_checkpoints(TRIES).await? {
        let error = match Checkpoint::open(mark.note.as_bytes(), key) {
            Ok(head) if head.size == mark.size => return Ok((mark.size, problem)),
            Ok(head) => format!("it is of size {}", head.size),
            Err(error) => error.to_string(),
        };
        problem.get_or_insert(Problem::Checkpoint { size: mark.size, error });
    }
    Ok((0, problem))
}

/// What the sizes of the tables tell without reading them.
async fn ends(store: &Store, checker: &mut Checker) -> Result<(), Error> {
    let bounds = store.bounds().await?;
    if bounds.head != bounds.newest {
        checker.report(Problem::Head { head: bounds.head, newest: bounds.newest });
    }
    if let Some(index) = bounds.stray {
        checker.report(Problem::Uncovered { index });
    }
    Ok(())
}

async fn read(store: &Store, range: &Range<u64>) -> Result<Page, Error> {
    let tiles = (range.start >> 8)..=((range.end - 1) >> 8);
    Ok(Page {
        rows: store.rows(range).await?,
        marks: store.checkpoints_in(range).await?,
        tiles: store.tiles(tiles.map(|index| TileId { level: 0, index })).await?,
    })
}
