//! How logins begin: capabilities, STARTTLS, mechanisms, and what the server says beside them.

use super::login::{Inbox, Login, Opening, Secret, StartTls};
use super::login_tests::*;
use super::scripted::connection;
use super::session::Session;
use super::tags::Tags;
use crate::failure::{Kind, Result, Retry, Step};
use crate::net::testing::{Authority, soon};

#[test]
fn a_server_that_says_what_it_can_do_is_not_asked() {
    let session = play(&format!(
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR auth=XOAUTH2] ready
         C: B AUTHENTICATE XOAUTH2 dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==
         S: B OK [Capability IMAP4rev1 MOVE] come in
         {LISTED} {SELECTED}"
    ))
    .unwrap();
    assert!(session.capabilities.r#move && !session.capabilities.uidplus);
    let session = play(&format!(
        "S: * OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] ready
         C: B AUTHENTICATE XOAUTH2
         S: +
         C> dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==
         S: * CAPABILITY IMAP4rev1 UIDPLUS
         S: B OK come in
         {LISTED} {SELECTED}"
    ))
    .unwrap();
    assert!(!session.capabilities.r#move && session.capabilities.uidplus);
}

#[test]
fn a_server_that_does_not_say_how_to_log_in_is_asked() {
    for greeting in [
        "OK [CAPABILITY IMAP4rev1 SASL-IR] ready",
        "OK ready [CAPABILITY AUTH=XOAUTH2]",
        "OK [CAPABILITY AUTH=XOAUTH2",
    ] {
        let script = GREETED.replacen("OK The Microsoft Exchange IMAP4 service is ready.", greeting, 1);
        assert!(script.contains(greeting));
        play(&[&script, LOGGED_IN, LISTED, SELECTED].concat()).unwrap();
    }
}

#[test]
fn the_login_comes_after_starttls() {
    let begin = "
        S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN STARTTLS] ready
        C: S STARTTLS
        S: * OK soon
        S: S OK begin TLS
        TLS";
    let greeted: String =
        GREETED.lines().filter(|line| !line.contains("is ready")).map(|l| format!("{l}\n")).collect();
    for piece in [1, usize::MAX] {
        let script = [begin, &greeted, LOGGED_IN, LISTED, SELECTED].concat();
        assert_eq!(play_start_tls(&script, piece).unwrap().selected.uid_validity.get(), 14);
    }
}

#[test]
fn a_refused_starttls_sends_no_token() {
    for answer in ["NO not today", "BAD unknown command"] {
        let script = format!("S: * OK ready\n C: S STARTTLS\n S: S {answer}");
        let failure = play_start_tls(&script, usize::MAX).err().unwrap();
        assert_eq!((failure.step, failure.kind), (Step::Tls, Kind::Tls), "{failure:?}");
        assert!(failure.observed.contains(answer), "{failure:?}");
    }
}

#[test]
fn what_is_injected_before_tls_ends_the_connection() {
    for injected in ["* OK come in", "a1 OK done", "* CAPABILITY IMAP4rev1 AUTH=XOAUTH2"] {
        let script = format!("S: * OK ready\n C: S STARTTLS\n S: S OK begin {{20}}\n S: {injected}");
        let failure = play_start_tls(&script, usize::MAX).err().unwrap();
        assert_eq!((failure.step, failure.kind), (Step::Tls, Kind::Protocol), "{failure:?}");
    }
    let failure = play_start_tls("S: * PREAUTH come in", usize::MAX).err().unwrap();
    assert_eq!(failure.kind, Kind::Protocol);
}

#[test]
fn a_password_goes_by_plain_or_by_login_where_there_is_no_plain() {
    let play = |script: &str| {
        let (peer, outcome) = connection(script);
        let login = Login { user: "a@b.de", secret: Secret::Password("p\"w") };
        let inbox = Inbox { name: "INBOX", read_only: false };
        let result: Result<Session<()>> = open(peer, None, &login, &inbox, None);
        outcome.check();
        result
    };
    // The base64 of NUL, user, NUL, password (RFC 4616).
    let plain = "
        S: * OK ready
        C: A CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: A OK done
        C: A AUTHENTICATE PLAIN
        S: +
        C> AGFAYi5kZQBwInc=
        S: A NO wrong
    ";
    let login = "
        S: * OK ready
        C: A CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: A OK done
        C: A LOGIN \"a@b.de\" \"p\\\"w\"
        S: A NO wrong
    ";
    for script in [plain, login] {
        let failure = play(script).err().expect("a refusal");
        assert_eq!((failure.step, failure.kind), (Step::Login, Kind::Login), "{failure:?}");
        assert!(!format!("{failure:?}").contains("p\"w"));
    }
}

#[test]
fn login_is_not_used_where_the_server_forbids_it() {
    let forbidden = |greeting: &str| {
        let (peer, outcome) = connection(greeting);
        let login = Login { user: "a@b.de", secret: Secret::Password("p4ssw0rd") };
        let failure =
            open(peer, None, &login, &Inbox { name: "INBOX", read_only: false }, None).err().unwrap();
        outcome.check();
        assert!(!outcome.written().contains("p4ssw0rd"));
        assert_eq!((failure.step, failure.kind, failure.retry), (Step::Login, Kind::Login, Retry::Never));
        failure.observed
    };
    let asked = "
        S: * OK ready
        C: A CAPABILITY
        S: * CAPABILITY IMAP4rev1 logindisabled STARTTLS
        S: A OK done";
    assert!(forbidden(asked).contains("LOGINDISABLED"));
    // AUTHENTICATE is not LOGIN.
    let plain = "
        S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN SASL-IR] ready
        C: A AUTHENTICATE PLAIN AGFAYi5kZQBwNHNzdzByZA==
        S: A NO wrong";
    assert_eq!(forbidden(plain), "NO wrong");
}

