//! The engine against servers in memory that are busy, break down, or cannot give what they have.

use std::time::{Duration, Instant};

use super::played::{
    EXCHANGE, LOOK, Played, asked, asked_for_sizes, fetch, login, mail, play, play_with, play_within, search,
    size, still_there, text, third_and_then_second, whole,
};
use super::{Grade, Outcome, STATUS, place};
use crate::config::MailboxConfig;
use crate::engine::problem::Problem;
use crate::failure::{Kind, Retry, Step};
use crate::imap::limits::Times;
use crate::net::testing::Authority;

#[test]
fn throttling_is_waited_out_on_the_same_connection() {
    let throttled = "S: A BAD Request is throttled. Suggested Backoff Time: 300 milliseconds\n";
    let mut commands = Vec::new();
    for line in (LOOK.to_owned() + &fetch("1", &[1])).lines().map(|line| format!("{}\n", line.trim_start())) {
        // Each command is throttled the first time.
        if line.starts_with("C:") {
            commands.extend([line.clone(), throttled.to_owned()]);
        }
        commands.push(line);
    }
    let moved = "C: A UID MOVE 1 \"debug\"\n";
    let dates = "C: A UID FETCH 1 (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE RECEIVED)])\n";
    let date = "S: * 1 FETCH (UID 1 INTERNALDATE \" 1-Feb-2024 10:00:01 +0100\" BODY[HEADER.FIELDS (DATE)] \"Date:001\")\nS: A OK done\n";
    commands.extend(
        [moved, throttled, dates, throttled, dates, date, moved, "S: A OK done\n"].map(str::to_owned),
    );
    let played = play("throttled", &[login(EXCHANGE) + &search(&[]) + &commands.concat()]);
    assert_eq!(played.fetch(), whole([]));
    let begun = Instant::now();
    assert_eq!(played.fetch(), whole([1]));
    assert!(played.settle(1, Outcome::Handled));
    played.mailbox.flush().unwrap();
    played.check();
    assert!(begun.elapsed() >= 5 * Duration::from_millis(300));
    let health = played.mailbox.health();
    assert_eq!((health.state, health.throttled_until, health.pending), (Grade::Well, None, 0));
}

#[test]
fn a_long_throttling_ends_the_fetch_with_what_it_has_and_the_next_one_says_how_long() {
    let throttled = "S: A NO Request is throttled. Suggested Backoff Time: 89117 milliseconds\n";
    let played = play("throttled for long", &[eight_of_nine(throttled)]);
    assert_eq!(played.fetch(), whole(1..=8));
    played.check();
    assert!(played.settle(8, Outcome::Handled));
    let health = played.mailbox.health();
    assert_eq!((health.state, health.failure, health.pending), (Grade::Warning, None, 1));
    assert!(health.throttled_until.is_some());
    let begun = Instant::now();
    for failure in [played.try_fetch().unwrap_err(), played.mailbox.flush().unwrap_err()] {
        assert_eq!(failure.kind, Kind::Throttled);
        assert!(matches!(failure.retry, Retry::After(time) if time > Duration::from_secs(80)), "{failure:?}");
    }
    played.mailbox.close();
    assert!(begun.elapsed() < Duration::from_secs(4), "nobody is made to wait for it");
}

#[test]
fn throttling_at_the_login_is_waited_out_too() {
    let refusal = "
        S: * NO Request is throttled. Suggested Backoff Time: 200 milliseconds
        S: * BYE Connection closed. 14
        ";
    let played = play("throttled at login", &[refusal.to_owned(), login(EXCHANGE) + &fetch("1", &[1])]);
    let begun = Instant::now();
    assert_eq!(played.fetch(), whole([1]));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    played.check();
}

#[test]
fn throttling_at_each_login_ends_the_call_when_that_has_gone_on_for_long() {
    let refusal = "S: * NO Request is throttled. Suggested Backoff Time: 100 milliseconds\n";
    let times = Times { throttled: Duration::from_secs(1), ..Times::default() };
    let scripts = vec![refusal.to_owned(); 50];
    let played = play_within(times, "throttled at each login", &scripts, Authority::new().trust(), |_| {});
    for _ in 0..2 {
        let begun = Instant::now();
        let failure = played.try_fetch().unwrap_err();
        assert_eq!(failure.kind, Kind::Throttled, "{failure}");
        let took = begun.elapsed();
        assert!((1..10).contains(&took.as_secs()), "{took:?}");
    }
}

