//! A mailbox's configuration, read from files as an administrator writes them.

mod files;
mod listeners;

mod refusals;
mod settings;
mod token_request;

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

/// Returns the settings function of a UM with this main file.
fn settings_of(main: &str) -> impl Fn(&str) -> Option<String> {
    let options = syntax::parse(main.as_bytes()).options;
    move |key| options.iter().find(|option| option.name == key).map(|option| option.value.to_string())
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
fn quotes_from_elsewhere_and_blanks_are_said() {
    let home = Home::with_main(
        [MANUAL.as_bytes(), b"cmsbs.lang = en\ncmsbs.mail.imap.user = \x84a@b\x93\n"].concat(),
    );
    assert!(warnings(&home.load()).iter().any(|text| text.contains("ends with a quotation mark")));
    let loaded = Home::new("cmsbs.mail.imap.user = \" a@b \"").load();
    assert_eq!(loaded.config.user, "a@b");
    assert!(warnings(&loaded).iter().any(|text| text.contains("blanks")));
}
