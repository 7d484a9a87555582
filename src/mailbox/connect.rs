//! From the configuration to a session with the selected inbox.

use secrecy::ExposeSecret;

use crate::config::{Authentication, MailboxConfig, OAuth2, Security};
use crate::failure::{Failure, Kind, Result};
use crate::imap::Transport;
use crate::imap::limits::Times;
use crate::imap::login::{self, Inbox, Login, Opening, Secret, StartTls};
use crate::imap::session::Session;
use crate::imap::tags::Tags;
use crate::log::Log;
use crate::message;
use crate::net::{self, Cancel, Deadline, Trust};
use crate::token::{self, AccessToken};

/// Opens the connection to the mail server.
pub trait Connector: Send + Sync {
    fn connect(
        &self,
        config: &MailboxConfig,
        trust: &Trust,
        deadline: Deadline,
        cancel: &Cancel,
    ) -> Result<Box<dyn Transport>>;
}

/// Opens TCP connections, through the configured proxy, with TLS if it is configured.
pub struct Network;

impl Connector for Network {
    fn connect(
        &self,
        config: &MailboxConfig,
        trust: &Trust,
        deadline: Deadline,
        cancel: &Cancel,
    ) -> Result<Box<dyn Transport>> {
        let trust = (config.security == Security::Tls).then_some(trust);
        let proxy = config.proxy.as_ref();
        let stream = net::connect(&config.server, config.port, proxy, trust, deadline, cancel)?;
        Ok(Box::new(stream))
    }
}

/// One attempt to connect, with everything that it needs.
pub(super) struct Attempt<'a> {
    pub config: &'a MailboxConfig,
    pub authentication: &'a Authentication,
    pub connector: &'a dyn Connector,
    pub trust: &'a Trust,
    pub times: &'a Times,
    pub read_only: bool,
    pub cancel: &'a Cancel,
    pub log: &'a Log,
}

impl Attempt<'_> {
    /// Gets a token if one is needed, connects, logs in and selects the inbox.
    pub(super) fn run<C>(&self) -> Result<Session<C>> {
        let deadline = Deadline::after(self.times.opening);
        let oauth2 = match self.authentication {
            Authentication::Password(password) => {
                return self.log_in(Secret::Password(password.expose_secret()), deadline);
            }
            Authentication::OAuth2(oauth2) => oauth2,
        };
        let names = &self.config.names;
        let token = || token::access_token(oauth2, names, self.trust, deadline, self.cancel, self.log);
        let mut used = token()?;
        let mut opened = self.log_in(Secret::AccessToken(used.secret()), deadline);
        // A token from the cache may have been revoked: a refusal counts only for a fresh one.
        if matches!(&opened, Err(failure) if failure.kind == Kind::Login) && !used.is_fresh() {
            token::forget(oauth2, &used);
            used = token()?;
            opened = self.log_in(Secret::AccessToken(used.secret()), deadline);
        }
        let opened = opened.map_err(|failure| self.blaming_token(failure, oauth2, &used));
        opened.inspect(|session| {
            if oauth2.debug {
                self.log.info(message!(
                    LogLoggedIn,
                    user = &self.config.user,
                    server = format!("{}:{}", self.config.server, self.config.port),
                    inbox = &session.selected.name,
                    validity = session.selected.uid_validity.to_string(),
                ));
            }
        })
    }

    /// A login with a token that lacks what the server needs is refused for that reason, whatever the server says of it.
    fn blaming_token(&self, failure: Failure, oauth2: &OAuth2, token: &AccessToken) -> Failure {
        let claims = token.claims().filter(|_| failure.kind == Kind::Login);
        let Some(problem) = claims.and_then(|claims| claims.problem(oauth2, &self.config.names)) else {
            return failure;
        };
        let said = message!(LoginRefusedToken, refusal = failure.told(), problem = problem.told());
        Failure { key: problem.key.clone(), ..failure.clone().saying(said) }
    }

    fn log_in<C>(&self, secret: Secret, deadline: Deadline) -> Result<Session<C>> {
        let config = self.config;
        let trace = config.trace.then(|| self.log.clone());
        let stream = self.connector.connect(config, self.trust, deadline, self.cancel)?;
        let start_tls = (config.security == Security::StartTls)
            .then_some(StartTls { host: &config.server, trust: self.trust });
        let opening = Opening { start_tls, deadline, tags: Tags::random()?, trace };
        let login = Login { user: &config.user, secret };
        let inbox = Inbox { name: &config.folders.inbox, read_only: self.read_only };
        let mut session = login::open(stream, opening, &login, &inbox)?;
        session.set_times(*self.times);
        Ok(session)
    }
}
