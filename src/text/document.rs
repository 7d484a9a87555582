//! The catalogue as a page for people who search for what a server said.

use std::fmt::Write;

use super::Language;
use super::catalogue::{Entry, Rank, choose, entries, fill, unknown};
use crate::failure::Retry;

/// `docs/troubleshooting.md`, or its German twin.
pub fn document(language: Language) -> String {
    let words = Words::of(language);
    let mut page = String::from(words.head);
    for Section { english, german, prefixes } in SECTIONS {
        let title = if language == Language::English { english } else { german };
        // A string takes all that is written to it.
        _ = write!(page, "\n## {title}\n");
        for entry in entries().iter().filter(|entry| section(entry) == *prefixes) {
            page.push_str(&words.entry(entry));
        }
    }
    page
}

/// The prefixes of the section that an entry belongs to.
fn section(entry: &Entry) -> &'static [&'static str] {
    let fits = |section: &&Section| section.prefixes.iter().any(|prefix| entry.id.starts_with(prefix));
    SECTIONS.iter().find(fits).map_or(OTHER, |section| section.prefixes)
}

struct Words {
    language: Language,
    head: &'static str,
    steps: &'static str,
    cause: &'static str,
    remedy: &'static str,
    never: &'static str,
    later: &'static str,
    unknown: &'static str,
    worked: &'static str,
    never_worked: &'static str,
    source: &'static str,
}

impl Words {
    fn of(language: Language) -> Self {
        match language {
            Language::English => Self {
                language,
                head: HEAD,
                steps: "At",
                cause: "Cause",
                remedy: "What to do",
                never: "Trying again does not help before something was changed.",
                later: "It is tried again by itself, and may succeed then.",
                unknown: "anything else at the step",
                worked: "where it worked before with the same settings",
                never_worked: "where it never worked",
                source: "From",
            },
            Language::German => Self {
                language,
                head: HEAD_GERMAN,
                steps: "Bei",
                cause: "Ursache",
                remedy: "Abhilfe",
                never: "Ein neuer Versuch hilft erst, wenn etwas geändert wurde.",
                later: "Es wird von selbst wieder versucht und kann dann gelingen.",
                unknown: "alles andere beim Schritt",
                worked: "wo es mit denselben Einstellungen schon ging",
                never_worked: "wo es noch nie ging",
                source: "Quelle",
            },
        }
    }

    /// Both variants of a part that depends on the mailbox.
    fn both(&self, condition: &str, yes: &str, no: &str) -> String {
        let [condition, otherwise] = match (condition, self.language) {
            ("exchange", Language::English) => ["(Exchange Online)", "(other servers)"],
            ("exchange", Language::German) => ["(Exchange Online)", "(andere Server)"],
            ("entra", Language::English) => ["(Microsoft Entra)", "(other token endpoints)"],
            ("entra", Language::German) => ["(Microsoft Entra)", "(andere Token-Endpunkte)"],
            (_, Language::English) => ["(OAuth2)", "(password)"],
            (_, Language::German) => ["(OAuth2)", "(Passwort)"],
        };
        let part = |label: &str, text: &str| {
            let text = text.trim_start();
            if text.is_empty() { String::new() } else { format!(" *{label}* {text}") }
        };
        let both = part(condition, yes) + &part(otherwise, no);
        if yes.starts_with(' ') { both } else { both.trim_start().to_owned() }
    }

    fn entry(&self, entry: &Entry) -> String {
        let text = entry.text(self.language);
        let steps: Vec<_> = entry.steps.iter().map(|step| step.name()).collect();
        let mut titles: Vec<_> = entry.examples.iter().map(|example| format!("`` {example} ``")).collect();
        if entry.rank == Rank::Fallback {
            titles = vec![format!("{} {}", self.unknown, steps.join(", "))];
        }
        let when = match entry.worked_before {
            None => "",
            Some(true) => self.worked,
            Some(false) => self.never_worked,
        };
        let separator = if when.is_empty() { "" } else { ", " };
        let retry = match entry.retry {
            None => "",
            Some(Retry::Never) => self.never,
            Some(Retry::Later | Retry::After(_)) => self.later,
        };
        let also = if entry.rank == Rank::Fallback { &unknown(self.language).cause } else { "" };
        // The values of a mailbox that nobody has yet.
        let fill = |template: &str| {
            let template =
                choose(&without_tags(template), &|condition, yes, no| self.both(condition, yes, no));
            fill(&template, &|hole| Some(placeholder(hole)))
        };
        let mut page = String::new();
        _ = write!(
            page,
            "\n### {titles}\n\n\
             <a id=\"{id}\"></a>`{id}`. {at} {steps}{separator}{when}. {retry}\n\n\
             **{cause_word}**: {cause} {also}\n\n\
             **{remedy_word}**: {remedy}\n\n\
             *{source_word}: {source}*\n",
            titles = titles.join("<br>"),
            id = entry.id,
            at = self.steps,
            steps = steps.join(", "),
            cause_word = self.cause,
            cause = fill(&text.cause),
            remedy_word = self.remedy,
            remedy = fill(&text.remedy),
            source_word = self.source,
            source = entry.source,
        );
        page.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// What whoever reads it has to fill in, `<file>`, in brackets that do not make it a tag in Markdown.
fn without_tags(text: &str) -> String {
    let mut pieces = text.split('<');
    let mut safe = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once('>') {
            Some((name, rest)) if name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') => {
                _ = write!(safe, "‹{name}›{rest}");
            }
            _ => _ = write!(safe, "<{piece}"),
        }
    }
    safe
}

