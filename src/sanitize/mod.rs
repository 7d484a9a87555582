//! Makes text from outside fit to be shown: masks secrets, and escapes characters that a terminal or a log would obey.
//!
//! [`Failure`](crate::failure::Failure) and [`Log`](crate::log::Log) call it where a text enters them, once. Code behind
//! them (terminal, Java exception, JSON, `status.json`) relies on that and does nothing more.

mod masks;
mod writings;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;

use secrecy::{ExposeSecret, SecretString};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use masks::Masks;

/// Masks the secrets that this thread knows, and escapes each control and format character, line ends too.
pub fn line(text: impl Into<String>) -> String {
    let masked = mask(text);
    match escape(&masked) {
        Cow::Borrowed(_) => masked,
        Cow::Owned(escaped) => escaped,
    }
}

/// Does the same for each line of a text, and keeps the line feeds between them.
///
/// For texts whose line feeds are our own: the lines of several failures, or of a remedy.
pub fn lines(text: impl Into<String>) -> String {
    mask(text).split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// Masks the secrets that this thread knows, and escapes nothing: for a text that is cut before it is shown. A secret that
/// was cut is recognised, an encoded one that was cut may not be.
pub fn mask(text: impl Into<String>) -> String {
    KNOWN.with_borrow(|known| known.masks.apply(text.into()))
}

/// Writes line feeds that are our own as ` / `, so that a text of several lines is one line of a log.
pub fn joined(text: &str) -> Cow<'_, str> {
    if text.contains('\n') { text.replace('\n', " / ").into() } else { text.into() }
}

/// Writes each character of the categories Cc, Cf, Zl and Zp as `\u{…}`. Escaping a text twice changes nothing more.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_obeyed(c) {
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped.into()
}

/// Undoes nothing, but has a blank in the place of each escaped character: for the comparison with known texts.
pub fn blanked(text: &str) -> String {
    let mut blanked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u{") {
        blanked.push_str(before);
        match after.split_once('}') {
            Some((code, after)) if code.len() <= 6 && code.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                blanked.push(' ');
                rest = after;
            }
            _ => {
                blanked.push_str("\\u{");
                rest = after;
            }
        }
    }
    blanked + rest
}

/// Has this thread mask `secrets` from now on in each text that [`line`] and [`lines`] get.
///
/// The thread that sends a secret is the one that reads how the other side repeats it. A thread keeps the last
/// [`KEPT`] secrets: access tokens and assertions come and go, and a secret in use is remembered again with each use.
pub fn remember<'a>(secrets: impl IntoIterator<Item = &'a str>) {
    KNOWN.with_borrow_mut(|known| {
        let mut changed = false;
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            changed |= known.add(secret);
        }
        if changed {
            known.masks = Masks::of(known.secrets.iter().map(ExposeSecret::expose_secret));
        }
    });
}

/// Whether a terminal, or who shows a log, may obey a character instead of showing it.
pub fn is_obeyed(c: char) -> bool {
    use GeneralCategory as G;
    let category = || c.general_category();
    c.is_ascii_control()
        || !c.is_ascii()
            && matches!(category(), G::Control | G::Format | G::LineSeparator | G::ParagraphSeparator)
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// The secrets that a thread masks.
#[derive(Default)]
struct Known {
    /// The one that was used last is the last one.
    secrets: VecDeque<SecretString>,
    masks: Masks,
}

impl Known {
    /// Adds a secret, or moves it to the end; true if it is new.
    fn add(&mut self, secret: &str) -> bool {
        let known = self.secrets.iter().position(|known| known.expose_secret() == secret);
        match known.and_then(|at| self.secrets.remove(at)) {
            Some(known) => {
                self.secrets.push_back(known);
                false
            }
            None => {
                if self.secrets.len() == KEPT {
                    self.secrets.pop_front();
                }
                self.secrets.push_back(secret.into());
                true
            }
        }
    }
}

/// Secrets that one thread masks. A mailbox has at most six at a time; `check` goes through several mailboxes in one thread.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_or_a_log_would_obey_is_escaped() {
        for (text, escaped) in [
            ("\u{1b}[31m", r"\u{1b}[31m"),
            ("\r\n\0\u{7f}\t", r"\u{d}\u{a}\u{0}\u{7f}\u{9}"),
            ("\u{9b}2J\u{85}", r"\u{9b}2J\u{85}"),
            ("\u{202e}abc\u{2066}\u{200f}", r"\u{202e}abc\u{2066}\u{200f}"),
            ("\u{2028}\u{2029}\u{feff}\u{ad}\u{e0041}", r"\u{2028}\u{2029}\u{feff}\u{ad}\u{e0041}"),
            ("Größe 日本 \\ \u{a0}", "Größe 日本 \\ \u{a0}"),
        ] {
            assert_eq!(escape(text), escaped);
            assert_eq!(escape(&escape(text)), escaped, "twice");
        }
    }

    #[test]
    fn our_own_line_feeds_stay_between_lines() {
        assert_eq!(lines("NO one\r\nBYE \u{1b}two"), "NO one\\u{d}\nBYE \\u{1b}two");
        assert_eq!(line("a\nb"), r"a\u{a}b");
        assert_eq!(joined("a\nb"), "a / b");
        assert_eq!(blanked(r"a\u{9}b\u{a}\u{xyz}\u{"), r"a b \u{xyz}\u{");
    }

    #[test]
    fn a_thread_masks_what_it_has_used() {
        std::thread::spawn(|| {
            remember(["the first Pl4nted"]);
            assert_eq!(line("no rst Pl4nted\u{7}"), r"no ***\u{7}");
            for n in 0..KEPT {
                remember([format!("{n} of many others").as_str()]);
            }
            assert_eq!(line("the first Pl4nted"), "the first Pl4nted");
        })
        .join()
        .unwrap();
        assert_eq!(line("the first Pl4nted"), "the first Pl4nted", "another thread");
    }
}
