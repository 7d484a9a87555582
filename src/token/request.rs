//! One token request (RFC 6749 §4.4.2) over a [`Stream`] of ours.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::time::Instant;

use ring::digest::{Context, SHA256};
use secrecy::ExposeSecret;
use secrecy::zeroize::{Zeroize, Zeroizing};
use ureq::http::Uri;
use ureq::http::header::{CONTENT_TYPE, DATE, HeaderName, LOCATION, RETRY_AFTER};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::answer::{self, BODY_LIMIT, Issued, Reply};
use super::cache::Fingerprint;
use super::claims::Claims;
use super::proof::Proof;
use super::{now, open};
use crate::config::keys::{self, Names};
use crate::config::{Credential, OAuth2, Proxy, Route};
use crate::failure::{Failure, Kind, Result, Step};
use crate::log::Log;
use crate::message;
use crate::net::{self, Cancel, Deadline, Stream, Trust};
use crate::sanitize;
use crate::text::{Arg, Message, Said};

/// What is asked for, and with what.
pub(super) struct Request<'a> {
    oauth2: &'a OAuth2,
    names: &'a Names,
    clock_ahead: Cell<Option<i64>>,
}

impl<'a> Request<'a> {
    pub(super) fn new(oauth2: &'a OAuth2, names: &'a Names) -> Self {
        Self { oauth2, names, clock_ahead: Cell::default() }
    }

    /// Seconds that the endpoint's clock was ahead of ours when it answered.
    pub(super) fn clock_ahead(&self) -> Option<i64> {
        self.clock_ahead.get()
    }

