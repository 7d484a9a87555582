//! `setup`: the whole set-up of Microsoft's side for a mailbox, with its own values filled in.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use um_imap_oauth2::config::tenant;
use um_imap_oauth2::config::{
    self, Authentication, Language, MailboxReport, Setting, Severity, Source, keys,
};
use um_imap_oauth2::log::Log;
use um_imap_oauth2::message;
use um_imap_oauth2::net::{Anchors, Cancel, Deadline, Trust};
use um_imap_oauth2::text::{Arg, Layout, Message};
use um_imap_oauth2::token;

use super::{
    Exit, OneMailbox, by_proxy_of_environment, environment, fail, finish, say, terminal, this_command,
    unconfigured,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub of: OneMailbox,
}

/// Warns where the properties cannot be read at all.
pub fn run(arguments: &Arguments, language: Language) -> Exit {
    let listener = arguments.of.listener.as_deref();
    let report = config::report(&arguments.of.um_home, listener, &environment, Some(language));
    let (settings, exit) = match report {
        Ok(report) => {
            let mailbox = report.mailboxes.into_iter().next();
            let mut exit = Exit::Well;
            for problem in mailbox.iter().flat_map(problems) {
                say(problem);
                exit = Exit::Warnings;
            }
            (mailbox.map(|MailboxReport { settings, .. }| settings).unwrap_or_default(), exit)
        }
        Err(failure) => {
            fail(&unconfigured(failure, listener, language), language);
            (Vec::new(), Exit::Warnings)
        }
    };
    let um_home = &arguments.of.um_home;
    let object_id = object_id(arguments, language);
    let text = Setup { settings, language, listener, um_home, object_id }.text();
    let width = terminal::out().width.map_or(WIDEST, |width| width.min(WIDEST));
    finish(Ok(Layout { width: Some(width), colour: false }.page(&text)), exit, language)
}

/// Asks for an access token, which tells the Object ID of the enterprise application. That can fail for any reason before the
/// set-up is complete; then the page says where to look the ID up.
fn object_id(arguments: &Arguments, language: Language) -> Option<String> {
    let listener = arguments.of.listener.as_deref();
    let loaded =
        config::from_um_home_in(Some(language), &arguments.of.um_home, listener, &environment).ok()?;
    let config = loaded.config;
    let Authentication::OAuth2(oauth2) = &config.authentication else { return None };
    let oauth2 = by_proxy_of_environment(oauth2, &environment).ok()?;
    let trust = Trust::new(Anchors::platform(), config.ca_file.as_deref()).ok()?;
    let (deadline, cancel, log) = (Deadline::after(LIMIT), Cancel::default(), Log::default());
    token::ask_once(&oauth2, &config.names, &trust, deadline, &cancel, &log).token.ok()?.claims()?.object_id
}

/// The problems that `config` finds with values that are set. A missing value is marked in the text.
fn problems(mailbox: &MailboxReport) -> impl Iterator<Item = &str> {
    let is_set = |key: &str| {
        let names = |setting: &Setting| setting.key == key || setting.set_as.as_deref() == Some(key);
        let of_key = mailbox.settings.iter().find(|setting| names(setting));
        of_key.is_none_or(|setting| {
            let value = setting.value.as_deref().unwrap_or_default();
            setting.source != Source::Unset && !config::is_placeholder(value)
        })
    };
    let errors = mailbox.errors.iter().map(|error| (error.key.as_str(), error.text.as_str()));
    let warnings = mailbox.findings.iter().filter(|finding| finding.severity == Severity::Warning);
    let warnings = warnings.map(|finding| (finding.key.as_str(), finding.text.as_str()));
    errors.chain(warnings).filter(move |(key, _)| is_set(key)).map(|(_, text)| text)
}

struct Setup<'a> {
    settings: Vec<Setting>,
    language: Language,
    listener: Option<&'a str>,
    um_home: &'a Path,
    /// Of the enterprise application.
    object_id: Option<String>,
}

