//! What a hostile server can do with endless and absurd answers: each ends in an error, in little memory.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

use um_imap_oauth2::failure::{Failure, Result};
use um_imap_oauth2::imap::Transport;
use um_imap_oauth2::imap::commands::Command;
use um_imap_oauth2::imap::login::{Inbox, Login, Opening, Secret, open};
use um_imap_oauth2::imap::tags::Tags;
use um_imap_oauth2::imap::uids::Uid;
use um_imap_oauth2::net::{Deadline, Trust};

/// All in one test: the memory is that of the process.
#[test]
fn a_hostile_server_gets_an_error_and_no_memory() {
    let before = while_logging_in();
    for command in ["GREETING", "CAPABILITY", "AUTHENTICATE", "LIST", "SELECT"] {
        for answer in &before {
            match log_in(command, answer) {
                // A text in a greeting announces nothing, and the line behind it is passed over.
                Ok(_) if command == "GREETING" && answer.name.starts_with("parentheses behind") => {
                    check_memory(command, answer);
                }
                result => check(command, answer, result.err()),
            }
        }
    }

    let after = after_the_login();
    for command in [
        Command::Noop,
        Command::Search { unseen: true },
        Command::Fetch((1..9).filter_map(Uid::new).collect()),
    ] {
        for answer in &after {
            let name = command.text();
            let word = name.split(' ').find(|&word| word != "UID").unwrap();
            let failure = log_in(word, answer).and_then(|mut session| session.run(&command, ()).map(drop));
            check(&name, answer, failure.err());
        }
    }

    let literals = answer("literals of line ends", "", &literals_of_line_ends(), 32);
    check("LIST", &literals, log_in("LIST", &literals).err());
    for (name, body) in [("an endless search", " 4294967295"), ("a search without a number", " ")] {
        let (answer, search) = (answer(name, "* SEARCH", body, FOR_EVER), Command::Search { unseen: true });
        let failure = log_in("SEARCH", &answer).and_then(|mut session| session.run(&search, ()).map(drop));
        check("SEARCH", &answer, failure.err());
    }

    // As much as is taken, in the shape that needs most memory.
    let attributes = format!("* LIST ({}) NIL a\r\n", ["\\a"; 20_000].join(" "));
    let shapes = [
        answer("folders", "", "* LIST () NIL a\r\n", 100_000).then("TAG OK done\r\n"),
        answer("attributes", "", &attributes, (2_000_000 / attributes.len()) as u64).then("TAG OK done\r\n"),
        answer("codes", "", "* OK [UIDVALIDITY 7]\r\n", 90_000).then("TAG OK done\r\n"),
    ];
    for answer in &shapes {
        if let Err(failure) = log_in("LIST", answer) {
            panic!("{}: {failure:?}", answer.name);
        }
        check_memory("LIST", answer);
    }
}

/// Answers to the commands up to SELECT.
fn while_logging_in() -> Vec<Answer> {
    vec![
        answer("1,000,000 parentheses", "* LIST (", "(", 1_000_000),
        answer("1,000,000 parentheses in what is unknown", "* X-FOO ", "(", 1_000_000),
        answer("parentheses as deep as a line", "* LIST ", "(", 60_000).then("\r\n"),
        answer(
            "parentheses behind a text that ends like a literal",
            "* OK [UIDVALIDITY 1] {8000}\r\n* LIST ",
            "(",
            7_000,
        )
        .then("\r\n"),
        answer("parentheses in a literal's line", "* LIST () \"/\" {3}\r\nabc ", "(", 60_000).then("\r\n"),
        answer("a line without end", "* LIST () \"/\" ", "x", FOR_EVER),
        answer("a tagged line without end", "TAG OK ", "x", FOR_EVER),
        answer("a line without a word", "", "x", FOR_EVER),
        answer("zeros", "", "\0", FOR_EVER),
        answer("a literal of 4 GB", "* LIST () \"/\" {4294967296}\r\n", "x", FOR_EVER),
        answer("a literal of 4 GB, unknown", "* X {4294967295+}\r\n", "x", FOR_EVER),
        answer(
            "a literal of countless octets",
            "* LIST () \"/\" {99999999999999999999999}\r\n",
            "x",
            FOR_EVER,
        ),
        answer("a literal of 64 kB of line ends", "* LIST () \"/\" {65536}\r\n", "\r\n", FOR_EVER),
        answer("no tag", "OK done\r\n", "", 0),
        answer("a foreign tag", "zz9 OK done\r\n", "", 0),
        answer("empty lines", "", "\r\n", FOR_EVER),
        answer("endless unknown lines", "", "* X y\r\n", FOR_EVER),
        answer("endless texts", "", "* OK x\r\n", FOR_EVER),
        answer("endless codes", "", "* OK [UIDVALIDITY 7]\r\n", FOR_EVER),
        answer("endless complaints", "", "* NO x\r\n", FOR_EVER),
        answer("endless numbers", "", "* 1 EXISTS\r\n", FOR_EVER),
        answer("endless folders", "", "* LIST () NIL a\r\n", FOR_EVER),
        answer("endless capabilities", "", "* CAPABILITY IMAP4rev1 a b c d\r\n", FOR_EVER),
        answer("endless challenges", "", "+ \r\n", FOR_EVER),
        answer("challenges without a blank", "", "+\r\n", FOR_EVER),
    ]
}

