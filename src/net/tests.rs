use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::testing::*;
use super::*;

const NO_TIME: Duration = Duration::from_millis(500);

fn refused(port: u16, host: &str, trust: &Trust) -> Failure {
    connect(host, port, None, Some(trust), soon(), &Cancel::default()).unwrap_err()
}

#[test]
fn a_verified_server_is_talked_to_over_tls() {
    let ca = Authority::new();
    let port = listen_tls(ca.server_for(&["localhost"]), echo);
    let mut stream = connect("localhost", port, None, Some(&ca.trust()), soon(), &Cancel::default()).unwrap();
    assert!(stream.is_tls());
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn the_ca_file_adds_to_the_anchors() {
    let ca = Authority::new();
    let port = listen_tls(ca.server_for(&["127.0.0.1"]), echo);
    let file = ca.pem_file();
    for anchors in [Anchors::given(vec![]), Anchors::platform()] {
        let trust = Trust::new(anchors, Some(file.path())).unwrap();
        connect("127.0.0.1", port, None, Some(&trust), soon(), &Cancel::default()).unwrap();
    }
}

#[test]
fn an_unusable_ca_file_is_a_configuration_failure() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let missing = a_path_without_a_file();
    for (path, content) in [
        (missing.as_path(), None),
        (file.path(), Some("")),
        (file.path(), Some("no PEM at all\n")),
        (file.path(), Some("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n")),
        (file.path(), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
    ] {
        if let Some(content) = content {
            fs::write(path, content).unwrap();
        }
        let failure = Trust::new(Anchors::platform(), Some(path)).unwrap_err();
        assert_eq!((failure.step, failure.kind), (Step::Configuration, Kind::Configuration));
        assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.ssl.caFile"));
        assert!(failure.observed.starts_with(&path.display().to_string()), "{failure}");
    }
    // Neither waited for nor taken into memory.
    file.as_file().set_len(1_500_000_000).unwrap();
    for (path, problem) in [(Path::new("/dev/zero"), "not a regular file"), (file.path(), "larger than")] {
        let failure = Trust::new(Anchors::platform(), Some(path)).unwrap_err();
        assert!(failure.observed.contains(problem), "{failure}");
    }
}

#[test]
fn nobody_to_trust_is_a_configuration_failure() {
    let failure = Trust::new(Anchors::given(vec![]), None).unwrap_err();
    assert_eq!(failure.kind, Kind::Configuration);
}

#[test]
fn whom_to_trust_is_asked_for_at_the_first_connection_and_again_after_a_failure() {
    let ca = Authority::new();
    let port = listen_tls(ca.server_for(&["localhost"]), echo);
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, file) = (asked.clone(), ca.pem_file());
    let anchors = move || match count.fetch_add(1, Ordering::SeqCst) {
        0 => Err(Failure::configuration("a key", "unreadable", "")),
        _ => Ok(Anchors::given(vec![])),
    };
    let trust = Trust::later(anchors, Some(file.path())).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(refused(1, "localhost", &trust).observed, "unreadable", "before anybody is connected to");
    for _ in 0..2 {
        connect("localhost", port, None, Some(&trust), soon(), &Cancel::default()).unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn an_unknown_issuer_is_named() {
    let port = listen_tls(Authority::new().server_for(&["localhost"]), echo);
    let failure = refused(port, "localhost", &Authority::new().trust());
    assert_eq!((failure.step, failure.kind, failure.retry), (Step::Tls, Kind::Tls, Retry::Never));
    // Both are called 'test CA': it is the signature that tells them apart.
    assert_eq!(
        failure.observed,
        format!(
            "the certificate of localhost:{port} names 'CN=test CA' as its issuer, but is not signed by the trusted one"
        )
    );

    let failure = refused(port, "localhost", &Trust::new(Anchors::platform(), None).unwrap());
    assert_eq!(
        failure.observed,
        format!("the certificate of localhost:{port} was issued by 'CN=test CA', which is not trusted")
    );
}

#[test]
fn a_certificate_that_signed_itself_is_called_so() {
    let port = listen_tls(self_signed_server_for(&["localhost"]), echo);
    let failure = refused(port, "localhost", &Authority::new().trust());
    assert_eq!(
        failure.observed,
        format!("the certificate of localhost:{port} is self-signed ('CN=alone') and not trusted")
    );
}

#[test]
fn a_certificate_for_another_host_names_that_host() {
    let ca = Authority::new();
    let port = listen_tls(ca.server_for(&["other.example", "192.0.2.1"]), echo);
    let failure = refused(port, "localhost", &ca.trust());
    assert_eq!(
        failure.observed,
        format!("the certificate of localhost:{port} is for other.example and 192.0.2.1, not for localhost")
    );
}

#[test]
fn an_expired_certificate_names_the_day() {
    let ca = Authority::new();
    let port = listen_tls(ca.expired_server_for(&["localhost"]), echo);
    let failure = refused(port, "localhost", &ca.trust());
    assert_eq!(failure.observed, format!("the certificate of localhost:{port} expired on 2020-02-29"));
}

#[test]
fn a_server_without_tls_is_called_so() {
    let port = listen(|mut socket| {
        let _ = socket.write_all(b"* OK IMAP4rev1 ready\r\n");
        echo(socket);
    });
    let failure = refused(port, "localhost", &Authority::new().trust());
    assert_eq!((failure.step, failure.kind), (Step::Tls, Kind::Tls));
    assert!(failure.observed.contains("something that is not TLS"), "{failure}");
}

#[test]
fn a_cut_in_the_handshake_is_the_networks_fault() {
    let port = listen(drop);
    let failure = refused(port, "localhost", &Authority::new().trust());
    assert_eq!((failure.step, failure.kind, failure.retry), (Step::Tls, Kind::Network, Retry::Later));
}

#[test]
fn start_tls_encrypts_the_connection_it_was_given() {
    let ca = Authority::new();
    let config = ca.server_for(&["localhost"]);
    let port = listen(move |mut socket| {
        let mut command = [0; 10];
        socket.read_exact(&mut command).unwrap();
        socket.write_all(b"OK\r\n").unwrap();
        echo(tls(&config, socket));
    });
    let mut stream = connect("localhost", port, None, None, soon(), &Cancel::default()).unwrap();
    assert!(!stream.is_tls());
    stream.write_all(b"STARTTLS\r\n").unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    let mut stream = stream.start_tls("localhost", &ca.trust(), soon()).unwrap();
    assert!(stream.is_tls());
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
}

#[test]
fn a_dripping_server_cannot_hold_a_call_beyond_its_deadline() {
    let ca = Authority::new();
    let port = listen_tls(ca.server_for(&["localhost"]), |mut peer| {
        while peer.write_all(b".").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let mut stream = connect("localhost", port, None, Some(&ca.trust()), soon(), &Cancel::default()).unwrap();
    let start = Instant::now();
    stream.set_deadline(Deadline::after(Duration::from_millis(300)));
    let error = stream.read_exact(&mut [0; 100_000]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() < Duration::from_millis(300) + NO_TIME);
    assert_eq!(io_failure(Step::Fetch, stream.peer(), &error).kind, Kind::Timeout);
}

#[test]
fn a_handshake_that_drips_ends_with_the_deadline() {
    let port = listen(|mut socket| {
        // A TLS record of 16 kB, one byte at a time.
        let _ = socket.write_all(&[0x16, 3, 3, 0x40, 0]);
        while socket.write_all(&[2]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let start = Instant::now();
    let deadline = Deadline::after(Duration::from_millis(300));
    let trust = Authority::new().trust();
    let failure = connect("localhost", port, None, Some(&trust), deadline, &Cancel::default()).unwrap_err();
    assert_eq!((failure.step, failure.kind), (Step::Tls, Kind::Timeout));
    assert!(start.elapsed() < Duration::from_millis(300) + NO_TIME);
}

#[test]
fn a_peer_that_does_not_read_cannot_hold_a_writer_beyond_its_deadline() {
    let port = listen(|_socket| thread::sleep(Duration::from_secs(5)));
    let mut stream = connect("localhost", port, None, None, soon(), &Cancel::default()).unwrap();
    stream.set_deadline(Deadline::after(Duration::from_millis(300)));
    let start = Instant::now();
    let error = stream.write_all(&vec![0; 64 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() < Duration::from_millis(300) + NO_TIME);
}

#[test]
fn nothing_is_read_after_the_deadline_even_if_it_is_there() {
    let port = listen(|mut socket| {
        let _ = socket.write_all(b"here");
        echo(socket);
    });
    let mut stream = connect("localhost", port, None, None, soon(), &Cancel::default()).unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    stream.set_deadline(Deadline::after(Duration::ZERO));
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[test]
fn cancelling_ends_a_blocked_read_at_once_and_forbids_new_connections() {
    let ca = Authority::new();
    let port = listen_tls(ca.server_for(&["localhost"]), echo);
    let cancel = Cancel::default();
    for trust in [None, Some(ca.trust())] {
        let cancel = if trust.is_none() { Cancel::default() } else { cancel.clone() };
        let mut stream = connect("localhost", port, None, trust.as_ref(), soon(), &cancel).unwrap();
        let reader = thread::spawn(move || (stream.read(&mut [0; 1]).unwrap_err(), Instant::now()));
        thread::sleep(Duration::from_millis(100));
        let cancelled = Instant::now();
        cancel.cancel();
        let (error, ended) = reader.join().unwrap();
        assert_eq!(io_failure(Step::Fetch, "", &error).kind, Kind::Closed);
        assert!(ended - cancelled < NO_TIME);
    }
    let failure = connect("localhost", port, None, None, soon(), &cancel).unwrap_err();
    assert_eq!(failure.kind, Kind::Closed);
}

#[test]
fn cancelling_ends_a_call_whose_connect_is_under_way() {
    // A full accept queue: the kernel leaves further connection attempts unanswered.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let _queued: Vec<_> = (0..10_000)
        .map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok())
        .collect();
    let cancel = Cancel::default();
    let canceller = cancel.clone();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        canceller.cancel();
    });
    let start = Instant::now();
    let failure = connect("127.0.0.1", address.port(), None, None, soon(), &cancel).unwrap_err();
    assert_eq!((failure.step, failure.kind), (Step::Connect, Kind::Closed));
    assert!(start.elapsed() < Duration::from_millis(200) + NO_TIME);

    let start = Instant::now();
    let deadline = Deadline::after(Duration::from_millis(300));
    let failure = connect("127.0.0.1", address.port(), None, None, deadline, &Cancel::default()).unwrap_err();
    assert_eq!((failure.step, failure.kind), (Step::Connect, Kind::Timeout));
    assert!(start.elapsed() < Duration::from_millis(300) + NO_TIME);
}

#[test]
fn cancel_forgets_connections_that_are_gone() {
    let port = listen(echo);
    let cancel = Cancel::default();
    let _kept = connect("localhost", port, None, None, soon(), &cancel).unwrap();
    for _ in 0..20 {
        connect("localhost", port, None, None, soon(), &cancel).unwrap();
    }
    assert!(cancel.watched() <= 2);
}

#[test]
fn a_port_without_a_server_names_host_port_and_addresses() {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let failure = connect("127.0.0.1", port, None, None, soon(), &Cancel::default()).unwrap_err();
    assert_eq!((failure.step, failure.kind, failure.retry), (Step::Connect, Kind::Network, Retry::Later));
    assert!(
        failure.observed.starts_with(&format!("no connection to 127.0.0.1:{port} (127.0.0.1: ")),
        "{failure}"
    );
}

#[test]
fn the_second_attempt_is_on_the_other_family() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"].map(address);
    let order = ["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"].map(address);
    assert_eq!(alternating(given.to_vec()), order);
}

#[test]
fn a_host_that_cannot_be_looked_up_is_named() {
    let failure = connect("no host", 1, None, None, soon(), &Cancel::default()).unwrap_err();
    assert_eq!((failure.step, failure.kind), (Step::Resolve, Kind::Network));
    assert!(failure.observed.starts_with("'no host': "), "{failure}");
}

#[test]
fn a_deadline_is_moved_forward_only() {
    let deadline = Deadline::after(Duration::from_secs(1));
    assert_eq!(deadline.or_sooner(Duration::from_secs(60)), deadline);
    assert!(deadline.or_sooner(Duration::ZERO) < deadline);
    assert!(Deadline::after(Duration::MAX).left().unwrap() > Duration::from_secs(60));
}

/// A proxy that takes the request and says `answer`; a tunnel leads to `target` on this host.
fn proxy_answering(answer: &str, target: u16) -> (Proxy, mpsc::Receiver<String>) {
    let (sender, requests) = mpsc::channel();
    let (answer, sender) = (answer.to_owned(), std::sync::Mutex::new(sender));
    let port = listen(move |mut socket| {
        let mut request = Vec::new();
        let mut octet = [0];
        while !request.ends_with(b"\r\n\r\n") && matches!(socket.read(&mut octet), Ok(1)) {
            request.extend(octet);
        }
        let _ = sender.lock().unwrap().send(String::from_utf8(request).unwrap());
        if socket.write_all(answer.as_bytes()).is_err() || !answer.starts_with("HTTP/1.1 200") {
            return;
        }
        let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
        let (mut from, mut to) = (socket.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || io::copy(&mut from, &mut to));
        let _ = io::copy(&mut &server, &mut socket);
    });
    (Proxy { set_by: "the.key".into(), host: "localhost".into(), port, credentials: None }, requests)
}

fn refused_by(proxy: &Proxy) -> Failure {
    let failure = connect("mail.example", 993, Some(proxy), None, soon(), &Cancel::default()).unwrap_err();
    assert_eq!(failure.step, Step::Proxy, "{failure}");
    failure
}

#[test]
fn a_proxy_leads_to_the_server_and_tls_is_with_that() {
    let ca = Authority::new();
    let target = listen_tls(ca.server_for(&["mail.example"]), echo);
    let (mut proxy, requests) = proxy_answering("HTTP/1.1 200 OK\r\nVia: x\r\n\r\n", target);
    proxy.credentials = Some(("us\u{e9}r".into(), "pass:word".into()));
    let trust = ca.trust();
    let mut stream =
        connect("mail.example", 993, Some(&proxy), Some(&trust), soon(), &Cancel::default()).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!((&answer, stream.peer()), (b"hello", "mail.example:993"));
    assert_eq!(
        requests.recv().unwrap(),
        "CONNECT mail.example:993 HTTP/1.1\r\nHost: mail.example:993\r\n\
         Proxy-Authorization: Basic dXPDqXI6cGFzczp3b3Jk\r\n\r\n"
    );
}

#[test]
fn a_server_that_speaks_first_is_heard_through_a_proxy() {
    let target = listen(|mut socket| {
        let _ = socket.write_all(b"* OK ready\r\n");
        echo(socket);
    });
    let (proxy, requests) = proxy_answering("HTTP/1.1 200 Connection established\r\n\r\n", target);
    let mut stream = connect("::1", 143, Some(&proxy), None, soon(), &Cancel::default()).unwrap();
    let mut greeting = [0; 12];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"* OK ready\r\n");
    assert_eq!(requests.recv().unwrap(), "CONNECT [::1]:143 HTTP/1.1\r\nHost: [::1]:143\r\n\r\n");
}

#[test]
fn a_proxys_refusal_is_told_word_for_word_and_which_logins_it_has() {
    for (answer, observed, retry) in [
        ("HTTP/1.1 403 Filtered\r\n\r\n", "HTTP 403 Filtered", Retry::Never),
        ("HTTP/1.0 502\r\nX: y\r\n\r\n", "HTTP 502", Retry::Later),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\n\
             proxy-authenticate: Negotiate\r\n\r\n",
            "HTTP 407 Proxy Authentication Required; it offers only NTLM and Negotiate",
            Retry::Never,
        ),
        (
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"a, b\", NTLM\r\n\r\n",
            "HTTP 407 No; it offers Basic and NTLM",
            Retry::Never,
        ),
    ] {
        let (proxy, _requests) = proxy_answering(answer, 0);
        let failure = refused_by(&proxy);
        let told =
            format!("the proxy localhost:{} answered CONNECT mail.example:993 with {observed}", proxy.port);
        assert_eq!(failure.observed, told);
        assert_eq!((failure.kind, failure.retry), (Kind::Network, retry));
    }
    let answer = "HTTP/1.1 407 UGw0bnQ6UGw0bnRlZA== Pl4nted\r\nProxy-Authenticate: Basic realm=x\r\n\r\n";
    let (mut proxy, _requests) = proxy_answering(answer, 0);
    proxy.credentials = Some(("Pl4nt".into(), "Pl4nted".into()));
    let failure = refused_by(&proxy);
    assert!(
        failure.observed.ends_with("HTTP 407 *** ***; it does not accept this user and password"),
        "{failure}"
    );
}

#[test]
fn what_is_no_proxy_is_called_so() {
    let (proxy, _requests) = proxy_answering("* OK IMAP4rev1 ready\r\n", 0);
    let failure = refused_by(&proxy);
    assert_eq!(failure.kind, Kind::Protocol);
    assert!(failure.observed.ends_with("did not answer in HTTP: '* OK IMAP4rev1 ready'"), "{failure}");

    let (proxy, _requests) = proxy_answering(&format!("HTTP/1.1 200 {}", "x".repeat(20_000)), 0);
    assert_eq!(refused_by(&proxy).kind, Kind::Protocol);

    let (proxy, _requests) = proxy_answering("HTTP/1.1 2", 0);
    let failure = refused_by(&proxy);
    assert_eq!(failure.observed, format!("the proxy localhost:{} closed the connection", proxy.port));
}

#[test]
fn a_proxy_that_is_out_of_reach_is_told_from_the_server() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let failure =
        refused_by(&Proxy { set_by: "the.key".into(), host: "127.0.0.1".into(), port, credentials: None });
    assert_eq!((failure.kind, failure.retry), (Kind::Network, Retry::Later));
    assert_eq!(failure.key.as_deref(), Some("the.key"));
    let begin = format!("the proxy 127.0.0.1:{port} cannot be reached: no connection to 127.0.0.1:{port}");
    assert!(failure.observed.starts_with(&begin), "{failure}");

    let silent = listen(|socket| {
        thread::sleep(Duration::from_secs(5));
        drop(socket);
    });
    let proxy = Proxy { set_by: "the.key".into(), host: "127.0.0.1".into(), port: silent, credentials: None };
    let deadline = Deadline::after(Duration::from_millis(300));
    let failure = connect("mail.example", 993, Some(&proxy), None, deadline, &Cancel::default()).unwrap_err();
    assert_eq!((failure.step, failure.kind), (Step::Proxy, Kind::Timeout));
}
