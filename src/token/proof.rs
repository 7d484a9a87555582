//! What proves to the token endpoint who asks: a secret, or a client assertion (RFC 7521 §4.2, RFC 7523 §2.2).

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::certificate::Certified;
use super::expiry::{Expiring, Expiry};
use super::now;
use crate::config::keys::{self, Key};
use crate::config::{self, Credential, OAuth2};
use crate::failure::{Failure, Kind, Result, Retry, Step};
use crate::message;
use crate::text::Arg;

/// Good for one request: an assertion counts once.
pub(super) struct Proof {
    form: Form,
    value: SecretString,
    /// The property that `invalid_client` blames.
    pub key: &'static Key,
    pub expiry: Option<Expiry>,
}

impl Proof {
    /// From the configured credential. A certificate or an assertion is read from its file anew, so that one that was
    /// replaced counts from the next request on.
    pub(super) fn new(oauth2: &OAuth2) -> Result<Self> {
        match &oauth2.credential {
            Credential::ClientSecret(secret) => {
                let expiry =
                    oauth2.secret_expires.map(|last_day| Expiry { credential: Expiring::Secret, last_day });
                Ok(Self { form: Form::Secret, value: secret.clone(), key: &keys::CLIENT_SECRET, expiry })
            }
            Credential::Certificate { file, password } => {
                let certified = Certified::read(file, password.as_ref())?;
                let value = assertion(&certified, oauth2)?;
                let last_day = certified.not_after.date_naive();
                let expiry = Some(Expiry { credential: Expiring::Certificate, last_day });
                Ok(Self { form: Form::Assertion, value, key: &keys::CLIENT_CERTIFICATE, expiry })
            }
            Credential::AssertionFile(file) => {
                let (value, key) = (from_file(file)?, &keys::CLIENT_ASSERTION_FILE);
                Ok(Self { form: Form::Assertion, value, key, expiry: None })
            }
        }
    }

    /// By `oauth2.clientSecret.next`.
    pub(super) fn of_next(secret: &SecretString) -> Self {
        let value = secret.clone();
        Self { form: Form::Secret, value, key: &keys::CLIENT_SECRET_NEXT, expiry: None }
    }

    /// What it adds to the token request.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        let value = self.value.expose_secret();
        match self.form {
            Form::Secret => vec![("client_secret", value)],
            Form::Assertion => vec![("client_assertion_type", JWT_BEARER), ("client_assertion", value)],
        }
    }

    /// What must not be shown of it wherever an endpoint repeats it.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let value = self.value.expose_secret();
        match self.form {
            Form::Secret => vec![value],
            Form::Assertion => vec![value, value.rsplit('.').next().unwrap_or_default()],
        }
    }
}

#[derive(Clone, Copy)]
enum Form {
    Secret,
    Assertion,
}

/// "Microsoft identity platform application authentication certificate credentials": PS256, the certificate named by
/// `x5t#S256`.
fn assertion(certified: &Certified, oauth2: &OAuth2) -> Result<SecretString> {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| Failure::internal("the system gives no random numbers"))?;
    let now = now().timestamp();
    let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": certified.thumbprint });
    let claims = json!({
        "aud": oauth2.token_uri,
        "iss": oauth2.client_id,
        "sub": oauth2.client_id,
        "jti": BASE64_URL_SAFE_NO_PAD.encode(id),
        "nbf": now,
        "iat": now,
        "exp": now + ASSERTION_LIFETIME,
    });
    let encoded = |part: String| BASE64_URL_SAFE_NO_PAD.encode(part);
    let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    let signature = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(certified.sign(signed.as_bytes())?));
    let mut assertion = String::with_capacity(signed.len() + 1 + signature.len());
    assertion.push_str(&signed);
    assertion.push('.');
    assertion.push_str(&signature);
    Ok(assertion.into())
}

fn from_file(file: &Path) -> Result<SecretString> {
    // Its writer may be about to replace it.
    let refused = |problem: Arg| {
        let said = message!(FileFailed, path = file.display(), error = problem);
        Failure::own(Step::Configuration, Kind::Configuration, said)
            .key(keys::CLIENT_ASSERTION_FILE.name)
            .retry(Retry::Later)
    };
    let content = config::read(file, ASSERTION_LIMIT).map_err(|error| refused((&error).into()))?;
    let content = str::from_utf8(&content).map_err(|error| refused(error.to_string().into()))?;
    let assertion = content.trim_start_matches('\u{feff}').trim();
    if assertion.is_empty() {
        return Err(refused(message!(AssertionEmpty).into()));
    }
    let of_jwt = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if assertion.split('.').count() != 3 || !assertion.bytes().all(of_jwt) {
        return Err(refused(message!(AssertionNotJwt).into()));
    }
    Ok(assertion.into())
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Seconds; Microsoft wants five to ten minutes.
const ASSERTION_LIFETIME: i64 = 8 * 60;
/// Octets; Kubernetes and GitHub write one to two thousand.
const ASSERTION_LIMIT: u64 = 32 << 10;
