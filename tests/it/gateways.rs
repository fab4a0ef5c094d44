//! Two gateways on one store: what one of them was told, the other knows; and what
//! each counts for itself.

use probity_testkit::{Child, Postgres, eventually, free_port};
use probity_tests::doors::{Answer, Doors};
use probity_tests::sandbox::binary;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery staple";
/// Failures that close an account.
const FAILURES: usize = 3;

/// A gateway of its own process; no other service runs.
struct Gateway {
    child: Child,
    doors: Doors,
}

impl Gateway {
    async fn start(dir: &Path, database: &str) -> Self {
        let port = free_port();
        let mut command = Command::new(binary("probity-gateway"));
        command.arg("--data-dir").arg(dir).args(["--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--admin-listen", "127.0.0.1:0"]);
        command.env("PROBITY_TLS__DEVELOPMENT", "true").env("PROBITY_HOST__DEVELOPMENT", "true");
        command.env("PROBITY_GATEWAY__ADMIN_TOKEN_FILE", dir.join("token"));
        command.env("PROBITY_GATEWAY__DATABASE__URL", database);
        for (key, value) in [
            ("MEMORY_KIB", "64"),
            ("PASSES", "1"),
            ("LANES", "1"),
            ("FAILURE_DELAY_MS", "0"),
            ("REFRESH_MS", "100"),
            ("REFRESH_GRACE_MS", "0"),
            ("KEY_ANNOUNCE_MS", "500"),
            ("FAILURES_PER_ACCOUNT", &FAILURES.to_string()),
        ] {
            command.env(format!("PROBITY_GATEWAY__LOGIN__{key}"), value);
        }
        let mut child = Child::spawn(command);
        child.wait_for_line(PATIENCE, |line| line.starts_with("READY ")).await;
        Self { child, doors: Doors::open(&format!("http://127.0.0.1:{port}")).await }
    }

    async fn login(&self, actor: &str, password: &str) -> Answer {
        let body = json!({"actor": actor, "password": password}).to_string();
        self.doors.rest("", "POST /v1/sessions:login", &body).await
    }

