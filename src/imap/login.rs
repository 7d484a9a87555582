//! From the greeting to the selected inbox, by the `imap` crate over a [`guard`](super::guard).

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use imap::{Authenticator, Client, Error};
use imap_proto::{Capability, NameAttribute};
use secrecy::zeroize::Zeroizing;

use super::backoff::if_throttled;
use super::folders::Folders;
use super::guard::{Guard, Handle, guard};
use super::session::{Capabilities, Selected, Session};
use super::uids::UidValidity;
use super::{Transport, limits};
use crate::failure::{Failure, Kind, Result, Retry, Step};
use crate::log::{Log, Masks};
use crate::net::{Deadline, Trust, io_failure};
use crate::sanitize;

/// Who logs in, with what.
pub struct Login<'a> {
    pub user: &'a str,
    pub secret: Secret<'a>,
}

pub enum Secret<'a> {
    /// SASL XOAUTH2; sent only over TLS.
    AccessToken(&'a str),
    /// SASL PLAIN (RFC 4616), else LOGIN.
    Password(&'a str),
}

/// What is to be opened.
pub struct Inbox<'a> {
    /// As it is configured.
    pub name: &'a str,
    /// EXAMINE: nothing changes, not even `\Recent`.
    pub read_only: bool,
}

/// STARTTLS is asked for before the login.
pub struct StartTls<'a> {
    pub host: &'a str,
    pub trust: &'a Trust,
}

/// Logs in, lists the folders and selects the inbox. All of it ends with `deadline`.
///
/// What the server says is repeated in failures and in the trace without the secret, whatever it has of it.
pub fn open<C>(
    stream: Box<dyn Transport>,
    start_tls: Option<StartTls>,
    login: &Login,
    inbox: &Inbox,
    deadline: Deadline,
    trace: Option<Log>,
) -> Result<Session<C>> {
    let masks = login.masks();
    let trace = trace.map(|log| log.masking(masks.clone()));
    let greeted = greet(stream, start_tls, deadline, trace).map_err(|failure| masked(failure, &masks))?;
    greeted.log_in(login)?.select(inbox)
}

/// The first part of [`open`] alone: reads the greeting, encrypts the connection where that is asked for, and asks what
/// the server can do. Everything up to SELECT ends with `deadline`.
pub fn greet(
    mut stream: Box<dyn Transport>,
    start_tls: Option<StartTls>,
    deadline: Deadline,
    trace: Option<Log>,
) -> Result<Greeted> {
    stream.set_deadline(deadline);
    let mut greeting = None;
    if let Some(StartTls { host, trust }) = start_tls {
        let (plain, line) = encrypt(stream, trace.clone())?;
        stream = plain.start_tls(host, trust, deadline)?;
        greeting = Some(line);
    }
    let encrypted = stream.is_encrypted();
    let (guard, handle) = guard(stream, trace.clone());
    let mut client = Client::new(guard);
    let greeting = match greeting {
        Some(greeting) => greeting,
        None => read_greeting(&mut client, &handle)?,
    };
    // Who does not say how to log in has not said all of it. With STARTTLS the greeting came from anybody.
    let told = handle.capabilities().filter(|told| told.iter().any(|name| is_mechanism(name)));
    let mut capabilities = match told {
        Some(told) => told,
        None => names(&client.capabilities().map_err(|error| failure(Step::Greeting, &handle, error))?),
    };
    capabilities.sort();
    Ok(Greeted { greeting, capabilities, client, handle, encrypted, trace })
}

/// A connection before the login.
pub struct Greeted {
    /// The server's first line.
    pub greeting: String,
    /// In alphabetical order.
    pub capabilities: Vec<String>,
    client: Client<Guard>,
    handle: Handle,
    encrypted: bool,
    trace: Option<Log>,
}

impl Greeted {
    pub fn log_in(self, login: &Login) -> Result<LoggedIn> {
        self.authenticate(login).map_err(|failure| masked(failure, &login.masks()))
    }

