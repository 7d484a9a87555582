//! The values of one mailbox → its [`MailboxConfig`], or everything that is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use ureq::http::Uri;

use super::explained::explain_unconfigured;
use super::keys::{self, LISTENER_PREFIX};
use super::layers::{Layers, Value};
use super::names;
use super::plausible::Cloud;
use super::problem::{Origin, Problem, Problems, Shown};
use super::reader::{Read, Reader, Refused};
use super::values::{self, Wrong};
use super::{
    Authentication, Credential, FetchLimits, Folders, Language, Loaded, MailboxConfig, OAuth2, Route,
    Security, Speak,
};
use crate::failure::{Failure, Result};
use crate::message;

pub(super) fn load(layers: &Layers, listener: Option<&str>, speak: Speak) -> Result<Loaded> {
    let mut problems = layers.problems.clone();
    names::check(layers, listener, &mut problems);
    let Reading { config, problems, language } = read(layers, listener, problems, speak);
    if let Some(failure) = problems.failure(language) {
        let names = &Reader { layers, listener, problems }.names();
        return Err(explain_unconfigured(failure, language, names));
    }
    match config {
        Some(config) => Ok(Loaded { config, findings: problems.into_findings(language) }),
        None => Err(Failure::internal("a configuration was refused without a reason")),
    }
}

/// A mailbox, and what was found on the way beside `problems`.
pub(super) struct Reading {
    /// `None`: the problems have an error.
    pub config: Option<MailboxConfig>,
    pub problems: Problems,
    pub language: Language,
}

pub(super) fn read(layers: &Layers, listener: Option<&str>, problems: Problems, speak: Speak) -> Reading {
    let mut reader = Reader { layers, listener, problems };
    let language = speak(reader.language());
    // Without a file that was not read, much would look missing or wrong that is not.
    let config = if layers.problems.has_errors() { None } else { reader.config(language).ok() };
    Reading { config, problems: reader.problems, language }
}

