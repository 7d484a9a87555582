//! How a mailbox is doing: what callers, `status.json` and monitoring systems see.
//!
//! What is known of a mailbox outlives its being open: [`record`] keeps it for the process.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, NaiveDate, Utc};
use once_cell::sync::Lazy;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::config::{Authentication, MailboxConfig};
use crate::failure::Failure;
use crate::words::counted;

use super::place::Place;

/// How a mailbox is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// User and inbox.
    pub mailbox: String,
    pub state: Grade,
    /// When the server last did what a fetch asked for; `None`: not since this process runs.
    pub last_success: Option<DateTime<Utc>>,
    /// Fetches in a row that failed.
    pub failures: u32,
    /// When the first of them failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// How the last of them failed.
    pub failure: Option<Failure>,
    /// The server asked to be left alone until then.
    pub throttled_until: Option<DateTime<Utc>>,
    /// Settled mails that the server was not told of yet, or refused.
    pub pending: u64,
    /// Mails of the last fetch that could not be handed out. They are where they were.
    pub set_aside: u64,
    /// The last day of the credential, as far as it is known.
    pub credential_ends: Option<NaiveDate>,
    /// What else is wrong, the most urgent first.
    pub warnings: Vec<Failure>,
}

/// The short form, for whoever only wants to know whether to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    #[default]
    Well,
    /// Mail is fetched, but something needs attention.
    Warning,
    /// The last fetch failed.
    Failing,
}

impl Health {
    /// Replaces [`STATUS`] at once: whoever reads it sees the old or the new one, and no part of either.
    pub(super) fn write(&self, place: &Place) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&Status { written: SystemTime::now().into(), health: self })?;
        place.remove(NEW)?;
        place.create_readable(NEW)?.write_all((text + "\n").as_bytes())?;
        place.rename(NEW, STATUS)
    }
}

/// The content of `status.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status<H> {
    pub written: DateTime<Utc>,
    #[serde(flatten)]
    pub health: H,
}

/// The name of the file in the mailbox's folder.
pub const STATUS: &str = "status.json";
/// That which is to take its place.
const NEW: &str = "status.new";

/// What the process knows of the mailbox, however often it is opened.
pub(super) fn record(config: &MailboxConfig) -> Arc<Mutex<Record>> {
    let identity = (config.server.clone(), config.port, config.user.clone(), config.folders.inbox.clone());
    let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    records.entry(identity).or_default().clone()
}

/// What outlives the mailbox's being open.
#[derive(Debug, Default)]
pub(super) struct Record {
    last_success: Option<SystemTime>,
    /// When the server last gave something.
    progress: Option<Instant>,
    /// Since when the mailbox is asked for in vain.
    asked: Option<Instant>,
    /// When that was last said.
    said: Option<Instant>,
    failures: u32,
    failing_since: Option<SystemTime>,
    failure: Option<Failure>,
    /// How long to leave the server alone, and what it said.
    throttled: Option<(Instant, Failure)>,
    /// Mails set aside in the last fetch, and why the last one was.
    set_aside: (u64, Option<Failure>),
    /// The settings with which the mailbox was read.
    worked_with: Option<u64>,
}

impl Record {
    /// The server has given something that a fetch asked for.
    pub(super) fn progress(&mut self) {
        self.progress = Some(Instant::now());
        self.last_success = Some(SystemTime::now());
    }

    /// A fetch begins.
    pub(super) fn asked(&mut self) {
        self.asked.get_or_insert_with(Instant::now);
    }

    /// Logged in and selected, with these settings.
    pub(super) fn worked(&mut self, config: &MailboxConfig) {
        self.worked_with = Some(settings(config));
    }

    /// A fetch came to its end.
    pub(super) fn succeeded(&mut self, set_aside: (u64, Option<Failure>)) {
        self.progress();
        (self.asked, self.said, self.failing_since, self.failure) = (None, None, None, None);
        self.failures = 0;
        self.set_aside = set_aside;
    }

    /// A fetch failed. What to say to the administrator now, at most once an hour.
    pub(super) fn failed(&mut self, failure: &Failure) -> Option<String> {
        self.failures += 1;
        self.failing_since.get_or_insert_with(SystemTime::now);
        self.failure = Some(failure.clone());
        let since = self.asked.max(self.progress)?.elapsed();
        if since < HOUR || self.said.is_some_and(|said| said.elapsed() < HOUR) {
            return None;
        }
        self.said = Some(Instant::now());
        let minutes = since.as_secs() / 60;
        let attempts = counted(self.failures, "attempt", "attempts");
        Some(format!(
            "no mail could be read for {minutes} minutes; {attempts} failed, the last with {failure}"
        ))
    }

