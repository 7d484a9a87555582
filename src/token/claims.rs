//! What an access token says of itself. It is not verified, and only explains.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;

use super::written;
use crate::config::OAuth2;
use crate::config::keys::{self, Names};
use crate::failure::{Failure, Kind, Step};
use crate::message;
use crate::sanitize;

/// The claims of an access token that is a JWT (RFC 9068 §2.2, "Access tokens in the Microsoft identity platform"); what a
/// token does not have is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    pub audience: Vec<String>,
    /// The application permissions: `IMAP.AccessAsApp`.
    pub roles: Vec<String>,
    pub tenant: Option<String>,
    pub application: Option<String>,
    /// The Object ID of the application's service principal in this tenant: in Entra's portal, of the enterprise application.
    /// Only where it is a GUID, since it goes into commands ("Access token claims reference", `oid`).
    pub object_id: Option<String>,
    pub valid_from: Option<DateTime<Utc>>,
    pub valid_until: Option<DateTime<Utc>>,
}

impl Claims {
    /// None for an opaque token.
    pub(super) fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let json = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?);
        let claims: Value = serde_json::from_slice(&json).ok().filter(Value::is_object)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(plain);
        let texts = |name: &str| match claims.get(name) {
            Some(Value::String(one)) => vec![plain(one)],
            Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).map(plain).collect(),
            _ => Vec::new(),
        };
        let time = |name: &str| {
            let seconds = claims.get(name)?.as_f64()?;
            DateTime::from_timestamp_millis((seconds * 1000.0) as i64)
        };
        Some(Self {
            audience: texts("aud"),
            roles: texts("roles"),
            tenant: text("tid"),
            // Entra's first and second version, and RFC 9068.
            application: ["appid", "azp", "client_id"].into_iter().find_map(text),
            object_id: text("oid").filter(|id| is_guid(id)),
            valid_from: time("nbf").or_else(|| time("iat")),
            valid_until: time("exp"),
        })
    }

    /// Why IMAP will refuse this token, as far as it can be seen: it is for Microsoft Graph, or has no permission for IMAP.
    ///
    /// `names` are those of the mailbox's keys. Roles are looked for only where the scope is one of Entra's (`…/.default`): other endpoints have their own ways.
    pub fn problem(&self, oauth2: &OAuth2, names: &Names) -> Option<Failure> {
        self.problem_of(oauth2).map(|problem| written(names, problem))
    }

    fn problem_of(&self, oauth2: &OAuth2) -> Option<Failure> {
        let is_graph = |audience: &&String| {
            GRAPH.iter().any(|graph| audience.trim_end_matches('/').eq_ignore_ascii_case(graph))
        };
        if let Some(graph) = self.audience.iter().find(is_graph) {
            let said = message!(TokenForGraph, audience = graph);
            return Some(Failure::own(Step::Token, Kind::Token, said).key(keys::SCOPE.name));
        }
        if oauth2.scope.ends_with("/.default") && !self.roles.iter().any(|role| role == PERMISSION) {
            let said = match self.roles.is_empty() {
                true => message!(TokenWithoutRole, role = PERMISSION),
                false => {
                    let roles = plain(&self.roles.join(", "));
                    message!(TokenWithOtherRoles, role = PERMISSION, roles = roles)
                }
            };
            return Some(Failure::own(Step::Token, Kind::Token, said).key(keys::CLIENT_ID.name));
        }
        None
    }
}

fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && text.chars().all(|char| char == '-' || char.is_ascii_hexdigit())
}

fn plain(text: &str) -> String {
    sanitize::line(text).chars().take(SHOWN).collect()
}

