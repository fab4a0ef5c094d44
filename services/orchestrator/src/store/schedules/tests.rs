//! One suite over both databases.

use super::*;
use crate::domain::schedules::Target;
use crate::store::{Asked, MIGRATIONS};
use probity_schedule::{Overlap, Spec, State};
use probity_storage::{Db, DbConfig};
use probity_testkit::Postgres;
use probity_types::id::ExecutionId;
use probity_types::{Ctx, Roles};

const MINUTE: i64 = 60_000_000;

async fn on_both(suite: impl AsyncFn(Store)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = DbConfig::sqlite(folder.path().join("o.db"));
    let postgres = DbConfig { url: Postgres::database(), ..DbConfig::default() };
    for config in [sqlite, postgres] {
        let db = Db::open(&config, "orchestrator", MIGRATIONS).await.unwrap();
        suite(Store::new(db.clone())).await;
        db.close().await;
    }
}

fn kept(id: &str, overlap: Overlap) -> Kept {
    let target = Target {
        definition: "feed".into(),
        input: serde_json::json!({"a": 1}),
        time_field: String::new(),
        priority: 2,
        owner: "users/o".into(),
        roles: Roles::default(),
    };
    Kept {
        tenant: "t".into(),
        id: id.into(),
        uid: Uuid::now_v7(),
        spec: Spec { timing: "@every 1m".into(), overlap, ..Spec::default() },
        target,
        note: "every minute".into(),
        state: State::new(Micros(0)),
        revision: 1,
        next: Micros(MINUTE),
        created: Micros(0),
        updated: Micros(0),
    }
}

fn event() -> AuditEvent {
    AuditEvent::new(&Ctx::service("orchestrator", "t", ""), Micros(1), "schedule.created", "schedules/feed")
}

async fn added(store: &Store, kept: Kept) -> Kept {
    store.add_schedule(kept.clone(), event()).await.unwrap();
    assert_eq!(store.schedule("t", &kept.id).await.unwrap(), kept);
    kept
}

async fn decide(store: &Store, before: &Kept, now: i64) -> bool {
    let decision = before.due(Micros(now)).unwrap();
    let commit = Commit { revision: before.revision, decision, ended: None, event: None, now: Micros(now) };
    store.decide_schedule(commit).await.unwrap()
}

async fn runs(store: &Store, of: &Kept, filter: &str) -> Vec<RunRow> {
    let listing =
        Listing::new(run_schema(), Asked { filter, limit: 100, ..Asked::default() }, "run_time").unwrap();
    store.runs("t", of.uid, &listing).await.unwrap().0
}

