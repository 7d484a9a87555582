//! Rules for the wording of all texts, in both languages.

use super::*;

/// The texts of the catalogue and of the table, with the place of each.
fn texts(language: Language) -> Vec<(String, String)> {
    let explained = entries().iter().flat_map(|entry| {
        let text = entry.text(language);
        [&text.cause, &text.remedy].map(|text| (entry.id.clone(), text.clone()))
    });
    let said = Id::ALL.iter().map(|id| (id.name().to_owned(), id.sentence(language).to_owned()));
    explained.chain(said).collect()
}

#[test]
fn a_command_of_a_remedy_is_on_a_line_of_its_own_and_can_be_pasted() {
    for entry in entries() {
        for text in [&entry.en, &entry.de] {
            for line in text.remedy.lines() {
                let command = catalogue::command(line);
                assert!(command.is_some() || !line.contains('`'), "{}: {line}", entry.id);
                let is_pasteable = |command: &str| !command.contains(['<', '…', '“']);
                assert!(command.is_none_or(is_pasteable), "{}: {line}", entry.id);
                for verb in ["Get-", "Set-", "Add-", "New-", "Remove-", "Connect-"] {
                    assert!(command.is_some() || !line.contains(verb), "{}: {line}", entry.id);
                }
            }
            assert!(!text.cause.contains(['`', '<', '\n']), "{}: {}", entry.id, text.cause);
            assert!(!text.remedy.contains('<'), "{}: {}", entry.id, text.remedy);
        }
    }
}

#[test]
fn a_command_is_shown_without_backticks_where_it_is_copied_from() {
    let text = "Run in PowerShell:\n`Get-CASMailbox \"a@b.example\"`\nIt must show `True`.";
    let shown = "Run in PowerShell:\n    Get-CASMailbox \"a@b.example\"\nIt must show `True`.\n";
    assert_eq!(Layout::default().prose("", text), shown);
}

#[test]
fn an_explanation_that_ends_with_a_command_goes_on_below_it() {
    for language in [Language::English, Language::German] {
        for values in [&value as &dyn Fn(&str) -> Option<String>, &|_| None] {
            for step in Step::ALL {
                let circumstances =
                    Circumstances { language, names: &Names::default(), worked_before: false, values };
                let remedy = explain(Failure::new(step, Kind::Refused, "xyzzy"), &circumstances).remedy;
                let is_whole = |line: &str| catalogue::command(line).is_some() || !line.contains('`');
                assert!(remedy.lines().all(is_whole), "{step}: {remedy}");
                assert!(
                    remedy.lines().all(|line| line.trim() == line && !line.is_empty()),
                    "{step}: {remedy:?}"
                );
            }
        }
    }
}

#[test]
fn each_thing_has_one_word() {
    let german = ["Nachweis", "Kennwort", "Oktett", "Geheimnis-ID", "unterschrieben", "berichtig"];
    let english = ["octets", "anew", "whoever", "is no GUID", "cannot be asked", "in its stead"];
    for (language, words) in [(Language::German, german), (Language::English, english)] {
        for (place, text) in texts(language) {
            for word in words {
                assert!(!text.to_lowercase().contains(&word.to_lowercase()), "{place}: {word}: {text}");
            }
        }
    }
}

#[test]
fn german_texts_address_the_reader_and_do_not_end_in_an_infinitive() {
    // "Den Wert eintragen."
    let bare = [
        "eintragen",
        "schreiben",
        "setzen",
        "prüfen",
        "löschen",
        "entfernen",
        "korrigieren",
        "anlegen",
        "ausführen",
    ];
    for (place, text) in texts(Language::German) {
        let lines = text.lines().flat_map(|line| line.split(". "));
        for sentence in lines.map(|sentence| sentence.trim().trim_end_matches('.')) {
            let last = sentence.rsplit(' ').next().unwrap_or_default();
            let has_verb = [
                "Sie", "muss", "müss", "kann", "könn", "konnte", "darf", "dürf", "lass", "läss", "werden",
                " zu ",
            ];
            let is_addressed = has_verb.iter().any(|word| sentence.contains(word));
            assert!(!bare.contains(&last) || is_addressed, "{place}: {sentence}");
        }
    }
}

#[test]
fn no_german_text_has_english_words() {
    let is_name = |word: &str| word.contains(|c: char| !c.is_alphabetic() && !".,:;".contains(c));
    let is_german = |line: &&str| catalogue::command(line).is_none() && !line.contains(SHOWN_AS_IT_IS);
    for (place, text) in texts(Language::German) {
        // A quoted name, a command or an option is the same in every language.
        let words = text.lines().filter(is_german).flat_map(str::split_whitespace);
        let english: Vec<_> = words
            .filter(|word| !is_name(word))
            .map(|word| word.trim_end_matches(['.', ',', ':', ';']).to_lowercase())
            .filter(|word| ENGLISH.contains(&word.as_str()))
            .collect();
        assert!(english.is_empty(), "{place}: {english:?}: {text}");
    }
}

/// Exit codes have these names in every monitoring system.
const SHOWN_AS_IT_IS: &str = "UNKNOWN:";

#[test]
fn the_languages_differ_unless_a_text_is_a_name() {
    for id in Id::ALL {
        let english = id.sentence(Language::English);
        let words = english.split(['{', '}']).step_by(2).collect::<String>();
        let is_word = |word: &&str| word.contains(char::is_alphabetic);
        let is_name = words.split_whitespace().filter(is_word).count() < 2;
        let is_same = ["document-entra", "document-for-exchange", "document-for-entra"].contains(&id.name());
        assert!(is_name || is_same || english != id.sentence(Language::German), "{id:?}");
    }
}

/// Words that stand in nearly each English sentence and in no German one.
const ENGLISH: [&str; 54] = [
    "the", "of", "and", "is", "are", "be", "been", "cannot", "not", "with", "which", "that", "this", "from",
    "has", "have", "were", "to", "for", "it", "its", "but", "or", "if", "does", "than", "there", "into",
    "only", "other", "may", "their", "them", "when", "while", "before", "each", "every", "without",
    "between", "could", "should", "because", "your", "you", "unknown", "missing", "found", "wrong",
    "another", "again", "no", "by", "at",
];
