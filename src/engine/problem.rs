//! Everything that can go wrong with a call or a message, as values. The driver puts them into sentences.

use crate::failure::{Failure, Kind, Retry, Step};
use crate::imap::uids::{Uid, UidValidity};

/// Says why a call failed or a message cannot be read or changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// The mailbox is closed, or is being closed.
    Closed,
    /// A newer fetch has ended this one.
    NewerFetch,
    /// The mailbox was opened for reading only.
    ReadOnly,
    /// No message of this mailbox was delivered yet.
    NothingDelivered,
    /// No message with this UID was delivered.
    NotDelivered(Uid),
    /// The message was delivered under another UIDVALIDITY than the mailbox has now.
    OtherUidValidity { delivered: UidValidity, now: UidValidity },
    /// UIDVALIDITY changed while a fetch was under way.
    ChangedDuringFetch { before: UidValidity, now: UidValidity },
    /// UIDVALIDITY changed: these decisions cannot be carried out any more. `kept_in` names the file that keeps them.
    DecisionsVoid { before: UidValidity, now: UidValidity, messages: u64, kept_in: Option<String> },
    /// The connection, the login, the session or a file failed.
    Failed(Failure),
    /// The server answered NO or BAD.
    Refused { step: Step, line: String },
    /// The server refused to create the folder that this property names, or `move()` asked for.
    FolderRefused { folder: String, line: String },
    /// The server refused to change these messages.
    ChangeRefused { folder: Option<String>, line: String },
    /// The property names the inbox as a target folder.
    TargetIsInbox { key: String, folder: String },
    /// The server asks to be left alone for a time.
    Throttled { step: Step, line: String },
    /// The server answered OK to a change that left the messages where they were.
    NoEffect { messages: u64, line: String },
    /// The server says that there are messages, and names none.
    NothingFound { exists: u32 },
    /// The server has the message and did not deliver it.
    NotDeliverable { uid: Uid, line: String },
    /// The server refuses this message while it delivers others.
    NotNow { uid: Uid, line: String },
    /// The connection was lost each time that the message was asked for.
    CutAt { uid: Uid, failure: Failure },
    /// Neither memory nor a temporary file could hold the message.
    NotStored { uid: Uid, why: String },
    /// The server does not tell what a message is recognised by, so a decision about it waits.
    Unrecognisable { uid: Uid, line: String },
    /// The message has nothing by which it could be recognised after a reconnect, so a decision about it waits.
    NothingToCompare { uid: Uid },
    /// Whether a copy of the message is in this folder cannot be found out, so the original stays.
    CopyInDoubt { uid: Uid, folder: String },
}

impl Problem {
    /// Says whether the same call can succeed later without a change to the configuration.
    pub fn retry(&self) -> Retry {
        match self {
            Problem::Failed(failure) => failure.retry,
            Problem::Throttled { .. }
            | Problem::ChangedDuringFetch { .. }
            | Problem::DecisionsVoid { .. }
            | Problem::OtherUidValidity { .. }
            | Problem::NotNow { .. }
            | Problem::NothingFound { .. } => Retry::Later,
            Problem::Refused { .. } | Problem::NotDeliverable { .. } => Kind::Refused.retry(),
            _ => Retry::Never,
        }
    }

    pub fn kind(&self) -> Option<Kind> {
        match self {
            Problem::Failed(failure) => Some(failure.kind),
            Problem::Throttled { .. } => Some(Kind::Throttled),
            Problem::Refused { .. } | Problem::FolderRefused { .. } => Some(Kind::Refused),
            _ => None,
        }
    }

    /// Says whether another credential than the one that was used could have helped.
    pub fn may_be_the_credentials(&self) -> bool {
        matches!(self, Problem::Failed(failure) if failure.may_be_the_credentials())
    }
}
