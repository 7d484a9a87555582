//! The token endpoint: `POST /{tenant}/oauth2/v2.0/token`, its grants and its errors in Entra's shape.

use std::collections::{BTreeMap, HashMap};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::fault::perform;
use crate::scenario::{Action, Client, Scenario, Token};
use crate::shared::{Shared, TokenRequest, locked};
use crate::wire::{Ended, Going, Wire};

/// Serves one connection to its end.
pub(crate) fn serve(shared: &Arc<Shared>, socket: TcpStream) {
    let connection = {
        let mut counters = locked(&shared.counters);
        counters.token_connections += 1;
        counters.token_connections
    };
    if let Ok(wire) = Wire::new(shared.clone(), socket) {
        let _ = Endpoint { shared: shared.clone(), wire, connection }.run();
    }
}

/// The tenant's clients and the tokens that were issued.
pub(crate) struct Tokens {
    tenant: String,
    tenant_names: Vec<String>,
    clients: Vec<Client>,
    rules: Token,
    issued: HashMap<String, Arc<Issued>>,
    count: u64,
}

/// What Exchange can tell of a token.
pub(crate) struct Issued {
    pub(crate) client: String,
    pub(crate) service_principal: bool,
    /// Whether it is a token for Exchange with `IMAP.AccessAsApp`.
    pub(crate) for_imap: bool,
    expires: Instant,
    revoked: AtomicBool,
}

