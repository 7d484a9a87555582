//! Access tokens from a certified OAuth2 server that checks client assertions as Entra does: signature, thumbprint, audience, lifetime, and each one only
//! once; and both connections through a real proxy. Run by `tests/servers/with-servers cargo test`.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
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
use um_imap_oauth2::config::keys::Names;
use um_imap_oauth2::config::{self, Credential, OAuth2, Proxy, Route};
use um_imap_oauth2::failure::{Failure, Kind, Result, Retry, Step};
use um_imap_oauth2::log::Log;
use um_imap_oauth2::mailbox::{Access, Mailbox};
use um_imap_oauth2::net::{self, Anchors, Cancel, Deadline, Trust};
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

#[test]
fn the_token_and_the_mailbox_are_reached_through_a_proxy() {
    let proxy = proxy();
    let mut oauth2 = oauth2(Credential::ClientSecret(variable("UM_TEST_SECRET").into()));
    oauth2.route = Route::Proxy(proxy.clone());
    assert!(get(&oauth2).unwrap().is_fresh());

    for (port, trust) in [("UM_TEST_IMAP_PORT", Some(trust())), ("UM_TEST_STARTTLS_PORT", None)] {
        let port = variable(port).parse().unwrap();
        let mut stream =
            net::connect("localhost", port, Some(&proxy), trust.as_ref(), soon(), &Cancel::default())
                .unwrap();
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"* OK");
    }
}

#[test]
fn a_proxys_refusals_are_told_apart() {
    let refused = |proxy: &Proxy, host| {
        let failure = net::connect(host, 993, Some(proxy), None, soon(), &Cancel::default()).unwrap_err();
        assert_eq!((failure.step, failure.retry), (Step::Proxy, Retry::Never), "{failure}");
        failure.observed
    };
    let mut proxy = proxy();
    let observed = refused(&proxy, "forbidden.example.test");
    assert!(observed.contains("answered CONNECT forbidden.example.test:993 with HTTP 403"), "{observed}");
    proxy.credentials = Some(("proxy-user".into(), "wrong".into()));
    let observed = refused(&proxy, "localhost");
    // The proxy's password holds the word "password", which is masked.
    assert!(observed.contains("it does not accept this user"), "{observed}");
    proxy.credentials = None;
    let observed = refused(&proxy, "localhost");
    assert!(observed.contains(" with HTTP 407") && observed.ends_with("it offers Basic"), "{observed}");
}

#[test]
fn a_mailbox_is_read_through_the_proxies_of_its_configuration() {
    let through = variable("UM_TEST_PROXY");
    let mailbox = mailbox(&[("cmsbs.mail.imap.proxy", &through), ("cmsbs.proxy", &through)], None);
    let fetch = mailbox.fetch().unwrap();
    assert!(mailbox.next(fetch).unwrap().is_none(), "it is empty");

    let refusing = through.replace("proxy-password", "wrong");
    for (key, expected) in [
        ("cmsbs.bouncelistener.inbox_2.mail.imap.proxy", "cmsbs.bouncelistener.inbox_2.mail.imap.proxy"),
        ("cmsbs.bouncelistener.inbox_2.oauth2.proxy", "cmsbs.bouncelistener.inbox_2.oauth2.proxy"),
        ("cmsbs.mail.imap.oauth2.proxy", "cmsbs.mail.imap.oauth2.proxy"),
        ("cmsbs.proxy", "cmsbs.proxy"),
    ] {
        let mailbox = self::mailbox(&[(key, &refusing)], Some("inbox_2"));
        let failure = mailbox.fetch().and_then(|fetch| mailbox.next(fetch).map(drop)).unwrap_err();
        assert_eq!((failure.step, failure.key.as_deref()), (Step::Proxy, Some(expected)), "{failure}");
        assert!(!failure.cause.is_empty() && !failure.to_string().contains("wrong@"), "{failure}");
    }
}

/// A new one, of the primary mailbox's or the listener's configuration with these settings beside it.
fn mailbox(more: &[(&str, &str)], listener: Option<&str>) -> Mailbox {
    let client = oauth2(Credential::ClientSecret("".into())).client_id;
    let user = format!("{client}@example.test");
    let (port, uri, secret, ca) = (
        variable("UM_TEST_IMAP_PORT"),
        variable("UM_TEST_TOKEN_URI"),
        variable("UM_TEST_SECRET"),
        variable("UM_TEST_CA"),
    );
    let mut settings = HashMap::from([
        ("cmsbs.bounce.listeners", "inbox_2"),
        ("cmsbs.mail.imap.server", "localhost"),
        ("cmsbs.mail.imap.user", &user),
        ("cmsbs.bouncelistener.inbox_2.mail.imap.server", "localhost"),
        ("cmsbs.bouncelistener.inbox_2.mail.imap.user", &user),
        ("cmsbs.mail.imap.port", &port),
        ("cmsbs.mail.imap.ssl", "true"),
        ("cmsbs.mail.imap.ssl.caFile", &ca),
        ("cmsbs.mail.imap.authenticationMethod", "oauth2"),
        ("cmsbs.mail.imap.oauth2.accessTokenUri", &uri),
        ("cmsbs.mail.imap.oauth2.clientId", &client),
        ("cmsbs.mail.imap.oauth2.clientSecret", &secret),
        ("cmsbs.mail.imap.oauth2.scope", "https://outlook.office365.com/.default"),
        ("cmsbs.mail.imap.oauth2.grantType", "client_credentials"),
    ]);
    settings.extend(more.iter().copied());
    let ask = |key: &str| settings.get(key).map(|value| (*value).to_owned());
    let config = config::from_settings(&ask, listener).unwrap().config;
    Mailbox::open(config, trust(), Access::ReadWrite, Log::default()).unwrap()
}

fn proxy() -> Proxy {
    let address = variable("UM_TEST_PROXY");
    let proxy = net::environment_proxy("localhost", &|name| (name == "HTTPS_PROXY").then(|| address.clone()));
    proxy.unwrap().unwrap()
}

fn get(oauth2: &OAuth2) -> Result<AccessToken> {
    token::access_token(oauth2, &Names::default(), &trust(), soon(), &Cancel::default(), &Log::default())
}

fn trust() -> Trust {
    Trust::new(Anchors::given(vec![]), Some(Path::new(&variable("UM_TEST_CA")))).unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
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
