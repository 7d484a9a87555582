//! What becomes of decisions when connections end, mails cannot be settled, and UIDs come to mean other mails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use super::answering::{CLOSE, Server};
use super::played::{
    EXCHANGE, LOOK, Played, asked_for_dates, date, dated, fetch, id, login, play, play_with, search,
    still_there, whole, with_answers,
};
use crate::failure::Kind;

const MOVED: &str = "C: A UID MOVE 1 \"debug\"\n S: A OK done\n";
const TOKEN_ENDED: &str = "C: A UID MOVE 1 \"debug\"\n S: * BYE Session invalidated - AccessTokenExpired\n";

#[test]
fn what_is_settled_after_a_lost_connection_is_compared_too() {
    let first = [&login(EXCHANGE), &fetch("1:2", &[1, 2]), TOKEN_ENDED].concat();
    let second = [&login(EXCHANGE), &still_there(&[1]), MOVED, &another_mail(2)].concat();
    let played = play("settled-after", &[first, second]);
    assert_eq!(played.fetch(), whole([1, 2]));
    assert!(played.settle(1, Outcome::Handled));
    played.mailbox.flush().unwrap();
    assert!(played.settle(2, Outcome::Handled));
    played.mailbox.flush().unwrap();
    played.check();
    assert!(played.warnings().iter().any(|text| text.contains("UID 2 is not the mail")));
}

#[test]
fn what_is_settled_between_two_connections_is_compared_too() {
    let first = [&login(EXCHANGE), &fetch("1:2", &[1, 2]), TOKEN_ENDED].concat();
    // The first that is tried then cannot be made.
    let played = play("settled-between", &[first]);
    assert_eq!(played.fetch(), whole([1, 2]));
    assert!(played.settle(1, Outcome::Handled));
    assert_eq!(played.mailbox.flush().unwrap_err().kind, Kind::Network);
    assert!(played.settle(2, Outcome::Handled));
    let dates = [asked_for_dates("1:2"), dated(1, &date(1)), dated(2, " 9-Mar-2025 00:00:00 +0000")].concat();
    let again = [&asked_for_dates("2"), &dated(2, " 9-Mar-2025 00:00:00 +0000"), "S: A OK done\n"].concat();
    let second = [&login(EXCHANGE), &dates, "S: A OK done\n", &again, MOVED].concat();
    let outcomes = crate::imap::scripted::serve("settled-between", &[&with_answers(&second)]);
    played.mailbox.flush().unwrap();
    outcomes[0].check();
}

#[test]
fn closing_connects_again_where_the_session_had_ended() {
    let first = [&login(EXCHANGE), &fetch("1", &[1]), TOKEN_ENDED].concat();
    let second = [&login(EXCHANGE), &still_there(&[1]), MOVED].concat();
    let played = play("closed-late", &[first, second]);
    assert_eq!(played.fetch(), whole([1]));
    assert!(played.settle(1, Outcome::Handled));
    played.mailbox.close();
    played.check();
    assert_eq!(played.warnings(), [""; 0]);
}

#[test]
fn a_flush_does_not_wait_for_what_others_decide_after_it() {
    let server = Server::with_mails(2_000, |command, _| {
        if command.starts_with("UID MOVE") {
            thread::sleep(Duration::from_millis(50));
        }
        None
    });
    let played = server.play(|_| {});
    assert_eq!(played.fetch().len(), 2_000);
    assert!(played.settle(1, Outcome::Handled));
    let mailbox = played.mailbox.clone();
    let flushed = Arc::new(AtomicBool::new(false));
    let ended = flushed.clone();
    let other = thread::spawn(move || {
        for uid in 2..=2_000 {
            mailbox.settle(id(uid), Outcome::Handled).unwrap();
            thread::sleep(Duration::from_millis(5));
            if ended.load(Ordering::Relaxed) {
                return true;
            }
        }
        false
    });
    thread::sleep(Duration::from_millis(50));
    played.mailbox.flush().unwrap();
    let moved = server.log().iter().any(|(_, command)| command.starts_with("UID MOVE"));
    flushed.store(true, Ordering::Relaxed);
    assert!(other.join().unwrap() && moved);
}