impl Tokens {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            tenant: scenario.tenant.clone(),
            tenant_names: scenario.tenant_names.clone(),
            clients: scenario.clients.clone(),
            rules: scenario.token.clone(),
            issued: HashMap::new(),
            count: 0,
        }
    }

    /// A token that was issued here and has not expired.
    pub(crate) fn known(&self, token: &str) -> Option<Arc<Issued>> {
        self.issued.get(token).filter(|issued| !issued.expired()).cloned()
    }

    pub(crate) fn expire_all(&mut self) {
        for issued in self.issued.values() {
            issued.revoked.store(true, Ordering::SeqCst);
        }
    }

    pub(crate) fn set_secrets(&mut self, client: Option<&str>, secrets: &[String]) {
        for known in self.clients.iter_mut().filter(|known| client.is_none_or(|id| known.id == id)) {
            known.secrets = secrets.to_vec();
        }
    }

    /// What Entra says to a request, with the claims of the token changed so.
    pub(crate) fn answer(
        &mut self,
        request: &TokenRequest,
        claims: &BTreeMap<String, Value>,
    ) -> Result<Map<String, Value>, Refusal> {
        let form = |name: &str| request.form.get(name).map(String::as_str);
        self.check_tenant(&request.path)?;
        if form("grant_type") != Some("client_credentials") {
            return Err(Refusal::new(70003));
        }
        let id = form("client_id").unwrap_or_default();
        let client = self
            .clients
            .iter()
            .find(|client| client.id == id)
            .cloned()
            .ok_or_else(|| Refusal::of(700016, id, &self.tenant))?;
        match (form("client_secret"), form("client_assertion")) {
            (Some(secret), _) => check_secret(&client, secret)?,
            (None, Some(assertion)) => {
                if form("client_assertion_type") != Some(ASSERTION_TYPE) {
                    return Err(Refusal::new(7000218));
                }
                self.check_assertion(&client, assertion, request)?;
            }
            (None, None) => return Err(Refusal::new(7000218)),
        }
        let scope = form("scope").unwrap_or_default();
        let Some(audience) = scope.strip_suffix("/.default") else {
            return Err(Refusal::of(1002012, scope, ""));
        };
        if !EXCHANGE.contains(&audience) && !OTHER_RESOURCES.contains(&audience) {
            return Err(Refusal::of(500011, audience, &self.tenant));
        }
        Ok(self.issue(&client, audience, claims))
    }

    fn issue(
        &mut self,
        client: &Client,
        audience: &str,
        changed: &BTreeMap<String, Value>,
    ) -> Map<String, Value> {
        self.count += 1;
        let now = self.now();
        let lifetime = self.rules.lifetime_seconds;
        let mut claims = Map::new();
        let ordinary = json!({
            "aud": audience,
            "iss": format!("https://sts.windows.net/{}/", self.tenant),
            "iat": now, "nbf": now, "exp": now + lifetime as i64,
            "app_displayname": "UM bounce manager",
            "appid": client.id,
            "appidacr": "1",
            "idtyp": "app",
            "oid": "c2f4e6a8-1357-4b9d-8ace-02468ace1357",
            "sub": "c2f4e6a8-1357-4b9d-8ace-02468ace1357",
            "tid": self.tenant,
            "uti": format!("standin-{}", self.count),
            "ver": "1.0",
            "xms_filler": "x".repeat(self.rules.filler),
        });
        claims.extend(ordinary.as_object().cloned().unwrap_or_default());
        if !client.roles.is_empty() {
            claims.insert("roles".into(), json!(client.roles));
        }
        change(&mut claims, changed);
        let for_imap = claims.get("aud").and_then(Value::as_str).is_some_and(|aud| EXCHANGE.contains(&aud))
            && claims
                .get("roles")
                .and_then(Value::as_array)
                .is_some_and(|roles| roles.contains(&ROLE.into()));
        let header = json!({"typ": "JWT", "alg": "RS256", "x5t": "standin", "kid": "standin"});
        let signature: Vec<u8> = (0..256_u64).map(|n| (n * 167 + self.count * 31) as u8).collect();
        let token =
            [header.to_string().into_bytes(), Value::from(claims).to_string().into_bytes(), signature]
                .map(|part| URL_SAFE_NO_PAD.encode(part))
                .join(".");
        let issued = Issued {
            client: client.id.clone(),
            service_principal: client.service_principal,
            for_imap,
            expires: Instant::now() + Duration::from_secs(lifetime),
            revoked: AtomicBool::new(false),
        };
        self.issued.insert(token.clone(), Arc::new(issued));

        let mut answer = Map::new();
        answer.insert("token_type".into(), "Bearer".into());
        match &self.rules.expires_in {
            Value::Null => {}
            Value::String(text) if text == "lifetime" => {
                answer.insert("expires_in".into(), lifetime.into());
                answer.insert("ext_expires_in".into(), lifetime.into());
            }
            other => {
                answer.insert("expires_in".into(), other.clone());
            }
        }
        if let Some(seconds) = self.rules.refresh_in {
            answer.insert("refresh_in".into(), seconds.into());
        }
        answer.insert("access_token".into(), token.into());
        answer
    }

    fn check_tenant(&self, path: &str) -> Result<(), Refusal> {
        let tenant = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if tenant == self.tenant || self.tenant_names.iter().any(|name| name == tenant) {
            return Ok(());
        }
        let is_guid =
            tenant.len() == 36 && tenant.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let is_domain = tenant.contains('.') && !tenant.contains(['%', '<', '_']);
        Err(Refusal::of(if is_guid || is_domain { 90002 } else { 900023 }, tenant, ""))
    }

    /// Looks at all of an assertion but its signature, which is for the test that has the certificate.
    fn check_assertion(
        &self,
        client: &Client,
        assertion: &str,
        request: &TokenRequest,
    ) -> Result<(), Refusal> {
        let parts: Vec<&str> = assertion.split('.').collect();
        let json = |part: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let [header, claims, signature] = parts[..] else { return Err(Refusal::new(50027)) };
        let (Some(header), Some(claims)) = (json(header), json(claims)) else {
            return Err(Refusal::new(50027));
        };
        if signature.is_empty() || !matches!(header["alg"].as_str(), Some("PS256" | "RS256")) {
            return Err(Refusal::new(50027));
        }
        let now = self.now();
        let from = claims["nbf"].as_i64().unwrap_or(0);
        if claims["exp"].as_i64().is_none_or(|exp| exp <= now) || from > now + CLOCK_SKEW {
            return Err(Refusal::of(700024, &rfc3339(now), ""));
        }
        if claims["iss"].as_str().is_some_and(|iss| client.federated_issuers.iter().any(|known| known == iss))
        {
            return Ok(());
        }
        let own = claims["iss"].as_str() == Some(&client.id) && claims["sub"].as_str() == Some(&client.id);
        let audience = claims["aud"].as_str().unwrap_or_default();
        if !own || !audience.ends_with(&request.path) || claims["jti"].as_str().is_none_or(str::is_empty) {
            return Err(Refusal::of(700023, audience, ""));
        }
        let thumbprint = header["x5t#S256"].as_str().or(header["x5t"].as_str()).unwrap_or_default();
        let known = client.thumbprints.as_ref();
        if thumbprint.is_empty() || known.is_some_and(|known| !known.iter().any(|good| good == thumbprint)) {
            return Err(Refusal::of(700027, thumbprint, ""));
        }
        Ok(())
    }

    fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        now as i64 + self.rules.clock_offset_seconds
    }
}

