//! What stands between the stream and the `imap` crate.
//!
//! The crate's parser calls itself for each parenthesis, its lines and literals have no limit, it drops the untagged lines
//! that explain a failure, ends the dialogue at data that it does not know, and cannot give its stream back. [`Guard`]
//! holds the limits, keeps the lines, passes over what nobody asked for, and hands out no octet beyond one line end, so that nothing
//! is left in the crate's buffer when [`Handle::into_stream`] takes the stream.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use memchr::{memchr, memrchr};

use super::{Complaints, Transport, cursor, limits, responses};
use crate::failure::Failure;
use crate::log::Log;

/// Puts a guard over `stream`. With `trace` the dialogue is logged, without what follows AUTHENTICATE and LOGIN.
pub fn guard(stream: Box<dyn Transport>, trace: Option<Log>) -> (Guard, Handle) {
    let inner = Rc::new(RefCell::new(Inner {
        stream: Some(stream),
        trace,
        input: Vec::new(),
        ready: Vec::new(),
        greeting: true,
        known: true,
        continued: false,
        literal: 0,
        depth: 0,
        answer: 0,
        challenges: 0,
        complaints: Complaints::default(),
        capabilities: None,
        violation: None,
    }));
    (Guard(inner.clone()), Handle(inner))
}

/// The `imap` crate's side.
pub struct Guard(Rc<RefCell<Inner>>);

/// Our side: what was seen, and the stream when the crate is done with it.
pub struct Handle(Rc<RefCell<Inner>>);

impl Handle {
    /// What the server complained of since the last command.
    pub fn complaints(&self) -> Option<String> {
        self.0.borrow().complaints.text()
    }

    /// What the server said unasked that it can do (RFC 9051 §7.1, `CAPABILITY`), in its greeting or with its answer to the last
    /// command.
    pub fn capabilities(&self) -> Option<Vec<String>> {
        self.0.borrow().capabilities.clone()
    }

    /// The limit that the server went beyond.
    pub fn violation(&self) -> Option<String> {
        self.0.borrow().violation.clone()
    }

    pub fn peer(&self) -> String {
        self.0.borrow().stream.as_ref().map(|stream| stream.peer().to_owned()).unwrap_or_default()
    }

    /// The stream, and what was read from it and not handed out. Nothing can be read through the guard after that.
    pub fn into_stream(self) -> Result<(Box<dyn Transport>, Vec<u8>), Failure> {
        let mut inner = self.0.borrow_mut();
        let mut rest = std::mem::take(&mut inner.ready);
        rest.append(&mut inner.input);
        let stream = inner.stream.take().ok_or_else(|| Failure::internal("a stream was taken twice"))?;
        Ok((stream, rest))
    }
}

impl Read for Guard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inner = &mut *self.0.borrow_mut();
        while inner.ready.is_empty() {
            if !inner.advance()? {
                return Ok(0);
            }
        }
        let end = memchr(b'\n', &inner.ready).map_or(inner.ready.len(), |at| at + 1).min(buffer.len());
        buffer[..end].copy_from_slice(&inner.ready[..end]);
        inner.ready.drain(..end);
        Ok(end)
    }
}

impl Write for Guard {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let inner = &mut *self.0.borrow_mut();
        inner.answer = 0;
        inner.greeting = false;
        inner.complaints.clear();
        inner.capabilities = None;
        if let Some(log) = &inner.trace {
            log.debug(format!("C: {}", without_credentials(octets)));
        }
        inner.stream()?.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().stream()?.flush()
    }
}

struct Inner {
    stream: Option<Box<dyn Transport>>,
    trace: Option<Log>,
    /// Read and not looked at.
    input: Vec<u8>,
    /// Looked at and not handed out.
    ready: Vec<u8>,
    /// Whether the next line is the greeting: nothing was sent yet.
    greeting: bool,
    /// Whether the response under way is handed out.
    known: bool,
    /// Whether the next line goes on with the response under way, after a literal.
    continued: bool,
    /// Octets of a literal that are still to come.
    literal: usize,
    /// Open parentheses of the response under way.
    depth: usize,
    /// Octets since something was sent.
    answer: usize,
    /// Lines with `+`. Each is answered, so that [`Inner::answer`] does not count them.
    challenges: usize,
    complaints: Complaints,
    capabilities: Option<Vec<String>>,
    violation: Option<String>,
}

impl Inner {
    fn stream(&mut self) -> io::Result<&mut Box<dyn Transport>> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Makes the next line, or the next part of a literal, ready. False at the end of the stream.
    fn advance(&mut self) -> io::Result<bool> {
        if self.literal > 0 && !self.input.is_empty() {
            let end = self.literal.min(self.input.len());
            let octets = self.input.drain(..end);
            if self.known {
                self.ready.extend(octets);
            }
            self.literal -= end;
            return Ok(true);
        }
        if self.literal == 0
            && let Some(at) = memchr(b'\n', &self.input)
        {
            let line: Vec<u8> = self.input.drain(..=at).collect();
            self.line(line)?;
            return Ok(true);
        }
        if self.input.len() > limits::LINE {
            return Err(self.violated(format!("a line of more than {} octets", limits::LINE)));
        }
        let mut buffer = [0; 4096];
        let read = self.stream()?.read(&mut buffer)?;
        self.answer += read;
        if self.answer > limits::ANSWER {
            return Err(self.violated(format!("an answer of more than {} octets", limits::ANSWER)));
        }
        self.input.extend_from_slice(&buffer[..read]);
        Ok(read > 0)
    }

