//! `um-imap-oauth2 check` against the stand-in for Entra ID and Exchange Online: each of their own failures is named at its
//! step, and what a test may change is changed back.

#![cfg(unix)]

mod case;
mod schema;
mod writing;

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use um_standin::scenario::{CLIENT_ID, CLIENT_SECRET, USER};
use um_standin::{Scenario, Standin};

use case::{Case, interrupted};
use schema::schema;

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
    assert!(english.contains("\n  FAILED          Access to the mailbox\n"), "{english}");
    assert!(english.contains("\n  not reached     Inbox, Junk Email, Target folders\n"), "{english}");
    assert!(english.contains("Remedy: "), "{english}");
    let (_, german, _) = case.run(&["--lang", "de"]);
    assert!(german.contains("FEHLER") && german.contains("Abhilfe: "), "{german}");
    assert!(german.contains("nicht erreicht  Posteingang"), "{german}");
}

#[test]
fn the_answer_stands_at_the_end_with_commands_that_can_be_copied() {
    let case = Case::new(json!({"mailboxes": [{"user": USER, "permitted": []}]}));
    let (_, text, _) = case.run(&["--lang", "en"]);
    // The Object ID comes from the access token.
    let command = format!(
        "\n                 Add-MailboxPermission -Identity \"{USER}\" -User c2f4e6a8-1357-4b9d-8ace-02468ace1357 \
         -AccessRights FullAccess\n"
    );
    assert!(text.contains(&command), "{text}");
    let last: Vec<_> = text.lines().rev().take(3).collect();
    assert!(last[0].starts_with("    um-imap-oauth2 check --um-home "), "{text}");
    assert_eq!(last[1], "Then test again:");
    assert!(last[2].starts_with("1 problem, first: Access to the mailbox."), "{text}");
    let (_, every_step, _) = case.run(&["--lang", "en", "--verbose"]);
    assert!(every_step.contains("\n  OK              Login  "), "{every_step}");
    assert!(every_step.contains("Object ID of the enterprise application c2f4e6a8-"), "{every_step}");
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
fn waiting_ends_when_a_permission_has_taken_effect() {
    let fault = json!({"on": "NAMESPACE", "times": 2,
        "do": [{"send": "{tag} BAD User is authenticated but not connected.\r\n"}]});
    let case = Case::new(json!({"faults": [fault]}));
    let (code, out, err) = case.run(&["--lang", "en", "--wait", "60s"]);
    assert_eq!(code, 0, "{out}{err}");
    let said: Vec<_> = err.lines().collect();
    assert_eq!(said.len(), 2, "{err}");
    assert!(said.iter().all(|line| line.starts_with("not yet: BAD User is authenticated")), "{err}");
}

#[test]
fn nothing_is_waited_for_that_time_does_not_mend() {
    let case = Case::new(json!({})).with("cmsbs.mail.imap.oauth2.clientSecret", "wrong-secret-of-sixteen");
    let (code, out, err) = case.run(&["--wait", "60m"]);
    assert_eq!((code, err.as_str()), (2, ""), "{out}");
    let (code, out, err) = case.run(&["--lang", "en", "--wait", "soon"]);
    assert_eq!(code, 2, "{out}");
    assert!(err.contains("--wait <TIME>"), "{err}");
}
