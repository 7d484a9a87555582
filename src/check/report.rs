//! What a test of a mailbox found, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::text;
use crate::config::Language;
use crate::failure::{Failure, Retry};
use crate::sanitize;

/// One mailbox, step by step. No secret is in it.
#[derive(Debug, Clone)]
pub struct Report {
    /// `None` is the primary mailbox.
    pub listener: Option<String>,
    /// The mailbox and its server; empty where the configuration does not tell.
    pub mailbox: String,
    /// In the order in which they were taken.
    pub steps: Vec<Step>,
    pub language: Language,
}

/// One step of it.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: Name,
    /// Which of the two connections it is about, where it is about one.
    pub connection: Option<Connection>,
    /// In words, with the host that it is about.
    pub title: String,
    pub status: Status,
    /// How long it took; zero where it was not reached.
    pub took: Duration,
    pub seen: Vec<String>,
    /// What is not well and does not stop the mailbox from being read: what it is, and what to do about it.
    pub warnings: Vec<String>,
    /// Why it failed, with cause and remedy.
    pub failure: Option<Failure>,
}

/// The steps in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    Configuration,
    /// Files that the properties name, and the secrets in them.
    Files,
    Proxy,
    Dns,
    Tcp,
    Tls,
    Token,
    /// What the token says of itself.
    Claims,
    /// The server's first line, and what it can do.
    Greeting,
    Login,
    /// Whether there is a mailbox behind the login.
    Namespace,
    Inbox,
    /// Whether bounces lie in Junk Email.
    Junk,
    /// The folders to which mail is moved.
    Folders,
    /// Whether handled mail will be deleted.
    Deletion,
    Clock,
    /// When the credential ends.
    Expiry,
    /// A message of our own in folders of our own.
    Write,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// To the token endpoint.
    Token,
    /// To the mail server.
    Imap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Done,
    Warning,
    Failed,
    NotReached,
}

/// How a test ended, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Well,
    Warnings,
    /// It failed, and may succeed at another time.
    TryLater,
    /// It fails again until somebody changes something.
    Failed,
}

impl Report {
    /// What is to be said of all of it.
    pub fn outcome(&self) -> Outcome {
        self.steps.iter().map(Step::outcome).max().unwrap_or(Outcome::Well)
    }

    /// The line before the steps.
    pub fn heading(&self) -> String {
        heading(self.listener.as_deref(), &self.mailbox, self.language)
    }

    /// The line after them.
    pub fn summary(&self, colour: bool) -> String {
        let language = self.language;
        let (outcome, code) = match self.outcome() {
            Outcome::Well => (text!(language, "All is well.", "Alles in Ordnung."), GREEN),
            Outcome::Warnings => {
                (text!(language, "It works, with warnings.", "Es funktioniert, mit Warnungen."), YELLOW)
            }
            Outcome::TryLater => (
                text!(
                    language,
                    "It does not work now; trying again later can help.",
                    "Es funktioniert jetzt nicht; ein späterer Versuch kann gelingen."
                ),
                RED,
            ),
            Outcome::Failed => (
                text!(
                    language,
                    "It does not work until what is marked as failed is set right.",
                    "Es funktioniert nicht, solange nicht behoben ist, was als Fehler markiert ist."
                ),
                RED,
            ),
        };
        painted(&outcome, code, colour)
    }

    /// All of it, for people.
    pub fn text(&self, colour: bool) -> String {
        let steps: String = self.steps.iter().map(|step| step.text(self.language, colour)).collect();
        format!("{}\n\n{steps}\n{}\n", self.heading(), self.summary(colour))
    }
}

pub(super) fn heading(listener: Option<&str>, mailbox: &str, language: Language) -> String {
    let name = match listener {
        None => text!(language, "The primary mailbox", "Das primäre Postfach"),
        Some(listener) => sanitize::line(format!("Listener {listener}")),
    };
    if mailbox.is_empty() { name } else { format!("{name}: {mailbox}") }
}

