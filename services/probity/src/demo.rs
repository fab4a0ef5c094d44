//! `probity demo`: sample cases on their way through the platform.
//!
//! The data folder is kept: the samples carry fixed idempotency keys, so a second
//! run, or one after a crash, goes on with the same cases.

mod board;

use crate::args::DemoArgs;
use crate::client::Client;
use crate::commands::audit::{fetch_receipt, log_key, parse_key};
use crate::commands::case::{is_final, outlook};
use crate::dev::{self, SEED};
use crate::failure::Failure;
use crate::input::{Body, Document, Place};
use crate::open::{Wish, open_case};
use crate::output::{Output, plain};
use crate::platform::{self, Platform, Shape};
use crate::samples::{Item, Set, Sizes};
use crate::{guide, proof};
use anyhow::{Context as _, bail};
use board::Board;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_proto::orchestrator::{Case, WaitKind};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Cases opened at the same time.
const JOBS: usize = 4;
/// How long to go on trying a call to a platform in the same process.
const RETRY_FOR: Duration = Duration::from_secs(10);
/// How often the cases are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the log may take to hold what has happened.
const LOG_WITHIN: Duration = Duration::from_secs(15);

/// Runs the command.
///
/// # Errors
/// With `--exit`, whatever keeps a case from its end or a receipt from holding.
pub(crate) async fn run(args: DemoArgs, out: Output) -> Result<(), Failure> {
    let _telemetry = platform::telemetry(None, "warn")?;
    let mut platform = Platform::start(&Shape::local(&args.data, args.port)).await?;
    out.line(format_args!("READY {}", platform.url()))?;
    dev::write_samples(&platform.data().join("samples"))?;
    let client = Client::with_token(&platform.url(), &platform.token()?, RETRY_FOR)?;
    let data = platform.data().to_owned();
    let shown = tokio::select! {
        shown = show(&client, &data, &args, out) => shown,
        () = platform.wait_for_signal() => return dev::stop(platform).await,
    };
    if args.exit || shown.is_err() {
        let stopped = dev::stop(platform).await;
        return shown.and(stopped);
    }
    next_steps(&platform, &shown?, out)?;
    platform.wait_for_signal().await;
    dev::stop(platform).await
}

/// Opens the samples, follows them to where they stay, and proves one.
async fn show(client: &Client, data: &Path, args: &DemoArgs, out: Output) -> Result<Vec<Case>, Failure> {
    let opened = open_set(client, SEED).await?;
    out.line(format_args!("opened {} cases from {}", opened.len(), data.join("samples").display()))?;
    let within = args.exit.then(|| Duration::from_secs(args.within));
    let cases = follow(client, opened, within, out).await?;
    stuck(&cases)?;
    let ended = cases.iter().filter(|case| is_final(case)).count();
    out.line(format_args!("{ended} cases are decided, {} wait for a person.", cases.len() - ended))?;
    prove(client, data, &cases, out).await?;
    Ok(cases)
}

/// A sample and the case that was opened for it.
pub(crate) struct Opened {
    /// What it was opened for.
    pub(crate) item: Item,
    /// As it stands.
    pub(crate) case: Case,
}

/// Opens the cases of a set, or finds those that were opened before.
pub(crate) async fn open_set(client: &Client, seed: u64) -> Result<Vec<Opened>, Failure> {
    let items: Vec<_> = Set::new(seed, Sizes::default()).items().collect();
    let open = |item: Item| async move {
        let case = open_case(client, &wish(seed, &item), &document(&item)).await?;
        Ok::<_, Failure>(Opened { item, case })
    };
    stream::iter(items).map(open).buffered(JOBS).try_collect().await
}

fn wish(seed: u64, item: &Item) -> Wish {
    Wish {
        kind: item.kind(),
        subject: item.subject().to_owned(),
        definition: String::new(),
        key: format!("demo-{seed}-{}", item.filename()),
    }
}

fn document(item: &Item) -> Document {
    Document {
        place: Place { file: item.filename().into(), line: 0 },
        number: 1,
        filename: item.filename().to_owned(),
        sha256: Sha256::digest(item.bytes()).into(),
        subject: item.subject().to_owned(),
        body: Body::Bytes(item.bytes().to_vec().into()),
    }
}

