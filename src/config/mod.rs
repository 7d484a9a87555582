//! UM's files and keys → [`MailboxConfig`].
//!
//! A `MailboxConfig` that exists is a valid one: every other room takes it as it is.

pub mod keys;

use std::path::PathBuf;

use secrecy::SecretString;

/// One mailbox, as UM's properties describe it.
#[derive(Debug, Clone)]
pub struct MailboxConfig {
    /// The listener's name; `None` is the primary mailbox.
    pub listener: Option<String>,
    pub server: String,
    pub port: u16,
    pub security: Security,
    /// The mailbox = its primary e-mail address.
    pub user: String,
    pub authentication: Authentication,
    /// More certificate authorities (PEM) beside the trusted ones, for both connections.
    pub ca_file: Option<PathBuf>,
    pub folders: Folders,
    /// `cmsbs.bounce.debug`: handled mail is moved to a folder instead of deleted.
    pub debug: bool,
    /// `cmsbs.bounce.processAll`: every mail, not only the unread ones.
    pub process_all: bool,
    pub fetch: FetchLimits,
    /// Where journal and status lie and the native library is unpacked; `None`: nowhere.
    pub work_directory: Option<PathBuf>,
    /// `cmsbs.directory.tmp`, for mails larger than the budget; `None`: the system's.
    pub tmp_directory: Option<PathBuf>,
    pub language: Language,
    /// `cmsbs.mail.imap.trace`: the IMAP dialogue, without literals and secrets.
    pub trace: bool,
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
pub enum Authentication {
    /// SASL XOAUTH2 with an access token by the client-credentials grant.
    OAuth2(OAuth2),
    Password(SecretString),
}

/// What an access token is asked for with.
#[derive(Debug, Clone)]
pub struct OAuth2 {
    /// The token endpoint; always `https`.
    pub token_uri: String,
    pub client_id: String,
    pub credential: Credential,
    pub scope: String,
    /// `oauth2.debug`: the token request and the login are logged, without secrets.
    pub debug: bool,
}

#[derive(Debug, Clone)]
pub enum Credential {
    ClientSecret(SecretString),
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

/// `cmsbs.lang`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    #[default]
    German,
    English,
}
