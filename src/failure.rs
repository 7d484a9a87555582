//! The one error type of the library: at which step something failed, what was observed, why, what to do about it,
//! and whether trying again can help.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message;
use crate::sanitize;
use crate::text::{Arg, Id, Language, Message};

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a step did not succeed, in the words that its user needs.
///
/// `observed` is what the other side said, word for word, without secrets. Texts are [sanitized](crate::sanitize) where they
/// enter; a line feed in one of them stands between lines of our own making. `cause` and `remedy` are empty in what the
/// inner rooms return; [`crate::text::explain`] fills them in before a failure leaves the library. No field ever holds a
/// token, secret, password or assertion, nor anything of a mail's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Json", from = "Json")]
pub struct Failure {
    pub step: Step,
    pub kind: Kind,
    pub observed: String,
    /// The property to look at, as it is written in the file: `cmsbs.mail.imap.server`.
    pub key: Option<String>,
    pub cause: String,
    pub remedy: String,
    pub retry: Retry,
    /// The entry of the catalogue that explains it, by which `docs/troubleshooting.md` names it too: `imap-throttled`. Like
    /// `cause`, it is filled in by [`crate::text::explain`].
    pub id: Option<String>,
    /// The failure that led to this one.
    pub source: Option<Box<Failure>>,
    /// The id of the library's own message, by which the failure is explained. `None`: the text of another side explains it.
    pub own: Option<Id>,
    /// The library's own message. `observed` is rendered from it.
    pub said: Option<Box<Message>>,
    /// A remedy that is more exact than the catalogue's. `remedy` is rendered from it.
    pub advice: Option<Box<Message>>,
}

/// The steps from the configuration to a settled mail, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Reading the properties and the files that they name.
    Configuration,
    /// Looking up a host's addresses.
    Resolve,
    /// Opening the TCP connection.
    Connect,
    /// The proxy's answer to CONNECT.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The access token request (RFC 6749 §4.4).
    Token,
    /// The IMAP greeting and the server's capabilities.
    Greeting,
    /// AUTHENTICATE.
    Login,
    /// LIST and CREATE of the target folders.
    Folders,
    /// SELECT or EXAMINE of the inbox.
    Select,
    Search,
    Fetch,
    /// Moving, deleting and marking what was decided.
    Settle,
    /// Files of our own: temporary files, the journal, what the command line writes.
    Storage,
    /// Nothing outside: a call that is not allowed, or a fault of the library.
    Call,
}

/// What kind of failure it is, so that a program can react.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// A property is missing or wrong.
    Configuration,
    /// The network or the other side did not answer, refused or cut the connection.
    Network,
    /// The other side's certificate or TLS version is not acceptable.
    Tls,
    /// No access token: the credential, the application or its permission was refused.
    Token,
    /// The server refused the login, or the mailbox behind it.
    Login,
    /// The server refused a command (NO or BAD).
    Refused,
    /// The server asks to wait.
    Throttled,
    /// The other side said something that the protocol does not allow, or more than our limits allow.
    Protocol,
    /// A limit on time was reached.
    Timeout,
    /// The mailbox is not the one any more in which a mail was read (UIDVALIDITY changed).
    Stale,
    /// Another reader has the mailbox.
    Busy,
    /// The mailbox was closed.
    Closed,
    /// A call that makes no sense: a mail of another mailbox, a fetch that was ended by a newer one.
    Usage,
    /// A file or folder of our own could not be read or written.
    Storage,
    /// A fault of this library.
    Internal,
}

/// Whether the same call can succeed later without anybody changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not before somebody has changed something.
    Never,
    /// At the next poll.
    Later,
    /// Not before this time has passed.
    After(Duration),
}

impl Failure {
    /// `observed` is one line: a line feed in it comes from outside and is escaped.
    pub fn new(step: Step, kind: Kind, observed: impl Into<String>) -> Self {
        Self {
            step,
            kind,
            observed: sanitize::line(observed),
            key: None,
            cause: String::new(),
            remedy: String::new(),
            retry: kind.retry(),
            id: None,
            source: None,
            own: None,
            said: None,
            advice: None,
        }
    }

