//! `um-imap-oauth2 check` against the stand-in for Entra ID and Exchange Online: each of their own failures is named at its
//! step, and what a test may change is changed back.

#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use um_standin::scenario::{CLIENT_ID, CLIENT_SECRET, USER};
use um_standin::{Scenario, Standin};

#[test]
fn a_mailbox_that_works_passes_each_step_and_nothing_but_reading_is_asked_for() {
    let case = Case::new(json!({"mailboxes": [{"user": USER, "folders": [
        {"name": "INBOX", "mails": [{"text": "Subject: a\n\n"}, {"text": "Subject: b\n\n", "flags": ["\\Seen"]}]},
        {"name": "error", "mails": [{"text": "Subject: c\n\n"}]},
    ]}]}));
    let before = case.contents();
    let checked = case.check(&[]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.steps().iter().all(|step| step["status"] == "done"), "{checked:?}");
    assert!(checked.seen("inbox").contains("2 mails, 1 unread"), "{checked:?}");
    assert!(checked.seen("folders").contains("error: 1 mail"), "{checked:?}");
    assert!(checked.seen("deletion").contains("DELETED"), "{checked:?}");
    assert!(checked.seen("claims").contains("IMAP.AccessAsApp"), "{checked:?}");

    assert_eq!(case.contents(), before);
    // The server may not have looked at LOGOUT yet.
    let reading = [
        "AUTHENTICATE",
        "CAPABILITY",
        "EXAMINE",
        "ID",
        "LIST",
        "LOGOUT",
        "NAMESPACE",
        "STATUS",
        "UID SEARCH",
    ];
    let commands = case.standin.counters().commands;
    assert!(commands.keys().all(|command| reading.contains(&command.as_str())), "{commands:?}");
    assert!(commands.contains_key("EXAMINE"), "{commands:?}");
}

#[test]
fn a_forgotten_permission_shows_right_after_the_login() {
    for mailbox in [json!({"user": USER, "permitted": []}), json!({"user": USER, "imap_enabled": false})] {
        let checked = Case::new(json!({"mailboxes": [mailbox]})).check(&[]);
        assert_eq!(checked.code, 2);
        assert_eq!(checked.step("login")["status"], "done");
        let failure = checked.failure("namespace");
        assert!(failure["observed"].as_str().unwrap().contains("User is authenticated but not connected"));
        let remedy = failure["remedy"].as_str().unwrap();
        assert!(remedy.contains(&format!("Add-MailboxPermission -Identity \"{USER}\"")), "{remedy}");
        assert!(remedy.contains("Set-CASMailbox"), "{remedy}");
        for step in ["inbox", "junk", "folders"] {
            assert_eq!(checked.step(step)["status"], "not_reached", "{step}");
        }
        assert_eq!(checked.step("clock")["status"], "done");
    }
}

#[test]
fn without_a_token_the_mail_server_is_looked_at_all_the_same() {
    let secrets = |good: &[&str], expired: &[&str]| json!({"clients": [{"id": CLIENT_ID, "secrets": good, "expired_secrets": expired}]});
    for (scenario, observed) in [
        (secrets(&["another"], &[]), "AADSTS7000215"),
        (secrets(&[], &[CLIENT_SECRET]), "AADSTS7000222"),
        (json!({"clients": []}), "AADSTS700016"),
    ] {
        let checked = Case::new(scenario).check(&[]);
        assert_eq!(checked.code, 2, "{checked:?}");
        let failure = checked.failure("token");
        assert!(failure["observed"].as_str().unwrap().contains(observed), "{failure}");
        assert!(!failure["cause"].as_str().unwrap().contains("not known"), "{failure}");
        assert_eq!(checked.step("greeting")["status"], "done");
        assert_eq!(checked.step("clock")["status"], "done", "the refusal has a date, too");
        for step in ["claims", "login", "namespace", "inbox"] {
            assert_eq!(checked.step(step)["status"], "not_reached", "{step}");
        }
    }
}

#[test]
fn a_missing_consent_is_read_from_the_token_before_the_login_is_refused() {
    let checked = Case::new(json!({"clients": [{"id": CLIENT_ID, "secrets": [CLIENT_SECRET], "roles": []}]}))
        .check(&[]);
    assert_eq!(checked.code, 2);
    assert_eq!(checked.step("token")["status"], "done");
    let failure = checked.failure("claims");
    assert!(failure["observed"].as_str().unwrap().contains("no role IMAP.AccessAsApp"), "{failure}");
    assert!(failure["remedy"].as_str().unwrap().contains("admin consent"), "{failure}");
    for step in ["login", "namespace", "inbox", "junk", "folders"] {
        assert_eq!(checked.step(step)["status"], "not_reached", "one cause, one remedy: {step}");
    }
    assert_eq!(checked.failures(), 1, "{checked:?}");
}

