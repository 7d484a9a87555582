//! What must be true whatever a server sends: for the fuzz targets and for `tests/dialogues.rs`.

use std::io::{self, Read, Write};
use std::time::Duration;

use chrono::DateTime;
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder as _;
use imap_codec::imap_types::core::NString;
use imap_codec::imap_types::fetch::MessageDataItem;
use imap_codec::imap_types::flag::FlagFetch;
use imap_codec::imap_types::response::{
    Data, Response as TheirResponse, Status as TheirStatus, StatusKind, Tagged,
};
use um_imap_oauth2::failure::Result;
use um_imap_oauth2::imap::Transport;
use um_imap_oauth2::imap::commands::{Command, Flag};
use um_imap_oauth2::imap::decoder::{Decoder, Event};
use um_imap_oauth2::imap::limits;
use um_imap_oauth2::imap::login::{Inbox, Login, Opening, Secret, open};
use um_imap_oauth2::imap::responses::{Fetch, Malformed, Message, Response, Status};
use um_imap_oauth2::imap::session::{Received, Session};
use um_imap_oauth2::imap::tags::Tags;
use um_imap_oauth2::imap::uids::{Uid, UidSet};
use um_imap_oauth2::net::{Deadline, Trust};

/// The decoder takes any octets, makes the same of them in whatever pieces they come, holds no more than its limits, and
/// agrees with `imap-codec` about each response that both can read.
pub fn responses(octets: &[u8]) {
    let (whole, end) = decode(octets, usize::MAX);
    for size in [1, 7] {
        let (pieces, end_in_pieces) = decode(octets, size);
        assert_eq!(pieces, whole, "in pieces of {size}");
        assert_eq!(end_in_pieces.is_err(), end.is_err(), "in pieces of {size}: {end:?}, {end_in_pieces:?}");
    }
    for read in &whole {
        compare(&octets[read.place.0..read.place.1], Ok(read));
    }
    if let Err((at, malformed)) = &end {
        compare(&octets[*at..], Err(malformed));
    }
}

/// A login, the commands that the engine sends, and their answers: `octets` are all that the server says, from its greeting
/// on. It ends with an answer to every command or with an error, and waits for nothing that cannot come.
pub fn session(octets: &[u8]) {
    let peer = Peer { octets: octets.to_vec(), at: 0, ends: 0 };
    let said = log_in(peer).and_then(|mut session| converse(&mut session, octets.len() as u64)).err();
    if let Some(failure) = said {
        assert!(failure.observed.len() < 10_000, "{} octets of {failure}", failure.observed.len());
        assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
    }
}

/// Whether such a session comes to its end without a failure.
pub fn is_whole(octets: &[u8]) -> bool {
    let peer = Peer { octets: octets.to_vec(), at: 0, ends: 0 };
    log_in(peer).and_then(|mut session| converse(&mut session, octets.len() as u64)).is_ok()
}

/// What a session came to, without what nothing was asked for: names that begin with `odd`, and UIDs from 900 on.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    folders: Vec<String>,
    selected: String,
    uids: Vec<u32>,
    /// Each FETCH response, and the octets of its message.
    messages: Vec<(Fetch, Vec<u8>)>,
    answers: Vec<Status>,
    failure: Option<String>,
}

impl Outcome {
    /// Plays a session in which the server says `octets`, one command at a time.
    pub fn of(octets: &[u8]) -> Self {
        let mut outcome = Self::default();
        let peer = Peer { octets: octets.to_vec(), at: 0, ends: 0 };
        let failure = log_in(peer).and_then(|mut session| outcome.converse(&mut session)).err();
        outcome.failure = failure.map(|failure| failure.to_string());
        outcome
    }

    pub fn is_whole(&self) -> bool {
        self.failure.is_none() && !self.messages.is_empty() && !self.uids.is_empty()
    }

