//! Lint of the API documentation that the contracts give, with redocly.

use crate::npm::Tool;
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::process::Command;

const REDOCLY: Tool = Tool { package: "@redocly/cli", version: "2.77.0", program: "redocly" };

/// Makes the document and lints it. Without npm, says so and passes.
pub fn run(root: &Path) -> Result<bool> {
    let Some(redocly) = REDOCLY.find()? else {
        println!("redocly lint SKIPPED: npm is not installed");
        return Ok(true);
    };
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("openapi.json"), document(root)?)?;
    let output = Command::new(&redocly)
        .args(["lint", "openapi.json", "--format=stylish", "--max-problems=50"])
        .env("REDOCLY_TELEMETRY", "off")
        .current_dir(dir.path())
        .output()
        .with_context(|| format!("{} cannot be started", redocly.display()))?;
    let good = output.status.success();
    if !good {
        println!("{}", String::from_utf8_lossy(&output.stdout));
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    println!("redocly lint {}", if good { "ok" } else { "failed: mend the contracts the lines above name" });
    Ok(good)
}

/// What the gateway answers at `/api/openapi.json`.
fn document(root: &Path) -> Result<Vec<u8>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["run", "--quiet", "-p", "probity-gateway", "--example", "openapi"];
    let output =
        Command::new(cargo).args(args).current_dir(root).output().context("cargo cannot be started")?;
    ensure!(output.status.success(), "no document: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