#[test]
fn an_unknown_service_principal_is_a_refused_login() {
    let clients = json!([{"id": CLIENT_ID, "secrets": [CLIENT_SECRET], "service_principal": false}]);
    let failure = Case::new(json!({"clients": clients})).check(&[]).failure("login");
    assert!(failure["remedy"].as_str().unwrap().contains("New-ServicePrincipal"), "{failure}");
}

#[test]
fn what_passes_by_itself_has_an_exit_code_of_its_own() {
    let outage = json!({"respond": {"status": 503, "body": ""}});
    let checked = Case::new(json!({"faults": [{"on": "token", "times": 0, "do": [outage]}]})).check(&[]);
    assert_eq!((checked.code, &checked.json["outcome"]), (3, &"try_later".into()), "{checked:?}");
    let throttled =
        json!({"send": "{tag} BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds\r\n"});
    let checked =
        Case::new(json!({"faults": [{"on": "UID SEARCH", "times": 0, "do": [throttled]}]})).check(&[]);
    assert_eq!(checked.code, 3, "{checked:?}");
    assert_eq!(checked.failure("inbox")["retry"], true);
}

#[test]
fn what_never_worked_is_not_said_to_pass_by_itself() {
    let typing_error = [("cmsbs.mail.imap.server", "nowhere.invalid")];
    let closed_port = [("cmsbs.mail.imap.port", "1")];
    for changes in [typing_error, closed_port] {
        let case = changes.iter().fold(Case::new(json!({})), |case, (key, value)| case.with(key, value));
        let checked = case.check(&[]);
        assert_eq!(checked.code, 2, "{checked:?}");
        let failed = checked.steps().iter().find(|step| step["failure"].is_object()).unwrap();
        let cause = failed["failure"]["cause"].as_str().unwrap();
        assert!(cause.contains("never been read with these settings"), "{cause}");
        for command in ["fetch", "token"] {
            let to = case.um_home.path().join("out");
            let arguments = if command == "fetch" { vec!["--to", to.to_str().unwrap()] } else { vec![] };
            let (code, _, said) = case.run_command(command, &arguments);
            // The token endpoint is well.
            assert_eq!(code, if command == "fetch" { 2 } else { 0 }, "{command}: {said}");
        }
    }
    let case = Case::new(json!({}))
        .with("cmsbs.mail.imap.oauth2.accessTokenUri", "https://localhost:1/t/oauth2/v2.0/token");
    let (code, _, said) = case.run_command("token", &[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("never been read with these settings"), "{said}");
}

#[test]
fn what_worked_before_may_pass_by_itself() {
    let mut case = Case::new(json!({}));
    // The stand-in takes its own copy away.
    let authority = case.um_home.path().join("ca.pem");
    fs::copy(&case.properties["cmsbs.mail.imap.ssl.caFile"], &authority).unwrap();
    case = case.with("cmsbs.mail.imap.ssl.caFile", authority.to_str().unwrap());
    let to = case.um_home.path().join("out");
    let to = to.to_str().unwrap();
    let (code, _, said) = case.run_command("fetch", &["--to", to, "--settle", "keep"]);
    assert_eq!(code, 0, "{said}");
    // Nothing listens at the old ports any more.
    case.standin = Standin::start(Scenario::default()).expect("a stand-in");
    assert_eq!(case.check(&[]).code, 3);
    for (command, arguments) in [("fetch", vec!["--to", to]), ("token", vec![])] {
        assert_eq!(case.run_command(command, &arguments).0, 3, "{command}");
    }
}

#[test]
fn a_failure_on_one_way_leaves_the_other_one_to_be_tested() {
    let case = Case::new(json!({})).with("cmsbs.mail.imap.server", "nowhere.invalid");
    let checked = case.check(&[]);
    assert_eq!(checked.failure_at("dns", "imap")["key"], "cmsbs.mail.imap.server");
    for step in ["tcp", "tls"] {
        assert_eq!(checked.step_at(step, "imap")["status"], "not_reached");
        assert_eq!(checked.step_at(step, "token")["status"], "done");
    }
    assert_eq!(checked.step("claims")["status"], "done");
    assert_eq!(checked.step("greeting")["status"], "not_reached");

    // Nothing listens there.
    let checked = Case::new(json!({})).with("cmsbs.mail.imap.port", "1").check(&[]);
    assert_eq!(checked.failure_at("tcp", "imap")["key"], "cmsbs.mail.imap.port");
    let case = Case::new(json!({})).with("cmsbs.mail.imap.oauth2.proxy", "http://127.0.0.1:1/");
    let checked = case.check(&[]);
    assert_eq!(checked.failure_at("proxy", "token")["key"], "cmsbs.mail.imap.oauth2.proxy");
    assert_eq!(checked.step("token")["status"], "not_reached");
    assert_eq!(checked.step("greeting")["status"], "done");

    let checked = Case::new(json!({"tls": {"imap": "other_host"}})).check(&[]);
    assert_eq!(checked.failure_at("tls", "imap")["kind"], "TLS");
    assert_eq!(checked.step("token")["status"], "done");
}

#[test]
fn a_file_of_no_use_stops_only_what_needs_it() {
    let case = Case::new(json!({}))
        .without("cmsbs.mail.imap.oauth2.clientSecret")
        .with("cmsbs.mail.imap.oauth2.clientCertificate", "/nowhere/certificate.pem");
    let checked = case.check(&[]);
    assert_eq!(checked.failure("files")["key"], "cmsbs.mail.imap.oauth2.clientCertificate");
    for step in ["token", "expiry", "login"] {
        assert_eq!(checked.step(step)["status"], "not_reached", "{step}");
    }
    assert_eq!(checked.step("greeting")["status"], "done");

    let case = Case::new(json!({})).with("cmsbs.mail.imap.ssl.caFile", "/nowhere/ca.pem");
    let checked = case.check(&[]);
    assert_eq!(checked.failure("files")["key"], "cmsbs.mail.imap.ssl.caFile");
    assert_eq!(checked.step_at("tcp", "imap")["status"], "done");
    assert_eq!(checked.step_at("tls", "imap")["status"], "not_reached");
}

#[test]
fn bounces_in_junk_email_are_found_under_either_name_and_by_special_use() {
    let bounce = json!({"text": "From: <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.com>\n\n"});
    let report = json!({"text": "From: a@b\nContent-Type: multipart/report; boundary=x\n\n"});
    let other = json!({"text": "From: somebody@example.com\nSubject: cheap\n\n"});
    for (language, folder) in [("en", "Junk Email"), ("de", "Junk-E-Mail")] {
        let mailbox = |mails: Value| {
            json!({"dialect": {"language": language},
                "mailboxes": [{"user": USER, "folders": [{"name": folder, "mails": mails}]}]})
        };
        let checked = Case::new(mailbox(json!([bounce, report, other]))).check(&[]);
        assert_eq!(checked.code, 1, "{checked:?}");
        let warning = checked.step("junk")["warnings"][0].as_str().unwrap().to_owned();
        assert!(warning.starts_with(folder) && warning.contains(" 2 "), "{warning}");
        assert_eq!(Case::new(mailbox(json!([other]))).check(&[]).code, 0);
    }
    // A server that does not search there is no reason not to read the inbox.
    let refused =
        json!({"on": "UID SEARCH", "containing": "FROM", "do": [{"send": "{tag} NO Search failed.\r\n"}]});
    let checked = Case::new(json!({"faults": [refused]})).check(&[]);
    assert_eq!((checked.code, &checked.step("folders")["status"]), (1, &"done".into()), "{checked:?}");
}

#[test]
fn a_clock_that_is_far_off_and_a_secret_that_ends_soon_are_warnings() {
    let case = Case::new(json!({"token": {"clock_offset_seconds": 600}}));
    let today = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).date_naive();
    let soon = today + chrono::TimeDelta::days(9);
    let checked = case.with("cmsbs.mail.imap.oauth2.clientSecretExpires", &soon.to_string()).check(&[]);
    assert_eq!(checked.code, 1, "{checked:?}");
    let warning = checked.step("clock")["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("behind"), "{warning}");
    let warning = checked.step("expiry")["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains(&soon.to_string()), "{warning}");
}

#[test]
fn a_message_of_our_own_is_written_moved_and_deleted_and_nothing_is_left() {
    for dialect in [
        json!({}),
        json!({"move": false}),
        json!({"uidplus": false}),
        json!({"move": false, "uidplus": false, "namespace": false, "literal_plus": false}),
    ] {
        let case = Case::new(json!({"dialect": dialect, "mailboxes": [{"user": USER, "folders": [
            {"name": "INBOX", "mails": [{"text": "Subject: a\n\n", "flags": ["\\Deleted"]}]},
        ]}]}));
        let before = case.contents();
        let checked = case.check(&["--write"]);
        assert_eq!(checked.step("write")["status"], "done", "{checked:?}");
        assert_eq!(case.contents(), before, "{dialect}");
        let seen = checked.seen("write");
        for what in ["written", "moved"] {
            assert_eq!(seen.matches(&format!("-{what} removed")).count(), 1, "{seen}");
        }
        for written in case.standin.transcript().iter().map(|line| &line.text) {
            let bare = written.split(' ').nth(1).is_some_and(|command| command == "EXPUNGE");
            assert!(!bare && !written.contains("CLOSE"), "{written}");
        }
    }
}

#[test]
fn what_was_made_is_removed_when_a_step_in_between_fails() {
    for command in ["APPEND", "UID MOVE", "UID STORE", "UID EXPUNGE"] {
        let refused = json!({"on": command, "do": [{"send": "{tag} NO Not today.\r\n"}]});
        let case = Case::new(json!({"faults": [refused]}));
        let before = case.contents();
        let checked = case.check(&["--write"]);
        assert_eq!(checked.code, 2, "{checked:?}");
        assert!(checked.failure("write")["observed"].as_str().unwrap().contains("Not today"), "{checked:?}");
        assert_eq!(case.contents(), before, "{command}");
    }
}

#[test]
fn a_folder_that_cannot_be_removed_is_named() {
    let case = Case::new(json!({"faults": [{"on": "UID MOVE", "do": ["cut"]}]}));
    let checked = case.check(&["--write"]);
    assert_eq!(checked.code, 3, "{checked:?}");
    let warnings = checked.step("write")["warnings"].to_string();
    let left: Vec<_> = case.folders().into_iter().filter(|name| name.contains("um-imap-oauth2")).collect();
    assert!(!left.is_empty() && left.iter().any(|name| warnings.contains(name)), "{warnings} {left:?}");
}

#[test]
fn what_somebody_else_puts_into_our_folder_stays() {
    // Time enough for somebody else.
    let case = Case::new(json!({"faults": [{"on": "APPEND", "do": [{"wait_ms": 2000}, "answer"]}]}));
    let ours = || case.folders().into_iter().find(|name| name.ends_with("-moved"));
    let checked = thread::scope(|scope| {
        scope.spawn(|| {
            let folder = loop {
                match ours() {
                    Some(folder) => break folder,
                    None => thread::sleep(Duration::from_millis(1)),
                }
            };
            let change = json!({"deliver": {"folder": folder, "mail": {"text": "Subject: another's\n\n"}}});
            case.standin.change(&serde_json::from_value(change).expect("a change"));
        });
        case.check(&["--write"])
    });
    assert_eq!(checked.code, 1, "{checked:?}");
    let folder = ours().expect("the folder is left");
    assert!(checked.step("write")["warnings"][0].as_str().unwrap().contains(&folder), "{checked:?}");
    let left = case.standin.mails(USER, &folder);
    assert_eq!(left.len(), 1);
    assert!(left[0].bytes.starts_with(b"Subject: another's") && left[0].flags.is_empty(), "{left:?}");
}

#[test]
fn a_refused_folder_fails_with_its_reason_and_leaves_nothing() {
    let case = Case::new(json!({"dialect": {"inbox_only": true}}));
    let before = case.folders();
    let checked = case.check(&["--write"]);
    assert_eq!(checked.failure("write")["step"], "folders");
    assert_eq!(case.folders(), before);
}

#[test]
fn a_configuration_of_no_use_names_each_step_that_is_not_reached() {
    let case = Case::new(json!({})).without("cmsbs.mail.imap.oauth2.clientId");
    let checked = case.check(&["--write"]);
    assert_eq!(checked.code, 2);
    assert_eq!(checked.failure("configuration")["key"], "cmsbs.mail.imap.oauth2.clientId");
    let names: BTreeSet<_> = checked.steps().iter().map(|step| step["step"].to_string()).collect();
    let schema = &schema()["$defs"]["step"]["properties"]["step"]["enum"];
    assert_eq!(names, schema.as_array().unwrap().iter().map(Value::to_string).collect());
    assert_eq!(case.standin.counters().connections, 0);
}

#[test]
fn a_variable_of_the_environment_that_nobody_reads_is_said() {
    let case = Case::new(json!({}));
    let mut command = case.command(&["--json", "--lang", "en"]);
    command.env("CMSBS__MAIL__IMAP__USER", "Pl4nted").env("cmsbs__mail__imap__usr", "Pl4nted");
    // Another key of UM, and one that is read.
    command.env("cmsbs__db__user", "Pl4nted").env("cmsbs__bounce__processAll", "true");
    let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let json: Value = serde_json::from_str(&out).unwrap();
    let warnings = json["mailboxes"][0]["steps"][0]["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for (warning, variable) in warnings.iter().zip(["CMSBS__MAIL__IMAP__USER", "cmsbs__mail__imap__usr"]) {
        let said = format!(
            "environment variable {variable}: Unknown key. It looks like cmsbs__mail__imap__user. \
             Write cmsbs__mail__imap__user."
        );
        assert_eq!(warning.as_str(), Some(said.as_str()));
    }
    assert!(!out.contains("Pl4nted"), "{out}");
}

#[test]
fn every_mailbox_is_tested_unless_one_is_named() {
    let case = Case::new(json!({"mailboxes": [{"user": USER}, {"user": "second@example.com"}]}))
        .with("cmsbs.bounce.listeners", "second")
        .with("cmsbs.bouncelistener.second.mail.imap.server", "localhost")
        .with("cmsbs.bouncelistener.second.mail.imap.user", "second@example.com");
    let checked = case.check(&[]);
    let listeners: Vec<_> = checked.mailboxes().iter().map(|mailbox| &mailbox["listener"]).collect();
    assert_eq!(listeners, [&Value::Null, &"second".into()]);
    let checked = case.check(&["--listener", "second"]);
    assert_eq!(checked.mailboxes().len(), 1);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert_eq!(case.check(&["--listener", "third"]).code, 2);
}

#[test]
fn text_for_people_is_plain_in_a_pipe_and_in_either_language() {
    let case = Case::new(json!({"mailboxes": [{"user": USER, "permitted": []}]}));
    let (code, english, _) = case.run(&["--lang", "en"]);
    assert_eq!(code, 2);
    assert!(!english.contains('\x1b'), "{english}");
    assert!(english.contains("\n  FAILED          Access to the mailbox "), "{english}");
    assert!(english.contains("Remedy: "), "{english}");
    let (_, german, _) = case.run(&["--lang", "de"]);
    assert!(german.contains("FEHLER") && german.contains("Abhilfe: "), "{german}");
    assert!(german.contains("nicht erreicht  Posteingang"), "{german}");
}

#[test]
fn ctrl_c_ends_it_while_a_server_is_silent() {
    let case = Case::new(json!({"faults": [{"on": "greeting", "times": 0, "do": ["stall"]}]}));
    let child = case.start(&["--json"]);
    // The first connection was for TLS alone.
    let (code, json) = interrupted(child, || case.standin.counters().connections == 2);
    assert_eq!(code, 130, "{json:#}");
    let steps = json["mailboxes"][0]["steps"].as_array().unwrap();
    let greeting = steps.iter().find(|step| step["step"] == "greeting").unwrap();
    assert_eq!((&greeting["status"], &greeting["failure"]), (&"not_reached".into(), &Value::Null));
}

#[test]
fn ctrl_c_leaves_nothing_of_our_own_behind() {
    let case = Case::new(json!({"faults": [{"on": "APPEND", "do": [{"wait_ms": 1000}, "answer"]}]}));
    let before = case.contents();
    let child = case.start(&["--json", "--write"]);
    let (code, json) = interrupted(child, || case.standin.counters().commands.contains_key("APPEND"));
    assert_eq!(code, 130, "{json:#}");
    assert_eq!(case.contents(), before);
}

/// Ends a command by SIGINT as soon as `now` is true.
fn interrupted(child: Child, now: impl Fn() -> bool) -> (i32, Value) {
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

/// A stand-in, and a UM_HOME whose properties lead to it.
struct Case {
    standin: Standin,
    um_home: TempDir,
    properties: BTreeMap<String, String>,
}

impl Case {
    fn new(scenario: Value) -> Self {
        let scenario: Scenario = serde_json::from_value(scenario).expect("a scenario");
        let standin = Standin::start(scenario).expect("a stand-in");
        let properties = standin.properties();
        let um_home = tempfile::tempdir().expect("a temporary directory");
        Self { standin, um_home, properties }
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        self.properties.insert(key.to_owned(), value.to_owned());
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.properties.remove(key);
        self
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it can be started")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_named("check", arguments)
    }

    fn command_named(&self, name: &str, arguments: &[&str]) -> Command {
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

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_command("check", arguments)
    }

    /// Exit code, stdout and stderr, without secrets.
    fn run_command(&self, name: &str, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command_named(name, arguments).output().expect("it can be started");
        let text = |octets| String::from_utf8(octets).expect("UTF-8");
        let (out, err) = (text(output.stdout), text(output.stderr));
        for secret in [CLIENT_SECRET, "eyJ"] {
            assert!(!out.contains(secret) && !err.contains(secret), "{out}{err}");
        }
        (output.status.code().expect("it ended by itself"), out, err)
    }

    /// What it found, in the format that is documented.
    fn check(&self, arguments: &[&str]) -> Checked {
        let (code, out, err) = self.run(&[arguments, &["--json"]].concat());
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let schema = schema();
        conforms(&json, &schema, &schema).unwrap_or_else(|problem| panic!("{problem}: {json:#}"));
        let expected = ["well", "warnings", "failed", "try_later"];
        assert_eq!(expected.get(usize::try_from(code).unwrap()), json["outcome"].as_str().as_ref(), "{err}");
        Checked { code, json }
    }

    fn folders(&self) -> Vec<String> {
        self.standin.folders(USER)
    }

    /// Every mail in every folder, with its flags.
    fn contents(&self) -> Vec<(String, Vec<um_standin::StoredMail>)> {
        let mails = |name: String| (name.clone(), self.standin.mails(USER, &name));
        self.folders().into_iter().map(mails).collect()
    }
}

#[derive(Debug)]
struct Checked {
    code: i32,
    json: Value,
}

impl Checked {
    fn mailboxes(&self) -> &[Value] {
        self.json["mailboxes"].as_array().expect("mailboxes")
    }

    fn steps(&self) -> &[Value] {
        self.mailboxes()[0]["steps"].as_array().expect("steps")
    }

    #[track_caller]
    fn step(&self, name: &str) -> &Value {
        self.steps().iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    #[track_caller]
    fn step_at(&self, name: &str, connection: &str) -> &Value {
        let found = self.steps().iter().find(|step| step["step"] == name && step["connection"] == connection);
        found.unwrap_or_else(|| panic!("no {name} of {connection}: {self:?}"))
    }

    #[track_caller]
    fn seen(&self, name: &str) -> String {
        self.step(name)["seen"].to_string()
    }

    /// With cause and remedy.
    #[track_caller]
    fn failure(&self, name: &str) -> Value {
        explained(self.step(name))
    }

    /// How many steps failed.
    fn failures(&self) -> usize {
        self.steps().iter().filter(|step| step["status"] == "failed").count()
    }

    #[track_caller]
    fn failure_at(&self, name: &str, connection: &str) -> Value {
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

fn schema() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check.schema.json");
    serde_json::from_slice(&fs::read(file).expect("the schema")).expect("the schema is JSON")
}

/// Whether `value` is as `schema` says, by those keywords of JSON Schema that ours uses; another one is a failure.
fn conforms(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        let fits = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let pointer = wanted.as_str().and_then(|reference| reference.strip_prefix('#'));
                conforms(value, root.pointer(pointer.expect("a reference")).expect("a definition"), root)?;
                true
            }
            "anyOf" => {
                wanted.as_array().expect("schemas").iter().any(|one| conforms(value, one, root).is_ok())
            }
            "enum" => wanted.as_array().expect("values").contains(value),
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|one| is_a(value, one)),
                one => is_a(value, one),
            },
            "minimum" => value.is_null() || value.as_i64() >= wanted.as_i64(),
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| conforms(item, wanted, root))?;
                true
            }
            "required" => wanted
                .as_array()
                .expect("names")
                .iter()
                .all(|name| value.get(name.as_str().expect("a name")).is_some()),
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    conforms(
                        member,
                        wanted.get(name).ok_or_else(|| format!("{name} is not documented"))?,
                        root,
                    )?;
                }
                true
            }
            // Stands beside "properties", which are all there may be.
            "additionalProperties" => wanted == false,
            other => return Err(format!("the schema has {other}, which this test does not know")),
        };
        if !fits {
            return Err(format!("{value} is not as {keyword} {wanted} says"));
        }
    }
    Ok(())
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => false,
    }
}
