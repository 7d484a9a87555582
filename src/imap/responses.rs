//! Bytes → responses (RFC 9051 §7), for what can arrive once a mailbox is selected.
//!
//! [`Decoder::decode`] is given whatever has been read and says how much of it was used and what it was. It holds one
//! response's text at most: a message goes through in pieces, and so does a SEARCH answer of any length. It never calls
//! itself, so no nesting can exhaust the stack.

use std::borrow::Cow;

use memchr::memchr;

use super::limits;

/// Turns bytes into [`Event`]s.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// The response's text so far, with `{n}\r\n` where a literal was.
    text: Vec<u8>,
    /// Its literals, in order; the message's is not kept and stands here empty.
    literals: Vec<Literal>,
    /// The text of the response before.
    last: Vec<u8>,
    /// A message has come. If the server counted it wrongly, what is taken for a line from now on can be a part of it.
    messages: bool,
}

/// What a stretch of input was.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The next so many octets of the stream are a message (`BODY[]`); its FETCH response follows them.
    MessageStart(u64),
    /// All octets used are of the message.
    Message,
    /// A number of a SEARCH response.
    Uid(u32),
    Response(Response),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Response {
    /// `response-tagged`
    Tagged {
        tag: String,
        condition: Condition,
    },
    /// `* OK`, `* NO`, `* BAD`, `* PREAUTH`, and a response code that stands alone (see [`copyuid_alone`]).
    Untagged(Condition),
    /// `* BYE`
    Bye(String),
    Exists(u32),
    /// `* n EXPUNGE`, by sequence number.
    Expunge(u32),
    Fetch(Fetch),
    /// The counts of a folder, without its name: one is asked at a time.
    Counts(Counts),
    /// The end of a SEARCH response, after its [`Event::Uid`]s.
    SearchEnd,
    /// `+`
    Continuation,
    /// Anything else that is well-formed enough to pass over.
    Other,
}

/// `resp-cond-state`: how a command ended, or what the server wants to say.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    TryCreate,
    ReadOnly,
    AlreadyExists,
    CopyUid,
    Unavailable,
    InUse,
    UidValidity(u32),
    Other,
}

/// `status-att-list`, as far as it is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub messages: Option<u64>,
    pub unseen: Option<u64>,
}

/// `msg-att`: the items that we ask for, in any order; others are passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    pub uid: Option<u32>,
    pub flags: Option<Vec<String>>,
    /// As the server wrote it: `17-Jul-1996 02:44:25 -0700`.
    pub internal_date: Option<String>,
    /// `RFC822.SIZE`; an estimate on Exchange.
    pub size: Option<u64>,
    pub message: Option<Message>,
}

/// The value of `BODY[]`.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// It went by as [`Event::Message`] before.
    Streamed,
    /// The server wrote it as a quoted string.
    Quoted(Vec<u8>),
    /// `NIL`
    Absent,
}

/// What no IMAP server says, or more than we take.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub Cow<'static, str>);

