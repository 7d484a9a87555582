//! A session with a selected mailbox: commands in flight, and their answers as they come.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::backoff::if_throttled;
use super::commands::Command;
use super::folders::Folders;
use super::responses::{Condition, Decoder, Event, Response, Status};
use super::{Complaints, Transport, limits};
use crate::failure::{Failure, Kind, Result, Step};
use crate::log::Log;
use crate::net::{Deadline, io_failure};

/// Owns the stream from SELECT on. Each command carries a `C` that comes back with its tagged answer.
pub struct Session<C> {
    pub capabilities: Capabilities,
    pub folders: Folders,
    pub selected: Selected,
    stream: Box<dyn Transport>,
    decoder: Decoder,
    /// What was read; `unread` of it was not decoded yet.
    input: Vec<u8>,
    unread: Range<usize>,
    in_flight: VecDeque<InFlight<C>>,
    last_tag: u32,
    /// The end of the wait for the oldest command's answer.
    until: Instant,
    /// Octets since the last tagged answer, without messages.
    data: u64,
    /// Messages that were asked for and did not come yet.
    awaited: u64,
    /// Messages that came beyond those.
    unasked: u64,
    complaints: Complaints,
    trace: Option<Log>,
}

/// What the server can do, as far as we use it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// RFC 6851
    pub r#move: bool,
    /// RFC 4315
    pub uidplus: bool,
}

/// The mailbox that SELECT or EXAMINE opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// As the server writes it.
    pub name: String,
    pub uid_validity: u32,
}

/// What came next.
pub enum Received<'a, C> {
    /// So many octets of a message follow, and after them the FETCH response to which they belong.
    MessageStart(u64),
    Message(&'a [u8]),
    /// A number of a SEARCH response.
    Uid(u32),
    /// Any untagged response but these.
    Data(Response),
    /// The tagged answer to a command.
    Done(C, Condition),
}

impl<C> Session<C> {
    /// `rest` is what was read from the stream already.
    pub(super) fn new(
        stream: Box<dyn Transport>,
        rest: Vec<u8>,
        capabilities: Capabilities,
        folders: Folders,
        selected: Selected,
        trace: Option<Log>,
    ) -> Self {
        let mut input = rest;
        let unread = 0..input.len();
        input.resize(INPUT.max(input.len()), 0);
        Self {
            capabilities,
            folders,
            selected,
            stream,
            decoder: Decoder::default(),
            input,
            unread,
            in_flight: VecDeque::new(),
            last_tag: 0,
            until: Instant::now(),
            data: 0,
            awaited: 0,
            unasked: 0,
            complaints: Complaints::default(),
            trace,
        }
    }

    /// Sends a command. Its answer comes after those of the commands before it.
    pub fn send(&mut self, command: &Command, context: C) -> Result<()> {
        self.last_tag += 1;
        let tag = format!("{TAG}{}", self.last_tag);
        let line = format!("{tag} {}\r\n", command.text());
        if let Some(log) = &self.trace {
            log.debug(format!("C: {}", line.trim_ascii_end()));
        }
        if self.in_flight.is_empty() {
            self.complaints.clear();
            self.until = Instant::now() + command.limit();
            self.data = 0;
            self.awaited = 0;
            self.unasked = 0;
        }
        if let Command::Fetch(uids) = command {
            self.awaited += uids.len();
        }
        self.in_flight.push_back(InFlight { tag, step: command.step(), limit: command.limit(), context });
        self.stream.set_deadline(Deadline::after(WRITE));
        let written = self.stream.write_all(line.as_bytes()).and_then(|()| self.stream.flush());
        written.map_err(|error| self.io_failure(&error))
    }

    /// How many commands wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The commands that got no answer, after a failure.
    pub fn into_unanswered(self) -> impl Iterator<Item = C> {
        self.in_flight.into_iter().map(|in_flight| in_flight.context)
    }

