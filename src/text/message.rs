//! A sentence with its values, independent of the language until it is rendered.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};

use crate::sanitize;

/// `cmsbs.lang`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    #[default]
    German,
    English,
}

/// A sentence of the table with the values of its holes. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Message {
    id: Id,
    args: Vec<(&'static str, Arg)>,
}

/// The value of a hole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Arg {
    /// Written as it is. It is [sanitized](crate::sanitize) when it is made from a text.
    Text(String),
    /// Written as it is, never masked again: words of the library are in it, or it was [sanitized](crate::sanitize) before.
    Shown(String),
    /// Written as it is; `{name|one|several}` chooses a word by it.
    Number(u64),
    /// 05.12.2026 in German, 2026-12-05 in English.
    Date(NaiveDate),
    /// A moment in UTC, to the second.
    Time(DateTime<Utc>),
    /// Rendered in the language of the sentence around it.
    Message(Box<Message>),
}

/// Makes a [`Message`]: `message!(Id, hole = value, …)`. The holes must be those of the table's sentence.
#[macro_export]
macro_rules! message {
    ($id:ident $(, $hole:ident = $value:expr)* $(,)?) => {{
        const { $crate::text::Id::$id.assert_holes(&[$(stringify!($hole)),*]) };
        $crate::text::Message::new(
            $crate::text::Id::$id,
            vec![$((stringify!($hole), $crate::text::Arg::from($value))),*],
        )
    }};
}

