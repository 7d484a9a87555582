//! Loose matching of what servers say.

use serde::Deserialize;

use crate::sanitize;

/// A piece of text to find: letter case and the amount of white space do not matter, `*` stands for anything within
/// the text, `#` for one digit. It begins and ends at a word's edge, so that `AADSTS70011` is not found in
/// `AADSTS700112`; a `*` at either end lifts that.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
pub struct Pattern {
    written: String,
    pieces: Vec<Vec<char>>,
}

/// Text prepared for [`Pattern::is_in`].
#[derive(Debug)]
pub(super) struct Subject(Vec<char>);

impl Pattern {
    /// The pattern as it stands in the catalogue.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Each piece is taken where it first occurs after the one before it, which finds the whole whenever it is there,
    /// in time proportional to text × pattern.
    pub(super) fn is_in(&self, subject: &Subject) -> bool {
        let text = &subject.0;
        let last = self.pieces.len() - 1;
        let mut from = 0;
        for (i, piece) in self.pieces.iter().enumerate() {
            let found = (from..=text.len().saturating_sub(piece.len())).find(|&at| {
                let end = at + piece.len();
                text.get(at..end).is_some_and(|here| here.iter().zip(piece).all(|(t, p)| fits(*t, *p)))
                    && (i != 0 || edge(text, at, piece.first()))
                    && (i != last || edge(text, end, piece.last()))
            });
            match found {
                Some(at) => from = at + piece.len(),
                None => return false,
            }
        }
        true
    }
}

impl From<String> for Pattern {
    fn from(written: String) -> Self {
        let pieces = Subject::new(&written).0.split(|c| *c == '*').map(<[char]>::to_vec).collect();
        Self { written, pieces }
    }
}

impl Subject {
    pub(super) fn new(text: &str) -> Self {
        let mut folded: Vec<char> = Vec::with_capacity(text.len().min(MOST_CHARACTERS));
        for c in sanitize::blanked(text).chars().flat_map(char::to_lowercase).take(MOST_CHARACTERS) {
            // Control characters too: a server's line may hold any.
            let c = if c.is_whitespace() || c.is_control() { ' ' } else { c };
            if c != ' ' || folded.last() != Some(&' ') {
                folded.push(c);
            }
        }
        Self(folded)
    }
}

fn fits(text: char, pattern: char) -> bool {
    text == pattern || pattern == '#' && text.is_ascii_digit()
}

/// Whether a word may begin or end at this position, where the pattern's outermost character is `outer`.
fn edge(text: &[char], at: usize, outer: Option<&char>) -> bool {
    let word = |c: &char| c.is_alphanumeric() || *c == '_';
    if !outer.is_some_and(|c| word(c) || *c == '#') {
        return true;
    }
    let before = at.checked_sub(1).and_then(|i| text.get(i));
    !(before.is_some_and(word) && text.get(at).is_some_and(word))
}

/// More than any server's error text has; a body of 64 KiB is not searched to its end.
const MOST_CHARACTERS: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        Pattern::from(pattern.to_owned()).is_in(&Subject::new(text))
    }

    #[test]
    fn case_and_white_space_do_not_matter() {
        assert!(found("not  connected", "BAD User is authenticated but Not\tConnected."));
        assert!(!found("not connected", "notconnected"));
    }

    #[test]
    fn a_pattern_begins_and_ends_at_a_words_edge() {
        assert!(found("AADSTS70011", "AADSTS70011: The provided"));
        assert!(!found("AADSTS70011", "AADSTS700112: The provided"));
        assert!(!found("ESET", "connection reset by peer"));
        assert!(found("*issuer", "UnknownIssuer"));
        assert!(found("[OVERQUOTA]", "NO[OVERQUOTA]x"));
    }

    #[test]
    fn holes_stand_for_anything_and_for_digits() {
        assert!(found("HTTP 5##", "HTTP 503"));
        assert!(!found("HTTP 5##", "HTTP 403"));
        assert!(!found("HTTP 5##", "HTTP 5030"));
        assert!(found("Backoff Time: * milliseconds", "Suggested Backoff Time: 89117 milliseconds"));
        assert!(!found("a * a", "a b"));
    }

    #[test]
    fn empty_and_short_texts_match_nothing() {
        assert!(!found("x", ""));
        assert!(!found("longer than this", "this"));
    }
}
