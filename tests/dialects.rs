//! Sessions that real servers had, with the odd lines of other servers in them: whatever is put in, and wherever, the same
//! messages are read.

#[path = "fuzz/dialogues.rs"]
#[allow(dead_code, reason = "the fuzz targets use the rest of it")]
mod dialogues;

use dialogues::{Outcome, play, responses_in};

/// Lines that change nothing, which Java's test of the same name gives to Angus.
const LINES: &str = include_str!("dialects/lines.txt");

const SESSION: &[u8] = include_bytes!("fuzz/seeds/session/dovecot");

#[test]
fn an_odd_line_anywhere_changes_nothing() {
    let expected = Outcome::of(SESSION);
    assert!(expected.is_whole(), "{expected:?}");
    let places = responses_in(SESSION);
    for line in lines() {
        for &place in places.iter().filter(|&&place| place < SESSION.len()) {
            let octets = [&SESSION[..place], &line, &SESSION[place..]].concat();
            assert_eq!(Outcome::of(&octets), expected, "at {place}: {}", line.escape_ascii());
        }
    }
}

#[test]
fn several_odd_lines_at_once_change_nothing() {
    let expected = Outcome::of(SESSION);
    let places = responses_in(SESSION);
    let mut octets = Vec::new();
    let mut before = 0;
    let mut lines = lines().into_iter().cycle();
    for place in places.into_iter().filter(|&place| place < SESSION.len()) {
        octets.extend_from_slice(&SESSION[before..place]);
        octets.extend(lines.by_ref().take(7).flatten());
        before = place;
    }
    octets.extend_from_slice(&SESSION[before..]);
    assert_eq!(Outcome::of(&octets), expected);
}

/// The lines with their ends.
fn lines() -> Vec<Vec<u8>> {
    let lines = LINES.lines().filter_map(|line| line.strip_prefix("S:"));
    let lines: Vec<_> = lines
        .map(|line| [unescaped(line.strip_prefix(' ').unwrap_or(line)), b"\r\n".to_vec()].concat())
        .collect();
    assert!(lines.len() > 40);
    lines
}

/// Replaces `\xNN` by an octet.
fn unescaped(text: &str) -> Vec<u8> {
    let mut pieces = text.split("\\x");
    let mut octets = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at(2);
        octets.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
        octets.extend_from_slice(rest.as_bytes());
    }
    octets
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
