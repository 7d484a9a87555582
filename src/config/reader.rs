//! Finds the value that counts for a key of one mailbox, and says what is wrong with it.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::keys::{self, Key, LISTENER_PREFIX, Names};
use super::layers::{self, Layers, Value};
use super::problem::{Origin, Problem, Problems};
use super::syntax::Flaw;
use super::values::{self, Wrong};
use crate::message;
use crate::text::Message;

/// The result of looking a key up for a mailbox.
pub(super) enum Lookup {
    Set(Value),
    /// `key$file` names a file that cannot be read.
    Unreadable,
    /// With the place where it stands without a value, if there is one.
    Unset(Option<Origin>),
}

pub(super) fn lookup(layers: &Layers, listener: Option<&str>, key: &Key) -> Lookup {
    let mut reader = Reader { layers, listener, problems: Problems::default() };
    match reader.value(key) {
        Some(value) => Lookup::Set(value),
        None if reader.is_unreadable(key) => Lookup::Unreadable,
        None => Lookup::Unset(reader.empty(key)),
    }
}

pub(super) struct Reader<'a> {
    pub layers: &'a Layers<'a>,
    pub listener: Option<&'a str>,
    pub problems: Problems,
}

/// There is no value, and `problems` has the error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused;

pub(super) type Read<T> = std::result::Result<T, Refused>;