#[test]
fn a_prohibition_before_tls_says_nothing_about_the_time_after_it() {
    let (mut peer, outcome) = connection(
        "S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=XYZ STARTTLS] ready
         C: S STARTTLS
         S: S OK begin
         TLS
         C: A CAPABILITY
         S: * CAPABILITY IMAP4rev1
         S: A OK done
         C: B LOGIN \"a@b.de\" \"p4ssw0rd\"
         S: B NO wrong",
    );
    peer.encrypted = false;
    let trust = Authority::new().trust();
    let start_tls = Some(StartTls { host: "mail.b.de", trust: &trust });
    let login = Login { user: "a@b.de", secret: Secret::Password("p4ssw0rd") };
    let failure =
        open(peer, start_tls, &login, &Inbox { name: "INBOX", read_only: false }, None).err().unwrap();
    outcome.check();
    assert_eq!(failure.observed, "NO wrong");
}

#[test]
fn oauthbearer_is_used_where_there_is_no_xoauth2() {
    let begin = "
        S: * OK [CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER AUTH=PLAIN] ready
        C: B AUTHENTICATE OAUTHBEARER
        S: +
        C> bixhPWFAYi5kZSwBYXV0aD1CZWFyZXIgdDABAQ==
    ";
    let session = play(&format!("{begin} S: B OK [CAPABILITY MOVE] come in\n {LISTED} {SELECTED}")).unwrap();
    assert!(session.capabilities.r#move);
    // The error challenge is answered with ^A, and the token is not sent again.
    let refused = format!(
        "{begin}
         S: + eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=
         C> AQ==
         S: B NO you said bixhPWFAYi5kZSwBYXV0aD1CZWFyZXIgdDABAQ=="
    );
    assert_refused(&refused, Step::Login, Kind::Login, r#"NO you said *** {"status":"invalid_token"}"#);
    let both = "S: * OK [CAPABILITY SASL-IR AUTH=OAUTHBEARER AUTH=XOAUTH2] ready
         C: B AUTHENTICATE XOAUTH2 dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==
         S: B NO wrong";
    assert_refused(both, Step::Login, Kind::Login, "NO wrong");
}

#[test]
fn text_instead_of_an_empty_challenge_is_one() {
    let script = format!(
        "S: * OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] ready
         C: B AUTHENTICATE XOAUTH2
         S: + go ahead
         C> dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==
         S: B  OK
         C: C CAPABILITY
         S: *  CAPABILITY  IMAP4rev2 MOVE
         S: C OK
         {LISTED} {SELECTED}"
    );
    assert!(play(&script).unwrap().capabilities.r#move);
}

#[test]
fn a_server_that_does_not_like_to_be_told_who_asks_is_read_all_the_same() {
    for answer in ["NO not interested", "BAD unknown command"] {
        let script = format!("{GREETED} {LOGGED_IN} {LISTED} {SELECTED}")
            .replace("S: I OK ID completed.", &format!("S: I {answer}"));
        assert!(script.contains(answer));
        play(&script).unwrap();
    }
}

#[test]
fn alerts_are_kept_for_the_administrator_wherever_they_come() {
    let script = [GREETED, LOGGED_IN, LISTED, SELECTED].concat();
    let script = script
        .replace("S: * OK The Microsoft", "S: * OK [ALERT] Maintenance tonight, The Microsoft")
        .replace("S: D OK LIST", "S: * NO [alert] Mailbox is full\n S: D OK LIST")
        .replace("S: E OK [READ-WRITE]", "S: E OK [ALERT]");
    let mut session = play(&script).unwrap();
    let alerts = session.take_alerts();
    assert_eq!(alerts.len(), 3, "{alerts:?}");
    assert!(alerts[0].contains("Maintenance tonight") && alerts[1] == "NO [alert] Mailbox is full");
    assert!(session.take_alerts().is_empty());
}

#[test]
fn a_mailbox_without_uids_is_called_what_it_is_and_not_tried_again() {
    let select = "C: E SELECT \"INBOX\"\n S: * OK [UIDVALIDITY 0] none\n S: E OK [READ-WRITE] done";
    let failure = refusal(&format!("{GREETED} {LOGGED_IN} {LISTED} {select}"));
    assert_eq!((failure.step, failure.kind, failure.retry), (Step::Select, Kind::Protocol, Retry::Never));
    assert!(failure.observed.contains("UIDVALIDITY 0"), "{failure:?}");
    let preauth = refusal("S: * PREAUTH come in");
    assert_eq!((preauth.kind, preauth.retry), (Kind::Protocol, Retry::Never));
    assert!(preauth.observed.contains("requires no login"), "{preauth:?}");
}

#[test]
fn a_server_that_ends_at_namespace_can_be_told_from_one_without_it() {
    let script = format!("{GREETED} {LOGGED_IN} C: N NAMESPACE");
    let (peer, _) = connection(&script);
    let opening = Opening { start_tls: None, deadline: soon(), tags: Tags::with_prefix("U"), trace: None };
    let greeted = super::login::greet(Box::new(peer), opening).unwrap();
    let mut logged_in = greeted.log_in(&Login { user: "a@b.de", secret: Secret::AccessToken("t0") }).unwrap();
    let failure = logged_in.probe().err().unwrap();
    assert_eq!((failure.step, failure.kind), (Step::Login, Kind::Network));
}
