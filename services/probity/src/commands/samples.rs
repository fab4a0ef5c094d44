//! `probity samples generate`.

use crate::args::{GenerateArgs, SamplesCommand};
use crate::failure::Failure;
use crate::output::Output;
use crate::samples::{Set, Sizes, write};
use anyhow::Context as _;

/// Runs a command of the group.
pub(crate) fn run(command: SamplesCommand, out: Output) -> Result<(), Failure> {
    let SamplesCommand::Generate(args) = command;
    let set = Set::new(args.seed, sizes(&args));
    write(&set, &args.dir).with_context(|| format!("{} cannot be written", args.dir.display()))?;
    let (tenders, payments, messages, reports) = (args.tenders, args.payments, args.messages, args.reports);
    let dir = args.dir.display();
    out.line(format_args!(
        "wrote {tenders} tenders, {payments} payment files, {messages} messages and {reports} reports to {dir}\n\
         what is hidden in them stands in {dir}/manifest.json"
    ))
}

const fn sizes(args: &GenerateArgs) -> Sizes {
    Sizes {
        tenders: args.tenders,
        jsonl: args.jsonl,
        payments: args.payments,
        rows: args.rows,
        messages: args.messages,
        reports: args.reports,
    }
}
