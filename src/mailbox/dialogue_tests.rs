//! The engine against servers in memory: fetches and settlements as dialogues.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Access, Connector, Mailbox, MessageId, Network, Outcome, Parts};
use crate::config::keys::Names;
use crate::config::{Authentication, FetchLimits, Folders, Language, MailboxConfig, Security};
use crate::failure::{Kind, Result};
use crate::imap::Transport;
use crate::imap::limits::Times;
use crate::imap::scripted;
use crate::imap::uids::{Uid, UidSet};
use crate::log::Log;
use crate::net::testing::Authority;
use crate::net::{Cancel, Deadline, Trust};

/// Connects to the server's next script, or to the network if it has none.
struct Scripts;

impl Connector for Scripts {
    fn connect(
        &self,
        config: &MailboxConfig,
        trust: &Trust,
        deadline: Deadline,
        cancel: &Cancel,
    ) -> Result<Box<dyn Transport>> {
        scripted::dial(&config.server).map_or_else(|| Network.connect(config, trust, deadline, cancel), Ok)
    }
}

/// A mailbox whose server follows one script for each connection.
pub(super) struct Played {
    pub(super) mailbox: Mailbox,
    pub(super) log: Log,
    outcomes: Vec<scripted::Outcome>,
}

/// `server` must be another one in each test.
pub(super) fn play(server: &str, scripts: &[String]) -> Played {
    play_with(server, scripts, |_| {})
}

pub(super) fn play_with(server: &str, scripts: &[String], change: impl FnOnce(&mut MailboxConfig)) -> Played {
    play_trusting(server, scripts, Authority::new().trust(), change)
}

pub(super) fn play_trusting(
    server: &str,
    scripts: &[String],
    trust: Trust,
    change: impl FnOnce(&mut MailboxConfig),
) -> Played {
    play_within(Times::default(), server, scripts, trust, change)
}

pub(super) fn play_within(
    times: Times,
    server: &str,
    scripts: &[String],
    trust: Trust,
    change: impl FnOnce(&mut MailboxConfig),
) -> Played {
    let scripts: Vec<String> = scripts.iter().map(|script| with_answers(script)).collect();
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    let outcomes = scripted::serve(server, &scripts);
    let mut config = config(server);
    change(&mut config);
    let log = Log::default();
    let parts = Parts { times, connector: Arc::new(Scripts), ..Parts::of(&config, Access::ReadWrite) };
    let mailbox = Mailbox::open_with(parts, config, trust, Access::ReadWrite, log.clone()).unwrap();
    Played { mailbox, log, outcomes }
}

/// Returns a configuration with a password and no work directory.
pub(super) fn config(server: &str) -> MailboxConfig {
    MailboxConfig {
        listener: None,
        names: Names::default(),
        server: server.into(),
        port: 993,
        security: Security::Tls,
        user: "u".into(),
        authentication: Authentication::Password("p".to_owned().into()),
        proxy: None,
        ca_file: None,
        folders: Folders {
            inbox: "INBOX".into(),
            debug: "debug".into(),
            error: "error".into(),
            hardbounce: None,
            softbounce: None,
            autorespond: None,
            unsubscribe: None,
            spam: None,
        },
        debug: true,
        process_all: true,
        fetch: FetchLimits { buffer: 1 << 20, pipeline: 1, patience: Duration::from_secs(5) },
        journal: false,
        work_directory: None,
        tmp_directory: None::<PathBuf>,
        language: Language::English,
        trace: false,
    }
}

impl Played {
    /// The UIDs and octets of one fetch.
    #[track_caller]
    pub(super) fn fetch(&self) -> Vec<(u32, String)> {
        match self.try_fetch() {
            Ok(mails) => mails,
            Err(failure) => {
                self.check();
                panic!("{failure:?}")
            }
        }
    }

