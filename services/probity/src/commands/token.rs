//! `probity token`: tokens for others.

use crate::args::TokenCommand;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Output, note};
use crate::values;
use probity_proto::gateway::{IssueTokenRequest, IssuedToken};

/// Runs a command of the group.
pub(crate) async fn run(client: &Client, command: TokenCommand, out: Output) -> Result<(), Failure> {
    let TokenCommand::Issue { actor, roles, ttl } = command;
    let request = IssueTokenRequest {
        actor: values::actor(&actor),
        roles: roles.iter().map(|role| role.number()).collect(),
        ttl_seconds: ttl,
        ..IssueTokenRequest::default()
    };
    let issued = issue(client, request).await?;
    if out.is_json() {
        return out.json(&output::json("probity.gateway.v1.IssuedToken", &issued)?);
    }
    // The token alone goes to standard output, so that it can go to a file.
    note(format_args!(
        "valid until {} UTC; it is shown this once",
        output::time(issued.expire_time.as_ref())
    ));
    out.line(issued.token)
}

async fn issue(client: &Client, request: IssueTokenRequest) -> Result<IssuedToken, Failure> {
    let call = |client: Client, request| async move { client.gateway().issue_token(request).await };
    client.call("issue the token", None, request, call).await
}