impl Message {
    /// Use [`message!`], which checks the holes.
    #[doc(hidden)]
    pub fn new(id: Id, args: Vec<(&'static str, Arg)>) -> Self {
        Self { id, args }
    }

    pub fn id(&self) -> Id {
        self.id
    }

    /// Renders the sentence.
    pub fn in_language(&self, language: Language) -> String {
        let sentence = self.id.sentence(language);
        let mut text = String::with_capacity(2 * sentence.len());
        let mut rest = sentence;
        while let Some((before, hole, after)) = next_hole(rest) {
            text.push_str(before);
            let (name, words) = match hole.split_once('|') {
                Some((name, words)) => (name, words.split_once('|')),
                None => (hole, None),
            };
            match (self.arg(name), words) {
                (Some(Arg::Number(number)), Some((one, several))) => {
                    text.push_str(if *number == 1 { one } else { several });
                }
                (Some(arg), _) => text.push_str(&arg.in_language(language)),
                (None, _) => {}
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }

    /// The values that came from outside, one a line: the part of a failure that a server or a library said.
    pub fn foreign_text(&self) -> String {
        let texts = self.args.iter().filter_map(|(_, arg)| match arg {
            Arg::Text(text) | Arg::Shown(text) => Some(text.clone()),
            Arg::Message(message) => Some(message.foreign_text()),
            Arg::Number(_) | Arg::Date(_) | Arg::Time(_) => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Tells whether the sentence, or one that stands in it, has this name in the table.
    pub fn mentions(&self, name: &str) -> bool {
        let inner = |(_, arg): &(&str, Arg)| matches!(arg, Arg::Message(message) if message.mentions(name));
        self.id.name() == name || self.args.iter().any(inner)
    }

    fn arg(&self, name: &str) -> Option<&Arg> {
        self.args.iter().find(|(hole, _)| *hole == name).map(|(_, arg)| arg)
    }
}

impl Arg {
    /// A text whose line feeds are our own.
    pub fn lines(text: &str) -> Self {
        Arg::Text(sanitize::lines(text))
    }

    fn in_language(&self, language: Language) -> String {
        let (date, time) = match language {
            Language::English => ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S UTC"),
            Language::German => ("%d.%m.%Y", "%d.%m.%Y %H:%M:%S UTC"),
        };
        match self {
            Arg::Text(text) | Arg::Shown(text) => text.clone(),
            Arg::Number(number) => number.to_string(),
            Arg::Date(day) => day.format(date).to_string(),
            Arg::Time(moment) => moment.format(time).to_string(),
            Arg::Message(message) => message.in_language(language),
        }
    }
}

/// Splits a sentence into the text before its first hole, the hole, and the text after it. Braces around anything that is no
/// name are text.
fn next_hole(sentence: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = sentence.get(from..)?.find('{').map(|at| from + at) {
        let inside = sentence.get(open + 1..)?;
        if inside.starts_with(|c: char| c.is_ascii_lowercase())
            && let Some((hole, after)) = inside.split_once('}')
        {
            return Some((sentence.get(..open)?, hole, after));
        }
        from = open + 1;
    }
    None
}

/// A row of the table.
struct Row {
    name: &'static str,
    en: &'static str,
    de: &'static str,
    /// The holes of either language.
    holes: &'static [&'static str],
}

// build.rs makes it from messages/*.toml: `enum Id` with a variant for each row, and `TABLE` in the same order.
include!(concat!(env!("OUT_DIR"), "/messages.rs"));

impl Id {
    /// The name in the table, which stays the same when the sentence is reworded: `config-port`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Makes the message of a sentence without holes.
    pub fn message(self) -> Message {
        debug_assert!(self.row().holes.is_empty(), "{self:?}");
        Message::new(self, Vec::new())
    }

    /// Finds the row of a name that is made at run time, such as that of a command's option.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.name() == name)
    }

    /// The sentence as the table has it, with its holes.
    pub fn sentence(self, language: Language) -> &'static str {
        match language {
            Language::English => self.row().en,
            Language::German => self.row().de,
        }
    }

    const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Refuses, when the program is compiled, values that are not those of the sentence.
    #[doc(hidden)]
    pub const fn assert_holes(self, given: &[&str]) {
        let holes = self.row().holes;
        assert!(holes.len() == given.len(), "the sentence has another number of holes");
        let mut i = 0;
        while i < given.len() {
            assert!(contains(holes, given[i]), "the sentence has no hole of this name");
            i += 1;
        }
    }
}

const fn contains(names: &[&str], name: &str) -> bool {
    let mut i = 0;
    while i < names.len() {
        if same(names[i].as_bytes(), name.as_bytes()) {
            return true;
        }
        i += 1;
    }
    false
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut i = 0;
    while i < one.len() {
        if one[i] != other[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A sentence of the table as an error, for interfaces that want one, such as [`std::io::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(pub Message);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.in_language(Language::English))
    }
}

impl std::error::Error for Said {}

impl From<&std::io::Error> for Arg {
    /// A sentence of ours, or the words of the operating system.
    fn from(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(Said(message)) => message.clone().into(),
            None => error.to_string().into(),
        }
    }
}

impl From<u16> for Arg {
    fn from(number: u16) -> Self {
        Arg::Number(number.into())
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Arg::Text(sanitize::line(text))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Arg::Text(sanitize::line(text))
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Arg::Text(sanitize::line(text))
    }
}

impl From<std::path::Display<'_>> for Arg {
    fn from(path: std::path::Display<'_>) -> Self {
        Arg::Text(sanitize::line(path.to_string()))
    }
}

impl From<&std::path::Display<'_>> for Arg {
    fn from(path: &std::path::Display<'_>) -> Self {
        Arg::Text(sanitize::line(path.to_string()))
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        Arg::Number(number)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Arg::Number(number.into())
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        Arg::Number(number as u64)
    }
}

impl From<NaiveDate> for Arg {
    fn from(day: NaiveDate) -> Self {
        Arg::Date(day)
    }
}

impl From<DateTime<Utc>> for Arg {
    fn from(moment: DateTime<Utc>) -> Self {
        Arg::Time(moment)
    }
}

impl From<Message> for Arg {
    fn from(message: Message) -> Self {
        Arg::Message(Box::new(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_rendered_in_each_language_with_its_values() {
        let mails = |number: u64| message!(CountMails, number = number);
        assert_eq!(mails(1).in_language(Language::English), "1 mail");
        assert_eq!(mails(2).in_language(Language::German), "2 Mails");
    }

    #[test]
    fn dates_are_written_as_the_language_has_them() {
        let day = Arg::from(NaiveDate::from_ymd_opt(2026, 12, 5).unwrap());
        assert_eq!(day.in_language(Language::German), "05.12.2026");
        assert_eq!(day.in_language(Language::English), "2026-12-05");
    }

    #[test]
    fn every_row_has_both_languages_and_a_name_of_its_own() {
        let mut names = std::collections::HashSet::new();
        for id in Id::ALL {
            let row = id.row();
            assert!(!row.en.is_empty() && !row.de.is_empty(), "{id:?}");
            assert!(names.insert(row.name), "{id:?} twice");
            assert_eq!(Id::named(row.name), Some(*id));
        }
    }

    /// Names that are made at run time; a test of the command line holds them against its options.
    const MADE_AT_RUN_TIME: [&str; 1] = ["help-"];

    #[test]
    fn every_row_is_used() {
        let mut code = String::new();
        let mut directories = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    code += &std::fs::read_to_string(path).unwrap();
                }
            }
        }
        let words: std::collections::HashSet<_> = code.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        for id in Id::ALL {
            let at_run_time = MADE_AT_RUN_TIME.iter().any(|prefix| id.name().starts_with(prefix));
            assert!(at_run_time || words.contains(id.variant()), "{id:?} is not used");
        }
    }
}