    /// A failure that the library itself has found. Its explanation is chosen by the id of `said`, and never by words.
    pub fn own(step: Step, kind: Kind, said: Message) -> Self {
        // Its values were made fit to be shown when they became values; our own words need no masking.
        Self::new(step, kind, "").saying(said)
    }

    /// Renders what the library itself has said in `language`.
    pub fn speak(&mut self, language: Language) {
        if let Some(said) = &self.said {
            self.observed = said.in_language(language);
        }
        if let Some(advice) = &self.advice {
            self.remedy = advice.in_language(language);
        }
    }

    /// Replaces what was observed by a sentence of the library's own.
    pub fn saying(self, said: Message) -> Self {
        Self {
            observed: said.in_language(Language::English),
            own: Some(said.id()),
            said: Some(Box::new(said)),
            ..self
        }
    }

    /// The whole failure as one line, to stand in another sentence.
    pub fn shown(&self) -> Arg {
        Arg::Shown(self.to_string())
    }

    /// Returns the observation for use inside another sentence.
    pub fn told(&self) -> Arg {
        match &self.said {
            Some(said) => Message::clone(said).into(),
            None => Arg::Shown(self.observed.clone()),
        }
    }

    /// Sets cause and remedy where the place that fails knows better than the catalogue.
    pub fn explained_by(mut self, cause: &Message, remedy: &Message, language: Language) -> Self {
        self.speak(language);
        self.cause = cause.in_language(language);
        self.remedy = remedy.in_language(language);
        self
    }

    /// A wrong or missing property. `observed` names file, line and value (secrets masked).
    pub fn configuration(
        key: impl Into<String>,
        observed: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Step::Configuration, Kind::Configuration, observed).key(key).remedy(remedy)
    }

    /// A fault of this library, at the place that calls it.
    #[track_caller]
    pub fn internal(observed: impl fmt::Display) -> Self {
        let place = std::panic::Location::caller();
        let place = format!("{}:{}", place.file(), place.line());
        Self::own(
            Step::Call,
            Kind::Internal,
            message!(InternalError, what = observed.to_string(), place = place),
        )
    }

    /// Whether another credential than the one that was used could have helped.
    pub fn may_be_the_credentials(&self) -> bool {
        matches!(self.kind, Kind::Token | Kind::Login | Kind::Configuration)
    }

    /// Replaces what was observed by one line.
    pub fn observing(self, observed: impl Into<String>) -> Self {
        Self { observed: sanitize::line(observed), own: None, said: None, ..self }
    }

    /// Replaces what was observed by several lines. A line feed within one of them is escaped.
    pub fn observing_lines<L: AsRef<str>>(self, lines: impl IntoIterator<Item = L>) -> Self {
        let lines = lines.into_iter().map(|line| sanitize::escape(line.as_ref()).into_owned());
        // Joined before they are masked: a secret can begin in one and go on in the next.
        let observed = sanitize::lines(lines.collect::<Vec<_>>().join("\n"));
        Self { observed, own: None, said: None, ..self }
    }

    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(sanitize::line(key));
        self
    }

    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = sanitize::lines(cause);
        self
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = sanitize::lines(remedy);
        self
    }

    /// Sets the remedy as a sentence of the table.
    pub fn advised(mut self, remedy: Message) -> Self {
        self.remedy = remedy.in_language(Language::English);
        self.advice = Some(Box::new(remedy));
        self
    }

    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    pub fn caused_by(mut self, source: Failure) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

/// From now on a panic is silent (the default hook prints its text, which can hold anything) and leaves its place to
/// [`panicked`].
pub fn keep_the_place_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
        // A thread that is ending has no thread-locals any more; its place is lost.
        let _ = PLACE.try_with(|kept| kept.replace(place));
    }));
}

/// The failure for a panic that was caught in this thread. It names the place only.
pub fn panicked(payload: Box<dyn Any + Send + 'static>) -> Failure {
    // Dropping it can panic again.
    std::mem::forget(payload);
    let place = match PLACE.with_borrow_mut(Option::take) {
        Some(place) => Arg::from(place),
        None => message!(InternalUnknownPlace).into(),
    };
    Failure::own(Step::Call, Kind::Internal, message!(InternalPanic, place = place))
}

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

