//! What the stand-in for Microsoft's servers is not: proxies, servers of other protocols, certificates of others, and nobody.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

/// Something that listens on the loopback interface until the process ends, or does not.
pub struct Peer {
    pub port: u16,
    /// What keeps a full queue full.
    _connections: Vec<TcpStream>,
}

impl Peer {
    /// What it is begins with one of these:
    ///
    /// - `nobody`: nothing listens on the port
    /// - `silent`: accepts, and says nothing
    /// - `full`: answers no connection at all
    /// - `says: TEXT`: says that, whatever it hears
    /// - `dialogue: GREETING|ANSWER|…`: an IMAP server; the answers are to one line each, with `{tag}` in them,
    ///   or after `!` to whatever comes next
    /// - `proxy: STATUS AND HEADERS`: answers CONNECT with that
    /// - `tunnel`: a proxy that connects to `standin`, whatever it is asked for
    /// - `tls: NAME`: TLS with a certificate that has that name and is signed by itself
    /// - `tls-authority: NAME`: with one that says to be a certificate authority's; `scratch`/peer.pem has it, too
    pub fn start(what: &str, standin: u16, scratch: &Path) -> Self {
        let (kind, text) = what.split_once(": ").unwrap_or((what, ""));
        let text = text.to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        match kind {
            "nobody" => drop(listener),
            "full" => {
                let (port, full) = full();
                return Self { port, _connections: full };
            }
            "silent" => serve(listener, |mut stream| io::copy(&mut stream, &mut io::sink()).map(drop)),
            "says" => serve(listener, move |mut stream| {
                write!(stream, "{text}\r\n")?;
                io::copy(&mut stream, &mut io::sink()).map(drop)
            }),
            "dialogue" => serve(listener, move |stream| dialogue(stream, &text)),
            "proxy" => serve(listener, move |mut stream| {
                head(&mut stream)?;
                write!(stream, "HTTP/1.1 {text}\r\n\r\n")?;
                io::copy(&mut stream, &mut io::sink()).map(drop)
            }),
            "tunnel" => serve(listener, move |stream| tunnel(stream, standin)),
            "tls" | "tls-authority" => {
                let config = certified(&text, kind == "tls-authority", scratch);
                serve(listener, move |mut stream| {
                    let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                    while tls.is_handshaking() {
                        tls.complete_io(&mut stream)?;
                    }
                    io::copy(&mut stream, &mut io::sink()).map(drop)
                });
            }
            other => panic!("no peer is called {other}"),
        }
        Self { port, _connections: Vec::new() }
    }
}

/// A thread for each connection. A peer that hangs up is nobody's failure here.
fn serve(listener: TcpListener, session: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) {
    let session = Arc::new(session);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = session.clone();
            thread::spawn(move || session(stream));
        }
    });
}

/// A port whose queue of connections is full: Linux answers no further one.
fn full() -> (u16, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut connections = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        connections.push(stream);
    }
    connections.push(socket.into());
    (address.port(), connections)
}

fn dialogue(mut stream: TcpStream, script: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut script = script.split('|');
    write!(stream, "{}\r\n", script.next().unwrap_or_default())?;
    for answer in script {
        if let Some(answer) = answer.strip_prefix('!') {
            let heard = lines.fill_buf()?.len();
            lines.consume(heard);
            write!(stream, "{answer}\r\n")?;
            continue;
        }
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let tag = line.split(' ').next().unwrap_or_default();
        write!(stream, "{}\r\n", answer.replace("{tag}", tag))?;
    }
    io::copy(&mut lines, &mut io::sink()).map(drop)
}

/// Reads to the empty line.
fn head(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet)?;
        head.extend(octet);
    }
    Ok(())
}

fn tunnel(mut stream: TcpStream, port: u16) -> io::Result<()> {
    head(&mut stream)?;
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut to) = (server.try_clone()?, stream.try_clone()?);
    thread::spawn(move || {
        let copied = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        copied
    });
    let copied = io::copy(&mut stream, &mut &server);
    let _ = server.shutdown(Shutdown::Both);
    copied.map(drop)
}

fn certified(name: &str, is_authority: bool, scratch: &Path) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(scratch.join("peer.pem"), certificate.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        );
    Arc::new(config.unwrap())
}
