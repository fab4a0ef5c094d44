//! Good tokens, and every way to make a bad one that we could think of.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Micros = Micros(1_700_000_000_000_000);
const NOW_S: i64 = 1_700_000_000;

fn key(seed: u8) -> TokenKey {
    TokenKey::new(SigningKey::from_bytes(&[seed; 32]))
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": key(1).id})
}

fn claims() -> Value {
    json!({
        "iss": "probity", "aud": "probity-api", "sub": "users/olga", "tenant": "default",
        "roles": ["officer"], "jti": "t1", "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 60,
    })
}

fn with(mut base: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(base.as_object_mut().and_then(|map| map.remove(name))),
        value => base[name] = value,
    }
    base
}

fn encode(header: &str, claims: &str, signer: &TokenKey) -> String {
    let signed = format!("{}.{}", B64.encode(header), B64.encode(claims));
    format!("{signed}.{}", B64.encode(signer.key.sign(signed.as_bytes()).to_bytes()))
}

fn sign(header: &Value, claims: &Value) -> String {
    encode(&header.to_string(), &claims.to_string(), &key(1))
}

#[test]
fn an_issued_token_is_verified() {
    let grant = Grant {
        actor: "users/olga".into(),
        tenant: "default".into(),
        roles: Roles::new([Role::Officer, Role::Auditor]),
        ttl: Duration::from_secs(60),
        session: None,
    };
    let issued = key(1).issue(&grant, NOW).expect("issued");
    let principal = key(1).verify(&issued.token, NOW).expect("verified");
    assert_eq!(principal.actor, "users/olga");
    assert_eq!(principal.roles, grant.roles);
    assert_eq!(principal.expires, issued.expires);
    assert_eq!(issued.expires, NOW.plus(Duration::from_secs(60)));
}

#[test]
fn times_are_kept_within_the_leeway() {
    let check = |name: &str, at: i64, expect: Result<(), Refused>| {
        let token = sign(&header(), &with(claims(), name, json!(at)));
        assert_eq!(key(1).verify(&token, NOW).map(|_| ()), expect, "{name} {}", at - NOW_S);
    };
    check("exp", NOW_S + 1, Ok(()));
    check("nbf", NOW_S + 30, Ok(()));
    check("nbf", NOW_S + 31, Err(Refused::TooEarly));
    check("iat", NOW_S + 30, Ok(()));
    check("iat", NOW_S + 31, Err(Refused::TooEarly));
    check("exp", i64::MAX, Ok(()));
    check("exp", i64::MIN, Err(Refused::Expired));
    check("nbf", i64::MAX, Err(Refused::TooEarly));
    let old = with(with(claims(), "iat", json!(NOW_S - 900)), "nbf", json!(NOW_S - 900));
    let ended =
        |ago: i64| key(1).verify(&sign(&header(), &with(old.clone(), "exp", json!(NOW_S - ago))), NOW);
    assert!(ended(29).is_ok());
    assert_eq!(ended(30).err(), Some(Refused::Expired));
}

#[test]
fn hostile_headers_are_refused() {
    let check = |header: Value, expect: Refused| {
        let token = sign(&header, &claims());
        assert_eq!(key(1).verify(&token, NOW).err(), Some(expect), "{header}");
    };
    for alg in ["none", "None", "", "HS256", "RS256", "ES256", "EdDSA ", "eddsa", "EDDSA", "Ed25519", "Ed448"]
    {
        check(with(header(), "alg", json!(alg)), Refused::Foreign);
    }
    for typ in ["JWT", "jwt", "", "AT+JWT", "probity-caller+jwt", "application/at+jwt"] {
        check(with(header(), "typ", json!(typ)), Refused::Foreign);
    }
    for kid in ["", "gateway", "../../etc/passwd", "' OR 1=1", &key(2).id, "\u{0}"] {
        check(with(header(), "kid", json!(kid)), Refused::Foreign);
    }
    check(with(header(), "crit", json!(["exp"])), Refused::Foreign);
    check(with(header(), "crit", json!([])), Refused::Foreign);
    for name in ["alg", "typ", "kid"] {
        check(with(header(), name, Value::Null), Refused::Malformed);
        check(with(header(), name, json!(["EdDSA"])), Refused::Malformed);
        check(with(header(), name, json!(7)), Refused::Malformed);
    }
}

