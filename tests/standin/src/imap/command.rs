//! Reading commands, with their literals.

use super::session::Session;
use crate::shared::From as Side;
use crate::wire::Going;

pub(super) struct Command {
    pub(super) tag: String,
    /// In upper case, with `UID ` before it.
    pub(super) name: String,
    /// Literals stand in it as they were sent.
    pub(super) args: Vec<u8>,
    /// Without literals and credentials.
    pub(super) shown: String,
}

impl Session {
    pub(super) fn read_command(&mut self) -> Going<Command> {
        let limit = self.shared.dialect.max_command_line;
        let mut line = Vec::new();
        let mut shown = Vec::new();
        loop {
            let Some(piece) = self.read_line(limit.saturating_sub(shown.len()))? else {
                let (start, rest) = (first_word(&line), self.discard_line()?);
                let tag = if start.is_empty() { rest } else { start };
                self.shared.record(self.connection, Side::Client, format!("{tag} {{a line too long}}"));
                self.line(&format!("{tag} BAD Command Error. 10"))?;
                self.wire.flush()?;
                line.clear();
                shown.clear();
                continue;
            };
            line.extend_from_slice(&piece);
            let Some((length, waits)) = literal_length(&piece) else {
                shown.extend_from_slice(&piece);
                return Ok(Command::new(&line, &String::from_utf8_lossy(&shown)));
            };
            if length > MAX_LITERAL {
                self.untagged("BYE Connection closed. 14")?;
                return self.wire.close();
            }
            let marker = piece.iter().rposition(|byte| *byte == b'{').unwrap_or(0);
            shown.extend_from_slice(&piece[..marker]);
            shown.extend_from_slice(format!("{{{length} octets}}").as_bytes());
            if waits {
                self.wire.prompt("+ Ready for additional command text.")?;
            }
            while self.wire.input().len() < length {
                self.wait()?;
            }
            line.extend_from_slice(b"\r\n");
            line.extend(self.wire.take(length));
        }
    }

    /// Throws a line away and says what it began with.
    fn discard_line(&mut self) -> Going<String> {
        let tag = first_word(&self.wire.input()[..self.wire.input().len().min(64)]);
        loop {
            let end = self.wire.input().iter().position(|byte| *byte == b'\n');
            let count = end.map_or(self.wire.input().len(), |end| end + 1);
            self.wire.take(count);
            if end.is_some() {
                return Ok(tag);
            }
            self.wait()?;
        }
    }
}

impl Command {
    fn new(line: &[u8], shown: &str) -> Self {
        let word = |at: usize| {
            let rest = line.get(at..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
            (String::from_utf8_lossy(&rest[..end]).into_owned(), at + end + 1)
        };
        let (tag, mut at) = word(0);
        let (name, next) = word(at);
        let mut name = name.to_ascii_uppercase();
        at = next;
        if name == "UID" {
            let (second, next) = word(at);
            name = format!("UID {}", second.to_ascii_uppercase());
            at = next;
        }
        let shown = match name.as_str() {
            "AUTHENTICATE" | "LOGIN" => {
                let words: Vec<&str> = shown.splitn(4, ' ').collect();
                match words[..] {
                    [tag, command, first, secret] => {
                        format!("{tag} {command} {first} {{{} octets}}", secret.len())
                    }
                    _ => shown.to_owned(),
                }
            }
            _ => shown.to_owned(),
        };
        Self { tag, name, args: line.get(at..).unwrap_or_default().to_vec(), shown }
    }
}

fn first_word(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).split(' ').next().unwrap_or_default().to_owned()
}

/// The length of the literal that a line ends with the beginning of, and whether the client waits to be asked for it.
fn literal_length(line: &[u8]) -> Option<(usize, bool)> {
    let inner = line.strip_suffix(b"}")?;
    let start = inner.iter().rposition(|byte| *byte == b'{')?;
    let digits = std::str::from_utf8(&inner[start + 1..]).ok()?;
    match digits.strip_suffix('+') {
        Some(digits) => Some((digits.parse().ok()?, false)),
        None => Some((digits.parse().ok()?, true)),
    }
}

const MAX_LITERAL: usize = 64 * 1024 * 1024;