impl Issued {
    pub(crate) fn expired(&self) -> bool {
        self.revoked.load(Ordering::SeqCst) || Instant::now() >= self.expires
    }
}

/// An error of Entra, with what fills the holes of its text.
pub(crate) struct Refusal {
    code: u32,
    what: String,
    tenant: String,
}

impl Refusal {
    fn new(code: u32) -> Self {
        Self::of(code, "", "")
    }

    fn of(code: u32, what: &str, tenant: &str) -> Self {
        Self { code, what: what.into(), tenant: tenant.into() }
    }

    /// The HTTP status and the JSON.
    fn body(&self, now: i64) -> (u16, Value) {
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

struct Endpoint {
    shared: Arc<Shared>,
    wire: Wire,
    connection: u32,
}

impl Endpoint {
    fn run(&mut self) -> Going {
        let tls = self.shared.token_tls.clone();
        match self.shared.faults.due("token connect", "", self.connection) {
            None => self.wire.start_tls(&tls)?,
            Some(actions) => {
                for action in actions {
                    match action {
                        Action::Answer => self.wire.start_tls(&tls)?,
                        other => perform(&self.shared, &mut self.wire, &other, "")?,
                    }
                }
            }
        }
        if !self.wire.is_tls() {
            return self.wire.close();
        }
        loop {
            let request = self.read_request()?;
            self.answer(&request)?;
            self.wire.flush()?;
            if request.headers.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                return self.wire.close();
            }
        }
    }

    fn answer(&mut self, request: &TokenRequest) -> Going {
        if request.form.is_empty() || !request.path.ends_with("/oauth2/v2.0/token") {
            return self.respond(404, &BTreeMap::new(), &Value::Null);
        }
        locked(&self.shared.counters).token_requests += 1;
        locked(&self.shared.token_requests).push(request.clone());
        let line = request.form.iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>();
        let Some(actions) = self.shared.faults.due("token", &line, self.connection) else {
            return self.ordinary(request, &BTreeMap::new(), &BTreeMap::new());
        };
        let nothing = BTreeMap::new();
        for action in actions {
            match action {
                Action::Answer => self.ordinary(request, &nothing, &nothing)?,
                Action::Grant(members) => self.ordinary(request, &members, &nothing)?,
                Action::Claims(claims) => self.ordinary(request, &nothing, &claims)?,
                Action::Respond { status, headers, body } => self.respond(status, &headers, &body)?,
                Action::Refuse(code) => {
                    let code = code.trim_start_matches("AADSTS").parse().unwrap_or_default();
                    let what = request.form.get("client_id").map(String::as_str).unwrap_or_default();
                    let refusal = Refusal::of(code, what, request.path.split('/').nth(1).unwrap_or_default());
                    self.refuse(&refusal)?;
                }
                other => perform(&self.shared, &mut self.wire, &other, "")?,
            }
        }
        Ok(())
    }

    fn ordinary(
        &mut self,
        request: &TokenRequest,
        members: &BTreeMap<String, Value>,
        claims: &BTreeMap<String, Value>,
    ) -> Going {
        let answer = locked(&self.shared.tokens).answer(request, claims);
        match answer {
            Ok(mut grant) => {
                change(&mut grant, members);
                locked(&self.shared.counters).tokens_issued += 1;
                self.respond(200, &BTreeMap::new(), &grant.into())
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn refuse(&mut self, refusal: &Refusal) -> Going {
        let now = locked(&self.shared.tokens).now();
        let (status, body) = refusal.body(now);
        self.respond(status, &BTreeMap::new(), &body)
    }

    /// Sends an HTTP answer; a body that is a string is sent as it is, another as JSON.
    fn respond(&mut self, status: u16, headers: &BTreeMap<String, String>, body: &Value) -> Going {
        let body = match body {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let now = locked(&self.shared.tokens).now();
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        let ordinary = [
            ("Cache-Control", "no-store, no-cache".to_owned()),
            ("Pragma", "no-cache".to_owned()),
            ("Content-Type", "application/json; charset=utf-8".to_owned()),
            ("Strict-Transport-Security", "max-age=31536000; includeSubDomains".to_owned()),
            ("x-ms-request-id", TRACE_ID.to_owned()),
            ("Date", http_date(now)),
            ("Content-Length", body.len().to_string()),
        ];
        for (name, value) in ordinary {
            if !headers.keys().any(|own| own.eq_ignore_ascii_case(name)) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.wire.put(head.as_bytes())?;
        self.wire.put(body.as_bytes())
    }

    fn read_request(&mut self) -> Going<TokenRequest> {
        let end = self.wait_for(|input| input.windows(4).position(|four| four == b"\r\n\r\n"))? + 4;
        let head = String::from_utf8_lossy(&self.wire.take(end)).into_owned();
        let mut lines = head.split("\r\n");
        let mut start = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (start.next().unwrap_or_default(), start.next().unwrap_or_default().to_owned());
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        if headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.wire.prompt("HTTP/1.1 100 Continue\r\n")?;
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if length > MAX_BODY {
            return Err(Ended);
        }
        self.wait_for(|input| (input.len() >= length).then_some(0))?;
        let body = String::from_utf8_lossy(&self.wire.take(length)).into_owned();
        let form = if method == "POST" { decode_form(&body) } else { BTreeMap::new() };
        Ok(TokenRequest { at: self.shared.started.elapsed(), path, form, headers })
    }

    fn wait_for(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> Going<usize> {
        loop {
            if let Some(at) = found(self.wire.input()) {
                return Ok(at);
            }
            if self.wire.input().len() > MAX_BODY * 2 {
                return Err(Ended);
            }
            self.wire.more()?;
        }
    }
}

fn check_secret(client: &Client, secret: &str) -> Result<(), Refusal> {
    if client.secrets.iter().any(|good| good == secret) {
        Ok(())
    } else if client.expired_secrets.iter().any(|old| old == secret) {
        Err(Refusal::of(7000222, &client.id, ""))
    } else {
        Err(Refusal::of(7000215, &client.id, ""))
    }
}

fn change(object: &mut Map<String, Value>, changed: &BTreeMap<String, Value>) {
    for (name, value) in changed {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
}

/// `application/x-www-form-urlencoded`.
fn decode_form(body: &str) -> BTreeMap<String, String> {
    body.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode_component(name), decode_component(value)))
        .collect()
}

fn decode_component(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match (bytes[at], hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// As in the error's `timestamp`.
fn timestamp(seconds: i64) -> String {
    let at = at(seconds);
    let (date, time) = (at.date(), at.time());
    format!("{date} {:02}:{:02}:{:02}Z", time.hour(), time.minute(), time.second())
}

fn rfc3339(seconds: i64) -> String {
    timestamp(seconds).replace(' ', "T")
}

/// RFC 9110 §5.6.7.
fn http_date(seconds: i64) -> String {
    let at = at(seconds);
    let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
    format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
        &weekday[..3],
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 | 302 | 307 | 308 => "Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

const ROLE: &str = "IMAP.AccessAsApp";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The audiences whose tokens Exchange takes.
const EXCHANGE: [&str; 4] = [
    "https://outlook.office365.com",
    "https://outlook.office.com",
    "https://outlook.office365.us",
    "https://partner.outlook.cn",
];
/// Others that a tenant has.
const OTHER_RESOURCES: [&str; 2] = ["https://graph.microsoft.com", "https://management.azure.com"];
/// How far ahead a client's clock may be, in seconds.
const CLOCK_SKEW: i64 = 300;
const MAX_BODY: usize = 64 * 1024;
const TRACE_ID: &str = "7b1f4c52-90ab-4d3e-8f61-5a2c9e3d0400";
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_as_browsers_encode_it() {
        let form = decode_form("client_secret=s3cr~t%2F%2B%3D%26%25+%25Q8&scope=x");
        assert_eq!(form["client_secret"], "s3cr~t/+=&% %Q8");
        assert_eq!(form["scope"], "x");
    }

    #[test]
    fn dates_are_those_of_http_and_of_entra() {
        assert_eq!(http_date(1_767_571_200), "Mon, 05 Jan 2026 00:00:00 GMT");
        assert_eq!(timestamp(1_767_571_200), "2026-01-05 00:00:00Z");
    }
}
