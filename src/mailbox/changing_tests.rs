//! Changes as dialogues with a server.

use std::time::{Duration, Instant};

use super::Outcome;
use super::played::*;
use crate::failure::Kind;

#[test]
fn moving_is_one_command() {
    let settled = format!("C: A UID MOVE 1:2,4 \"debug\"\n {NOISE} S: A OK done\n");
    let played = play("move", &[[&login(EXCHANGE), &fetch("1:4", &[1, 2, 3, 4]), &settled[..]].concat()]);
    played.fetch();
    for (uid, outcome) in [(4, Outcome::Handled), (1, Outcome::HardBounce), (2, Outcome::Spam)] {
        assert!(played.settle(uid, outcome));
    }
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn without_move_a_mail_is_expunged_only_after_it_was_copied() {
    let settled = r#"
        C: A UID COPY 1:2 "error"
        S: * OK [COPYUID 5 1:2 7:8] copied
        S: A OK done
        C: A UID STORE 1:2 +FLAGS.SILENT (\Deleted)
        S: A OK done
        C: A UID EXPUNGE 1:2
        S: * 1 EXPUNGE
        S: * 1 EXPUNGE
        S: A OK done
    "#;
    let played = play("copy", &[[&login("UIDPLUS"), &fetch("1:2", &[1, 2]), settled].concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Unrecognised) && played.settle(2, Outcome::Unrecognised));
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn a_copy_that_is_refused_leaves_the_mail_unmarked() {
    let settled = "
        C: A UID COPY 1 \"error\"
        S: A NO [OVERQUOTA] full
    ";
    let script =
        [&login("UIDPLUS"), &fetch("1", &[1]), settled, &still_there(&[1]), &status("error", 5)].concat();
    let played = play("copy-refused", &[script]);
    played.fetch();
    assert!(played.settle(1, Outcome::Unrecognised));
    let failure = played.mailbox.flush().unwrap_err();
    assert!(failure.observed.contains("[OVERQUOTA] full"), "{failure:?}");
    played.check();
}

#[test]
fn a_connection_that_is_cut_after_a_copy_does_not_copy_again() {
    let first = "
        C: A UID COPY 1:2 \"error\"
        S: A OK done
        C: A UID STORE 1:2 +FLAGS.SILENT (\\Deleted)
    ";
    let second = [
        &login("UIDPLUS"),
        &asked_for_dates("1:2"),
        &dated(1, &date(1)),
        &dated(2, &date(2)),
        "S: A OK done
         C: A UID STORE 1:2 +FLAGS.SILENT (\\Deleted)
         S: A OK done
         C: A UID EXPUNGE 1:2
         S: A OK done
        ",
    ];
    let played =
        play("cut-copy", &[[&login("UIDPLUS"), &fetch("1:2", &[1, 2]), first].concat(), second.concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Unrecognised) && played.settle(2, Outcome::Unrecognised));
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn a_copy_that_is_cut_is_made_again_and_no_mail_is_deleted_without_one() {
    let first = [&login("UIDPLUS"), &fetch("1:2", &[1, 2]), "C: A UID COPY 1:2 \"error\"\n"].concat();
    let second = [
        &login("UIDPLUS"),
        &still_there(&[1, 2]),
        // UIDNEXT has not grown: nothing was copied.
        &status("error", 5),
        "C: A UID COPY 1:2 \"error\"
         S: A OK done
         C: A UID STORE 1:2 +FLAGS.SILENT (\\Deleted)
         S: A OK done
         C: A UID EXPUNGE 1:2
         S: A OK done
        ",
    ];
    let played = play("cut-copying", &[first, second.concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Unrecognised) && played.settle(2, Outcome::Unrecognised));
    played.mailbox.flush().unwrap();
    played.check();
}

/// GNU imap4d 3.15 gives an empty folder another UIDVALIDITY at each look.
#[test]
fn copies_into_a_folder_that_gets_its_uidvalidity_with_the_first_message_are_found() {
    let status = status("error", 2).replace("UIDVALIDITY 1", "UIDVALIDITY 2");
    let settled = [
        "UIDNEXT: 1
         C: A UID COPY 1 \"error\"
         S: A OK COPY Completed
        ",
        &status,
        &status,
        "C: A EXAMINE \"error\"
         S: * 1 EXISTS
         S: * OK [UIDVALIDITY 2] valid
         S: A OK [READ-ONLY] done
        ",
        &asked_for_dates("1:*"),
        &dated(1, &date(1)),
        "S: A OK done
         C: A SELECT \"INBOX\"
         S: * OK [UIDVALIDITY 14] valid
         S: A OK [READ-WRITE] done
        ",
        &still_there(&[1]),
        "C: A UID STORE 1 +FLAGS.SILENT (\\Deleted)
         S: A OK done
         C: A UID EXPUNGE 1
         S: A OK done
        ",
    ];
    let script = [login("UIDPLUS"), fetch("1", &[1]), settled.concat()].concat();
    let played = play("new-validity", &[script]);
    played.fetch();
    assert!(played.settle(1, Outcome::Unrecognised));
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn deleting_names_the_mails_that_are_expunged() {
    let settled = r"
        C: A UID STORE 2 +FLAGS.SILENT (\Deleted)
        S: A OK done
        C: A UID EXPUNGE 2
        S: A OK done
    ";
    let script = [&login(EXCHANGE), &fetch("1:2", &[1, 2]), settled].concat();
    let played = play_with("delete", &[script], |config| config.debug = false);
    played.fetch();
    assert!(played.settle(2, Outcome::HardBounce));
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn without_uidplus_nothing_is_expunged_and_one_warning_says_so() {
    let settled = r#"
        C: A UID COPY 1 "error"
        S: A OK done
        C: A UID STORE 1 +FLAGS.SILENT (\Deleted)
        S: A OK done
        C: A NOOP
        S: A OK done
        C: A UID SEARCH UID 1 UNDELETED
        S: * SEARCH
        S: A OK done
        C: A UID STORE 2 +FLAGS.SILENT (\Deleted)
        S: A OK done
        C: A NOOP
        S: A OK done
        C: A UID SEARCH UID 2 UNDELETED
        S: * SEARCH
        S: A OK done
    "#;
    let script = [&login("IDLE"), &fetch("1:2", &[1, 2]), settled].concat();
    let played = play("no-uidplus", &[script]);
    played.fetch();
    assert!(played.settle(1, Outcome::Unrecognised));
    played.mailbox.flush().unwrap();
    assert!(played.mailbox.delete(id(2)).unwrap());
    played.mailbox.flush().unwrap();
    played.check();
    assert_eq!(played.warnings().iter().filter(|text| text.contains("UIDPLUS")).count(), 1);
}

#[test]
fn a_missing_folder_is_made_and_the_move_sent_once_more() {
    let settled = r#"
        C: A UID MOVE 1 "debug"
        S: A NO [TRYCREATE] Mailbox doesn't exist: debug
        C: A CREATE "debug"
        S: A OK done
        C: A UID MOVE 1 "debug"
        S: A OK done
    "#;
    let played = play("trycreate", &[[&login(EXCHANGE), &fetch("1", &[1]), settled].concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled));
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn a_folder_that_was_made_and_is_still_missing_is_made_only_once() {
    let settled = r#"
        C: A UID MOVE 1 "debug"
        S: A NO [TRYCREATE] Mailbox doesn't exist: debug
        C: A CREATE "debug"
        S: A NO [ALREADYEXISTS] it is there
        C: A UID MOVE 1 "debug"
        S: A NO [TRYCREATE] Mailbox doesn't exist: debug
    "#;
    let script = [&login(EXCHANGE), &fetch("1", &[1]), settled, &still_there(&[1])].concat();
    let played = play("trycreate-twice", &[script]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled));
    let failure = played.mailbox.flush().unwrap_err();
    assert!(failure.observed.contains("TRYCREATE"), "{failure:?}");
    played.check();
}

#[test]
fn what_the_server_refused_is_not_handed_out_again_and_tried_later() {
    let refusal = "C: A UID MOVE 1 \"debug\"\n S: A NO Recoverable Items is full\n";
    let script = [
        &login(EXCHANGE),
        &fetch("1:2", &[1, 2]),
        refusal,
        &still_there(&[1]),
        // The next fetch tries it first. The server still has all three mails.
        refusal,
        &still_there(&[1]),
        LOOK,
        &search(&[1, 2, 3]),
        &asked("2:3"),
        &mail(2),
        &mail(3),
        "S: A OK done\n",
        "C: A UID MOVE 1 \"debug\"\n S: A OK done\n",
    ];
    let played = play("refused", &[script.concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled));
    let failure = played.mailbox.flush().unwrap_err();
    assert_eq!(failure.kind, Kind::Refused);
    assert!(failure.observed.contains("NO Recoverable Items is full"), "{failure:?}");
    assert_eq!(played.fetch(), whole([2, 3]));
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn what_a_server_did_in_spite_of_its_no_is_done() {
    let refusal = "C: A UID MOVE 1:3 \"debug\"\n S: A NO Some of the requested messages no longer exist\n";
    let script = [
        &login(EXCHANGE),
        &fetch("1:3", &[1, 2, 3]),
        refusal,
        &asked_for_dates("1:3"),
        &dated(2, &date(2)),
        "S: A OK done
         C: A UID SEARCH UID 1,3
         S: * SEARCH
         S: A OK done
         C: A UID MOVE 2 \"debug\"
         S: A OK done
        ",
    ];
    let played = play("in-spite", &[script.concat()]);
    played.fetch();
    for uid in [1, 2, 3] {
        assert!(played.settle(uid, Outcome::Handled));
    }
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn a_flush_ends_where_the_server_had_done_everything_before_the_cut() {
    const GONE: &str = "C: A UID SEARCH UID 1\n S: * SEARCH\n S: A OK done\n";
    let first = [&login(EXCHANGE), &fetch("1", &[1]), "C: A UID MOVE 1 \"debug\"\n"].concat();
    let second = [&login(EXCHANGE), &asked_for_dates("1"), "S: A OK done\n", GONE].concat();
    let played = play("done-before", &[first, second]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled));
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn where_dates_are_refused_because_mails_are_gone_a_search_tells_which() {
    let gone = "S: A NO Some of the requested messages no longer exist\n";
    let first = [&login(EXCHANGE), &fetch("1:4", &[1, 2, 3, 4]), "C: A UID MOVE 1:4 \"debug\"\n"].concat();
    let second = [
        &login(EXCHANGE),
        &asked_for_dates("1:4"),
        &dated(3, &date(3)),
        gone,
        "C: A UID SEARCH UID 1:2,4
         S: * SEARCH
         S: A OK done
         C: A UID MOVE 3 \"debug\"
         S: A OK done
        ",
    ];
    let played = play("refused-dates", &[first, second.concat()]);
    played.fetch();
    for uid in 1..=4 {
        assert!(played.settle(uid, Outcome::Handled));
    }
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn where_dates_are_refused_of_mails_that_are_there_nothing_is_touched() {
    let no = "S: A NO Cannot do that\n";
    let first = [&login(EXCHANGE), &fetch("1:2", &[1, 2]), "C: A UID MOVE 1:2 \"debug\"\n"].concat();
    let second = [
        &login(EXCHANGE),
        &asked_for_dates("1:2"),
        no,
        "C: A UID SEARCH UID 1:2
         S: * SEARCH 2
         S: A OK done
        ",
        // The mail that is gone is not asked for again.
        &still_there(&[2]),
        "C: A UID MOVE 2 \"debug\"\n S: A OK done\n",
    ]
    .concat();
    let played = play("refused-dates-2", &[first, second]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled) && played.settle(2, Outcome::Handled));
    assert_eq!(played.mailbox.flush().unwrap_err().kind, Kind::Refused);
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn messages_that_vanish_are_reported_once() {
    let script = (1..=5).map(|uid| fetch(&uid.to_string(), &[uid])).collect::<Vec<_>>().join(LOOK);
    let played = play("vanishing", &[login(EXCHANGE) + &script]);
    let warned = |played: &Played| {
        played.warnings().iter().filter(|text| text.contains("Another reader uses the mailbox")).count()
    };
    assert_eq!(played.fetch(), whole([1]));
    assert_eq!(warned(&played), 0);
    for uid in 2..=5 {
        assert_eq!(played.fetch(), whole([uid]));
    }
    assert_eq!(warned(&played), 1);
    played.check();
}

#[test]
fn after_a_cut_only_what_is_still_the_same_mail_is_moved_again() {
    let first = [&login(EXCHANGE), &fetch("1:4", &[1, 2, 3, 4]), "C: A UID MOVE 1:3 \"debug\"\n"].concat();
    let second = [
        &login(EXCHANGE),
        &asked_for_dates("1:3"),
        NOISE,
        &dated(3, " 9-Mar-2025 00:00:00 +0000"),
        &dated(2, &date(2)),
        "S: A OK done
         C: A UID SEARCH UID 1
         S: * SEARCH
         S: A OK done",
        // A server that names another message is asked once more.
        &asked_for_dates("3"),
        &dated(3, " 9-Mar-2025 00:00:00 +0000"),
        "S: A OK done
         C: A UID MOVE 2 \"debug\"
         S: A OK done
        ",
    ]
    .map(|part| format!("{part}\n"))
    .concat();
    let played = play("cut-move", &[first, second]);
    played.fetch();
    for uid in [1, 2, 3] {
        assert!(played.settle(uid, Outcome::Handled));
    }
    played.mailbox.flush().unwrap();
    played.check();
    let warnings = played.warnings();
    assert!(
        warnings.iter().any(|text| text.contains("UID 3 is not the mail that was settled")),
        "{warnings:?}"
    );
}

#[test]
fn the_next_fetch_after_a_cut_settles_first() {
    let first = [&login(EXCHANGE), &fetch("1:2", &[1, 2]), "C: A UID MOVE 1 \"debug\"\n"].concat();
    let second = [
        &login(EXCHANGE),
        &asked_for_dates("1"),
        &dated(1, &date(1)),
        "S: A OK done
         C: A UID MOVE 1 \"debug\"
         S: A OK done
        ",
        LOOK,
        &fetch("2", &[2]),
    ];
    let played = play("cut-fetch", &[first, second.concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled));
    assert_eq!(played.fetch(), whole([2]));
    played.check();
}

#[test]
fn under_another_uidvalidity_nothing_is_touched() {
    let first = [&login(EXCHANGE), &fetch("1:2", &[1, 2]), "C: A UID MOVE 1 \"debug\"\n"].concat();
    let second = [&login_under(15, EXCHANGE), LOOK, &fetch("1:2", &[1, 2])].concat();
    let played = play("validity", &[first, second]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled));
    assert_eq!(
        played.mailbox.flush().unwrap_err().kind,
        Kind::Stale,
        "what was decided is void, and said once"
    );
    assert_eq!(played.fetch(), whole([1, 2]));
    let failure = played.mailbox.settle(id(2), Outcome::Handled).unwrap_err();
    assert_eq!(failure.kind, Kind::Stale);
    assert!(played.mailbox.delete(id(1)).is_err());
    played.mailbox.flush().unwrap();
    played.check();
    let warnings = played.warnings();
    assert!(warnings.iter().any(|text| text.contains("UIDVALIDITY changed from 14 to 15")), "{warnings:?}");
}

#[test]
fn another_uidvalidity_within_a_fetch_ends_it() {
    let first = [login(EXCHANGE), search(&[1, 2]), asked("1:2"), mail(1)].concat();
    let played = play("validity-fetch", &[first, login_under(15, EXCHANGE)]);
    let failure = played.try_fetch().unwrap_err();
    assert_eq!(failure.kind, Kind::Stale, "{failure:?}");
    let failure = played.mailbox.settle(id(1), Outcome::Handled).unwrap_err();
    assert_eq!(failure.kind, Kind::Stale);
    played.check();
}

#[test]
fn what_nobody_has_taken_before_uidvalidity_changed_is_not_handed_out() {
    let first = [&login(EXCHANGE), &fetch("1:2", &[1, 2])[..], "C: A UID MOVE 1 \"debug\"\n"].concat();
    let played = play("validity-untaken", &[first, login_under(15, EXCHANGE)]);
    let fetch = played.mailbox.fetch().unwrap();
    let mail = played.mailbox.next(fetch).unwrap().unwrap();
    assert!(played.settle(mail.id.uid, Outcome::Handled));
    // The connection that was lost can count as the fetch's.
    while played.mailbox.flush().is_err_and(|failure| failure.kind == Kind::Network) {}
    assert_eq!(played.mailbox.next(fetch).unwrap_err().kind, Kind::Stale);
    played.check();
}

#[test]
fn no_command_changes_more_than_200_mails() {
    let uids: Vec<u32> = (1..=450).collect();
    let of = |uids: &[u32], line: fn(u32) -> String| uids.iter().map(|&uid| line(uid)).collect::<String>();
    let script = [
        &login(EXCHANGE),
        &search(&uids),
        &asked("1:8"),
        &of(&uids[..8], mail),
        "S: A OK done\n",
        &asked_for_sizes("9:450"),
        &of(&uids[8..], size),
        "S: A OK done\n",
        &asked("9:450"),
        &of(&uids[8..], mail),
        "S: A OK done\n",
        "C: A UID MOVE 1:200 \"debug\"
         S: A OK done
         C: A UID MOVE 201:400 \"debug\"
         S: A OK done
         C: A UID MOVE 401:450 \"debug\"
         S: A OK done
        ",
    ];
    let played = play("batches", &[script.concat()]);
    assert_eq!(played.fetch(), whole(uids.iter().copied()));
    for uid in uids {
        assert!(played.settle(uid, Outcome::Handled));
    }
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn a_decision_is_told_without_anybody_asking_for_it() {
    let settled = "C: A UID MOVE 1 \"debug\"\n S: A OK done\n";
    let played = play("in-time", &[[&login(EXCHANGE), &fetch("1", &[1]), settled].concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled));
    let begin = Instant::now();
    while !played.outcomes[0].written().contains("UID MOVE") && begin.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // What is not under way any more is done.
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn closing_tells_the_server_what_was_decided() {
    let settled = "C: A UID MOVE 1 \"debug\"\n S: A OK done\n";
    let played = play("close", &[[&login(EXCHANGE), &fetch("1", &[1]), settled].concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled));
    played.mailbox.close();
    played.check();
}

#[test]
fn the_first_settlement_of_a_mail_counts() {
    let settled = "C: A UID MOVE 1 \"error\"\n S: A OK done\n";
    let played = play("first", &[[&login(EXCHANGE), &fetch("1:2", &[1, 2]), settled].concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Unrecognised));
    assert!(!played.settle(1, Outcome::Handled));
    assert!(!played.mailbox.delete(id(1)).unwrap());
    assert!(played.settle(2, Outcome::Keep));
    assert!(!played.settle(2, Outcome::Handled));
    played.mailbox.flush().unwrap();
    assert!(!played.settle(1, Outcome::Spam));
    played.check();
}

#[test]
fn what_is_kept_stays_and_comes_again() {
    let settled = "C: A UID STORE 2 +FLAGS.SILENT (\\Seen)\n S: A OK done\n";
    let script =
        [&login(EXCHANGE), &fetch("1:3", &[1, 2, 3]), settled, LOOK, &fetch("1,3", &[1, 3])].concat();
    let played = play("keep", &[script]);
    assert_eq!(played.fetch(), whole([1, 2, 3]));
    assert!(played.settle(1, Outcome::Keep) && played.settle(2, Outcome::KeepRead));
    played.mailbox.flush().unwrap();
    assert_eq!(played.fetch(), whole([1, 3]));
    played.check();
}

#[test]
fn folders_of_the_configuration_are_made_before_any_mail_is_fetched() {
    let made = r#"
        C: A CREATE "INBOX/Gel&APY-scht"
        S: A OK done
        C: A CREATE "spam"
        S: A NO Mailbox already exists
    "#;
    let script = [&login(EXCHANGE), made, &fetch("1", &[1])[..]].concat();
    let played = play_with("folders", &[script], |config| {
        config.folders.hardbounce = Some("inbox.Gelöscht".into());
        config.folders.softbounce = Some("DEBUG".into());
        config.folders.spam = Some("spam".into());
    });
    assert_eq!(played.fetch(), whole([1]));
    played.check();
}
