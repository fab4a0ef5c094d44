//! What people do to executions.

use super::name;
use crate::args::flows::ExecutionCommand;
use crate::client::Client;
use crate::commands::case::fresh_key;
use crate::commands::json_bytes;
use crate::failure::Failure;
use probity_proto::orchestrator::*;

/// Does it; answers the execution as it is then.
pub(super) async fn run(client: &Client, command: ExecutionCommand) -> Result<Execution, Failure> {
    match command {
        ExecutionCommand::Cancel { id, reason } => {
            let request = CancelExecutionRequest { name: name(&id), reason };
            let call = |c: Client, request| async move { c.executions().cancel_execution(request).await };
            client.call("cancel the execution", None, request, call).await
        }
        ExecutionCommand::Pause { id, reason } => {
            let request = PauseExecutionRequest { name: name(&id), reason };
            let call = |c: Client, request| async move { c.executions().pause_execution(request).await };
            client.call("pause the execution", None, request, call).await
        }
        ExecutionCommand::Resume { id } => {
            let request = ResumeExecutionRequest { name: name(&id) };
            let call = |c: Client, request| async move { c.executions().resume_execution(request).await };
            client.call("resume the execution", None, request, call).await
        }
        ExecutionCommand::Retry { id, step } => {
            let request = RetryStepRequest { name: name(&id), step };
            let call = |c: Client, request| async move { c.workflows().retry_step(request).await };
            client.call("retry the step", None, request, call).await
        }
        ExecutionCommand::Skip { id, step, reason } => {
            let request = SkipStepRequest { name: name(&id), step, reason };
            let call = |c: Client, request| async move { c.workflows().skip_step(request).await };
            client.call("skip the step", None, request, call).await
        }
        other => branch(client, other).await,
    }
}

async fn branch(client: &Client, command: ExecutionCommand) -> Result<Execution, Failure> {
    match command {
        ExecutionCommand::Rerun { id, step, reason } => {
            let request = RerunExecutionRequest { name: name(&id), step, reason };
            let call = |c: Client, request| async move { c.executions().rerun_execution(request).await };
            client.call("run the step again", None, request, call).await
        }
        ExecutionCommand::Fork { id, step, input } => {
            let input = input.as_deref().map(json_bytes).transpose()?.unwrap_or_default().into();
            let request = ForkExecutionRequest { name: name(&id), step, input, request_id: String::new() };
            let call = |c: Client, request| async move { c.executions().fork_execution(request).await };
            client.call("fork the execution", Some(&fresh_key()), request, call).await
        }
        ExecutionCommand::Signal { id, signal, payload, signal_id } => {
            let payload = payload.as_deref().map(json_bytes).transpose()?.unwrap_or_default().into();
            let signal_id = signal_id.unwrap_or_default();
            let request = SignalExecutionRequest { name: name(&id), signal, payload, signal_id };
            let call = |c: Client, request| async move { c.executions().signal_execution(request).await };
            client.call("send the signal", Some(&fresh_key()), request, call).await
        }
        // What only reads is done elsewhere.
        _ => Err(Failure::Usage("this command changes nothing".to_owned())),
    }
}