impl Decoder {
    /// How many octets of `input` were used, and what they were if that is known already. Not all of `input` need be used;
    /// none is used twice. With an `Err` the stream is lost.
    pub fn decode(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Malformed> {
        match &mut self.state {
            State::Text => self.decode_text(input),
            State::Search { number } => {
                let (used, event, end) = decode_search(number, input)?;
                if end {
                    self.state = State::Text;
                }
                Ok((used, event))
            }
            State::Literal { left } => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= used as u64;
                let end = *left == 0;
                if let Some(Literal::Held(octets)) = self.literals.last_mut() {
                    octets.extend_from_slice(&input[..used]);
                }
                if end {
                    self.state = State::Text;
                }
                Ok((used, None))
            }
            State::Message { left } => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= used as u64;
                if *left == 0 {
                    self.state = State::Text;
                }
                Ok((used, Some(Event::Message)))
            }
        }
    }

    /// Whether a message has come, so that a line that makes no sense can be a part of it.
    pub fn after_messages(&self) -> bool {
        self.messages
    }

    /// The last response as it may be logged: without what was in its literals, and nothing of a line that nobody asked for
    /// after a message.
    pub fn trace(&self, response: &Response) -> String {
        if self.messages && *response == Response::Other {
            return format!("{{{} octets}}", self.last.len());
        }
        lossy(trim_line_end(&self.last)).replace("}\r\n", " octets}")
    }

    fn decode_text(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Malformed> {
        // The first octets tell whether this is a SEARCH response, which may be longer than any buffer.
        let input = match SEARCH.len().checked_sub(self.text.len()) {
            Some(missing @ 1..) => &input[..missing.min(input.len())],
            _ => input,
        };
        let (used, line_end) = match memchr(b'\n', input) {
            Some(at) => (at + 1, true),
            None => (input.len(), false),
        };
        if self.text.len() + used > limits::LINE {
            return Err(Malformed(format!("a line of more than {} octets", limits::LINE).into()));
        }
        self.text.extend_from_slice(&input[..used]);
        if !line_end {
            if self.text.eq_ignore_ascii_case(SEARCH) {
                self.text.clear();
                self.state = State::Search { number: None };
            }
            return Ok((used, None));
        }
        if let Some(literal) = announced_literal(&self.text)? {
            let event = self.start_literal(literal)?;
            return Ok((used, event));
        }
        std::mem::swap(&mut self.text, &mut self.last);
        self.text.clear();
        let literals = std::mem::take(&mut self.literals);
        let response = parse(trim_line_end(&self.last), &literals, self.messages)?;
        Ok((used, Some(Event::Response(response))))
    }

    fn start_literal(&mut self, octets: u64) -> Result<Option<Event>, Malformed> {
        if is_message(&self.text) {
            if self.literals.iter().any(|literal| matches!(literal, Literal::Message)) {
                return Err(Malformed("two messages in one FETCH response".into()));
            }
            if octets > limits::MESSAGE {
                return Err(Malformed(
                    format!("a message of {octets} octets; at most {} are taken", limits::MESSAGE).into(),
                ));
            }
            self.literals.push(Literal::Message);
            self.messages = true;
            if octets > 0 {
                self.state = State::Message { left: octets };
            }
            return Ok(Some(Event::MessageStart(octets)));
        }
        let held: usize = self.literals.iter().map(Literal::len).sum();
        if octets > (limits::LITERAL - held) as u64 || self.literals.len() == limits::LITERAL / 1024 {
            return Err(Malformed(
                format!("literals of more than {} octets that are not a message", limits::LITERAL).into(),
            ));
        }
        self.literals.push(Literal::Held(Vec::new()));
        if octets > 0 {
            self.state = State::Literal { left: octets };
        }
        Ok(None)
    }
}

/// Where the decoder stands in the stream.
#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// In a SEARCH response, in a number or between two.
    Search {
        number: Option<u32>,
    },
    /// In a literal that belongs to the text.
    Literal {
        left: u64,
    },
    Message {
        left: u64,
    },
}

#[derive(Debug)]
enum Literal {
    Held(Vec<u8>),
    Message,
}

impl Literal {
    fn len(&self) -> usize {
        match self {
            Literal::Held(octets) => octets.len(),
            Literal::Message => 0,
        }
    }
}

/// `mailbox-data = "SEARCH" *(SP nz-number)` (RFC 3501 §9): one number, or the end of the line.
fn decode_search(number: &mut Option<u32>, input: &[u8]) -> Result<(usize, Option<Event>, bool), Malformed> {
    for (at, &octet) in input.iter().enumerate() {
        match octet {
            b'0'..=b'9' => {
                let digit = u32::from(octet - b'0');
                let value = number.unwrap_or(0).checked_mul(10).and_then(|value| value.checked_add(digit));
                *number = Some(value.ok_or(Malformed("a UID in SEARCH that is no 32-bit number".into()))?);
            }
            b' ' | b'\r' | b'\n' => {
                if let Some(uid) = number.take() {
                    if uid == 0 {
                        return Err(Malformed("UID 0 in SEARCH".into()));
                    }
                    // The blank or line end is looked at again, without a number then.
                    return Ok((at, Some(Event::Uid(uid)), false));
                }
                if octet == b'\n' {
                    return Ok((at + 1, Some(Event::Response(Response::SearchEnd)), true));
                }
            }
            _ => return Err(Malformed("something in SEARCH that is no number".into())),
        }
    }
    Ok((input.len(), None, false))
}

