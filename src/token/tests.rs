//! Access tokens from a token endpoint in this process.

mod answers;
mod credentials;
mod lifetime;
mod planted_secrets;
mod waiting;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::config::{Credential, Proxy, Route};
use crate::net::testing::{Authority, TlsPeer, listen, listen_tls, soon};

const SECRET: &str = "s3cr~t/+=&% %Pl4nted";
const NO_TIME: Duration = Duration::from_millis(700);

/// A token endpoint in this process, and a client that is known to it.
struct Endpoint {
    trust: Trust,
    oauth2: OAuth2,
    names: Names,
    requests: Arc<Mutex<Vec<String>>>,
    log: Log,
}

impl Endpoint {
    /// `talk` gets the number of the request, from 0, and the connection after the request was read.
    fn talking(talk: impl Fn(usize, &mut TlsPeer) + Send + Sync + 'static) -> Self {
        Self::hearing(move |number, _, peer| talk(number, peer))
    }

    /// The same with the request.
    fn hearing(talk: impl Fn(usize, &str, &mut TlsPeer) + Send + Sync + 'static) -> Self {
        let ca = Authority::new();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let port = listen_tls(ca.server_for(&["localhost"]), move |mut peer| {
            let Some(request) = read_request(&mut peer) else { return };
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(request.clone());
                seen.len() - 1
            };
            talk(number, &request, &mut peer);
            peer.conn.send_close_notify();
            let _ = peer.flush();
        });
        let oauth2 = OAuth2 {
            token_uri: format!("https://localhost:{port}/a-tenant/oauth2/v2.0/token"),
            client_id: "a client".into(),
            credential: Credential::ClientSecret(SECRET.into()),
            scope: "https://outlook.office365.com/.default".into(),
            next_secret: None,
            secret_expires: None,
            route: Route::Unset,
            debug: true,
        };
        Self { trust: ca.trust(), oauth2, names: Names::default(), requests, log: Log::default() }
    }

    /// Answers the n-th request with the n-th text, the later ones with the last.
    fn answering(answers: &[&str]) -> Self {
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        Self::talking(move |number, peer| {
            let _ = peer.write_all(answers.get(number).or(answers.last()).unwrap().as_bytes());
        })
    }

    fn token(&self) -> Result<AccessToken> {
        self.token_by(soon(), &Cancel::default())
    }

    fn token_by(&self, deadline: Deadline, cancel: &Cancel) -> Result<AccessToken> {
        access_token(&self.oauth2, &self.names, &self.trust, deadline, cancel, &self.log)
    }

    fn failure(&self) -> Failure {
        let failure = self.token().unwrap_err();
        let said = format!("{failure:?} {failure}");
        assert!(!said.contains(SECRET) && !said.contains("Pl4nted"), "{said}");
        failure
    }

    fn asked(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn logged(&self) -> Vec<String> {
        self.log.take().into_iter().map(|record| record.text).collect()
    }
}

fn read_request(peer: &mut TlsPeer) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        peer.read_exact(&mut byte).ok()?;
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap()];
    peer.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn json(status: &str, body: &str) -> String {
    http(status, "Content-Type: application/json; charset=utf-8\r\n", body)
}