/// Answers to commands on the selected inbox.
fn after_the_login() -> Vec<Answer> {
    vec![
        answer("1,000,000 parentheses", "* 1 FETCH (UID 1 X ", "(", 1_000_000),
        answer("1,000,000 parentheses in what is unknown", "* X-FOO ", "(", 1_000_000),
        answer("a line without end", "* 1 FETCH (UID 1 FLAGS (", "x", FOR_EVER),
        answer("a line without a word", "", "x", FOR_EVER),
        answer("a literal of 4 GB", "* 1 FETCH (UID 1 X {4294967296}\r\n", "x", FOR_EVER),
        answer("a message of 4 GB", "* 1 FETCH (UID 1 BODY[] {4294967296}\r\n", "x", FOR_EVER),
        answer("a literal of countless octets", "* 1 FETCH (X {99999999999999999999999}\r\n", "x", FOR_EVER),
        answer("a literal of 64 kB of line ends", "* X {65536}\r\n", "\r\n", 1 << 16),
        answer("many literals", "* X ", "{1}\r\nx", FOR_EVER),
        answer("no tag", "OK done\r\n", "", 0),
        answer("a foreign tag", "zz9 OK done\r\n", "", 0),
        answer("the tag of a command before", "U0 OK done\r\n", "", 0),
        answer("endless lines", "", &format!("* X {}\r\n", "y".repeat(1000)), FOR_EVER),
        answer("endless complaints", "", &format!("* NO {}\r\n", "y".repeat(1000)), FOR_EVER),
        answer("endless challenges", "", &format!("+ {}\r\n", "y".repeat(1000)), FOR_EVER),
        answer("endless messages", "", "* 1 FETCH (BODY[] {3}\r\nabc UID 1)\r\n", FOR_EVER),
        answer("endless empty messages", "", "* 1 FETCH (BODY[] {0}\r\n UID 1)\r\n", FOR_EVER),
        answer("two messages in one", "* 1 FETCH (", "BODY[] {1}\r\na ", FOR_EVER),
    ]
}

#[track_caller]
fn check(command: &str, answer: &Answer, failure: Option<Failure>) {
    let Some(failure) = failure else { panic!("{} in the answer to {command} was taken", answer.name) };
    assert!(
        failure.observed.len() < 8_000 && !failure.observed.contains("dXNl"),
        "{} in the answer to {command}: {failure:?}",
        answer.name
    );
    check_memory(command, answer);
}

#[track_caller]
fn check_memory(command: &str, answer: &Answer) {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let most: u64 = most.expect("the kernel tells it").parse().unwrap();
    assert!(most < 64 * 1024, "{} in the answer to {command}: {most} kB were resident", answer.name);
}

