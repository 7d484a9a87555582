//! What the library has to say, queued until somebody takes it.
//!
//! No thread of the library ever enters the JVM, so it cannot log there by itself: a Java thread that is in a call, or the
//! command line, takes the records and writes them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sanitize;
use crate::text::{Language, Message};

/// The queue of one mailbox. Clones share it.
#[derive(Debug, Clone)]
pub struct Log {
    records: Arc<Mutex<VecDeque<Record>>>,
    language: Language,
}

impl Default for Log {
    /// Speaks English until [`Log::speaking`] says otherwise.
    fn default() -> Self {
        Self { records: Arc::default(), language: Language::English }
    }
}

/// One line: no record holds a control character, a secret, a message's content or a recipient's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub level: Level,
    /// The name of its sentence in the table, which stays the same when the sentence is reworded: `log-vanished`.
    pub id: Option<&'static str>,
    pub text: String,
}

impl fmt::Display for Record {
    /// The text with the id of its sentence, by which a program recognises it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.id.map_or(Ok(()), |id| write!(f, " [{id}]"))
    }
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
        let text = text.into();
        let text = sanitize::line(sanitize::joined(&text));
        self.add(Record { level: Level::Debug, id: None, text });
    }

    pub fn info(&self, message: Message) {
        self.push(Level::Info, message);
    }

    pub fn warning(&self, message: Message) {
        self.push(Level::Warning, message);
    }

    pub fn error(&self, message: Message) {
        self.push(Level::Error, message);
    }

    /// The same queue, with messages in this language.
    pub fn speaking(&self, language: Language) -> Log {
        Log { language, ..self.clone() }
    }

    /// Everything that was said since the last call, oldest first.
    pub fn take(&self) -> Vec<Record> {
        self.records().drain(..).collect()
    }

    fn push(&self, level: Level, message: Message) {
        let id = Some(message.id().name());
        // Its values were made fit to be shown when they became values; our own words need no masking.
        let text = sanitize::escape(&sanitize::joined(&message.in_language(self.language))).into_owned();
        self.add(Record { level, id, text });
    }

    /// Adds a record of another queue.
    pub fn add(&self, record: Record) {
        let mut records = self.records();
        if records.len() == CAPACITY {
            records.pop_front();
        }
        records.push_back(record);
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
    use crate::message;

    fn said(text: &str) -> Message {
        message!(LogFinding, finding = text)
    }

    #[test]
    fn a_record_has_the_language_and_the_id_of_its_sentence_and_its_words_are_no_secret() {
        let log = Log::default().speaking(Language::German);
        sanitize::remember(["Journal"]);
        log.info(message!(LogJournalWorks, user = "Journal"));
        let [record] = &log.take()[..] else { panic!("one") };
        assert_eq!(record.id, Some("log-journal-works"));
        assert_eq!(record.text, "***: Das Journal kann wieder geschrieben werden");
    }

    #[test]
    fn records_are_taken_once_and_in_order() {
        let log = Log::default();
        log.info(said("one"));
        log.clone().warning(said("two"));
        let texts: Vec<_> = log.take().into_iter().map(|record| record.text).collect();
        assert_eq!(texts, ["one", "two"]);
        assert!(log.take().is_empty());
    }

    #[test]
    fn a_secret_that_somebody_repeats_is_masked() {
        let log = Log::default();
        log.info(said("S: a1 NO not Pl4nted"));
        sanitize::remember(["Pl4nted"]);
        log.info(said("S: a1 NO not Pl4nted"));
        let texts: Vec<_> = log.take().into_iter().map(|record| record.text).collect();
        assert_eq!(texts, ["S: a1 NO not Pl4nted", "S: a1 NO not ***"]);
    }

    #[test]
    fn a_record_is_one_line_that_no_terminal_obeys() {
        let log = Log::default();
        log.info(said("S: NO \u{1b}[2J\r\u{202e}\nERROR a forged line"));
        assert_eq!(log.take()[0].text, r"S: NO \u{1b}[2J\u{d}\u{202e}\u{a}ERROR a forged line");
        log.debug("S: NO\nERROR a forged line");
        assert_eq!(log.take()[0].text, "S: NO / ERROR a forged line");
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