/// The number in `{n}` or `{n+}` at the end of a line of `text`, where it announces a literal. Text for people
/// (`resp-text`) may end like that and announces nothing.
fn announced_literal(text: &[u8]) -> Result<Option<u64>, Malformed> {
    let line = trim_line_end(text);
    let Some(line) = line.strip_suffix(b"}") else { return Ok(None) };
    let Some(open) = line.iter().rposition(|&octet| octet == b'{') else { return Ok(None) };
    let digits = line[open + 1..].strip_suffix(b"+").unwrap_or(&line[open + 1..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) || !carries_data(text) {
        return Ok(None);
    }
    match parse_number(digits) {
        Some(octets) => Ok(Some(octets)),
        None => Err(Malformed("a literal whose length is no number".into())),
    }
}

/// Whether `text` begins a response with data, not one with text for people.
pub(super) fn carries_data(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"* ") else { return false };
    let word = rest.split(|octet| matches!(octet, b' ' | b'\r' | b'\n')).next().unwrap_or_default();
    ![&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"]
        .iter()
        .any(|condition| word.eq_ignore_ascii_case(condition))
}

/// Whether the literal at the end of `text` is the value of `BODY[]` in a FETCH response.
fn is_message(text: &[u8]) -> bool {
    let mut cursor = Cursor { rest: text, literals: [].iter() };
    let fetch = cursor.eat(b"* ")
        && cursor.number().is_some()
        && cursor.eat(b" ")
        && cursor.word().eq_ignore_ascii_case(b"FETCH");
    let Some(open) = text.iter().rposition(|&octet| octet == b'{') else { return false };
    let before = text[..open].trim_ascii_end();
    let Some(at) = before.len().checked_sub(MESSAGE_ITEM.len()) else { return false };
    fetch
        && before[at..].eq_ignore_ascii_case(MESSAGE_ITEM)
        && at > 0
        && matches!(before[at - 1], b' ' | b'(')
}

/// One response, without its line end. After messages nothing is quoted of what makes no sense.
fn parse(text: &[u8], literals: &[Literal], after_messages: bool) -> Result<Response, Malformed> {
    let mut cursor = Cursor { rest: text, literals: literals.iter() };
    if cursor.eat(b"* ") {
        return parse_untagged(cursor, literals);
    }
    if text.first() == Some(&b'+') {
        return Ok(Response::Continuation);
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
    let tag = cursor.word();
    if !tag.is_empty()
        && tag.iter().all(u8::is_ascii_alphanumeric)
        && cursor.eat(b" ")
        && let Some(condition) = parse_condition(cursor.rest)
    {
        return Ok(Response::Tagged { tag: lossy(tag), condition });
    }
    Err(Malformed(if after_messages {
        format!("a line of {} octets after a message that is no IMAP response", text.len()).into()
    } else {
        format!("a line that is no IMAP response: {}", excerpt(text)).into()
    }))
}

fn parse_untagged(mut cursor: Cursor, literals: &[Literal]) -> Result<Response, Malformed> {
    if let Some(condition) = parse_condition(cursor.rest) {
        return Ok(Response::Untagged(condition));
    }
    let line = cursor.rest;
    let Some(number) = cursor.number() else {
        let word = cursor.word();
        return Ok(if word.eq_ignore_ascii_case(b"BYE") {
            Response::Bye(excerpt(line))
        } else if word.eq_ignore_ascii_case(b"STATUS") {
            Response::Counts(parse_counts(line))
        } else {
            Response::Other
        });
    };
    if !cursor.eat(b" ") {
        return Ok(Response::Other);
    }
    let word = cursor.word();
    let number = u32::try_from(number).ok();
    if word.eq_ignore_ascii_case(b"FETCH") {
        let streamed = literals.iter().any(|literal| matches!(literal, Literal::Message));
        return match parse_fetch(cursor) {
            Some(fetch) => Ok(Response::Fetch(fetch)),
            None if streamed => Err(Malformed(
                format!("a FETCH response of {} octets that cannot be read", line.len()).into(),
            )),
            None => Ok(Response::Other),
        };
    }
    Ok(match number {
        Some(number) if word.eq_ignore_ascii_case(b"EXISTS") => Response::Exists(number),
        Some(number) if word.eq_ignore_ascii_case(b"EXPUNGE") => Response::Expunge(number),
        _ => Response::Other,
    })
}

/// `mailbox-data = "STATUS" SP mailbox SP "(" [status-att-list] ")"`: what follows the last parenthesis, since a mailbox's
/// name may have some.
fn parse_counts(line: &[u8]) -> Counts {
    let open = line.iter().rposition(|&octet| octet == b'(').map_or(line.len(), |at| at + 1);
    let mut cursor = Cursor { rest: &line[open..], literals: [].iter() };
    let mut counts = Counts::default();
    loop {
        cursor.blanks();
        let item = cursor.word();
        cursor.blanks();
        let value = cursor.number();
        if item.is_empty() || value.is_none() {
            return counts;
        }
        if item.eq_ignore_ascii_case(b"MESSAGES") {
            counts.messages = value;
        } else if item.eq_ignore_ascii_case(b"UNSEEN") {
            counts.unseen = value;
        }
    }
}

/// `msg-att = "(" (msg-att-dynamic / msg-att-static) *(SP …) ")"`
fn parse_fetch(mut cursor: Cursor) -> Option<Fetch> {
    let mut fetch = Fetch::default();
    cursor.blanks();
    if !cursor.eat(b"(") {
        return None;
    }
    loop {
        cursor.blanks();
        if cursor.eat(b")") {
            return Some(fetch);
        }
        let item = cursor.item();
        cursor.blanks();
        if item.eq_ignore_ascii_case(b"UID") {
            fetch.uid = Some(u32::try_from(cursor.number()?).ok().filter(|&uid| uid != 0)?);
        } else if item.eq_ignore_ascii_case(b"FLAGS") {
            fetch.flags = Some(cursor.flags()?);
        } else if item.eq_ignore_ascii_case(b"INTERNALDATE") {
            fetch.internal_date = cursor.nstring()?.map(|octets| lossy(&octets));
        } else if item.eq_ignore_ascii_case(b"RFC822.SIZE") {
            fetch.size = Some(cursor.number()?);
        } else if item.eq_ignore_ascii_case(MESSAGE_ITEM) {
            fetch.message = Some(cursor.message()?);
        } else if item.is_empty() || !cursor.skip_value() {
            return None;
        }
    }
}

/// `resp-cond-state = ("OK" / "NO" / "BAD") SP resp-text`; PREAUTH counts as OK. `None` is something else.
fn parse_condition(line: &[u8]) -> Option<Condition> {
    let mut cursor = Cursor { rest: line, literals: [].iter() };
    let word = cursor.word();
    let status =
        [(&b"OK"[..], Status::Ok), (b"PREAUTH", Status::Ok), (b"NO", Status::No), (b"BAD", Status::Bad)]
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))?
            .1;
    if !cursor.rest.is_empty() && !cursor.eat(b" ") {
        return None;
    }
    Some(Condition { status, code: parse_code(cursor.rest), line: excerpt(line) })
}

