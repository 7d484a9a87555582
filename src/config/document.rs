//! The table of keys as a page for administrators.

use std::fmt::Write;

use super::Language;
use super::keys::{self, Default, Key, Kind, Listener};
use crate::message;
use crate::text::Message;

/// Makes `docs/properties.md` and its German form: the output of `um-imap-oauth2 document properties`.
pub fn document(language: Language) -> String {
    let say = |message: Message| message.in_language(language);
    let of = if language == Language::German { "properties.de" } else { "properties" };
    let made =
        format!("<!-- Made by `um-imap-oauth2 document {of}` from src/config/keys.rs. Do not edit. -->\n\n");
    let mut page = made + &say(message!(PropertiesHead)) + "\n";
    for (title, prefixes) in sections() {
        let in_section = |key: &&&Key| section(key.name) == Some(prefixes);
        let columns = say(message!(PropertiesColumns));
        // A string takes all that is written to it.
        _ = write!(page, "\n## {}\n\n{columns}\n| --- | --- | --- | --- | --- |\n", say(title));
        for key in keys::ALL.iter().filter(in_section) {
            _ = writeln!(page, "{}", row(key, language));
        }
    }
    page
}

/// The prefixes of the first section that a key belongs to.
fn section(name: &str) -> Option<&'static [&'static str]> {
    let fits = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    sections().into_iter().map(|(_, prefixes)| prefixes).find(|prefixes| fits(prefixes))
}

fn row(key: &Key, language: Language) -> String {
    let say = |message: Message| message.in_language(language);
    let values = key.kind.values(language);
    let values = match key.kind {
        Kind::Truth | Kind::OneOf(_) | Kind::NoneOrProxy | Kind::Proxy => {
            format!("`{values}`").replace(" | ", "` `")
        }
        _ => values,
    };
    let values = if key.secret { say(message!(PropertiesSecret, values = values)) } else { values };
    let listener = match key.listener {
        Listener::Shared => "–".to_owned(),
        Listener::Own => say(message!(PropertiesOwn, form = listener_form(key))),
        Listener::Inherited | Listener::InheritedShort | Listener::InheritedBounce => listener_form(key),
    };
    let default = match key.default {
        Default::Required => say(message!(PropertiesRequired)),
        Default::Unset => say(message!(PropertiesNone)),
        Default::Inferred(value) => say(message!(PropertiesInferred, value = format!("`{value}`"))),
        Default::Manual(value) | Default::Own(value) => format!("`{value}`"),
        Default::Derived(from) => say(from.message()),
    };
    format!("| `{}` | {listener} | {values} | {default} | {} |", key.name, say(key.meaning()))
}

/// What follows `cmsbs.bouncelistener.NAME.` where the manual's form is used.
fn listener_form(key: &Key) -> String {
    let names = key.names(Some("NAME"));
    let form = names.first().map(String::as_str).unwrap_or_default();
    format!("`{}`", form.strip_prefix("cmsbs.bouncelistener.NAME").unwrap_or(form))
}

/// Titles, and what the names of their keys begin with; the first that fits counts.
fn sections() -> [(Message, &'static [&'static str]); 5] {
    [
        (message!(PropertiesOauth2), &["cmsbs.mail.imap.oauth2.", "cmsbs.mail.imap.authenticationMethod"]),
        (message!(PropertiesFolders), &["cmsbs.mail.imap.folder."]),
        (message!(PropertiesMailbox), &["cmsbs.mail.imap."]),
        (message!(PropertiesBounces), &["cmsbs.bounce."]),
        (message!(PropertiesAll), &["cmsbs."]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_in_docs_are_the_table_of_keys() {
        for (name, language) in [("properties", Language::English), ("properties.de", Language::German)] {
            let path = format!("{}/docs/{name}.md", env!("CARGO_MANIFEST_DIR"));
            let page = std::fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
            assert!(page == document(language), "stale: um-imap-oauth2 document {name} > docs/{name}.md");
        }
    }

    #[test]
    fn how_files_are_included_and_words_are_separated_stands_on_the_page() {
        let page = document(Language::English);
        for said in
            ["`include.1 = PATH`", "Every relative path begins at UM_HOME", "words, separated by blanks"]
        {
            assert!(page.contains(said), "{said}");
        }
    }

    #[test]
    fn every_key_has_one_row() {
        let page = document(Language::English);
        for key in keys::ALL {
            assert_eq!(page.matches(&format!("| `{}` |", key.name)).count(), 1, "{}", key.name);
        }
        for line in page.lines().filter(|line| line.starts_with('|')) {
            assert_eq!(line.matches('|').count(), 6, "{line}");
        }
    }
}
