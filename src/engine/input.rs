//! What the engine is told.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::record::{Action, FileEvent, Identity};
use crate::failure::Failure;
use crate::imap::folders::Folders;
use crate::imap::session::Capabilities;
use crate::imap::uids::{Uid, UidSet, UidValidity};

/// Names one call that waits for its [`Reply`](super::effect::Reply).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Names one fetch. Numbers grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// Names one command that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Call(CallId, Call),
    /// The caller does not wait any more.
    Abandon(CallId),
    /// The credential in use was replaced by another one.
    Renewed,
    /// Ends all calls and, within [`Limits::close`](super::Limits::close), the connection.
    Close,
    /// The mailbox is selected on a new connection.
    Connected(Connected),
    /// No connection could be made, or it was lost.
    Lost(Failure),
    Session(Event),
    Files(FileEvent),
    /// The time that [`Engine::next_timer`](super::Engine::next_timer) named has come.
    Timer,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Looks for messages.
    Fetch,
    /// Wants the next message of a fetch.
    Next(FetchId),
    /// Decides about a message. `None` leaves it as it is.
    Settle { uid_validity: UidValidity, uid: Uid, action: Option<Action> },
    /// Waits until all that was decided before is carried out.
    Flush,
    /// Counts the decisions that are not carried out, those that an earlier process left included.
    Pending,
}

#[derive(Debug, Clone)]
pub struct Connected {
    pub uid_validity: UidValidity,
    /// The messages in the mailbox.
    pub exists: u32,
    pub capabilities: Capabilities,
    pub folders: Folders,
    /// The inbox, as the server writes it.
    pub inbox: String,
}

impl PartialEq for Connected {
    fn eq(&self, other: &Self) -> bool {
        self.uid_validity == other.uid_validity && self.exists == other.exists && self.inbox == other.inbox
    }
}

/// One event of the session.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The number of messages in the selected folder.
    Exists(u32),
    /// This many messages left the selected folder: EXPUNGE or VANISHED.
    Expunged(u32),
    /// A SEARCH or ESEARCH response has begun.
    SearchLine,
    /// UIDs of a SEARCH or ESEARCH response.
    Found(RangeInclusive<Uid>),
    /// A FETCH response without a message.
    Attributes(Attributes),
    /// Octets of an awaited message came.
    Progress,
    /// A whole message came. The driver keeps it if [`Effect::Keep`](super::effect::Effect::Keep) follows.
    Arrived(Arrival),
    /// These messages are not in the selected folder any more: COPYUID of a MOVE, or VANISHED.
    Vanished(UidSet),
    /// COPY made copies of these messages: COPYUID.
    Copied(UidSet),
    /// The tagged answer to a command.
    Done(CommandId, Answer),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attributes {
    pub uid: Uid,
    /// `RFC822.SIZE`, an estimate on Exchange.
    pub size: Option<u64>,
    /// INTERNALDATE and the hash of the header fields, if they were sent.
    pub identity: Option<Identity>,
    /// `\Seen` and `\Deleted`, if FLAGS was sent.
    pub flags: Option<Flags>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    pub seen: bool,
    pub deleted: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    pub uid: Uid,
    pub identity: Identity,
    pub stored: Stored,
}

/// Where the driver has put a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// Octets of memory, with all that belongs to the message.
    Memory(usize),
    File,
    /// The octets were dropped as [`Placement::PassOver`] says.
    PassedOver(u64),
    Failed(String),
}

/// Where a message is to be put whose octets are about to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    Memory,
    /// A temporary file.
    File,
    /// Nowhere: it is asked for again later.
    PassOver,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    /// The line as it came, without its tag.
    pub line: String,
    /// UIDNEXT and UIDVALIDITY of a STATUS, SELECT or EXAMINE.
    pub folder: FolderNumbers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    /// NO, for this command only.
    No,
    /// NO with TRYCREATE: the target folder is missing.
    NoFolder,
    /// NO to CREATE: the folder is there already.
    Exists,
    /// BAD: the server does not understand, or cannot cope.
    Bad,
    /// The server may do it later. A throttling server names a time, or is given one.
    NotNow(Option<Duration>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FolderNumbers {
    pub uid_validity: Option<UidValidity>,
    pub uid_next: Option<Uid>,
    pub exists: Option<u32>,
}
