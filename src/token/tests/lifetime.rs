//! How long a token is kept, and when it is renewed.

use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::*;

#[test]
fn a_token_is_asked_for_once_until_it_is_forgotten() {
    let endpoint = Endpoint::answering(&[&issued("one", HOUR), &issued("two", HOUR)]);
    let one = endpoint.token().unwrap();
    let again = endpoint.token().unwrap();
    assert_eq!((again.secret(), again.is_fresh()), ("one", false));
    forget(&endpoint.oauth2, &again);
    let two = endpoint.token().unwrap();
    assert_eq!((two.secret(), two.is_fresh()), ("two", true));
    // Somebody was refused with the old one in the meantime.
    forget(&endpoint.oauth2, &one);
    assert_eq!(endpoint.token().unwrap().secret(), "two");
    assert_eq!(endpoint.asked(), 2);
}

#[test]
fn another_secret_client_or_scope_has_another_token() {
    let mut endpoint = Endpoint::answering(&[&issued("t0ken", HOUR)]);
    endpoint.token().unwrap();
    endpoint.oauth2.scope.push('x');
    assert!(endpoint.token().unwrap().is_fresh());
    endpoint.oauth2.client_id.push('x');
    assert!(endpoint.token().unwrap().is_fresh());
    endpoint.oauth2.credential = Credential::ClientSecret("another".into());
    assert!(endpoint.token().unwrap().is_fresh());
    assert!(!endpoint.token().unwrap().is_fresh());
}

#[test]
fn any_expires_in_is_survived() {
    for (expires_in, kept) in [
        (r#","expires_in":3599"#, true),
        (r#","expires_in":"3599""#, true),
        (r#","expires_in":3599.5"#, true),
        ("", true),
        (r#","expires_in":null"#, true),
        (r#","expires_in":"soon""#, true),
        (r#","expires_in":{"a":[1]}"#, true),
        (r#","expires_in":99999999999999999999999999"#, true),
        (r#","expires_in":1e999"#, true),
        (r#","expires_in":"NaN""#, true),
        (r#","expires_in":0"#, false),
        (r#","expires_in":-1"#, false),
        (r#","expires_in":"-1e999""#, false),
    ] {
        let endpoint = Endpoint::answering(&[&issued("t0ken", expires_in)]);
        assert_eq!(endpoint.token().unwrap().secret(), "t0ken", "{expires_in}");
        assert_eq!(endpoint.token().unwrap().is_fresh(), !kept, "{expires_in}");
    }
}

#[test]
fn a_token_is_renewed_before_its_end() {
    let endpoint = Endpoint::answering(&[&issued("one", r#","expires_in":2"#), &issued("two", HOUR)]);
    endpoint.token().unwrap();
    assert!(!endpoint.token().unwrap().is_fresh());
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(endpoint.token().unwrap().secret(), "two");
}

#[test]
fn the_old_token_serves_on_when_an_early_renewal_fails() {
    let early = issued("one", r#","expires_in":3599,"refresh_in":"1""#);
    let endpoint = Endpoint::answering(&[&early, &json("503 Service Unavailable", "{}")]);
    endpoint.token().unwrap();
    thread::sleep(Duration::from_millis(1100));
    let start = Instant::now();
    for _ in 0..3 {
        let old = endpoint.token().unwrap();
        assert_eq!((old.secret(), old.is_fresh()), ("one", false));
    }
    assert!(start.elapsed() < NO_TIME, "nobody waits for repetitions");
    assert_eq!(endpoint.asked(), 2, "one attempt, then a pause");
    let warnings = endpoint
        .logged()
        .into_iter()
        .filter(|text| text.contains("HTTP 503") && text.contains("the current one"));
    assert_eq!(warnings.count(), 1);
}

#[test]
fn the_token_is_gone_when_it_has_ended_and_cannot_be_renewed() {
    let refusal = json("401 Unauthorized", r#"{"error":"invalid_client"}"#);
    let endpoint = Endpoint::answering(&[&issued("one", r#","expires_in":1"#), &refusal]);
    endpoint.token().unwrap();
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(endpoint.failure().observed, "HTTP 401 invalid_client");
}

#[test]
fn a_token_does_not_show_itself() {
    let token = Endpoint::answering(&[&issued("Pl4nted", HOUR)]).token().unwrap();
    assert_eq!(format!("{token:?}"), "AccessToken { fresh: true, .. }");
}

#[test]
fn a_token_without_the_permission_is_warned_of_when_it_comes_and_not_again() {
    let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"aud":"https://outlook.office365.com"}"#);
    let mut endpoint = Endpoint::answering(&[&issued(&format!("e30.{claims}.c2ln"), HOUR)]);
    endpoint.names = Names::of(Some("inbox_2"));
    endpoint.oauth2.debug = false;
    assert!(endpoint.token().unwrap().claims().is_some());
    endpoint.token().unwrap();
    assert_eq!(
        endpoint.logged(),
        [
            "token: the access token has no role IMAP.AccessAsApp [cmsbs.bouncelistener.inbox_2.oauth2.clientId]"
        ]
    );
}
