//! Finds secrets in a text, however they are written there.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;
use secrecy::{ExposeSecret, SecretString};

use super::writings::View;

/// Masks secrets that the other side repeats. Clones share what they look for.
///
/// Of a secret of eight characters or more each run of [`RUN`] octets or more is masked, a shorter one as a whole. Percent,
/// entity, JSON and base64 writings are undone for the search, up to [`LAYERS`] of them over each other. The time grows
/// with the length of the text, not with the number or length of the secrets.
#[derive(Clone, Default)]
pub struct Masks(Arc<Patterns>);

impl Masks {
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns = Patterns::default();
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            patterns.add(secret);
            for other in other_writings(secret) {
                patterns.add(other.expose_secret());
            }
        }
        Self(Arc::new(patterns))
    }

    /// The text with `***` in the place of each part of a secret.
    pub fn apply(&self, text: String) -> String {
        let mut found = Vec::new();
        if !self.0.is_empty() && !text.is_empty() {
            self.0.search(&View::of(&text), LAYERS, &mut found);
        }
        if found.is_empty() { text } else { masked(&text, found) }
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masks")
    }
}

/// What a secret becomes where a form or a URL was read or undone once too often.
fn other_writings(secret: &str) -> Vec<SecretString> {
    let mut all = Vec::new();
    for (from, to) in [(" ", "+"), ("+", " ")] {
        if secret.contains(from) {
            all.push(secret.replace(from, to).into());
        }
    }
    let mut undone = View::of(secret).undone();
    while let Some(view) = undone.filter(|_| all.len() < LAYERS + 2) {
        all.push(String::from_utf8_lossy(&view.octets).into_owned().into());
        undone = view.undone();
    }
    all
}

/// All that is looked for. No secret of eight characters or more is kept: only hashes of its parts.
#[derive(Default)]
struct Patterns {
    hasher: RandomState,
    /// Hashes of each [`RUN`] octets of the long secrets.
    runs: HashSet<u64>,
    /// The pairs of octets that those begin with: most positions of a text begin with none of them.
    begins: Pairs,
    short: Vec<SecretString>,
    /// Octets of the shortest pattern that is looked for in base64.
    least: usize,
    /// Octets that a secret, or a writing of one, can have.
    usual: Option<Box<[bool; 256]>>,
}

impl Patterns {
    fn is_empty(&self) -> bool {
        self.usual.is_none()
    }

    fn add(&mut self, secret: &str) {
        let characters = secret.chars().count();
        if characters <= TINY && secret.chars().all(char::is_alphabetic) {
            return;
        }
        let octets = secret.as_bytes();
        let usual = self
            .usual
            .get_or_insert_with(|| Box::new(std::array::from_fn(|octet| matches!(octet, 0x20..0x7f))));
        octets.iter().for_each(|octet| usual[usize::from(*octet)] = true);
        let length = if characters < RUN {
            self.short.push(secret.into());
            octets.len()
        } else {
            for run in octets.windows(RUN) {
                self.begins.insert(run);
                self.runs.insert(self.hasher.hash_one(run));
            }
            RUN
        };
        if characters > TINY {
            self.least = if self.least == 0 { length } else { self.least.min(length) };
        }
    }

    /// Adds the places of what is found in `view` to `found`.
    fn search(&self, view: &View, layers: usize, found: &mut Vec<Range<usize>>) {
        self.search_runs(view, found);
        for secret in self.short.iter().map(ExposeSecret::expose_secret) {
            search_short(view, secret, found);
        }
        if layers == 0 {
            return;
        }
        if let Some(undone) = view.undone() {
            self.search(&undone, layers - 1, found);
        }
        if let (Some(usual), true) = (&self.usual, self.least > 0) {
            view.decoded(self.least, usual, &mut |decoded| self.search(&decoded, layers - 1, found));
        }
    }

    fn search_runs(&self, view: &View, found: &mut Vec<Range<usize>>) {
        let mut open: Option<Range<usize>> = None;
        for (at, run) in view.octets.windows(RUN).enumerate() {
            if !self.begins.contains(run) || !self.runs.contains(&self.hasher.hash_one(run)) {
                continue;
            }
            match &mut open {
                Some(open) if at <= open.end => open.end = at + RUN,
                _ => {
                    found.extend(open.take().map(|part| view.place(part)));
                    open = Some(at..at + RUN);
                }
            }
        }
        found.extend(open.map(|part| view.place(part)));
    }
}

