use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::failure::{Failure, Kind};

/// The OAuth2 block as the vendor's manual prints it.
const MANUAL: &str = r#"
cmsbs.mail.imap.server = "outlook.office365.com"
cmsbs.mail.imap.port = "993"
cmsbs.mail.imap.ssl = "true"
cmsbs.mail.imap.user = "bounce@example.org"
cmsbs.mail.imap.password = ""
cmsbs.mail.imap.authenticationMethod = "oauth2"
cmsbs.mail.imap.oauth2.accessTokenUri = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token"
cmsbs.mail.imap.oauth2.clientId = "66666666-7777-8888-9999-000000000000"
cmsbs.mail.imap.oauth2.clientSecret = "Pl4nted~s3cret.of-about-forty-characters"
cmsbs.mail.imap.oauth2.scope = "https://outlook.office.com/.default"
cmsbs.mail.imap.oauth2.grantType = "client_credentials"
cmsbs.mail.imap.oauth2.debug = "true"
cmsbs.mail.imap.folder.inbox = "INBOX"
cmsbs.mail.imap.folder.debug = "debug"
cmsbs.mail.imap.folder.error = "error"
"#;

/// A UM_HOME, its main file being the manual's block and then some.
struct Home(TempDir);

impl Home {
    fn new(more: &str) -> Self {
        Self::with_main(format!("{MANUAL}{more}\ncmsbs.lang = en\n"))
    }

    fn with_main(main: impl AsRef<[u8]>) -> Self {
        let home = Self(private_directory());
        home.add("cmsbs-conf/cmsbs.properties", main);
        home
    }

    fn add(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn load(&self) -> Loaded {
        from_um_home(self.0.path(), None, &|_| None).unwrap()
    }

    fn load_listener(&self, listener: &str) -> Loaded {
        from_um_home(self.0.path(), Some(listener), &|_| None).unwrap()
    }

    fn load_with(&self, environment: &[(&str, &str)]) -> Loaded {
        from_um_home(self.0.path(), None, &map(environment)).unwrap()
    }

    fn refused(&self) -> Failure {
        from_um_home(self.0.path(), None, &|_| None).unwrap_err()
    }
}

/// A directory that no other account can look into, so that the secrets in it are no finding.
pub(super) fn private_directory() -> TempDir {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir().unwrap()
}

fn map(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    let map: HashMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    move |key| map.get(key).cloned()
}

fn oauth2(config: &MailboxConfig) -> &OAuth2 {
    match &config.authentication {
        Authentication::OAuth2(oauth2) => oauth2,
        Authentication::Password(_) => panic!("no OAuth2"),
    }
}

fn secret(config: &MailboxConfig) -> &str {
    match &oauth2(config).credential {
        Credential::ClientSecret(secret) => secret.expose_secret(),
        other => panic!("{other:?}"),
    }
}

fn texts(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{}\n", finding.text)).collect()
}

/// The findings that are worth a warning.
fn warnings(loaded: &Loaded) -> Vec<&str> {
    let warnings = loaded.findings.iter().filter(|finding| finding.severity == Severity::Warning);
    warnings.map(|finding| finding.text.as_str()).collect()
}

#[test]
fn the_manuals_block_alone_is_enough() {
    let home = Home::with_main(MANUAL);
    let Loaded { config, findings } = home.load();
    assert_eq!(texts(&findings), "");
    assert_eq!(config.listener, None);
    assert_eq!((config.server.as_str(), config.port), ("outlook.office365.com", 993));
    assert_eq!(config.security, Security::Tls);
    assert_eq!(config.user, "bounce@example.org");
    assert_eq!(oauth2(&config).client_id, "66666666-7777-8888-9999-000000000000");
    assert_eq!(oauth2(&config).scope, "https://outlook.office.com/.default");
    assert!(oauth2(&config).debug);
    assert_eq!(secret(&config), "Pl4nted~s3cret.of-about-forty-characters");
    assert!(matches!(oauth2(&config).route, Route::Unset));
    assert_eq!((config.folders.inbox.as_str(), config.folders.hardbounce), ("INBOX", None));
    assert!(!config.debug && !config.process_all && !config.trace && config.journal);
    assert_eq!((config.fetch.buffer, config.fetch.pipeline), (16 << 20, 2));
    assert_eq!(config.fetch.patience, Duration::from_secs(300));
    assert_eq!(config.language, Language::German);
    assert_eq!(config.work_directory.unwrap(), home.0.path().join("cmsbs-work/um-imap-oauth2"));
}

#[test]
fn a_settings_function_gives_the_same_mailbox() {
    let home = Home::with_main(MANUAL);
    let pairs: HashMap<_, _> = syntax::parse(MANUAL.as_bytes())
        .options
        .into_iter()
        .map(|option| (option.name, option.value))
        .collect();
    let loaded = from_settings(&|key| pairs.get(key).map(|value| value.to_string()), None).unwrap();
    let mut from_files = home.load().config;
    assert_eq!(loaded.config.work_directory, None);
    from_files.work_directory = None;
    assert_eq!(format!("{:?}", loaded.config), format!("{from_files:?}"));
}

#[test]
fn a_settings_function_is_asked_for_nothing_but_the_listed_keys() {
    for listener in [None, Some("x")] {
        let listed = keys(listener);
        let ask = |key: &str| {
            assert!(listed.iter().any(|listed| listed == key), "{key}");
            None
        };
        from_settings(&ask, listener).unwrap_err();
    }
}

#[test]
fn the_server_home_of_the_settings_gives_paths_and_the_work_directory() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("secret"), "fr0m-a-file\n").unwrap();
    let pairs = syntax::parse(MANUAL.as_bytes()).options;
    let loaded = from_settings(
        &|key| match key {
            "cmsbs.server.home" => Some(home.path().to_str().unwrap().to_owned()),
            "cmsbs.mail.imap.oauth2.clientSecret$file" => Some("secret".into()),
            "cmsbs.mail.imap.oauth2.clientSecret" => None,
            "cmsbs.mail.imap.ssl.caFile" => Some("ca.pem".into()),
            key => pairs.iter().find(|option| option.name == key).map(|option| option.value.to_string()),
        },
        None,
    )
    .unwrap();
    assert_eq!(loaded.config.work_directory, Some(home.path().join("cmsbs-work/um-imap-oauth2")));
    assert_eq!(loaded.config.ca_file, Some(home.path().join("ca.pem")));
    assert_eq!(secret(&loaded.config), "fr0m-a-file");
}

