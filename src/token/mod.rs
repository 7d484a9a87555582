//! Client credentials → [`AccessToken`] (RFC 6749 §4.4), cached for the whole process.
//!
//! The HTTP status and the OAuth error decide what a refusal means; Entra's codes only explain it.

mod answer;
mod cache;
mod certificate;
mod claims;
mod expiry;
mod object_id;
mod proof;
mod request;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};

use crate::config::OAuth2;
use crate::config::keys::Names;
use crate::failure::{Failure, Kind, Result, Retry, Step};
use crate::log::Log;
use crate::message;
use crate::net::{Cancel, Deadline, Trust};
use crate::sanitize;

pub use claims::Claims;
pub use expiry::{Expiring, Expiry};
pub use object_id::object_id;

use answer::Issued;
use cache::Urgency;
use proof::Proof;
use request::Request;

/// A token for `oauth2`: the cached one as long as it is good, else a new one.
///
/// One request is under way for an endpoint, client, scope and credential, however many threads ask; those that wait get
/// its outcome, or end by their own `deadline` or `cancel`. A token is renewed five minutes before its end, or earlier when
/// the endpoint says so (`refresh_in`); if that fails, the old one is handed out as long as it is valid.
///
/// 429, 5xx and cut connections are tried again a few times while the deadline allows it. A failure on the way to the
/// endpoint has the step of that way; all others are [`Step::Token`]. Whoever logs in by a token that is not
/// [fresh](AccessToken::is_fresh) and is refused calls [`forget`] and asks once more.
///
/// `names` are those of the mailbox that the token is for, so that failures and warnings name its keys. The log
/// gets a warning where the token cannot be good for IMAP, where only the next secret was accepted, and once a day from 30
/// days before the credential ends.
pub fn access_token(
    oauth2: &OAuth2,
    names: &Names,
    trust: &Trust,
    deadline: Deadline,
    cancel: &Cancel,
    log: &Log,
) -> Result<AccessToken> {
    oauth2.remember_secrets();
    let request = Request::new(oauth2, names);
    let send = |deadline| request.send(trust, deadline, cancel, log);
    let token =
        cache::slot(request::fingerprint(oauth2)).token(deadline, cancel, log, &|urgency| match urgency {
            Urgency::Needed => several_times(deadline, cancel, &|| send(deadline.or_sooner(REQUEST_LIMIT))),
            Urgency::Early => send(deadline.or_sooner(EARLY_LIMIT)),
        });
    if let Ok(token) = &token {
        sanitize::remember([token.secret()]);
    }
    if let Some(token) = token.as_ref().ok().filter(|token| token.is_fresh()) {
        object_id::remember(oauth2, token);
    }
    // The failure may be another mailbox's that has the same credential.
    token.map_err(|failure| written(names, failure))
}

/// One request that is not repeated, whatever is in the cache, and nothing of it is kept: for the test of a mailbox.
pub fn ask_once(
    oauth2: &OAuth2,
    names: &Names,
    trust: &Trust,
    deadline: Deadline,
    cancel: &Cancel,
    log: &Log,
) -> Asked {
    oauth2.remember_secrets();
    let request = Request::new(oauth2, names);
    let issued = request.send(trust, deadline, cancel, log);
    let lifetime = issued.as_ref().ok().map(|issued| issued.lifetime);
    let token = issued.map(|issued| AccessToken::new(issued.secret));
    let token = token.map_err(|failure| written(names, failure));
    token.iter().for_each(|token| object_id::remember(oauth2, token));
    Asked { token, lifetime, clock_ahead: request.clock_ahead() }
}

/// What came of [`ask_once`].
pub struct Asked {
    pub token: Result<AccessToken>,
    pub lifetime: Option<Duration>,
    /// Seconds that the endpoint's clock is ahead of ours, by the `Date` of its answer; also where it refused.
    pub clock_ahead: Option<i64>,
}

/// The mail server refused `token`: it is not handed out again.
pub fn forget(oauth2: &OAuth2, token: &AccessToken) {
    cache::slot(request::fingerprint(oauth2)).forget(token);
}

/// When the configured credential ends, as far as that can be known. Fails where a certificate cannot be used.
pub fn expiry(oauth2: &OAuth2) -> Result<Option<Expiry>> {
    Ok(Proof::new(oauth2)?.expiry)
}

/// An access token. Clones share the secret, which is zeroed with the last of them.
#[derive(Clone)]
pub struct AccessToken {
    secret: Arc<SecretString>,
    fresh: bool,
}

impl AccessToken {
    fn new(secret: SecretString) -> Self {
        Self { secret: Arc::new(secret), fresh: true }
    }

    /// As it goes into SASL XOAUTH2: visible ASCII characters only.
    pub fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// Whether the very call that returned it has requested it: a refusal is then no matter of a token that went stale.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// What it says of itself; none where it is opaque.
    pub fn claims(&self) -> Option<Claims> {
        Claims::of(self.secret())
    }

    fn not_fresh(&self) -> Self {
        Self { secret: self.secret.clone(), fresh: false }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.secret, &other.secret)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("fresh", &self.fresh).finish_non_exhaustive()
    }
}

/// Repeats what fails for a reason that passes, after what the endpoint asks for or after growing pauses, while the
/// deadline allows it.
fn several_times(deadline: Deadline, cancel: &Cancel, send: &dyn Fn() -> Result<Issued>) -> Result<Issued> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        let failure = match send() {
            Err(failure) if passes(&failure) => failure,
            result => return result,
        };
        let wait = match failure.retry {
            Retry::After(asked_for) => asked_for.max(jittered(pause)),
            _ => jittered(pause),
        };
        if deadline.left().is_ok_and(|left| wait < left) {
            sleep(wait, cancel)?;
        } else {
            return Err(failure);
        }
        pause *= 2;
    }
    send()
}

/// Only what the endpoint itself said or did: whoever cannot reach it at all has to wait longer than a call does.
fn passes(failure: &Failure) -> bool {
    failure.step == Step::Token && matches!(failure.kind, Kind::Throttled | Kind::Network)
}

/// Between half of `pause` and all of it, so that many clients do not come back at the same instant.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0];
    // Without randomness it is the shortest pause.
    let _ = SystemRandom::new().fill(&mut random);
    pause.mul_f64(0.5 + f64::from(random[0]) / 512.0)
}

fn sleep(mut time: Duration, cancel: &Cancel) -> Result<()> {
    while !time.is_zero() {
        open(cancel)?;
        let step = time.min(CANCEL_IS_SEEN_WITHIN);
        thread::sleep(step);
        time -= step;
    }
    open(cancel)
}

/// The failure with its key as the mailbox writes it.
fn written(names: &Names, mut failure: Failure) -> Failure {
    failure.key = failure.key.map(|key| names.written(&key));
    failure
}

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

fn open(cancel: &Cancel) -> Result<()> {
    if cancel.is_cancelled() {
        Err(Failure::own(Step::Token, Kind::Closed, message!(MailboxWasClosed)))
    } else {
        Ok(())
    }
}

/// One request; an endpoint that drips must not use up the time of a caller that has much of it.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The old token is still good: nobody has to wait long for a new one.
const EARLY_LIMIT: Duration = Duration::from_secs(10);
/// Requests of one call.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Somebody who waits is gone this much after cancellation, at latest.
const CANCEL_IS_SEEN_WITHIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