impl Reader<'_> {
    pub fn path(&mut self, key: &'static Key) -> Read<Option<PathBuf>> {
        let path = self.optional(key, values::any)?;
        Ok(path.map(|(path, _)| self.layers.path(&path)))
    }

    /// A secret is taken as it is, blanks included.
    pub fn secret(&mut self, key: &'static Key) -> Option<Read<SecretString>> {
        match self.value(key) {
            Some(value) => {
                if let Origin::File { path, .. } | Origin::ValueFile { path, .. } = &value.origin {
                    self.check_readers(&value, path);
                }
                Some(self.clean(key, &value).map(|text| text.as_str().into()))
            }
            None => self.is_unreadable(key).then_some(Err(Refused)),
        }
    }

    pub fn check_readers(&mut self, value: &Value, path: &Path) {
        // Docker mounts secrets there for everybody (mode 0444); everybody is the container.
        if path.starts_with("/run/secrets") || !layers::others_can_read(path) {
            return;
        }
        let shown = path.display();
        // A note: the machine may have no other users, and a file that was just copied works all the same.
        self.problems.info(Problem {
            origin: Some(value.origin.clone()),
            key: value.name.clone(),
            what: message!(ConfigReadableByAll, path = &shown),
            remedy: message!(ConfigReadableByAllRemedy, path = &shown),
        });
    }

    /// Returns the value that is set, or the default. It is an error if there is neither.
    pub fn required<T>(
        &mut self,
        key: &'static Key,
        parse: impl Fn(&str) -> std::result::Result<T, Wrong>,
    ) -> Read<T> {
        if let Some((value, _)) = self.optional(key, &parse)? {
            return Ok(value);
        }
        if let Some(value) = key.default.value().and_then(|default| parse(default).ok()) {
            return Ok(value);
        }
        Err(self.refuse_unset(key, key.meaning()))
    }

    /// Returns the value that is set, and its place.
    pub fn optional<T>(
        &mut self,
        key: &'static Key,
        parse: impl Fn(&str) -> std::result::Result<T, Wrong>,
    ) -> Read<Option<(T, Origin)>> {
        let Some(value) = self.value(key) else {
            // A file that cannot be read is an error, and no reason to take the default.
            return if self.is_unreadable(key) { Err(Refused) } else { Ok(None) };
        };
        let text = self.clean(key, &value)?;
        match parse(&text) {
            Ok(parsed) => Ok(Some((parsed, value.origin))),
            Err(Wrong { what, remedy }) => {
                self.problems.error(Problem { origin: Some(value.origin), key: value.name, what, remedy });
                Err(Refused)
            }
        }
    }

    /// The value that counts, under the name that counts. An empty one is as none, and so is one of blanks.
    pub fn value(&mut self, key: &Key) -> Option<Value> {
        let mut set = Vec::new();
        for name in key.names(self.listener) {
            set.extend(
                self.layers
                    .value(&name, key, &mut self.problems)
                    .filter(|value| !value.text().trim().is_empty()),
            );
        }
        let mut set = set.into_iter();
        let counts = set.next()?;
        // Two of a listener's own forms; what the primary mailbox has is there to be overridden.
        if let Some(other) = set.find(|other| other.name != key.name && other.text() != counts.text()) {
            let name = &other.name;
            self.warn(&counts, message!(ConfigTwoForms, name = name), message!(ConfigTwoFormsRemedy));
        }
        self.note_flaws(&counts);
        Some(counts)
    }

    /// Returns the place of a key that has no value.
    fn empty(&self, key: &Key) -> Option<Origin> {
        let mut ignored = Problems::default();
        let mut names = key.names(self.listener).into_iter();
        names.find_map(|name| self.layers.value(&name, key, &mut ignored)).map(|value| value.origin)
    }

    /// The text without what cannot be meant.
    fn clean(&mut self, key: &Key, value: &Value) -> Read<Zeroizing<String>> {
        let text = value.text();
        let quotes = self.check_quotes(value);
        if let Some(control) = text.chars().find(|c| c.is_control() && !(quotes && *c > '\u{7f}')) {
            let code = u32::from(control);
            self.problems.error(Problem {
                origin: Some(value.origin.clone()),
                key: value.name.clone(),
                what: message!(ConfigControlCharacter, code = format!("{code:04X}")),
                remedy: message!(ConfigControlCharacterRemedy),
            });
            return Err(Refused);
        }
        if !key.secret && text.contains(['<', '>']) {
            self.problems.error(Problem {
                origin: Some(value.origin.clone()),
                key: value.name.clone(),
                what: message!(ConfigPlaceholder),
                remedy: message!(ConfigPlaceholderRemedy),
            });
            return Err(Refused);
        }
        if key.name != keys::ACCESS_TOKEN_URI.name && values::is_placeholder(text) {
            self.warn(value, message!(ConfigPlaceholder), message!(ConfigPlaceholderRemedy));
        }
        let trimmed = text.trim();
        if trimmed.len() < text.len() {
            let what = message!(ConfigBlanks);
            let remedy = match key.secret {
                true => message!(ConfigBlanksInSecretRemedy),
                false => message!(ConfigBlanksRemedy),
            };
            self.warn(value, what, remedy);
        }
        Ok(Zeroizing::new(if key.secret { text.to_owned() } else { trimmed.to_owned() }))
    }

    fn note_flaws(&mut self, value: &Value) {
        for flaw in &value.flaws {
            let (what, remedy) = match flaw {
                Flaw::Unterminated => (message!(ConfigUnterminated), message!(ConfigUnterminatedRemedy)),
                Flaw::AfterQuote => (message!(ConfigAfterQuote), message!(ConfigAfterQuoteRemedy)),
                Flaw::LoneBackslash => (message!(ConfigLoneBackslash), message!(ConfigLoneBackslashRemedy)),
                Flaw::CutByComment => (message!(ConfigCutByComment), message!(ConfigCutByCommentRemedy)),
            };
            self.warn(value, what, remedy);
        }
    }

    pub fn is_unreadable(&self, key: &Key) -> bool {
        let mut problems = Problems::default();
        key.names(self.listener).iter().any(|name| {
            self.layers.value(name, key, &mut problems);
            problems.has_errors()
        })
    }

    pub fn is_inherited(&mut self, key: &Key) -> bool {
        self.listener.is_some()
            && self.value(key).is_some_and(|value| !value.name.starts_with(LISTENER_PREFIX))
    }

    pub fn names(&self) -> Names {
        let set = keys::ALL.iter().filter_map(|key| match lookup(self.layers, self.listener, key) {
            Lookup::Set(value) => Some((key.name, value.name)),
            Lookup::Unreadable | Lookup::Unset(_) => None,
        });
        Names::of(self.listener).with(set)
    }

    /// The name under which a key is set, or is to be set.
    pub fn written_name(&mut self, key: &Key) -> String {
        self.value(key)
            .map(|value| value.name)
            .or_else(|| key.names(self.listener).into_iter().next())
            .unwrap_or_else(|| key.name.to_owned())
    }

    pub fn refuse(&mut self, key: &Key, what: Message, remedy: Message) {
        let origin = self.value(key).map(|value| value.origin);
        let key = self.written_name(key);
        self.problems.error(Problem { origin, key, what, remedy });
    }

    /// There is no value, or an empty one, and no default.
    pub fn refuse_unset(&mut self, key: &Key, meaning: Message) -> Refused {
        let names = key.names(self.listener);
        let empty = names.iter().find_map(|name| self.layers.value(name, key, &mut Problems::default()));
        let name = empty.as_ref().map(|value| value.name.clone()).unwrap_or_else(|| self.written_name(key));
        let origin = empty.map(|value| value.origin);
        let line = |file: Option<&Path>| match file.map(Path::display) {
            Some(file) => {
                message!(ConfigAddLineToFile, name = &name, file = &file, meaning = meaning.clone())
            }
            None => message!(ConfigAddLine, name = &name, meaning = meaning.clone()),
        };
        let (what, remedy) = match &origin {
            Some(Origin::ValueFile { path, .. }) => {
                let remedy = message!(ConfigAddValueToFile, file = path.display(), meaning = meaning.clone());
                (layers::empty_file(), remedy)
            }
            Some(Origin::File { path, .. }) => (empty_value(), line(Some(path))),
            Some(_) => (empty_value(), line(None)),
            None => (message!(ConfigMissing), line(self.layers.main_file().as_deref())),
        };
        self.problems.error(Problem { origin, key: name, what, remedy });
        Refused
    }

    pub fn warn(&mut self, value: &Value, what: Message, remedy: Message) {
        self.problems.warning(Problem {
            origin: Some(value.origin.clone()),
            key: value.name.clone(),
            what,
            remedy,
        });
    }

    /// Whether the value stands in quotation marks that are part of it. One at one end alone is reported, too.
    fn check_quotes(&mut self, value: &Value) -> bool {
        let text = value.text().trim();
        let pair = |(open, close): &(char, char)| {
            text.strip_prefix(*open).is_some_and(|rest| rest.ends_with(*close))
        };
        let is_quote = |c: char| QUOTES.iter().any(|(open, close)| c == *open || c == *close);
        let wrapped = QUOTES.iter().any(pair);
        if wrapped {
            self.warn(value, message!(ConfigQuotesInValue), message!(ConfigQuotesInValueRemedy));
        } else if text.starts_with(is_quote) || text.ends_with(is_quote) {
            self.warn(value, message!(ConfigQuoteAtEnd), message!(ConfigQuoteAtEndRemedy));
        }
        wrapped
    }
}

fn empty_value() -> Message {
    message!(ConfigEmptyValue)
}

/// Quotes that come from a word processor, a PDF, or one pair too many. The last three are Windows-1252's, read as ISO-8859-1.
const QUOTES: [(char, char); 9] = [
    ('"', '"'),
    ('\'', '\''),
    ('„', '“'),
    ('“', '”'),
    ('”', '”'),
    ('«', '»'),
    ('\u{84}', '\u{93}'),
    ('\u{93}', '\u{94}'),
    ('\u{91}', '\u{92}'),
];
