//! `probity dev fault`: drills on a platform that runs.

use crate::args::{FaultArgs, FaultCommand};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Output, note, plain, word};
use probity_proto::monitoring::{
    ClearFaultsRequest, FaultKind, Faults, InjectFaultRequest, ListFaultsRequest,
};
use prost_types::Duration;

/// Runs a command of the group.
pub(crate) async fn run(client: &Client, command: FaultCommand, out: Output) -> Result<(), Failure> {
    let faults = match command {
        FaultCommand::Kill(fault) => inject(client, FaultKind::Kill, fault, None).await?,
        FaultCommand::Slow { fault, delay } => inject(client, FaultKind::Slow, fault, Some(delay)).await?,
        FaultCommand::Error(fault) => inject(client, FaultKind::Error, fault, None).await?,
        FaultCommand::Partition(fault) => inject(client, FaultKind::Partition, fault, None).await?,
        FaultCommand::Clear { peer } => clear(client, peer.unwrap_or_default()).await?,
        FaultCommand::List => list(client).await?,
    };
    for away in &faults.unreachable {
        note(format_args!("{} could not be asked: {}", away.service, plain(&away.reason)));
    }
    print(&faults, out)
}

async fn inject(
    client: &Client,
    kind: FaultKind,
    fault: FaultArgs,
    delay: Option<i64>,
) -> Result<Faults, Failure> {
    let seconds = |seconds| Duration { seconds, nanos: 0 };
    let request = InjectFaultRequest {
        peer: fault.peer,
        kind: kind.into(),
        lasts: Some(seconds(fault.lasts)),
        delay: delay.map(seconds),
        percent: fault.percent,
    };
    let call = |client: Client, request| async move { client.drills().inject_fault(request).await };
    client.call("inject the fault", None, request, call).await
}

async fn clear(client: &Client, peer: String) -> Result<Faults, Failure> {
    let call = |client: Client, request| async move { client.drills().clear_faults(request).await };
    client.call("end the faults", None, ClearFaultsRequest { peer }, call).await
}

async fn list(client: &Client) -> Result<Faults, Failure> {
    let call = |client: Client, request| async move { client.drills().list_faults(request).await };
    client.call("list the faults", None, ListFaultsRequest {}, call).await
}

fn print(faults: &Faults, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&output::json("probity.monitoring.v1.Faults", faults)?);
    }
    if faults.faults.is_empty() {
        return out.line("no faults");
    }
    let mut table = output::table(&["CALLS FROM", "TO", "FAULT", "SHARE", "ENDS IN"]);
    for fault in &faults.faults {
        let kind = word("FAULT_KIND_", fault.kind().as_str_name());
        let delay = fault.delay.map(|delay| format!(" {} s", delay.seconds)).unwrap_or_default();
        let left = fault.remaining.map_or(0, |left| left.seconds);
        table.add_row([
            plain(&fault.service),
            plain(&fault.peer),
            format!("{kind}{delay}"),
            format!("{}%", fault.percent),
            format!("{left} s"),
        ]);
    }
    out.table(&table)
}