#[test]
fn a_server_that_is_unavailable_in_a_fetch_is_tried_again() {
    for (server, refusal, cut) in [
        ("unavailable", "S: A NO Server Unavailable. 15\n", false),
        ("unavailable by code", "S: A NO [UNAVAILABLE] later\n", false),
        (
            "unavailable without a tag",
            "S: * NO Server Unavailable. 15\nS: * BYE Connection closed. 14\n",
            true,
        ),
    ] {
        let again = [asked_for_sizes("9"), size(9), "S: A OK done\n".into(), asked("9"), mail(9)].concat();
        let (first, again) = (eight_of_nine(refusal), again + "S: A OK done\n");
        // A command that the server cannot carry out now is repeated on the same connection.
        let scripts = if cut { vec![first, login(EXCHANGE) + &again] } else { vec![first + &again] };
        let played = play(server, &scripts);
        assert_eq!(played.fetch(), whole(1..=9), "{server}");
        played.check();
        assert_eq!(played.mailbox.health().failures, 0);
    }
}

#[test]
fn a_login_that_worked_before_is_tried_again_before_it_is_called_wrong() {
    let not_connected = "
        S: * OK ready
        C: A CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
        S: A OK done
        C: A AUTHENTICATE PLAIN AHUAcA==
        S: A OK AUTHENTICATE completed.
        C: A CAPABILITY
        S: A BAD User is authenticated but not connected.
        ";
    let ended = "C: A NOOP\nS: * BYE Session invalidated - AccessTokenExpired\n";
    let first = login(EXCHANGE) + &fetch("1", &[1]) + ended;
    let last = login(EXCHANGE) + &fetch("2", &[2]);
    let scripts = [first, not_connected.to_owned(), last];
    let played = play("worked before", &scripts);
    assert_eq!(played.fetch(), whole([1]));
    assert_eq!(played.fetch(), whole([2]));
    played.check();

    // One that never worked is refused at once.
    let played = play("never worked", &[not_connected.to_owned(), login(EXCHANGE)]);
    let failure = played.try_fetch().unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Login, Retry::Never));
    let health = played.mailbox.health();
    assert_eq!((health.state, health.failures), (Grade::Failing, 1));
    assert_eq!(health.failure, Some(failure));
}

#[test]
fn a_refused_move_is_explained_with_its_folder_and_the_property_that_names_it() {
    let refused = "C: A UID MOVE 1 \"error\"\n S: A NO [NOPERM] Permission denied\n";
    let script = [&login(EXCHANGE), &fetch("1", &[1]), refused, &still_there(&[1])];
    let played = play("no-permission", &[script.concat()]);
    played.fetch();
    assert!(played.settle(1, Outcome::Unrecognised));
    let failure = played.mailbox.flush().unwrap_err();
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.folder.error"), "{failure}");
    assert!(failure.cause.contains("folder error"), "{failure}");
}

#[test]
fn a_mail_of_which_the_server_tells_no_size_is_asked_for_alone() {
    let found: Vec<u32> = (1..=10).collect();
    let ok = "S: A OK done\n";
    let script = [
        login(EXCHANGE) + &search(&found),
        asked("1:8") + &(1..=8).map(mail).collect::<String>() + ok,
        asked_for_sizes("9:10") + &size(9) + ok,
        asked("9") + &mail(9) + ok,
        "C: A UID SEARCH UID 10\nS: * SEARCH 10\nS: A OK done\n".to_owned(),
        asked("10") + &mail(10) + ok,
    ];
    let played = play("no size", &[script.concat()]);
    assert_eq!(played.fetch(), whole(1..=10));
    played.check();
    assert_eq!(played.mailbox.health().state, Grade::Well);
}

#[test]
fn what_the_server_cannot_deliver_is_counted_and_left_where_it_is() {
    let no = "S: A NO Cannot convert\n";
    let script = [
        &login(EXCHANGE),
        &search(&[1, 2, 3, 4, 5]),
        &asked("1:5"),
        no,
        &asked_for_sizes("1:5"),
        &[1, 2, 3].map(size).concat(),
        // Not even the size of the others: one of them is gone.
        "S: A OK done\n",
        &asked("1"),
        &mail(1),
        "S: A OK done\n",
        &asked("2"),
        no,
        &asked("3"),
        "S: A OK FETCH completed.\n",
        "C: A UID SEARCH UID 2:5\nS: * SEARCH 2 3 5\nS: A OK done\n",
        &asked("5"),
        "S: A OK FETCH completed.\n",
        "C: A UID SEARCH UID 5\nS: * SEARCH 5\nS: A OK done\n",
    ];
    let played = play_with("set aside", &[script.concat()], |config| config.fetch.pipeline = 1);
    assert_eq!(played.fetch(), whole([1]));
    played.check();
    let health = played.mailbox.health();
    assert_eq!((health.state, health.set_aside, health.failures), (Grade::Warning, 3, 0));
    assert!(
        health.warnings.iter().any(|warning| warning.observed.contains("UID 5: OK FETCH completed")),
        "{:?}",
        health.warnings
    );
}

