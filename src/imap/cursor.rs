//! The words of one response, read from left to right (RFC 9051 §9), with the tolerance that real servers need.

use memchr::memchr;

use super::limits;
use super::uids::{Uid, UidSet};

/// The octets of a literal, set apart from the response's text.
#[derive(Debug)]
pub(super) enum Literal {
    /// At most [`limits::LITERAL`] octets; `whole` is false if there were more.
    Buffered { octets: Vec<u8>, whole: bool },
    /// A message, which was streamed.
    Message,
}

impl Literal {
    pub(super) fn len(&self) -> usize {
        match self {
            Literal::Buffered { octets, .. } => octets.len(),
            Literal::Message => 0,
        }
    }
}

/// Reads one response. Methods that return `Option` leave the cursor anywhere on `None`.
///
/// Where a literal was, the text has `{n}` and a line end.
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
    literals: std::slice::Iter<'a, Literal>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8], literals: &'a [Literal]) -> Self {
        Self { rest: text, literals: literals.iter() }
    }

    pub(super) fn eat(&mut self, prefix: &[u8]) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Passes over blanks, however many. Returns whether there was one, or the end of the line.
    pub(super) fn blanks(&mut self) -> bool {
        let before = self.rest.len();
        self.take_while(is_blank);
        self.rest.len() < before || self.rest.is_empty()
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.blanks();
        self.rest.is_empty()
    }

    pub(super) fn take_while(&mut self, mut wanted: impl FnMut(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&octet| !wanted(octet)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Reads up to a blank or a parenthesis.
    pub(super) fn word(&mut self) -> &'a [u8] {
        self.take_while(|octet| !is_blank(octet) && !matches!(octet, b'(' | b')' | b'\r' | b'\n'))
    }

    /// Reads `prefix`, if it stands here in any case and a blank or a parenthesis follows.
    pub(super) fn eat_word(&mut self, expected: &[u8]) -> bool {
        let before = self.rest;
        if self.word().eq_ignore_ascii_case(expected) {
            return true;
        }
        self.rest = before;
        false
    }

    /// `number64`
    pub(super) fn number(&mut self) -> Option<u64> {
        parse_number(self.take_while(|octet| octet.is_ascii_digit()))
    }

    /// Reads a size. Some servers write one as a floating-point number: `9.3736e+06`.
    pub(super) fn size(&mut self) -> Option<u64> {
        let word = self.word();
        parse_number(word).or_else(|| {
            let size: f64 = std::str::from_utf8(word).ok()?.parse().ok()?;
            (size.is_finite() && size >= 0.0).then_some(size as u64)
        })
    }

    /// Reads the name of a FETCH item, with its section: `BODY[HEADER.FIELDS (To)]<0>` is one.
    pub(super) fn item(&mut self) -> &'a [u8] {
        let mut section = false;
        let item = self.take_while(|octet| {
            match octet {
                b'[' => section = true,
                b']' => section = false,
                _ => {}
            }
            section || !is_blank(octet) && !matches!(octet, b'(' | b')' | b'"' | b'{')
        });
        // A field's name may be a literal.
        for _ in item.iter().filter(|&&octet| octet == b'\n') {
            self.literals.next();
        }
        item
    }

    /// Reads `"(" [flag-fetch *(SP flag-fetch)] ")"`, or `NIL` for none; takes as many flags as the limits allow.
    pub(super) fn flags(&mut self) -> Option<Vec<String>> {
        let mut flags = Vec::new();
        let mut octets = 0;
        if !self.eat(b"(") {
            return self.eat_word(b"NIL").then_some(flags);
        }
        loop {
            self.blanks();
            if self.eat(b")") {
                return Some(flags);
            }
            match self.word() {
                [] => return None,
                flag => {
                    octets += flag.len();
                    if flags.len() < limits::FLAGS && octets <= limits::FLAG_OCTETS {
                        flags.push(lossy(flag));
                    }
                }
            }
        }
    }

    /// `nstring = string / nil`, or a word without quotes; the outer `None` is neither.
    pub(super) fn nstring(&mut self) -> Option<Option<Vec<u8>>> {
        match self.rest.first()? {
            b'"' => self.quoted().map(Some),
            b'{' => match self.literal()? {
                Literal::Buffered { octets, .. } => Some(Some(octets.clone())),
                Literal::Message => None,
            },
            _ => match self.word() {
                [] => None,
                word if word.eq_ignore_ascii_case(b"NIL") => Some(None),
                word => Some(Some(word.to_vec())),
            },
        }
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`
    pub(super) fn quoted(&mut self) -> Option<Vec<u8>> {
        if !self.eat(b"\"") {
            return None;
        }
        let mut octets = Vec::new();
        loop {
            let (&octet, rest) = self.rest.split_first()?;
            self.rest = rest;
            match octet {
                b'"' => return Some(octets),
                b'\\' => {
                    let (&escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    octets.push(escaped);
                }
                _ => octets.push(octet),
            }
        }
    }

    /// Reads `{n}` and its line end, and returns the octets, which were set apart when they came.
    pub(super) fn literal(&mut self) -> Option<&'a Literal> {
        let end = memchr(b'\n', self.rest)?;
        self.rest = &self.rest[end + 1..];
        self.literals.next()
    }

    /// Passes over one value, however deep. Returns false if it has no end.
    pub(super) fn skip_value(&mut self) -> bool {
        let mut depth = 0usize;
        loop {
            match self.rest.first() {
                None => return false,
                Some(b'(') => {
                    depth += 1;
                    self.rest = &self.rest[1..];
                }
                Some(b')') => {
                    // Depth 0: an item without a value. The parenthesis ends the list of items.
                    let Some(outer) = depth.checked_sub(1) else { return true };
                    depth = outer;
                    self.rest = &self.rest[1..];
                }
                Some(&octet) if is_blank(octet) => self.rest = &self.rest[1..],
                Some(b'"') => {
                    if self.quoted().is_none() {
                        return false;
                    }
                }
                Some(b'{') => {
                    if self.literal().is_none() {
                        return false;
                    }
                }
                Some(_) => {
                    if self.word().is_empty() {
                        return false;
                    }
                }
            }
            if depth == 0 {
                return true;
            }
        }
    }
}

/// Reads `uid-set = (uniqueid / uid-range) *("," uid-set)` (RFC 4315 §4), of which at most [`limits::SET_UIDS`] UIDs are
/// taken. Elements that cannot be read are left out.
pub(super) fn uid_set(text: &[u8]) -> UidSet {
    let mut set = UidSet::new();
    let mut left = limits::SET_UIDS;
    for element in text.split(|&octet| octet == b',') {
        let mut ends = element.splitn(2, |&octet| octet == b':');
        let first = ends.next().and_then(parse_uid);
        let Some(first) = first else { continue };
        let Some(last) = ends.next().map_or(Some(first), parse_uid) else { continue };
        let (first, last) = (first.min(last), first.max(last));
        let Some(last) = cut(first, last, &mut left) else { return set };
        set.insert_range(first..=last);
    }
    set
}

/// Returns the last UID from `first` to `last` that `left` allows, and takes the UIDs off it. `None`: none is allowed.
pub(super) fn cut(first: Uid, last: Uid, left: &mut u64) -> Option<Uid> {
    let allowed = u64::from(last.get() - first.get()).saturating_add(1).min(*left);
    *left -= allowed;
    let steps = u32::try_from(allowed.checked_sub(1)?).ok()?;
    Uid::new(first.get().checked_add(steps)?)
}

pub(super) fn parse_number(digits: &[u8]) -> Option<u64> {
    // `parse` would take a sign.
    digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

pub(super) fn parse_uid(digits: &[u8]) -> Option<Uid> {
    Uid::new(u32::try_from(parse_number(digits)?).ok()?)
}

/// Blank, tabulator, and NUL, which no server may send and some do.
pub(super) fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | 0)
}

pub(super) fn trim_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// Returns the beginning of a line, for a message to people.
pub(super) fn excerpt(line: &[u8]) -> String {
    lossy(trim_line_end(&line[..line.len().min(limits::LAST_LINE)]))
}

pub(super) fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
