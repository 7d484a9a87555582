//! Fetches as dialogues with a server.

use super::Outcome;
use super::played::*;

#[test]
fn mails_arrive_whole_and_once_whatever_comes_between() {
    let answer = format!(
        r#"{NOISE}
        S: * 3 FETCH (BODY[] {{8}}
        S> Date:003
        S:  INTERNALDATE "{date}" UID 3 FLAGS (\Recent))
        {NOISE}
        S: * 1 FETCH (FLAGS () X-NEW ((1) "(" NIL) UID 1 BODY[] {{8}}
        S> Date:001
        S:  INTERNALDATE NIL)
        S: * 1 FETCH (UID 1 BODY[] {{3}}
        S> and
        S: )
        S: * 8 FETCH (UID 8 BODY[] {{3}}
        S> not
        S: )
        S: * 2 FETCH (FLAGS () BODY[] {{3}}
        S> who
        S: )
        {mail}
        {NOISE}
        S: A OK done
        "#,
        mail = mail(2),
        date = date(3),
    );
    let nothing = "S: A OK FETCH completed.\n";
    let script = [
        &login(EXCHANGE),
        &search(&[1, 2, 3, 4]),
        &asked("1:4"),
        &answer,
        // The mail that did not come is asked for once more.
        &asked_for_sizes("4"),
        &size(4),
        nothing,
        &asked("4"),
        nothing,
        "C: A UID SEARCH UID 4\nS: * SEARCH 4 9\nS: A OK done\n",
    ];
    let played = play("noise", &[script.map(|part| format!("{part}\n")).concat()]);
    assert_eq!(played.fetch(), whole([3, 1, 2]));
    assert!(played.warnings().iter().any(|text| text.contains("UID 4")), "the server did not deliver it");
    // What was not handed out cannot be settled.
    assert!(played.mailbox.settle(id(4), Outcome::Handled).is_err());
    assert!(played.mailbox.settle(id(8), Outcome::Handled).is_err());
    assert!(played.mailbox.delete(id(77)).is_err());
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn a_mail_that_did_not_come_is_not_settled_because_a_later_one_did() {
    let nothing = "S: A OK FETCH completed.\n";
    let script = [
        &login(EXCHANGE),
        &search(&[1, 2]),
        &asked("1:2"),
        &mail(2),
        "S: A OK done\n",
        &asked_for_sizes("1"),
        &size(1),
        "S: A OK done\n",
        &asked("1"),
        nothing,
        // It is gone.
        "C: A UID SEARCH UID 1\nS: * SEARCH\nS: A OK done\n",
        "C: A UID MOVE 2 \"debug\"\n S: A OK done\n",
    ];
    let played = play("gap", &[script.concat()]);
    assert_eq!(played.fetch(), whole([2]));
    assert!(!matches!(played.mailbox.settle(id(1), Outcome::Handled), Ok(true)));
    assert!(played.settle(2, Outcome::Handled));
    played.mailbox.flush().unwrap();
    played.check();
}

#[test]
fn answers_of_two_commands_may_be_mixed() {
    let first: String = (2..=8).map(mail).collect();
    let script = [
        &login(EXCHANGE),
        &search(&(1..=10).collect::<Vec<_>>()),
        &asked("1:8").replace("A UID", "A1 UID"),
        &asked_for_sizes("9:10").replace("A UID", "A2 UID"),
        &size(9),
        &mail(1),
        &size(10),
        "S: A2 OK done\n",
        &first,
        "S: A1 OK done\n",
        &asked("9:10"),
        &mail(10),
        &mail(9),
        "S: A OK done\n",
    ];
    let played = play_with("mixed", &[script.concat()], |config| config.fetch.pipeline = 2);
    assert_eq!(played.fetch(), whole((1..=8).chain([10, 9])));
    played.check();
}

#[test]
fn a_mail_that_comes_after_the_answer_is_handed_out_once() {
    let script = [
        &login(EXCHANGE),
        &search(&[1, 2]),
        &asked("1:2"),
        &mail(1),
        "S: A OK done\n",
        &mail(2),
        &asked_for_sizes("2"),
        &size(2),
        "S: A OK done\n",
        &asked("2"),
        &mail(2),
        &mail(2),
        "S: A OK done\n",
    ];
    let played = play("late", &[script.concat()]);
    assert_eq!(played.fetch(), whole([1, 2]));
    played.check();
}

#[test]
fn after_a_connection_that_is_cut_within_a_mail_that_mail_comes_last() {
    let cut = "S: * 2 FETCH (UID 2 FLAGS () BODY[] {8}\n S> 0000\n";
    let first = [&login(EXCHANGE), &search(&[1, 2, 3]), &asked("1:3"), &mail(1), cut].concat();
    let second = [&third_and_then_second(), &mail(2), "S: A OK done\n"].concat();
    let played = play("cut-mail", &[first, second]);
    assert_eq!(played.fetch(), whole([1, 3, 2]));
    played.check();
}

#[test]
fn a_bye_in_a_fetch_is_the_beginning_of_the_next_connection() {
    let first = [
        &login(EXCHANGE),
        &search(&[1, 2]),
        &asked("1:2"),
        &mail(1),
        "S: * BYE Session invalidated - AccessTokenExpired\n",
    ]
    .concat();
    let second = [&login(EXCHANGE), &asked("2"), &mail(2), "S: A OK done\n"].concat();
    let played = play("bye", &[first, second]);
    assert_eq!(played.fetch(), whole([1, 2]));
    played.check();
}
