//! What was observed → why, and what to do about it.
//!
//! The knowledge is data: `catalogue.toml`, in which an entry is added without touching code. What no entry knows gets
//! an explanation from its step that is still true, and says that it is not known.

use super::Language;
use super::catalogue::{self, Entry, Rank};
use crate::failure::{Failure, Kind, Retry, Step};
use crate::message;

/// What is known about the mailbox whose failure is to be explained.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    pub language: Language,
    /// How the mailbox writes its keys.
    pub names: &'a dyn KeyNames,
    /// Whether this mailbox was ever read with these settings: what worked before is not blamed on the settings first.
    pub worked_before: bool,
    /// The configured value for a hole's name (see `config::mailbox_values`), and [`MOVED_TO`]. There is no hole for a secret.
    pub values: &'a dyn Fn(&str) -> Option<String>,
}

/// Gives the name under which a mailbox has a key, for the key's name in the primary mailbox.
pub trait KeyNames {
    fn written(&self, key: &str) -> String;
}

/// A name for [`Circumstances::values`]: the folder to which a mail was to be moved that no property names.
pub const MOVED_TO: &str = "moved to";

/// A name for [`Circumstances::values`]: the Object ID of the enterprise application, if an access token has told it.
pub const OBJECT_ID: &str = "object_id";

/// Fills in cause and remedy, the entry's id, and the key, kind and retry that the catalogue knows better than the room that failed.
///
/// A cause or remedy that is filled already stays. A failure that says nothing itself is explained by what led to it.
/// A failure on the way to the token endpoint is told from one to the mail server by its step, by its key
/// (`….accessTokenUri`) or by the host that it names. `observed` itself never gets into cause or remedy. A key is written as the
/// mailbox has it.
pub fn explain(failure: Failure, circumstances: &Circumstances) -> Failure {
    explain_chain(failure, circumstances).0
}

/// Changes an explained failure of a mailbox that was never read with these settings, for a person who waits for it: what usually
/// passes by itself does not pass if the settings are wrong.
pub fn on_first_use(mut failure: Failure, language: Language) -> Failure {
    if failure.retry == Retry::Later && is_lasting(&failure) {
        failure.retry = Retry::Never;
        let never = message!(NeverWorked).in_language(language);
        failure.cause = format!("{} {never}", failure.cause).trim_start().to_owned();
    }
    failure
}

/// A server that breaks the protocol does so again.
fn is_lasting(failure: &Failure) -> bool {
    let entry = catalogue::entry_of(failure);
    let unexplained = entry.is_none_or(|entry| entry.rank == Rank::Fallback);
    entry.is_some_and(|entry| entry.lasting) || unexplained && failure.kind == Kind::Protocol
}

/// The failure, and whether its explanation is more than what its step alone says.
fn explain_chain(mut failure: Failure, circumstances: &Circumstances) -> (Failure, bool) {
    failure.key = failure.key.map(|key| circumstances.names.written(&key));
    failure.speak(circumstances.language);
    let scene = Scene::of(&failure, circumstances);
    let entry = catalogue::best(&failure, &scene);
    let known = entry.is_some_and(|entry| entry.rank != Rank::Fallback);
    let source = failure.source.take().map(|source| explain_chain(*source, circumstances));
    let source_known = source.as_ref().is_some_and(|(_, known)| *known);
    match (&source, entry) {
        (Some((source, true)), _) if !known => adopt(&mut failure, source),
        (_, Some(entry)) => apply(&mut failure, entry, &scene),
        (_, None) => {}
    }
    failure.source = source.map(|(source, _)| Box::new(source));
    (failure, known || source_known)
}

/// Takes over what explains the failure that led to this one.
fn adopt(failure: &mut Failure, source: &Failure) {
    if failure.cause.is_empty() && failure.remedy.is_empty() {
        failure.cause.clone_from(&source.cause);
        failure.remedy.clone_from(&source.remedy);
    }
    if failure.key.is_none() {
        failure.key.clone_from(&source.key);
    }
    failure.id.clone_from(&source.id);
    failure.retry = better(failure.retry, source.retry);
}