/// `"[" resp-text-code "]"`
fn parse_code(text: &[u8]) -> Option<Code> {
    let text = text.strip_prefix(b"[")?;
    let end = memchr(b']', text)?;
    let mut words = text[..end].split(|&octet| octet == b' ');
    let name = words.next()?;
    if name.eq_ignore_ascii_case(b"UIDVALIDITY") {
        let value = words.next().and_then(parse_number).and_then(|value| u32::try_from(value).ok());
        return Some(value.map_or(Code::Other, Code::UidValidity));
    }
    let code = [
        (&b"TRYCREATE"[..], Code::TryCreate),
        (b"READ-ONLY", Code::ReadOnly),
        (b"ALREADYEXISTS", Code::AlreadyExists),
        (b"COPYUID", Code::CopyUid),
        (b"UNAVAILABLE", Code::Unavailable),
        (b"INUSE", Code::InUse),
    ]
    .into_iter()
    .find(|(known, _)| name.eq_ignore_ascii_case(known));
    Some(code.map_or(Code::Other, |(_, code)| code))
}

/// Some Exchange servers write the code of a MOVE as a line of its own, without `* OK`:
///
/// ```text
/// [COPYUID 55 31 6]
/// ```
fn copyuid_alone(line: &[u8]) -> Option<Condition> {
    (parse_code(line)? == Code::CopyUid).then(|| Condition {
        status: Status::Ok,
        code: Some(Code::CopyUid),
        line: excerpt(line),
    })
}

/// Reads one response from left to right. Methods that return `Option` leave the cursor anywhere on `None`.
struct Cursor<'a> {
    rest: &'a [u8],
    literals: std::slice::Iter<'a, Literal>,
}

