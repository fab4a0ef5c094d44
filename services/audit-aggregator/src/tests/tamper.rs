//! What somebody with access to the database can do to the log, and that the
//! check finds and names it.

use super::{Place, Running, case, on_both, signer};
use crate::domain::check::CheckReport;
use probity_merkle::{Checkpoint, Hash, TileTree, leaf_hash};
use probity_storage::args;

/// Checkpoints at 10, 310 and 350.
const BATCHES: [u64; 3] = [10, 300, 40];

/// Makes a log, lets somebody at it, and checks: the first bad entry and a part
/// of the sentence.
async fn check(tamper: impl AsyncFn(&Running), first_bad: Option<u64>, part: &str) {
    on_both(async |place| {
        let running = place.with_batches(&BATCHES).await;
        tamper(&running).await;
        expect(&place.check(&running).await, first_bad, part);
    })
    .await;
}

fn expect(report: &CheckReport, first_bad: Option<u64>, part: &str) {
    assert!(!report.intact, "{report:?}");
    assert_eq!(report.first_bad_index, first_bad, "{}", report.problem);
    assert!(report.problem.contains(part), "{}", report.problem);
}

async fn edit_leaf(running: &Running, index: u32) -> Vec<u8> {
    let mut leaf = running.bytes("SELECT leaf FROM entry WHERE idx = $1", args![index]).await;
    *leaf.last_mut().unwrap() ^= 1;
    running.execute("UPDATE entry SET leaf = $1 WHERE idx = $2", args![leaf.clone(), index]).await;
    leaf
}

async fn edit_hash(running: &Running, level: u32, index: u32, hash: Hash) {
    let (tile, at) = (index / 256, usize::try_from(index % 256).unwrap() * Hash::LEN);
    let sql = "SELECT hashes FROM tile WHERE level = $1 AND idx = $2";
    let mut hashes = running.bytes(sql, args![level, tile]).await;
    hashes[at..at + Hash::LEN].copy_from_slice(&hash.0);
    let sql = "UPDATE tile SET hashes = $1 WHERE level = $2 AND idx = $3";
    running.execute(sql, args![hashes, level, tile]).await;
}

/// The entry and its leaf hash together.
async fn edit_both(running: &Running, index: u32) {
    let leaf = edit_leaf(running, index).await;
    edit_hash(running, 0, index, leaf_hash(&leaf)).await;
}

async fn sql(running: &Running, statements: &[&str]) {
    for statement in statements {
        running.execute(statement, args![]).await;
    }
}

/// The root that the rows now lead to.
async fn root_of_rows(running: &Running, size: u32) -> Hash {
    let rows =
        running.db.query("SELECT leaf FROM entry WHERE idx < $1 ORDER BY idx", args![size]).await.unwrap();
    let mut tree = TileTree::new();
    tree.extend(rows.iter().map(|row| leaf_hash(&row.bytes(0).unwrap())));
    tree.root()
}

#[tokio::test]
async fn an_untouched_log_is_intact() {
    on_both(async |place| {
        for sizes in [&[][..], &[1], &[255, 1], &[256, 1, 767], &[1024, 1], &[2500]] {
            let place = Place { signer: signer(1), ..fresh(place) };
            let running = place.with_batches(sizes).await;
            let report = place.check(&running).await;
            let size = sizes.iter().sum();
            assert_eq!((report.intact, report.problem.as_str()), (true, ""), "{sizes:?}");
            assert_eq!((report.entries_checked, report.tree_size), (size, size));
            running.close().await;
        }
    })
    .await;
}

/// Another empty database of the same kind.
fn fresh(place: &Place) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let config = if place.config.url.starts_with("sqlite:") {
        probity_storage::DbConfig::sqlite(dir.path().join("log.db"))
    } else {
        probity_storage::DbConfig { url: probity_testkit::Postgres::database(), ..place.config.clone() }
    };
    Place { config, signer: signer(1), _dir: dir }
}

#[tokio::test]
async fn an_edited_byte() {
    for index in [0, 17, 256, 349] {
        let edit = async |log: &Running| drop(edit_leaf(log, index).await);
        check(edit, Some(u64::from(index)), "the entry was changed, the leaf hash is the signed one").await;
    }
}

#[tokio::test]
async fn a_deleted_row() {
    let delete = async |log: &Running| sql(log, &["DELETE FROM entry WHERE idx = 20"]).await;
    check(delete, Some(20), "entry 20 is missing: the next entry is 21").await;
    let first = async |log: &Running| sql(log, &["DELETE FROM entry WHERE idx < 3"]).await;
    check(first, Some(0), "entry 0 is missing: the next entry is 3").await;
}

#[tokio::test]
async fn a_deleted_row_with_the_rest_moved_up() {
    let shift = async |log: &Running| {
        let up = "UPDATE entry SET idx = -idx WHERE idx > 20";
        sql(log, &["DELETE FROM entry WHERE idx = 20", up, "UPDATE entry SET idx = -idx - 1 WHERE idx < 0"])
            .await;
    };
    check(shift, Some(20), "entry 20 does not match its leaf hash").await;
}