const PERMISSION: &str = "IMAP.AccessAsApp";
/// Microsoft Graph, by its address and by its application ID.
const GRAPH: [&str; 2] = ["https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"];
/// Characters of a claim; none is as long.
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credential, Route};

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    fn problem(claims: &str, scope: &str) -> Option<(String, String)> {
        let oauth2 = OAuth2 {
            token_uri: "https://login.example/token".into(),
            client_id: "a client".into(),
            credential: Credential::ClientSecret("".into()),
            scope: scope.into(),
            next_secret: None,
            secret_expires: None,
            route: Route::Unset,
            debug: false,
        };
        let failure = Claims::of(&token(claims)).unwrap().problem(&oauth2, &Names::default())?;
        Some((failure.observed, failure.key.unwrap()))
    }

    #[test]
    fn a_tokens_claims_are_read() {
        let claims = r#"{"aud":"https://outlook.office365.com","roles":["IMAP.AccessAsApp"],"tid":"a tenant","appid":"an\u001bapp",
            "oid":"3f0c9a52-71de-4b8e-a6d4-0c5e92b7d81f",
            "iat":1700000000,"nbf":1700000000.5,"exp":1700003599}"#;
        let claims = Claims::of(&token(claims)).unwrap();
        assert_eq!(claims.audience, ["https://outlook.office365.com"]);
        assert_eq!(claims.roles, ["IMAP.AccessAsApp"]);
        assert_eq!(claims.tenant.as_deref(), Some("a tenant"));
        assert_eq!(claims.application.as_deref(), Some(r"an\u{1b}app"));
        assert_eq!(claims.object_id.as_deref(), Some("3f0c9a52-71de-4b8e-a6d4-0c5e92b7d81f"));
        assert_eq!(claims.valid_from.unwrap().timestamp_millis(), 1_700_000_000_500);
        assert_eq!(claims.valid_until.unwrap().timestamp(), 1_700_003_599);
        assert_eq!(Claims::of(&token("{}")), Some(Claims::default()));
        let odd = r#"{"aud":7,"oid":"'; Remove-Mailbox x; '","roles":{"a":1},"exp":1e300,"nbf":"soon"}"#;
        assert_eq!(Claims::of(&token(odd)), Some(Claims { valid_until: None, ..Claims::default() }));
    }

    #[test]
    fn an_opaque_token_says_nothing() {
        for opaque in ["", "opaque", "a.b", "a.!!.c", "e30.W10.c2ln", "e30.e30.c.d.e", "e30.bm8ganNvbg.x"] {
            assert_eq!(Claims::of(opaque), None, "{opaque}");
        }
    }

    #[test]
    fn a_token_that_imap_will_refuse_is_recognised() {
        let outlook = "https://outlook.office365.com/.default";
        let good = r#"{"aud":"https://outlook.office365.com","roles":["IMAP.AccessAsApp","Mail.Read"]}"#;
        assert_eq!(problem(good, outlook), None);
        let graph = r#"{"aud":["00000003-0000-0000-c000-000000000000"],"roles":["IMAP.AccessAsApp"]}"#;
        let (observed, key) = problem(graph, "https://graph.microsoft.com/.default").unwrap();
        assert_eq!(observed, "the access token is for 00000003-0000-0000-c000-000000000000");
        assert_eq!(key, "cmsbs.mail.imap.oauth2.scope");
        let (observed, key) = problem(r#"{"aud":"https://graph.microsoft.com/"}"#, outlook).unwrap();
        assert_eq!(observed, "the access token is for https://graph.microsoft.com/");
        assert_eq!(key, "cmsbs.mail.imap.oauth2.scope");
        let (observed, key) = problem("{}", outlook).unwrap();
        assert_eq!(observed, "the access token has no role IMAP.AccessAsApp");
        assert_eq!(key, "cmsbs.mail.imap.oauth2.clientId");
        let (observed, _) = problem(r#"{"roles":["Mail.Read","POP.AccessAsApp"]}"#, outlook).unwrap();
        assert_eq!(
            observed,
            "the access token has no role IMAP.AccessAsApp, only Mail.Read, POP.AccessAsApp"
        );
        assert_eq!(problem(r#"{"aud":"mail.example"}"#, "imap"), None, "another provider's");
    }
}
