//! The bytes of a properties file → its lines `name = value`.
//!
//! The vendor's manual, chapter 3: one option a line, the value in quotes where it has blanks or special characters, `#`
//! starts a comment, `\\` is a backslash, `\"` a quote in a quoted value, `\uXXXX` any character; ISO-8859-1, or UTF-8
//! where the first line says so. What the manual leaves open is read in the way that keeps the most of it, and noted.

use secrecy::zeroize::Zeroizing;

use crate::sanitize;

/// A file's options in their order, and what is odd about the file as a whole. Any bytes give one; the time is proportional
/// to their number.
pub(super) fn parse(bytes: &[u8]) -> File {
    let (bytes, byte_order_mark) = match bytes.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (rest, true),
        None => (bytes, false),
    };
    if is_utf16(bytes) {
        return File { utf16: true, ..File::default() };
    }
    let utf8 = byte_order_mark || says_utf8(Lines(bytes).next().unwrap_or_default());
    let mut file = File::default();
    for (index, bytes) in Lines(bytes).enumerate() {
        let number = index + 1;
        let line = Zeroizing::new(if utf8 {
            if std::str::from_utf8(bytes).is_err() {
                file.invalid_utf8.get_or_insert(number);
            }
            String::from_utf8_lossy(bytes).into_owned()
        } else {
            if !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok() {
                file.looks_like_utf8.get_or_insert(number);
            }
            latin1(bytes)
        });
        match option(line.trim_matches(BLANK)) {
            Line::Empty => {}
            Line::Stray => {
                file.strays.push(number);
                if let Some(before) = file.options.last_mut() {
                    before.stray_after.get_or_insert(number);
                }
            }
            Line::Option { name, value, flaws } => {
                file.options.push(Assignment { name, value, line: number, flaws, stray_after: None });
            }
        }
    }
    file
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub options: Vec<Assignment>,
    /// The lines that are neither an option nor a comment.
    pub strays: Vec<usize>,
    /// The file is UTF-16, of which nothing is read.
    pub utf16: bool,
    /// The file says UTF-8, and this line is not.
    pub invalid_utf8: Option<usize>,
    /// The file does not say UTF-8, and this line has characters that look like it.
    pub looks_like_utf8: Option<usize>,
}

/// One line `name = value`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub name: String,
    /// It may be a secret.
    pub value: Zeroizing<String>,
    /// Counted from 1.
    pub line: usize,
    pub flaws: Vec<Flaw>,
    /// The first line between this option and the next that is neither an option nor a comment.
    pub stray_after: Option<usize>,
}

/// What is odd about a value, so that UM may read it in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A quote opens the value and none closes it.
    Unterminated,
    /// There is text after the closing quote; it is not part of the value.
    AfterQuote,
    /// A backslash that stands before nothing that it could escape; it is part of the value.
    LoneBackslash,
    /// A `#` in the middle of a word of an unquoted value: the value ends before it.
    CutByComment,
}

/// The lines of a file, which end with LF, CR LF or CR.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
        Some(line)
    }
}

enum Line {
    Empty,
    Stray,
    Option { name: String, value: Zeroizing<String>, flaws: Vec<Flaw> },
}

/// ISO-8859-1, whose octets are the first characters of Unicode.
pub(super) fn latin1(bytes: &[u8]) -> String {
    // Allocated once, so that no copies stay behind.
    let mut text = String::with_capacity(2 * bytes.len());
    text.extend(bytes.iter().map(|&byte| char::from(byte)));
    text
}

/// What Windows calls Unicode begins with a byte order mark (RFC 2781 §3.2).
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF")
}

/// `# Pinuts File Encoding: UTF-8`
fn says_utf8(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let Some((name, value)) = line.split_once(':') else { return false };
    let name = name.trim().trim_start_matches('#').trim();
    name.eq_ignore_ascii_case("Pinuts File Encoding")
        && ["UTF-8", "UTF8"].iter().any(|utf8| value.trim().eq_ignore_ascii_case(utf8))
}

