//! What the library has to say, queued until somebody takes it.
//!
//! No thread of the library ever enters the JVM, so it cannot log there by itself: a Java thread that is in a call, or the
//! command line, takes the records and writes them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sanitize;

/// The queue of one mailbox. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Log {
    records: Arc<Mutex<VecDeque<Record>>>,
}

/// One line: no record holds a control character, a secret, a message's content or a recipient's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub level: Level,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

impl Log {
    pub fn debug(&self, text: impl Into<String>) {
        self.push(Level::Debug, text.into());
    }

    pub fn info(&self, text: impl Into<String>) {
        self.push(Level::Info, text.into());
    }

    pub fn warning(&self, text: impl Into<String>) {
        self.push(Level::Warning, text.into());
    }

    pub fn error(&self, text: impl Into<String>) {
        self.push(Level::Error, text.into());
    }

    /// Everything that was said since the last call, oldest first.
    pub fn take(&self) -> Vec<Record> {
        self.records().drain(..).collect()
    }

    fn push(&self, level: Level, text: String) {
        let text = sanitize::line(sanitize::joined(&text));
        let mut records = self.records();
        if records.len() == CAPACITY {
            records.pop_front();
        }
        records.push_back(Record { level, text });
    }

    fn records(&self) -> MutexGuard<'_, VecDeque<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody may take the records for hours (a mailbox that is open and not read): the oldest go.
const CAPACITY: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_once_and_in_order() {
        let log = Log::default();
        log.info("one");
        log.clone().warning("two");
        let texts: Vec<_> = log.take().into_iter().map(|record| record.text).collect();
        assert_eq!(texts, ["one", "two"]);
        assert!(log.take().is_empty());
    }

    #[test]
    fn a_secret_that_somebody_repeats_is_masked() {
        let log = Log::default();
        log.info("S: a1 NO not Pl4nted");
        sanitize::remember(["Pl4nted"]);
        log.info("S: a1 NO not Pl4nted");
        let texts: Vec<_> = log.take().into_iter().map(|record| record.text).collect();
        assert_eq!(texts, ["S: a1 NO not Pl4nted", "S: a1 NO not ***"]);
    }

    #[test]
    fn a_record_is_one_line_that_no_terminal_obeys() {
        let log = Log::default();
        log.info("S: NO \u{1b}[2J\r\u{202e}\nERROR a forged line");
        assert_eq!(log.take()[0].text, r"S: NO \u{1b}[2J\u{d}\u{202e} / ERROR a forged line");
    }

    #[test]
    fn the_oldest_records_go_when_nobody_takes_them() {
        let log = Log::default();
        for n in 0..=CAPACITY {
            log.debug(n.to_string());
        }
        let records = log.take();
        assert_eq!(records.len(), CAPACITY);
        assert_eq!(records[0].text, "1");
    }
}
