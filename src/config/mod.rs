//! UM's files and keys → [`MailboxConfig`].
//!
//! A `MailboxConfig` that exists is a valid one: every other room takes it as it is.

mod document;
mod explained;
pub mod keys;
mod layers;
mod mailbox;
mod names;
mod page;
mod plausible;
mod problem;
mod reader;
mod report;
mod syntax;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::NaiveDate;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use ureq::http::Uri;

use crate::failure::Result;
use crate::sanitize;
pub use crate::text::Language;
use keys::Names;
use layers::Layers;

pub use document::document;
pub use explained::{explain_unconfigured, explain_unopened, mailbox_values, tenant};
pub use layers::open_regular;
pub(crate) use layers::{others_can_read, read};
pub use page::Values;
pub use report::{MailboxReport, Refusal, Report, Setting, Source, report};
pub use values::is_placeholder;

/// Reads a time such as `90`, `30s`, `60m` or `2h`.
pub fn duration(text: &str) -> Option<Duration> {
    values::duration(text).ok()
}

/// The primary mailbox, or a listener's, from the files below UM_HOME and the environment over them.
///
/// `environment` gives a variable's value. Fails with all errors at once: each with file, line, key and what to write
/// instead, the warnings below them.
pub fn from_um_home(
    home: &Path,
    listener: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded> {
    from_um_home_in(None, home, listener, environment)
}

/// The same with everything said in `language`, whatever `cmsbs.lang` is.
pub fn from_um_home_in(
    language: Option<Language>,
    home: &Path,
    listener: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded> {
    let speak = whatever_is_configured(language);
    mailbox::load(&Layers::of_um_home(home, environment, &speak)?, listener, &speak)
}

/// The same with everything said in `language` where `cmsbs.lang` is not set.
pub fn from_um_home_else_in(
    language: Option<Language>,
    home: &Path,
    listener: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded> {
    let speak = |configured: Option<Language>| configured.or(language).unwrap_or_default();
    mailbox::load(&Layers::of_um_home(home, environment, &speak)?, listener, &speak)
}

/// The same from UM's own effective configuration, which `settings` is asked for: each of [`keys`].
pub fn from_settings(settings: &dyn Fn(&str) -> Option<String>, listener: Option<&str>) -> Result<Loaded> {
    mailbox::load(&Layers::of_settings(settings), listener, &Option::unwrap_or_default)
}

/// Every name that [`from_settings`] asks for: each key in all forms that the mailbox may have it in, and `$file` beside each.
pub fn keys(listener: Option<&str>) -> Vec<String> {
    let names = keys::ALL.iter().flat_map(|key| key.names(listener));
    names.flat_map(|name| [format!("{name}{}", keys::FILE_SUFFIX), name]).collect()
}

/// What is wrong with a folder's name for which a property would be refused, and what to write instead.
pub(crate) fn wrong_folder(name: &str, language: Language) -> Option<(String, String)> {
    let values::Wrong { what, remedy } = values::folder(name).err()?;
    Some((what.in_language(language), remedy.in_language(language)))
}

/// A mailbox's configuration, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: MailboxConfig,
    pub findings: Vec<Finding>,
}

/// Something that is no error, and worth a look. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The key as it stands in the file; empty where a whole file or line is meant.
    pub key: String,
    /// File and line, key, what was found, and what to write instead, in the configured language.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
}

/// One mailbox, as UM's properties describe it.
#[derive(Debug, Clone)]
pub struct MailboxConfig {
    /// The listener's name; `None` is the primary mailbox.
    pub listener: Option<String>,
    /// How failures and logs write its keys.
    pub names: Names,
    pub server: String,
    pub port: u16,
    pub security: Security,
    /// The mailbox = its primary e-mail address.
    pub user: String,
    pub authentication: Authentication,
    /// `cmsbs.mail.imap.proxy`: the HTTP proxy for the IMAP connection.
    pub proxy: Option<Proxy>,
    /// More certificate authorities (PEM) beside the trusted ones, for both connections.
    pub ca_file: Option<PathBuf>,
    pub folders: Folders,
    /// `cmsbs.bounce.debug`: handled mail is moved to a folder instead of deleted.
    pub debug: bool,
    /// `cmsbs.bounce.processAll`: every mail, not only the unread ones.
    pub process_all: bool,
    pub fetch: FetchLimits,
    /// `cmsbs.mail.imap.journal`: settled mail is written down, where there is a work directory.
    pub journal: bool,
    /// Where journal and status lie and the native library is unpacked; `None`: nowhere.
    pub work_directory: Option<PathBuf>,
    /// `cmsbs.directory.tmp`, for mails larger than the budget; `None`: the system's.
    pub tmp_directory: Option<PathBuf>,
    pub language: Language,
    /// `cmsbs.mail.imap.trace`: the IMAP dialogue, without literals and secrets.
    pub trace: bool,
}

impl MailboxConfig {
    /// Has this thread mask every configured secret in texts from outside, also before it sends one.
    pub fn remember_secrets(&self) {
        let password = |proxy: &Proxy| proxy.credentials.as_ref().map(|(_, password)| password.clone());
        let mut secrets = Vec::from_iter(self.proxy.as_ref().and_then(password));
        match &self.authentication {
            Authentication::Password(password) => secrets.push(password.clone()),
            Authentication::OAuth2(oauth2) => {
                oauth2.remember_secrets();
                if let Route::Proxy(proxy) = &oauth2.route {
                    secrets.extend(password(proxy));
                }
            }
        }
        sanitize::remember(secrets.iter().map(ExposeSecret::expose_secret));
    }
}

/// How the connection is encrypted (`cmsbs.mail.imap.ssl`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314 §3.2).
    Tls,
    /// STARTTLS (RFC 9051 §6.2.1).
    StartTls,
    Plain,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a mailbox has one")]
pub enum Authentication {
    /// SASL XOAUTH2 with an access token by the client-credentials grant.
    OAuth2(OAuth2),
    Password(SecretString),
}

impl Authentication {
    /// With the credential of `fresh`, which was read later; `None` where that is the same, or of another kind of login. A
    /// certificate and an assertion are the same as long as their file's name is: they are read for each request.
    pub fn renewed_by(&self, fresh: &Authentication) -> Option<Authentication> {
        match (self, fresh) {
            (Authentication::Password(old), Authentication::Password(new)) => {
                (!same(Some(old), Some(new))).then(|| fresh.clone())
            }
            (Authentication::OAuth2(old), Authentication::OAuth2(new)) => {
                let unchanged = old.credential.is(&new.credential)
                    && same(old.next_secret.as_ref(), new.next_secret.as_ref());
                (!unchanged).then(|| {
                    Authentication::OAuth2(OAuth2 {
                        credential: new.credential.clone(),
                        next_secret: new.next_secret.clone(),
                        secret_expires: new.secret_expires,
                        ..old.clone()
                    })
                })
            }
            _ => None,
        }
    }
}

/// What an access token is asked for with.
#[derive(Debug, Clone)]
pub struct OAuth2 {
    /// The token endpoint; always `https`.
    pub token_uri: String,
    pub client_id: String,
    pub credential: Credential,
    pub scope: String,
    /// `oauth2.clientSecret.next`: to be tried when the secret is refused.
    pub next_secret: Option<SecretString>,
    /// `oauth2.clientSecretExpires`: the last day of the secret.
    pub secret_expires: Option<NaiveDate>,
    /// The way to the token endpoint.
    pub route: Route,
    /// `oauth2.debug`: the token request and the login are logged, without secrets.
    pub debug: bool,
}

impl OAuth2 {
    /// Has this thread mask the secrets that an endpoint gets. A certificate's password is sent to nobody.
    pub(crate) fn remember_secrets(&self) {
        let secret = match &self.credential {
            Credential::ClientSecret(secret) => Some(secret),
            Credential::Certificate { .. } | Credential::AssertionFile(_) => None,
        };
        let secrets = secret.into_iter().chain(&self.next_secret);
        sanitize::remember(secrets.map(ExposeSecret::expose_secret));
    }

    /// Where nothing is configured, by the proxy that `proxy` gives for the endpoint's host.
    pub fn or_through(mut self, proxy: impl FnOnce(&str) -> Result<Option<Proxy>>) -> Result<Self> {
        if let Route::Unset = self.route {
            let uri = self.token_uri.parse::<Uri>().ok();
            let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
            self.route = proxy(host)?.map_or(Route::Unset, Route::Proxy);
        }
        Ok(self)
    }
}

#[derive(Debug, Clone)]
pub enum Credential {
    ClientSecret(SecretString),
    /// A client assertion (RFC 7523 §2.2) signed with the key of a PEM or PKCS#12 file.
    Certificate {
        file: PathBuf,
        password: Option<SecretString>,
    },
    /// A client assertion that another party writes to this file.
    AssertionFile(PathBuf),
}

impl Credential {
    fn is(&self, other: &Self) -> bool {
        use Credential::{AssertionFile, Certificate, ClientSecret};
        match (self, other) {
            (ClientSecret(one), ClientSecret(other)) => same(Some(one), Some(other)),
            (Certificate { file, password }, Certificate { file: other_file, password: other_password }) => {
                file == other_file && same(password.as_ref(), other_password.as_ref())
            }
            (AssertionFile(one), AssertionFile(other)) => one == other,
            _ => false,
        }
    }
}

fn same(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    one.map(ExposeSecret::expose_secret) == other.map(ExposeSecret::expose_secret)
}

/// How a host is reached.
#[derive(Debug, Clone, Default)]
pub enum Route {
    /// Nothing is configured: as the JVM or the environment says.
    #[default]
    Unset,
    Direct,
    Proxy(Proxy),
}

/// An HTTP proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// The property or variable in which it stands, as it is written there.
    pub set_by: String,
    pub host: String,
    pub port: u16,
    /// User and password (RFC 7617).
    pub credentials: Option<(String, SecretString)>,
}

