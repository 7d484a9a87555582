//! A session with a selected mailbox: commands in flight, and their answers as they come.

use std::collections::VecDeque;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::time::{Duration, Instant};

use super::backoff::if_throttled;
use super::commands::Command;
use super::cursor::cut;
use super::decoder::{Decoder, Event};
use super::folders::Folders;
use super::limits::Times;
use super::responses::{Condition, Counts, Fetch, Response, Status};
use super::uids::{Uid, UidSet, UidValidity};
use super::{Complaints, Transport, limits};
use crate::failure::{Failure, Kind, Result, Step};
use crate::log::{Log, Masks};
use crate::net::{Deadline, io_failure};

/// Owns the stream from SELECT on. Each command carries a `C` that comes back with its tagged answer.
pub struct Session<C> {
    pub capabilities: Capabilities,
    pub folders: Folders,
    /// The inbox. [`Session::reselect`] does not change it.
    pub selected: Selected,
    /// For the commands that are sent from now on.
    pub times: Times,
    stream: Box<dyn Transport>,
    decoder: Decoder,
    /// Octets that were read; `unread` of them were not decoded yet.
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
    /// How many UIDs of SEARCH responses may come until the next tagged answer.
    searchable: u64,
    skipped: Skipped,
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
    pub uid_validity: UidValidity,
}

/// Lines that were passed over because they could not be read, and no command in flight needed them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    pub count: u64,
    /// The beginning of the first one; its length only, if it could be a part of a message.
    pub first: String,
}

impl Skipped {
    fn add(&mut self, line: &str) {
        if self.count == 0 {
            line.clone_into(&mut self.first);
        }
        self.count += 1;
    }
}

