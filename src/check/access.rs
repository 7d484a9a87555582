//! The access token: whether there is one, what it says, the clock that it is measured by, and the end of its credential.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use super::{Notes, Run};
use crate::config::{OAuth2, keys};
use crate::failure::{Failure, Kind, Result, Step};
use crate::log::{Level, Log};
use crate::message;
use crate::net::{Deadline, Trust};
use crate::token::{self, AccessToken, Asked, Expiring};
use crate::words::in_days;

/// Asks for a token, whatever is cached: what is to be tested is the credential. `clock_ahead` gets what the answer says of
/// the endpoint's clock, whether it is a token or not.
pub(super) fn token(
    run: &Run,
    oauth2: &OAuth2,
    trust: &Trust,
    clock_ahead: &mut Option<i64>,
    notes: &mut Notes,
) -> Result<AccessToken> {
    let log = Log::default().speaking(run.language);
    let deadline = Deadline::after(LIMIT);
    let Asked { token, lifetime, clock_ahead: ahead } =
        token::ask_once(oauth2, run.names, trust, deadline, run.cancel, &log);
    *clock_ahead = ahead;
    for record in log.take() {
        // Missing permissions and the end of the credential have steps of their own.
        let known = matches!(record.id, Some("log-token-problem" | "log-credential-expires"));
        if record.level >= Level::Warning && !known {
            notes.warn(&record.text);
        }
        run.log.add(record);
    }
    let token = token?;
    let minutes = lifetime.unwrap_or_default().as_secs() / 60;
    notes.see(message!(CheckTokenValid, minutes = minutes).in_language(run.language));
    Ok(token)
}

pub(super) fn claims(run: &Run, oauth2: &OAuth2, token: &AccessToken, notes: &mut Notes) -> Result<()> {
    let language = run.language;
    let Some(claims) = token.claims() else {
        notes.see(message!(CheckTokenOpaque).in_language(language));
        return Ok(());
    };
    let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    for (label, value) in [
        (message!(CheckAudience).in_language(language), Some(claims.audience.join(", "))),
        (message!(CheckRoles).in_language(language), Some(claims.roles.join(", "))),
        (message!(CheckTenant).in_language(language), claims.tenant.clone()),
        (message!(CheckApplication).in_language(language), claims.application.clone()),
        (message!(CheckObjectId).in_language(language), claims.object_id.clone()),
        (message!(CheckValidUntil).in_language(language), claims.valid_until.as_ref().map(time)),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            notes.see(format!("{label} {value}"));
        }
    }
    claims.problem(oauth2, run.names).map_or(Ok(()), Err)
}

/// Compares our clock with the token endpoint's.
pub(super) fn clock(run: &Run, ahead: i64, notes: &mut Notes) -> Result<()> {
    let language = run.language;
    let seconds = ahead.abs();
    let difference = match ahead {
        0 => message!(CheckClockAgrees).in_language(language),
        1.. => message!(CheckClockBehind, seconds = seconds.unsigned_abs()).in_language(language),
        ..0 => message!(CheckClockAhead, seconds = seconds.unsigned_abs()).in_language(language),
    };
    if seconds < CLOCK {
        notes.see(difference);
    } else {
        let known = run.explained(Failure::own(Step::Token, Kind::Token, message!(ClockOff)));
        let measured = message!(CheckMeasured, difference = difference).in_language(language);
        notes.warn(format!("{measured} {} {}", known.cause, known.remedy));
    }
    Ok(())
}

/// When the credential ends.
pub(super) fn expiry(run: &Run, oauth2: &OAuth2, notes: &mut Notes) -> Result<()> {
    let language = run.language;
    let Some(expiry) = token::expiry(oauth2)? else {
        let key = run.written(&keys::CLIENT_SECRET_EXPIRES);
        notes.see(message!(CheckExpiryUnknown, key = key).in_language(language));
        return Ok(());
    };
    let (day, key) = (expiry.last_day, run.written(expiry.key()));
    let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
    let left = expiry.days_left(today);
    let when = in_days(left);
    let ends = match (expiry.credential, left) {
        (Expiring::Secret, 0..) => message!(CheckExpiresSecret, day = day, when = when, key = key),
        (Expiring::Certificate, 0..) => message!(CheckExpiresCertificate, day = day, when = when, key = key),
        (Expiring::Secret, _) => message!(CheckExpiredSecret, day = day, key = key),
        (Expiring::Certificate, _) => message!(CheckExpiredCertificate, day = day, key = key),
    };
    match left {
        _ if !expiry.is_near(today) => notes.see(ends.in_language(language)),
        0.. => notes.warn(message!(CheckExpiresReplace, what = ends).in_language(language)),
        _ => notes.warn(ends.in_language(language)),
    }
    Ok(())
}

const LIMIT: Duration = Duration::from_secs(30);
/// Seconds. Entra allows five minutes; a clock that is off by one is on its way there.
const CLOCK: i64 = 60;