    fn proxy(&self) -> Option<&'a Proxy> {
        match &self.oauth2.route {
            Route::Proxy(proxy) => Some(proxy),
            Route::Direct | Route::Unset => None,
        }
    }

    /// Sends it once; where the credential is refused, once more with the next secret, if there is one.
    pub(super) fn send(
        &self,
        trust: &Trust,
        deadline: Deadline,
        cancel: &Cancel,
        log: &Log,
    ) -> Result<Issued> {
        let proof = Proof::new(self.oauth2)?;
        if let Some(expiry) = &proof.expiry {
            let key = self.names.written(expiry.key().name);
            let said = expiry.announcement(fingerprint(self.oauth2), now().date_naive(), &key);
            said.into_iter().for_each(|said| log.warning(said));
        }
        let refused = match self.attempt(&proof, trust, deadline, cancel, log) {
            Err(failure) if answer::is_refused_credential(&failure, proof.key.name) => failure,
            result => return result,
        };
        let Some(next) = &self.oauth2.next_secret else { return Err(refused) };
        let next = Proof::of_next(next);
        let keys = [proof.key, next.key].map(|key| self.names.written(key.name));
        let [key, next_key] = &keys;
        match self.attempt(&next, trust, deadline, cancel, log) {
            Ok(issued) => {
                log.warning(message!(
                    LogNextSecretAccepted,
                    key = key,
                    observed = refused.told(),
                    next = next_key
                ));
                Ok(issued)
            }
            Err(failure) if answer::is_refused_credential(&failure, next.key.name) => {
                let (first, second) = (refused.told(), failure.told());
                let said = message!(TokenBothRefused, first = first, key = next_key, second = second);
                Err(refused.saying(said))
            }
            Err(failure) => Err(failure),
        }
    }

    fn attempt(
        &self,
        proof: &Proof,
        trust: &Trust,
        deadline: Deadline,
        cancel: &Cancel,
        log: &Log,
    ) -> Result<Issued> {
        let debug = |message: Message| {
            if self.oauth2.debug {
                log.info(message);
            }
        };
        debug(message!(LogTokenRequested, request = self.told()));
        let result = self.ask(proof, trust, deadline, cancel);
        debug(match &result {
            Ok(issued) => message!(LogTokenReceived, answer = issued.told()),
            Err(failure) => message!(LogNoToken, observed = failure.told()),
        });
        if let Ok(issued) = &result
            && let Some(claims) = Claims::of(issued.secret.expose_secret())
            && let Some(problem) = claims.problem(self.oauth2, self.names)
        {
            log.warning(message!(LogTokenProblem, failure = problem.shown()));
        }
        result
    }

    fn ask(&self, proof: &Proof, trust: &Trust, deadline: Deadline, cancel: &Cancel) -> Result<Issued> {
        open(cancel)?;
        let asked = Instant::now();
        let mut fields = vec![("grant_type", "client_credentials"), ("client_id", &self.oauth2.client_id)];
        fields.extend(proof.fields());
        fields.push(("scope", &self.oauth2.scope));
        sanitize::remember(proof.secrets());
        let form = form(&fields);
        let reply = match self.exchange(&form, trust, deadline, cancel) {
            Ok(reply) => reply,
            Err(error) => return Err(self.failure(error, cancel)),
        };
        // A connection that was shut down looks like the end of a body without a length.
        open(cancel)?;
        answer::read(&reply, asked, proof.key.name)
    }

    fn exchange(
        &self,
        form: &str,
        trust: &Trust,
        deadline: Deadline,
        cancel: &Cancel,
    ) -> std::result::Result<Reply, ureq::Error> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(true)
            .max_redirects(0)
            // The default looks into the environment.
            .proxy(None)
            .user_agent(concat!("um-imap-oauth2/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .max_response_header_size(HEADERS_LIMIT)
            .input_buffer_size(2 * HEADERS_LIMIT)
            .output_buffer_size(2 * HEADERS_LIMIT)
            .build();
        let proxy = self.proxy().cloned();
        let dialler = Dialler { proxy, trust: trust.clone(), deadline, cancel: cancel.clone() };
        let agent = ureq::Agent::with_parts(config, dialler, NoLookUp);
        let mut response = agent
            .post(&self.oauth2.token_uri)
            .content_type("application/x-www-form-urlencoded")
            .send(form)?;

        let header = |name: HeaderName| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (content_type, location) = (header(CONTENT_TYPE), header(LOCATION));
        let retry_after = header(RETRY_AFTER).and_then(|wait| answer::wait(&wait, header(DATE).as_deref()));
        let date = header(DATE).and_then(|date| answer::http_date(&date));
        self.clock_ahead.set(date.map(|date| date - now().timestamp()));
        let status = response.status().as_u16();
        // Allocated once, so that no copies of what is in it stay behind.
        let mut body = Zeroizing::new(Vec::with_capacity(BODY_LIMIT + 1));
        response.body_mut().as_reader().take(BODY_LIMIT as u64 + 1).read_to_end(&mut body)?;
        Ok(Reply { status, content_type, location, retry_after, body })
    }

    fn failure(&self, error: ureq::Error, cancel: &Cancel) -> Failure {
        if let Err(closed) = open(cancel) {
            return closed;
        }
        let who = self.host();
        let failure = match error {
            ureq::Error::Other(other) => match other.downcast::<Failure>() {
                Ok(failure) => *failure,
                Err(other) => Failure::own(
                    Step::Token,
                    Kind::Network,
                    message!(NetFailed, peer = who, error = other.to_string()),
                ),
            },
            ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<Said>()) => {
                let said = message!(NetFailed, peer = who, error = &error);
                Failure::own(Step::Token, Kind::Protocol, said)
            }
            ureq::Error::Io(error) => net::io_failure(Step::Token, who, &error),
            ureq::Error::Protocol(error) => {
                let said = message!(TokenNotHttp, peer = who, error = error.to_string());
                Failure::own(Step::Token, Kind::Protocol, said)
            }
            ureq::Error::LargeResponseHeader(..) => Failure::own(
                Step::Token,
                Kind::Protocol,
                message!(TokenHeaders, peer = who, most = HEADERS_LIMIT),
            ),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => Failure::own(
                Step::Token,
                Kind::Configuration,
                message!(TokenNoHttps, uri = &self.oauth2.token_uri),
            ),
            error => Failure::own(
                Step::Token,
                Kind::Network,
                message!(NetFailed, peer = who, error = error.to_string()),
            ),
        };
        match failure.key {
            Some(_) => failure,
            None => failure.key(keys::ACCESS_TOKEN_URI.name),
        }
    }

    fn host(&self) -> String {
        let uri = self.oauth2.token_uri.parse::<Uri>().ok();
        uri.and_then(|uri| uri.authority().map(ToString::to_string)).unwrap_or_default()
    }
}

/// What may be logged of it.
impl Request<'_> {
    /// Says what is asked for, without any secret.
    fn told(&self) -> Arg {
        let OAuth2 { token_uri, client_id, scope, .. } = self.oauth2;
        let request = format!("POST {token_uri} client_id={client_id} scope={scope}");
        match self.proxy() {
            Some(proxy) => {
                message!(LogTokenThrough, request = request, proxy = net::proxy_name(proxy)).into()
            }
            None => request.into(),
        }
    }
}

