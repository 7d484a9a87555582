//! A server over TCP that answers each command by a function, for tests in which the order of commands is not what matters.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use super::played::{Played, date, play_with};
use crate::config::{MailboxConfig, Security};

/// Without TLS.
pub(super) struct Server {
    port: u16,
    log: Arc<Mutex<Vec<(Instant, String)>>>,
}

/// What ends the connection when it is the end of an answer.
pub(super) const CLOSE: &str = "* BYE\r\n";

impl Server {
    /// `answer` gives what is said to a command (its text without the tag), with the tagged line, in which `TAG` stands for the
    /// tag; `None`: what any server says.
    pub(super) fn new(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log: Arc<Mutex<Vec<_>>> = Arc::default();
        let (seen, answer) = (log.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (seen.clone(), answer.clone());
                thread::spawn(move || converse(stream.unwrap(), &seen, &*answer));
            }
        });
        Self { port, log }
    }

    /// One with so many mails. `answer` gets the UIDs that a command names, and says what is not usual.
    pub(super) fn with_mails(
        mails: u32,
        answer: impl Fn(&str, &[u32]) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let moved: Mutex<Vec<u32>> = Mutex::default();
        Self::new(move |command| {
            let set = command.strip_prefix("UID SEARCH UID ").or_else(|| {
                let named = ["UID FETCH ", "UID MOVE "].iter().find_map(|name| command.strip_prefix(name));
                named?.split(' ').next()
            });
            let named = set.map(uids).unwrap_or_default();
            if let Some(answer) = answer(command, &named) {
                return Some(answer);
            }
            let mut moved = moved.lock().unwrap();
            let asked = if set.is_none() { (1..=mails).collect() } else { named.clone() };
            let there = asked.into_iter().filter(|uid| !moved.contains(uid));
            if command.starts_with("UID SEARCH") {
                let found: String = there.map(|uid| format!(" {uid}")).collect();
                return Some(format!("* SEARCH{found}\r\nTAG OK done\r\n"));
            }
            if command.starts_with("UID FETCH") {
                let line = |uid| match command {
                    _ if command.contains("BODY.PEEK[]") => whole(uid),
                    _ if command.contains("(UID RFC822.SIZE)") => {
                        format!("* {uid} FETCH (UID {uid} RFC822.SIZE 100)\r\n")
                    }
                    _ => format!(
                        "* {uid} FETCH (UID {uid} INTERNALDATE \"{}\" BODY[HEADER.FIELDS (DATE)] \"Date: {uid}\")\r\n",
                        date(uid)
                    ),
                };
                return Some(there.map(line).collect::<String>() + "TAG OK done\r\n");
            }
            if command.starts_with("UID MOVE") {
                moved.extend(named);
                let set = command.split(' ').nth(2).unwrap_or_default();
                return Some(format!("TAG OK [COPYUID 1 {set} {set}] done\r\n"));
            }
            None
        })
    }

    pub(super) fn play(&self, change: impl FnOnce(&mut MailboxConfig)) -> Played {
        play_with("127.0.0.1", &[], |config| {
            config.port = self.port;
            config.security = Security::Plain;
            change(config);
        })
    }

    /// The commands so far, and when they came.
    pub(super) fn log(&self) -> Vec<(Instant, String)> {
        self.log.lock().unwrap().clone()
    }
}

/// The answer to a body FETCH for one mail of [`Server::with_mails`].
pub(super) fn whole(uid: u32) -> String {
    let body = format!("Date: {uid}\r\n\r\n{}", "x".repeat(100));
    let body = &body[..100];
    format!("* {uid} FETCH (UID {uid} FLAGS () INTERNALDATE \"{}\" BODY[] {{100}}\r\n{body})\r\n", date(uid))
}

fn converse(
    stream: TcpStream,
    seen: &Mutex<Vec<(Instant, String)>>,
    answer: &dyn Fn(&str) -> Option<String>,
) {
    let mut out = stream.try_clone().unwrap();
    if out.write_all(b"* OK ready\r\n").is_err() {
        return;
    }
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        seen.lock().unwrap().push((Instant::now(), command.to_owned()));
        let said = answer(command).unwrap_or_else(|| usual(command));
        if out.write_all(said.replace("TAG", tag).as_bytes()).is_err() || said.ends_with(CLOSE) {
            let _ = out.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn usual(command: &str) -> String {
    let data = match command.split(' ').next() {
        Some("CAPABILITY") => "* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR UIDPLUS MOVE\r\n",
        Some("LIST") => "* LIST () \"/\" INBOX\r\n* LIST () \"/\" debug\r\n* LIST () \"/\" error\r\n",
        Some("SELECT") => "* OK [UIDVALIDITY 14] valid\r\n",
        _ => "",
    };
    format!("{data}TAG OK done\r\n")
}

fn uids(set: &str) -> Vec<u32> {
    let ranges = set.split(',').map(|range| range.split_once(':').unwrap_or((range, range)));
    ranges.flat_map(|(first, last)| first.parse().unwrap()..=last.parse().unwrap()).collect()
}
