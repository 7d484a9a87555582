//! Finds values that can be read, but cannot be meant. Microsoft's rules apply to Microsoft's hosts only.

use std::fs::File;
use std::path::Path;

use chrono::NaiveDate;
use ureq::http::Uri;

use super::keys::{self, Key};
use super::layers::{Layers, Value};
use super::problem::{Problem, Problems, Shown};
use super::reader::Reader;
use super::{Authentication, Credential, MailboxConfig, Security, values};
use crate::message;
use crate::text::is_exchange_online;

/// Finds what the commands that only look at a configuration report beside the mailbox's own problems: `check` and an open
/// mailbox find out by themselves. Findings that reading the values has made already may be among them.
pub(super) fn beyond_reading(
    layers: &Layers,
    listener: Option<&str>,
    config: &MailboxConfig,
    today: NaiveDate,
) -> Problems {
    let mut reader = Reader { layers, listener, problems: Problems::default() };
    if let Some(file) = &config.ca_file {
        reader.check_file(&keys::CA_FILE, file);
    }
    if let Authentication::OAuth2(oauth2) = &config.authentication {
        match &oauth2.credential {
            Credential::ClientSecret(_) => {}
            Credential::Certificate { file, .. } => reader.check_file(&keys::CLIENT_CERTIFICATE, file),
            Credential::AssertionFile(file) => reader.check_file(&keys::CLIENT_ASSERTION_FILE, file),
        }
        if let Some(day) = oauth2.secret_expires.filter(|day| *day < today)
            && let Some(value) = reader.value(&keys::CLIENT_SECRET_EXPIRES)
        {
            reader.warn(&value, message!(ConfigExpired, day = day), message!(ConfigExpiredRemedy));
        }
    }
    reader.problems
}