/// What stands for a value; a key is its own name.
fn placeholder(hole: &str) -> String {
    if hole.starts_with("cmsbs.") { hole.to_owned() } else { format!("‹{hole}›") }
}

struct Section {
    english: &'static str,
    german: &'static str,
    /// Of the ids of its entries.
    prefixes: &'static [&'static str],
}

const SECTIONS: &[Section] = &[
    Section { english: "Microsoft Entra ID", german: "Microsoft Entra ID", prefixes: &["entra-"] },
    Section {
        english: "The access token and the credential",
        german: "Zugriffstoken und Anmeldedaten",
        prefixes: &["token-", "certificate-", "assertion-", "credential-"],
    },
    Section { english: "The mail server", german: "Der Mailserver", prefixes: &["imap-", "mailbox-"] },
    Section { english: "TLS", german: "TLS", prefixes: &["tls-"] },
    Section {
        english: "Names, connections, proxies",
        german: "Namen, Verbindungen, Proxys",
        prefixes: &["dns-", "proxy-", "connect", "clock-"],
    },
    Section {
        english: "Files of this machine",
        german: "Dateien dieses Rechners",
        prefixes: &["disk-", "storage-", "too-many-", "journal-"],
    },
    Section { english: "Everything else", german: "Alles andere", prefixes: OTHER },
];

const OTHER: &[&str] = &["unknown-", "usage", "internal"];

const HEAD: &str = "\
<!-- Made by `um-imap-oauth2 document troubleshooting` from src/text/catalogue.toml. Do not edit. -->

# Troubleshooting

What servers, networks and this machine say when something is wrong, why, and what to do about it: search for the text that you
see (without names and numbers of your own). The library says the same by itself, with the values of the mailbox in it, in
`MailboxException`, in the log and in `um-imap-oauth2 check`. ‹user›, ‹client_id› … stand for those values here;
‹key› is the property that the message names, 'ENTERPRISE-OBJECT-ID' something that only Microsoft's portal knows. For programs
each has a name, such as `imap-throttled`: `MailboxException.id()`, and `id` in the JSON of `check`.

[Deutsch](troubleshooting.de.md)
";

const HEAD_GERMAN: &str = "\
<!-- Made by `um-imap-oauth2 document troubleshooting.de` from src/text/catalogue.toml. Do not edit. -->

# Fehlersuche

Was Server, Netzwerke und dieser Rechner sagen, wenn etwas nicht stimmt, warum, und was zu tun ist: Suchen Sie nach dem Text, den
Sie sehen (ohne Ihre Namen und Nummern). Die Bibliothek sagt dasselbe von selbst, mit den Werten des Postfachs darin, in der
`MailboxException`, im Log und in `um-imap-oauth2 check`. ‹user›, ‹client_id› … stehen hier für diese Werte; ‹key›
ist die Eigenschaft, die die Meldung nennt, 'ENTERPRISE-OBJECT-ID' etwas, das nur das Portal von Microsoft weiß. Für Programme
hat jeder Eintrag einen Namen, etwa `imap-throttled`: `MailboxException.id()`, und `id` im JSON von `check`.

[English](troubleshooting.md)
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_in_docs_are_the_catalogue() {
        for (name, language) in
            [("troubleshooting", Language::English), ("troubleshooting.de", Language::German)]
        {
            let path = format!("{}/docs/{name}.md", env!("CARGO_MANIFEST_DIR"));
            let page = std::fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
            assert!(page == document(language), "stale: um-imap-oauth2 document {name} > docs/{name}.md");
        }
    }

    #[test]
    fn every_entry_is_on_the_page_once() {
        let page = document(Language::English);
        for entry in entries() {
            assert_eq!(page.matches(&format!("<a id=\"{}\">", entry.id)).count(), 1, "{}", entry.id);
        }
    }
}
