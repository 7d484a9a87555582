//! Checks that hold for each entry of the catalogue: both languages, the holes in its texts, its examples.

use std::collections::HashSet;

use super::*;
use crate::text::pattern::Pattern;

#[test]
fn every_entry_is_found_by_its_examples_at_each_of_its_steps() {
    for entry in entries() {
        if entry.rank == Rank::Fallback {
            assert!(entry.examples.is_empty(), "{}: what is not known has no examples", entry.id);
            continue;
        }
        assert!(!entry.examples.is_empty(), "{}: no example", entry.id);
        // The first pattern of each value that it depends on; a catalogue that needs more than that is too clever.
        let values = |hole: &str| {
            let key = if hole == "folder.debug" { "folder" } else { hole };
            let named = entry.values.get(key).or_else(|| match hole {
                "server" | "login_host" => entry.values.get("host"),
                _ => None,
            });
            if entry.values.contains_key("beside") && hole == "server" {
                return Some("mail.example".to_owned());
            }
            let private = entry.id == "tls-unknown-issuer" && matches!(hole, "server" | "login_host");
            match named.and_then(|patterns| patterns.first()) {
                Some(pattern) => Some(pattern.written().replace('*', "x")),
                None if private => Some("mail.example".to_owned()),
                None => value(hole),
            }
        };
        let endpoint = entry.values.get("endpoint").and_then(|patterns| patterns.first());
        for (step, example) in entry.steps.iter().flat_map(|s| entry.examples.iter().map(move |e| (*s, e))) {
            // A BYE or a cut is no refusal.
            let usual = if entry.rank == Rank::Follows { Kind::Network } else { usual_kind(step) };
            let kind = entry.kinds.first().or(entry.kind.as_ref()).copied().unwrap_or(usual);
            let mut failure = Failure::new(step, kind, example.replace('…', "x"));
            failure.own = entry.own.first().and_then(|name| Id::named(name));
            if step == Step::Folders {
                failure = failure.key("cmsbs.mail.imap.folder.debug");
            } else if endpoint.is_none() && entry.id == "tls-not-tls-token" {
                failure = failure.key("cmsbs.mail.imap.oauth2.accessTokenUri");
            }
            let circumstances = Circumstances {
                language: Language::German,
                names: &Names::default(),
                worked_before: entry.worked_before.unwrap_or(false),
                values: &values,
            };
            assert_eq!(found(&failure, &circumstances), entry.id, "{step}: {example}");
        }
    }
}

#[test]
fn every_entry_has_both_languages_and_only_known_holes() {
    let mut ids = HashSet::new();
    for entry in entries() {
        assert!(ids.insert(&entry.id), "{} stands there twice", entry.id);
        assert!(!entry.source.trim().is_empty() && !entry.steps.is_empty(), "{}", entry.id);
        let key = entry.key.as_deref();
        let of_connection = [catalogue::KEY_OF_HOST, catalogue::KEY_OF_PORT];
        let known = |key| of_connection.contains(&key) || KEYS.contains(&key);
        assert!(key.is_none_or(known), "{}", entry.id);
        for own in &entry.own {
            assert!(Id::named(own).is_some(), "{}: {own}", entry.id);
        }
        for value in entry.values.keys() {
            let known = HOLES.contains(&value.as_str())
                || ["endpoint", "security", "authentication", "exchange", "beside"].contains(&value.as_str());
            assert!(known, "{}: {value}", entry.id);
        }
        let patterns = entry.any.iter().chain(&entry.all).chain(entry.values.values().flatten());
        for pattern in patterns.map(Pattern::written).filter(|pattern| *pattern != "*") {
            assert!(pattern.chars().filter(|c| c.is_alphanumeric()).count() >= 2, "{}: {pattern}", entry.id);
        }
        for text in [&entry.en, &entry.de] {
            for template in [&text.cause, &text.remedy] {
                assert!(template.chars().count() > 20, "{}: {template}", entry.id);
                assert!(template.chars().count() < 900, "{}: too long for a line in a log", entry.id);
                assert!(
                    template.trim_end_matches("{/}").trim_end().ends_with(['.', '"', ')', '`']),
                    "{}: no end of a sentence: {template}",
                    entry.id
                );
                for hole in holes(template) {
                    let known = HOLES.contains(&hole.as_str()) || KEYS.contains(&hole.as_str());
                    assert!(known, "{}: {{{hole}}}", entry.id);
                }
            }
        }
        // Who forgets a translation often copies.
        assert_ne!(entry.en.cause, entry.de.cause, "{}", entry.id);
        let hole_set = |text: &Text| -> HashSet<String> { holes(&text.remedy).into_iter().collect() };
        assert_eq!(hole_set(&entry.en), hole_set(&entry.de), "{}: the languages differ in holes", entry.id);
    }
}

