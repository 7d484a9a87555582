//! A response's text → what it says (RFC 9051 §7).
//!
//! An untagged response that cannot be read is [`Response::Unreadable`] and ends nothing; only the session knows whether
//! the command in flight needs it. Nothing here calls itself, so no nesting can exhaust the stack.

use std::fmt;

use memchr::memchr;

use super::cursor::{Cursor, Literal, excerpt, is_blank, lossy, parse_uid, uid_set};
use super::listing::{self, Listing};
use super::uids::{Uid, UidSet, UidValidity};
use crate::message;
use crate::text;

#[derive(Debug, PartialEq)]
pub enum Response {
    /// `response-tagged`
    Tagged {
        tag: String,
        condition: Condition,
    },
    /// `* OK`, `* NO`, `* BAD`, and a response code that stands alone (see [`copyuid_alone`]).
    Untagged(Condition),
    /// `* PREAUTH`, only sensible as a greeting.
    PreAuth(String),
    /// `* BYE`
    Bye(String),
    Exists(u32),
    /// `* n EXPUNGE`, by sequence number.
    Expunge(u32),
    /// `* VANISHED` (RFC 7162 §3.2.10), by UID; at most [`super::limits::SET_UIDS`] of them.
    Vanished(UidSet),
    Fetch(Fetch),
    /// `* CAPABILITY`
    Capabilities(Vec<String>),
    /// `* LIST`
    List(Listing),
    /// The counts of a folder, without its name: one is asked at a time.
    Counts(Counts),
    /// The end of a SEARCH or ESEARCH response, after its [`super::decoder::Event::Uids`].
    SearchEnd {
        /// False: something in it was no UID, so there may be more than were reported.
        readable: bool,
    },
    /// `+` and what follows it.
    Continuation(Vec<u8>),
    /// Data that is not used here.
    Other,
    /// An untagged response of a known kind that cannot be read: its beginning.
    Unreadable(String),
    /// A line that begins like no response: its beginning.
    Alien(String),
}

/// `resp-cond-state`: how a command ended, or what the server wants to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub status: Status,
    pub code: Option<Code>,
    /// The line as it came, without tag: `NO [TRYCREATE] Mailbox does not exist`.
    pub line: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    No,
    Bad,
}

/// `resp-text-code`, as far as something is done about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Code {
    /// The administrator must see the text (RFC 9051 §7.1).
    Alert,
    AlreadyExists,
    Capability(Vec<String>),
    /// Messages that were copied or moved (RFC 4315 §3): their UIDs in the folder that is selected. At most
    /// [`super::limits::SET_UIDS`]; empty if the server named none that can be read.
    CopyUid {
        sources: UidSet,
    },
    InUse,
    ReadOnly,
    TryCreate,
    UidValidity(UidValidity),
    /// `[UIDVALIDITY 0]`, which RFC 9051 §9 does not allow: the server keeps no UIDs.
    UidValidityZero,
    Unavailable,
    Other,
}

/// `status-att-list`, as far as it is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub messages: Option<u64>,
    pub unseen: Option<u64>,
    /// The UID that the next message gets at least.
    pub uid_next: Option<Uid>,
    pub uid_validity: Option<UidValidity>,
}

/// `msg-att`: the items that we ask for, in any order; others are passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    pub uid: Option<Uid>,
    pub flags: Option<Vec<String>>,
    /// As the server wrote it: `17-Jul-1996 02:44:25 -0700`.
    pub internal_date: Option<String>,
    /// `RFC822.SIZE`; an estimate on Exchange.
    pub size: Option<u64>,
    /// `BODY[HEADER.FIELDS (…)]`: header lines as they are in the message, at most [`super::limits::LITERAL`] octets. Empty
    /// if the server has none (`NIL`).
    pub header: Option<Vec<u8>>,
    pub message: Option<Message>,
}

/// The value of `BODY[]`.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// It went by as [`super::decoder::Event::Message`] before.
    Streamed,
    /// The server wrote it as a quoted string.
    Quoted(Vec<u8>),
    /// `NIL`
    Absent,
}

/// Something that no IMAP server says, or more than we take.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub text::Message);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.in_language(text::Language::English))
    }
}

