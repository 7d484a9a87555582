//! Every key that the library reads: UM's (the vendor's developer manuals for UM 7.53 and 7.64, chapters 3 and 8) and our own.
//!
//! From this table come the names that are asked for, the defaults, what is masked, and the documentation.

use std::collections::BTreeMap;

use crate::message;
use crate::text::{Id, Language, Message};

/// One key, by its name for the primary mailbox.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub listener: Listener,
    pub kind: Kind,
    pub default: Default,
    /// Its value is never shown.
    pub secret: bool,
    /// The sentence that says what it is for.
    pub meaning: Id,
}

impl Key {
    /// What the key is for.
    pub fn meaning(&self) -> Message {
        self.meaning.message()
    }
}

/// How a further mailbox (`cmsbs.bounce.listeners`) sets the key for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// It cannot: the key holds for all of UM.
    Shared,
    /// `cmsbs.bouncelistener.NAME.mail.imap.…`, and nothing is taken from the primary mailbox.
    Own,
    /// `cmsbs.bouncelistener.NAME.mail.imap.…`, else as the primary mailbox.
    Inherited,
    /// `cmsbs.bouncelistener.NAME.…` as the manual prints it, else with `mail.imap.` (inferred), else as the primary mailbox.
    InheritedShort,
    /// `cmsbs.bouncelistener.NAME.…` in the place of `cmsbs.bounce.…` (inferred), else as the primary mailbox.
    InheritedBounce,
}

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// A host name or IP address.
    Host,
    Port,
    /// `true` or `false`.
    Truth,
    OneOf(&'static [&'static str]),
    Folder,
    /// A file or directory; relative to UM_HOME.
    Path,
    /// `https://…`
    HttpsUrl,
    /// `http://user:password@host:port/`
    Proxy,
    /// `none` or `http://user:password@host:port/`.
    NoneOrProxy,
    /// Octets, also as `512K`, `16M`, `1G`.
    Size,
    /// A number within these.
    Number(u32, u32),
    /// Seconds, also as `90s`, `5m`, `1h`.
    Duration,
    /// `2027-05-31`
    Date,
    /// Words separated by blanks.
    Words,
}

