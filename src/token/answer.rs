//! What the token endpoint answered → a token, or what was observed (RFC 6749 §5).

use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, NaiveDateTime};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, error::Category};

use crate::config::keys;
use crate::failure::{Failure, Kind, Result, Retry, Step};
use crate::message;
use crate::sanitize;
use crate::text::Message;

/// A token that was issued.
pub(super) struct Issued {
    pub secret: SecretString,
    /// When it was asked for: its lifetime counts from then, which is on the safe side.
    pub asked: Instant,
    /// Zero: it is to be used once.
    pub lifetime: Duration,
    /// Microsoft's advice when to renew it.
    pub refresh_in: Option<Duration>,
    status: u16,
}

impl Issued {
    /// What may be logged of it.
    pub(super) fn told(&self) -> Message {
        let (status, seconds) = (self.status.to_string(), self.lifetime.as_secs());
        match self.refresh_in {
            None => message!(LogTokenLifetime, status = status, seconds = seconds),
            Some(early) => {
                let early = early.as_secs();
                message!(LogTokenLifetimeRefresh, status = status, seconds = seconds, early = early)
            }
        }
    }
}

/// An HTTP answer.
pub(super) struct Reply {
    pub status: u16,
    pub content_type: Option<String>,
    pub location: Option<String>,
    pub retry_after: Option<Duration>,
    /// At most [`BODY_LIMIT`] octets and one more.
    pub body: Zeroizing<Vec<u8>>,
}

/// The token, or a failure with the status and what the endpoint says. `credential` is the property that `invalid_client`
/// blames.
pub(super) fn read(reply: &Reply, asked: Instant, credential: &str) -> Result<Issued> {
    let answer = Answer { reply, credential };
    let fields = answer.fields();
    // What else is in the answer may repeat the token.
    if let Ok(Fields { access_token: Value::String(token), .. }) = &fields {
        sanitize::remember([token.as_str()]);
    }
    match (reply.status, fields) {
        (200..=299, Ok(fields)) if fields.error.is_null() => answer.issued(fields, asked),
        (_, Ok(fields)) if fields.error.is_string() => Err(answer.refused(&fields)),
        (200..=299, Ok(_)) => Err(answer.no_token(message!(TokenMissing))),
        (200..=299, Err(problem)) => Err(answer.no_token(problem)),
        _ => Err(answer.failed()),
    }
}

/// Whether the endpoint does not accept the credential that stands in the property `credential`.
pub(super) fn is_refused_credential(failure: &Failure, credential: &str) -> bool {
    (failure.step, failure.kind) == (Step::Token, Kind::Token) && failure.key.as_deref() == Some(credential)
}

/// How long `Retry-After` asks to wait (RFC 9110 §10.2.3): seconds, or a date, which is compared with the server's own
/// clock where it sent `Date`. Never more than an hour.
pub(super) fn wait(retry_after: &str, server_date: Option<&str>) -> Option<Duration> {
    let retry_after = retry_after.trim();
    let seconds = if !retry_after.is_empty() && retry_after.bytes().all(|byte| byte.is_ascii_digit()) {
        retry_after.parse().unwrap_or(u64::MAX)
    } else {
        let now = server_date.and_then(http_date).or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
            i64::try_from(now.as_secs()).ok()
        })?;
        u64::try_from(http_date(retry_after)?.saturating_sub(now)).unwrap_or(0)
    };
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// Seconds since 1970 (RFC 9110 §5.6.7, with the two obsolete forms).
pub(super) fn http_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let obsolete = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let naive = |form: &&str| NaiveDateTime::parse_from_str(text, form).ok().map(|date| date.and_utc());
    let usual = DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc());
    usual.or_else(|| obsolete.iter().find_map(naive)).map(|date| date.timestamp())
}

/// An answer is some kilobytes: a token of Entra's with many roles has about four.
pub(super) const BODY_LIMIT: usize = 64 << 10;

struct Answer<'a> {
    reply: &'a Reply,
    credential: &'a str,
}

