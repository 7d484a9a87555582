//! The stand-in as clients see it that were written by others.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use um_standin::scenario::{CLIENT_ID, CLIENT_SECRET, USER};
use um_standin::{Scenario, Standin};

use common::{awkward_mails, token};

#[test]
fn pythons_imaplib_reads_it_without_complaint_and_byte_for_byte() {
    let (standin, mails) = inbox_of_awkward_mails();
    let mut client = Command::new("python3");
    client.arg(clients().join("imaplib_client.py")).arg(address(&standin)).arg(mails.path());
    says_well(client);
    assert_eq!(standin.uids(USER, "INBOX"), [1, 2, 6, 7]);
    assert_eq!(standin.uids(USER, "Bounces/Hard"), [1, 2, 3, 4]);
    let appended = standin.mail(USER, "Bounces/Hard", 4).unwrap();
    assert_eq!(appended.internal_date, " 3-Feb-2026 00:02:03 +0000");
    assert_eq!(appended.flags, ["\\Seen"]);
}

#[test]
fn javamail_reads_it_without_complaint_and_byte_for_byte() {
    let (standin, mails) = inbox_of_awkward_mails();
    let mut client = Command::new("java");
    client.arg("-cp").arg(javamail()).arg(clients().join("JavaMailClient.java"));
    client.arg(standin.imap_port().to_string()).arg(standin.ca_pem_path()).args([USER, &token(&standin)]);
    client.arg(mails.path());
    says_well(client);
    assert_eq!(standin.uids(USER, "INBOX"), [1, 5, 6, 7]);
    assert_eq!(standin.count(USER, "Gelöschtes/Hart"), 4);
    assert_eq!(standin.mail(USER, "Gelöschtes/Hart", 2).unwrap().bytes, awkward_mails()[1]);
}

fn inbox_of_awkward_mails() -> (Standin, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    for (at, mail) in awkward_mails().iter().enumerate() {
        std::fs::write(directory.path().join(format!("{}.eml", at + 1)), mail).unwrap();
    }
    (Standin::start(Scenario::with_mails(awkward_mails())).unwrap(), directory)
}

/// What `um-standin` prints.
fn address(standin: &Standin) -> String {
    json!({
        "host": standin.host(),
        "imap_port": standin.imap_port(),
        "starttls_port": standin.starttls_port(),
        "token_uri": standin.token_uri(),
        "ca_file": standin.ca_pem_path(),
        "clients": [{"id": CLIENT_ID, "secret": CLIENT_SECRET}],
        "users": [USER],
    })
    .to_string()
}

fn says_well(mut client: Command) {
    let output = client.output().expect("the client can be started");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim() == "well", "{out}\n{err}");
}

/// The class path with JavaMail, which Maven knows.
fn javamail() -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("mvn")
        .args(["-q", "-B", "dependency:build-classpath", "-f"])
        .arg(clients().join("pom.xml"))
        .arg(format!("-Dmdep.outputFile={}", file.path().display()))
        .status()
        .expect("Maven can be started");
    assert!(status.success());
    std::fs::read_to_string(file.path()).unwrap()
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}
