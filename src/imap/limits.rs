//! Every limit on what a server may make us hold or wait for, with the reason for its value.

use std::time::Duration;

/// Octets of one response without its literals. The longest in use is a CAPABILITY or a FETCH with many keywords, a few
/// hundred octets; SEARCH is read as a stream and not held to it.
pub const LINE: usize = 64 * 1024;

/// Octets that are kept of all literals of one response but a message: a folder's name, header lines. The longest header
/// in use has some kilobytes; the rest of a longer one is passed over, and a folder with such a name is skipped.
pub const LITERAL: usize = 64 * 1024;

/// Literals of one response. An ENVELOPE that was not asked for has one for each name in it.
pub const LITERALS: usize = 1_000;

/// Flags of one message, and octets of all of them together; what is beyond is not taken. UM looks at none, and a mail has a
/// handful.
pub const FLAGS: usize = 100;
pub const FLAG_OCTETS: usize = 4 * 1024;

/// Octets of one message. Exchange Online delivers up to 150 MB; a Java array holds at most 2 GiB.
pub const MESSAGE: u64 = 1024 * 1024 * 1024;

/// Octets that the temporary files of all mailboxes of the process may take: two of the largest messages. A message that does
/// not fit is set aside and comes again.
pub const TEMPORARY_FILES: u64 = 2 * MESSAGE;

/// Octets of all folders that a server lists, with what each takes beside its name: 20,000 folders with long names.
pub const FOLDERS: usize = 4 * 1024 * 1024;

/// Octets of one answer before SELECT: a thousand times what servers send.
pub const ANSWER: u64 = 1024 * 1024;

/// The same for LIST. As many folders as [`FOLDERS`] allows fill less.
pub const LISTING: u64 = 8 * 1024 * 1024;

/// Challenges in one login. XOAUTH2 has one, or one and an error; LOGIN in two steps has two.
pub const CHALLENGES: usize = 8;

/// Octets from the server until the next tagged answer, without messages. The longest SEARCH of [`UIDS`] fills 44 MB.
pub const DATA: u64 = 64 * 1024 * 1024;

/// The same limit while the flags of all messages are asked for: those of 1,000,000 messages fill 60 to 100 MB.
pub const FLAGS_DATA: u64 = 2 * DATA;

/// Messages in the answers to one FETCH, or to several on their way at once, beyond those that were asked for.
pub const UNASKED: u64 = 64;

/// UIDs in the answer to one SEARCH. A folder of Exchange Online holds at most 1,000,000 mails; those beyond the limit are
/// left for the next fetch.
pub const UIDS: u64 = 4_000_000;

/// UIDs of one COPYUID or VANISHED. Both name messages of one folder, so the limit is that of a folder of Exchange Online.
pub const SET_UIDS: u64 = 1_000_000;

/// Octets of a UID set in a command. Exchange Online refuses lines of tens of kilobytes with `BAD Command Error. 10`;
/// RFC 7162 §4 asks clients to stay below 8,192 octets a line.
pub const UID_SET: usize = 6_000;

/// UIDs in one MOVE, COPY, STORE or EXPUNGE: bulk changes break Exchange connections.
pub const CHANGE: usize = 200;

/// Lines kept for the explanation of a failure, and octets of each.
pub const LAST_LINES: usize = 8;
pub const LAST_LINE: usize = 500;

/// How long the server may take. All of them are absolute: what trickles in does not prolong them.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From name look-up to the selected inbox.
    pub opening: Duration,
    /// From the moment that a command is the next to be answered until its tagged answer. It begins anew after every
    /// [`PROGRESS`] octets of the messages that were asked for.
    pub command: Duration,
    /// The same for SEARCH.
    pub search: Duration,
    /// The same for NOOP.
    pub noop: Duration,
    /// How long a server may ask, again and again, to be left alone, before a call ends by it.
    pub throttled: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            // Exchange Online needs up to 10 s for a login on a bad day.
            opening: Duration::from_secs(60),
            // A MOVE of 200 mails can take Exchange Online half a minute.
            command: Duration::from_secs(120),
            // It may have to look at a million mails.
            search: Duration::from_secs(300),
            // It tells whether a session that was idle is still there: a firewall may have forgotten it.
            noop: Duration::from_secs(30),
            throttled: Duration::from_secs(600),
        }
    }
}

/// Octets of messages that must come within [`Times::command`]: 4.3 KiB a second, slower than any line that mail is read over.
pub const PROGRESS: u64 = 512 * 1024;
