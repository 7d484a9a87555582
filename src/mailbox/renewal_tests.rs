//! The engine when its credential is refused, and there is another one.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::played::{
    EXCHANGE, Played, asked, asked_for_sizes, fetch, login, mail, play_trusting, search, size, whole,
};
use crate::config::{Authentication, Credential, MailboxConfig, OAuth2, Route};
use crate::failure::Kind;
use crate::net::testing::{Authority, TlsPeer, listen_tls};

/// A mailbox with OAuth2 and the secret "old", whose token endpoint issues `token` at each request for `accepted` and refuses
/// any other secret.
struct Rotating {
    played: Played,
    accepted: Arc<Mutex<&'static str>>,
    authentication: Authentication,
}

impl Rotating {
    fn play(server: &str, scripts: &[String]) -> Self {
        let authority = Authority::new();
        let accepted = Arc::new(Mutex::new("old"));
        let known = accepted.clone();
        let port = endpoint(&authority, move |form| {
            let good = form.contains(&format!("client_secret={}&", *known.lock().unwrap()));
            // It ends at once, so that each login needs a new one.
            good.then(|| ("token".to_owned(), 0))
        });
        let authentication = oauth2(port, "old");
        let of_mailbox = authentication.clone();
        let set = |config: &mut MailboxConfig| config.authentication = of_mailbox;
        let played = play_trusting(server, scripts, authority.trust(), set);
        Self { played, accepted, authentication }
    }

    /// The configured login with another secret.
    fn with_secret(&self, secret: &str) -> Authentication {
        let Authentication::OAuth2(oauth2) = &self.authentication else { panic!() };
        let credential = Credential::ClientSecret(secret.into());
        Authentication::OAuth2(OAuth2 { credential, ..oauth2.clone() })
    }
}

