//! What a test of a mailbox found, for people and for programs.

use std::time::Duration;

use serde::Serialize;

use crate::config::Language;
use crate::failure::{Failure, Retry};
use crate::message;
use crate::sanitize;
use crate::text::{Colour, Layout, entry_of, parts};

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

/// How much of a test is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Which steps went well, and everything about the others.
    Problems,
    /// Also how long each step took and what was seen at it.
    EveryStep,
}

impl Report {
    /// What is to be said of all of it.
    pub fn outcome(&self) -> Outcome {
        self.steps.iter().map(Step::outcome).max().unwrap_or(Outcome::Well)
    }

    /// Says whether the mailbox cannot be read now, and time alone may mend that: all that failed passes by itself, or is what
    /// one sees until Microsoft has applied a change.
    pub fn may_pass(&self) -> bool {
        let slow = |failure: &Failure| entry_of(failure).is_some_and(|entry| entry.slow);
        let mut failures = self.steps.iter().filter_map(|step| step.failure.as_ref()).peekable();
        failures.peek().is_some() && failures.all(|failure| failure.retry != Retry::Never || slow(failure))
    }

    /// The line before the steps.
    pub fn heading(&self) -> String {
        heading(self.listener.as_deref(), &self.mailbox, self.language)
    }

    /// All of it, for people.
    pub fn text(&self, layout: &Layout, detail: Detail) -> String {
        format!("{}\n\n{}\n{}", self.heading(), self.steps_text(layout, detail), self.verdict(layout))
    }

    /// The steps that were taken, those that ended alike in one line unless there is to be more detail.
    pub fn steps_text(&self, layout: &Layout, detail: Detail) -> String {
        if detail == Detail::EveryStep {
            return self.steps.iter().map(|step| step.text(self.language, layout)).collect();
        }
        let statuses = [Status::Done, Status::Warning, Status::Failed, Status::NotReached];
        statuses.iter().map(|status| self.alike(*status, layout)).collect()
    }

    fn alike(&self, status: Status, layout: &Layout) -> String {
        let mut names: Vec<_> = self.steps.iter().filter(|step| step.status == status).collect();
        names.dedup_by_key(|step| step.name);
        let titles: Vec<_> = names.iter().map(|step| step.name.title(self.language)).collect();
        match titles.is_empty() {
            true => String::new(),
            false => layout.lines(&status.label(self.language, layout), &titles.join(", ")),
        }
    }

    /// Everything that needs attention, the first cause last, and how the mailbox is.
    pub fn verdict(&self, layout: &Layout) -> String {
        let mut text = String::new();
        for step in &self.steps {
            for warning in &step.warnings {
                let title = layout.painted(&format!("{}:", step.title), Colour::Yellow);
                text += &layout.prose("", &format!("{title} {warning}"));
                text.push('\n');
            }
        }
        let failed: Vec<_> = self.steps.iter().filter(|step| step.failure.is_some()).collect();
        for step in failed.iter().rev() {
            text += &step.failure_text(self.language, layout);
            text.push('\n');
        }
        text + &layout.prose("", &self.summary(failed.first().map(|step| &*step.title), layout))
    }

    fn summary(&self, first: Option<&str>, layout: &Layout) -> String {
        let problems = self.steps.iter().filter(|step| step.failure.is_some()).count();
        let warnings = self.steps.iter().map(|step| step.warnings.len()).sum::<usize>();
        let first = first.unwrap_or_default();
        let (summary, colour) = match self.outcome() {
            Outcome::Well => (message!(CheckAllWell), Colour::Green),
            Outcome::Warnings => (message!(CheckWarnings, warnings = warnings), Colour::Yellow),
            Outcome::TryLater => (message!(CheckTryLater, problems = problems, first = first), Colour::Red),
            Outcome::Failed => (message!(CheckFailed, problems = problems, first = first), Colour::Red),
        };
        layout.painted(&summary.in_language(self.language), colour)
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

    /// Its lines, for people: how it ended, and what was seen.
    pub fn text(&self, language: Language, layout: &Layout) -> String {
        let label = self.status.label(language, layout);
        let mut text = match self.status {
            Status::NotReached => format!("{label}{}\n", self.title),
            _ => format!("{label}{}  {}\n", self.title, duration(self.took)),
        };
        let indent = " ".repeat(STATUS + 6);
        self.seen.iter().for_each(|seen| text += &layout.lines(&indent, seen));
        text
    }

    /// Why it failed, with cause and remedy.
    fn failure_text(&self, language: Language, layout: &Layout) -> String {
        let Some(failure) = &self.failure else { return String::new() };
        format!("{}\n{}", layout.painted(&self.title, Colour::Bold), parts(failure, language, layout))
    }
}

impl Status {
    /// The word before a step's title, as wide as the others.
    fn label(self, language: Language, layout: &Layout) -> String {
        let (status, colour) = match self {
            Status::Done => (message!(CheckStatusDone), Colour::Green),
            Status::Warning => (message!(CheckStatusWarning), Colour::Yellow),
            Status::Failed => (message!(CheckStatusFailed), Colour::Red),
            Status::NotReached => (message!(CheckStatusNotReached), Colour::Dim),
        };
        let status = status.in_language(language);
        let padding = " ".repeat(STATUS.saturating_sub(status.chars().count()));
        format!("  {}{padding}  ", layout.painted(&status, colour))
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

/// Columns of a status.
const STATUS: usize = 14;