#[test]
fn a_mail_at_which_the_connection_ends_is_set_aside_when_all_others_have_come() {
    let unreadable = mail(2).replace("FLAGS ()", "FLAGS (");
    for (server, at_two) in [
        ("closes at a mail", ""),
        ("says what is no IMAP", unreadable.as_str()),
        ("has a mail too large", "S: * 2 FETCH (UID 2 BODY[] {4294967295}\n"),
    ] {
        let alone = [&login(EXCHANGE), &asked("2"), at_two].concat();
        let first = [&login(EXCHANGE), &search(&[1, 2, 3]), &asked("1:3"), &mail(1), at_two].concat();
        let second = third_and_then_second() + at_two;
        // The next fetch begins with the others, and tries it again: it comes now.
        let next = [&login(EXCHANGE), &search(&[2, 4]), &asked("4"), &mail(4), "S: A OK done\n"].concat()
            + &[&asked("2"), &mail(2), "S: A OK done\n"].concat();
        let played = play(server, &[first, second, alone, next]);
        assert_eq!(played.fetch(), whole([1, 3]), "{server}");
        let health = played.mailbox.health();
        assert_eq!((health.state, health.set_aside, health.failures), (Grade::Warning, 1, 0), "{server}");
        assert!(
            health.warnings[0].observed.contains("lost each time the mail with UID 2 was requested"),
            "{:?}",
            health.warnings
        );
        assert_eq!(played.fetch(), whole([4, 2]), "{server}");
        assert_eq!(played.mailbox.health().set_aside, 0);
        played.check();
    }
}

#[test]
fn a_server_that_is_unavailable_at_every_mail_is_waited_for_and_no_mail_set_aside() {
    let away = "S: * NO Server Unavailable. 15\n";
    let first = [&login(EXCHANGE), &search(&[1]), &asked("1"), away].concat();
    let again = [&login(EXCHANGE), &asked_for_sizes("1"), &size(1), "S: A OK done\n", &asked("1")].concat();
    let last = again.clone() + &mail(1) + "S: A OK done\n";
    let played = play("away for a while", &[first, again.clone() + away, again + away, last]);
    assert_eq!(played.fetch(), whole([1]));
    played.check();
}

#[test]
fn no_more_than_eight_large_mails_wait_in_files_whatever_sizes_the_server_tells() {
    let large = |uid: u32| mail(uid).replace("{8}", "{5000}").replace(&text(uid), &"x".repeat(5_000));
    let ok = "S: A OK done\n";
    let script = [
        login(EXCHANGE),
        search(&(1..=11).collect::<Vec<_>>()),
        asked("1:8") + &(1..=8).map(large).collect::<String>() + ok,
        asked_for_sizes("9:11") + &(9..=11).map(size).collect::<String>() + ok,
        asked("9:11") + &large(9) + &large(10) + &mail(11) + ok,
        // When the others were taken, one after the other.
        asked("9") + &large(9) + ok,
        asked("10") + &large(10) + ok,
    ];
    let played = play_with("large", &[script.concat()], |config| config.fetch.buffer = 8 << 10);
    let fetch = played.mailbox.fetch().unwrap();
    assert!(comes(|| played.mailbox.shared().lock().messages.len() == 9));
    let next = || played.mailbox.next(fetch).unwrap().map(|message| (message.id.uid, message.body.len()));
    let taken: Vec<_> = std::iter::from_fn(next).collect();
    let of = |uid| (uid, if uid == 11 { 8 } else { 5_000 });
    assert_eq!(taken, (1..=8).chain([11, 9, 10]).map(of).collect::<Vec<_>>());
    played.check();
}

#[test]
fn what_is_settled_here_during_the_next_fetch_is_not_asked_for_and_has_not_vanished() {
    let found: Vec<u32> = (1..=9).collect();
    let first = [search(&found), asked("1:8"), (1..=8).map(mail).collect(), "S: A OK done\n".into()].concat();
    let sizes = asked_for_sizes("9") + &size(9) + "S: A OK done\n";
    let ninth = asked("9") + &mail(9) + "S: A OK done\n";
    let moved = "C: A UID MOVE 9 \"debug\"\nS: A OK done\n";
    let script = [&login(EXCHANGE), &first, &sizes, &ninth, LOOK, &first, &sizes, moved].concat();
    // The ninth does not fit beside eight others.
    let played = play_with("settled meanwhile", &[script], |config| config.fetch.buffer = 3_000);
    assert_eq!(played.fetch(), whole(1..=9));
    let fetch = played.mailbox.fetch().unwrap();
    let eight_are_there = || played.mailbox.shared().lock().messages.len() == 8;
    assert!(comes(eight_are_there));
    assert!(played.settle(9, Outcome::Handled));
    played.mailbox.flush().unwrap();
    for uid in 1..=8 {
        assert_eq!(played.mailbox.next(fetch).unwrap().map(|message| message.id.uid), Some(uid));
    }
    assert!(played.mailbox.next(fetch).unwrap().is_none());
    played.check();
}

