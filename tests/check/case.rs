//! A run of the command against the stand-in, and what it found.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use um_standin::scenario::{CLIENT_SECRET, USER};
use um_standin::{Scenario, Standin};

use crate::schema::{conforms, schema};

/// A stand-in, and a UM_HOME whose properties lead to it.
pub struct Case {
    pub standin: Standin,
    pub um_home: TempDir,
    pub properties: BTreeMap<String, String>,
}

impl Case {
    pub fn new(scenario: Value) -> Self {
        let scenario: Scenario = serde_json::from_value(scenario).expect("a scenario");
        let standin = Standin::start(scenario).expect("a stand-in");
        let properties = standin.properties();
        let um_home = tempfile::tempdir().expect("a temporary directory");
        Self { standin, um_home, properties }
    }

    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.properties.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn without(mut self, key: &str) -> Self {
        self.properties.remove(key);
        self
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it can be started")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_named("check", arguments)
    }

    pub fn command_named(&self, name: &str, arguments: &[&str]) -> Command {
        let lines = self.properties.iter().map(|(key, value)| format!("{key} = \"{value}\"\n"));
        let directory = self.um_home.path().join("cmsbs-conf");
        fs::create_dir_all(&directory).expect("cmsbs-conf");
        fs::create_dir_all(self.um_home.path().join("cmsbs-work")).expect("cmsbs-work");
        let file = directory.join("cmsbs.properties");
        fs::write(&file, lines.collect::<String>()).expect("cmsbs.properties");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
        let mut command = Command::new(env!("CARGO_BIN_EXE_um-imap-oauth2"));
        command.args([name, "--um-home"]).arg(self.um_home.path()).args(arguments).stdin(Stdio::null());
        for variable in ["LC_ALL", "LC_MESSAGES", "LANG", "HTTPS_PROXY", "https_proxy"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_command("check", arguments)
    }

    /// Exit code, stdout and stderr, without secrets.
    pub fn run_command(&self, name: &str, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command_named(name, arguments).output().expect("it can be started");
        let text = |octets| String::from_utf8(octets).expect("UTF-8");
        let (out, err) = (text(output.stdout), text(output.stderr));
        for secret in [CLIENT_SECRET, "eyJ"] {
            assert!(!out.contains(secret) && !err.contains(secret), "{out}{err}");
        }
        (output.status.code().expect("it ended by itself"), out, err)
    }

    /// What it found, in the format that is documented.
    pub fn check(&self, arguments: &[&str]) -> Checked {
        let (code, out, err) = self.run(&[arguments, &["--json"]].concat());
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let schema = schema();
        conforms(&json, &schema, &schema).unwrap_or_else(|problem| panic!("{problem}: {json:#}"));
        let expected = ["well", "warnings", "failed", "try_later"];
        assert_eq!(expected.get(usize::try_from(code).unwrap()), json["outcome"].as_str().as_ref(), "{err}");
        Checked { code, json }
    }

    pub fn folders(&self) -> Vec<String> {
        self.standin.folders(USER)
    }

    /// Every mail in every folder, with its flags.
    pub fn contents(&self) -> Vec<(String, Vec<um_standin::StoredMail>)> {
        let mails = |name: String| (name.clone(), self.standin.mails(USER, &name));
        self.folders().into_iter().map(mails).collect()
    }
}

#[derive(Debug)]
pub struct Checked {
    pub code: i32,
    pub json: Value,
}

impl Checked {
    pub fn mailboxes(&self) -> &[Value] {
        self.json["mailboxes"].as_array().expect("mailboxes")
    }

    pub fn steps(&self) -> &[Value] {
        self.mailboxes()[0]["steps"].as_array().expect("steps")
    }

    #[track_caller]
    pub fn step(&self, name: &str) -> &Value {
        self.steps().iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    #[track_caller]
    pub fn step_at(&self, name: &str, connection: &str) -> &Value {
        let found = self.steps().iter().find(|step| step["step"] == name && step["connection"] == connection);
        found.unwrap_or_else(|| panic!("no {name} of {connection}: {self:?}"))
    }

    #[track_caller]
    pub fn seen(&self, name: &str) -> String {
        self.step(name)["seen"].to_string()
    }

    /// With cause and remedy.
    #[track_caller]
    pub fn failure(&self, name: &str) -> Value {
        explained(self.step(name))
    }

    /// How many steps failed.
    pub fn failures(&self) -> usize {
        self.steps().iter().filter(|step| step["status"] == "failed").count()
    }

    #[track_caller]
    pub fn failure_at(&self, name: &str, connection: &str) -> Value {
        explained(self.step_at(name, connection))
    }
}

#[track_caller]
fn explained(step: &Value) -> Value {
    assert_eq!(step["status"], "failed", "{step:#}");
    let failure = &step["failure"];
    assert!(failure["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{failure:#}");
    failure.clone()
}

/// Ends a command by SIGINT as soon as `now` is true.
pub fn interrupted(child: Child, now: impl Fn() -> bool) -> (i32, Value) {
    while !now() {
        thread::sleep(Duration::from_millis(1));
    }
    // A shell has kill built in; the command may be missing.
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(sent.success());
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}