/// A line without the blanks around it.
fn option(line: &str) -> Line {
    let Some(end) = line.find(['=', '#']) else {
        return if line.is_empty() { Line::Empty } else { Line::Stray };
    };
    let (name, rest) = line.split_at(end);
    let name = name.trim_end_matches(BLANK);
    let Some(rest) = rest.strip_prefix('=') else {
        return if name.is_empty() { Line::Empty } else { Line::Stray };
    };
    // A URL with a query that was broken off from the line before has an equals sign too.
    if name.is_empty() || name.contains("://") {
        return Line::Stray;
    }
    let rest = rest.trim_start_matches(BLANK);
    let mut flaws = Vec::new();
    let value = match rest.strip_prefix('"') {
        Some(rest) => quoted(rest, &mut flaws),
        None => unquoted(rest, &mut flaws),
    };
    Line::Option { name: unescape(name, &mut Vec::new()).to_string(), value, flaws }
}

/// A value as it is written between quotes, so that [`parse`] reads it in a file that says UTF-8.
pub(super) fn escaped(value: &str) -> String {
    escaped_but(value, &['"', '\\'], |character| format!("\\{character}"))
}

/// A name as it is written before the equals sign.
pub(super) fn escaped_name(name: &str) -> String {
    escaped_but(name, &['=', '#', ':', '\\'], unicode_escape)
}

fn escaped_but(text: &str, special: &[char], escape: impl Fn(char) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if special.contains(&character) {
            out.push_str(&escape(character));
        } else if sanitize::is_obeyed(character) && character <= '\u{ffff}' {
            out.push_str(&unicode_escape(character));
        } else {
            out.push(character);
        }
    }
    out
}

/// For characters up to U+FFFF.
fn unicode_escape(character: char) -> String {
    format!("\\u{:04x}", u32::from(character))
}

/// What follows the opening quote.
fn quoted(mut rest: &str, flaws: &mut Vec<Flaw>) -> Zeroizing<String> {
    let mut value = Zeroizing::new(String::with_capacity(rest.len()));
    loop {
        let Some(special) = rest.find(['"', '\\']) else {
            value.push_str(rest);
            note(flaws, Flaw::Unterminated);
            return value;
        };
        let (plain, tail) = rest.split_at(special);
        value.push_str(plain);
        if let Some(tail) = tail.strip_prefix('"') {
            let tail = tail.trim_start_matches(BLANK);
            if !tail.is_empty() && !tail.starts_with('#') {
                note(flaws, Flaw::AfterQuote);
            }
            return value;
        }
        rest = match tail.strip_prefix("\\\"") {
            Some(tail) => {
                value.push('"');
                tail
            }
            None => escape(tail, &mut value, flaws),
        };
    }
}

fn unquoted(rest: &str, flaws: &mut Vec<Flaw>) -> Zeroizing<String> {
    let text = match rest.split_once('#') {
        Some((text, _)) => {
            if !text.is_empty() && !text.ends_with(BLANK) {
                note(flaws, Flaw::CutByComment);
            }
            text
        }
        None => rest,
    };
    unescape(text.trim_end_matches(BLANK), flaws)
}

fn unescape(mut rest: &str, flaws: &mut Vec<Flaw>) -> Zeroizing<String> {
    // What is escaped is longer than what it stands for.
    let mut text = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some(special) = rest.find('\\') {
        let (plain, tail) = rest.split_at(special);
        text.push_str(plain);
        rest = escape(tail, &mut text, flaws);
    }
    text.push_str(rest);
    text
}