    fn converse(&mut self, session: &mut Session<()>) -> Result<()> {
        let ours = |name: &&String| !name.starts_with("odd");
        self.folders = session.folders.names.iter().filter(ours).cloned().collect();
        self.selected = format!("{:?}", session.selected);
        for command in commands() {
            session.send(&command, ())?;
            let mut message = Vec::new();
            loop {
                match session.receive()? {
                    Received::Message(piece) => message.extend_from_slice(piece),
                    Received::Uids(uids) => self.uids.extend(uids.start().get()..=uids.end().get()),
                    Received::Data(Response::Fetch(fetch)) if fetch.uid < Uid::new(900) => {
                        self.messages.push((fetch, std::mem::take(&mut message)));
                    }
                    Received::Data(Response::Fetch(_)) => message.clear(),
                    Received::Done((), condition) => {
                        self.answers.push(condition.status);
                        break;
                    }
                    Received::Data(_) | Received::MessageStart { .. } => {}
                }
            }
        }
        Ok(())
    }
}

/// The ends of all responses in `octets`.
pub fn responses_in(octets: &[u8]) -> Vec<usize> {
    decode(octets, usize::MAX).0.iter().map(|reading| reading.place.1).collect()
}

/// Rewrites every line of a session, but nothing in a message.
pub fn play(octets: &[u8], dialect: fn(&str) -> String) -> Vec<u8> {
    let mut rewritten = Vec::new();
    let mut decoder = Decoder::default();
    let (mut at, mut line) = (0, Vec::new());
    while at < octets.len() {
        let (used, event) = decoder.decode(&octets[at..]).expect("a session that can be read");
        let piece = &octets[at..at + used];
        at += used;
        match event {
            Some(Event::Message) => rewritten.extend_from_slice(piece),
            Some(Event::MessageStart(_) | Event::Response(_)) => {
                line.extend_from_slice(piece);
                let text = String::from_utf8(std::mem::take(&mut line)).expect("lines in US-ASCII");
                rewritten.extend(dialect(&text).into_bytes());
            }
            Some(Event::Uids(_)) | None => line.extend_from_slice(piece),
        }
    }
    rewritten
}

/// The last two digits of an internal date.
fn minutes_of_zone(date: &str) -> Option<u8> {
    let date = date.trim();
    date.get(date.len().checked_sub(2)?..)?.parse().ok()
}

fn log_in(peer: Peer) -> Result<Session<()>> {
    let login = Login { user: "a@b.de", secret: Secret::Password("secret") };
    let inbox = Inbox { name: "INBOX", read_only: false };
    let deadline = Deadline::after(Duration::from_secs(60));
    let opening = Opening { start_tls: None, deadline, tags: Tags::with_prefix("U"), trace: None };
    open(Box::new(peer), opening, &login, &inbox)
}

/// Sends the commands, two in flight, and takes everything in.
fn converse(session: &mut Session<()>, octets: u64) -> Result<()> {
    let (mut told, mut events) = (0, 0);
    let mut commands = commands().into_iter().peekable();
    while commands.peek().is_some() || session.in_flight() > 0 {
        if session.in_flight() < 2
            && let Some(command) = commands.next()
        {
            session.send(&command, ())?;
            continue;
        }
        match session.receive()? {
            Received::MessageStart { octets, .. } => assert!(octets <= limits::MESSAGE, "{octets}"),
            Received::Message(piece) => {
                assert!(!piece.is_empty());
                told += piece.len() as u64;
            }
            Received::Data(Response::Fetch(fetch)) => {
                let flags: usize = fetch.flags.iter().flatten().map(String::len).sum();
                let date = fetch.internal_date.as_ref().map_or(0, String::len);
                // An octet that is no UTF-8 becomes three.
                assert!(flags <= 3 * limits::LINE && date <= 3 * limits::LITERAL);
                told += 1;
            }
            Received::Uids(_) | Received::Data(_) | Received::Done(..) => told += 1,
        }
        events += 1;
        assert!(told <= octets && events <= octets, "more is told than was said");
    }
    Ok(())
}

/// As in record.py.
fn commands() -> Vec<Command> {
    let set = |uids: std::ops::RangeInclusive<u32>| uids.filter_map(Uid::new).collect::<UidSet>();
    vec![
        Command::Noop,
        Command::Search { unseen: true },
        Command::Fetch(set(1..=4)),
        Command::Sizes(set(5..=6)),
        Command::Fetch(set(5..=6)),
        Command::Move(set(1..=1), "debug".into()),
        Command::Create("debug".into()),
        Command::Move(set(1..=2), "debug".into()),
        Command::Store(set(3..=3), Flag::Deleted),
        Command::Expunge(set(3..=3)),
        Command::Dates(set(4..=5)),
        Command::Fetch(set(4..=6)),
    ]
}

