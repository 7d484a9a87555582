//! Entra's errors.

use serde_json::{Value, json};

use super::dates::timestamp;

/// An error of Entra, with what fills the holes of its text.
pub(super) struct Refusal {
    code: u32,
    what: String,
    tenant: String,
}

impl Refusal {
    pub(super) fn new(code: u32) -> Self {
        Self::of(code, "", "")
    }

    pub(super) fn of(code: u32, what: &str, tenant: &str) -> Self {
        Self { code, what: what.into(), tenant: tenant.into() }
    }

    /// The HTTP status and the JSON.
    pub(super) fn body(&self, now: i64) -> (u16, Value) {
        let (_, status, error, text) = ERRORS
            .iter()
            .find(|(code, ..)| *code == self.code)
            .copied()
            .unwrap_or((self.code, 400, "invalid_request", "The request was refused."));
        let text = text.replace("{what}", &self.what).replace("{tenant}", &self.tenant);
        let timestamp = timestamp(now);
        let body = json!({
            "error": error,
            "error_description": format!(
                "AADSTS{}: {text} Trace ID: {TRACE_ID} Correlation ID: {CORRELATION_ID} Timestamp: {timestamp}",
                self.code
            ),
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": TRACE_ID,
            "correlation_id": CORRELATION_ID,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.code),
        });
        (status, body)
    }
}

pub(super) const TRACE_ID: &str = "7b1f4c52-90ab-4d3e-8f61-5a2c9e3d0400";
const CORRELATION_ID: &str = "d0c8b7a6-4e5f-4a3b-9c2d-1e0f9a8b7c6d";

/// Code, HTTP status, `error`, text.
const ERRORS: [(u32, u16, &str, &str); 24] = [
    (
        7000215,
        401,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the \
         client secret ID, for a secret added to app '{what}'.",
    ),
    (
        7000222,
        401,
        "invalid_client",
        "The provided client secret keys for app '{what}' are expired. Visit the Azure portal to create new keys for your \
         app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: \
         https://aka.ms/certCreds.",
    ),
    (
        7000218,
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    (
        700016,
        400,
        "unauthorized_client",
        "Application with identifier '{what}' was not found in the directory '{tenant}'. This can happen if the application \
         has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have \
         sent your authentication request to the wrong tenant.",
    ),
    (
        7000229,
        401,
        "unauthorized_client",
        "The client application {what} is missing service principal in the tenant {tenant}. See instructions here: \
         https://go.microsoft.com/fwlink/?linkid=2225119",
    ),
    (7000112, 401, "unauthorized_client", "Application '{what}' is disabled."),
    (
        90002,
        400,
        "invalid_request",
        "Tenant '{what}' not found. Check to make sure you have the correct tenant ID and are signing into the correct \
         cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the \
         tenant.",
    ),
    (
        900023,
        400,
        "invalid_request",
        "Specified tenant identifier '{what}' is neither a valid DNS name, nor a valid external domain.",
    ),
    (
        1002012,
        400,
        "invalid_scope",
        "The provided value for scope {what} is not valid. Client credential flows must have a scope value with /.default \
         suffixed to the resource identifier (application ID URI).",
    ),
    (
        70011,
        400,
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is \
         not valid.",
    ),
    (70003, 400, "unsupported_grant_type", "The app requested an unsupported grant type."),
    (
        500011,
        400,
        "invalid_resource",
        "The resource principal named {what} was not found in the tenant named {tenant}. This can happen if the application \
         has not been installed by the administrator of the tenant or consented to by any user in the tenant.",
    ),
    (
        700027,
        401,
        "invalid_client",
        "Client assertion contains an invalid signature. [Reason - The key was not found., Thumbprint of key used by client: \
         '{what}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys.]",
    ),
    (
        700024,
        401,
        "invalid_client",
        "Client assertion is not within its valid time range. Current time: {what}, assertion valid from \
         2026-01-01T00:00:00Z, expiry time of assertion 2026-01-01T00:10:00Z.",
    ),
    (700023, 401, "invalid_client", "Client assertion audience claim does not match Realm issuer. '{what}'"),
    (50027, 401, "invalid_client", "JWT token is invalid or malformed."),
    (
        53003,
        400,
        "invalid_grant",
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    (
        50196,
        429,
        "invalid_grant",
        "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
    ),
    (90055, 429, "temporarily_unavailable", "Tenant is throttled due to too many requests."),
    (90006, 500, "server_error", "The service is temporarily unavailable. Please retry later."),
    (90012, 503, "temporarily_unavailable", "The request to the service timed out."),
    (90024, 503, "temporarily_unavailable", "The request budget was exceeded. Please retry later."),
    (90033, 503, "temporarily_unavailable", "A transient error has occurred. Please try again."),
    (50033, 503, "temporarily_unavailable", "A retryable error has occurred."),
];
