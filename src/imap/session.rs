//! A session with a selected mailbox.

use std::time::Instant;

use super::backoff::if_throttled;
use super::commands::Command;
use super::dialogue::Dialogue;
use super::folders::Folders;
use super::limits::Times;
use super::responses::{Condition, Counts, Response};
use super::uids::{UidSet, UidValidity};
use crate::failure::{Failure, Kind, Result, Step};

pub use super::dialogue::{Received, Skipped};

/// Sends commands and receives their answers. Each command carries a `C` that comes back with its tagged answer.
pub struct Session<C> {
    pub capabilities: Capabilities,
    pub folders: Folders,
    /// The inbox. [`Session::reselect`] does not change it.
    pub selected: Selected,
    dialogue: Dialogue<C>,
}

/// What the server can do, as far as it is used.
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
    /// How many messages were in it then.
    pub exists: u32,
}

impl<C> Session<C> {
    pub(super) fn new(
        dialogue: Dialogue<C>,
        capabilities: Capabilities,
        folders: Folders,
        selected: Selected,
    ) -> Self {
        Self { capabilities, folders, selected, dialogue }
    }

    /// Sets how long the server may take to answer the commands that are sent from now on.
    pub fn set_times(&mut self, times: Times) {
        self.dialogue.times = times;
    }

    /// Sends a command. Its answer comes after those of the commands before it.
    pub fn send(&mut self, command: &Command, context: C) -> Result<()> {
        self.dialogue.send(command, context)
    }

    /// Returns how many commands wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.dialogue.in_flight()
    }

    /// Returns the contexts of the commands that wait for their answer, the oldest first.
    pub fn contexts(&self) -> impl Iterator<Item = &C> {
        self.dialogue.contexts()
    }

    /// Tells whether something was read that was not received yet.
    pub fn has_input(&self) -> bool {
        self.dialogue.has_input()
    }

    /// Returns the lines that were passed over since the last call.
    pub fn take_skipped(&mut self) -> Skipped {
        self.dialogue.take_skipped()
    }

    /// Returns the texts for the administrator since the last call: `[ALERT]` (RFC 9051 §7.1).
    pub fn take_alerts(&mut self) -> Vec<String> {
        self.dialogue.take_alerts()
    }

    /// Waits for what comes next. After an `Err` the session is of no use any more.
    pub fn receive(&mut self) -> Result<Received<'_, C>> {
        self.dialogue.receive()
    }

    /// Waits for what comes next, but not longer than until `wake`. `None`: that time has come; the session is as it was, and
    /// the next call goes on. With no command in flight this is the only limit.
    pub fn receive_until(&mut self, wake: Instant) -> Result<Option<Received<'_, C>>> {
        self.dialogue.receive_until(wake)
    }

    /// Sends one command, with none in flight, and passes over all data until its answer.
    pub fn run(&mut self, command: &Command, context: C) -> Result<Condition> {
        self.dialogue.run(command, context, |_| Ok(()))
    }

    /// Sends one SEARCH, with nothing in flight, and returns all that it found.
    pub fn search(&mut self, command: &Command, context: C) -> Result<(Condition, UidSet)> {
        let mut found = UidSet::new();
        let condition = self.dialogue.run(command, context, |received| {
            if let Received::Uids(uids) = received {
                found.insert_range(uids);
            }
            Ok(())
        })?;
        Ok((condition, found))
    }

    /// Asks for the counts of a folder that is not selected, with nothing in flight.
    pub fn counts(&mut self, folder: &str, context: C) -> Result<(Condition, Counts)> {
        let mut counts = Counts::default();
        let command = Command::Status(folder.to_owned());
        let condition = self.dialogue.run(&command, context, |received| {
            if let Received::Data(Response::Counts(reported)) = received {
                counts = reported;
            }
            Ok(())
        })?;
        Ok((condition, counts))
    }

    /// Writes a message by APPEND (RFC 9051 §6.3.12), with nothing in flight; the message follows the server's `+`.
    pub fn append(&mut self, folder: &str, message: &[u8], context: C) -> Result<Condition> {
        self.send(&Command::Append(folder.to_owned(), message.len()), context)?;
        loop {
            match self.receive()? {
                Received::Data(Response::Continuation(_)) => {
                    self.dialogue.write(message)?;
                    self.dialogue.write(b"\r\n")?;
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
    pub fn log_out(self) {
        self.dialogue.log_out();
    }

    /// Returns the failure for a tagged NO or BAD.
    pub fn refused(step: Step, condition: &Condition) -> Failure {
        if_throttled(Failure::new(step, Kind::Refused, condition.line.clone()))
    }
}
