//! `probity workflow`: definitions.

use super::read_text;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Output, plain, short, time, word};
use crate::values;
use probity_proto::orchestrator::{
    Definition, GetDefinitionRequest, ListDefinitionsRequest, RegisterDefinitionRequest,
};
use std::path::Path;

/// Largest definition the platform takes.
const MOST_BYTES: u64 = 256 * 1024;
const DEFINITION: &str = "probity.orchestrator.v1.Definition";

/// Lists the definitions.
pub(crate) async fn list(client: &Client, out: Output) -> Result<(), Failure> {
    let call = |client: Client, request| async move { client.workflows().list_definitions(request).await };
    let answer = client.call("list the definitions", None, ListDefinitionsRequest {}, call).await?;
    let mut table = output::table(&["NAME", "DEFAULT FOR", "VERSION", "STEPS", "REGISTERED"]);
    for definition in &answer.definitions {
        if out.is_json() {
            out.json_line(&output::json(DEFINITION, definition)?)?;
        }
        table.add_row([
            plain(definition.name.strip_prefix("definitions/").unwrap_or(&definition.name)),
            word("CASE_KIND_", definition.kind().as_str_name()),
            short(&definition.version, 13),
            plain(&definition.steps.join(" → ")),
            time(definition.create_time.as_ref()),
        ]);
    }
    if out.is_json() { Ok(()) } else { out.table(&table) }
}

/// Prints the source of a definition.
pub(crate) async fn show(client: &Client, name: &str, version: String, out: Output) -> Result<(), Failure> {
    let request = GetDefinitionRequest { name: values::name("definitions", name), version };
    let call = |client: Client, request| async move { client.workflows().get_definition(request).await };
    let definition = client.call("get the definition", None, request, call).await?;
    if out.is_json() {
        return out.json(&output::json(DEFINITION, &definition)?);
    }
    out.line(definition.source.trim_end())
}

/// Makes a definition the newest version of its name.
pub(crate) async fn register(client: &Client, file: &Path, out: Output) -> Result<(), Failure> {
    let request = RegisterDefinitionRequest { source: read_text(file, MOST_BYTES)?, validate_only: false };
    let call = |client: Client, request| async move { client.workflows().register_definition(request).await };
    let definition: Definition = client.call("register the definition", None, request, call).await?;
    if out.is_json() {
        return out.json(&output::json(DEFINITION, &definition)?);
    }
    out.line(format_args!(
        "{}: registered as {} @ {}: {}",
        file.display(),
        plain(&definition.name),
        short(&definition.version, 13),
        plain(&definition.steps.join(" → "))
    ))
}