impl Reader<'_> {
    /// Everything is read before the first `?`, so that every error is found.
    fn config(&mut self, language: Language) -> Read<MailboxConfig> {
        // An unknown listener is reported alone, without the keys that it lacks.
        self.check_listener()?;
        let server = self.required(&keys::SERVER, values::host);
        let port = self.required(&keys::PORT, values::port);
        let security = self.required(&keys::SSL, values::security);
        let user = self.user();
        let protocol = self.protocol();
        let authentication = self.authentication(server.as_deref().ok(), security.ok());
        let proxy_key = self.written_name(&keys::PROXY);
        let proxy = self.required(&keys::PROXY, |text| values::none_or_proxy(text, &proxy_key));
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
        if let (Ok(server), Ok(authentication)) = (&server, &authentication) {
            self.check_server(server, authentication);
            self.check_user(server, authentication);
        }
        self.say_that_certificates_are_checked();
        self.check_home();
        protocol?;
        Ok(MailboxConfig {
            listener: self.listener.map(str::to_owned),
            names: self.names(),
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

    /// The configured one; one that is not known counts as the default.
    fn language(&mut self) -> Option<Language> {
        let value = self.value(&keys::LANG)?;
        Some(values::language(value.text().trim()).unwrap_or_else(|wrong| {
            self.warn(&value, wrong.what, wrong.remedy);
            Language::default()
        }))
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
                    what: message!(ConfigUnsupported, value = shown),
                    remedy: message!(ConfigProtocolRemedy),
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
                    message!(ConfigTokenUnencrypted),
                    message!(ConfigTokenUnencryptedRemedy),
                );
            }
            if let (Some(_), Some((_, origin)), Some(_)) = (&password, &method, self.listener)
                && self.is_inherited(&keys::AUTHENTICATION_METHOD)
            {
                self.problems.warning(Problem {
                    origin: Some(origin.clone()),
                    key: keys::AUTHENTICATION_METHOD.name.to_owned(),
                    what: message!(ConfigListenerPasswordUnused),
                    remedy: message!(ConfigListenerPasswordUnusedRemedy),
                });
            }
            return self.oauth2(server).map(Authentication::OAuth2);
        }
        // What a listener takes over from a primary mailbox with OAuth2 is no line too many.
        let listener = self.listener;
        let oauth2_set = keys::ALL
            .iter()
            .filter(|key| key.name.starts_with(OAUTH2_PREFIX))
            .filter_map(|key| self.value(key))
            .find(|value| listener.is_none() || value.name.starts_with(LISTENER_PREFIX));
        if let Some(value) = &oauth2_set {
            let remedy = message!(ConfigOauth2UnusedRemedy);
            let what = message!(ConfigOauth2Unused);
            self.warn(value, what, remedy);
        }
        if security == Some(Security::Plain) {
            let key = self.written_name(&keys::SSL);
            self.problems.warning(Problem {
                origin: None,
                key,
                what: message!(ConfigPasswordUnencrypted),
                remedy: message!(ConfigPasswordUnencryptedRemedy),
            });
        }
        match password {
            Some(password) => Ok(Authentication::Password(password?)),
            None => {
                let meaning = message!(ConfigMeaningPassword);
                Err(self.refuse_unset(&keys::PASSWORD, meaning))
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
        let secret_expires = self.secret_expires();
        let scope = self.optional(&keys::SCOPE, values::any);
        let route = self.route(token_uri.as_deref().ok());
        let debug = self.required(&keys::OAUTH2_DEBUG, values::truth);
        if let Ok(token_uri) = &token_uri {
            self.check_registration(token_uri, server);
        }
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
            secret_expires,
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
                && values::https_url(value.text().trim()).map_or(true, |url| !url.ends_with("/token"))
            {
                self.problems.error(Problem {
                    origin: Some(value.origin),
                    key: name,
                    what: message!(ConfigUrlBroken, line = line),
                    remedy: message!(ConfigUrlBrokenRemedy),
                });
                return Err(Refused);
            }
            if !value.text().trim().is_empty() {
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
        for (key, path) in
            [(&keys::CLIENT_CERTIFICATE, &certificate), (&keys::CLIENT_ASSERTION_FILE, &assertion)]
        {
            if let (Some(value), Ok(Some(path))) = (self.value(key), path) {
                self.check_readers(&value, path);
            }
        }
        let (password, certificate, assertion) = (password?, certificate?, assertion?);
        match (secret, certificate, assertion) {
            (Some(secret), None, None) => Ok(Credential::ClientSecret(secret?)),
            (None, Some(file), None) => Ok(Credential::Certificate { file, password }),
            (None, None, Some(file)) => Ok(Credential::AssertionFile(file)),
            (None, None, None) => {
                let meaning = message!(ConfigMeaningSecret);
                Err(self.refuse_unset(&keys::CLIENT_SECRET, meaning))
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
                    message!(ConfigManyCredentials, keys = set),
                    message!(ConfigManyCredentialsRemedy),
                );
                Err(Refused)
            }
        }
    }

    /// What only reminds somebody is no reason not to read the mailbox.
    fn secret_expires(&mut self) -> Option<NaiveDate> {
        let value = self.value(&keys::CLIENT_SECRET_EXPIRES)?;
        let date = values::date(value.text().trim());
        date.map_err(|wrong| self.warn(&value, wrong.what, wrong.remedy)).ok()
    }

    /// The own key, else UM's proxy where the host is none of its exceptions (inferred).
    fn route(&mut self, token_uri: Option<&str>) -> Read<Route> {
        let name = self.written_name(&keys::OAUTH2_PROXY);
        if let Some((own, _)) =
            self.optional(&keys::OAUTH2_PROXY, |text| values::none_or_proxy(text, &name))?
        {
            return Ok(own.map_or(Route::Direct, Route::Proxy));
        }
        let Some(value) = self.value(&keys::UM_PROXY) else { return Ok(Route::Unset) };
        let host =
            token_uri.and_then(|uri| uri.parse::<Uri>().ok()).and_then(|uri| uri.host().map(str::to_owned));
        let exceptions = self.value(&keys::NO_PROXY);
        let exceptions = exceptions.as_ref().map(Value::text).unwrap_or_default();
        if host.is_some_and(|host| values::is_excepted(&host, exceptions)) {
            return Ok(Route::Direct);
        }
        match values::proxy(value.text().trim(), &value.name) {
            Ok(proxy) => Ok(Route::Proxy(proxy)),
            // It is UM's, for something else: not to be used here is no reason to refuse the mailbox.
            Err(wrong) => {
                let remedy = message!(ConfigUmProxyUnusable);
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
                    self.refuse(key, message!(ConfigFolderIsInbox), message!(ConfigFolderIsInboxRemedy));
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
        let path = self.layers.path(value.text().trim());
        if path.is_dir() {
            return Some(path);
        }
        let shown = path.display();
        self.warn(&value, message!(ConfigNoDirectory, path = &shown), message!(ConfigTmpRemedy));
        None
    }

    /// A listener's name, and whether UM would read it.
    fn check_listener(&mut self) -> Read<()> {
        let Some(listener) = self.listener else { return Ok(()) };
        let listed = self.value(&keys::LISTENERS);
        let names = listed.as_ref().map(Value::text).unwrap_or_default();
        if names.split_whitespace().any(|name| name == listener) {
            return Ok(());
        }
        let shown = Shown(listener);
        let problem = Problem {
            origin: listed.as_ref().map(|value| value.origin.clone()),
            key: keys::LISTENERS.name.to_owned(),
            what: match names.trim() {
                "" => message!(ConfigNoListeners, name = shown),
                names => message!(ConfigListenerUnknown, name = shown, names = names),
            },
            remedy: names::name_it(&names.split_whitespace().collect::<Vec<_>>()),
        };
        let has_settings = keys::ALL.iter().any(|key| {
            let is_set = |name: &str| self.layers.value(name, key, &mut Problems::default()).is_some();
            key.names(Some(listener)).iter().any(|name| name.starts_with(LISTENER_PREFIX) && is_set(name))
        });
        if listener.is_empty() || listener.contains(char::is_whitespace) || !has_settings {
            self.problems.error(problem);
            return Err(Refused);
        }
        self.problems.warning(problem);
        Ok(())
    }

    fn say_that_certificates_are_checked(&mut self) {
        if let Some(value) = self.value(&keys::SSL_CHECKS)
            && !value.text().trim().eq_ignore_ascii_case("secure")
        {
            self.problems.info(Problem {
                origin: Some(value.origin),
                key: value.name,
                what: message!(ConfigSslChecks),
                remedy: message!(ConfigSslChecksRemedy),
            });
        }
    }

    /// The files were read from one directory, and UM may run in another one.
    fn check_home(&mut self) {
        let Some(value) = self.value(&keys::SERVER_HOME) else { return };
        let (Some(home), text) = (&self.layers.home, value.text().trim()) else { return };
        let same = |one: &Path| fs::canonicalize(one).unwrap_or_else(|_| one.to_owned());
        if text.is_empty() || same(Path::new(text)) == same(home) {
            return;
        }
        let (named, home) = (Shown(text), home.display());
        let what = message!(ConfigOtherHome, named = named, home = &home);
        let remedy = message!(ConfigOtherHomeRemedy);
        self.warn(&value, what, remedy);
    }
}

/// The scope that goes with the login host (Microsoft's national clouds), else with the IMAP server.
fn derived_scope(token_uri: &str, server: &str) -> String {
    let mail_host = Cloud::of_login(token_uri).and_then(|cloud| cloud.mail.first().copied());
    format!("https://{}/.default", mail_host.unwrap_or(server))
}

const WORK_DIRECTORY: &str = "cmsbs-work/um-imap-oauth2";

const OAUTH2_PREFIX: &str = "cmsbs.mail.imap.oauth2.";
