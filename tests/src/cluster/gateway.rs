//! A gateway beside the replicas, that ends in order and starts again where it was.

use super::{Cluster, ready};
use probity_testkit::{Child, free_port};
use std::process::Command;
use std::time::{Duration, Instant};

impl Cluster {
    /// Starts a gateway that calls the orchestrators at a port, on a store of its own.
    pub async fn gateway(
        &self,
        orchestrators: u16,
        database: &str,
        env: &[(&'static str, String)],
    ) -> Gateway {
        let mut env = env.to_vec();
        env.push(("PROBITY_GATEWAY__DATABASE__URL", database.to_owned()));
        env.push(("PROBITY_GATEWAY__ADMIN_TOKEN_FILE", self.dir.join("token").display().to_string()));
        env.push(("PROBITY_PEERS__ORCHESTRATOR", format!("http://127.0.0.1:{orchestrators}")));
        let port = free_port();
        let command = self.command("gateway", "probity-gateway", port, &env);
        let mut gateway = Gateway { child: None, port, admin: String::new(), command };
        gateway.start().await;
        gateway
    }
}

/// A gateway beside the replicas.
pub struct Gateway {
    child: Option<Child>,
    /// Where it is called.
    pub port: u16,
    /// Where its admin port is since its last start.
    pub admin: String,
    command: Command,
}

impl Gateway {
    async fn start(&mut self) {
        let mut again = Command::new(self.command.get_program());
        again.args(self.command.get_args());
        again.envs(self.command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let mut child = Child::spawn(again);
        self.admin = ready(&mut child).await;
        self.child = Some(child);
    }

    /// Ends it in order and starts it again; how long the end took.
    pub async fn restart(&mut self, limit: Duration) -> Duration {
        let begun = Instant::now();
        if let Some(child) = self.child.take() {
            let exit = child.terminate(limit).await;
            assert!(exit.status.success(), "it did not stop cleanly:\n{}", exit.output.join("\n"));
        }
        let took = begun.elapsed();
        self.start().await;
        took
    }
}
