//! SASL mechanisms and what is sent in them.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use imap::Authenticator;
use secrecy::zeroize::Zeroizing;

use super::limits;

/// A mechanism by which a secret can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// Google's and Microsoft's, for access tokens.
    XOAuth2,
    /// RFC 7628, for access tokens.
    OAuthBearer,
    /// RFC 4616, for passwords.
    Plain,
}

impl Mechanism {
    /// As in `AUTH=` and AUTHENTICATE.
    pub(super) fn name(self) -> &'static str {
        match self {
            Mechanism::XOAuth2 => "XOAUTH2",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::Plain => "PLAIN",
        }
    }

    /// Returns the message that proves who `user` is.
    pub(super) fn response(self, user: &str, secret: &str) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Mechanism::XOAuth2 => format!("user={user}\x01auth=Bearer {secret}\x01\x01"),
            Mechanism::OAuthBearer => {
                // `saslname` (RFC 5801 §4).
                let user = user.replace('=', "=3D").replace(',', "=2C");
                format!("n,a={user},\x01auth=Bearer {secret}\x01\x01")
            }
            Mechanism::Plain => format!("\0{user}\0{secret}"),
        })
    }

    /// Returns what the server's error challenge wants to hear before its NO comes: nothing, or the ^A of RFC 7628 §3.2.3.
    fn acknowledgement(self) -> &'static str {
        if self == Mechanism::OAuthBearer { "\x01" } else { "" }
    }
}

/// Answers the server's challenges. The response goes out once: in the AUTHENTICATE line or to the first, empty challenge.
/// Another challenge is the server's error in JSON.
pub(super) struct Sasl {
    mechanism: Mechanism,
    initial: bool,
    response: Zeroizing<String>,
    challenge: RefCell<Option<String>>,
}

impl Sasl {
    /// `initial`: the response goes into the AUTHENTICATE line (SASL-IR, RFC 4959).
    pub(super) fn new(mechanism: Mechanism, initial: bool, user: &str, secret: &str) -> Self {
        let response = mechanism.response(user, secret);
        Self { mechanism, initial, response, challenge: RefCell::default() }
    }

    /// Returns what follows AUTHENTICATE. The `imap` crate sends the mechanism's name as it is given.
    pub(super) fn arguments(&self) -> Zeroizing<String> {
        let name = self.mechanism.name();
        Zeroizing::new(match self.initial {
            true => format!("{name} {}", BASE64.encode(self.response.as_bytes())),
            false => name.to_owned(),
        })
    }

    /// Returns the error that the server sent as a challenge.
    pub(super) fn error(self) -> Option<String> {
        self.challenge.into_inner().filter(|challenge| !challenge.trim().is_empty())
    }
}

impl Authenticator for Sasl {
    type Response = Zeroizing<String>;

    fn process(&self, challenge: &[u8]) -> Self::Response {
        if challenge.is_empty() && !self.initial && self.challenge.borrow().is_none() {
            *self.challenge.borrow_mut() = Some(String::new());
            return self.response.clone();
        }
        let text = String::from_utf8_lossy(&challenge[..challenge.len().min(limits::LAST_LINE)]).into_owned();
        *self.challenge.borrow_mut() = Some(text);
        Zeroizing::new(self.mechanism.acknowledgement().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_cannot_end_its_field() {
        let response = Mechanism::OAuthBearer.response("a=b,c@d.de", "t0");
        assert_eq!(response.as_str(), "n,a=a=3Db=2Cc@d.de,\x01auth=Bearer t0\x01\x01");
    }
}