#[test]
fn after_a_cut_with_two_commands_in_flight_there_is_one_at_a_time_until_the_next_fetch() {
    let ok = "S: A OK done\n";
    let two = |set: &str, size: &str| {
        asked(set).replace("A UID", "A1 UID") + &asked_for_sizes(size).replace("A UID", "A2 UID")
    };
    let first = [login(EXCHANGE), search(&(1..=9).collect::<Vec<_>>()), two("1:8", "9")];
    let second = [
        login(EXCHANGE),
        asked_for_sizes("2:9") + &(2..=9).map(size).collect::<String>() + ok,
        asked("2:9") + &(2..=9).map(mail).collect::<String>() + ok,
        asked("1") + &mail(1) + ok,
        LOOK.to_owned() + &search(&(10..=18).collect::<Vec<_>>()),
        two("10:17", "18") + &(10..=17).map(mail).collect::<String>() + "S: A1 OK done\n",
        size(18) + "S: A2 OK done\n",
        asked("18") + &mail(18) + ok,
    ];
    let played =
        play_with("cut in two", &[first.concat(), second.concat()], |config| config.fetch.pipeline = 2);
    assert_eq!(played.fetch(), whole((2..=9).chain([1])));
    assert_eq!(played.fetch(), whole(10..=18));
    played.check();
}

#[test]
fn an_outage_within_a_fetch_shows_in_the_health_and_in_the_status() {
    let work = tempfile::tempdir().unwrap();
    let played = in_an_outage("outage.invalid", |config| {
        config.work_directory = Some(work.path().to_owned());
        config.fetch.patience = Duration::from_secs(60);
    });
    assert_eq!(played.mailbox.health().state, Grade::Well, "it is usually over soon");
    assert!(comes(|| played.mailbox.health().state == Grade::Warning));
    let health = played.mailbox.health();
    assert_eq!((health.state, health.warnings[0].step), (Grade::Warning, Step::Resolve));
    let status = place(&played.mailbox.shared().config).unwrap().join(STATUS);
    assert!(comes(|| std::fs::read_to_string(&status).is_ok_and(|text| text.contains("\"warning\""))));
}

#[test]
fn a_fetch_that_is_given_up_in_an_outage_is_no_success() {
    let played = in_an_outage("given-up.invalid", |config| config.fetch.patience = Duration::from_secs(2));
    let before = played.mailbox.health();
    assert_eq!(played.mailbox.fetch().unwrap_err().kind, Kind::Network);
    let after = played.mailbox.health();
    assert_eq!((after.last_success, after.failures), (before.last_success, before.failures + 1));
}

/// A mailbox of whose mails one came, and then there was no server.
fn in_an_outage(server: &str, change: impl FnOnce(&mut MailboxConfig)) -> Played {
    let first = [login(EXCHANGE), search(&[1, 2]), asked("1:2"), mail(1)].concat();
    let played = play_with(server, &[first], change);
    let fetch = played.mailbox.fetch().unwrap();
    assert!(played.mailbox.next(fetch).unwrap().is_some());
    let failed =
        |problem: &Problem| matches!(problem, Problem::Failed(failure) if failure.step == Step::Resolve);
    let in_trouble =
        || played.mailbox.shared().lock().engine.facts().trouble.is_some_and(|(_, problem)| failed(problem));
    assert!(comes(in_trouble));
    played
}

#[test]
fn a_notice_for_the_administrator_is_shown_in_health_until_a_new_connection_comes_without_it() {
    let notice = "S: * NO [ALERT] Mailbox is at 99% of its quota\n";
    let first = login(EXCHANGE) + notice + &search(&[]) + LOOK;
    let played = play("notice", &[first, login(EXCHANGE) + &search(&[])]);
    played.mailbox.fetch().unwrap();
    let health = played.mailbox.health();
    assert_eq!(health.state, Grade::Warning);
    let [warning] = &health.warnings[..] else { panic!("{health:?}") };
    assert_eq!(warning.id.as_deref(), Some("server-alert"));
    assert!(warning.observed.contains("Mailbox is at 99% of its quota"), "{warning}");
    played.mailbox.fetch().unwrap();
    assert_eq!(played.mailbox.health().state, Grade::Well);
}

/// Whether it is so within some seconds.
pub(super) fn comes(so: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !so() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    so()
}

/// A session in which eight of nine mails come, and then `answer`.
fn eight_of_nine(answer: &str) -> String {
    let found: Vec<u32> = (1..=9).collect();
    let first: String = (1..=8).map(mail).collect();
    [
        &login(EXCHANGE),
        &search(&found),
        &asked("1:8"),
        &first,
        "S: A OK done\n",
        &asked_for_sizes("9"),
        answer,
    ]
    .concat()
}
