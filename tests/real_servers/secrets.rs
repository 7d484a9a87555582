//! No secret is in anything that the command line writes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use crate::support::{Account, mails, server, tree};

const MARK: &str = "Pl4nted";
const OAUTH2: &str = "cmsbs.mail.imap.oauth2.";

#[test]
fn no_planted_secret_is_in_anything_that_is_written() {
    let inputs = tempfile::tempdir().unwrap();
    let input = |name: &str, content: &str| {
        let path = inputs.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mark = BASE64_URL_SAFE_NO_PAD.encode(MARK);
    let pem = input("pem", "-----BEGIN PRIVATE KEY-----\nPl4nted\n");
    let jwt = input("jwt", &format!("aGVhZGVy.{mark}.{mark}"));
    let file = input("file", "Pl4nted~in a file\n");
    let pfx = Path::new(&server("UM_TEST_DIR")).join("pki/client.pfx").to_str().unwrap().to_owned();
    let proxy = server("UM_TEST_PROXY").replace("proxy-password", "Pl4nted%2F");
    let good = server("UM_TEST_SECRET");
    let ways: [(&str, &[(&str, &str)]); 12] = [
        ("wrong secret", &[("clientSecret", "Pl4nted~/+=&% %"), ("clientSecret.next", "Pl4nted~next")]),
        ("secret in a file", &[("clientSecret$file", &file)]),
        ("two credentials", &[("clientSecret", MARK), ("clientAssertionFile", &jwt)]),
        ("certificate", &[("clientCertificate", &pfx), ("clientCertificatePassword", MARK)]),
        ("no certificate", &[("clientCertificate", &pem), ("clientCertificatePassword", MARK)]),
        ("assertion", &[("clientAssertionFile", &jwt)]),
        ("no assertion", &[("clientAssertionFile", &file)]),
        ("proxy", &[("clientSecret", &good), ("proxy", &proxy)]),
        ("no proxy", &[("clientSecret", &good), ("proxy", "socks5://Pl4nted@localhost:1")]),
        ("IMAP proxy", &[("clientSecret", &good), ("cmsbs.mail.imap.proxy", &proxy)]),
        ("UM's proxy", &[("clientSecret", &good), ("cmsbs.proxy", &proxy)]),
        (
            "password",
            &[
                ("cmsbs.mail.imap.authenticationMethod", "password"),
                ("cmsbs.mail.imap.password", "Pl4nted\"\\ pass"),
            ],
        ),
    ];
    for (name, settings) in ways {
        let mut account = Account::new().with_mails(&mails(1)).with("cmsbs.mail.imap.trace", "true");
        account = account.without("cmsbs.mail.imap.oauth2.clientSecret");
        for (key, value) in settings {
            let key = if key.starts_with("cmsbs.") { (*key).to_owned() } else { format!("{OAUTH2}{key}") };
            account = account.with(&key, value);
        }
        let said = everything_written(name, account.um_home(), &proxy);
        for form in forms() {
            assert!(!said.contains(&form), "{name}: {form} is in {said}");
        }
    }
}

/// Runs the commands. Returns what they say and what is in the files that they leave.
fn everything_written(name: &str, home: &Path, proxy: &str) -> String {
    fs::create_dir_all(home.join("cmsbs-work")).unwrap();
    let out = home.join("out");
    let mut said = String::new();
    let mut failed = 0;
    for command in [
        vec!["token"],
        vec!["token", "--json"],
        vec!["fetch", "--json", "--to", out.to_str().unwrap()],
        vec!["fetch", "--settle", "keep", "--to", out.to_str().unwrap()],
        vec!["config"],
        vec!["config", "--json"],
    ] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_um-imap-oauth2"));
        run.args(&command).arg("--um-home").arg(home).stdin(Stdio::null());
        run.env("HTTPS_PROXY", proxy).env("NO_PROXY", "localhost");
        let output = run.output().unwrap();
        failed += usize::from(!output.status.success());
        said += &String::from_utf8(output.stdout).unwrap();
        said += &String::from_utf8(output.stderr).unwrap();
    }
    assert!(failed >= 2, "{name} does not fail: {said}");
    for path in tree(home).into_iter().filter(|path| path.is_file() && !path.ends_with("cmsbs.properties")) {
        said += &String::from_utf8_lossy(&fs::read(path).unwrap());
    }
    said
}

/// What of a secret or an access token would be seen, also in Base64 wherever in it it begins.
fn forms() -> Vec<String> {
    let mut forms = Vec::new();
    for secret in [MARK, "eyJ0eXAi", "eyJhbGci", "auth=Bearer "] {
        forms.push(secret.to_owned());
        for before in 0..3 {
            let octets = format!("{}{secret}", &"xx"[..before]);
            let encoded = BASE64_STANDARD.encode(&octets);
            // Without the characters that depend on what stands before and after.
            forms.push(encoded[if before == 0 { 0 } else { before + 1 }..octets.len() * 8 / 6].to_owned());
        }
    }
    forms
}
