//! What goes wrong on purpose.

mod common;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use um_standin::scenario::{Certificate, USER};
use um_standin::{Scenario, Standin};

use common::{Client, awkward_mails, grant, token};

fn start(fault: Value) -> Standin {
    Standin::start(Scenario::with_mails(awkward_mails()).with_fault(fault)).unwrap()
}

#[test]
fn a_command_is_answered_with_other_bytes_and_not_carried_out() {
    let throttled = "{tag} BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds\r\n";
    let standin = start(json!({"on": "UID MOVE", "nth": 2, "do": [{"send": throttled}]}));
    let mut client = Client::logged_in(&standin);
    client.command("SELECT INBOX").unwrap();
    assert!(client.status("UID MOVE 1 Archive").starts_with("OK"));
    assert_eq!(
        client.status("UID MOVE 2 Archive"),
        "BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds"
    );
    assert!(client.status("UID MOVE 3 Archive").starts_with("OK"));
    assert_eq!(standin.uids(USER, "INBOX"), [2, 4, 5, 6, 7]);
}

#[test]
fn bytes_come_before_and_after_the_answer() {
    let standin = start(json!({"on": "NOOP", "do": [
        {"send": "* OK before\r\n"}, "answer", {"send": "* BYE Connection closed. 14\r\n"}, "close"
    ]}));
    let mut client = Client::logged_in(&standin);
    assert_eq!(client.command("NOOP").unwrap(), (vec!["* OK before".into()], "OK NOOP completed.".into()));
    assert_eq!(client.line().unwrap(), "* BYE Connection closed. 14");
    assert!(client.rest().1.is_ok());
}

#[test]
fn a_command_is_carried_out_and_its_answer_lost() {
    let standin = start(json!({"on": "UID MOVE", "do": ["carry_out", "cut"]}));
    let mut client = Client::logged_in(&standin);
    client.command("SELECT INBOX").unwrap();
    assert!(client.command("UID MOVE 1:3 Archive").is_err());
    assert_eq!(standin.uids(USER, "Archive"), [1, 2, 3]);
}

#[test]
fn an_answer_is_cut_reset_stalled_or_flipped_at_an_octet() {
    for (action, after) in [("cut_after", 30), ("reset_after", 30), ("stall_after", 30)] {
        let standin = start(json!({"on": "UID FETCH", "do": [{action: after}, "answer"]}));
        let mut client = Client::logged_in(&standin);
        client.command("EXAMINE INBOX").unwrap();
        client.send(b"x UID FETCH 1:7 (BODY.PEEK[])\r\n");
        let (octets, end) = if action == "stall_after" {
            std::thread::sleep(Duration::from_millis(200));
            standin.drop_connections();
            client.rest()
        } else {
            client.rest()
        };
        assert_eq!(octets.len(), 30, "{action}");
        assert!(end.is_err(), "{action}: no goodbye");
    }
    let standin = start(json!({"on": "NOOP", "do": [{"flip_after": 5}, "answer"]}));
    let mut client = Client::logged_in(&standin);
    assert_eq!(client.status("NOOP"), "OK!NOOP completed.");
}

