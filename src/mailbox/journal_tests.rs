//! The journal at work: processes that are killed, and the ones after them.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, thread};

use tempfile::TempDir;

use super::answering::Server;
use super::played::{
    EXCHANGE, LOOK, Played, asked, asked_for_dates, date, dated, fetch, id, login, login_under, mail,
    play_with, search, still_there, whole,
};
use super::trouble_tests::comes;
use super::{Abandoned, Grade, MessageId, Outcome, STATUS, abandoned};
use crate::failure::Kind;

/// A mailbox with a work directory.
fn play_in(work: &Path, server: &str, scripts: &[String]) -> Played {
    let work = work.to_owned();
    play_with(server, scripts, |config| {
        config.server = server.into();
        config.journal = true;
        config.work_directory = Some(work);
    })
}

/// What a process leaves that is killed now.
fn killed(work: &Path) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    for folder in fs::read_dir(work).unwrap().map(|entry| entry.unwrap()) {
        let copy = left.path().join(folder.file_name());
        fs::create_dir(&copy).unwrap();
        for file in fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()) {
            match fs::copy(file.path(), copy.join(file.file_name())) {
                // It got its final name meanwhile; what it replaces is what the killed process would have left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            }
        }
    }
    left
}

/// The files of the only mailbox.
fn file(work: &Path, name: &str) -> PathBuf {
    let folder = fs::read_dir(work).unwrap().next().unwrap().unwrap();
    folder.path().join(name)
}

/// Checks how many records are in the journal, without its two headers, as soon as the file thread has written them.
#[track_caller]
fn assert_records(work: &Path, expected: usize) {
    let records = || fs::read_to_string(file(work, "journal")).unwrap().lines().count().saturating_sub(2);
    assert!(comes(|| records() == expected), "{} records, not {expected}", records());
}

/// Fetches 1, 2 and 3 and settles two of them; then the process is killed.
fn left_behind(server: &str) -> TempDir {
    let work = tempfile::tempdir().unwrap();
    let played = play_in(work.path(), server, &[login(EXCHANGE) + &fetch("1:3", &[1, 2, 3])]);
    assert_eq!(played.fetch(), whole(1..=3));
    assert!(played.settle(1, Outcome::Handled) && played.settle(2, Outcome::Unrecognised));
    killed(work.path())
}

#[test]
fn what_was_settled_before_a_kill_is_carried_out_first_and_not_handed_out_again() {
    let work = left_behind("killed");
    assert_records(work.path(), 2);
    let script = [
        &login(EXCHANGE),
        &still_there(&[1, 2]),
        "C: A UID MOVE 1 \"debug\"
         S: A OK done
         C: A UID MOVE 2 \"error\"
         S: A OK done
        ",
        LOOK,
        &fetch("3", &[3]),
    ];
    let played = play_in(work.path(), "killed", &[script.concat()]);
    assert_eq!(played.fetch(), whole([3]));
    assert_records(work.path(), 0);
    played.mailbox.flush().unwrap();
    played.check();
    assert_eq!(played.warnings(), [""; 0]);
}

/// The first of two mails was moved, and the process ended before it heard of it.
fn only_the_second_is_left() -> String {
    [
        &login(EXCHANGE),
        &asked_for_dates("1:2"),
        &dated(2, &date(2)),
        "S: A OK done
         C: A UID SEARCH UID 1
         S: * SEARCH
         S: A OK done
         C: A UID MOVE 2 \"error\"
         S: A OK done
        ",
    ]
    .concat()
}

#[test]
fn a_flush_alone_carries_out_what_an_earlier_process_left() {
    let work = left_behind("flushed");
    let played = play_in(work.path(), "flushed", &[only_the_second_is_left()]);
    assert_eq!(played.mailbox.pending().unwrap(), 2);
    played.mailbox.flush().unwrap();
    assert_eq!(played.mailbox.pending().unwrap(), 0);
    assert_records(work.path(), 0);
    played.check();
}

