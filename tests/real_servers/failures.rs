//! What fails says at which step, what was observed, which key to look at, and no secret.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use um_imap_oauth2::failure::{Failure, Kind, Retry, Step};

use crate::support::{Account, Flow, Relay, mails, server, silent_server};

#[test]
fn a_refused_secret_is_a_failure_of_the_token() {
    let account = Account::new().with("cmsbs.mail.imap.oauth2.clientSecret", "not~the/secret+of=it");
    let failure = account.failure();
    assert_eq!((failure.step, failure.kind), (Step::Token, Kind::Token), "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.clientSecret"));
    assert_eq!(failure.retry, Retry::Never);
    assert!(failure.observed.contains("invalid_client"), "{failure}");
    assert!(!format!("{failure:?}").contains("not~the"), "{failure:?}");
    explains(&failure);
}

#[test]
fn a_wrong_scope_is_a_failure_of_the_token() {
    let scope = "https://graph.microsoft.com/.default";
    let failure = Account::new().with("cmsbs.mail.imap.oauth2.scope", scope).failure();
    assert_eq!((failure.step, failure.kind), (Step::Token, Kind::Token), "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.scope"));
    assert!(failure.observed.contains("invalid_scope"), "{failure}");
    explains(&failure);
}

#[test]
fn another_ones_mailbox_is_a_failure_of_the_login() {
    for dialect in ["EXCHANGE", "NO_SASL_IR", "OAUTHBEARER", "OAUTHBEARER_IN_TWO_STEPS"] {
        let other = Account::new().user;
        let failure = Account::speaking(dialect).with("cmsbs.mail.imap.user", &other).failure();
        assert_eq!((failure.step, failure.kind), (Step::Login, Kind::Login), "{failure}");
        assert!(failure.key.is_some(), "{failure}");
        explains(&failure);
    }
}

#[test]
fn a_refused_password_is_a_failure_of_the_login() {
    let account = Account::new()
        .with("cmsbs.mail.imap.authenticationMethod", "plain")
        .with("cmsbs.mail.imap.password", "guessed\"\\");
    let failure = account.failure();
    assert_eq!((failure.step, failure.kind), (Step::Login, Kind::Login), "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.password"));
    assert!(!format!("{failure:?}").contains("guessed"), "{failure:?}");
    explains(&failure);
}

#[test]
fn a_port_where_nobody_listens_is_a_failure_of_the_connection() {
    let failure = Account::new().with("cmsbs.mail.imap.port", "1").failure();
    assert_eq!(
        (failure.step, failure.kind, failure.retry),
        (Step::Connect, Kind::Network, Retry::Later),
        "{failure}"
    );
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.port"));
    explains(&failure);

    let failure = Account::new().with(TOKEN_URI, "https://localhost:1/t/oauth2/v2.0/token").failure();
    assert_eq!(
        (failure.step, failure.kind, failure.retry),
        (Step::Connect, Kind::Network, Retry::Later),
        "{failure}"
    );
    assert_eq!(failure.key.as_deref(), Some(TOKEN_URI));
    explains(&failure);
}

#[test]
fn an_unknown_host_is_a_failure_of_the_look_up() {
    let failure = Account::new().with("cmsbs.mail.imap.server", "mail.invalid").failure();
    assert_eq!(failure.step, Step::Resolve, "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.server"));
    explains(&failure);
}

#[test]
fn a_certificate_that_does_not_verify_is_a_failure_of_tls_and_says_why() {
    for (dialect, observed, key) in [
        ("OTHER_CA", "was issued by", Some("cmsbs.mail.imap.ssl.caFile")),
        ("WRONG_NAME", "is for mail.example.test, not for localhost", Some("cmsbs.mail.imap.server")),
        ("EXPIRED", "expired on", Some("cmsbs.mail.imap.server")),
    ] {
        let failure = Account::speaking(dialect).with_mails(&mails(1)).failure();
        assert_eq!((failure.step, failure.kind), (Step::Tls, Kind::Tls), "{failure}");
        assert_eq!(failure.retry, Retry::Never);
        assert!(failure.observed.contains(observed), "{failure}");
        assert_eq!(failure.key.as_deref(), key, "{failure}");
        explains(&failure);
    }
}

