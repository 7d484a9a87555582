//! `status.json`, which the engine leaves for `um-imap-oauth2 status`.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use um_imap_oauth2::mailbox::{Access, Grade};

use crate::support::{Account, Flow, Relay, mails, server, tree};

#[test]
fn status_tells_monitoring_systems_how_the_mailbox_is_doing() {
    let account = Account::new().with_mails(&mails(3));
    let (code, text) = status(&account, &[]);
    assert_eq!(code, 3, "{text}");
    assert!(text.starts_with("UNKNOWN - the primary mailbox: nothing is known"), "{text}");

    account.open().read();
    let (code, text) = status(&account, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with(&format!("OK - {}/INBOX: last read 2", account.user)), "{text}");

    let soon = (chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now())
        + chrono::TimeDelta::days(9))
    .date_naive();
    let account = account.with("cmsbs.mail.imap.oauth2.clientSecretExpires", &soon.to_string());
    account.open().read();
    let (code, text) = status(&account, &["--lang", "de"]);
    assert_eq!(code, 1, "{text}");
    let day = soon.format("%d.%m.%Y");
    assert!(text.contains(&format!("die Anmeldedaten laufen am {day} ab")), "{text}");

    let account = account.with("cmsbs.mail.imap.oauth2.clientSecret", "not-the-secret");
    let failure = account.failure();
    let (code, text) = status(&account, &["--json"]);
    assert_eq!(code, 2, "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    let status = &json[0]["status"];
    assert_eq!(
        (&json[0]["level"], &status["state"], &status["failures"]),
        (&"critical".into(), &"failing".into(), &1.into())
    );
    assert_eq!(status["failure"]["observed"], failure.observed.as_str());
    assert_eq!(status["failure"]["kind"], "TOKEN");
    account.holds_no_secret(&text);
    assert!(!text.contains("not-the-secret"));
}

#[test]
fn a_mailbox_that_nobody_asks_for_is_a_failing_one() {
    let account = Account::new().with_mails(&mails(1));
    account.open().read();
    let file = tree(&account.um_home().join("cmsbs-work"))
        .into_iter()
        .find(|path| path.ends_with("status.json"))
        .unwrap();
    let old =
        chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()) - chrono::TimeDelta::minutes(61);
    let mut json: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    json["written"] = old.to_rfc3339().into();
    fs::write(&file, json.to_string()).unwrap();
    let (code, text) = status(&account, &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("Universal Messenger has not looked for mail for 61 min"), "{text}");
    assert_eq!(status(&account, &["--max-age", "62"]).0, 0);
}

#[test]
fn settled_mail_that_the_server_was_not_told_of_is_pending() {
    let account = Account::new().with_mails(&mails(3));
    let mailbox = account.open();
    let mail = mailbox.read().remove(0);
    assert_eq!(mailbox.health().pending, 0);
    mailbox.delete(mail.id).unwrap();
    // The server is told after a second; health is asked before, or it was quick.
    let begun = Instant::now();
    while mailbox.health().pending > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    let health = mailbox.health();
    assert_eq!((health.state, health.failures, health.set_aside), (Grade::Well, 0, 0));
    assert!(health.last_success.is_some());
}

#[test]
fn a_fetch_that_is_given_up_leaves_its_status() {
    let relay = Relay::to(&server("UM_TEST_IMAP_PORT"), Flow::Free);
    let account =
        Account::new().with("cmsbs.mail.imap.port", &relay.port.to_string()).with_mails(&mails(100));
    let mailbox = account.open();
    mailbox.fetch().unwrap();
    // Mails that were asked for are still to come.
    relay.set(Flow::StallAfter(0));
    mailbox.close();
    let (code, text) = status(&account, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("last read 2"), "{text}");
}

#[test]
fn whoever_only_reads_writes_nothing_into_the_work_directory() {
    let account = Account::new().with_mails(&mails(1));
    account.try_open(Access::ReadOnly).unwrap().read();
    status(&account, &[]);
    assert_eq!(tree(&account.um_home().join("cmsbs-work")), Vec::<std::path::PathBuf>::new());
}

/// Exit code and output of `um-imap-oauth2 status`.
fn status(account: &Account, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_um-imap-oauth2"));
    command.args(["status", "--um-home"]).arg(account.um_home()).args(arguments);
    for variable in ["LC_ALL", "LC_MESSAGES", "LANG"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}