    fn line(&mut self, line: Vec<u8>) -> io::Result<()> {
        if line.len() > limits::LINE {
            return Err(self.violated(format!("a line of more than {} octets", limits::LINE)));
        }
        let text = cursor::excerpt(&line);
        if let Some(log) = &self.trace {
            log.debug(format!("S: {text}"));
        }
        if !self.continued
            && let Some(capabilities) = told_capabilities(&line)
        {
            self.capabilities = Some(capabilities);
        }
        if is_complaint(&text) {
            // Without the star, or the tag, which is nobody's word but ours.
            let words = match text.split_once(' ') {
                Some((first, words)) if !is_complaint(first) => words.to_owned(),
                _ => text,
            };
            self.complaints.add(words);
        }
        if line.starts_with(b"+") {
            self.challenges += 1;
            if self.challenges > limits::CHALLENGES {
                return Err(self.violated(format!("more than {} challenges", limits::CHALLENGES)));
            }
        }
        let data = self.continued || responses::carries_data(&line);
        if !self.continued {
            // A folder whose name is not encoded has none that could be sent back.
            let readable = !data || line.iter().all(|&octet| octet.is_ascii() && octet != 0);
            self.known = self.greeting || is_known(&line) && readable;
            self.depth = 0;
        }
        if data && self.known {
            self.depth = deepest(&line, self.depth)
                .map_err(|()| self.violated(format!("more than {} nested parentheses", limits::DEPTH)))?;
        }
        // The text of a condition may end like the announcement of a literal and is none: what follows is looked at.
        let announced = if data { literal(&line) } else { None };
        match announced {
            Some(octets) if octets > LITERAL as u64 => {
                return Err(self.violated(format!("a literal of more than {LITERAL} octets before SELECT")));
            }
            Some(octets) => self.literal = octets as usize,
            None => {}
        }
        self.continued = announced.is_some();
        if self.known && (data || self.greeting) {
            self.ready.extend_from_slice(&line);
        } else if self.known {
            // The crate cannot read a text that is not in US-ASCII.
            let ascii = |&octet: &u8| if octet.is_ascii() && octet != 0 { octet } else { b'?' };
            self.ready.extend(line.iter().map(ascii));
        }
        Ok(())
    }

    fn violated(&mut self, what: String) -> io::Error {
        let error = io::Error::new(io::ErrorKind::InvalidData, what.clone());
        self.violation = Some(what);
        error
    }
}

/// How many parentheses are open at the end of a line of data, `open` of them from before it. `Err`: too many.
fn deepest(line: &[u8], open: usize) -> Result<usize, ()> {
    let (mut depth, mut quoted, mut escaped) = (open, false, false);
    for &octet in line {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' if !quoted => {
                depth += 1;
                if depth > limits::DEPTH {
                    return Err(());
                }
            }
            b')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(depth)
}

/// The octets that `{n}` at the end of a line announces.
fn literal(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line).strip_suffix(b"}")?;
    let digits = &line[memrchr(b'{', line)? + 1..];
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    // More digits than a number has octets is a literal beyond any limit.
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX))
}

/// `NO`, `BAD` or `BYE`, untagged, tagged, or standing alone.
fn is_complaint(line: &str) -> bool {
    line.split_ascii_whitespace()
        .take(2)
        .any(|word| ["NO", "BAD", "BYE"].iter().any(|known| word.eq_ignore_ascii_case(known)))
}

/// The capabilities in `* OK [CAPABILITY …] …`, in a tagged OK, or in `* CAPABILITY …`.
fn told_capabilities(line: &[u8]) -> Option<Vec<String>> {
    let mut words = std::str::from_utf8(line).ok()?.splitn(3, ' ');
    let (first, name, text) = (words.next()?, words.next()?, words.next()?);
    let is = |word: &str, known| word.eq_ignore_ascii_case(known);
    let capabilities = if is(name, "OK") {
        let (code, _) = text.strip_prefix('[')?.split_once(']')?;
        code.split_once(' ').filter(|(name, _)| is(name, "CAPABILITY"))?.1
    } else if first == "*" && is(name, "CAPABILITY") {
        text
    } else {
        return None;
    };
    Some(capabilities.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Whether the `imap` crate is to see a line. Of what is untagged it gets the answers to what it asked for: its parser calls
/// itself in others, does not know some, panics at an untagged NO in the answer to SELECT, and keeps the rest in memory.
fn is_known(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"* ") else { return true };
    let starts_with = |known: &str| {
        rest.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()))
    };
    KNOWN.iter().any(|known| starts_with(known))
}

/// A command as it may be logged.
fn without_credentials(command: &[u8]) -> String {
    let text = String::from_utf8_lossy(command);
    let mut words = text.trim_ascii_end().splitn(3, ' ');
    let (tag, name) = (words.next().unwrap_or_default(), words.next());
    match name {
        // A line without a blank is the answer to a challenge.
        None => "…".to_owned(),
        Some(name) if ["AUTHENTICATE", "LOGIN"].iter().any(|secret| name.eq_ignore_ascii_case(secret)) => {
            format!("{tag} {name} …")
        }
        Some(_) => text.trim_ascii_end().to_owned(),
    }
}

/// Octets of one literal before SELECT: a folder's name. The `imap` crate reads a response anew from its beginning at each
/// line end within it.
const LITERAL: usize = 8 * 1024;

const KNOWN: [&str; 3] = ["CAPABILITY ", "LIST ", "OK [UIDVALIDITY "];