/// Tells whether `text` begins a response with data, not one with text for people.
pub(super) fn carries_data(text: &[u8]) -> bool {
    let mut cursor = Cursor::new(text, &[]);
    if !cursor.eat(b"*") || !cursor.blanks() {
        return false;
    }
    let word = cursor.word();
    ![&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"]
        .iter()
        .any(|condition| word.eq_ignore_ascii_case(condition))
}

/// Tells whether the literal at the end of `text` is the value of `BODY[]` in a FETCH response.
pub(super) fn announces_message(text: &[u8]) -> bool {
    let mut cursor = Cursor::new(text, &[]);
    let fetch = cursor.eat(b"*")
        && cursor.blanks()
        && cursor.number().is_some()
        && cursor.blanks()
        && cursor.word().eq_ignore_ascii_case(b"FETCH");
    let Some(open) = text.iter().rposition(|&octet| octet == b'{') else { return false };
    let before = text[..open].trim_ascii_end();
    let item = before.rsplit(|&octet| is_blank(octet) || octet == b'(').next().unwrap_or_default();
    fetch && item.len() < before.len() && is_message(item)
}

/// Reads one response, without its line end. After messages nothing is quoted of a line that makes no sense.
pub(super) fn parse(text: &[u8], literals: &[Literal], after_messages: bool) -> Result<Response, Malformed> {
    let quote = |line: &[u8]| match after_messages {
        true => format!("{{{} octets}}", line.len()),
        false => excerpt(line),
    };
    let mut cursor = Cursor::new(text, literals);
    if cursor.eat(b"*") && cursor.blanks() {
        let streamed = literals.iter().any(|literal| matches!(literal, Literal::Message));
        return match parse_untagged(cursor) {
            Some(Response::Fetch(fetch)) if streamed && fetch.message != Some(Message::Streamed) => {
                Err(unreadable_fetch(text))
            }
            Some(response) => Ok(response),
            None if streamed => Err(unreadable_fetch(text)),
            None => Ok(Response::Unreadable(quote(text))),
        };
    }
    if let Some(rest) = text.strip_prefix(b"+") {
        return Ok(Response::Continuation(rest.trim_ascii().to_vec()));
    }
    if let Some(condition) = copyuid_alone(text) {
        return Ok(Response::Untagged(condition));
    }
    // `NO Server Unavailable. 15` comes from Exchange Online with and without `*`.
    if let Some(condition) = parse_condition(text)
        && condition.status != Status::Ok
    {
        return Ok(Response::Untagged(condition));
    }
    let mut cursor = Cursor::new(text, &[]);
    let tag = cursor.word();
    if !tag.is_empty()
        && tag.iter().all(u8::is_ascii_alphanumeric)
        && cursor.blanks()
        && let Some(condition) = parse_condition(cursor.rest)
    {
        return Ok(Response::Tagged { tag: lossy(tag), condition });
    }
    Ok(Response::Alien(quote(text)))
}

fn unreadable_fetch(text: &[u8]) -> Malformed {
    Malformed(message!(ImapSentFetch, bytes = text.len()))
}

/// Reads what follows the `*`. `None`: it is of a known kind and cannot be read.
fn parse_untagged(mut cursor: Cursor) -> Option<Response> {
    if let Some(condition) = parse_condition(cursor.rest) {
        return Some(Response::Untagged(condition));
    }
    let line = cursor.rest;
    if !line.first().is_some_and(u8::is_ascii_digit) {
        let word = cursor.word();
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        return if is(b"BYE") {
            Some(Response::Bye(excerpt(line)))
        } else if is(b"PREAUTH") {
            Some(Response::PreAuth(excerpt(line)))
        } else if is(b"CAPABILITY") {
            Some(Response::Capabilities(words(cursor.rest)))
        } else if is(b"LIST") {
            listing::parse(cursor).map(Response::List)
        } else if is(b"STATUS") {
            Some(Response::Counts(parse_counts(line)))
        } else if is(b"VANISHED") {
            Some(Response::Vanished(parse_vanished(cursor)))
        } else {
            Some(Response::Other)
        };
    }
    let number = cursor.number().and_then(|number| u32::try_from(number).ok());
    if !cursor.blanks() {
        return Some(Response::Other);
    }
    let word = cursor.word();
    let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
    if is(b"FETCH") {
        return parse_fetch(cursor).map(Response::Fetch);
    }
    Some(match number {
        Some(number) if is(b"EXISTS") => Response::Exists(number),
        Some(number) if is(b"EXPUNGE") => Response::Expunge(number),
        _ => Response::Other,
    })
}

/// `expunged-resp = "VANISHED" [SP "(EARLIER)"] SP known-uids` (RFC 7162 §7)
fn parse_vanished(mut cursor: Cursor) -> UidSet {
    cursor.blanks();
    if cursor.rest.first() == Some(&b'(') && !cursor.skip_value() {
        return UidSet::new();
    }
    cursor.blanks();
    uid_set(cursor.word())
}

/// `mailbox-data = "STATUS" SP mailbox SP "(" [status-att-list] ")"`: what follows the last parenthesis, since a mailbox's
/// name may have some.
fn parse_counts(line: &[u8]) -> Counts {
    let open = line.iter().rposition(|&octet| octet == b'(').map_or(line.len(), |at| at + 1);
    let mut cursor = Cursor::new(&line[open..], &[]);
    let mut counts = Counts::default();
    loop {
        cursor.blanks();
        let item = cursor.word();
        cursor.blanks();
        let value = cursor.number();
        if item.is_empty() || value.is_none() {
            return counts;
        }
        let number = value.and_then(|value| u32::try_from(value).ok());
        if item.eq_ignore_ascii_case(b"MESSAGES") {
            counts.messages = value;
        } else if item.eq_ignore_ascii_case(b"UNSEEN") {
            counts.unseen = value;
        } else if item.eq_ignore_ascii_case(b"UIDNEXT") {
            counts.uid_next = number.and_then(Uid::new);
        } else if item.eq_ignore_ascii_case(b"UIDVALIDITY") {
            counts.uid_validity = number.and_then(UidValidity::new);
        }
    }
}

/// `msg-att = "(" (msg-att-dynamic / msg-att-static) *(SP …) ")"`
///
/// After a message only what continues its response is taken: had the server counted the message wrongly, the rest of its
/// text would stand here.
fn parse_fetch(mut cursor: Cursor) -> Option<Fetch> {
    let mut fetch = Fetch::default();
    cursor.blanks();
    if !cursor.eat(b"(") {
        return None;
    }
    loop {
        let after_message = fetch.message == Some(Message::Streamed);
        let separated = cursor.blanks();
        if cursor.eat(b")") {
            return (!after_message || cursor.at_end()).then_some(fetch);
        }
        let item = cursor.item();
        if after_message && !(separated && is_fetch_item(item)) {
            return None;
        }
        cursor.blanks();
        if item.eq_ignore_ascii_case(b"UID") {
            fetch.uid = Some(parse_uid(cursor.take_while(|octet| octet.is_ascii_digit()))?);
        } else if item.eq_ignore_ascii_case(b"FLAGS") {
            fetch.flags = Some(cursor.flags()?);
        } else if item.eq_ignore_ascii_case(b"INTERNALDATE") {
            fetch.internal_date = cursor.nstring()?.map(|octets| lossy(&octets));
        } else if item.eq_ignore_ascii_case(b"RFC822.SIZE") {
            fetch.size = cursor.size();
        } else if is_message(item) {
            fetch.message = Some(parse_message(&mut cursor)?);
        } else if starts_with(item, b"BODY[HEADER.FIELDS") {
            fetch.header = Some(cursor.nstring()?.unwrap_or_default());
        } else if item.is_empty() || !cursor.skip_value() {
            return None;
        }
    }
}

fn parse_message(cursor: &mut Cursor) -> Option<Message> {
    if cursor.rest.first() == Some(&b'{') {
        return match cursor.literal()? {
            Literal::Message => Some(Message::Streamed),
            Literal::Buffered { .. } => None,
        };
    }
    Some(match cursor.nstring()? {
        Some(octets) => Message::Quoted(octets),
        None => Message::Absent,
    })
}

/// Tells whether `item` names a whole message. No message is ever asked for in parts, so `BODY[]<0>` is one too.
fn is_message(item: &[u8]) -> bool {
    item.eq_ignore_ascii_case(b"BODY[]") || item.eq_ignore_ascii_case(b"BODY[]<0>")
}

/// Tells whether `item` is one that a FETCH response can have (RFC 9051 §9 `msg-att`, and extensions).
fn is_fetch_item(item: &[u8]) -> bool {
    FETCH_ITEMS.iter().any(|known| item.eq_ignore_ascii_case(known))
        || FETCH_PREFIXES.iter().any(|known| starts_with(item, known))
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// `resp-cond-state = ("OK" / "NO" / "BAD") SP resp-text`. `None` is something else.
fn parse_condition(line: &[u8]) -> Option<Condition> {
    let mut cursor = Cursor::new(line, &[]);
    let word = cursor.word();
    let status = [(&b"OK"[..], Status::Ok), (b"NO", Status::No), (b"BAD", Status::Bad)]
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name))?
        .1;
    cursor.blanks().then(|| Condition { status, code: parse_code(cursor.rest), line: excerpt(line) })
}

