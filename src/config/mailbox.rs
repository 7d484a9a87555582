//! The values of one mailbox → its [`MailboxConfig`], or everything that is wrong with them.

use std::path::PathBuf;

use secrecy::SecretString;
use ureq::http::Uri;

use super::keys::{self, Key, LISTENER_PREFIX};
use super::layers::{Layers, Value};
use super::problem::{Origin, Problem, Problems, Shown, Text, text};
use super::syntax::Flaw;
use super::values::{self, Wrong};
use super::{
    Authentication, Credential, FetchLimits, Folders, Language, Loaded, MailboxConfig, OAuth2, Route,
    Security,
};
use crate::failure::{Failure, Result};

pub(super) fn load(layers: &Layers, listener: Option<&str>) -> Result<Loaded> {
    let mut reader = Reader { layers, listener, problems: layers.problems.clone() };
    let language = reader.language();
    let config = reader.config(language);
    if let Some(failure) = reader.problems.failure(language) {
        return Err(failure);
    }
    match config {
        Ok(config) => Ok(Loaded { config, findings: reader.problems.into_findings(language) }),
        Err(Refused) => Err(Failure::internal("a configuration was refused without a reason")),
    }
}

struct Reader<'a> {
    layers: &'a Layers<'a>,
    listener: Option<&'a str>,
    problems: Problems,
}

/// There is no value, and `problems` has the error.
#[derive(Debug, Clone, Copy)]
struct Refused;

type Read<T> = std::result::Result<T, Refused>;

