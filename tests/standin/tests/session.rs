//! A session with the IMAP server: its words and its rules.

mod common;

use std::time::{Duration, Instant};

use serde_json::json;
use um_standin::scenario::{CLIENT_ID, Client as App, Generate, Mail, USER};
use um_standin::{Change, Scenario, Standin, generated_mail};

use common::{Client, awkward_mails, grant, token};

fn start(scenario: Scenario) -> Standin {
    Standin::start(scenario).unwrap()
}

#[test]
fn greeting_and_capabilities_are_those_of_exchange() {
    let standin = start(Scenario::default());
    let mut client = Client::imap(&standin);
    assert!(
        client.greeting.starts_with("* OK The Microsoft Exchange IMAP4 service is ready. ["),
        "{}",
        client.greeting
    );
    let (before, status) = client.command("CAPABILITY").unwrap();
    assert_eq!(
        before,
        [
            "* CAPABILITY IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+"
        ]
    );
    assert_eq!(status, "OK CAPABILITY completed.");
    assert_eq!(client.log_in(USER, &token(&standin)), "OK AUTHENTICATE completed.");
    let (after, _) = client.command("CAPABILITY").unwrap();
    assert_ne!(before, after);
    assert_eq!(client.command("NAMESPACE").unwrap().0, ["* NAMESPACE ((\"\" \"/\")) NIL NIL"]);
    assert_eq!(
        client.command("LOGOUT").unwrap().0,
        ["* BYE Microsoft Exchange Server IMAP4 server signing off."]
    );
    assert!(client.rest().1.is_ok(), "an orderly end");
}

#[test]
fn only_an_issued_token_of_the_right_kind_logs_in() {
    let mut scenario = Scenario::default();
    scenario.clients.push(App { id: "no-roles".into(), roles: Vec::new(), ..App::default() });
    scenario.clients.push(App { id: "no-principal".into(), service_principal: false, ..App::default() });
    let standin = start(scenario);
    let log_in = |token: &str, user: &str| Client::imap(&standin).log_in(user, token);
    let good = token(&standin);
    assert_eq!(log_in(&good, USER), "OK AUTHENTICATE completed.");
    assert_eq!(log_in(&good, "other@example.com"), "NO AUTHENTICATE failed.");
    assert_eq!(log_in(&format!("{good}x"), USER), "NO AUTHENTICATE failed.");
    let other = |id| {
        let mut form = common::good_form();
        form[1].1 = id;
        let answer = common::post(&standin, &common::path(&standin), &form).unwrap().json();
        answer["access_token"].as_str().unwrap().to_owned()
    };
    assert_eq!(log_in(&other("no-roles"), USER), "NO AUTHENTICATE failed.");
    let refused = log_in(&other("no-principal"), USER);
    assert!(
        refused.starts_with("NO AUTHENTICATE failed. Error=\"AuthFailed:LogonDenied-None-OAuthLog:"),
        "{refused}"
    );
    standin.expire_tokens();
    assert_eq!(log_in(&good, USER), "NO AUTHENTICATE failed.");
    let counters = standin.counters();
    assert_eq!((counters.logins, counters.refused_logins), (1, 5));
}

#[test]
fn a_refusal_sends_no_challenge_and_an_empty_line_is_a_command_error() {
    let standin = start(Scenario::default());
    let mut client = Client::imap(&standin);
    let response = "dXNlcj14AWF1dGg9QmVhcmVyIHgBAQ==";
    let (untagged, status) = client.command(&format!("AUTHENTICATE XOAUTH2 {response}")).unwrap();
    assert!(untagged.is_empty());
    assert_eq!(status, "NO AUTHENTICATE failed.");
    client.send(b"\r\n");
    assert_eq!(client.line().unwrap(), "* BAD Command Error. 12");
}

#[test]
fn without_permission_or_with_imap_off_or_past_the_limit_one_is_authenticated_but_not_connected() {
    let not_connected = |mut client: Client| {
        for _ in 0..3 {
            assert_eq!(client.status("NAMESPACE"), "BAD User is authenticated but not connected.");
        }
        assert_eq!(client.line().unwrap(), "* BYE Connection closed. 14");
        assert!(client.line().is_err());
    };
    let mut scenario = Scenario::default();
    scenario.mailboxes[0].permitted = Some(Vec::new());
    scenario.mailboxes[0].connections = 1;
    let standin = start(scenario);
    not_connected(Client::logged_in(&standin));
    standin.change(&Change::Permitted { user: None, clients: Some(vec![CLIENT_ID.into()]) });
    standin.change(&Change::ImapEnabled { user: None, value: false });
    not_connected(Client::logged_in(&standin));
    standin.change(&Change::ImapEnabled { user: None, value: true });
    let mut first = Client::logged_in(&standin);
    not_connected(Client::logged_in(&standin));
    assert_eq!(first.status("NAMESPACE"), "OK NAMESPACE completed.");
}

