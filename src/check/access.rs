//! The access token: whether there is one, what it says, the clock that it is measured by, and the end of its credential.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use super::{Notes, Run, text};
use crate::config::{OAuth2, keys};
use crate::failure::{Failure, Kind, Result, Step};
use crate::log::{Level, Log};
use crate::net::{Deadline, Trust};
use crate::token::{self, AccessToken, Asked, Expiring};
use crate::words::{counted, in_days};

/// Asks for a token, whatever is cached: what is to be tested is the credential. `clock_ahead` gets what the answer says of
/// the endpoint's clock, whether it is a token or not.
pub(super) fn token(
    run: &Run,
    oauth2: &OAuth2,
    trust: &Trust,
    clock_ahead: &mut Option<i64>,
    notes: &mut Notes,
) -> Result<AccessToken> {
    let log = Log::default();
    let deadline = Deadline::after(LIMIT);
    let Asked { token, lifetime, clock_ahead: ahead } =
        token::ask_once(oauth2, run.names, trust, deadline, run.cancel, &log);
    *clock_ahead = ahead;
    let claims = token.as_ref().ok().and_then(AccessToken::claims);
    // What the token lacks and when the credential ends have steps of their own.
    let of_claims = claims.and_then(|claims| claims.problem(oauth2, run.names));
    let of_claims = of_claims.map(|problem| problem.to_string());
    let expiry = token::expiry(oauth2).ok().flatten();
    let expiry = expiry.map(|expiry| format!("({})", run.written(expiry.key())));
    for record in log.take() {
        let known = Some(&record.text) == of_claims.as_ref()
            || expiry.as_ref().is_some_and(|key| record.text.contains(key.as_str()));
        match record.level {
            Level::Debug => run.log.debug(record.text),
            Level::Info => run.log.info(record.text),
            Level::Warning | Level::Error => {
                if !known {
                    notes.warn(&record.text);
                }
                run.log.warning(record.text);
            }
        }
    }
    let token = token?;
    let minutes = lifetime.unwrap_or_default().as_secs() / 60;
    let [english, german] = [counted(minutes, "minute", "minutes"), counted(minutes, "Minute", "Minuten")];
    notes.see(text!(run.language, "valid for {english}", "{german} gültig"));
    Ok(token)
}

pub(super) fn claims(run: &Run, oauth2: &OAuth2, token: &AccessToken, notes: &mut Notes) -> Result<()> {
    let language = run.language;
    let Some(claims) = token.claims() else {
        notes.see(text!(language, "nothing: it is opaque", "nichts: Es ist undurchsichtig"));
        return Ok(());
    };
    let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    for (label, value) in [
        (text!(language, "audience", "Zielgruppe"), Some(claims.audience.join(", "))),
        (text!(language, "roles", "Rollen"), Some(claims.roles.join(", "))),
        (text!(language, "tenant", "Mandant"), claims.tenant.clone()),
        (text!(language, "application", "Anwendung"), claims.application.clone()),
        (text!(language, "valid until", "gültig bis"), claims.valid_until.as_ref().map(time)),
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
        0 => text!(
            language,
            "it agrees with the token endpoint's",
            "sie stimmt mit der des Token-Endpunkts überein"
        ),
        1.. => text!(
            language,
            "it is {seconds} s behind the token endpoint's",
            "sie geht {seconds} s nach (gegenüber der des Token-Endpunkts)"
        ),
        ..0 => text!(
            language,
            "it is {seconds} s ahead of the token endpoint's",
            "sie geht {seconds} s vor (gegenüber der des Token-Endpunkts)"
        ),
    };
    if seconds < CLOCK {
        notes.see(difference);
    } else {
        let known = run.explained(Failure::new(Step::Token, Kind::Token, CLOCK_OFF));
        let measured = text!(language, "Measured: {difference}.", "Gemessen: {difference}.");
        notes.warn(format!("{measured} {} {}", known.cause, known.remedy));
    }
    Ok(())
}

/// When the credential ends.
pub(super) fn expiry(run: &Run, oauth2: &OAuth2, notes: &mut Notes) -> Result<()> {
    let language = run.language;
    let Some(expiry) = token::expiry(oauth2)? else {
        let key = run.written(&keys::CLIENT_SECRET_EXPIRES);
        notes.see(text!(
            language,
            "not known: a secret's end cannot be asked for. The portal shows it under Certificates & secrets; write it down as {key} = YYYY-MM-DD",
            "nicht bekannt: Das Ende eines geheimen Clientschlüssels kann nicht erfragt werden. Das Portal zeigt es unter Zertifikate & Geheimnisse; schreiben Sie es als {key} = JJJJ-MM-TT auf"
        ));
        return Ok(());
    };
    let (day, key) = (expiry.last_day, run.written(expiry.key()));
    let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
    let left = expiry.days_left(today);
    let when = in_days(left, language);
    let what = match expiry.credential {
        Expiring::Secret => text!(language, "client secret", "geheime Clientschlüssel"),
        Expiring::Certificate => text!(language, "certificate", "Zertifikat"),
    };
    let (article, of) = match expiry.credential {
        Expiring::Secret => ("Der", "ihn"),
        Expiring::Certificate => ("Das", "es"),
    };
    match left {
        _ if !expiry.is_near(today) => notes.see(text!(
            language,
            "the {what} expires on {day}, {when} ({key})",
            "{article} {what} läuft am {day} ab, {when} ({key})"
        )),
        0.. => notes.warn(text!(
            language,
            "The {what} expires on {day}, {when} ({key}). Replace it before: without a new one no mail can be fetched after that.",
            "{article} {what} läuft am {day} ab, {when} ({key}). Ersetzen Sie {of} vorher: Sonst kann danach keine Mail mehr abgeholt werden."
        )),
        _ => notes.warn(text!(
            language,
            "The {what} expired on {day} ({key}). If there is a new one already, correct the date.",
            "{article} {what} ist am {day} abgelaufen ({key}). Gibt es schon einen Ersatz, berichtigen Sie das Datum."
        )),
    }
    Ok(())
}

const LIMIT: Duration = Duration::from_secs(30);
/// Seconds. Entra allows five minutes; a clock that is off by one is on its way there.
const CLOCK: i64 = 60;
/// What the catalogue knows it by.
const CLOCK_OFF: &str = "this machine's clock is off";
