//! What is configured, value by value: where each one comes from, and everything that is odd about it.

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::keys::{self, Default, FILE_SUFFIX, Key, Kind, LISTENER_PREFIX, Listener};
use super::layers::{Layers, Value};
use super::mailbox::{self, Lookup, Reading};
use super::plausible;
use super::problem::{Origin, Problems};
use super::{
    Ask, Authentication, Finding, Language, MailboxConfig, Proxy, Severity, names, syntax, values,
    whatever_is_configured,
};
use crate::failure::Result;
use crate::message;
use crate::sanitize;
use crate::text::Message;

/// Every mailbox below UM_HOME, or the one of `listener` alone. `language` is the one to speak; without it the configured one.
///
/// Fails only where `cmsbs.properties` cannot be read; a mailbox that is refused is part of the report.
pub fn report(
    um_home: &Path,
    listener: Option<&str>,
    environment: Ask,
    language: Option<Language>,
) -> Result<Report> {
    let speak = whatever_is_configured(language);
    let layers = Layers::of_um_home(um_home, environment, &speak)?;
    let mut problems = layers.problems.clone();
    names::check(&layers, listener, &mut problems);
    let listeners: Vec<_> = match listener {
        Some(listener) => vec![Some(listener.to_owned())],
        None => {
            let named = names::listeners(&layers, &mut Problems::default());
            std::iter::once(None).chain(named.into_iter().map(Some)).collect()
        }
    };
    let read = |listener: Option<String>| {
        // What is wrong with the files concerns each mailbox.
        let mut reading = mailbox::read(&layers, listener.as_deref(), problems.errors_only(), &speak);
        if let Some(config) = &reading.config {
            let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
            let more = plausible::beyond_reading(&layers, listener.as_deref(), config, today);
            reading.problems.extend(more);
        }
        (listener, reading)
    };
    let readings: Vec<_> = listeners.into_iter().map(read).collect();
    let language = readings.first().map(|(_, reading)| reading.language).unwrap_or_default();
    let shared = keys::ALL.iter().filter(|key| key.listener == Listener::Shared);
    Ok(Report {
        um_home: um_home.display().to_string(),
        shared: shared.map(|key| Setting::of(&layers, None, key, None, language)).collect(),
        findings: problems.into_findings(language),
        mailboxes: readings
            .into_iter()
            .map(|(listener, reading)| MailboxReport::of(&layers, listener, reading))
            .collect(),
        language,
    })
}

/// What [`report`] found. Its text is itself a properties file, in which what is not set is a comment; as JSON it has the
/// same in fields. No secret is in it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub um_home: String,
    /// What holds for all mailboxes.
    pub shared: Vec<Setting>,
    /// What is odd about the files as a whole and the names in them.
    pub findings: Vec<Finding>,
    pub mailboxes: Vec<MailboxReport>,
    #[serde(skip)]
    language: Language,
}

#[derive(Debug, Serialize)]
pub struct MailboxReport {
    /// `None` is the primary mailbox.
    pub listener: Option<String>,
    /// Everything because of which the mailbox is refused.
    pub errors: Vec<Refusal>,
    pub findings: Vec<Finding>,
    /// In the order of the table of keys.
    pub settings: Vec<Setting>,
}

/// One error: file and line, key, what was found, and what to write instead.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Empty where a whole file is meant.
    pub key: String,
    pub text: String,
}

/// The value that counts for one key.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// As it is to be written in a file for this mailbox.
    pub key: String,
    /// A secret is masked; `None`: there is no value.
    pub value: Option<String>,
    pub source: Source,
    /// The name under which it stands, where that is another.
    pub set_as: Option<String>,
    /// Taken over from the primary mailbox.
    pub inherited: bool,
    /// The source in words.
    pub place: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    File,
    Environment,
    /// The file that `key$file` names.
    ValueFile,
    /// UM's own effective configuration.
    Settings,
    Default,
    /// Made from other values.
    Derived,
    /// `key$file` names a file that cannot be read.
    Unreadable,
    Unset,
}