    fn authenticate(self, login: &Login) -> Result<LoggedIn> {
        if matches!(login.secret, Secret::AccessToken(_)) && !self.encrypted {
            return Err(Failure::internal("an access token would have crossed a connection without TLS"));
        }
        let mut session = authenticate(self.client, &self.capabilities, &self.handle, login)?;
        // Some servers say more about themselves after the login.
        let capabilities = match self.handle.capabilities() {
            Some(told) => told,
            None => {
                names(&session.capabilities().map_err(|error| failure(Step::Login, &self.handle, error))?)
            }
        };
        let masks = login.masks();
        Ok(LoggedIn { session, capabilities, handle: self.handle, masks, trace: self.trace })
    }
}

/// A connection after the login, with no mailbox selected.
pub struct LoggedIn {
    session: imap::Session<Guard>,
    capabilities: Vec<String>,
    handle: Handle,
    masks: Masks,
    trace: Option<Log>,
}

impl LoggedIn {
    /// Whether there is a mailbox behind the login. Exchange Online says OK to a login that leads to none, and BAD to the
    /// first command after it; NAMESPACE (RFC 2342) is the one that changes nothing and costs least. False: the server does
    /// not have it.
    pub fn probe(&mut self) -> Result<bool> {
        if !offers(&self.capabilities, "NAMESPACE") {
            return Ok(false);
        }
        let probed = self.session.run_command_and_check_ok("NAMESPACE");
        probed.map(|()| true).map_err(|error| masked(failure(Step::Login, &self.handle, error), &self.masks))
    }

    /// The last part of [`open`] alone: lists the folders and selects the inbox.
    pub fn select<C>(self, inbox: &Inbox) -> Result<Session<C>> {
        let masks = self.masks.clone();
        self.into_session(inbox).map_err(|failure| masked(failure, &masks))
    }

    fn into_session<C>(mut self, inbox: &Inbox) -> Result<Session<C>> {
        let failed = |step| {
            let handle = &self.handle;
            move |error| failure(step, handle, error)
        };
        let offered = |name| offers(&self.capabilities, name);
        let capabilities = Capabilities { r#move: offered("MOVE"), uidplus: offered("UIDPLUS") };
        let names = self.session.list(Some(""), Some("*")).map_err(failed(Step::Folders))?;
        let selectable = || names.iter().filter(|name| !name.attributes().contains(&NameAttribute::NoSelect));
        let folders = Folders {
            separator: names.iter().find_map(|name| name.delimiter()?.chars().next()),
            names: selectable().map(|name| unescape(name.name())).collect(),
            junk: selectable()
                .find(|name| name.attributes().contains(&NameAttribute::Junk))
                .map(|name| unescape(name.name())),
        };
        let name = folders.resolve(inbox.name).name;
        // The crate quotes the name.
        let selected = if inbox.read_only { self.session.examine(&name) } else { self.session.select(&name) };
        let selected = selected.map_err(failed(Step::Select))?;
        let complaint = |kind, text: &str| Err(Failure::new(Step::Select, kind, format!("{name}: {text}")));
        if !inbox.read_only && selected.is_read_only {
            return complaint(Kind::Refused, "[READ-ONLY] the server opened it for reading only");
        }
        let Some(uid_validity) = selected.uid_validity.and_then(UidValidity::new) else {
            return complaint(Kind::Protocol, "the server named no UIDVALIDITY");
        };
        drop(names);
        drop(self.session);
        let (stream, rest) = self.handle.into_stream()?;
        let selected = Selected { name, uid_validity };
        Ok(Session::new(stream, rest, capabilities, folders, selected, self.masks, self.trace))
    }
}

impl Login<'_> {
    fn masks(&self) -> Masks {
        let (secret, response) = match self.secret {
            Secret::AccessToken(token) => (token, xoauth2(self.user, token)),
            Secret::Password(password) => (password, plain(self.user, password)),
        };
        let encoded = Zeroizing::new(BASE64.encode(response.as_bytes()));
        sanitize::remember([secret, encoded.as_str()]);
        Masks::of([secret, encoded.as_str()])
    }
}

fn masked(failure: Failure, masks: &Masks) -> Failure {
    let observed = masks.apply(failure.observed.clone());
    failure.observing_lines(observed.lines())
}

