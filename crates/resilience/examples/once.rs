//! A payment that is asked for three times at once, and a policy that a thousand
//! readers want. `cargo run -p probity-resilience --example once`

#![allow(clippy::print_stdout)] // its output is what it is for

use probity_resilience::Observed;
use probity_resilience::cache::{self, Cache};
use probity_resilience::idempotency::{Config, Fingerprint, Guard, Key, MemoryStore, key_of};
use probity_types::{Fault, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = br#"{"amount": "120.00", "to": "ACME"}"#;
    let key = key_of("hold_payment", "bank", "ministry", body);
    println!("the key: {key}");
    let guard = Guard::new(Arc::new(MemoryStore::new(10_000)), Arc::new(SystemClock), Config::default())?;
    let held = AtomicU32::new(0);
    let hold = || async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, Fault>(format!("hold {}", held.fetch_add(1, Ordering::SeqCst) + 1).into_bytes())
    };
    let scope = Key { tenant: "ministry".into(), operation: "hold_payment".into(), key };
    let ask = |body: &[u8]| guard.run(scope.clone(), Fingerprint::of(body), hold);
    let (a, b, c) = futures::join!(ask(body), ask(body), ask(body));
    for answer in [a, b, c] {
        println!("   {}", String::from_utf8_lossy(&answer?));
    }
    if let Err(refused) = ask(b"another body").await {
        println!("   {refused}");
    }

    let cache: Cache<String, String> = Cache::new("policies", cache::Config::default(), Observed::default())?;
    let asked = Arc::new(AtomicU32::new(0));
    let readers = (0..1_000).map(|_| {
        let asked = asked.clone();
        cache.get("threshold", move || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(Some("15000 EUR".to_owned()))
        })
    });
    let answers = futures::future::join_all(readers).await;
    println!(
        "{} readers, {} asked the store: {:?}",
        answers.len(),
        asked.load(Ordering::SeqCst),
        cache.snapshot()
    );
    Ok(())
}
