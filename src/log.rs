//! What the library has to say, queued until somebody takes it.
//!
//! No thread of the library ever enters the JVM, so it cannot log there by itself: a Java thread that is in a call, or the
//! command line, takes the records and writes them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};

/// The queue of one mailbox. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Log {
    records: Arc<Mutex<VecDeque<Record>>>,
    masks: Masks,
}

/// Secrets that are not repeated where the other side repeats them.
#[derive(Debug, Clone, Default)]
pub struct Masks(Arc<Vec<SecretString>>);

impl Masks {
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let long_enough = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST);
        Self(Arc::new(long_enough.map(SecretString::from).collect()))
    }

    pub fn apply(&self, mut text: String) -> String {
        for secret in self.0.iter().map(ExposeSecret::expose_secret) {
            let begin = secret.char_indices().nth(BEGINNING).map_or(secret, |(end, _)| &secret[..end]);
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| rest.find(begin)).map(|at| from + at) {
                // What is repeated may have been cut short.
                let same = text[at..].chars().zip(secret.chars()).take_while(|(one, other)| one == other);
                let end = at + same.map(|(one, _)| one.len_utf8()).sum::<usize>();
                text.replace_range(at..end, MASK);
                from = at + MASK.len();
            }
        }
        text
    }
}

/// No record holds a secret, a mail's content or a recipient's address.
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

    /// The same queue, with these secrets masked in what is put there through it.
    pub fn masking(&self, masks: Masks) -> Log {
        Log { masks, ..self.clone() }
    }

    /// Everything that was said since the last call, oldest first.
    pub fn take(&self) -> Vec<Record> {
        self.records().drain(..).collect()
    }

    fn push(&self, level: Level, text: String) {
        let text = self.masks.apply(text);
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

/// In octets. Shorter ones stand in many words by chance, and a mask there would tell more than it hides.
const SHORTEST: usize = 6;
/// Characters by which a secret is recognised.
const BEGINNING: usize = 12;
const MASK: &str = "***";

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
        log.masking(Masks::of(["Pl4nted", "a"])).info("S: a1 NO not Pl4nted");
        log.info("S: Pl4nted");
        let texts: Vec<_> = log.take().into_iter().map(|record| record.text).collect();
        assert_eq!(texts, ["S: a1 NO not ***", "S: Pl4nted"]);
        let masks = Masks::of(["a long and Pl4nted secret", "an\u{fc}ther Pl4nted"]);
        let text = "a long and Pl4nted secret, an\u{fc}ther Pl4nted; a long and Pl4n";
        assert_eq!(masks.apply(text.into()), "***, ***; ***", "also where it is cut short");
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