impl Setup<'_> {
    fn text(&self) -> String {
        let or_missing = |value: Option<String>, name: &str| value.unwrap_or_else(|| format!("<{name}>"));
        let user = or_missing(self.value(&keys::USER), "mailbox_name");
        let cloud = self.cloud();
        let text = message!(
            Setup,
            mailbox_name = &user,
            user = &user,
            client_id = or_missing(self.value(&keys::CLIENT_ID), "client_id"),
            client_id_key = self.written(&keys::CLIENT_ID),
            token_uri_key = self.written(&keys::ACCESS_TOKEN_URI),
            secret_key = self.written(&keys::CLIENT_SECRET),
            secret_expires_key = self.written(&keys::CLIENT_SECRET_EXPIRES),
            certificate_key = self.written(&keys::CLIENT_CERTIFICATE),
            portal = message!(SetupPortal, url = cloud.portal),
            environment = cloud.environment,
            values = Arg::lines(&self.values()),
            credential = self.credential(),
            enterprise = match &self.object_id {
                Some(id) => message!(SetupEnterpriseKnown, value = id),
                None => message!(SetupEnterprise),
            },
            properties = Arg::lines(&self.properties()),
            check = this_command("check", None, self.um_home, self.listener),
        );
        let text = text.in_language(self.language) + "\n";
        match &self.object_id {
            Some(id) => text.replace("'ENTERPRISE-OBJECT-ID'", id),
            None => text,
        }
    }

    /// Where the five values of the set-up stand.
    fn values(&self) -> String {
        let said = |message: Message| message.in_language(self.language);
        let mut lines = String::new();
        let mut line = |name: &str, value: Option<String>, key: &keys::Key, step: u32| {
            let place = self.setting(key).map(|setting| setting.place.clone()).unwrap_or_default();
            let told = said(match value {
                Some(value) => message!(SetupValue, value = value, place = place),
                None => message!(SetupValueMissing, step = step, key = self.written(key)),
            });
            let _ = writeln!(lines, "    {name:<22} {told}");
        };
        line("tenant_id", self.tenant(), &keys::ACCESS_TOKEN_URI, 1);
        line("client_id", self.value(&keys::CLIENT_ID), &keys::CLIENT_ID, 1);
        let is_set = |key| self.value(key).map(|_| said(message!(SetupValueSet)));
        match self.credential_key() {
            None => line("client_secret", None, &keys::CLIENT_SECRET, 3),
            Some(key) if key.secret => line("client_secret", is_set(key), key, 3),
            Some(key) => line("client_certificate", self.value(key), key, 3),
        }
        line("mailbox_name", self.value(&keys::USER), &keys::USER, 6);
        let object_id = said(match &self.object_id {
            Some(id) => message!(SetupValueToken, value = id),
            None => message!(SetupValueElsewhere, step = 4_u32),
        });
        let _ = write!(lines, "    {:<22} {object_id}", "enterprise_object_id");
        lines
    }

    fn credential(&self) -> Message {
        match self.credential_key() {
            Some(key) => message!(SetupCredentialSet, key = self.written(key)),
            None => message!(SetupCredential),
        }
    }

    /// The credential that is configured, of those that a property holds or names.
    fn credential_key(&self) -> Option<&'static keys::Key> {
        [&keys::CLIENT_CERTIFICATE, &keys::CLIENT_ASSERTION_FILE, &keys::CLIENT_SECRET]
            .into_iter()
            .find(|key| self.value(key).is_some())
    }

    /// The OAuth2 block of the vendor's manual: for Microsoft's hosts what is known to work there, for others what is configured.
    fn properties(&self) -> String {
        let cloud = self.cloud();
        let or = |value: Option<String>, missing: &str| value.unwrap_or_else(|| missing.to_owned());
        let tenant = or(self.tenant(), "<tenant_id>");
        // A secret is not shown: its line stays where it is.
        let credential = match self.credential_key() {
            Some(key) if !key.secret => Some((key, or(self.value(key), ""))),
            Some(_) => None,
            None => Some((&keys::CLIENT_SECRET, "<client_secret>".to_owned())),
        };
        let elsewhere = |key| self.configured(key).filter(|_| !self.is_microsofts());
        // Without TLS no access token is sent.
        let ssl = elsewhere(&keys::SSL).filter(|ssl| !ssl.eq_ignore_ascii_case("false"));
        let port =
            if ssl.as_ref().is_some_and(|ssl| ssl.eq_ignore_ascii_case("tls")) { "143" } else { "993" };
        let lines = vec![
            (&keys::SERVER, or(self.value(&keys::SERVER), cloud.server)),
            (&keys::PORT, or(elsewhere(&keys::PORT).filter(|_| ssl.is_some()), port)),
            (&keys::SSL, or(ssl, "true")),
            (&keys::USER, or(self.value(&keys::USER), "<mailbox_name>")),
            (&keys::PASSWORD, String::new()),
            (&keys::AUTHENTICATION_METHOD, "oauth2".to_owned()),
            (
                &keys::ACCESS_TOKEN_URI,
                or(
                    elsewhere(&keys::ACCESS_TOKEN_URI),
                    &format!("https://{}/{tenant}/oauth2/v2.0/token", cloud.login),
                ),
            ),
            (&keys::CLIENT_ID, or(self.value(&keys::CLIENT_ID), "<client_id>")),
            (&keys::SCOPE, or(elsewhere(&keys::SCOPE), &format!("https://{}/.default", cloud.server))),
            (&keys::GRANT_TYPE, "client_credentials".to_owned()),
        ];
        let line = |(key, value): (&keys::Key, String)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            format!("    {} = \"{value}\"", self.written(key))
        };
        lines.into_iter().chain(credential).map(line).collect::<Vec<_>>().join("\n")
    }

    fn tenant(&self) -> Option<String> {
        let uri = self.setting(&keys::ACCESS_TOKEN_URI)?.value.as_deref()?;
        tenant(uri).filter(|tenant| !config::is_placeholder(tenant)).map(str::to_owned)
    }

    fn cloud(&self) -> &'static Cloud {
        self.configured_cloud().unwrap_or(&CLOUDS[0])
    }

    fn configured_cloud(&self) -> Option<&'static Cloud> {
        let uri = self.value(&keys::ACCESS_TOKEN_URI).unwrap_or_default().to_ascii_lowercase();
        CLOUDS.iter().find(|cloud| uri.contains(&format!("//{}/", cloud.login)))
    }

    /// Whether no host is configured that is another's.
    fn is_microsofts(&self) -> bool {
        let server = self.value(&keys::SERVER);
        let is = |server: &str| CLOUDS.iter().any(|cloud| cloud.server.eq_ignore_ascii_case(server));
        server.as_deref().is_none_or(is)
            && (self.configured_cloud().is_some() || self.value(&keys::ACCESS_TOKEN_URI).is_none())
    }

    /// Returns the value if it is set, and not a default.
    fn configured(&self, key: &keys::Key) -> Option<String> {
        let source = self.setting(key)?.source;
        let is_set = !matches!(source, Source::Default | Source::Derived);
        self.value(key).filter(|_| is_set)
    }

    /// Returns the value that is set, or nothing. A secret is masked. A placeholder, such as one of the manual's in angle brackets, counts
    /// as not set.
    fn value(&self, key: &keys::Key) -> Option<String> {
        let setting = self.setting(key)?;
        let value = setting.value.clone()?;
        let is_masked = key.secret && setting.source != Source::Unset;
        let is_meant = is_masked || !(value.contains(['<', '>']) || config::is_placeholder(&value));
        (!value.trim().is_empty() && is_meant).then_some(value)
    }

    fn setting(&self, key: &keys::Key) -> Option<&Setting> {
        let name = self.written(key);
        self.settings.iter().find(|setting| setting.key == name)
    }

    fn written(&self, key: &keys::Key) -> String {
        key.names(self.listener).into_iter().next().unwrap_or_else(|| key.name.to_owned())
    }
}