fn issued(token: &str, more: &str) -> String {
    json("200 OK", &format!(r#"{{"token_type":"Bearer","access_token":"{token}"{more}}}"#))
}

const HOUR: &str = r#","expires_in":3599,"ext_expires_in":3599"#;

#[test]
fn a_token_is_asked_for_by_the_client_credentials_grant() {
    let endpoint = Endpoint::answering(&[&issued("t0ken", HOUR)]);
    let token = endpoint.token().unwrap();
    assert_eq!(token.secret(), "t0ken");
    assert!(token.is_fresh());
    let requests = endpoint.requests.lock().unwrap();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /a-tenant/oauth2/v2.0/token HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("\r\ncontent-type: application/x-www-form-urlencoded"), "{head}");
    assert!(head.contains("\r\naccept: application/json"), "{head}");
    assert_eq!(
        body,
        "grant_type=client_credentials&client_id=a+client&client_secret=s3cr%7Et%2F%2B%3D%26%25+%25Pl4nted\
         &scope=https%3A%2F%2Foutlook.office365.com%2F.default"
    );
}

#[test]
fn what_happens_on_the_way_to_the_endpoint_names_its_property() {
    let mut endpoint = Endpoint::answering(&[&issued("t0ken", HOUR)]);
    let trusting = std::mem::replace(&mut endpoint.trust, Authority::new().trust());
    let failure = endpoint.failure();
    assert_eq!((failure.step, failure.kind), (Step::Tls, Kind::Tls));
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.accessTokenUri"));
    assert_eq!(endpoint.asked(), 0);

    endpoint.trust = trusting;
    endpoint.oauth2.token_uri = "https://[::1]:1/token".into();
    let failure = endpoint.failure();
    assert_eq!(failure.step, Step::Connect, "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.accessTokenUri"));

    endpoint.oauth2.token_uri = "http://localhost:1/token".into();
    let failure = endpoint.failure();
    assert_eq!((failure.step, failure.kind), (Step::Token, Kind::Configuration));
}

#[test]
fn a_token_is_asked_for_through_the_proxy_and_its_refusal_names_where_that_is_set() {
    let mut endpoint = Endpoint::answering(&[&issued("t0ken", HOUR)]);
    let target: u16 = endpoint.oauth2.token_uri.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let authorized = format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode("user:Pl4nted"));
    let port = listen(move |mut socket| {
        let mut request = Vec::new();
        let mut octet = [0];
        while !request.ends_with(b"\r\n\r\n") && matches!(socket.read(&mut octet), Ok(1)) {
            request.extend(octet);
        }
        if !String::from_utf8(request).unwrap().contains(&authorized) {
            let _ = socket.write_all(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n");
            return;
        }
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
        let (mut from, mut to) = (socket.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut &server, &mut socket);
    });
    let mut proxy = Proxy { set_by: "cmsbs.proxy".into(), host: "localhost".into(), port, credentials: None };
    endpoint.oauth2.route = Route::Proxy(proxy.clone());
    let failure = endpoint.failure();
    assert_eq!((failure.step, failure.retry), (Step::Proxy, Retry::Never), "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.proxy"));
    assert_eq!(endpoint.asked(), 0);

    proxy.credentials = Some(("user".to_owned(), "Pl4nted".into()));
    endpoint.oauth2.route = Route::Proxy(proxy);
    assert_eq!(endpoint.token().unwrap().secret(), "t0ken");
    let logged = endpoint.logged().join("\n");
    assert!(logged.contains(&format!(" through the proxy localhost:{port}")) && !logged.contains("Pl4nted"));
}

#[test]
fn debug_logs_request_and_outcome_without_secrets() {
    let refusal = format!(r#"{{"error":"invalid_client","error_description":"{SECRET}"}}"#);
    let endpoint = Endpoint::answering(&[&json("401 Unauthorized", &refusal), &issued("t0ken", HOUR)]);
    endpoint.failure();
    endpoint.token().unwrap();
    endpoint.token().unwrap();
    let requested = format!(
        "access token requested: POST {} client_id=a client scope=https://outlook.office365.com/.default",
        endpoint.oauth2.token_uri
    );
    assert_eq!(
        endpoint.logged(),
        [
            requested.as_str(),
            "no access token: HTTP 401 invalid_client: ***",
            &requested,
            "access token received: HTTP 200, valid for 3599 s"
        ]
    );

    let mut quiet = Endpoint::answering(&[&issued("t0ken", HOUR)]);
    quiet.oauth2.debug = false;
    quiet.token().unwrap();
    assert!(quiet.logged().is_empty());
}
