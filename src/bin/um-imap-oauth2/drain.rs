//! `drain`: carries out what the journals still hold, and ends.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use um_imap_oauth2::config::explain_unopened;
use um_imap_oauth2::config::{self, Language, MailboxConfig};
use um_imap_oauth2::failure::{Failure, Kind, Result, Step};
use um_imap_oauth2::log::Log;
use um_imap_oauth2::mailbox::{Abandoned, Access, Mailbox, abandoned, place};
use um_imap_oauth2::message;
use um_imap_oauth2::net::{Anchors, Trust};
use um_imap_oauth2::text::Message;

use super::fetch::{Terminal, configuration};
use super::{EveryMailbox, Exit, WorkDirectory, environment, fail, print, unconfigured};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub of: EveryMailbox,
    #[command(flatten)]
    work: WorkDirectory,
}

/// Ends as the worst mailbox does.
pub fn run(arguments: &Arguments, language: Language) -> Exit {
    let report =
        config::report(&arguments.of.um_home, arguments.of.listener.as_deref(), &environment, Some(language));
    let interruption = Interruption::default();
    let prepared = report.and_then(|report| interruption.heed().map(|()| report.mailboxes));
    let mailboxes = match prepared {
        Ok(mailboxes) => mailboxes,
        Err(failure) => {
            let listener = arguments.of.listener.as_deref();
            return fail(&unconfigured(failure, listener, language), language);
        }
    };
    let mut worst = Exit::Well;
    let mut configs = Vec::new();
    let every = mailboxes.len();
    for mailbox in mailboxes {
        let exit = one(arguments, mailbox.listener.as_deref(), language, &interruption, &mut configs);
        if interruption.came() {
            return Exit::Interrupted;
        }
        if rank(exit) > rank(worst) {
            worst = exit;
        }
    }
    // With one mailbox alone, or with properties that are wrong, nobody knows whose the others are.
    if arguments.of.listener.is_none() && configs.len() == every {
        let left = left_over(&configs, language);
        left.iter().for_each(|failure| worst = fail(failure, language));
    }
    worst
}

/// What is in the journal of no mailbox that is configured: nobody will tell the server.
fn left_over(configs: &[MailboxConfig], language: Language) -> Vec<Failure> {
    let Some(work_directory) = configs.first().and_then(|config| config.work_directory.as_deref()) else {
        return Vec::new();
    };
    let known: Vec<_> = configs.iter().filter_map(place).collect();
    let found = match abandoned(work_directory, &known) {
        Ok(found) => found,
        Err(error) => {
            let said = message!(FileFailed, path = work_directory.display(), error = error.to_string());
            let failure = Failure::own(Step::Storage, Kind::Storage, said);
            return vec![unconfigured(failure, None, language)];
        }
    };
    let explained = |Abandoned { directory, mailbox, messages }| {
        let said = message!(DrainLeftOver, directory = directory.display(), mails = messages);
        let cause = message!(DrainLeftOverCause, mailbox = mailbox);
        let remedy = message!(DrainLeftOverRemedy);
        Failure::own(Step::Settle, Kind::Storage, said).explained_by(&cause, &remedy, language)
    };
    found.into_iter().map(explained).collect()
}

fn one(
    arguments: &Arguments,
    listener: Option<&str>,
    language: Language,
    interruption: &Interruption,
    configs: &mut Vec<MailboxConfig>,
) -> Exit {
    let log = Log::default().speaking(language);
    let terminal = Terminal::new(language);
    let result = terminal.print_meanwhile(&log, || {
        let config = configuration(&arguments.of.um_home, listener, &arguments.work, language, &log)?;
        configs.push(config.clone());
        drain(config, &log, &terminal, interruption)
    });
    match result {
        Err(failure) if interruption.came() => Exit::of(&failure),
        Err(failure) => fail(&terminal.briefly(failure), language),
        Ok(()) if terminal.warnings.load(Ordering::Relaxed) > 0 => Exit::Warnings,
        Ok(()) => Exit::Well,
    }
}

fn drain(config: MailboxConfig, log: &Log, terminal: &Terminal, interruption: &Interruption) -> Result<()> {
    let ours = |failure| explain_unopened(failure, &config);
    let trust = Trust::new(Anchors::platform(), config.ca_file.as_deref()).map_err(ours)?;
    let mailbox = Mailbox::open(config.clone(), trust, Access::ReadWrite, log.clone())?;
    interruption.watch(&mailbox);
    let name = format!("{}/{}", config.user, config.folders.inbox);
    let say = |line: Message| {
        let line = line.in_language(config.language);
        terminal.beside(|| print(&(line + "\n"), config.language))
    };
    let before = mailbox.pending()?;
    if before == 0 {
        return say(message!(DrainNothing, mailbox = name));
    }
    let result = mailbox.flush();
    let left = mailbox.pending().unwrap_or(before);
    let done = before - left;
    let told = say(message!(DrainDone, mailbox = name, before = before, done = done, left = left));
    mailbox.close();
    result.and(told)
}

/// Ctrl-C, or the end that a service manager wants: closes the mailbox under way.
#[derive(Default)]
struct Interruption {
    state: Arc<Mutex<(bool, Option<Mailbox>)>>,
}

impl Interruption {
    fn heed(&self) -> Result<()> {
        let state = self.state.clone();
        ctrlc::set_handler(move || {
            let mailbox = {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.0 = true;
                state.1.take()
            };
            if let Some(mailbox) = mailbox {
                mailbox.close();
            }
        })
        .map_err(Failure::internal)
    }

    fn watch(&self, mailbox: &Mailbox) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = Some(mailbox.clone());
        if state.0 {
            mailbox.close();
        }
    }

    fn came(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Which of two ends is the worse one.
fn rank(exit: Exit) -> u8 {
    match exit {
        Exit::Well => 0,
        Exit::Warnings => 1,
        Exit::TryLater => 2,
        Exit::Failed => 3,
        Exit::Interrupted => 4,
    }
}
