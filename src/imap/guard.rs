//! The layer between the dialogue and the `imap` crate, which conducts the login.
//!
//! The crate's parser calls itself for each parenthesis, has no limit on lines and literals, drops the untagged lines that
//! explain a failure, and ends at lines that it does not know. [`Guard`] reads with our own reader and hands the crate only
//! challenges and the tagged answer, each as a line that it makes itself. [`Handle::into_dialogue`] takes the dialogue back;
//! nothing can be left in the crate's buffer then.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use memchr::memchr;
use secrecy::zeroize::Zeroizing;

use super::dialogue::{Dialogue, Received};
use super::limits;
use super::responses::{Condition, Response, Status};
use crate::failure::{Failure, Result};
use crate::message;

/// Puts a guard over `dialogue`.
pub(super) fn guard(dialogue: Dialogue<()>) -> (Guard, Handle) {
    let inner = Rc::new(RefCell::new(Inner {
        dialogue,
        written: Zeroizing::default(),
        ready: Vec::new(),
        challenges: 0,
        outcome: None,
    }));
    (Guard(inner.clone()), Handle(inner))
}

/// The `imap` crate's side.
pub(super) struct Guard(Rc<RefCell<Inner>>);

/// Our side.
pub(super) struct Handle(Rc<RefCell<Inner>>);

impl Handle {
    /// Returns the dialogue and how the login ended: the tagged answer, or the failure that came before one. The crate must
    /// be done with its side.
    pub(super) fn into_dialogue(self) -> Result<(Dialogue<()>, Option<Result<Condition>>)> {
        let inner = Rc::into_inner(self.0).ok_or_else(|| Failure::internal("a guard is still in use"))?;
        let inner = inner.into_inner();
        Ok((inner.dialogue, inner.outcome))
    }
}

impl Read for Guard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inner = &mut *self.0.borrow_mut();
        if inner.ready.is_empty() {
            inner.advance().map_err(|failure| inner.ended_by(failure))?;
        }
        let read = (&inner.ready[..]).read(buffer)?;
        inner.ready.drain(..read);
        Ok(read)
    }
}

impl Write for Guard {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let inner = &mut *self.0.borrow_mut();
        inner.written.extend_from_slice(octets);
        while let Some(end) = memchr(b'\n', &inner.written) {
            let line = Zeroizing::new(inner.written.drain(..=end).collect::<Vec<u8>>());
            inner.send(&line).map_err(|failure| inner.ended_by(failure))?;
        }
        Ok(octets.len())
    }

    /// Each line was sent when its end came.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Inner {
    dialogue: Dialogue<()>,
    /// The beginning of a line that the crate writes.
    written: Zeroizing<Vec<u8>>,
    /// A line for the crate.
    ready: Vec<u8>,
    challenges: usize,
    outcome: Option<Result<Condition>>,
}

impl Inner {
    /// Waits for the next line that is for the crate.
    fn advance(&mut self) -> Result<()> {
        loop {
            match self.dialogue.receive()? {
                Received::Done((), condition) => {
                    let word = match condition.status {
                        Status::Ok => "OK",
                        Status::No => "NO",
                        Status::Bad => "BAD",
                    };
                    self.ready = format!("{TAG} {word} -\r\n").into_bytes();
                    self.outcome = Some(Ok(condition));
                    return Ok(());
                }
                Received::Data(Response::Continuation(challenge)) => {
                    self.challenges += 1;
                    if self.challenges > limits::CHALLENGES {
                        let most = limits::CHALLENGES;
                        return Err(self.dialogue.beyond(message!(ImapSentChallenges, most = most)));
                    }
                    self.ready = line_of(&challenge);
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// Sends a line of the crate's: a command, which gets a tag of ours, or the answer to a challenge.
    fn send(&mut self, line: &[u8]) -> Result<()> {
        let command = line.strip_prefix(TAG.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
        match command {
            Some(command) if self.dialogue.in_flight() == 0 => {
                let end = command.iter().position(u8::is_ascii_whitespace).unwrap_or(command.len());
                let name = String::from_utf8_lossy(&command[..end]).into_owned();
                self.dialogue.send_login(&name, command, ())
            }
            _ => self.dialogue.send_response(line),
        }
    }

    fn ended_by(&mut self, failure: Failure) -> io::Error {
        self.outcome = Some(Err(failure));
        io::ErrorKind::ConnectionAborted.into()
    }
}

/// Makes a challenge that the crate can read. Text for people (`+ go ahead`) is an empty one.
fn line_of(challenge: &[u8]) -> Vec<u8> {
    match BASE64.decode(challenge) {
        Ok(decoded) if !decoded.is_empty() => [b"+ ", challenge, b"\r\n"].concat(),
        _ => b"+\r\n".to_vec(),
    }
}

/// The crate's first tag; it sends one command.
const TAG: &str = "a1";
