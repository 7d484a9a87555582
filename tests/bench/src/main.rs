//! One client in a process of its own, so that its CPU time and its memory are its own. `run.py` starts them.
//!
//!     um-bench ours UM_HOME read|keep|settle [COMMANDS]   the engine; writes the commands that it sent to the file
//!     um-bench bare PORT CA USER PASSWORD COMMANDS all|two
//!                                             rustls: sends the file's commands, all at once or two at a time, and throws the answers away
//!     um-bench async-imap PORT CA USER PASSWORD      async-imap, streaming all mails
//!     um-bench relay PORT MILLISECONDS        each octet arrives so much later, both ways; until its input ends
//!
//! A client prints one line of JSON: mails, octets, seconds, peak_kb, and kb_at_1000 (resident when so many mails were read).

#[path = "../../real_servers/support/relay.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod relay;

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use futures::TryStreamExt;
use memchr::memmem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use um_imap_oauth2::config;
use um_imap_oauth2::log::Log;
use um_imap_oauth2::mailbox::{Access, Mailbox, Outcome};
use um_imap_oauth2::net::{Anchors, Trust};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let read = match arguments[..] {
        ["ours", um_home, what] => ours(um_home, what, None)?,
        ["ours", um_home, what, commands] => ours(um_home, what, Some(commands))?,
        ["bare", port, ca, user, password, commands, depth] => {
            let depth = if depth == "two" { 2 } else { usize::MAX };
            bare(port, ca, user, password, commands, depth)?
        }
        ["async-imap", port, ca, user, password] => tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?
            .block_on(with_async_imap(port, ca, user, password))?,
        ["relay", port, milliseconds] => {
            let latency = Duration::from_millis(milliseconds.parse()?);
            let relay = relay::Relay::slow(port, latency, None);
            println!("{}", relay.port);
            io::copy(&mut io::stdin(), &mut io::sink())?;
            return Ok(());
        }
        _ => {
            eprintln!("um-bench is started by run.py");
            process::exit(2);
        }
    };
    println!(
        r#"{{"mails": {}, "octets": {}, "seconds": {:.4}, "peak_kb": {}, "kb_at_1000": {}}}"#,
        read.mails,
        read.octets,
        begun.elapsed().as_secs_f64(),
        resident("VmHWM:"),
        read.kb_at_1000
    );
    Ok(())
}

/// The engine as UM's bounce manager uses it: each mail is taken and, but for `read`, decided about at once.
fn ours(um_home: &str, what: &str, commands: Option<&str>) -> Result<Reading, Box<dyn Error>> {
    let mut config = config::from_um_home(Path::new(um_home), None, &|_| None)?.config;
    config.trace = commands.is_some();
    let trust = Trust::new(Anchors::platform(), config.ca_file.as_deref())?;
    let log = Log::default();
    let access = if what == "read" { Access::ReadOnly } else { Access::ReadWrite };
    let mailbox = Mailbox::open(config, trust, access, log.clone())?;
    let fetch = mailbox.fetch()?;
    let mut read = Reading::default();
    // The log holds some records only, and each mail makes one.
    let (end, ended) = mpsc::channel::<()>();
    let trace = commands.map(|_| {
        let log = log.clone();
        thread::spawn(move || {
            let mut sent = Vec::new();
            while ended.recv_timeout(Duration::from_micros(500)) == Err(mpsc::RecvTimeoutError::Timeout) {
                sent.extend(commands_in(&log));
            }
            sent.extend(commands_in(&log));
            sent
        })
    });
    while let Some(message) = mailbox.next(fetch)? {
        read.mail(message.body.len());
        let outcome = match what {
            "settle" => Some(THREE_FOLDERS[message.id.uid as usize % 3]),
            "keep" => Some(Outcome::Keep),
            _ => None,
        };
        if let Some(outcome) = outcome {
            mailbox.settle(message.id, outcome)?;
        }
    }
    mailbox.flush()?;
    drop(end);
    if let (Some(commands), Some(trace)) = (commands, trace) {
        let sent = trace.join().map_err(|_| "the trace is lost")?;
        fs::write(commands, sent.join("\n") + "\n")?;
    }
    Ok(read)
}

/// What was sent since the last time, once the inbox was selected.
fn commands_in(log: &Log) -> impl Iterator<Item = String> {
    log.take().into_iter().filter_map(|record| {
        let (_, command) = record.text.strip_prefix("C: ")?.split_once(' ')?;
        let name = command.split(' ').next()?;
        (!OPENING.contains(&name)).then(|| command.to_owned())
    })
}

/// The commands up to the selected inbox.
const OPENING: [&str; 7] = ["AUTHENTICATE", "CAPABILITY", "EXAMINE", "ID", "LIST", "LOGIN", "SELECT"];

