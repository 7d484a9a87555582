//! Sessions that real servers had, with the odd lines of other servers in them: whatever is put in, and wherever, the same
//! messages are read.

#[path = "fuzz/dialogues.rs"]
#[allow(dead_code, reason = "the fuzz targets use the rest of it")]
mod dialogues;

use dialogues::{Outcome, play, responses_in};

/// Lines that change nothing: those that a server may send at any time, and those that some servers were seen to send.
/// Everything in them that could count has a name or a UID of its own.
const LINES: &[&str] = &[
    "",
    "\0",
    "\0\0\0 \t",
    "* OK [ALERT] Maintenance tonight",
    "*  OK  still here {5}",
    "* NO [ALERT] Mailbox is at 99% of its quota",
    "* OK",
    "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID MOVE UIDPLUS",
    "*  CAPABILITY  IMAP4rev2 SASL-IR  AUTH=PLAIN ID MOVE UIDPLUS X=@-% == ",
    "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID MOVE UIDPLUS] ready",
    "* X-UNKNOWN (((",
    "* X-UNKNOWN {5}\r\n)\"((\r",
    "* XLIST (\\Inbox) \"/\" \"Posteingang\"",
    "* NAMESPACE ((\"\" \"/\")) NIL NIL",
    "* ID (\"name\" \"Exchange\" \"version\" \"15.20\")",
    "* ID NIL",
    "* FLAGS (\\Answered",
    "* 7 RECENT",
    "* ENABLED",
    "* BAD Command received in an invalid state.",
    "BAD Command Error. 12",
    "* VANISHED 900:904",
    "* STATUS \"x (y)\" (MESSAGES 3",
    "* ESEARCH (TAG \"U1\") UID",
    "* SEARCH",
    "*  SEARCH ",
    "* SORT 1 2",
    "* THREAD (2)(3 6 (4 23)(44 7 96))",
    "* LIST (\\HasNoChildren \\AllMail) \"/\" \"odd [Gmail]/All Mail\"",
    "* LIST (\\Archived \\Sentry \\Junkyard \\DraftsX \\Trashcan \\MarkedUp) \"/\" odd-attributes",
    "* LIST NIL \"/\" odd-nil",
    "* LIST  ()  \"/\"  odd-blanks ",
    "* LIST ()\"/\"odd-none",
    "* LIST () \"/\" odd name without quotes",
    "* LIST () \"/\" odd\ttab",
    "* LIST () \"/\" \"odd \"quoted\" name\"",
    "* LIST () \"/\" odd-extended (\"CHILDINFO\" (\"SUBSCRIBED\"))",
    "* LIST () \"/\" odd%b*",
    "* LIST () \"/\" {5}\r\nodd x",
    "* LIST () \"/\" \"odd Gel\u{f6}scht\"",
    "* LIST (\\Marked",
    "* LSUB () \"/\" odd",
    "* 900 FETCH (UID 900 FLAGS NIL)",
    "* 900 FETCH (UID 900 RFC822.SIZE 9.3736e+06)",
    "* 900 FETCH (UID 900 INTERNALDATE 23-Nov-2026)",
    "* 900 FETCH (INTERNALDATE \"23-Nov-2026\" UID 900)",
    "* 900 FETCH (ENVELOPE (\"d\" {3}\r\na)b ((NIL NIL \"x\" \"y\")) NIL NIL NIL NIL NIL NIL \"<i>\") UID 900)",
    "*  900  FETCH  ( UID  900  FLAGS  ( \\Seen ) )",
    "* 900 FETCH (BODY[]<0> {3}\r\nabc UID 900)",
    "* 900 FETCH (FLAGS",
    "[COPYUID 983  ]",
];

const SESSION: &[u8] = include_bytes!("fuzz/seeds/session/dovecot");

#[test]
fn an_odd_line_anywhere_changes_nothing() {
    let expected = Outcome::of(SESSION);
    assert!(expected.is_whole(), "{expected:?}");
    let places = responses_in(SESSION);
    for (number, line) in LINES.iter().enumerate() {
        // U+0080 to U+00FF stand for the octets.
        let line: Vec<u8> = line.chars().map(|character| character as u8).chain(*b"\r\n").collect();
        for &place in places.iter().filter(|&&place| place < SESSION.len()) {
            let octets = [&SESSION[..place], &line, &SESSION[place..]].concat();
            assert_eq!(Outcome::of(&octets), expected, "line {number} at {place}: {:?}", LINES[number]);
        }
    }
}

#[test]
fn several_odd_lines_at_once_change_nothing() {
    let expected = Outcome::of(SESSION);
    let places = responses_in(SESSION);
    let mut octets = Vec::new();
    let mut before = 0;
    let mut lines = LINES.iter().cycle();
    for place in places.into_iter().filter(|&place| place < SESSION.len()) {
        octets.extend_from_slice(&SESSION[before..place]);
        for line in lines.by_ref().take(7) {
            octets.extend(line.chars().map(|character| character as u8).chain(*b"\r\n"));
        }
        before = place;
    }
    octets.extend_from_slice(&SESSION[before..]);
    assert_eq!(Outcome::of(&octets), expected);
}

#[test]
fn a_session_in_another_dialect_is_the_same_session() {
    let expected = Outcome::of(SESSION);
    let dialects: [(&str, Dialect); 9] = [
        ("line feeds only", |line| line.replace("\r\n", "\n")),
        ("two blanks after the star", |line| line.replacen("* ", "*  ", 1)),
        ("two blanks after the tag", |line| {
            if line.starts_with('U') { line.replacen(' ', "  ", 1) } else { line.into() }
        }),
        ("answers without text", without_text),
        ("blanks in a list", |line| line.replace("FLAGS (\\Recent)", "FLAGS  ( \\Recent )")),
        ("messages from their first octet on", |line| line.replace("BODY[] {", "BODY[]<0> {")),
        ("extended searches", extended_search),
        ("a line for each number", |line| match line.strip_prefix("* SEARCH ") {
            Some(numbers) => {
                numbers.split_whitespace().map(|number| format!("* SEARCH {number}\r\n")).collect()
            }
            None => line.into(),
        }),
        ("two blanks in a code", |line| line.replace("[UIDVALIDITY ", "[UIDVALIDITY  ")),
    ];
    for (name, dialect) in dialects {
        let octets = play(SESSION, dialect);
        assert_ne!(octets, SESSION, "{name}");
        assert_eq!(Outcome::of(&octets), expected, "{name}");
    }
}

/// Rewrites a line.
type Dialect = fn(&str) -> String;

fn without_text(line: &str) -> String {
    match line.strip_prefix('U').and_then(|rest| rest.split_once(' ')) {
        // The code after AUTHENTICATE names the capabilities.
        Some((number, rest)) if rest.starts_with("OK") && !rest.contains('[') => format!("U{number} OK\r\n"),
        _ => line.into(),
    }
}

fn extended_search(line: &str) -> String {
    match line.strip_prefix("* SEARCH ") {
        Some(numbers) => {
            format!(
                "* ESEARCH (TAG \"U6\") UID ALL {}\r\n",
                numbers.split_whitespace().collect::<Vec<_>>().join(",")
            )
        }
        None => line.into(),
    }
}