fn search_short(view: &View, secret: &str, found: &mut Vec<Range<usize>>) {
    let octets = &view.octets;
    let tiny = secret.chars().count() <= TINY;
    let is_of_word = |at: Option<usize>| {
        at.and_then(|at| octets.get(at)).is_some_and(|octet| octet.is_ascii_alphanumeric() || *octet > 0x7f)
    };
    for at in memmem::find_iter(octets, secret) {
        let end = at + secret.len();
        if !tiny || !is_of_word(at.checked_sub(1)) && !is_of_word(Some(end)) {
            found.push(view.place(at..end));
        }
    }
}

fn masked(text: &str, mut found: Vec<Range<usize>>) -> String {
    found.sort_by_key(|part| part.start);
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for part in found {
        let start = boundary(text, part.start, |at| at - 1);
        // Parts that touch each other share a mask.
        if start > end || end == 0 {
            masked.push_str(&text[end..start.max(end)]);
            masked.push_str(MASK);
        }
        end = end.max(boundary(text, part.end, |at| at + 1));
    }
    masked.push_str(&text[end..]);
    masked
}

/// The nearest boundary of a character in one direction.
fn boundary(text: &str, mut at: usize, next: fn(usize) -> usize) -> usize {
    while !text.is_char_boundary(at) {
        at = next(at);
    }
    at
}

/// A set of pairs of octets.
struct Pairs(Vec<u64>);

impl Default for Pairs {
    fn default() -> Self {
        Self(vec![0; (1 << 16) / 64])
    }
}

impl Pairs {
    fn place(run: &[u8]) -> (usize, u64) {
        let pair = usize::from(run[0]) << 8 | usize::from(run[1]);
        (pair / 64, 1 << (pair % 64))
    }

    fn insert(&mut self, run: &[u8]) {
        let (at, bit) = Self::place(run);
        self.0[at] |= bit;
    }

    fn contains(&self, run: &[u8]) -> bool {
        let (at, bit) = Self::place(run);
        self.0[at] & bit != 0
    }
}

