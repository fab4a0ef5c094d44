//! `probity rollout`: gives a canary more and more of the calls while Prometheus says
//! that it does well, and takes everything back when it does not.
//!
//! Routes are read and patched by kubectl, with whatever it is allowed to do.

use crate::args::RolloutArgs;
use crate::failure::Failure;
use crate::http::Api;
use crate::output::Output;
use crate::rollout::{Decision, Limits, Measured, Quiet, Rollout};
use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// Statuses that are the service's failure, not its caller's mistake.
const FAILED: &str = r#"rpc_grpc_status_code=~"2|4|13|14|15""#;
/// Methods that last as long as their caller wishes: their time says nothing.
const LASTING: &str = r#"rpc_method!~"Watch.*|.*Wait.*|Work|Poll.*|TakeTasks|ReadDocument|UploadDocument|StartExecution|RunExecution|unknown""#;

/// By what name the API server knows who changed a share.
const MANAGER: &str = "probity-rollout";
/// How often it is tried to give the shares back.
const TRIES: u32 = 3;

/// Runs the command.
///
/// # Errors
/// When the canary was taken back, or the route cannot be changed.
pub(crate) async fn run(args: RolloutArgs, out: Output) -> Result<(), Failure> {
    let limits = Limits {
        errors: args.max_errors / 100.0,
        p99: args.max_p99,
        calls: f64::from(args.min_calls),
        patience: args.patience,
    };
    let rollout =
        Rollout::new(&args.steps, limits).map_err(|why| Failure::Usage(format!("--steps: {why}")))?;
    let prometheus = Api::new("Prometheus", "--prometheus", &args.prometheus)?;
    let route = Route::of(&args);
    route.set(rollout.share())?;
    let ended = tokio::select! {
        ended = follow(&args, &prometheus, &route, rollout, out) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("it was interrupted").into()),
    };
    let Err(why) = ended else {
        let service = &args.service;
        return out.line(format_args!(
            "{service}: the canary has 100 % of the calls; now set image.tag to its tag and remove istio.canary.{service}"
        ));
    };
    route.set(0).context("the canary could not be taken back; set its weight to 0 by hand")?;
    let why = why.message();
    let why = why.trim_end().trim_start_matches("error: ");
    Err(anyhow!("{}: rolled back to 0 %: {why}", args.service).into())
}

/// Goes from step to step; an error takes the canary back.
async fn follow(
    args: &RolloutArgs,
    prometheus: &Api,
    route: &Route,
    mut rollout: Rollout,
    out: Output,
) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(args.every).await;
        let seen = measure(prometheus, args).await;
        let share = rollout.share();
        let told = tell(seen.as_ref());
        match rollout.next(seen.ok()) {
            Decision::Stay(Quiet::FewCalls) => {
                out.line(format_args!("{share:>3} %  {told}: too few to tell"))?
            }
            Decision::Stay(Quiet::Unmeasured) => out.line(format_args!("{share:>3} %  {told}"))?,
            Decision::Raise(next) => {
                out.line(format_args!("{share:>3} %  {told}: raised to {next} %"))?;
                route.set(next)?;
            }
            Decision::Done => return out.line(format_args!("{share:>3} %  {told}: done")),
            Decision::RollBack(reason) => {
                out.line(format_args!("{share:>3} %  {told}: taken back"))?;
                return Err(anyhow!("{reason}").into());
            }
        }
    }
}

fn tell(seen: Result<&Measured, &Failure>) -> String {
    match seen {
        Ok(Measured { calls, failed, p99 }) => {
            let p99 = p99.map_or_else(|| "-".to_owned(), |p99| format!("{} ms", p99.as_millis()));
            format!("{calls:.0} calls, {failed:.0} failed, p99 {p99}")
        }
        Err(failure) => failure.message().trim_end().trim_start_matches("error: ").to_owned(),
    }
}

