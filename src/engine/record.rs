//! What the journal holds, and the work that the mailbox directory is asked to do.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::imap::uids::{Uid, UidValidity};

/// What is to be done with a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Moves it to this folder, named as in the configuration.
    Move(String),
    Delete,
    /// Sets `\Seen`.
    MarkSeen,
}

/// Recognises a message after a reconnect, where its UID and UIDVALIDITY alone may name another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// INTERNALDATE in milliseconds since 1970; `None` if the server wrote none.
    pub received: Option<i64>,
    #[serde(default, skip_serializing_if = "Mark::is_unknown")]
    pub mark: Mark,
}

/// A hash of the header fields that tell messages apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The record is of an older version, which wrote none.
    #[default]
    Unknown,
    /// The message has neither Message-ID nor Received nor Date.
    Nothing,
    /// Of Message-ID and Date, or of the first Received and Date if there is no Message-ID.
    Fields(u64),
}

impl Mark {
    pub fn is_unknown(&self) -> bool {
        *self == Mark::Unknown
    }
}

/// The messages of a target folder that were there before a COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    pub uid_validity: UidValidity,
    /// The first UID that a copy can have (UIDNEXT).
    pub next: Uid,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The caller has decided about a message.
    Decided {
        uid_validity: UidValidity,
        uid: Uid,
        #[serde(flatten)]
        identity: Identity,
        action: Action,
    },
    /// COPY is about to be sent for these messages.
    Copying { uid_validity: UidValidity, uids: Vec<Uid>, target: Target },
    /// These messages are in their target, and have only to be deleted.
    Copied { uid_validity: UidValidity, uids: Vec<Uid> },
    /// Nothing is left to do for these messages.
    Done { uid_validity: UidValidity, uids: Vec<Uid> },
}

/// A decision that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pending {
    pub uid_validity: UidValidity,
    pub uid: Uid,
    pub identity: Identity,
    pub action: Action,
    pub copy: Copy,
}

impl Pending {
    /// Returns the records that say the same.
    pub fn records(&self) -> Vec<Record> {
        let Pending { uid_validity, uid, identity, ref action, copy } = *self;
        let decided = Record::Decided { uid_validity, uid, identity, action: action.clone() };
        let copied = match copy {
            Copy::NotSent => None,
            Copy::Sent(target) => Some(Record::Copying { uid_validity, uids: vec![uid], target }),
            Copy::Done => Some(Record::Copied { uid_validity, uids: vec![uid] }),
        };
        std::iter::once(decided).chain(copied).collect()
    }
}

/// How far a move by COPY has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Copy {
    #[default]
    NotSent,
    /// COPY was sent; whether it took effect is not known.
    Sent(Target),
    Done,
}

/// Numbers the records in the order in which they were given to the mailbox directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// Work for the mailbox directory. It is done in the order in which it was given, on a thread that may hang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileWork {
    /// Takes the lock, opens the journal and reads both it and the learnt batch size. With lock and journal held, it checks that both files are still
    /// the ones found under their names.
    Claim,
    /// Adds records. All before `seq` are written first.
    Append { seq: Seq, records: Vec<Record> },
    /// Brings everything up to `seq` to the disk.
    Sync { seq: Seq },
    /// Replaces the content of the journal by these records, and brings them to the disk.
    Rewrite { seq: Seq, records: Vec<Record> },
    /// Keeps a copy of these records, which are void, in a file beside the journal.
    KeepVoid { records: Vec<Record> },
    /// Keeps the number of messages that the server can change with one command.
    KeepBatchSize(u16),
    /// Closes the journal and lets go of the lock.
    Release,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum FileEvent {
    /// Lock and journal are held by this reader from now on.
    Claimed(Found),
    /// Lock and journal were held already, and still are the files under their names.
    StillClaimed,
    /// Another reader has the mailbox.
    Busy(Failure),
    /// Lock or journal cannot be had.
    Unavailable(Failure),
    /// Everything up to this number is in the file: it survives the end of the process.
    Written(Seq),
    /// Everything up to this number is on the disk: it survives a loss of power.
    Synced(Seq),
    /// Nothing after the last `Written` can be relied on. The journal takes a `Rewrite` next.
    Failed(Failure),
    /// The directory, the lock or the journal was removed or replaced. A `Claim` is needed next.
    Gone(Failure),
    /// The records are kept in this file.
    VoidKept(String),
    /// The records could not be kept.
    VoidNotKept(Failure),
}

/// What an earlier process left.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// In the order in which they were decided.
    pub pending: Vec<Pending>,
    /// Damaged records that were passed over.
    pub damaged: u64,
    /// What else was odd about the files, and what was done about it.
    pub oddities: Vec<Failure>,
    pub batch_size: Option<u16>,
}
