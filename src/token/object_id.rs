//! The Object ID of the application's service principal, which Exchange wants and people take from the wrong page.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use once_cell::sync::Lazy;

use super::AccessToken;
use crate::config::{Authentication, MailboxConfig, OAuth2};

/// Returns the Object ID of the enterprise application, if a token for this application has told it since the process began.
pub fn object_id(config: &MailboxConfig) -> Option<String> {
    let Authentication::OAuth2(oauth2) = &config.authentication else { return None };
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&application(oauth2)).cloned()
}

/// Keeps what the token tells of its application.
pub(super) fn remember(oauth2: &OAuth2, token: &AccessToken) {
    if let Some(id) = token.claims().and_then(|claims| claims.object_id) {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(application(oauth2), id);
    }
}

fn application(oauth2: &OAuth2) -> (String, String) {
    (oauth2.token_uri.clone(), oauth2.client_id.clone())
}

/// By token endpoint and client id.
static KNOWN: Lazy<Mutex<HashMap<(String, String), String>>> = Lazy::new(Mutex::default);
