//! The network thread: it connects, sends what the engine wants sent, and tells it what the server says.
//!
//! It never waits for a caller while a command is in flight: a message is asked for only if there is memory for it, and one
//! that turns out larger goes to a file or is passed over.

use std::sync::Arc;

use crate::engine::input::{Arrival, CommandId, Connected, Event, FolderNumbers, Input, Stored};
use crate::engine::record::Identity;
use crate::failure::{Failure, Result};
use crate::imap::commands::Command;
use crate::imap::responses::{self, Code, Condition, Response};
use crate::imap::session::{Received, Session};

use super::commands;
use super::connect::Attempt;
use super::mark::mark;
use super::message::{Incoming, Message, MessageId, received_millis};
use super::shared::{NetworkWork, Shared};

/// Runs until the engine has stopped.
pub(super) fn run(shared: &Arc<Shared>) {
    shared.config.remember_secrets();
    let mut thread = Network {
        shared,
        session: None,
        link: 0,
        incoming: None,
        numbers: FolderNumbers::default(),
        copying: false,
    };
    while thread.step() {}
}

struct Network<'a> {
    shared: &'a Arc<Shared>,
    session: Option<Session<CommandId>>,
    /// The number of the connection.
    link: u64,
    /// A message that is arriving: its octets come before the response that names it.
    incoming: Option<Incoming>,
    /// Numbers of a folder since the last tagged answer.
    numbers: FolderNumbers,
    /// The last change that was sent is a COPY.
    copying: bool,
}