/// No more than TLS, the commands and the end of their answers. Where all of them go out at once, that end is looked for at
/// the end of what was read only.
fn bare(
    port: &str,
    ca: &str,
    user: &str,
    password: &str,
    commands: &str,
    depth: usize,
) -> Result<Reading, Box<dyn Error>> {
    let commands = fs::read_to_string(commands)?;
    let select = if commands.contains("UID MOVE") { "SELECT INBOX" } else { "EXAMINE INBOX" };
    let mut stream = selected(port, ca, user, password, select)?;
    let mut commands: VecDeque<String> =
        (1..).zip(commands.lines()).map(|(tag, command)| format!("U{tag} {command}\r\n")).collect();
    let last = commands.len();
    let mut send = |count: usize, stream: &mut StreamOwned<_, TcpStream>| -> io::Result<()> {
        for command in commands.drain(..count.min(commands.len())) {
            stream.write_all(command.as_bytes())?;
        }
        stream.flush()
    };
    send(depth, &mut stream)?;
    let (mut read, mut answered) = (Reading::default(), 0);
    let mut buffer = vec![0; 64 * 1024];
    let mut kept = 0;
    while answered < last {
        let end = kept + stream.read(&mut buffer[kept..])?;
        if end == kept {
            return Err("the server closed the connection".into());
        }
        read.octets += (end - kept) as u64;
        if depth == usize::MAX {
            let tag = format!("\r\nU{last} OK");
            let tail = &buffer[end.saturating_sub(200)..end];
            answered = if memmem::find(tail, tag.as_bytes()).is_some() { last } else { 0 };
            kept = keep_end(&mut buffer, 0, end);
            continue;
        }
        let mut from = 0;
        while let Some(at) = memmem::find(&buffer[from..end], format!("U{} OK", answered + 1).as_bytes()) {
            from += at + 1;
            answered += 1;
            send(1, &mut stream)?;
        }
        kept = keep_end(&mut buffer, from, end);
    }
    Ok(read)
}

/// Opens a connection on which the inbox is selected.
fn selected(
    port: &str,
    ca: &str,
    user: &str,
    password: &str,
    select: &str,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Box<dyn Error>> {
    let socket = TcpStream::connect(("localhost", port.parse()?))?;
    socket.set_nodelay(true)?;
    let connection = ClientConnection::new(Arc::new(tls(ca)?), ServerName::try_from("localhost")?)?;
    let mut stream = BufReader::with_capacity(32 * 1024, StreamOwned::new(connection, socket));
    stream.read_line(&mut String::new())?;
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    for command in [&format!("LOGIN {} {}", quote(user), quote(password)), select] {
        stream.get_mut().write_all(format!("A {command}\r\n").as_bytes())?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            if line.starts_with("A OK ") {
                break;
            }
            if line.is_empty() || line.starts_with("A ") {
                return Err(line.into());
            }
        }
    }
    Ok(stream.into_inner())
}

/// A tag may lie across two reads: the end of what was read since `from` goes to the beginning of the buffer.
fn keep_end(buffer: &mut [u8], from: usize, end: usize) -> usize {
    let keep = (end - from).min(16);
    buffer.copy_within(end - keep..end, 0);
    keep
}

async fn with_async_imap(
    port: &str,
    ca: &str,
    user: &str,
    password: &str,
) -> Result<Reading, Box<dyn Error>> {
    let socket = tokio::net::TcpStream::connect(("localhost", port.parse()?)).await?;
    socket.set_nodelay(true)?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls(ca)?));
    let stream = connector.connect(ServerName::try_from("localhost")?, socket).await?;
    let mut client = async_imap::Client::new(stream);
    client.read_response().await?;
    let mut session = client.login(user, password).await.map_err(|(error, _)| error)?;
    session.examine("INBOX").await?;
    let mut read = Reading::default();
    {
        let mut mails = session.uid_fetch("1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])").await?;
        while let Some(mail) = mails.try_next().await? {
            read.mail(mail.body().ok_or("a mail without a body")?.len() as u64);
        }
    }
    session.logout().await?;
    Ok(read)
}

fn tls(ca: &str) -> Result<ClientConfig, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// What a client has read.
#[derive(Default)]
struct Reading {
    mails: u64,
    octets: u64,
    kb_at_1000: u64,
}

impl Reading {
    fn mail(&mut self, octets: u64) {
        self.mails += 1;
        self.octets += octets;
        if self.mails == 1000 {
            self.kb_at_1000 = resident("VmRSS:");
        }
    }
}

/// A line of `/proc/self/status` in kB; 0 where there is none.
fn resident(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kb = status.lines().find_map(|text| text.strip_prefix(line)?.trim().strip_suffix(" kB"));
    kb.and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

const THREE_FOLDERS: [Outcome; 3] = [Outcome::HardBounce, Outcome::SoftBounce, Outcome::Unrecognised];
