use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json as json_value};

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
fn a_token_is_asked_for_once_until_it_is_forgotten() {
    let endpoint = Endpoint::answering(&[&issued("one", HOUR), &issued("two", HOUR)]);
    let one = endpoint.token().unwrap();
    let again = endpoint.token().unwrap();
    assert_eq!((again.secret(), again.is_fresh()), ("one", false));
    forget(&endpoint.oauth2, &again);
    let two = endpoint.token().unwrap();
    assert_eq!((two.secret(), two.is_fresh()), ("two", true));
    // Somebody was refused with the old one in the meantime.
    forget(&endpoint.oauth2, &one);
    assert_eq!(endpoint.token().unwrap().secret(), "two");
    assert_eq!(endpoint.asked(), 2);
}

#[test]
fn another_secret_client_or_scope_has_another_token() {
    let mut endpoint = Endpoint::answering(&[&issued("t0ken", HOUR)]);
    endpoint.token().unwrap();
    endpoint.oauth2.scope.push('x');
    assert!(endpoint.token().unwrap().is_fresh());
    endpoint.oauth2.client_id.push('x');
    assert!(endpoint.token().unwrap().is_fresh());
    endpoint.oauth2.credential = Credential::ClientSecret("another".into());
    assert!(endpoint.token().unwrap().is_fresh());
    assert!(!endpoint.token().unwrap().is_fresh());
}

