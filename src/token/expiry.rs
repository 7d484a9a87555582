//! When the configured credential ends, said in time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::NaiveDate;
use once_cell::sync::Lazy;

use super::cache::Fingerprint;
use crate::config::keys::{self, Key};
use crate::message;
use crate::text::Message;
use crate::words::in_days;

/// The end of a credential. A secret's cannot be asked for: it is what `oauth2.clientSecretExpires` states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    pub credential: Expiring,
    /// In UTC; the credential may end in the course of it.
    pub last_day: NaiveDate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiring {
    Secret,
    Certificate,
}

impl Expiry {
    /// Days until the last one; negative when it has passed.
    pub fn days_left(&self, today: NaiveDate) -> i64 {
        self.last_day.signed_duration_since(today).num_days()
    }

    /// Whether it is time to say so: from 30 days before.
    pub fn is_near(&self, today: NaiveDate) -> bool {
        self.days_left(today) <= ANNOUNCED_DAYS
    }

    /// When it ends, if it is time to say so.
    pub fn near(&self, today: NaiveDate) -> Option<Message> {
        self.is_near(today).then(|| {
            let (day, left) = (self.last_day, self.days_left(today));
            match (self.credential, left) {
                (Expiring::Secret, ..0) => message!(CredentialSecretExpired, day = day),
                (Expiring::Secret, _) => message!(CredentialSecretExpires, day = day, when = in_days(left)),
                (Expiring::Certificate, ..0) => message!(CredentialCertificateExpired, day = day),
                (Expiring::Certificate, _) => {
                    message!(CredentialCertificateExpires, day = day, when = in_days(left))
                }
            }
        })
    }

    /// The property in which it stands, or that names the file.
    pub fn key(&self) -> &'static Key {
        match self.credential {
            Expiring::Secret => &keys::CLIENT_SECRET_EXPIRES,
            Expiring::Certificate => &keys::CLIENT_CERTIFICATE,
        }
    }

    /// What to say today about the credential of `fingerprint`, at most once a day; `key` is [`Expiry::key`] as the mailbox
    /// writes it.
    pub(super) fn announcement(
        &self,
        fingerprint: Fingerprint,
        today: NaiveDate,
        key: &str,
    ) -> Option<Message> {
        let near = self.near(today)?;
        let mut announced = ANNOUNCED.lock().unwrap_or_else(PoisonError::into_inner);
        // A day that is over, for this credential or another, needs no memory.
        announced.retain(|_, day| *day == today);
        if announced.insert(fingerprint, today).is_some() {
            return None;
        }
        Some(message!(LogCredentialExpires, expiry = near, key = key))
    }
}

static ANNOUNCED: Lazy<Mutex<HashMap<Fingerprint, NaiveDate>>> = Lazy::new(Mutex::default);

const ANNOUNCED_DAYS: i64 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Language;

    #[test]
    fn an_end_is_announced_once_a_day_from_thirty_days_before() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let expiry = Expiry { credential: Expiring::Secret, last_day: day("2027-05-31") };
        let say = |fingerprint: u8, today: &str| {
            let said = expiry.announcement([fingerprint; 32], day(today), "KEY");
            said.map(|said| said.in_language(Language::English))
        };
        assert_eq!(say(1, "2027-04-30"), None);
        assert_eq!(
            say(1, "2027-05-01").unwrap(),
            "the client secret expires on 2027-05-31, in 30 days (KEY): without a new credential, no mail can be fetched after that day"
        );
        assert_eq!(say(1, "2027-05-01"), None);
        assert!(say(2, "2027-05-01").is_some(), "another credential");
        assert!(say(1, "2027-05-02").unwrap().contains("in 29 days"));
        assert!(say(1, "2027-05-30").unwrap().contains("expires on 2027-05-31, tomorrow"));
        assert!(say(1, "2027-05-31").unwrap().contains("expires on 2027-05-31, today"));
        assert!(say(1, "2027-06-01").unwrap().contains("expired on 2027-05-31"));
    }
}