impl Report {
    /// The one that is spoken.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Whether no mailbox is refused.
    pub fn is_usable(&self) -> bool {
        self.mailboxes.iter().all(|mailbox| mailbox.errors.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let say = |message: Message| message.in_language(self.language);
        // So that it can be read back as it is.
        writeln!(f, "# Pinuts File Encoding: UTF-8")?;
        comment(f, &format!("UM_HOME: {}", self.um_home))?;
        write_findings(f, &self.findings, self.language)?;
        writeln!(f)?;
        comment(f, &say(message!(ConfigReportShared)))?;
        write_settings(f, &self.shared)?;
        for mailbox in &self.mailboxes {
            writeln!(f)?;
            let name = match &mailbox.listener {
                Some(name) => message!(ConfigReportListener, name = name),
                None => message!(ConfigReportPrimary),
            };
            let state = match mailbox.errors.is_empty() {
                true => message!(ConfigReportUsable),
                false => message!(ConfigReportRefused),
            };
            comment(f, &format!("{} {}", say(name), say(state)))?;
            for error in &mailbox.errors {
                let label = say(message!(ConfigReportError));
                comment(f, &format!("{label}: {}", error.text))?;
            }
            write_findings(f, &mailbox.findings, self.language)?;
            write_settings(f, &mailbox.settings)?;
        }
        Ok(())
    }
}

impl MailboxReport {
    fn of(layers: &Layers, listener: Option<String>, reading: Reading) -> Self {
        let Reading { config, problems, language } = reading;
        let name = listener.as_deref();
        let own = keys::ALL.iter().filter(|key| key.listener != Listener::Shared);
        Self {
            settings: own.map(|key| Setting::of(layers, name, key, config.as_ref(), language)).collect(),
            errors: problems
                .errors(language)
                .map(|(key, text)| Refusal { key: key.to_owned(), text })
                .collect(),
            findings: problems.into_findings(language),
            listener,
        }
    }
}

impl Setting {
    fn of(
        layers: &Layers,
        listener: Option<&str>,
        key: &'static Key,
        config: Option<&MailboxConfig>,
        language: Language,
    ) -> Self {
        let name = key.names(listener).into_iter().next().unwrap_or_else(|| key.name.to_owned());
        let without = |value: Option<String>, source, place: Message| Self {
            key: name.clone(),
            value,
            source,
            set_as: None,
            inherited: false,
            place: place.in_language(language),
        };
        match mailbox::lookup(layers, listener, key) {
            Lookup::Set(value) => {
                let inherited = listener.is_some()
                    && key.listener != Listener::Shared
                    && !value.name.starts_with(LISTENER_PREFIX);
                let place = value.origin.place();
                let place = match inherited {
                    true => message!(ConfigPlaceInherited, place = place),
                    false => place,
                };
                Self {
                    value: Some(shown(key, &value)),
                    source: source(&value.origin),
                    set_as: (value.name != name).then_some(value.name),
                    inherited,
                    ..without(None, Source::Unset, place)
                }
            }
            Lookup::Unreadable => without(
                None,
                Source::Unreadable,
                message!(ConfigPlaceUnreadable, key = format!("{name}{FILE_SUFFIX}")),
            ),
            Lookup::Unset(empty) => {
                let unset = match key.default {
                    Default::Manual(value) => {
                        without(Some(value.to_owned()), Source::Default, message!(ConfigPlaceDefaultManual))
                    }
                    Default::Inferred(value) => {
                        without(Some(value.to_owned()), Source::Default, message!(ConfigPlaceDefaultInferred))
                    }
                    Default::Own(value) => {
                        without(Some(value.to_owned()), Source::Default, message!(ConfigPlaceDefault))
                    }
                    Default::Derived(from) => without(
                        config.and_then(|config| derived(key, config)),
                        Source::Derived,
                        from.message(),
                    ),
                    Default::Required | Default::Unset => {
                        without(None, Source::Unset, message!(ConfigPlaceUnset))
                    }
                };
                match empty.map(|origin| origin.place()) {
                    Some(place) => {
                        let empty = message!(ConfigPlaceEmpty, unset = &unset.place, place = place);
                        Self { place: empty.in_language(language), ..unset }
                    }
                    None => unset,
                }
            }
        }
    }
}

/// A value as it is shown: a secret masked, of a proxy the address alone.
fn shown(key: &Key, value: &Value) -> String {
    let text = value.text().trim();
    let proxy = match key.kind {
        _ if !key.secret => return text.to_owned(),
        Kind::Proxy => values::proxy(text, key.name).map(Some),
        Kind::NoneOrProxy => values::none_or_proxy(text, key.name),
        _ => return MASK.to_owned(),
    };
    match proxy {
        Ok(Some(Proxy { host, port, credentials, .. })) => {
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            let user = if credentials.is_some() { format!("{MASK}@") } else { String::new() };
            format!("http://{user}{host}:{port}/")
        }
        Ok(None) => "none".to_owned(),
        Err(_) => MASK.to_owned(),
    }
}

/// What a usable mailbox has where the key is not set.
fn derived(key: &Key, config: &MailboxConfig) -> Option<String> {
    let targets = [
        &keys::FOLDER_HARDBOUNCE,
        &keys::FOLDER_SOFTBOUNCE,
        &keys::FOLDER_AUTORESPOND,
        &keys::FOLDER_UNSUBSCRIBE,
        &keys::FOLDER_SPAM,
    ];
    match &config.authentication {
        Authentication::OAuth2(oauth2) if key.name == keys::SCOPE.name => Some(oauth2.scope.clone()),
        _ => targets.iter().any(|target| target.name == key.name).then(|| config.folders.debug.clone()),
    }
}

fn source(origin: &Origin) -> Source {
    match origin {
        Origin::File { .. } | Origin::WholeFile(_) => Source::File,
        Origin::Environment(_) => Source::Environment,
        Origin::Settings => Source::Settings,
        Origin::ValueFile { .. } => Source::ValueFile,
    }
}

fn write_findings(f: &mut fmt::Formatter<'_>, findings: &[Finding], language: Language) -> fmt::Result {
    for finding in findings {
        let label = match finding.severity {
            Severity::Warning => message!(ConfigReportWarning),
            Severity::Info => message!(ConfigReportNote),
        };
        comment(f, &format!("{}: {}", label.in_language(language), finding.text))?;
    }
    Ok(())
}

/// One line each, the sources below each other.
fn write_settings(f: &mut fmt::Formatter<'_>, settings: &[Setting]) -> fmt::Result {
    let line = |setting: &Setting| {
        let key = syntax::escaped_name(&setting.key);
        let value = setting.value.as_ref().map(|value| format!("\"{}\"", syntax::escaped(value)));
        let mark = match setting.source {
            Source::Default | Source::Derived | Source::Unreadable | Source::Unset => "# ",
            Source::File | Source::Environment | Source::ValueFile | Source::Settings => "",
        };
        sanitize::line(format!("{mark}{key} = {}", value.unwrap_or_default()))
    };
    let lines: Vec<_> = settings.iter().map(|setting| (line(setting), &setting.place)).collect();
    let lengths = lines.iter().map(|(line, _)| line.chars().count());
    let width = lengths.filter(|length| *length <= WIDEST).max().unwrap_or_default();
    lines.iter().try_for_each(|(line, place)| writeln!(f, "{line:<width$}  # {}", one_line(place)))
}

fn comment(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "# {}", one_line(text))
}

