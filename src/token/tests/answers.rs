//! Answers of the endpoint that are no token.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

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
        (http("200 OK", as_json, ""), "HTTP 200, but the answer is empty"),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), "HTTP 204, but the answer is empty"),
        (
            http("200 OK", as_json, r#"{"access_token":"Pl4nt"#),
            "HTTP 200, but the answer is incomplete JSON: it was cut off",
        ),
        (http("200 OK", as_json, "{Pl4nted}"), "HTTP 200, but the answer is not JSON (line 1, column 2)"),
        (http("200 OK", as_json, r#"["Pl4nted"]"#), "HTTP 200, but the answer is not the JSON of a token"),
        (
            http("200 OK", as_json, r#"{"id_token":"Pl4nted"}"#),
            "HTTP 200, but the answer contains no access_token",
        ),
        (
            http("200 OK", as_json, r#"{"access_token":7}"#),
            "HTTP 200, but the answer contains no access_token",
        ),
        (
            http("200 OK", as_json, r#"{"access_token":"Pl4nted\u0001"}"#),
            "HTTP 200, but the access_token in it is empty or contains characters that are not allowed in a token",
        ),
        (
            http("200 OK", as_json, r#"{"access_token":"Pl4nted","token_type":"mac"}"#),
            "HTTP 200, but the token_type in it is mac, not Bearer",
        ),
        (
            http("200 OK", as_json, &huge),
            "HTTP 200, but the answer has more than 65536 bytes and is not the JSON of a token",
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
