//! From the greeting to the selected inbox. The `imap` crate conducts the login, over a [`guard`](super::guard).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use imap::Client;
use secrecy::zeroize::Zeroizing;

use super::Transport;
use super::backoff::if_throttled;
use super::commands::Command;
use super::dialogue::{Dialogue, Received};
use super::folders::Folders;
use super::guard::guard;
use super::limits;
use super::responses::{Code, Condition, Response, Status};
use super::sasl::{Mechanism, Sasl};
use super::session::{Capabilities, Selected, Session};
use super::tags::Tags;
use crate::failure::{Failure, Kind, Result, Retry, Step};
use crate::log::Log;
use crate::message;
use crate::net::{Deadline, Trust};
use crate::sanitize;

/// The user and the proof.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    pub user: &'a str,
    pub secret: Secret<'a>,
}

#[derive(Clone, Copy)]
pub enum Secret<'a> {
    /// SASL XOAUTH2, else OAUTHBEARER; sent only over TLS.
    AccessToken(&'a str),
    /// SASL PLAIN, else LOGIN.
    Password(&'a str),
}

/// The mailbox that is to be opened.
pub struct Inbox<'a> {
    /// As it is configured.
    pub name: &'a str,
    /// EXAMINE: nothing changes, not even `\\Recent`.
    pub read_only: bool,
}

/// Asks for STARTTLS before the login.
pub struct StartTls<'a> {
    pub host: &'a str,
    pub trust: &'a Trust,
}

/// How to begin a connection.
pub struct Opening<'a> {
    pub start_tls: Option<StartTls<'a>>,
    /// The end of everything up to SELECT.
    pub deadline: Deadline,
    pub tags: Tags,
    /// Gets the dialogue, without secrets.
    pub trace: Option<Log>,
}

/// Logs in, lists the folders and selects the inbox.
///
/// Failures and the trace repeat the server's words without the secret, whatever they have of it.
pub fn open<C>(
    stream: Box<dyn Transport>,
    opening: Opening,
    login: &Login,
    inbox: &Inbox,
) -> Result<Session<C>> {
    login.remember();
    greet(stream, opening)?.log_in(login)?.select(inbox)
}

/// The first part of [`open`] alone: reads the greeting, encrypts the connection if that is asked for, and asks for the
/// server's capabilities.
pub fn greet(stream: Box<dyn Transport>, opening: Opening) -> Result<Greeted> {
    let Opening { start_tls, deadline, tags, trace } = opening;
    let mut dialogue = Dialogue::new(stream, tags, deadline, trace);
    let greeting = read_greeting(&mut dialogue)?;
    if let Some(StartTls { host, trust }) = start_tls {
        dialogue = ask_for_tls(dialogue)?.encrypt(host, trust, deadline)?;
    }
    // A server that does not name a mechanism has not named everything.
    let named = dialogue.take_capabilities().filter(|named| named.iter().any(|name| is_mechanism(name)));
    let mut capabilities = match named {
        Some(named) => named,
        None => ask_for_capabilities(&mut dialogue)?,
    };
    capabilities.sort();
    Ok(Greeted { greeting, capabilities, dialogue })
}

/// A connection before the login.
pub struct Greeted {
    /// The server's first line.
    pub greeting: String,
    /// In alphabetical order.
    pub capabilities: Vec<String>,
    dialogue: Dialogue<()>,
}

impl Greeted {
    /// Returns the texts for the administrator since the last call: `[ALERT]` (RFC 9051 §7.1).
    pub fn take_alerts(&mut self) -> Vec<String> {
        self.dialogue.take_alerts()
    }

    /// Logs in, and names this client to the server if it wants to know (RFC 2971): some refuse SELECT otherwise.
    pub fn log_in(mut self, login: &Login) -> Result<LoggedIn> {
        if matches!(login.secret, Secret::AccessToken(_)) && !self.dialogue.is_encrypted() {
            return Err(Failure::internal("an access token would have crossed a connection without TLS"));
        }
        login.remember();
        self.dialogue.enter(Step::Login);
        let (mut dialogue, accepted) = authenticate(self.dialogue, &self.capabilities, login)?;
        let reservation = Some(accepted).filter(|line| names_an_error(line));
        // Some servers name more after the login.
        let capabilities = match dialogue.take_capabilities() {
            Some(named) => named,
            None => ask_for_capabilities(&mut dialogue)?,
        };
        if offers(&capabilities, "ID") {
            // The server's answer changes nothing, whatever it is.
            dialogue.run(&Command::Id, (), |_| Ok(()))?;
        }
        Ok(LoggedIn { dialogue, capabilities, reservation })
    }
}

/// A connection after the login, with no mailbox selected.
pub struct LoggedIn {
    dialogue: Dialogue<()>,
    capabilities: Vec<String>,
    /// The OK to the login, if it names an error: Exchange says so before it refuses the next command without a reason.
    reservation: Option<String>,
}

impl LoggedIn {
    /// Returns the texts for the administrator since the last call: `[ALERT]` (RFC 9051 §7.1).
    pub fn take_alerts(&mut self) -> Vec<String> {
        self.dialogue.take_alerts()
    }