fn apply(failure: &mut Failure, entry: &Entry, scene: &Scene) {
    if failure.key.is_none() {
        failure.key = entry.key.as_deref().and_then(|key| match key {
            key if key.contains(FOLDER) && scene.value(MOVED_TO).is_some() => None,
            catalogue::KEY_OF_HOST => scene.key_of(SERVER, failure.step),
            catalogue::KEY_OF_PORT => scene.key_of(PORT, failure.step),
            key => Some(scene.key(key)),
        });
    }
    if let Some(kind) = entry.kind {
        failure.kind = kind;
    }
    if let Some(retry) = entry.retry {
        failure.retry = better(failure.retry, retry);
    }

    let text = entry.text(scene.circumstances.language);
    let fill = |template: &str| {
        let hole = |hole: &str| scene.hole(hole, failure.key.as_deref());
        match scene.value(OBJECT_ID) {
            Some(_) => {
                catalogue::fill(&catalogue::with_object_id(template, scene.circumstances.language), &hole)
            }
            None => catalogue::fill(template, &hole),
        }
    };
    let silent = failure.cause.is_empty() && failure.remedy.is_empty();
    if entry.rank != Rank::Fallback {
        failure.id = Some(entry.id.clone());
        if failure.cause.is_empty() {
            failure.cause = fill(&text.cause);
        }
        if failure.remedy.is_empty() {
            failure.remedy = fill(&text.remedy);
        }
    } else if silent {
        // Only where the room said nothing: what it did say is more than "not known".
        let unknown = catalogue::unknown(scene.circumstances.language);
        failure.id = Some(entry.id.clone());
        let named = support_fields(&failure.observed);
        failure.cause = fill(&format!("{} {}", text.cause, unknown.cause));
        let support = if named.is_empty() {
            fill(&unknown.support)
        } else {
            catalogue::fill(&unknown.support_named, &|_| Some(named.join(", ")))
        };
        let remedy = fill(&text.remedy);
        let ends_with_command = remedy.lines().last().is_some_and(|line| catalogue::command(line).is_some());
        let separator = if ends_with_command { '\n' } else { ' ' };
        failure.remedy = format!("{remedy}{separator}{support}");
    } else if failure.remedy.is_empty() {
        failure.remedy = fill(&text.remedy);
    }
}

/// A time that the server named stays where "later" is all that is known otherwise.
fn better(room: Retry, known: Retry) -> Retry {
    match (room, known) {
        (Retry::After(_), Retry::Later) => room,
        _ => known,
    }
}

/// What Microsoft's support asks for, as far as it stands in the text.
fn support_fields(observed: &str) -> Vec<&'static str> {
    let observed = observed.to_ascii_lowercase();
    [("trace_id", "trace id"), ("correlation_id", "correlation id"), ("timestamp", "timestamp")]
        .into_iter()
        .filter(|(json, text)| observed.contains(json) || observed.contains(text))
        .map(|(json, _)| json)
        .collect()
}