impl fmt::Display for Failure {
    /// One line: step, what was observed, the key, then cause and remedy where they are known. Java's `MailboxException`
    /// writes the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, sanitize::joined(&self.observed))?;
        let goes_on = !self.cause.is_empty() || !self.remedy.is_empty();
        if goes_on && self.observed.ends_with(|last| !ENDS.contains(&last)) {
            f.write_str(".")?;
        }
        if let Some(key) = &self.key
            && !self.observed.contains(key.as_str())
        {
            write!(f, " [{key}]")?;
        }
        for sentence in [&self.cause, &self.remedy] {
            if !sentence.is_empty() {
                write!(f, " {}", sanitize::joined(sentence))?;
            }
        }
        Ok(())
    }
}

/// What an observed text can end with so that a sentence can follow.
const ENDS: [char; 5] = ['.', '!', '?', ':', '…'];

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// A failure in JSON, the same in all that is printed or written: `docs/check.schema.json` describes it.
#[derive(Serialize, Deserialize)]
struct Json {
    step: Step,
    kind: Kind,
    id: Option<String>,
    observed: String,
    key: Option<String>,
    cause: String,
    remedy: String,
    /// Whether the same can succeed later without anybody changing anything.
    retry: bool,
    /// After how many seconds at the earliest.
    retry_after_seconds: Option<u64>,
    caused_by: Option<Box<Json>>,
}

impl From<Failure> for Json {
    fn from(failure: Failure) -> Self {
        Json {
            step: failure.step,
            kind: failure.kind,
            id: failure.id,
            observed: failure.observed,
            key: failure.key,
            cause: failure.cause,
            remedy: failure.remedy,
            retry: failure.retry != Retry::Never,
            retry_after_seconds: match failure.retry {
                Retry::After(time) => Some(time.as_secs()),
                Retry::Never | Retry::Later => None,
            },
            caused_by: failure.source.map(|source| Box::new((*source).into())),
        }
    }
}

impl From<Json> for Failure {
    fn from(json: Json) -> Self {
        Failure {
            step: json.step,
            kind: json.kind,
            // A file may hold anything.
            observed: sanitize::lines(json.observed),
            key: json.key.map(sanitize::line),
            cause: sanitize::lines(json.cause),
            remedy: sanitize::lines(json.remedy),
            retry: match (json.retry, json.retry_after_seconds) {
                (false, _) => Retry::Never,
                (true, None) => Retry::Later,
                (true, Some(seconds)) => Retry::After(Duration::from_secs(seconds)),
            },
            id: json.id.map(sanitize::line),
            source: json.caused_by.map(|source| Box::new((*source).into())),
            own: None,
            said: None,
            advice: None,
        }
    }
}

impl Step {
    pub const ALL: [Step; 15] = [
        Step::Configuration,
        Step::Resolve,
        Step::Connect,
        Step::Proxy,
        Step::Tls,
        Step::Token,
        Step::Greeting,
        Step::Login,
        Step::Folders,
        Step::Select,
        Step::Search,
        Step::Fetch,
        Step::Settle,
        Step::Storage,
        Step::Call,
    ];

    /// The name in messages, in JSON and in `MailboxException.step()`.
    pub fn name(self) -> &'static str {
        match self {
            Step::Configuration => "configuration",
            Step::Resolve => "resolve",
            Step::Connect => "connect",
            Step::Proxy => "proxy",
            Step::Tls => "tls",
            Step::Token => "token",
            Step::Greeting => "greeting",
            Step::Login => "login",
            Step::Folders => "folders",
            Step::Select => "select",
            Step::Search => "search",
            Step::Fetch => "fetch",
            Step::Settle => "settle",
            Step::Storage => "storage",
            Step::Call => "call",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Kind {
    pub const ALL: [Kind; 15] = [
        Kind::Configuration,
        Kind::Network,
        Kind::Tls,
        Kind::Token,
        Kind::Login,
        Kind::Refused,
        Kind::Throttled,
        Kind::Protocol,
        Kind::Timeout,
        Kind::Stale,
        Kind::Busy,
        Kind::Closed,
        Kind::Usage,
        Kind::Storage,
        Kind::Internal,
    ];

    /// The name of the constant in Java's `MailboxException.Kind`, which is kept in step with this one by a test.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Configuration => "CONFIGURATION",
            Kind::Network => "NETWORK",
            Kind::Tls => "TLS",
            Kind::Token => "TOKEN",
            Kind::Login => "LOGIN",
            Kind::Refused => "REFUSED",
            Kind::Throttled => "THROTTLED",
            Kind::Protocol => "PROTOCOL",
            Kind::Timeout => "TIMEOUT",
            Kind::Stale => "STALE",
            Kind::Busy => "BUSY",
            Kind::Closed => "CLOSED",
            Kind::Usage => "USAGE",
            Kind::Storage => "STORAGE",
            Kind::Internal => "INTERNAL",
        }
    }

