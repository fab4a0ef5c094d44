//! `probity seed`: demonstration cases on any platform, by its API alone.

use crate::args::SeedArgs;
use crate::client::Client;
use crate::commands::show;
use crate::demo::{Opened, is_settled, open_set};
use crate::dev::SEED;
use crate::failure::Failure;
use crate::output::{Output, note, plain};
use probity_proto::orchestrator::{Case, CloseCaseRequest, Disposition};
use std::time::{Duration, Instant};

/// How often a case is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a case may take to be decided or to wait for a person.
const WITHIN: Duration = Duration::from_mins(5);

/// Runs the command.
///
/// # Errors
/// What keeps a case from being opened or decided.
pub(crate) async fn run(client: &Client, args: &SeedArgs, out: Output) -> Result<(), Failure> {
    let (mut cases, mut decided) = (0, 0);
    for set in 0..u64::from(args.sets) {
        let opened = open_set(client, SEED + set).await?;
        cases += opened.len();
        if args.decide {
            for opened in opened {
                decided += usize::from(decide(client, opened).await?);
            }
        }
    }
    if out.is_json() {
        return out.json_line(&serde_json::json!({"cases": cases, "decided": decided}));
    }
    out.line(format_args!("{cases} cases are there, {decided} of them were decided now"))
}

/// Decides a case that waits for a person; true when it did.
async fn decide(client: &Client, opened: Opened) -> Result<bool, Failure> {
    let case = settled(client, opened.case).await?;
    if case.waiting.is_none() {
        return Ok(false);
    }
    let known =
        if opened.item.expected().is_clean() { Disposition::FalsePositive } else { Disposition::Confirmed };
    let key = format!("seed-{}", case.name);
    let request = CloseCaseRequest {
        name: case.name.clone(),
        disposition: known.into(),
        note: "decided with the demonstration data".to_owned(),
    };
    let call = |client: Client, request| async move { client.cases().close_case(request).await };
    match client.call("decide the case", Some(&key), request, call).await {
        Ok(_) => Ok(true),
        // A second pair of eyes is asked for, or somebody was quicker.
        Err(Failure::Call(call)) if !call.is_about_the_caller() => {
            note(format_args!("{}: {}", plain(&case.name), call.reason()));
            Ok(false)
        }
        Err(failure) => Err(failure),
    }
}

/// The case when nothing more happens to it by itself.
async fn settled(client: &Client, mut case: Case) -> Result<Case, Failure> {
    let begun = Instant::now();
    while !is_settled(&case) {
        if begun.elapsed() > WITHIN {
            let (name, minutes) = (plain(&case.name), WITHIN.as_secs() / 60);
            return Err(anyhow::anyhow!("{name} is still on its way after {minutes} minutes").into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        case = show::get(client, &case.name).await?;
    }
    Ok(case)
}
