//! Repetitions, deadlines, cancelling, and callers that wait for one request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;

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
