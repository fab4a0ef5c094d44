//! The whole main of a service: flags, telemetry, host, signals.

use crate::config::Settings;
use crate::host::{Host, HostSettings, default_addr};
use crate::service::Service;
use anyhow::Context as _;
use clap::Parser;
use probity_telemetry::TelemetryConfig;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// A service of the Probity platform.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
struct Flags {
    /// Configuration file (TOML).
    #[arg(long, env = "PROBITY_CONFIG")]
    config: Option<PathBuf>,
    /// Folder for everything that is kept.
    #[arg(long, env = "PROBITY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Address to listen on.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Address of the admin port (probes, metrics).
    #[arg(long)]
    admin_listen: Option<SocketAddr>,
    /// Where a peer listens, as NAME=URL; may be repeated.
    #[arg(long = "peer", value_parser = peer)]
    peers: Vec<(String, String)>,
    /// Bring the tables of the service up to date and end; nothing is served.
    #[arg(long)]
    migrate: bool,
    /// Drain and end, as on SIGTERM, when standard input ends: whoever started this
    /// process is gone or wants it to stop.
    #[arg(long, conflicts_with_all = ["migrate", "probe"])]
    until_stdin_ends: bool,
    /// Ask the service that runs with this configuration whether it is ready, and end
    /// with 0 if it is.
    #[arg(long, conflicts_with = "migrate")]
    probe: bool,
}

fn peer(text: &str) -> Result<(String, String), String> {
    let (name, url) =
        text.split_once('=').ok_or("write it as NAME=URL, such as intake=http://10.0.0.7:8086")?;
    Ok((name.to_owned(), url.to_owned()))
}

/// Runs one service as a process.
pub struct App;

impl App {
    /// The main of a service binary: reads flags, environment and file, starts,
    /// prints `READY`, and drains on SIGTERM or SIGINT.
    #[must_use]
    pub fn main<S: Service>() -> ExitCode {
        Self::main_with::<S>(std::env::args_os())
    }

    /// The same with a command line of the caller's, the name of the program first.
    #[must_use]
    pub fn main_with<S: Service>(args: impl IntoIterator<Item = OsString>) -> ExitCode {
        let flags = match Flags::try_parse_from(args) {
            Ok(flags) => flags,
            Err(error) => {
                // Nobody is left to be told when the terminal is closed.
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
        };
        match run::<S>(flags) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                complain(S::NAME, &error);
                ExitCode::FAILURE
            }
        }
    }
}

#[allow(clippy::print_stderr)] // before and after telemetry, the terminal is all there is
fn complain(name: &str, error: &anyhow::Error) {
    eprintln!("{name}: {error:#}");
}

fn run<S: Service>(flags: Flags) -> anyhow::Result<bool> {
    let settings = Settings::load(flags.config.as_deref())?;
    if flags.probe {
        return crate::probe::is_ready(admin_addr::<S>(&flags, &settings));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot start")?;
    runtime.block_on(async {
        let _telemetry =
            probity_telemetry::init(&TelemetryConfig { service: S::NAME.to_owned(), ..settings.telemetry })?;
        let mut host = Host::new(HostSettings {
            data_dir: flags.data_dir,
            config_file: flags.config,
            listen: flags.listen,
            admin_listen: flags.admin_listen,
            peers: flags.peers,
            ..HostSettings::default()
        });
        host.add::<S>();
        if flags.migrate {
            return host.migrate().await.map(|()| true);
        }
        let mut running = host.start().await?;
        announce(S::NAME, running.door_addr(), running.admin_addr());
        tokio::select! {
            () = running.wait_for_signal() => {}
            () = stdin_ends(), if flags.until_stdin_ends => {}
        }
        Ok(running.stop().await)
    })
}

/// Returns when standard input ends. Its thread is not waited for.
async fn stdin_ends() {
    let (ended, is_over) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error is an end too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = is_over.await;
}

fn admin_addr<S: Service>(flags: &Flags, settings: &Settings) -> SocketAddr {
    let chosen = flags.admin_listen.or(settings.host.admin_listen);
    chosen.unwrap_or_else(|| default_addr(S::NAME, |service| service.admin_port))
}

#[allow(clippy::print_stdout)] // the line a supervisor or a test waits for
fn announce(name: &str, addr: SocketAddr, admin: SocketAddr) {
    println!("READY http://{addr} ({name}, admin http://{admin})");
}
