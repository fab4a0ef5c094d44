//! `probity dev` and `up`: the platform in one process or many, and drills on it.

use super::Group;
use clap::{Args, Subcommand};
use std::net::IpAddr;
use std::path::PathBuf;

/// `probity dev`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DevArgs {
    /// What to do to a platform that runs.
    #[command(subcommand)]
    pub command: Option<DevCommand>,
    /// Port of the gateway; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Address to listen on. There is no TLS here: keep it on this machine, or
    /// behind a proxy that has.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port of metrics and probes; 0 takes a free one. Default: the gateway's own,
    /// or a free one beside a chosen --port.
    #[arg(long)]
    pub admin_port: Option<u16>,
    /// Folder for everything that is kept.
    #[arg(long, default_value = "data")]
    pub data: PathBuf,
    /// Configuration file (TOML).
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Do not write sample files into an empty data folder.
    #[arg(long)]
    pub no_samples: bool,
}

/// `probity dev …`.
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Inject faults into the calls to a service, for drills.
    Fault(Group<FaultCommand>),
}

/// `probity dev fault …`.
#[derive(Debug, Subcommand)]
pub enum FaultCommand {
    /// Calls are refused at once, as if nobody listened.
    Kill(FaultArgs),
    /// Calls take longer.
    Slow {
        /// Which, and how long.
        #[command(flatten)]
        fault: FaultArgs,
        /// How much longer, such as 3s.
        #[arg(long, default_value = "3s", value_parser = crate::values::seconds)]
        delay: i64,
    },
    /// Calls are carried out, and their answers are lost.
    Error(FaultArgs),
    /// Calls vanish: there is no answer until the caller gives up.
    Partition(FaultArgs),
    /// End faults before their time.
    Clear {
        /// Those of this service; all without it.
        peer: Option<String>,
    },
    /// Show the faults there are.
    List,
}

/// Which calls meet a fault, and how long.
#[derive(Debug, Clone, Args)]
pub struct FaultArgs {
    /// The service that is called, such as intake.
    pub peer: String,
    /// How long, such as 30s; at most 10m.
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = crate::values::seconds)]
    pub lasts: i64,
    /// The share of calls that meet it.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub percent: i32,
}

/// `probity up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Port of the gateway; 0 takes a free one. Beside the default port services listen
    /// on their usual ones, beside another on free ones.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Address of the gateway; services listen on this machine alone. There is no TLS at
    /// the gateway: keep it on this machine, or behind a proxy that has.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Folder for everything that is kept, the same as that of `probity dev`.
    #[arg(long, default_value = "data")]
    pub data: PathBuf,
    /// Configuration file (TOML) of all services. Without `[tls]` in it, services get
    /// certificates of an authority made in the data folder.
    #[arg(long)]
    pub config: Option<PathBuf>,
}

/// `probity service`.
#[derive(Debug, Clone, Args)]
pub struct ServiceArgs {
    /// Which.
    pub name: String,
    /// Flags of a service; see `probity service NAME --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub flags: Vec<std::ffi::OsString>,
}
