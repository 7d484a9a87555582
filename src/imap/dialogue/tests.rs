use std::io::{Read, Write};
use std::sync::{Arc, Mutex, mpsc};

use rustls::ServerConnection;

use super::*;
use crate::imap::responses::Status;
use crate::net::testing::{Authority, listen, soon};
use crate::net::{self, Cancel, Trust};

#[test]
fn neither_a_large_message_nor_octets_that_trickle_in_prolong_the_wait() {
    let fetch = b"* 1 FETCH (UID 1 BODY[] {1073741824}\r\n";
    let first = limits_of_waits(fetch, 20, 1);
    assert!(first.windows(2).all(|pair| pair[0] >= pair[1]), "{first:?}");
    assert!(first[0] <= Times::default().command, "{first:?}");
    // Octets that come at a speed at which mail is read do.
    let enough = limits_of_waits(fetch, 80, 16 * 1024);
    assert!(enough.windows(2).any(|pair| pair[0] < pair[1]), "{enough:?}");
    // Those of a message that was not asked for do not.
    let unasked = limits_of_waits(
        b"* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n* 1 FETCH (UID 2 BODY[] {1073741824}\r\n",
        80,
        16 * 1024,
    );
    assert!(unasked.windows(2).all(|pair| pair[0] >= pair[1]), "{unasked:?}");
}

