//! The tenant's clients, and the tokens that are issued to them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::dates::rfc3339;
use super::refusal::Refusal;
use crate::scenario::{Client, Scenario, Token};
use crate::shared::TokenRequest;

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
    pub(super) fn answer(
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
        let mut claims = self.claims(client, audience);
        change(&mut claims, changed);
        let audience = claims.get("aud").and_then(Value::as_str);
        let roles = claims.get("roles").and_then(Value::as_array);
        let issued = Issued {
            client: client.id.clone(),
            service_principal: client.service_principal,
            for_imap: audience.is_some_and(|audience| EXCHANGE.contains(&audience))
                && roles.is_some_and(|roles| roles.contains(&ROLE.into())),
            expires: Instant::now() + Duration::from_secs(self.rules.lifetime_seconds),
            revoked: AtomicBool::new(false),
        };
        let token = self.signed(claims);
        self.issued.insert(token.clone(), Arc::new(issued));
        self.grant(token)
    }

    /// Returns the claims that a token of Entra has.
    fn claims(&self, client: &Client, audience: &str) -> Map<String, Value> {
        let now = self.now();
        let mut claims = json!({
            "aud": audience,
            "iss": format!("https://sts.windows.net/{}/", self.tenant),
            "iat": now, "nbf": now, "exp": now + self.rules.lifetime_seconds as i64,
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
        if !client.roles.is_empty() {
            claims["roles"] = json!(client.roles);
        }
        claims.as_object().cloned().unwrap_or_default()
    }

    /// Makes a JWT. Its signature is none: only Microsoft's services can check one.
    fn signed(&self, claims: Map<String, Value>) -> String {
        let header = json!({"typ": "JWT", "alg": "RS256", "x5t": "standin", "kid": "standin"});
        let signature: Vec<u8> = (0..256_u64).map(|n| (n * 167 + self.count * 31) as u8).collect();
        [header.to_string().into_bytes(), Value::from(claims).to_string().into_bytes(), signature]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".")
    }

    /// Makes the answer that hands a token over.
    fn grant(&self, token: String) -> Map<String, Value> {
        let mut answer = Map::new();
        answer.insert("token_type".into(), "Bearer".into());
        match &self.rules.expires_in {
            Value::Null => {}
            Value::String(text) if text == "lifetime" => {
                let lifetime = self.rules.lifetime_seconds;
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

    pub(super) fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        now as i64 + self.rules.clock_offset_seconds
    }
}

impl Issued {
    pub(crate) fn expired(&self) -> bool {
        self.revoked.load(Ordering::SeqCst) || Instant::now() >= self.expires
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

/// Sets the members of an object that are to be changed; a null takes one away.
pub(super) fn change(object: &mut Map<String, Value>, changed: &BTreeMap<String, Value>) {
    for (name, value) in changed {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
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
