//! Certificates, assertions and secrets: what is sent, and what is said of their end.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json as json_value};

use super::*;

#[test]
fn a_certificate_signs_an_assertion_for_each_request() {
    let mut endpoint = Endpoint::answering(&[&issued("one", HOUR), &issued("two", HOUR)]);
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/token/fixtures/pkcs8.pem"));
    let key = certificate::Certified::read(&file, None).unwrap();
    endpoint.oauth2.credential = Credential::Certificate { file, password: None };
    endpoint.oauth2.client_id = "a-client".into();
    let token = endpoint.token().unwrap();
    forget(&endpoint.oauth2, &token);
    endpoint.token().unwrap();

    let mut ids = Vec::new();
    for request in endpoint.requests.lock().unwrap().iter() {
        let (_, form) = request.split_once("\r\n\r\n").unwrap();
        let field = |name: &str| form.split('&').find_map(|field| field.strip_prefix(&format!("{name}=")));
        assert_eq!(
            field("client_assertion_type"),
            Some("urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer")
        );
        assert_eq!((field("client_id"), field("client_secret")), (Some("a-client"), None));
        let assertion = field("client_assertion").unwrap();
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public_key())
            .verify(signed.as_bytes(), &decode(signature))
            .unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let header: Value = serde_json::from_slice(&decode(header)).unwrap();
        assert_eq!(header, json_value!({"alg": "PS256", "typ": "JWT", "x5t#S256": key.thumbprint}));
        let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
        assert_eq!(claims["aud"], endpoint.oauth2.token_uri);
        assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("a-client"), Some("a-client")));
        let time = |name: &str| claims[name].as_i64().unwrap();
        assert!((time("iat") - now().timestamp()).abs() < 60 && time("nbf") == time("iat"));
        assert!((300..=600).contains(&(time("exp") - time("iat"))));
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1], "an assertion counts once");
}

#[test]
fn an_assertion_file_is_read_anew_for_each_request() {
    let refusal = r#"{"error":"invalid_client","error_description":"not signed: aGVhZGVy.Y2xhaW1z.UGw0bnRlZA UGw0bnRlZA"}"#;
    let mut endpoint =
        Endpoint::answering(&[&issued("one", HOUR), &issued("two", HOUR), &json("401 No", refusal)]);
    let file = tempfile::NamedTempFile::new().unwrap();
    endpoint.oauth2.credential = Credential::AssertionFile(file.path().into());
    for assertion in ["\u{feff}aGVhZGVy.Zmlyc3Q.c2ln\r\n", "aGVhZGVy.c2Vjb25k.c2ln"] {
        fs::write(file.path(), assertion).unwrap();
        let token = endpoint.token().unwrap();
        forget(&endpoint.oauth2, &token);
    }
    fs::write(file.path(), "aGVhZGVy.Y2xhaW1z.UGw0bnRlZA").unwrap();
    let failure = endpoint.failure();
    assert_eq!(failure.observed, "HTTP 401 invalid_client: not signed: *** ***");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.clientAssertionFile"));
    let requests = endpoint.requests.lock().unwrap();
    assert!(requests[0].contains("&client_assertion=aGVhZGVy.Zmlyc3Q.c2ln&scope="), "{}", requests[0]);
    assert!(requests[1].contains("&client_assertion=aGVhZGVy.c2Vjb25k.c2ln&scope="), "{}", requests[1]);
}

