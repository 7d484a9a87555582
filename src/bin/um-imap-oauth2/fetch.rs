//! `fetch`: writes the mails of a mailbox to files, and settles them if it is told to.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::value_parser;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde::Serialize;
use um_imap_oauth2::config::explain_unopened;
use um_imap_oauth2::config::{self, Authentication, Language, MailboxConfig, Severity};
use um_imap_oauth2::failure::{Failure, Result};
use um_imap_oauth2::log::{Level, Log};
use um_imap_oauth2::mailbox::{Access, Mailbox, Message, Outcome};
use um_imap_oauth2::message;
use um_imap_oauth2::net::{Anchors, Trust};
use um_imap_oauth2::text::Arg;

use super::directory::Directory;
use super::{
    Exit, OneMailbox, WorkDirectory, by_proxy_of_environment, by_what_worked, deliver, environment, fail,
    print, say, unconfigured,
};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub of: OneMailbox,
    #[command(flatten)]
    work: WorkDirectory,
    #[arg(long, value_name = "OUT")]
    to: PathBuf,
    #[arg(long, value_name = "OUTCOME", value_parser = outcome())]
    settle: Option<Outcome>,
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, language: Language) -> Exit {
    let mut done = Done::default();
    let terminal = Terminal::new(language);
    let log = Log::default().speaking(language);
    let result = terminal.print_meanwhile(&log, || fetch(arguments, language, &log, &terminal, &mut done));
    let warnings = terminal.warnings.load(Ordering::Relaxed);
    let result = match print_summary(arguments, language, &done, warnings, result.as_ref().err()) {
        Err(failure) if result.is_ok() => Err(failure),
        _ => result,
    };
    match result {
        Err(_) if done.interrupted => Exit::Interrupted,
        Err(failure) => fail(&terminal.briefly(failure), language),
        Ok(()) if warnings > 0 => Exit::Warnings,
        Ok(()) => Exit::Well,
    }
}

/// What came of it so far.
#[derive(Default)]
struct Done {
    mails: u64,
    octets: u64,
    settled: u64,
    interrupted: bool,
}

fn fetch(
    arguments: &Arguments,
    language: Language,
    log: &Log,
    terminal: &Terminal,
    done: &mut Done,
) -> Result<()> {
    let configuration = |log: &Log| {
        let (um_home, listener) = (&arguments.of.um_home, arguments.of.listener.as_deref());
        configuration(um_home, listener, &arguments.work, language, log)
    };
    let config = configuration(log)?;
    let ours = |failure| explain_unopened(failure, &config);

    let settles = arguments.settle.is_some();
    let trust = Trust::new(Anchors::platform(), config.ca_file.as_deref()).map_err(ours)?;
    let directory = Directory::open(&arguments.to, settles, language).map_err(ours)?;
    let access = if settles { Access::ReadWrite } else { Access::ReadOnly };
    let mailbox = Mailbox::open(config.clone(), trust, access, log.clone())?;
    let interruption = Interruption::of(&mailbox)?;

    let renewed = || {
        // What is odd about the properties was said when the mailbox was opened.
        configuration(&Log::default()).is_ok_and(|fresh| mailbox.renew(&fresh.authentication))
    };
    let mut read = || {
        let fetch = renewing(&renewed, || mailbox.fetch())?;
        let found = mailbox.found(fetch)?;
        terminal.expect(arguments.limit.map_or(found, |limit| limit.min(found)));
        while arguments.limit.is_none_or(|limit| done.mails < limit)
            && let Some(Message { id, flags, internal_date, body, .. }) =
                renewing(&renewed, || mailbox.next(fetch))?
        {
            let octets = body.len();
            let file = directory.store(id, body).map_err(ours)?;
            done.mails += 1;
            done.octets += octets;
            if arguments.json {
                let file = file.to_string_lossy().into_owned();
                let (uid, uidvalidity) = (id.uid, id.uid_validity);
                let mail = Mail { uid, uidvalidity, flags, internal_date, file, octets };
                terminal.beside(|| deliver_json(&mail, language))?;
            }
            if let Some(outcome) = arguments.settle {
                mailbox.settle(id, outcome)?;
                done.settled += 1;
            }
            terminal.count(octets);
        }
        if settles { renewing(&renewed, || mailbox.flush()) } else { Ok(()) }
    };
    let result = read();
    mailbox.close();
    // What came after the last mail has interrupted nothing.
    done.interrupted = interruption.came() && result.is_err();
    result.map_err(|failure| if done.mails > 0 { failure } else { by_what_worked(failure, &config) })
}