/// A token endpoint that answers a form with a token and its lifetime, or `invalid_client`.
fn endpoint(
    authority: &Authority,
    answer: impl Fn(&str) -> Option<(String, u32)> + Send + Sync + 'static,
) -> u16 {
    listen_tls(authority.server_for(&["localhost"]), move |mut peer| {
        let (status, body) = match answer(&request(&mut peer)) {
            Some((token, lifetime)) => (
                "200 OK",
                format!(r#"{{"token_type":"Bearer","access_token":"{token}","expires_in":{lifetime}}}"#),
            ),
            None => ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned()),
        };
        let _ = write!(peer, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        peer.conn.send_close_notify();
        let _ = peer.flush();
    })
}

fn oauth2(port: u16, secret: &str) -> Authentication {
    Authentication::OAuth2(OAuth2 {
        token_uri: format!("https://localhost:{port}/tenant/oauth2/v2.0/token"),
        client_id: "a client".into(),
        credential: Credential::ClientSecret(secret.into()),
        scope: "imap".into(),
        next_secret: None,
        secret_expires: None,
        route: Route::Direct,
        debug: false,
    })
}

fn request(peer: &mut TlsPeer) -> String {
    let mut text = Vec::new();
    let mut octet = [0];
    while !text.ends_with(b"\r\n\r\n") && peer.read_exact(&mut octet).is_ok() {
        text.extend(octet);
    }
    let head = String::from_utf8(text).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    peer.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn login_with_token() -> String {
    login_with("token")
}

fn login_with(token: &str) -> String {
    let string = BASE64_STANDARD.encode(format!("user=u\x01auth=Bearer {token}\x01\x01"));
    login(EXCHANGE)
        .replace("AUTH=PLAIN", "AUTH=XOAUTH2")
        .replace("PLAIN AHUAcA==", &format!("XOAUTH2 {string}"))
}

fn login_with_new_password() -> String {
    login(EXCHANGE).replace("AHUAcA==", &BASE64_STANDARD.encode("\0u\0new"))
}

const REFUSED_PASSWORD: &str = "
    S: * OK ready
    C: A CAPABILITY
    S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
    S: A OK done
    C: A AUTHENTICATE PLAIN AHUAcA==
    S: A NO [AUTHENTICATIONFAILED] no
";

#[test]
fn a_certificate_that_cannot_be_read_for_now_holds_up_who_asks_for_it_and_nobody_else() {
    let set = |config: &mut MailboxConfig| config.authentication = oauth2(1, "");
    let Played { mailbox, .. } = play_trusting("hanging", &[], Authority::new().trust(), set);
    let (asked, is_asked) = mpsc::channel();
    // As on a file server that is away.
    let (answer, is_answered) = mpsc::channel();
    let asking = mailbox.clone();
    let asking = thread::spawn(move || {
        asking.shared().look_up_credential_by(|_| {
            asked.send(()).unwrap();
            is_answered.recv().unwrap()
        });
    });
    is_asked.recv().unwrap();
    let (closed, is_closed) = mpsc::channel();
    thread::spawn(move || {
        mailbox.close();
        closed.send(()).unwrap();
    });
    let closed = is_closed.recv_timeout(Duration::from_secs(20));
    answer.send(None).unwrap();
    asking.join().unwrap();
    closed.unwrap();
}

#[test]
fn a_secret_that_is_rotated_between_two_fetches_is_used_after_a_renewal() {
    let script = [login_with_token(), fetch("1", &[1])].concat();
    let rotating = Rotating::play("rotated-between", &[script]);
    *rotating.accepted.lock().unwrap() = "new";
    let mailbox = &rotating.played.mailbox;
    for _ in 0..2 {
        let failure = mailbox.fetch().unwrap_err();
        assert!(failure.kind == Kind::Token && failure.may_be_the_credentials(), "{failure}");
        assert!(!mailbox.renew(&rotating.with_secret("old")), "it is the one that was refused");
    }
    assert!(mailbox.renew(&rotating.with_secret("new")));
    assert!(
        mailbox.renew(&rotating.with_secret("new")),
        "another thread that was refused the old one goes on too"
    );
    assert_eq!(rotating.played.fetch(), whole([1]));
    rotating.played.check();
    assert!(rotating.played.warnings().iter().all(|warning| warning.contains("invalid_client")));
}

#[test]
fn a_secret_that_is_rotated_in_the_middle_of_a_fetch_does_not_end_it() {
    let first = [login_with_token(), search(&[1, 2, 3]), asked("1:3"), mail(1)].concat();
    let second = [
        login_with_token(),
        asked_for_sizes("3"),
        size(3),
        "S: A OK done\n".to_owned(),
        asked("3"),
        mail(3),
        "S: A OK done\n".to_owned(),
        asked("2"),
        mail(2),
        "S: A OK done\n".to_owned(),
    ];
    let rotating = Rotating::play("rotated-within", &[first, second.concat()]);
    let mailbox = &rotating.played.mailbox;
    let fetch = mailbox.fetch().unwrap();
    // The connection ends after the first mail; the next login needs another secret.
    *rotating.accepted.lock().unwrap() = "new";
    let next = || mailbox.next(fetch).map(|message| message.map(|message| message.id.uid));
    assert_eq!(next(), Ok(Some(1)));
    assert_eq!(next().unwrap_err().kind, Kind::Token);
    assert!(!mailbox.renew(&rotating.with_secret("old")));
    assert_eq!(next().unwrap_err().kind, Kind::Token, "the fetch has ended");
    assert!(mailbox.renew(&rotating.with_secret("new")));
    assert_eq!([next(), next(), next()], [Ok(Some(3)), Ok(Some(2)), Ok(None)]);
    rotating.played.check();
}

#[test]
fn a_rotated_password_is_used_after_a_renewal() {
    let accepted = login_with_new_password() + &fetch("1", &[1]);
    let trust = Authority::new().trust();
    let played = play_trusting("rotated-password", &[REFUSED_PASSWORD.to_owned(), accepted], trust, |_| {});
    assert_eq!(played.mailbox.fetch().unwrap_err().kind, Kind::Login);
    assert!(!played.mailbox.renew(&oauth2(1, "new")), "a login of another kind");
    assert!(played.mailbox.renew(&Authentication::Password("new".into())));
    assert_eq!(played.fetch(), whole([1]));
    played.check();
}

#[test]
fn a_password_that_is_rotated_in_the_middle_of_a_fetch_does_not_end_it() {
    let first = [login(EXCHANGE), search(&[1, 2]), asked("1:2"), mail(1)].concat();
    let last = [login_with_new_password(), asked("2"), mail(2), "S: A OK done\n".to_owned()];
    // It was good a moment ago, so the server gets a second chance; an account can be locked after more.
    let scripts = [first, REFUSED_PASSWORD.to_owned(), REFUSED_PASSWORD.to_owned(), last.concat()];
    let trust = Authority::new().trust();
    let played = play_trusting("rotated-password-within", &scripts, trust, |_| {});
    let mailbox = &played.mailbox;
    let fetch = mailbox.fetch().unwrap();
    let next = || mailbox.next(fetch).map(|message| message.map(|message| message.id.uid));
    assert_eq!(next(), Ok(Some(1)));
    let failure = next().unwrap_err();
    assert!(failure.kind == Kind::Login && failure.may_be_the_credentials(), "{failure}");
    assert!(!mailbox.renew(&Authentication::Password("p".into())), "it is the one that was refused");
    assert!(mailbox.renew(&Authentication::Password("new".into())));
    assert_eq!([next(), next()], [Ok(Some(2)), Ok(None)]);
    played.check();
}

#[test]
fn a_token_that_imap_refuses_is_asked_for_anew_once_before_the_failure_is_told() {
    let authority = Authority::new();
    let issued = Arc::new(AtomicUsize::new(0));
    let count = issued.clone();
    let port = endpoint(&authority, move |_| {
        Some((format!("token{}", count.fetch_add(1, Ordering::SeqCst) + 1), 3599))
    });
    let refused = |token: &str| {
        let login = login_with(token);
        let (before, _) = login.split_once("S: A OK done\n        C: A CAPABILITY").unwrap();
        let (begin, last) = before.rsplit_once("C: A AUTHENTICATE").unwrap();
        format!("{begin}C: A AUTHENTICATE{last}S: A NO AUTHENTICATE failed.\n")
    };
    let scripts = [
        // A fresh one is refused: another one would be, too.
        refused("token1"),
        // It is kept, since the mailbox may be to blame; at the next fetch it is replaced.
        refused("token1"),
        refused("token2"),
        refused("token2"),
        login_with("token3") + &fetch("1", &[1]),
    ];
    let set = |config: &mut MailboxConfig| config.authentication = oauth2(port, "a secret");
    let played = play_trusting("refused-token", &scripts, authority.trust(), set);
    for requests in [1, 2] {
        assert_eq!(played.mailbox.fetch().unwrap_err().kind, Kind::Login);
        assert_eq!(issued.load(Ordering::SeqCst), requests);
    }
    assert_eq!(played.fetch(), whole([1]));
    assert_eq!(issued.load(Ordering::SeqCst), 3);
    played.check();
}
