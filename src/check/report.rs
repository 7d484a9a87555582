//! What a test of a mailbox found, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::config::Language;
use crate::failure::{Failure, Retry};
use crate::message;
use crate::sanitize;
use crate::text::Message;

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
            Outcome::Well => (message!(CheckAllWell).in_language(language), GREEN),
            Outcome::Warnings => (message!(CheckWarnings).in_language(language), YELLOW),
            Outcome::TryLater => (message!(CheckTryLater).in_language(language), RED),
            Outcome::Failed => (message!(CheckFailed).in_language(language), RED),
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
        None => message!(PrimaryMailbox).in_language(language),
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
            Status::Done => (message!(CheckStatusDone).in_language(language), GREEN),
            Status::Warning => (message!(CheckStatusWarning).in_language(language), YELLOW),
            Status::Failed => (message!(CheckStatusFailed).in_language(language), RED),
            Status::NotReached => (message!(CheckStatusNotReached).in_language(language), DIM),
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
        let label = |label: Message| format!("{}:", label.in_language(language));
        if let Some(failure) = &self.failure {
            line(&label(message!(LabelObserved)), &painted(&failure.observed, RED, colour));
            line(&label(message!(LabelProperty)), failure.key.as_deref().unwrap_or_default());
            line(&label(message!(LabelCause)), &failure.cause);
            line(&label(message!(LabelRemedy)), &failure.remedy);
            let later = match failure.retry {
                Retry::Never => String::new(),
                Retry::Later => message!(RetryLater).in_language(language),
                Retry::After(time) => {
                    let seconds = time.as_secs();
                    message!(RetryAfter, seconds = seconds).in_language(language)
                }
            };
            line(&label(message!(LabelRetry)), &later);
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
            Name::Configuration => message!(CheckStepConfiguration).in_language(language),
            Name::Files => message!(CheckStepFiles).in_language(language),
            Name::Proxy => message!(CheckStepProxy).in_language(language),
            Name::Dns => message!(CheckStepDns).in_language(language),
            Name::Tcp => message!(CheckStepTcp).in_language(language),
            Name::Tls => message!(CheckStepTls).in_language(language),
            Name::Token => message!(CheckStepToken).in_language(language),
            Name::Claims => message!(CheckStepClaims).in_language(language),
            Name::Greeting => message!(CheckStepGreeting).in_language(language),
            Name::Login => message!(CheckStepLogin).in_language(language),
            Name::Namespace => message!(CheckStepNamespace).in_language(language),
            Name::Inbox => message!(CheckStepInbox).in_language(language),
            Name::Junk => message!(CheckStepJunk).in_language(language),
            Name::Folders => message!(CheckStepFolders).in_language(language),
            Name::Deletion => message!(CheckStepDeletion).in_language(language),
            Name::Clock => message!(CheckStepClock).in_language(language),
            Name::Expiry => message!(CheckStepExpiry).in_language(language),
            Name::Write => message!(CheckStepWrite).in_language(language),
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