/// The inbox and the folders that mail is moved to, as UM's administrator writes them: `.` separates levels.
#[derive(Debug, Clone)]
pub struct Folders {
    pub inbox: String,
    pub debug: String,
    pub error: String,
    /// The folders of the kinds that have one of their own.
    pub hardbounce: Option<String>,
    pub softbounce: Option<String>,
    pub autorespond: Option<String>,
    pub unsubscribe: Option<String>,
    pub spam: Option<String>,
}

/// `cmsbs.mail.imap.fetch.*`
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// Octets of mail that may be in flight or waiting for the caller.
    pub buffer: usize,
    /// Commands in flight: 1 or 2.
    pub pipeline: usize,
    /// How long a fetch goes on without progress.
    pub patience: std::time::Duration,
}

/// `language` where there is one, whatever `cmsbs.lang` is.
fn whatever_is_configured(language: Option<Language>) -> impl Fn(Option<Language>) -> Language {
    move |configured| language.or(configured).unwrap_or_default()
}

/// Which language is spoken, from what `cmsbs.lang` is set to.
type Speak<'a> = &'a dyn Fn(Option<Language>) -> Language;

/// What gives the value of a name.
type Ask<'a> = &'a dyn Fn(&str) -> Option<String>;

#[cfg(test)]
mod tests;