/// A failure's surroundings: the circumstances, and which of the two hosts it happened at.
pub(super) struct Scene<'a> {
    pub(super) circumstances: &'a Circumstances<'a>,
    at_token_endpoint: bool,
    /// The property that the room named.
    key: Option<String>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(failure: &Failure, circumstances: &'a Circumstances<'a>) -> Self {
        let names = |hole: &str| {
            (circumstances.values)(hole).is_some_and(|v| !v.is_empty() && failure.observed.contains(&v))
        };
        let at_token_endpoint = failure.step == Step::Token
            || failure.key.as_deref().is_some_and(|key| key.ends_with(".accessTokenUri"))
            || (failure.key.is_none() || failure.step == Step::Proxy)
                && names("login_host")
                && !names("server");
        Self { circumstances, at_token_endpoint, key: failure.key.clone() }
    }

    /// A configured value, or one that follows from configured values.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let configured = |name| (self.circumstances.values)(name).filter(|value| !value.is_empty());
        match name {
            "host" if self.at_token_endpoint => configured("login_host"),
            "host" => configured("server"),
            "host_port" => {
                let port = if self.at_token_endpoint { "login_port" } else { "port" };
                Some(format!("{}:{}", self.value("host")?, configured(port)?))
            }
            "endpoint" => Some(if self.at_token_endpoint { "token" } else { "mailbox" }.to_owned()),
            "outlook_scope" => {
                let server = configured("server").filter(|server| catalogue::is_exchange_online(server));
                Some(format!("https://{}/.default", server.as_deref().unwrap_or("outlook.office365.com")))
            }
            "folder" => self.folder(self.key.as_deref()),
            // Exchange Online takes folders anywhere.
            "beside" if self.value(EXCHANGE).is_some() => None,
            "beside" => {
                let folder = self.folder(self.key.as_deref())?;
                let inbox = configured("inbox").unwrap_or_else(|| "INBOX".to_owned()).to_lowercase();
                (!folder.to_lowercase().starts_with(&inbox)).then_some(folder)
            }
            EXCHANGE => configured("server").filter(|server| catalogue::is_exchange_online(server)),
            ENTRA => configured("login_host").filter(|host| catalogue::is_entra(host)),
            OAUTH2 => configured("login_host"),
            name => configured(name),
        }
    }

    /// What to write for a hole of a text; `key` is the failure's.
    fn hole(&self, hole: &str, key: Option<&str>) -> Option<String> {
        match hole {
            "key" if key.is_none() => self.value(MOVED_TO).map(|_| MOVE.to_owned()),
            "key" => key.map(str::to_owned),
            "keys" => Some(self.keys_of_port_and_host()),
            "folder" => self.folder(key),
            hole if hole.starts_with("cmsbs.") => Some(self.key(hole)),
            hole => self.value(hole),
        }
    }

    /// The folder that a key `….folder.NAME` is set to; without a key, one that no property names.
    fn folder(&self, key: Option<&str>) -> Option<String> {
        let Some(key) = key else { return self.value(MOVED_TO) };
        let (_, name) = key.rsplit_once(FOLDER)?;
        self.value(&format!("folder.{name}"))
    }

    /// A primary mailbox's key as this mailbox writes it.
    fn key(&self, primary: &str) -> String {
        self.circumstances.names.written(primary)
    }

    /// The key in which the host or port stands that a connection was opened to; `imap` is the mail server's.
    fn key_of(&self, imap: &str, step: Step) -> Option<String> {
        let key = if self.at_token_endpoint { ACCESS_TOKEN_URI } else { imap };
        // A proxy's address stands in a key of its own, which only the module that failed knows.
        (step != Step::Proxy).then(|| self.key(key))
    }

    fn keys_of_port_and_host(&self) -> String {
        if self.at_token_endpoint {
            return self.key(ACCESS_TOKEN_URI);
        }
        format!("{}, {}", self.key(PORT), self.key(SERVER))
    }
}

/// Keys that explanations name by the part that they play; a test of `config` holds them against its table.
const SERVER: &str = "cmsbs.mail.imap.server";
const PORT: &str = "cmsbs.mail.imap.port";
const ACCESS_TOKEN_URI: &str = "cmsbs.mail.imap.oauth2.accessTokenUri";

#[cfg(test)]
pub(crate) fn named_keys() -> [&'static str; 3] {
    [SERVER, PORT, ACCESS_TOKEN_URI]
}

/// Conditions of texts: the mail server is Exchange Online, the token endpoint is Microsoft's, there is a token endpoint.
const EXCHANGE: &str = "exchange";
const ENTRA: &str = "entra";
const OAUTH2: &str = "oauth2";

const FOLDER: &str = ".folder.";
/// What names a folder where no property does.
const MOVE: &str = "move(mail, folder)";
