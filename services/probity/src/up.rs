//! `probity up`: every service as a process of its own on this machine, with mutual
//! TLS between them, until a signal ends it.
//!
//! Whom a service calls is started before it and stopped after it ([`order`]); one that
//! dies is started again where it was ([`restarts`]). The data folder is the one of
//! `probity dev`: a platform may run either way, one at a time.

mod keeper;
pub mod order;
mod process;
pub mod restarts;

use crate::args::UpArgs;
use crate::failure::Failure;
use crate::guide;
use crate::output::Output;
use crate::platform::{self, DEFAULT_PORT};
use anyhow::Context as _;
use keeper::{Keeper, News};
use probity_resilience::shutdown::signals;
use probity_runtime::config::{Settings, TlsConfig};
use probity_runtime::edges::{ServiceEntry, edges};
use process::Plan;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;

/// News that wait to be printed.
const NEWS: usize = 256;

/// Runs the command.
///
/// # Errors
/// When a service cannot be started, or does not end in time.
pub(crate) async fn run(args: UpArgs, out: Output) -> Result<(), Failure> {
    let data = platform::make_folder(&args.data)?;
    let data = data.canonicalize().context("the data folder cannot be found")?;
    let _lock = platform::lock(&data)?;
    let settings = Settings::load(args.config.as_deref())?;
    let mut signals = std::pin::pin!(signals().context("signals cannot be watched")?);
    let (news, mut arriving) = mpsc::channel(NEWS);
    let mut fleet = Fleet { args, env: env_of(&data, &settings.tls), groups: Vec::new(), news };
    let groups = order::groups(edges());
    out.line(format_args!(
        "starting {} services, each a process, from {}",
        edges().services.len(),
        data.display()
    ))?;
    for group in groups {
        let started = tokio::select! {
            started = fleet.start(&data, group, out) => started,
            _ = signals.next() => return fleet.stop(out).await,
        };
        if let Err(why) = started {
            // What it says of the others matters less than why.
            let _ = fleet.stop(out).await;
            return Err(why.into());
        }
    }
    ready(&fleet, &data, out)?;
    loop {
        tokio::select! {
            Some(news) = arriving.recv() => out.line(news)?,
            _ = signals.next() => break,
        }
    }
    out.line("stopping in order; once more ends it at once")?;
    tokio::select! {
        stopped = fleet.stop(out) => stopped,
        _ = signals.next() => Err(anyhow::anyhow!("ended at once; what was not finished goes on at the next start").into()),
    }
}

fn ready(fleet: &Fleet, data: &Path, out: Output) -> Result<(), Failure> {
    let door = fleet.keepers().find(|keeper| keeper.name() == "gateway").context("there is no gateway")?;
    let (url, token) = (format!("http://{}", platform::reachable(door.addr)), data.join("token"));
    out.line(format_args!("READY {url}"))?;
    out.line(format_args!("  {:<16} {}", "token (admin)", token.display()))?;
    out.line(format_args!("  {:<16} {}", "logs", data.join("logs").display()))?;
    out.line(guide::lines(&guide::program(), &url, &token, None))
}

/// What every service is told beside its flags.
fn env_of(data: &Path, tls: &TlsConfig) -> Vec<(&'static str, String)> {
    let mut env = vec![("PROBITY_GATEWAY__ADMIN_TOKEN_FILE", data.join("token").display().to_string())];
    if *tls == TlsConfig::default() {
        env.push(("PROBITY_TLS__DEVELOPMENT", "true".to_owned()));
    }
    env
}

/// The services that were started, in groups, and where their news go.
struct Fleet {
    args: UpArgs,
    env: Vec<(&'static str, String)>,
    groups: Vec<Vec<Keeper>>,
    news: mpsc::Sender<News>,
}

impl Fleet {
    fn keepers(&self) -> impl Iterator<Item = &Keeper> {
        self.groups.iter().flatten()
    }

    /// Starts a group and waits until all of it is ready.
    async fn start(&mut self, data: &Path, group: Vec<String>, out: Output) -> anyhow::Result<()> {
        let peers: BTreeMap<_, _> = self
            .keepers()
            .map(|keeper| (keeper.name().to_owned(), format!("http://{}", keeper.addr)))
            .collect();
        let plans =
            group.iter().filter_map(|name| edges().service(name)).map(|entry| self.plan(data, entry, &peers));
        let started = plans.map(|plan| Keeper::start(plan, self.news.clone()));
        let started = futures::future::try_join_all(started).await;
        let started = started.context("the platform cannot be started; what runs is stopped")?;
        for keeper in &started {
            let (name, addr, admin) = (keeper.name(), keeper.addr, keeper.admin);
            let line =
                format!("  {name:<22} http://{addr:<22} admin http://{admin:<22} process {}", keeper.id);
            out.line(line).map_err(|_| anyhow::anyhow!("standard output is closed"))?;
        }
        self.groups.push(started);
        Ok(())
    }

    fn plan(&self, data: &Path, entry: &ServiceEntry, peers: &BTreeMap<String, String>) -> Plan {
        let args = &self.args;
        // Beside the usual door stand the usual ports; beside another one, free ones.
        let usual = |port: u16| if args.port == DEFAULT_PORT { port } else { 0 };
        let (host, port) = match entry.name.as_str() {
            "gateway" => (args.host, args.port),
            _ => (Ipv4Addr::LOCALHOST.into(), usual(entry.port)),
        };
        Plan {
            name: entry.name.clone(),
            data: data.to_owned(),
            config: args.config.clone(),
            listen: SocketAddr::from((host, port)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, usual(entry.admin_port))),
            peers: peers.clone(),
            env: self.env.clone(),
        }
    }

    /// Stops the last group first; every service of a group at once.
    async fn stop(self, out: Output) -> Result<(), Failure> {
        let mut clean = true;
        for group in self.groups.into_iter().rev() {
            let stopping = group.into_iter().map(|keeper| async move {
                let name = keeper.name().to_owned();
                (name, keeper.stop().await)
            });
            for (name, stopped) in futures::future::join_all(stopping).await {
                clean &= stopped.is_ok();
                out.line(format_args!(
                    "  {name:<22} {}",
                    stopped.err().unwrap_or_else(|| "stopped".to_owned())
                ))?;
            }
        }
        let undone =
            "some services did not end as they should; what was not finished goes on at the next start";
        if clean { Ok(()) } else { Err(anyhow::anyhow!(undone).into()) }
    }
}
