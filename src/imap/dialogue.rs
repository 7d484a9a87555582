//! Commands in flight on one connection, and their answers as they come, from the greeting on.

mod link;

use std::collections::VecDeque;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::time::{Duration, Instant};

use secrecy::zeroize::Zeroizing;

use super::Transport;
use super::backoff::if_throttled;
use super::commands::Command;
use super::cursor::cut;
use super::decoder::Event;
use super::limits::{self, Times};
use super::responses::{Condition, Fetch, Response};
use super::tags::Tags;
use super::uids::Uid;
use crate::failure::{Failure, Kind, Result, Step};
use crate::log::Log;
use crate::message;
use crate::net::{Deadline, Trust, io_failure};
use crate::sanitize;
use crate::text;

use link::Link;
pub use link::Skipped;

/// Owns the connection. Each command carries a `C` that comes back with its tagged answer.
pub(super) struct Dialogue<C> {
    /// For the commands that are sent from now on.
    pub(super) times: Times,
    link: Link,
    in_flight: VecDeque<InFlight<C>>,
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

impl Dialogue<()> {
    /// Begins with the greeting. Everything ends with `end`, until [`Dialogue::opened`].
    pub(super) fn new(stream: Box<dyn Transport>, tags: Tags, end: Deadline, trace: Option<Log>) -> Self {
        Self::over(Link::new(stream, tags, end, trace), Times::default())
    }

    /// Begins TLS, after the server agreed to it. Octets that came after its answer could be anybody's.
    pub(super) fn encrypt(mut self, host: &str, trust: &Trust, end: Deadline) -> Result<Self> {
        if self.has_input() {
            let peer = self.link.stream.peer();
            return Err(Failure::own(Step::Tls, Kind::Protocol, message!(ImapBeforeTls, peer = peer)));
        }
        self.link.stream = self.link.stream.start_tls(host, trust, end)?;
        self.link.capabilities = None;
        Ok(self)
    }

    /// Names the step of the commands that follow.
    pub(super) fn enter(&mut self, step: Step) {
        self.link.opening = Some(step);
    }

    /// Goes on without the limit and the steps of the opening, and with commands that carry a `D`.
    pub(super) fn opened<D>(mut self) -> Dialogue<D> {
        self.link.end = None;
        self.link.opening = None;
        Dialogue::over(self.link, self.times)
    }
}

impl<C> Dialogue<C> {
    fn over(link: Link, times: Times) -> Self {
        Self {
            times,
            link,
            in_flight: VecDeque::new(),
            until: Instant::now(),
            progress: 0,
            data: 0,
            awaited: 0,
            unasked: 0,
            wanted: false,
            searchable: limits::UIDS,
        }
    }

    /// Sends a command. Its answer comes after those of the commands before it.
    pub(super) fn send(&mut self, command: &Command, context: C) -> Result<()> {
        self.begin(Needs::of(command), command.step(), command.limit(&self.times), context);
        if let Command::Fetch(uids) = command {
            self.awaited += uids.len();
        }
        let line = format!("{} {}\r\n", self.link.tags.last(), command.text());
        self.link.log(|| format!("C: {}", line.trim_ascii_end()));
        self.write(line.as_bytes())
    }

    /// Sends a login command, with no other in flight. The line is not logged: it may have the secret in it.
    pub(super) fn send_login(&mut self, name: &str, line: &[u8], context: C) -> Result<()> {
        self.begin(Needs::Nothing, Step::Login, self.times.command, context);
        let tag = self.link.tags.last();
        self.link.log(|| format!("C: {tag} {name} …"));
        let mut whole = Zeroizing::new(Vec::with_capacity(tag.len() + 1 + line.len()));
        whole.extend_from_slice(tag.as_bytes());
        whole.push(b' ');
        whole.extend_from_slice(line);
        self.write(&whole)
    }

    /// Sends the answer to a challenge, with its line end.
    pub(super) fn send_response(&mut self, line: &[u8]) -> Result<()> {
        self.link.log(|| "C: …".to_owned());
        self.write(line)
    }