impl Network<'_> {
    /// Does the next thing. Returns false at the end.
    fn step(&mut self) -> bool {
        let reading = self.session.as_ref().is_some_and(|session| session.in_flight() > 0);
        match self.shared.next_network_work(reading) {
            Some(NetworkWork::Stop) => return false,
            Some(NetworkWork::Connect { link }) => self.connect(link),
            Some(NetworkWork::Send { link, id, command }) if link == self.link => self.send(id, &command),
            Some(NetworkWork::Send { .. }) => {}
            Some(NetworkWork::Disconnect) => self.session = None,
            Some(NetworkWork::LogOut) => {
                if let Some(session) = self.session.take() {
                    session.log_out();
                }
            }
            None => self.receive(),
        }
        true
    }

    fn connect(&mut self, link: u64) {
        let shared = self.shared;
        self.session = None;
        shared.look_up_credential();
        let (authentication, cancel) = {
            let core = shared.lock();
            if core.link != link {
                return;
            }
            (core.authentication(&shared.config).clone(), shared.cancel_of(&core))
        };
        let attempt = Attempt {
            config: &shared.config,
            authentication: &authentication,
            connector: &*shared.connector,
            trust: &shared.trust,
            times: &shared.times,
            read_only: shared.read_only,
            cancel: &cancel,
            log: &shared.log,
        };
        let opened = attempt.run::<CommandId>();
        let mut core = shared.lock();
        if core.link != link {
            return;
        }
        match opened {
            Ok(session) => {
                let connected = Connected {
                    uid_validity: session.selected.uid_validity,
                    exists: session.selected.exists,
                    capabilities: session.capabilities,
                    folders: session.folders.clone(),
                    inbox: session.selected.name.clone(),
                };
                self.link = link;
                self.session = Some(session);
                core.alerts.clear();
                shared.show_alerts(&mut core, self.alerts());
                (self.incoming, self.numbers, self.copying) = (None, FolderNumbers::default(), false);
                shared.handle(&mut core, Input::Connected(connected));
            }
            Err(failure) => shared.handle(&mut core, Input::Lost(failure)),
        }
    }

    fn send(&mut self, id: CommandId, command: &Command) {
        let Some(session) = &mut self.session else { return };
        match command {
            Command::Copy(..) => self.copying = true,
            Command::Move(..) => self.copying = false,
            _ => {}
        }
        if let Err(failure) = session.send(command, id) {
            self.lost(failure);
        }
    }

    fn lost(&mut self, failure: Failure) {
        self.session = None;
        let mut core = self.shared.lock();
        if core.link == self.link {
            self.shared.handle(&mut core, Input::Lost(failure));
        }
    }

    /// Takes in what the server sends next, up to the answer to a command.
    fn receive(&mut self) {
        loop {
            match self.receive_one() {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => return self.lost(failure),
            }
            if !self.session.as_ref().is_some_and(Session::has_input) {
                return;
            }
        }
    }

    /// Returns false after the answer to a command, and if nothing has come.
    fn receive_one(&mut self) -> Result<bool> {
        let wake = self.shared.wake_time();
        let Some(session) = &mut self.session else { return Ok(false) };
        let event = match session.receive_until(wake)? {
            None => return Ok(false),
            Some(Received::MessageStart { octets, .. }) => {
                let placement = self.shared.lock().engine.placement(octets);
                self.incoming =
                    Some(Incoming::new(octets, placement, self.shared.config.tmp_directory.as_deref()));
                return Ok(true);
            }
            Some(Received::Message(octets)) => {
                if let Some(incoming) = &mut self.incoming {
                    incoming.add(octets);
                }
                Event::Progress
            }
            Some(Received::Uids(uids)) => Event::Found(uids),
            Some(Received::Data(response)) => match self.data(response) {
                Some(event) => event,
                None => return Ok(true),
            },
            Some(Received::Done(id, condition)) => {
                self.done(id, condition);
                return Ok(false);
            }
        };
        self.tell(event);
        Ok(true)
    }

    fn alerts(&mut self) -> Vec<String> {
        self.session.as_mut().map(Session::take_alerts).unwrap_or_default()
    }

    fn tell(&self, event: Event) {
        let mut core = self.shared.lock();
        if core.link == self.link {
            self.shared.handle(&mut core, Input::Session(event));
        }
    }

    fn done(&mut self, id: CommandId, condition: Condition) {
        let alerts = self.alerts();
        if !alerts.is_empty() {
            self.shared.show_alerts(&mut self.shared.lock(), alerts);
        }
        if let Some(event) = self.code(condition.code.as_ref()) {
            self.tell(event);
        }
        let answer = commands::answer(condition, std::mem::take(&mut self.numbers));
        self.tell(Event::Done(id, answer));
    }

    /// Takes in untagged data. Returns what the engine is to be told of it.
    fn data(&mut self, response: Response) -> Option<Event> {
        match response {
            Response::Exists(exists) => Some(Event::Exists(exists)),
            Response::Expunge(_) => Some(Event::Expunged(1)),
            Response::Vanished(uids) => {
                self.tell(Event::Expunged(uids.len().try_into().unwrap_or(u32::MAX)));
                Some(Event::Vanished(uids))
            }
            Response::SearchEnd { .. } => Some(Event::SearchLine),
            Response::Counts(counts) => {
                self.numbers.uid_next = counts.uid_next;
                self.numbers.uid_validity = counts.uid_validity;
                None
            }
            Response::Untagged(condition) => self.code(condition.code.as_ref()),
            Response::Fetch(fetch) => self.fetched(fetch),
            _ => None,
        }
    }

    fn code(&mut self, code: Option<&Code>) -> Option<Event> {
        match code? {
            Code::UidValidity(now) => {
                self.numbers.uid_validity = Some(*now);
                None
            }
            Code::CopyUid { sources } if self.copying => Some(Event::Copied(sources.clone())),
            Code::CopyUid { sources } => Some(Event::Vanished(sources.clone())),
            _ => None,
        }
    }

    /// A FETCH response: a message, or something that is known of one.
    fn fetched(&mut self, mut fetch: responses::Fetch) -> Option<Event> {
        let incoming = self.incoming.take();
        let message = match fetch.message.take() {
            // The server has nothing for it; its tagged answer tells what becomes of it.
            Some(responses::Message::Absent) => return None,
            None => return commands::attributes(fetch).map(Event::Attributes),
            Some(responses::Message::Quoted(octets)) => Incoming::quoted(octets),
            Some(responses::Message::Streamed) => incoming?,
        };
        let uid = fetch.uid?;
        let internal_date = fetch.internal_date.unwrap_or_default();
        let received = received_millis(&internal_date);
        let identity = Identity { received, mark: mark(message.header()) };
        let mut core = self.shared.lock();
        if core.link != self.link {
            return None;
        }
        let uid_validity = self.session.as_ref()?.selected.uid_validity;
        let (kept, stored) = match message.finish() {
            Ok(body) => {
                let id = MessageId { uid_validity: uid_validity.get(), uid: uid.get() };
                let flags = fetch.flags.unwrap_or_default();
                let message = Message { id, flags, internal_date, received_millis: received, body };
                let stored =
                    if message.body.is_file() { Stored::File } else { Stored::Memory(message.memory()) };
                (Some(message), stored)
            }
            Err(stored) => (None, stored),
        };
        let arrival = Arrival { uid, identity, stored };
        self.shared.handle_arrival(&mut core, kept, Input::Session(Event::Arrived(arrival)));
        None
    }
}