    pub(super) fn try_fetch(&self) -> Result<Vec<(u32, String)>> {
        let fetch = self.mailbox.fetch()?;
        let mut mails = Vec::new();
        while let Some(message) = self.mailbox.next(fetch)? {
            let octets = message.body.into_bytes().unwrap();
            mails.push((message.id.uid, String::from_utf8_lossy(&octets).into_owned()));
        }
        Ok(mails)
    }

    pub(super) fn settle(&self, uid: u32, outcome: Outcome) -> bool {
        self.mailbox.settle(id(uid), outcome).unwrap()
    }

    /// All scripts were played to their end.
    #[track_caller]
    pub(super) fn check(&self) {
        self.outcomes.iter().for_each(scripted::Outcome::check);
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let records = self.log.take().into_iter();
        records
            .filter(|record| record.level >= crate::log::Level::Warning)
            .map(|record| record.text)
            .collect()
    }
}

pub(super) fn id(uid: u32) -> MessageId {
    MessageId { uid_validity: 14, uid }
}

/// Up to the selected inbox, on a server with `capabilities`.
pub(super) fn login(capabilities: &str) -> String {
    login_under(14, capabilities)
}

pub(super) fn login_under(uid_validity: u32, capabilities: &str) -> String {
    format!(
        r#"
        S: * OK ready
        C: A CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
        S: A OK done
        C: A AUTHENTICATE PLAIN AHUAcA==
        S: A OK done
        C: A CAPABILITY
        S: * CAPABILITY IMAP4rev1 {capabilities}
        S: A OK done
        C: A LIST "" *
        S: * LIST () "/" INBOX
        S: * LIST () "/" debug
        S: * LIST () "/" error
        S: A OK done
        C: A SELECT "INBOX"
        S: * OK [UIDVALIDITY {uid_validity}] valid
        S: A OK [READ-WRITE] done
        "#
    )
}

/// Adds to a script everything that a usual server says of changes: which messages were moved, copied or expunged, and
/// UIDNEXT of the target before a COPY.
pub(super) fn with_answers(script: &str) -> String {
    let mut lines = Vec::new();
    let mut command = "";
    for line in script.lines().map(str::trim_start) {
        let set = |command: &str| command.split(' ').nth(4).unwrap_or_default().to_owned();
        if line.starts_with("C: A") {
            command = line;
        }
        if line.starts_with("C: A UID COPY") {
            lines.extend(status(line.split('"').nth(1).unwrap_or_default(), 5).lines().map(str::to_owned));
        }
        let done = matches!(line, "S: A OK done" | "S: A OK moved" | "S: A OK copied");
        if done && (command.starts_with("C: A UID MOVE") || command.starts_with("C: A UID COPY")) {
            lines.push(format!("S: A OK [COPYUID 1 {0} {0}] done", set(command)));
            command = "";
            continue;
        }
        if done && command.starts_with("C: A UID EXPUNGE") {
            lines.push(format!("S: * VANISHED {}", set(command)));
            command = "";
        }
        lines.push(line.to_owned());
    }
    lines.join("\n")
}

/// The server is asked for UIDNEXT of a folder.
pub(super) fn status(folder: &str, next: u32) -> String {
    format!(
        "C: A STATUS \"{folder}\" (UIDNEXT UIDVALIDITY MESSAGES)
         S: * STATUS \"{folder}\" (UIDNEXT {next} UIDVALIDITY 1)
         S: A OK done
        "
    )
}

/// What comes before the search on a session that was open already.
pub(super) const LOOK: &str = "C: A NOOP\nS: A OK done\n";

/// The dialogue of a search that finds `uids`, on a session that has just been opened.
pub(super) fn search(uids: &[u32]) -> String {
    let uids: String = uids.iter().map(|uid| format!(" {uid}")).collect();
    format!(
        "C: A UID SEARCH UNDELETED
         S: * SEARCH{uids}
         S: A OK done
         "
    )
}

/// A whole fetch of up to eight mails, `set` being how they are written.
pub(super) fn fetch(set: &str, uids: &[u32]) -> String {
    let mails: String = uids.iter().map(|&uid| mail(uid)).collect();
    format!("{} {} {mails} S: A OK done\n", search(uids), asked(set))
}