#[test]
fn a_reset_is_one() {
    let standin = start(json!({"on": "NOOP", "do": ["reset"]}));
    let mut client = Client::logged_in(&standin);
    client.send(b"x NOOP\r\n");
    assert_eq!(client.rest().1.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn an_answer_waits_and_drips() {
    let standin = start(json!({"on": "NOOP", "do": [
        {"wait_ms": 200}, {"drip": {"octets": 4, "every_ms": 20}}, "answer"
    ]}));
    let mut client = Client::logged_in(&standin);
    let started = Instant::now();
    assert_eq!(client.status("NOOP"), "OK NOOP completed.");
    assert!(started.elapsed() > Duration::from_millis(280), "{:?}", started.elapsed());
    let standin = start(json!({"on": "NOOP", "do": [{"wait_after": {"octets": 3, "ms": 150}}, "answer"]}));
    let mut client = Client::logged_in(&standin);
    let started = Instant::now();
    assert_eq!(client.status("NOOP"), "OK NOOP completed.");
    assert!(started.elapsed() >= Duration::from_millis(150));
}

#[test]
fn a_fault_hits_the_connection_that_it_names() {
    let standin = start(json!({"on": "greeting", "connection": 2, "do": [
        {"send": "* BYE Server Unavailable. 15\r\n"}, "close"
    ]}));
    for (connection, expected) in [(1, "* OK The"), (2, "* BYE Server Unavailable. 15"), (3, "* OK The")] {
        assert!(Client::imap(&standin).greeting.starts_with(expected), "{connection}");
    }
}

#[test]
fn a_connection_is_refused_a_handshake() {
    let standin = start(json!({"on": "connect", "do": [{"send_base64": "FQMBAAICRg=="}, "close"]}));
    assert!(Client::try_connect(&standin, standin.imap_port()).is_err());
    assert!(Client::imap(&standin).greeting.starts_with("* OK"));
}

#[test]
fn an_answer_is_rewritten() {
    let standin = start(
        json!({"on": "UID FETCH", "times": 0, "do": [{"replace": {"find": "UID 2", "with": "UID 9"}}, "answer"]}),
    );
    let mut client = Client::logged_in(&standin);
    client.command("EXAMINE INBOX").unwrap();
    let (lines, _) = client.command("UID FETCH 2 (UID FLAGS)").unwrap();
    assert!(lines[0].contains("UID 9"), "{lines:?}");
}

#[test]
fn the_mailbox_changes_under_a_command() {
    let standin = start(json!({"on": "UID FETCH", "do": [
        {"change": {"expunge": {"folder": "INBOX", "uids": "1:2"}}},
        {"change": {"uid_validity": {"folder": "INBOX", "value": 99}}},
        {"change": {"deliver": {"folder": "INBOX", "mail": {"text": "Subject: new\n\n"}}}},
        "answer"
    ]}));
    let mut client = Client::logged_in(&standin);
    client.command("SELECT INBOX").unwrap();
    assert!(client.status("UID FETCH 1:3 (FLAGS)").starts_with("NO Some of the requested"));
    assert_eq!(standin.uid_validity(USER, "INBOX"), Some(99));
    assert_eq!(standin.uids(USER, "INBOX"), [3, 4, 5, 6, 7, 8]);
}

#[test]
fn the_token_endpoint_answers_what_it_is_told() {
    let standin = start(json!({"on": "token", "do": [
        {"wait_ms": 100},
        {"respond": {"status": 429, "headers": {"Retry-After": "7"}, "body": {"error": "temporarily_unavailable"}}}
    ]}));
    let answer = grant(&standin);
    assert_eq!((answer.status, answer.json()["error"].as_str()), (429, Some("temporarily_unavailable")));
    assert!(answer.head.contains("Retry-After: 7"));
    assert_eq!(grant(&standin).status, 200);

    let standin = start(json!({"on": "token", "do": [{"refuse": "AADSTS7000222"}]}));
    let answer = grant(&standin);
    assert_eq!(answer.status, 401);
    let description = answer.json()["error_description"].as_str().unwrap().to_owned();
    assert!(
        description.starts_with("AADSTS7000222: The provided client secret keys for app '"),
        "{description}"
    );

    let standin = start(json!({"on": "token", "do": [{"cut_after": 40}, "answer"]}));
    assert!(common::post(&standin, &common::path(&standin), &common::good_form()).is_err());

    let standin =
        start(json!({"on": "token", "do": [{"grant": {"expires_in": "3599", "token_type": null}}]}));
    let json = grant(&standin).json();
    assert_eq!((json["expires_in"].as_str(), json.get("token_type")), (Some("3599"), None));
}

#[test]
fn a_token_without_the_role_or_for_another_audience_is_issued_and_refused_by_imap() {
    for claims in [json!({"roles": null}), json!({"aud": "https://graph.microsoft.com"})] {
        let standin = start(json!({"on": "token", "times": 0, "do": [{"claims": claims}]}));
        assert_eq!(Client::imap(&standin).log_in(USER, &token(&standin)), "NO AUTHENTICATE failed.");
    }
}

#[test]
fn certificates_have_the_fault_that_is_wanted() {
    for (certificate, said) in [
        (Certificate::Expired, "expired"),
        (Certificate::NotYetValid, "not valid yet"),
        (Certificate::OtherHost, "not valid for name"),
        (Certificate::UnknownIssuer, "UnknownIssuer"),
    ] {
        let mut scenario = Scenario::default();
        scenario.tls.imap = certificate;
        let standin = Standin::start(scenario).unwrap();
        let Err(error) = Client::try_connect(&standin, standin.imap_port()) else {
            panic!("{certificate:?}")
        };
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(grant(&standin).status, 200);
    }
}