impl Answer<'_> {
    /// The JSON object, or in words why it is none. The words never quote it: half a token would be in them.
    fn fields(&self) -> std::result::Result<Fields<'_>, Message> {
        let body = self.reply.body.as_slice();
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        if self.reply.body.len() > BODY_LIMIT {
            return Err(message!(TokenTooLarge, most = BODY_LIMIT));
        }
        if body.trim_ascii().is_empty() {
            return Err(message!(TokenEmpty));
        }
        // An array would be taken for the fields in their order.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(message!(TokenNotJson));
        }
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Eof => message!(TokenCut),
            Category::Data => message!(TokenNotJson),
            Category::Syntax | Category::Io => {
                message!(TokenJsonSyntax, line = error.line(), column = error.column())
            }
        })
    }

    fn issued(&self, fields: Fields, asked: Instant) -> Result<Issued> {
        let Value::String(secret) = fields.access_token else {
            return Err(self.no_token(message!(TokenMissing)));
        };
        let secret = SecretString::from(secret);
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible(secret.expose_secret()) {
            return Err(self.no_token(message!(TokenCharacters)));
        }
        // A type that is not understood must not be used (RFC 6749 §7.1).
        if let Some(other) = fields.token_type.as_str().filter(|name| !name.eq_ignore_ascii_case("bearer")) {
            let said = message!(TokenType, name = self.plain(other, FIELD_SHOWN));
            return Err(self.no_token(said).retry(Retry::Never));
        }
        let lifetime = fields.expires_in.and_then(seconds).unwrap_or(ASSUMED_LIFETIME);
        let refresh_in = fields.refresh_in.and_then(seconds).filter(|early| !early.is_zero());
        Ok(Issued { secret, asked, lifetime, refresh_in, status: self.reply.status })
    }

    /// An error by RFC 6749 §5.2.
    fn refused(&self, fields: &Fields) -> Failure {
        let status = self.reply.status;
        let error = fields.error.as_str().unwrap_or_default();
        let mut observed = format!("HTTP {status} {}", self.plain(error, FIELD_SHOWN));
        let description = self.plain(fields.error_description.as_str().unwrap_or_default(), TEXT_SHOWN);
        if !description.is_empty() {
            observed.push_str(": ");
            observed.push_str(&description);
        }
        // Entra's description has all of these in it; who cuts it short may leave them where they were.
        let codes = fields.error_codes.as_array().map(Vec::as_slice).unwrap_or_default();
        for code in codes.iter().filter_map(Value::as_u64).take(CODES_SHOWN) {
            if !observed.contains(&code.to_string()) {
                observed.push_str(&format!(" AADSTS{code}"));
            }
        }
        let support = [
            ("trace_id", &fields.trace_id),
            ("correlation_id", &fields.correlation_id),
            ("timestamp", &fields.timestamp),
        ];
        for (name, value) in support {
            let value = self.plain(value.as_str().unwrap_or_default(), FIELD_SHOWN);
            if !value.is_empty() && !observed.contains(&value) {
                observed.push_str(&format!(" {name}={value}"));
            }
        }
        let key = match error {
            "invalid_client" => self.credential,
            "unauthorized_client" | "access_denied" | "invalid_grant" => keys::CLIENT_ID.name,
            "invalid_scope" | "invalid_resource" | "invalid_target" => keys::SCOPE.name,
            "unsupported_grant_type" => keys::GRANT_TYPE.name,
            _ => keys::ACCESS_TOKEN_URI.name,
        };
        let passes = matches!(error, "temporarily_unavailable" | "server_error");
        self.by_status(observed, passes).key(key)
    }

    /// A status that is no success, and nothing that explains it as OAuth does.
    fn failed(&self) -> Failure {
        let Reply { status, location, .. } = self.reply;
        let observed = match location {
            // What comes after the question mark is between that site and its visitors.
            Some(location) if (300..400).contains(status) => {
                let location = location.split(['?', '#']).next().unwrap_or_default();
                format!("HTTP {status}, Location: {}", self.plain(location, TEXT_SHOWN))
            }
            _ => {
                let text = self.excerpt();
                let separator = if text.is_empty() { "" } else { ": " };
                format!("HTTP {status}{}{separator}{text}", self.content_type())
            }
        };
        self.by_status(observed, false).key(keys::ACCESS_TOKEN_URI.name)
    }

    /// A success without a token in it.
    fn no_token(&self, problem: Message) -> Failure {
        let status = format!("{}{}", self.reply.status, self.content_type());
        let said = match self.html() {
            Some(title) if title.is_empty() => message!(TokenAnswerHtml, status = status),
            Some(title) => message!(TokenAnswerHtmlTitle, status = status, title = title),
            None => message!(TokenAnswerUseless, status = status, problem = problem),
        };
        Failure::own(Step::Token, Kind::Protocol, said).key(keys::ACCESS_TOKEN_URI.name)
    }

    fn by_status(&self, observed: String, passes: bool) -> Failure {
        let (kind, retry) = match self.reply.status {
            429 => (Kind::Throttled, Retry::Later),
            408 | 500.. => (Kind::Network, Retry::Later),
            _ if passes => (Kind::Network, Retry::Later),
            300..=399 => (Kind::Protocol, Retry::Never),
            200..=499 => (Kind::Token, Retry::Never),
            _ => (Kind::Protocol, Retry::Later),
        };
        let retry = match (retry, self.reply.retry_after) {
            (Retry::Later, Some(wait)) if !wait.is_zero() => Retry::After(wait),
            (retry, _) => retry,
        };
        Failure::new(Step::Token, kind, observed).retry(retry)
    }

    /// `, text/html` where it is not what it should be.
    fn content_type(&self) -> String {
        let given = self.reply.content_type.as_deref().unwrap_or_default();
        match self.plain(given.split(';').next().unwrap_or_default(), FIELD_SHOWN).to_ascii_lowercase() {
            name if name.is_empty() || name == "application/json" => String::new(),
            name => format!(", {name}"),
        }
    }

    /// The beginning of an error page or text.
    fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.reply.body);
        match self.html() {
            Some(title) => title,
            // Nobody knows what an endpoint says that answers like this, but a token stays secret.
            None if text.contains("access_token") => String::new(),
            None => self.plain(&text, EXCERPT_SHOWN),
        }
    }

    /// The title of an HTML page; the page itself could repeat the form that was sent, encoded in its own way.
    fn html(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.reply.body);
        // ASCII only, so that positions are the same in both.
        let lower = text.to_ascii_lowercase();
        let declared = self.content_type().contains("html");
        if !declared && !lower.trim_start().starts_with("<!doctype") && !lower.contains("<html") {
            return None;
        }
        let title = lower.find("<title").and_then(|start| {
            let start = start + lower.get(start..)?.find('>')? + 1;
            let end = start + lower.get(start..)?.find("</title")?;
            text.get(start..end)
        });
        let title = self.plain(title.unwrap_or_default(), EXCERPT_SHOWN);
        Some(if title.is_empty() { title } else { format!("<title>{title}</title>") })
    }

    /// A text of the endpoint's for a message: in one line, and not more of it than `most` characters. Masked before it is
    /// cut, so that no part of an encoded secret is left that cannot be read any more.
    fn plain(&self, text: &str, most: usize) -> String {
        let text = sanitize::mask(text);
        let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let line = words.collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(most) {
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
            None => line,
        }
    }
}

