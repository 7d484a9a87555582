//! The numbers of a SEARCH or ESEARCH response, read as they come.

use std::ops::RangeInclusive;

use super::cursor::is_blank;
use super::responses::Response;
use super::uids::Uid;

/// Reads what follows the word SEARCH or ESEARCH, up to the line's end.
///
/// ```abnf
/// "SEARCH" *(SP nz-number)                                          ; RFC 3501 §9
/// "ESEARCH" [SP "(TAG" SP tag-string ")"] [SP "UID"] *(SP name SP value)  ; RFC 9051 §7.3.4
/// ```
///
/// Of the values of an ESEARCH only ALL is read. Without `UID` before it, its numbers are no UIDs, and the response is
/// passed over.
/// Neighbours are joined, so a million numbers in a row are one range.
#[derive(Debug, Default)]
pub(super) struct Search {
    extended: bool,
    /// The word of an ESEARCH that is being read, as far as it matters.
    name: Vec<u8>,
    /// `UID` was there.
    uids: bool,
    mode: Mode,
    /// Open parentheses of a value that is passed over.
    depth: usize,
    /// In a quoted string of such a value, and whether the next octet is escaped.
    quoted: Option<bool>,
    /// The number that is being read, and before it the start of its range.
    number: Option<u64>,
    start: Option<u64>,
    /// Was read, and is not reported: the next numbers may continue it.
    pending: Option<(Uid, Uid)>,
    unreadable: bool,
    /// Has numbers that are no UIDs.
    foreign: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Mode {
    /// Between or in the words of an ESEARCH.
    #[default]
    Names,
    /// In a set of UIDs, or in the numbers of a SEARCH.
    Numbers,
}

impl Search {
    pub(super) fn new(extended: bool) -> Self {
        let mode = if extended { Mode::Names } else { Mode::Numbers };
        Self { extended, mode, ..Self::default() }
    }

    /// Returns how many octets were used, and UIDs if some are complete.
    pub(super) fn read(&mut self, input: &[u8]) -> (usize, Option<RangeInclusive<Uid>>) {
        for (at, &octet) in input.iter().enumerate() {
            if let Some(uids) = self.octet(octet) {
                return (at + usize::from(octet != b'\n'), Some(uids));
            }
            if self.ended {
                return (at + 1, None);
            }
        }
        (input.len(), None)
    }

    /// Returns the response at the line's end.
    pub(super) fn ended(&self) -> Option<Response> {
        self.ended.then(|| match self.foreign {
            true => Response::Unreadable("* ESEARCH without UID".to_owned()),
            false => Response::SearchEnd { readable: !self.unreadable },
        })
    }

    /// Takes the next octet; a line end is given again after UIDs were returned for it.
    fn octet(&mut self, octet: u8) -> Option<RangeInclusive<Uid>> {
        if octet == b'\n' {
            let complete =
                self.end_number().or_else(|| self.pending.take().map(|(first, last)| first..=last));
            self.ended = complete.is_none();
            return complete;
        }
        if self.depth > 0 || self.quoted.is_some() {
            self.skip(octet);
            return None;
        }
        match octet {
            b'(' => {
                self.depth = 1;
                self.end_number()
            }
            b'"' if self.mode == Mode::Names => {
                self.quoted = Some(false);
                None
            }
            b'\r' => None,
            _ if self.mode == Mode::Numbers => self.number(octet),
            _ => {
                self.name(octet);
                None
            }
        }
    }

    fn skip(&mut self, octet: u8) {
        match (self.quoted, octet) {
            (Some(true), _) => self.quoted = Some(false),
            (Some(false), b'\\') => self.quoted = Some(true),
            (Some(false), b'"') => self.quoted = None,
            (Some(false), _) => {}
            (None, b'"') => self.quoted = Some(false),
            (None, b'(') => self.depth += 1,
            (None, b')') => self.depth -= 1,
            (None, _) => {}
        }
    }

    fn name(&mut self, octet: u8) {
        if !is_blank(octet) {
            if self.name.len() < LONGEST_NAME {
                self.name.push(octet);
            }
            return;
        }
        self.uids |= self.name.eq_ignore_ascii_case(b"UID");
        if self.name.eq_ignore_ascii_case(b"ALL") {
            self.foreign = !self.uids;
            if self.uids {
                self.mode = Mode::Numbers;
            }
        }
        self.name.clear();
    }

