//! The whole platform in this process: every service, one port, one folder.
//!
//! A folder serves one process at a time; a lock says so, and a process that was
//! killed leaves none behind.

use crate::args::ServiceArgs;
use crate::failure::Failure;
use anyhow::Context as _;
use probity_anti_corruption::AntiCorruption;
use probity_audit_aggregator::AuditAggregator;
use probity_compliance_validator::ComplianceValidator;
use probity_gateway::Gateway;
use probity_intake::Intake;
use probity_orchestrator::Orchestrator;
use probity_runtime::config::Settings;
use probity_runtime::edges::edges;
use probity_runtime::{App, Host, HostSettings, Running, Service as _};
use probity_spam_detection::SpamDetection;
use probity_telemetry::{Guard, LogFormat, TelemetryConfig};
use std::fs::{File, TryLockError};
use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Port of the gateway when nobody chooses one.
pub const DEFAULT_PORT: u16 = 8080;
const DEFAULT_ADMIN_PORT: u16 = 9080;

/// Where a platform keeps its data and listens.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Folder for everything that is kept.
    pub data: PathBuf,
    /// Address of the gateway.
    pub host: IpAddr,
    /// Port of the gateway; 0 takes a free one.
    pub port: u16,
    /// Port of metrics and probes; by default the usual one beside the usual
    /// gateway port, else a free one.
    pub admin_port: Option<u16>,
    /// Configuration file.
    pub config: Option<PathBuf>,
}

impl Shape {
    /// A platform on this machine alone.
    #[must_use]
    pub fn local(data: &Path, port: u16) -> Self {
        let host = Ipv4Addr::LOCALHOST.into();
        Self { data: data.to_owned(), host, port, admin_port: None, config: None }
    }

    fn admin_listen(&self) -> SocketAddr {
        let usual = if self.port == DEFAULT_PORT { DEFAULT_ADMIN_PORT } else { 0 };
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.admin_port.unwrap_or(usual)))
    }
}

/// A platform that runs in this process.
pub struct Platform {
    running: Running,
    data: PathBuf,
    /// Held for as long as the platform runs.
    _lock: File,
}

impl Platform {
    /// Starts every service and waits until the gateway listens.
    ///
    /// # Errors
    /// When the folder is in use or not writable, the configuration is wrong, or
    /// an address cannot be listened on.
    pub async fn start(shape: &Shape) -> anyhow::Result<Self> {
        let data = make_folder(&shape.data)?;
        let lock = lock(&data)?;
        let mut host = Host::new(HostSettings {
            data_dir: Some(data.clone()),
            config_file: shape.config.clone(),
            listen: Some(SocketAddr::from((shape.host, shape.port))),
            admin_listen: Some(shape.admin_listen()),
            development: true,
            set: vec![("gateway", "admin_token_file", data.join("token").display().to_string())],
            ..HostSettings::default()
        });
        add_services(&mut host);
        Ok(Self { running: host.start().await?, data, _lock: lock })
    }

    /// The address of the gateway, as a client uses it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.running.door_addr()))
    }

    /// The address of metrics and probes.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", reachable(self.running.admin_addr()))
    }

    /// Its folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The token of the administrator.
    ///
    /// # Errors
    /// When the gateway's file cannot be read.
    pub fn token(&self) -> anyhow::Result<String> {
        let file = self.token_file();
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Where the token of the administrator is.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.data.join("token")
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn wait_for_signal(&mut self) {
        self.running.wait_for_signal().await;
    }

    /// Drains and stops; true when everything ended in time.
    pub async fn stop(self) -> bool {
        self.running.stop().await
    }
}

/// Runs one service as `App::main` of its own program does.
#[must_use]
pub(crate) fn serve(args: &ServiceArgs) -> ExitCode {
    let flags = std::iter::once(args.name.clone().into()).chain(args.flags.iter().cloned());
    match args.name.as_str() {
        AuditAggregator::NAME => App::main_with::<AuditAggregator>(flags),
        Intake::NAME => App::main_with::<Intake>(flags),
        SpamDetection::NAME => App::main_with::<SpamDetection>(flags),
        AntiCorruption::NAME => App::main_with::<AntiCorruption>(flags),
        ComplianceValidator::NAME => App::main_with::<ComplianceValidator>(flags),
        Orchestrator::NAME => App::main_with::<Orchestrator>(flags),
        Gateway::NAME => App::main_with::<Gateway>(flags),
        unknown => {
            let names: Vec<_> = edges().services.iter().map(|service| service.name.as_str()).collect();
            let failure =
                Failure::Usage(format!("there is no service {unknown:?}; there are {}", names.join(", ")));
            // Nobody is left to be told when standard error is closed as well.
            let _ = std::io::stderr().lock().write_all(failure.message().as_bytes());
            failure.exit_code()
        }
    }
}

/// Callees before their callers, the door last: so they drain in reverse.
fn add_services(host: &mut Host) {
    host.add::<AuditAggregator>();
    host.add::<Intake>();
    host.add::<SpamDetection>();
    host.add::<AntiCorruption>();
    host.add::<ComplianceValidator>();
    host.add::<Orchestrator>();
    host.add::<Gateway>();
}

/// An address that listens everywhere is reached on this machine.
pub(crate) fn reachable(addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() { SocketAddr::from((Ipv4Addr::LOCALHOST, addr.port())) } else { addr }
}

/// Makes the folder, for its owner only: it holds keys.
pub(crate) fn make_folder(path: &Path) -> anyhow::Result<PathBuf> {
    let shown = path.display();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the data folder {shown} cannot be made"))?;
    Ok(path.to_owned())
}

pub(crate) fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join("lock");
    let mut options = File::options();
    let file = options.create(true).write(true).truncate(false).mode(0o600).open(&path);
    let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            anyhow::bail!(
                "the data folder {} is in use by another platform; stop it, or choose --data",
                data.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).context(format!("{} cannot be locked", path.display())),
    }
}

/// Starts logging: to standard error, readable on a terminal, and only what is at
/// least `level` unless the configuration says otherwise.
///
/// # Errors
/// When the configuration is wrong.
pub fn telemetry(config: Option<&Path>, level: &str) -> anyhow::Result<Guard> {
    let mut telemetry = Settings::load(config)?.telemetry;
    let usual = TelemetryConfig::default();
    if telemetry.log_filter == usual.log_filter {
        level.clone_into(&mut telemetry.log_filter);
    }
    if telemetry.log_format == usual.log_format && std::io::stderr().is_terminal() {
        telemetry.log_format = LogFormat::Pretty;
    }
    Ok(probity_telemetry::init(&telemetry)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_is_private_and_serves_one_platform() {
        let dir = tempfile::tempdir().unwrap();
        let data = make_folder(&dir.path().join("a/b")).unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        let held = lock(&data).unwrap();
        assert!(lock(&data).unwrap_err().to_string().contains("in use"));
        drop(held);
        assert!(lock(&data).is_ok());
    }

    #[test]
    fn admin_ports_do_not_collide_by_default() {
        let check = |port: u16, chosen: Option<u16>, expect: u16| {
            let shape = Shape { admin_port: chosen, ..Shape::local(Path::new("d"), port) };
            assert_eq!(shape.admin_listen().port(), expect);
        };
        check(8080, None, 9080);
        check(0, None, 0);
        check(9999, None, 0);
        check(0, Some(1), 1);
    }
}
