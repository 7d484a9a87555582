//! The commands that are sent once a mailbox is selected (RFC 9051 §6, RFC 4315, RFC 6851).

use std::time::Duration;

use roaring::RoaringBitmap;

use super::limits::Times;
use super::{folders, uid_set};
use crate::failure::Step;

/// All work by UID, so no answer to one can change what another one in flight means (RFC 9051 §5.5).
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Noop,
    /// The mails that are not marked `\Deleted`, of these those without `\Seen` where `unseen`.
    Search {
        unseen: bool,
    },
    /// Which of these mails there are.
    Present(RoaringBitmap),
    /// `RFC822.SIZE`
    Sizes(RoaringBitmap),
    /// What looks like a bounce: by whom it is from, and by its type (RFC 6522).
    SearchBounces,
    /// By a header field, with an octet string that it contains.
    SearchHeader(&'static str, String),
    /// How many mails are in a folder that is not selected, and how many of them are unread.
    Status(String),
    /// Selects another folder, to read in it only.
    Examine(String),
    /// Selects another folder.
    Select(String),
    /// `INTERNALDATE`
    Dates(RoaringBitmap),
    /// The mails themselves, without setting `\Seen`.
    Fetch(RoaringBitmap),
    Move(RoaringBitmap, String),
    Copy(RoaringBitmap, String),
    /// Adds a flag.
    Store(RoaringBitmap, Flag),
    /// `UID EXPUNGE`: of these, the ones marked `\Deleted`, and no other.
    Expunge(RoaringBitmap),
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
        let set = uid_set::format;
        match self {
            Command::Noop => "NOOP".to_owned(),
            Command::Search { unseen: false } => "UID SEARCH UNDELETED".to_owned(),
            Command::Search { unseen: true } => "UID SEARCH UNSEEN UNDELETED".to_owned(),
            Command::Present(uids) => format!("UID SEARCH UID {}", set(uids)),
            Command::Sizes(uids) => format!("UID FETCH {} (UID RFC822.SIZE)", set(uids)),
            Command::SearchBounces => format!("UID SEARCH UNDELETED {BOUNCES}"),
            Command::SearchHeader(field, text) => {
                format!("UID SEARCH HEADER {field} {}", folders::quote(text))
            }
            Command::Status(folder) => format!("STATUS {} (MESSAGES UNSEEN)", folders::quote(folder)),
            Command::Examine(folder) => format!("EXAMINE {}", folders::quote(folder)),
            Command::Select(folder) => format!("SELECT {}", folders::quote(folder)),
            Command::Dates(uids) => format!("UID FETCH {} (UID INTERNALDATE)", set(uids)),
            Command::Fetch(uids) => format!("UID FETCH {} (UID FLAGS INTERNALDATE BODY.PEEK[])", set(uids)),
            Command::Move(uids, folder) => format!("UID MOVE {} {}", set(uids), folders::quote(folder)),
            Command::Copy(uids, folder) => format!("UID COPY {} {}", set(uids), folders::quote(folder)),
            Command::Store(uids, flag) => format!("UID STORE {} +FLAGS.SILENT ({})", set(uids), flag.name()),
            Command::Expunge(uids) => format!("UID EXPUNGE {}", set(uids)),
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
            Command::Noop | Command::Search { .. } | Command::SearchBounces | Command::SearchHeader(..) => {
                Step::Search
            }
            Command::Examine(_) | Command::Select(_) => Step::Select,
            Command::Sizes(_) | Command::Fetch(_) => Step::Fetch,
            Command::Create(_) | Command::DeleteFolder(_) | Command::Status(_) => Step::Folders,
            _ => Step::Settle,
        }
    }

    /// How long its answer may take, without the mails in it.
    pub fn limit(&self, times: &Times) -> Duration {
        match self {
            Command::Noop => times.noop,
            Command::Search { .. } | Command::SearchBounces | Command::Present(_) => times.search,
            _ => times.command,
        }
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

/// Exchange's own bounces come from `MicrosoftExchange329e…@domain` or `postmaster@domain`, those of others from
/// MAILER-DAEMON; all are a `multipart/report`.
const BOUNCES: &str = "OR OR OR FROM mailer-daemon FROM postmaster FROM microsoftexchange \
                       HEADER Content-Type multipart/report";
