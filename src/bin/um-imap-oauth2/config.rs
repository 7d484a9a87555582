//! `config`: what is configured, where each value comes from, and what is odd about it.

use um_imap_oauth2::config::{self, Language, Report, Severity, Values};

use super::{EveryMailbox, Exit, environment, fail, finish, json, terminal, this_command, unconfigured};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub of: EveryMailbox,
    #[arg(long)]
    all: bool,
    #[arg(long)]
    json: bool,
}

/// Fails where a mailbox is refused.
pub fn run(arguments: &Arguments, language: Language) -> Exit {
    let um_home = &arguments.of.um_home;
    let report = match config::report(um_home, arguments.of.listener.as_deref(), &environment, Some(language))
    {
        Ok(report) => report,
        Err(failure) => {
            let listener = arguments.of.listener.as_deref();
            return fail(&unconfigured(failure, listener, language), language);
        }
    };
    let exit = match report.is_usable() {
        false => Exit::Failed,
        true if warns(&report) => Exit::Warnings,
        true => Exit::Well,
    };
    let values = if arguments.all { Values::All } else { Values::Set };
    let command = |name: &str| this_command(name, None, um_home, arguments.of.listener.as_deref());
    let text = match arguments.json {
        true => json(&report),
        false => Ok(report.text(&terminal::out(), values, &command)),
    };
    finish(text, exit, language)
}

fn warns(report: &Report) -> bool {
    let mailboxes = report.mailboxes.iter().flat_map(|mailbox| &mailbox.findings);
    report.findings.iter().chain(mailboxes).any(|finding| finding.severity == Severity::Warning)
}
