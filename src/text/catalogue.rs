//! The catalogue's shape, and which of its entries fits.

use std::collections::BTreeMap;
use std::time::Duration;

use miniz_oxide::inflate::decompress_to_vec;
use once_cell::sync::Lazy;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::explain::Scene;
use super::pattern::{Pattern, Subject};
use super::{Language, Message};
use crate::failure::{Failure, Kind, Retry, Step};
use crate::sanitize;

/// All entries, in their order of precedence within a [`Rank`].
pub fn entries() -> &'static [Entry] {
    &CATALOGUE.entry
}

/// One known observation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub id: String,
    /// What is sent, for those who search for it.
    #[serde(default)]
    pub examples: Vec<String>,
    /// Where it can come up.
    #[serde(deserialize_with = "steps")]
    pub steps: Vec<Step>,
    /// The kinds that the room may have given it; empty: any.
    #[serde(default, deserialize_with = "kinds")]
    pub kinds: Vec<Kind>,
    /// One of these or of `aadsts` must be in the text, or the kind be one of `any_kind`, where there are any.
    #[serde(default)]
    pub any: Vec<Pattern>,
    /// Names of the messages of own failures that it explains.
    #[serde(default)]
    pub own: Vec<String>,
    #[serde(default, deserialize_with = "kinds")]
    pub any_kind: Vec<Kind>,
    /// Numbers of Entra's error codes.
    #[serde(default)]
    pub aadsts: Vec<u64>,
    /// Each of these must be in the text.
    #[serde(default)]
    pub all: Vec<Pattern>,
    /// Names of messages of own failures that stand for the patterns of `all`.
    #[serde(default)]
    pub all_own: Vec<String>,
    /// Configured values on which it depends: hole name → patterns, of which one must be in the value.
    #[serde(default)]
    pub values: BTreeMap<String, Vec<Pattern>>,
    #[serde(default)]
    pub worked_before: Option<bool>,
    #[serde(default)]
    pub rank: Rank,
    /// Where the catalogue knows better than the room.
    #[serde(default, deserialize_with = "kind")]
    pub kind: Option<Kind>,
    #[serde(default, deserialize_with = "retry")]
    pub retry: Option<Retry>,
    /// Where the mailbox was never read, the settings are to blame, and trying again does not help.
    #[serde(default)]
    pub lasting: bool,
    #[serde(default)]
    pub slow: bool,
    /// The property to look at, in the primary mailbox's form, or [`KEY_OF_HOST`] or [`KEY_OF_PORT`].
    #[serde(default)]
    pub key: Option<String>,
    pub en: Text,
    pub de: Text,
    /// Where the knowledge comes from: an RFC's section, the title of a page or manual.
    pub source: String,
}

/// What an entry gives way to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// The server says the cause in words: that is better than what its codes and the step suggest, in whatever line it stands.
    Explicit,
    /// An observation of its own.
    #[default]
    Known,
    /// True of a whole class, such as an OAuth `error` without a code: a known one in any line of the text is better.
    General,
    /// What servers say after the line that counts, such as `* BYE Connection closed. 14`.
    Follows,
    /// What can be said of a step without knowing what happened.
    Fallback,
}

/// An explanation in one language, with holes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub cause: String,
    pub remedy: String,
}

/// What is added where an observation is not known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unknown {
    pub(super) cause: String,
    /// Which of what the message holds support asks for (hole: `named`).
    pub(super) support_named: String,
    pub(super) support: String,
}

impl Entry {
    pub fn text(&self, language: Language) -> &Text {
        match language {
            Language::German => &self.de,
            Language::English => &self.en,
        }
    }

    fn fits(&self, text: &Observed, failure: &Failure, scene: &Scene) -> bool {
        let is_own = |names: &[String]| {
            let of = |name: &String| failure.own.is_some_and(|id| id.name() == name);
            names.iter().any(|name| of(name) || failure.said.as_ref().is_some_and(|said| said.mentions(name)))
        };
        // What takes time comes last.
        let one = || {
            (self.any.is_empty() && self.own.is_empty() && self.aadsts.is_empty() && self.any_kind.is_empty())
                || is_own(&self.own)
                || self.any_kind.contains(&failure.kind)
                || self.aadsts.iter().any(|code| text.aadsts.contains(code))
                || self.any.iter().any(|pattern| pattern.is_in(&text.subject))
        };
        self.steps.contains(&failure.step)
            && (self.kinds.is_empty() || self.kinds.contains(&failure.kind))
            && self.worked_before.is_none_or(|worked| worked == scene.circumstances.worked_before)
            && one()
            && (is_own(&self.all_own) || self.all.iter().all(|pattern| pattern.is_in(&text.subject)))
            && self.values.iter().all(|(name, patterns)| {
                scene.value(name).is_some_and(|value| {
                    let value = Subject::new(&value);
                    patterns.iter().any(|pattern| pattern.is_in(&value))
                })
            })
    }
}