impl Reader<'_> {
    /// Checks the mail server's name against those that belong to another service of Microsoft's.
    pub(super) fn check_server(&mut self, server: &str, authentication: &Authentication) {
        let Some(value) = self.value(&keys::SERVER) else { return };
        let name = server.to_ascii_lowercase();
        if let Some((_, right)) = OTHER_SERVICES.iter().find(|(other, _)| *other == name) {
            let what = message!(ConfigServerOther, server = server);
            self.warn(&value, what, message!(ConfigServerOtherRemedy, server = *right));
        } else if is_exchange_online(server) && matches!(authentication, Authentication::Password(_)) {
            let key = self.written_name(&keys::AUTHENTICATION_METHOD);
            let remedy = message!(ConfigPasswordAtExchangeRemedy, key = key);
            self.warn(&value, message!(ConfigPasswordAtExchange), remedy);
        }
    }

    pub(super) fn check_user(&mut self, server: &str, authentication: &Authentication) {
        let Some(value) = self.value(&keys::USER) else { return };
        let user = value.text().trim();
        let client_id = match authentication {
            Authentication::OAuth2(oauth2) => Some(oauth2.client_id.as_str()),
            Authentication::Password(_) => None,
        };
        if client_id.is_some_and(|id| id.eq_ignore_ascii_case(user)) {
            self.warn(&value, message!(ConfigUserIsClient), message!(ConfigUserRemedy));
        } else if is_exchange_online(server) && !user.contains('@') && !values::is_placeholder(user) {
            self.warn(&value, message!(ConfigUserNoAddress), message!(ConfigUserRemedy));
        }
    }

    /// Checks tenant, client ID, secret and scope by Microsoft's rules. Nothing is known of another token endpoint.
    pub(super) fn check_registration(&mut self, token_uri: &str, server: Option<&str>) {
        let cloud = Cloud::of_login(token_uri);
        if cloud.is_some() {
            if let Some(value) = self.value(&keys::ACCESS_TOKEN_URI) {
                self.check_tenant(&value, token_uri);
            }
            if let Some(value) = self.value(&keys::CLIENT_ID) {
                self.check_client_id(&value, token_uri);
            }
            for key in [&keys::CLIENT_SECRET, &keys::CLIENT_SECRET_NEXT] {
                if let Some(value) = self.value(key) {
                    self.check_secret(&value);
                }
            }
        }
        if let Some(value) = self.value(&keys::SCOPE) {
            self.check_scope(&value, cloud, server.is_some_and(is_exchange_online));
        }
    }

    /// `https://login.microsoftonline.com/TENANT/oauth2/v2.0/token`
    fn check_tenant(&mut self, value: &Value, token_uri: &str) {
        let path = token_uri.parse::<Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default();
        let (tenant, rest) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        let is_domain = tenant.contains('.') && values::host(tenant).is_ok();
        let shown = Shown(tenant);
        let remedy = message!(ConfigTenantRemedy);
        if SHARED_TENANTS.iter().any(|shared| shared.eq_ignore_ascii_case(tenant)) {
            self.warn(value, message!(ConfigTenantShared, tenant = shown), remedy);
        } else if values::is_placeholder(tenant) {
            self.warn(value, message!(ConfigPlaceholder), remedy);
        } else if !(is_domain || values::looks_like_guid(tenant)) {
            self.warn(value, message!(ConfigTenantOdd, tenant = shown), remedy);
        }
        match rest.trim_end_matches('/') {
            "oauth2/v2.0/token" if !rest.ends_with('/') => {}
            "oauth2/token" => self.warn(value, message!(ConfigTokenUriV1), message!(ConfigTokenUriV1Remedy)),
            _ => self.warn(value, message!(ConfigTokenUriV2), message!(ConfigTenantRemedy)),
        }
    }

    fn check_client_id(&mut self, value: &Value, token_uri: &str) {
        let id = value.text().trim();
        if super::tenant(token_uri).is_some_and(|tenant| tenant.eq_ignore_ascii_case(id)) {
            self.warn(value, message!(ConfigClientIdIsTenant), message!(ConfigClientIdRemedy));
        } else if !values::looks_like_guid(id) && !values::is_placeholder(id) {
            self.warn(value, message!(ConfigClientIdNoGuid), message!(ConfigClientIdRemedy));
        }
    }

    fn check_secret(&mut self, value: &Value) {
        let secret = value.text().trim();
        if values::is_placeholder(secret) {
            // It is reported where the value is read.
        } else if values::looks_like_guid(secret) {
            self.warn(value, message!(ConfigSecretId), message!(ConfigSecretIdRemedy));
        } else if secret.chars().count() < SHORTEST_SECRET {
            self.warn(value, message!(ConfigSecretShort), message!(ConfigSecretShortRemedy));
        }
    }

    fn check_scope(&mut self, value: &Value, cloud: Option<&Cloud>, at_exchange: bool) {
        let scope = value.text().trim();
        let uri = scope.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default().to_ascii_lowercase();
        let mail_host = cloud.or(Cloud::ALL.first()).and_then(|cloud| cloud.mail.first()).unwrap_or(&"");
        let remedy = message!(ConfigScopeRemedy, host = *mail_host);
        let scope_cloud = Cloud::ALL.iter().find(|cloud| cloud.mail.contains(&host.as_str()));
        let is_exchanges = scope_cloud.is_some()
            || EXCHANGE_RESOURCES.contains(&host.as_str())
            || EXCHANGE_RESOURCES.iter().any(|id| scope.starts_with(id));
        if GRAPH_HOSTS.contains(&host.as_str()) {
            self.warn(value, message!(ConfigScopeGraph), remedy);
        } else if let (Some(cloud), Some(scope_cloud)) = (cloud, scope_cloud)
            && cloud.mail != scope_cloud.mail
        {
            let login = cloud.login;
            self.warn(value, message!(ConfigScopeOtherCloud, host = &host, login = login), remedy);
        } else if cloud.is_some() && at_exchange && !is_exchanges {
            self.warn(value, message!(ConfigScopeNotExchange), remedy);
        } else if cloud.is_some() && !scope.ends_with("/.default") {
            self.warn(value, message!(ConfigScopeNotDefault), remedy);
        }
    }

    pub(super) fn check_port(&mut self, port: Option<u16>, security: Option<Security>) {
        let (what, remedy) = match (port, security) {
            (Some(993), Some(Security::StartTls | Security::Plain)) => {
                (message!(ConfigPort993), message!(ConfigPort993Remedy))
            }
            (Some(143), Some(Security::Tls)) => (message!(ConfigPort143), message!(ConfigPort143Remedy)),
            _ => return,
        };
        let origin = self.value(&keys::PORT).map(|value| value.origin);
        let key = self.written_name(&keys::PORT);
        self.problems.warning(Problem { origin, key, what, remedy });
    }

    fn check_file(&mut self, key: &Key, file: &Path) {
        let (Err(error), Some(value)) = (File::open(file), self.value(key)) else { return };
        self.problems.error(Problem {
            origin: Some(value.origin.clone()),
            key: value.name.clone(),
            what: message!(ConfigNoFile, path = file.display(), error = error.to_string()),
            remedy: message!(ConfigNoFileRemedy),
        });
    }
}