    /// Tells whether there is a mailbox behind the login. Exchange Online says OK to a login that leads to none, and BAD to
    /// the first command after it; NAMESPACE (RFC 2342) is the one that changes nothing and costs least. False: the server
    /// does not have it.
    pub fn probe(&mut self) -> Result<bool> {
        if !offers(&self.capabilities, "NAMESPACE") {
            return Ok(false);
        }
        let condition = self.dialogue.run(&Command::Namespace, (), |_| Ok(()));
        let probed = condition.and_then(|condition| done(&self.dialogue, Step::Login, &condition));
        probed.map(|()| true).map_err(|failure| with_line(failure, self.reservation.as_deref()))
    }

    /// The last part of [`open`] alone: lists the folders and selects the inbox.
    pub fn select<C>(self, inbox: &Inbox) -> Result<Session<C>> {
        let reservation = self.reservation.clone();
        self.into_session(inbox).map_err(|failure| with_line(failure, reservation.as_deref()))
    }

    fn into_session<C>(mut self, inbox: &Inbox) -> Result<Session<C>> {
        let offered = |name| offers(&self.capabilities, name);
        let capabilities = Capabilities { r#move: offered("MOVE"), uidplus: offered("UIDPLUS") };
        self.dialogue.enter(Step::Folders);
        let folders = list(&mut self.dialogue)?;
        self.dialogue.enter(Step::Select);
        let name = folders.resolve(inbox.name).name;
        let selected = select(&mut self.dialogue, name, inbox.read_only)?;
        Ok(Session::new(self.dialogue.opened(), capabilities, folders, selected))
    }
}

impl Login<'_> {
    /// Hides the secret itself, and every form in which it is sent, in all that is repeated from now on.
    fn remember(&self) {
        let (secret, mechanisms) = match self.secret {
            Secret::AccessToken(token) => (token, &TOKEN_MECHANISMS[..]),
            Secret::Password(password) => (password, &[Mechanism::Plain][..]),
        };
        let encoded: Vec<_> = mechanisms
            .iter()
            .map(|mechanism| Zeroizing::new(BASE64.encode(mechanism.response(self.user, secret).as_bytes())))
            .collect();
        sanitize::remember([secret].into_iter().chain(encoded.iter().map(|text| text.as_str())));
    }
}

/// Whether the text of an OK speaks of a failure.
fn names_an_error(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["error", "exception", "failed"].iter().any(|word| line.contains(word))
}

/// Puts a line that the server said before in front of what it said at last.
fn with_line(failure: Failure, line: Option<&str>) -> Failure {
    let Some(line) = line else { return failure };
    let observed = failure.observed.clone();
    failure.observing_lines([line].into_iter().chain(observed.lines()))
}

/// `greeting = "*" SP (resp-cond-auth / resp-cond-bye)` (RFC 9051 §9)
fn read_greeting(dialogue: &mut Dialogue<()>) -> Result<String> {
    loop {
        match dialogue.receive()? {
            Received::Data(Response::Untagged(Condition { status: Status::Ok, line, .. })) => {
                return Ok(format!("* {line}"));
            }
            Received::Data(Response::Untagged(condition)) => {
                let failure = Failure::new(Step::Greeting, Kind::Protocol, condition.line);
                return Err(if_throttled(failure));
            }
            Received::Data(Response::PreAuth(line)) => {
                let said = message!(ImapPreauth, line = line);
                return Err(Failure::own(Step::Greeting, Kind::Protocol, said).retry(Retry::Never));
            }
            _ => {}
        }
    }
}

/// STARTTLS (RFC 9051 §6.2.1)
fn ask_for_tls(mut dialogue: Dialogue<()>) -> Result<Dialogue<()>> {
    let condition = dialogue.run(&Command::StartTls, (), |_| Ok(()))?;
    if condition.status == Status::Ok {
        return Ok(dialogue);
    }
    let said = message!(ImapStarttlsRefused, line = condition.line);
    Err(if_throttled(Failure::own(Step::Tls, Kind::Tls, said)))
}

fn ask_for_capabilities(dialogue: &mut Dialogue<()>) -> Result<Vec<String>> {
    let condition = dialogue.run(&Command::Capability, (), |_| Ok(()))?;
    done(dialogue, Step::Login, &condition)?;
    Ok(dialogue.take_capabilities().unwrap_or_default())
}