    fn number(&mut self, octet: u8) -> Option<RangeInclusive<Uid>> {
        match octet {
            b'0'..=b'9' => {
                let number = self.number.unwrap_or(0).saturating_mul(10);
                self.number = Some(number.saturating_add(u64::from(octet - b'0')));
                None
            }
            b':' if self.number.is_some() && self.start.is_none() => {
                self.start = self.number.take();
                None
            }
            b',' => self.end_number(),
            _ if is_blank(octet) => {
                // A blank ends the set of an ESEARCH, but not one before it.
                if self.extended && self.number.is_some() {
                    self.mode = Mode::Names;
                }
                self.end_number()
            }
            _ => {
                self.unreadable = true;
                None
            }
        }
    }

    /// Joins a number that is complete, or a range, with those before it, or returns those before it.
    fn end_number(&mut self) -> Option<RangeInclusive<Uid>> {
        let start = self.start.take();
        let Some(end) = self.number.take() else {
            self.unreadable |= start.is_some();
            return None;
        };
        let start = start.unwrap_or(end);
        let uid = |number: u64| u32::try_from(number).ok().and_then(Uid::new);
        let (Some(first), Some(last)) = (uid(start.min(end)), uid(start.max(end))) else {
            self.unreadable = true;
            return None;
        };
        match &mut self.pending {
            Some((_, before)) if before.get().checked_add(1) == Some(first.get()) => {
                *before = last;
                None
            }
            pending => pending.replace((first, last)).map(|(first, last)| first..=last),
        }
    }
}

/// No name that is looked for is longer; one more octet tells a longer one from it.
const LONGEST_NAME: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the ranges of `text` and the response, the same in whatever pieces it comes.
    fn responses(extended: bool, text: &str) -> (Vec<(u32, u32)>, Response) {
        let in_pieces = |size| {
            let mut search = Search::new(extended);
            let mut ranges = Vec::new();
            for piece in format!("{text}\r\n").as_bytes().chunks(size) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let (used, uids) = search.read(rest);
                    ranges.extend(uids.map(|uids| (uids.start().get(), uids.end().get())));
                    rest = &rest[used..];
                }
            }
            (ranges, search.ended().expect("the line's end was read"))
        };
        let whole = in_pieces(usize::MAX);
        assert_eq!(in_pieces(1), whole, "{text}");
        whole
    }

    /// Returns the ranges of `text`, and whether all of it could be read.
    fn read(extended: bool, text: &str) -> (Vec<(u32, u32)>, bool) {
        match responses(extended, text) {
            (ranges, Response::SearchEnd { readable }) => (ranges, readable),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn neighbours_are_joined_and_the_order_is_kept() {
        assert_eq!(read(false, ""), (vec![], true));
        assert_eq!(read(false, " 1 2 3 7 5 6"), (vec![(1, 3), (7, 7), (5, 6)], true));
        assert_eq!(read(false, "  4294967295   1 "), (vec![(u32::MAX, u32::MAX), (1, 1)], true));
        assert_eq!(read(false, " 2 5 6 (MODSEQ 917162500)"), (vec![(2, 2), (5, 6)], true));
        assert_eq!(read(false, " 1:3 9"), (vec![(1, 3), (9, 9)], true));
    }

    #[test]
    fn of_an_extended_answer_the_value_of_all_is_read() {
        for (text, ranges) in [
            (r#" (TAG "U1") UID ALL 1:5"#, vec![(1, 5)]),
            (r#"  (TAG "U1")  uid  all  5:1,6,9"#, vec![(1, 6), (9, 9)]),
            (r#" (TAG "a\")UID ALL 7") UID COUNT 3 ALL 2,10:11 MAX 11"#, vec![(2, 2), (10, 11)]),
            (r#" (TAG "U1") UID COUNT 0"#, vec![]),
            (r#" (TAG "U1") UID"#, vec![]),
            (" UID ALL 3", vec![(3, 3)]),
            (r#" (TAG "U1") UID ALLES 5 PARTIAL (-1:-100 5:7)"#, vec![]),
        ] {
            assert_eq!(read(true, text), (ranges, true), "{text}");
        }
    }

    #[test]
    fn sequence_numbers_are_not_taken_for_uids() {
        let (ranges, response) = responses(true, r#" (TAG "U1") ALL 1:5"#);
        assert!(ranges.is_empty() && matches!(response, Response::Unreadable(_)), "{response:?}");
    }

    #[test]
    fn something_that_is_no_uid_is_reported_as_unreadable() {
        for text in [" 0", " 4294967296", " 99999999999999999999999", " 1 x 2", " -1", " 1:", " *"] {
            assert!(!read(false, text).1, "{text}");
        }
        assert_eq!(read(false, " 1 0 2"), (vec![(1, 2)], false));
    }
}