    /// Waits for what comes next. After an `Err` the session is of no use any more.
    pub fn receive(&mut self) -> Result<Received<'_, C>> {
        let (message, event) = self.event()?;
        let response = match event {
            Event::MessageStart(octets) => {
                if let Some(awaited) = self.awaited.checked_sub(1) {
                    self.awaited = awaited;
                    self.until += Duration::from_secs(octets / limits::SLOWEST);
                } else {
                    self.unasked += 1;
                    if self.unasked > limits::UNASKED {
                        return Err(self.beyond(format!(
                            "more than {} messages that nobody asked for",
                            limits::UNASKED
                        )));
                    }
                }
                return Ok(Received::MessageStart(octets));
            }
            Event::Message => return Ok(Received::Message(&self.input[message])),
            Event::Uid(uid) => return Ok(Received::Uid(uid)),
            Event::Response(response) => response,
        };
        if let Some(log) = &self.trace {
            match &response {
                Response::SearchEnd => log.debug("S: * SEARCH …"),
                _ => log.debug(format!("S: {}", self.decoder.trace())),
            }
        }
        match response {
            Response::Tagged { tag, condition } => {
                // Answers come in the order of the commands or, where a server works on two at once, not.
                let Some(at) = self.in_flight.iter().position(|command| command.tag == tag) else {
                    return Err(self.failure(
                        Kind::Protocol,
                        format!(
                            "{} answered a command that was not sent: {tag} {}",
                            self.stream.peer(),
                            condition.line
                        ),
                    ));
                };
                if condition.status != Status::Ok {
                    self.complaints.add(condition.line.clone());
                }
                let done = self.in_flight.remove(at);
                self.data = 0;
                if let Some(next) = self.in_flight.front() {
                    self.until = Instant::now() + next.limit;
                }
                done.map(|done| Received::Done(done.context, condition))
                    .ok_or_else(|| Failure::internal("a command in flight vanished"))
            }
            Response::Bye(line) => {
                self.complaints.add(line);
                Err(self.ended())
            }
            Response::Untagged(condition) => {
                if condition.status != Status::Ok {
                    self.complaints.add(condition.line.clone());
                }
                Ok(Received::Data(Response::Untagged(condition)))
            }
            response => Ok(Received::Data(response)),
        }
    }

    /// Sends one command, with none in flight, and passes over all data until its answer.
    pub fn run(&mut self, command: &Command, context: C) -> Result<Condition> {
        self.send(command, context)?;
        loop {
            if let Received::Done(_, condition) = self.receive()? {
                return Ok(condition);
            }
        }
    }

    /// Says goodbye without waiting long for the answer.
    pub fn log_out(mut self) {
        self.stream.set_deadline(Deadline::after(LOGOUT));
        let line = format!("{TAG}{} {}\r\n", self.last_tag + 1, Command::Logout.text());
        // The session is at its end; whether the server hears it changes nothing.
        let _ = self.stream.write_all(line.as_bytes()).and_then(|()| self.stream.flush());
    }

    /// The failure for a tagged NO or BAD.
    pub fn refused(step: Step, condition: &Condition) -> Failure {
        if_throttled(Failure::new(step, Kind::Refused, condition.line.clone()))
    }

    /// The next event; where it is a message's octets, their place in the input.
    fn event(&mut self) -> Result<(Range<usize>, Event)> {
        loop {
            if !self.unread.is_empty() {
                let start = self.unread.start;
                let decoded = self.decoder.decode(&self.input[self.unread.clone()]);
                let (used, event) = decoded.map_err(|malformed| {
                    self.failure(Kind::Protocol, format!("{} sent {malformed}", self.stream.peer()))
                })?;
                self.unread.start += used;
                if event != Some(Event::Message) {
                    self.data += used as u64;
                    if self.data > limits::DATA {
                        return Err(self.beyond(format!("more than {} octets without an end", limits::DATA)));
                    }
                }
                match event {
                    Some(event) => return Ok((start..start + used, event)),
                    None => continue,
                }
            }
            let left = self.until.saturating_duration_since(Instant::now());
            self.stream.set_deadline(Deadline::after(left));
            match self.stream.read(&mut self.input) {
                Ok(0) => return Err(self.ended()),
                Ok(read) => self.unread = 0..read,
                Err(error) => return Err(self.io_failure(&error)),
            }
        }
    }

    /// The server has ended the session, with or without a word.
    fn ended(&self) -> Failure {
        self.failure(Kind::Network, format!("{} closed the connection", self.stream.peer()))
    }

    /// The server went beyond a limit.
    fn beyond(&self, what: String) -> Failure {
        self.failure(Kind::Protocol, format!("{} sent {what}", self.stream.peer()))
    }

    fn io_failure(&self, error: &std::io::Error) -> Failure {
        let failure = io_failure(self.step(), self.stream.peer(), error);
        match self.complaints.text() {
            Some(text) if failure.kind == Kind::Network => {
                if_throttled(Failure { observed: text, ..failure })
            }
            _ => failure,
        }
    }

    /// What the server complained of says more than how the connection ended.
    fn failure(&self, kind: Kind, observed: String) -> Failure {
        let observed = match self.complaints.text() {
            Some(text) if kind == Kind::Network => text,
            _ => observed,
        };
        if_throttled(Failure::new(self.step(), kind, observed))
    }

    /// The step of the command that is being answered.
    fn step(&self) -> Step {
        self.in_flight.front().map_or(Step::Fetch, |command| command.step)
    }
}

struct InFlight<C> {
    tag: String,
    step: Step,
    limit: Duration,
    context: C,
}

/// The `imap` crate's tags begin with `a`; ours cannot be taken for one.
const TAG: &str = "U";

/// One read takes up to two TLS records (RFC 8446 §5.1).
const INPUT: usize = 32 * 1024;

const WRITE: Duration = Duration::from_secs(30);
const LOGOUT: Duration = Duration::from_secs(1);