impl<'a> Cursor<'a> {
    fn eat(&mut self, prefix: &[u8]) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take_while(&mut self, mut wanted: impl FnMut(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&octet| !wanted(octet)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn word(&mut self) -> &'a [u8] {
        self.take_while(|octet| !matches!(octet, b' ' | b'(' | b')' | b'\r' | b'\n'))
    }

    /// `number64`
    fn number(&mut self) -> Option<u64> {
        parse_number(self.take_while(|octet| octet.is_ascii_digit()))
    }

    /// The name of a FETCH item, with its section: `BODY[HEADER.FIELDS (To)]<0>` is one.
    fn item(&mut self) -> &'a [u8] {
        let mut section = false;
        self.take_while(|octet| {
            match octet {
                b'[' => section = true,
                b']' => section = false,
                _ => {}
            }
            section || !matches!(octet, b' ' | b'(' | b')' | b'"' | b'{')
        })
    }

    /// `"(" [flag-fetch *(SP flag-fetch)] ")"`, of which as many are taken as the limits allow.
    fn flags(&mut self) -> Option<Vec<String>> {
        let mut flags = Vec::new();
        let mut octets = 0;
        if !self.eat(b"(") {
            return None;
        }
        loop {
            self.blanks();
            if self.eat(b")") {
                return Some(flags);
            }
            match self.word() {
                [] => return None,
                flag => {
                    octets += flag.len();
                    if flags.len() < limits::FLAGS && octets <= limits::FLAG_OCTETS {
                        flags.push(lossy(flag));
                    }
                }
            }
        }
    }

    /// `nstring = string / nil`; the outer `None` is neither.
    fn nstring(&mut self) -> Option<Option<Vec<u8>>> {
        match self.rest.first()? {
            b'"' => self.quoted().map(Some),
            b'{' => match self.literal()? {
                Literal::Held(octets) => Some(Some(octets.clone())),
                Literal::Message => None,
            },
            _ => self.word().eq_ignore_ascii_case(b"NIL").then_some(None),
        }
    }