/// STARTTLS (RFC 9051 §6.2.1), by hand: the `imap` crate does it only on connections of its own. What the server sends
/// after its OK and before TLS could come from anybody and ends the attempt.
fn encrypt(stream: Box<dyn Transport>, trace: Option<Log>) -> Result<(Box<dyn Transport>, String)> {
    use std::io::{BufRead, BufReader, Write};

    let (guard, handle) = guard(stream, trace);
    let mut lines = BufReader::with_capacity(1, guard);
    let line = |lines: &mut BufReader<Guard>| {
        let mut line = Vec::new();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => Err(failure(Step::Greeting, &handle, Error::ConnectionLost)),
            Ok(_) => Ok(line),
            Err(error) => Err(failure(Step::Greeting, &handle, Error::Io(error))),
        }
    };
    let greeting = check_greeting(&line(&mut lines)?)?;
    let written = lines.get_mut().write_all(b"S1 STARTTLS\r\n").and_then(|()| lines.get_mut().flush());
    written.map_err(|error| failure(Step::Greeting, &handle, Error::Io(error)))?;
    let answer = loop {
        let line = line(&mut lines)?;
        if !line.starts_with(b"* ") {
            break line;
        }
    };
    if !answer.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"S1 OK ")) {
        let observed = format!("STARTTLS was refused: {}", super::cursor::excerpt(&answer));
        return Err(if_throttled(Failure::new(Step::Tls, Kind::Tls, observed)));
    }
    drop(lines);
    let (stream, rest) = handle.into_stream()?;
    if !rest.is_empty() {
        let observed = format!("{} sent more than its answer to STARTTLS before TLS began", stream.peer());
        return Err(Failure::new(Step::Tls, Kind::Protocol, observed));
    }
    Ok((stream, greeting))
}

fn read_greeting(client: &mut Client<Guard>, handle: &Handle) -> Result<String> {
    let greeting = client.read_greeting().map_err(|error| failure(Step::Greeting, handle, error))?;
    check_greeting(&greeting)
}

/// `greeting = "*" SP (resp-cond-auth / resp-cond-bye)` (RFC 9051 §9)
fn check_greeting(line: &[u8]) -> Result<String> {
    let starts_with =
        |prefix: &[u8]| line.get(..prefix.len()).is_some_and(|s| s.eq_ignore_ascii_case(prefix));
    if starts_with(b"* OK") {
        return Ok(super::cursor::excerpt(line));
    }
    let kind = if starts_with(b"* BYE") { Kind::Network } else { Kind::Protocol };
    Err(if_throttled(Failure::new(Step::Greeting, kind, super::cursor::excerpt(line))))
}

fn authenticate(
    client: Client<Guard>,
    capabilities: &[String],
    handle: &Handle,
    login: &Login,
) -> Result<imap::Session<Guard>> {
    let offered = |name: &str| offers(capabilities, name);
    let (mechanism, response) = match login.secret {
        Secret::AccessToken(token) if offered("AUTH=XOAUTH2") => ("XOAUTH2", xoauth2(login.user, token)),
        Secret::AccessToken(_) => {
            let observed = format!("the server offers no AUTH=XOAUTH2 in {}", capabilities.join(" "));
            return Err(Failure::new(Step::Login, Kind::Login, observed));
        }
        Secret::Password(password) if offered("AUTH=PLAIN") => ("PLAIN", plain(login.user, password)),
        Secret::Password(password) => {
            let session = client.login(login.user, password);
            return session.map_err(|(error, _)| login_failure(handle, error, None));
        }
    };
    let sasl = Sasl { initial: offered("SASL-IR"), response, challenge: RefCell::default() };
    let result = if sasl.initial {
        // RFC 4959: the crate sends the mechanism's name as it is given.
        let command = Zeroizing::new(format!("{mechanism} {}", BASE64.encode(sasl.response.as_bytes())));
        client.authenticate(command.as_str(), &sasl)
    } else {
        client.authenticate(mechanism, &sasl)
    };
    result.map_err(|(error, _)| login_failure(handle, error, sasl.challenge.into_inner()))
}