    /// Notes a command as being in flight, with a new tag.
    fn begin(&mut self, needs: Needs, step: Step, limit: Duration, context: C) {
        if self.in_flight.is_empty() {
            self.link.complaints.clear();
            self.wait_for(limit);
            self.data = 0;
            self.awaited = 0;
            self.unasked = 0;
            self.searchable = limits::UIDS;
        }
        let step = self.link.opening.unwrap_or(step);
        let tag = self.link.tags.next();
        self.in_flight.push_back(InFlight { tag, needs, step, limit, context });
    }

    pub(super) fn write(&mut self, octets: &[u8]) -> Result<()> {
        let deadline = Deadline::after(WRITE);
        self.link.stream.set_deadline(self.link.end.map_or(deadline, |end| end.min(deadline)));
        let written = self.link.stream.write_all(octets).and_then(|()| self.link.stream.flush());
        written.map_err(|error| self.io_failure(&error))
    }

    /// Returns how many commands wait for their answer.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the contexts of the commands that wait for their answer, the oldest first.
    pub(super) fn contexts(&self) -> impl Iterator<Item = &C> {
        self.in_flight.iter().map(|command| &command.context)
    }

    /// Tells whether something was read that was not received yet.
    pub(super) fn has_input(&self) -> bool {
        !self.link.unread.is_empty()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.link.stream.is_encrypted()
    }

    pub(super) fn peer(&self) -> &str {
        self.link.stream.peer()
    }

    /// Returns the lines NO, BAD and BYE since the last command.
    pub(super) fn complaints(&self) -> Option<String> {
        self.link.complaints.text()
    }

    /// Returns the capabilities that the server named last, if it did since the last call.
    pub(super) fn take_capabilities(&mut self) -> Option<Vec<String>> {
        self.link.capabilities.take()
    }