/// Of a certificate or an assertion only the file's name counts: a token stays good when the file is replaced.
pub(super) fn fingerprint(oauth2: &OAuth2) -> Fingerprint {
    let OAuth2 { token_uri, client_id, scope, credential, next_secret, .. } = oauth2;
    let (kind, file, secret) = match credential {
        Credential::ClientSecret(secret) => (keys::CLIENT_SECRET.name, None, Some(secret)),
        Credential::Certificate { file, password } => {
            (keys::CLIENT_CERTIFICATE.name, Some(file), password.as_ref())
        }
        Credential::AssertionFile(file) => (keys::CLIENT_ASSERTION_FILE.name, Some(file), None),
    };
    let file = file.map(|file| file.as_os_str().as_encoded_bytes());
    let parts = [
        token_uri.as_bytes(),
        client_id.as_bytes(),
        scope.as_bytes(),
        kind.as_bytes(),
        file.unwrap_or_default(),
        secret.map(ExposeSecret::expose_secret).unwrap_or_default().as_bytes(),
        next_secret.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default().as_bytes(),
    ];
    let mut context = Context::new(&SHA256);
    for part in parts {
        // The length keeps "a", "bc" and "ab", "c" apart.
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

/// Opens connections for ureq.
#[derive(Debug)]
struct Dialler {
    proxy: Option<Proxy>,
    trust: Trust,
    deadline: Deadline,
    cancel: Cancel,
}

impl Connector for Dialler {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> std::result::Result<Option<Connection>, ureq::Error> {
        let host = details.uri.host().unwrap_or_default();
        // An IPv6 address stands in brackets.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = details.uri.port_u16().unwrap_or(HTTPS);
        let (proxy, trust) = (self.proxy.as_ref(), Some(&self.trust));
        let stream = net::connect(host, port, proxy, trust, self.deadline, &self.cancel)
            .map_err(|failure| ureq::Error::Other(Box::new(failure)))?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Connection { stream, buffers, received: 0 }))
    }
}

/// One request's connection. Its time limit is the stream's.
#[derive(Debug)]
struct Connection {
    stream: Stream,
    buffers: LazyBuffers,
    /// Octets of the answer so far.
    received: usize,
}

/// Why an answer is not read to its end.
impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> std::result::Result<(), ureq::Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        self.stream.flush()?;
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> std::result::Result<bool, ureq::Error> {
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.received += amount;
        if self.received > ANSWER_LIMIT {
            let too_long = message!(TokenAnswerTooLong, most = ANSWER_LIMIT);
            return Err(io::Error::new(io::ErrorKind::InvalidData, Said(too_long)).into());
        }
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Not used again: there is one request an hour.
    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The credential went through one, the token through the other.
        self.buffers.output().zeroize();
        let rest = self.buffers.input().len();
        self.buffers.input_consume(rest);
        self.buffers.input_append_buf().zeroize();
    }
}

/// [`net::connect`] looks names up itself.
#[derive(Debug)]
struct NoLookUp;

impl Resolver for NoLookUp {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// `application/x-www-form-urlencoded` (RFC 6749 appendix B).
fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    let encoded: Vec<_> = fields.iter().map(|(name, value)| (name, form_encoded(value))).collect();
    let length = encoded.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut form = Zeroizing::new(String::with_capacity(length));
    for (name, value) in encoded {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        form.push_str(&value);
    }
    form
}

fn form_encoded(text: &str) -> Zeroizing<String> {
    // Allocated once, so that no copies stay behind.
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => {
                encoded.push('%');
                for digit in [byte >> 4, byte & 15] {
                    encoded
                        .extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
                }
            }
        }
    }
    encoded
}

const HTTPS: u16 = 443;
/// Servers send one or two kilobytes of headers.
const HEADERS_LIMIT: usize = 16 << 10;
/// Octets of one answer on the wire: headers, those of interim answers too, the body at its limit in chunks of one octet, and
/// trailers.
const ANSWER_LIMIT: usize = 8 * BODY_LIMIT;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_a_form_is_encoded() {
        assert_eq!(form_encoded("s3cr~t/+=&% %ü").as_str(), "s3cr%7Et%2F%2B%3D%26%25+%25%C3%BC");
        assert_eq!(form(&[("a", "b c"), ("d", "&")]).as_str(), "a=b+c&d=%26");
    }
}