#[test]
fn a_decision_on_a_session_that_has_ended_is_told_at_once_on_another() {
    let first = [&login(EXCHANGE), &fetch("1", &[1]), TOKEN_ENDED].concat();
    let second = [&login(EXCHANGE), &still_there(&[1]), MOVED].concat();
    let played = play("ended-when-idle", &[first, second]);
    assert_eq!(played.fetch(), whole([1]));
    assert!(played.settle(1, Outcome::Handled));
    let begun = Instant::now();
    while played.mailbox.pending().unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", played.warnings());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(played.warnings(), [""; 0]);
}

#[test]
fn a_mail_that_somebody_has_read_meanwhile_can_still_be_settled() {
    let unseen = |text: String| text.replace("SEARCH UNDELETED", "SEARCH UNSEEN UNDELETED");
    let script = [&login(EXCHANGE), &unseen(fetch("1", &[1])), LOOK, &unseen(search(&[])), MOVED];
    let played = play_with("read-meanwhile", &[script.concat()], |config| config.process_all = false);
    assert_eq!(played.fetch(), whole([1]));
    assert_eq!(played.fetch(), whole([]));
    assert!(played.mailbox.settle(id(1), Outcome::HardBounce).unwrap());
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn a_decision_is_not_forgotten_because_the_server_tells_no_date() {
    let first = [&login(EXCHANGE), &fetch("1:2", &[1, 2]), "C: A UID MOVE 1:2 \"debug\"\n"].concat();
    let none = "S: A OK FETCH completed.\n C: A UID SEARCH UID 1\n S: * SEARCH 1\n S: A OK done\n";
    let second = [
        &login(EXCHANGE),
        &asked_for_dates("1:2"),
        &dated(2, &date(2)),
        none,
        "C: A UID MOVE 2 \"debug\"\n S: A OK done\n",
        // A fetch tries everything once more.
        &asked_for_dates("1"),
        none,
        LOOK,
        &search(&[1]),
    ];
    let played = play("no-date", &[first, second.concat()]);
    assert_eq!(played.fetch(), whole([1, 2]));
    assert!(played.settle(1, Outcome::Handled) && played.settle(2, Outcome::Handled));
    let failure = played.mailbox.flush().unwrap_err();
    assert!(failure.observed.contains("UID 1: "), "{failure}");
    assert_eq!(played.mailbox.pending().unwrap(), 1);
    // The end of the fetch tries it again, too, when the script is over.
    assert_eq!(played.fetch(), whole([]), "what was settled is not handed out again");
}

#[test]
fn a_mail_that_cannot_be_moved_does_not_keep_the_others_of_its_batch() {
    let server = Server::with_mails(20, |command, named| {
        (is_move(command) && named.contains(&3)).then(|| "TAG NO cannot move this item\r\n".into())
    });
    let played = server.play(|_| {});
    for uid in fetched(&played) {
        assert!(played.settle(uid, Outcome::Handled));
    }
    assert_eq!(played.mailbox.flush().unwrap_err().kind, Kind::Refused);
    assert_eq!(played.mailbox.pending().unwrap(), 1, "{:?}", server.log());
}

#[test]
fn the_folder_of_a_move_that_no_property_names_is_the_one_that_is_explained() {
    let server = Server::with_mails(1, |command, _| {
        command.starts_with("CREATE \"archive/2025\"").then(|| "TAG NO Permission denied\r\n".into())
    });
    let played = server.play(|_| {});
    for uid in fetched(&played) {
        assert!(played.mailbox.move_to(id(uid), "archive/2025").unwrap());
    }
    let failure = played.mailbox.flush().unwrap_err();
    assert_eq!((failure.key, failure.id.as_deref()), (None, Some("imap-folder-namespace")));
    assert!(failure.cause.contains("the folder archive/2025 outside the inbox"), "{}", failure.cause);
    assert!(
        failure.remedy.contains("Enter: move(mail, folder) = \"INBOX.archive/2025\""),
        "{}",
        failure.remedy
    );
}

#[test]
fn a_server_that_refuses_everything_is_not_asked_more_and_more() {
    let server =
        Server::with_mails(400, |command, _| is_move(command).then(|| "TAG NO over quota\r\n".into()));
    let played = server.play(|_| {});
    for uid in fetched(&played) {
        assert!(played.settle(uid, Outcome::Handled));
    }
    let mut asked = Vec::new();
    for _ in 0..4 {
        assert_eq!(played.mailbox.flush().unwrap_err().kind, Kind::Refused);
        asked.push(server.log().iter().filter(|(_, command)| is_move(command)).count());
    }
    assert!(asked[0] <= 12 && asked[3] - asked[2] <= asked[2] - asked[1], "{asked:?}");
    assert_eq!(played.mailbox.pending().unwrap(), 400);
}

#[test]
fn a_mail_at_whose_move_the_server_breaks_down_does_not_block_the_mailbox() {
    let server = Server::with_mails(20, |command, named| {
        (is_move(command) && named.contains(&3)).then(|| CLOSE.into())
    });
    let played = server.play(|config| config.fetch.patience = Duration::from_secs(3));
    let fetch = played.mailbox.fetch().unwrap();
    for _ in 0..10 {
        let mail = played.mailbox.next(fetch).unwrap().unwrap();
        assert!(played.settle(mail.id.uid, Outcome::Handled));
    }
    for _ in 0..8 {
        let _ = played.mailbox.flush();
    }
    assert_eq!(played.mailbox.pending().unwrap(), 1, "{:?}", server.log());
    assert_eq!(fetched(&played), (11..=20).collect::<Vec<_>>());
}

#[test]
fn a_date_that_is_refused_again_and_again_does_not_block_the_mailbox() {
    let cut = AtomicBool::new(true);
    let server = Server::with_mails(20, move |command, named| {
        if is_move(command) && cut.swap(false, Ordering::SeqCst) {
            return Some(CLOSE.into());
        }
        let refused = command.contains("HEADER.FIELDS") && named.contains(&3);
        refused.then(|| "TAG NO internal error\r\n".into())
    });
    let played = server.play(|_| {});
    let fetch = played.mailbox.fetch().unwrap();
    for _ in 0..10 {
        let mail = played.mailbox.next(fetch).unwrap().unwrap();
        assert!(played.settle(mail.id.uid, Outcome::Handled));
    }
    assert_eq!(played.mailbox.flush().unwrap_err().kind, Kind::Refused);
    assert_eq!(fetched(&played), (11..=20).collect::<Vec<_>>());
}

#[test]
fn after_a_refusal_the_server_is_told_of_other_decisions_while_the_fetch_goes_on() {
    let server = Server::with_mails(3_000, |command, named| {
        if command.contains("RFC822.SIZE") {
            let sizes = named.iter().map(|uid| format!("* {uid} FETCH (UID {uid} RFC822.SIZE 20000)\r\n"));
            return Some(sizes.collect::<String>() + "TAG OK done\r\n");
        }
        if command.contains("BODY.PEEK") {
            thread::sleep(Duration::from_millis(2 * named.len() as u64));
        }
        command.ends_with("\"error\"").then(|| "TAG NO over quota\r\n".into())
    });
    let played = server.play(|config| config.fetch.pipeline = 2);
    let fetch = played.mailbox.fetch().unwrap();
    while let Some(mail) = played.mailbox.next(fetch).unwrap() {
        let outcome = if mail.id.uid == 3 { Outcome::Unrecognised } else { Outcome::Handled };
        assert!(played.mailbox.settle(mail.id, outcome).unwrap());
    }
    let log = server.log();
    let at =
        |what: &dyn Fn(&str) -> bool| log.iter().position(|(_, command)| what(command)).unwrap_or(log.len());
    let refused = at(&|command| command.ends_with("\"error\""));
    let last_body = log.iter().rposition(|(_, command)| command.contains("BODY.PEEK")).unwrap_or_default();
    let bodies = log[refused..last_body].iter().filter(|(_, command)| command.contains("BODY.PEEK")).count();
    let moves = log[refused..last_body].iter().filter(|(_, command)| command.ends_with("\"debug\"")).count();
    assert!(bodies > 10 && moves > 2, "{bodies} FETCHes, {moves} MOVEs after the refusal");
}

/// The UIDs that a fetch hands out.
fn fetched(played: &Played) -> Vec<u32> {
    played.fetch().into_iter().map(|(uid, _)| uid).collect()
}

/// The mailbox was made anew: the UID means a mail that nobody has read.
fn another_mail(uid: u32) -> String {
    [&asked_for_dates(&uid.to_string()), &dated(uid, " 9-Mar-2025 00:00:00 +0000"), "S: A OK done\n"]
        .concat()
        .repeat(2)
}

fn is_move(command: &str) -> bool {
    command.starts_with("UID MOVE")
}