#[test]
fn what_was_copied_before_a_kill_is_not_copied_again() {
    let work = tempfile::tempdir().unwrap();
    let first = [
        &login("UIDPLUS"),
        &fetch("1:2", &[1, 2]),
        "C: A UID COPY 1:2 \"error\"
         S: A OK done
         C: A UID STORE 1:2 +FLAGS.SILENT (\\Deleted)
        ",
    ];
    let played = play_in(work.path(), "copied", &[first.concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Unrecognised) && played.settle(2, Outcome::Unrecognised));
    assert!(played.mailbox.flush().is_err());
    let work = killed(work.path());
    drop(played);
    let second = [
        &login("UIDPLUS"),
        &still_there(&[1, 2]),
        "C: A UID STORE 1:2 +FLAGS.SILENT (\\Deleted)
         S: A OK done
         C: A UID EXPUNGE 1:2
         S: A OK done
        ",
    ];
    let played = play_in(work.path(), "copied", &[second.concat()]);
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn a_uid_that_means_another_mail_now_is_left_alone_and_handed_out() {
    let work = left_behind("another");
    let same_date = dated(2, &date(2)).replace("Date:002", "Date:777");
    let other = [&dated(1, " 9-Mar-2025 00:00:00 +0000"), &same_date, "S: A OK done\n"].concat();
    let script = [
        &login(EXCHANGE),
        &asked_for_dates("1:2"),
        &other,
        // A server that names another message is asked once more.
        &asked_for_dates("1:2"),
        &other,
        LOOK,
        &fetch("1:3", &[1, 2, 3]),
    ];
    let played = play_in(work.path(), "another", &[script.concat()]);
    assert_eq!(played.fetch(), whole(1..=3));
    assert_records(work.path(), 0);
    played.check();
    let warnings = played.warnings();
    assert!(warnings.iter().any(|text| text.contains("UID 1 is not the mail")), "{warnings:?}");
    assert!(warnings.iter().any(|text| text.contains("UID 2 is not the mail")), "{warnings:?}");
}

#[test]
fn under_another_uidvalidity_the_journal_is_void_and_kept_aside() {
    let work = left_behind("void");
    let script = [&login_under(15, EXCHANGE), &fetch("1:3", &[1, 2, 3])[..]].concat();
    let played = play_in(work.path(), "void", &[script]);
    assert_eq!(played.fetch(), whole(1..=3));
    played.check();
    assert_eq!(played.mailbox.flush().unwrap_err().kind, Kind::Stale);
    let aside = file(work.path(), "journal.void1");
    let warnings = played.warnings();
    assert!(warnings.iter().any(|text| text.contains(&*aside.to_string_lossy())), "{warnings:?}");
    assert!(fs::read_to_string(aside).unwrap().contains("\"uid_validity\":14"));
    assert_records(work.path(), 0);
}

#[test]
fn what_is_still_refused_after_a_kill_is_not_handed_out() {
    let work = left_behind("refused-again");
    let refusal = |uid: u32, folder: &str| format!("C: A UID MOVE {uid} \"{folder}\"\n S: A NO no room\n");
    let script = [
        &login(EXCHANGE),
        &still_there(&[1, 2]),
        &refusal(1, "debug"),
        &still_there(&[1]),
        &refusal(2, "error"),
        &still_there(&[2]),
        // The server still has all of them.
        LOOK,
        &search(&[1, 2, 3]),
        &asked("3"),
        &mail(3),
        "S: A OK done\n",
    ];
    let played = play_in(work.path(), "refused-again", &[script.concat()]);
    // Not to the end of the fetch, at which the server is asked again.
    let fetch = played.mailbox.fetch().unwrap();
    assert_eq!(played.mailbox.next(fetch).unwrap().map(|mail| mail.id.uid), Some(3));
    let health = played.mailbox.health();
    assert_eq!((health.state, health.pending), (Grade::Warning, 2));
    assert!(health.warnings[0].observed.contains("no room"), "{health:?}");
    assert_records(work.path(), 2);
    played.check();
}

#[test]
fn a_connection_that_is_lost_while_the_journal_is_carried_out_takes_nothing_with_it() {
    let work = left_behind("lost-again");
    let first = [&login(EXCHANGE), &still_there(&[1, 2]), "C: A UID MOVE 1 \"debug\"\n"].concat();
    let played = play_in(work.path(), "lost-again", &[first]);
    assert_eq!(played.mailbox.flush().unwrap_err().kind, Kind::Network);
    let work = killed(work.path());
    drop(played);
    let played = play_in(work.path(), "lost-again", &[only_the_second_is_left()]);
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn two_readers_of_one_mailbox_are_kept_apart_and_two_folders_are_not_one_mailbox() {
    let work = tempfile::tempdir().unwrap();
    let one = play_in(work.path(), "busy", &[login(EXCHANGE) + &fetch("1", &[1])]);
    assert_eq!(one.fetch(), whole([1]));
    let two = play_in(work.path(), "busy", &[login(EXCHANGE) + &fetch("1", &[1])]);
    for failure in [two.try_fetch().unwrap_err(), two.mailbox.flush().unwrap_err()] {
        assert_eq!(failure.kind, Kind::Busy);
        assert!(failure.observed.contains("another BounceMailbox in this process"), "{failure}");
        assert!(!failure.remedy.is_empty());
    }
    // It is the second one that fails, though both are one mailbox.
    assert_eq!(one.mailbox.health().state, Grade::Well);
    let health = two.mailbox.health();
    assert_eq!((health.state, health.failures), (Grade::Failing, 1));
    assert_eq!(health.failure.map(|failure| failure.kind), Some(Kind::Busy));
    assert!(health.failing_since.is_some());
    one.mailbox.close();
    assert_eq!(two.fetch(), whole([1]));
    assert_eq!(two.mailbox.health().state, Grade::Well);
    two.check();

    let other_folder = login(EXCHANGE).replace("SELECT \"INBOX\"", "SELECT \"Junk\"") + &fetch("1", &[1]);
    let other_folder = other_folder.replace("/\" INBOX", "/\" Junk");
    let third = play_with("busy", &[other_folder], |config| {
        config.folders.inbox = "Junk".into();
        config.work_directory = Some(work.path().to_owned());
    });
    assert_eq!(third.fetch(), whole([1]));
}

#[test]
fn whoever_closes_first_or_second_the_next_reader_may_have_it_then() {
    let server = Server::with_mails(2, |command, _| {
        if command.starts_with("UID MOVE") {
            thread::sleep(Duration::from_millis(500));
        }
        None
    });
    let work = tempfile::tempdir().unwrap();
    let open = || {
        server.play(|config| {
            config.journal = true;
            config.work_directory = Some(work.path().to_owned());
        })
    };
    let played = open();
    assert_eq!(played.fetch().len(), 2);
    assert!(played.settle(1, Outcome::Handled));
    let next = thread::scope(|scope| {
        scope.spawn(|| played.mailbox.close());
        while played.mailbox.pending().is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        played.mailbox.close();
        open().try_fetch().map(|mails| mails.len()).map_err(|failure| failure.kind)
    });
    assert_eq!(next, Ok(1));
}

#[test]
fn without_a_place_for_the_journal_settling_works_and_says_so_once() {
    let settled = "C: A UID MOVE 1 \"debug\"\n S: A OK done\n C: A UID MOVE 2 \"debug\"\n S: A OK done\n";
    let script = [&login(EXCHANGE), &fetch("1:2", &[1, 2]), settled].concat();
    let work = tempfile::tempdir().unwrap();
    // There is a file where the directory should be.
    let blocked = work.path().join("file");
    fs::write(&blocked, "").unwrap();
    let missing = work.path().join("not/there");
    let above = work.path().to_string_lossy().into_owned();
    for (server, work) in [("no-place", blocked.join("work")), ("no-place-2", missing)] {
        let played = play_in(&work, server, std::slice::from_ref(&script));
        played.fetch();
        for uid in [1, 2] {
            assert!(played.settle(uid, Outcome::Handled));
            played.mailbox.flush().unwrap();
        }
        played.check();
        let warnings = played.warnings();
        assert_eq!(
            warnings
                .iter()
                .filter(|text| text.contains("second reader") && text.contains("not recorded"))
                .count(),
            1,
            "{warnings:?}"
        );
        // What an earlier process has left there is not known.
        assert_eq!(played.mailbox.pending().unwrap_err().kind, Kind::Storage);
        let health = played.mailbox.health();
        assert_eq!(health.state, Grade::Warning);
        assert!(health.warnings[0].observed.contains(&*above), "{health:?}");
    }
}

#[test]
fn lock_and_journal_come_when_they_can_and_hold_what_was_decided_before() {
    let above = tempfile::tempdir().unwrap();
    let work = above.path().join("not/mounted");
    let refused = ["C: A UID MOVE 1 \"debug\"\n S: A NO not now\n", &still_there(&[1])].concat();
    let played = play_in(&work, "late", &[login(EXCHANGE) + &fetch("1:2", &[1, 2]) + &refused]);
    assert_eq!(played.fetch(), whole([1, 2]));
    assert!(played.settle(1, Outcome::Handled));
    assert!(played.mailbox.flush().is_err());
    assert!(played.mailbox.pending().is_err());
    assert_eq!(played.mailbox.health().warnings.len(), 2);
    fs::create_dir_all(&work).unwrap();
    assert_eq!(played.mailbox.pending().unwrap(), 1);
    assert_eq!(played.mailbox.health().warnings.len(), 1, "the refusal");
    let said: Vec<_> = played.log.take().into_iter().map(|record| record.text).collect();
    let times = |what| said.iter().filter(|text| text.contains(what)).count();
    assert_eq!((times("not recorded"), times("written again")), (1, 1), "{said:?}");
    assert_records(&work, 1);
    assert!(played.settle(2, Outcome::Handled));
    assert_records(&work, 2);
    assert_eq!(play_in(&work, "late", &[]).try_fetch().unwrap_err().kind, Kind::Busy);
}

#[test]
fn a_journal_that_is_found_late_is_carried_out_but_for_what_was_decided_meanwhile() {
    for (server, handed_out) in [("found-late", true), ("found-later", false)] {
        let left = left_behind(server);
        let above = tempfile::tempdir().unwrap();
        let work = above.path().join("not/mounted");
        let moves = |uid| format!("C: A UID MOVE {uid} \"error\"\n S: A ");
        let script = [
            &login(EXCHANGE),
            &fetch("1:3", &[1, 2, 3]),
            &moves(1),
            "NO not now\n",
            &still_there(&[1]),
            // What was found is compared now.
            &still_there(&[2]),
            &moves(2),
            "OK done\n",
            &moves(1),
            "OK done\n",
        ];
        let played = play_in(&work, server, &[script.concat()]);
        let fetch = played.mailbox.fetch().unwrap();
        let next = || played.mailbox.next(fetch).unwrap().map(|mail| mail.id.uid);
        assert_eq!(next(), Some(1));
        // The process before had decided otherwise.
        assert!(played.settle(1, Outcome::Unrecognised));
        assert!(played.mailbox.flush().is_err());
        if handed_out {
            assert_eq!(next(), Some(2));
        }
        fs::create_dir(above.path().join("not")).unwrap();
        fs::rename(left.path(), &work).unwrap();
        assert_eq!(played.mailbox.pending().unwrap(), 2);
        // It is carried out at once, while mail 1 waits for another try.
        while played.mailbox.pending().unwrap() != 1 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(next(), Some(3));
        if handed_out {
            assert!(!played.settle(2, Outcome::Handled), "it is settled");
        }
        played.mailbox.flush().unwrap();
        assert_records(&work, 0);
        played.check();
    }
}

#[test]
fn a_journal_that_is_found_late_under_another_uidvalidity_is_kept_aside() {
    let left = left_behind("void-late");
    let above = tempfile::tempdir().unwrap();
    let work = above.path().join("not/mounted");
    let refused = ["C: A UID MOVE 1 \"debug\"\n S: A NO not now\n", &still_there(&[1])].concat();
    let played = play_in(&work, "void-late", &[login_under(15, EXCHANGE) + &fetch("1", &[1]) + &refused]);
    assert_eq!(played.fetch(), whole([1]));
    assert!(played.mailbox.settle(MessageId { uid_validity: 15, uid: 1 }, Outcome::Handled).unwrap());
    assert!(played.mailbox.flush().is_err());
    fs::create_dir(above.path().join("not")).unwrap();
    fs::rename(left.path(), &work).unwrap();
    assert_eq!(played.mailbox.pending().unwrap(), 1);
    let read = |name| fs::read_to_string(file(&work, name)).unwrap();
    assert!(comes(|| read("journal").contains("\"uid_validity\":15")));
    assert!(read("journal.void1").contains("\"uid_validity\":14"));
}

#[test]
fn without_a_work_directory_it_is_said_what_that_means_unless_it_is_wanted() {
    for (server, journal) in [("no-work", true), ("no-work-wanted", false)] {
        let played =
            play_with(server, &[login(EXCHANGE) + &fetch("1", &[1])], |config| config.journal = journal);
        played.fetch();
        let warnings = played.warnings();
        let said =
            warnings.iter().any(|text| text.contains("second reader") && text.contains("cmsbs.server.home"));
        assert_eq!(said, journal, "{warnings:?}");
    }
}

#[test]
fn what_nobody_asks_for_any_more_is_found_in_the_work_directory() {
    let work = left_behind("old-server");
    let folder = file(work.path(), "").components().collect::<PathBuf>();
    fs::create_dir(work.path().join("native")).unwrap();
    let found = abandoned(work.path(), &[]).unwrap();
    let mailbox = "u/INBOX at old-server:993".to_owned();
    assert_eq!(found, [Abandoned { directory: folder.clone(), mailbox, messages: 2 }]);
    assert_eq!(abandoned(work.path(), &[folder]).unwrap(), []);
    assert_eq!(abandoned(Path::new("/nowhere"), &[]).unwrap(), []);
}

#[test]
fn only_who_has_looked_for_mail_writes_the_status() {
    let work = left_behind("status-of-a-drain");
    let said = "{ what the process before has seen }";
    fs::write(file(work.path(), STATUS), said).unwrap();
    let moves = "C: A UID MOVE 1 \"debug\"\n S: A OK done\n C: A UID MOVE 2 \"error\"\n S: A OK done\n";
    let script = [&login(EXCHANGE), &still_there(&[1, 2]), moves];
    let played = play_in(work.path(), "status-of-a-drain", &[script.concat()]);
    played.mailbox.flush().unwrap();
    played.mailbox.close();
    assert_eq!(fs::read_to_string(file(work.path(), STATUS)).unwrap(), said);
}

#[test]
fn a_mailbox_that_is_only_opened_writes_nothing() {
    let work = tempfile::tempdir().unwrap();
    let played = play_in(work.path(), "only-opened", &[]);
    played.mailbox.close();
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
}

#[test]
fn closing_leaves_what_the_server_could_not_be_told_in_the_journal() {
    let work = tempfile::tempdir().unwrap();
    let script =
        [&login(EXCHANGE), &fetch("1", &[1]), "C: A UID MOVE 1 \"debug\"\n S: A NO no\n", &still_there(&[1])];
    let played = play_in(work.path(), "closing", &[script.concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Handled));
    assert!(played.mailbox.flush().is_err());
    played.warnings();
    played.mailbox.close();
    assert!(!played.warnings().iter().any(|text| text.contains("closed before")));
    assert_records(work.path(), 1);
    assert!(!file(work.path(), "owner").exists());
    assert!(played.mailbox.settle(id(1), Outcome::Handled).is_err());
}
