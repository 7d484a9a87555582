//! The step-by-step test of a mailbox: everything between the properties and the folders, in the order in which it is needed.
//!
//! A step that fails does not end the test where later ones can still tell something: without a token the mail server's
//! name, its certificate and its greeting are looked at all the same. Without [`Options::write`] nothing changes anywhere:
//! folders are opened with EXAMINE, no file is written and no lock is taken.

mod access;
mod local;
mod network;
mod report;
mod server;
mod write;

use std::time::Instant;

use crate::config::mailbox_values;
use crate::config::{Authentication, Language, Loaded, OAuth2, keys};
use crate::failure::{Failure, Kind, Result};
use crate::log::Log;
use crate::mailbox;
use crate::net::{Anchors, Cancel, Trust};
use crate::sanitize;
use crate::text::{Circumstances, OBJECT_ID, explain, on_first_use};
use crate::token::{AccessToken, object_id};

pub use report::{Connection, Detail, Name, Outcome, Report, Status, Step, json};

/// How to test.
pub struct Options<'a> {
    pub anchors: Anchors,
    /// Also write, move and delete a message of our own, in folders of our own.
    pub write: bool,
    pub language: Language,
    /// Ends the test; what [`Options::write`] makes is cleaned up all the same.
    pub cancel: &'a Cancel,
    /// Gets what the steps say beside their results.
    pub log: &'a Log,
    /// Sees the heading before the first step, then each step as it ends.
    pub watch: &'a mut dyn FnMut(Progress),
}

/// How far the test has got.
pub enum Progress<'a> {
    Heading(&'a str),
    Step(&'a Step),
}

/// Tests one mailbox. `loaded` is its configuration, or why there is none.
pub fn check(loaded: &Result<Loaded>, listener: Option<&str>, options: Options) -> Report {
    let config = loaded.as_ref().ok().map(|loaded| &loaded.config);
    if let Some(config) = config {
        config.remember_secrets();
    }
    let mailbox = config.map(|config| format!("{}, {}:{}", config.user, config.server, config.port));
    let mailbox = mailbox.map(sanitize::line);
    let values = config.map(mailbox_values);
    let values = |hole: &str| match hole {
        OBJECT_ID => config.and_then(object_id),
        hole => values.as_ref().and_then(|values| values(hole)),
    };
    let Options { anchors, write, language, cancel, log, watch } = options;
    let nobodys = keys::Names::of(listener);
    let names = loaded.as_ref().map_or(&nobodys, |loaded| &loaded.config.names);
    let worked_before = config.is_some_and(mailbox::was_read);
    let mut run =
        Run { language, names, values: &values, worked_before, cancel, log, watch, steps: Vec::new() };
    let mailbox = mailbox.unwrap_or_default();
    (run.watch)(Progress::Heading(&report::heading(listener, &mailbox, language)));
    run.mailbox(loaded, anchors, write);
    Report { listener: listener.map(sanitize::line), mailbox, steps: run.steps, language }
}

/// A test under way.
struct Run<'a> {
    language: Language,
    names: &'a keys::Names,
    values: &'a dyn Fn(&str) -> Option<String>,
    worked_before: bool,
    cancel: &'a Cancel,
    log: &'a Log,
    watch: &'a mut dyn FnMut(Progress),
    steps: Vec<Step>,
}

/// What a step saw beside its result. A server's text gets in here as one into a failure: a line feed in it is escaped before.
#[derive(Default)]
struct Notes {
    seen: Vec<String>,
    warnings: Vec<String>,
}

impl Notes {
    fn see(&mut self, text: impl Into<String>) {
        self.seen.push(sanitize::lines(text));
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(sanitize::lines(text));
    }
}

