//! The engine's problems and reports, in sentences.

use std::sync::Arc;

use crate::config::MailboxConfig;
use crate::config::keys::SERVER_HOME;
use crate::config::mailbox_values;
use crate::engine::effect::Report;
use crate::engine::problem::Problem;
use crate::failure::{Failure, Kind, Retry, Step};
use crate::imap::backoff::if_throttled;
use crate::log::Log;
use crate::text::{Circumstances, MOVED_TO, explain};
use crate::words::counted;

use super::outcome::targets;

/// Speaks of one mailbox.
pub(super) struct Wording {
    config: Arc<MailboxConfig>,
}

impl Wording {
    pub(super) fn new(config: Arc<MailboxConfig>) -> Self {
        Self { config }
    }

    /// Makes the failure of a problem, with cause and remedy. What worked before is not blamed on the settings first.
    pub(super) fn failure(&self, problem: Problem, worked_before: bool) -> Failure {
        let mut moved_to = None;
        let failure = match self.storage_problem(&problem) {
            Some(failure) => failure,
            None => self.server_problem(problem, &mut moved_to),
        };
        self.explain(failure, moved_to.as_deref(), worked_before)
    }

    /// The problems of a call or of one message.
    fn storage_problem(&self, problem: &Problem) -> Option<Failure> {
        let call = |kind, observed: String| Failure::new(Step::Call, kind, observed);
        let fetch = |kind, observed: String| Failure::new(Step::Fetch, kind, observed);
        Some(match problem {
            Problem::Closed => call(Kind::Closed, "the mailbox is closed".into()).remedy("Open it again."),
            Problem::NewerFetch => {
                call(Kind::Usage, "a newer fetch of the mailbox has ended this one".into())
                    .remedy("Go on with the newer one; what was not settled comes again in it.")
            }
            Problem::ReadOnly => {
                call(Kind::Usage, "a mailbox that was opened for reading only cannot be changed".into())
            }
            Problem::NothingDelivered => {
                call(Kind::Usage, "no mail of this mailbox was handed out yet".into())
            }
            Problem::NotDelivered(uid) => call(Kind::Usage, format!("UID {uid} was not handed out")),
            Problem::OtherUidValidity { delivered, now } => call(
                Kind::Stale,
                format!("the mailbox has UIDVALIDITY {now}; the mail was read under {delivered}"),
            ),
            Problem::NotDeliverable { uid, line } => {
                fetch(Kind::Refused, format!("the server did not deliver the mail with UID {uid}: {line}"))
            }
            Problem::NotNow { uid, line } => fetch(
                Kind::Refused,
                format!("the server delivers other mails, but not the one with UID {uid}: {line}"),
            )
            .retry(Retry::Later),
            Problem::CutAt { uid, failure } => Failure {
                kind: Kind::Refused,
                observed: format!(
                    "the connection was lost at the mail with UID {uid}, each time that it was asked for: {}",
                    failure.observed
                ),
                ..failure.clone()
            },
            Problem::NotStored { uid, why } => Failure::new(
                Step::Storage,
                Kind::Storage,
                format!(
                    "the mail with UID {uid} is larger than cmsbs.mail.imap.fetch.buffer allows in memory, and no \
                     temporary file could hold it: {why}"
                ),
            ),
            _ => return None,
        })
    }

    /// The problems that the server or the connection is the reason for.
    fn server_problem(&self, problem: Problem, moved_to: &mut Option<String>) -> Failure {
        let settle = |kind, observed: String| Failure::new(Step::Settle, kind, observed);
        match problem {
            Problem::Failed(failure) => failure,
            Problem::Refused { step, line } | Problem::Throttled { step, line } => {
                if_throttled(Failure::new(step, Kind::Refused, line))
            }
            Problem::FolderRefused { folder, line } => {
                self.of_folder(Failure::new(Step::Folders, Kind::Refused, line), Some(folder), moved_to)
            }
            Problem::ChangeRefused { folder, line } => {
                self.of_folder(if_throttled(settle(Kind::Refused, line)), folder, moved_to)
            }
            Problem::TargetIsInbox { key, folder } => {
                let observed = format!("{key} = {folder:?} is the inbox itself");
                Failure::new(Step::Folders, Kind::Configuration, observed).key(key)
            }
            Problem::ChangedDuringFetch { before, now } => {
                let observed = format!("UIDVALIDITY changed from {before} to {now} during the fetch");
                Failure::new(Step::Select, Kind::Stale, observed).retry(Retry::Later)
            }
            Problem::DecisionsVoid { before, now, messages, kept_in } => {
                let count = counted(messages, "settled mail", "settled mails");
                let kept = kept_in.map(|path| format!(" and are kept in {path}")).unwrap_or_default();
                let observed = format!(
                    "UIDVALIDITY changed from {before} to {now}; {count} could not be told to the server{kept}"
                );
                settle(Kind::Stale, observed).retry(Retry::Later)
            }
            Problem::NoEffect { messages, line } => {
                let count = counted(messages, "mail is", "mails are");
                let observed = format!("the server answered {line:?}, but {count} still in the inbox");
                settle(Kind::Refused, observed).retry(Retry::Later)
            }
            Problem::NothingFound { exists } => Failure::new(
                Step::Search,
                Kind::Protocol,
                format!("the server says that there are {exists} mails, but names none of them"),
            ),
            Problem::Unrecognisable { uid, line } => settle(
                Kind::Refused,
                format!("the server does not tell the date of the mail with UID {uid}: {line}"),
            ),
            Problem::NothingToCompare { uid } => settle(
                Kind::Refused,
                format!(
                    "the connection was lost, and the mail with UID {uid} has neither Message-ID nor Received nor Date by \
                     which it could be recognised; it stays in the inbox"
                ),
            ),
            Problem::CopyInDoubt { uid, folder } => settle(
                Kind::Refused,
                format!(
                    "it cannot be found out whether the mail with UID {uid} was copied to {folder}; it stays in the inbox"
                ),
            ),
            other => Failure::internal(format!("no text for {other:?}")),
        }
    }