/// Looks at the cases until each is final or waits for a person.
async fn follow(
    client: &Client,
    opened: Vec<Opened>,
    within: Option<Duration>,
    out: Output,
) -> Result<Vec<Case>, Failure> {
    let begin = Instant::now();
    let mut board = Board::new(out, opened);
    loop {
        for name in board.moving() {
            let case = crate::commands::show::get(client, &name).await?;
            board.update(case)?;
        }
        board.draw()?;
        if board.moving().is_empty() {
            return board.finish();
        }
        if let Some(limit) = within.filter(|limit| begin.elapsed() > *limit) {
            let late = board.moving().join(", ");
            return Err(anyhow::anyhow!(
                "after {} s these cases are still on their way: {late}",
                limit.as_secs()
            )
            .into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// True when nothing more happens to the case by itself.
pub(crate) fn is_settled(case: &Case) -> bool {
    is_final(case) || case.waiting.is_some()
}

/// An incident waits for a person too, but none should happen here.
fn stuck(cases: &[Case]) -> Result<(), Failure> {
    let incident = |case: &&Case| case.waiting.as_ref().is_some_and(|w| w.kind() == WaitKind::Incident);
    match cases.iter().find(incident) {
        None => Ok(()),
        Some(case) => Err(anyhow::anyhow!("{}: {}", plain(&case.name), outlook(case)).into()),
    }
}

/// What can be done with a platform that stays up.
fn next_steps(platform: &Platform, cases: &[Case], out: Output) -> Result<(), Failure> {
    let (url, token) = (platform.url(), platform.token_file());
    let program = guide::program();
    if let Some(case) = cases.iter().find(|case| !is_final(case)) {
        let id = plain(case.name.strip_prefix("cases/").unwrap_or(&case.name));
        out.line(format_args!(
            "Decide a case:\n  {}\n  {program} case show {id}\n  \
             {program} case close {id} --disposition confirmed --note \"seen on site\"\n",
            guide::export(&url, &token)
        ))?;
    }
    let sample = platform.data().join("samples/tenders/tender-001.json");
    out.line(guide::lines(&program, &url, &token, Some(&sample)))?;
    out.line(guide::addresses(platform))?;
    out.line("The platform stays up; Ctrl-C ends it.")
}

/// Fetches the receipt of a decided case, writes it down and verifies it without
/// the platform.
async fn prove(client: &Client, data: &Path, cases: &[Case], out: Output) -> Result<(), Failure> {
    let Some(case) = cases.iter().find(|case| is_final(case)) else {
        return Err(anyhow::anyhow!("no case was decided, so there is no decision to prove").into());
    };
    let verifier = log_key(client).await?.verifier_key;
    let key = parse_key(&verifier)?;
    let file = write_receipt(client, data, case).await?;
    let receipt = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let proved =
        proof::verify(&receipt, Some(&key)).context("the receipt of a decided case does not hold")?;
    out.line(format_args!(
        "\nReceipt of {}: verified offline, {} entries in a log of {}.\n  {} audit verify {} --offline --key '{verifier}'\n",
        plain(&case.name),
        proved.entries.len(),
        proved.verified.checkpoint.size,
        guide::program(),
        file.display(),
    ))
}

/// The log follows the cases within moments; the receipt is complete when it
/// tells of the end of the case.
async fn write_receipt(client: &Client, data: &Path, case: &Case) -> anyhow::Result<PathBuf> {
    let folder = data.join("receipts");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let file = folder.join(format!("{}.json", case.name.replace('/', "-")));
    let begin = Instant::now();
    loop {
        let problem = match fetch_receipt(client, &case.name).await {
            Ok(receipt) if tells_the_end(&receipt) => {
                std::fs::write(&file, receipt)
                    .with_context(|| format!("{} cannot be written", file.display()))?;
                return Ok(file);
            }
            Ok(_) => format!("the log does not tell the end of {} yet", case.name),
            Err(failure) => failure.message(),
        };
        if begin.elapsed() > LOG_WITHIN {
            bail!("{}", problem.trim_end());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn tells_the_end(receipt: &str) -> bool {
    let Ok(proved) = proof::verify(receipt.as_bytes(), None) else { return false };
    proved.entries.iter().any(|(_, entry)| entry.action == "execution.ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fixed_and_distinct() {
        let keys: Vec<_> =
            Set::new(SEED, Sizes::default()).items().map(|item| wish(SEED, &item).key).collect();
        assert!(keys.len() >= 12 && keys.len() <= 16, "{}", keys.len());
        assert_eq!(keys[0], format!("demo-{SEED}-tender-001.json"));
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}