#[tokio::test]
async fn two_rows_swapped() {
    let swap = async |log: &Running| {
        let set = |from: i32, to: i32| format!("UPDATE entry SET idx = {to} WHERE idx = {from}");
        sql(log, &[&set(30, -5), &set(32, 30), &set(-5, 32)]).await;
    };
    check(swap, Some(30), "entry 30 does not match its leaf hash: the entry was changed").await;
}

#[tokio::test]
async fn the_end_cut_off() {
    let cut = async |log: &Running| sql(log, &["DELETE FROM entry WHERE idx >= 345"]).await;
    check(cut, Some(345), "no entry follows, but the checkpoint covers 350").await;
    let head_too = async |log: &Running| {
        sql(log, &["DELETE FROM entry WHERE idx >= 310", "UPDATE log_head SET size = 310"]).await;
    };
    check(head_too, Some(310), "entry 310 is missing").await;
}

#[tokio::test]
async fn the_end_cut_off_with_its_checkpoint() {
    let entries_stay = async |log: &Running| sql(log, &["DELETE FROM checkpoint WHERE size = 350"]).await;
    check(entries_stay, Some(310), "index 310, which no checkpoint covers").await;
    let head_stays = async |log: &Running| {
        sql(log, &["DELETE FROM checkpoint WHERE size = 350", "DELETE FROM entry WHERE idx >= 310"]).await;
    };
    check(head_stays, None, "the store counts 350 entries, the newest checkpoint covers 310").await;
}

#[tokio::test]
async fn a_log_wound_back_as_a_whole_is_found_by_a_checkpoint_kept_elsewhere() {
    on_both(async |place| {
        let running = place.with_batches(&BATCHES).await;
        let kept = running.log.head(None).await.unwrap().checkpoint;
        let wind_back = ["DELETE FROM checkpoint WHERE size > 310", "DELETE FROM entry WHERE idx >= 310"];
        sql(&running, &wind_back).await;
        sql(&running, &["UPDATE log_head SET size = 310"]).await;
        assert!(place.check(&running).await.intact);
        let key = place.signer.verifier_key();
        let report = crate::check_with_witness(&running.db, key, kept).await.unwrap();
        expect(
            &report,
            None,
            "had 350 entries when the given checkpoint was signed; now its newest covers 310",
        );
    })
    .await;
}

#[tokio::test]
async fn a_log_rewritten_with_the_key_is_found_by_a_checkpoint_kept_elsewhere() {
    on_both(async |place| {
        let running = place.with_batches(&BATCHES).await;
        let kept = running.log.head(Some(310)).await.unwrap().checkpoint;
        let key = place.signer.verifier_key();
        let extended = crate::check_with_witness(&running.db, key, kept.clone()).await.unwrap();
        assert!(extended.intact, "{}", extended.problem);
        edit_both(&running, 200).await;
        for size in [310, 350] {
            let head = Checkpoint::new(key.name(), size.into(), root_of_rows(&running, size).await);
            let note = head.sign(&place.signer).unwrap();
            running.execute("UPDATE checkpoint SET note = $1 WHERE size = $2", args![note, size]).await;
        }
        let report = crate::check_with_witness(&running.db, key, kept).await.unwrap();
        expect(&report, None, "the first 310 entries are not those of the given checkpoint");
    })
    .await;
}

#[tokio::test]
async fn an_entry_and_its_leaf_hash_edited_together() {
    let edit = |index: u32| async move |log: &Running| edit_both(log, index).await;
    check(edit(5), Some(0), "so the first bad entry is one of 0 to 9").await;
    check(edit(200), Some(10), "so the first bad entry is one of 10 to 309").await;
    check(edit(320), Some(310), "so the first bad entry is one of 310 to 349").await;
}

#[tokio::test]
async fn checkpoints_side_by_side_name_the_entry() {
    on_both(async |place| {
        let running = place.with_batches(&[3, 1, 3]).await;
        edit_both(&running, 3).await;
        expect(&place.check(&running).await, Some(3), "so the first bad entry is 3");
    })
    .await;
}

#[tokio::test]
async fn a_forged_checkpoint_does_not_mislead() {
    let forge = async |log: &Running| {
        edit_both(log, 5).await;
        // The old signature under a text that fits what the rows are now.
        let head = Checkpoint::new("log.example/test", 10, root_of_rows(log, 10).await);
        let row =
            log.db.query_opt("SELECT note FROM checkpoint WHERE size = 10", args![]).await.unwrap().unwrap();
        let note = row.text(0).unwrap();
        let signature = note.split_once("\n\n").unwrap().1;
        let note = format!("{}\n{signature}", head.to_text());
        log.execute("UPDATE checkpoint SET note = $1 WHERE size = 10", args![note]).await;
    };
    check(forge, Some(0), "one of 0 to 309").await;
}

#[tokio::test]
async fn an_edited_leaf_hash() {
    let edit = async |log: &Running| edit_hash(log, 0, 270, Hash::of_nothing()).await;
    check(edit, Some(270), "the leaf hash was changed, the entry is as it was signed").await;
}

