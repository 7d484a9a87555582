//! Bytes → responses, without knowing a socket.
//!
//! [`Decoder::decode`] is given whatever has been read and says how much of it was used and what it was. It holds one
//! response's text at most: a message goes through in pieces, and so does a SEARCH answer of any length.

use crate::message;
use std::ops::RangeInclusive;

use super::cursor::{Literal, is_blank, lossy, parse_number, trim_line_end};
use super::limits;
use super::responses::{Malformed, Response, announces_message, carries_data, parse};
use super::search::Search;
use super::uids::Uid;

/// Turns bytes into [`Event`]s.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// The response's text so far, with `{n}\r\n` where a literal was.
    text: Vec<u8>,
    /// Its literals, in order; the message's is not buffered.
    literals: Vec<Literal>,
    /// The text of the response before.
    last: Vec<u8>,
    /// A message has come. If the server counted it wrongly, a line from now on can be a part of it.
    messages: bool,
}

/// What a stretch of input was.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// The next so many octets of the stream are a message (`BODY[]`); its FETCH response follows them.
    MessageStart(u64),
    /// All octets used are of the message.
    Message,
    /// UIDs of a SEARCH or ESEARCH response, as the server ordered them.
    Uids(RangeInclusive<Uid>),
    Response(Response),
}

/// Where the decoder stands in the stream.
#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    Search(Search),
    /// In a literal that belongs to the text.
    Literal {
        left: u64,
    },
    Message {
        left: u64,
    },
}