impl Step {
    pub fn outcome(&self) -> Outcome {
        match &self.failure {
            Some(Failure { retry: Retry::Never, .. }) => Outcome::Failed,
            Some(_) => Outcome::TryLater,
            None if self.status == Status::Warning => Outcome::Warnings,
            None => Outcome::Well,
        }
    }

    /// Its lines, for people.
    pub fn text(&self, language: Language, colour: bool) -> String {
        let (status, code) = match self.status {
            Status::Done => (text!(language, "done", "gut"), GREEN),
            Status::Warning => (text!(language, "WARNING", "WARNUNG"), YELLOW),
            Status::Failed => (text!(language, "FAILED", "FEHLER"), RED),
            Status::NotReached => (text!(language, "not reached", "nicht erreicht"), DIM),
        };
        let padding = " ".repeat(STATUS.saturating_sub(status.chars().count()));
        let mut text = format!("  {}{padding}  {}", painted(&status, code, colour), self.title);
        if self.status != Status::NotReached {
            let _ = write!(text, "{} ", " ".repeat(TITLE.saturating_sub(self.title.chars().count())));
            let _ = write!(text, "{:>9}", duration(self.took));
        }
        text.push('\n');
        let indent = " ".repeat(STATUS + 6);
        let mut line = |label: &str, value: &str| {
            if !value.is_empty() {
                let padding = " ".repeat(LABEL.saturating_sub(label.chars().count()));
                let inner = if label.is_empty() { String::new() } else { format!("{label}{padding}") };
                let next = format!("\n{indent}{}", " ".repeat(inner.chars().count()));
                let _ = writeln!(text, "{indent}{inner}{}", value.replace('\n', &next));
            }
        };
        self.seen.iter().for_each(|seen| line("", seen));
        for warning in &self.warnings {
            line("", &painted(warning, YELLOW, colour));
        }
        if let Some(failure) = &self.failure {
            line(&text!(language, "Observed:", "Beobachtet:"), &painted(&failure.observed, RED, colour));
            line(&text!(language, "Property:", "Eigenschaft:"), failure.key.as_deref().unwrap_or_default());
            line(&text!(language, "Cause:", "Ursache:"), &failure.cause);
            line(&text!(language, "Remedy:", "Abhilfe:"), &failure.remedy);
            let later = match failure.retry {
                Retry::Never => String::new(),
                Retry::Later => {
                    text!(language, "Trying again later can help.", "Ein späterer Versuch kann gelingen.")
                }
                Retry::After(time) => {
                    let seconds = time.as_secs();
                    text!(
                        language,
                        "Trying again can help, but not before {seconds} s have passed.",
                        "Ein Versuch kann gelingen, aber nicht vor Ablauf von {seconds} s."
                    )
                }
            };
            line(&text!(language, "Retry:", "Nochmals:"), &later);
        }
        text
    }
}

/// What `check --json` prints: the format of `docs/check.schema.json`.
pub fn json(reports: &[Report]) -> serde_json::Result<String> {
    let outcome = reports.iter().map(Report::outcome).max().unwrap_or(Outcome::Well);
    let all = All {
        version: env!("CARGO_PKG_VERSION"),
        outcome,
        mailboxes: reports.iter().map(MailboxJson::of).collect(),
    };
    serde_json::to_string_pretty(&all).map(|json| json + "\n")
}

#[derive(Serialize)]
struct All<'a> {
    version: &'static str,
    outcome: Outcome,
    mailboxes: Vec<MailboxJson<'a>>,
}

#[derive(Serialize)]
struct MailboxJson<'a> {
    listener: Option<&'a str>,
    mailbox: &'a str,
    outcome: Outcome,
    steps: Vec<StepJson<'a>>,
}

