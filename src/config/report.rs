//! What is configured, value by value: where each one comes from, and everything that is odd about it.

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::keys::{self, Default, FILE_SUFFIX, Key, Kind, LISTENER_PREFIX, Listener};
use super::layers::{Layers, Value};
use super::mailbox::{self, Reading};
use super::plausible;
use super::problem::{Origin, Problems};
use super::reader::{self, Lookup};
use super::{
    Ask, Authentication, Finding, Language, MailboxConfig, Proxy, names, values, whatever_is_configured,
};
use crate::failure::Result;
use crate::message;
use crate::text::Message;

/// Every mailbox below UM_HOME, or the one of `listener` alone. `language` is the one to speak; without it the configured one.
///
/// Fails only where `cmsbs.properties` cannot be read; a mailbox that is refused is part of the report.
pub fn report(
    um_home: &Path,
    listener: Option<&str>,
    environment: Ask,
    language: Option<Language>,
) -> Result<Report> {
    let speak = whatever_is_configured(language);
    let layers = Layers::of_um_home(um_home, environment, &speak)?;
    let mut problems = layers.problems.clone();
    names::check(&layers, listener, &mut problems);
    let listeners: Vec<_> = match listener {
        Some(listener) => vec![Some(listener.to_owned())],
        None => {
            let named = names::listeners(&layers, &mut Problems::default());
            std::iter::once(None).chain(named.into_iter().map(Some)).collect()
        }
    };
    let read = |listener: Option<String>| {
        // What is wrong with the files concerns each mailbox.
        let mut reading = mailbox::read(&layers, listener.as_deref(), problems.errors_only(), &speak);
        if let Some(config) = &reading.config {
            let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
            let more = plausible::beyond_reading(&layers, listener.as_deref(), config, today);
            reading.problems.extend(more);
        }
        (listener, reading)
    };
    let readings: Vec<_> = listeners.into_iter().map(read).collect();
    let language = readings.first().map(|(_, reading)| reading.language).unwrap_or_default();
    let shared = keys::ALL.iter().filter(|key| key.listener == Listener::Shared);
    Ok(Report {
        um_home: um_home.display().to_string(),
        shared: shared.map(|key| Setting::of(&layers, None, key, None, language)).collect(),
        findings: problems.into_findings(language),
        mailboxes: readings
            .into_iter()
            .map(|(listener, reading)| MailboxReport::of(&layers, listener, reading))
            .collect(),
        language,
    })
}

/// What [`report`] found. Its text is itself a properties file, in which what is not set is a comment; as JSON it has the
/// same in fields. No secret is in it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub um_home: String,
    /// What holds for all mailboxes.
    pub shared: Vec<Setting>,
    /// What is odd about the files as a whole and the names in them.
    pub findings: Vec<Finding>,
    pub mailboxes: Vec<MailboxReport>,
    #[serde(skip)]
    language: Language,
}

#[derive(Debug, Serialize)]
pub struct MailboxReport {
    /// `None` is the primary mailbox.
    pub listener: Option<String>,
    /// Everything because of which the mailbox is refused.
    pub errors: Vec<Refusal>,
    pub findings: Vec<Finding>,
    /// In the order of the table of keys.
    pub settings: Vec<Setting>,
}

/// One error: file and line, key, what was found, and what to write instead.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Empty where a whole file is meant.
    pub key: String,
    pub text: String,
}

/// The value that counts for one key.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// As it is to be written in a file for this mailbox.
    pub key: String,
    /// A secret is masked; `None`: there is no value.
    pub value: Option<String>,
    pub source: Source,
    /// The name under which it stands, where that is another.
    pub set_as: Option<String>,
    /// Taken over from the primary mailbox.
    pub inherited: bool,
    /// The source in words.
    pub place: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    File,
    Environment,
    /// The file that `key$file` names.
    ValueFile,
    /// UM's own effective configuration.
    Settings,
    Default,
    /// Made from other values.
    Derived,
    /// `key$file` names a file that cannot be read.
    Unreadable,
    Unset,
}

impl Report {
    /// The one that is spoken.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Whether no mailbox is refused.
    pub fn is_usable(&self) -> bool {
        self.mailboxes.iter().all(|mailbox| mailbox.errors.is_empty())
    }
}

impl MailboxReport {
    fn of(layers: &Layers, listener: Option<String>, reading: Reading) -> Self {
        let Reading { config, problems, language } = reading;
        let name = listener.as_deref();
        let own = keys::ALL.iter().filter(|key| key.listener != Listener::Shared);
        Self {
            settings: own.map(|key| Setting::of(layers, name, key, config.as_ref(), language)).collect(),
            errors: problems
                .errors(language)
                .map(|(key, text)| Refusal { key: key.to_owned(), text })
                .collect(),
            findings: problems.into_findings(language),
            listener,
        }
    }
}

