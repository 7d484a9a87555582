//! AUTHENTICATE and LOGIN.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::session::{Done, Login, Session, Stop, ok};
use super::syntax::Args;
use crate::entra::Issued;
use crate::shared::{From as Side, locked};
use crate::wire::Going;

impl Session {
    pub(super) fn authenticate(&mut self, args: &mut Args) -> Done {
        let mechanism = args.word()?.to_ascii_uppercase();
        if !self.wire.is_tls() || !matches!(mechanism.as_str(), "XOAUTH2" | "PLAIN") {
            return Ok(("NO", "AUTHENTICATE failed.".into()));
        }
        let response = if args.is_empty() {
            let line = self.challenge("+ ")?;
            if line == "*" {
                return Ok(("BAD", "The AUTH protocol exchange was canceled by the client.".into()));
            }
            line
        } else {
            args.space()?;
            if !self.shared.dialect.sasl_ir {
                return Err(Stop::Unreadable);
            }
            String::from_utf8_lossy(args.0).into_owned()
        };
        let Ok(octets) = STANDARD.decode(response.trim()) else {
            return Ok(("BAD", "Command Argument Error. 11".into()));
        };
        let text = String::from_utf8_lossy(&octets).into_owned();
        if mechanism == "PLAIN" {
            let mut parts = text.split('\0').skip(1);
            let (user, password) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            return self.log_in_with_password("AUTHENTICATE", user, password);
        }
        let field = |name: &str| text.split('\x01').find_map(|field| field.strip_prefix(name));
        let user = field("user=").unwrap_or_default();
        let token = field("auth=Bearer ").unwrap_or_default();
        if !text.ends_with("\x01\x01") {
            return self.refuse("AUTHENTICATE", None);
        }
        self.log_in_with_token(user, token)
    }

    pub(super) fn login(&mut self, args: &mut Args) -> Done {
        let user = args.text()?;
        args.space()?;
        let password = args.text()?;
        args.end()?;
        if !self.wire.is_tls() {
            return Ok(("NO", "LOGIN failed.".into()));
        }
        self.log_in_with_password("LOGIN", &user, &password)
    }

    fn log_in_with_token(&mut self, user: &str, token: &str) -> Done {
        let issued = locked(&self.shared.tokens).known(token);
        let mailbox = locked(&self.shared.store).find(Some(user));
        match (issued, mailbox) {
            (Some(issued), Some(_)) if !issued.service_principal => {
                let error = format!("AuthFailed:LogonDenied-None-OAuthLog:AppId={}", issued.client);
                self.refuse("AUTHENTICATE", Some(&error))
            }
            (Some(issued), Some(mailbox)) if issued.for_imap => {
                self.enter(mailbox, Some(issued));
                ok("AUTHENTICATE")
            }
            _ => {
                if let Some(challenge) = self.shared.dialect.challenge.clone() {
                    self.challenge(&format!("+ {}", STANDARD.encode(challenge)))?;
                }
                self.refuse("AUTHENTICATE", None)
            }
        }
    }

    fn log_in_with_password(&mut self, command: &str, user: &str, password: &str) -> Done {
        let (mailbox, wanted) = {
            let store = locked(&self.shared.store);
            let mailbox = store.find(Some(user));
            (mailbox, mailbox.and_then(|mailbox| store.mailboxes[mailbox].password.clone()))
        };
        match (mailbox, wanted) {
            (Some(mailbox), Some(wanted)) if wanted == password => {
                self.enter(mailbox, None);
                ok(command)
            }
            (_, Some(_)) => self.refuse(command, None),
            _ => self.refuse(command, Some("AuthFailed:LogonDenied-BasicAuthBlocked")),
        }
    }

    fn enter(&mut self, mailbox: usize, token: Option<Arc<Issued>>) {
        let mut store = locked(&self.shared.store);
        let place = &mut store.mailboxes[mailbox];
        let permitted = match (&token, &place.permitted) {
            (Some(token), Some(permitted)) => permitted.contains(&token.client),
            _ => true,
        };
        let connected = permitted && place.imap_enabled && place.sessions < place.connections;
        if connected {
            place.sessions += 1;
        }
        locked(&self.shared.counters).logins += 1;
        self.login = Some(Login { mailbox, connected, token });
    }

    fn refuse(&mut self, command: &str, error: Option<&str>) -> Done {
        self.bad += 1;
        locked(&self.shared.counters).refused_logins += 1;
        let error = error.map(|error| format!(" Error=\"{error}\"")).unwrap_or_default();
        Ok(("NO", format!("{command} failed.{error}")))
    }

    /// Sends a continuation request and reads the line that answers it, which is a credential or nothing.
    fn challenge(&mut self, line: &str) -> Going<String> {
        self.wire.prompt(line)?;
        let answer = self.read_line(MAX_CREDENTIAL)?.unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        self.shared.record(self.connection, Side::Client, format!("{{{} octets}}", answer.len()));
        Ok(answer)
    }
}

const MAX_CREDENTIAL: usize = 64 * 1024;
