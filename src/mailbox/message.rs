//! What is handed out, and what can be decided about it.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use chrono::format::{Fixed, Item, Numeric, Pad, Parsed, parse};

use super::spool::TemporaryFile;
use crate::engine::input::{Placement, Stored};
pub(super) use crate::engine::window::OF_A_MESSAGE;

/// One mail, as the server sent it.
#[derive(Debug)]
pub struct Message {
    pub id: MessageId,
    pub flags: Vec<String>,
    /// As the server wrote it: `17-Jul-1996 02:44:25 -0700`; empty if it wrote none.
    pub internal_date: String,
    /// The same in milliseconds since 1970-01-01T00:00Z; `None` where the server wrote no date.
    pub received_millis: Option<i64>,
    pub body: Body,
}

/// A mail's name within its mailbox: it never means another mail (RFC 9051 §2.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    pub uid_validity: u32,
    pub uid: u32,
}

/// The octets of `BODY[]`.
#[derive(Debug)]
pub enum Body {
    Memory(Vec<u8>),
    /// A file that nobody else can open, at its beginning, and its length.
    File(TemporaryFile, u64),
}

/// What UM decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    HardBounce,
    SoftBounce,
    AutoRespond,
    Unsubscribe,
    Spam,
    /// Any other mail that UM has dealt with.
    Handled,
    Unrecognised,
    /// Stays as it is, and comes again.
    Keep,
    /// Stays, marked `\Seen`.
    KeepRead,
}

/// An internal date in milliseconds since 1970-01-01T00:00Z.
pub(super) fn received_millis(internal_date: &str) -> Option<i64> {
    let mut parsed = Parsed::new();
    parse(&mut parsed, internal_date.trim(), DATE_TIME.iter()).ok()?;
    Some(parsed.to_datetime().ok()?.timestamp_millis())
}

/// `date-time` (RFC 9051 §9), in which `date-day-fixed` has a blank before a single digit: `%e-%b-%Y %H:%M:%S %z`, which is
/// not to be taken to pieces for each mail.
const DATE_TIME: [Item<'static>; 13] = [
    Item::Numeric(Numeric::Day, Pad::Space),
    Item::Literal("-"),
    Item::Fixed(Fixed::ShortMonthName),
    Item::Literal("-"),
    Item::Numeric(Numeric::Year, Pad::Zero),
    Item::Space(" "),
    Item::Numeric(Numeric::Hour, Pad::Zero),
    Item::Literal(":"),
    Item::Numeric(Numeric::Minute, Pad::Zero),
    Item::Literal(":"),
    Item::Numeric(Numeric::Second, Pad::Zero),
    Item::Space(" "),
    Item::Fixed(Fixed::TimezoneOffset),
];

impl Body {
    pub fn len(&self) -> u64 {
        match self {
            Body::Memory(octets) => octets.len() as u64,
            Body::File(_, octets) => *octets,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All octets in memory.
    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Body::Memory(octets) => Ok(octets),
            Body::File(mut file, octets) => {
                let mut bytes = Vec::new();
                let room = bytes.try_reserve_exact(usize::try_from(octets).map_err(io::Error::other)?);
                room.map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
                file.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Body::File(..))
    }
}

impl Message {
    /// Octets of memory that it takes, with all that belongs to it.
    pub(super) fn memory(&self) -> usize {
        let body = match &self.body {
            Body::Memory(octets) => octets.len(),
            Body::File(..) => 0,
        };
        let flags: usize = self.flags.iter().map(|flag| flag.len() + OF_A_FLAG).sum();
        body + flags + self.internal_date.len() + OF_A_MESSAGE
    }
}

/// Octets of memory that a flag takes beside its own.
const OF_A_FLAG: usize = 40;

impl Outcome {
    /// By the ordinal of the constant in `um.imap.oauth2.Outcome`; `OutcomeTest` keeps the two in step.
    pub const ALL: [Outcome; 9] = [
        Outcome::HardBounce,
        Outcome::SoftBounce,
        Outcome::AutoRespond,
        Outcome::Unsubscribe,
        Outcome::Spam,
        Outcome::Handled,
        Outcome::Unrecognised,
        Outcome::Keep,
        Outcome::KeepRead,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::HardBounce => "hardbounce",
            Outcome::SoftBounce => "softbounce",
            Outcome::AutoRespond => "autorespond",
            Outcome::Unsubscribe => "unsubscribe",
            Outcome::Spam => "spam",
            Outcome::Handled => "handled",
            Outcome::Unrecognised => "unrecognised",
            Outcome::Keep => "keep",
            Outcome::KeepRead => "keep_read",
        }
    }
}

/// A message that is arriving.
#[derive(Debug)]
pub(super) struct Incoming {
    octets: Octets,
    /// The beginning of a message that goes to a file.
    header: Vec<u8>,
}

#[derive(Debug)]
enum Octets {
    Memory(Vec<u8>),
    File(TemporaryFile, u64),
    /// They are dropped: enough messages wait in files. The message is asked for again, being of this size.
    PassedOver(u64),
    /// They cannot be kept.
    Lost(String),
}