#[tokio::test]
async fn of_two_that_decide_at_once_one_is_refused() {
    on_both(async |store| {
        let before = added(&store, kept("feed", Overlap::AllowAll)).await;
        assert_eq!(store.next_schedule().await.unwrap(), Some(Micros(MINUTE)));
        assert_eq!(store.due_schedules(Micros(MINUTE - 1), 9).await.unwrap().len(), 0);
        assert_eq!(store.due_schedules(Micros(MINUTE), 9).await.unwrap(), std::slice::from_ref(&before));
        let both = tokio::join!(decide(&store, &before, MINUTE), decide(&store, &before, 2 * MINUTE));
        assert!(both.0 != both.1, "{both:?}");
        let expect = if both.0 { 1 } else { 2 };
        assert_eq!(runs(&store, &before, "state = PENDING").await.len(), expect);
        let after = store.schedule("t", "feed").await.unwrap();
        assert_eq!((after.revision, after.state.started), (2, expect as u64));
        assert!(decide(&store, &after, 3 * MINUTE).await);
        assert_eq!(runs(&store, &before, "").await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_run_is_started_and_ended_once() {
    on_both(async |store| {
        let before = added(&store, kept("feed", Overlap::BufferOne)).await;
        assert!(decide(&store, &before, MINUTE).await);
        let pending = store.open_runs(Place::Pending(Micros(MINUTE)), 9).await.unwrap();
        assert_eq!((pending.len(), pending[0].at), (1, Micros(MINUTE)));
        assert_eq!(store.open_runs(Place::Pending(Micros(MINUTE - 1)), 9).await.unwrap(), []);
        let (one, two) = (ExecutionId::new(), ExecutionId::new());
        assert!(store.run_started(&pending[0], one).await.unwrap());
        assert!(!store.run_started(&pending[0], two).await.unwrap());
        let running = store.run("t", &pending[0].id).await.unwrap().unwrap();
        assert_eq!((running.state, running.execution), (2, Some(one)));

        // The second waits for the first; its end and what follows are one decision.
        let busy = store.schedule("t", "feed").await.unwrap();
        assert!(decide(&store, &busy, 2 * MINUTE).await);
        assert_eq!(runs(&store, &before, "").await.len(), 1);
        let waiting = store.schedule("t", "feed").await.unwrap();
        let now = Micros(2 * MINUTE + 5);
        let decision = waiting.ended(Micros(MINUTE), now).unwrap();
        let ended = Some((running.id.clone(), Outcome::Execution(7)));
        let commit = Commit { revision: waiting.revision, decision, ended, event: None, now };
        assert!(store.decide_schedule(commit).await.unwrap());
        let states: Vec<_> =
            runs(&store, &before, "").await.iter().map(|run| (run.at.0, run.state)).collect();
        assert_eq!(states, [(MINUTE, 5), (2 * MINUTE, 1)]);
        let second = runs(&store, &before, "state = PENDING").await.remove(0);
        store.run_ended(&second, Outcome::Refused("no such definition".into()), now).await.unwrap();
        let failed = runs(&store, &before, "error : definition").await;
        assert_eq!((failed.len(), failed[0].state, failed[0].ended), (1, 4, now));
    })
    .await;
}

#[tokio::test]
async fn what_is_to_be_cancelled_is_marked_with_the_decision() {
    on_both(async |store| {
        let before = added(&store, kept("feed", Overlap::CancelRunning)).await;
        assert!(decide(&store, &before, MINUTE).await);
        let first = runs(&store, &before, "").await.remove(0);
        assert!(store.run_started(&first, ExecutionId::new()).await.unwrap());
        assert_eq!(store.open_runs(Place::Unwanted, 9).await.unwrap(), []);
        let running = store.schedule("t", "feed").await.unwrap();
        assert!(decide(&store, &running, 2 * MINUTE).await);
        let unwanted = store.open_runs(Place::Unwanted, 9).await.unwrap();
        assert_eq!((unwanted.len(), unwanted[0].at), (1, Micros(MINUTE)));
    })
    .await;
}

#[tokio::test]
async fn names_are_a_tenants_own_and_lists_go_on() {
    on_both(async |store| {
        let first = added(&store, kept("feed", Overlap::Skip)).await;
        let again = store.add_schedule(kept("feed", Overlap::Skip), event()).await;
        assert!(matches!(again, Err(Error::ScheduleExists(_))), "{again:?}");
        let other = Kept { tenant: "u".into(), ..kept("feed", Overlap::Skip) };
        store.add_schedule(other.clone(), event()).await.unwrap();
        for n in 0..4 {
            added(&store, Kept { next: Micros(n * MINUTE), ..kept(&format!("s{n}"), Overlap::Skip) }).await;
        }
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let asked = Asked { filter: "note : minute", page_token: &token, limit: 2, ..Asked::default() };
            let listing = Listing::new(schema(), asked, "next_run_time").unwrap();
            let (page, next) = store.schedules("t", &listing).await.unwrap();
            seen.extend(page.into_iter().map(|kept| kept.id));
            if next.is_empty() {
                break;
            }
            token = next;
        }
        seen[1..3].sort();
        assert_eq!(seen, ["s0", "feed", "s1", "s2", "s3"]);

        let triggered = first.triggered("k", Micros(5));
        for _ in 0..2 {
            store.trigger_run("t", first.uid, triggered.clone(), event()).await.unwrap();
        }
        assert_eq!(runs(&store, &first, "triggered = true").await.len(), 1);
        assert!(store.delete_schedule(first.clone(), event()).await.unwrap());
        assert!(!store.delete_schedule(first.clone(), event()).await.unwrap());
        assert_eq!(runs(&store, &first, "").await, []);
        assert!(matches!(store.schedule("t", "feed").await, Err(Error::NoSchedule(_))));
        assert_eq!(store.schedule("u", "feed").await.unwrap(), other);
    })
    .await;
}

#[tokio::test]
async fn the_last_thousand_runs_are_kept() {
    on_both(async |store| {
        let mut kept = added(&store, kept("feed", Overlap::AllowAll)).await;
        for hundred in 1..=11 {
            assert!(decide(&store, &kept, hundred * 50 * MINUTE).await);
            kept = store.schedule("t", "feed").await.unwrap();
        }
        let all = store.open_runs(Place::Pending(Micros(i64::MAX)), 2_000).await.unwrap();
        assert_eq!(all.len(), 550);
        for n in 0..500 {
            let run = kept.triggered(&n.to_string(), Micros(600 * MINUTE + n));
            store.trigger_run("t", kept.uid, run, event()).await.unwrap();
        }
        let all = store.open_runs(Place::Pending(Micros(i64::MAX)), 2_000).await.unwrap();
        for run in &all {
            store.run_ended(run, Outcome::Execution(5), Micros(1)).await.unwrap();
        }
        let count = "SELECT COUNT(*), MIN(at_us) FROM schedule_runs";
        let row = store.db.query_opt(count, args![]).await.unwrap().unwrap();
        assert_eq!((row.i64(0).unwrap(), row.i64(1).unwrap()), (1_000, 51 * MINUTE));
    })
    .await;
}
