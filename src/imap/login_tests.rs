//! Logins as servers were seen to conduct them, and as none should.

use super::commands::Command;
use super::limits;
use super::login::{Inbox, Login, Opening, Secret, StartTls};
use super::scripted::{Scripted, connection};
use super::session::Session;
use super::tags::Tags;
use crate::failure::{Failure, Kind, Result, Step};
use crate::log::Log;
use crate::net::testing::{Authority, soon};

pub(super) fn open(
    peer: Scripted,
    start_tls: Option<StartTls>,
    login: &Login,
    inbox: &Inbox,
    trace: Option<Log>,
) -> Result<Session<()>> {
    let opening = Opening { start_tls, deadline: soon(), tags: Tags::with_prefix("U"), trace };
    super::login::open(Box::new(peer), opening, login, inbox)
}

/// Plays a login with token `t0` for `a@b.de`.
pub(super) fn play(script: &str) -> Result<Session<()>> {
    let whole = play_in_pieces(script, usize::MAX);
    let octets = play_in_pieces(script, 1);
    assert_eq!(whole.is_ok(), octets.is_ok(), "the same, however the octets come");
    whole
}

pub(super) fn play_in_pieces(script: &str, piece: usize) -> Result<Session<()>> {
    let (mut peer, outcome) = connection(script);
    peer.piece = piece;
    let login = Login { user: "a@b.de", secret: Secret::AccessToken("t0") };
    let inbox = Inbox { name: "INBOX", read_only: false };
    let result = open(peer, None, &login, &inbox, None);
    outcome.check();
    result
}

pub(super) fn play_start_tls(script: &str, piece: usize) -> Result<Session<()>> {
    let (mut peer, outcome) = connection(script);
    (peer.piece, peer.encrypted) = (piece, false);
    let login = Login { user: "a@b.de", secret: Secret::AccessToken("t0") };
    let inbox = Inbox { name: "INBOX", read_only: false };
    let trust = Authority::new().trust();
    let start_tls = Some(StartTls { host: "mail.b.de", trust: &trust });
    let result = open(peer, start_tls, &login, &inbox, None);
    outcome.check();
    result
}

#[track_caller]
pub(super) fn refusal(script: &str) -> Failure {
    match play(script) {
        Ok(_) => panic!("logged in"),
        Err(failure) => failure,
    }
}

#[track_caller]
pub(super) fn assert_refused(script: &str, step: Step, kind: Kind, observed: &str) {
    let failure = refusal(script);
    assert_eq!((failure.step, failure.kind), (step, kind), "{failure:?}");
    assert!(failure.observed.contains(observed), "{failure:?}");
    assert!(!format!("{failure:?} {failure}").contains("dXNlcj1"), "the token is in it");
}

#[test]
fn what_the_server_repeats_of_the_secret_is_masked() {
    let response = "dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==";
    let script = format!("{GREETED}S: B BAD what is AUTHENTICATE XOAUTH2 {response}\n");
    assert_refused(&script, Step::Login, Kind::Login, "BAD what is AUTHENTICATE XOAUTH2 ***");

    let (peer, outcome) = connection(&script);
    let (login, log) = (Login { user: "a@b.de", secret: Secret::AccessToken("t0") }, Log::default());
    let inbox = Inbox { name: "INBOX", read_only: false };
    let result = open(peer, None, &login, &inbox, Some(log.clone()));
    outcome.check();
    assert!(result.is_err());
    let traced: Vec<_> = log.take().into_iter().map(|record| record.text).collect();
    assert!(traced.iter().any(|line| line.ends_with("BAD what is AUTHENTICATE XOAUTH2 ***")), "{traced:?}");
    assert!(!traced.join("\n").contains("dXNlcj1"), "{traced:?}");
}