    /// The server asks to be left alone for so long.
    pub(super) fn throttled(&mut self, time: Duration, failure: Failure) {
        let until = Instant::now() + time;
        if self.throttled.as_ref().is_none_or(|(before, _)| *before < until) {
            self.throttled = Some((until, failure));
        }
    }

    /// How long the server is still to be left alone, and what it said.
    pub(super) fn throttled_for(&self) -> Option<(Duration, &Failure)> {
        let (until, failure) = self.throttled.as_ref()?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some((left, failure))
    }

    /// When the server last gave something.
    pub(super) fn last_progress(&self) -> Option<Instant> {
        self.progress
    }

    /// Whether the mailbox was read with the same settings.
    pub(super) fn worked_before(&self, config: &MailboxConfig) -> bool {
        self.worked_with == Some(settings(config))
    }

    /// What of it [`Health`] shows; the open mailbox knows the rest.
    pub(super) fn health(&self, config: &MailboxConfig) -> Health {
        let throttled = self.throttled_for();
        Health {
            mailbox: format!("{}/{}", config.user, config.folders.inbox),
            state: Grade::Well,
            last_success: self.last_success.map(Into::into),
            failures: self.failures,
            failing_since: self.failing_since.map(Into::into),
            failure: self.failure.clone(),
            throttled_until: throttled.map(|(left, _)| (SystemTime::now() + left).into()),
            pending: 0,
            set_aside: self.set_aside.0,
            credential_ends: None,
            warnings: throttled
                .map(|(_, failure)| failure.clone())
                .into_iter()
                .chain(self.set_aside.1.clone())
                .collect(),
        }
    }
}

/// What a login depends on.
fn settings(config: &MailboxConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&config.server, config.port, &config.user, &config.folders.inbox).hash(&mut hasher);
    match &config.authentication {
        Authentication::OAuth2(oauth2) => {
            (&oauth2.token_uri, &oauth2.client_id, &oauth2.scope).hash(&mut hasher)
        }
        Authentication::Password(password) => password.expose_secret().hash(&mut hasher),
    }
    hasher.finish()
}

/// Server, port, user and inbox.
type Identity = (String, u16, String, String);

static RECORDS: Lazy<Mutex<HashMap<Identity, Arc<Mutex<Record>>>>> = Lazy::new(Mutex::default);

const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::failure::{Kind, Step};
    use crate::mailbox::place::testing::place_in;

    #[test]
    fn what_nobody_could_read_for_an_hour_is_said_once_an_hour() {
        let failure = Failure::new(Step::Connect, Kind::Network, "connection refused");
        let hours_ago = |hours: u32| Instant::now().checked_sub(HOUR * hours);
        let mut record = Record::default();
        record.asked();
        assert_eq!(record.failed(&failure), None);
        record.asked = hours_ago(2);
        let said = record.failed(&failure).unwrap_or_default();
        assert!(
            said.contains("120 minutes; 2 attempts failed") && said.contains("connection refused"),
            "{said}"
        );
        assert_eq!(record.failed(&failure), None);
        record.said = hours_ago(1);
        assert!(record.failed(&failure).is_some());
        record.succeeded((0, None));
        assert_eq!(record.failed(&failure), None);
    }

    #[test]
    fn a_longer_time_that_the_server_asked_for_is_not_shortened_by_a_later_one() {
        let failure = Failure::new(Step::Fetch, Kind::Throttled, "BAD Request is throttled.");
        let mut record = Record::default();
        record.throttled(HOUR, failure.clone());
        record.throttled(Duration::from_secs(1), failure);
        assert!(record.throttled_for().is_some_and(|(left, _)| left > HOUR / 2));
    }

    #[test]
    fn the_status_file_reads_back_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let place = place_in(directory.path(), "u");
        let failure = Failure::new(Step::Login, Kind::Login, "NO").retry(crate::failure::Retry::After(HOUR));
        let health = Health {
            mailbox: "u/INBOX".into(),
            state: Grade::Failing,
            last_success: None,
            failures: 2,
            failing_since: Some(DateTime::UNIX_EPOCH),
            failure: Some(failure.clone().caused_by(failure)),
            throttled_until: None,
            pending: 3,
            set_aside: 1,
            credential_ends: NaiveDate::from_ymd_opt(2027, 5, 31),
            warnings: Vec::new(),
        };
        health.write(&place).unwrap();
        let status: Status<Health> = serde_json::from_slice(&fs::read(place.path(STATUS)).unwrap()).unwrap();
        assert_eq!(status.health, health);
        assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 1);
    }
}