#[test]
fn no_text_has_a_placeholder_that_the_configuration_fills() {
    for entry in entries() {
        for text in [&entry.en, &entry.de] {
            let filled = [&text.cause, &text.remedy].map(|template| {
                catalogue::fill(template, &|hole| value(hole).or_else(|| Some("x".to_owned())))
            });
            assert!(placeholders(&filled).is_empty(), "{}: {filled:?}", entry.id);
        }
    }
}

/// Names of holes that stand in a text in angle brackets.
pub(crate) fn placeholders(texts: &[String]) -> Vec<&'static str> {
    let stands = |hole: &&&str| texts.iter().any(|text| text.contains(&format!("<{hole}>")));
    HOLES.iter().filter(stands).copied().collect()
}

#[test]
fn an_entra_code_explains_but_never_decides_about_a_retry() {
    for entry in entries().iter().filter(|entry| !entry.aadsts.is_empty()) {
        assert!(entry.retry.is_none() && entry.kind.is_none(), "{}", entry.id);
    }
    let mut codes = HashSet::new();
    assert!(entries().iter().flat_map(|entry| &entry.aadsts).all(|code| codes.insert(code)));
}

pub(super) fn holes(template: &str) -> Vec<String> {
    let template = catalogue::choose(template, &|condition, yes, no| {
        assert!(CONDITIONS.contains(&condition), "{condition}");
        format!("{yes}{no}")
    });
    template.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default().to_owned()).collect()
}

/// What parts of a text may depend on.
const CONDITIONS: &[&str] = &["exchange", "entra", "oauth2"];

/// What a text may have holes for, beside keys. Nothing secret is ever among them.
const HOLES: &[&str] = &[
    "server",
    "port",
    "user",
    "object_id",
    "client_id",
    "scope",
    "tenant",
    "login_host",
    "ca_file",
    "work_directory",
    "tmp_directory",
    "inbox",
    "folder",
    "key",
    "keys",
    "host",
    "host_port",
    "outlook_scope",
];

/// The properties that texts may name.
const KEYS: &[&str] = &[
    "cmsbs.mail.imap.server",
    "cmsbs.mail.imap.port",
    "cmsbs.mail.imap.ssl",
    "cmsbs.mail.imap.user",
    "cmsbs.mail.imap.password",
    "cmsbs.mail.imap.authenticationMethod",
    "cmsbs.mail.imap.proxy",
    "cmsbs.mail.imap.trace",
    "cmsbs.mail.imap.ssl.caFile",
    "cmsbs.mail.imap.fetch.pipeline",
    "cmsbs.mail.imap.fetch.patience",
    "cmsbs.mail.imap.folder.inbox",
    "cmsbs.mail.imap.folder.debug",
    "cmsbs.mail.imap.folder.error",
    "cmsbs.mail.imap.oauth2.accessTokenUri",
    "cmsbs.mail.imap.oauth2.clientAssertionFile",
    "cmsbs.mail.imap.oauth2.clientCertificate",
    "cmsbs.mail.imap.oauth2.clientCertificatePassword",
    "cmsbs.mail.imap.oauth2.clientId",
    "cmsbs.mail.imap.oauth2.clientSecret",
    "cmsbs.mail.imap.oauth2.clientSecretExpires",
    "cmsbs.mail.imap.oauth2.grantType",
    "cmsbs.mail.imap.oauth2.proxy",
    "cmsbs.mail.imap.oauth2.scope",
];
