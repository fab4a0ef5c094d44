//! Reading: entries of the own tenant, pages, proofs and receipts.

use super::{Place, Running, case, entry, on_both};
use crate::convert::{EntryName, Subject};
use crate::domain::page::Filter;
use crate::error::Error;
use probity_merkle::{leaf_hash, receipt, verify_consistency, verify_inclusion};
use probity_proto::audit as pb;
use probity_storage::args;
use prost::Message as _;
use uuid::Uuid;

const SIZE: u64 = 600;

async fn log(place: &Place) -> Running {
    place.with_batches(&[1, 255, 44, 300]).await
}

#[tokio::test]
async fn an_entry_is_found_by_index_and_event_and_only_by_its_tenant() {
    on_both(async |place| {
        let running = log(place).await;
        let find = async |tenant: &str, name: EntryName| running.log.entry(tenant, &name).await;
        let event = |n: u128| EntryName::Event(Uuid::from_u128(n));
        let found = find("acme", EntryName::Index(7)).await.unwrap();
        assert_eq!(pb::Entry::decode(found.leaf.as_slice()).unwrap(), entry(7));
        assert_eq!(find("acme", event(7)).await.unwrap(), found);
        for (tenant, name) in [
            ("umbra", EntryName::Index(7)),
            ("umbra", event(7)),
            ("acme", EntryName::Index(9)),
            ("acme", EntryName::Index(SIZE)),
            ("acme", EntryName::Index(i64::MAX.unsigned_abs())),
            ("acme", event(SIZE.into())),
        ] {
            let text = format!("{tenant} {name}");
            assert!(matches!(find(tenant, name).await, Err(Error::NotFound { .. })), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn pages_together_are_the_list() {
    on_both(async |place| {
        let running = log(place).await;
        let check = async |tenant: &str, case: &str, action: &str, expect: &dyn Fn(&pb::Entry) -> bool| {
            let filter = Filter { tenant: tenant.into(), case: case.into(), action: action.into() };
            let expect: Vec<_> = (0..SIZE).filter(|n| expect(&entry(*n))).collect();
            for limit in [1, 7, 1000] {
                let (mut got, mut token) = (Vec::new(), String::new());
                loop {
                    let (rows, next) = running.log.list(&filter, &token, limit).await.unwrap();
                    assert!(rows.len() <= limit);
                    got.extend(rows.iter().map(|row| row.index));
                    let Some(next) = next else { break };
                    token = next;
                }
                assert_eq!(got, expect, "{tenant} {case} {action} by {limit}");
            }
        };
        check("acme", "", "", &|e| e.tenant == "acme").await;
        check("umbra", "", "case.opened", &|e| e.tenant == "umbra" && e.action == "case.opened").await;
        check("acme", &case(3), "", &|e| e.tenant == "acme" && e.case == case(3)).await;
        check("acme", &case(3), "case.opened", &|e| {
            e.tenant == "acme" && e.case == case(3) && e.action == "case.opened"
        })
        .await;
        check("nobody", "", "", &|_| false).await;

        let (acme, other) =
            ("acme", Filter { tenant: "umbra".into(), case: String::new(), action: String::new() });
        let filter = Filter { tenant: acme.into(), ..other.clone() };
        let (_, token) = running.log.list(&filter, "", 5).await.unwrap();
        assert!(matches!(running.log.list(&other, &token.unwrap(), 5).await, Err(Error::PageToken)));
    })
    .await;
}

#[tokio::test]
async fn every_inclusion_proof_leads_to_the_signed_root() {
    on_both(async |place| {
        let running = log(place).await;
        let head = running.log.head(None).await.unwrap().checkpoint;
        for index in (0..SIZE).step_by(37).chain([SIZE - 1]) {
            let got = running.log.inclusion(index, None).await.unwrap();
            let leaf = leaf_hash(&entry(index).encode_to_vec());
            assert_eq!((got.size, got.leaf), (SIZE, leaf));
            verify_inclusion(index, SIZE, &leaf, &got.proof, &head.root).unwrap();
        }
        let older = running.log.head(Some(299)).await.unwrap().checkpoint;
        assert_eq!(older.size, 256);
        let got = running.log.inclusion(200, Some(256)).await.unwrap();
        verify_inclusion(200, 256, &got.leaf, &got.proof, &older.root).unwrap();
        for (index, size) in [(SIZE, None), (256, Some(256)), (0, Some(SIZE + 1))] {
            let error = running.log.inclusion(index, size).await.unwrap_err();
            assert!(matches!(error, Error::Range { .. }), "{index} {size:?}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn every_checkpoint_is_consistent_with_every_later_one() {
    on_both(async |place| {
        let running = log(place).await;
        let sizes = [1, 256, 300, SIZE];
        for (at, first) in sizes.iter().enumerate() {
            for second in &sizes[at..] {
                let root = async |size: u64| running.log.head(Some(size)).await.unwrap().checkpoint.root;
                let got = running.log.consistency(*first, Some(*second)).await.unwrap();
                verify_consistency(*first, *second, &root(*first).await, &root(*second).await, &got.proof)
                    .unwrap();
            }
        }
        assert_eq!(running.log.consistency(17, None).await.unwrap().second, SIZE);
        for (first, second) in [(0, None), (300, Some(299)), (1, Some(SIZE + 1))] {
            let error = running.log.consistency(first, second).await.unwrap_err();
            assert!(matches!(error, Error::Range { .. }), "{first} {second:?}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_receipt_verifies_offline_and_holds_the_tenants_entries_only() {
    on_both(async |place| {
        let running = log(place).await;
        let key = place.signer.verifier_key();
        let made = running.log.receipt("acme", &Subject::Case(case(4))).await.unwrap();
        let verified = receipt::verify(made.to_json().unwrap().as_bytes(), Some(key)).unwrap();
        let expect: Vec<_> = (0..SIZE).filter(|n| n % 5 == 4 && n % 10 != 9).collect();
        assert_eq!(verified.entries.iter().map(|(index, _)| *index).collect::<Vec<_>>(), expect);
        assert_eq!(verified.claimed_total, expect.len() as u64);
        for (index, leaf) in &verified.entries {
            assert_eq!(pb::Entry::decode(leaf.as_slice()).unwrap(), entry(*index));
        }

        let one =
            running.log.receipt("acme", &Subject::Entry(EntryName::Event(Uuid::from_u128(3)))).await.unwrap();
        assert_eq!((one.subject.as_str(), one.entries.len()), ("entries/3", 1));
        receipt::verify(one.to_json().unwrap().as_bytes(), Some(key)).unwrap();

        for (tenant, subject) in [
            ("nobody", Subject::Case(case(4))),
            ("acme", Subject::Case(case(77))),
            ("umbra", Subject::Entry(EntryName::Index(3))),
        ] {
            assert!(matches!(running.log.receipt(tenant, &subject).await, Err(Error::NotFound { .. })));
        }
    })
    .await;
}

#[tokio::test]
async fn no_proof_is_given_that_does_not_hold() {
    on_both(async |place| {
        let running = log(place).await;
        let damaged =
            |result: Result<(), Error>| assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
        running.execute("UPDATE entry SET leaf = $1 WHERE idx = 3", args![b"x".as_slice()]).await;
        damaged(running.log.receipt("acme", &Subject::Case(case(3))).await.map(drop));
        running.log.inclusion(3, None).await.unwrap();

        let mut tile = running.bytes("SELECT hashes FROM tile WHERE level = 0 AND idx = 1", args![]).await;
        tile[40] ^= 1;
        running.execute("UPDATE tile SET hashes = $1 WHERE level = 0 AND idx = 1", args![tile]).await;
        damaged(running.log.inclusion(260, None).await.map(drop));
        damaged(running.log.consistency(257, None).await.map(drop));
        running.execute("DELETE FROM tile WHERE level = 0 AND idx = 1", args![]).await;
        damaged(running.log.inclusion(260, None).await.map(drop));

        running.execute("UPDATE checkpoint SET note = 'x' WHERE size = 600", args![]).await;
        damaged(running.log.head(None).await.map(drop));
        running.log.head(Some(300)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn one_check_runs_at_a_time() {
    on_both(async |place| {
        let running = log(place).await;
        let other = running.log.checking.try_acquire().unwrap();
        assert!(matches!(running.log.check().await, Err(Error::Busy)));
        drop(other);
        assert!(running.log.check().await.unwrap().intact);
    })
    .await;
}