/// Returns how long each read was to wait in the answer to a FETCH of one message: `answer`, and then `pieces` of a size.
fn limits_of_waits(answer: &[u8], pieces: usize, size: usize) -> Vec<Duration> {
    let waits = Arc::default();
    let more = (0..pieces).map(|_| vec![b'x'; size]);
    let pieces = [answer.to_vec()].into_iter().chain(more).map(Some).collect();
    let mut session = session(Box::new(Peer { pieces, waits: Arc::clone(&waits) }));
    session.send(&Command::Fetch(uid(1).into()), ()).unwrap();
    waits.lock().unwrap().clear();
    while session.receive().is_ok() {}
    let waits = waits.lock().unwrap();
    waits.clone()
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

/// Returns a dialogue with tags `U1`, `U2`, … after its opening.
fn session(stream: Box<dyn Transport>) -> Dialogue<()> {
    Dialogue::new(stream, Tags::with_prefix("U"), Deadline::after(Duration::ZERO), None).opened()
}

/// Returns a session whose server says these lines, one piece each; `None` is a pause that lasts until the deadline.
fn server_says(lines: &[Option<&str>]) -> Dialogue<()> {
    let pieces = lines.iter().map(|line| line.map(|line| line.as_bytes().to_vec())).collect();
    session(Box::new(Peer { pieces, waits: Arc::default() }))
}

/// Sends `command` and returns everything up to its answer, in words, and the lines that were passed over.
fn play(command: &Command, answer: &str) -> Result<(Vec<String>, Skipped)> {
    let mut session = server_says(&[Some(&format!("{answer}U1 OK done\r\n"))]);
    session.send(command, ())?;
    let mut all = Vec::new();
    loop {
        match session.receive()? {
            Received::Done(..) => return Ok((all, session.take_skipped())),
            Received::Uids(uids) => all.push(format!("{}-{}", uids.start(), uids.end())),
            Received::Data(response) => all.push(format!("{response:?}")),
            Received::MessageStart { awaited, .. } => all.push(format!("awaited: {awaited}")),
            Received::Message(octets) => all.push(format!("{} octets", octets.len())),
        }
    }
}

#[test]
fn a_wake_up_changes_nothing() {
    let pieces = [
        None,
        Some("* 1 FETCH (UID 1 BO"),
        None,
        None,
        Some("DY[] {6}\r\nab"),
        None,
        Some("cdef)\r\nU1 O"),
        None,
        Some("K done\r\n"),
    ];
    let mut session = server_says(&pieces);
    session.send(&Command::Fetch(uid(1).into()), ()).unwrap();
    let (mut wakes, mut message) = (0, 0);
    loop {
        match session.receive_until(Instant::now() + Duration::from_secs(1)).unwrap() {
            None => wakes += 1,
            Some(Received::Message(octets)) => message += octets.len(),
            Some(Received::Done((), condition)) => {
                assert_eq!(condition.status, Status::Ok);
                break;
            }
            Some(_) => {}
        }
    }
    assert_eq!((wakes, message), (5, 6));
}

#[test]
fn a_wake_up_time_behind_the_commands_limit_does_not_hide_it() {
    let mut session = server_says(&[None]);
    session.send(&Command::Noop, ()).unwrap();
    let late = Instant::now() + Times::default().noop + Duration::from_secs(60);
    let failure = session.receive_until(late).err().unwrap();
    assert_eq!((failure.kind, failure.step), (Kind::Timeout, Step::Search));
}

#[test]
fn without_a_command_only_the_wake_up_time_counts() {
    let mut session = server_says(&[None, Some("* 5 EXISTS\r\n"), None, Some("* BYE shutting down\r\n")]);
    let soon = || Instant::now() + Duration::from_secs(1);
    assert!(session.receive_until(soon()).unwrap().is_none());
    assert!(matches!(session.receive_until(soon()), Ok(Some(Received::Data(Response::Exists(5))))));
    assert!(session.receive_until(soon()).unwrap().is_none());
    assert_eq!(session.receive_until(soon()).err().unwrap().observed, "BYE shutting down");
}

#[test]
fn half_a_tls_record_survives_a_wake_up() {
    let authority = Authority::new();
    let config = authority.server_for(&["localhost"]);
    // The second half of each record waits until the client has woken up.
    let (woken, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let port = listen(move |mut socket| {
        let mut tls = ServerConnection::new(config.clone()).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        for line in ["* 1 FETCH (UID 1 BODY[] {3}\r\nab", "c)\r\nU1 OK done\r\n"] {
            tls.writer().write_all(line.as_bytes()).unwrap();
            let mut record = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut record).unwrap();
            }
            let half = record.len() - 7;
            socket.write_all(&record[..half]).unwrap();
            wait.lock().unwrap().recv().unwrap();
            socket.write_all(&record[half..]).unwrap();
        }
    });
    let (trust, cancel) = (authority.trust(), Cancel::default());
    let stream = net::connect("localhost", port, None, Some(&trust), soon(), &cancel).unwrap();
    let mut session = session(Box::new(stream));
    session.send(&Command::Fetch(uid(1).into()), ()).unwrap();
    let mut message = Vec::new();
    loop {
        match session.receive_until(Instant::now() + Duration::from_millis(50)).unwrap() {
            // A wake-up between two records lets the server go on sooner, and changes nothing else.
            None => drop(woken.send(())),
            Some(Received::Message(octets)) => message.extend_from_slice(octets),
            Some(Received::Done(..)) => break,
            Some(_) => {}
        }
    }
    assert_eq!(message, b"abc");
}

#[test]
fn lines_that_no_command_needs_are_passed_over_and_counted() {
    let lines = "garbage\r\n\r\n* LIST (x\r\n* SEARCH x\r\n* 3 EXISTS\r\n";
    let (all, skipped) = play(&Command::Noop, lines).unwrap();
    assert_eq!(all, ["SearchEnd { readable: false }", "Exists(3)"]);
    assert_eq!(skipped, Skipped { count: 2, first: "garbage".into() });
}

#[test]
fn while_a_message_is_awaited_a_line_that_is_no_response_ends_the_session() {
    let fetch = Command::Fetch(uid(1).into());
    let failure = play(&fetch, "garbage\r\n").err().unwrap();
    assert_eq!(failure.kind, Kind::Protocol);
    assert!(failure.observed.ends_with("not an IMAP response: garbage"), "{failure:?}");
    let failure = play(&fetch, "* 1 FETCH (BODY[] {1}\r\na UID 1)\r\nsecret text\r\n").err().unwrap();
    assert!(failure.observed.ends_with("not an IMAP response: {11 octets}"), "{failure:?}");
    // These forge nothing.
    let harmless = "\r\n\0\r\n* LIST (x\r\n[COPYUID 55 31 6]\r\nNO Server Unavailable. 15\r\n";
    assert_eq!(play(&fetch, harmless).unwrap().1.count, 1);
}

