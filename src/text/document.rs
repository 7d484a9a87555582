//! The catalogue as a page for people who search for what a server said.

use std::fmt::Write;

use super::catalogue::{Entry, Rank, choose, command, entries, fill, unknown};
use super::{Id, Language};
use crate::failure::Retry;
use crate::message;

/// `docs/troubleshooting.md`, or its German twin.
pub fn document(language: Language) -> String {
    let name = match language {
        Language::English => "troubleshooting",
        Language::German => "troubleshooting.de",
    };
    let page = Page { language };
    let made = "from src/text/catalogue.toml. Do not edit.";
    let mut text = format!("<!-- Made by `um-imap-oauth2 document {name}` {made} -->\n\n");
    // A string takes all that is written to it.
    _ = writeln!(text, "{}", page.text(Id::DocumentHead));
    for (title, prefixes) in SECTIONS {
        _ = write!(text, "\n## {}\n", page.text(*title));
        for entry in entries().iter().filter(|entry| section(entry) == *prefixes) {
            text.push_str(&page.entry(entry));
        }
    }
    text
}

/// The prefixes of the section that an entry belongs to.
fn section(entry: &Entry) -> &'static [&'static str] {
    let fits = |prefixes: &[&str]| prefixes.iter().any(|prefix| entry.id.starts_with(prefix));
    SECTIONS.iter().map(|(_, prefixes)| *prefixes).find(|prefixes| fits(prefixes)).unwrap_or(OTHER)
}

struct Page {
    language: Language,
}

impl Page {
    fn text(&self, id: Id) -> String {
        id.message().in_language(self.language)
    }

    fn entry(&self, entry: &Entry) -> String {
        let text = entry.text(self.language);
        let mut titles: Vec<_> = entry.examples.iter().map(|example| format!("`` {example} ``")).collect();
        if entry.rank == Rank::Fallback {
            titles = vec![message!(DocumentUnknown, steps = steps(entry)).in_language(self.language)];
        }
        let retry = match entry.retry {
            None => String::new(),
            Some(Retry::Never) => self.text(Id::DocumentNever),
            Some(Retry::Later | Retry::After(_)) => self.text(Id::DocumentLater),
        };
        let also = if entry.rank == Rank::Fallback { &unknown(self.language).cause } else { "" };
        let mut page = String::new();
        _ = write!(
            page,
            "\n### {titles}\n\n\
             <a id=\"{id}\"></a>`{id}`. {when} {retry}\n\n\
             **{cause_label}**: {cause} {also}\n\n\
             **{remedy_label}**: {remedy}\n\n\
             *{source_label}: {source}*\n",
            titles = titles.join("<br>"),
            id = entry.id,
            when = self.when(entry),
            cause_label = self.text(Id::LabelCause),
            cause = self.filled(&text.cause),
            remedy_label = self.text(Id::LabelRemedy),
            remedy = with_blocks(&self.filled(&text.remedy)),
            source_label = self.text(Id::DocumentSource),
            source = entry.source,
        );
        page.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// The steps of an entry, and whether it depends on what worked before.
    fn when(&self, entry: &Entry) -> String {
        let steps = steps(entry);
        let when = match entry.worked_before {
            None => message!(DocumentSteps, steps = steps),
            Some(true) => message!(DocumentStepsWorked, steps = steps),
            Some(false) => message!(DocumentStepsNeverWorked, steps = steps),
        };
        when.in_language(self.language)
    }

    /// The template with all its variants, and with names for the values of a mailbox.
    fn filled(&self, template: &str) -> String {
        let template = choose(template, &|condition, yes, no| self.both(condition, yes, no));
        fill(&template, &|hole| Some(placeholder(hole)))
    }

    /// Both variants of a part that depends on the mailbox.
    fn both(&self, condition: &str, yes: &str, no: &str) -> String {
        let [condition, otherwise] = match condition {
            "exchange" => [Id::DocumentForExchange, Id::DocumentNotExchange],
            "entra" => [Id::DocumentForEntra, Id::DocumentNotEntra],
            _ => [Id::DocumentForOauth2, Id::DocumentNotOauth2],
        };
        let part = |label: Id, text: &str| {
            let text = text.trim_start();
            if text.is_empty() { String::new() } else { format!(" *{}* {text}", self.text(label)) }
        };
        let both = part(condition, yes) + &part(otherwise, no);
        if yes.starts_with(' ') { both } else { both.trim_start().to_owned() }
    }
}

fn steps(entry: &Entry) -> String {
    entry.steps.iter().map(|step| step.name()).collect::<Vec<_>>().join(", ")
}

/// The text with its commands as blocks of code.
fn with_blocks(text: &str) -> String {
    let mut page = String::new();
    let mut in_block = false;
    for line in text.lines() {
        let command = command(line);
        if command.is_some() != in_block {
            page.push_str(if in_block { "```\n\n" } else { "\n```\n" });
            in_block = !in_block;
        }
        _ = writeln!(page, "{}", command.unwrap_or(line.trim()));
    }
    if in_block {
        page.push_str("```\n");
    }
    page.truncate(page.trim_end().len());
    page
}

/// Stands for a value; a key is its own name.
fn placeholder(hole: &str) -> String {
    if hole.starts_with("cmsbs.") { hole.to_owned() } else { format!("‹{hole}›") }
}

/// Titles, and the prefixes of the ids of their entries.
const SECTIONS: &[(Id, &[&str])] = &[
    (Id::DocumentEntra, &["entra-"]),
    (Id::DocumentToken, &["token-", "certificate-", "assertion-", "credential-"]),
    (Id::DocumentServer, &["imap-", "mailbox-"]),
    (Id::DocumentTls, &["tls-"]),
    (Id::DocumentNetwork, &["dns-", "proxy-", "connect", "clock-"]),
    (Id::DocumentMachine, &["disk-", "storage-", "too-many-", "journal-"]),
    (Id::DocumentOther, OTHER),
];

const OTHER: &[&str] = &["unknown-", "usage", "internal"];

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
