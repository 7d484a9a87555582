//! A session with a selected mailbox: commands in flight, and their answers as they come.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::backoff::if_throttled;
use super::commands::Command;
use super::folders::Folders;
use super::limits::Times;
use super::responses::{Code, Condition, Counts, Decoder, Event, Response, Status};
use super::{Complaints, Transport, limits};
use crate::failure::{Failure, Kind, Result, Step};
use crate::log::{Log, Masks};
use crate::net::{Deadline, io_failure};

/// Owns the stream from SELECT on. Each command carries a `C` that comes back with its tagged answer.
pub struct Session<C> {
    pub capabilities: Capabilities,
    pub folders: Folders,
    pub selected: Selected,
    /// For the commands that are sent from now on.
    pub times: Times,
    stream: Box<dyn Transport>,
    decoder: Decoder,
    /// What was read; `unread` of it was not decoded yet.
    input: Vec<u8>,
    unread: Range<usize>,
    in_flight: VecDeque<InFlight<C>>,
    last_tag: u32,
    /// The end of the wait for the oldest command's answer, or for the next [`limits::PROGRESS`] octets.
    until: Instant,
    /// Octets of awaited messages since that was set.
    progress: u64,
    /// Octets since the last tagged answer, without messages.
    data: u64,
    /// Messages that were asked for and did not come yet.
    awaited: u64,
    /// Messages that came beyond those.
    unasked: u64,
    /// Whether the message under way is one of the awaited ones.
    wanted: bool,
    complaints: Complaints,
    /// What was logged in with: nothing of it is repeated.
    masks: Masks,
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

/// What a SEARCH found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    pub count: u64,
    /// A UID.
    pub first: Option<u32>,
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
        masks: Masks,
        trace: Option<Log>,
    ) -> Self {
        let mut input = rest;
        let unread = 0..input.len();
        input.resize(INPUT.max(input.len()), 0);
        Self {
            capabilities,
            folders,
            selected,
            times: Times::default(),
            stream,
            decoder: Decoder::default(),
            input,
            unread,
            in_flight: VecDeque::new(),
            last_tag: 0,
            until: Instant::now(),
            progress: 0,
            data: 0,
            awaited: 0,
            unasked: 0,
            wanted: false,
            complaints: Complaints::default(),
            masks,
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
        let limit = command.limit(&self.times);
        if self.in_flight.is_empty() {
            self.complaints.clear();
            self.wait_for(limit);
            self.data = 0;
            self.awaited = 0;
            self.unasked = 0;
        }
        if let Command::Fetch(uids) = command {
            self.awaited += uids.len();
        }
        self.in_flight.push_back(InFlight { tag, step: command.step(), limit, context });
        self.stream.set_deadline(Deadline::after(WRITE));
        let written = self.stream.write_all(line.as_bytes()).and_then(|()| self.stream.flush());
        written.map_err(|error| self.io_failure(&error))
    }

    /// How many commands wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The contexts of the commands that wait for their answer, the oldest first.
    pub fn contexts(&self) -> impl Iterator<Item = &C> {
        self.in_flight.iter().map(|command| &command.context)
    }

    /// Whether something was read that was not received yet.
    pub fn has_input(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Waits for what comes next. After an `Err` the session is of no use any more.
    pub fn receive(&mut self) -> Result<Received<'_, C>> {
        let (message, event) = self.event()?;
        let response = match event {
            Event::MessageStart(octets) => {
                self.wanted = self.awaited > 0;
                if self.wanted {
                    self.awaited -= 1;
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
            Event::Message => {
                if self.wanted {
                    self.progress += message.len() as u64;
                }
                if self.progress >= limits::PROGRESS
                    && let Some(limit) = self.in_flight.front().map(|command| command.limit)
                {
                    self.wait_for(limit);
                }
                return Ok(Received::Message(&self.input[message]));
            }
            Event::Uid(uid) => return Ok(Received::Uid(uid)),
            Event::Response(response) => self.masked(response),
        };
        if let Some(log) = &self.trace {
            match &response {
                Response::SearchEnd => log.debug("S: * SEARCH …"),
                _ => log.debug(format!("S: {}", self.decoder.trace(&response))),
            }
        }
        match response {
            Response::Tagged { tag, condition } => {
                // Answers come in the order of the commands or, where a server works on two at once, not.
                let Some(at) = self.in_flight.iter().position(|command| command.tag == tag) else {
                    // Of what can be a part of a message nothing is said.
                    let what = if self.decoder.after_messages() {
                        String::new()
                    } else {
                        format!(": {tag} {}", condition.line)
                    };
                    let observed =
                        format!("{} answered a command that was not sent{what}", self.stream.peer());
                    return Err(self.failure(Kind::Protocol, observed));
                };
                if condition.status != Status::Ok {
                    self.complaints.add(condition.line.clone());
                }
                let done = self.in_flight.remove(at);
                self.data = 0;
                if let Some(limit) = self.in_flight.front().map(|command| command.limit) {
                    self.wait_for(limit);
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

    /// The same for a SEARCH: how many it found, and the first of them.
    pub fn search(&mut self, command: &Command, context: C) -> Result<(Condition, Found)> {
        let mut found = Found::default();
        self.send(command, context)?;
        loop {
            match self.receive()? {
                Received::Uid(uid) => {
                    found.count += 1;
                    found.first.get_or_insert(uid);
                }
                Received::Done(_, condition) => return Ok((condition, found)),
                _ => {}
            }
        }
    }

    /// The same for STATUS.
    pub fn counts(&mut self, folder: &str, context: C) -> Result<(Condition, Counts)> {
        let mut counts = Counts::default();
        self.send(&Command::Status(folder.to_owned()), context)?;
        loop {
            match self.receive()? {
                Received::Data(Response::Counts(told)) => counts = told,
                Received::Done(_, condition) => return Ok((condition, counts)),
                _ => {}
            }
        }
    }

    /// The same for APPEND (RFC 9051 §6.3.12), with the message after the server's `+`.
    pub fn append(&mut self, folder: &str, message: &[u8], context: C) -> Result<Condition> {
        self.send(&Command::Append(folder.to_owned(), message.len()), context)?;
        loop {
            match self.receive()? {
                Received::Data(Response::Continuation) => {
                    self.stream.set_deadline(Deadline::after(WRITE));
                    let written =
                        self.stream.write_all(message).and_then(|()| self.stream.write_all(b"\r\n"));
                    let written = written.and_then(|()| self.stream.flush());
                    written.map_err(|error| self.io_failure(&error))?;
                }
                Received::Done(_, condition) => return Ok(condition),
                _ => {}
            }
        }
    }

    /// The same for SELECT or EXAMINE of another folder, which is the selected one from then on if the server says OK.
    pub fn reselect(&mut self, folder: &str, read_only: bool, context: C) -> Result<Condition> {
        let name = folder.to_owned();
        let command = if read_only { Command::Examine(name) } else { Command::Select(name) };
        let mut uid_validity = 0;
        self.send(&command, context)?;
        loop {
            match self.receive()? {
                Received::Data(Response::Untagged(Condition {
                    code: Some(Code::UidValidity(now)), ..
                })) => {
                    uid_validity = now;
                }
                Received::Done(_, condition) => {
                    if condition.status == Status::Ok {
                        self.selected = Selected { name: folder.to_owned(), uid_validity };
                    }
                    return Ok(condition);
                }
                _ => {}
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

    /// Without the secret in the texts that failures are made of.
    fn masked(&self, response: Response) -> Response {
        let masked = |condition: Condition| Condition { line: self.masks.apply(condition.line), ..condition };
        match response {
            Response::Tagged { tag, condition } => Response::Tagged { tag, condition: masked(condition) },
            Response::Untagged(condition) => Response::Untagged(masked(condition)),
            Response::Bye(line) => Response::Bye(self.masks.apply(line)),
            other => other,
        }
    }

    fn wait_for(&mut self, limit: Duration) {
        self.until = Instant::now() + limit;
        self.progress = 0;
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
        if_throttled(Failure::new(self.step(), kind, self.masks.apply(observed)))
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

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::net::Trust;

    #[test]
    fn neither_a_large_mail_nor_octets_that_trickle_in_prolong_the_wait() {
        let fetch = b"* 1 FETCH (UID 1 BODY[] {1073741824}\r\n";
        let first = limits_of_waits(fetch, 20, 1);
        assert!(first.windows(2).all(|pair| pair[0] >= pair[1]), "{first:?}");
        assert!(first[0] <= Times::default().command, "{first:?}");
        // What comes at a speed that mail is read at does.
        let enough = limits_of_waits(fetch, 80, 16 * 1024);
        assert!(enough.windows(2).any(|pair| pair[0] < pair[1]), "{enough:?}");
        // What nobody asked for does not.
        let unasked = limits_of_waits(
            b"* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n* 1 FETCH (UID 2 BODY[] {1073741824}\r\n",
            80,
            16 * 1024,
        );
        assert!(unasked.windows(2).all(|pair| pair[0] >= pair[1]), "{unasked:?}");
    }

    /// How long each read was to wait in the answer to a FETCH of one mail: `answer`, and then so many pieces of a size.
    fn limits_of_waits(answer: &[u8], pieces: usize, size: usize) -> Vec<Duration> {
        let waits = Arc::default();
        let pieces = [answer.to_vec()].into_iter().chain((0..pieces).map(|_| vec![b'x'; size])).collect();
        let peer = Peer { pieces, waits: Arc::clone(&waits) };
        let selected = Selected { name: "INBOX".into(), uid_validity: 1 };
        let capabilities = Capabilities::default();
        let (folders, masks) = (Folders::default(), Masks::default());
        let mut session =
            Session::new(Box::new(peer), Vec::new(), capabilities, folders, selected, masks, None);
        session.send(&Command::Fetch([1].into_iter().collect()), ()).unwrap();
        waits.lock().unwrap().clear();
        while session.receive().is_ok() {}
        let waits = waits.lock().unwrap();
        waits.clone()
    }

    struct Peer {
        pieces: VecDeque<Vec<u8>>,
        waits: Arc<Mutex<Vec<Duration>>>,
    }

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.pieces.pop_front() else { return Ok(0) };
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
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
        fn set_deadline(&mut self, deadline: Deadline) {
            self.waits.lock().unwrap().push(deadline.left().unwrap_or_default());
        }

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
}
