//! `check --write`: a message of our own, and what is left of it.

use std::thread;
use std::time::Duration;

use serde_json::json;
use um_standin::scenario::USER;

use crate::case::{Case, interrupted};

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
fn ctrl_c_leaves_nothing_of_our_own_behind() {
    let case = Case::new(json!({"faults": [{"on": "APPEND", "do": [{"wait_ms": 1000}, "answer"]}]}));
    let before = case.contents();
    let child = case.start(&["--json", "--write"]);
    let (code, json) = interrupted(child, || case.standin.counters().commands.contains_key("APPEND"));
    assert_eq!(code, 130, "{json:#}");
    assert_eq!(case.contents(), before);
}
