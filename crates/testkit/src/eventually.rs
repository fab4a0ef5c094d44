//! Waiting for something to become true.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks at `condition` again and again until it answers `Ok`; gives its value.
///
/// # Panics
/// When it is still not `Ok` after `timeout`, with the last reason.
pub async fn eventually<T, E, F>(timeout: Duration, mut condition: F) -> T
where
    E: Debug,
    F: AsyncFnMut() -> Result<T, E>,
{
    let started = Instant::now();
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(reason) if started.elapsed() >= timeout => {
                panic!("still not so after {timeout:?}: {reason:?}")
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_until_it_is_so() {
        let mut count = 0;
        let value = eventually(Duration::from_secs(5), async || {
            count += 1;
            if count < 3 { Err(count) } else { Ok("yes") }
        })
        .await;
        assert_eq!((value, count), ("yes", 3));
    }

    #[tokio::test]
    #[should_panic(expected = "still not so after 20ms: \"no\"")]
    async fn says_why_it_gave_up() {
        eventually(Duration::from_millis(20), async || Err::<(), _>("no")).await;
    }
}
