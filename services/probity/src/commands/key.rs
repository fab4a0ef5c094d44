//! `probity key`: the keys that sign the tokens of users.

use crate::args::identity::KeyCommand;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Output, plain, time};
use probity_proto::gateway::{
    ListSigningKeysRequest, ListSigningKeysResponse, RotateKeyRequest, SigningKeyState,
};

/// Runs a command of the group.
pub(crate) async fn run(client: &Client, command: KeyCommand, out: Output) -> Result<(), Failure> {
    let keys = match command {
        KeyCommand::List => {
            let call =
                |client: Client, request| async move { client.auth().list_signing_keys(request).await };
            client.call("list the keys", None, ListSigningKeysRequest {}, call).await?
        }
        KeyCommand::Rotate { at_once } => {
            let call = |client: Client, request| async move { client.auth().rotate_key(request).await };
            client.call("rotate the key", None, RotateKeyRequest { at_once }, call).await?
        }
    };
    print(&keys, out)
}

fn print(keys: &ListSigningKeysResponse, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&output::json("probity.gateway.v1.ListSigningKeysResponse", keys)?);
    }
    let mut table = output::table(&["KEY", "STATE", "MADE", "SIGNS FROM", "ENDS"]);
    for key in &keys.keys {
        let state = match key.state() {
            SigningKeyState::Unspecified => "-",
            SigningKeyState::Announced => "announced",
            SigningKeyState::Signing => "signing",
            SigningKeyState::Verifying => "verifying",
            SigningKeyState::Ended => "ended",
        };
        table.add_row(vec![
            plain(&key.id),
            state.to_owned(),
            time(key.create_time.as_ref()),
            time(key.sign_time.as_ref()),
            time(key.end_time.as_ref()),
        ]);
    }
    out.table(&table)
}