#[test]
fn a_home_in_the_files_that_is_not_theirs_is_a_warning() {
    let elsewhere = Home::new("cmsbs.server.home = /srv/um").load();
    let said = warnings(&elsewhere);
    assert!(said[0].contains("\"/srv/um\" is another directory than"), "{said:?}");
    let home = Home::new("");
    let itself = home.0.path().join("cmsbs-conf").join("..");
    let itself = home.load_with(&[("cmsbs.server.home", itself.to_str().unwrap())]);
    assert_eq!(warnings(&itself), [""; 0]);
    // Of the settings it is the home.
    let pairs = syntax::parse(MANUAL.as_bytes()).options;
    let settings = |key: &str| match key {
        "cmsbs.server.home" => Some("/srv/um".into()),
        key => pairs.iter().find(|option| option.name == key).map(|option| option.value.to_string()),
    };
    assert_eq!(warnings(&from_settings(&settings, None).unwrap()), [""; 0]);
}

#[test]
fn settings_that_um_has_read_from_a_file_itself_are_not_read_again_in_vain() {
    let pairs = syntax::parse(MANUAL.as_bytes()).options;
    let loaded = from_settings(
        &|key| match key {
            "cmsbs.mail.imap.oauth2.clientSecret$file" => Some("/nowhere/secret".into()),
            key => pairs.iter().find(|option| option.name == key).map(|option| option.value.to_string()),
        },
        None,
    )
    .unwrap();
    assert_eq!(secret(&loaded.config), "Pl4nted~s3cret.of-about-forty-characters");
    assert!(warnings(&loaded)[0].contains("/nowhere/secret"));
}

#[test]
fn includes_come_after_the_file_and_fragments_after_them_in_their_order() {
    let home = Home::new(
        "include.10 = b.properties\ninclude.9 = \"cmsbs-conf/a.properties\"\ncmsbs.mail.imap.folder.spam = main",
    );
    home.add("cmsbs-conf/a.properties", "cmsbs.mail.imap.folder.spam = a\ncmsbs.mail.imap.folder.error = a");
    home.add("b.properties", "cmsbs.mail.imap.folder.spam = b\ncmsbs.mail.imap.folder.debug = b");
    assert_eq!(home.load().config.folders.spam.as_deref(), Some("b"));
    assert_eq!(home.load().config.folders.error, "a");
    home.add("cmsbs-conf/conf.d/20-x.properties", "cmsbs.mail.imap.folder.spam = 20");
    home.add(
        "cmsbs-conf/conf.d/10-x.properties",
        "cmsbs.mail.imap.folder.spam = 10\ncmsbs.mail.imap.folder.debug = 10",
    );
    home.add("cmsbs-conf/conf.d/99-x.txt", "cmsbs.mail.imap.folder.spam = 99");
    let loaded = home.load();
    assert_eq!(
        (loaded.config.folders.spam.as_deref(), loaded.config.folders.debug.as_str()),
        (Some("20"), "10")
    );
    assert!(warnings(&loaded).is_empty());
}

#[test]
fn fragments_lie_where_the_configuration_says() {
    let home = Home::new("cmsbs.directory.confd = fragments");
    home.add("fragments/a.properties", "cmsbs.mail.imap.folder.spam = a");
    home.add("cmsbs-conf/conf.d/a.properties", "cmsbs.mail.imap.folder.spam = wrong");
    assert_eq!(home.load().config.folders.spam.as_deref(), Some("a"));
}

#[test]
fn a_missing_directory_of_fragments_is_refused_unless_it_is_the_default() {
    for named in ["", "cmsbs.directory.confd = \"cmsbs-conf/conf.d\""] {
        Home::new(named).load();
    }
    let failure = Home::new("cmsbs.directory.confd = nowhere").refused();
    assert_eq!(failure.key.as_deref(), Some("cmsbs.directory.confd"));
    assert!(failure.observed.contains("line 17: cmsbs.directory.confd: "), "{failure}");
    let environment = map(&[("cmsbs__directory__confd", "nowhere")]);
    let failure = from_um_home(Home::new("").0.path(), None, &environment).unwrap_err();
    assert!(failure.observed.contains("nowhere"), "{failure}");
    let home = Home::new("");
    home.add("cmsbs-conf/conf.d", "no directory");
    assert!(home.refused().observed.contains("conf.d"));
}

#[test]
fn a_fragment_or_include_that_cannot_be_read_refuses_each_mailbox() {
    let fragment = Home::new("cmsbs.bounce.listeners = x");
    // Nobody can read it as a file, not even root.
    fragment.add("cmsbs-conf/conf.d/60-x.properties/debug", "cmsbs.bounce.debug = true");
    let failure = fragment.refused();
    assert_eq!((failure.kind, failure.key.as_deref()), (Kind::Configuration, None));
    assert!(failure.observed.contains("60-x.properties: "), "{failure}");
    assert!(failure.remedy.contains("No mailbox is read"), "{failure}");
    let failure = from_um_home(fragment.0.path(), Some("x"), &|_| None).unwrap_err();
    assert!(failure.observed.contains("60-x.properties: "), "{failure}");
    let include = Home::new("include.1 = nowhere.properties\ninclude.2 = \"\"");
    let failure = include.refused();
    assert!(failure.observed.contains("line 17: include.1: "), "{failure}");
    assert!(
        failure.observed.contains("nowhere.properties") && !failure.observed.contains("include.2"),
        "{failure}"
    );
    for home in [fragment, include] {
        let report = report(home.0.path(), None, &|_| None, None).unwrap();
        assert!(report.mailboxes.iter().all(|mailbox| !mailbox.errors.is_empty()), "{report}");
    }
}

#[test]
fn a_fragment_larger_than_what_is_read_refuses_the_mailbox() {
    let home = Home::new("");
    home.add("cmsbs-conf/conf.d/x.properties", "# x\n".repeat(5 << 20));
    assert!(home.refused().observed.contains("larger than"));
}

#[cfg(unix)]
#[test]
fn a_file_that_is_being_edited_refuses_nothing() {
    let home = Home::new("");
    home.add("cmsbs-conf/conf.d/x.properties", "cmsbs.mail.imap.folder.spam = x");
    std::os::unix::fs::symlink("me@host.1:2", home.0.path().join("cmsbs-conf/conf.d/.#x.properties"))
        .unwrap();
    assert_eq!(home.load().config.folders.spam.as_deref(), Some("x"));
}