impl Decoder {
    /// Returns how many octets of `input` were used, and what they were if that is known already. Not all of `input` need
    /// be used; none is used twice. With an `Err` the stream is lost.
    pub fn decode(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Malformed> {
        match &mut self.state {
            State::Text => self.decode_text(input),
            State::Search(_) => Ok(self.decode_search(input)),
            State::Literal { left } => {
                let used = take(left, input);
                let end = *left == 0;
                self.buffer(&input[..used]);
                if end {
                    self.state = State::Text;
                }
                Ok((used, None))
            }
            State::Message { left } => {
                let used = take(left, input);
                if *left == 0 {
                    self.state = State::Text;
                }
                Ok((used, Some(Event::Message)))
            }
        }
    }

    /// Tells whether a message has come, so that a line that makes no sense can be a part of it.
    pub fn after_messages(&self) -> bool {
        self.messages
    }

    /// Returns the last response as it may be logged: without what was in its literals, and nothing of a line that was not
    /// asked for after a message.
    pub fn trace(&self, response: &Response) -> String {
        let foreign = matches!(response, Response::Other | Response::Unreadable(_) | Response::Alien(_));
        if self.messages && foreign {
            return format!("{{{} octets}}", self.last.len());
        }
        lossy(trim_line_end(&self.last)).replace("}\r\n", " octets}")
    }

    fn decode_text(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Malformed> {
        let mut used = 0;
        if self.text.is_empty() {
            used = input.iter().take_while(|&&octet| octet == 0).count();
        }
        // The first octets tell whether this is a SEARCH response, which may be longer than any buffer.
        while let Beginning::Open(search) = beginning(&self.text) {
            let Some(&octet) = input.get(used) else { return Ok((used, None)) };
            if let Some(search) = search
                && (is_blank(octet) || matches!(octet, b'\r' | b'\n'))
            {
                self.text.clear();
                self.state = State::Search(search);
                let (more, event) = self.decode_search(&input[used..]);
                return Ok((used + more, event));
            }
            if octet == b'\n' {
                break;
            }
            self.text.push(octet);
            used += 1;
        }
        let rest = &input[used..];
        let (more, line_end) = match memchr::memchr(b'\n', rest) {
            Some(at) => (at + 1, true),
            None => (rest.len(), false),
        };
        if self.text.len() + more > limits::LINE {
            return Err(Malformed(message!(ImapSentLongLine, most = limits::LINE)));
        }
        self.text.extend_from_slice(&rest[..more]);
        used += more;
        let event = if line_end { self.end_line()? } else { None };
        Ok((used, event))
    }

    fn end_line(&mut self) -> Result<Option<Event>, Malformed> {
        if let Some(octets) = announced_literal(&self.text)? {
            return self.start_literal(octets);
        }
        std::mem::swap(&mut self.text, &mut self.last);
        self.text.clear();
        let literals = std::mem::take(&mut self.literals);
        let line = trim_line_end(&self.last);
        // An empty line says nothing.
        if line.iter().all(|&octet| is_blank(octet)) {
            return Ok(None);
        }
        parse(line, &literals, self.messages).map(|response| Some(Event::Response(response)))
    }

    fn start_literal(&mut self, octets: u64) -> Result<Option<Event>, Malformed> {
        if announces_message(&self.text) {
            if self.literals.iter().any(|literal| matches!(literal, Literal::Message)) {
                return Err(Malformed(message!(ImapSentTwoMessages)));
            }
            if octets > limits::MESSAGE {
                return Err(Malformed(message!(
                    ImapSentLargeMessage,
                    bytes = octets,
                    most = limits::MESSAGE
                )));
            }
            self.literals.push(Literal::Message);
            self.messages = true;
            if octets > 0 {
                self.state = State::Message { left: octets };
            }
            return Ok(Some(Event::MessageStart(octets)));
        }
        if octets > limits::DATA || self.literals.len() == limits::LITERALS {
            let (count, data) = (limits::LITERALS, limits::DATA);
            let what = message!(ImapSentLargeLiteral, count = count, most = data);
            return Err(Malformed(what));
        }
        self.literals.push(Literal::Buffered { octets: Vec::new(), whole: true });
        if octets > 0 {
            self.state = State::Literal { left: octets };
        }
        Ok(None)
    }

    /// Keeps octets of a literal, as far as there is room and memory for them.
    fn buffer(&mut self, input: &[u8]) {
        let buffered: usize = self.literals.iter().map(Literal::len).sum();
        let room = limits::LITERAL.saturating_sub(buffered).min(input.len());
        if let Some(Literal::Buffered { octets, whole }) = self.literals.last_mut() {
            let room = if octets.try_reserve(room).is_ok() { room } else { 0 };
            octets.extend_from_slice(&input[..room]);
            *whole &= room == input.len();
        }
    }

    fn decode_search(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        let State::Search(search) = &mut self.state else { return (0, None) };
        let (used, uids) = search.read(input);
        if let Some(uids) = uids {
            return (used, Some(Event::Uids(uids)));
        }
        let response = search.ended();
        if response.is_some() {
            self.state = State::Text;
        }
        (used, response.map(Event::Response))
    }
}

fn take(left: &mut u64, input: &[u8]) -> usize {
    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= used as u64;
    used
}

/// What the first octets of a line can become.
enum Beginning {
    /// A SEARCH response, if more of it comes; `Some`: if a blank or the line's end comes.
    Open(Option<Search>),
    Other,
}

fn beginning(text: &[u8]) -> Beginning {
    let Some((&first, rest)) = text.split_first() else { return Beginning::Open(None) };
    let blanks = rest.iter().take_while(|&&octet| is_blank(octet)).count();
    let word = &rest[blanks..];
    if first != b'*' || blanks == 0 && !word.is_empty() || blanks > BLANKS {
        return Beginning::Other;
    }
    for (name, extended) in [(&b"SEARCH"[..], false), (b"ESEARCH", true)] {
        if name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)) {
            return Beginning::Open((name.len() == word.len()).then(|| Search::new(extended)));
        }
    }
    Beginning::Other
}

/// Reads the number in `{n}` or `{n+}` at the end of a line of `text`, if it announces a literal. Text for people
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
        None => Err(Malformed(message!(ImapSentLiteralLength))),
    }
}

/// Blanks between `*` and SEARCH. Some servers write two.
const BLANKS: usize = 8;

#[cfg(test)]
mod tests;
