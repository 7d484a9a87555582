//! The arguments of a command (RFC 3501 §9), folder names and sets.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use roaring::RoaringBitmap;

/// An argument that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

pub(crate) type Read<T = ()> = Result<T, Unreadable>;

/// What is left of a command's arguments. A literal stands in it as `{n}` CRLF and its octets.
pub(crate) struct Args<'a>(pub(crate) &'a [u8]);

impl<'a> Args<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn end(&self) -> Read {
        if self.0.is_empty() { Ok(()) } else { Err(Unreadable) }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        if self.peek() == Some(byte) {
            self.0 = &self.0[1..];
            return true;
        }
        false
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Read {
        if self.eat(byte) { Ok(()) } else { Err(Unreadable) }
    }

    pub(crate) fn space(&mut self) -> Read {
        self.expect(b' ')
    }

    /// Everything up to a blank, a parenthesis or the end; of `BODY[…]` all up to the bracket.
    pub(crate) fn word(&mut self) -> Read<&'a str> {
        let end = self.0.iter().position(|byte| b" ()[]<>\"{".contains(byte)).unwrap_or(self.0.len());
        self.split(end)
    }

    /// A flag or any other atom that may begin with `\`.
    pub(crate) fn atom(&mut self) -> Read<&'a str> {
        let end = self.0.iter().position(|byte| b" (){\"".contains(byte)).unwrap_or(self.0.len());
        self.split(end)
    }

    pub(crate) fn number(&mut self) -> Read<u32> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        self.split(end)?.parse().map_err(|_| Unreadable)
    }

    /// An atom, a quoted string or a literal.
    pub(crate) fn astring(&mut self) -> Read<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => {
                let end = self.0.iter().position(|byte| b" ()\"".contains(byte)).unwrap_or(self.0.len());
                Ok(self.split(end)?.as_bytes().to_vec())
            }
        }
    }

    pub(crate) fn text(&mut self) -> Read<String> {
        String::from_utf8(self.astring()?).map_err(|_| Unreadable)
    }

    /// A folder's name, out of modified UTF-7.
    pub(crate) fn folder(&mut self) -> Read<String> {
        let name = self.text()?;
        let name = decode_utf7(&name).ok_or(Unreadable)?;
        Ok(if name.eq_ignore_ascii_case("INBOX") { "INBOX".into() } else { name })
    }

    pub(crate) fn set(&mut self) -> Read<Set> {
        let end = self.0.iter().position(|byte| !b"0123456789:,*".contains(byte)).unwrap_or(self.0.len());
        Set::parse(self.split(end)?)
    }

    /// `(\Seen \Deleted)`, or the same without parentheses.
    pub(crate) fn flags(&mut self) -> Read<Vec<String>> {
        let parenthesised = self.eat(b'(');
        let mut flags = Vec::new();
        while self.peek().is_some_and(|byte| byte != b')') {
            if !flags.is_empty() {
                self.space()?;
            }
            flags.push(self.atom()?.to_owned());
        }
        if parenthesised {
            self.expect(b')')?;
        }
        Ok(flags)
    }

    pub(crate) fn literal(&mut self) -> Read<Vec<u8>> {
        self.expect(b'{')?;
        let length = self.number()? as usize;
        self.eat(b'+');
        self.expect(b'}')?;
        self.expect(b'\r')?;
        self.expect(b'\n')?;
        if self.0.len() < length {
            return Err(Unreadable);
        }
        let (octets, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(octets.to_vec())
    }

    fn quoted(&mut self) -> Read<Vec<u8>> {
        self.expect(b'"')?;
        let mut octets = Vec::new();
        loop {
            let byte = self.peek().ok_or(Unreadable)?;
            self.0 = &self.0[1..];
            match byte {
                b'"' => return Ok(octets),
                b'\\' => {
                    octets.push(self.peek().ok_or(Unreadable)?);
                    self.0 = &self.0[1..];
                }
                byte => octets.push(byte),
            }
        }
    }

    fn split(&mut self, end: usize) -> Read<&'a str> {
        if end == 0 {
            return Err(Unreadable);
        }
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        std::str::from_utf8(word).map_err(|_| Unreadable)
    }
}

