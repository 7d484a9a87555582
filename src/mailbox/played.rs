//! Mailboxes whose servers follow a script.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Access, Connector, Mailbox, MessageId, Network, Outcome, Parts};
use crate::config::keys::Names;
use crate::config::{Authentication, FetchLimits, Folders, Language, MailboxConfig, Security};
use crate::failure::Result;
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
    pub(super) outcomes: Vec<scripted::Outcome>,
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
/// UIDNEXT of the target before a COPY: 5, or that of the last line `UIDNEXT: n`.
pub(super) fn with_answers(script: &str) -> String {
    let mut lines = Vec::new();
    let mut next = 5;
    let mut command = "";
    for line in script.lines().map(str::trim_start) {
        let set = |command: &str| command.split(' ').nth(4).unwrap_or_default().to_owned();
        if line.starts_with("C: A") {
            command = line;
        }
        if let Some(given) = line.strip_prefix("UIDNEXT: ") {
            next = given.parse().unwrap();
            continue;
        }
        if line.starts_with("C: A UID COPY") {
            lines.extend(status(line.split('"').nth(1).unwrap_or_default(), next).lines().map(str::to_owned));
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
pub(super) const NOISE: &str = r#"
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