#[test]
fn files_that_include_each_other_are_read_once_and_it_is_said() {
    let home = Home::new("include.1 = a.properties");
    home.add("a.properties", "include.1 = ./b.properties\ncmsbs.mail.imap.folder.spam = a");
    home.add("b.properties", "include.1 = a.properties\ninclude.2 = cmsbs-conf/cmsbs.properties");
    let loaded = home.load();
    assert_eq!(loaded.config.folders.spam.as_deref(), Some("a"));
    let warnings = warnings(&loaded);
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("b.properties, line 1: include.1"), "{warnings:?}");
}

#[test]
fn the_environment_overrides_in_both_spellings() {
    let home = Home::new("");
    assert_eq!(home.load_with(&[("cmsbs__mail__imap__user", "a@example.org")]).config.user, "a@example.org");
    let loaded = home.load_with(&[("cmsbs.mail.imap.user", "b@example.org")]);
    assert_eq!(loaded.config.user, "b@example.org");
    assert!(warnings(&loaded)[0].contains("environment variable cmsbs.mail.imap.user"));
}

#[test]
fn a_value_file_comes_before_the_plain_value_and_after_the_environment() {
    let home = Home::new("cmsbs.mail.imap.oauth2.clientSecret$file = secret");
    home.add("secret", "fr0m-a-file-of-about-forty-characters\r\n");
    let loaded = home.load();
    assert_eq!(secret(&loaded.config), "fr0m-a-file-of-about-forty-characters");
    assert!(texts(&loaded.findings).contains("ends with a line break"));
    assert_eq!(warnings(&loaded).len(), 1);
    let variable = ("cmsbs__mail__imap__oauth2__clientSecret", "fr0m-the-environment-with-forty-characters");
    let loaded = home.load_with(&[variable]);
    assert_eq!(secret(&loaded.config), "fr0m-the-environment-with-forty-characters");
    assert_eq!(warnings(&loaded).len(), 2);
    for text in [texts(&home.load().findings), texts(&loaded.findings), format!("{loaded:?}")] {
        assert!(!text.contains("fr0m") && !text.contains("Pl4nted"), "{text}");
    }
}

#[test]
fn a_value_file_that_cannot_be_read_is_an_error_and_no_default_takes_its_place() {
    let home = Home::new(
        "cmsbs.mail.imap.folder.error$file = nowhere\ncmsbs.mail.imap.oauth2.clientSecret$file = .",
    );
    let failure = home.refused();
    assert!(failure.observed.contains("cmsbs.mail.imap.folder.error$file"), "{failure}");
    assert!(failure.observed.contains("cmsbs.mail.imap.oauth2.clientSecret$file"), "{failure}");
    assert!(!failure.to_string().contains("The entry is missing."), "{failure}");
}

#[test]
fn all_errors_come_at_once_with_file_line_and_key() {
    let home = Home::with_main(
        "cmsbs.lang = en\ncmsbs.mail.imap.port = 99999\ncmsbs.mail.imap.ssl = yes\n\
         cmsbs.mail.imap.authenticationMethod = oauth2\n\
         cmsbs.mail.imap.oauth2.accessTokenUri = http://login.example/token\n\
         cmsbs.mail.imap.folder.debug = inbox\ncmsbs.bounce.debug = on\ncmsbs.mail.imap.protocol = pop3\n",
    );
    let failure = home.refused();
    assert_eq!((failure.step, failure.kind), (crate::failure::Step::Configuration, Kind::Configuration));
    let lines: Vec<_> = failure.observed.lines().collect();
    for (key, line) in [
        ("port", Some(2)),
        ("ssl", Some(3)),
        ("oauth2.accessTokenUri", Some(5)),
        ("folder.debug", Some(6)),
        ("protocol", Some(8)),
        ("server", None),
        ("user", None),
        ("oauth2.clientId", None),
        ("oauth2.clientSecret", None),
    ] {
        let place = line.map(|line| format!("cmsbs.properties, line {line}: ")).unwrap_or_default();
        let wanted = format!("{place}cmsbs.mail.imap.{key}: ");
        assert!(lines.iter().any(|line| line.contains(&wanted)), "{wanted} in {failure}");
    }
    assert!(failure.observed.contains("line 7: cmsbs.bounce.debug: "));
    assert_eq!(lines.len(), 10, "{failure}");
    // Where the remedy is all that is looked at, it is enough.
    let remedies: Vec<_> = failure.remedy.lines().collect();
    assert_eq!(remedies.len(), 10, "{failure}");
    assert!(remedies.contains(&"cmsbs.mail.imap.port: Enter a number from 1 to 65535."), "{failure}");
    assert!(remedies.iter().any(|remedy| remedy.starts_with("Write cmsbs.mail.imap.server = ")), "{failure}");
}

#[test]
fn a_single_error_has_its_key_and_its_remedy() {
    let failure = Home::new("cmsbs.mail.imap.protocol = pop3").refused();
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.protocol"));
    assert!(failure.remedy.contains("imap"), "{failure}");
    assert_eq!(failure.observed.lines().count(), 1);
}

#[test]
fn errors_speak_the_configured_language() {
    let home = Home::with_main("");
    assert!(home.refused().observed.contains("Der Eintrag fehlt."));
    let failure = from_um_home(home.0.path(), None, &map(&[("cmsbs__lang", "en")])).unwrap_err();
    assert!(failure.observed.contains("The entry is missing."));
    let failure = from_um_home(&home.0.path().join("nowhere"), None, &|_| None).unwrap_err();
    assert!(failure.observed.contains("cmsbs.properties") && failure.remedy.contains("UM_HOME"), "{failure}");
}

#[test]
fn another_language_is_spoken_from_the_first_failure_on_where_none_is_configured() {
    let speaks = |home: &std::path::Path, environment: &[(&str, &str)]| {
        let loaded = from_um_home_else_in(Some(Language::English), home, None, &map(environment));
        let failure = loaded.unwrap_err();
        match format!("{} {}", failure.cause, failure.remedy) {
            text if ["Write ", "Enter ", "UM_HOME is the"].iter().any(|word| text.contains(word)) => {
                Language::English
            }
            text if ["Tragen Sie", "UM_HOME ist"].iter().any(|word| text.contains(word)) => Language::German,
            text => panic!("{text}"),
        }
    };
    let home = Home::with_main(MANUAL.replace("oauth2.clientId", "x"));
    let nowhere = home.0.path().join("nowhere");
    for home in [home.0.path(), nowhere.as_path()] {
        assert_eq!(speaks(home, &[]), Language::English);
        assert_eq!(speaks(home, &[("cmsbs__lang", "de")]), Language::German);
    }
    home.add("cmsbs-conf/conf.d/lang.properties", "cmsbs.lang = de");
    assert_eq!(speaks(home.0.path(), &[]), Language::German);
    let failure = from_um_home_in(Some(Language::English), &nowhere, None, &|_| None).unwrap_err();
    assert!(failure.cause.contains("does not exist"), "{failure}");
}