impl<'a> MailboxJson<'a> {
    fn of(report: &'a Report) -> Self {
        Self {
            listener: report.listener.as_deref(),
            mailbox: &report.mailbox,
            outcome: report.outcome(),
            steps: report.steps.iter().map(StepJson::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct StepJson<'a> {
    step: Name,
    connection: Option<Connection>,
    title: &'a str,
    status: Status,
    milliseconds: u128,
    seen: &'a [String],
    warnings: &'a [String],
    failure: Option<&'a Failure>,
}

impl<'a> StepJson<'a> {
    fn of(step: &'a Step) -> Self {
        Self {
            step: step.name,
            connection: step.connection,
            title: &step.title,
            status: step.status,
            milliseconds: step.took.as_millis(),
            seen: &step.seen,
            warnings: &step.warnings,
            failure: step.failure.as_ref(),
        }
    }
}

impl Name {
    /// The name in JSON and in `CheckReport.Step.name()`.
    pub fn name(self) -> &'static str {
        match self {
            Name::Configuration => "configuration",
            Name::Files => "files",
            Name::Proxy => "proxy",
            Name::Dns => "dns",
            Name::Tcp => "tcp",
            Name::Tls => "tls",
            Name::Token => "token",
            Name::Claims => "claims",
            Name::Greeting => "greeting",
            Name::Login => "login",
            Name::Namespace => "namespace",
            Name::Inbox => "inbox",
            Name::Junk => "junk",
            Name::Folders => "folders",
            Name::Deletion => "deletion",
            Name::Clock => "clock",
            Name::Expiry => "expiry",
            Name::Write => "write",
        }
    }

    pub(super) fn title(self, language: Language) -> String {
        match self {
            Name::Configuration => text!(language, "Configuration", "Konfiguration"),
            Name::Files => text!(language, "Files and secrets", "Dateien und Geheimnisse"),
            Name::Proxy => text!(language, "Proxy", "Proxy"),
            Name::Dns => text!(language, "DNS", "DNS"),
            Name::Tcp => text!(language, "TCP", "TCP"),
            Name::Tls => text!(language, "TLS", "TLS"),
            Name::Token => text!(language, "Access token", "Zugriffstoken"),
            Name::Claims => text!(language, "What the token says", "Was im Token steht"),
            Name::Greeting => {
                text!(language, "Greeting and capabilities", "Begrüßung und Fähigkeiten")
            }
            Name::Login => text!(language, "Login", "Anmeldung"),
            Name::Namespace => {
                text!(language, "Mailbox behind the login", "Postfach hinter der Anmeldung")
            }
            Name::Inbox => text!(language, "Inbox", "Posteingang"),
            Name::Junk => text!(language, "Junk Email", "Junk-E-Mail"),
            Name::Folders => text!(language, "Target folders", "Zielordner"),
            Name::Deletion => {
                text!(language, "What becomes of handled mail", "Was aus bearbeiteten Mails wird")
            }
            Name::Clock => text!(language, "Clock", "Uhr"),
            Name::Expiry => text!(language, "End of the credential", "Ablauf der Anmeldedaten"),
            Name::Write => text!(language, "A message of our own", "Eine eigene Nachricht"),
        }
    }
}

impl Connection {
    pub fn name(self) -> &'static str {
        match self {
            Connection::Token => "token",
            Connection::Imap => "imap",
        }
    }
}

impl Outcome {
    /// The name of the constant in Java's `CheckReport.Outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Well => "WELL",
            Outcome::Warnings => "WARNINGS",
            Outcome::TryLater => "TRY_LATER",
            Outcome::Failed => "FAILED",
        }
    }
}

impl Status {
    /// The name of the constant in Java's `CheckReport.Status`.
    pub fn name(self) -> &'static str {
        match self {
            Status::Done => "DONE",
            Status::Warning => "WARNING",
            Status::Failed => "FAILED",
            Status::NotReached => "NOT_REACHED",
        }
    }
}

fn duration(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// With the escape sequences of ECMA-48 §8.3.117 where `colour`.
fn painted(text: &str, code: &str, colour: bool) -> String {
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const DIM: &str = "2";

/// Columns of a status, a title, and a label.
const STATUS: usize = 14;
const TITLE: usize = 42;
const LABEL: usize = 13;