/// Repeats a call that failed by the credential if there is another one by now.
fn renewing<T>(renewed: &dyn Fn() -> bool, call: impl Fn() -> Result<T>) -> Result<T> {
    match call() {
        Err(failure) if failure.may_be_the_credentials() && renewed() => call(),
        result => result,
    }
}

/// Reads the properties; what is odd about them goes to the log.
pub(super) fn configuration(
    um_home: &Path,
    listener: Option<&str>,
    work: &WorkDirectory,
    language: Language,
    log: &Log,
) -> Result<MailboxConfig> {
    let loaded = config::from_um_home_in(Some(language), um_home, listener, &environment);
    let loaded = loaded.map_err(|failure| unconfigured(failure, listener, language))?;
    for finding in loaded.findings {
        match finding.severity {
            Severity::Info => log.info(message!(LogFinding, finding = Arg::Shown(finding.text))),
            Severity::Warning => log.warning(message!(LogFinding, finding = Arg::Shown(finding.text))),
        }
    }
    let mut config = loaded.config;
    work.replace(&mut config);
    if let Authentication::OAuth2(oauth2) = &config.authentication {
        let oauth2 = by_proxy_of_environment(oauth2, &environment);
        let oauth2 = oauth2.map_err(|failure| explain_unopened(failure, &config))?;
        config.authentication = Authentication::OAuth2(oauth2);
    }
    Ok(config)
}

/// Ctrl-C, or the end that a service manager wants: closes the mailbox, which ends what is under way.
struct Interruption {
    has_come: Arc<AtomicBool>,
    closed: Receiver<()>,
}

impl Interruption {
    fn of(mailbox: &Mailbox) -> Result<Self> {
        let has_come = Arc::new(AtomicBool::new(false));
        let (done, closed) = mpsc::channel();
        let (mailbox, comes) = (mailbox.clone(), has_come.clone());
        ctrlc::set_handler(move || {
            comes.store(true, Ordering::SeqCst);
            mailbox.close();
            // The command may be over already.
            let _ = done.send(());
        })
        .map_err(Failure::internal)?;
        Ok(Self { has_come, closed })
    }

    /// Whether it came. Returns when the server was told what was decided.
    fn came(&self) -> bool {
        let came = self.has_come.load(Ordering::SeqCst);
        if came {
            let _ = self.closed.recv();
        }
        came
    }
}

/// Progress and log records, on stderr. Progress only where somebody watches.
pub(super) struct Terminal {
    language: Language,
    progress: ProgressBar,
    octets: AtomicU64,
    pub(super) warnings: AtomicU64,
    last_warning: Mutex<String>,
}

impl Terminal {
    pub(super) fn new(language: Language) -> Self {
        let progress = ProgressBar::new_spinner();
        if !progress.is_hidden() {
            progress.enable_steady_tick(TICK);
        }
        Self {
            language,
            progress,
            octets: AtomicU64::default(),
            warnings: AtomicU64::default(),
            last_warning: Mutex::default(),
        }
    }

    /// Prints what `log` gets while `work` is under way, and all of it before this returns.
    pub(super) fn print_meanwhile<T>(&self, log: &Log, work: impl FnOnce() -> T) -> T {
        let result = thread::scope(|scope| {
            let (working, over) = mpsc::channel::<()>();
            scope.spawn(move || {
                while over.recv_timeout(PRINT_EVERY) == Err(RecvTimeoutError::Timeout) {
                    self.print(log);
                }
            });
            let result = work();
            drop(working);
            result
        });
        self.progress.finish_and_clear();
        self.print(log);
        result
    }