/// RFC 3501 §9 `sequence-set`; None is `*`.
pub(crate) struct Set(Vec<(Option<u32>, Option<u32>)>);

impl Set {
    pub(crate) fn parse(text: &str) -> Read<Self> {
        let bound = |text: &str| match text {
            "*" => Ok(None),
            digits => match digits.parse() {
                Ok(0) | Err(_) => Err(Unreadable),
                Ok(number) => Ok(Some(number)),
            },
        };
        let range = |text: &str| match text.split_once(':') {
            Some((from, to)) => Ok((bound(from)?, bound(to)?)),
            None => Ok((bound(text)?, bound(text)?)),
        };
        text.split(',').map(range).collect::<Read<_>>().map(Self)
    }

    /// The UIDs of it that are there.
    pub(crate) fn uids(&self, there: &RoaringBitmap) -> RoaringBitmap {
        let Some(last) = there.max() else { return RoaringBitmap::new() };
        let mut found = RoaringBitmap::new();
        for (from, to) in self.ranges(last) {
            let to = to.min(last);
            if from <= to {
                found.insert_range(from..=to);
            }
        }
        found & there
    }

    /// The UIDs of the mails with these sequence numbers; an error for a number that no mail has.
    pub(crate) fn numbered(&self, there: &RoaringBitmap) -> Read<RoaringBitmap> {
        let count = u32::try_from(there.len()).unwrap_or(u32::MAX);
        let mut found = RoaringBitmap::new();
        for (from, to) in self.ranges(count) {
            let first = there.select(from.checked_sub(1).ok_or(Unreadable)?).ok_or(Unreadable)?;
            let last = there.select(to - 1).ok_or(Unreadable)?;
            found.insert_range(first..=last);
        }
        Ok(found & there)
    }

    fn ranges(&self, star: u32) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().map(move |(from, to)| {
            let (from, to) = (from.unwrap_or(star), to.unwrap_or(star));
            (from.min(to), from.max(to))
        })
    }
}

/// `1:5,9` for a set of numbers.
pub(crate) fn ranges(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut out = String::new();
    let mut run: Option<(u32, u32)> = None;
    let write = |out: &mut String, (from, to): (u32, u32)| {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&if from == to { from.to_string() } else { format!("{from}:{to}") });
    };
    for number in numbers {
        run = match run {
            Some((from, to)) if to + 1 == number => Some((from, number)),
            Some(before) => {
                write(&mut out, before);
                Some((number, number))
            }
            None => Some((number, number)),
        };
    }
    if let Some(last) = run {
        write(&mut out, last);
    }
    out
}

