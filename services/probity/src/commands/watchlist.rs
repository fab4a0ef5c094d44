//! `probity watchlist`: lists of names to screen against.

use super::case::fresh_key;
use crate::args::WatchlistCommand;
use crate::client::Client;
use crate::failure::Failure;
use crate::input::{self, Document, Found};
use crate::kind::Kind;
use crate::open::upload;
use crate::output::{self, Output, plain, short, time};
use crate::split::Form;
use probity_proto::anticorruption::{ImportWatchlistRequest, ListWatchlistsRequest, Watchlist};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const WATCHLIST: &str = "probity.anticorruption.v1.Watchlist";

/// Runs a command of the group.
pub(crate) async fn run(client: &Client, command: WatchlistCommand, out: Output) -> Result<(), Failure> {
    match command {
        WatchlistCommand::Import { name, entries, aliases } => {
            import(client, name, &entries, aliases.as_deref(), out).await
        }
        WatchlistCommand::List => list(client, out).await,
    }
}

async fn import(
    client: &Client,
    watchlist: String,
    entries: &Path,
    aliases: Option<&Path>,
    out: Output,
) -> Result<(), Failure> {
    let primary_document = upload(client, "text/csv", &document(entries)?).await?;
    let alias_document = match aliases {
        Some(file) => upload(client, "text/csv", &document(file)?).await?,
        None => String::new(),
    };
    let request = ImportWatchlistRequest { watchlist, primary_document, alias_document };
    let call = |client: Client, request| async move { client.findings().import_watchlist(request).await };
    let loaded = client.call("load the watchlist", Some(&fresh_key()), request, call).await?;
    if out.is_json() {
        return out.json(&output::json(WATCHLIST, &loaded)?);
    }
    print(&[loaded], out)
}

/// A file that is uploaded as it is.
fn document(file: &Path) -> Result<Document, Failure> {
    let mut found = None;
    input::read(Kind::Payment, &[PathBuf::from(file)], Form::Auto, &mut |item| {
        found = Some(item);
        ControlFlow::Break(())
    });
    match found {
        Some(Found::Document(document)) => Ok(*document),
        Some(Found::Refused(place, reason)) => Err(anyhow::anyhow!("{place}: {reason}").into()),
        None => Err(anyhow::anyhow!("{}: cannot be read", file.display()).into()),
    }
}

async fn list(client: &Client, out: Output) -> Result<(), Failure> {
    let call = |client: Client, request| async move { client.findings().list_watchlists(request).await };
    let answer = client.call("list the watchlists", None, ListWatchlistsRequest {}, call).await?;
    if out.is_json() {
        return answer.watchlists.iter().try_for_each(|list| out.json_line(&output::json(WATCHLIST, list)?));
    }
    if answer.watchlists.is_empty() {
        return out.line("no watchlists are loaded: names are checked against nothing");
    }
    print(&answer.watchlists, out)
}

fn print(lists: &[Watchlist], out: Output) -> Result<(), Failure> {
    let mut table = output::table(&["NAME", "ENTRIES", "ALIASES", "ROWS REFUSED", "LOADED", "SHA-256"]);
    for list in lists {
        table.add_row(vec![
            plain(&list.watchlist),
            list.entries.to_string(),
            list.aliases.to_string(),
            list.rows_refused.to_string(),
            time(list.load_time.as_ref()),
            short(&list.sha256, 13),
        ]);
    }
    out.table(&table)
}
