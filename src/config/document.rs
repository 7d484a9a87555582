//! The table of keys as a page for administrators.

use std::fmt::Write;

use super::Language;
use super::keys::{self, Default, Key, Kind, Listener};

/// `docs/properties.md`, which is made by `um-imap-oauth2 document properties`.
pub fn document() -> String {
    let mut page = String::from(HEAD);
    for (title, prefixes) in SECTIONS {
        let in_section = |key: &&&Key| section(key.name) == Some(*prefixes);
        // A string takes all that is written to it.
        _ = write!(page, "\n## {title}\n\n{COLUMNS}\n");
        for key in keys::ALL.iter().filter(in_section) {
            _ = writeln!(page, "{}", row(key));
        }
    }
    page
}

/// The prefixes of the first section that a key belongs to.
fn section(name: &str) -> Option<&'static [&'static str]> {
    let fits = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    SECTIONS.iter().map(|(_, prefixes)| *prefixes).find(|prefixes| fits(prefixes))
}

fn row(key: &Key) -> String {
    let secret = if key.secret { ", **secret**" } else { "" };
    let listener = match key.listener {
        Listener::Shared => "–".to_owned(),
        Listener::Own => format!("{}, own", listener_form(key)),
        Listener::Inherited | Listener::InheritedShort | Listener::InheritedBounce => listener_form(key),
    };
    let default = match key.default {
        Default::Required => "required".to_owned(),
        Default::Unset => "none".to_owned(),
        Default::Manual(value) => format!("`{value}`"),
        Default::Inferred(value) => format!("`{value}` (inferred)"),
        Default::Own(value) => format!("`{value}`"),
        Default::Derived(from) => from.message().in_language(Language::English),
    };
    let kind = match key.kind {
        Kind::Truth | Kind::OneOf(_) | Kind::NoneOrProxy | Kind::Proxy => {
            format!("`{}`", key.kind).replace(" | ", "` `")
        }
        _ => key.kind.to_string(),
    };
    let [english, german] =
        [Language::English, Language::German].map(|language| key.meaning().in_language(language));
    let name = key.name;
    format!("| `{name}` | {listener} | {kind}{secret} | {default} | {english} | {german} |")
}

/// What follows `cmsbs.bouncelistener.NAME.` where the manual's form is used.
fn listener_form(key: &Key) -> String {
    let names = key.names(Some("NAME"));
    let form = names.first().map(String::as_str).unwrap_or_default();
    format!("`{}`", form.strip_prefix("cmsbs.bouncelistener.NAME").unwrap_or(form))
}

const HEAD: &str = "\
<!-- Made by `um-imap-oauth2 document properties` from src/config/keys.rs. Do not edit. -->

# Properties

Every key that the library reads. The keys are Universal Messenger's own, except where the meaning says *own key*; own keys
need no line in any file.

- **Listener**: what follows `cmsbs.bouncelistener.NAME` for a further mailbox that `cmsbs.bounce.listeners` names. *own*: nothing is taken
  from the primary mailbox; otherwise what a listener does not set is as for the primary mailbox. Keys of the form `.oauth2.…` and
  `.authenticationMethod` are read with `.mail.imap` before them, too; the form in the table wins. *–*: the key holds for all mailboxes.
- **Default**: what the vendor's manual says, or the library's own keys; *inferred*: no source says so.
- The files are `cmsbs-conf/cmsbs.properties`, after it the files that it includes with `include.1 = PATH`, `include.2 = PATH` and so on, in
  the order of the numbers, and after these `conf.d/*.properties` in the order of their names. What comes later counts. An included file can
  include others. A file that is named and missing, or that cannot be read, refuses every mailbox: which keys are missing is not known.
- Every path begins at UM_HOME if it is relative, that of an include, too: not at the file in which it stands.
- Every key can also be set as `key$file`, with the path of a file that contains the value, and by an environment variable, whose dots may be
  written as `__`: `cmsbs__mail__imap__user`. Upper and lower case count in both, except for variables on Windows. The environment wins
  over `$file`, and `$file` over the plain value.
- `um-imap-oauth2 config --um-home DIR` shows for each mailbox what is set, where, and what is odd about it.
";

const COLUMNS: &str = "\
| Key | Listener | Values | Default | Meaning | Bedeutung |
| --- | --- | --- | --- | --- | --- |";

/// Titles, and what the names of their keys begin with; the first that fits counts.
const SECTIONS: &[(&str, &[&str])] = &[
    ("OAuth2", &["cmsbs.mail.imap.oauth2.", "cmsbs.mail.imap.authenticationMethod"]),
    ("Folders", &["cmsbs.mail.imap.folder."]),
    ("The mailbox", &["cmsbs.mail.imap."]),
    ("The bounce manager", &["cmsbs.bounce."]),
    ("All of Universal Messenger", &["cmsbs."]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_the_table_of_keys() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/properties.md");
        let page = std::fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
        assert!(page == document(), "stale: um-imap-oauth2 document properties > docs/properties.md");
    }

    #[test]
    fn how_files_are_included_and_words_are_separated_stands_on_the_page() {
        let page = document();
        for said in ["`include.1 = PATH`", "Every path begins at UM_HOME", "words, separated by blanks"] {
            assert!(page.contains(said), "{said}");
        }
    }

    #[test]
    fn every_key_has_one_row() {
        let page = document();
        for key in keys::ALL {
            assert_eq!(page.matches(&format!("| `{}` |", key.name)).count(), 1, "{}", key.name);
        }
        for line in page.lines().filter(|line| line.starts_with('|')) {
            assert_eq!(line.matches('|').count(), 7, "{line}");
        }
    }
}
