//! `check`: tests mailboxes step by step, and says what to do where a step fails.

use std::io::{self, IsTerminal};

use um_imap_oauth2::check::{self, Options, Outcome, Progress, Report};
use um_imap_oauth2::config::{self, Authentication, Language, Loaded};
use um_imap_oauth2::failure::{Failure, Result};
use um_imap_oauth2::log::Log;
use um_imap_oauth2::net::{Anchors, Cancel};

use super::{EveryMailbox, Exit, WorkDirectory, by_proxy_of_environment, environment, fail, print};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub of: EveryMailbox,
    #[command(flatten)]
    work: WorkDirectory,
    #[arg(long)]
    json: bool,
    #[arg(long)]
    write: bool,
}

/// Fails as the worst mailbox does.
pub fn run(arguments: &Arguments, language: Language) -> Exit {
    let cancel = Cancel::default();
    let interrupted = cancel.clone();
    if let Err(error) = ctrlc::set_handler(move || interrupted.cancel()) {
        return fail(&Failure::internal(error), language);
    }
    let mut reports = Vec::new();
    let mut printed = Ok(());
    for listener in mailboxes(arguments, language) {
        if !cancel.is_cancelled() {
            reports.push(one(arguments, listener.as_deref(), language, &cancel, &mut printed));
        }
    }
    if arguments.json {
        printed = check::json(&reports).map_err(Failure::internal).and_then(|json| print(&json, language));
    }
    if cancel.is_cancelled() {
        return Exit::Interrupted;
    }
    if let Err(failure) = printed {
        return fail(&failure, language);
    }
    match reports.iter().map(Report::outcome).max() {
        None | Some(Outcome::Well) => Exit::Well,
        Some(Outcome::Warnings) => Exit::Warnings,
        Some(Outcome::TryLater) => Exit::TryLater,
        Some(Outcome::Failed) => Exit::Failed,
    }
}

/// The mailboxes to test: one, too, where the properties cannot be read, which its first step then says.
fn mailboxes(arguments: &Arguments, language: Language) -> Vec<Option<String>> {
    let listener = arguments.of.listener.as_deref();
    match config::report(&arguments.of.um_home, listener, &environment, Some(language)) {
        Ok(report) => report.mailboxes.into_iter().map(|mailbox| mailbox.listener).collect(),
        Err(_) => vec![arguments.of.listener.clone()],
    }
}

/// `printed` keeps the first failure to print: the steps go on, and the exit code tells it.
fn one(
    arguments: &Arguments,
    listener: Option<&str>,
    language: Language,
    cancel: &Cancel,
    printed: &mut Result<()>,
) -> Report {
    let loaded = load(arguments, listener, language);
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let mut tell = |text: &str| {
        if !arguments.json && printed.is_ok() {
            *printed = print(text, language);
        }
    };
    let mut watch = |progress: Progress| match progress {
        Progress::Heading(heading) => tell(&format!("{heading}\n\n")),
        Progress::Step(step) => tell(&step.text(language, colour)),
    };
    let options = Options {
        anchors: Anchors::platform(),
        write: arguments.write,
        language,
        cancel,
        log: &Log::default(),
        watch: &mut watch,
    };
    let report = check::check(&loaded, listener, options);
    if !cancel.is_cancelled() {
        tell(&format!("\n{}\n\n", report.summary(colour)));
    }
    report
}

fn load(arguments: &Arguments, listener: Option<&str>, language: Language) -> Result<Loaded> {
    let mut loaded = config::from_um_home_in(Some(language), &arguments.of.um_home, listener, &environment)?;
    arguments.work.replace(&mut loaded.config);
    if let Authentication::OAuth2(oauth2) = &loaded.config.authentication {
        let oauth2 = by_proxy_of_environment(oauth2, &environment)?;
        loaded.config.authentication = Authentication::OAuth2(oauth2);
    }
    Ok(loaded)
}