#[test]
fn a_listener_takes_from_the_primary_what_it_does_not_set() {
    let home = Home::new(
        "cmsbs.bounce.listeners = \"inbox_2 inbox_3\"\n\
         cmsbs.bounce.processAll = true\n\
         cmsbs.bouncelistener.inbox_2.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.inbox_2.mail.imap.user = two@example.org\n\
         cmsbs.bouncelistener.inbox_2.mail.imap.folder.error = wrong\n\
         cmsbs.bouncelistener.inbox_2.oauth2.clientId = 22222222-7777-8888-9999-000000000000\n",
    );
    let loaded = home.load_listener("inbox_2");
    let config = &loaded.config;
    assert_eq!(config.listener.as_deref(), Some("inbox_2"));
    assert_eq!((config.server.as_str(), config.port), ("imap.example.org", 993));
    assert_eq!(config.user, "two@example.org");
    assert_eq!((config.folders.error.as_str(), config.folders.debug.as_str()), ("wrong", "debug"));
    assert_eq!(
        (oauth2(config).client_id.as_str(), secret(config)),
        ("22222222-7777-8888-9999-000000000000", "Pl4nted~s3cret.of-about-forty-characters")
    );
    assert!(config.process_all);
    assert!(warnings(&loaded).is_empty(), "{:?}", loaded.findings);
    assert_eq!(home.load().config.user, "bounce@example.org");
}

#[test]
fn a_listeners_server_and_user_are_its_own() {
    let home = Home::new("cmsbs.bounce.listeners = x");
    let failure = from_um_home(home.0.path(), Some("x"), &|_| None).unwrap_err();
    assert_eq!(failure.observed.lines().count(), 2, "{failure}");
    assert!(failure.observed.contains("cmsbs.bouncelistener.x.mail.imap.server: "));
    assert!(failure.observed.contains("cmsbs.bouncelistener.x.mail.imap.user: "));
}

#[test]
fn of_both_forms_the_manuals_wins_and_a_difference_is_said() {
    let listener = "cmsbs.bounce.listeners = x\n\
         cmsbs.bouncelistener.x.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.x.mail.imap.user = x@example.org\n\
         cmsbs.bouncelistener.x.mail.imap.oauth2.clientId = 22222222-7777-8888-9999-000000000000\n";
    let loaded = Home::new(listener).load_listener("x");
    assert_eq!(oauth2(&loaded.config).client_id, "22222222-7777-8888-9999-000000000000");
    assert!(warnings(&loaded).is_empty());
    let loaded =
        Home::new(&format!("{listener}cmsbs.bouncelistener.x.oauth2.clientId = short")).load_listener("x");
    assert_eq!(oauth2(&loaded.config).client_id, "short");
    assert!(warnings(&loaded)[0].contains("cmsbs.bouncelistener.x.mail.imap.oauth2.clientId"));
}

#[test]
fn a_listener_with_a_password_that_inherits_oauth2_is_said() {
    let home = Home::new(
        "cmsbs.bounce.listeners = x\n\
         cmsbs.bouncelistener.x.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.x.mail.imap.user = x@example.org\n\
         cmsbs.bouncelistener.x.mail.imap.password = Pl4nted\n",
    );
    let loaded = home.load_listener("x");
    assert!(matches!(loaded.config.authentication, Authentication::OAuth2(_)));
    assert_eq!(warnings(&loaded).len(), 1);
    assert!(!texts(&loaded.findings).contains("Pl4nted"));
    home.add("cmsbs-conf/conf.d/x.properties", "cmsbs.bouncelistener.x.authenticationMethod = password");
    let loaded = home.load_listener("x");
    assert!(matches!(loaded.config.authentication, Authentication::Password(_)));
}

#[test]
fn an_unknown_listener_is_the_first_and_only_cause_and_the_known_ones_are_listed() {
    let home = Home::new("cmsbs.bounce.listeners = \"inbox_2 inbox_3\"");
    let failure = from_um_home(home.0.path(), Some("inbox_4"), &|_| None).unwrap_err();
    assert_eq!(failure.observed.lines().count(), 1, "{failure}");
    assert!(failure.observed.contains("\"inbox_4\" is not one of these: inbox_2 inbox_3"), "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.bounce.listeners"));
    assert!(!failure.remedy.contains("mail.imap.server"), "{failure}");
}

#[test]
fn a_listener_that_nobody_names_is_read_and_said() {
    let home = Home::new(
        "cmsbs.bouncelistener.x.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.x.mail.imap.user = x@example.org\n",
    );
    assert!(warnings(&home.load_listener("x"))[0].contains("cmsbs.bounce.listeners"));
}

#[test]
fn any_other_authentication_method_is_user_and_password() {
    let home = Home::with_main(
        "cmsbs.lang = en\ncmsbs.mail.imap.server = imap.example.org\ncmsbs.mail.imap.user = x\n\
         cmsbs.mail.imap.password = \"pa # ss\"\n",
    );
    let loaded = home.load();
    let Authentication::Password(password) = &loaded.config.authentication else { panic!() };
    assert_eq!(password.expose_secret(), "pa # ss");
    assert_eq!((loaded.config.security, loaded.config.port), (Security::Plain, 143));
    assert!(warnings(&loaded)[0].contains("unencrypted"));
    home.add("cmsbs-conf/conf.d/x.properties", "cmsbs.mail.imap.ssl = TLS");
    assert_eq!(home.load().config.security, Security::StartTls);
    home.add("cmsbs-conf/conf.d/x.properties", "cmsbs.mail.imap.password = \"\"");
    assert!(home.refused().observed.contains("cmsbs.mail.imap.password"));
}

