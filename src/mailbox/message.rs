//! What is handed out, and what can be decided about it.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use chrono::format::{Fixed, Item, Numeric, Pad, Parsed, parse};

use super::spool::TemporaryFile;

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

/// Octets of memory that a message takes beside what is in it: itself, its place in a queue, and what the allocator adds.
pub(super) const OF_A_MESSAGE: usize = 300;

/// The same of a flag.
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
pub(super) enum Incoming {
    Memory(Vec<u8>),
    File(TemporaryFile, u64),
    /// It has to be asked for again, being of so many octets: enough others wait in files.
    PassedOver(u64),
    /// There is no room for it: why.
    Lost(String),
}

impl Incoming {
    /// Takes `octets`, in memory or, if it has not the room, in a file without a name in `directory` (the system's
    /// temporary one if there is none).
    pub(super) fn new(octets: u64, in_memory: bool, directory: Option<&Path>) -> Self {
        match usize::try_from(octets) {
            Ok(octets) if in_memory => {
                let mut held = Vec::new();
                // Without room in memory it is this message that is lost, not the process.
                match held.try_reserve_exact(octets) {
                    Ok(()) => Incoming::Memory(held),
                    Err(error) => Incoming::Lost(format!("{octets} octets of memory: {error}")),
                }
            }
            _ => match TemporaryFile::new(directory) {
                Ok(file) => Incoming::File(file, 0),
                Err(error) => Incoming::Lost(error.to_string()),
            },
        }
    }

    pub(super) fn add(&mut self, octets: &[u8]) {
        match self {
            Incoming::Memory(held) => match held.try_reserve(octets.len()) {
                Ok(()) => held.extend_from_slice(octets),
                Err(error) => *self = Incoming::Lost(error.to_string()),
            },
            Incoming::File(file, length) => match file.write_all(octets) {
                Ok(()) => *length += octets.len() as u64,
                Err(error) => *self = Incoming::Lost(error.to_string()),
            },
            Incoming::PassedOver(_) | Incoming::Lost(_) => {}
        }
    }

    /// The whole message, or why it could not be kept.
    pub(super) fn finish(self) -> Result<Body, String> {
        match self {
            Incoming::Memory(octets) => Ok(Body::Memory(octets)),
            Incoming::File(mut file, octets) => match file.seek(SeekFrom::Start(0)) {
                Ok(_) => Ok(Body::File(file, octets)),
                Err(error) => Err(error.to_string()),
            },
            Incoming::PassedOver(octets) => Err(format!("its {octets} octets were passed over")),
            Incoming::Lost(why) => Err(why),
        }
    }
}

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
        let mut incoming = Incoming::new(6, false, Some(directory.path()));
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
        let mut incoming = Incoming::new(i64::MAX as u64, true, None);
        incoming.add(b"abcdef");
        let why = incoming.finish().unwrap_err();
        assert!(why.contains("octets of memory: memory allocation failed"), "{why}");
        let file = Body::File(TemporaryFile::new(None).unwrap(), i64::MAX as u64);
        assert_eq!(file.into_bytes().unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn without_a_place_for_the_file_the_message_is_set_aside_and_nothing_panics() {
        let mut incoming = Incoming::new(6, false, Some(Path::new("/nonexistent")));
        incoming.add(b"abcdef");
        assert!(incoming.finish().is_err());
    }
}
