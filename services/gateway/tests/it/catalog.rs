//! What the gateway tells of itself: keys, methods, limits, tokens.

use crate::world::World;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::json;

#[tokio::test]
async fn tokens_can_be_verified_with_the_public_keys() {
    let world = World::new().await;
    let answer = world.call_as("", "GET /.well-known/jwks.json", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let key = &answer.json()["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")));
    let bytes = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let public = VerifyingKey::from_bytes(&bytes.try_into().unwrap()).unwrap();
    let (signed, signature) = world.admin.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    public.verify_strict(signed.as_bytes(), &signature).expect("the administrator's token");
    let header = URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["kid"], key["kid"]);
}

#[tokio::test]
async fn every_method_says_how_it_is_called() {
    let world = World::new().await;
    let methods = world.call_as("", "GET /v1/methods", "").await.json();
    let find = |name: &str| {
        methods["methods"].as_array().unwrap().iter().find(|m| m["name"] == name).cloned().unwrap()
    };
    let close = find("probity.orchestrator.v1.CaseService/CloseCase");
    assert_eq!(close["routes"], json!(["POST /v1/{name=cases/*}:close"]));
    assert_eq!((&close["roles"], &close["readOnly"]), (&json!(["ROLE_OFFICER"]), &json!(false)));
    assert_eq!(find("probity.gateway.v1.GatewayService/GetPlatform")["public"], true);
    assert_eq!(find("probity.audit.v1.AuditService/Append")["routes"], json!([]));
}

#[tokio::test]
async fn limits_are_those_of_the_configuration() {
    let world = World::with(&[("rate_tenant_per_s", "77"), ("max_json_bytes", "4096")]).await;
    let limits = world.call("GET /v1/limits", "").await.json();
    assert_eq!(
        (&limits["tenant"]["perSecond"], &limits["jsonBytes"]),
        (&json!(77), &json!("4096")),
        "{limits}"
    );
}

#[tokio::test]
async fn a_token_is_told_what_it_is_worth() {
    let world = World::new().await;
    let olga = world.token("users/olga", &["officer"]).await;
    let check = async |token: &str| {
        let answer = world.call("POST /v1/tokens:check", &json!({"token": token}).to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let good = check(&olga).await;
    assert_eq!((&good["valid"], &good["principal"]["actor"]), (&json!(true), &json!("users/olga")));
    let bad = check(&format!("{olga}x")).await;
    assert_eq!(bad["valid"], false);
    assert!(!bad["reason"].as_str().unwrap().is_empty() && bad.get("principal").is_none(), "{bad}");
    let denied = world.call_as(&olga, "POST /v1/tokens:check", r#"{"token":"x"}"#).await;
    assert_eq!(denied.status, 403);
}