impl Run<'_> {
    fn mailbox(&mut self, loaded: &Result<Loaded>, anchors: Anchors, write: bool) {
        let Some(loaded) = self.step(Name::Configuration, |_, notes| local::configuration(loaded, notes))
        else {
            return self.not_reached(&AFTER_CONFIGURATION[..AFTER_CONFIGURATION.len() - usize::from(!write)]);
        };
        let config = &loaded.config;
        let mut trust = None;
        let files =
            self.step(Name::Files, |run, notes| local::files(run, config, anchors, &mut trust, notes));
        let network = network::test(self, config, trust.as_ref());

        let mut token = None;
        let mut clock_ahead = None;
        if let Authentication::OAuth2(oauth2) = &config.authentication {
            let trust = trust.as_ref().filter(|_| network.token && files.is_some());
            token = self.token(oauth2, trust, &mut clock_ahead);
        }

        server::test(self, config, trust.as_ref().filter(|_| network.imap), token.as_ref());

        self.step(Name::Deletion, |run, notes| local::deletion(run, config, notes));
        if let Authentication::OAuth2(oauth2) = &config.authentication {
            match clock_ahead {
                Some(ahead) => {
                    self.step(Name::Clock, |run, notes| access::clock(run, ahead, notes));
                }
                None => self.not_reached(&[Name::Clock]),
            }
            match files {
                Some(()) => {
                    self.step(Name::Expiry, |run, notes| access::expiry(run, oauth2, notes));
                }
                None => self.not_reached(&[Name::Expiry]),
            }
        }
        if write {
            match trust.as_ref().filter(|_| self.is_done(Name::Inbox)) {
                Some(trust) => {
                    let token = token.as_ref();
                    self.step(Name::Write, |run, notes| write::test(run, config, trust, token, notes));
                }
                None => self.not_reached(&[Name::Write]),
            }
        }
    }

    /// Gets a token and reads its claims. The server refuses a token that lacks what it needs: the login is not reached then.
    fn token(
        &mut self,
        oauth2: &OAuth2,
        trust: Option<&Trust>,
        clock_ahead: &mut Option<i64>,
    ) -> Option<AccessToken> {
        let Some(trust) = trust else {
            self.not_reached(&[Name::Token, Name::Claims]);
            return None;
        };
        let token = |run: &Self, notes: &mut Notes| access::token(run, oauth2, trust, clock_ahead, notes);
        let Some(token) = self.step(Name::Token, token) else {
            self.not_reached(&[Name::Claims]);
            return None;
        };
        self.step(Name::Claims, |run, notes| access::claims(run, oauth2, &token, notes))?;
        Some(token)
    }

    /// Takes a step and notes how it ended. `None` where it failed.
    fn step<T>(&mut self, name: Name, work: impl FnOnce(&Self, &mut Notes) -> Result<T>) -> Option<T> {
        self.step_at(name, None, None, work)
    }

    /// The same for one of the connections, to `host`.
    fn step_at<T>(
        &mut self,
        name: Name,
        connection: Option<Connection>,
        host: Option<&str>,
        work: impl FnOnce(&Self, &mut Notes) -> Result<T>,
    ) -> Option<T> {
        let begun = Instant::now();
        let mut notes = Notes::default();
        let result = match self.cancel.is_cancelled() {
            true => None,
            false => Some(work(self, &mut notes)),
        };
        let took = begun.elapsed();
        // What was cut off by the caller is not the mailbox's fault.
        let result = result.filter(|result| !matches!(result, Err(failure) if failure.kind == Kind::Closed));
        let status = match &result {
            None => Status::NotReached,
            Some(Err(_)) => Status::Failed,
            Some(Ok(_)) if !notes.warnings.is_empty() => Status::Warning,
            Some(Ok(_)) => Status::Done,
        };
        let (value, failure) = match result {
            None => (None, None),
            Some(Ok(value)) => (Some(value), None),
            Some(Err(failure)) => (None, Some(self.explained(failure))),
        };
        let Notes { seen, warnings } = notes;
        let took = if status == Status::NotReached { Default::default() } else { took };
        self.note(Step {
            title: self.title(name, host),
            name,
            connection,
            status,
            took,
            seen,
            warnings,
            failure,
        });
        value
    }

    fn not_reached(&mut self, names: &[Name]) {
        for &name in names {
            self.not_reached_at(name, None, None);
        }
    }

    fn not_reached_at(&mut self, name: Name, connection: Option<Connection>, host: Option<&str>) {
        let (title, status) = (self.title(name, host), Status::NotReached);
        let (seen, warnings) = (Vec::new(), Vec::new());
        self.note(Step {
            name,
            connection,
            title,
            status,
            took: Default::default(),
            seen,
            warnings,
            failure: None,
        });
    }

    fn title(&self, name: Name, host: Option<&str>) -> String {
        let title = name.title(self.language);
        sanitize::line(host.map_or(title.clone(), |host| format!("{title}: {host}")))
    }

    fn note(&mut self, step: Step) {
        (self.watch)(Progress::Step(&step));
        self.steps.push(step);
    }

    fn is_done(&self, name: Name) -> bool {
        let good = |step: &Step| matches!(step.status, Status::Done | Status::Warning);
        self.steps.iter().any(|step| step.name == name && good(step))
    }

    /// With cause and remedy.
    fn explained(&self, failure: Failure) -> Failure {
        let (language, names, values) = (self.language, self.names, self.values);
        let circumstances = Circumstances { language, names, worked_before: self.worked_before, values };
        let failure = explain(failure, &circumstances);
        if self.worked_before { failure } else { on_first_use(failure, language) }
    }

    /// A key's name as the mailbox writes it.
    fn written(&self, key: &keys::Key) -> String {
        self.names.written(key.name)
    }
}

/// What is left when there is no configuration. [`Name::Write`] is the last one.
const AFTER_CONFIGURATION: [Name; 17] = [
    Name::Files,
    Name::Proxy,
    Name::Dns,
    Name::Tcp,
    Name::Tls,
    Name::Token,
    Name::Claims,
    Name::Greeting,
    Name::Login,
    Name::Namespace,
    Name::Inbox,
    Name::Junk,
    Name::Folders,
    Name::Deletion,
    Name::Clock,
    Name::Expiry,
    Name::Write,
];