    /// Names the property in which the folder stands.
    fn of_folder(
        &self,
        mut failure: Failure,
        folder: Option<String>,
        moved_to: &mut Option<String>,
    ) -> Failure {
        let Some(folder) = folder else { return failure };
        let mut targets = targets(&self.config).into_iter();
        failure.key = targets.find(|(_, name)| *name == folder).map(|(key, _)| key);
        *moved_to = Some(folder).filter(|_| failure.key.is_none());
        failure
    }

    fn explain(&self, failure: Failure, moved_to: Option<&str>, worked_before: bool) -> Failure {
        let configured = mailbox_values(&self.config);
        let values = |hole: &str| match hole {
            MOVED_TO => moved_to.map(str::to_owned),
            hole => configured(hole),
        };
        let circumstances = Circumstances {
            language: self.config.language,
            names: &self.config.names,
            worked_before,
            values: &values,
        };
        explain(failure, &circumstances)
    }

    /// Writes a report into the log.
    pub(super) fn report(&self, log: &Log, report: Report, worked_before: bool) {
        let user = &self.config.user;
        let failure = |problem: Problem| self.failure(problem, worked_before);
        match report {
            Report::Inherited { messages } => log.info(format!(
                "{user}: {} earlier, and the server may not know it; it is told first",
                counted(messages, "mail was settled", "mails were settled")
            )),
            Report::Damaged { records } => log.warning(format!(
                "{user}: {} of the journal damaged; what they said is not known any more",
                counted(records, "record is", "records are")
            )),
            Report::Oddity(oddity) => log.warning(format!("{user}: {}", failure(Problem::Failed(oddity)))),
            Report::NoDirectory => log.warning(format!(
                "{user}: there is no work directory ({} is not set), so a second reader of the mailbox would not be noticed, \
                 and after a crash the last second's decisions come again",
                SERVER_HOME.name
            )),
            Report::JournalFailed { failure: why, unlocked } => {
                let unlocked =
                    if unlocked { "a second reader of the mailbox would not be noticed, and " } else { "" };
                log.warning(format!(
                    "{user}: {unlocked}settled mail is not written down, so after a crash the last second's decisions come \
                     again: {}",
                    failure(Problem::Failed(why))
                ));
            }
            Report::JournalWorks => log.info(format!("{user}: the journal can be written again")),
            Report::JournalHangs => log.warning(format!(
                "{user}: the work directory does not answer; settled mail is not written down until it does"
            )),
            Report::SetAside(problem)
            | Report::Waiting(problem)
            | Report::Failed(problem)
            | Report::DecisionsVoid(problem) => {
                log.warning(format!("{user}: {}", failure(problem)));
            }
            Report::Reconnecting(problem) => {
                log.info(format!("{user}: {}; connecting again", failure(problem)));
            }
            report => self.report_rare(log, report, worked_before),
        }
    }

    fn report_rare(&self, log: &Log, report: Report, worked_before: bool) {
        let user = &self.config.user;
        match report {
            Report::DecisionVoid(uid) => log.warning(format!(
                "{user}: UID {uid} is another mail than the one that was settled; it is left alone"
            )),
            Report::Throttled { problem, seconds } => {
                let observed = self.failure(problem, worked_before).observed;
                log.info(format!("{user}: {observed}; waiting {seconds} s"));
            }
            Report::Vanished { messages } => log.warning(format!(
                "{user}: {} from {} that were not settled here: somebody else reads the mailbox (a second Universal \
                 Messenger, a mail program, a rule), and bounces may have been lost or counted twice",
                counted(messages, "mail has vanished", "mails have vanished"),
                self.config.folders.inbox
            )),
            Report::OnlyMarked => log.warning(format!(
                "{user}: the server has no UIDPLUS, so nothing is expunged: settled mails stay in the inbox, marked \
                 \\Deleted, and are not read again; remove them with a mail program now and then"
            )),
            Report::NotRead { minutes, failures, problem } => log.warning(format!(
                "{user}: no mail could be read for {minutes} minutes; {} failed, the last with {}",
                counted(u64::from(failures), "attempt", "attempts"),
                self.failure(problem, worked_before)
            )),
            Report::BatchSize(size) => log.info(format!(
                "{user}: the server ends the connection at larger changes; it is given {} at a time from now on",
                counted(u64::from(size), "mail", "mails")
            )),
            Report::ClosedEarly { messages, journal } => {
                let mails = counted(messages, "settled mail", "settled mails");
                let text = format!("{user}: closed before the server could be told of {mails}");
                if journal {
                    log.info(format!("{text}; they are in the journal for the next time"));
                } else {
                    log.warning(format!("{text}; they stay in the inbox"));
                }
            }
            _ => {}
        }
    }
}