    /// Returns the alerts since the last call (RFC 9051 §7.1), at most [`limits::LAST_LINES`] of them.
    pub(super) fn take_alerts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.link.alerts)
    }

    /// Returns the lines that were passed over since the last call.
    pub(super) fn take_skipped(&mut self) -> Skipped {
        std::mem::take(&mut self.link.skipped)
    }

    /// Waits for what comes next. After an `Err` the session is of no use any more.
    pub(super) fn receive(&mut self) -> Result<Received<'_, C>> {
        // Without a wake-up time there is no other way to return nothing.
        self.next(None)?.ok_or_else(|| Failure::internal("a session woke up by itself"))
    }

    /// Waits for what comes next, but not longer than until `wake`. `None`: that time has come; the session is as it was, and
    /// the next call goes on. With no command in flight this is the only limit.
    pub(super) fn receive_until(&mut self, wake: Instant) -> Result<Option<Received<'_, C>>> {
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
                    return Ok(Some(Received::Message(&self.link.input[message])));
                }
                Event::Uids(uids) => match cut(*uids.start(), *uids.end(), &mut self.searchable) {
                    Some(last) => return Ok(Some(Received::Uids(*uids.start()..=last))),
                    None => continue,
                },
                Event::Response(response) => Link::masked(response),
            };
            self.link.trace(&response);
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
                return Err(self.beyond(message!(ImapSentUnasked, most = most)));
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

    /// Takes in a response. `None`: there is nothing in it for the caller.
    fn response(&mut self, response: Response) -> Result<Option<Received<'static, C>>> {
        let response = if self.is_greeted() { self.before_greeting(response)? } else { response };
        Ok(Some(match response {
            Response::Tagged { tag, condition } => self.tagged(&tag, condition)?,
            Response::Bye(line) => {
                self.link.complaints.add(line);
                return Err(self.ended());
            }
            Response::Untagged(condition) => {
                self.link.note(&condition);
                Received::Data(Response::Untagged(condition))
            }
            Response::Capabilities(names) => {
                self.link.capabilities = Some(names);
                return Ok(None);
            }
            Response::SearchEnd { readable: false } if self.is_needed(Needs::Uids) => {
                return Err(self.beyond(message!(ImapSentNoUid)));
            }
            Response::Fetch(fetch) if self.is_below(&fetch) => return Ok(None),
            Response::Alien(line) if self.is_needed(Needs::Messages) => {
                // A message may have been counted wrongly: then this is its text.
                return Err(self.beyond(message!(ImapSentAlien, line = line)));
            }
            Response::Alien(line) | Response::Unreadable(line) => {
                self.link.skipped.add(&line);
                return Ok(None);
            }
            response => Received::Data(response),
        }))
    }

    /// Looks at a response that may come instead of a greeting. Untagged data is passed over; the wait ends soon after it.
    /// Anything else shows that the server speaks another protocol.
    fn before_greeting(&mut self, response: Response) -> Result<Response> {
        let line = sanitize::mask(self.link.decoder.trace(&response));
        match response {
            Response::Alien(_) | Response::Continuation(_) | Response::Tagged { .. } => {
                Err(self.beyond(message!(ImapSentAlienGreeting, line = line)))
            }
            Response::Other | Response::Unreadable(_) => {
                self.wait_for(GREETING);
                Ok(Response::Unreadable(line))
            }
            response => Ok(response),
        }
    }

    /// Finds the command that is answered. Answers come in the order of the commands or, if a server works on two at once,
    /// not.
    fn tagged(&mut self, tag: &str, condition: Condition) -> Result<Received<'static, C>> {
        let Some(at) = self.in_flight.iter().position(|command| command.tag == tag) else {
            // Nothing is quoted that can be a part of a message.
            let said = match self.link.decoder.after_messages() {
                true => message!(ImapAnsweredUnsentMasked, peer = self.peer()),
                false => {
                    let line = format!("{tag} {}", condition.line);
                    message!(ImapAnsweredUnsent, peer = self.peer(), line = line)
                }
            };
            return Err(self.failure(Kind::Protocol, said));
        };
        self.link.note(&condition);
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

    /// Tells whether the greeting is the next to come.
    fn is_greeted(&self) -> bool {
        self.link.opening == Some(Step::Greeting) && self.in_flight.is_empty()
    }

    /// Tells whether the server named the last message because the range that was asked for begins behind it.
    fn is_below(&self, fetch: &Fetch) -> bool {
        let mut needs = self.in_flight.iter().map(|command| &command.needs);
        let asked = |needs: &Needs| matches!(needs, Needs::HeadersFrom(first) if fetch.uid < Some(*first));
        fetch.header.is_some() && needs.any(asked)
    }

    /// Sends one command, with none in flight, and passes what comes to `take` until its answer.
    pub(super) fn run(
        &mut self,
        command: &Command,
        context: C,
        mut take: impl FnMut(Received<'_, C>) -> Result<()>,
    ) -> Result<Condition> {
        self.send(command, context)?;
        loop {
            match self.receive()? {
                Received::Done(_, condition) => return Ok(condition),
                received => take(received)?,
            }
        }
    }

    /// Says goodbye without waiting long for the answer.
    pub(super) fn log_out(mut self) {
        self.link.stream.set_deadline(Deadline::after(LOGOUT));
        let line = format!("{} {}\r\n", self.link.tags.next(), Command::Logout.text());
        // The session is at its end; whether the server hears it changes nothing.
        let _ = self.link.stream.write_all(line.as_bytes()).and_then(|()| self.link.stream.flush());
    }

    fn wait_for(&mut self, limit: Duration) {
        self.until = Instant::now() + limit;
        self.progress = 0;
    }

    /// Returns the next event and, if it is a message's octets, their place in the input. `None`: it is time to wake up.
    fn event(&mut self, wake: Option<Instant>) -> Result<Option<(Range<usize>, Event)>> {
        loop {
            if !self.link.unread.is_empty() {
                let start = self.link.unread.start;
                let decoded = self.link.decode();
                let (used, event) = decoded.map_err(|malformed| self.beyond(malformed.0))?;
                if event != Some(Event::Message) {
                    self.data += used as u64;
                    if self.data > limits::ANSWER && self.data > self.most_data() {
                        let most = self.most_data();
                        return Err(self.beyond(message!(ImapSentEndless, most = most)));
                    }
                }
                match event {
                    Some(event) => return Ok(Some((start..start + used, event))),
                    None => continue,
                }
            }
            match self.read(wake) {
                Ok(0) => return Err(self.ended()),
                Ok(read) => self.link.unread = 0..read,
                Err(error) if error.kind() == io::ErrorKind::TimedOut && self.is_awake(wake) => {
                    return Ok(None);
                }
                Err(error) => return Err(self.io_failure(&error)),
            }
        }
    }

    fn most_data(&self) -> u64 {
        match self.link.opening {
            Some(_) if self.is_needed(Needs::Folders) => limits::LISTING,
            Some(_) => limits::ANSWER,
            None if self.is_needed(Needs::Flags) => limits::FLAGS_DATA,
            None => limits::DATA,
        }
    }

    fn read(&mut self, wake: Option<Instant>) -> io::Result<usize> {
        // While the connection is being opened, the greeting is waited for without a command.
        let limited = !self.in_flight.is_empty() || self.is_greeted() && self.link.skipped.count > 0;
        let limit = Some(self.until).filter(|_| limited);
        let from_now = |until: Instant| Deadline::after(until.saturating_duration_since(Instant::now()));
        let until = limit.into_iter().chain(wake).min().map(from_now);
        let deadline = until.into_iter().chain(self.link.end).min();
        self.link.stream.set_deadline(deadline.unwrap_or(Deadline::after(Duration::ZERO)));
        self.link.stream.read(&mut self.link.input)
    }

    /// Tells whether a wait ended because of `wake`, and not because the server took too long.
    fn is_awake(&self, wake: Option<Instant>) -> bool {
        wake.is_some_and(|wake| self.in_flight.is_empty() || wake < self.until)
    }

    /// The server has ended the session, with or without a word.
    fn ended(&self) -> Failure {
        self.failure(Kind::Network, message!(NetCut, peer = self.peer()))
    }

    /// The server sent something that is not taken.
    pub(super) fn beyond(&self, what: text::Message) -> Failure {
        self.failure(Kind::Protocol, message!(ImapSent, peer = self.peer(), what = what))
    }

    fn io_failure(&self, error: &io::Error) -> Failure {
        if error.kind() == io::ErrorKind::TimedOut && self.is_greeted() && self.link.skipped.count > 0 {
            return self.beyond(message!(ImapSentNoGreeting, line = &self.link.skipped.first));
        }
        let failure = io_failure(self.step(), self.peer(), error);
        match self.complaints() {
            Some(text) if failure.kind == Kind::Network => {
                if_throttled(failure.observing_lines(text.lines()))
            }
            _ => failure,
        }
    }

    /// If the server complained, that says more than how the connection ended.
    fn failure(&self, kind: Kind, said: text::Message) -> Failure {
        let failure = match self.complaints() {
            Some(text) if kind == Kind::Network => {
                Failure::new(self.step(), kind, "").observing_lines(text.lines())
            }
            _ => Failure::own(self.step(), kind, said),
        };
        if_throttled(failure)
    }

    /// Returns the step of the command that is being answered.
    fn step(&self) -> Step {
        self.in_flight.front().map(|command| command.step).or(self.link.opening).unwrap_or(Step::Fetch)
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
    /// The folders that LIST names.
    Folders,
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
            Command::List => Needs::Folders,
            Command::AllFlags => Needs::Flags,
            Command::Fetch(_) => Needs::Messages,
            Command::HeadersFrom(first) => Needs::HeadersFrom(*first),
            command if command.searches() => Needs::Uids,
            _ => Needs::Nothing,
        }
    }
}

const WRITE: Duration = Duration::from_secs(30);
/// After a line that is no greeting.
const GREETING: Duration = Duration::from_secs(3);
const LOGOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
