//! Accounts and sessions, over the wire.

use crate::world::{Answer, World};
use probity_testkit::eventually;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct horse battery";
/// Cheap passwords, quick refusals, no mercy for refresh tokens.
const QUICK: &str =
    "{memory_kib = 64, passes = 1, lanes = 1, failure_delay_ms = 0, refresh_grace_ms = 0, refresh_ms = 100}";

async fn quick() -> World {
    World::with(&[("login", QUICK)]).await
}

impl World {
    async fn account(&self, actor: &str, roles: &[&str]) -> Value {
        let roles: Vec<_> = roles.iter().map(|role| format!("ROLE_{}", role.to_uppercase())).collect();
        let body = json!({"account": {"name": actor, "roles": roles}, "password": PASSWORD});
        let made = self.call("POST /v1/accounts", &body.to_string()).await;
        assert_eq!(made.status, 200, "{made:?}");
        made.json()
    }

    async fn try_login(&self, actor: &str, password: &str) -> Answer {
        let body = json!({"actor": actor, "password": password}).to_string();
        self.call_as("", "POST /v1/sessions:login", &body).await
    }

    async fn login(&self, actor: &str) -> Value {
        let session = self.try_login(actor, PASSWORD).await;
        assert_eq!(session.status, 200, "{session:?}");
        session.json()
    }

    async fn with_refresh_token(&self, verb: &str, session: &Value) -> Answer {
        let body = json!({"refreshToken": session["refreshToken"]}).to_string();
        self.call_as("", &format!("POST /v1/sessions:{verb}"), &body).await
    }

