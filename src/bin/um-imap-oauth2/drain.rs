//! `drain`: carries out what the journals still hold, and ends.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use um_imap_oauth2::config::{self, Language, MailboxConfig};
use um_imap_oauth2::failure::{Failure, Result};
use um_imap_oauth2::log::Log;
use um_imap_oauth2::mailbox::{Access, Mailbox};
use um_imap_oauth2::net::{Anchors, Trust};
use um_imap_oauth2::words::counted;

use super::fetch::{Terminal, configuration};
use super::{EveryMailbox, Exit, environment, explained, fail, print, unconfigured};

/// Tell the server what was settled and is only in the journal, and end
///
/// For the way back to UM's own reader, which knows no journal: what was counted already would be read and counted again.
/// Universal Messenger must not read the mailbox meanwhile. No mail is fetched.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    pub of: EveryMailbox,
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
    for mailbox in mailboxes {
        let exit = one(arguments, mailbox.listener.as_deref(), language, &interruption);
        if interruption.came() {
            return Exit::Interrupted;
        }
        if rank(exit) > rank(worst) {
            worst = exit;
        }
    }
    worst
}

fn one(
    arguments: &Arguments,
    listener: Option<&str>,
    language: Language,
    interruption: &Interruption,
) -> Exit {
    let log = Log::default();
    let terminal = Terminal::new();
    let result = terminal.print_meanwhile(&log, || {
        let config = configuration(&arguments.of.um_home, listener, language, &log)?;
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
    let ours = |failure| explained(failure, &config);
    let trust = Trust::new(Anchors::platform(), config.ca_file.as_deref()).map_err(ours)?;
    let mailbox = Mailbox::open(config.clone(), trust, Access::ReadWrite, log.clone())?;
    interruption.watch(&mailbox);
    let name = format!("{}/{}", config.user, config.folders.inbox);
    let say = |line: String| terminal.beside(|| print(&format!("{line}\n"), config.language));
    let before = mailbox.pending()?;
    if before == 0 {
        return say(match config.language {
            Language::English => format!("{name}: nothing is left to carry out"),
            Language::German => format!("{name}: nichts ist mehr auszuführen"),
        });
    }
    let result = mailbox.flush();
    let left = mailbox.pending().unwrap_or(before);
    let done = before - left;
    let told = say(match config.language {
        Language::English => {
            let mails = counted(before, "settled mail", "settled mails");
            format!("{name}: {mails} in the journal, {done} carried out, {left} left")
        }
        Language::German => {
            let mails = counted(before, "erledigte Mail", "erledigte Mails");
            format!("{name}: {mails} im Journal, {done} ausgeführt, {left} übrig")
        }
    });
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

const EXAMPLES: &str = "\
Examples:
  um-imap-oauth2 drain --um-home /opt/um
      tells the servers what every mailbox's journal holds
  um-imap-oauth2 drain --um-home /opt/um --listener inbox_2";
