//! The program `um-standin`, as the demo and tests in other languages use it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

struct Program {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Program {
    fn start(scenario: &std::path::Path) -> (Self, Value) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_um-standin"))
            .arg(scenario)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut program = Self { child, lines };
        let address = program.line();
        (program, address)
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{request}").unwrap();
        self.line()
    }

    fn line(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

#[test]
fn it_runs_a_scenario_file_answers_and_ends_with_its_input() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("mails")).unwrap();
    std::fs::write(directory.path().join("mails/b.eml"), "Subject: b\n\nsecond\n").unwrap();
    std::fs::write(directory.path().join("mails/a.eml"), "Subject: a\n\nfirst\n").unwrap();
    let scenario = directory.path().join("scenario.json");
    let text = json!({"mailboxes": [{
        "user": "bounces@example.org",
        "folders": [{"name": "INBOX", "first_uid": 7, "directory": "mails"}, {"name": "Bounces/Hard"}],
    }]});
    std::fs::write(&scenario, text.to_string()).unwrap();

    let (mut program, address) = Program::start(&scenario);
    assert_eq!(address["users"], json!(["bounces@example.org"]));
    assert!(address["token_uri"].as_str().unwrap().starts_with("https://localhost:"));
    let ca = std::path::PathBuf::from(address["ca_file"].as_str().unwrap());
    assert!(std::fs::read_to_string(&ca).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));

    let inbox = json!({"user": "bounces@example.org", "folder": "INBOX"});
    assert_eq!(program.ask(&json!({"mails": inbox})), json!({"uid_validity": 14, "uids": [7, 8]}));
    let mail = program.ask(&json!({"mail": {"user": "bounces@example.org", "folder": "INBOX", "uid": 7}}));
    assert_eq!(mail["base64"], "U3ViamVjdDogYQ0KDQpmaXJzdA0K", "a.eml comes first, with CRLF");
    let change = json!({"change": {"expunge": {"folder": "INBOX", "uids": "7"}}});
    assert_eq!(program.ask(&change), json!({}));
    let folders = program.ask(&json!("folders"));
    assert_eq!(folders["bounces@example.org"]["INBOX"], 1);
    assert_eq!(folders["bounces@example.org"]["Bounces/Hard"], 0);
    assert_eq!(program.ask(&json!("counters"))["logins"], 0);
    assert!(program.ask(&json!({"fault": {"on": "NOOP", "do": ["no such action"]}}))["error"].is_string());

    drop(program.child.stdin.take());
    assert!(program.child.wait().unwrap().success());
    assert!(!ca.exists(), "the CA's file is gone with it");
}

#[test]
fn a_scenario_with_a_typing_error_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = directory.path().join("scenario.json");
    std::fs::write(&scenario, json!({"dialect": {"saslir": false}}).to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_um-standin")).arg(&scenario).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("saslir") && said.contains(&scenario.display().to_string()), "{said}");
}

#[test]
fn a_scenario_that_is_not_there_is_named() {
    let (ok, _, said) = run(&["nosuch.json"]);
    assert!(!ok && said.contains("nosuch.json: No such file"), "{said}");
}

#[test]
fn help_is_no_scenario_and_an_option_that_nobody_knows_is_none_either() {
    for help in ["--help", "-h"] {
        let (ok, out, _) = run(&[help]);
        assert!(ok && out.starts_with("Usage: um-standin [SCENARIO.json]\n"), "{out}");
    }
    for arguments in [&["--port"] as &[&str], &["a.json", "b.json"]] {
        let (ok, _, said) = run(arguments);
        assert!(!ok && said.contains("Usage: um-standin"), "{said}");
    }
}

/// Whether it went well, its output and what it said.
fn run(arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_um-standin"));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}