#[test]
fn a_refused_configuration_is_explained_without_placeholders() {
    let wrong = keys::ALL.iter().flat_map(|key| {
        let values = ["<x>", "http://x/token", "false"];
        let lines = values.map(|value| format!("{} = \"{value}\"", key.name));
        lines.into_iter().chain([format!("{}$file = nowhere", key.name)])
    });
    let mut explained = std::collections::BTreeSet::new();
    for line in wrong.chain(["include.1 = nowhere".to_owned(), "cmsbs.mail.imap.ssl =".to_owned()]) {
        let home = Home::new(&line);
        for language in [Language::English, Language::German] {
            let loaded = from_um_home_in(Some(language), home.0.path(), None, &|_| None);
            let Err(failure) = loaded else { continue };
            let texts = [failure.cause, failure.remedy];
            assert!(crate::text::tests::texts::placeholders(&texts).is_empty(), "{line}: {texts:?}");
            explained.extend(failure.id);
        }
    }
    assert_eq!(
        explained.iter().map(String::as_str).collect::<Vec<_>>(),
        ["imap-unencrypted-oauth2", "storage-missing", "token-url-unencrypted"]
    );
}

#[test]
fn an_access_token_never_goes_over_an_unencrypted_connection() {
    assert!(Home::new("cmsbs.mail.imap.ssl = false").refused().observed.contains("cmsbs.mail.imap.ssl"));
    let without = MANUAL.replace("cmsbs.mail.imap.ssl", "# ");
    assert!(Home::with_main(without).refused().observed.contains("cmsbs.mail.imap.ssl"));
    assert_eq!(Home::new("cmsbs.mail.imap.ssl = tls").load().config.security, Security::StartTls);
}

#[test]
fn oauth2_lines_without_the_method_are_said() {
    let main = MANUAL.replace("\"oauth2\"", "\"oauth\"").replace("password = \"\"", "password = \"x\"");
    let loaded = Home::with_main(main).load();
    assert!(matches!(loaded.config.authentication, Authentication::Password(_)));
    assert!(warnings(&loaded).iter().any(|text| text.contains("authenticationMethod")));
}

#[test]
fn a_target_folder_that_is_the_inbox_is_refused() {
    for (inbox, kind) in [("INBOX", "spam"), ("INBOX", "error"), ("Bounces", "debug"), ("debug", "error")] {
        let failure = Home::new(&format!(
            "cmsbs.mail.imap.folder.inbox = {inbox}\ncmsbs.mail.imap.folder.{kind} = {}",
            inbox.to_lowercase()
        ))
        .refused();
        assert!(failure.observed.contains(&format!("cmsbs.mail.imap.folder.{kind}: ")), "{failure}");
    }
    let without = MANUAL.replace("cmsbs.mail.imap.folder.error", "# ");
    Home::with_main(format!("{without}cmsbs.mail.imap.folder.inbox = error")).refused();
}

#[test]
fn a_token_url_that_was_broken_by_the_pdf_is_named() {
    for broken in [
        "cmsbs.mail.imap.oauth2.accessTokenUri =\nhttps://login.microsoftonline.com/x/oauth2/v2.0/token",
        "cmsbs.mail.imap.oauth2.accessTokenUri = https://login.microsoftonline.com/\nx/oauth2/v2.0/token",
        "cmsbs.mail.imap.oauth2.accessTokenUri = \"https://login.microsoftonline.com/x/oauth2/\nv2.0/token\"",
    ] {
        let failure = Home::new(broken).refused();
        assert!(failure.observed.contains("continues in line 18"), "{failure}");
    }
}

