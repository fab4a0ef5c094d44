//! The client of the platform: calls with deadlines, retries and idempotency keys
//! made for you, and workers that do the tasks of workflows.
//!
//! ```no_run
//! # async fn example() -> Result<(), probity_client::Error> {
//! use probity_client::{Client, Failure, Task, Worker};
//! use std::time::Duration;
//!
//! let client = Client::connect("http://127.0.0.1:8080", "the token").await?;
//!
//! // Start a workflow and wait for its end.
//! let input = serde_json::json!({"supplier": "ACME"});
//! let execution = client.start("screening").input(&input).wait(Duration::from_secs(30)).send().await?;
//! println!("{} {:?}", execution.name, execution.status());
//!
//! // Do the tasks of a queue.
//! let worker = Worker::new(client).queue("screening").concurrency(64);
//! let worker = worker.handler("screen", |task: Task| async move {
//!     let input: serde_json::Value = task.input()?;
//!     Ok::<_, Failure>(serde_json::json!({"supplier": input["supplier"], "listed": false}))
//! });
//! worker.run(async { let _ = tokio::signal::ctrl_c().await; }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is done for you
//! Every call goes through [`Transport`]: the token, a request id, a deadline (60 s
//! when you set none) for all attempts together, and an idempotency key where the
//! contract takes one. Calls that the contract allows to repeat are repeated when
//! nobody answered or the platform asks for it, no sooner than it asks. Generated
//! clients for everything else come ready-made from [`Client`], with messages in
//! [`proto`].
//!
//! Deliberately absent: a cache, a pool of connections (one HTTP/2 connection
//! carries thousands of calls), and TLS, which is the business of the mesh or
//! proxy in front for now.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod blob;
mod client;
mod error;
mod settings;
mod start;
mod transport;
mod watch;
pub mod worker;

pub use blob::Blob;
pub use client::Client;
pub use error::Error;
pub use probity_proto as proto;
pub use probity_types::retry::RetryPolicy;
pub use settings::ClientBuilder;
pub use start::{Start, output};
pub use transport::Transport;
pub use watch::Watch;
pub use worker::{Failure, Summary, Task, Worker};
