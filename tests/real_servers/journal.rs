//! What lies in the work directory: the journal, the lock, and whose they are.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use um_imap_oauth2::config;
use um_imap_oauth2::failure::Kind;
use um_imap_oauth2::log::Log;
use um_imap_oauth2::mailbox::{Access, Mailbox, Outcome};
use um_imap_oauth2::net::{Anchors, Trust};

use crate::support::{Account, Flow, Relay, children, mails, server, tree};

#[test]
fn neither_content_nor_an_address_is_in_the_journal_and_nobody_else_can_read_it() {
    let mails = ["From: sender@example.net\r\nTo: recipient@example.net\r\nSubject: secret\r\n\r\nbody\r\n"];
    let account = Account::new().with_mails(&mails);
    let mailbox = account.open();
    let read = mailbox.read();
    mailbox.settle(read[0].id, Outcome::Unrecognised).unwrap();
    let journal = file(&account, "journal");
    let text = fs::read_to_string(&journal).unwrap();
    // The header is there twice.
    assert_eq!(text.lines().count(), 3, "{text}");
    for word in ["sender", "recipient", "secret", "body"] {
        assert!(!text.contains(word), "{text}");
    }
    assert!(text.contains("\"move\":\"error\""), "{text}");
    for name in ["journal", "lock", "owner"] {
        assert_eq!(fs::metadata(file(&account, name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    mailbox.flush().unwrap();
    drop(mailbox);
    assert_eq!(fs::read_to_string(&journal).unwrap().lines().count(), 2, "only the header is left");
}

#[test]
fn a_command_that_settles_is_told_who_reads_the_mailbox_and_one_that_only_reads_is_let() {
    let account = Account::new().with_mails(&mails(2));
    let mailbox = account.open();
    mailbox.read();
    let out = tempfile::tempdir().unwrap();
    let output = fetch(&account, &out, &["--settle", "handled"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("process {} (", std::process::id())), "{said}");
    assert_eq!(account.on_disk("").len(), 2);
    assert_eq!(fetch(&account, &out, &[]).status.code(), Some(0));
    mailbox.close();
    assert_eq!(fetch(&account, &out, &["--settle", "handled"]).status.code(), Some(0));
    assert_eq!(account.on_disk("").len(), 0);
}

#[test]
fn a_lock_that_a_kill_left_does_not_block() {
    let relay = Relay::to(&server("UM_TEST_IMAP_PORT"), Flow::Drip);
    let account = Account::new().with("cmsbs.mail.imap.port", &relay.port.to_string()).with_mails(&mails(3));
    let out = tempfile::tempdir().unwrap();
    let home = account.um_home();
    let mut reader = command(home, "fetch");
    let mut reader = reader.arg("--to").arg(out.path()).args(["--settle", "handled"]).spawn().unwrap();
    let begun = Instant::now();
    while !tree(&home.join("cmsbs-work")).iter().any(|path| path.ends_with("owner")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no lock was taken");
        thread::sleep(Duration::from_millis(10));
    }
    let output = command(home, "drain").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert!(file(&account, "owner").exists());
    relay.set(Flow::Free);
    assert_eq!(fetch(&account, &out, &["--settle", "handled"]).status.code(), Some(0));
    assert_eq!(account.on_disk("").len(), 0);
}

#[test]
fn drain_carries_out_what_is_in_the_journal_and_fetches_nothing() {
    let relay = Relay::to(&server("UM_TEST_IMAP_PORT"), Flow::Free);
    let account = Account::new()
        .with("cmsbs.mail.imap.port", &relay.port.to_string())
        .with("cmsbs.mail.imap.fetch.patience", "1s")
        .with_mails(&mails(5));
    assert_eq!(drain(&account), (0, format!("{}/INBOX: nothing is pending\n", account.user)));
    let connections = || relay.connections.load(Ordering::SeqCst);
    assert_eq!(connections(), 0);

    let mailbox = account.open();
    let read = mailbox.read();
    // No command comes through any more.
    relay.set(Flow::CutAfter(0));
    assert!(mailbox.fetch().is_err());
    for mail in &read[..3] {
        mailbox.settle(mail.id, Outcome::Unrecognised).unwrap();
    }
    mailbox.close();
    assert_eq!(account.on_disk("").len(), 5);
    let said = mailbox.said();
    assert!(said.iter().any(|text| text.contains("closed before 3 settled mails were reported")), "{said:?}");

    let of_three = |done, left| {
        format!(
            "{}/INBOX: 3 settled mails in the journal, {done} applied on the server, {left} pending\n",
            account.user
        )
    };
    assert_eq!(drain(&account), (3, of_three(0, 3)), "the server does not answer");
    relay.set(Flow::Free);
    assert_eq!(drain(&account), (0, of_three(3, 0)));
    assert_eq!((account.on_disk("").len(), account.on_disk(".error").len()), (2, 3));
    assert_eq!(drain(&account).1, format!("{}/INBOX: nothing is pending\n", account.user));
}

#[test]
fn drain_does_not_say_that_nothing_is_left_where_it_cannot_look() {
    let account = Account::new();
    // There is a file where the directory should be.
    let work = account.um_home().join("cmsbs-work/um-imap-oauth2");
    fs::write(&work, "").unwrap();
    let Output { status, stdout, stderr } = command(account.um_home(), "drain").output().unwrap();
    assert_eq!((status.code(), String::from_utf8_lossy(&stdout).as_ref()), (Some(2), ""));
    let said = String::from_utf8_lossy(&stderr);
    assert!(said.contains(&*work.to_string_lossy()), "{said}");
}

#[test]
fn drain_says_what_is_in_the_journal_of_a_mailbox_that_is_not_configured_any_more() {
    let relay = Relay::to(&server("UM_TEST_IMAP_PORT"), Flow::Free);
    let direct = Account::new().with("cmsbs.mail.imap.fetch.patience", "1s").with_mails(&mails(1));
    let port = config::from_um_home(direct.um_home(), None, &|_| None).unwrap().config.port;
    let account = direct.with("cmsbs.mail.imap.port", &relay.port.to_string());
    let mailbox = account.open();
    let read = mailbox.read();
    relay.set(Flow::CutAfter(0));
    assert!(mailbox.fetch().is_err());
    mailbox.settle(read[0].id, Outcome::Unrecognised).unwrap();
    mailbox.close();
    let account = account.with("cmsbs.mail.imap.port", &port.to_string());
    let output = command(account.um_home(), "drain").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let mailbox = format!("{}/INBOX at localhost:{}", account.user, relay.port);
    assert!(said.contains(": 1 settled mail pending\n") && said.contains(&mailbox), "{said}");
    relay.set(Flow::Free);
    let account = account.with("cmsbs.mail.imap.port", &relay.port.to_string());
    assert_eq!(drain(&account).0, 0);
    assert_eq!(account.on_disk("").len(), 0);
}

#[test]
fn drain_goes_through_every_mailbox_and_ends_as_the_worst_does() {
    let relay = Relay::to(&server("UM_TEST_IMAP_PORT"), Flow::Free);
    let other = Account::new().with_mails(&mails(2));
    let account = Account::new()
        .with("cmsbs.bounce.listeners", "good bad")
        .with("cmsbs.mail.imap.fetch.patience", "1s")
        .with("cmsbs.bouncelistener.good.mail.imap.server", "localhost")
        .with("cmsbs.bouncelistener.good.mail.imap.user", &other.user)
        .with("cmsbs.bouncelistener.good.mail.imap.password", "")
        .with("cmsbs.bouncelistener.good.mail.imap.port", &relay.port.to_string())
        .with("cmsbs.bouncelistener.good.oauth2.clientId", other.user.split('@').next().unwrap())
        .with("cmsbs.bouncelistener.bad.mail.imap.port", "none");
    let config = config::from_um_home(account.um_home(), Some("good"), &|_| None).unwrap().config;
    let trust = Trust::new(Anchors::platform(), config.ca_file.as_deref()).unwrap();
    let mailbox = Mailbox::open(config, trust, Access::ReadWrite, Log::default()).unwrap();
    let fetch = mailbox.fetch().unwrap();
    let mail = mailbox.next(fetch).unwrap().unwrap();
    relay.set(Flow::CutAfter(0));
    assert!(mailbox.fetch().is_err());
    mailbox.settle(mail.id, Outcome::Unrecognised).unwrap();
    mailbox.close();
    relay.set(Flow::Free);
    let (code, said) = drain(&account);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains(&format!("{}/INBOX: nothing is pending", account.user)), "{said}");
    assert!(
        said.contains(&format!(
            "{}/INBOX: 1 settled mail in the journal, 1 applied on the server",
            other.user
        )),
        "{said}"
    );
    assert_eq!((other.on_disk("").len(), other.on_disk(".error").len()), (1, 1));
}

#[test]
fn what_is_read_only_takes_no_lock_and_writes_nothing() {
    let account = Account::new().with_mails(&mails(1));
    let one = account.try_open(Access::ReadOnly).unwrap();
    let two = account.try_open(Access::ReadOnly).unwrap();
    assert_eq!((one.read().len(), two.read().len()), (1, 1));
    assert_eq!(tree(&account.um_home().join("cmsbs-work")), Vec::<PathBuf>::new());
    let reader = account.open();
    reader.read();
    let second = account.open();
    assert_eq!(second.fetch().unwrap_err().kind, Kind::Busy);
    assert_eq!(account.try_open(Access::ReadOnly).unwrap().read().len(), 1);
}

#[test]
fn what_root_leaves_in_the_work_directory_belongs_to_whom_that_belongs() {
    let account = Account::new().with_mails(&mails(2));
    let work = account.um_home().join("cmsbs-work");
    if fs::metadata(&work).unwrap().uid() != 0 || chown(&work, Some(12_345), Some(12_346)).is_err() {
        // Whoever is not root makes nothing that is root's.
        return;
    }
    let out = tempfile::tempdir().unwrap();
    assert_eq!(fetch(&account, &out, &["--settle", "unrecognised"]).status.code(), Some(0));
    let files = tree(&work);
    assert!(files.iter().any(|path| path.ends_with("journal")), "{files:?}");
    for path in files {
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12_345, 12_346), "{}", path.display());
    }
}

fn fetch(account: &Account, out: &TempDir, arguments: &[&str]) -> Output {
    command(account.um_home(), "fetch").arg("--to").arg(out.path()).args(arguments).output().unwrap()
}

/// Exit code and standard output.
fn drain(account: &Account) -> (i32, String) {
    let output = command(account.um_home(), "drain").output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn command(um_home: &Path, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_um-imap-oauth2"));
    command.env_remove("HTTPS_PROXY").args(["--lang", "en", name, "--um-home"]).arg(um_home);
    command
}

/// A file of the account's only mailbox.
fn file(account: &Account, name: &str) -> PathBuf {
    let folders = children(&account.um_home().join("cmsbs-work/um-imap-oauth2"));
    folders[0].join(name)
}
