//! Starts the workflow `screening` and waits for its result:
//! `PROBITY_TOKEN=… cargo run -p probity-client --example starter -- "Shell Trading Ltd"`.

#![allow(clippy::print_stdout)] // a tool for the terminal

use probity_client::{Client, output};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::var("PROBITY_SERVER").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    let supplier = std::env::args().nth(1).unwrap_or_else(|| "ACME".to_owned());
    let client = Client::connect(&server, &std::env::var("PROBITY_TOKEN")?).await?;
    let start = client.start("screening").input(&json!({"supplier": supplier}));
    let execution = start.wait(Duration::from_secs(30)).send().await?;
    let result: Value = output(&execution)?;
    println!("{} {} {result}", execution.name, execution.status().as_str_name());
    Ok(())
}