#[test]
fn what_the_server_repeats_of_the_secret_later_is_masked_too() {
    // `user=a@b.de`, ^A, `auth=Bearer a-Pl4nted-token`, ^A^A
    let token = "a-Pl4nted-token";
    let response = "dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgYS1QbDRudGVkLXRva2VuAQE=";
    let greeted = GREETED.replace("dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==", response);
    for said in [
        "S: F NO you are TOKEN",
        "S: F BAD you said RESPONSE",
        "S: * BYE TOKEN has ended",
        "S: * BAD TOKEN",
        "S: TOKEN OK done",
        "S: * SEARCH TOKEN",
        "S: * TOKEN FETCH (TOKEN",
    ] {
        let said = said.replace("TOKEN", token).replace("RESPONSE", response);
        let script =
            [&greeted, LOGGED_IN, LISTED, SELECTED, "C: F UID SEARCH UNDELETED\n", &said, "\n"].concat();
        let (peer, outcome) = connection(&script);
        let (login, log) = (Login { user: "a@b.de", secret: Secret::AccessToken(token) }, Log::default());
        let inbox = Inbox { name: "INBOX", read_only: false };
        let mut session = open(peer, None, &login, &inbox, Some(log.clone())).unwrap();
        let told = match session.search(&Command::Search { unseen: false }, ()) {
            Ok((condition, _)) => Session::<()>::refused(Step::Search, &condition),
            Err(failure) => failure,
        };
        let traced = log.take().into_iter().map(|record| record.text).collect::<Vec<_>>().join("\n");
        for text in [format!("{told:?} {told}"), traced] {
            assert!(!text.contains("Pl4nted") && !text.contains("dXNlcj1"), "{said}: {text}");
        }
        outcome.check();
    }
}

/// Up to the login, as Exchange Online does it.
pub(super) const GREETED: &str = "
    S: * OK The Microsoft Exchange IMAP4 service is ready.
    C: A CAPABILITY
    S: * CAPABILITY IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+
    S: A OK CAPABILITY completed.
    C: B AUTHENTICATE XOAUTH2 dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==
