//! `token`: asks for an access token and prints what it says of itself, never the token.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use um_imap_oauth2::config::explain_unopened;
use um_imap_oauth2::config::{self, Authentication, Language, MailboxConfig, keys};
use um_imap_oauth2::failure::{Failure, Kind, Result, Step};
use um_imap_oauth2::log::{Level, Log};
use um_imap_oauth2::message;
use um_imap_oauth2::net::{Anchors, Cancel, Deadline, Trust};
use um_imap_oauth2::text::Message;
use um_imap_oauth2::token::{self, Claims, Expiry};

use super::{
    Exit, OneMailbox, by_proxy_of_environment, by_what_worked, environment, fail, json, print, say,
    unconfigured,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub of: OneMailbox,
    #[arg(long)]
    json: bool,
}

/// Fails where there is no token, and where there is one that IMAP will refuse.
pub fn run(arguments: &Arguments, language: Language) -> Exit {
    let listener = arguments.of.listener.as_deref();
    let loaded = match config::from_um_home_in(Some(language), &arguments.of.um_home, listener, &environment)
    {
        Ok(loaded) => loaded,
        Err(failure) => {
            return fail(&unconfigured(failure, listener, language), language);
        }
    };
    let log = Log::default().speaking(language);
    let looked_at = look(&loaded.config, &environment, &log);
    let mut exit = Exit::Well;
    // What is wrong with the token is printed with its explanation.
    for record in log.take().into_iter().filter(|record| record.id != Some("log-token-problem")) {
        if record.level >= Level::Warning {
            exit = Exit::Warnings;
        }
        say(&record.to_string());
    }
    let looked_at = match looked_at {
        Ok(looked_at) => looked_at,
        Err(failure) => {
            let failure = explain_unopened(failure, &loaded.config);
            return fail(&by_what_worked(failure, &loaded.config), language);
        }
    };
    let problem = looked_at.problem.clone().map(|problem| explain_unopened(problem, &loaded.config));
    let text = match arguments.json {
        true => looked_at.json(problem.as_ref()),
        false => Ok(looked_at.text(language)),
    };
    match (text.and_then(|text| print(&text, language)), problem) {
        (Err(failure), _) | (Ok(()), Some(failure)) => fail(&failure, language),
        (Ok(()), None) => exit,
    }
}

/// What is known of the token after it was got.
struct LookedAt {
    /// None: it is opaque.
    claims: Option<Claims>,
    expiry: Option<Expiry>,
    problem: Option<Failure>,
}

/// What `--json` prints; times as in RFC 3339.
#[derive(Serialize)]
struct Json<'a> {
    opaque: bool,
    audience: &'a [String],
    roles: &'a [String],
    tenant: Option<&'a str>,
    application: Option<&'a str>,
    /// Of the enterprise application.
    object_id: Option<&'a str>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    credential_expires: Option<String>,
    problem: Option<&'a Failure>,
}

impl LookedAt {
    fn json(&self, problem: Option<&Failure>) -> Result<String> {
        let nothing = Claims::default();
        let claims = self.claims.as_ref().unwrap_or(&nothing);
        json(&Json {
            opaque: self.claims.is_none(),
            audience: &claims.audience,
            roles: &claims.roles,
            tenant: claims.tenant.as_deref(),
            application: claims.application.as_deref(),
            object_id: claims.object_id.as_deref(),
            valid_from: claims.valid_from.map(|time| moment(&time)),
            valid_until: claims.valid_until.map(|time| moment(&time)),
            credential_expires: self.expiry.map(|expiry| expiry.last_day.to_string()),
            problem,
        })
    }

    fn text(&self, language: Language) -> String {
        let mut text = String::new();
        let mut line = |label: Message, value: Option<String>| {
            let value = value.filter(|value| !value.is_empty()).unwrap_or_else(|| "-".to_owned());
            let _ = writeln!(text, "{:LABEL$}{value}", format!("{}:", label.in_language(language)));
        };
        if let Some(claims) = &self.claims {
            line(message!(TokenLabelAudience), Some(claims.audience.join(", ")));
            line(message!(TokenLabelRoles), Some(claims.roles.join(", ")));
            line(message!(TokenLabelTenant), claims.tenant.clone());
            line(message!(TokenLabelApplication), claims.application.clone());
            line(message!(TokenLabelObject), claims.object_id.clone());
            line(message!(TokenLabelValidFrom), claims.valid_from.as_ref().map(moment));
            line(message!(TokenLabelValidUntil), claims.valid_until.as_ref().map(moment));
        }
        if let Some(expiry) = self.expiry {
            let expires = message!(TokenCredentialExpires, day = expiry.last_day);
            line(message!(TokenLabelCredential), Some(expires.in_language(language)));
        }
        if self.claims.is_none() {
            let _ = writeln!(text, "{}", message!(TokenOpaque).in_language(language));
        }
        text
    }
}

fn look(config: &MailboxConfig, environment: &dyn Fn(&str) -> Option<String>, log: &Log) -> Result<LookedAt> {
    let Authentication::OAuth2(oauth2) = &config.authentication else {
        return Err(without_token(config));
    };
    let oauth2 = by_proxy_of_environment(oauth2, environment)?;
    let trust = Trust::new(Anchors::platform(), config.ca_file.as_deref())?;
    let names = &config.names;
    let deadline = Deadline::after(LIMIT);
    let token = token::access_token(&oauth2, names, &trust, deadline, &Cancel::default(), log)?;
    let claims = token.claims();
    let problem = claims.as_ref().and_then(|claims| claims.problem(&oauth2, names));
    Ok(LookedAt { claims, expiry: token::expiry(&oauth2)?, problem })
}

/// A mailbox with a password is as good as any other, but there is nothing to look at.
fn without_token(config: &MailboxConfig) -> Failure {
    let key = config.names.written(keys::AUTHENTICATION_METHOD.name);
    let (cause, remedy) = (message!(TokenNotUsedCause, key = &key), message!(TokenNotUsedRemedy, key = &key));
    Failure::own(Step::Configuration, Kind::Configuration, message!(TokenNotUsed)).key(key).explained_by(
        &cause,
        &remedy,
        config.language,
    )
}

fn moment(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

const LIMIT: Duration = Duration::from_secs(90);
/// Columns before the text of a labelled line.
const LABEL: usize = 14;
