//! What a dialogue has beside its commands: the connection, its decoder, and what is kept of the server's words.

use std::ops::Range;

use crate::failure::Step;
use crate::imap::decoder::{Decoder, Event};
use crate::imap::limits;
use crate::imap::responses::{Code, Condition, Malformed, Response, Status};
use crate::imap::tags::Tags;
use crate::imap::{Complaints, Transport};
use crate::log::Log;
use crate::net::Deadline;
use crate::sanitize;

/// The part of a dialogue that no command belongs to.
pub(super) struct Link {
    pub(super) stream: Box<dyn Transport>,
    pub(super) decoder: Decoder,
    /// Octets that were read; `unread` of them were not decoded yet.
    pub(super) input: Vec<u8>,
    pub(super) unread: Range<usize>,
    pub(super) tags: Tags,
    /// The end of everything, while the connection is being opened.
    pub(super) end: Option<Deadline>,
    /// The step of the commands that open the connection; `None`: each has its own.
    pub(super) opening: Option<Step>,
    pub(super) skipped: Skipped,
    pub(super) alerts: Vec<String>,
    pub(super) capabilities: Option<Vec<String>>,
    pub(super) complaints: Complaints,
    pub(super) trace: Option<Log>,
}

/// Lines that were passed over because they could not be read, and no command in flight needed them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    pub count: u64,
    /// The beginning of the first one; its length only, if it could be a part of a message.
    pub first: String,
}

impl Skipped {
    pub(super) fn add(&mut self, line: &str) {
        if self.count == 0 {
            line.clone_into(&mut self.first);
        }
        self.count += 1;
    }
}

impl Link {
    pub(super) fn new(stream: Box<dyn Transport>, tags: Tags, end: Deadline, trace: Option<Log>) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            input: vec![0; INPUT],
            unread: 0..0,
            tags,
            end: Some(end),
            opening: Some(Step::Greeting),
            skipped: Skipped::default(),
            alerts: Vec::new(),
            capabilities: None,
            complaints: Complaints::default(),
            trace,
        }
    }

    pub(super) fn decode(&mut self) -> std::result::Result<(usize, Option<Event>), Malformed> {
        let decoded = self.decoder.decode(&self.input[self.unread.clone()])?;
        self.unread.start += decoded.0;
        Ok(decoded)
    }

    pub(super) fn log(&self, line: impl FnOnce() -> String) {
        if let Some(log) = &self.trace {
            log.debug(line());
        }
    }

    pub(super) fn trace(&self, response: &Response) {
        self.log(|| match response {
            Response::SearchEnd { .. } => "S: * SEARCH …".to_owned(),
            _ => format!("S: {}", self.decoder.trace(response)),
        });
    }

    /// Keeps what a condition says beside its status.
    pub(super) fn note(&mut self, condition: &Condition) {
        if condition.status != Status::Ok {
            self.complaints.add(condition.line.clone());
        }
        match &condition.code {
            Some(Code::Alert) if self.alerts.len() < limits::LAST_LINES => {
                self.alerts.push(condition.line.clone());
            }
            Some(Code::Capability(names)) => self.capabilities = Some(names.clone()),
            _ => {}
        }
    }

    /// Takes secrets out of the texts that failures are made of: other threads do not know them.
    pub(super) fn masked(response: Response) -> Response {
        let masked = |condition: Condition| Condition { line: sanitize::mask(condition.line), ..condition };
        match response {
            Response::Tagged { tag, condition } => Response::Tagged { tag, condition: masked(condition) },
            Response::Untagged(condition) => Response::Untagged(masked(condition)),
            Response::Bye(line) => Response::Bye(sanitize::mask(line)),
            Response::PreAuth(line) => Response::PreAuth(sanitize::mask(line)),
            Response::Alien(line) => Response::Alien(sanitize::mask(line)),
            Response::Unreadable(line) => Response::Unreadable(sanitize::mask(line)),
            other => other,
        }
    }
}

/// One read takes up to two TLS records (RFC 8446 §5.1).
const INPUT: usize = 32 * 1024;