#[test]
fn an_answer_to_a_command_that_was_not_sent_ends_the_session() {
    for line in ["U2 OK done", "a1 OK done", "U1x NO"] {
        let failure = play(&Command::Noop, &format!("{line}\r\n")).err().unwrap();
        assert!(failure.observed.contains("a command that was not sent"), "{failure:?}");
    }
}

#[test]
fn the_answers_to_a_search_are_ranges_and_have_an_end() {
    let search = Command::Search { unseen: false };
    let (all, _) = play(&search, "* 9 EXISTS\r\n* SEARCH 1 2 3\r\n* SEARCH 9\r\n").unwrap();
    let end = "SearchEnd { readable: true }";
    assert_eq!(all, ["Exists(9)", "1-3", end, "9-9", end]);
    assert_eq!(play(&search, "* ESEARCH (TAG \"U1\") UID\r\n").unwrap().0, [end]);
    assert_eq!(play(&search, "").unwrap().0, Vec::<String>::new());
    let failure = play(&search, "* SEARCH 1 x\r\n").err().unwrap();
    assert!(failure.observed.contains("not a UID"), "{failure:?}");
}

#[test]
fn a_search_finds_no_more_than_its_limit_however_it_is_written() {
    let line = "* ESEARCH (TAG \"U1\") UID ALL 1:4294967295\r\n";
    let (all, _) = play(&Command::Search { unseen: false }, &line.repeat(3)).unwrap();
    let end = "SearchEnd { readable: true }".to_owned();
    assert_eq!(all, [format!("1-{}", limits::UIDS), end.clone(), end.clone(), end]);
}

#[test]
fn a_range_without_an_end_does_not_name_the_message_before_it() {
    let headers = "* 7 FETCH (UID 41 BODY[HEADER.FIELDS (DATE)] {0}\r\n)\r\n";
    assert!(play(&Command::HeadersFrom(uid(42)), headers).unwrap().0.is_empty());
    assert_eq!(play(&Command::HeadersFrom(uid(41)), headers).unwrap().0.len(), 1);
    assert_eq!(play(&Command::Headers(uid(41).into()), headers).unwrap().0.len(), 1);
}

#[test]
fn a_message_that_was_asked_for_is_told_from_others() {
    let message = |uid: u32| format!("* 1 FETCH (UID {uid} BODY[] {{3}}\r\nabc)\r\n");
    let (all, _) = play(&Command::Fetch(uid(1).into()), &(message(1) + &message(2))).unwrap();
    let starts: Vec<_> = all.iter().filter(|event| event.starts_with("awaited")).collect();
    assert_eq!(starts, ["awaited: true", "awaited: false"]);
}

struct Peer {
    pieces: VecDeque<Option<Vec<u8>>>,
    waits: Arc<Mutex<Vec<Duration>>>,
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.pop_front() else { return Ok(0) };
        let piece = piece.ok_or(io::ErrorKind::TimedOut)?;
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

impl Write for Peer {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Peer {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.waits.lock().unwrap().push(deadline.left().unwrap_or_default());
    }

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

#[test]
fn the_greeting_is_waited_for_until_the_end_of_the_opening() {
    let waits = Arc::default();
    let pieces = [Some(b"* OK ready\r\n".to_vec())].into_iter().collect();
    let peer = Box::new(Peer { pieces, waits: Arc::clone(&waits) });
    let mut dialogue = Dialogue::new(peer, Tags::with_prefix("U"), soon(), None);
    assert!(matches!(dialogue.receive(), Ok(Received::Data(Response::Untagged(_)))));
    let waited = waits.lock().unwrap()[0];
    assert!(waited > Duration::from_secs(5) && waited <= Duration::from_secs(10), "{waited:?}");
}