    fn message(&mut self) -> Option<Message> {
        if self.rest.first() == Some(&b'{') {
            return match self.literal()? {
                Literal::Message => Some(Message::Streamed),
                Literal::Held(_) => None,
            };
        }
        Some(match self.nstring()? {
            Some(octets) => Message::Quoted(octets),
            None => Message::Absent,
        })
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`
    fn quoted(&mut self) -> Option<Vec<u8>> {
        if !self.eat(b"\"") {
            return None;
        }
        let mut octets = Vec::new();
        loop {
            let (&octet, rest) = self.rest.split_first()?;
            self.rest = rest;
            match octet {
                b'"' => return Some(octets),
                b'\\' => {
                    let (&escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    octets.push(escaped);
                }
                _ => octets.push(octet),
            }
        }
    }

    /// `{n}` and line end; the octets were set apart when they came.
    fn literal(&mut self) -> Option<&'a Literal> {
        let end = memchr(b'\n', self.rest)?;
        self.rest = &self.rest[end + 1..];
        self.literals.next()
    }

    /// Passes over a value that we did not ask for, however deep. False where it has no end.
    fn skip_value(&mut self) -> bool {
        let mut depth = 0usize;
        loop {
            match self.rest.first() {
                None => return false,
                Some(b'(') => {
                    depth += 1;
                    self.rest = &self.rest[1..];
                }
                Some(b')') => {
                    // Depth 0: an item without a value. The parenthesis ends the list of items.
                    let Some(outer) = depth.checked_sub(1) else { return true };
                    depth = outer;
                    self.rest = &self.rest[1..];
                }
                Some(b' ') => self.rest = &self.rest[1..],
                Some(b'"') => {
                    if self.quoted().is_none() {
                        return false;
                    }
                }
                Some(b'{') => {
                    if self.literal().is_none() {
                        return false;
                    }
                }
                Some(_) => {
                    if self.word().is_empty() {
                        return false;
                    }
                }
            }
            if depth == 0 {
                return true;
            }
        }
    }
}

fn parse_number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn trim_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// The beginning of a line, for a message to people.
pub(super) fn excerpt(line: &[u8]) -> String {
    lossy(trim_line_end(&line[..line.len().min(limits::LAST_LINE)]))
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

const SEARCH: &[u8] = b"* SEARCH";
const MESSAGE_ITEM: &[u8] = b"BODY[]";

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that `input` is, given in pieces of `size` octets; messages put together.
    fn decode(input: &[u8], size: usize) -> Result<(Vec<Event>, Vec<u8>), Malformed> {
        let mut decoder = Decoder::default();
        let (mut events, mut message) = (Vec::new(), Vec::new());
        for piece in input.chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (used, event) = decoder.decode(rest)?;
                match event {
                    Some(Event::Message) => message.extend_from_slice(&rest[..used]),
                    Some(event) => events.push(event),
                    None => {}
                }
                rest = &rest[used..];
            }
        }
        Ok((events, message))
    }

    /// The same whatever the pieces are.
    fn responses(input: &[u8]) -> Vec<Event> {
        let whole = decode(input, usize::MAX).unwrap();
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(decode(input, size).unwrap(), whole, "in pieces of {size}");
        }
        whole.0
    }

    fn response(input: &[u8]) -> Response {
        match responses(input).pop() {
            Some(Event::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    fn refused(input: &[u8]) -> String {
        decode(input, 4096).unwrap_err().to_string()
    }

    fn condition(status: Status, code: Option<Code>, line: &str) -> Condition {
        Condition { status, code, line: line.into() }
    }

    #[test]
    fn the_counts_of_a_folder_are_read_whatever_it_is_called() {
        let counts = |messages, unseen| Response::Counts(Counts { messages, unseen });
        for (input, expected) in [
            (&b"* STATUS \"a (b)\" (MESSAGES 231 UNSEEN 5)\r\n"[..], counts(Some(231), Some(5))),
            (b"* status {5}\r\na (b) (unseen 0 UIDNEXT 44292 messages 1)\r\n", counts(Some(1), Some(0))),
            (b"* STATUS INBOX ()\r\n", counts(None, None)),
            (b"* STATUS INBOX\r\n", counts(None, None)),
            (b"* STATUS INBOX (MESSAGES many UNSEEN 5)\r\n", counts(None, None)),
        ] {
            assert_eq!(response(input), expected, "{}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn the_uidvalidity_of_another_folder_is_a_code() {
        let code = |input: &[u8]| match response(input) {
            Response::Untagged(condition) => condition.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(b"* OK [UIDVALIDITY 4294967295] UIDs valid\r\n"), Some(Code::UidValidity(u32::MAX)));
        assert_eq!(code(b"* OK [UIDVALIDITY 4294967296] too large\r\n"), Some(Code::Other));
        assert_eq!(code(b"* OK [UIDVALIDITY] none\r\n"), Some(Code::Other));
    }

    #[test]
    fn the_items_of_a_fetch_come_in_any_order() {
        let expected = Fetch {
            uid: Some(55),
            flags: Some(vec!["\\Seen".into(), "$Junk".into()]),
            internal_date: Some("17-Jul-1996 02:44:25 -0700".into()),
            size: Some(9),
            message: Some(Message::Streamed),
        };
        for input in [
            &b"* 12 FETCH (UID 55 FLAGS (\\Seen $Junk) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 9 BODY[] {5}\r\nab)\r\n)\r\n"[..],
            b"* 12 fetch (BODY[] {5}\r\nab)\r\n RFC822.SIZE 9 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" FLAGS (\\Seen $Junk) UID 55)\r\n",
            b"* 12 FETCH (MODSEQ (12) X {3}\r\n)\r\n Y ((\"a)\" (b)) NIL) FLAGS (\\Seen $Junk) BODY[] {5+}\r\nab)\r\n UID 55 RFC822.SIZE 9 BODY[1]<0> \"x\" INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\n",
        ] {
            let (events, message) = decode(input, usize::MAX).unwrap();
            assert_eq!(events[0], Event::MessageStart(5));
            assert_eq!(message, b"ab)\r\n");
            assert_eq!(responses(input)[1..], [Event::Response(Response::Fetch(Fetch { ..clone(&expected) }))]);
        }
    }

    fn clone(fetch: &Fetch) -> Fetch {
        Fetch {
            uid: fetch.uid,
            flags: fetch.flags.clone(),
            internal_date: fetch.internal_date.clone(),
            size: fetch.size,
            message: Some(Message::Streamed),
        }
    }

    #[test]
    fn a_message_may_be_empty_quoted_or_absent() {
        let message = |input: &[u8]| match response(input) {
            Response::Fetch(fetch) => fetch.message,
            other => panic!("{other:?}"),
        };
        assert_eq!(message(b"* 1 FETCH (UID 2 BODY[] {0}\r\n)\r\n"), Some(Message::Streamed));
        assert_eq!(message(b"* 1 FETCH (UID 2 BODY[] \"\")\r\n"), Some(Message::Quoted(vec![])));
        assert_eq!(
            message(b"* 1 FETCH (UID 2 BODY[] \"a\\\"b\")\r\n"),
            Some(Message::Quoted(b"a\"b".to_vec()))
        );
        assert_eq!(message(b"* 1 FETCH (UID 2 BODY[] NIL)\r\n"), Some(Message::Absent));
        assert_eq!(message(b"* 1 FETCH (UID 2)\r\n"), None);
    }

    #[test]
    fn a_message_passes_unchanged_whatever_is_in_it() {
        let octets: Vec<u8> = (0..=255).chain(*b"\r\na1 OK done\r\n* 1 FETCH (BODY[] {9}\r\n\r\0").collect();
        let mut input = format!("* 1 FETCH (UID 7 BODY[] {{{}}}\r\n", octets.len()).into_bytes();
        input.extend_from_slice(&octets);
        input.extend_from_slice(b")\r\nU1 OK done\r\n");
        for size in [1, 5, usize::MAX] {
            assert_eq!(decode(&input, size).unwrap().1, octets);
        }
    }

    #[test]
    fn conditions_keep_their_words() {
        assert_eq!(
            response(b"U7 NO [TRYCREATE] Mailbox doesn't exist: debug\r\n"),
            Response::Tagged {
                tag: "U7".into(),
                condition: condition(
                    Status::No,
                    Some(Code::TryCreate),
                    "NO [TRYCREATE] Mailbox doesn't exist: debug"
                ),
            }
        );
        assert_eq!(
            response(b"* ok Still here {5}\n"),
            Response::Untagged(condition(Status::Ok, None, "ok Still here {5}"))
        );
        assert_eq!(
            response(b"* BYE Session invalidated - AccessTokenExpired\r\n"),
            Response::Bye("BYE Session invalidated - AccessTokenExpired".into())
        );
        assert_eq!(response(b"+ idling\r\n"), Response::Continuation);
    }

    #[test]
    fn exchanges_lines_without_a_star_are_understood() {
        assert_eq!(
            response(b"[COPYUID 55 31 6]\r\n"),
            Response::Untagged(condition(Status::Ok, Some(Code::CopyUid), "[COPYUID 55 31 6]"))
        );
        assert_eq!(
            response(b"NO Server Unavailable. 15\r\n"),
            Response::Untagged(condition(Status::No, None, "NO Server Unavailable. 15"))
        );
        assert_eq!(
            response(b"U3 OK [COPYUID 14  ] done\r\n"),
            Response::Tagged {
                tag: "U3".into(),
                condition: condition(Status::Ok, Some(Code::CopyUid), "OK [COPYUID 14  ] done"),
            }
        );
    }

    #[test]
    fn a_search_of_any_length_is_read_as_it_comes() {
        assert_eq!(
            responses(b"* SEARCH 1 22 4294967295\r\n"),
            [Event::Uid(1), Event::Uid(22), Event::Uid(u32::MAX), Event::Response(Response::SearchEnd)]
        );
        assert_eq!(responses(b"* SEARCH\r\n"), [Event::Response(Response::SearchEnd)]);
        assert_eq!(responses(b"* search 3 \n")[0], Event::Uid(3));
        let mut input = b"* SEARCH".to_vec();
        for uid in 1..=200_000 {
            input.extend_from_slice(format!(" {uid}").as_bytes());
        }
        input.extend_from_slice(b"\r\n");
        assert_eq!(decode(&input, 16_384).unwrap().0.len(), 200_001);
    }

    #[test]
    fn a_trace_shows_lines_and_only_the_length_of_literals() {
        let mut decoder = Decoder::default();
        let mut rest = &b"* 1 FETCH (UID 2 BODY[] {6}\r\nsecret FLAGS ())\r\n"[..];
        let mut event = None;
        while !rest.is_empty() {
            let (used, last) = decoder.decode(rest).unwrap();
            (rest, event) = (&rest[used..], last);
        }
        let Some(Event::Response(response)) = event else { panic!("{event:?}") };
        assert_eq!(decoder.trace(&response), "* 1 FETCH (UID 2 BODY[] {6 octets} FLAGS ())");
    }

    #[test]
    fn nothing_is_said_of_what_can_be_a_part_of_a_message_that_was_counted_wrongly() {
        let mut decoder = Decoder::default();
        let mut rest = &b"* 1 FETCH (BODY[] {1}\r\na)\r\n* secret\r\nsecret\r\n"[..];
        let mut traced = Vec::new();
        let malformed = loop {
            match decoder.decode(rest) {
                Ok((used, event)) => {
                    rest = &rest[used..];
                    if let Some(Event::Response(response)) = event {
                        traced.push(decoder.trace(&response));
                    }
                }
                Err(malformed) => break malformed.to_string(),
            }
        };
        assert_eq!(traced, ["* 1 FETCH (BODY[] {1 octets})", "{10 octets}"]);
        assert_eq!(malformed, "a line of 6 octets after a message that is no IMAP response");
    }

    #[test]
    fn unknown_data_is_passed_over() {
        for input in [
            &b"* FLAGS (\\Answered)\r\n"[..],
            b"* 7 RECENT\r\n",
            b"* ESEARCH (TAG \"U1\") UID ALL 1:3\r\n",
            b"* LIST () \"/\" {5}\r\nab\r\nc\r\n",
            b"* X-NEW (((\r\n",
            b"* 3 FETCH FLAGS\r\n",
            b"* \r\n",
        ] {
            assert_eq!(response(input), Response::Other, "{}", String::from_utf8_lossy(input));
        }
        assert_eq!(response(b"* 23 EXISTS\r\n"), Response::Exists(23));
        assert_eq!(response(b"* 44 EXPUNGE\r\n"), Response::Expunge(44));
    }

    #[test]
    fn what_is_no_imap_is_refused() {
        assert!(refused(b"OK done without a tag\r\n").contains("no IMAP response"));
        assert!(refused(b"HTTP/1.1 400 Bad Request\r\n").contains("HTTP/1.1 400"));
        assert!(refused(b"\r\n").contains("no IMAP response"));
        assert!(refused(b"* SEARCH 0\r\n").contains("UID 0"));
        assert!(refused(b"* SEARCH 4294967296\r\n").contains("32-bit"));
        assert!(refused(b"* SEARCH x\r\n").contains("no number"));
        assert!(refused(b"* 1 FETCH (BODY[] {1}\r\na BODY[] {1}\r\na)\r\n").contains("two messages"));
        assert!(refused(b"* 1 FETCH (BODY[] {1}\r\na\r\n").contains("cannot be read"));
        assert!(refused(b"* 1 FETCH (BODY[] {99999999999999999999}\r\n").contains("no number"));
    }

    #[test]
    fn nothing_grows_beyond_its_limit() {
        let line = |octets: usize| {
            let mut line = b"* X ".to_vec();
            line.resize(octets - 2, b'x');
            line.extend_from_slice(b"\r\n");
            line
        };
        assert_eq!(response(&line(limits::LINE)), Response::Other);
        assert!(refused(&line(limits::LINE + 1)).contains("a line of more than"));

        let literal = |octets: usize| {
            let mut input = format!("* X {{{octets}}}\r\n").into_bytes();
            input.resize(input.len() + octets, b'(');
            input.extend_from_slice(b"\r\n");
            input
        };
        assert_eq!(response(&literal(limits::LITERAL)), Response::Other);
        assert!(refused(&literal(limits::LITERAL + 1)).contains("not a message"));

        let announced = |octets: u64| format!("* 1 FETCH (BODY[] {{{octets}}}\r\n").into_bytes();
        assert_eq!(
            decode(&announced(limits::MESSAGE), 4096).unwrap().0,
            [Event::MessageStart(limits::MESSAGE)]
        );
        assert!(refused(&announced(limits::MESSAGE + 1)).contains("at most"));
        assert!(refused(&announced(4 << 30)).contains("at most"));
    }

    #[test]
    fn a_message_has_as_many_flags_as_are_taken_and_the_rest_are_passed_over() {
        let short = (["a"; 1_000].join(" "), limits::FLAGS);
        let long = (["b".repeat(1_000).as_str(); 60].join(" "), limits::FLAG_OCTETS / 1_000);
        for (flags, taken) in [short, long] {
            let input = format!("* 1 FETCH (FLAGS ({flags}) UID 7)\r\n");
            let Response::Fetch(fetch) = response(input.as_bytes()) else { panic!("{taken}") };
            assert_eq!((fetch.uid, fetch.flags.map(|flags| flags.len())), (Some(7), Some(taken)));
        }
    }

    #[test]
    fn parentheses_may_be_nested_as_deep_as_a_line_is_long() {
        let mut input = b"* 1 FETCH (UID 3 X ".to_vec();
        input.resize(limits::LINE / 2, b'(');
        input.resize(limits::LINE - 40, b')');
        input.extend_from_slice(b" FLAGS ())\r\n");
        // Whether the parentheses match or not, there is an answer and no stack is used up.
        assert!(matches!(response(&input), Response::Fetch(_) | Response::Other));
    }
}