/// The entry that explains the failure. The last line that an entry of the best rank knows counts; an entry whose
/// patterns are spread over several lines is looked for after that.
pub(super) fn best(failure: &Failure, scene: &Scene) -> Option<&'static Entry> {
    // The words of the library itself are in no pattern's reach.
    let foreign = failure.said.as_deref().map(Message::foreign_text);
    let text = foreign.as_ref().unwrap_or(&failure.observed);
    let mut texts: Vec<Observed> = text.lines().rev().take(MOST_LINES).map(Observed::new).collect();
    texts.push(Observed::new(text));
    [Rank::Explicit, Rank::Known, Rank::General, Rank::Follows, Rank::Fallback].into_iter().find_map(|rank| {
        texts.iter().find_map(|text| {
            entries().iter().find(|entry| entry.rank == rank && entry.fits(text, failure, scene))
        })
    })
}

/// Returns the entry that explains a failure, by the id that it got from it.
pub(crate) fn entry_of(failure: &Failure) -> Option<&'static Entry> {
    entries().iter().find(|entry| Some(&entry.id) == failure.id.as_ref())
}

/// What to add where only a fallback fits.
pub(super) fn unknown(language: Language) -> &'static Unknown {
    CATALOGUE.unknown.of(language)
}

/// Returns the template for a mailbox whose application's Object ID is known: commands have a hole for it in place of the mark
/// that says where to insert it.
pub(super) fn with_object_id(template: &str, language: Language) -> String {
    let phrase = |name: &str| CATALOGUE.phrases.get(name).map(|phrase| folded(phrase.of(language)));
    let template = match (phrase("enterprise"), phrase("enterprise_known")) {
        (Some(unknown), Some(known)) => template.replace(&unknown, &known),
        _ => template.to_owned(),
    };
    template.replace("'ENTERPRISE-OBJECT-ID'", "{object_id}")
}

/// Whether a mail server's name is one of Exchange Online's, in any of Microsoft's clouds.
pub(crate) fn is_exchange_online(server: &str) -> bool {
    let server = Subject::new(server);
    CATALOGUE.exchange_online.iter().any(|host| host.is_in(&server))
}

/// Whether a token endpoint's host is Microsoft's, in any of its clouds.
pub(super) fn is_entra(login_host: &str) -> bool {
    let host = Subject::new(login_host);
    CATALOGUE.entra.iter().any(|entra| entra.is_in(&host))
}

/// The template with its holes filled. A value is never looked at for holes, and gets neither line ends nor other
/// control characters into a message: they are escaped; a hole without a value stays visible as `<name>`.
pub(super) fn fill(template: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let template = &choose(template, &|condition, yes, no| {
        let holds = value(condition).is_some_and(|value| !value.is_empty());
        if holds { yes.to_owned() } else { no.to_owned() }
    });
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template.as_str();
    while let Some((before, hole, after)) = next_hole(rest) {
        filled.push_str(before);
        match value(hole).filter(|value| !value.is_empty()) {
            Some(value) => filled.push_str(&sanitize::line(value)),
            None => {
                filled.push('<');
                filled.push_str(hole);
                filled.push('>');
            }
        }
        rest = after;
    }
    filled.push_str(rest);
    // A part that was chosen may end with a command.
    filled.truncate(filled.trim_end().len());
    filled
}

/// The template with each part `{?condition}if it holds{:}if not{/}` (or without `{:}`) as `chosen` makes it of its three pieces.
pub(super) fn choose(template: &str, chosen: &dyn Fn(&str, &str, &str) -> String) -> String {
    let mut pieces = template.split("{?");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (part, rest) = piece.split_once("{/}").unwrap_or((piece, ""));
        let (condition, part) = part.split_once('}').unwrap_or((part, ""));
        let (yes, no) = part.split_once("{:}").unwrap_or((part, ""));
        text.push_str(&chosen(condition, yes, no));
        text.push_str(rest);
    }
    text
}

/// The text before the first hole, the hole's name, and the text after it.
fn next_hole(template: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = template.split_once('{')?;
    let (hole, after) = rest.split_once('}')?;
    Some((before, hole, after))
}

/// A line, or a whole text, of what was observed.
struct Observed {
    subject: Subject,
    aadsts: Vec<u64>,
}

impl Observed {
    fn new(text: &str) -> Self {
        Self { subject: Subject::new(text), aadsts: aadsts(text) }
    }
}