/// Hosts and places of one of Microsoft's clouds ("National clouds", "Connect to Exchange Online PowerShell").
struct Cloud {
    login: &'static str,
    server: &'static str,
    portal: &'static str,
    /// A parameter of Connect-ExchangeOnline.
    environment: &'static str,
}

/// The first one is that of most tenants.
static CLOUDS: [Cloud; 3] = [
    Cloud {
        login: "login.microsoftonline.com",
        server: "outlook.office365.com",
        portal: "https://entra.microsoft.com",
        environment: "",
    },
    Cloud {
        login: "login.microsoftonline.us",
        server: "outlook.office365.us",
        portal: "https://entra.microsoft.us",
        environment: " -ExchangeEnvironmentName O365USGovGCCHigh",
    },
    Cloud {
        login: "login.partner.microsoftonline.cn",
        server: "partner.outlook.cn",
        portal: "https://portal.azure.cn",
        environment: " -ExchangeEnvironmentName O365China",
    },
];

/// The page is of use without a token, too.
const LIMIT: Duration = Duration::from_secs(5);

/// Columns beyond which prose is hard to read.
const WIDEST: usize = 100;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(properties: &str, listener: Option<&str>, language: Language) -> String {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("cmsbs-conf")).unwrap();
        fs::write(home.path().join("cmsbs-conf/cmsbs.properties"), properties).unwrap();
        let report = config::report(home.path(), listener, &|_| None, Some(language)).unwrap();
        let settings = report.mailboxes.into_iter().next().unwrap().settings;
        Setup { settings, language, listener, um_home: Path::new("/opt/um"), object_id: None }.text()
    }

    #[test]
    fn nothing_but_the_properties_is_needed_to_fill_it_in() {
        let properties = "cmsbs.mail.imap.user = bounces@example.com\n\
            cmsbs.mail.imap.authenticationMethod = oauth2\n\
            cmsbs.mail.imap.oauth2.clientId = c11e47\n\
            cmsbs.mail.imap.oauth2.clientSecret = Pl4nted\n\
            cmsbs.mail.imap.oauth2.accessTokenUri = https://login.microsoftonline.com/t3nant/oauth2/v2.0/token\n";
        for language in [Language::English, Language::German] {
            let text = text(properties, None, language);
            for command in [
                "Connect-ExchangeOnline\n",
                "New-ServicePrincipal -AppId c11e47 -ObjectId 'ENTERPRISE-OBJECT-ID' ",
                "Add-MailboxPermission -Identity \"bounces@example.com\" -User 'ENTERPRISE-OBJECT-ID' -AccessRights FullAccess\n",
                "Set-CASMailbox \"bounces@example.com\" -ImapEnabled $true\n",
                "-ServiceId",
                "openssl req -x509",
                "    cmsbs.mail.imap.oauth2.clientId = \"c11e47\"\n",
                "    cmsbs.mail.imap.oauth2.grantType = \"client_credentials\"\n\n",
            ] {
                assert!(text.contains(command), "{command} is not in {text}");
            }
            assert!(text.ends_with("    um-imap-oauth2 check --um-home /opt/um\n"), "{text}");
            assert!(!text.contains("Pl4nted") && !text.contains(['{', '}']), "{text}");
            for known in ["<tenant_id>", "<client_id>", "<mailbox_name>", "MISSING", "FEHLT"] {
                assert!(!text.contains(known), "{known} in {text}");
            }
        }
    }

    #[test]
    fn a_known_client_id_makes_no_line_longer_than_the_rest() {
        let properties = "cmsbs.mail.imap.oauth2.clientId = 5a7d1c3e-0b42-4f6e-9c11-2d8e6f304a10\n";
        for language in [Language::English, Language::German] {
            let text = text(properties, None, language);
            let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(widest.chars().count() <= 145, "{widest}");
        }
    }

    #[test]
    fn other_hosts_keep_what_is_configured_and_microsofts_get_what_works_there() {
        let block = |properties: &str| {
            let text = text(properties, None, Language::English);
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix("cmsbs.mail.imap."));
            let values = lines.filter_map(|line| line.split_once(" = "));
            let value = |key: &str| {
                let found = values.clone().find(|(name, _)| *name == key);
                found.map(|(_, value)| value.trim_matches('"').to_owned()).unwrap_or_default()
            };
            ["port", "ssl", "oauth2.accessTokenUri", "oauth2.scope"].map(value)
        };
        let elsewhere = "cmsbs.mail.imap.server = imap.example.com\n\
            cmsbs.mail.imap.oauth2.accessTokenUri = https://login.example.com/token\n\
            cmsbs.mail.imap.oauth2.scope = imap\n";
        let configured = |connection: &str| block(&format!("{elsewhere}{connection}"));
        let token = ["https://login.example.com/token", "imap"];
        let expected = |port, ssl| [port, ssl, token[0], token[1]];
        assert_eq!(configured(""), expected("993", "true"));
        assert_eq!(
            configured("cmsbs.mail.imap.port = 143\ncmsbs.mail.imap.ssl = false\n"),
            expected("993", "true")
        );
        assert_eq!(configured("cmsbs.mail.imap.ssl = tls\n"), expected("143", "tls"));
        assert_eq!(
            configured("cmsbs.mail.imap.port = 1993\ncmsbs.mail.imap.ssl = true\n"),
            expected("1993", "true")
        );
        let microsofts = [
            "993",
            "true",
            "https://login.microsoftonline.com/t/oauth2/v2.0/token",
            "https://outlook.office365.com/.default",
        ];
        assert_eq!(
            block(
                "cmsbs.mail.imap.server = Outlook.office365.com\n\
                 cmsbs.mail.imap.port = 143\n\
                 cmsbs.mail.imap.oauth2.accessTokenUri = https://login.microsoftonline.com/t/oauth2/token\n"
            ),
            microsofts
        );
    }

    #[test]
    fn an_object_id_from_the_token_stands_in_the_commands() {
        let id = "c2f4e6a8-1357-4b9d-8ace-02468ace1357";
        for language in [Language::English, Language::German] {
            let object_id = Some(id.to_owned());
            let um_home = Path::new("/opt/um");
            let text = Setup { settings: Vec::new(), language, listener: None, um_home, object_id }.text();
            assert!(text.contains(&format!("-ObjectId {id} ")), "{text}");
            assert!(!text.contains("ENTERPRISE-OBJECT-ID"), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_marked_even_where_everything_is() {
        for (language, mark) in [(Language::English, "MISSING"), (Language::German, "FEHLT")] {
            let text = text("cmsbs.mail.imap.oauth2.clientId = <client_id>\n", None, language);
            assert_eq!(text.matches(mark).count(), 4, "{text}");
            for missing in ["microsoftonline.com/<tenant_id>/", "-AppId <client_id>", "\"<mailbox_name>\""] {
                assert!(text.contains(missing), "{missing} is not in {text}");
            }
            let nothing = Setup {
                settings: Vec::new(),
                language,
                listener: None,
                um_home: Path::new("/o m"),
                object_id: None,
            }
            .text();
            assert_eq!(nothing.matches(mark).count(), 4, "{nothing}");
            assert!(nothing.ends_with("check --um-home '/o m'\n"), "{nothing}");
        }
    }

    #[test]
    fn a_listener_has_its_own_mailbox_and_keys() {
        let properties = "cmsbs.bounce.listeners = x\n\
            cmsbs.mail.imap.user = bounces@example.com\n\
            cmsbs.mail.imap.oauth2.clientCertificate = /etc/um/bounces.pem\n\
            cmsbs.bouncelistener.x.mail.imap.user = x@example.com\n\
            cmsbs.mail.imap.oauth2.accessTokenUri = https://login.microsoftonline.us/t/oauth2/v2.0/token\n";
        let text = text(properties, Some("x"), Language::English);
        assert!(text.contains("Set-CASMailbox \"x@example.com\""), "{text}");
        assert!(!text.contains("bounces@example.com"), "{text}");
        assert!(
            text.contains("cmsbs.bouncelistener.x.oauth2.clientCertificate = \"/etc/um/bounces.pem\""),
            "{text}"
        );
        assert!(text.contains("Connect-ExchangeOnline -ExchangeEnvironmentName O365USGovGCCHigh"), "{text}");
        assert!(text.contains("\"https://outlook.office365.us/.default\""), "{text}");
        assert!(text.ends_with("--listener x\n"), "{text}");
    }
}