/// One response, and where it was.
#[derive(Debug, PartialEq)]
struct Reading {
    place: (usize, usize),
    uids: Vec<u32>,
    /// The octets of its message, where it had one.
    message: Vec<u8>,
    response: Response,
}

/// Responses, and where the one begins that ended it.
fn decode(octets: &[u8], size: usize) -> (Vec<Reading>, std::result::Result<(), (usize, Malformed)>) {
    let mut decoder = Decoder::default();
    let mut all = Vec::new();
    let (mut start, mut at, mut announced) = (0, 0, 0);
    let (mut uids, mut message) = (Vec::new(), Vec::new());
    while at < octets.len() {
        let piece = &octets[at..octets.len().min(at.saturating_add(size))];
        let (used, event) = match decoder.decode(piece) {
            Ok(decoded) => decoded,
            Err(malformed) => return (all, Err((start, malformed))),
        };
        assert!(used > 0 || event.is_some(), "nothing is used and nothing told");
        assert!(used <= piece.len());
        match event {
            Some(Event::MessageStart(octets)) => announced = octets,
            Some(Event::Message) => message.extend_from_slice(&piece[..used]),
            Some(Event::Uids(range)) => uids.extend(range.start().get()..=range.end().get()),
            Some(Event::Response(response)) => {
                if matches!(&response, Response::Fetch(fetch) if fetch.message == Some(Message::Streamed)) {
                    assert_eq!(message.len() as u64, announced);
                }
                let (uids, message) = (std::mem::take(&mut uids), std::mem::take(&mut message));
                all.push(Reading { place: (start, at + used), uids, message, response });
                start = at + used;
            }
            None => {}
        }
        at += used;
    }
    (all, Ok(()))
}

/// What `imap-codec` makes of the same octets, if it can read them.
fn compare(octets: &[u8], ours: std::result::Result<&Reading, &Malformed>) {
    let Ok((rest, theirs)) = ResponseCodec::default().decode(octets) else { return };
    let read = match ours {
        Ok(read) => read,
        Err(malformed) => {
            // We refuse what it reads only for its size, or because it does not continue its message.
            let text = malformed.to_string();
            assert!(
                ["more than", "at most", "two messages"].iter().any(|reason| text.contains(reason)),
                "{text}: {theirs:?}"
            );
            return;
        }
    };
    if !rest.is_empty() {
        return;
    }
    let told = format!("{theirs:?}\n{read:?}");
    match theirs {
        TheirResponse::Data(Data::Search(uids, ..)) => {
            assert_eq!(read.response, Response::SearchEnd { readable: true }, "{told}");
            assert_eq!(read.uids, uids.iter().map(|uid| uid.get()).collect::<Vec<_>>(), "{told}");
        }
        TheirResponse::Data(Data::Exists(count)) => assert_eq!(read.response, Response::Exists(count)),
        TheirResponse::Data(Data::Expunge(number)) => {
            assert_eq!(read.response, Response::Expunge(number.get()));
        }
        TheirResponse::Data(Data::Fetch { items, .. }) => {
            let Response::Fetch(fetch) = &read.response else { panic!("{told}") };
            compare_fetch(items.as_ref(), fetch, &read.message, &told);
        }
        TheirResponse::Data(_) => {
            // Of these nothing is compared but that they end nothing.
            assert!(!matches!(read.response, Response::Alien(_) | Response::Bye(_)), "{told}");
        }
        TheirResponse::CommandContinuationRequest(_) => {
            assert!(matches!(read.response, Response::Continuation(_)), "{told}")
        }
        TheirResponse::Status(TheirStatus::Bye(_)) => {
            assert!(matches!(read.response, Response::Bye(_)), "{told}")
        }
        TheirResponse::Status(TheirStatus::Untagged(body)) => {
            let Response::Untagged(condition) = &read.response else { panic!("{told}") };
            assert_eq!(condition.status, status(body.kind), "{told}");
        }
        TheirResponse::Status(TheirStatus::Tagged(tagged)) => compare_tagged(&tagged, &read.response, &told),
    }
}

