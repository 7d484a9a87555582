//! The report for people: a properties file, in which everything but the values is a comment.

use std::fmt;

use super::report::{MailboxReport, Report, Setting, Source};
use super::{Finding, Severity, syntax};
use crate::message;
use crate::sanitize;
use crate::text::{Layout, Message};

/// The values that [`Report::text`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Those that are set somewhere.
    Set,
    /// Also those that have their default.
    All,
}

impl Report {
    /// Writes the values, then what is wrong or odd, then how it all is. `command` makes the command of a name for the same
    /// mailboxes.
    pub fn text(&self, layout: &Layout, values: Values, command: &dyn Fn(&str) -> String) -> String {
        let page = Page { report: self, layout, values };
        page.values() + &page.problems() + &page.verdict(command)
    }

    fn name(&self, mailbox: &MailboxReport) -> Message {
        match &mailbox.listener {
            Some(name) => message!(ConfigReportListener, name = name),
            None => message!(ConfigReportPrimary),
        }
    }
}

/// All values, and everything that is wrong or odd about them.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = Page { report: self, layout: &Layout::default(), values: Values::All };
        f.write_str(&(page.values() + &page.problems()))
    }
}

struct Page<'a> {
    report: &'a Report,
    layout: &'a Layout,
    values: Values,
}

impl Page<'_> {
    fn values(&self) -> String {
        // So that it can be read back as it is.
        let mut text = "# Pinuts File Encoding: UTF-8\n".to_owned();
        text += &self.line(&format!("UM_HOME: {}", self.report.um_home));
        text += &self.section(&self.say(message!(ConfigReportShared)), &self.report.shared);
        for mailbox in &self.report.mailboxes {
            let state = match mailbox.errors.is_empty() {
                true => message!(ConfigReportUsable),
                false => message!(ConfigReportRefused),
            };
            let title = format!("{} {}", self.say(self.report.name(mailbox)), self.say(state));
            text += &self.section(&title, &mailbox.settings);
        }
        text
    }

    fn section(&self, title: &str, settings: &[Setting]) -> String {
        let shown: Vec<_> =
            settings.iter().filter(|setting| self.values == Values::All || is_set(setting.source)).collect();
        let others = settings.len() - shown.len();
        let mut text = format!("\n{}", self.line(title)) + &self.settings(&shown);
        if others > 0 {
            text += &self.line(&self.say(message!(ConfigReportDefaults, count = others)));
        }
        text
    }

    /// Writes a line for each setting. Its place stands in the same line if there is room, otherwise in the next one.
    fn settings(&self, settings: &[&Setting]) -> String {
        let lines: Vec<_> =
            settings.iter().map(|setting| (line(setting), one_line(&setting.place))).collect();
        let widest = self.layout.width.unwrap_or(usize::MAX);
        let length = |text: &str| text.chars().count();
        let fits =
            |line: usize, place: &str| line <= WIDEST && line + length("  # ") + length(place) <= widest;
        let lengths = lines.iter().map(|(line, place)| (length(line), place));
        let fitting = lengths.filter(|(line, place)| fits(*line, place));
        let column = fitting.map(|(line, _)| line).max().unwrap_or_default();
        let one = |(line, place): &(String, String)| {
            let whole = format!("{line:<column$}  # {place}");
            match length(&whole) <= widest {
                true => whole + "\n",
                false => {
                    format!("{line}\n{}", self.layout.lines("    # ", place)).replace("\n      ", "\n    # ")
                }
            }
        };
        lines.iter().map(one).collect()
    }

    fn problems(&self) -> String {
        let mut text = String::new();
        let of = |findings: &[Finding], severity| {
            let label = match severity {
                Severity::Warning => message!(ConfigReportWarning),
                Severity::Info => message!(ConfigReportNote),
            };
            let wanted = findings.iter().filter(|finding| finding.severity == severity);
            wanted
                .map(|finding| self.comment(&format!("{}: {}", self.say(label.clone()), finding.text)))
                .collect::<String>()
        };
        for severity in [Severity::Info, Severity::Warning] {
            text += &of(&self.report.findings, severity);
            text += &self
                .report
                .mailboxes
                .iter()
                .map(|mailbox| of(&mailbox.findings, severity))
                .collect::<String>();
        }
        let label = self.say(message!(ConfigReportError));
        for mailbox in &self.report.mailboxes {
            if self.report.mailboxes.len() > 1 && !mailbox.errors.is_empty() {
                text += &self.line(&self.say(self.report.name(mailbox)));
            }
            text += &mailbox
                .errors
                .iter()
                .map(|error| self.comment(&format!("{label}: {}", error.text)))
                .collect::<String>();
        }
        if text.is_empty() { text } else { format!("\n{text}") }
    }

    fn verdict(&self, command: &dyn Fn(&str) -> String) -> String {
        let mailboxes = &self.report.mailboxes;
        let errors: Vec<_> = mailboxes.iter().flat_map(|mailbox| &mailbox.errors).collect();
        let findings = mailboxes.iter().flat_map(|mailbox| &mailbox.findings).chain(&self.report.findings);
        let warnings = findings.filter(|finding| finding.severity == Severity::Warning).count();
        let (verdict, next, name) = match (errors.first(), warnings) {
            (Some(first), _) => {
                let first = if first.key.is_empty() { one_line(&first.text) } else { first.key.clone() };
                let verdict = message!(ConfigVerdictRefused, problems = errors.len(), first = first);
                (verdict, message!(ConfigNextConfig), "config")
            }
            (None, 0) => {
                (message!(ConfigVerdictUsable, count = mailboxes.len()), message!(ConfigNextCheck), "check")
            }
            (None, _) => {
                (message!(ConfigVerdictWarnings, warnings = warnings), message!(ConfigNextCheck), "check")
            }
        };
        let next = format!("{} `{}`", self.say(next), command(name));
        format!("\n{}{}", self.comment(&self.say(verdict)), self.comment(&next))
    }

    fn say(&self, message: Message) -> String {
        message.in_language(self.report.language())
    }

    /// One paragraph, with what can be copied from it on lines of its own.
    fn comment(&self, text: &str) -> String {
        commented(&self.inner().prose("", &one_line(text)))
    }

    fn line(&self, text: &str) -> String {
        commented(&self.inner().lines("", &one_line(text)))
    }

    /// Returns the layout for the text behind a comment's mark.
    fn inner(&self) -> Layout {
        Layout { width: self.layout.width.map(|width| width.saturating_sub(2)), ..*self.layout }
    }
}

fn commented(lines: &str) -> String {
    lines.lines().map(|line| format!("# {line}\n")).collect()
}

fn line(setting: &Setting) -> String {
    let key = syntax::escaped_name(&setting.key);
    let value = setting.value.as_ref().map(|value| format!("\"{}\"", syntax::escaped(value)));
    let mark = if is_set(setting.source) && setting.source != Source::Unreadable { "" } else { "# " };
    sanitize::line(format!("{mark}{key} = {}", value.unwrap_or_default()))
}

fn is_set(source: Source) -> bool {
    !matches!(source, Source::Default | Source::Derived | Source::Unset)
}

/// A line break in a file's name must not end a comment.
fn one_line(text: &str) -> String {
    sanitize::line(text)
}

/// Characters of a line after which the others do not align.
const WIDEST: usize = 90;
