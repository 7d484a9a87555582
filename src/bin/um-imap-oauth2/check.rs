//! `check`: tests mailboxes step by step, and says what to do where a step fails.

use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use um_imap_oauth2::check::{self, Detail, Options, Outcome, Progress as News, Report};
use um_imap_oauth2::config::{self, Authentication, Language, Loaded};
use um_imap_oauth2::failure::{Failure, Result};
use um_imap_oauth2::log::Log;
use um_imap_oauth2::message;
use um_imap_oauth2::net::{Anchors, Cancel};

use super::{
    EveryMailbox, Exit, WorkDirectory, by_proxy_of_environment, environment, fail, print, say, terminal,
    this_command,
};

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
    /// Every step, with what was seen at it.
    #[arg(short, long)]
    verbose: bool,
    #[arg(long, value_name = "TIME", value_parser = time)]
    wait: Option<Duration>,
}

/// Fails as the worst mailbox does.
pub fn run(arguments: &Arguments, language: Language) -> Exit {
    let cancel = Cancel::default();
    let interrupted = cancel.clone();
    if let Err(error) = ctrlc::set_handler(move || interrupted.cancel()) {
        return fail(&Failure::internal(error), language);
    }
    let listeners = mailboxes(arguments, language);
    if let Some(time) = arguments.wait {
        wait(arguments, &listeners, language, &cancel, time);
    }
    let mut reports = Vec::new();
    let mut printed = Ok(());
    for listener in listeners {
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
    if !arguments.json && printed.is_ok() {
        printed = print(&next(arguments, &reports, language), language);
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

/// Tests the mailboxes again and again until they can be read, until time cannot mend what is wrong, or until `time` is over.
fn wait(
    arguments: &Arguments,
    listeners: &[Option<String>],
    language: Language,
    cancel: &Cancel,
    time: Duration,
) {
    let end = Instant::now() + time;
    let pause = (time / 30).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
    while Instant::now() + pause <= end && !cancel.is_cancelled() {
        let reports = listeners
            .iter()
            .map(|listener| test(arguments, listener.as_deref(), language, cancel, false, &mut |_| {}));
        let failing: Vec<_> = reports.filter(|report| report.outcome() > Outcome::Warnings).collect();
        let Some(first) = failing.first() else { return };
        if cancel.is_cancelled() || !failing.iter().all(Report::may_pass) {
            return;
        }
        let Some(failure) = first.steps.iter().find_map(|step| step.failure.as_ref()) else { return };
        let left = (end - Instant::now()).as_secs() / 60;
        let said = message!(CheckWaiting, observed = failure.told(), pause = pause.as_secs(), minutes = left);
        say(&said.in_language(language));
        let next = Instant::now() + pause;
        while Instant::now() < next && !cancel.is_cancelled() {
            thread::sleep(CANCEL_IS_SEEN_WITHIN);
        }
    }
}

/// Tests one mailbox, and tells `watch` how far it has got.
fn test(
    arguments: &Arguments,
    listener: Option<&str>,
    language: Language,
    cancel: &Cancel,
    write: bool,
    watch: &mut dyn FnMut(News),
) -> Report {
    let loaded = load(arguments, listener, language);
    let (anchors, log) = (Anchors::platform(), &Log::default());
    check::check(&loaded, listener, Options { anchors, write, language, cancel, log, watch })
}

/// `printed` keeps the first failure to print: the steps go on, and the exit code tells it.
fn one(
    arguments: &Arguments,
    listener: Option<&str>,
    language: Language,
    cancel: &Cancel,
    printed: &mut Result<()>,
) -> Report {
    let layout = terminal::out();
    let progress = Progress::new(arguments);
    let mut tell = |text: &str| {
        if !arguments.json && printed.is_ok() {
            *printed = print(text, language);
        }
    };
    let mut watch = |news: News| match news {
        News::Heading(heading) => tell(&format!("{heading}\n\n")),
        News::Step(step) if arguments.verbose => tell(&step.text(language, &layout)),
        News::Step(step) => progress.passed(&step.title),
    };
    let report = test(arguments, listener, language, cancel, arguments.write, &mut watch);
    progress.end();
    if !arguments.verbose {
        tell(&report.steps_text(&layout, Detail::Problems));
    }
    if !cancel.is_cancelled() {
        tell(&format!("\n{}", report.verdict(&layout)));
    }
    report
}

/// Returns the command to run next.
fn next(arguments: &Arguments, reports: &[Report], language: Language) -> String {
    let layout = terminal::out();
    let failed = reports.iter().filter(|report| report.outcome() > Outcome::Warnings).count();
    let mut text = String::new();
    if failed > 0 && reports.len() > 1 {
        let said = message!(CheckMailboxesFailed, failed = failed, all = reports.len());
        text += &format!("\n{}", layout.lines("", &said.in_language(language)));
    }
    let (said, write) = match (failed, arguments.write) {
        (0, true) => return text,
        (0, false) => (message!(CheckNextWrite), true),
        (_, write) => (message!(CheckNextCheck), write),
    };
    let of = &arguments.of;
    let command = this_command("check", write.then_some("--write"), &of.um_home, of.listener.as_deref());
    text + &layout.prose("", &format!("{} `{command}`", said.in_language(language)))
}

/// Shows at a terminal which step was taken last.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(arguments: &Arguments) -> Self {
        let shown = !arguments.json && !arguments.verbose && io::stdout().is_terminal();
        Self(shown.then(ProgressBar::new_spinner))
    }

    fn passed(&self, title: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(title.to_owned());
            bar.tick();
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
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

fn time(text: &str) -> std::result::Result<Duration, String> {
    config::duration(text).ok_or_else(String::new)
}

/// Between two tests of `--wait`.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(180);
const CANCEL_IS_SEEN_WITHIN: Duration = Duration::from_millis(100);