/// One of Microsoft's national clouds.
#[derive(Debug)]
pub(super) struct Cloud {
    login: &'static str,
    /// The hosts of the mail service, as a scope names them; the usual one first.
    pub mail: &'static [&'static str],
}

impl Cloud {
    /// <https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud> and
    /// <https://learn.microsoft.com/microsoft-365/enterprise/microsoft-365-endpoints>
    const ALL: [Cloud; 6] = [
        Cloud { login: "login.microsoftonline.com", mail: WORLDWIDE },
        Cloud { login: "login.microsoft.com", mail: WORLDWIDE },
        Cloud { login: "login.windows.net", mail: WORLDWIDE },
        Cloud {
            login: "login.microsoftonline.us",
            mail: &["outlook.office365.us", "outlook-dod.office365.us"],
        },
        Cloud { login: "login.partner.microsoftonline.cn", mail: &["partner.outlook.cn"] },
        Cloud { login: "login.chinacloudapi.cn", mail: &["partner.outlook.cn"] },
    ];

    pub fn of_login(token_uri: &str) -> Option<&'static Cloud> {
        const ALL: &[Cloud] = &Cloud::ALL;
        let uri = token_uri.parse::<Uri>().ok()?;
        let host = uri.host()?;
        ALL.iter().find(|cloud| cloud.login.eq_ignore_ascii_case(host))
    }
}

const WORLDWIDE: &[&str] = &["outlook.office365.com", "outlook.office.com"];
const GRAPH_HOSTS: [&str; 4] = [
    "graph.microsoft.com",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "microsoftgraph.chinacloudapi.cn",
];
/// Other names of Exchange Online as a resource: hosts, and its application ID.
const EXCHANGE_RESOURCES: [&str; 3] =
    ["outlook.com", "ps.outlook.com", "00000002-0000-0ff1-ce00-000000000000"];
