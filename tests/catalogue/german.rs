//! Finds English sentences in a German text. English words of servers, endpoints, libraries and operating systems are none of
//! ours: where one stands, it must be beside the same word in a text of theirs.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

/// The places where the text is English and no text of somebody else's.
pub fn english(text: &str) -> Vec<String> {
    let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_english = |at: &usize| ENGLISH.contains(&words[*at].to_lowercase().as_str());
    let is_foreign = |words: &[&str]| {
        words.len() == 2 && FOREIGN.contains(&format!(" {} ", words.join(" ").to_lowercase()))
    };
    let is_ours = |at: &usize| {
        let (before, after) = (at.saturating_sub(1)..at + 1, *at..words.len().min(at + 2));
        !is_foreign(&words[before]) && !is_foreign(&words[after])
    };
    let places = (0..words.len()).filter(is_english).filter(is_ours);
    places.map(|at| words[at.saturating_sub(1)..words.len().min(at + 2)].join(" ")).collect()
}

/// Words that stand in nearly each English sentence and in no German one.
const ENGLISH: [&str; 22] = [
    "the", "of", "and", "is", "are", "be", "been", "cannot", "not", "with", "which", "that", "this", "from",
    "has", "have", "were", "to", "for", "it", "its", "but",
];

/// All that others say in these tests, in lower case, one blank between words.
static FOREIGN: LazyLock<String> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<String> = LIBRARIES.iter().map(ToString::to_string).collect();
    texts.extend((1..200).map(|code| io::Error::from_raw_os_error(code).to_string()));
    texts.extend(
        ["cases.toml", "peer.rs"].map(|name| without_comments(&here.join("tests/catalogue").join(name))),
    );
    let mut directories = vec![here.join("tests/standin/src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => texts.push(without_comments(&path)),
            }
        }
    }
    // Escaped as in a source, and broken into lines there.
    let text =
        texts.join(" . ").replace("\\r", " ").replace("\\n", " ").replace("\\\\", " ").replace("\\\"", " ");
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    format!(" {} ", words.collect::<Vec<_>>().join(" ").to_lowercase())
});

/// Comments are ours.
fn without_comments(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let is_text = |line: &&str| !["//", "#"].iter().any(|comment| line.trim_start().starts_with(comment));
    text.lines().filter(is_text).collect::<Vec<_>>().join(" . ")
}

/// Errors of the resolver, rustls and the standard library.
const LIBRARIES: [&str; 3] = [
    "failed to lookup address information: Name or service not known. Temporary failure in name resolution",
    "received corrupt message of type InvalidContentType",
    "invalid utf-8 sequence of 1 bytes from index 1",
];

#[test]
fn an_english_sentence_is_found_among_german_ones() {
    assert_eq!(english("Der Server antwortet nicht: xyzzy not xyzzy. Bitte warten."), ["xyzzy not xyzzy"]);
    assert!(
        english("Keine Verbindung zu x:993 (192.0.2.1: No such file or directory (os error 2))").is_empty()
    );
    assert!(!english("Der Abruf ist zu Ende: a newer fetch of the mailbox has ended this one").is_empty());
}
