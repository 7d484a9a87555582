//! The token endpoint, in Entra's words.

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use um_standin::scenario::{CLIENT_ID, TENANT};
use um_standin::{Scenario, Standin};

use common::{good_form, grant, path, post};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[test]
fn a_good_request_gets_a_token_that_says_what_it_is_for() {
    let standin = Standin::start(Scenario::default()).unwrap();
    let json = grant(&standin).json();
    assert_eq!((&json["token_type"], &json["expires_in"]), (&"Bearer".into(), &3599.into()));
    let token = json["access_token"].as_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], "https://outlook.office365.com");
    assert_eq!(claims["roles"], json!(["IMAP.AccessAsApp"]));
    assert_ne!(json["access_token"], grant(&standin).json()["access_token"]);
    assert_eq!(standin.counters().tokens_issued, 2);
    assert_eq!(standin.token_requests()[0].form["client_secret"], um_standin::scenario::CLIENT_SECRET);
}

#[test]
fn errors_have_the_codes_of_the_table() {
    let mut scenario = Scenario::default();
    scenario.clients[0].expired_secrets.push("old".into());
    let standin = Standin::start(scenario).unwrap();
    let good = path(&standin);
    let with = |name: &'static str, value: &'static str| {
        let mut form = good_form();
        form.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
        form
    };
    let delegated = "https://outlook.office365.com/IMAP.AccessAsUser.All";
    let unknown_tenant = good.replace(TENANT, "11111111-2222-3333-4444-555555555555");
    let malformed_tenant = good.replace(TENANT, "tenant_id");
    for (path, form, status, error, code) in [
        (&good, with("client_secret", "wrong"), 401, "invalid_client", 7000215),
        (&good, with("client_secret", "old"), 401, "invalid_client", 7000222),
        (&good, with("client_secret", ""), 401, "invalid_client", 7000218),
        (&good, with("client_id", "nobody"), 400, "unauthorized_client", 700016),
        (&good, with("scope", delegated), 400, "invalid_scope", 1002012),
        (&good, with("scope", "https://nothing.example/.default"), 400, "invalid_resource", 500011),
        (&unknown_tenant, good_form(), 400, "invalid_request", 90002),
        (&malformed_tenant, good_form(), 400, "invalid_request", 900023),
    ] {
        let answer = post(&standin, path, &form).unwrap();
        let json = answer.json();
        assert_eq!((answer.status, json["error"].as_str()), (status, Some(error)), "{code}");
        assert_eq!(json["error_codes"], json!([code]));
        for member in ["error_description", "timestamp", "trace_id", "correlation_id", "error_uri"] {
            assert!(json[member].is_string(), "{member}");
        }
    }
}

#[test]
fn an_assertion_is_taken_by_its_shape() {
    let mut scenario = Scenario::default();
    scenario.clients[0].thumbprints = Some(vec!["good".into()]);
    scenario.clients[0].federated_issuers = vec!["https://issuer.example".into()];
    let standin = Standin::start(scenario).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let assertion = |thumbprint: &str, issuer: &str, expires: u64| {
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint});
        let claims = json!({
            "aud": standin.token_uri(), "iss": issuer, "sub": CLIENT_ID, "jti": "1", "nbf": now, "iat": now, "exp": expires
        });
        [header.to_string(), claims.to_string(), "signature".into()]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".")
    };
    let says = |assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT_ID),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
            ("scope", common::SCOPE),
        ];
        let answer = post(&standin, &path(&standin), &form).unwrap();
        answer.json()["error_codes"][0].as_u64()
    };
    assert_eq!(says(&assertion("good", CLIENT_ID, now + 300)), None);
    assert_eq!(says(&assertion("other", CLIENT_ID, now + 300)), Some(700027));
    assert_eq!(says(&assertion("good", CLIENT_ID, now - 1)), Some(700024));
    assert_eq!(says(&assertion("", "https://issuer.example", now + 300)), None);
    assert_eq!(says("garbage"), Some(50027));
}
