//! Prints the document that the gateway answers at `/api/openapi.json`.

use probity_gateway::openapi::document;
use probity_gateway::transcode::{Limits, Transcoder};
use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = probity_proto::pool();
    let transcoder = Transcoder::new(pool, Limits::default())?;
    let document = document(pool, &transcoder, env!("CARGO_PKG_VERSION"))?;
    let text = serde_json::to_vec_pretty(&document)?;
    std::io::stdout().write_all(&text)?;
    Ok(())
}