/// Microsoft's hosts that are taken for the mail server, and the one that is meant.
const OTHER_SERVICES: [(&str, &str); 9] = [
    ("outlook.office.com", "outlook.office365.com"),
    ("outlook.com", "outlook.office365.com"),
    ("outlook.live.com", "outlook.office365.com"),
    ("smtp.office365.com", "outlook.office365.com"),
    ("login.microsoftonline.com", "outlook.office365.com"),
    ("graph.microsoft.com", "outlook.office365.com"),
    ("login.microsoftonline.us", "outlook.office365.us"),
    ("smtp.office365.us", "outlook.office365.us"),
    ("login.partner.microsoftonline.cn", "partner.outlook.cn"),
];
/// Entra takes these in the tenant's place where a user signs in.
const SHARED_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];
/// Characters. Entra makes secrets of 34 to 44 characters.
const SHORTEST_SECRET: usize = 30;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use crate::config::tests::private_directory;
    use crate::config::{Language, from_settings, report};

    const GOOD: [(&str, &str); 8] = [
        ("server", "outlook.office365.com"),
        ("port", "993"),
        ("ssl", "true"),
        ("user", "bounces@example.com"),
        ("authenticationMethod", "oauth2"),
        (
            "oauth2.accessTokenUri",
            "https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555/oauth2/v2.0/token",
        ),
        ("oauth2.clientId", "66666666-7777-4888-8999-aaaaaaaaaaaa"),
        ("oauth2.clientSecret", "abc8Q~d1f2g3.h4i5j6k7l8m9n0o1p2q3r4s5t6u"),
    ];
    const KEYCLOAK: [(&str, &str); 2] = [
        ("server", "imap.example.com"),
        ("oauth2.accessTokenUri", "https://login.example.com/realms/um/protocol/openid-connect/token"),
    ];

    fn lines(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = GOOD.iter().chain(changes);
        let own = pairs.map(|(key, value)| (format!("cmsbs.mail.imap.{key}"), (*value).to_owned()));
        own.chain([("cmsbs.lang".to_owned(), "en".to_owned())]).collect()
    }

    /// Every finding and error of the mailbox, each with its key.
    fn found(changes: &[(&str, &str)]) -> String {
        let lines = lines(changes);
        let ask = |key: &str| lines.get(key).cloned();
        match from_settings(&ask, None) {
            Ok(loaded) => loaded.findings.iter().map(|finding| format!("{}\n", finding.text)).collect(),
            Err(failure) => failure.observed,
        }
    }

    /// Returns the messages of `config`, and whether it refuses the mailbox.
    fn reported(changes: &[(&str, &str)]) -> (String, bool) {
        let home = private_directory();
        let line = |(key, value): (String, String)| format!("{key} = \"{value}\"\n");
        fs::create_dir(home.path().join("cmsbs-conf")).unwrap();
        let text: String = lines(changes).into_iter().map(line).collect();
        fs::write(home.path().join("cmsbs-conf/cmsbs.properties"), text).unwrap();
        let report = report(home.path(), None, &|_| None, Some(Language::English)).unwrap();
        (report.to_string(), !report.is_usable())
    }

    #[test]
    fn a_sound_set_up_has_no_finding() {
        assert_eq!(found(&[]), "");
        assert_eq!(found(&[("oauth2.scope", "https://outlook.office.com/.default")]), "");
        assert_eq!(found(&[("oauth2.scope", "00000002-0000-0ff1-ce00-000000000000/.default")]), "");
    }

    #[test]
    fn a_value_that_cannot_be_meant_is_found() {
        let uri = |path: &str| format!("https://login.microsoftonline.com/{path}");
        let (v1, common) = (uri("contoso.com/oauth2/token"), uri("common/oauth2/v2.0/token"));
        let (organizations, literal) =
            (uri("Organizations/oauth2/v2.0/token"), uri("tenant_id/oauth2/v2.0/token"));
        let percent = uri("%7Btenant%7D/oauth2/v2.0/token");
        let cases: &[(&str, &str, &str)] = &[
            ("oauth2.accessTokenUri", &v1, "older token endpoint (v1)"),
            ("oauth2.accessTokenUri", &common, "stands for all tenants"),
            ("oauth2.accessTokenUri", &organizations, "stands for all tenants"),
            ("oauth2.accessTokenUri", &literal, "still contains a placeholder"),
            ("oauth2.accessTokenUri", &percent, "still contains a placeholder"),
            ("oauth2.scope", "https://management.azure.com/.default", "another service than Exchange Online"),
            ("oauth2.scope", "api://66666666-7777-4888-8999-aaaaaaaaaaaa/.default", "another service"),
            ("oauth2.scope", "https://graph.microsoft.com/.default", "Microsoft Graph"),
            ("user", "bounces", "not an e-mail address"),
            ("user", "EXAMPLE\\bounces", "not an e-mail address"),
            ("user", "66666666-7777-4888-8999-AAAAAAAAAAAA", "The value is the client ID"),
            ("user", "mailbox_name", "still contains a placeholder"),
            ("oauth2.clientId", "11111111-2222-4333-8444-555555555555", "the same as the tenant ID"),
            ("oauth2.clientId", "client_id", "still contains a placeholder"),
            ("oauth2.clientId", "my app", "not a GUID"),
            (
                "oauth2.clientSecret",
                "11111111-2222-4333-8444-555555555556",
                "looks like the ID of the secret",
            ),
            ("oauth2.clientSecret", "abc8Q~d1f2g3", "shorter than a client secret"),
            ("oauth2.clientSecret", "<client_secret>", "still contains a placeholder"),
            ("oauth2.clientSecret", "your-client-secret", "still contains a placeholder"),
            ("oauth2.clientSecret", "abc8Q~d1f2g3.h4i5j6k7l8m9n0o1p2q3r4s5t6u\"", "a single quotation mark"),
            (
                "oauth2.clientSecret",
                "“abc8Q~d1f2g3.h4i5j6k7l8m9n0o1p2q3r4s5t6u”",
                "begins and ends with a quotation",
            ),
            ("oauth2.clientSecret", "abc8Q~d1f2g3.h4i5j6k7l8m9n0o1p2q3r4s5t6u”", "a single quotation mark"),
            ("oauth2.clientSecret.next", "tooshort", "shorter than a client secret"),
            ("user", "“bounces@example.com", "a single quotation mark"),
            ("server", "outlook.office.com", "not a mail server for IMAP"),
            ("server", "SMTP.office365.com", "not a mail server for IMAP"),
            ("ssl", "tls", "Port 993 requires ssl"),
            ("port", "143", "The port is 143, but ssl"),
        ];
        for (key, value, expected) in cases {
            let found = found(&[(key, value)]);
            assert!(found.contains(expected), "{key} = {value}: {found}");
            assert_eq!(found.lines().count(), 1, "one cause, one finding: {found}");
            assert!(!found.contains("abc8Q"), "{found}");
        }
    }

    #[test]
    fn exchange_online_without_oauth2_is_found() {
        let password = [("authenticationMethod", "password"), ("password", "p4ss")];
        assert!(found(&password).contains("does not accept a login with user and password"));
        let elsewhere = [("server", "imap.example.com"), password[0], password[1]];
        assert!(!found(&elsewhere).contains("does not accept"));
    }

    #[test]
    fn microsofts_rules_do_not_apply_to_other_hosts() {
        let other = [
            ("user", "bounces"),
            ("oauth2.clientId", "um"),
            ("oauth2.clientSecret", "11111111-2222-4333-8444-555555555556"),
            ("oauth2.scope", "imap"),
        ];
        assert_eq!(found(&[&KEYCLOAK[..], &other[..]].concat()), "");
    }

    #[test]
    fn config_refuses_a_mailbox_whose_files_are_not_there() {
        for key in ["ssl.caFile", "oauth2.clientCertificate", "oauth2.clientAssertionFile"] {
            let secret = if key == "ssl.caFile" { "abc8Q~d1f2g3.h4i5j6k7l8m9n0o1p2q3r4s5t6u" } else { "" };
            let (text, refused) = reported(&[("oauth2.clientSecret", secret), (key, "nowhere.pem")]);
            assert!(refused && text.contains("nowhere.pem cannot be read"), "{text}");
        }
    }

    #[test]
    fn config_reports_a_secret_whose_last_day_has_passed() {
        let (text, refused) = reported(&[("oauth2.clientSecretExpires", "2001-05-31")]);
        assert!(!refused && text.contains("expired on 2001-05-31"), "{text}");
        let (text, _) = reported(&[("oauth2.clientSecretExpires", "2999-05-31")]);
        assert!(!text.contains("expired"), "{text}");
    }
}
