//! Collects what is wrong or odd in a configuration, as values that are rendered when they are shown.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Finding, Language, Severity};
use crate::failure::Failure;
use crate::message;
use crate::sanitize;
use crate::text::{Arg, Message};

/// What was found while a mailbox's configuration was read.
#[derive(Debug, Default, Clone)]
pub(super) struct Problems {
    errors: Vec<Problem>,
    findings: Vec<(Severity, Problem)>,
    /// The findings, so that none is noted twice.
    known: HashSet<Problem>,
}

/// One thing that is wrong or odd: where, about which key, what, and what to write instead. Never a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Problem {
    pub origin: Option<Origin>,
    /// As it is to be written in a file; empty where a whole file is meant.
    pub key: String,
    pub what: Message,
    pub remedy: Message,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    File {
        path: Arc<PathBuf>,
        line: usize,
    },
    WholeFile(Arc<PathBuf>),
    Environment(String),
    /// UM's own effective configuration.
    Settings,
    /// A file named by `key$file`.
    ValueFile {
        path: Arc<PathBuf>,
        named_by: Box<Origin>,
    },
}

impl Problems {
    pub fn error(&mut self, problem: Problem) {
        if !self.errors.contains(&problem) {
            self.errors.push(problem);
        }
    }

    pub fn warning(&mut self, problem: Problem) {
        self.finding(Severity::Warning, problem);
    }

    pub fn info(&mut self, problem: Problem) {
        self.finding(Severity::Info, problem);
    }

    pub fn extend(&mut self, other: Problems) {
        other.errors.into_iter().for_each(|problem| self.error(problem));
        other.findings.into_iter().for_each(|(severity, problem)| self.finding(severity, problem));
    }

    /// All errors as one failure, the warnings below them; `None` where there is no error. The remedy has a line for each
    /// error, which can be understood alone.
    pub fn failure(&self, language: Language) -> Option<Failure> {
        let first = self.errors.first()?;
        let mut observed: Vec<_> = self.errors.iter().map(|error| error.observed(language)).collect();
        let warnings = self.findings.iter().filter(|(severity, _)| *severity == Severity::Warning);
        let mut warnings = warnings.map(|(_, warning)| warning.full(language)).peekable();
        if warnings.peek().is_some() {
            observed.push(message!(ConfigAlso).in_language(language));
        }
        observed.extend(warnings);
        let remedy = match self.errors.as_slice() {
            [only] => sanitize::line(only.remedy.in_language(language)),
            errors => errors
                .iter()
                .map(|error| sanitize::line(error.remedy_of_many(language)))
                .collect::<Vec<_>>()
                .join("\n"),
        };
        let failure = Failure::configuration(&first.key, "", remedy).observing_lines(observed);
        let key = failure.key.filter(|key| !key.is_empty());
        Some(Failure { key, own: Some(first.what.id()), ..failure })
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The errors alone.
    pub fn errors_only(&self) -> Problems {
        Problems { errors: self.errors.clone(), ..Problems::default() }
    }

    /// Every error's key and text.
    pub fn errors(&self, language: Language) -> impl Iterator<Item = (&str, String)> {
        self.errors.iter().map(move |problem| (problem.key.as_str(), problem.full(language)))
    }

    pub fn into_findings(self, language: Language) -> Vec<Finding> {
        let finding = |(severity, problem): (Severity, Problem)| Finding {
            severity,
            text: problem.full(language),
            key: problem.key,
        };
        self.findings.into_iter().map(finding).collect()
    }

    fn finding(&mut self, severity: Severity, problem: Problem) {
        if self.known.insert(problem.clone()) {
            self.findings.push((severity, problem));
        }
    }
}

impl Problem {
    /// Where, which key, what.
    fn observed(&self, language: Language) -> String {
        let mut parts = Vec::new();
        parts.extend(self.origin.as_ref().map(|origin| origin.place().in_language(language)));
        parts.extend((!self.key.is_empty()).then(|| self.key.clone()));
        parts.push(self.what.in_language(language));
        parts.join(": ")
    }

    /// The remedy, with the key or file that it is for.
    fn remedy_of_many(&self, language: Language) -> String {
        let remedy = self.remedy.in_language(language);
        let of = match (&self.origin, self.key.as_str()) {
            (Some(origin), "") => origin.place().in_language(language),
            (_, key) => key.to_owned(),
        };
        if remedy.contains(&of) { remedy } else { format!("{of}: {remedy}") }
    }

    fn full(&self, language: Language) -> String {
        let full = format!("{} {}", self.observed(language), self.remedy.in_language(language));
        sanitize::line(full.trim_end())
    }
}

impl Origin {
    pub fn place(&self) -> Message {
        match self {
            Origin::File { path, line } => {
                let path = path.display();
                message!(ConfigPlaceFile, path = &path, line = *line)
            }
            Origin::WholeFile(path) => {
                let path = path.display();
                message!(ConfigPlaceWholeFile, path = &path)
            }
            Origin::Environment(name) => message!(ConfigPlaceVariable, name = name),
            Origin::Settings => message!(ConfigPlaceSettings),
            Origin::ValueFile { path, named_by } => {
                let path = path.display();
                message!(ConfigPlaceValueFile, path = &path, place = named_by.place())
            }
        }
    }
}

/// A value in a message: in quotes, at a readable length, without control characters.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: String = self.0.chars().take(SHOWN).collect();
        let dots = if short.len() < self.0.len() { "…" } else { "" };
        write!(f, "\"{}{dots}\"", short.escape_debug())
    }
}

impl From<Shown<'_>> for Arg {
    fn from(shown: Shown<'_>) -> Self {
        Arg::Text(sanitize::line(shown.to_string()))
    }
}

/// Characters of a value that a message repeats.
const SHOWN: usize = 120;