/// `"[" resp-text-code "]"`
fn parse_code(text: &[u8]) -> Option<Code> {
    let text = text.strip_prefix(b"[")?;
    let end = memchr(b']', text)?;
    let mut cursor = Cursor::new(&text[..end], &[]);
    let name = cursor.word();
    cursor.blanks();
    let rest = cursor.rest;
    let code = CODES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    Some(code.map_or(Code::Other, |(_, code)| code(rest)))
}

/// `resp-code-copy = "COPYUID" SP nz-number SP uid-set SP uid-set` (RFC 4315 §4). Exchange leaves the sets empty if the
/// messages were gone.
fn parse_copyuid(rest: &[u8]) -> Code {
    let mut words = rest.split(|&octet| is_blank(octet));
    Code::CopyUid { sources: words.nth(1).map(uid_set).unwrap_or_default() }
}

fn parse_uid_validity(rest: &[u8]) -> Code {
    let digits = rest.trim_ascii();
    match super::cursor::parse_number(digits).map(u32::try_from) {
        Some(Ok(number)) => UidValidity::new(number).map_or(Code::UidValidityZero, Code::UidValidity),
        _ => Code::Other,
    }
}

/// Some Exchange servers write the code of a MOVE as a line of its own, without `* OK`:
///
/// ```text
/// [COPYUID 55 31 6]
/// ```
fn copyuid_alone(line: &[u8]) -> Option<Condition> {
    let code = parse_code(line).filter(|code| matches!(code, Code::CopyUid { .. }))?;
    Some(Condition { status: Status::Ok, code: Some(code), line: excerpt(line) })
}