#[test]
fn any_expires_in_is_survived() {
    for (expires_in, kept) in [
        (r#","expires_in":3599"#, true),
        (r#","expires_in":"3599""#, true),
        (r#","expires_in":3599.5"#, true),
        ("", true),
        (r#","expires_in":null"#, true),
        (r#","expires_in":"soon""#, true),
        (r#","expires_in":{"a":[1]}"#, true),
        (r#","expires_in":99999999999999999999999999"#, true),
        (r#","expires_in":1e999"#, true),
        (r#","expires_in":"NaN""#, true),
        (r#","expires_in":0"#, false),
        (r#","expires_in":-1"#, false),
        (r#","expires_in":"-1e999""#, false),
    ] {
        let endpoint = Endpoint::answering(&[&issued("t0ken", expires_in)]);
        assert_eq!(endpoint.token().unwrap().secret(), "t0ken", "{expires_in}");
        assert_eq!(endpoint.token().unwrap().is_fresh(), !kept, "{expires_in}");
    }
}

#[test]
fn a_token_is_renewed_before_its_end() {
    let endpoint = Endpoint::answering(&[&issued("one", r#","expires_in":2"#), &issued("two", HOUR)]);
    endpoint.token().unwrap();
    assert!(!endpoint.token().unwrap().is_fresh());
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(endpoint.token().unwrap().secret(), "two");
}

#[test]
fn the_old_token_serves_on_when_an_early_renewal_fails() {
    let early = issued("one", r#","expires_in":3599,"refresh_in":"1""#);
    let endpoint = Endpoint::answering(&[&early, &json("503 Service Unavailable", "{}")]);
    endpoint.token().unwrap();
    thread::sleep(Duration::from_millis(1100));
    let start = Instant::now();
    for _ in 0..3 {
        let old = endpoint.token().unwrap();
        assert_eq!((old.secret(), old.is_fresh()), ("one", false));
    }
    assert!(start.elapsed() < NO_TIME, "nobody waits for repetitions");
    assert_eq!(endpoint.asked(), 2, "one attempt, then a pause");
    let warnings =
        endpoint.logged().into_iter().filter(|text| text.contains("HTTP 503") && text.contains("old one"));
    assert_eq!(warnings.count(), 1);
}

#[test]
fn the_token_is_gone_when_it_has_ended_and_cannot_be_renewed() {
    let refusal = json("401 Unauthorized", r#"{"error":"invalid_client"}"#);
    let endpoint = Endpoint::answering(&[&issued("one", r#","expires_in":1"#), &refusal]);
    endpoint.token().unwrap();
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(endpoint.failure().observed, "HTTP 401 invalid_client");
}

#[test]
fn a_refusal_says_what_the_endpoint_says_and_names_the_property() {
    let entra = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1-2\r\nCorrelation ID: 3-4\r\nTimestamp: 2026-01-02 03:04:05Z","error_codes":[7000215],"timestamp":"2026-01-02 03:04:05Z","trace_id":"1-2","correlation_id":"3-4","error_uri":"https://x/"}"#;
    let short = r#"{"error":"invalid_scope","error_codes":[70011],"trace_id":"1-2"}"#;
    for (status, body, observed, key) in [
        (
            "401 Unauthorized",
            entra,
            "HTTP 401 invalid_client: AADSTS7000215: Invalid client secret provided. Trace ID: 1-2 Correlation ID: 3-4 Timestamp: 2026-01-02 03:04:05Z",
            "clientSecret",
        ),
        ("400 Bad Request", short, "HTTP 400 invalid_scope AADSTS70011 trace_id=1-2", "scope"),
        ("400 Bad Request", r#"{"error":"unauthorized_client"}"#, "HTTP 400 unauthorized_client", "clientId"),
        ("200 OK", r#"{"error":"invalid_request"}"#, "HTTP 200 invalid_request", "accessTokenUri"),
        ("400 Bad Request", r#"{"error":{"code":7}}"#, r#"HTTP 400: {"error":{"code":7}}"#, "accessTokenUri"),
    ] {
        let endpoint = Endpoint::answering(&[&json(status, body)]);
        let failure = endpoint.failure();
        assert_eq!(failure.observed, observed);
        assert_eq!((failure.step, failure.kind, failure.retry), (Step::Token, Kind::Token, Retry::Never));
        assert_eq!(failure.key, Some(format!("cmsbs.mail.imap.oauth2.{key}")));
        assert_eq!(endpoint.asked(), 1, "a refusal is not repeated");
    }
}

#[test]
fn a_secret_that_the_endpoint_repeats_is_masked() {
    let encoded = "s3cr%7Et%2F%2B%3D%26%25+%25Pl4nted";
    let description =
        format!(r#"{{"error":"invalid_client","error_description":"not {SECRET} nor {encoded}"}}"#);
    let endpoint = Endpoint::answering(&[&json("401 Unauthorized", &description)]);
    assert_eq!(endpoint.failure().observed, "HTTP 401 invalid_client: not *** nor ***");

    let page = format!("you sent client_secret={encoded}");
    let endpoint = Endpoint::answering(&[&http("403 Forbidden", "Content-Type: text/plain\r\n", &page)]);
    assert_eq!(endpoint.failure().observed, "HTTP 403, text/plain: you sent client_secret=***");
}

#[test]
fn what_is_no_token_answer_is_a_clear_failure() {
    let html = "<!DOCTYPE html><html><head><title>Sign in to\n the network</title></head></html>";
    let as_html = "Content-Type: text/html\r\n";
    let as_json = "Content-Type: application/json\r\n";
    let huge = format!(r#"{{"access_token":"{}"}}"#, "Pl4nted".repeat(1 << 20));
    for (answer, observed) in [
        (
            http("200 OK", as_html, html),
            "HTTP 200, text/html: HTML instead of JSON, <title>Sign in to the network</title>",
        ),
        (
            http("200 OK", as_json, html),
            "HTTP 200: HTML instead of JSON, <title>Sign in to the network</title>",
        ),
        (http("200 OK", as_html, r#"{"access_token":"Pl4nt"#), "HTTP 200, text/html: HTML instead of JSON"),
        (http("200 OK", as_json, ""), "HTTP 200, but the answer is empty, not JSON"),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), "HTTP 204, but the answer is empty, not JSON"),
        (
            http("200 OK", as_json, r#"{"access_token":"Pl4nt"#),
            "HTTP 200, but the answer is not JSON to its end: it was cut off",
        ),
        (http("200 OK", as_json, "{Pl4nted}"), "HTTP 200, but the answer is not JSON (line 1, column 2)"),
        (http("200 OK", as_json, r#"["Pl4nted"]"#), "HTTP 200, but the answer is not JSON of a token"),
        (
            http("200 OK", as_json, r#"{"id_token":"Pl4nted"}"#),
            "HTTP 200, but the answer has no access_token",
        ),
        (http("200 OK", as_json, r#"{"access_token":7}"#), "HTTP 200, but the answer has no access_token"),
        (
            http("200 OK", as_json, r#"{"access_token":"Pl4nted\u0001"}"#),
            "HTTP 200, but its access_token is empty or has characters that no token has",
        ),
        (
            http("200 OK", as_json, r#"{"access_token":"Pl4nted","token_type":"mac"}"#),
            "HTTP 200, but its token_type is mac, not Bearer",
        ),
        (
            http("200 OK", as_json, &huge),
            "HTTP 200, but the answer has more than 65536 bytes and is not JSON of a token",
        ),
        (
            http("302 Found", "Location: https://portal.example/login?for=Pl4nted\r\n", ""),
            "HTTP 302, Location: https://portal.example/login",
        ),
        (
            http("307 Temporary Redirect", "Location: https://localhost:1/\r\n", ""),
            "HTTP 307, Location: https://localhost:1/",
        ),
    ] {
        let endpoint = Endpoint::answering(&[&answer]);
        let failure = endpoint.failure();
        assert_eq!(failure.observed, observed);
        assert_eq!((failure.step, failure.kind), (Step::Token, Kind::Protocol), "{observed}");
        assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.accessTokenUri"));
        assert_eq!(endpoint.asked(), 1, "{observed}");
    }
}

#[test]
fn a_token_counts_whatever_content_type_it_has() {
    for headers in ["", "Content-Type: text/plain\r\n", "Content-Type: text/html\r\n"] {
        let body = "\u{feff} {\"access_token\":\"t0ken\"}";
        let endpoint = Endpoint::answering(&[&http("200 OK", headers, body)]);
        assert_eq!(endpoint.token().unwrap().secret(), "t0ken");
    }
    // Without a length its end is that of the connection.
    let endpoint = Endpoint::answering(&["HTTP/1.0 200 OK\r\n\r\n{\"access_token\":\"t0ken\"}"]);
    assert_eq!(endpoint.token().unwrap().secret(), "t0ken");
}

#[test]
fn what_is_not_http_is_a_clear_failure() {
    let endpoint = Endpoint::answering(&["* OK IMAP4rev1 ready\r\n\r\n"]);
    let failure = endpoint.failure();
    assert_eq!((failure.step, failure.kind), (Step::Token, Kind::Protocol), "{failure}");
    assert!(failure.observed.contains("did not answer in HTTP"), "{failure}");

    let headers = format!("X: {}\r\n", "x".repeat(200_000));
    let failure = Endpoint::answering(&[&http("200 OK", &headers, "{}")]).failure();
    assert_eq!(failure.step, Step::Token, "{failure}");
}

#[test]
fn an_answer_without_end_is_given_up_whatever_part_of_it_has_none() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n";
    for (begin, endless) in [
        (chunked, "X-Trailer: y\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1;extension=yyyyyyyyyyyyyyyyyyyy\r\n{\r\n",
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", " "),
    ] {
        let written = Arc::new(AtomicUsize::new(0));
        let count = written.clone();
        let endpoint = Endpoint::talking(move |_, peer| {
            let piece = endless.repeat(8 * 1024 / endless.len());
            let _ = peer.write_all(begin.as_bytes());
            while peer.write_all(piece.as_bytes()).is_ok() && count.load(Ordering::SeqCst) < 1 << 30 {
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
        });
        let failure = endpoint.failure();
        assert_eq!((failure.step, failure.kind), (Step::Token, Kind::Protocol), "{endless}: {failure}");
        let octets = written.load(Ordering::SeqCst);
        assert!(octets < 64 << 20, "{endless}: {octets} octets were read");
    }
}

#[test]
fn a_secret_that_the_endpoint_repeats_altered_is_masked() {
    for said in [
        "s3cr~t/+=&% %Pl4n",
        "s3cr%7et%2f%2b%3d%26%25+%25Pl4nted",
        "s3cr%7Et%2F%2B%3D%26%25%20%25Pl4nted",
        "s3cr%257Et%252F%252B%253D%2526%2525%2520%2525Pl4nted",
        r"s3cr\\u007et/+=&% %Pl4nted",
        "s3cr&#126;t/&#43;=&amp;&#37; &#x25;Pl4nted",
        "czNjcn50Lys9JiUgJVBsNG50ZWQ=",
    ] {
        let body = format!(r#"{{"error":"invalid_client","error_description":"not {said}, no"}}"#);
        let failure = Endpoint::answering(&[&json("401 Unauthorized", &body)]).failure();
        assert!(failure.observed.starts_with("HTTP 401 invalid_client: not ***"), "{failure}");
        assert!(failure.observed.ends_with(", no"), "{failure}");
    }
}

#[test]
fn throttling_and_outages_are_tried_again_within_the_deadline() {
    let throttled = http("429 Too Many Requests", "Retry-After: 1\r\n", "");
    let outage = json("503 Service Unavailable", r#"{"error":"temporarily_unavailable"}"#);
    let endpoint = Endpoint::answering(&[&throttled, &outage, &issued("t0ken", HOUR)]);
    let start = Instant::now();
    assert!(endpoint.token().unwrap().is_fresh());
    assert!(start.elapsed() > Duration::from_millis(1400), "the pauses were left out");
    assert_eq!(endpoint.asked(), 3);
}

#[test]
fn an_outage_that_lasts_ends_after_a_few_attempts() {
    let endpoint = Endpoint::answering(&[&http("500 Internal Server Error", "", "upstream\n\ndown")]);
    let failure = endpoint.failure();
    assert_eq!(failure.observed, "HTTP 500: upstream down");
    assert_eq!((failure.step, failure.kind, failure.retry), (Step::Token, Kind::Network, Retry::Later));
    assert_eq!(endpoint.asked(), 4);
}

#[test]
fn a_wait_that_is_longer_than_the_deadline_is_told_to_the_caller_and_kept() {
    let throttled = http("429 Too Many Requests", "Retry-After: 86400\r\n", "");
    let endpoint = Endpoint::answering(&[&throttled]);
    let failure = endpoint.failure();
    assert_eq!((failure.step, failure.kind), (Step::Token, Kind::Throttled));
    assert_eq!(failure.retry, Retry::After(Duration::from_secs(3600)), "capped");
    let Retry::After(rest) = endpoint.failure().retry else { panic!("no wait") };
    assert!(rest <= Duration::from_secs(3600) && rest > Duration::from_secs(3590));
    assert_eq!(endpoint.asked(), 1, "the endpoint is left alone");
}

#[test]
fn a_wait_may_be_a_date_by_the_servers_clock() {
    let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
    let seconds = |text: &str, date| answer::wait(text, date).map(|wait| wait.as_secs());
    assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT", date), Some(30));
    assert_eq!(seconds("Sunday, 06-Nov-94 08:50:07 GMT", date), Some(30));
    assert_eq!(seconds("Sun Nov  6 08:50:07 1994", date), Some(30));
    assert_eq!(seconds("Sun, 06 Nov 1994 08:49:07 GMT", date), Some(0), "past");
    assert_eq!(seconds("Fri, 01 Jan 2100 00:00:00 GMT", None), Some(3600), "capped");
    assert_eq!(seconds(" 7 ", None), Some(7));
    assert_eq!(seconds("99999999999999999999999", None), Some(3600));
    for nonsense in ["", "soon", "-1", "1.5"] {
        assert_eq!(seconds(nonsense, date), None, "{nonsense}");
    }
}

#[test]
fn a_cut_connection_is_tried_again_and_then_a_failure_of_the_network() {
    let endpoint = Endpoint::talking(|_, peer| {
        let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\":\"Pl4");
    });
    let failure = endpoint.failure();
    assert_eq!((failure.step, failure.kind, failure.retry), (Step::Token, Kind::Network, Retry::Later));
    assert!(failure.observed.contains("closed the connection"), "{failure}");
    assert_eq!(endpoint.asked(), 4);
}

#[test]
fn an_endpoint_that_drips_is_given_up_at_the_deadline() {
    for head in ["HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"] {
        let endpoint = Endpoint::talking(move |_, peer| {
            let _ = peer.write_all(head.as_bytes());
            while peer.write_all(b"H").and_then(|()| peer.flush()).is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let start = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(500));
        let failure = endpoint.token_by(deadline, &Cancel::default()).unwrap_err();
        assert_eq!((failure.step, failure.kind), (Step::Token, Kind::Timeout), "{failure}");
        assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.accessTokenUri"));
        assert!(start.elapsed() < Duration::from_millis(500) + NO_TIME);
    }
}

#[test]
fn cancelling_ends_a_request_and_a_pause_at_once() {
    let silent = Endpoint::talking(|_, _| thread::sleep(Duration::from_secs(5)));
    // A body without a length would look complete when its connection is shut down.
    let endless = Endpoint::talking(|_, peer| {
        let _ = peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"t0ken\"}");
        let _ = peer.flush();
        thread::sleep(Duration::from_secs(5));
    });
    let pausing = Endpoint::answering(&[&http("429 Too Many Requests", "Retry-After: 5\r\n", "")]);
    for endpoint in [silent, endless, pausing] {
        let cancel = Cancel::default();
        let canceller = cancel.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            canceller.cancel();
        });
        let start = Instant::now();
        let failure = endpoint.token_by(soon(), &cancel).unwrap_err();
        assert_eq!(failure.kind, Kind::Closed, "{failure}");
        assert!(start.elapsed() < Duration::from_millis(300) + NO_TIME);
    }
}

#[test]
fn many_callers_make_one_request() {
    let endpoint = Endpoint::talking(|_, peer| {
        thread::sleep(Duration::from_millis(500));
        let _ = peer.write_all(issued("t0ken", r#","expires_in":0"#).as_bytes());
    });
    let fresh = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let token = endpoint.token().unwrap();
                assert_eq!(token.secret(), "t0ken");
                fresh.fetch_add(usize::from(token.is_fresh()), Ordering::SeqCst);
            });
        }
    });
    assert_eq!((endpoint.asked(), fresh.into_inner()), (1, 1));
}

#[test]
fn many_callers_share_a_refusal() {
    let endpoint = Endpoint::talking(|_, peer| {
        thread::sleep(Duration::from_millis(500));
        let _ = peer.write_all(json("401 Unauthorized", r#"{"error":"invalid_client"}"#).as_bytes());
    });
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(endpoint.failure().kind, Kind::Token));
        }
    });
    assert_eq!(endpoint.asked(), 1);
}

#[test]
fn those_who_wait_end_by_their_own_deadline_or_cancel_and_not_by_anothers() {
    let endpoint = Endpoint::talking(|number, peer| {
        if number == 0 {
            thread::sleep(Duration::from_secs(5));
        }
        let _ = peer.write_all(issued("t0ken", HOUR).as_bytes());
    });
    let (closing, closed) = (Cancel::default(), Cancel::default());
    let start = Instant::now();
    thread::scope(|scope| {
        let first = scope.spawn(|| endpoint.token_by(soon(), &closing).unwrap_err());
        while endpoint.asked() == 0 {
            thread::sleep(Duration::from_millis(10));
        }
        let hasty = scope.spawn(|| {
            let failure = endpoint.token_by(Deadline::after(Duration::from_millis(200)), &Cancel::default());
            (failure.unwrap_err(), start.elapsed())
        });
        let leaving = scope.spawn(|| (endpoint.token_by(soon(), &closed).unwrap_err(), start.elapsed()));
        let patient = scope.spawn(|| endpoint.token().unwrap());

        thread::sleep(Duration::from_millis(100));
        closed.cancel();
        let (failure, ended) = leaving.join().unwrap();
        assert_eq!(failure.kind, Kind::Closed);
        assert!(ended < Duration::from_millis(100) + NO_TIME);
        let (failure, ended) = hasty.join().unwrap();
        assert_eq!((failure.step, failure.kind), (Step::Token, Kind::Timeout));
        assert!(ended < Duration::from_millis(200) + NO_TIME);

        closing.cancel();
        assert_eq!(first.join().unwrap().kind, Kind::Closed);
        assert!(patient.join().unwrap().is_fresh(), "it takes over");
    });
    assert_eq!(endpoint.asked(), 2);
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
fn a_certificate_signs_an_assertion_for_each_request() {
    let mut endpoint = Endpoint::answering(&[&issued("one", HOUR), &issued("two", HOUR)]);
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/token/fixtures/pkcs8.pem"));
    let key = certificate::Certified::read(&file, None).unwrap();
    endpoint.oauth2.credential = Credential::Certificate { file, password: None };
    endpoint.oauth2.client_id = "a-client".into();
    let token = endpoint.token().unwrap();
    forget(&endpoint.oauth2, &token);
    endpoint.token().unwrap();

    let mut ids = Vec::new();
    for request in endpoint.requests.lock().unwrap().iter() {
        let (_, form) = request.split_once("\r\n\r\n").unwrap();
        let field = |name: &str| form.split('&').find_map(|field| field.strip_prefix(&format!("{name}=")));
        assert_eq!(
            field("client_assertion_type"),
            Some("urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer")
        );
        assert_eq!((field("client_id"), field("client_secret")), (Some("a-client"), None));
        let assertion = field("client_assertion").unwrap();
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public_key())
            .verify(signed.as_bytes(), &decode(signature))
            .unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let header: Value = serde_json::from_slice(&decode(header)).unwrap();
        assert_eq!(header, json_value!({"alg": "PS256", "typ": "JWT", "x5t#S256": key.thumbprint}));
        let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
        assert_eq!(claims["aud"], endpoint.oauth2.token_uri);
        assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("a-client"), Some("a-client")));
        let time = |name: &str| claims[name].as_i64().unwrap();
        assert!((time("iat") - now().timestamp()).abs() < 60 && time("nbf") == time("iat"));
        assert!((300..=600).contains(&(time("exp") - time("iat"))));
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1], "an assertion counts once");
}

#[test]
fn an_assertion_file_is_read_anew_for_each_request() {
    let refusal = r#"{"error":"invalid_client","error_description":"not signed: aGVhZGVy.Y2xhaW1z.UGw0bnRlZA UGw0bnRlZA"}"#;
    let mut endpoint =
        Endpoint::answering(&[&issued("one", HOUR), &issued("two", HOUR), &json("401 No", refusal)]);
    let file = tempfile::NamedTempFile::new().unwrap();
    endpoint.oauth2.credential = Credential::AssertionFile(file.path().into());
    for assertion in ["\u{feff}aGVhZGVy.Zmlyc3Q.c2ln\r\n", "aGVhZGVy.c2Vjb25k.c2ln"] {
        fs::write(file.path(), assertion).unwrap();
        let token = endpoint.token().unwrap();
        forget(&endpoint.oauth2, &token);
    }
    fs::write(file.path(), "aGVhZGVy.Y2xhaW1z.UGw0bnRlZA").unwrap();
    let failure = endpoint.failure();
    assert_eq!(failure.observed, "HTTP 401 invalid_client: not signed: *** ***");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.clientAssertionFile"));
    let requests = endpoint.requests.lock().unwrap();
    assert!(requests[0].contains("&client_assertion=aGVhZGVy.Zmlyc3Q.c2ln&scope="), "{}", requests[0]);
    assert!(requests[1].contains("&client_assertion=aGVhZGVy.c2Vjb25k.c2ln&scope="), "{}", requests[1]);
}

#[test]
fn an_assertion_file_without_an_assertion_is_tried_again_later() {
    let mut endpoint = Endpoint::answering(&[&issued("t0ken", HOUR)]);
    let file = tempfile::NamedTempFile::new().unwrap();
    endpoint.oauth2.credential = Credential::AssertionFile(file.path().into());
    let refused = |content: Option<&str>, problem: &str| {
        match content {
            Some(content) => fs::write(file.path(), content).unwrap(),
            None => fs::remove_file(file.path()).unwrap(),
        }
        let failure = endpoint.failure();
        assert_eq!(failure.observed, format!("{}: {problem}", file.path().display()));
        assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.clientAssertionFile"));
        assert_eq!((failure.step, failure.retry), (Step::Configuration, Retry::Later));
    };
    let no_assertion = "it does not hold one client assertion (JWT) and nothing else";
    refused(Some(" \n"), "it is empty");
    refused(Some("Pl4nted.x"), no_assertion);
    refused(Some("Pl4nted.x.y z"), no_assertion);
    refused(Some(&format!("a.b.{}", "Pl4nted".repeat(5_000))), "larger than 32768 bytes");
    refused(None, "No such file or directory (os error 2)");
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

#[test]
fn a_token_does_not_show_itself() {
    let token = Endpoint::answering(&[&issued("Pl4nted", HOUR)]).token().unwrap();
    assert_eq!(format!("{token:?}"), "AccessToken { fresh: true, .. }");
}

#[test]
fn the_next_secret_is_tried_when_the_first_is_refused() {
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000222: expired"}"#;
    let mut endpoint = Endpoint::answering(&[&json("401 Unauthorized", refusal), &issued("t0ken", HOUR)]);
    endpoint.names = Names::of(Some("inbox_2"));
    endpoint.oauth2.debug = false;
    endpoint.oauth2.next_secret = Some("n3xt".into());
    assert_eq!(endpoint.token().unwrap().secret(), "t0ken");
    assert!(endpoint.requests.lock().unwrap()[1].contains("&client_secret=n3xt&"));
    assert_eq!(
        endpoint.logged(),
        [
            "cmsbs.bouncelistener.inbox_2.oauth2.clientSecret was refused (HTTP 401 invalid_client: AADSTS7000222: expired), \
          cmsbs.bouncelistener.inbox_2.oauth2.clientSecret.next was accepted: enter its value in \
          cmsbs.bouncelistener.inbox_2.oauth2.clientSecret"
        ]
    );
}

#[test]
fn the_next_secret_is_not_tried_for_another_refusal_and_its_own_is_told() {
    let mut endpoint = Endpoint::answering(&[&json("400 Bad Request", r#"{"error":"invalid_scope"}"#)]);
    endpoint.oauth2.next_secret = Some("Pl4nted next".into());
    endpoint.failure();
    assert_eq!(endpoint.asked(), 1);

    let refusal = |secret: &str| {
        let description = format!(r#"{{"error":"invalid_client","error_description":"not {secret}"}}"#);
        json("401 Unauthorized", &description)
    };
    let mut endpoint = Endpoint::answering(&[&refusal(SECRET), &refusal("Pl4nted next")]);
    endpoint.oauth2.next_secret = Some("Pl4nted next".into());
    let failure = endpoint.failure();
    assert_eq!(
        failure.observed,
        "HTTP 401 invalid_client: not ***\n\
         cmsbs.mail.imap.oauth2.clientSecret.next was refused too: HTTP 401 invalid_client: not ***"
    );
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.oauth2.clientSecret"));
    assert_eq!(endpoint.asked(), 2);
}

#[test]
fn the_end_of_a_secret_and_of_a_certificate_is_announced() {
    let mut endpoint = Endpoint::answering(&[&issued("t0ken", r#","expires_in":0"#)]);
    endpoint.oauth2.debug = false;
    let last_day = now().date_naive() + chrono::Days::new(10);
    endpoint.oauth2.secret_expires = Some(last_day);
    endpoint.token().unwrap();
    endpoint.token().unwrap();
    assert_eq!(
        endpoint.logged(),
        [format!(
            "the client secret expires on {last_day}, in 10 days (cmsbs.mail.imap.oauth2.clientSecretExpires): \
             without a new one no mail can be fetched after that"
        )]
    );
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/token/fixtures/pkcs8.pem").into();
    endpoint.oauth2.credential = Credential::Certificate { file, password: None };
    let known = expiry(&endpoint.oauth2).unwrap().unwrap();
    assert_eq!(
        (known.credential, known.last_day.to_string().as_str()),
        (Expiring::Certificate, "2126-10-30")
    );
    endpoint.token().unwrap();
    assert!(endpoint.logged().is_empty(), "it has a hundred years");
}

#[test]
fn a_token_without_the_permission_is_warned_of_when_it_comes_and_not_again() {
    let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"aud":"https://outlook.office365.com"}"#);
    let mut endpoint = Endpoint::answering(&[&issued(&format!("e30.{claims}.c2ln"), HOUR)]);
    endpoint.names = Names::of(Some("inbox_2"));
    endpoint.oauth2.debug = false;
    assert!(endpoint.token().unwrap().claims().is_some());
    endpoint.token().unwrap();
    assert_eq!(
        endpoint.logged(),
        [
            "token: the access token has no role IMAP.AccessAsApp [cmsbs.bouncelistener.inbox_2.oauth2.clientId]"
        ]
    );
}

#[test]
fn a_listeners_failure_names_its_own_key_also_where_it_shares_the_credential() {
    let mut endpoint = Endpoint::talking(|_, peer| {
        thread::sleep(Duration::from_millis(300));
        let _ = peer.write_all(json("401 Unauthorized", r#"{"error":"invalid_client"}"#).as_bytes());
    });
    let ask = |listener| {
        let names = Names::of(listener);
        access_token(&endpoint.oauth2, &names, &endpoint.trust, soon(), &Cancel::default(), &endpoint.log)
            .unwrap_err()
            .key
            .unwrap()
    };
    thread::scope(|scope| {
        let primary = scope.spawn(|| ask(None));
        let listener = scope.spawn(|| ask(Some("inbox_2")));
        assert_eq!(primary.join().unwrap(), "cmsbs.mail.imap.oauth2.clientSecret");
        assert_eq!(listener.join().unwrap(), "cmsbs.bouncelistener.inbox_2.oauth2.clientSecret");
    });
    assert_eq!(endpoint.asked(), 1, "they share it");
    endpoint.names = Names::of(Some("inbox_2"));
    endpoint.oauth2.token_uri = "https://[::1]:1/token".into();
    let key = endpoint.failure().key.unwrap();
    assert_eq!(key, "cmsbs.bouncelistener.inbox_2.oauth2.accessTokenUri");
}

#[test]
fn no_failure_and_no_log_shows_a_planted_secret() {
    let fixture =
        |name: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/token/fixtures").join(name);
    let written = |content: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    };
    let jwt = written("aGVhZGVy.UGw0bnRlZC1jbGFpbXM.UGw0bnRlZA");
    let (no_jwt, no_pem) = (written("Pl4nted"), written("-----BEGIN PRIVATE KEY-----\nPl4nted\n"));
    let certificate =
        |file, password: &str| Credential::Certificate { file, password: Some(password.into()) };
    let credentials = [
        Credential::ClientSecret(SECRET.into()),
        certificate(fixture("encrypted.pem"), "p4ss Pl4nted ß"),
        certificate(fixture("aes.pfx"), "p4ss Pl4nted ß"),
        certificate(fixture("3des.pfx"), "wrong Pl4nted"),
        certificate(fixture("encrypted-pkcs1.pem"), "p4ss Pl4nted ß"),
        certificate(no_pem.path().into(), "Pl4nted"),
        Credential::AssertionFile(jwt.path().into()),
        Credential::AssertionFile(no_jwt.path().into()),
    ];
    // Each repeats the form that was sent, as it was sent and decoded.
    let answers: [fn(&str) -> String; 11] = [
        |echo| json("401 No", &format!(r#"{{"error":"invalid_client","error_description":"{echo}"}}"#)),
        |echo| json("400 No", &format!(r#"{{"error":"{echo}","trace_id":"{echo}","timestamp":"{echo}"}}"#)),
        |echo| http("403 No", "Content-Type: text/plain\r\n", echo),
        |echo| http("500 No", "", &format!("<html><title>{echo}</title><body>{echo}")),
        |echo| json("200 OK", &format!(r#"{{"what":"{echo}"}}"#)),
        |echo| json("200 OK", &format!(r#"{{"access_token":"Pl4nted","token_type":"{echo}"}}"#)),
        |echo| {
            http(
                "302 No",
                &format!("Location: https://x/{}?{echo}\r\n", echo.split(' ').next().unwrap()),
                echo,
            )
        },
        |_| json("200 OK", r#"{"access_token":"Pl4nt"#) + "ed",
        |_| http("200 OK", "Content-Type: text/html\r\n", "Pl4nted"),
        |_| "Pl4nted\r\n\r\n".into(),
        |_| issued("Pl4nted", HOUR),
    ];
    thread::scope(|scope| {
        for credential in &credentials {
            for answer in answers {
                scope.spawn(move || {
                    let mut endpoint = Endpoint::hearing(move |_, request, peer| {
                        let form = request.rsplit("\r\n").next().unwrap_or_default();
                        let decoded = form_decoded(form);
                        let echo = format!("{form} {decoded} {}", decoded.replace('&', "&amp;"));
                        let _ = peer.write_all(answer(&echo).as_bytes());
                    });
                    endpoint.oauth2.credential = credential.clone();
                    endpoint.oauth2.next_secret = Some("n3xt/Pl4nted".into());
                    endpoint.oauth2.secret_expires = Some(now().date_naive());
                    let deadline = Deadline::after(Duration::from_secs(3));
                    let result = endpoint.token_by(deadline, &Cancel::default());
                    let words = result.as_ref().map_or_else(ToString::to_string, |_| String::new());
                    let log = endpoint.logged().join("\n");
                    let said = format!("{result:?}\n{words}\n{log}\n{:?}", endpoint.oauth2);
                    assert!(!said.contains("Pl4nt") && !said.contains("UGw0bnRlZ"), "{said}");
                    for request in endpoint.requests.lock().unwrap().iter() {
                        let assertion = request.split('&').find_map(|f| f.strip_prefix("client_assertion="));
                        let signature = assertion.and_then(|assertion| assertion.rsplit('.').next());
                        assert!(signature.is_none_or(|signature| !said.contains(signature)), "{said}");
                    }
                });
            }
        }
    });
}

fn form_decoded(form: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = form.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}