/// The response of SASL XOAUTH2: user and token, each field ended by ^A, as Google's and Microsoft's pages on XOAUTH2 show
/// it.
fn xoauth2(user: &str, token: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

/// The message of SASL PLAIN (RFC 4616 §2).
fn plain(user: &str, password: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("\0{user}\0{password}"))
}

/// Answers the server's challenges. The response goes out once: in the AUTHENTICATE line or to the first, empty challenge.
/// Another one is the server's error in JSON, which wants an empty answer before the NO comes.
struct Sasl {
    initial: bool,
    response: Zeroizing<String>,
    challenge: RefCell<Option<String>>,
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
        Zeroizing::default()
    }
}

/// The refusal of a login, with the server's JSON where it sent one.
fn login_failure(handle: &Handle, error: Error, challenge: Option<String>) -> Failure {
    let mut failure = failure(Step::Login, handle, error);
    if let Some(challenge) = challenge.filter(|challenge| !challenge.trim().is_empty()) {
        // The server's own line feeds are none of ours.
        let said = format!("{} {}", failure.observed, sanitize::escape(challenge.trim()));
        failure = failure.observing_lines(said.lines());
    }
    failure
}

fn failure(step: Step, handle: &Handle, error: Error) -> Failure {
    if_throttled(plain_failure(step, handle, error))
}

fn plain_failure(step: Step, handle: &Handle, error: Error) -> Failure {
    let peer = handle.peer();
    if let Some(violation) = handle.violation() {
        return Failure::new(step, Kind::Protocol, format!("{peer} sent {violation}"));
    }
    let complaints = handle.complaints();
    let said = |own: String| complaints.clone().unwrap_or(own);
    match error {
        Error::No(no) => refused(step, said(format!("NO {}", no.information))),
        Error::Bad(bad) => refused(step, said(format!("BAD {}", bad.information))),
        Error::Io(error) => {
            let failure = io_failure(step, &peer, &error);
            if failure.kind == Kind::Network {
                let observed = said(failure.observed.clone());
                failure.observing_lines(observed.lines())
            } else {
                failure
            }
        }
        Error::ConnectionLost => {
            let observed = said(format!("{peer} closed the connection"));
            Failure::new(step, Kind::Network, "").observing_lines(observed.lines())
        }
        // The crate calls everything that it cannot read a BYE.
        Error::Bye(_) if complaints.is_some() => {
            Failure::new(step, Kind::Network, "").observing_lines(said(String::new()).lines())
        }
        Error::Bye(_) => Failure::new(step, Kind::Protocol, format!("{peer} sent what is no IMAP response")),
        other => {
            Failure::new(step, Kind::Protocol, format!("{peer} sent what is no IMAP response ({other})"))
        }
    }
}

fn refused(step: Step, observed: String) -> Failure {
    let kind = if step <= Step::Login { Kind::Login } else { Kind::Refused };
    Failure::new(step, kind, "").observing_lines(observed.lines()).retry(Retry::Never)
}

/// Whether a capability was named, in any case.
fn offers(capabilities: &[String], name: &str) -> bool {
    capabilities.iter().any(|offered| offered.eq_ignore_ascii_case(name))
}

fn is_mechanism(capability: &str) -> bool {
    capability.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("AUTH="))
}

fn names(capabilities: &imap::types::Capabilities) -> Vec<String> {
    capabilities.iter().map(capability_name).collect()
}

/// A folder's name as it is. The crate leaves the backslashes of a quoted string in it (RFC 9051 §9, `QUOTED-CHAR`), and
/// does not tell whether it was one; in a literal a backslash hardly ever stands before another or a quote.
fn unescape(name: &str) -> String {
    let mut unescaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('\\') {
        unescaped.push_str(before);
        let escaped = after.chars().next().filter(|next| matches!(next, '\\' | '"'));
        unescaped.push(escaped.unwrap_or('\\'));
        rest = &after[escaped.map_or(0, char::len_utf8)..];
    }
    unescaped + rest
}

fn capability_name(capability: &Capability<'_>) -> String {
    match capability {
        Capability::Imap4rev1 => "IMAP4rev1".to_owned(),
        Capability::Auth(mechanism) => format!("AUTH={mechanism}"),
        Capability::Atom(name) => name.to_string(),
    }
}
