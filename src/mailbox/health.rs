//! How a mailbox is doing: what callers, `status.json` and monitoring systems see.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, NaiveDate, Utc};
use once_cell::sync::Lazy;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::config::{Authentication, MailboxConfig};
use crate::engine::History;
use crate::engine::problem::Problem;
use crate::engine::time::Time;
use crate::failure::{Failure, Kind, Step};
use crate::message;
use crate::token::{self, Expiry};
use crate::workdir::STATUS;

use super::files::place;
use super::shared::{Core, Shared, now};

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
    /// Decisions that the server was not told of yet, or refused.
    pub pending: u64,
    /// Messages of the last fetch that could not be delivered. They are where they were.
    pub set_aside: u64,
    /// The last day of the credential, as far as it is known.
    pub credential_ends: Option<NaiveDate>,
    /// Everything else that is wrong, the most urgent first.
    pub warnings: Vec<Failure>,
}

/// The short form, for a monitoring system that only has to decide whether to call someone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    #[default]
    Well,
    /// Messages are fetched, but something needs attention.
    Warning,
    /// The last fetch failed.
    Failing,
}

/// The content of `status.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status<H> {
    pub written: DateTime<Utc>,
    #[serde(flatten)]
    pub health: H,
}

impl Shared {
    pub(super) fn health(&self, core: &Core) -> Health {
        let facts = core.engine.facts();
        let history = facts.history;
        let worked_before = core.engine.worked_before();
        let failure = |problem: &Problem| self.wording.failure(problem.clone(), worked_before);
        let throttled = history.throttled_for(now());
        let outage = facts.trouble.filter(|(since, _)| now().since(*since) >= OUTAGE);
        let problems = throttled.map(|(_, problem)| problem).into_iter();
        let problems = problems.chain(history.set_aside.1.as_ref()).chain(outage.map(|(_, problem)| problem));
        let mut warnings: Vec<Failure> =
            problems.chain(facts.refusal).chain(facts.journal).map(failure).collect();
        let expiry = core.credential.and_then(|(_, expiry)| expiry);
        warnings.extend(expiry.and_then(|expiry| self.near(&expiry, worked_before)));
        warnings.extend(core.alerts.iter().map(|alert| self.told_by_server(alert, worked_before)));
        let failed = core.broken.clone().or_else(|| history.failure.as_ref().map(failure));
        Health {
            mailbox: format!("{}/{}", self.config.user, self.config.folders.inbox),
            state: match (&failed, warnings.is_empty()) {
                (Some(_), _) => Grade::Failing,
                (None, true) => Grade::Well,
                (None, false) => Grade::Warning,
            },
            last_success: history.last_success.map(wall_clock),
            failures: history.failures,
            failing_since: history.failing_since.map(wall_clock),
            failure: failed,
            throttled_until: throttled.map(|(left, _)| (SystemTime::now() + left).into()),
            pending: facts.pending,
            set_aside: history.set_aside.0,
            credential_ends: expiry.map(|expiry| expiry.last_day),
            warnings,
        }
    }

    /// Returns the content of `status.json`.
    pub(super) fn status_text(&self) -> String {
        let health = self.health(&self.lock());
        let status = Status { written: SystemTime::now().into(), health };
        // Such a value is made of strings and numbers: writing it as JSON cannot fail.
        serde_json::to_string_pretty(&status).unwrap_or_default() + "\n"
    }

    /// Looks up the end of the credential once an hour. A credential that cannot be read is reported by the token request. The
    /// file is read without the lock: no caller waits for it.
    pub(super) fn look_up_credential(&self) {
        self.look_up_credential_by(|oauth2| token::expiry(oauth2).ok().flatten());
    }

    pub(super) fn look_up_credential_by(
        &self,
        expiry: impl FnOnce(&crate::config::OAuth2) -> Option<Expiry>,
    ) {
        let authentication = {
            let core = self.lock();
            if core.credential.is_some_and(|(at, _)| at.elapsed() < LOOKED_UP) {
                return;
            }
            core.authentication(&self.config).clone()
        };
        let expiry = match &authentication {
            Authentication::OAuth2(oauth2) => expiry(oauth2),
            Authentication::Password(_) => None,
        };
        let mut core = self.lock();
        // It may not be the one in use any more.
        if core.authentication(&self.config).renewed_by(&authentication).is_none() {
            core.credential = Some((Instant::now(), expiry));
        }
    }

    /// Explains a text that the server wants the administrator to see.
    fn told_by_server(&self, alert: &str, worked_before: bool) -> Failure {
        let failure = Failure::own(Step::Select, Kind::Refused, message!(ServerAlert, alert = alert));
        self.wording.failure(Problem::Failed(failure), worked_before)
    }

    /// Warns of a credential that ends soon.
    fn near(&self, expiry: &Expiry, worked_before: bool) -> Option<Failure> {
        let said = expiry.near(DateTime::<Utc>::from(SystemTime::now()).date_naive())?;
        let failure = Failure::own(Step::Token, Kind::Token, said).key(expiry.key().name);
        Some(self.wording.failure(Problem::Failed(failure), worked_before))
    }
}

/// Returns the time of day. The same point in time has the same one as long as nobody sets the clock.
fn wall_clock(time: Time) -> DateTime<Utc> {
    static ORIGIN: Mutex<SystemTime> = Mutex::new(SystemTime::UNIX_EPOCH);
    let current = SystemTime::now() - now().0;
    let mut origin = ORIGIN.lock().unwrap_or_else(PoisonError::into_inner);
    let drift = current.duration_since(*origin).unwrap_or_else(|earlier| earlier.duration());
    if drift > Duration::from_secs(1) {
        *origin = current;
    }
    (*origin + time.0).into()
}

/// Says whether any process has read the mailbox, by what stands in its `status.json`.
pub fn was_read(config: &MailboxConfig) -> bool {
    let text = place(config).and_then(|place| fs::read(place.join(STATUS)).ok());
    let status = text.and_then(|text| serde_json::from_slice::<Status<Health>>(&text).ok());
    status.is_some_and(|status| status.health.last_success.is_some())
}

/// Returns what the process knows of the mailbox from earlier times that it was open.
pub(super) fn history(config: &MailboxConfig) -> History {
    HISTORIES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&identity(config))
        .cloned()
        .unwrap_or_default()
}

/// Keeps what is known of the mailbox for the next time that it is opened.
pub(super) fn keep(config: &MailboxConfig, history: &History) {
    let mut histories = HISTORIES.lock().unwrap_or_else(PoisonError::into_inner);
    histories.insert(identity(config), history.clone());
}

fn identity(config: &MailboxConfig) -> Identity {
    (config.server.clone(), config.port, config.user.clone(), config.folders.inbox.clone())
}

/// Hashes what a login depends on.
pub(super) fn fingerprint(config: &MailboxConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity(config).hash(&mut hasher);
    match &config.authentication {
        Authentication::OAuth2(oauth2) => {
            (&oauth2.token_uri, &oauth2.client_id, &oauth2.scope).hash(&mut hasher);
        }
        Authentication::Password(password) => password.expose_secret().hash(&mut hasher),
    }
    hasher.finish()
}

/// Server, port, user and inbox.
type Identity = (String, u16, String, String);

static HISTORIES: Lazy<Arc<Mutex<HashMap<Identity, History>>>> = Lazy::new(Arc::default);

/// A connection that is lost is usually there again within this time, and nobody needs to know.
const OUTAGE: Duration = Duration::from_secs(10);

/// How long the credential's end counts as known: a file can be replaced.
const LOOKED_UP: Duration = Duration::from_secs(3600);
