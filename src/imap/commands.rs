//! The commands that are sent (RFC 9051 §6, RFC 2971, RFC 4315, RFC 6851), but for those of the login.

use std::time::Duration;

use super::folders;
use super::limits::Times;
use super::uids::{Uid, UidSet};
use crate::failure::Step;

/// All work by UID once a mailbox is selected, so no answer to one can change the meaning of another one in flight (RFC 9051 §5.5).
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Capability,
    StartTls,
    /// Names this client and its version, nothing else.
    Id,
    Namespace,
    /// All folders.
    List,
    Noop,
    /// The mails that are not marked `\Deleted`, of these those without `\Seen` where `unseen`.
    Search {
        unseen: bool,
    },
    /// Which of these messages are there.
    Present(UidSet),
    /// Which of these messages are there without `\Deleted`.
    PresentUndeleted(UidSet),
    /// `RFC822.SIZE`
    Sizes(UidSet),
    /// What looks like a bounce: by whom it is from, and by its type (RFC 6522).
    SearchBounces,
    /// By a header field, with an octet string that it contains.
    SearchHeader(&'static str, String),
    /// How many messages are in a folder that is not selected, and how many of them are unread.
    Status(String),
    /// The UID that the next message in a folder that is not selected gets at least, the folder's UIDVALIDITY, and how many
    /// messages are in it.
    StatusNext(String),
    /// Selects another folder, to read in it only.
    Examine(String),
    /// Selects another folder.
    Select(String),
    /// `INTERNALDATE`
    Dates(UidSet),
    /// What tells a message from another one, without anything of its content: when it arrived, its size, and the header
    /// lines that name it.
    Headers(UidSet),
    /// [`Command::Headers`] of the messages from this UID on. The server also answers with the last message if its UID is
    /// lower, since `n:*` always names it; the session drops that.
    HeadersFrom(Uid),
    /// UID and flags of every message in the folder.
    AllFlags,
    /// The messages themselves, without setting `\Seen`.
    Fetch(UidSet),
    Move(UidSet, String),
    Copy(UidSet, String),
    /// Adds a flag.
    Store(UidSet, Flag),
    /// `UID EXPUNGE`: of these, the ones marked `\Deleted`, and no other.
    Expunge(UidSet),
    /// Folder names are the server's own (see [`folders`]), not quoted.
    Create(String),
    /// A folder with all that is in it.
    DeleteFolder(String),
    /// Announces a message of so many octets, which is read; [`super::session::Session::append`] sends it.
    Append(String, usize),
    Logout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    Seen,
    Deleted,
}

impl Command {
    /// The command as it is sent, without tag and line end.
    pub fn text(&self) -> String {
        match self {
            Command::Capability => "CAPABILITY".to_owned(),
            Command::StartTls => "STARTTLS".to_owned(),
            Command::Id => {
                let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
                format!("ID (\"name\" \"{name}\" \"version\" \"{version}\")")
            }
            Command::Namespace => "NAMESPACE".to_owned(),
            Command::List => "LIST \"\" *".to_owned(),
            Command::Noop => "NOOP".to_owned(),
            Command::Search { unseen: false } => "UID SEARCH UNDELETED".to_owned(),
            Command::Search { unseen: true } => "UID SEARCH UNSEEN UNDELETED".to_owned(),
            Command::Present(uids) => format!("UID SEARCH UID {uids}"),
            Command::PresentUndeleted(uids) => format!("UID SEARCH UID {uids} UNDELETED"),
            Command::Sizes(uids) => format!("UID FETCH {uids} (UID RFC822.SIZE)"),
            Command::SearchBounces => format!("UID SEARCH UNDELETED {BOUNCES}"),
            Command::SearchHeader(field, text) => {
                format!("UID SEARCH HEADER {field} {}", folders::quote(text))
            }
            Command::Status(folder) => format!("STATUS {} (MESSAGES UNSEEN)", folders::quote(folder)),
            Command::StatusNext(folder) => {
                format!("STATUS {} (UIDNEXT UIDVALIDITY MESSAGES)", folders::quote(folder))
            }
            Command::Examine(folder) => format!("EXAMINE {}", folders::quote(folder)),
            Command::Select(folder) => format!("SELECT {}", folders::quote(folder)),
            Command::Dates(uids) => format!("UID FETCH {uids} (UID INTERNALDATE)"),
            Command::Headers(uids) => format!("UID FETCH {uids} {HEADERS}"),
            Command::HeadersFrom(first) => format!("UID FETCH {first}:* {HEADERS}"),
            Command::AllFlags => "UID FETCH 1:* (UID FLAGS)".to_owned(),
            Command::Fetch(uids) => format!("UID FETCH {uids} (UID FLAGS INTERNALDATE BODY.PEEK[])"),
            Command::Move(uids, folder) => format!("UID MOVE {uids} {}", folders::quote(folder)),
            Command::Copy(uids, folder) => format!("UID COPY {uids} {}", folders::quote(folder)),
            Command::Store(uids, flag) => format!("UID STORE {uids} +FLAGS.SILENT ({})", flag.name()),
            Command::Expunge(uids) => format!("UID EXPUNGE {uids}"),
            Command::Create(folder) => format!("CREATE {}", folders::quote(folder)),
            Command::DeleteFolder(folder) => format!("DELETE {}", folders::quote(folder)),
            Command::Append(folder, octets) => {
                format!("APPEND {} (\\Seen) {{{octets}}}", folders::quote(folder))
            }
            Command::Logout => "LOGOUT".to_owned(),
        }
    }

    pub fn step(&self) -> Step {
        match self {
            Command::Capability => Step::Greeting,
            Command::StartTls => Step::Tls,
            Command::Id | Command::Namespace => Step::Login,
            Command::List => Step::Folders,
            Command::Noop
            | Command::Search { .. }
            | Command::SearchBounces
            | Command::SearchHeader(..)
            | Command::AllFlags => Step::Search,
            Command::Examine(_) | Command::Select(_) => Step::Select,
            Command::Sizes(_) | Command::Fetch(_) => Step::Fetch,
            Command::Create(_) | Command::DeleteFolder(_) | Command::Status(_) => Step::Folders,
            _ => Step::Settle,
        }
    }

    /// Returns how long its answer may take, without the messages in it.
    pub fn limit(&self, times: &Times) -> Duration {
        match self {
            Command::Noop => times.noop,
            _ if self.searches() || *self == Command::AllFlags => times.search,
            _ => times.command,
        }
    }

    /// Tells whether the UIDs of a SEARCH response can be its answer.
    pub(super) fn searches(&self) -> bool {
        matches!(
            self,
            Command::Search { .. }
                | Command::SearchBounces
                | Command::SearchHeader(..)
                | Command::Present(_)
                | Command::PresentUndeleted(_)
        )
    }
}

impl Flag {
    fn name(self) -> &'static str {
        match self {
            Flag::Seen => "\\Seen",
            Flag::Deleted => "\\Deleted",
        }
    }
}

const HEADERS: &str = "(UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE RECEIVED)])";

/// Exchange's own bounces come from `MicrosoftExchange329e…@domain` or `postmaster@domain`, those of others from
/// MAILER-DAEMON; all are a `multipart/report`.
const BOUNCES: &str = "OR OR OR FROM mailer-daemon FROM postmaster FROM microsoftexchange \
                       HEADER Content-Type multipart/report";
