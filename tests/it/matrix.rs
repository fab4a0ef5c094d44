//! Roles × RPCs: every method of the contracts, called by nobody and by somebody of
//! each role, over gRPC and over each of its REST routes, against a running platform.
//! What may be called is read from the options of the contracts.

use futures::StreamExt as _;
use futures::stream;
use probity_proto::access;
use probity_proto::prost_reflect::MethodDescriptor;
use probity_tests::Embedded;
use probity_tests::doors::{Doors, methods};
use probity_types::Role;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tonic::Code;

/// Calls at the same time.
const AT_ONCE: usize = 8;

/// A caller: nobody, or somebody of one role.
#[derive(Clone)]
struct Caller {
    role: Option<Role>,
    token: String,
}

/// What must become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Passes,
    Unauthenticated,
    Denied,
}

impl Caller {
    fn expected(&self, method: &MethodDescriptor) -> Expected {
        let access = access::method(&access::path(method)).cloned().unwrap_or_default();
        let outside = access.roles.iter().any(|role| *role != Role::Service.number());
        match self.role {
            _ if access.public => Expected::Passes,
            None => Expected::Unauthenticated,
            Some(Role::Admin) if outside => Expected::Passes,
            Some(role) if role != Role::Service && access.roles.contains(&role.number()) => Expected::Passes,
            Some(_) => Expected::Denied,
        }
    }

    fn name(&self) -> &'static str {
        self.role.map_or("nobody", Role::as_str)
    }
}

async fn callers(doors: &Doors, admin: &str) -> Vec<Caller> {
    let mut callers = vec![Caller { role: None, token: String::new() }];
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Service) {
        let name = format!("ROLE_{}", role.as_str().to_uppercase());
        let body = json!({"actor": format!("users/{role}"), "roles": [name]}).to_string();
        let issued = doors.rest(admin, "POST /v1/tokens", &body).await;
        let token = issued.body["token"].as_str().unwrap_or_else(|| panic!("{issued:?}")).to_owned();
        callers.push(Caller { role: Some(role), token });
    }
    callers
}

/// `POST /v1/{name=cases/*}:close` as a path of something that is not there.
fn path(route: &str) -> String {
    let (http, template) = route.split_once(' ').expect("METHOD /path");
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, inside)) = rest.split_once('{') {
        let (variable, after) = inside.split_once('}').expect("a variable ends");
        path.push_str(before);
        path.push_str(&variable.split_once('=').map_or("*", |(_, pattern)| pattern).replace('*', "nothing"));
        rest = after;
    }
    format!("{http} {path}{rest}")
}

fn body(call: &str) -> &'static str {
    if call.starts_with("GET") || call.starts_with("DELETE") || call.ends_with("/execute") {
        ""
    } else {
        "{}"
    }
}

fn by_status(status: u16) -> Expected {
    match status {
        401 => Expected::Unauthenticated,
        403 => Expected::Denied,
        _ => Expected::Passes,
    }
}

fn by_code(code: Code) -> Expected {
    match code {
        Code::Unauthenticated => Expected::Unauthenticated,
        Code::PermissionDenied => Expected::Denied,
        _ => Expected::Passes,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_is_open_to_its_roles_and_closed_to_all_others() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let admin = std::fs::read_to_string(dir.path().join("token")).expect("the token");
    let doors = Doors::open(&platform.url).await;
    let callers = callers(&doors, admin.trim()).await;
    let listed = doors.rest("", "GET /v1/methods", "").await.body;
    let routes: BTreeMap<String, Vec<String>> = listed["methods"]
        .as_array()
        .expect("methods")
        .iter()
        .map(|method| {
            let routes = method["routes"].as_array().into_iter().flatten().filter_map(Value::as_str);
            (method["name"].as_str().unwrap_or_default().to_owned(), routes.map(path).collect())
        })
        .collect();
    let methods = methods();
    let mut calls = Vec::new();
    for (method, caller) in methods.iter().flat_map(|m| callers.iter().map(move |c| (m, c))) {
        calls.push((method, caller, None));
        let name = access::path(method);
        let rest = routes.get(name.trim_start_matches('/')).into_iter().flatten();
        calls.extend(rest.map(|call| (method, caller, Some(call))));
    }
    let (grpc, rest) =
        calls.iter().fold((0, 0), |(g, r), call| if call.2.is_none() { (g + 1, r) } else { (g, r + 1) });
    let wrong: Vec<String> = stream::iter(calls)
        .map(async |(method, caller, route)| {
            let expected = caller.expected(method);
            let (got, said) = match route {
                None => {
                    let called = doors.grpc(&caller.token, method, Default::default()).await;
                    let code = called.as_ref().err().map_or(Code::Ok, tonic::Status::code);
                    // a passed call may well be refused for what it asks: by its role, never
                    (by_code(code), format!("{called:?}"))
                }
                Some(call) => {
                    let answer = doors.rest(&caller.token, call, body(call)).await;
                    (by_status(answer.status), format!("{call} {answer:?}"))
                }
            };
            (got != expected).then(|| {
                format!(
                    "{} as {}: {expected:?} expected, {got:?}: {said:.300}",
                    method.full_name(),
                    caller.name()
                )
            })
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!(
        "{} RPCs × {} callers: {grpc} calls over gRPC and {rest} over REST, each as its contract says",
        methods.len(),
        callers.len()
    );
    platform.stop().await;
}