#[test]
fn a_password_is_blocked_unless_the_mailbox_has_one() {
    let mut scenario = Scenario::default();
    let standin = start(scenario.clone());
    let refused = Client::imap(&standin).status(&format!("LOGIN {USER} geheim"));
    assert_eq!(refused, "NO LOGIN failed. Error=\"AuthFailed:LogonDenied-BasicAuthBlocked\"");
    scenario.mailboxes[0].password = Some("geheim".into());
    let standin = start(scenario);
    assert_eq!(Client::imap(&standin).status(&format!("LOGIN {USER} falsch")), "NO LOGIN failed.");
    assert_eq!(Client::imap(&standin).status(&format!("LOGIN {USER} geheim")), "OK LOGIN completed.");
    assert!(!standin.transcript().iter().any(|line| line.text.contains("geheim")));
}

#[test]
fn a_session_ends_with_its_token() {
    let mut scenario = Scenario::default();
    scenario.token.lifetime_seconds = 1;
    let standin = start(scenario);
    let mut client = Client::logged_in(&standin);
    assert_eq!(client.line().unwrap(), "* BYE Session invalidated - AccessTokenExpired");
    assert!(client.rest().1.is_ok(), "an orderly end");
    let mut client = Client::logged_in(&standin);
    standin.expire_tokens();
    assert_eq!(client.line().unwrap(), "* BYE Session invalidated - AccessTokenExpired");
}

#[test]
fn a_long_command_line_is_refused_and_the_session_goes_on() {
    let standin = start(Scenario::generated(3));
    let mut client = Client::logged_in(&standin);
    client.command("SELECT INBOX").unwrap();
    let set: Vec<String> = (1..8000).map(|uid| uid.to_string()).collect();
    assert_eq!(client.status(&format!("UID FETCH {} (UID)", set.join(","))), "BAD Command Error. 10");
    assert_eq!(client.command("UID FETCH 1:8000 (UID)").unwrap().0.len(), 3);
    let lines: String = standin.transcript().into_iter().map(|line| line.text).collect();
    assert!(lines.len() < 2000, "the transcript does not hold the long line");
}

#[test]
fn sizes_are_estimates_and_an_item_that_cannot_be_converted_has_no_data() {
    let mut scenario = Scenario::with_mails(awkward_mails());
    scenario.inbox().mails.push(Mail { undeliverable: true, ..Mail::from(b"x".to_vec()) });
    let standin = start(scenario);
    let mut client = Client::logged_in(&standin);
    client.command("EXAMINE INBOX").unwrap();
    let (lines, _) = client.command("UID FETCH 1:7 (RFC822.SIZE)").unwrap();
    for (line, mail) in lines.iter().zip(awkward_mails()) {
        assert!(!line.contains(&format!("RFC822.SIZE {})", mail.len())), "{line}");
    }
    assert_eq!(
        client.command("UID FETCH 8 (FLAGS BODY.PEEK[])").unwrap(),
        (vec![], "OK FETCH completed.".into())
    );
    assert_eq!(client.command("UID FETCH 8 (FLAGS)").unwrap().0.len(), 1);
}

#[test]
fn peeking_leaves_a_mail_unseen_and_the_items_come_in_varying_order() {
    let standin = start(Scenario::generated(2));
    let mut client = Client::logged_in(&standin);
    client.command("SELECT INBOX").unwrap();
    let (lines, _) = client.command("UID FETCH 1:2 (UID FLAGS BODY.PEEK[])").unwrap();
    assert!(lines[0].starts_with("* 1 FETCH (UID 1 FLAGS ()"));
    assert!(lines[1].starts_with("* 2 FETCH (FLAGS ()") && lines[1].ends_with("UID 2)"));
    assert!(standin.mail(USER, "INBOX", 1).unwrap().flags.is_empty());
    client.command("FETCH 1 BODY[]").unwrap();
    assert_eq!(standin.mail(USER, "INBOX", 1).unwrap().flags, ["\\Seen"]);
}

