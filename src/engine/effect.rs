//! What the engine wants done, in the order in which it wants it.

use super::input::{CallId, CommandId, FetchId};
use super::problem::Problem;
use super::record::{FileWork, Seq};
use crate::failure::Failure;
use crate::imap::commands::Flag;
use crate::imap::uids::{Uid, UidSet, UidValidity};

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Opens a connection, logs in and selects the inbox: [`Input::Connected`](super::Input::Connected) or
    /// [`Input::Lost`](super::Input::Lost) follows.
    Connect,
    /// Drops the connection at once. Nothing follows.
    Disconnect,
    /// Says LOGOUT and drops the connection. Nothing follows.
    LogOut,
    /// Sends a command that changes no message.
    Ask(CommandId, Ask),
    /// Sends a command that changes messages. Only what is durable may be told to the server.
    Change(CommandId, Change, Durable),
    /// Keeps the message that has just arrived for [`Reply::Next`].
    Keep(Uid),
    /// Drops kept messages.
    Discard(Vec<Uid>),
    Reply(CallId, Reply),
    Files(FileWork),
    Report(Report),
    /// Brings `status.json` up to date.
    WriteStatus,
    /// The mailbox is closed; nothing more is to be done.
    Stop,
}

/// A command that changes no message.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    Noop,
    Search {
        unseen: bool,
    },
    /// `UID FETCH 1:* (UID FLAGS)`
    AllFlags,
    /// Which of these messages there are; only those without `\Deleted` if `undeleted`.
    Present {
        uids: UidSet,
        undeleted: bool,
    },
    Sizes(UidSet),
    Bodies(UidSet),
    /// INTERNALDATE, RFC822.SIZE and the header fields by which messages are recognised.
    Headers(UidSet),
    /// The same of all messages from this UID on.
    HeadersFrom(Uid),
    /// UIDNEXT and UIDVALIDITY of a folder that is not selected. Folders are named as the server writes them.
    Status(String),
    Examine(String),
    Select(String),
    Create(String),
}

/// A command that changes messages.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Move(UidSet, String),
    Copy(UidSet, String),
    Store(UidSet, Flag),
    Expunge(UidSet),
}

impl Change {
    pub fn uids(&self) -> &UidSet {
        match self {
            Change::Move(uids, _)
            | Change::Copy(uids, _)
            | Change::Store(uids, _)
            | Change::Expunge(uids) => uids,
        }
    }
}

/// Proves that the decisions behind a change are on the disk, or that there is no journal that could hold them. Only the
/// engine's journal makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable(pub(super) Option<Seq>);

impl Durable {
    /// Returns the number up to which the journal is on the disk; `None` without a journal.
    pub fn synced(self) -> Option<Seq> {
        self.0
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The server has said which messages there are.
    Fetch(Result<Begun, Problem>),
    /// The next message; `None` at the end.
    Next(Result<Option<Uid>, Problem>),
    /// False if the message was decided about before.
    Settle(Result<bool, Problem>),
    Flush(Result<(), Problem>),
    Pending(Result<u64, Problem>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    pub fetch: FetchId,
    /// Messages that the server named.
    pub found: u64,
}

/// Something for the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// An earlier process left decisions, which are carried out first.
    Inherited {
        messages: u64,
    },
    /// Records of the journal are damaged.
    Damaged {
        records: u64,
    },
    /// Something about the directory's files is odd.
    Oddity(Failure),
    /// There is no directory, so no lock and no journal.
    NoDirectory,
    /// The mailbox works without its journal; without its lock too if `unlocked`.
    JournalFailed {
        failure: Failure,
        unlocked: bool,
    },
    JournalWorks,
    /// The journal does not answer; a decision is not written down.
    JournalHangs,
    DecisionsVoid(Problem),
    /// This UID names another message than the one that was decided about.
    DecisionVoid(Uid),
    /// A decision waits: the server refused it, or it cannot be told whether the message is the same.
    Waiting(Problem),
    /// A message stays where it is, and the next fetch tries it again.
    SetAside(Problem),
    Reconnecting(Problem),
    /// A failure that no call returns.
    Failed(Problem),
    Throttled {
        problem: Problem,
        seconds: u64,
    },
    /// Messages went that this reader did not settle.
    Vanished {
        messages: u64,
    },
    /// The server has no UIDPLUS: messages are marked, and stay.
    OnlyMarked,
    /// No message could be read for this time.
    NotRead {
        minutes: u64,
        failures: u32,
        problem: Problem,
    },
    /// The server cannot change more messages than this with one command.
    BatchSize(u16),
    /// The mailbox was closed before these decisions were carried out. They are in the journal if `journal`.
    ClosedEarly {
        messages: u64,
        journal: bool,
    },
    Selected {
        uid_validity: UidValidity,
    },
}
