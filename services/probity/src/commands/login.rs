//! `probity login` and `probity logout`.

use crate::args::identity::{LoginArgs, LogoutArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Output, note, plain};
use crate::session::{self, Kept, Sessions};
use crate::{secret, values};
use probity_proto::gateway::{LoginRequest, LogoutRequest};

/// Begins a session and keeps it.
pub(crate) async fn login(args: LoginArgs, out: Output) -> Result<(), Failure> {
    let path = session::path(&args.connect)?;
    let request = LoginRequest {
        actor: values::actor(&args.actor),
        password: secret::known(&args.password)?.to_string(),
        tenant: args.tenant.unwrap_or_default(),
    };
    let call = |client: Client, request| async move { client.auth().login(request).await };
    let begun = Client::anonymous(&args.connect)?.call("log in", None, request, call).await?;
    Sessions::open(&path)?.set(&args.connect.server, Some(Kept::from(&begun)))?;
    let who = begun.principal.clone().unwrap_or_default();
    if out.is_json() {
        return out.json(&output::json("probity.gateway.v1.Principal", &who)?);
    }
    note(format_args!("the session is kept in {}", path.display()));
    let until = output::time(begun.refresh_expire_time.as_ref());
    out.line(format_args!(
        "{} of {}, until {until} UTC unless it is used",
        plain(&who.actor),
        plain(&who.tenant)
    ))
}

/// Ends the session and forgets it.
pub(crate) async fn logout(args: LogoutArgs, out: Output) -> Result<(), Failure> {
    let mut sessions = Sessions::open(&session::path(&args.connect)?)?;
    let Some(kept) = sessions.get(&args.connect.server).cloned() else {
        return out.line(format_args!("there is no session at {}", args.connect.server));
    };
    let request = LogoutRequest { refresh_token: kept.refresh };
    let call = |client: Client, request| async move { client.auth().logout(request).await };
    let ended = Client::anonymous(&args.connect)?.call("end the session", None, request, call).await;
    // A session that has ended already is what was asked for.
    if let Err(failure) = ended
        && !matches!(&failure, Failure::Call(call) if call.fault().code == "GTW-0028")
    {
        return Err(failure);
    }
    sessions.set(&args.connect.server, None)?;
    out.line("logged out")
}
