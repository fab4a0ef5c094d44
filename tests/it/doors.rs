//! One refusal, whichever door was knocked at.

use probity_tests::Embedded;
use probity_tests::doors::{Doors, message, methods};
use serde_json::{Value, json};
use tonic::Code;

/// Asks both doors the same and answers what both said: the code, and the field and
/// the words of each violation.
async fn both(
    doors: &Doors,
    token: &str,
    rpc: &str,
    rest: &str,
    body: &Value,
) -> (u16, Vec<(String, String)>) {
    let methods = methods();
    let method = methods.iter().find(|method| method.full_name() == rpc).expect("an RPC");
    let status = doors.grpc(token, method, message(method, body)).await.expect_err("refused");
    let fault = probity_runtime::fault_of(&status);
    let answer = doors.rest(token, rest, &body.to_string()).await;
    assert_eq!(answer.body["code"], json!(fault.code), "{answer:?} {fault:?}");
    let text = |error: &Value, key: &str| error[key].as_str().unwrap_or_default().to_owned();
    let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
    let over_rest: Vec<_> =
        errors.iter().map(|error| (text(error, "field"), text(error, "description"))).collect();
    let over_grpc: Vec<_> =
        fault.violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect();
    assert_eq!(over_rest, over_grpc, "{answer:?}");
    let expected = match status.code() {
        Code::InvalidArgument => 400,
        Code::NotFound => 404,
        other => panic!("{other:?}"),
    };
    assert_eq!(answer.status, expected, "{answer:?}");
    (answer.status, over_rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_of_a_document_that_is_not_there_is_opened_by_neither_door() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let token = std::fs::read_to_string(dir.path().join("token")).expect("the token").trim().to_owned();
    let doors = Doors::open(&platform.url).await;
    let (rpc, rest) = ("probity.orchestrator.v1.CaseService.OpenCase", "POST /v1/cases");
    let missing = format!("documents/{}", "0".repeat(64));
    let body = json!({"kind": "CASE_KIND_REPORT", "documents": [missing]});
    let (status, violations) = both(&doors, &token, rpc, rest, &body).await;
    let why = format!("there is no {missing}: upload it first, in the same tenant");
    assert_eq!((status, violations), (400, vec![("documents[0]".to_owned(), why)]));

    // A document of another tenant is as missing as one of nobody.
    let text = doors.rest(&token, "POST /v1/documents?mediaType=text/plain", "\"seen\"").await;
    let name = text.body["name"].as_str().expect("a document").to_owned();
    let issue = json!({"actor": "users/boss", "roles": ["ROLE_ADMIN"], "tenant": "t2"}).to_string();
    let boss = doors.rest(&token, "POST /v1/tokens", &issue).await.body;
    let body = json!({"kind": "CASE_KIND_REPORT", "documents": [name]});
    let (status, violations) = both(&doors, boss["token"].as_str().expect("a token"), rpc, rest, &body).await;
    assert_eq!((status, violations[0].0.as_str()), (400, "documents[0]"));
    let opened = doors.rest(&token, rest, &body.to_string()).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    platform.stop().await;
}