impl Reader<'_> {
    /// Everything is read before the first `?`, so that every error is found.
    fn config(&mut self, language: Language) -> Read<MailboxConfig> {
        let name = self.check_listener();
        let server = self.required(&keys::SERVER, values::host);
        let port = self.required(&keys::PORT, values::port);
        let security = self.required(&keys::SSL, values::security);
        let user = self.user();
        let protocol = self.protocol();
        let authentication = self.authentication(server.as_deref().ok(), security.ok());
        let proxy = self.required(&keys::PROXY, values::none_or_proxy);
        let ca_file = self.path(&keys::CA_FILE);
        let folders = self.folders();
        let debug = self.required(&keys::BOUNCE_DEBUG, values::truth);
        let process_all = self.required(&keys::PROCESS_ALL, values::truth);
        let buffer = self.required(&keys::FETCH_BUFFER, values::size);
        let pipeline = self.required(&keys::FETCH_PIPELINE, values::number(&keys::FETCH_PIPELINE));
        let patience = self.required(&keys::FETCH_PATIENCE, values::duration);
        let journal =
            self.required(&keys::JOURNAL, |text| values::one_of(text, &[("file", true), ("none", false)]));
        let tmp_directory = self.tmp_directory();
        let trace = self.required(&keys::TRACE, values::truth);
        self.check_port(port.ok(), security.ok());
        self.say_that_certificates_are_checked();
        name?;
        protocol?;
        Ok(MailboxConfig {
            listener: self.listener.map(str::to_owned),
            server: server?,
            port: port?,
            security: security?,
            user: user?,
            authentication: authentication?,
            proxy: proxy?,
            ca_file: ca_file?,
            folders: folders?,
            debug: debug?,
            process_all: process_all?,
            fetch: FetchLimits { buffer: buffer?, pipeline: pipeline?, patience: patience? },
            journal: journal?,
            work_directory: self.layers.home.as_ref().map(|home| home.join(WORK_DIRECTORY)),
            tmp_directory,
            language,
            trace: trace?,
        })
    }

    fn language(&mut self) -> Language {
        let Some(value) = self.value(&keys::LANG) else { return Language::default() };
        let languages = [("de", Language::German), ("en", Language::English)];
        values::one_of(value.text.trim(), &languages).unwrap_or_else(|wrong| {
            self.warn(&value, wrong.what, wrong.remedy);
            Language::default()
        })
    }

    fn user(&mut self) -> Read<String> {
        self.required(&keys::USER, values::any)
    }

    fn protocol(&mut self) -> Read<()> {
        self.required(&keys::PROTOCOL, |text| match text {
            _ if text.eq_ignore_ascii_case("imap") => Ok(()),
            _ => {
                let shown = Shown(text);
                Err(Wrong {
                    what: text!("{shown} is not supported.", "{shown} wird nicht unterstützt."),
                    remedy: text!(
                        "Write imap and the port of IMAP, or read this mailbox with UM's own reader.",
                        "imap und den Port von IMAP schreiben, oder dieses Postfach mit dem eingebauten Leser des UM lesen."
                    ),
                })
            }
        })
    }

    fn authentication(&mut self, server: Option<&str>, security: Option<Security>) -> Read<Authentication> {
        let method = self.optional(&keys::AUTHENTICATION_METHOD, values::any)?;
        let oauth2 = method.as_ref().is_some_and(|(method, _)| method.eq_ignore_ascii_case("oauth2"));
        // A listener without a password is one with an empty one.
        let password = self.secret(&keys::PASSWORD);
        if oauth2 {
            if security == Some(Security::Plain) {
                self.refuse(
                    &keys::SSL,
                    text!(
                        "The connection is not encrypted, and an access token must not be sent over it.",
                        "Die Verbindung ist unverschlüsselt, und ein Zugriffstoken darf nicht darüber gesendet werden."
                    ),
                    text!(
                        r#"Write ssl = "true" and port = "993"."#,
                        r#"ssl = "true" und port = "993" schreiben."#
                    ),
                );
            }
            if let (Some(_), Some((_, origin)), Some(_)) = (&password, &method, self.listener)
                && self.is_inherited(&keys::AUTHENTICATION_METHOD)
            {
                self.problems.warning(Problem {
                    origin: Some(origin.clone()),
                    key: keys::AUTHENTICATION_METHOD.name.to_owned(),
                    what: text!(
                        "The listener has a password of its own and takes oauth2 over from the primary mailbox; its password is not used.",
                        "Der Listener hat ein eigenes Kennwort und übernimmt oauth2 vom primären Postfach; sein Kennwort wird nicht benutzt."
                    ),
                    remedy: text!(
                        "For user and password write authenticationMethod = \"password\" for the listener; for OAuth2 take its password out.",
                        "Für Benutzer und Kennwort beim Listener authenticationMethod = \"password\" schreiben; für OAuth2 sein Kennwort entfernen."
                    ),
                });
            }
            return self.oauth2(server).map(Authentication::OAuth2);
        }
        let oauth2_set = OAUTH2_KEYS.iter().find_map(|key| self.value(key));
        if let Some(value) = &oauth2_set {
            let remedy = text!(
                r#"Write authenticationMethod = "oauth2", or take the oauth2 lines out."#,
                r#"authenticationMethod = "oauth2" schreiben, oder die oauth2-Zeilen entfernen."#
            );
            let what = text!(
                "It is set, but authenticationMethod is not oauth2, so user and password are used.",
                "Das ist gesetzt, aber authenticationMethod ist nicht oauth2, also gelten Benutzer und Kennwort."
            );
            self.warn(value, what, remedy);
        }
        if security == Some(Security::Plain) {
            let key = self.written_name(&keys::SSL);
            self.problems.warning(Problem {
                origin: None,
                key,
                what: text!(
                    "The password is sent over an unencrypted connection.",
                    "Das Kennwort wird über eine unverschlüsselte Verbindung gesendet."
                ),
                remedy: text!(
                    r#"Write ssl = "true" and port = "993", or ssl = "tls"."#,
                    r#"ssl = "true" und port = "993" schreiben, oder ssl = "tls"."#
                ),
            });
        }
        match password {
            Some(password) => Ok(Authentication::Password(password?)),
            None => {
                self.refuse(
                    &keys::PASSWORD,
                    text!("It is not set.", "Das ist nicht gesetzt."),
                    text!(
                        r#"Write the password, or authenticationMethod = "oauth2"."#,
                        r#"Das Kennwort schreiben, oder authenticationMethod = "oauth2"."#
                    ),
                );
                Err(Refused)
            }
        }
    }

    fn oauth2(&mut self, server: Option<&str>) -> Read<OAuth2> {
        let token_uri = self.token_uri();
        let client_id = self.required(&keys::CLIENT_ID, values::any);
        let grant =
            self.required(&keys::GRANT_TYPE, |text| values::one_of(text, &[("client_credentials", ())]));
        let credential = self.credential();
        let next_secret = self.secret(&keys::CLIENT_SECRET_NEXT).transpose();
        let secret_expires = self.optional(&keys::CLIENT_SECRET_EXPIRES, values::date);
        let scope = self.optional(&keys::SCOPE, values::any);
        let route = self.route(token_uri.as_deref().ok());
        let debug = self.required(&keys::OAUTH2_DEBUG, values::truth);
        grant?;
        let token_uri = token_uri?;
        let scope = match scope? {
            Some((scope, _)) => scope,
            None => derived_scope(&token_uri, server.ok_or(Refused)?),
        };
        Ok(OAuth2 {
            token_uri,
            client_id: client_id?,
            credential: credential?,
            scope,
            next_secret: next_secret?,
            secret_expires: secret_expires?.map(|(date, _)| date),
            route: route?,
            debug: debug?,
        })
    }

    /// A URL that goes on in the next line is what comes out of copying from the manual's PDF.
    fn token_uri(&mut self) -> Read<String> {
        let key = &keys::ACCESS_TOKEN_URI;
        for name in key.names(self.listener) {
            let Some(value) = self.layers.value(&name, key, &mut Problems::default()) else { continue };
            if let Some(line) = value.stray_after
                && values::https_url(value.text.trim()).map_or(true, |url| !url.ends_with("/token"))
            {
                self.problems.error(Problem {
                    origin: Some(value.origin),
                    key: name,
                    what: text!(
                        "The URL is broken: it goes on in line {line}, as in the manual's PDF.",
                        "Die URL ist umbrochen: sie geht in Zeile {line} weiter, wie im PDF des Handbuchs."
                    ),
                    remedy: text!(
                        "Write the name, = and the whole URL in one line.",
                        "Den Namen, = und die ganze URL in eine Zeile schreiben."
                    ),
                });
                return Err(Refused);
            }
            if !value.text.trim().is_empty() {
                break;
            }
        }
        self.required(key, values::https_url)
    }

    /// Exactly one of secret, certificate and assertion.
    fn credential(&mut self) -> Read<Credential> {
        let secret = self.secret(&keys::CLIENT_SECRET);
        let password = self.secret(&keys::CLIENT_CERTIFICATE_PASSWORD).transpose();
        let certificate = self.path(&keys::CLIENT_CERTIFICATE);
        let assertion = self.path(&keys::CLIENT_ASSERTION_FILE);
        let (password, certificate, assertion) = (password?, certificate?, assertion?);
        match (secret, certificate, assertion) {
            (Some(secret), None, None) => {
                self.check_secret();
                Ok(Credential::ClientSecret(secret?))
            }
            (None, Some(file), None) => Ok(Credential::Certificate { file, password }),
            (None, None, Some(file)) => Ok(Credential::AssertionFile(file)),
            (None, None, None) => {
                self.refuse(
                    &keys::CLIENT_SECRET,
                    text!("It is not set.", "Das ist nicht gesetzt."),
                    text!(
                        "Write the value of the client secret, or clientCertificate, or clientAssertionFile.",
                        "Den Wert des geheimen Clientschlüssels schreiben, oder clientCertificate, oder clientAssertionFile."
                    ),
                );
                Err(Refused)
            }
            _ => {
                let set: Vec<_> =
                    [&keys::CLIENT_SECRET, &keys::CLIENT_CERTIFICATE, &keys::CLIENT_ASSERTION_FILE]
                        .into_iter()
                        .filter_map(|key| self.value(key))
                        .map(|value| value.name)
                        .collect();
                let set = set.join(", ");
                self.refuse(
                    &keys::CLIENT_SECRET,
                    text!(
                        "More than one credential is set: {set}.",
                        "Mehr als ein Geheimnis ist gesetzt: {set}."
                    ),
                    text!("Leave exactly one of them.", "Genau eines davon stehen lassen."),
                );
                Err(Refused)
            }
        }
    }

    fn check_secret(&mut self) {
        if let Some(value) = self.value(&keys::CLIENT_SECRET)
            && values::looks_like_guid(value.text.trim())
        {
            self.warn(
                &value,
                text!(
                    "It looks like the secret's ID, not like the secret.",
                    "Das sieht nach der ID des Geheimnisses aus, nicht nach dem Geheimnis."
                ),
                text!(
                    "Write what the portal shows as Value, once, when the secret is made.",
                    "Schreiben, was das Portal beim Anlegen einmal als Wert zeigt."
                ),
            );
        }
    }

    /// The own key, else UM's proxy where the host is none of its exceptions (inferred).
    fn route(&mut self, token_uri: Option<&str>) -> Read<Route> {
        if let Some((own, _)) = self.optional(&keys::OAUTH2_PROXY, values::none_or_proxy)? {
            return Ok(own.map_or(Route::Direct, Route::Proxy));
        }
        let Some(value) = self.value(&keys::UM_PROXY) else { return Ok(Route::Unset) };
        let host =
            token_uri.and_then(|uri| uri.parse::<Uri>().ok()).and_then(|uri| uri.host().map(str::to_owned));
        let exceptions = self.value(&keys::NO_PROXY).map(|value| value.text).unwrap_or_default();
        if host.is_some_and(|host| values::is_excepted(&host, &exceptions)) {
            return Ok(Route::Direct);
        }
        match values::proxy(value.text.trim()) {
            Ok(proxy) => Ok(Route::Proxy(proxy)),
            // It is UM's, for something else: not to be used here is no reason to refuse the mailbox.
            Err(wrong) => {
                let remedy = text!(
                    "The token request goes without it; for a proxy of its own set cmsbs.mail.imap.oauth2.proxy.",
                    "Die Token-Anfrage geht ohne ihn; für einen eigenen Proxy cmsbs.mail.imap.oauth2.proxy setzen."
                );
                self.warn(&value, wrong.what, remedy);
                Ok(Route::Direct)
            }
        }
    }

    fn folders(&mut self) -> Read<Folders> {
        let inbox = self.required(&keys::FOLDER_INBOX, values::folder);
        let same = inbox.as_deref().unwrap_or("INBOX").to_lowercase();
        let mut target = |key| {
            let folder = self.optional(key, values::folder)?;
            match folder.or_else(|| Some((key.default.value()?.to_owned(), Origin::Settings))) {
                // Servers differ in whether case matters, and a folder that differs only in case is taken for the same.
                Some((folder, _)) if folder.to_lowercase() == same => {
                    self.refuse(
                        key,
                        text!(
                            "The folder is the inbox itself; mail would be moved there and read again and again.",
                            "Der Ordner ist der Posteingang selbst; Mails kämen dorthin und würden immer wieder gelesen."
                        ),
                        text!("Write another folder.", "Einen anderen Ordner schreiben."),
                    );
                    Err(Refused)
                }
                folder => Ok(folder.map(|(folder, _)| folder)),
            }
        };
        let debug = target(&keys::FOLDER_DEBUG);
        let error = target(&keys::FOLDER_ERROR);
        let hardbounce = target(&keys::FOLDER_HARDBOUNCE);
        let softbounce = target(&keys::FOLDER_SOFTBOUNCE);
        let autorespond = target(&keys::FOLDER_AUTORESPOND);
        let unsubscribe = target(&keys::FOLDER_UNSUBSCRIBE);
        let spam = target(&keys::FOLDER_SPAM);
        Ok(Folders {
            inbox: inbox?,
            debug: debug?.ok_or(Refused)?,
            error: error?.ok_or(Refused)?,
            hardbounce: hardbounce?,
            softbounce: softbounce?,
            autorespond: autorespond?,
            unsubscribe: unsubscribe?,
            spam: spam?,
        })
    }

    fn tmp_directory(&mut self) -> Option<PathBuf> {
        let value = self.value(&keys::TMP)?;
        let path = self.layers.path(value.text.trim());
        if path.is_dir() {
            return Some(path);
        }
        let shown = path.display();
        self.warn(
            &value,
            text!("{shown} is no directory.", "{shown} ist kein Verzeichnis."),
            text!(
                "The system's directory for temporary files is used.",
                "Das Verzeichnis des Systems für temporäre Dateien wird benutzt."
            ),
        );
        None
    }

    /// A listener's name, and whether UM would read it.
    fn check_listener(&mut self) -> Read<()> {
        let Some(listener) = self.listener else { return Ok(()) };
        let listed = self.value(&keys::LISTENERS);
        let names = listed.as_ref().map(|value| value.text.as_str()).unwrap_or_default();
        if names.split_whitespace().any(|name| name == listener) {
            return Ok(());
        }
        let shown = Shown(listener);
        let problem = Problem {
            origin: listed.as_ref().map(|value| value.origin.clone()),
            key: keys::LISTENERS.name.to_owned(),
            what: match names.trim() {
                "" => text!(
                    "No listener is named, so not {shown} either.",
                    "Kein Listener ist genannt, also auch {shown} nicht."
                ),
                names => text!("{shown} is not among: {names}.", "{shown} ist nicht unter: {names}."),
            },
            remedy: text!(
                "Write its name there too, or correct it.",
                "Den Namen auch dort schreiben, oder ihn berichtigen."
            ),
        };
        if listener.is_empty() || listener.contains(char::is_whitespace) {
            self.problems.error(problem);
            return Err(Refused);
        }
        self.problems.warning(problem);
        Ok(())
    }

    fn check_port(&mut self, port: Option<u16>, security: Option<Security>) {
        let (what, remedy) = match (port, security) {
            (Some(993), Some(Security::StartTls | Security::Plain)) => (
                text!("Port 993 needs ssl = true.", "Port 993 braucht ssl = true."),
                text!(
                    r#"Write ssl = "true", or port = "143"."#,
                    r#"ssl = "true" schreiben, oder port = "143"."#
                ),
            ),
            (Some(143), Some(Security::Tls)) => (
                text!(
                    "ssl = true with port 143, which servers use without it.",
                    "ssl = true mit Port 143, den Server ohne das benutzen."
                ),
                text!(
                    r#"Write port = "993", or ssl = "tls"."#,
                    r#"port = "993" schreiben, oder ssl = "tls"."#
                ),
            ),
            _ => return,
        };
        let origin = self.value(&keys::PORT).map(|value| value.origin);
        let key = self.written_name(&keys::PORT);
        self.problems.warning(Problem { origin, key, what, remedy });
    }

    fn say_that_certificates_are_checked(&mut self) {
        if let Some(value) = self.value(&keys::SSL_CHECKS)
            && !value.text.trim().eq_ignore_ascii_case("secure")
        {
            self.problems.info(Problem {
                origin: Some(value.origin),
                key: value.name,
                what: text!(
                    "Not followed here: certificates are always checked.",
                    "Hier ohne Wirkung: Zertifikate werden immer geprüft."
                ),
                remedy: text!(
                    "For a certificate authority of your own set cmsbs.mail.imap.ssl.caFile.",
                    "Für eine eigene Zertifizierungsstelle cmsbs.mail.imap.ssl.caFile setzen."
                ),
            });
        }
    }

    fn path(&mut self, key: &'static Key) -> Read<Option<PathBuf>> {
        let path = self.optional(key, values::any)?;
        Ok(path.map(|(path, _)| self.layers.path(&path)))
    }

    /// A secret is taken as it is, blanks included.
    fn secret(&mut self, key: &'static Key) -> Option<Read<SecretString>> {
        match self.value(key) {
            Some(value) => Some(self.clean(key, &value).map(SecretString::from)),
            None => self.is_unreadable(key).then_some(Err(Refused)),
        }
    }

    /// What is set, or the default; an error where there is neither.
    fn required<T>(
        &mut self,
        key: &'static Key,
        parse: impl Fn(&str) -> std::result::Result<T, Wrong>,
    ) -> Read<T> {
        if let Some((value, _)) = self.optional(key, &parse)? {
            return Ok(value);
        }
        if let Some(value) = key.default.value().and_then(|default| parse(default).ok()) {
            return Ok(value);
        }
        let meaning = Text::new(key.english, key.german);
        self.refuse(key, text!("It is not set.", "Das ist nicht gesetzt."), meaning);
        Err(Refused)
    }

    /// What is set, and where.
    fn optional<T>(
        &mut self,
        key: &'static Key,
        parse: impl Fn(&str) -> std::result::Result<T, Wrong>,
    ) -> Read<Option<(T, Origin)>> {
        let Some(value) = self.value(key) else {
            // A file that cannot be read is an error, and no reason to take the default.
            return if self.is_unreadable(key) { Err(Refused) } else { Ok(None) };
        };
        let text = self.clean(key, &value)?;
        match parse(&text) {
            Ok(parsed) => Ok(Some((parsed, value.origin))),
            Err(Wrong { what, remedy }) => {
                self.problems.error(Problem { origin: Some(value.origin), key: value.name, what, remedy });
                Err(Refused)
            }
        }
    }

    /// The value that counts, under the name that counts. An empty one is as none.
    fn value(&mut self, key: &Key) -> Option<Value> {
        let mut set = Vec::new();
        for name in key.names(self.listener) {
            set.extend(
                self.layers.value(&name, key, &mut self.problems).filter(|value| !value.text.is_empty()),
            );
        }
        let mut set = set.into_iter();
        let counts = set.next()?;
        // Two of a listener's own forms; what the primary mailbox has is there to be overridden.
        if let Some(other) = set.find(|other| other.name != key.name && other.text != counts.text) {
            let name = &other.name;
            self.warn(
                &counts,
                text!("{name} has another value.", "{name} hat einen anderen Wert."),
                text!("This one counts; take the other out.", "Es gilt dieser; den anderen entfernen."),
            );
        }
        self.note_flaws(&counts);
        Some(counts)
    }

    /// The text without what cannot be meant.
    fn clean(&mut self, key: &Key, value: &Value) -> Read<String> {
        let text = &value.text;
        let wrapped = QUOTES
            .iter()
            .any(|(open, close)| text.strip_prefix(*open).is_some_and(|rest| rest.ends_with(*close)));
        if wrapped {
            self.warn(
                value,
                text!(
                    "The value itself begins and ends with a quote.",
                    "Der Wert selbst beginnt und endet mit einem Anführungszeichen."
                ),
                text!(
                    "Write name = \"value\" with straight quotes in a file, and no quotes elsewhere.",
                    "In einer Datei name = \"wert\" mit geraden Anführungszeichen schreiben, anderswo keine."
                ),
            );
        }
        if let Some(control) = text.chars().find(|c| c.is_control() && !(wrapped && *c > '\u{7f}')) {
            let code = u32::from(control);
            self.problems.error(Problem {
                origin: Some(value.origin.clone()),
                key: value.name.clone(),
                what: text!(
                    "The value contains the control character U+{code:04X}.",
                    "Der Wert enthält das Steuerzeichen U+{code:04X}."
                ),
                remedy: text!("Write it in one line.", "In einer Zeile schreiben."),
            });
            return Err(Refused);
        }
        let placeholder = text.split_once('<').is_some_and(|(_, rest)| rest.contains('>'));
        if placeholder {
            let whole = text.starts_with('<') && text.ends_with('>');
            let (what, remedy) = (
                text!(
                    "A placeholder in angle brackets was left in.",
                    "Ein Platzhalter in spitzen Klammern ist stehen geblieben."
                ),
                text!(
                    "Write the value in its place, without < and >.",
                    "Den Wert an seine Stelle schreiben, ohne < und >."
                ),
            );
            if !key.secret {
                self.problems.error(Problem {
                    origin: Some(value.origin.clone()),
                    key: value.name.clone(),
                    what,
                    remedy,
                });
                return Err(Refused);
            } else if whole {
                self.warn(value, what, remedy);
            }
        }
        let trimmed = text.trim();
        if trimmed.len() < text.len() {
            let what = text!("There are blanks around the value.", "Um den Wert stehen Leerzeichen.");
            let remedy = match key.secret {
                true => text!(
                    "They are taken as part of it; take them out if they are not.",
                    "Sie gelten als Teil davon; entfernen, wenn sie das nicht sind."
                ),
                false => text!("They are not taken as part of it.", "Sie gelten nicht als Teil davon."),
            };
            self.warn(value, what, remedy);
        }
        Ok(if key.secret { text.clone() } else { trimmed.to_owned() })
    }

    fn note_flaws(&mut self, value: &Value) {
        for flaw in &value.flaws {
            let (what, remedy) = match flaw {
                Flaw::Unterminated => (
                    text!("No quote closes the value.", "Kein Anführungszeichen schließt den Wert."),
                    text!(
                        r#"Write "value"; a quote in it as \", a backslash as \\."#,
                        r#""wert" schreiben; ein Anführungszeichen darin als \", einen Backslash als \\."#
                    ),
                ),
                Flaw::AfterQuote => (
                    text!(
                        "There is text after the closing quote; it is not taken as part of the value.",
                        "Nach dem schließenden Anführungszeichen steht Text; er gilt nicht als Teil des Werts."
                    ),
                    text!(
                        r#"Write a quote in the value as \", and a comment after #."#,
                        r#"Ein Anführungszeichen im Wert als \" schreiben, einen Kommentar nach #."#
                    ),
                ),
                Flaw::LoneBackslash => (
                    text!(
                        r"There is a single backslash; it is taken as it is.",
                        r"Da steht ein einzelner Backslash; er gilt, wie er ist."
                    ),
                    text!(r"Write \\, or / in a path.", r"\\ schreiben, oder in einem Pfad /."),
                ),
                Flaw::CutByComment => (
                    text!(
                        "A # in the value starts a comment; the value ends before it.",
                        "Ein # im Wert beginnt einen Kommentar; der Wert endet davor."
                    ),
                    text!("Put the value in quotes.", "Den Wert in Anführungszeichen setzen."),
                ),
            };
            self.warn(value, what, remedy);
        }
    }

    fn is_unreadable(&self, key: &Key) -> bool {
        let mut problems = Problems::default();
        key.names(self.listener).iter().any(|name| {
            self.layers.value(name, key, &mut problems);
            problems.failure(Language::English).is_some()
        })
    }

    fn is_inherited(&mut self, key: &Key) -> bool {
        self.listener.is_some()
            && self.value(key).is_some_and(|value| !value.name.starts_with(LISTENER_PREFIX))
    }

    /// The name under which a key is set, or is to be set.
    fn written_name(&mut self, key: &Key) -> String {
        self.value(key)
            .map(|value| value.name)
            .or_else(|| key.names(self.listener).into_iter().next())
            .unwrap_or_else(|| key.name.to_owned())
    }

    fn refuse(&mut self, key: &Key, what: Text, remedy: Text) {
        let origin = self.value(key).map(|value| value.origin);
        let key = self.written_name(key);
        self.problems.error(Problem { origin, key, what, remedy });
    }

    fn warn(&mut self, value: &Value, what: Text, remedy: Text) {
        self.problems.warning(Problem {
            origin: Some(value.origin.clone()),
            key: value.name.clone(),
            what,
            remedy,
        });
    }
}

