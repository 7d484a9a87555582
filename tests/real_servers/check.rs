//! `um-imap-oauth2 check` on Dovecot.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde_json::Value;

use crate::support::{Account, mails, server, tree};

#[test]
fn nothing_changes_anywhere_without_write() {
    let account = Account::new().with_mails(&mails(3));
    account.fill(".debug", Some("S"), &mails(2));
    account.fill(".Junk", None, &["From: MAILER-DAEMON@example.test\r\n\r\n"]);
    // From now on Dovecot has its own files there.
    check(&account, &[]);
    let (home, mailbox) = (contents(account.um_home()), account.mail_paths());
    let (code, json) = check(&account, &[]);
    assert_eq!(code, 1, "{json:#}");
    assert_eq!(account.mail_paths(), mailbox);
    assert_eq!(account.on_disk("").iter().filter(|mail| mail.flags.contains('S')).count(), 0);
    assert_eq!(contents(account.um_home()), home);
    assert!(step(&json, "inbox")["seen"][0].as_str().unwrap().contains("3 mails, 3 unread"), "{json:#}");
    assert!(
        step(&json, "junk")["warnings"][0].as_str().unwrap().contains("1 mail that looks like a bounce"),
        "{json:#}"
    );
    for other in ["token", "login", "namespace", "folders", "clock", "expiry"] {
        assert_eq!(step(&json, other)["status"], "done", "{json:#}");
    }
}

#[test]
fn with_write_nothing_is_left_in_any_dialect() {
    for dialect in ["", "NO_MOVE", "NO_UIDPLUS", "INBOX_ONLY", "SLASH"] {
        let variable = format!("UM_TEST_IMAP_PORT_{dialect}");
        let account = match std::env::var(&variable) {
            Ok(port) => Account::new().with("cmsbs.mail.imap.port", &port),
            Err(_) if dialect.is_empty() => Account::new(),
            Err(_) => panic!("{variable} is not set"),
        };
        let account = account.with("cmsbs.mail.imap.folder.error", "INBOX.error").with_mails(&mails(2));
        let (before, folders) = (account.folders(), account.folder_names());
        let (_, json) = check(&account, &["--write"]);
        assert_eq!(step(&json, "write")["status"], "done", "{dialect}: {json:#}");
        assert_eq!((account.folders(), account.folder_names()), (before, folders), "{dialect}");
    }
}

#[test]
fn starttls_and_a_password_are_tested_too() {
    let account = Account::new()
        .with("cmsbs.mail.imap.port", &server("UM_TEST_STARTTLS_PORT"))
        .with("cmsbs.mail.imap.ssl", "tls")
        .with("cmsbs.mail.imap.authenticationMethod", "password")
        .with("cmsbs.mail.imap.password", "wrong")
        .with_mails(&mails(1));
    let (code, json) = check(&account, &[]);
    assert_eq!(code, 2);
    assert_eq!(step(&json, "tls")["seen"][0], "STARTTLS");
    assert_eq!(step(&json, "login")["failure"]["kind"], "LOGIN", "{json:#}");
}

fn check(account: &Account, arguments: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_um-imap-oauth2"));
    command.args(["check", "--json", "--lang", "en", "--um-home"]).arg(account.um_home()).args(arguments);
    let output = command.env_remove("HTTPS_PROXY").stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    account.holds_no_secret(&format!("{out}{err}"));
    (output.status.code().unwrap(), serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")))
}

fn step<'a>(json: &'a Value, name: &str) -> &'a Value {
    let steps = json["mailboxes"][0]["steps"].as_array().unwrap();
    steps.iter().rfind(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {json:#}"))
}

/// Every file with its octets and its time.
fn contents(directory: &Path) -> BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)> {
    let file = |path: PathBuf| {
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        (path.clone(), (fs::read(&path).ok(), modified))
    };
    tree(directory).into_iter().filter(|path| !path.ends_with("cmsbs.properties")).map(file).collect()
}