/// RFC 6749 §5.1 and §5.2, with what Entra adds. What has an unexpected type is as good as not there.
#[derive(Deserialize)]
#[serde(default, expecting = "an object")]
struct Fields<'a> {
    access_token: Value,
    token_type: Value,
    // As written: a number may be beyond what a number can be.
    #[serde(borrow)]
    expires_in: Option<&'a RawValue>,
    #[serde(borrow)]
    refresh_in: Option<&'a RawValue>,
    error: Value,
    error_description: Value,
    error_codes: Value,
    trace_id: Value,
    correlation_id: Value,
    timestamp: Value,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self {
            access_token: Value::Null,
            token_type: Value::Null,
            expires_in: None,
            refresh_in: None,
            error: Value::Null,
            error_description: Value::Null,
            error_codes: Value::Null,
            trace_id: Value::Null,
            correlation_id: Value::Null,
            timestamp: Value::Null,
        }
    }
}

/// A number or a string with one in it; zero for what is past, never more than [`LONGEST_LIFETIME`].
fn seconds(written: &RawValue) -> Option<Duration> {
    let number: f64 = written.get().trim_matches('"').trim().parse().ok()?;
    (!number.is_nan()).then(|| Duration::from_secs_f64(number.clamp(0.0, LONGEST_LIFETIME.as_secs_f64())))
}

/// Where the endpoint does not say it. Who refuses the token earlier than that is believed.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Entra's tokens live for up to 28 hours; nobody has to believe a year.
const LONGEST_LIFETIME: Duration = Duration::from_secs(28 * 60 * 60);
/// A longer wait is for the next one who asks to be told.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// Entra's descriptions have 300 to 600 characters.
const TEXT_SHOWN: usize = 1_000;
const EXCERPT_SHOWN: usize = 200;
const FIELD_SHOWN: usize = 100;
const CODES_SHOWN: usize = 5;