#[test]
fn an_assertion_file_without_an_assertion_is_tried_again_later() {
    let mut endpoint = Endpoint::answering(&[&issued("t0ken", HOUR)]);
    let file = tempfile::NamedTempFile::new().unwrap();
    endpoint.oauth2.credential = Credential::AssertionFile(file.path().into());
    let refused = |content: Option<&str>, problem: &str| {
        match content {
            Some(content) => fs::write(file.path(), content).unwrap(),
            None => fs::remove_file(file.path()).unwrap(),
        }
        let failure = endpoint.failure();
        assert_eq!(failure.observed, format!("{}: {problem}", file.path().display()));
        assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.clientAssertionFile"));
        assert_eq!((failure.step, failure.retry), (Step::Configuration, Retry::Later));
    };
    let no_assertion = "it does not contain exactly one client assertion (JWT)";
    refused(Some(" \n"), "it is empty");
    refused(Some("Pl4nted.x"), no_assertion);
    refused(Some("Pl4nted.x.y z"), no_assertion);
    refused(Some(&format!("a.b.{}", "Pl4nted".repeat(5_000))), "it is larger than 32768 bytes");
    refused(None, "No such file or directory (os error 2)");
}

#[test]
fn the_next_secret_is_tried_when_the_first_is_refused() {
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000222: expired"}"#;
    let mut endpoint = Endpoint::answering(&[&json("401 Unauthorized", refusal), &issued("t0ken", HOUR)]);
    endpoint.names = Names::of(Some("inbox_2"));
    endpoint.oauth2.debug = false;
    endpoint.oauth2.next_secret = Some("n3xt".into());
    assert_eq!(endpoint.token().unwrap().secret(), "t0ken");
    assert!(endpoint.requests.lock().unwrap()[1].contains("&client_secret=n3xt&"));
    assert_eq!(
        endpoint.logged(),
        [
            "cmsbs.bouncelistener.inbox_2.oauth2.clientSecret was refused (HTTP 401 invalid_client: AADSTS7000222: expired), \
          cmsbs.bouncelistener.inbox_2.oauth2.clientSecret.next was accepted: enter the value of \
          cmsbs.bouncelistener.inbox_2.oauth2.clientSecret.next in \
          cmsbs.bouncelistener.inbox_2.oauth2.clientSecret"
        ]
    );
}

#[test]
fn the_next_secret_is_not_tried_for_another_refusal_and_its_own_is_told() {
    let mut endpoint = Endpoint::answering(&[&json("400 Bad Request", r#"{"error":"invalid_scope"}"#)]);
    endpoint.oauth2.next_secret = Some("Pl4nted next".into());
    endpoint.failure();
    assert_eq!(endpoint.asked(), 1);

    let refusal = |secret: &str| {
        let description = format!(r#"{{"error":"invalid_client","error_description":"not {secret}"}}"#);
        json("401 Unauthorized", &description)
    };
    let mut endpoint = Endpoint::answering(&[&refusal(SECRET), &refusal("Pl4nted next")]);
    endpoint.oauth2.next_secret = Some("Pl4nted next".into());
    let failure = endpoint.failure();
    assert_eq!(
        failure.observed,
        "HTTP 401 invalid_client: not ***\n\
         cmsbs.mail.imap.oauth2.clientSecret.next was refused too: HTTP 401 invalid_client: not ***"
    );
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.clientSecret"));
    assert_eq!(endpoint.asked(), 2);
}

#[test]
fn the_end_of_a_secret_and_of_a_certificate_is_announced() {
    let mut endpoint = Endpoint::answering(&[&issued("t0ken", r#","expires_in":0"#)]);
    endpoint.oauth2.debug = false;
    let last_day = now().date_naive() + chrono::Days::new(10);
    endpoint.oauth2.secret_expires = Some(last_day);
    endpoint.token().unwrap();
    endpoint.token().unwrap();
    assert_eq!(
        endpoint.logged(),
        [format!(
            "the client secret expires on {last_day}, in 10 days (cmsbs.mail.imap.oauth2.clientSecretExpires): \
             without a new credential, no mail can be fetched after that day"
        )]
    );
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/token/fixtures/pkcs8.pem").into();
    endpoint.oauth2.credential = Credential::Certificate { file, password: None };
    let known = expiry(&endpoint.oauth2).unwrap().unwrap();
    assert_eq!(
        (known.credential, known.last_day.to_string().as_str()),
        (Expiring::Certificate, "2126-10-30")
    );
    endpoint.token().unwrap();
    assert!(endpoint.logged().is_empty(), "it has a hundred years");
}