fn words(text: &[u8]) -> Vec<String> {
    text.split(|&octet| is_blank(octet)).filter(|word| !word.is_empty()).map(lossy).collect()
}

type CodeOf = fn(&[u8]) -> Code;

const CODES: [(&[u8], CodeOf); 9] = [
    (b"ALERT", |_| Code::Alert),
    (b"ALREADYEXISTS", |_| Code::AlreadyExists),
    (b"CAPABILITY", |rest| Code::Capability(words(rest))),
    (b"COPYUID", parse_copyuid),
    (b"INUSE", |_| Code::InUse),
    (b"READ-ONLY", |_| Code::ReadOnly),
    (b"TRYCREATE", |_| Code::TryCreate),
    (b"UIDVALIDITY", parse_uid_validity),
    (b"UNAVAILABLE", |_| Code::Unavailable),
];

const FETCH_ITEMS: [&[u8]; 13] = [
    b"BODY",
    b"BODYSTRUCTURE",
    b"EMAILID",
    b"ENVELOPE",
    b"FLAGS",
    b"INTERNALDATE",
    b"MODSEQ",
    b"PREVIEW",
    b"RFC822",
    b"RFC822.SIZE",
    b"SAVEDATE",
    b"THREADID",
    b"UID",
];

/// `BODY[1]<0>`, `BINARY.SIZE[1]`, `RFC822.HEADER`, `X-GM-MSGID`.
const FETCH_PREFIXES: [&[u8]; 4] = [b"BODY[", b"BINARY", b"RFC822.", b"X-"];