    /// What is true of most failures of a kind; a place that knows better says so.
    pub fn retry(self) -> Retry {
        match self {
            Kind::Network | Kind::Throttled | Kind::Protocol | Kind::Timeout | Kind::Busy => Retry::Later,
            _ => Retry::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_one_paragraph() {
        let failure = Failure::new(Step::Connect, Kind::Network, "connection refused")
            .key("cmsbs.mail.imap.server")
            .cause("Nothing listens there.")
            .remedy("Correct the server.");
        assert_eq!(
            failure.to_string(),
            "connect: connection refused. [cmsbs.mail.imap.server] Nothing listens there. Correct the server."
        );
    }

    #[test]
    fn what_was_observed_is_told_from_what_follows_by_its_last_character() {
        let said =
            |observed: &str| Failure::new(Step::Login, Kind::Login, observed).remedy("Wait.").to_string();
        assert_eq!(said("no file (os error 2)"), "login: no file (os error 2). Wait.");
        for ended in ["NO failed.", "NO failed!", "NO why?", "NO:", "NO fail…"] {
            assert_eq!(said(ended), format!("login: {ended} Wait."));
        }
        assert_eq!(said(""), "login:  Wait.");
        assert_eq!(Failure::new(Step::Login, Kind::Login, "NO").key("key").to_string(), "login: NO [key]");
    }

    #[test]
    fn no_text_of_a_failure_holds_what_a_terminal_obeys() {
        let hostile = "a\u{1b}]0;x\u{7}\r\u{9b}\u{202e}\u{2028}b\nc";
        let escaped = r"a\u{1b}]0;x\u{7}\u{d}\u{9b}\u{202e}\u{2028}b";
        let failure =
            Failure::new(Step::Login, Kind::Login, hostile).key(hostile).cause(hostile).remedy(hostile);
        assert_eq!(failure.observed, format!("{escaped}\\u{{a}}c"));
        assert_eq!(failure.key.as_deref(), Some(failure.observed.as_str()));
        for text in [&failure.cause, &failure.remedy] {
            assert_eq!(*text, format!("{escaped}\nc"), "lines of our own");
        }
        assert!(!failure.to_string().contains('\n'), "{failure}");
        let failure = failure.observing_lines([hostile, "d"]);
        assert_eq!(failure.observed, format!("{escaped}\\u{{a}}c\nd"));
        let raw = serde_json::to_string(&failure).unwrap().replace("\\\\u{1b}", "\\u001b");
        assert_eq!(serde_json::from_str::<Failure>(&raw).unwrap(), failure, "from a file");
    }

    #[test]
    fn names_in_json_are_the_names_everywhere() {
        let name = |value: serde_json::Result<String>| value.unwrap().trim_matches('"').to_owned();
        Step::ALL.iter().for_each(|step| assert_eq!(name(serde_json::to_string(step)), step.name()));
        Kind::ALL.iter().for_each(|kind| assert_eq!(name(serde_json::to_string(kind)), kind.name()));
    }

    #[test]
    fn names_are_unique() {
        let steps: std::collections::HashSet<_> = Step::ALL.iter().map(|s| s.name()).collect();
        assert_eq!(steps.len(), Step::ALL.len());
        let kinds: std::collections::HashSet<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        assert_eq!(kinds.len(), Kind::ALL.len());
    }
}
