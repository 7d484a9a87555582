//! What was observed → why, and what to do about it.
//!
//! The knowledge is data: `catalogue.toml`, in which an entry is added without touching code. What no entry knows gets
//! an explanation from its step that is still true, and says that it is not known.

mod catalogue;
mod document;
mod pattern;

use crate::config::keys::{self, Key, Names};
use crate::config::{Authentication, Language, MailboxConfig, Security};
use crate::failure::{Failure, Retry, Step};

pub use catalogue::{Entry, Rank, Text, entries};
pub use document::document;

/// What is known about the mailbox whose failure is to be explained.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    pub language: Language,
    /// How the mailbox writes its keys.
    pub names: &'a Names,
    /// Whether this mailbox was ever read with these settings: what worked before is not blamed on the settings first.
    pub worked_before: bool,
    /// The configured value for a hole's name (see [`mailbox_values`]), and [`MOVED_TO`]. There is no hole for a secret.
    pub values: &'a dyn Fn(&str) -> Option<String>,
}

/// A name for [`Circumstances::values`]: the folder to which a mail was to be moved that no property names.
pub const MOVED_TO: &str = "moved to";

/// Fills in cause and remedy, the entry's id, and the key, kind and retry that the catalogue knows better than the room that failed.
///
/// A cause or remedy that is filled already stays. A failure that says nothing itself is explained by what led to it.
/// A failure on the way to the token endpoint is told from one to the mail server by its step, by its key
/// (`….accessTokenUri`) or by the host that it names. `observed` itself never gets into cause or remedy. A key is written as the
/// mailbox has it.
pub fn explain(failure: Failure, circumstances: &Circumstances) -> Failure {
    explain_chain(failure, circumstances).0
}

/// The same for a mailbox of which nothing is known but its configuration.
pub fn explain_unopened(failure: Failure, config: &MailboxConfig) -> Failure {
    let (language, names, values) = (config.language, &config.names, &mailbox_values(config));
    explain(failure, &Circumstances { language, names, worked_before: false, values })
}

/// The same where there is no configuration.
pub fn explain_unconfigured(failure: Failure, language: Language, names: &Names) -> Failure {
    explain(failure, &Circumstances { language, names, worked_before: false, values: &|_| None })
}

/// The holes' values from a mailbox's configuration.
pub fn mailbox_values(config: &MailboxConfig) -> impl Fn(&str) -> Option<String> + '_ {
    move |hole| {
        let oauth2 = match &config.authentication {
            Authentication::OAuth2(oauth2) => Some(oauth2),
            Authentication::Password(_) => None,
        };
        let folders = &config.folders;
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string());
        match hole {
            "server" => Some(config.server.clone()),
            "port" => Some(config.port.to_string()),
            "user" => Some(config.user.clone()),
            "security" => Some(security(config.security).to_owned()),
            "authentication" => Some(if oauth2.is_some() { "oauth2" } else { "password" }.to_owned()),
            "client_id" => oauth2.map(|o| o.client_id.clone()),
            "scope" => oauth2.map(|o| o.scope.clone()),
            "tenant" => oauth2.and_then(|o| tenant(&o.token_uri)).map(str::to_owned),
            "login_host" => oauth2.and_then(|o| host_and_port(&o.token_uri)).map(|(host, _)| host.to_owned()),
            "login_port" => oauth2.and_then(|o| host_and_port(&o.token_uri)).map(|(_, port)| port.to_owned()),
            "ca_file" => path(&config.ca_file),
            "work_directory" => path(&config.work_directory),
            "tmp_directory" => Some(
                path(&config.tmp_directory).unwrap_or_else(|| std::env::temp_dir().display().to_string()),
            ),
            "inbox" | "folder.inbox" => Some(folders.inbox.clone()),
            "folder.debug" => Some(folders.debug.clone()),
            "folder.error" => Some(folders.error.clone()),
            "folder.hardbounce" => folders.hardbounce.clone(),
            "folder.softbounce" => folders.softbounce.clone(),
            "folder.autorespond" => folders.autorespond.clone(),
            "folder.unsubscribe" => folders.unsubscribe.clone(),
            "folder.spam" => folders.spam.clone(),
            _ => None,
        }
    }
}

/// The failure, and whether its explanation is more than what its step alone says.
fn explain_chain(mut failure: Failure, circumstances: &Circumstances) -> (Failure, bool) {
    failure.key = failure.key.map(|key| circumstances.names.written(&key));
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
            catalogue::KEY_OF_HOST => scene.key_of(&keys::SERVER, failure.step),
            catalogue::KEY_OF_PORT => scene.key_of(&keys::PORT, failure.step),
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
    let fill = |template: &str| catalogue::fill(template, &|hole| scene.hole(hole, failure.key.as_deref()));
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
        failure.remedy = format!("{} {support}", fill(&text.remedy));
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
struct Scene<'a> {
    circumstances: &'a Circumstances<'a>,
    at_token_endpoint: bool,
    /// The property that the room named.
    key: Option<String>,
}

impl<'a> Scene<'a> {
    fn of(failure: &Failure, circumstances: &'a Circumstances<'a>) -> Self {
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
    fn value(&self, name: &str) -> Option<String> {
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
    fn key_of(&self, imap: &Key, step: Step) -> Option<String> {
        let key = if self.at_token_endpoint { &keys::ACCESS_TOKEN_URI } else { imap };
        // A proxy's stands in a key of its own, which only the room knows.
        (step != Step::Proxy).then(|| self.key(key.name))
    }

    fn keys_of_port_and_host(&self) -> String {
        if self.at_token_endpoint {
            return self.key(keys::ACCESS_TOKEN_URI.name);
        }
        format!("{}, {}", self.key(keys::PORT.name), self.key(keys::SERVER.name))
    }
}

const FOLDER: &str = ".folder.";
/// What names a folder where no property does.
const MOVE: &str = "move(mail, folder)";

/// The value of `cmsbs.mail.imap.ssl`.
fn security(security: Security) -> &'static str {
    match security {
        Security::Tls => "true",
        Security::StartTls => "tls",
        Security::Plain => "false",
    }
}

/// Host and port of an `https` URL, without user information.
fn host_and_port(url: &str) -> Option<(&str, &str)> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host_port = authority.rsplit('@').next()?;
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (host_port, "443"),
    };
    (!host.is_empty()).then_some((host, port))
}

/// The tenant in `https://host/tenant/oauth2/v2.0/token`.
pub fn tenant(url: &str) -> Option<&str> {
    let (_, path) = url.split_once("://")?.1.split_once('/')?;
    let (tenant, _) = path.split_once("/oauth2/")?;
    (!tenant.is_empty() && !tenant.contains('/')).then_some(tenant)
}

#[cfg(test)]
pub(crate) mod tests;