impl Setting {
    fn of(
        layers: &Layers,
        listener: Option<&str>,
        key: &'static Key,
        config: Option<&MailboxConfig>,
        language: Language,
    ) -> Self {
        let name = key.names(listener).into_iter().next().unwrap_or_else(|| key.name.to_owned());
        match reader::lookup(layers, listener, key) {
            Lookup::Set(value) => Self::set(name, listener, key, value, language),
            Lookup::Unreadable => {
                let place = message!(ConfigPlaceUnreadable, key = format!("{name}{FILE_SUFFIX}"));
                Self::without_line(name, None, Source::Unreadable, place, language)
            }
            Lookup::Unset(empty) => {
                let (value, source, place) = unset(key, config);
                let place = match empty.map(|origin| origin.place()) {
                    Some(empty) => message!(ConfigPlaceEmpty, unset = place, place = empty),
                    None => place,
                };
                Self::without_line(name, value, source, place, language)
            }
        }
    }

    fn set(name: String, listener: Option<&str>, key: &Key, value: Value, language: Language) -> Self {
        let inherited = listener.is_some()
            && key.listener != Listener::Shared
            && !value.name.starts_with(LISTENER_PREFIX);
        let place = value.origin.place();
        let place = match inherited {
            true => message!(ConfigPlaceInherited, place = place),
            false => place,
        };
        Self {
            value: Some(shown(key, &value)),
            source: source(&value.origin),
            set_as: (value.name != name).then_some(value.name),
            inherited,
            place: place.in_language(language),
            key: name,
        }
    }

    /// Makes the setting of a key that no line gives a value.
    fn without_line(
        key: String,
        value: Option<String>,
        source: Source,
        place: Message,
        language: Language,
    ) -> Self {
        Self { key, value, source, set_as: None, inherited: false, place: place.in_language(language) }
    }
}

/// Returns what counts for a key that is not set, and where that comes from.
fn unset(key: &Key, config: Option<&MailboxConfig>) -> (Option<String>, Source, Message) {
    let default = |value: &str, place| (Some(value.to_owned()), Source::Default, place);
    match key.default {
        Default::Manual(value) => default(value, message!(ConfigPlaceDefaultManual)),
        Default::Inferred(value) => default(value, message!(ConfigPlaceDefaultInferred)),
        Default::Own(value) => default(value, message!(ConfigPlaceDefault)),
        Default::Derived(from) => {
            (config.and_then(|config| derived(key, config)), Source::Derived, from.message())
        }
        Default::Required | Default::Unset => (None, Source::Unset, message!(ConfigPlaceUnset)),
    }
}

/// A value as it is shown: a secret masked, of a proxy the address alone.
fn shown(key: &Key, value: &Value) -> String {
    let text = value.text().trim();
    let proxy = match key.kind {
        _ if !key.secret => return text.to_owned(),
        Kind::Proxy => values::proxy(text, key.name).map(Some),
        Kind::NoneOrProxy => values::none_or_proxy(text, key.name),
        _ => return MASK.to_owned(),
    };
    match proxy {
        Ok(Some(Proxy { host, port, credentials, .. })) => {
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            let user = if credentials.is_some() { format!("{MASK}@") } else { String::new() };
            format!("http://{user}{host}:{port}/")
        }
        Ok(None) => "none".to_owned(),
        Err(_) => MASK.to_owned(),
    }
}

/// What a usable mailbox has where the key is not set.
fn derived(key: &Key, config: &MailboxConfig) -> Option<String> {
    let targets = [
        &keys::FOLDER_HARDBOUNCE,
        &keys::FOLDER_SOFTBOUNCE,
        &keys::FOLDER_AUTORESPOND,
        &keys::FOLDER_UNSUBSCRIBE,
        &keys::FOLDER_SPAM,
    ];
    match &config.authentication {
        Authentication::OAuth2(oauth2) if key.name == keys::SCOPE.name => Some(oauth2.scope.clone()),
        _ => targets.iter().any(|target| target.name == key.name).then(|| config.folders.debug.clone()),
    }
}

fn source(origin: &Origin) -> Source {
    match origin {
        Origin::File { .. } | Origin::WholeFile(_) => Source::File,
        Origin::Environment(_) => Source::Environment,
        Origin::Settings => Source::Settings,
        Origin::ValueFile { .. } => Source::ValueFile,
    }
}

const MASK: &str = "********";

#[cfg(test)]
mod tests;
