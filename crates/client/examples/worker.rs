//! Does the tasks of the queue `screening`:
//! `PROBITY_TOKEN=… cargo run -p probity-client --example worker`.

#![allow(clippy::print_stdout)] // a tool for the terminal

use probity_client::{Client, Failure, Task, Worker};
use serde_json::{Value, json};

async fn screen(task: Task) -> Result<Value, Failure> {
    let input: Value = task.input()?;
    let supplier = input["supplier"].as_str().ok_or(Failure::new("NO_SUPPLIER", "name one").permanent())?;
    Ok(json!({"supplier": supplier, "listed": supplier.contains("Shell"), "attempt": task.attempt()}))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::var("PROBITY_SERVER").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    let client = Client::connect(&server, &std::env::var("PROBITY_TOKEN")?).await?;
    let worker = Worker::new(client).queue("screening").concurrency(64).handler("screen", screen);
    let summary = worker.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
    println!("{} tasks done", summary.acknowledged);
    Ok(())
}