impl Incoming {
    /// Prepares for a message of `octets`. A file has no name and lies in `directory`, the system's temporary one by default.
    pub(super) fn new(octets: u64, placement: Placement, directory: Option<&Path>) -> Self {
        let octets = match (placement, usize::try_from(octets)) {
            (Placement::PassOver, _) => Octets::PassedOver(octets),
            (Placement::Memory, Ok(octets)) => {
                let mut held = Vec::new();
                // Without memory for it this message is lost, not the process.
                match held.try_reserve_exact(octets) {
                    Ok(()) => Octets::Memory(held),
                    Err(error) => Octets::Lost(format!("{octets} octets of memory: {error}")),
                }
            }
            _ => match TemporaryFile::new(directory) {
                Ok(file) => Octets::File(file, 0),
                Err(error) => Octets::Lost(error.to_string()),
            },
        };
        Self { octets, header: Vec::new() }
    }

    /// Takes a message that the server wrote as a quoted string.
    pub(super) fn quoted(octets: Vec<u8>) -> Self {
        Self { octets: Octets::Memory(octets), header: Vec::new() }
    }

    pub(super) fn add(&mut self, octets: &[u8]) {
        match &mut self.octets {
            Octets::Memory(held) => match held.try_reserve(octets.len()) {
                Ok(()) => held.extend_from_slice(octets),
                Err(error) => self.octets = Octets::Lost(error.to_string()),
            },
            Octets::File(file, length) => match file.write_all(octets) {
                Ok(()) => {
                    *length += octets.len() as u64;
                    let missing = HEADER.saturating_sub(self.header.len());
                    self.header.extend_from_slice(&octets[..missing.min(octets.len())]);
                }
                Err(error) => self.octets = Octets::Lost(error.to_string()),
            },
            Octets::PassedOver(_) | Octets::Lost(_) => {}
        }
    }

    /// Returns octets that begin with the header.
    pub(super) fn header(&self) -> &[u8] {
        match &self.octets {
            Octets::Memory(held) => held,
            _ => &self.header,
        }
    }

    /// Returns the whole message, or what became of it.
    pub(super) fn finish(self) -> Result<Body, Stored> {
        match self.octets {
            Octets::Memory(octets) => Ok(Body::Memory(octets)),
            Octets::File(mut file, octets) => match file.seek(SeekFrom::Start(0)) {
                Ok(_) => Ok(Body::File(file, octets)),
                Err(error) => Err(Stored::Failed(error.to_string())),
            },
            Octets::PassedOver(octets) => Err(Stored::PassedOver(octets)),
            Octets::Lost(why) => Err(Stored::Failed(why)),
        }
    }
}

/// Octets of a message in a file among which its header is looked for.
const HEADER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_internal_date_is_a_point_in_time() {
        assert_eq!(received_millis("17-Jul-1996 02:44:25 -0700"), Some(837_596_665_000));
        assert_eq!(received_millis(" 1-Jan-1970 00:00:01 +0000"), Some(1_000));
        assert_eq!(received_millis("01-Jan-1970 00:00:01 +0000"), Some(1_000));
        assert_eq!(received_millis("yesterday"), None);
    }

    #[test]
    fn a_message_in_a_file_is_whole_and_has_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let mut incoming = Incoming::new(6, Placement::File, Some(directory.path()));
        incoming.add(b"abc");
        incoming.add(b"def");
        let body = incoming.finish().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!((body.len(), body.is_file()), (6, true));
        assert_eq!(body.into_bytes().unwrap(), b"abcdef");
    }

    #[test]
    fn what_a_message_takes_is_more_than_its_octets() {
        let message = |flags: usize, body| Message {
            id: MessageId { uid_validity: 1, uid: 1 },
            flags: vec!["\\Seen".into(); flags],
            internal_date: "17-Jul-1996 02:44:25 -0700".into(),
            received_millis: None,
            body,
        };
        let alone = message(0, Body::Memory(Vec::new())).memory();
        assert!(alone > size_of::<Message>());
        assert_eq!(message(0, Body::Memory(vec![0; 10])).memory(), alone + 10);
        assert!(message(2, Body::Memory(Vec::new())).memory() >= alone + 2 * (5 + size_of::<String>()));
        let file = Body::File(TemporaryFile::new(None).unwrap(), 1_000_000);
        assert_eq!(message(0, file).memory(), alone, "what is in a file takes no memory");
    }

    #[test]
    fn without_memory_for_it_the_message_is_lost_and_the_process_lives() {
        let mut incoming = Incoming::new(i64::MAX as u64, Placement::Memory, None);
        incoming.add(b"abcdef");
        let Err(Stored::Failed(why)) = incoming.finish() else { panic!("no memory has this much room") };
        assert!(why.contains("octets of memory: memory allocation failed"), "{why}");
        let file = Body::File(TemporaryFile::new(None).unwrap(), i64::MAX as u64);
        assert_eq!(file.into_bytes().unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn without_a_place_for_the_file_the_message_is_set_aside_and_nothing_panics() {
        let mut incoming = Incoming::new(6, Placement::File, Some(Path::new("/nonexistent")));
        incoming.add(b"abcdef");
        assert!(incoming.finish().is_err());
    }
}