/// A line break in a file's name must not end a comment.
fn one_line(text: &str) -> String {
    sanitize::line(text)
}

const MASK: &str = "********";
/// Characters of a line after which the others do not align.
const WIDEST: usize = 90;

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::config::tests::private_directory;
    use crate::config::{OAuth2, Route, from_um_home};

    const MAIN: &str = r#"
cmsbs.lang = en
cmsbs.mail.imap.server = "outlook.office365.com"
cmsbs.mail.imap.port = "993"
cmsbs.mail.imap.ssl = "true"
cmsbs.mail.imap.user = "bounce@example.org"
cmsbs.mail.imap.authenticationMethod = "oauth2"
cmsbs.mail.imap.oauth2.accessTokenUri = "https://login.microsoftonline.com/example.org/oauth2/v2.0/token"
cmsbs.mail.imap.oauth2.clientId = "66666666-7777-8888-9999-000000000000"
cmsbs.mail.imap.oauth2.clientSecret = "Pl4nted~s3cret.of-about-forty-characters"
cmsbs.mail.imap.oauth2.proxy = "http://u:Pl4nted@proxy:3128"
cmsbs.mail.imap.folder.debug = "Rückläufer \"alt\" \\ # 1"
"#;

    fn home(files: &[(&str, &str)]) -> TempDir {
        let home = private_directory();
        for (path, content) in files {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        home
    }

    fn home_of(main: &str) -> TempDir {
        home(&[("cmsbs-conf/cmsbs.properties", &format!("# Pinuts File Encoding: UTF-8\n{main}"))])
    }

    fn of(home: &TempDir) -> Report {
        report(home.path(), None, &|_| None, None).unwrap()
    }

    fn setting<'a>(settings: &'a [Setting], key: &str) -> &'a Setting {
        settings.iter().find(|setting| setting.key == key).unwrap()
    }

    #[test]
    fn every_key_is_reported_with_its_value_and_where_it_comes_from() {
        let home = home(&[
            (
                "cmsbs-conf/cmsbs.properties",
                &format!("# Pinuts File Encoding: UTF-8{MAIN}cmsbs.bounce.listeners = x"),
            ),
            (
                "cmsbs-conf/conf.d/x.properties",
                "cmsbs.bouncelistener.x.mail.imap.server = x.example.org\n\
                 cmsbs.bouncelistener.x.mail.imap.user$file = user\n",
            ),
            ("user", "x@example.org"),
        ]);
        let environment = |name: &str| (name == "cmsbs__bounce__processAll").then(|| "true".to_owned());
        let report = report(home.path(), None, &environment, None).unwrap();
        let [primary, listener] = &report.mailboxes[..] else { panic!() };
        assert_eq!(report.shared.len() + primary.settings.len(), keys::ALL.len());
        assert!(report.is_usable(), "{report}");
        let is = |settings, key, value: Option<&str>, source, place: &str| {
            let setting = setting(settings, key);
            assert_eq!((setting.value.as_deref(), setting.source), (value, source), "{setting:?}");
            assert!(setting.place.ends_with(place), "{setting:?}");
        };
        let (own, of_x) = (&primary.settings, &listener.settings);
        is(own, "cmsbs.mail.imap.user", Some("bounce@example.org"), Source::File, "cmsbs.properties, line 6");
        is(own, "cmsbs.mail.imap.journal", Some("file"), Source::Default, "default");
        is(own, "cmsbs.mail.imap.ssl.caFile", None, Source::Unset, "not set");
        is(own, "cmsbs.mail.imap.oauth2.clientSecret", Some("********"), Source::File, "line 10");
        is(own, "cmsbs.mail.imap.oauth2.proxy", Some("http://********@proxy:3128/"), Source::File, "line 11");
        let scope = Some("https://outlook.office365.com/.default");
        is(own, "cmsbs.mail.imap.oauth2.scope", scope, Source::Derived, "from the IMAP server");
        let folder = Some("Rückläufer \"alt\" \\ # 1");
        is(own, "cmsbs.mail.imap.folder.spam", folder, Source::Derived, "the debug folder");
        is(own, "cmsbs.bounce.processAll", Some("true"), Source::Environment, "cmsbs__bounce__processAll");
        is(&report.shared, "cmsbs.lang", Some("en"), Source::File, "line 2");
        is(
            of_x,
            "cmsbs.bouncelistener.x.mail.imap.user",
            Some("x@example.org"),
            Source::ValueFile,
            "line 2)",
        );
        let port = setting(of_x, "cmsbs.bouncelistener.x.mail.imap.port");
        assert_eq!((port.value.as_deref(), port.inherited), (Some("993"), true));
        assert!(port.place.starts_with("from the primary mailbox: "));
        assert_eq!(port.set_as.as_deref(), Some("cmsbs.mail.imap.port"));
    }

    #[test]
    fn what_is_empty_is_not_set_and_has_a_place_all_the_same() {
        let home =
            home_of(&format!("{MAIN}cmsbs.mail.imap.password = \"\"\ncmsbs.mail.imap.folder.inbox =\n"));
        let report = of(&home);
        for (key, value, source, start) in [
            ("cmsbs.mail.imap.password", None, Source::Unset, "not set: empty in "),
            (
                "cmsbs.mail.imap.folder.inbox",
                Some("INBOX"),
                Source::Default,
                "default (from the manual): empty in ",
            ),
        ] {
            let setting = setting(&report.mailboxes[0].settings, key);
            assert_eq!((setting.value.as_deref(), setting.source), (value, source), "{setting:?}");
            assert!(setting.place.starts_with(start) && setting.place.contains(", line 1"), "{setting:?}");
        }
    }

    #[test]
    fn a_refused_mailbox_stops_no_other_and_is_reported_with_all_its_errors() {
        let home = home_of(&format!(
            "{MAIN}cmsbs.bounce.listeners = x y\n\
             cmsbs.bouncelistener.x.mail.imap.port = 0\n\
             cmsbs.bouncelistener.y.mail.imap.server = y.example.org\n\
             cmsbs.bouncelistener.y.mail.imap.user = y@example.org\n"
        ));
        let report = of(&home);
        let errors: Vec<_> = report.mailboxes.iter().map(|mailbox| mailbox.errors.len()).collect();
        assert_eq!(errors, [0, 3, 0], "{report}");
        assert!(!report.is_usable());
        let text = report.to_string();
        assert!(text.contains("# === Listener x is REFUSED\n# ERROR: "), "{text}");
        assert!(text.contains("=== Listener y is usable"));
    }

    #[test]
    fn one_listener_can_be_reported_alone() {
        let home = home_of(&format!("{MAIN}cmsbs.bounce.listeners = x y"));
        let report = report(home.path(), Some("y"), &|_| None, Some(Language::German)).unwrap();
        assert_eq!(report.mailboxes.len(), 1);
        assert_eq!(report.mailboxes[0].listener.as_deref(), Some("y"));
        assert!(report.to_string().contains("wird ABGELEHNT"));
    }

    #[test]
    fn findings_about_the_files_are_said_once() {
        let home = home_of(&format!("{MAIN}cmsbs.bounce.listeners = x\ncmsbs.mail.imap.clientID = y\n"));
        let text = of(&home).to_string();
        assert_eq!(text.matches("Unknown key").count(), 1, "{text}");
        assert_eq!(text.matches("has no settings").count(), 1, "{text}");
    }

    #[test]
    fn no_secret_is_in_the_report() {
        let home = home_of(&format!(
            "{MAIN}cmsbs.proxy = nonsense://u:Pl4nted@\ncmsbs.mail.imap.password = Pl4nted\n"
        ));
        let report = of(&home);
        let json = serde_json::to_string(&report).unwrap();
        assert!(!format!("{report} {report:?} {json}").contains("Pl4nted"), "{report}");
    }

    #[test]
    fn the_json_has_what_a_program_needs() {
        let json = serde_json::to_value(of(&home_of(&format!("{MAIN}cmsbs.mail.imap.port = 143")))).unwrap();
        let server = &json["mailboxes"][0]["settings"][0];
        assert_eq!(server["key"], "cmsbs.mail.imap.server");
        assert_eq!(server["source"], "file");
        assert!(json["mailboxes"][0]["listener"].is_null());
        assert_eq!(json["mailboxes"][0]["findings"][0]["severity"], "warning", "{json}");
    }

    #[test]
    fn without_its_main_file_there_is_no_report() {
        let home = private_directory();
        let failure = report(home.path(), None, &|_| None, Some(Language::English)).unwrap_err();
        assert!(failure.observed.contains("cmsbs.properties"));
        assert!(failure.remedy.starts_with("UM_HOME is"));
    }

    #[test]
    fn what_is_printed_reads_the_same_when_it_is_written_back() {
        let mut random = Random(0x5eed);
        let mut usable = 0;
        for _ in 0..400 {
            let listener = if random.one_in(2) { "x" } else { "a=b#\\u0041\"://ü" };
            let mut main = format!("{MAIN}cmsbs.bounce.listeners = \"{}\"\n", syntax::escaped(listener));
            for name in
                [None, Some(listener)].iter().flat_map(|of| keys::ALL.iter().map(move |key| (key, *of)))
            {
                let (key, of) = name;
                let own = of.is_some() && key.listener == Listener::Own;
                if [&keys::LISTENERS, &keys::LANG].iter().any(|fixed| fixed.name == key.name)
                    || of.is_some() && key.listener == Listener::Shared
                    || !own && !random.one_in(5)
                {
                    continue;
                }
                let names = key.names(of);
                let value = random.value(key);
                let name = syntax::escaped_name(&names[random.below(names.len())]);
                main.push_str(&match value.contains(['"', '\\', '#', ' ', '\n']) || random.one_in(2) {
                    true => format!("{name}=\"{}\"\n", syntax::escaped(&value)),
                    false => format!("  {name} = {value}  # a comment\r\n"),
                });
            }
            let first_home = home_of(&main);
            let first = of(&first_home);
            let printed = first.to_string();
            let second_home = home_of(&printed);
            let second = of(&second_home);
            for (first, second) in settings(&first).zip(settings(&second)) {
                assert_eq!((&first.key, &first.value), (&second.key, &second.value), "{main}\n{printed}");
            }
            assert_eq!(settings(&first).count(), settings(&second).count());
            for name in [None, Some(listener)] {
                let load = |home: &TempDir| {
                    let mut config = from_um_home(home.path(), name, &|_| None).ok()?.config;
                    // What a listener takes over is printed as its own.
                    config.names = keys::Names::default();
                    if let Some(proxy) = &mut config.proxy {
                        proxy.set_by.clear();
                    }
                    if let Authentication::OAuth2(OAuth2 { route: Route::Proxy(proxy), .. }) =
                        &mut config.authentication
                    {
                        proxy.set_by.clear();
                    }
                    let config = format!("{config:?}").replace("\"u\"", "\"********\"");
                    Some(config.replace(home.path().to_str().unwrap(), "HOME"))
                };
                let Some(first) = load(&first_home) else { continue };
                assert_eq!(Some(first), load(&second_home), "{main}\n{printed}");
                usable += 1;
            }
        }
        assert!(usable > 50, "{usable}");
    }

    fn settings(report: &Report) -> impl Iterator<Item = &Setting> {
        report.shared.iter().chain(report.mailboxes.iter().flat_map(|mailbox| &mailbox.settings))
    }

    /// The same numbers at every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % end
        }

        fn one_in(&mut self, n: usize) -> bool {
            self.below(n) == 0
        }

        fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
            from[self.below(from.len())]
        }

        fn value(&mut self, key: &Key) -> String {
            if self.one_in(60) {
                return self.pick(&["", " ", "<x>", "\"x\"", "a\nb", "💥", "x\\"]).to_owned();
            }
            match key.kind {
                Kind::Text if key.name == keys::AUTHENTICATION_METHOD.name => {
                    self.pick(&["oauth2", "OAuth2", "password"])
                }
                Kind::Text => {
                    self.pick(&["a", "x y", " x", "#", "ä\\u0041", "q\"q", "C:\\\\dir\\", "\u{feff}€", "a=b"])
                }
                Kind::Host => self.pick(&["a.example", "::1", "[::1]", "10.0.0.1"]),
                Kind::Port => self.pick(&["993", "143", "1"]),
                Kind::Truth => self.pick(&["true", "false", "TRUE"]),
                Kind::OneOf(words) => self.pick(words),
                Kind::Folder => self.pick(&["INBOX.a", "Rückläufer", "a b", "a\\b", "a#b", "\"", "\u{a0}x"]),
                Kind::Path => self.pick(&["a/b", "C:\\dir", "a b"]),
                Kind::HttpsUrl => self
                    .pick(&["https://a.example/t", "https://login.microsoftonline.us/x/oauth2/v2.0/token"]),
                Kind::Proxy | Kind::NoneOrProxy => self.pick(&["http://p:1/", "p", "http://[::1]:8080"]),
                Kind::Size => self.pick(&["1M", "16 MiB", "1048576"]),
                Kind::Number(..) => self.pick(&["1", "2"]),
                Kind::Duration => self.pick(&["90", "5m", "1 h"]),
                Kind::Date => self.pick(&["2027-05-31"]),
                Kind::Words => self.pick(&["a .b", "c"]),
            }
            .to_owned()
        }
    }
}