#[test]
fn a_token_endpoint_whose_certificate_does_not_verify_gets_no_secret() {
    for (dialect, observed) in [
        ("OTHER_CA", "was issued by"),
        ("WRONG_NAME", "is for mail.example.test, not for localhost"),
        ("EXPIRED", "expired on"),
    ] {
        let port = server(&format!("UM_TEST_IMAP_PORT_{dialect}"));
        let uri = format!("https://localhost:{port}/tenant/oauth2/v2.0/token");
        let failure = Account::new().with(TOKEN_URI, &uri).failure();
        assert_eq!((failure.step, failure.kind), (Step::Tls, Kind::Tls), "{failure}");
        assert!(failure.observed.contains(observed), "{failure}");
        assert_eq!(failure.key.as_deref(), Some(TOKEN_URI), "{failure}");
        explains(&failure);
    }
}

#[test]
fn the_ca_file_is_needed_and_adds_to_what_is_trusted() {
    let failure = Account::new().without("cmsbs.mail.imap.ssl.caFile").failure();
    assert_eq!((failure.step, failure.kind), (Step::Tls, Kind::Tls), "{failure}");
    assert!(failure.remedy.contains("cmsbs.mail.imap.ssl.caFile"), "{failure}");

    let both = tempfile::NamedTempFile::new().unwrap();
    let pem =
        [server("UM_TEST_CA"), server("UM_TEST_OTHER_CA")].map(|path| fs::read_to_string(path).unwrap());
    fs::write(&both, pem.join("\n")).unwrap();
    let account = Account::speaking("OTHER_CA")
        .with("cmsbs.mail.imap.ssl.caFile", both.path().to_str().unwrap())
        .with_mails(&mails(1));
    assert_eq!(account.open().read().len(), 1);
}

#[test]
fn a_wrong_line_in_the_properties_is_named_before_anything_is_connected() {
    let failure = Account::new().with("cmsbs.mail.imap.port", "imaps").failure();
    assert_eq!((failure.step, failure.kind), (Step::Configuration, Kind::Configuration), "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.port"));
    for part in ["cmsbs.properties", "line", "imaps"] {
        assert!(failure.observed.contains(part), "{failure}");
    }
    assert!(!failure.remedy.is_empty());
}

#[test]
fn a_server_that_is_silent_or_drips_does_not_hold_a_call() {
    let dripping = Relay::to(&server("UM_TEST_STARTTLS_PORT"), Flow::Drip);
    let silent = silent_server().to_string();
    let account = |port: &str, ssl: &str| {
        Account::new().with("cmsbs.mail.imap.port", port).with("cmsbs.mail.imap.ssl", ssl)
    };
    let silent_token_endpoint =
        Account::new().with(TOKEN_URI, &format!("https://localhost:{silent}/t/oauth2/v2.0/token"));
    let accounts = [
        (account(&silent, "true"), Step::Tls),
        (account(&silent, "tls"), Step::Greeting),
        (account(&dripping.port.to_string(), "tls"), Step::Greeting),
        (silent_token_endpoint, Step::Tls),
    ];
    thread::scope(|scope| {
        for (account, step) in accounts {
            scope.spawn(move || {
                let begun = Instant::now();
                let failure = account.failure();
                assert!(begun.elapsed() < Duration::from_secs(70), "{:?} {failure}", begun.elapsed());
                assert_eq!((failure.step, failure.kind), (step, Kind::Timeout), "{failure}");
                assert_eq!(failure.retry, Retry::Later, "{failure}");
                assert!(failure.key.is_some(), "{failure}");
                explains(&failure);
            });
        }
    });
}

/// A failure as an administrator needs it.
#[track_caller]
fn explains(failure: &Failure) {
    assert!(
        !failure.observed.is_empty() && !failure.cause.is_empty() && !failure.remedy.is_empty(),
        "{failure:?}"
    );
    assert!(!failure.cause.contains("not known"), "{failure:?}");
}

const TOKEN_URI: &str = "cmsbs.mail.imap.oauth2.accessTokenUri";
