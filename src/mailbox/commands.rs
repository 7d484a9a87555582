//! The engine's commands and events ↔ those of the IMAP session.

use crate::engine::effect::{Ask, Change};
use crate::engine::input::{Answer, Attributes, Flags, FolderNumbers, Status};
use crate::engine::record::{Identity, Mark};
use crate::imap::backoff::{backoff, is_unavailable};
use crate::imap::commands::Command;
use crate::imap::responses::{self, Code, Condition};

use super::mark::mark;
use super::message::received_millis;

pub(super) fn ask(ask: Ask) -> Command {
    match ask {
        Ask::Noop => Command::Noop,
        Ask::Search { unseen } => Command::Search { unseen },
        Ask::AllFlags => Command::AllFlags,
        Ask::Present { uids, undeleted: false } => Command::Present(uids),
        Ask::Present { uids, undeleted: true } => Command::PresentUndeleted(uids),
        Ask::Sizes(uids) => Command::Sizes(uids),
        Ask::Bodies(uids) => Command::Fetch(uids),
        Ask::Headers(uids) => Command::Headers(uids),
        Ask::HeadersFrom(uid) => Command::HeadersFrom(uid),
        Ask::Status(folder) => Command::StatusNext(folder),
        Ask::Examine(folder) => Command::Examine(folder),
        Ask::Select(folder) => Command::Select(folder),
        Ask::Create(folder) => Command::Create(folder),
    }
}

pub(super) fn change(change: Change) -> Command {
    match change {
        Change::Move(uids, folder) => Command::Move(uids, folder),
        Change::Copy(uids, folder) => Command::Copy(uids, folder),
        Change::Store(uids, flag) => Command::Store(uids, flag),
        Change::Expunge(uids) => Command::Expunge(uids),
    }
}

/// Says what a tagged answer means.
pub(super) fn answer(condition: Condition, folder: FolderNumbers) -> Answer {
    let status = match condition.status {
        responses::Status::Ok => Status::Ok,
        refusal => match backoff(&condition.line) {
            Some(time) => Status::NotNow(Some(time)),
            None if is_unavailable(&condition) => Status::NotNow(None),
            None if condition.code == Some(Code::TryCreate) => Status::NoFolder,
            None if already_exists(&condition) => Status::Exists,
            None if refusal == responses::Status::Bad => Status::Bad,
            None => Status::No,
        },
    };
    Answer { status, line: condition.line, folder }
}

fn already_exists(condition: &Condition) -> bool {
    condition.code == Some(Code::AlreadyExists)
        || condition.line.to_ascii_lowercase().contains("already exists")
}

/// Says what a FETCH response without a message tells of one. `None` if it names no UID.
pub(super) fn attributes(fetch: responses::Fetch) -> Option<Attributes> {
    let received = fetch.internal_date.as_deref().and_then(received_millis);
    let has = |flags: &[String], name: &str| flags.iter().any(|flag| flag.eq_ignore_ascii_case(name));
    Some(Attributes {
        uid: fetch.uid?,
        size: fetch.size,
        identity: match fetch.header {
            Some(header) => Some(Identity { received, mark: mark(&header) }),
            None => received.map(|_| Identity { received, mark: Mark::Unknown }),
        },
        flags: fetch
            .flags
            .map(|flags| Flags { seen: has(&flags, "\\Seen"), deleted: has(&flags, "\\Deleted") }),
    })
}
