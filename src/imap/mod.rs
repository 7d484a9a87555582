//! A [`Stream`] → a logged-in session with a selected mailbox, and the commands on it.
//!
//! Bytes become events in [`decoder`], which knows no socket. [`dialogue`] sends commands and receives their answers, from
//! the greeting on; [`login`] opens a connection over it and lets the `imap` crate conduct AUTHENTICATE or LOGIN behind a
//! [`guard`]; [`session`] is the result.
//!
//! An untagged line that no command in flight needs is never fatal. It is counted and can be reported.

pub mod backoff;
pub mod commands;
mod cursor;
pub mod decoder;
mod dialogue;
pub mod folders;
mod guard;
pub mod limits;
pub mod listing;
pub mod login;
#[cfg(test)]
mod login_tests;
#[cfg(test)]
mod mechanism_tests;
pub mod responses;
mod sasl;
#[cfg(test)]
pub(crate) mod scripted;
mod search;
pub mod session;
pub mod tags;
pub mod uids;

use std::io::{Read, Write};

use crate::failure::Result;
use crate::net::{Deadline, Stream, Trust};
use crate::sanitize;

/// What IMAP is spoken over: a [`Stream`], or a scripted peer in memory.
pub trait Transport: Read + Write + Send {
    /// The end of every read and write from now on.
    fn set_deadline(&mut self, deadline: Deadline);

    /// The other end, as failures name it.
    fn peer(&self) -> &str;

    /// Whether nobody on the way can read along.
    fn is_encrypted(&self) -> bool;

    /// TLS after STARTTLS.
    fn start_tls(
        self: Box<Self>,
        host: &str,
        trust: &Trust,
        deadline: Deadline,
    ) -> Result<Box<dyn Transport>>;
}

impl Transport for Stream {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.set_deadline(deadline);
    }

    fn peer(&self) -> &str {
        self.peer()
    }

    fn is_encrypted(&self) -> bool {
        self.is_tls()
    }

    fn start_tls(
        self: Box<Self>,
        host: &str,
        trust: &Trust,
        deadline: Deadline,
    ) -> Result<Box<dyn Transport>> {
        Ok(Box::new((*self).start_tls(host, trust, deadline)?))
    }
}

/// The lines in which the server said what is wrong, newest last: `NO`, `BAD` and `BYE`, tagged or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Complaints(std::collections::VecDeque<String>);

impl Complaints {
    fn add(&mut self, line: String) {
        if self.0.len() == limits::LAST_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    /// One complaint a line; `None` where there was none.
    fn text(&self) -> Option<String> {
        // The line feeds between the lines are ours, those within a line the server's.
        let lines = || self.0.iter().map(|line| sanitize::line(line.as_str())).collect::<Vec<_>>();
        (!self.0.is_empty()).then(|| lines().join("\n"))
    }
}
