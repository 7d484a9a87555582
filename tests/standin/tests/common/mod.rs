//! A client of the tests' own: TLS lines, nothing of IMAP.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use um_standin::Standin;
use um_standin::scenario::{CLIENT_ID, CLIENT_SECRET, USER};

pub const SCOPE: &str = "https://outlook.office365.com/.default";

pub struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    unread: Vec<u8>,
    tag: u32,
    pub greeting: String,
}

impl Client {
    pub fn try_connect(standin: &Standin, port: u16) -> std::io::Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        Self::over(standin, socket)
    }

    pub fn over(standin: &Standin, socket: TcpStream) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(standin.ca_pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Self { stream, unread: Vec::new(), tag: 0, greeting: String::new() })
    }

    /// Connects and reads the greeting.
    pub fn imap(standin: &Standin) -> Self {
        let mut client = Self::try_connect(standin, standin.imap_port()).unwrap();
        client.greeting = client.line().unwrap();
        client
    }

    /// … and logs in to the default mailbox.
    pub fn logged_in(standin: &Standin) -> Self {
        let mut client = Self::imap(standin);
        let token = token(standin);
        assert_eq!(client.log_in(USER, &token), "OK AUTHENTICATE completed.");
        client
    }

    /// What came after the tag.
    pub fn log_in(&mut self, user: &str, token: &str) -> String {
        let response = STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
        self.command(&format!("AUTHENTICATE XOAUTH2 {response}")).unwrap().1
    }

    pub fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends a command; the untagged lines of its answer (literals inside them), and what came after the tag.
    pub fn command(&mut self, command: &str) -> std::io::Result<(Vec<String>, String)> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.send(format!("{tag} {command}\r\n").as_bytes());
        let mut untagged = Vec::new();
        loop {
            let line = self.line()?;
            match line.strip_prefix(&format!("{tag} ")) {
                Some(end) => return Ok((untagged, end.to_owned())),
                None => untagged.push(line),
            }
        }
    }

    /// The status of a command whose untagged lines do not matter.
    pub fn status(&mut self, command: &str) -> String {
        self.command(command).unwrap().1
    }

    /// A line without its end; a literal in it is followed by the rest of the line.
    pub fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        loop {
            let end = self.until(|unread| unread.iter().position(|byte| *byte == b'\n'))?;
            let piece: Vec<u8> = self.unread.drain(..=end).collect();
            let piece = String::from_utf8_lossy(&piece).trim_end_matches(['\r', '\n']).to_owned();
            let literal =
                piece.strip_suffix('}').and_then(|piece| piece.rsplit_once('{')?.1.parse::<usize>().ok());
            line.push_str(&piece);
            let Some(length) = literal else { return Ok(line) };
            self.until(|unread| (unread.len() >= length).then_some(0))?;
            let octets: Vec<u8> = self.unread.drain(..length).collect();
            line.push_str("\r\n");
            line.push_str(&String::from_utf8_lossy(&octets));
        }
    }

    /// All that comes until the connection ends, and how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, std::io::Result<()>) {
        let mut octets = std::mem::take(&mut self.unread);
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return (octets, Ok(())),
                Ok(count) => octets.extend_from_slice(&buffer[..count]),
                Err(error) => return (octets, Err(error)),
            }
        }
    }

    fn until(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> std::io::Result<usize> {
        loop {
            if let Some(at) = found(&self.unread) {
                return Ok(at);
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

/// An HTTP answer: status, head, body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Posts a form to the token endpoint.
pub fn post(standin: &Standin, path: &str, form: &[(&str, &str)]) -> std::io::Result<Answer> {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let body = body.join("&");
    let mut client = Client::try_connect(standin, standin.token_port())?;
    client.send(
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
    let (octets, end) = client.rest();
    end?;
    let text = String::from_utf8(octets).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

pub fn path(standin: &Standin) -> String {
    let uri = standin.token_uri();
    uri[uri.match_indices('/').nth(2).unwrap().0..].to_owned()
}

/// What the endpoint says to a good request.
pub fn grant(standin: &Standin) -> Answer {
    post(standin, &path(standin), &good_form()).unwrap()
}

pub fn good_form() -> Vec<(&'static str, &'static str)> {
    vec![
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("scope", SCOPE),
    ]
}

pub fn token(standin: &Standin) -> String {
    grant(standin).json()["access_token"].as_str().unwrap().to_owned()
}

/// Mails that a client can stumble over: 8-bit, NUL, bare CR and LF, no line end, nothing.
pub fn awkward_mails() -> Vec<Vec<u8>> {
    let report = "From: MAILER-DAEMON@mx.example.net (Mail Delivery System)\r\nTo: bounces@example.com\r\n\
        Subject: Undelivered \"Mail\" \\ Returned\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
        Message-ID: <1@mx.example.net>\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\
        \tboundary=\"b/1\"\r\n\r\npreamble\r\n--b/1\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nNicht zugestellt: unbekannter Empfänger\r\n--b/1\r\n\
        Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; x@example.net\r\nAction: failed\r\n\
        Status: 5.1.1\r\n\r\n--b/1\r\nContent-Type: message/rfc822\r\n\r\nFrom: news@example.com\r\nTo: x@example.net\r\n\
        Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n\r\n--b/1--\r\n";
    let mut every_octet = b"Subject: every octet\r\nContent-Type: application/octet-stream\r\n\r\n".to_vec();
    every_octet.extend((0..=255).cycle().take(70_000));
    vec![
        report.as_bytes().to_vec(),
        every_octet,
        b"Subject: 8-bit \xfc\xe4 header\r\nFrom: \xc3\xbcber <u@example.org>\r\n\r\nbare\rCR and\nLF, no end".to_vec(),
        b"Subject: only a header\r\n\r\n".to_vec(),
        b"no header at all".to_vec(),
        b"Content-Type: multipart/mixed; boundary=x\r\nSubject: no parts\r\n\r\nnothing\r\n".to_vec(),
        b") t1 OK FETCH completed.\r\n* BYE {10}\r\n\r\n{3}\r\n".to_vec(),
    ]
}
