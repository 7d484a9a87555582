//! The token endpoint: `POST /{tenant}/oauth2/v2.0/token`, its grants and its errors in Entra's shape.

mod dates;
mod refusal;
mod tokens;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::Value;

use crate::fault::perform;
use crate::scenario::Action;
use crate::shared::{Shared, TokenRequest, locked};
use crate::wire::{Ended, Going, Wire};

use dates::http_date;
use refusal::{Refusal, TRACE_ID};
use tokens::change;
pub(crate) use tokens::{Issued, Tokens};

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

const MAX_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_as_browsers_encode_it() {
        let form = decode_form("client_secret=s3cr~t%2F%2B%3D%26%25+%25Q8&scope=x");
        assert_eq!(form["client_secret"], "s3cr~t/+=&% %Q8");
        assert_eq!(form["scope"], "x");
    }
}