/// Returns the line, too, with which the server accepted the login.
fn authenticate(
    dialogue: Dialogue<()>,
    capabilities: &[String],
    login: &Login,
) -> Result<(Dialogue<()>, String)> {
    let offered = |mechanism: &Mechanism| offers(capabilities, &format!("AUTH={}", mechanism.name()));
    let refused = |said| Err(Failure::own(Step::Login, Kind::Login, said));
    let named = || capabilities.join(" ");
    let (mechanism, secret) = match login.secret {
        Secret::AccessToken(token) => match TOKEN_MECHANISMS.into_iter().find(offered) {
            Some(mechanism) => (Some(mechanism), token),
            None => return refused(message!(ImapNoXoauth2, capabilities = named())),
        },
        Secret::Password(password) => (Some(Mechanism::Plain).filter(offered), password),
    };
    if mechanism.is_none() && offers(capabilities, "LOGINDISABLED") {
        return refused(message!(ImapLoginDisabled, capabilities = named()));
    }
    let (stream, handle) = guard(dialogue);
    let client = Client::new(stream);
    let (error, challenge) = match mechanism {
        Some(mechanism) => {
            let sasl = Sasl::new(mechanism, offers(capabilities, "SASL-IR"), login.user, secret);
            let error = client.authenticate(sasl.arguments().as_str(), &sasl).err().map(|(error, _)| error);
            (error, sasl.error())
        }
        None => (client.login(login.user, secret).err().map(|(error, _)| error), None),
    };
    let (dialogue, outcome) = handle.into_dialogue()?;
    match (error, outcome) {
        (None, Some(Ok(condition))) => Ok((dialogue, condition.line)),
        (_, Some(Err(failure))) => Err(failure),
        (_, Some(Ok(condition))) => {
            let mut failure = refusal(&dialogue, Step::Login, &condition);
            if let Some(challenge) = challenge {
                // The server's own line feeds are none of ours.
                let said = format!("{} {}", failure.observed, sanitize::escape(challenge.trim()));
                failure = failure.observing_lines(said.lines());
            }
            Err(failure)
        }
        // A user or password with a line end.
        (Some(error), None) => Err(Failure::own(
            Step::Login,
            Kind::Configuration,
            message!(ImapCredentialCharacters, error = error.to_string()),
        )),
        (None, None) => Err(Failure::internal("a login without an answer")),
    }
}

fn list(dialogue: &mut Dialogue<()>) -> Result<Folders> {
    let (mut folders, mut octets) = (Folders::default(), 0);
    let condition = dialogue.run(&Command::List, (), |received| {
        if let Received::Data(Response::List(listing)) = received {
            octets += listing.name.len() + OF_A_FOLDER;
            if octets > limits::FOLDERS {
                let said = message!(ImapFoldersLimit, most = limits::FOLDERS);
                return Err(Failure::own(Step::Folders, Kind::Protocol, said));
            }
            folders.add(listing);
        }
        Ok(())
    })?;
    done(dialogue, Step::Folders, &condition).map(|()| folders)
}

fn select(dialogue: &mut Dialogue<()>, name: String, read_only: bool) -> Result<Selected> {
    let command = if read_only { Command::Examine(name.clone()) } else { Command::Select(name.clone()) };
    let (mut exists, mut validity) = (0, None);
    let condition = dialogue.run(&command, (), |received| {
        match received {
            Received::Data(Response::Exists(count)) => exists = count,
            Received::Data(Response::Untagged(Condition { code: Some(code), .. })) => match code {
                Code::UidValidity(number) => validity = Some(Some(number)),
                Code::UidValidityZero => validity = Some(None),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    })?;
    done(dialogue, Step::Select, &condition)?;
    let complaint = |kind, said| Err(Failure::own(Step::Select, kind, said));
    if !read_only && condition.code == Some(Code::ReadOnly) {
        return complaint(Kind::Refused, message!(ImapReadOnly, name = name));
    }
    match validity {
        Some(Some(uid_validity)) => Ok(Selected { name, uid_validity, exists }),
        Some(None) => complaint(Kind::Protocol, message!(ImapUidvalidityZero, name = name))
            .map_err(|failure| failure.retry(Retry::Never)),
        None => complaint(Kind::Protocol, message!(ImapNoUidvalidity, name = name)),
    }
}

/// Fails if a command was answered with NO or BAD.
fn done(dialogue: &Dialogue<()>, step: Step, condition: &Condition) -> Result<()> {
    match condition.status {
        Status::Ok => Ok(()),
        Status::No | Status::Bad => Err(refusal(dialogue, step, condition)),
    }
}

/// Returns the failure for NO or BAD, with everything that the server complained of.
fn refusal(dialogue: &Dialogue<()>, step: Step, condition: &Condition) -> Failure {
    let kind = if step <= Step::Login { Kind::Login } else { Kind::Refused };
    let observed = dialogue.complaints().unwrap_or_else(|| condition.line.clone());
    if_throttled(Failure::new(step, kind, "").observing_lines(observed.lines()).retry(Retry::Never))
}

/// Tells whether a capability was named, in any case.
fn offers(capabilities: &[String], name: &str) -> bool {
    capabilities.iter().any(|offered| offered.eq_ignore_ascii_case(name))
}

fn is_mechanism(capability: &str) -> bool {
    capability.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("AUTH="))
}

/// By preference: XOAUTH2 is what Exchange Online has.
const TOKEN_MECHANISMS: [Mechanism; 2] = [Mechanism::XOAuth2, Mechanism::OAuthBearer];

/// Octets of memory that a folder takes beside its name.
const OF_A_FOLDER: usize = 40;