#[test]
fn a_move_names_the_new_uids_and_another_session_hears_of_it() {
    let standin = start(Scenario::generated(5));
    let mut client = Client::logged_in(&standin);
    let mut other = Client::logged_in(&standin);
    for client in [&mut client, &mut other] {
        client.command("SELECT INBOX").unwrap();
    }
    assert_eq!(client.status("UID MOVE 2:3 error"), "NO [TRYCREATE] error doesn't exist.");
    assert_eq!(client.status("CREATE error"), "OK CREATE completed.");
    let (untagged, status) = client.command("UID MOVE 2:3 Error").unwrap();
    assert_eq!(untagged, ["* OK [COPYUID 14 2:3 1:2]", "* 3 EXPUNGE", "* 2 EXPUNGE"]);
    assert_eq!(status, "OK MOVE completed.");
    assert_eq!(
        client.command("UID MOVE 2:3 Error").unwrap(),
        (vec!["* OK [COPYUID 14  ]".into()], "OK MOVE completed.".into())
    );
    assert_eq!(
        other.status("UID FETCH 2 (BODY.PEEK[])"),
        "NO Some of the requested messages no longer exist."
    );
    assert_eq!(other.command("NOOP").unwrap().0, ["* 3 EXPUNGE", "* 2 EXPUNGE"]);
    assert_eq!(standin.mail(USER, "error", 1).unwrap().bytes, generated_mail(&Generate::default(), 1));
}

#[test]
fn expunging_by_uid_leaves_what_others_marked() {
    let standin = start(Scenario::generated(4));
    standin.change(&Change::Flag {
        user: None,
        folder: "INBOX".into(),
        uids: "1".into(),
        flag: "\\Deleted".into(),
    });
    let mut client = Client::logged_in(&standin);
    client.command("SELECT INBOX").unwrap();
    client.command("UID STORE 2:3 +FLAGS.SILENT (\\Deleted)").unwrap();
    let (untagged, status) = client.command("UID EXPUNGE 2:3").unwrap();
    assert_eq!((untagged.len(), status.as_str()), (2, "OK EXPUNGE completed."));
    assert_eq!(standin.uids(USER, "INBOX"), [1, 4]);
}

#[test]
fn idle_tells_of_new_mail() {
    let standin = start(Scenario::default());
    let mut client = Client::logged_in(&standin);
    client.command("SELECT INBOX").unwrap();
    client.send(b"i IDLE\r\n");
    assert_eq!(client.line().unwrap(), "+ IDLE accepted, awaiting DONE command.");
    standin.change(&Change::Deliver { user: None, folder: "INBOX".into(), mail: Mail::from(b"x".to_vec()) });
    assert_eq!(client.line().unwrap(), "* 1 EXISTS");
    client.send(b"DONE\r\n");
    assert_eq!(client.line().unwrap(), "i OK IDLE completed.");
}