/// What the backslash at the beginning of `text` stands for goes to `out`; what is left is returned.
fn escape<'a>(text: &'a str, out: &mut String, flaws: &mut Vec<Flaw>) -> &'a str {
    if let Some(rest) = text.strip_prefix("\\\\") {
        out.push('\\');
        return rest;
    }
    if let Some((unit, rest)) = utf16_unit(text) {
        // A character beyond U+FFFF is written as two (The Java Language Specification §3.3).
        let pair = utf16_unit(rest).and_then(|(low, rest)| {
            let character = char::decode_utf16([unit, low]).next()?.ok()?;
            (u32::from(character) > 0xFFFF).then_some((character, rest))
        });
        let (character, rest) =
            pair.unwrap_or((char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER), rest));
        out.push(character);
        return rest;
    }
    note(flaws, Flaw::LoneBackslash);
    out.push('\\');
    text.get(1..).unwrap_or_default()
}

/// `\uXXXX`
fn utf16_unit(text: &str) -> Option<(u16, &str)> {
    let rest = text.strip_prefix("\\u")?;
    let (digits, rest) = rest.split_at_checked(4)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

fn note(flaws: &mut Vec<Flaw>, flaw: Flaw) {
    if !flaws.contains(&flaw) {
        flaws.push(flaw);
    }
}

/// The blanks around names and values. No others: a no-break space from a PDF is part of what it stands in, for UM too.
const BLANK: [char; 3] = [' ', '\t', '\u{c}'];
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use super::*;

    fn values(bytes: &[u8]) -> Vec<(String, String)> {
        parse(bytes).options.into_iter().map(|option| (option.name, option.value.to_string())).collect()
    }

    fn value(line: &str) -> (String, Vec<Flaw>) {
        let mut options = parse(line.as_bytes()).options;
        let option = options.pop().unwrap();
        assert!(options.is_empty());
        (option.value.to_string(), option.flaws)
    }

    #[test]
    fn quotes_are_optional_and_not_part_of_the_value() {
        assert_eq!(value(r#"a = "x y""#), ("x y".into(), vec![]));
        assert_eq!(value("a=x y"), ("x y".into(), vec![]));
        assert_eq!(value("  a\t=  x  "), ("x".into(), vec![]));
        assert_eq!(value(r#"a = """#), (String::new(), vec![]));
        assert_eq!(value("a ="), (String::new(), vec![]));
        assert_eq!(value(r#"a = "x=y""#), ("x=y".into(), vec![]));
    }

    #[test]
    fn a_number_sign_starts_a_comment_but_not_inside_quotes() {
        assert_eq!(value("a = x # y"), ("x".into(), vec![]));
        assert_eq!(value(r#"a = "x # y" # z"#), ("x # y".into(), vec![]));
        assert_eq!(value("a = x#y"), ("x".into(), vec![Flaw::CutByComment]));
        assert_eq!(value("a = # x"), (String::new(), vec![]));
        assert!(values(b"# a = b\n  # c = d\n\n").is_empty());
    }

    #[test]
    fn backslashes_and_quotes_are_escaped() {
        assert_eq!(value(r#"a = "x\"y\\z""#), (r#"x"y\z"#.into(), vec![]));
        assert_eq!(value(r#"a = "x\\""#), (r"x\".into(), vec![]));
        assert_eq!(value(r"a = x\\y"), (r"x\y".into(), vec![]));
    }

    #[test]
    fn windows_paths_are_read_with_slashes_doubled_and_single_backslashes() {
        assert_eq!(value(r"a = C:/dir/new").0, "C:/dir/new");
        assert_eq!(value(r#"a = "C:\\dir\\new""#).0, r"C:\dir\new");
        assert_eq!(value(r"a = C:\\users"), (r"C:\users".into(), vec![]));
        assert_eq!(value(r"a = C:\users\new"), (r"C:\users\new".into(), vec![Flaw::LoneBackslash]));
    }

    #[test]
    fn unicode_escapes_are_characters() {
        assert_eq!(value(r"a = R\u00fcckl\u00E4ufer").0, "Rückläufer");
        assert_eq!(value(r"a = \ud83d\udce7").0, "📧");
        assert_eq!(value(r#"a = "\u0022x\u0023""#).0, "\"x#");
        assert_eq!(value(r"a = \ud83dx").0, "\u{fffd}x");
        assert_eq!(value(r"a = \ud83d\u0041").0, "\u{fffd}A");
        assert_eq!(value(r"a = \u12"), (r"\u12".into(), vec![Flaw::LoneBackslash]));
        assert_eq!(values(br"\u0061b = x")[0].0, "ab");
    }

    #[test]
    fn bytes_are_iso_8859_1_unless_the_first_line_says_utf_8() {
        assert_eq!(values(b"a = M\xfcll")[0].1, "Müll");
        assert_eq!(values("# Pinuts File Encoding: UTF-8\r\na = Müll".as_bytes())[0].1, "Müll");
        assert_eq!(values("\u{feff}#Pinuts file encoding: utf8\na = Müll".as_bytes())[0].1, "Müll");
        assert_eq!(values("a = b\n# Pinuts File Encoding: UTF-8\nc = Müll".as_bytes())[1].1, "MÃ¼ll");
    }

    #[test]
    fn a_wrong_encoding_is_noted_with_its_line() {
        assert_eq!(parse("a = b\nc = Müll".as_bytes()).looks_like_utf8, Some(2));
        assert_eq!(parse(b"a = M\xfcll").looks_like_utf8, None);
        assert_eq!(parse(b"# Pinuts File Encoding: UTF-8\na = M\xfcll").invalid_utf8, Some(2));
    }

    #[test]
    fn lines_end_with_lf_crlf_or_cr() {
        let file = parse(b"a = 1\r\nb = 2\n\nc = 3\rd = 4");
        let lines: Vec<_> =
            file.options.iter().map(|o| (o.name.as_str(), o.value.as_str(), o.line)).collect();
        assert_eq!(lines, [("a", "1", 1), ("b", "2", 2), ("c", "3", 4), ("d", "4", 5)]);
    }

    #[test]
    fn an_unbalanced_quote_is_noted() {
        assert_eq!(value(r#"a = "x"#), ("x".into(), vec![Flaw::Unterminated]));
        assert_eq!(value(r#"a = "x"y"#), ("x".into(), vec![Flaw::AfterQuote]));
        assert_eq!(
            value(r#"a = "C:\dir\""#),
            ("C:\\dir\"".into(), vec![Flaw::LoneBackslash, Flaw::Unterminated])
        );
    }

    #[test]
    fn a_line_without_a_name_is_noted_also_with_the_option_before_it() {
        let file = parse(b"stray\na =\nhttps://example.org/token?x=y\n\nb = 1");
        assert_eq!(file.strays, [1, 3]);
        assert_eq!(file.options[0].stray_after, Some(3));
        assert_eq!(file.options[1].stray_after, None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // Every sequence of up to five of the bytes that mean something, with and without the marker line.
        let alphabet = b"a= \"\\#u0\n\r\xff\xc3\xbc";
        for marker in [&b""[..], b"# Pinuts File Encoding: UTF-8\n"] {
            for length in 0..=5u32 {
                for mut n in 0..alphabet.len().pow(length) {
                    let mut bytes = marker.to_vec();
                    for _ in 0..length {
                        bytes.push(alphabet[n % alphabet.len()]);
                        n /= alphabet.len();
                    }
                    parse(&bytes);
                }
            }
        }
    }

    #[test]
    fn a_line_of_seven_megabytes_is_read_to_its_end() {
        let mut bytes = b"a = \"".to_vec();
        // What takes time in proportion to the square of the length does not come back from this.
        bytes.extend(b"\\u0041\\x\\\"\\\\".repeat(500_000));
        assert_eq!(parse(&bytes).options[0].value.len(), 5 * 500_000);
    }
}
