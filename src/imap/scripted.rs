//! A server in memory that follows a script, for tests.
//!
//! ```text
//! S: * OK ready
//! C: A NOOP                  a command; A stands for whatever tag the client gave it
//! S: A OK done
//! C> dXNlcg==                a line without a tag
//! S> ab)                     octets without a line end
//! TLS                        the client begins TLS here
//! ```
//!
//! What stands before a `C` line is sent even if the client asks for something else first, as a server does that has more to
//! say. At the end of the script the connection ends; LOGOUT may come there.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use super::Transport;
use crate::failure::Result;
use crate::net::{Deadline, Trust};

/// One connection to a server that follows `script`, and what became of it.
pub(crate) fn connection(script: &str) -> (Scripted, Outcome) {
    let outcome = Outcome::default();
    let items = script.lines().map(str::trim_start).filter(|line| !line.is_empty());
    let items = items.map(Item::parse).collect();
    outcome.lock().open = 1;
    let scripted = Scripted {
        items,
        piece: usize::MAX,
        encrypted: true,
        tags: BTreeMap::new(),
        to_client: VecDeque::new(),
        from_client: Vec::new(),
        outcome: outcome.clone(),
    };
    (scripted, outcome)
}

/// Connections that the mailbox with this `server` in its configuration will get, one for each script.
pub(crate) fn serve(server: &str, scripts: &[&str]) -> Vec<Outcome> {
    let (peers, outcomes): (VecDeque<_>, Vec<_>) = scripts.iter().map(|script| connection(script)).unzip();
    lock(&SERVERS).insert(server.to_owned(), peers);
    outcomes
}

/// The next of the connections that [`serve`] has for `server`; `None` where it has none.
pub(crate) fn dial(server: &str) -> Option<Box<dyn Transport>> {
    let next = lock(&SERVERS).get_mut(server)?.pop_front()?;
    Some(Box::new(next))
}

/// What became of a connection.
#[derive(Clone, Default)]
pub(crate) struct Outcome(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    open: usize,
    problem: Option<String>,
    /// Everything that the client wrote.
    written: String,
}

impl Outcome {
    /// Fails where the client did something else than the script says, or less.
    #[track_caller]
    pub(crate) fn check(&self) {
        let told = self.lock();
        if let Some(problem) = &told.problem {
            panic!("{problem}\nThe client wrote:\n{}", told.written);
        }
        assert_eq!(told.open, 0, "the script was not played to its end. The client wrote:\n{}", told.written);
    }

    pub(crate) fn written(&self) -> String {
        self.lock().written.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        lock(&self.0)
    }
}

pub(crate) struct Scripted {
    items: VecDeque<Item>,
    /// Octets that one read gives at most.
    pub(crate) piece: usize,
    pub(crate) encrypted: bool,
    /// What the script calls a tag → what the client calls it.
    tags: BTreeMap<String, String>,
    to_client: VecDeque<u8>,
    from_client: Vec<u8>,
    outcome: Outcome,
}

enum Item {
    Server { line: String, end: bool },
    Command { label: String, text: String },
    Line(String),
    Tls,
}

impl Item {
    fn parse(line: &str) -> Item {
        if line == "TLS" {
            return Item::Tls;
        }
        let (kind, rest) = line.split_at(2);
        let rest = rest.strip_prefix(' ').unwrap_or(rest).to_owned();
        match kind {
            "S:" => Item::Server { line: rest, end: true },
            "S>" => Item::Server { line: rest, end: false },
            "C>" => Item::Line(rest),
            "C:" => {
                let (label, text) = rest.split_once(' ').unwrap_or_else(|| panic!("no command in {line}"));
                Item::Command { label: label.to_owned(), text: text.to_owned() }
            }
            _ => panic!("a script has no line {line}"),
        }
    }
}

impl Scripted {
    /// Says what the script lets the server say now.
    fn speak(&mut self) {
        while let Some(Item::Server { line, end }) = self.items.front() {
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            let line = match self.tags.get(first) {
                Some(tag) => format!("{tag} {rest}"),
                None => line.clone(),
            };
            // U+0080 to U+00FF stand for the octets.
            self.to_client.extend(line.chars().map(|character| character as u8));
            self.to_client.extend(if *end { &b"\r\n"[..] } else { b"" });
            self.items.pop_front();
        }
        if self.items.is_empty() {
            self.outcome.lock().open = 0;
        }
    }

    fn hear(&mut self, line: &str) -> io::Result<()> {
        self.speak();
        let (tag, command) = line.split_once(' ').unwrap_or((line, ""));
        match self.items.pop_front() {
            Some(Item::Command { label, text }) if text == command => {
                self.tags.insert(label, tag.to_owned());
                Ok(())
            }
            Some(Item::Line(text)) if text == line => Ok(()),
            None if command == "LOGOUT" => Ok(()),
            Some(Item::Command { text, .. } | Item::Line(text)) => {
                Err(self.problem(format!("the script wants {text:?}, not {line:?}")))
            }
            Some(_) => Err(self.problem(format!("the script wants TLS, not {line:?}"))),
            None => Err(self.problem(format!("the script is over, and there came {line:?}"))),
        }
    }

    fn problem(&self, what: String) -> io::Error {
        self.outcome.lock().problem.get_or_insert(what.clone());
        io::Error::other(what)
    }
}

impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.speak();
        if self.to_client.is_empty() && !self.items.is_empty() {
            return Err(self.problem("the client waits for an answer, and the script for the client".into()));
        }
        let most = buffer.len().min(self.piece);
        self.to_client.read(&mut buffer[..most])
    }
}

impl Write for Scripted {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.from_client.extend_from_slice(octets);
        while let Some(end) = self.from_client.windows(2).position(|end| end == b"\r\n") {
            let line: Vec<u8> = self.from_client.drain(..end + 2).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            self.outcome.lock().written += &format!("{line}\n");
            self.hear(&line)?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Scripted {
    fn set_deadline(&mut self, _: Deadline) {}

    fn peer(&self) -> &str {
        "the server"
    }

    fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    fn start_tls(mut self: Box<Self>, _: &str, _: &Trust, _: Deadline) -> Result<Box<dyn Transport>> {
        if !matches!(self.items.pop_front(), Some(Item::Tls)) {
            self.problem("TLS began where the script has none".into());
        }
        self.encrypted = true;
        Ok(self)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

static SERVERS: Mutex<BTreeMap<String, VecDeque<Scripted>>> = Mutex::new(BTreeMap::new());