/// The numbers of Entra's codes in `AADSTS7000215: …` and in the JSON's `"error_codes":[7000215]`.
fn aadsts(text: &str) -> Vec<u64> {
    let leading = |s: &str| {
        let digits = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
        s.get(..digits).and_then(|number| number.parse().ok())
    };
    let in_text = text.split("AADSTS").skip(1).filter_map(leading);
    let in_list = text
        .split("error_codes")
        .skip(1)
        .filter_map(|rest| rest.split_once('[')?.1.split_once(']'))
        .flat_map(|(list, _)| list.split(','))
        .filter_map(|number| number.trim().parse().ok());
    in_text.chain(in_list).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    exchange_online: Vec<Pattern>,
    entra: Vec<Pattern>,
    unknown: InBoth<Unknown>,
    /// Parts of texts that several entries use as `{=name}`.
    #[serde(default)]
    phrases: BTreeMap<String, InBoth<String>>,
    entry: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InBoth<T> {
    en: T,
    de: T,
}

impl<T> InBoth<T> {
    fn of(&self, language: Language) -> &T {
        match language {
            Language::German => &self.de,
            Language::English => &self.en,
        }
    }
}

impl Catalogue {
    fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let mut catalogue: Catalogue = serde_json::from_slice(json)?;
        for entry in &mut catalogue.entry {
            for (text, language) in [(&mut entry.en, Language::English), (&mut entry.de, Language::German)] {
                for template in [&mut text.cause, &mut text.remedy] {
                    *template = folded(&with_phrases(template, &catalogue.phrases, language));
                }
            }
        }
        for unknown in [&mut catalogue.unknown.en, &mut catalogue.unknown.de] {
            for template in [&mut unknown.cause, &mut unknown.support_named, &mut unknown.support] {
                *template = folded(template);
            }
        }
        Ok(catalogue)
    }
}

/// The template with its phrases, and those that they use themselves.
fn with_phrases(template: &str, phrases: &BTreeMap<String, InBoth<String>>, language: Language) -> String {
    let mut text = template.to_owned();
    for _ in 0..PHRASES_IN_PHRASES {
        for (name, phrase) in phrases {
            text = text.replace(&format!("{{={name}}}"), phrase.of(language));
        }
    }
    text
}

/// Joins the lines of a text: long sentences are broken into lines in the file. A line that is a command in backticks stays a line.
fn folded(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match lines.last_mut() {
            _ if line.is_empty() => {}
            Some(last) if command(last).is_none() && command(&line).is_none() => {
                last.push(' ');
                last.push_str(&line);
            }
            _ => lines.push(line),
        }
    }
    lines.join("\n")
}

/// Returns the command if the line is one in backticks and nothing else.
pub(super) fn command(line: &str) -> Option<&str> {
    line.strip_prefix('`')?.strip_suffix('`').filter(|command| !command.contains('`'))
}

/// Names of steps; `imap` stands for all that talk IMAP, `network` for all that open a connection, `any` for all.
fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
    let mut steps = Vec::new();
    for name in Vec::<String>::deserialize(deserializer)? {
        match name.as_str() {
            "any" => steps.extend(Step::ALL),
            "imap" => steps.extend(from_to(Step::Greeting, Step::Settle)),
            "network" => steps.extend(from_to(Step::Resolve, Step::Settle)),
            name => {
                let step = Step::ALL.into_iter().find(|step| step.name() == name);
                steps.push(step.ok_or_else(|| D::Error::custom(format!("no step {name}")))?);
            }
        }
    }
    Ok(steps)
}

/// The steps between these two, with them, in the order in which they are taken.
fn from_to(first: Step, last: Step) -> impl Iterator<Item = Step> {
    Step::ALL.into_iter().filter(move |step| (first..=last).contains(step))
}

fn kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Kind>, D::Error> {
    Vec::<String>::deserialize(deserializer)?.iter().map(|name| kind_named(name)).collect()
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Kind>, D::Error> {
    kind_named(&String::deserialize(deserializer)?).map(Some)
}

fn kind_named<E: Error>(name: &str) -> Result<Kind, E> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| E::custom(format!("no kind {name}")))
}

/// `never`, `later`, or the minutes to wait: `30m`.
fn retry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Retry>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let minutes = text.strip_suffix('m').and_then(|minutes| minutes.parse::<u64>().ok());
    match (text.as_str(), minutes) {
        ("never", _) => Ok(Some(Retry::Never)),
        ("later", _) => Ok(Some(Retry::Later)),
        (_, Some(minutes)) => Ok(Some(Retry::After(Duration::from_secs(minutes * 60)))),
        _ => Err(D::Error::custom(format!("no retry {text}"))),
    }
}

static CATALOGUE: Lazy<Catalogue> = Lazy::new(|| {
    // Part of the program, and parsed by the tests. build.rs makes it from catalogue.toml.
    let json = decompress_to_vec(include_bytes!(concat!(env!("OUT_DIR"), "/catalogue.json.deflate")));
    Catalogue::parse(&json.expect("build.rs compressed it")).expect("catalogue.toml is well-formed")
});

/// An entry's key that stands for the property in which the failing connection's host is written.
pub(super) const KEY_OF_HOST: &str = "host";
/// The same for its port.
pub(super) const KEY_OF_PORT: &str = "port";

/// How deep phrases stand in one another.
const PHRASES_IN_PHRASES: usize = 2;

/// A text of many short lines is not matched line by line to its end.
const MOST_LINES: usize = 64;