#[test]
fn keys_inside_a_token_are_never_used() {
    let stranger = key(2);
    for (name, value) in [
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/chain")),
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(stranger.public.as_bytes())})),
        ("x5c", json!(["AAAA"])),
    ] {
        let header = with(header(), name, value);
        assert!(key(1).verify(&sign(&header, &claims()), NOW).is_ok(), "{name} means nothing");
        let forged = encode(&header.to_string(), &claims().to_string(), &stranger);
        assert_eq!(key(1).verify(&forged, NOW).err(), Some(Refused::Signature), "{name}");
    }
}

#[test]
fn hostile_claims_are_refused() {
    let check = |name: &str, value: Value, expect: Refused| {
        let token = sign(&header(), &with(claims(), name, value.clone()));
        assert_eq!(key(1).verify(&token, NOW).err(), Some(expect), "{name} {value}");
    };
    for name in ["iss", "aud", "sub", "tenant", "roles", "jti", "iat", "nbf", "exp"] {
        check(name, Value::Null, Refused::Malformed);
        check(name, json!({"a": 1}), Refused::Malformed);
    }
    check("iss", json!("probity "), Refused::Audience);
    check("iss", json!("https://evil.example"), Refused::Audience);
    check("aud", json!("probity-platform"), Refused::Audience);
    check("aud", json!(["probity-api"]), Refused::Malformed);
    check("exp", json!("9999999999"), Refused::Malformed);
    check("exp", json!(1e300), Refused::Malformed);
    check(
        "exp",
        json!(NOW_S + 60).to_string().parse::<f64>().map(|f| json!(f + 0.5)).unwrap(),
        Refused::Malformed,
    );
    check("sub", json!("services/orchestrator"), Refused::Claims);
    check("sub", json!("users/"), Refused::Claims);
    check("sub", json!("users/a\nb"), Refused::Claims);
    check("tenant", json!(""), Refused::Claims);
    check("tenant", json!("../other"), Refused::Claims);
    check("roles", json!([]), Refused::Claims);
    check("roles", json!(["service"]), Refused::Claims);
    check("roles", json!(["admin", "service"]), Refused::Claims);
    check("roles", json!(["root"]), Refused::Malformed);
    check("roles", json!("admin"), Refused::Malformed);
    check("jti", json!(""), Refused::Claims);
}

#[test]
fn hostile_shapes_are_refused() {
    let good = sign(&header(), &claims());
    let parts: Vec<_> = good.split('.').collect();
    let (h, c, s) = (parts[0], parts[1], parts[2]);
    let zero = B64.encode([0_u8; 64]);
    let doubled = claims().to_string().replacen('{', r#"{"sub":"users/root","#, 1);
    let check = |token: &str| assert!(key(1).verify(token, NOW).is_err(), "{token:.80}");
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "Bearer".into(),
        format!("{h}.{c}"),
        format!("{h}.{c}."),
        format!("{h}.{c}.{s}."),
        format!("{h}.{c}.{s}.{s}"),
        format!(".{c}.{s}"),
        format!("{h}..{s}"),
        format!("{h}.{c}.{s}="),
        format!("{h}=.{c}.{s}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{h}.{c}.{zero}"),
        format!("{h}.{c}.{}", &s[..s.len() - 1]),
        format!("{c}.{h}.{s}"),
        encode(&header().to_string(), &claims().to_string(), &key(2)),
        encode(&header().to_string(), &doubled, &key(1)),
        encode(&header().to_string(), "[]", &key(1)),
        encode(&header().to_string(), "", &key(1)),
        encode("null", &claims().to_string(), &key(1)),
        encode(&header().to_string().replacen('{', r#"{"alg":"none","#, 1), &claims().to_string(), &key(1)),
        encode(&header().to_string(), &"[".repeat(4_000), &key(1)),
        good.replace('.', "\u{ff0e}"),
        "a".repeat(MAX_TOKEN_LEN + 1),
        format!("{h}.{}.{s}", c.to_uppercase()),
        format!("{good}\0"),
        String::from_utf8(vec![b'A'; MAX_TOKEN_LEN]).unwrap(),
    ] {
        check(&token);
    }
    assert!(key(1).verify(&good, NOW).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_is_noticed(at in 0_usize..400, byte in any::<u8>()) {
        let good = sign(&header(), &claims());
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) && text != good {
            prop_assert!(key(1).verify(&text, NOW).is_err());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        prop_assert!(key(1).verify(&text, NOW).is_err());
    }
}
