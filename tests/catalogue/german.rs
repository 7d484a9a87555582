//! Finds English sentences in a German text. English words of servers, endpoints, libraries and operating systems are none of
//! ours: where one stands, it and its neighbours must be in a text of theirs.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

/// The places where the text is English and no text of somebody else's.
pub fn english(text: &str) -> Vec<String> {
    let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_english = |at: &usize| ENGLISH.contains(&words[*at].to_lowercase().as_str());
    let places = (0..words.len()).filter(is_english);
    let places = places.map(|at| words[at.saturating_sub(1)..words.len().min(at + 2)].join(" "));
    places.filter(|place| !FOREIGN.contains(&format!(" {} ", place.to_lowercase()))).collect()
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
    texts.push(fs::read_to_string(here.join("tests/catalogue/cases.toml")).unwrap());
    texts.push(fs::read_to_string(here.join("tests/catalogue/peer.rs")).unwrap());
    let mut directories = vec![here.join("tests/standin/src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => texts.push(fs::read_to_string(path).unwrap()),
            }
        }
    }
    // Escaped as in a source, and broken into lines there.
    let text =
        texts.join(" . ").replace("\\r", " ").replace("\\n", " ").replace("\\\\", " ").replace("\\\"", " ");
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    format!(" {} ", words.collect::<Vec<_>>().join(" ").to_lowercase())
});

/// Errors of rustls, ureq, PKCS#12, the resolver and of names in Microsoft's portal.
const LIBRARIES: [&str; 0] = [];

#[test]
fn an_english_sentence_is_found_among_german_ones() {
    assert_eq!(english("Der Server antwortet nicht: NO not today. Bitte warten."), ["NO not today"]);
    assert!(
        english("Keine Verbindung zu x:993 (192.0.2.1: No such file or directory (os error 2))").is_empty()
    );
    assert_eq!(english("Das Postfach ist zu. the mailbox is closed").len(), 2);
}