    async fn whoami(&self, session: &Value) -> u16 {
        let token = session["accessToken"].as_str().unwrap();
        self.call_as(token, "GET /v1/whoami", "").await.status.as_u16()
    }
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_password_begins_a_session_with_the_rights_of_its_account() {
    let world = quick().await;
    let made = world.account("users/olga", &["officer", "auditor"]).await;
    assert_eq!((&made["name"], &made["tenant"]), (&json!("users/olga"), &json!("default")));
    assert!(!made.to_string().contains("argon2"), "no hash goes out");
    let session = world.login("users/olga").await;
    let who = &session["principal"];
    assert_eq!(
        (&who["actor"], &who["roles"]),
        (&json!("users/olga"), &json!(["ROLE_OFFICER", "ROLE_AUDITOR"]))
    );
    let token = session["accessToken"].as_str().unwrap();
    assert_eq!(world.call_as(token, "GET /v1/cases/c1", "").await.status, 200);
    assert_eq!(world.peers.last().ctx.actor, "users/olga");
    assert_eq!(code(&world.call_as(token, "GET /v1/accounts", "").await).1, "GTW-0016");
    let refresh = session["refreshToken"].as_str().unwrap();
    assert_eq!(code(&world.call_as(refresh, "GET /v1/whoami", "").await).1, "GTW-0015", "no token of calls");
}

#[tokio::test]
async fn unknown_wrong_and_disabled_are_answered_alike() {
    let world = quick().await;
    world.account("users/olga", &["officer"]).await;
    world.account("users/gone", &["officer"]).await;
    let off = json!({"disabled": true}).to_string();
    assert_eq!(world.call("PATCH /v1/users/gone", &off).await.status, 200);
    let mut answers = Vec::new();
    for (actor, password) in
        [("users/olga", "wrong horse battery"), ("users/nobody", PASSWORD), ("users/gone", PASSWORD)]
    {
        let mut answer = world.try_login(actor, password).await.json();
        assert!(answer["request_id"].is_string());
        answer["request_id"] = json!("");
        answer["trace_id"] = json!("");
        answers.push(answer);
    }
    assert_eq!(answers[0]["code"], "GTW-0027");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

/// The time until a refusal tells nothing either: medians over a few tries each.
#[tokio::test]
async fn unknown_and_wrong_take_the_same_time() {
    let login = "{memory_kib = 16384, passes = 2, lanes = 1, failure_delay_ms = 0, failures_per_account = 0, failures_per_address = 0}";
    let world = World::with(&[("login", login)]).await;
    world.account("users/olga", &["officer"]).await;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..9 {
        for (at, actor) in ["users/olga", "users/nobody"].into_iter().enumerate() {
            let began = Instant::now();
            assert_eq!(world.try_login(actor, "wrong horse battery").await.status, 401);
            times[at].push(began.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort());
    let (wrong, unknown) = (times[0][4].as_secs_f64(), times[1][4].as_secs_f64());
    assert!((0.5..2.0).contains(&(wrong / unknown)), "{wrong} {unknown}");
}

#[tokio::test]
async fn a_refresh_token_serves_once_and_a_second_time_ends_the_session() {
    let world = quick().await;
    world.account("users/olga", &["officer"]).await;
    let first = world.login("users/olga").await;
    let second = world.with_refresh_token("refresh", &first).await.json();
    assert_eq!(second["name"], first["name"]);
    assert_ne!(second["refreshToken"], first["refreshToken"]);
    assert_eq!((world.whoami(&first).await, world.whoami(&second).await), (200, 200));
    let stolen = world.with_refresh_token("refresh", &first).await;
    assert_eq!(code(&stolen), (401, "GTW-0028".to_owned()));
    assert_eq!(code(&world.with_refresh_token("refresh", &second).await).1, "GTW-0028", "the family is over");
    assert_eq!((world.whoami(&first).await, world.whoami(&second).await), (401, 401));
    let reused = eventually(SOON, async || {
        let entries = world.peers.entries("auth.session_reused");
        if entries.len() == 1 { Ok(entries) } else { Err(entries) }
    })
    .await;
    assert_eq!((reused[0].actor.as_str(), reused[0].outcome.as_str()), ("users/olga", "denied"));
}

#[tokio::test]
async fn an_answer_that_was_lost_may_be_asked_for_again() {
    let world = World::with(&[("login", "{memory_kib = 64, passes = 1, lanes = 1}")]).await;
    world.account("users/olga", &["officer"]).await;
    let first = world.login("users/olga").await;
    let second = world.with_refresh_token("refresh", &first).await.json();
    let again = world.with_refresh_token("refresh", &first).await.json();
    assert_eq!(again["refreshToken"], second["refreshToken"]);
    assert_eq!(world.whoami(&again).await, 200);
}

#[tokio::test]
async fn a_logout_ends_every_token_of_the_session_and_no_other() {
    let world = quick().await;
    world.account("users/olga", &["officer"]).await;
    let (phone, desk) = (world.login("users/olga").await, world.login("users/olga").await);
    for _ in 0..2 {
        assert_eq!(world.with_refresh_token("logout", &phone).await.status, 200);
    }
    assert_eq!((world.whoami(&phone).await, world.whoami(&desk).await), (401, 200));
    assert_eq!(code(&world.with_refresh_token("refresh", &phone).await).1, "GTW-0028");
    for token in ["", "x", "a.b.c", desk["accessToken"].as_str().unwrap()] {
        let body = json!({"refreshToken": token}).to_string();
        let refused = world.call_as("", "POST /v1/sessions:logout", &body).await;
        assert!(["GTW-0028", "GTW-0033"].contains(&code(&refused).1.as_str()), "{refused:?}");
    }
}

#[tokio::test]
async fn a_disabled_account_and_a_new_password_end_what_was_begun() {
    let world = quick().await;
    world.account("users/olga", &["officer"]).await;
    let issued = world.token("users/olga", &["officer"]).await;
    let session = world.login("users/olga").await;
    assert_eq!(world.call("PATCH /v1/users/olga", r#"{"disabled": true}"#).await.status, 200);
    assert_eq!(world.whoami(&session).await, 401);
    assert_eq!(world.call_as(&issued, "GET /v1/whoami", "").await.status, 401, "issued ones too");
    let on = world.call("PATCH /v1/users/olga", r#"{"disabled": false}"#).await;
    assert_eq!(on.json()["disabled"], json!(false), "a mask is made of what is given: {on:?}");
    let session = world.login("users/olga").await;
    let changed = json!({"currentPassword": PASSWORD, "newPassword": "a quite different horse"}).to_string();
    let token = session["accessToken"].as_str().unwrap();
    assert_eq!(world.call_as(token, "POST /v1/sessions:changePassword", &changed).await.status, 200);
    assert_eq!(world.whoami(&session).await, 401);
    assert_eq!(world.try_login("users/olga", PASSWORD).await.status, 401);
    assert_eq!(world.try_login("users/olga", "a quite different horse").await.status, 200);
}

#[tokio::test]
async fn too_many_failures_close_an_account_and_an_address() {
    let limits = "{memory_kib = 64, passes = 1, lanes = 1, failure_delay_ms = 0, failures_per_account = 3, failures_per_address = 6}";
    let world = World::with(&[("login", limits)]).await;
    world.account("users/olga", &["officer"]).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(code(&world.try_login("users/olga", "wrong horse battery").await));
    }
    assert!(codes.iter().all(|code| code.1 == "GTW-0027"), "{codes:?}");
    let closed = world.try_login("users/olga", PASSWORD).await;
    assert_eq!(code(&closed), (429, "GTW-0032".to_owned()), "the right one is refused too");
    assert!(!closed.header("retry-after").is_empty());
    for n in 0..3 {
        world.try_login(&format!("users/u{n}"), "wrong horse battery").await;
    }
    let closed = world.try_login("users/paul", PASSWORD).await;
    assert!(closed.text().contains("for this address"), "{closed:?}");
}

#[tokio::test]
async fn accounts_of_the_configuration_are_there_and_bcrypt_becomes_argon2id() {
    let accounts = r#"[{actor = "users/old", roles = ["officer"], password_hash = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe"}]"#;
    let world = World::with(&[("login", QUICK), ("accounts", accounts)]).await;
    for _ in 0..2 {
        assert_eq!(world.try_login("users/old", "password").await.status, 200);
    }
    let logins = eventually(SOON, async || {
        let entries = world.peers.entries("auth.login");
        if entries.len() == 2 { Ok(entries) } else { Err(entries) }
    })
    .await;
    let upgraded: Vec<_> =
        logins.iter().map(|entry| entry.detail.contains("\"hash_upgraded\":true")).collect();
    assert_eq!(upgraded, [true, false]);
    let store = std::fs::read(world.harness.dir().join("gateway/gateway.db")).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&store).contains("correct horse"), "no password in the store");
}

#[tokio::test]
async fn accounts_are_managed_within_a_tenant_only() {
    let world = quick().await;
    world.account("users/olga", &["officer"]).await;
    let body = r#"{"actor":"users/boss","roles":["ROLE_ADMIN"],"tenant":"t2"}"#;
    let boss = world.call("POST /v1/tokens", body).await.json()["token"].as_str().unwrap().to_owned();
    let as_boss = async |call: &str, body: &str| code(&world.call_as(&boss, call, body).await);
    assert_eq!(as_boss("GET /v1/users/olga", "").await, (404, "GTW-0030".to_owned()));
    assert_eq!(as_boss("PATCH /v1/users/olga", r#"{"disabled":true}"#).await.0, 404);
    assert_eq!(as_boss("GET /v1/users/olga?tenant=default", "").await, (403, "GTW-0018".to_owned()));
    assert_eq!(as_boss("POST /v1/signingKeys:rotate", "{}").await, (403, "GTW-0034".to_owned()));
    let own = json!({"account": {"name": "users/olga", "roles": ["ROLE_SUBMITTER"]}, "password": PASSWORD});
    assert_eq!(
        as_boss("POST /v1/accounts", &own.to_string()).await.0,
        200,
        "the same name in another tenant"
    );
    let listed = world.call_as(&boss, "GET /v1/accounts", "").await.json();
    assert_eq!(listed["accounts"].as_array().map(Vec::len), Some(1), "{listed}");
    let body = json!({"actor": "users/olga", "password": PASSWORD, "tenant": "t2"}).to_string();
    let session = world.call_as("", "POST /v1/sessions:login", &body).await.json();
    assert_eq!(session["principal"]["tenant"], "t2");
}

#[tokio::test]
async fn bad_requests_for_accounts_name_the_field() {
    let world = quick().await;
    world.account("users/olga", &["officer"]).await;
    let check = async |call: &str, body: Value, status: u16, field: &str| {
        let answer = world.call(call, &body.to_string()).await;
        let got = answer.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status.as_u16(), got.as_str()), (status, field), "{call} {body} {answer:?}");
    };
    let account = |name: &str, roles: &[&str]| json!({"name": name, "roles": roles});
    let make = |account: Value, password: &str| json!({"account": account, "password": password});
    check("POST /v1/accounts", make(account("olga", &["ROLE_OFFICER"]), PASSWORD), 400, "account.name").await;
    check("POST /v1/accounts", make(account("users/x", &[]), PASSWORD), 400, "account.roles").await;
    check("POST /v1/accounts", make(account("users/x", &["ROLE_SERVICE"]), PASSWORD), 400, "account.roles")
        .await;
    check("POST /v1/accounts", make(account("users/x", &["ROLE_OFFICER"]), "short"), 400, "password").await;
    check("POST /v1/accounts", make(account("users/olga", &["ROLE_OFFICER"]), PASSWORD), 409, "").await;
    check("PATCH /v1/users/olga", json!({"roles": []}), 400, "account.roles").await;
    check("PATCH /v1/users/nobody", json!({"disabled": true}), 404, "").await;
    check("POST /v1/users/olga:setPassword", json!({"password": "olga olga olga"}), 400, "password").await;
    let own = make(account("users/admin", &["ROLE_ADMIN"]), PASSWORD).to_string();
    assert_eq!(world.call("POST /v1/accounts", &own).await.status, 200);
    let locked = world.call("PATCH /v1/users/admin", r#"{"disabled": true}"#).await;
    assert_eq!(code(&locked), (409, "GTW-0035".to_owned()));
}
