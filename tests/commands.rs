//! The command line where the configuration, its arguments or its output are of no use: what it says, where, and how it ends.

#![cfg(unix)]

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

#[test]
fn a_refused_mailbox_is_told_in_the_one_language_of_its_file() {
    for (language, label, other) in [("en", "Observed:", "Beobachtet:"), ("de", "Beobachtet:", "Observed:")] {
        let home = Home::of(&format!("cmsbs.lang = {language}\n{REFUSED}"));
        for command in ["status", "token", "fetch", "drain"] {
            let ran = home.run(command, &[]);
            assert_eq!(ran.code, 2, "{ran:?}");
            let said = ran.out.clone() + &ran.err;
            assert!(said.contains(label) && !said.contains(other), "{command}: {ran:?}");
            assert_eq!(said.contains("It is not set."), language == "en", "{command}: {ran:?}");
            assert_eq!(said.contains("primäre"), language == "de" && command == "status", "{ran:?}");
        }
    }
}

#[test]
fn without_properties_the_language_of_the_environment_is_spoken() {
    let nowhere = Home::of("");
    fs::remove_dir_all(nowhere.0.path().join("cmsbs-conf")).unwrap();
    for command in ["config", "setup", "token", "fetch", "drain"] {
        let output = nowhere.command(command, &[]).env("cmsbs__lang", "EN").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("Observed:") && said.contains("UM_HOME is the directory"), "{command}: {said}");
        let said = nowhere.run(command, &[]).err;
        assert!(said.contains("Beobachtet:") && said.contains("UM_HOME ist das"), "{command}: {said}");
    }
}

#[test]
fn each_command_explains_the_same_failure_alike() {
    let home = Home::of("cmsbs.lang = en\n");
    fs::remove_file(home.0.path().join("cmsbs-conf/cmsbs.properties")).unwrap();
    let said = ["config", "setup", "token", "fetch", "drain"]
        .map(|command| home.run(command, &["--lang", "en"]).err);
    assert!(
        said[0].contains("\nCause:       The file or directory that the message names does not exist.\n"),
        "{said:?}"
    );
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
}

/// A UM_HOME with these properties.
struct Home(TempDir);

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Home {
    fn of(properties: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(home.path().join("cmsbs-conf")).expect("cmsbs-conf");
        fs::write(home.path().join("cmsbs-conf/cmsbs.properties"), properties).expect("cmsbs.properties");
        Self(home)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        let output = self.command(command, arguments).output().expect("it can be started");
        let text = |octets| String::from_utf8(octets).expect("UTF-8");
        let code = output.status.code().expect("it ended by itself");
        Ran { code, out: text(output.stdout), err: text(output.stderr) }
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_um-imap-oauth2"));
        command.args([name, "--um-home"]).arg(self.0.path()).args(arguments).stdin(Stdio::null());
        if name == "fetch" && !arguments.contains(&"--to") {
            command.arg("--to").arg(self.0.path().join("out"));
        }
        for variable in ["LC_ALL", "LC_MESSAGES", "LANG", "HTTPS_PROXY", "https_proxy"] {
            command.env_remove(variable);
        }
        command
    }
}

/// The client id is missing.
const REFUSED: &str = "\
cmsbs.mail.imap.server = localhost
cmsbs.mail.imap.user = bounces@example.com
cmsbs.mail.imap.authenticationMethod = oauth2
cmsbs.mail.imap.oauth2.accessTokenUri = https://localhost/tenant/oauth2/v2.0/token
cmsbs.mail.imap.oauth2.clientSecret = secret
";