fn compare_fetch(items: &[MessageDataItem], fetch: &Fetch, streamed: &[u8], told: &str) {
    // Of an item that is there twice the last one counts.
    let last = |wanted: fn(&MessageDataItem) -> bool| items.iter().rev().find(|item| wanted(item));
    let uid = items.iter().rev().find_map(|item| match item {
        MessageDataItem::Uid(uid) => Some(uid.get()),
        _ => None,
    });
    assert_eq!(fetch.uid, uid.and_then(Uid::new), "{told}");
    let size = items.iter().rev().find_map(|item| match item {
        MessageDataItem::Rfc822Size(size) => Some(u64::from(*size)),
        _ => None,
    });
    assert_eq!(fetch.size, size, "{told}");
    if let Some(MessageDataItem::Flags(flags)) = last(|item| matches!(item, MessageDataItem::Flags(_))) {
        let theirs: Vec<String> = flags.iter().map(flag_name).collect();
        let ours: Vec<String> = fetch.flags.iter().flatten().map(|flag| flag.to_lowercase()).collect();
        assert_eq!(ours, theirs, "{told}");
    }
    if let Some(MessageDataItem::InternalDate(date)) =
        last(|item| matches!(item, MessageDataItem::InternalDate(_)))
    {
        let text = fetch.internal_date.as_deref().unwrap_or_default();
        match DateTime::parse_from_str(text.trim(), "%e-%b-%Y %H:%M:%S %z") {
            Ok(ours) => assert_eq!(&ours, date.as_ref(), "{told}"),
            // It takes a zone of 80 minutes, which is none.
            Err(_) => assert!(minutes_of_zone(text) > Some(59), "{told}"),
        }
    }
    let message = last(|item| matches!(item, MessageDataItem::BodyExt { section: None, origin: None, .. }));
    match (message, &fetch.message) {
        (None, None) => {}
        (Some(MessageDataItem::BodyExt { data: NString(None), .. }), Some(Message::Absent)) => {}
        (Some(MessageDataItem::BodyExt { data: NString(Some(text)), .. }), Some(Message::Quoted(octets))) => {
            assert_eq!(octets, text.as_ref(), "{told}");
        }
        (Some(MessageDataItem::BodyExt { data: NString(Some(text)), .. }), Some(Message::Streamed)) => {
            assert_eq!(streamed, text.as_ref(), "{told}");
        }
        _ => panic!("{told}"),
    }
}

fn compare_tagged(tagged: &Tagged, ours: &Response, told: &str) {
    match ours {
        Response::Tagged { tag, condition } => {
            assert_eq!(tag, tagged.tag.inner(), "{told}");
            assert_eq!(condition.status, status(tagged.body.kind), "{told}");
        }
        // `NO OK x` is a refusal that stands alone rather than an answer to a command with the tag NO.
        Response::Untagged(condition) => assert_ne!(condition.status, Status::Ok, "{told}"),
        // No tag of ours has anything but letters and digits.
        Response::Alien(_) => {
            let tag = tagged.tag.inner();
            assert!(!tag.bytes().all(|octet| octet.is_ascii_alphanumeric()), "{told}");
        }
        _ => panic!("{told}"),
    }
}

fn flag_name(flag: &FlagFetch) -> String {
    match flag {
        FlagFetch::Flag(flag) => flag.to_string().to_lowercase(),
        FlagFetch::Recent => "\\recent".to_owned(),
    }
}

fn status(kind: StatusKind) -> Status {
    match kind {
        StatusKind::Ok => Status::Ok,
        StatusKind::No => Status::No,
        StatusKind::Bad => Status::Bad,
    }
}

/// A server that says all it has to say without waiting for anybody.
struct Peer {
    octets: Vec<u8>,
    at: usize,
    /// How often it was asked for more than there is.
    ends: u32,
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.octets[self.at..]).read(buffer)?;
        self.at += read;
        self.ends += u32::from(read == 0);
        assert!(self.ends < 10, "the end is read for ever");
        Ok(read)
    }
}

impl Write for Peer {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Peer {
    fn set_deadline(&mut self, _: Deadline) {}

    fn peer(&self) -> &str {
        "the server"
    }

    fn is_encrypted(&self) -> bool {
        true
    }

    fn start_tls(self: Box<Self>, _: &str, _: &Trust, _: Deadline) -> Result<Box<dyn Transport>> {
        Ok(self)
    }
}
