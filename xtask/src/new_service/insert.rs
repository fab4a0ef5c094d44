//! The lines a new service needs in files that exist.

use super::Names;
use crate::{edges, tree};
use anyhow::{Context as _, Result};
use std::path::Path;

/// Adds the service to the table, the manifest and the contracts' crate.
pub(super) fn everything(root: &Path, names: &Names) -> Result<()> {
    change(root, edges::FILE, |text| table(&text, names))?;
    change(root, "Cargo.toml", |text| manifest(&text, names))?;
    change(root, "crates/proto/src/lib.rs", |text| contracts(&text, names))
}

fn change(root: &Path, file: &str, edit: impl FnOnce(String) -> Result<String>) -> Result<()> {
    let text = edit(tree::read(root, file)?).with_context(|| format!("{file} cannot be changed"))?;
    tree::write(root, file, &text)
}

fn table(text: &str, names: &Names) -> Result<String> {
    let service = names.fill(
        "[[service]]\nname = \"{{name}}\"\nerrors = \"{{ERR}}\"\npackage = [\"probity.{{package}}.v1\"]\n\
         port = {{port}}\nadmin_port = {{admin_port}}\ncritical = false\nstore = true\n\n",
    );
    let edges = names.fill(
        "[[edge]]\nfrom = \"gateway\"\nto = \"{{name}}\"\nwhy = \"carries requests of users\"\n\n\
         [[edge]]\nfrom = \"{{name}}\"\nto = \"audit-aggregator\"\nwhy = \"relays its outbox\"\n\n",
    );
    let text = before(
        text,
        "# ------------------------------------------------------------------- edges",
        &service,
    )?;
    let text =
        before(&text, "# ------------------------------------------------------------------ layers", &edges)?;
    after_last(&text, "    \"probity-intake\",\n", &names.fill("    \"probity-{{name}}\",\n"))
}

fn manifest(text: &str, names: &Names) -> Result<String> {
    let line = names.fill("probity-{{name}} = { path = \"services/{{name}}\" }\n");
    after_last(text, "probity-intake = { path = \"services/intake\" }\n", &line)
}

fn contracts(text: &str, names: &Names) -> Result<String> {
    let line = names.fill("pub use pb::probity::{{package}}::v1 as {{package}};\n");
    before(text, "\nuse std::sync::LazyLock;", &line)
}

fn before(text: &str, marker: &str, addition: &str) -> Result<String> {
    let at = text.find(marker).with_context(|| format!("{:?} is not in it", marker.trim()))?;
    Ok(format!("{}{addition}{}", &text[..at], &text[at..]))
}

fn after_last(text: &str, marker: &str, addition: &str) -> Result<String> {
    let at = text.rfind(marker).with_context(|| format!("{:?} is not in it", marker.trim()))? + marker.len();
    Ok(format!("{}{addition}{}", &text[..at], &text[at..]))
}