/// A folder's name as it is sent: modified UTF-7, quoted where it has to be.
pub(crate) fn folder_name(name: &str) -> String {
    let encoded = encode_utf7(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./&+,".contains(&byte);
    if !encoded.is_empty() && encoded.bytes().all(plain) { encoded } else { quoted(encoded.as_bytes()) }
}

/// A quoted string; the octets must be without CR, LF and NUL.
pub(crate) fn quoted(octets: &[u8]) -> String {
    let mut out = String::from("\"");
    for character in String::from_utf8_lossy(octets).chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
    out
}

/// RFC 3501 §5.1.3.
pub(crate) fn encode_utf7(name: &str) -> String {
    let mut out = String::new();
    let mut shifted: Vec<u8> = Vec::new();
    let unshift = |out: &mut String, shifted: &mut Vec<u8>| {
        if !shifted.is_empty() {
            out.push('&');
            out.push_str(&UTF7.encode(&shifted));
            out.push('-');
            shifted.clear();
        }
    };
    for character in name.chars() {
        if (' '..='~').contains(&character) {
            unshift(&mut out, &mut shifted);
            out.push(character);
            if character == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    unshift(&mut out, &mut shifted);
    out
}

/// RFC 3501 §5.1.3; None where it is none.
pub(crate) fn decode_utf7(name: &str) -> Option<String> {
    if !name.is_ascii() {
        return None;
    }
    let mut out = String::new();
    let mut rest = name;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (shifted, after) = rest[at + 1..].split_once('-')?;
        if shifted.is_empty() {
            out.push('&');
        } else {
            let octets = UTF7.decode(shifted).ok()?;
            let units: Vec<u16> = octets
                .chunks(2)
                .map(|two| two.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)))
                .collect();
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// RFC 3501 §6.3.8: `*` is anything, `%` anything within a level.
pub(crate) fn matches(pattern: &str, name: &str, separator: Option<char>) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some(wild @ ('*' | '%')) => {
            let rest = rest.as_str();
            let mut tail = name;
            loop {
                if matches(rest, tail, separator) {
                    return true;
                }
                match tail.chars().next() {
                    Some(next) if wild == '*' || Some(next) != separator => tail = &tail[next.len_utf8()..],
                    _ => return false,
                }
            }
        }
        Some(wanted) => match name.chars().next() {
            Some(next) if next.to_lowercase().eq(wanted.to_lowercase()) => {
                matches(rest.as_str(), &name[next.len_utf8()..], separator)
            }
            _ => false,
        },
    }
}

const UTF7: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_survive_modified_utf7() {
        for (name, wire) in [
            ("Entwürfe", "Entw&APw-rfe"),
            ("R&D", "R&-D"),
            ("Gelöschte Elemente", "Gel&APY-schte Elemente"),
            ("日本語", "&ZeVnLIqe-"),
            ("x😀y", "x&2D3eAA-y"),
        ] {
            assert_eq!(encode_utf7(name), wire);
            assert_eq!(decode_utf7(wire).as_deref(), Some(name));
        }
        assert_eq!(decode_utf7("&"), None);
    }

    #[test]
    fn sets_name_what_is_there_by_uid_and_by_number() {
        let there = RoaringBitmap::from_iter([3, 5, 6, 9]);
        let uids = |text| Set::parse(text).unwrap().uids(&there).iter().collect::<Vec<_>>();
        assert_eq!(uids("1:5"), [3, 5]);
        assert_eq!(uids("100:*"), [9]);
        assert!(uids("100:200").is_empty());
        assert_eq!(uids("1:4294967295"), [3, 5, 6, 9]);
        let numbers =
            |text| Set::parse(text).unwrap().numbered(&there).map(|uids| uids.iter().collect::<Vec<_>>());
        assert_eq!(numbers("2:3"), Ok(vec![5, 6]));
        assert_eq!(numbers("*"), Ok(vec![9]));
        assert_eq!(numbers("5"), Err(Unreadable));
        assert!(Set::parse("0").is_err());
    }

    #[test]
    fn a_set_of_numbers_is_written_as_ranges() {
        assert_eq!(ranges([1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
        assert_eq!(ranges([]), "");
    }

    #[test]
    fn patterns_know_levels() {
        assert!(matches("*", "INBOX/a/b", Some('/')));
        assert!(matches("%", "INBOX", Some('/')));
        assert!(!matches("%", "INBOX/a", Some('/')));
        assert!(matches("INBOX/%", "INBOX/a", Some('/')));
        assert!(matches("%", "INBOX/a", None));
    }

    #[test]
    fn strings_come_as_atoms_quoted_and_literals() {
        let mut args = Args(b"INBOX \"a \\\"b\\\"\" {3}\r\nx y rest");
        assert_eq!(args.text().unwrap(), "INBOX");
        args.space().unwrap();
        assert_eq!(args.text().unwrap(), "a \"b\"");
        args.space().unwrap();
        assert_eq!(args.text().unwrap(), "x y");
        assert_eq!(args.0, b" rest");
    }
}