";
pub(super) const LOGGED_IN: &str = "
    S: B OK AUTHENTICATE completed.
    C: C CAPABILITY
    S: * CAPABILITY IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+
    S: C OK CAPABILITY completed.
    C: I ID (\"name\" \"um-imap-oauth2\" \"version\" \"0.1.0\")
    S: * ID NIL
    S: I OK ID completed.
";
pub(super) const LISTED: &str = r#"
    C: D LIST "" *
    S: * LIST (\Marked \HasNoChildren) "/" INBOX
    S: D OK LIST completed.
"#;
pub(super) const SELECTED: &str = r#"
    C: E SELECT "INBOX"
    S: * 3 EXISTS
    S: * 0 RECENT
    S: * FLAGS (\Seen \Answered \Flagged \Deleted \Draft $MDNSent)
    S: * OK [PERMANENTFLAGS (\Seen \Answered \Flagged \Deleted \Draft $MDNSent)] Permanent flags
    S: * OK [UNSEEN 1] Is the first unseen message
    S: * OK [UIDVALIDITY 14] UIDVALIDITY value
    S: * OK [UIDNEXT 9] The next unique identifier value
    S: E OK [READ-WRITE] SELECT completed.
"#;

pub(super) fn with_list(list: &str, selected: &str) -> Result<Session<()>> {
    play(&[GREETED, LOGGED_IN, list, selected].concat())
}

#[test]
fn exchange_online_takes_the_response_in_the_first_line() {
    let session = play(&[GREETED, LOGGED_IN, LISTED, SELECTED].concat()).unwrap();
    assert_eq!((session.selected.name.as_str(), session.selected.uid_validity.get()), ("INBOX", 14));
    assert!(session.capabilities.r#move && session.capabilities.uidplus);
    assert_eq!(session.folders.separator, Some('/'));
    assert_eq!(session.folders.names, ["INBOX"]);
}

#[test]
fn without_sasl_ir_the_response_follows_the_empty_challenge() {
    for challenge in ["+", "+ "] {
        let script = format!(
            "S: * OK ready
             C: A CAPABILITY
             S: * CAPABILITY IMAP4rev1 AUTH=XOAUTH2
             S: A OK done
             C: B AUTHENTICATE XOAUTH2
             S: {challenge}
             C> dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==
             {LOGGED_IN} {LISTED} {SELECTED}"
        );
        play(&script).unwrap();
    }
}

#[test]
fn capabilities_count_in_any_case() {
    let session = play(&format!(
        "S: * OK ready
         C: A CAPABILITY
         S: * capability imap4REV1 Auth=xoauth2 Sasl-Ir\u{20}
         S: A OK done
         C: B AUTHENTICATE XOAUTH2 dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==
         S: B ok
         C: C CAPABILITY
         S: * Capability IMAP4rev1 Move uidplus
         S: C OK done
         {LISTED} {SELECTED}"
    ))
    .unwrap();
    assert!(session.capabilities.r#move && session.capabilities.uidplus);
}

#[test]
fn without_xoauth2_it_is_said_what_there_is_and_no_token_is_sent() {
    let script = "
        S: * OK ready
        C: A CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN STARTTLS
        S: A OK done";
    assert_refused(script, Step::Login, Kind::Login, "AUTH=XOAUTH2, only AUTH=PLAIN IMAP4rev1 STARTTLS");
}

#[test]
fn the_error_challenge_is_answered_with_nothing_and_its_json_is_kept() {
    // Google, and Dovecot: {"status":"401","schemes":"bearer"}
    let script = [
        GREETED,
        "S: + eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0=
         C>
         S: B NO [AUTHENTICATIONFAILED] Authentication failed.",
    ]
    .concat();
    assert_refused(&script, Step::Login, Kind::Login, "NO [AUTHENTICATIONFAILED] Authentication failed.");
    assert_refused(&script, Step::Login, Kind::Login, r#"{"status":"401","schemes":"bearer"}"#);
}

#[test]
fn the_error_challenge_of_two_steps_does_not_get_the_token_again() {
    let script = "
        S: * OK ready
        C: A CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=XOAUTH2
        S: A OK done
        C: B AUTHENTICATE XOAUTH2
        S: +\u{20}
        C> dXNlcj1hQGIuZGUBYXV0aD1CZWFyZXIgdDABAQ==
        S: + eyJzdGF0dXMiOiI0MDAifQ==
        C>
        S: B NO SASL authentication failed";
    assert_refused(script, Step::Login, Kind::Login, r#"NO SASL authentication failed {"status":"400"}"#);
}

#[test]
fn exchanges_bare_refusal_is_kept_word_for_word() {
    for refusal in [
        "NO AUTHENTICATE failed.",
        r#"NO AUTHENTICATE failed. Error="AuthFailed:LogonDenied-None-OAuthLog:BlockedByPolicy""#,
        "BAD Command Error. 12",
        "NO",
    ] {
        let script = format!("{GREETED} S: B {refusal}");
        assert_refused(&script, Step::Login, Kind::Login, refusal);
    }
}

#[test]
fn a_refusal_in_any_language_is_a_refusal() {
    // UTF-8, octet by octet.
    let script = format!("{GREETED} S: B NO Anmeldung ung\u{c3}\u{bc}ltig");
    assert_refused(&script, Step::Login, Kind::Login, "NO Anmeldung ungültig");
}

#[test]
fn authenticated_but_not_connected_is_said_at_the_step_where_it_comes() {
    let bad = "BAD User is authenticated but not connected.";
    let list = format!("{GREETED} {LOGGED_IN}\n C: D LIST \"\" *\n S: D {bad}");
    assert_refused(&list, Step::Folders, Kind::Refused, bad);
    let select = format!("{GREETED} {LOGGED_IN} {LISTED}\n C: E SELECT \"INBOX\"\n S: E {bad}");
    assert_refused(&select, Step::Select, Kind::Refused, bad);
    let capability = format!("{GREETED} S: B OK done\n C: C CAPABILITY\n S: C {bad}");
    assert_refused(&capability, Step::Login, Kind::Login, bad);
}

#[test]
fn a_bye_is_reported_with_its_words_wherever_it_comes() {
    let bye = "* BYE Session invalidated - AccessTokenExpired";
    let greeting = "S: * BYE Too many connections";
    assert_refused(greeting, Step::Greeting, Kind::Network, "Too many connections");
    let login = format!("{GREETED} S: {bye}");
    assert_refused(&login, Step::Login, Kind::Network, "Session invalidated - AccessTokenExpired");
    let list = format!("{GREETED} {LOGGED_IN}\n C: D LIST \"\" *\n S: {bye}");
    assert_refused(&list, Step::Folders, Kind::Network, "Session invalidated - AccessTokenExpired");
    let select = format!("{GREETED} {LOGGED_IN} {LISTED}\n C: E SELECT \"INBOX\"\n S: {bye}");
    assert_refused(&select, Step::Select, Kind::Network, "Session invalidated - AccessTokenExpired");
}

#[test]
fn the_line_before_the_bye_is_reported_too() {
    let script = format!(
        "{GREETED} S: * NO Request is throttled. Suggested Backoff Time: 89117 milliseconds
         S: * BYE Connection closed. 14"
    );
    assert_refused(&script, Step::Login, Kind::Throttled, "Suggested Backoff Time: 89117 milliseconds");
    assert_refused(&script, Step::Login, Kind::Throttled, "BYE Connection closed. 14");
}

#[test]
fn a_connection_that_ends_without_a_word_is_a_network_failure() {
    assert_refused("", Step::Greeting, Kind::Network, "closed the connection");
    assert_refused(GREETED, Step::Login, Kind::Network, "closed the connection");
}

#[test]
fn a_preauthenticated_session_is_not_taken() {
    // Whose it is, nobody knows.
    assert_refused("S: * PREAUTH welcome", Step::Greeting, Kind::Protocol, "PREAUTH welcome");
    assert_refused("S: HTTP/1.1 400 Bad Request", Step::Greeting, Kind::Protocol, "HTTP/1.1 400");
}

#[test]
fn what_nobody_asked_for_is_passed_over() {
    let noise = r#"
        S: * ID ("name" "Exchange" "version" "15.20")
        S: * X-FOO (((
        S: * X-BAR {5}
        S> )"((
        S:  (("
        S: * NO [ALERT] Mailbox is at 99% of its quota
        S: * BAD Command received in an invalid state.
        S: * OK Still here {7}
        S: * ok
        S: * 3 EXISTS
        S: * 7 EXPUNGE
        S: * 2 FETCH (FLAGS (\Seen) BODYSTRUCTURE ((((())))))
        S: * SEARCH 1 2 3
        S: * STATUS "x" (MESSAGES 3)
        S: * NAMESPACE (("" "/")) NIL NIL
        S: * VANISHED 1:4
    "#;
    let script: String = [GREETED, LOGGED_IN, LISTED, SELECTED].concat();
    let script: String = script
        .lines()
        .map(|line| {
            if line.trim_start().starts_with("C: ") {
                format!("{line}\n{noise}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    let session = play(&script).unwrap();
    assert_eq!(session.selected.uid_validity.get(), 14);
    assert_eq!(session.folders.names, ["INBOX"]);
}

#[test]
fn a_text_that_ends_like_a_literal_hides_nothing() {
    // Were the next 9 octets a literal, the tagged line would be in it.
    let script = format!("{GREETED} S: * OK wait {{9}}\n {LOGGED_IN} {LISTED} {SELECTED}");
    play(&script).unwrap();
    let deep = "(".repeat(5_000);
    let script = format!(
        "{GREETED} {LOGGED_IN} {LISTED}
         C: E SELECT \"INBOX\"
         S: * OK wait {{8000}}
         S: * 1 FETCH (BODYSTRUCTURE {deep}
         S: * OK [UIDVALIDITY 14] done {{8000}}
         S: * LIST ({deep}
         S: E OK [READ-WRITE] done"
    );
    assert_eq!(play(&script).unwrap().take_skipped().count, 2);
}

#[test]
fn folders_are_named_in_all_ways_that_the_grammar_has() {
    let session = with_list(
        r#"
        C: D LIST "" *
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * list () "/" {5}
        S> a b"c
        S:
        S: * LIST () NIL flat
        S: * LIST () "/" "quo\"te\\d"
        S: * LIST (\NoSelect \HasChildren) "/" parent
        S: * LIST (\HasNoChildren \Trash) "/" "Gel&APY-schte Elemente"
        S: * LIST () "/" "Gelöscht"
        S: * LIST () "/" ""
        S: D OK done
        "#,
        SELECTED,
    )
    .unwrap();
    assert_eq!(session.folders.separator, Some('/'));
    assert_eq!(
        session.folders.names,
        ["INBOX", "a b\"c", "flat", "quo\"te\\d", "Gel&APY-schte Elemente", ""]
    );
    assert!(session.folders.resolve("Gelöschte Elemente").exists);
    assert!(!session.folders.resolve("parent").exists);
}

#[test]
fn a_backslash_may_be_the_separator() {
    let list = r#"
        C: D LIST "" *
        S: * LIST () "\\" INBOX
        S: * LIST () "\\" "INBOX\\debug"
        S: D OK done
        "#;
    let session = with_list(list, SELECTED).unwrap();
    assert_eq!(session.folders.separator, Some('\\'));
    let folder = session.folders.resolve("INBOX.debug");
    assert_eq!((folder.name.as_str(), folder.exists), (r"INBOX\debug", true));
}

#[test]
fn a_server_without_levels_or_folders_is_no_failure() {
    let list = "C: D LIST \"\" *\n S: * LIST () NIL INBOX\n S: D OK done\n";
    assert_eq!(with_list(list, SELECTED).unwrap().folders.separator, None);
    assert!(with_list("C: D LIST \"\" *\n S: D OK done\n", SELECTED).unwrap().folders.names.is_empty());
}

#[test]
fn the_inbox_must_have_a_uidvalidity() {
    for line in [
        "* OK ready",
        "* OK [UIDVALIDITY 0] none",
        "* OK [UIDVALIDITY 4294967296] none",
        "* OK [UIDVALIDITY x]",
    ] {
        let select = format!("C: E SELECT \"INBOX\"\n S: {line}\n S: E OK [READ-WRITE] done");
        let script = format!("{GREETED} {LOGGED_IN} {LISTED} {select}");
        assert_refused(&script, Step::Select, Kind::Protocol, "UIDVALIDITY");
    }
}

#[test]
fn an_inbox_that_is_only_for_reading_is_refused() {
    let select = "C: E SELECT \"INBOX\"\n S: * OK [UIDVALIDITY 14] v\n S: E OK [READ-ONLY] done";
    let script = format!("{GREETED} {LOGGED_IN} {LISTED} {select}");
    assert_refused(&script, Step::Select, Kind::Refused, "[READ-ONLY]");
}

#[test]
fn a_complaint_in_the_answer_to_select_is_none_about_it() {
    let select = "
        C: E SELECT \"INBOX\"
        S: * NO [ALERT] Mailbox is at 99% of its quota
        S: * PREAUTH what
        S: * OK [UIDVALIDITY 14] Gr\u{c3}\u{bc}\u{c3}\u{9f}e
        S: E OK [READ-WRITE] done";
    assert_eq!(
        play(&format!("{GREETED} {LOGGED_IN} {LISTED} {select}")).unwrap().selected.uid_validity.get(),
        14
    );
}

#[test]
fn answers_that_belong_to_nothing_end_the_login() {
    for line in ["Z9 OK done", "OK done", "A OK done", "+ eyJ9", "garbage", "[COPYUID 1 2 3]", ""] {
        let script = format!("{GREETED} {LOGGED_IN}\n C: D LIST \"\" *\n S: {line}");
        let failure = refusal(&script);
        assert_eq!(failure.step, Step::Folders, "{line}: {failure:?}");
    }
}

#[test]
fn challenges_come_to_an_end() {
    let mut script = GREETED.to_owned();
    for _ in 0..8 {
        script += "S: + eyJ9\n C>\n";
    }
    assert_refused(&format!("{script} S: + eyJ9"), Step::Login, Kind::Protocol, "more than 8 challenges");
}

#[test]
fn a_folder_whose_name_is_too_long_is_passed_over() {
    let list = |octets: usize| {
        format!(
            "C: D LIST \"\" *\n S: * LIST () \"/\" INBOX\n S: * LIST () \"/\" {{{octets}}}\n S> {}\n S:\n S: D OK done\n",
            "x".repeat(octets)
        )
    };
    let limit = limits::LITERAL;
    assert_eq!(with_list(&list(limit), SELECTED).unwrap().folders.names[1].len(), limit);
    let mut session = with_list(&list(limit + 1), SELECTED).unwrap();
    assert_eq!((session.folders.names.len(), session.take_skipped().count), (1, 1));
}

#[test]
fn the_folders_of_a_mailbox_have_a_limit() {
    let name = "x".repeat(50_000);
    let lines: String =
        (0..=limits::FOLDERS / 50_000).map(|_| format!("S: * LIST () \"/\" {name}\n")).collect();
    let script = format!("{GREETED} {LOGGED_IN} C: D LIST \"\" *\n {lines}");
    let (peer, _) = connection(&script);
    let login = Login { user: "a@b.de", secret: Secret::AccessToken("t0") };
    let failure = open(peer, None, &login, &Inbox { name: "INBOX", read_only: false }, None).err().unwrap();
    assert_eq!((failure.step, failure.kind), (Step::Folders, Kind::Protocol));
    assert!(failure.observed.contains("lists folders of more than"), "{failure:?}");
}