#[test]
fn starttls_is_offered_where_it_is_plain_and_no_credential_is_taken_before() {
    let standin = start(Scenario::default());
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", standin.starttls_port())).unwrap();
    let mut say = |line: &str| {
        use std::io::{Read, Write};
        socket.write_all(line.as_bytes()).unwrap();
        let mut buffer = [0; 2000];
        let count = socket.read(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    say("");
    assert!(say("a CAPABILITY\r\n").contains("LOGINDISABLED STARTTLS"));
    assert!(say("a AUTHENTICATE XOAUTH2 eA==\r\n").contains("a NO"));
    assert!(say("a STARTTLS\r\n").contains("a OK"));
    let mut client = Client::over(&standin, socket).unwrap();
    assert_eq!(client.log_in(USER, &token(&standin)), "OK AUTHENTICATE completed.");
}

#[test]
fn the_default_folders_are_localised_and_travel_in_modified_utf7() {
    let mut scenario = Scenario::default();
    scenario.dialect.language = "de".into();
    let standin = start(scenario);
    let (lines, _) = Client::logged_in(&standin).command("LIST \"\" *").unwrap();
    assert!(
        lines.contains(&"* LIST (\\HasNoChildren) \"/\" \"Gel&APY-schte Elemente\"".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn dialects_leave_out_what_they_lack() {
    let scenario = |dialect: serde_json::Value| {
        let mut scenario = Scenario::generated(3);
        scenario.dialect = serde_json::from_value(dialect).unwrap();
        start(scenario)
    };
    let standin = scenario(json!({"sasl_ir": false, "move": false, "uidplus": false, "imap4rev2": true}));
    let mut client = Client::imap(&standin);
    let capabilities = client.command("CAPABILITY").unwrap().0.join(" ");
    assert!(
        !capabilities.contains("SASL-IR")
            && !capabilities.contains("MOVE")
            && !capabilities.contains("UIDPLUS")
    );
    assert!(capabilities.contains("IMAP4rev2"));
    assert!(client.log_in(USER, &token(&standin)).starts_with("BAD"));
    client.send(b"x AUTHENTICATE XOAUTH2\r\n");
    assert_eq!(client.line().unwrap(), "+ ");
    let response = format!("user={USER}\x01auth=Bearer {}\x01\x01", token(&standin));
    client.send(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, response).as_bytes());
    client.send(b"\r\n");
    assert_eq!(client.line().unwrap(), "x OK AUTHENTICATE completed.");
    client.command("SELECT INBOX").unwrap();
    assert!(client.status("UID MOVE 1 Archive").starts_with("BAD"));
    assert!(client.status("UID EXPUNGE 1").starts_with("BAD"));
    assert_eq!(client.status("UID COPY 1 Archive"), "OK COPY completed.");

    let standin = scenario(json!({"separator": ".", "inbox_only": true, "bare_copyuid": true}));
    let mut client = Client::logged_in(&standin);
    assert_eq!(client.command("NAMESPACE").unwrap().0, ["* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL"]);
    assert!(client.status("CREATE error").starts_with("NO"));
    assert_eq!(client.status("CREATE INBOX.error"), "OK CREATE completed.");
    client.command("SELECT INBOX").unwrap();
    assert_eq!(client.command("UID MOVE 1 INBOX.error").unwrap().0[0], "[COPYUID 14 1 1]");

    let standin = scenario(json!({"separator": null, "challenge": "{\"status\":\"401\"}"}));
    let mut client = Client::logged_in(&standin);
    assert_eq!(client.command("LIST \"\" INBOX").unwrap().0, ["* LIST (\\HasNoChildren) NIL INBOX"]);
    let mut client = Client::imap(&standin);
    client.send(b"x AUTHENTICATE XOAUTH2 dXNlcj14AWF1dGg9QmVhcmVyIHgBAQ==\r\n");
    assert_eq!(client.line().unwrap(), "+ eyJzdGF0dXMiOiI0MDEifQ==");
    client.send(b"\r\n");
    assert_eq!(client.line().unwrap(), "x NO AUTHENTICATE failed.");
}

#[test]
fn a_million_mails_are_served_without_being_held() {
    let standin = start(Scenario::generated(1_000_000));
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
        line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = resident();
    let mut client = Client::logged_in(&standin);
    assert_eq!(client.command("SELECT INBOX").unwrap().0[0], "* 1000000 EXISTS");
    let started = Instant::now();
    client.command("UID MOVE 1:200000 Archive").unwrap();
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(standin.count(USER, "Archive"), 200_000);
    let mail = standin.mail(USER, "Archive", 150_000).unwrap();
    assert_eq!(mail.bytes, generated_mail(&Generate::default(), 149_999));
    let (lines, _) = client.command("UID FETCH 999999:* (BODY.PEEK[])").unwrap();
    assert_eq!(lines.len(), 2);
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} kB more");
}

#[test]
fn stopping_ends_everything_at_once() {
    let standin = start(Scenario::default().with_fault(json!({"on": "NOOP", "do": ["stall"]})));
    let mut client = Client::logged_in(&standin);
    client.send(b"x NOOP\r\n");
    std::thread::sleep(Duration::from_millis(50));
    let started = Instant::now();
    drop(standin);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(client.line().is_err());
}

#[test]
fn the_transcript_shows_the_dialogue_without_credentials_and_literals() {
    let standin = start(Scenario::default());
    let mut client = Client::logged_in(&standin);
    client.send(b"x APPEND INBOX {5+}\r\nhello\r\n");
    assert!(client.line().unwrap().starts_with("x OK [APPENDUID 14 1]"));
    let transcript = standin.transcript();
    let lines: Vec<&str> = transcript.iter().map(|line| line.text.as_str()).collect();
    assert!(lines[1].starts_with("t1 AUTHENTICATE XOAUTH2 {") && lines[1].ends_with(" octets}"), "{lines:?}");
    assert_eq!(lines[3..], ["x APPEND INBOX {5 octets}", "x OK [APPENDUID 14 1] APPEND completed."]);
    let secret = grant(&standin).json()["access_token"].as_str().unwrap()[..20].to_owned();
    assert!(!lines.iter().any(|line| line.contains(&secret)));
}