/// What holds where no line sets the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// Nothing: it must be set.
    Required,
    Unset,
    /// The manual says so.
    Manual(&'static str),
    /// No source says so.
    Inferred(&'static str),
    /// Our own key.
    Own(&'static str),
    /// Taken from other values, as described.
    Derived(Id),
}

impl Key {
    /// The names under which a mailbox has it, the one that counts first.
    pub fn names(&self, listener: Option<&str>) -> Vec<String> {
        let primary = self.name.to_owned();
        let Some(listener) = listener else { return vec![primary] };
        let prefix = format!("{LISTENER_PREFIX}{listener}.");
        let long = || format!("{prefix}{}", self.name.strip_prefix("cmsbs.").unwrap_or(self.name));
        let short = |of: &str| format!("{prefix}{}", self.name.strip_prefix(of).unwrap_or(self.name));
        match self.listener {
            Listener::Shared => vec![primary],
            Listener::Own => vec![long()],
            Listener::Inherited => vec![long(), primary],
            Listener::InheritedShort => vec![short("cmsbs.mail.imap."), long(), primary],
            Listener::InheritedBounce => vec![short("cmsbs.bounce."), primary],
        }
    }
}

/// How a mailbox writes its keys: a key that is set by the name under which its value stands, which is the primary mailbox's
/// where a listener takes it over; any other by the name under which the mailbox would set it.
#[derive(Debug, Clone, std::default::Default)]
pub struct Names {
    listener: Option<String>,
    /// By the primary mailbox's name of the key.
    set: BTreeMap<&'static str, String>,
}

impl Names {
    /// Of a mailbox of which nothing else is known.
    pub fn of(listener: Option<&str>) -> Self {
        Self { listener: listener.map(str::to_owned), set: BTreeMap::new() }
    }

    /// The same with the names under which keys are set.
    pub(super) fn with(mut self, set: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.set.extend(set);
        self
    }

    /// `key` is written as for the primary mailbox. What is no key of ours stays as it is.
    pub fn written(&self, key: &str) -> String {
        let own = || {
            let key = ALL.iter().find(|known| known.name == key)?;
            key.names(self.listener.as_deref()).into_iter().next()
        };
        self.set.get(key).cloned().or_else(own).unwrap_or_else(|| key.to_owned())
    }
}

impl Default {
    /// The value that is read as if it stood in a file.
    pub fn value(self) -> Option<&'static str> {
        match self {
            Default::Manual(value) | Default::Inferred(value) | Default::Own(value) => Some(value),
            Default::Required | Default::Unset | Default::Derived(_) => None,
        }
    }
}

impl Kind {
    /// Returns the values that are allowed.
    pub fn values(&self, language: Language) -> String {
        let word = match self {
            Kind::Text => message!(KeyKindText),
            Kind::Host => message!(KeyKindHost),
            Kind::Folder => message!(KeyKindFolder),
            Kind::Path => message!(KeyKindPath),
            Kind::Size => message!(KeyKindSize),
            Kind::Duration => message!(KeyKindDuration),
            Kind::Date => message!(KeyKindDate),
            Kind::Words => message!(KeyKindWords),
            Kind::Port => return "1–65535".to_owned(),
            Kind::Truth => return "true | false".to_owned(),
            Kind::OneOf(values) => return values.join(" | "),
            Kind::HttpsUrl => return "https://…".to_owned(),
            Kind::Proxy => return "http://user:password@host:port/".to_owned(),
            Kind::NoneOrProxy => return "none | http://user:password@host:port/".to_owned(),
            Kind::Number(least, most) => return format!("{least}–{most}"),
        };
        word.in_language(language)
    }
}

/// What `key$file` has at its end: the value stands in the file that it names (UM 7.60 and newer).
pub const FILE_SUFFIX: &str = "$file";
pub const LISTENER_PREFIX: &str = "cmsbs.bouncelistener.";

macro_rules! keys {
    ($($id:ident = $name:literal, $listener:ident, $kind:expr, $default:expr, $secret:literal, $meaning:ident;)*) => {
        $(pub static $id: Key = Key {
            name: $name,
            listener: Listener::$listener,
            kind: $kind,
            default: $default,
            secret: $secret,
            meaning: Id::$meaning,
        };)*
        /// The whole table.
        pub static ALL: &[&Key] = &[$(&$id),*];
    };
}

// name, listener form, kind, default, secret, meaning
keys! {
    SERVER = "cmsbs.mail.imap.server", Own, Kind::Host, Default::Required, false, KeyServer;
    PORT = "cmsbs.mail.imap.port", Inherited, Kind::Port, Default::Manual("143"), false, KeyPort;
    SSL = "cmsbs.mail.imap.ssl", Inherited, Kind::OneOf(&["true", "tls", "false"]), Default::Inferred("false"), false, KeySsl;
    USER = "cmsbs.mail.imap.user", Own, Kind::Text, Default::Required, false, KeyUser;
    PASSWORD = "cmsbs.mail.imap.password", Own, Kind::Text, Default::Unset, true, KeyPassword;
    PROTOCOL = "cmsbs.mail.imap.protocol", Inherited, Kind::OneOf(&["imap"]), Default::Manual("imap"), false, KeyProtocol;
    AUTHENTICATION_METHOD = "cmsbs.mail.imap.authenticationMethod", InheritedShort, Kind::Text, Default::Unset, false, KeyAuthenticationMethod;
    ACCESS_TOKEN_URI = "cmsbs.mail.imap.oauth2.accessTokenUri", InheritedShort, Kind::HttpsUrl, Default::Required, false, KeyAccessTokenUri;
    CLIENT_ID = "cmsbs.mail.imap.oauth2.clientId", InheritedShort, Kind::Text, Default::Required, false, KeyClientId;
    CLIENT_SECRET = "cmsbs.mail.imap.oauth2.clientSecret", InheritedShort, Kind::Text, Default::Unset, true, KeyClientSecret;
    CLIENT_SECRET_NEXT = "cmsbs.mail.imap.oauth2.clientSecret.next", InheritedShort, Kind::Text, Default::Unset, true, KeyClientSecretNext;
    CLIENT_SECRET_EXPIRES = "cmsbs.mail.imap.oauth2.clientSecretExpires", InheritedShort, Kind::Date, Default::Unset, false, KeyClientSecretExpires;
    CLIENT_CERTIFICATE = "cmsbs.mail.imap.oauth2.clientCertificate", InheritedShort, Kind::Path, Default::Unset, false, KeyClientCertificate;
    CLIENT_CERTIFICATE_PASSWORD = "cmsbs.mail.imap.oauth2.clientCertificatePassword", InheritedShort, Kind::Text, Default::Unset, true, KeyClientCertificatePassword;
    CLIENT_ASSERTION_FILE = "cmsbs.mail.imap.oauth2.clientAssertionFile", InheritedShort, Kind::Path, Default::Unset, false, KeyClientAssertionFile;
    SCOPE = "cmsbs.mail.imap.oauth2.scope", InheritedShort, Kind::Text,
        Default::Derived(Id::KeyFromLoginHost), false, KeyScope;
    GRANT_TYPE = "cmsbs.mail.imap.oauth2.grantType", InheritedShort, Kind::OneOf(&["client_credentials"]), Default::Inferred("client_credentials"), false, KeyGrantType;
    OAUTH2_DEBUG = "cmsbs.mail.imap.oauth2.debug", InheritedShort, Kind::Truth, Default::Inferred("false"), false, KeyOauth2Debug;
    OAUTH2_PROXY = "cmsbs.mail.imap.oauth2.proxy", InheritedShort, Kind::NoneOrProxy,
        Default::Derived(Id::KeyFromUmProxy), true, KeyOauth2Proxy;
    FOLDER_INBOX = "cmsbs.mail.imap.folder.inbox", Inherited, Kind::Folder, Default::Manual("INBOX"), false, KeyFolderInbox;
    FOLDER_DEBUG = "cmsbs.mail.imap.folder.debug", Inherited, Kind::Folder, Default::Inferred("debug"), false, KeyFolderDebug;
    FOLDER_HARDBOUNCE = "cmsbs.mail.imap.folder.hardbounce", Inherited, Kind::Folder,
        Default::Derived(Id::KeyFromDebugFolder), false, KeyFolderHardbounce;
    FOLDER_SOFTBOUNCE = "cmsbs.mail.imap.folder.softbounce", Inherited, Kind::Folder,
        Default::Derived(Id::KeyFromDebugFolder), false, KeyFolderSoftbounce;
    FOLDER_AUTORESPOND = "cmsbs.mail.imap.folder.autorespond", Inherited, Kind::Folder,
        Default::Derived(Id::KeyFromDebugFolder), false, KeyFolderAutorespond;
    FOLDER_UNSUBSCRIBE = "cmsbs.mail.imap.folder.unsubscribe", Inherited, Kind::Folder,
        Default::Derived(Id::KeyFromDebugFolder), false, KeyFolderUnsubscribe;
    FOLDER_SPAM = "cmsbs.mail.imap.folder.spam", Inherited, Kind::Folder,
        Default::Derived(Id::KeyFromDebugFolder), false, KeyFolderSpam;
    FOLDER_ERROR = "cmsbs.mail.imap.folder.error", Inherited, Kind::Folder, Default::Inferred("error"), false, KeyFolderError;
    CA_FILE = "cmsbs.mail.imap.ssl.caFile", Inherited, Kind::Path, Default::Unset, false, KeyCaFile;
    PROXY = "cmsbs.mail.imap.proxy", Inherited, Kind::NoneOrProxy, Default::Own("none"), true, KeyProxy;
    JOURNAL = "cmsbs.mail.imap.journal", Inherited, Kind::OneOf(&["file", "none"]), Default::Own("file"), false, KeyJournal;
    FETCH_BUFFER = "cmsbs.mail.imap.fetch.buffer", Inherited, Kind::Size, Default::Own("16M"), false, KeyFetchBuffer;
    FETCH_PIPELINE = "cmsbs.mail.imap.fetch.pipeline", Inherited, Kind::Number(1, 2), Default::Own("2"), false, KeyFetchPipeline;
    FETCH_PATIENCE = "cmsbs.mail.imap.fetch.patience", Inherited, Kind::Duration, Default::Own("5m"), false, KeyFetchPatience;
    TRACE = "cmsbs.mail.imap.trace", Inherited, Kind::Truth, Default::Own("false"), false, KeyTrace;
    BOUNCE_DEBUG = "cmsbs.bounce.debug", InheritedBounce, Kind::Truth, Default::Inferred("false"), false, KeyBounceDebug;
    PROCESS_ALL = "cmsbs.bounce.processAll", InheritedBounce, Kind::Truth, Default::Inferred("false"), false, KeyProcessAll;
    LISTENERS = "cmsbs.bounce.listeners", Shared, Kind::Words, Default::Unset, false, KeyListeners;
    UM_PROXY = "cmsbs.proxy", Shared, Kind::Proxy, Default::Unset, true, KeyUmProxy;
    NO_PROXY = "cmsbs.noproxy", Shared, Kind::Words, Default::Unset, false, KeyNoProxy;
    SSL_CHECKS = "cmsbs.ssl.checks", Shared, Kind::OneOf(&["none", "relaxed", "secure"]), Default::Manual("none"), false, KeySslChecks;
    SERVER_HOME = "cmsbs.server.home", Shared, Kind::Path, Default::Unset, false, KeyServerHome;
    CONF_D = "cmsbs.directory.confd", Shared, Kind::Path, Default::Manual("cmsbs-conf/conf.d"), false, KeyConfD;
    TMP = "cmsbs.directory.tmp", Shared, Kind::Path,
        Default::Derived(Id::KeyFromSystem), false, KeyTmp;
    LANG = "cmsbs.lang", Shared, Kind::OneOf(&["de", "en"]), Default::Manual("de"), false, KeyLang;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for listener in [None, Some("inbox_2")] {
            let names: Vec<_> = ALL.iter().flat_map(|key| key.names(listener)).collect();
            let distinct: std::collections::HashSet<_> = names.iter().collect();
            assert_eq!(distinct.len(), names.len());
        }
    }

    #[test]
    fn a_listener_has_its_keys_in_the_manuals_form_first() {
        assert_eq!(SERVER.names(Some("x")), ["cmsbs.bouncelistener.x.mail.imap.server"]);
        assert_eq!(PORT.names(Some("x")), ["cmsbs.bouncelistener.x.mail.imap.port", "cmsbs.mail.imap.port"]);
        assert_eq!(
            CLIENT_ID.names(Some("x")),
            [
                "cmsbs.bouncelistener.x.oauth2.clientId",
                "cmsbs.bouncelistener.x.mail.imap.oauth2.clientId",
                "cmsbs.mail.imap.oauth2.clientId"
            ]
        );
        assert_eq!(BOUNCE_DEBUG.names(Some("x")), ["cmsbs.bouncelistener.x.debug", "cmsbs.bounce.debug"]);
        assert_eq!(LANG.names(Some("x")), ["cmsbs.lang"]);
    }

    #[test]
    fn what_may_hold_a_password_is_secret() {
        for key in ALL {
            let name = key.name.to_lowercase();
            let suspicious = name.contains("password")
                || name.ends_with("secret")
                || name.ends_with("secret.next")
                || matches!(key.kind, Kind::Proxy | Kind::NoneOrProxy);
            assert_eq!(key.secret, suspicious, "{}", key.name);
        }
    }
}
