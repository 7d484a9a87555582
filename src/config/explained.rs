//! Explains the failures of a mailbox with the values of its configuration.

use super::keys::Names;
use super::{Authentication, Language, MailboxConfig, Security};
use crate::failure::Failure;
use crate::text::{Circumstances, KeyNames, explain};

/// Explains a failure of a mailbox that was never opened.
pub fn explain_unopened(failure: Failure, config: &MailboxConfig) -> Failure {
    let (language, names, values) = (config.language, &config.names, &mailbox_values(config));
    explain(failure, &Circumstances { language, names, worked_before: false, values })
}

/// Explains a failure where there is no configuration.
pub fn explain_unconfigured(failure: Failure, language: Language, names: &Names) -> Failure {
    explain(failure, &Circumstances { language, names, worked_before: false, values: &|_| None })
}

/// Gives the values of an explanation's holes from a mailbox's configuration.
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

impl KeyNames for Names {
    fn written(&self, key: &str) -> String {
        self.written(key)
    }
}

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
mod tests {
    use super::super::keys;
    use super::*;
    use crate::text::named_keys;

    #[test]
    fn the_keys_that_explanations_name_are_those_of_the_table() {
        assert_eq!(named_keys(), [keys::SERVER.name, keys::PORT.name, keys::ACCESS_TOKEN_URI.name]);
    }

    #[test]
    fn host_and_tenant_are_read_from_the_token_url() {
        let url = "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token";
        assert_eq!(host_and_port(url), Some(("login.microsoftonline.com", "443")));
        assert_eq!(tenant(url), Some("contoso.com"));
        assert_eq!(host_and_port("https://u:s3cr3t@localhost:21443/token"), Some(("localhost", "21443")));
        assert_eq!(tenant("https://localhost:21443/token"), None);
        assert_eq!(host_and_port("https://[::1]:8443/x"), Some(("[::1]", "8443")));
        assert_eq!(host_and_port("https://[::1]/x"), Some(("[::1]", "443")));
        assert_eq!((host_and_port("no url"), tenant("no url")), (None, None));
    }
}