#[tokio::test]
async fn an_entry_and_another_ones_leaf_hash_edited() {
    let edit = async |log: &Running| {
        edit_leaf(log, 100).await;
        edit_hash(log, 0, 50, Hash::of_nothing()).await;
    };
    check(edit, Some(50), "no checkpoint confirms either of them").await;
}

#[tokio::test]
async fn tiles_lost_or_edited_above_the_leaves() {
    let lost = async |log: &Running| sql(log, &["DELETE FROM tile WHERE level = 0 AND idx = 1"]).await;
    check(lost, None, "tile 1 of level 0 is missing").await;
    let garbage = async |log: &Running| {
        log.execute("UPDATE tile SET hashes = $1 WHERE level = 0 AND idx = 0", args![vec![1_u8; 31]]).await;
    };
    check(garbage, None, "tile 0 of level 0 is missing").await;
    let short = async |log: &Running| {
        log.execute("UPDATE tile SET hashes = $1 WHERE level = 0 AND idx = 1", args![vec![1_u8; 32]]).await;
    };
    check(short, Some(256), "").await;
    let above = async |log: &Running| edit_hash(log, 1, 0, Hash::of_nothing()).await;
    check(above, None, "tile 0 of level 1 was changed").await;
    let above_lost = async |log: &Running| sql(log, &["DELETE FROM tile WHERE level = 1"]).await;
    check(above_lost, None, "tile 0 of level 1 is missing").await;
}

#[tokio::test]
async fn checkpoints_edited() {
    let newest = async |log: &Running| sql(log, &["UPDATE checkpoint SET note = 'x' WHERE size = 350"]).await;
    check(newest, None, "the stored checkpoint of size 350 does not hold").await;
    let older = async |log: &Running| sql(log, &["UPDATE checkpoint SET note = 'x' WHERE size = 310"]).await;
    check(older, None, "the stored checkpoint of size 310 does not hold").await;
    let moved = async |log: &Running| sql(log, &["UPDATE checkpoint SET size = 11 WHERE size = 10"]).await;
    check(moved, None, "of another size than it is filed under").await;
    let all = async |log: &Running| sql(log, &["DELETE FROM checkpoint"]).await;
    check(all, Some(0), "index 0, which no checkpoint covers").await;
}

#[tokio::test]
async fn rows_that_were_never_signed() {
    let copy = |index: &str| {
        format!(
            "INSERT INTO entry (idx, event_id, tenant, case_name, action, leaf)
             SELECT {index}, leaf, tenant, case_name, action, leaf FROM entry WHERE idx = 3"
        )
    };
    let more = async |log: &Running| sql(log, &[&copy("350")]).await;
    check(more, Some(350), "index 350, which no checkpoint covers").await;
    let below = async |log: &Running| sql(log, &[&copy("-1")]).await;
    check(below, None, "index -1, which no checkpoint covers").await;
}

#[tokio::test]
async fn an_index_that_is_there_twice() {
    let double = async |log: &Running| {
        let copy = "CREATE TABLE copy AS SELECT * FROM entry";
        let twice = "INSERT INTO copy SELECT * FROM entry WHERE idx = 40";
        sql(log, &[copy, twice, "DROP TABLE entry", "ALTER TABLE copy RENAME TO entry"]).await;
    };
    check(double, Some(40), "entry 40 is in the store more than once").await;
}

#[tokio::test]
async fn a_row_filed_under_something_else() {
    let hide = async |log: &Running| {
        log.execute("UPDATE entry SET case_name = $1 WHERE idx = 12", args![case(88)]).await;
    };
    check(hide, Some(12), "entry 12 is filed under another case than it says itself").await;
    let give_away =
        async |log: &Running| sql(log, &["UPDATE entry SET tenant = 'umbra' WHERE idx = 3"]).await;
    check(give_away, Some(3), "another tenant").await;
    let two = async |log: &Running| {
        sql(log, &["UPDATE entry SET action = 'x' WHERE idx IN (7, 12)", "DELETE FROM entry WHERE idx = 9"])
            .await;
    };
    check(two, Some(7), "another action").await;
}

#[tokio::test]
async fn a_key_of_somebody_else() {
    on_both(async |place| {
        let running = place.with_batches(&BATCHES).await;
        let report = crate::check(&running.db, signer(2).verifier_key()).await.unwrap();
        expect(&report, None, "the stored checkpoint of size 350 does not hold: the note is not signed by");
    })
    .await;
}

#[tokio::test]
async fn changes_far_into_a_long_log() {
    on_both(async |place| {
        let running = place.with_batches(&[1000, 1000, 1000, 1000]).await;
        edit_leaf(&running, 3_333).await;
        let report = place.check(&running).await;
        expect(&report, Some(3_333), "the entry was changed");
        assert_eq!(report.entries_checked, 4000);
        edit_both(&running, 2_500).await;
        expect(&place.check(&running).await, Some(2_000), "one of 2000 to 2999");
    })
    .await;
}
