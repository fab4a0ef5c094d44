//! From the command line to an exit code.

use crate::args::{
    AuditCommand, Cli, Command, Connect, DevArgs, DevCommand, Format, TraceCommand, WorkflowCommand,
};
use crate::client::Client;
use crate::commands::{
    audit, case, deadletter, execution, fault, key, login, rollout, samples, schedule, seed, task, token,
    trace, trial, user, watchlist, workflow,
};
use crate::failure::Failure;
use crate::output::Output;
use crate::session::client;
use crate::{demo, dev, platform, up};
use anyhow::Context as _;
use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Reads the command line, does what it says, and answers with the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Service(args) = &cli.command {
        return platform::serve(args);
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to be told when standard error is closed as well.
            let _ = std::io::stderr().lock().write_all(failure.message().as_bytes());
            failure.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    if let Command::Samples(args) = cli.command {
        return samples::run(args.command, Output::new(Format::Table));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot start")?;
    let result = runtime.block_on(command(cli.command));
    // A thread that still reads a file or a pipe must not keep the process.
    runtime.shutdown_background();
    result
}

async fn command(command: Command) -> Result<(), Failure> {
    match command {
        Command::Dev(DevArgs { command: Some(DevCommand::Fault(group)), .. }) => {
            fault::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Dev(args) => dev::run(args, Output::new(Format::Table)).await,
        Command::Up(args) => up::run(args, Output::new(Format::Table)).await,
        Command::Demo(args) => demo::run(args, Output::new(Format::Table)).await,
        Command::Case(group) => {
            case::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Audit(group) => audit(group.connect, group.command).await,
        Command::Login(args) => {
            let out = output(&args.connect);
            login::login(args, out).await
        }
        Command::Logout(args) => {
            let out = output(&args.connect);
            login::logout(args, out).await
        }
        Command::User(group) => {
            user::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Key(group) => {
            key::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Token(group) => {
            token::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Workflow(group) => workflow(group.connect, group.command).await,
        Command::Execution(group) => {
            execution::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Schedule(group) => {
            schedule::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Task(group) => {
            task::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Queue(group) => {
            task::queue(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::DeadLetter(group) => {
            deadletter::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Watchlist(group) => {
            watchlist::run(&client(&group.connect).await?, group.command, output(&group.connect)).await
        }
        Command::Samples(args) => samples::run(args.command, Output::new(Format::Table)),
        Command::Service(args) => {
            Err(Failure::Usage(format!("service {} is run before anything else is", args.name)))
        }
        Command::Seed(args) => {
            seed::run(&client(&args.connect).await?, &args, Output::new(args.connect.format())).await
        }
        Command::Rollout(args) => rollout::run(args, Output::new(Format::Table)).await,
        Command::Trace(args) => {
            let TraceCommand::Slow(slow) = args.command;
            trace::slow(slow, Output::new(Format::Table)).await
        }
    }
}

fn output(connect: &Connect) -> Output {
    Output::new(connect.format())
}

/// What is done with a file needs no token and touches no network.
async fn workflow(connect: Connect, command: WorkflowCommand) -> Result<(), Failure> {
    let out = output(&connect);
    match command {
        WorkflowCommand::Lint(args) => trial::lint_files(&args, out).await,
        WorkflowCommand::DryRun(args) => trial::dry(&args, out),
        WorkflowCommand::Simulate(args) => trial::simulated(&args, out),
        WorkflowCommand::Schema => trial::schema(out),
        WorkflowCommand::Render(args) => trial::graph(&args, out),
        WorkflowCommand::List => workflow::list(&client(&connect).await?, out).await,
        WorkflowCommand::Show { name, version } => {
            workflow::show(&client(&connect).await?, &name, version.unwrap_or_default(), out).await
        }
        WorkflowCommand::Register { file } => workflow::register(&client(&connect).await?, &file, out).await,
    }
}

/// Offline verification needs no token and must touch no network; checkpoints
/// and the key of the log are open to everybody.
async fn audit(connect: Connect, command: AuditCommand) -> Result<(), Failure> {
    let out = output(&connect);
    match command {
        AuditCommand::Verify { file, offline: true, key, key_file } => {
            audit::verify_offline(&file, key, key_file.as_deref(), out)
        }
        AuditCommand::Verify { .. } | AuditCommand::Checkpoint => {
            audit::run(&Client::anonymous(&connect)?, command, out).await
        }
        AuditCommand::Receipt { .. } | AuditCommand::Check => {
            audit::run(&client(&connect).await?, command, out).await
        }
    }
}