/// Logs in where the answer to `command` is `answer`.
fn log_in(command: &str, answer: &Answer) -> Result<um_imap_oauth2::imap::session::Session<()>> {
    let mut peer = Hostile {
        command: command.to_owned(),
        answer: answer.clone(),
        begun: false,
        sent: 0,
        to_client: VecDeque::new(),
        from_client: Vec::new(),
    };
    if command == "GREETING" {
        peer.begin("");
    } else {
        peer.say("* OK ready\r\n");
    }
    let login = Login { user: "user", secret: Secret::Password("secret") };
    let inbox = Inbox { name: "INBOX", read_only: false };
    let deadline = Deadline::after(Duration::from_secs(60));
    let opening = Opening { start_tls: None, deadline, tags: Tags::with_prefix("U"), trace: None };
    open(Box::new(peer), opening, &login, &inbox)
}

/// `head`, then `body` so many times, then `tail`. `TAG` in it is the command's.
#[derive(Clone)]
struct Answer {
    name: String,
    head: String,
    body: Vec<u8>,
    times: u64,
    tail: String,
}

fn answer(name: &str, head: &str, body: &str, times: u64) -> Answer {
    // Written in larger pieces it costs the test less time.
    let body = if times == FOR_EVER { body.repeat(4096 / body.len()) } else { body.to_owned() };
    Answer { name: name.into(), head: head.into(), body: body.into(), times, tail: String::new() }
}

impl Answer {
    fn then(self, tail: &str) -> Answer {
        Answer { tail: tail.into(), ..self }
    }
}

fn literals_of_line_ends() -> String {
    format!("* LIST () \"/\" {{8192}}\r\n{}\r\n", "\r\n".repeat(4096))
}

/// A server that answers as it should until `command` comes.
struct Hostile {
    command: String,
    answer: Answer,
    begun: bool,
    sent: u64,
    to_client: VecDeque<u8>,
    from_client: Vec<u8>,
}

impl Hostile {
    fn say(&mut self, text: &str) {
        self.to_client.extend(text.as_bytes());
    }

    fn begin(&mut self, tag: &str) {
        self.begun = true;
        self.answer.tail = self.answer.tail.replace("TAG", tag);
        self.say(&self.answer.head.replace("TAG", tag));
    }

    fn hear(&mut self, line: &str) {
        if self.begun {
            return;
        }
        let mut words = line.split(' ');
        let tag = words.next().unwrap_or_default();
        let command = words.find(|&word| word != "UID").unwrap_or_default();
        if command == self.command {
            return self.begin(tag);
        }
        match command {
            "CAPABILITY" => self.say("* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR MOVE UIDPLUS\r\n"),
            "LIST" => self.say("* LIST () \"/\" INBOX\r\n"),
            "SELECT" => self.say("* OK [UIDVALIDITY 7] valid\r\n"),
            _ => {}
        }
        self.say(&format!("{tag} OK done\r\n"));
    }
}

impl Read for Hostile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.begun {
            while self.to_client.len() < buffer.len() && self.answer.times > 0 && !self.answer.body.is_empty()
            {
                self.to_client.extend(&self.answer.body);
                self.answer.times -= 1;
            }
            if self.answer.times == 0 {
                self.to_client.extend(std::mem::take(&mut self.answer.tail).into_bytes());
                self.begun = false;
                self.command.clear();
            }
        }
        let read = self.to_client.read(buffer)?;
        self.sent += read as u64;
        assert!(self.sent < 80 << 20, "{} is read for ever", self.answer.name);
        Ok(read)
    }
}

impl Write for Hostile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.from_client.extend_from_slice(octets);
        while let Some(end) = self.from_client.windows(2).position(|end| end == b"\r\n") {
            let line: Vec<u8> = self.from_client.drain(..end + 2).collect();
            self.hear(&String::from_utf8_lossy(&line[..end]));
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Hostile {
    fn set_deadline(&mut self, _: Deadline) {}

    fn peer(&self) -> &str {
        "the server"
    }

    fn is_encrypted(&self) -> bool {
        true
    }

    fn start_tls(self: Box<Self>, _: &str, _: &Trust, _: Deadline) -> Result<Box<dyn Transport>> {
        Ok(self)
    }
}

const FOR_EVER: u64 = u64::MAX;
