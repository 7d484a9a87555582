use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::syntax;
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
    is(of_x, "cmsbs.bouncelistener.x.mail.imap.user", Some("x@example.org"), Source::ValueFile, "line 2)");
    let port = setting(of_x, "cmsbs.bouncelistener.x.mail.imap.port");
    assert_eq!((port.value.as_deref(), port.inherited), (Some("993"), true));
    assert!(port.place.starts_with("from the primary mailbox: "));
    assert_eq!(port.set_as.as_deref(), Some("cmsbs.mail.imap.port"));
}

#[test]
fn what_is_empty_is_not_set_and_has_a_place_all_the_same() {
    let home = home_of(&format!("{MAIN}cmsbs.mail.imap.password = \"\"\ncmsbs.mail.imap.folder.inbox =\n"));
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
    assert!(text.contains("# === Listener x is REFUSED\n"), "{text}");
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
    let home =
        home_of(&format!("{MAIN}cmsbs.proxy = nonsense://u:Pl4nted@\ncmsbs.mail.imap.password = Pl4nted\n"));
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
        for name in [None, Some(listener)].iter().flat_map(|of| keys::ALL.iter().map(move |key| (key, *of))) {
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
            Kind::HttpsUrl => {
                self.pick(&["https://a.example/t", "https://login.microsoftonline.us/x/oauth2/v2.0/token"])
            }
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
