//! Hears from the server when tasks come, and wakes who waits for them.
//!
//! It is a convenience: takers that wait also look by themselves, so what is
//! missed while the connection is lost costs time and nothing else.

use super::lane::Link;
use crate::bells::Bells;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// The pause before connecting again.
const PAUSE: Duration = Duration::from_millis(200);
/// The most takers one message wakes.
const MOST: usize = 1_000;

/// Listens until it is aborted.
pub(super) async fn listen(link: Arc<Link>, bells: Arc<Bells>) {
    loop {
        // A server that is away is reported by the calls themselves.
        let _ = hear(&link, &bells).await;
        bells.ring_all(); // something may have been missed
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear(link: &Link, bells: &Bells) -> Result<(), redis::RedisError> {
    let connecting = async {
        let mut channel = link.client.get_async_pubsub().await?;
        channel.subscribe(format!("{}wake", link.prefix)).await?;
        Ok::<_, redis::RedisError>(channel)
    };
    let Ok(channel) = tokio::time::timeout(link.timeout, connecting).await else { return Ok(()) };
    let mut messages = channel?.into_on_message();
    bells.ring_all(); // something may have come before we listened
    while let Some(message) = messages.next().await {
        let text: String = message.get_payload()?;
        if let Some((queue, times)) = text.rsplit_once(' ') {
            bells.ring(queue, times.parse::<usize>().map_or(1, |times| times.min(MOST)));
        }
    }
    Ok(())
}
