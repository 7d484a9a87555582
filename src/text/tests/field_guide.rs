//! The answers of Entra ID and Exchange Online that the catalogue has to recognise.

use super::*;

/// What the server sends, the step at which it does, whether it ever worked → the entry, and whether a retry can help
/// (`None`: as the room says).
const FIELD_GUIDE: &[(Step, &str, bool, &str, Option<Retry>)] = &[
    (
        Step::Token,
        r#"HTTP 401 {"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app 'x'. Trace ID: a Correlation ID: b Timestamp: 2025-01-01 03:00:00Z","error_codes":[7000215],"timestamp":"2025-01-01 03:00:00Z","trace_id":"a","correlation_id":"b"}"#,
        false,
        "entra-secret-wrong",
        None,
    ),
    (
        Step::Token,
        "HTTP 401 invalid_client\nAADSTS7000222: The provided client secret keys for app 'x' are expired.\r\nTrace ID: a\r\nTimestamp: b",
        true,
        "entra-secret-expired",
        None,
    ),
    (
        Step::Token,
        "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'.\ninvalid_client",
        false,
        "entra-credential-missing",
        None,
    ),
    (
        Step::Token,
        "AADSTS700016: Application with identifier 'x' was not found in the directory 'y'.",
        false,
        "entra-app-not-found",
        None,
    ),
    (
        Step::Token,
        "AADSTS7000229: The client application x is missing service principal in the tenant y.",
        false,
        "entra-no-enterprise-application",
        None,
    ),
    (Step::Token, "AADSTS7000112: Application 'x' is disabled.", true, "entra-app-disabled", None),
    (Step::Token, "AADSTS90002: Tenant 'x' not found.", false, "entra-tenant-not-found", None),
    (
        Step::Token,
        "AADSTS900023: Specified tenant identifier 'x' is neither a valid DNS name, nor a valid external domain.",
        false,
        "entra-tenant-malformed",
        None,
    ),
    (
        Step::Token,
        "invalid_scope AADSTS1002012: The provided value for scope x is not valid. Client credential flows must have a scope value with /.default suffixed",
        false,
        "entra-scope",
        None,
    ),
    (Step::Token, "HTTP 400 invalid_scope AADSTS70011", false, "entra-scope", None),
    (Step::Token, "HTTP 400 invalid_resource AADSTS500011", false, "entra-resource-unknown", None),
    (
        Step::Token,
        "AADSTS700027: Client assertion contains an invalid signature. [Reason - The key was not found., Thumbprint of key used by client: 'x']",
        false,
        "entra-certificate-unknown",
        None,
    ),
    (
        Step::Token,
        "AADSTS700024: Client assertion is not within its valid time range. Current time: x",
        true,
        "entra-assertion-time",
        None,
    ),
    (
        Step::Token,
        "AADSTS53003: Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
        true,
        "entra-conditional-access",
        None,
    ),
    (Step::Token, "HTTP 429", true, "token-throttled", Some(Retry::Later)),
    (Step::Token, "HTTP 400 AADSTS50196", true, "entra-throttled", None),
    (Step::Token, "HTTP 429 AADSTS90055", true, "entra-throttled", None),
    (Step::Token, "HTTP 503 Service Unavailable", true, "token-outage", Some(Retry::Later)),
    (Step::Token, r#"HTTP 503 {"error_codes": [90006]}"#, true, "entra-outage", None),
    (Step::Token, "AADSTS90012", true, "entra-outage", None),
    (Step::Token, "AADSTS90024", true, "entra-outage", None),
    (Step::Token, "AADSTS90033", true, "entra-outage", None),
    (Step::Token, "AADSTS50033", true, "entra-outage", None),
    (
        Step::Token,
        "the access token has no role IMAP.AccessAsApp",
        false,
        "token-without-role",
        Some(Retry::Never),
    ),
    (
        Step::Token,
        "the access token's audience is https://graph.microsoft.com",
        false,
        "token-for-graph",
        Some(Retry::Never),
    ),
    (Step::Login, "a1 NO AUTHENTICATE failed.", false, "imap-auth-failed-never-worked", Some(Retry::Never)),
    (Step::Login, "a1 NO AUTHENTICATE failed.", true, "imap-auth-failed-worked-before", Some(Retry::Later)),
    (
        Step::Login,
        r#"a1 NO AUTHENTICATE failed. Error="AuthFailed:LogonDenied-None-OAuthLog:x""#,
        false,
        "imap-service-principal-unknown",
        Some(Retry::Never),
    ),
    (
        Step::Login,
        "NO LOGIN failed. AuthFailed:LogonDenied-BasicAuthBlocked",
        false,
        "imap-basic-auth-blocked",
        Some(Retry::Never),
    ),
    (
        Step::Login,
        "OK AUTHENTICATE completed.\nBAD User is authenticated but not connected.\n* BYE Connection closed. 14",
        false,
        "imap-not-connected-never-worked",
        Some(Retry::Never),
    ),
    (
        Step::Select,
        "BAD User is authenticated but not connected.",
        true,
        "imap-not-connected-worked-before",
        Some(Retry::Later),
    ),
    (Step::Login, "* BYE Connection closed. 14", false, "imap-bye-login", Some(Retry::Later)),
    (
        Step::Fetch,
        "BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds",
        true,
        "imap-throttled",
        Some(Retry::Later),
    ),
    (
        Step::Login,
        "NO Request is throttled. Suggested Backoff Time: 300000 milliseconds",
        false,
        "imap-throttled",
        Some(Retry::Later),
    ),
    (
        Step::Fetch,
        "* BYE Session invalidated - AccessTokenExpired",
        true,
        "imap-token-expired",
        Some(Retry::Later),
    ),
    (Step::Select, "a3 NO Server Unavailable. 15", false, "imap-server-unavailable", Some(Retry::Later)),
    (Step::Search, "NO Server Unavailable. 15", true, "imap-server-unavailable", Some(Retry::Later)),
    (Step::Fetch, "a7 OK FETCH completed.", true, "imap-item-not-convertible", Some(Retry::Later)),
    (Step::Settle, "a9 NO EXPUNGE failed.", true, "imap-recoverable-items-full", Some(Retry::Later)),
    (
        Step::Fetch,
        "a7 NO [CANNOT] Some of the requested messages no longer exist",
        true,
        "imap-messages-gone",
        Some(Retry::Later),
    ),
    (Step::Login, "* BAD Command Error. 12", false, "imap-command-not-understood", None),
    (Step::Settle, "BAD Command Error. 10", true, "imap-command-too-long", None),
];

#[test]
fn the_field_guides_observations_are_recognised_from_the_bytes_that_the_server_sends() {
    for (step, observed, worked_before, id, retry) in FIELD_GUIDE {
        let circumstances = circumstances(*worked_before);
        let failure = Failure::new(*step, usual_kind(*step), *observed);
        assert_eq!(found(&failure, &circumstances), *id, "{step}: {observed}");
        let before = failure.retry;
        assert_eq!(explain(failure, &circumstances).retry, retry.unwrap_or(before), "{observed}");
    }
}