/// A stretch of what the server sends.
pub enum Received<'a, C> {
    /// So many octets of a message follow, and after them the FETCH response to which they belong. `awaited`: a command in
    /// flight asked for it.
    MessageStart { octets: u64, awaited: bool },
    /// Some octets of it. Those of an awaited message show that the server works.
    Message(&'a [u8]),
    /// UIDs of a SEARCH or ESEARCH response; [`Response::SearchEnd`] follows.
    Uids(RangeInclusive<Uid>),
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
            searchable: limits::UIDS,
            skipped: Skipped::default(),
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
            self.searchable = limits::UIDS;
        }
        if let Command::Fetch(uids) = command {
            self.awaited += uids.len();
        }
        self.in_flight.push_back(InFlight {
            tag,
            needs: Needs::of(command),
            step: command.step(),
            limit,
            context,
        });
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

    /// Returns the lines that were passed over since the last call.
    pub fn take_skipped(&mut self) -> Skipped {
        std::mem::take(&mut self.skipped)
    }

    /// Waits for what comes next. After an `Err` the session is of no use any more.
    pub fn receive(&mut self) -> Result<Received<'_, C>> {
        // Without a wake-up time there is no other way to return nothing.
        self.next(None)?.ok_or_else(|| Failure::internal("a session woke up by itself"))
    }

    /// Waits for what comes next, but not longer than until `wake`. `None`: that time has come; the session is as it was, and
    /// the next call goes on. With no command in flight this is the only limit.
    pub fn receive_until(&mut self, wake: Instant) -> Result<Option<Received<'_, C>>> {
        self.next(Some(wake))
    }

    fn next(&mut self, wake: Option<Instant>) -> Result<Option<Received<'_, C>>> {
        loop {
            let Some((message, event)) = self.event(wake)? else { return Ok(None) };
            let response = match event {
                Event::MessageStart(octets) => {
                    let awaited = self.message_starts()?;
                    return Ok(Some(Received::MessageStart { octets, awaited }));
                }
                Event::Message => {
                    self.message_goes_on(message.len());
                    return Ok(Some(Received::Message(&self.input[message])));
                }
                Event::Uids(uids) => match cut(*uids.start(), *uids.end(), &mut self.searchable) {
                    Some(last) => return Ok(Some(Received::Uids(*uids.start()..=last))),
                    None => continue,
                },
                Event::Response(response) => self.masked(response),
            };
            self.trace(&response);
            if let Some(received) = self.response(response)? {
                return Ok(Some(received));
            }
        }
    }

    /// Counts a message that begins. Returns whether it is awaited.
    fn message_starts(&mut self) -> Result<bool> {
        self.wanted = self.awaited > 0;
        if self.wanted {
            self.awaited -= 1;
        } else {
            self.unasked += 1;
            if self.unasked > limits::UNASKED {
                let most = limits::UNASKED;
                return Err(self.beyond(format!("more than {most} messages that were not asked for")));
            }
        }
        Ok(self.wanted)
    }

    fn message_goes_on(&mut self, octets: usize) {
        if self.wanted {
            self.progress += octets as u64;
        }
        if self.progress >= limits::PROGRESS
            && let Some(limit) = self.in_flight.front().map(|command| command.limit)
        {
            self.wait_for(limit);
        }
    }

    fn trace(&self, response: &Response) {
        if let Some(log) = &self.trace {
            match response {
                Response::SearchEnd { .. } => log.debug("S: * SEARCH …"),
                _ => log.debug(format!("S: {}", self.decoder.trace(response))),
            }
        }
    }

    /// Takes in a response. `None`: there is nothing in it for the caller.
    fn response(&mut self, response: Response) -> Result<Option<Received<'static, C>>> {
        Ok(Some(match response {
            Response::Tagged { tag, condition } => self.tagged(&tag, condition)?,
            Response::Bye(line) => {
                self.complaints.add(line);
                return Err(self.ended());
            }
            Response::Untagged(condition) => {
                if condition.status != Status::Ok {
                    self.complaints.add(condition.line.clone());
                }
                Received::Data(Response::Untagged(condition))
            }
            Response::SearchEnd { readable: false } if self.is_needed(Needs::Uids) => {
                return Err(self.beyond("something in the answer to SEARCH that is no UID".to_owned()));
            }
            Response::Fetch(fetch) if self.is_below(&fetch) => return Ok(None),
            Response::Alien(line) if self.is_needed(Needs::Messages) => {
                // A message may have been counted wrongly: then this is its text.
                return Err(self.beyond(format!("a line that is no IMAP response: {line}")));
            }
            Response::Alien(line) | Response::Unreadable(line) => {
                self.skipped.add(&line);
                return Ok(None);
            }
            response => Received::Data(response),
        }))
    }

    /// Finds the command that is answered. Answers come in the order of the commands or, if a server works on two at once,
    /// not.
    fn tagged(&mut self, tag: &str, condition: Condition) -> Result<Received<'static, C>> {
        let Some(at) = self.in_flight.iter().position(|command| command.tag == tag) else {
            // Nothing is quoted that can be a part of a message.
            let what = if self.decoder.after_messages() {
                String::new()
            } else {
                format!(": {tag} {}", condition.line)
            };
            let observed = format!("{} answered a command that was not sent{what}", self.stream.peer());
            return Err(self.failure(Kind::Protocol, observed));
        };
        if condition.status != Status::Ok {
            self.complaints.add(condition.line.clone());
        }
        let done = self.in_flight.remove(at);
        self.data = 0;
        self.searchable = limits::UIDS;
        if let Some(limit) = self.in_flight.front().map(|command| command.limit) {
            self.wait_for(limit);
        }
        done.map(|done| Received::Done(done.context, condition))
            .ok_or_else(|| Failure::internal("a command in flight vanished"))
    }

    fn is_needed(&self, what: Needs) -> bool {
        self.in_flight.iter().any(|command| command.needs == what)
    }

    /// Tells whether the server named the last message because the range that was asked for begins behind it.
    fn is_below(&self, fetch: &Fetch) -> bool {
        let mut needs = self.in_flight.iter().map(|command| &command.needs);
        let asked = |needs: &Needs| matches!(needs, Needs::HeadersFrom(first) if fetch.uid < Some(*first));
        fetch.header.is_some() && needs.any(asked)
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

    /// Sends one SEARCH, with nothing in flight, and returns all that it found.
    pub fn search(&mut self, command: &Command, context: C) -> Result<(Condition, UidSet)> {
        let mut found = UidSet::new();
        self.send(command, context)?;
        loop {
            match self.receive()? {
                Received::Uids(uids) => found.insert_range(uids),
                Received::Done(_, condition) => return Ok((condition, found)),
                _ => {}
            }
        }
    }

    /// Asks for the counts of a folder that is not selected, with nothing in flight.
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

    /// Writes a message by APPEND (RFC 9051 §6.3.12), with nothing in flight; the message follows the server's `+`.
    pub fn append(&mut self, folder: &str, message: &[u8], context: C) -> Result<Condition> {
        self.send(&Command::Append(folder.to_owned(), message.len()), context)?;
        loop {
            match self.receive()? {
                Received::Data(Response::Continuation(_)) => {
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

    /// Opens another folder by SELECT or EXAMINE, with nothing in flight.
    pub fn reselect(&mut self, folder: &str, read_only: bool, context: C) -> Result<Condition> {
        let name = folder.to_owned();
        self.run(&if read_only { Command::Examine(name) } else { Command::Select(name) }, context)
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

    /// Returns the next event and, if it is a message's octets, their place in the input. `None`: it is time to wake up.
    fn event(&mut self, wake: Option<Instant>) -> Result<Option<(Range<usize>, Event)>> {
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
                    if self.data > limits::DATA && self.data > self.most_data() {
                        let most = self.most_data();
                        return Err(self.beyond(format!("more than {most} octets without an end")));
                    }
                }
                match event {
                    Some(event) => return Ok(Some((start..start + used, event))),
                    None => continue,
                }
            }
            match self.read(wake) {
                Ok(0) => return Err(self.ended()),
                Ok(read) => self.unread = 0..read,
                Err(error) if error.kind() == io::ErrorKind::TimedOut && self.is_awake(wake) => {
                    return Ok(None);
                }
                Err(error) => return Err(self.io_failure(&error)),
            }
        }
    }

    fn most_data(&self) -> u64 {
        if self.is_needed(Needs::Flags) { limits::FLAGS_DATA } else { limits::DATA }
    }

    fn read(&mut self, wake: Option<Instant>) -> io::Result<usize> {
        let limit = Some(self.until).filter(|_| wake.is_none() || !self.in_flight.is_empty());
        let until = limit.into_iter().chain(wake).min().unwrap_or(self.until);
        let left = until.saturating_duration_since(Instant::now());
        self.stream.set_deadline(Deadline::after(left));
        self.stream.read(&mut self.input)
    }

    /// Tells whether a wait ended because of `wake`, and not because the server took too long.
    fn is_awake(&self, wake: Option<Instant>) -> bool {
        wake.is_some_and(|wake| self.in_flight.is_empty() || wake < self.until)
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
                if_throttled(failure.observing_lines(text.lines()))
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
        let observed = self.masks.apply(observed);
        if_throttled(Failure::new(self.step(), kind, "").observing_lines(observed.lines()))
    }

    /// The step of the command that is being answered.
    fn step(&self) -> Step {
        self.in_flight.front().map_or(Step::Fetch, |command| command.step)
    }
}

struct InFlight<C> {
    tag: String,
    needs: Needs,
    step: Step,
    limit: Duration,
    context: C,
}

/// Tells what of the untagged responses a command cannot do without.
#[derive(Debug, PartialEq)]
enum Needs {
    Nothing,
    /// Those of SEARCH.
    Uids,
    /// The flags of all messages.
    Flags,
    /// Whole messages.
    Messages,
    /// Headers from this UID on.
    HeadersFrom(Uid),
}

impl Needs {
    fn of(command: &Command) -> Self {
        match command {
            Command::AllFlags => Needs::Flags,
            Command::Fetch(_) => Needs::Messages,
            Command::HeadersFrom(first) => Needs::HeadersFrom(*first),
            command if command.searches() => Needs::Uids,
            _ => Needs::Nothing,
        }
    }
}

/// The `imap` crate's tags begin with `a`; ours cannot be taken for one.
const TAG: &str = "U";

/// One read takes up to two TLS records (RFC 8446 §5.1).
const INPUT: usize = 32 * 1024;

const WRITE: Duration = Duration::from_secs(30);
const LOGOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