/// The scope that goes with the login host (Microsoft's national clouds), else with the IMAP server.
fn derived_scope(token_uri: &str, server: &str) -> String {
    let host = token_uri.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase));
    let mail_host = CLOUDS.iter().find(|(login, _)| Some(*login) == host.as_deref());
    format!("https://{}/.default", mail_host.map_or(server, |(_, mail)| mail))
}

const WORK_DIRECTORY: &str = "cmsbs-work/um-imap-oauth2";

/// What says that OAuth2 is meant.
static OAUTH2_KEYS: [&Key; 3] = [&keys::ACCESS_TOKEN_URI, &keys::CLIENT_ID, &keys::CLIENT_SECRET];

/// Login host → mail host.
const CLOUDS: [(&str, &str); 4] = [
    ("login.microsoftonline.com", "outlook.office365.com"),
    ("login.microsoftonline.us", "outlook.office365.us"),
    ("login.partner.microsoftonline.cn", "partner.outlook.cn"),
    ("login.chinacloudapi.cn", "partner.outlook.cn"),
];

/// Quotes that come from a word processor, a PDF, or one pair too many. The last three are Windows-1252's, read as ISO-8859-1.
const QUOTES: [(char, char); 9] = [
    ('"', '"'),
    ('\'', '\''),
    ('„', '“'),
    ('“', '”'),
    ('”', '”'),
    ('«', '»'),
    ('\u{84}', '\u{93}'),
    ('\u{93}', '\u{94}'),
    ('\u{91}', '\u{92}'),
];
