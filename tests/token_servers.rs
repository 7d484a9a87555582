//! Access tokens from a certified OAuth2 server that checks client assertions as Entra does: signature, thumbprint, audience, lifetime, and each one only
//! once. Run by `tests/servers/with-servers cargo test`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::json;
use um_imap_oauth2::config::{Credential, OAuth2, Route};
use um_imap_oauth2::failure::{Failure, Kind, Result};
use um_imap_oauth2::log::Log;
use um_imap_oauth2::net::{Anchors, Cancel, Deadline, Trust};
use um_imap_oauth2::token::{self, AccessToken};

#[test]
fn a_secret_and_each_form_of_a_certificate_get_a_token() {
    let pfx_password = fs::read_to_string(pki("client.password")).unwrap();
    for credential in [
        Credential::ClientSecret(variable("UM_TEST_SECRET").into()),
        Credential::Certificate { file: pki("client.pem"), password: None },
        Credential::Certificate { file: pki("client.pfx"), password: Some(pfx_password.as_str().into()) },
        Credential::Certificate {
            file: pki("client-3des.pfx"),
            password: Some(pfx_password.as_str().into()),
        },
    ] {
        let oauth2 = oauth2(credential);
        let first = get(&oauth2).unwrap_or_else(|failure| panic!("{:?}: {failure}", oauth2.credential));
        // The next request must not repeat an assertion.
        token::forget(&oauth2, &first);
        assert!(get(&oauth2).unwrap().is_fresh());
    }
}

#[test]
fn a_certificate_that_the_server_does_not_know_is_refused() {
    let failure = refused(&oauth2(Credential::Certificate { file: pki("other-client.pem"), password: None }));
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.clientCertificate"));
}

#[test]
fn an_assertion_of_another_party_counts_once_and_its_successor_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let oauth2 = oauth2(Credential::AssertionFile(file.path().into()));
    for _ in 0..2 {
        fs::write(file.path(), assertion(&oauth2)).unwrap();
        let token = get(&oauth2).unwrap();
        token::forget(&oauth2, &token);
        let failure = refused(&oauth2);
        assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.clientAssertionFile"));
    }
}

fn get(oauth2: &OAuth2) -> Result<AccessToken> {
    let trust = Trust::new(Anchors::Given(vec![]), Some(Path::new(&variable("UM_TEST_CA")))).unwrap();
    let deadline = Deadline::after(Duration::from_secs(30));
    token::access_token(oauth2, None, &trust, deadline, &Cancel::default(), &Log::default())
}

fn refused(oauth2: &OAuth2) -> Failure {
    let failure = get(oauth2).unwrap_err();
    assert_eq!(failure.kind, Kind::Token, "{failure}");
    assert!(failure.observed.starts_with("HTTP 401 invalid_client"), "{failure}");
    failure
}

/// Of a client that nobody else uses.
fn oauth2(credential: Credential) -> OAuth2 {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).unwrap();
    let hex = |range: &[u8]| range.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let groups = [&id[..4], &id[4..6], &id[6..8], &id[8..10], &id[10..]];
    OAuth2 {
        token_uri: variable("UM_TEST_TOKEN_URI"),
        client_id: groups.map(hex).join("-"),
        credential,
        scope: "https://outlook.office365.com/.default".into(),
        next_secret: None,
        secret_expires: None,
        route: Route::Direct,
        debug: false,
    }
}

/// What a federated party writes.
fn assertion(oauth2: &OAuth2) -> String {
    let pem = fs::read(pki("client.pem")).unwrap();
    let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let header = json!({"alg": "PS256", "x5t#S256": base64(digest(&SHA256, &certificate).as_ref())});
    let claims = json!({
        "aud": oauth2.token_uri, "iss": oauth2.client_id, "sub": oauth2.client_id,
        "jti": base64(&id), "iat": now, "exp": now + 300,
    });
    let signed =
        format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", base64(&signature))
}

fn pki(name: &str) -> PathBuf {
    Path::new(&variable("UM_TEST_DIR")).join("pki").join(name)
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests by tests/servers/with-servers cargo test")
    })
}
