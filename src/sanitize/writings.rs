//! The ways in which a server may write what it was sent: percent, entity, JSON and base64 writings.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Octets, and where in the original text each of them is written.
pub(super) struct View {
    pub octets: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl View {
    /// The text itself.
    pub(super) fn of(text: &str) -> Self {
        Self { octets: text.as_bytes().to_vec(), places: (0..text.len()).map(|at| at..at + 1).collect() }
    }

    fn with_capacity(capacity: usize) -> Self {
        Self { octets: Vec::with_capacity(capacity), places: Vec::with_capacity(capacity) }
    }

    /// Where in the original text a part of the octets is written.
    pub(super) fn place(&self, part: Range<usize>) -> Range<usize> {
        match (self.places.get(part.start), self.places.get(part.end.wrapping_sub(1))) {
            (Some(first), Some(last)) => first.start..last.end.max(first.start),
            _ => 0..0,
        }
    }

    fn push(&mut self, octets: &[u8], place: &Range<usize>) {
        for &octet in octets {
            self.octets.push(octet);
            self.places.push(place.clone());
        }
    }

    /// Undoes percent, entity and JSON writings, one layer of them. `None`: there are none.
    pub(super) fn undone(&self) -> Option<View> {
        let mut view: Option<View> = None;
        let (mut at, mut copied) = (0, 0);
        while let Some(found) = memchr::memchr3(b'%', b'&', b'\\', self.octets.get(at..)?) {
            at += found;
            let Some((octets, length)) = written(&self.octets[at..]) else {
                at += 1;
                continue;
            };
            let view = view.get_or_insert_with(|| View::with_capacity(self.octets.len()));
            view.copy(self, copied..at);
            view.push(octets.as_slice(), &self.place(at..at + length));
            at += length;
            copied = at;
        }
        if let Some(view) = &mut view {
            view.copy(self, copied..self.octets.len());
        }
        view
    }

    fn copy(&mut self, from: &View, part: Range<usize>) {
        self.octets.extend_from_slice(&from.octets[part.clone()]);
        self.places.extend_from_slice(&from.places[part]);
    }

    /// Decodes each run of base64 (both alphabets), from each position at which it may have been cut. Hands out what can
    /// hold a secret: at least `least` octets in a row of those that are `usual`.
    pub(super) fn decoded(&self, least: usize, usual: &[bool; 256], with: &mut dyn FnMut(View)) {
        let shortest = (least * 4).div_ceil(3);
        let mut start = 0;
        while start < self.octets.len() {
            let run = self.octets[start..].iter().take_while(|octet| is_base64(**octet)).count();
            if run >= shortest {
                for cut in 0..4.min(run - shortest + 1) {
                    self.decode(start + cut..start + run, least, usual, with);
                }
            }
            start += run + 1;
        }
    }

    fn decode(&self, run: Range<usize>, least: usize, usual: &[bool; 256], with: &mut dyn FnMut(View)) {
        // A single character at the end is no octet.
        let run = if run.len() % 4 == 1 { run.start..run.end - 1 } else { run };
        let text: Vec<u8> = self.octets[run.clone()].iter().map(|octet| standard(*octet)).collect();
        let Ok(octets) = LENIENT.decode(&text) else { return };
        let mut from = 0;
        while from < octets.len() {
            let length = octets[from..].iter().take_while(|octet| usual[usize::from(**octet)]).count();
            if length >= least {
                let mut view = View::with_capacity(length);
                for at in from..from + length {
                    // Octet n is written in the characters from 4n/3 to (4n+4)/3.
                    let (first, last) = (run.start + at * 4 / 3, run.start + (at * 4 + 4) / 3);
                    view.push(&octets[at..=at], &self.place(first..(last + 1).min(run.end)));
                }
                with(view);
            }
            from += length + 1;
        }
    }
}

/// Octets of one written character.
struct Written {
    octets: [u8; 4],
    length: usize,
}

impl Written {
    fn octet(octet: u8) -> Self {
        Self { octets: [octet, 0, 0, 0], length: 1 }
    }