    async fn session(&self, actor: &str) -> Value {
        let answer = self.login(actor, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    async fn with_refresh_token(&self, verb: &str, session: &Value) -> Answer {
        let body = json!({"refreshToken": session["refreshToken"]}).to_string();
        self.doors.rest("", &format!("POST /v1/sessions:{verb}"), &body).await
    }

    async fn whoami(&self, token: &str) -> u16 {
        self.doors.rest(token, "GET /v1/whoami", "").await.status
    }

    /// Waits until this gateway answers a token so.
    async fn will_say(&self, token: &str, status: u16) {
        eventually(PATIENCE, async || {
            let got = self.whoami(token).await;
            if got == status { Ok(()) } else { Err(got) }
        })
        .await;
    }

    /// The ids of the keys it publishes.
    async fn published(&self) -> Vec<String> {
        let keys = self.doors.rest("", "GET /.well-known/jwks.json", "").await.body;
        let keys = keys["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|key| key["kid"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn stop(self) {
        let exit = self.child.terminate(Duration::from_secs(40)).await;
        assert!(exit.status.success(), "it did not stop cleanly:\n{}", exit.output.join("\n"));
    }
}

fn access(session: &Value) -> &str {
    session["accessToken"].as_str().expect("a token")
}

/// Two gateways, and the administrator's token.
async fn two(dir: &Path) -> (Gateway, Gateway, String) {
    let database = Postgres::database();
    let one = Gateway::start(dir, &database).await;
    let other = Gateway::start(dir, &database).await;
    let admin = std::fs::read_to_string(dir.join("token")).expect("the token").trim().to_owned();
    assert_eq!((one.whoami(&admin).await, other.whoami(&admin).await), (200, 200));
    let account = json!({"name": "users/olga", "roles": ["ROLE_OFFICER"]});
    let body = json!({"account": account, "password": PASSWORD}).to_string();
    let made = one.doors.rest(&admin, "POST /v1/accounts", &body).await;
    assert_eq!(made.status, 200, "{made:?}");
    (one, other, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_one_gateway_is_one_of_the_other_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other, admin) = two(dir.path()).await;

    // Begun here, used there, refreshed there.
    let begun = one.session("users/olga").await;
    assert_eq!(other.whoami(access(&begun)).await, 200);
    let refreshed = other.with_refresh_token("refresh", &begun).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    // The used refresh token comes again at the first gateway: the session is over at both.
    let stolen = one.with_refresh_token("refresh", &begun).await;
    assert_eq!((stolen.status, &stolen.body["code"]), (401, &json!("GTW-0028")));
    one.will_say(access(&refreshed.body), 401).await;
    other.will_say(access(&refreshed.body), 401).await;

    // A logout there ends it here, and no other session.
    let (phone, desk) = (one.session("users/olga").await, one.session("users/olga").await);
    assert_eq!(other.with_refresh_token("logout", &phone).await.status, 200);
    one.will_say(access(&phone), 401).await;
    assert_eq!((one.whoami(access(&desk)).await, other.whoami(access(&desk)).await), (200, 200));

    // An account that is disabled here is disabled there.
    let off = json!({"disabled": true}).to_string();
    assert_eq!(one.doors.rest(&admin, "PATCH /v1/users/olga", &off).await.status, 200);
    other.will_say(access(&desk), 401).await;
    assert_eq!(other.login("users/olga", PASSWORD).await.status, 401);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_rotated_at_one_gateway_is_known_to_the_other_before_it_signs() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other, admin) = two(dir.path()).await;
    let before = one.session("users/olga").await;
    assert_eq!(one.doors.rest(&admin, "POST /v1/signingKeys:rotate", "{}").await.status, 200);
    let key = |session: &Value| access(session).split('.').next().unwrap_or_default().to_owned();
    // Whoever signs with the new key, the other one takes it; the old one goes on.
    eventually(PATIENCE, async || {
        let (here, there) = (one.session("users/olga").await, other.session("users/olga").await);
        assert_eq!((one.whoami(access(&there)).await, other.whoami(access(&here)).await), (200, 200));
        assert_eq!((one.whoami(access(&before)).await, other.whoami(access(&before)).await), (200, 200));
        if key(&here) != key(&before) && key(&there) == key(&here) {
            Ok(())
        } else {
            Err("the old key signs")
        }
    })
    .await;
    assert_eq!(one.published().await, other.published().await);
    assert_eq!(one.published().await.len(), 2);

    // At once: nobody's token is good any more, at either gateway.
    let leaked = one.session("users/olga").await;
    let now = json!({"atOnce": true}).to_string();
    assert_eq!(one.doors.rest(&admin, "POST /v1/signingKeys:rotate", &now).await.status, 200);
    assert_eq!(one.whoami(access(&leaked)).await, 401);
    other.will_say(access(&leaked), 401).await;
    other.will_say(&admin, 401).await;
    let (here, there) = (one.session("users/olga").await, other.session("users/olga").await);
    assert_eq!((one.whoami(access(&there)).await, other.whoami(access(&here)).await), (200, 200));
    one.stop().await;
    other.stop().await;
}

/// Failures and rates are counted in memory, by each gateway for itself: a row a try
/// would be the attacker's to write. With two gateways there are twice as many.
#[tokio::test(flavor = "multi_thread")]
async fn failures_to_log_in_are_counted_by_each_gateway_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other, _) = two(dir.path()).await;
    for _ in 0..FAILURES {
        let wrong = one.login("users/olga", "wrong horse battery").await;
        assert_eq!((wrong.status, &wrong.body["code"]), (401, &json!("GTW-0027")));
    }
    let closed = one.login("users/olga", PASSWORD).await;
    assert_eq!((closed.status, &closed.body["code"]), (429, &json!("GTW-0032")));
    let wrong = other.login("users/olga", "wrong horse battery").await;
    assert_eq!(wrong.status, 401, "{wrong:?}");
    assert_eq!(other.login("users/olga", PASSWORD).await.status, 200);
    assert_eq!(one.login("users/olga", PASSWORD).await.status, 429, "it stays closed here");
    one.stop().await;
    other.stop().await;
}

/// The first token is signed with the file of the key; when keys have been rotated,
/// with the file and the store.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_the_key_and_the_store_makes_a_token_after_rotations_too() {
    const TEST: &str = "an_operator_with_the_key_and_the_store_makes_a_token_after_rotations_too";
    if !["openssl", "psql"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok()) {
        println!("{TEST} SKIPPED: there is no openssl, or no psql");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let database = Postgres::database();
    let gateway = Gateway::start(dir.path(), &database).await;
    let admin = std::fs::read_to_string(dir.path().join("token")).expect("the token").trim().to_owned();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/scripts/admin-token");
    let made = |more: &[&str]| {
        let mut command = Command::new(script);
        let output = command.arg("--folder").arg(dir.path().join("keys")).args(more).output().expect("bash");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let from_store = ["--database", database.as_str()];
    assert_eq!(gateway.whoami(&made(&[])).await, 200);
    assert_eq!(gateway.whoami(&made(&from_store)).await, 200, "the first key has no salt");
    let now = json!({"atOnce": true}).to_string();
    assert_eq!(gateway.doors.rest(&admin, "POST /v1/signingKeys:rotate", &now).await.status, 200);
    assert_eq!(gateway.whoami(&made(&[])).await, 401, "the file alone signs nothing any more");
    assert_eq!(gateway.whoami(&made(&from_store)).await, 200);
    gateway.stop().await;
}