/// What the canary did since the last look.
async fn measure(prometheus: &Api, args: &RolloutArgs) -> Result<Measured, Failure> {
    let of = format!(r#"service="{}", {}"#, args.service, args.canary);
    let range = args.every.as_secs();
    let count =
        |and: &str| format!("sum(increase(rpc_server_duration_seconds_count{{{of}{and}}}[{range}s]))");
    let p99 = format!(
        "histogram_quantile(0.99, sum by (le) (increase(rpc_server_duration_seconds_bucket{{{of}, {LASTING}}}[{range}s])))"
    );
    let calls = number(prometheus, &count("")).await?.unwrap_or(0.0);
    let failed = number(prometheus, &count(&format!(", {FAILED}"))).await?.unwrap_or(0.0);
    let p99 = number(prometheus, &p99).await?;
    Ok(Measured { calls, failed, p99: p99.and_then(|s| Duration::try_from_secs_f64(s).ok()) })
}

/// The one number a query has; nothing when it has none.
async fn number(prometheus: &Api, query: &str) -> Result<Option<f64>, Failure> {
    let answer = prometheus.get("/api/v1/query", &[("query", query)]).await?;
    let value = answer.pointer("/data/result/0/value/1").and_then(Value::as_str);
    Ok(value.and_then(|text| text.parse().ok()).filter(|number: &f64| !number.is_nan()))
}

/// The route that splits the calls.
struct Route {
    namespace: String,
    name: String,
}

impl Route {
    /// The gateway is reached from outside, the others by the mesh.
    fn of(args: &RolloutArgs) -> Self {
        let route = if args.service == "gateway" { "ingress" } else { args.service.as_str() };
        Self { namespace: args.namespace.clone(), name: format!("{}-{route}", args.release) }
    }

    /// Gives the canary this share.
    fn set(&self, share: u8) -> anyhow::Result<()> {
        let patch =
            patch(&self.read(&[])?, share).with_context(|| format!("VirtualService {}", self.name))?;
        self.patch(&patch, &["--field-manager", MANAGER])?;
        self.disown()
    }

    fn read(&self, options: &[&str]) -> anyhow::Result<Value> {
        let command = ["get", "virtualservice", &self.name, "-o", "json"];
        let read = self.kubectl(&[&command, options].concat())?;
        serde_json::from_slice(&read).context("kubectl answered no JSON")
    }

    fn patch(&self, patch: &Value, options: &[&str]) -> anyhow::Result<()> {
        let patch = patch.to_string();
        let command = ["patch", "virtualservice", &self.name, "--type", "json", "-p", &patch];
        self.kubectl(&[&command, options].concat()).map(drop)
    }

    /// The next `helm upgrade` may set the shares again: it would be refused what
    /// belongs to somebody else.
    fn disown(&self) -> anyhow::Result<()> {
        let mut tries = 0;
        loop {
            let Some(patch) = disown(&self.read(&["--show-managed-fields"])?) else { return Ok(()) };
            tries += 1;
            match self.patch(&patch, &[]) {
                // Somebody else may have changed the list in between.
                Err(_) if tries < TRIES => {}
                done => return done,
            }
        }
    }

    fn kubectl(&self, command: &[&str]) -> anyhow::Result<Vec<u8>> {
        let ran = Command::new("kubectl").args(["-n", &self.namespace]).args(command).output();
        let ran = ran.context("kubectl cannot be run; is it installed and on the path?")?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            bail!("kubectl {}: {}", command.first().copied().unwrap_or_default(), said.trim());
        }
        Ok(ran.stdout)
    }
}

/// The JSON patch that takes the ownership of what was patched from the list of the API
/// server (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>); none when
/// it is not in there.
fn disown(route: &Value) -> Option<Value> {
    let managers = route.pointer("/metadata/managedFields")?.as_array()?;
    let own = |entry: &Value| entry.get("manager").and_then(Value::as_str) == Some(MANAGER);
    let at = managers.iter().position(own)?;
    Some(json!([
        {"op": "test", "path": format!("/metadata/managedFields/{at}/manager"), "value": MANAGER},
        {"op": "remove", "path": format!("/metadata/managedFields/{at}")},
    ]))
}

/// The JSON patch that gives the canary its share, refused by the API server when
/// somebody else has changed the route in between.
fn patch(route: &Value, share: u8) -> anyhow::Result<Value> {
    let none = Vec::new();
    let http = route.pointer("/spec/http").and_then(Value::as_array).unwrap_or(&none);
    let (at, found) = http
        .iter()
        .enumerate()
        .find(|(_, route)| route.get("name").and_then(Value::as_str) == Some("default"))
        .context("has no route called default")?;
    let targets = found.get("route").and_then(Value::as_array).unwrap_or(&none);
    let place = |subset: &str| {
        let of =
            |target: &Value| target.pointer("/destination/subset").and_then(Value::as_str) == Some(subset);
        targets.iter().position(of)
    };
    let (Some(stable), Some(canary)) = (place("stable"), place("canary")) else {
        bail!("does not split between stable and canary; install one first with istio.canary.SERVICE.tag");
    };
    let version = route.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    let weight = |target: usize, value: u8| json!({"op": "add", "path": format!("/spec/http/{at}/route/{target}/weight"), "value": value});
    Ok(json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        weight(stable, 100 - share.min(100)),
        weight(canary, share.min(100)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_weights_of_the_default_route_are_changed() {
        let to = |subset: &str| json!({"destination": {"host": "h", "subset": subset}});
        let route = json!({
            "metadata": {"resourceVersion": "7"},
            "spec": {"http": [
                {"name": "preview", "route": [to("canary")]},
                {"name": "default", "route": [to("stable"), to("canary")]},
            ]},
        });
        let expect = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "add", "path": "/spec/http/1/route/0/weight", "value": 90},
            {"op": "add", "path": "/spec/http/1/route/1/weight", "value": 10},
        ]);
        assert_eq!(patch(&route, 10).unwrap(), expect);
    }

    #[test]
    fn the_shares_are_given_back_and_nothing_else() {
        let check = |managers: &[&str], expect: Option<usize>| {
            let fields: Vec<_> = managers.iter().map(|manager| json!({"manager": manager})).collect();
            let patch = disown(&json!({"metadata": {"managedFields": fields}}));
            let path = expect.map(|at| json!(format!("/metadata/managedFields/{at}")));
            assert_eq!(patch.as_ref().map(|patch| &patch[1]["path"]), path.as_ref(), "{managers:?}");
            assert!(patch.is_none_or(|patch| patch[0]["value"] == MANAGER), "{managers:?}");
        };
        check(&["helm", MANAGER, "istiod"], Some(1));
        check(&[MANAGER], Some(0));
        check(&["helm", "kubectl-patch"], None);
        check(&[], None);
        assert_eq!(disown(&json!({})), None);
    }

    #[test]
    fn a_route_without_a_canary_is_refused_with_what_to_do() {
        let check = |route: Value, expect: &str| {
            let error = patch(&route, 10).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(json!({}), "no route called default");
        let stable = json!({"destination": {"subset": "stable"}});
        check(json!({"spec": {"http": [{"name": "default", "route": [stable]}]}}), "istio.canary");
    }
}