    fn char(c: char) -> Self {
        let mut octets = [0; 4];
        let length = c.encode_utf8(&mut octets).len();
        Self { octets, length }
    }

    fn as_slice(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// The character that `text` begins with in one of the writings, and how long that is.
fn written(text: &[u8]) -> Option<(Written, usize)> {
    match text.first()? {
        b'%' => Some((Written::octet(hex(text.get(1..3)?)? as u8), 3)),
        b'&' => entity(text),
        b'\\' => escape(text),
        _ => None,
    }
}

/// `&#126;`, `&#x7e;`, `&amp;`; the semicolon may be missing after a number.
fn entity(text: &[u8]) -> Option<(Written, usize)> {
    let rest = text.get(1..)?;
    if let Some(number) = rest.strip_prefix(b"#") {
        let is_hex = matches!(number.first(), Some(b'x' | b'X'));
        let digits = if is_hex { &number[1..] } else { number };
        let radix = if is_hex { 16 } else { 10 };
        let count = digits.iter().take(DIGITS).take_while(|digit| (**digit as char).is_digit(radix)).count();
        let code = u32::from_str_radix(str::from_utf8(&digits[..count]).ok()?, radix).ok()?;
        let length = 2 + usize::from(is_hex) + count + usize::from(digits.get(count) == Some(&b';'));
        return Some((Written::char(char::from_u32(code)?), length));
    }
    let end = rest.iter().take(LONGEST_NAME).position(|octet| *octet == b';')?;
    let (_, c) = NAMED.iter().find(|(name, _)| name.as_bytes() == &rest[..end])?;
    Some((Written::char(*c), end + 2))
}

/// `\u007e`, also as two surrogates; `\u{7e}`, `\x7e`, `\/` and what else JSON has.
fn escape(text: &[u8]) -> Option<(Written, usize)> {
    let c = match text.get(1)? {
        b'u' if text.get(2) == Some(&b'{') => {
            let end = text.iter().take(3 + DIGITS).position(|octet| *octet == b'}')?;
            return Some((Written::char(char::from_u32(hex(&text[3..end])?)?), end + 1));
        }
        b'u' => {
            let unit = hex(text.get(2..6)?)?;
            if (0xd800..0xdc00).contains(&unit) {
                let low = text.get(6..12).and_then(|low| low.strip_prefix(b"\\u")).and_then(hex)?;
                let code = 0x10000 + ((unit - 0xd800) << 10) + low.checked_sub(0xdc00)?;
                return Some((Written::char(char::from_u32(code)?), 12));
            }
            return Some((Written::char(char::from_u32(unit)?), 6));
        }
        b'x' => return Some((Written::octet(hex(text.get(2..4)?)? as u8), 4)),
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        other @ (b'\\' | b'/' | b'"' | b'\'') => *other,
        _ => return None,
    };
    Some((Written::octet(c), 2))
}

fn hex(digits: &[u8]) -> Option<u32> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    all.then(|| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())?
}

fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'-' | b'_')
}

fn standard(octet: u8) -> u8 {
    match octet {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    }
}

/// Takes what was cut out of a longer text: without padding, and with bits that are left over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Of a character's number in an entity or an escape. Leading zeros may make it longer.
const DIGITS: usize = 10;

/// HTML's names of the ASCII characters that are no letters or digits.
const NAMED: [(&str, char); 41] = [
    ("amp", '&'),
    ("AMP", '&'),
    ("lt", '<'),
    ("LT", '<'),
    ("gt", '>'),
    ("GT", '>'),
    ("quot", '"'),
    ("QUOT", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("excl", '!'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("midast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("commat", '@'),
    ("lbrack", '['),
    ("lsqb", '['),
    ("bsol", '\\'),
    ("rbrack", ']'),
    ("rsqb", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("rcub", '}'),
];
const LONGEST_NAME: usize = 8;