/// Octets of a secret that are recognised as a part of it.
const RUN: usize = 8;
/// Writings over each other that are undone.
const LAYERS: usize = 3;
/// Characters up to which a secret counts only as a word of its own, and only if it is not made of letters alone: it stands
/// in many texts by chance, and a mask there would tell more than it hides.
const TINY: usize = 3;
const MASK: &str = "***";

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    const SECRET: &str = "Zq8~x7/Q+Kp.2&ü\"Wm\\4_dJ^fT<9>bN";

    fn percent(text: &str) -> String {
        text.bytes().map(|octet| format!("%{octet:02x}")).collect()
    }

    fn percent_some(text: &str) -> String {
        let some = |octet: u8| match octet {
            octet if octet.is_ascii_alphanumeric() => char::from(octet).to_string(),
            octet => format!("%{octet:02X}"),
        };
        text.bytes().map(some).collect()
    }

    fn numbers(text: &str) -> String {
        text.chars().map(|c| format!("&#{};", u32::from(c))).collect()
    }

    fn hexadecimal(text: &str) -> String {
        text.chars().map(|c| format!("&#x{:x};", u32::from(c))).collect()
    }

    fn named(text: &str) -> String {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    }

    fn json(text: &str) -> String {
        serde_json::to_string(text).unwrap().trim_matches('"').to_owned()
    }

    fn unicode(text: &str) -> String {
        text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect()
    }

    fn base64(text: &str) -> String {
        BASE64_STANDARD.encode(text)
    }

    fn base64_behind(text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(format!("user=\u{1}{text}\u{1}"))
    }

    fn same(text: &str) -> String {
        text.to_owned()
    }

    const WRITINGS: [fn(&str) -> String; 10] =
        [same, percent, percent_some, numbers, hexadecimal, named, json, unicode, base64, base64_behind];

    /// Whether a run of eight characters of `secret` stands in `text` after one more `writing`.
    fn leaks(text: &str, secret: &str, writing: &dyn Fn(&str) -> String) -> bool {
        let secret: Vec<char> = secret.chars().collect();
        secret.windows(8).any(|run| text.contains(&writing(&run.iter().collect::<String>())))
    }

    #[test]
    fn a_secret_is_masked_in_each_writing_and_in_two_over_each_other() {
        let masks = Masks::of([SECRET]);
        for first in WRITINGS {
            for second in WRITINGS {
                let both = |text: &str| second(&first(text));
                let masked = masks.apply(format!("before {} after", both(SECRET)));
                assert!(masked.contains("***"), "{masked}");
                assert!(masked.starts_with("before ") && masked.ends_with(" after"), "{masked}");
                assert!(!leaks(&masked, SECRET, &both), "{masked}");
            }
        }
    }

    #[test]
    fn each_run_of_eight_characters_is_masked_wherever_the_secret_was_cut() {
        let masks = Masks::of([SECRET]);
        let characters: Vec<char> = SECRET.chars().collect();
        for writing in WRITINGS {
            for start in 0..characters.len() - 8 {
                for end in start + 8..=characters.len() {
                    let part: String = characters[start..end].iter().collect();
                    let masked = masks.apply(format!("NO ({})", writing(&part)));
                    assert!(masked.contains("***"), "{part}: {masked}");
                    assert!(!leaks(&masked, &part, &writing), "{part}: {masked}");
                }
            }
        }
    }

    #[test]
    fn a_piece_of_base64_is_recognised_wherever_it_was_cut() {
        let masks = Masks::of([SECRET]);
        let encoded =
            BASE64_STANDARD.encode(format!("user=someone@example.com\u{1}auth=Bearer {SECRET}\u{1}"));
        for start in 0..encoded.len() - 16 {
            let masked = masks.apply(encoded[start..].to_owned());
            assert!(encoded.len() - start < 20 || masked.contains("***"), "{masked}");
        }
        assert!(masks.apply(encoded).starts_with("dXNlcj1zb21lb25lQGV4YW1wbGUuY29t"));
    }

    #[test]
    fn a_short_secret_is_masked_as_a_whole() {
        let masks = Masks::of(["Pl4nted", "one", "a1b"]);
        for (text, masked) in [
            ("S: a1 NO not Pl4nted", "S: a1 NO not ***"),
            ("xPl4ntedx Pl4nte", "x***x Pl4nte"),
            ("P%6C4nted &#80;l4nted", "*** ***"),
            ("UGw0bnRlZA==", "***=="),
            ("one password a1b, za1b", "one password ***, za1b"),
        ] {
            assert_eq!(masks.apply(text.into()), masked);
        }
    }

    #[test]
    fn ordinary_words_stay() {
        let token =
            format!("{}.{}.{}", base64("{\"typ\":\"JWT\"}"), base64("{\"aud\":\"x\"}"), base64(SECRET));
        let masks = Masks::of([SECRET, &token, "Pl4nted password"]);
        let text = "NO [AUTHENTICATIONFAILED] AADSTS7000215: Invalid client secret provided. \
                    Ensure the secret being sent in the request is the client secret value, not the client secret ID \
                    (100% sure &amp; more, C:\\new\\table). Trace ID: 8ab5d5cf-0b1c-4f0e-9c1a-0a5f2e6b7c00";
        assert_eq!(masks.apply(text.into()), text);
        assert_eq!(Masks::default().apply(text.into()), text);
    }

    #[test]
    fn what_looks_like_another_writing_within_a_secret_is_recognised() {
        let secret = "100%41&amp;more\\u0041+and more";
        let masks = Masks::of([secret]);
        for writing in WRITINGS {
            let masked = masks.apply(writing(secret));
            assert!(masked.contains("***") && !leaks(&masked, secret, &writing), "{masked}");
        }
        assert_eq!(masks.apply("x 100%2541%26amp%3Bmore%5Cu0041%2Band+more".into()), "x ***");
    }

    #[test]
    fn a_long_text_of_nothing_but_writings_comes_to_its_end() {
        let token: String = (0..4_000).map(|n| char::from(b'!' + (n * n % 90) as u8)).collect();
        let masks = Masks::of([token.as_str(), SECRET]);
        for hostile in ["%25", "&amp;", "QUFB", "a", "\\\\u005c", "%", "&#", SECRET] {
            let text = hostile.repeat(100_000 / hostile.len());
            let masked = masks.apply(text.clone());
            assert!(masked == text || masked == "***" && hostile == SECRET, "{hostile}");
        }
    }
}