    fn print(&self, log: &Log) {
        for record in log.take() {
            let level = match record.level {
                Level::Debug => message!(CliLevelDebug),
                Level::Info => message!(CliLevelInfo),
                Level::Warning => message!(CliLevelWarning),
                Level::Error => message!(CliLevelError),
            };
            let level = level.in_language(self.language);
            if record.level >= Level::Warning {
                let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
                // What the server refuses it is asked once more at the end, and refuses again.
                if *last == record.text {
                    continue;
                }
                last.clone_from(&record.text);
                self.warnings.fetch_add(1, Ordering::Relaxed);
            }
            self.beside(|| say(&format!("{level}: {record}")));
        }
    }

    /// The failure that ended the work, without what the last warning has said of it already.
    pub(super) fn briefly(&self, failure: Failure) -> Failure {
        let last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        match last.ends_with(&failure.to_string()) {
            true => Failure { cause: String::new(), remedy: String::new(), ..failure },
            false => failure,
        }
    }

    /// Prints something without the progress line in between.
    pub(super) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.progress.suspend(print)
    }

    /// How many mails will come; from now on it is known how long it will take.
    fn expect(&self, mails: u64) {
        self.progress.set_length(mails);
        let bar = "{elapsed} [{wide_bar:.dim}] {pos}/{len}  {msg}  {per_sec:1}  {eta}";
        if let Ok(style) = ProgressStyle::with_template(bar) {
            self.progress.set_style(style.progress_chars("=> "));
        }
    }

    fn count(&self, octets: u64) {
        let octets = self.octets.fetch_add(octets, Ordering::Relaxed) + octets;
        if !self.progress.is_hidden() {
            self.progress.set_message(HumanBytes(octets).to_string());
        }
        self.progress.inc(1);
    }
}

#[derive(Serialize)]
struct Mail {
    uid: u32,
    uidvalidity: u32,
    flags: Vec<String>,
    /// As the server wrote it (RFC 9051 §9, `date-time`).
    internal_date: String,
    file: String,
    octets: u64,
}

/// The last object: no mail's.
#[derive(Serialize)]
struct Last<'a> {
    summary: Summary<'a>,
}

#[derive(Serialize)]
struct Summary<'a> {
    mails: u64,
    octets: u64,
    settled: u64,
    /// What they were settled as.
    outcome: Option<&'static str>,
    warnings: u64,
    interrupted: bool,
    failure: Option<&'a Failure>,
}

fn print_summary(
    arguments: &Arguments,
    language: Language,
    done: &Done,
    warnings: u64,
    failure: Option<&Failure>,
) -> Result<()> {
    if arguments.json {
        let summary = Summary {
            mails: done.mails,
            octets: done.octets,
            settled: done.settled,
            outcome: arguments.settle.map(Outcome::name),
            warnings,
            interrupted: done.interrupted,
            failure: failure.filter(|_| !done.interrupted),
        };
        return deliver_json(&Last { summary }, language);
    }
    if failure.is_some() && done.mails == 0 && !done.interrupted {
        return Ok(());
    }
    let directory = arguments.to.display();
    let mut line = message!(FetchSummary, mails = done.mails, bytes = done.octets, directory = directory);
    if let Some(outcome) = arguments.settle {
        line = message!(FetchSettled, summary = line, settled = done.settled, outcome = outcome.name());
    }
    if done.interrupted {
        line = message!(FetchInterrupted, summary = line);
    }
    print(&(line.in_language(language) + "\n"), language)
}

/// On one line.
fn deliver_json(value: &impl Serialize, language: Language) -> Result<()> {
    let line = serde_json::to_string(value).map_err(Failure::internal)?;
    deliver(&format!("{line}\n"), language)
}

fn outcome() -> impl TypedValueParser<Value = Outcome> {
    PossibleValuesParser::new(Outcome::ALL.map(Outcome::name)).try_map(|name| {
        Outcome::ALL.into_iter().find(|outcome| outcome.name() == name).ok_or("there is no such outcome")
    })
}

/// A record is printed within this time.
const PRINT_EVERY: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(200);