#[test]
fn a_file_in_utf_16_is_refused_with_how_to_save_it() {
    let little: Vec<_> = format!("\u{feff}{MANUAL}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<_> = format!("\u{feff}{MANUAL}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    for main in [little.clone(), big] {
        let home = Home::with_main(main);
        let failure = from_um_home_in(Some(Language::English), home.0.path(), None, &|_| None).unwrap_err();
        assert!(
            failure
                .observed
                .ends_with("cmsbs.properties: The file is encoded as UTF-16 (\"Unicode\" in Notepad)."),
            "{failure}"
        );
        assert!(failure.remedy.contains("Save it as"), "{failure}");
    }
    let home = Home::new("cmsbs.mail.imap.oauth2.clientSecret$file = secret");
    home.add("secret", &little[..20]);
    assert!(home.refused().observed.contains("secret: The file is encoded as UTF-16"));
}

#[test]
fn every_line_that_is_no_option_is_said_without_its_text() {
    let home = Home::new(
        "cmsbs.mail.imap.password \"Pl4nted\"\ncmsbs.mail.imap.folder.spam : \"junk\"\n# a comment\n\nPl4nted",
    );
    let said = texts(&home.load().findings);
    for line in [17, 18, 21] {
        assert!(
            said.contains(&format!(
                "cmsbs.properties, line {line}: The line does not have the form name = \"value\"."
            )),
            "{said}"
        );
    }
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(!said.contains("Pl4nted"), "{said}");
    let many = Home::new("");
    many.add("cmsbs-conf/conf.d/x.properties", "x\n".repeat(1_000));
    let said = texts(&many.load().findings);
    assert!(
        said.lines().count() < 30 && said.contains("x.properties: The file has 980 more such lines."),
        "{said}"
    );
}

#[test]
fn placeholders_are_refused() {
    let failure = Home::new(
        "cmsbs.mail.imap.oauth2.accessTokenUri = https://login.microsoftonline.com/<tenant_id>/oauth2/v2.0/token\n\
         cmsbs.mail.imap.user = <mailbox_name>",
    )
    .refused();
    assert_eq!(failure.observed.matches("placeholder").count(), 2, "{failure}");
}

#[test]
fn exactly_one_credential_is_configured() {
    let failure = Home::new("cmsbs.mail.imap.oauth2.clientCertificate = client.pem").refused();
    assert!(
        failure.observed.contains("oauth2.clientSecret, cmsbs.mail.imap.oauth2.clientCertificate"),
        "{failure}"
    );
    let none = MANUAL.replace("cmsbs.mail.imap.oauth2.clientSecret", "# ");
    let home = Home::with_main(format!(
        "{none}cmsbs.mail.imap.oauth2.clientCertificate = c.pem\ncmsbs.mail.imap.oauth2.clientCertificatePassword = p"
    ));
    let loaded = home.load();
    let Credential::Certificate { file, password } = &oauth2(&loaded.config).credential else { panic!() };
    assert_eq!(*file, home.0.path().join("c.pem"));
    assert_eq!(password.as_ref().unwrap().expose_secret(), "p");
    let loaded =
        Home::with_main(format!("{none}cmsbs.mail.imap.oauth2.clientAssertionFile = /run/jwt")).load();
    assert!(matches!(&oauth2(&loaded.config).credential, Credential::AssertionFile(_)));
    Home::with_main(none).refused();
}

#[test]
fn a_secret_that_looks_like_its_id_is_said_and_not_shown() {
    let id = "0b6c1f0e-7e57-4d2a-9c55-0123456789ab";
    let loaded = Home::new(&format!("cmsbs.mail.imap.oauth2.clientSecret = {id}")).load();
    assert!(texts(&loaded.findings).contains("the ID of the secret"));
    assert!(!texts(&loaded.findings).contains(id));
}

#[test]
fn a_missing_scope_is_derived_from_the_cloud_or_the_server() {
    let main = MANUAL.replace("cmsbs.mail.imap.oauth2.scope", "# ");
    let scope = |main: &str| oauth2(&Home::with_main(main).load().config).scope.clone();
    assert_eq!(scope(&main), "https://outlook.office365.com/.default");
    let china = main.replace("login.microsoftonline.com", "login.partner.microsoftonline.cn");
    assert_eq!(scope(&china), "https://partner.outlook.cn/.default");
    let other = main
        .replace("login.microsoftonline.com", "sso.example")
        .replace("outlook.office365.com", "imap.example");
    assert_eq!(scope(&other), "https://imap.example/.default");
}

#[test]
fn the_token_request_goes_through_ums_proxy_unless_told_otherwise() {
    let route = |more: &str| oauth2(&Home::new(more).load().config).route.clone();
    let um = "cmsbs.proxy = http://u:Pl4nted@proxy:3128/\n";
    assert!(matches!(route(um), Route::Proxy(Proxy { port: 3128, .. })));
    assert!(matches!(route(&format!("{um}cmsbs.noproxy = x .microsoftonline.com")), Route::Direct));
    assert!(matches!(route(&format!("{um}cmsbs.mail.imap.oauth2.proxy = none")), Route::Direct));
    let own = format!("{um}cmsbs.mail.imap.oauth2.proxy = http://other:8080");
    assert!(matches!(route(&own), Route::Proxy(Proxy { port: 8080, .. })));
    assert!(Home::new(um).load().config.proxy.is_none());
    let loaded = Home::new("cmsbs.proxy = https://u:Pl4nted@proxy").load();
    assert_eq!(warnings(&loaded).len(), 1);
    assert!(!format!("{loaded:?}").contains("Pl4nted"));
}

#[test]
fn a_proxy_knows_where_it_stands() {
    let listener = "cmsbs.bounce.listeners = x\ncmsbs.bouncelistener.x.mail.imap.server = a.example\n\
                    cmsbs.bouncelistener.x.mail.imap.user = x\n";
    for (line, expected) in [
        ("cmsbs.proxy = http://proxy:1", "cmsbs.proxy"),
        ("cmsbs.mail.imap.oauth2.proxy = http://proxy:1", "cmsbs.mail.imap.oauth2.proxy"),
        ("cmsbs.bouncelistener.x.oauth2.proxy = http://proxy:1", "cmsbs.bouncelistener.x.oauth2.proxy"),
    ] {
        let home = Home::new(&format!("{listener}{line}\ncmsbs.mail.imap.proxy = http://proxy:1"));
        let config = from_um_home(home.0.path(), Some("x"), &|_| None).unwrap().config;
        let Route::Proxy(proxy) = &oauth2(&config).route else { panic!("{line}") };
        assert_eq!(proxy.set_by, expected);
        assert_eq!(config.proxy.unwrap().set_by, "cmsbs.mail.imap.proxy");
    }
}

#[test]
fn a_listeners_keys_are_written_where_they_stand() {
    let home = Home::new(
        "cmsbs.bounce.listeners = x\ncmsbs.bouncelistener.x.mail.imap.server = a.example\n\
         cmsbs.bouncelistener.x.mail.imap.user = x\ncmsbs.bouncelistener.x.mail.imap.oauth2.scope = https://a/.default",
    );
    let names = from_um_home(home.0.path(), Some("x"), &|_| None).unwrap().config.names;
    for (key, written) in [
        ("cmsbs.mail.imap.server", "cmsbs.bouncelistener.x.mail.imap.server"),
        ("cmsbs.mail.imap.oauth2.clientSecret", "cmsbs.mail.imap.oauth2.clientSecret"),
        ("cmsbs.mail.imap.oauth2.scope", "cmsbs.bouncelistener.x.mail.imap.oauth2.scope"),
        ("cmsbs.mail.imap.oauth2.clientCertificate", "cmsbs.bouncelistener.x.oauth2.clientCertificate"),
        ("https.proxyHost", "https.proxyHost"),
    ] {
        assert_eq!(names.written(key), written);
    }
    assert_eq!(Home::new("").load().config.names.written(keys::SERVER.name), "cmsbs.mail.imap.server");
}

#[test]
fn own_keys_are_read() {
    let home = Home::new(
        "cmsbs.mail.imap.ssl.caFile = ca.pem\ncmsbs.mail.imap.proxy = http://p:1\ncmsbs.mail.imap.journal = none\n\
         cmsbs.mail.imap.fetch.buffer = 4M\ncmsbs.mail.imap.fetch.pipeline = 1\ncmsbs.mail.imap.fetch.patience = 90s\n\
         cmsbs.mail.imap.trace = true\ncmsbs.mail.imap.oauth2.clientSecret.next = n\n\
         cmsbs.mail.imap.oauth2.clientSecretExpires = 2027-05-31\n",
    );
    let loaded = home.load();
    let config = &loaded.config;
    assert_eq!(config.ca_file, Some(home.0.path().join("ca.pem")));
    assert_eq!(config.proxy.as_ref().unwrap().host, "p");
    assert!(!config.journal && config.trace);
    assert_eq!((config.fetch.buffer, config.fetch.pipeline), (4 << 20, 1));
    assert_eq!(config.fetch.patience, Duration::from_secs(90));
    assert_eq!(oauth2(config).next_secret.as_ref().unwrap().expose_secret(), "n");
    assert_eq!(oauth2(config).secret_expires, NaiveDate::from_ymd_opt(2027, 5, 31));
}

#[test]
fn a_reminder_in_a_wrong_format_is_said_and_stops_nothing() {
    for wrong in ["31.12.2026", "<date>"] {
        let loaded = Home::new(&format!("cmsbs.mail.imap.oauth2.clientSecretExpires = {wrong}")).load();
        assert_eq!(oauth2(&loaded.config).secret_expires, None);
        let said = warnings(&loaded);
        assert!(said[0].contains("line 17: cmsbs.mail.imap.oauth2.clientSecretExpires: "), "{said:?}");
        assert!(said[0].contains(&format!("\"{wrong}\" is not a date.")), "{said:?}");
    }
}

#[test]
fn line_breaks_cannot_get_into_what_is_sent() {
    for key in ["user", "password", "folder.debug", "oauth2.clientId", "server"] {
        let home = Home::new(&format!("cmsbs.mail.imap.{key} = \"a\\u000d\\u000ab\""));
        let failure = home.refused();
        assert!(failure.observed.contains(&format!("cmsbs.mail.imap.{key}: ")), "{failure}");
    }
}

#[test]
fn quotes_from_elsewhere_and_blanks_are_said() {
    let home = Home::with_main(
        [MANUAL.as_bytes(), b"cmsbs.lang = en\ncmsbs.mail.imap.user = \x84a@b\x93\n"].concat(),
    );
    assert!(warnings(&home.load()).iter().any(|text| text.contains("ends with a quotation mark")));
    let loaded = Home::new("cmsbs.mail.imap.user = \" a@b \"").load();
    assert_eq!(loaded.config.user, "a@b");
    assert!(warnings(&loaded).iter().any(|text| text.contains("blanks")));
}

#[test]
fn no_secret_gets_into_an_error_a_finding_or_a_debug_text() {
    let keys: Vec<_> = keys::ALL.iter().filter(|key| key.secret).collect();
    for wreck in ["", "\\u0007", "\"x", " <y> ", "'z'", "\\q", "://@:/%"] {
        let planted: String = keys
            .iter()
            .map(|key| match key.kind {
                keys::Kind::Text => format!("{} = \"Pl4nted{wreck}Pl4nted\"\n", key.name),
                _ => format!("{} = \"http://u:Pl4nted{wreck}Pl4nted@proxy\"\n", key.name),
            })
            .collect();
        for main in
            [format!("{MANUAL}{planted}"), format!("{MANUAL}{planted}{planted}\ncmsbs.mail.imap.port = x")]
        {
            let home = Home::with_main(main);
            let text = match from_um_home(home.0.path(), None, &|_| None) {
                Ok(loaded) => format!("{loaded:?}"),
                Err(failure) => format!("{failure} {failure:?}"),
            };
            assert!(!text.contains("Pl4nted"), "{text}");
        }
    }
}

#[test]
fn what_is_not_set_has_the_line_to_write_and_its_file() {
    let without = |key: &str| MANUAL.replace(&format!("cmsbs.mail.imap.{key} ="), "# =");
    for (key, english, german) in [
        ("server", "The IMAP server.", "Der IMAP-Server."),
        ("user", "The mailbox's primary e-mail address.", "Die primäre E-Mail-Adresse des Postfachs."),
        ("oauth2.clientId", "The application (client) ID of", "Die Anwendungs-ID (Client) der"),
        ("oauth2.clientSecret", "The value of the client secret.", "Der Wert des geheimen Clientschlüssels."),
    ] {
        let home = Home::with_main(without(key));
        let file = home.0.path().join("cmsbs-conf/cmsbs.properties").display().to_string();
        let remedy =
            |language| from_um_home_in(Some(language), home.0.path(), None, &|_| None).unwrap_err().remedy;
        let line = format!("cmsbs.mail.imap.{key} = \"…\" in {file}");
        let english = format!("Write {line}: {english}");
        assert!(remedy(Language::English).starts_with(&english), "{}", remedy(Language::English));
        let german = format!("Tragen Sie {line} ein: {german}");
        assert!(remedy(Language::German).starts_with(&german), "{}", remedy(Language::German));
    }
    let pairs = syntax::parse(without("server").as_bytes()).options;
    let ask =
        |key: &str| pairs.iter().find(|option| option.name == key).map(|option| option.value.to_string());
    let failure = from_settings(&ask, None).unwrap_err();
    assert_eq!(failure.remedy, "Tragen Sie cmsbs.mail.imap.server = \"…\" ein: Der IMAP-Server.");
    let home = Home::with_main(format!("{MANUAL}cmsbs.bounce.listeners = x"));
    let failure = from_um_home_in(Some(Language::English), home.0.path(), Some("x"), &|_| None).unwrap_err();
    assert!(failure.to_string().contains("Write cmsbs.bouncelistener.x.mail.imap.server = "), "{failure}");
}

#[test]
fn an_empty_value_or_file_is_said_to_be_empty() {
    let failure = Home::new("cmsbs.mail.imap.oauth2.clientId = \"\"").refused();
    assert!(failure.observed.contains("line 17: cmsbs.mail.imap.oauth2.clientId: The value is empty."));
    for (line, remedy) in [
        ("cmsbs.mail.imap.oauth2.clientSecret$file = secret", "Write the value to "),
        // No default takes its place, which here would delete mail.
        ("cmsbs.bounce.debug$file = secret", "Write the value to the file"),
    ] {
        let home =
            Home::with_main(format!("{}cmsbs.lang = en\n{line}\n", MANUAL.replace("clientSecret =", "x =")));
        home.add("secret", "\n");
        let failure = home.refused();
        let file = home.0.path().join("secret").display().to_string();
        assert!(failure.observed.contains(&file) && failure.observed.contains("line 18"), "{failure}");
        assert!(
            failure.observed.contains("The file is empty.") && failure.to_string().contains(remedy),
            "{failure}"
        );
    }
    // A password is left empty for OAuth2.
    let home = Home::new("cmsbs.mail.imap.password$file = secret");
    home.add("secret", "");
    home.load();
}

#[test]
fn what_may_stand_in_a_file_that_was_not_read_is_not_said_to_be_missing() {
    let home = Home::with_main("cmsbs.lang = en\ninclude.1 = nowhere\ncmsbs.bounce.listeners = x\n");
    let failure = home.refused();
    assert!(failure.observed.contains("include.1") && failure.observed.lines().count() == 1, "{failure}");
}

#[test]
fn blanks_alone_are_no_value() {
    let failure = Home::new("cmsbs.mail.imap.oauth2.clientId = \" \"").refused();
    assert!(failure.observed.contains("line 17: cmsbs.mail.imap.oauth2.clientId: The value is empty."));
}

#[test]
fn a_client_id_or_tenant_that_cannot_be_one_is_said_of_microsofts_login_hosts() {
    let text = |more: &str| warnings(&Home::new(more).load()).join("\n");
    let uri = |uri: &str| text(&format!("cmsbs.mail.imap.oauth2.accessTokenUri = {uri}\n"));
    assert!(text("cmsbs.mail.imap.oauth2.clientId = universal-messenger\n").contains("not a GUID"));
    let of = |tenant: &str| uri(&format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"));
    assert!(of("my_company").contains("\"my_company\" is neither a GUID nor a domain"));
    assert!(of("Common").contains("all tenants"));
    assert!(!of("example.onmicrosoft.com").contains("tenant"));
    let version_1 = uri("https://login.microsoftonline.com/example.org/oauth2/token");
    assert!(version_1.contains("/oauth2/v2.0/token"), "{version_1}");
    let other = "cmsbs.mail.imap.oauth2.clientId = um\n\
                 cmsbs.mail.imap.oauth2.scope = mail\n\
                 cmsbs.mail.imap.oauth2.accessTokenUri = https://sso.example/realms/x/token\n";
    for said in ["GUID", "tenant", "scope"] {
        assert!(!text(other).contains(&format!("{said} ")), "{}", text(other));
    }
}

#[test]
fn a_scope_that_cannot_work_is_said() {
    let of = |scope: &str| {
        let loaded = Home::new(&format!("cmsbs.mail.imap.oauth2.scope = {scope}")).load();
        let texts = warnings(&loaded).iter().filter(|text| !text.contains("also set")).count();
        (texts, warnings(&loaded).join("\n"))
    };
    assert_eq!(of("https://outlook.office365.com/.default").0, 0);
    assert_eq!(of("https://Outlook.Office.com/.default").0, 0);
    for (scope, said) in [
        ("https://outlook.office365.com/IMAP.AccessAsApp", "/.default"),
        ("https://graph.microsoft.com/.default", "Graph"),
        ("https://partner.outlook.cn/.default", "another cloud"),
        ("https://outlook.office365.us/.default", "another cloud"),
    ] {
        let (count, text) = of(scope);
        assert!(count == 1 && text.contains(said), "{text}");
        assert!(text.contains("Enter https://outlook.office365.com/.default."), "{text}");
    }
}

#[test]
fn a_listener_that_inherits_oauth2_may_have_user_and_password() {
    let home = Home::new(
        "cmsbs.bounce.listeners = x\n\
         cmsbs.bouncelistener.x.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.x.mail.imap.user = x@example.org\n\
         cmsbs.bouncelistener.x.mail.imap.password = Pl4nted\n\
         cmsbs.bouncelistener.x.authenticationMethod = password\n",
    );
    assert!(warnings(&home.load_listener("x")).is_empty());
    home.add("cmsbs-conf/conf.d/x.properties", "cmsbs.bouncelistener.x.oauth2.scope = y");
    assert!(warnings(&home.load_listener("x"))[0].contains("cmsbs.bouncelistener.x.oauth2.scope"));
}

#[test]
fn names_that_nobody_reads_are_said_to_those_whom_they_concern() {
    let home = Home::new(
        "cmsbs.bounce.listeners = x y z\n\
         cmsbs.mail.imap.oauth2.clientsecret = Pl4nted\n\
         cmsbs.bouncelistener.x.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.x.mail.imap.user = x@example.org\n\
         cmsbs.bouncelistener.y.mail.imap.users = y@example.org\n\
         cmsbs.bouncelistener.w.mail.imap.server = imap.example.org\n",
    );
    let loaded = home.load();
    assert_eq!(warnings(&loaded).len(), 4, "{:?}", loaded.findings);
    let text = texts(&loaded.findings);
    for said in [
        "line 18: cmsbs.mail.imap.oauth2.clientsecret: Unknown key",
        "Write cmsbs.bouncelistener.y.mail.imap.user.",
        "line 22: cmsbs.bouncelistener.w.mail.imap.server: There are settings for the listener \"w\"",
        "line 17: cmsbs.bounce.listeners: The listener \"z\" is named, but has no settings",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(!text.contains("Pl4nted"));
    let of_x = home.load_listener("x");
    assert_eq!(warnings(&of_x).len(), 1, "{:?}", of_x.findings);
    let from_environment = map(&[("cmsbs__bouncelistener__z__mail__imap__server", "z.example.org")]);
    let loaded = from_um_home(home.0.path(), None, &from_environment).unwrap();
    assert!(!texts(&loaded.findings).contains("\"z\""));
}

#[test]
fn listeners_that_are_separated_by_commas_have_the_line_to_write() {
    for listeners in ["events, big", "events,big"] {
        let home = Home::new(&format!(
            "cmsbs.bounce.listeners = \"{listeners}\"\n\
             cmsbs.bouncelistener.big.mail.imap.server = imap.example.org\n\
             cmsbs.bouncelistener.big.mail.imap.user = big@example.org\n\
             cmsbs.bouncelistener.events.mail.imap.server = imap.example.org\n\
             cmsbs.bouncelistener.events.mail.imap.user = events@example.org\n"
        ));
        let said =
            r#"Names are separated by blanks, not by commas. Write cmsbs.bounce.listeners = "events big"."#;
        for loaded in [home.load(), home.load_listener("events")] {
            let text = texts(&loaded.findings);
            assert!(text.contains(said) && !text.contains("events,.mail"), "{text}");
        }
    }
    let without_settings = Home::new("cmsbs.bounce.listeners = \"events, big\"");
    let text = texts(&without_settings.load().findings);
    assert_eq!(text.matches("Names are separated by blanks").count(), 1, "{text}");
    assert!(text.contains("Set cmsbs.bouncelistener.big.mail.imap.server"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_secret_that_every_account_can_read_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new(
        "cmsbs.mail.imap.oauth2.clientSecret$file = secret\ncmsbs.mail.imap.oauth2.clientSecret = \"\"\n",
    );
    home.add("secret", "fr0m-a-file");
    let allow = |path: &str, mode| {
        fs::set_permissions(home.0.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    let said = || texts(&home.load().findings).matches("Every account").count();
    allow("secret", 0o644);
    assert_eq!(said(), 0, "nobody else gets into the directory");
    allow("", 0o755);
    assert_eq!(said(), 1);
    allow("secret", 0o640);
    assert_eq!(said(), 0);
}

#[test]
fn a_value_file_is_read_once() {
    let home = Home::new("");
    home.add("secret", "fr0m-a-file");
    let count = std::cell::Cell::new(0);
    let ask = |name: &str| match name {
        "cmsbs.mail.imap.oauth2.clientSecret$file" => {
            count.set(count.get() + 1);
            fs::write(home.0.path().join("secret"), format!("{}", count.get())).unwrap();
            Some("secret".to_owned())
        }
        _ => None,
    };
    let loaded = from_um_home(home.0.path(), None, &ask).unwrap();
    assert_eq!(secret(&loaded.config), "1");
    assert!(count.get() > 1);
}