pub(super) fn asked(set: &str) -> String {
    format!("C: A UID FETCH {set} (UID FLAGS INTERNALDATE BODY.PEEK[])\n")
}

pub(super) fn asked_for_sizes(set: &str) -> String {
    format!("C: A UID FETCH {set} (UID RFC822.SIZE)\n")
}

pub(super) fn asked_for_dates(set: &str) -> String {
    format!(
        "C: A UID FETCH {set} (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE RECEIVED)])\n"
    )
}

/// A mail whose octets name it.
pub(super) fn mail(uid: u32) -> String {
    format!(
        "S: * {uid} FETCH (UID {uid} FLAGS () INTERNALDATE \"{}\" BODY[] {{8}}\n S> {}\n S: )\n",
        date(uid),
        text(uid)
    )
}

pub(super) fn size(uid: u32) -> String {
    format!("S: * {uid} FETCH (UID {uid} RFC822.SIZE 8)\n")
}

pub(super) fn dated(uid: u32, date: &str) -> String {
    format!(
        "S: * {uid} FETCH (INTERNALDATE \"{date}\" BODY[HEADER.FIELDS (MESSAGE-ID DATE RECEIVED)] \"{}\" UID {uid})\n",
        text(uid)
    )
}

/// After a refusal the server is asked what it has done nevertheless: nothing.
pub(super) fn still_there(uids: &[u32]) -> String {
    let set = UidSet::from_iter(uids.iter().copied().filter_map(Uid::new)).to_string();
    let dates: String = uids.iter().map(|&uid| dated(uid, &date(uid))).collect();
    format!("{} {dates} S: A OK done\n", asked_for_dates(&set))
}

/// The eight octets of a message: a header that names it.
pub(super) fn text(uid: u32) -> String {
    format!("Date:{uid:03}")
}

pub(super) fn date(uid: u32) -> String {
    format!(" 1-Feb-2024 10:00:{:02} +0100", uid % 60)
}

pub(super) fn whole(uids: impl IntoIterator<Item = u32>) -> Vec<(u32, String)> {
    uids.into_iter().map(|uid| (uid, text(uid))).collect()
}

pub(super) const EXCHANGE: &str = "UIDPLUS MOVE";

/// What a server may say at any time.
const NOISE: &str = r#"
    S: * 9 EXISTS
    S: * 0 RECENT
    S: * 1 EXPUNGE
    S: * 2 FETCH (FLAGS (\Seen))
    S: * 3 FETCH (FLAGS (\Seen) UID 3)
    S: * NO [ALERT] Mailbox is at 99% of its quota
    S: * BAD what?
    S: NO Server Unavailable. 15
    S: [COPYUID 55 31 6]
    S: * OK [COPYUID 55 31 6] moved {9}
    S: * X-FOO (((
    S: * X-BAR {4}
    S> ))"(
    S: * FLAGS (\Seen)
    S: + what
    S: * SEARCH 77
    S: * ESEARCH (TAG "x") UID ALL 5
    S: * 4 FETCH (UID 4 BODY[1] {3}
    S> abc
    S:  RFC822.SIZE 3)
    S: * 4 FETCH (UID 4 BODY[] NIL)
"#;

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

/// What follows on a connection that was lost at the second of three mails: that one is asked for when the third has come.
pub(super) fn third_and_then_second() -> String {
    let login = login(EXCHANGE);
    [
        &login,
        &asked_for_sizes("3"),
        &size(3),
        "S: A OK done\n",
        &asked("3"),
        &mail(3),
        "S: A OK done\n",
        &asked("2"),
    ]
    .concat()
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
        played.warnings().iter().filter(|text| text.contains("somebody else reads the mailbox")).count()
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
    assert!(warnings.iter().any(|text| text.contains("UID 3 is another mail")), "{warnings:?}");
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
