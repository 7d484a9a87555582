//! The engine's problems and reports, in sentences.

use std::sync::Arc;

use crate::config::MailboxConfig;
use crate::config::keys::{FETCH_BUFFER, SERVER_HOME};
use crate::config::mailbox_values;
use crate::engine::effect::Report;
use crate::engine::problem::Problem;
use crate::failure::{Failure, Kind, Retry, Step};
use crate::imap::backoff::if_throttled;
use crate::log::Log;
use crate::message;
use crate::text::{Arg, Circumstances, MOVED_TO, OBJECT_ID, explain};
use crate::token::object_id;

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
        let call = |kind, said| Failure::own(Step::Call, kind, said);
        let fetch = |kind, said| Failure::own(Step::Fetch, kind, said);
        Some(match problem {
            Problem::Closed => {
                call(Kind::Closed, message!(MailboxIsClosed)).advised(message!(MailboxIsClosedRemedy))
            }
            Problem::NewerFetch => {
                call(Kind::Usage, message!(MailboxNewerFetch)).advised(message!(MailboxNewerFetchRemedy))
            }
            Problem::ReadOnly => call(Kind::Usage, message!(MailboxForReading)),
            Problem::NothingDelivered => call(Kind::Usage, message!(MailboxNothingDelivered)),
            Problem::NotDelivered(uid) => {
                call(Kind::Usage, message!(MailboxNotDelivered, uid = uid.to_string()))
            }
            Problem::OtherUidValidity { delivered, now } => {
                let (delivered, now) = (delivered.to_string(), now.to_string());
                call(Kind::Stale, message!(MailboxOtherUidvalidity, delivered = delivered, now = now))
            }
            Problem::NotDeliverable { uid, line } => {
                fetch(Kind::Refused, message!(MailboxNotDeliverable, uid = uid.to_string(), line = line))
            }
            Problem::NotNow { uid, line } => {
                fetch(Kind::Refused, message!(MailboxNotNow, uid = uid.to_string(), line = line))
                    .retry(Retry::Later)
            }
            Problem::CutAt { uid, failure } => {
                let said = message!(MailboxCutAt, uid = uid.to_string(), why = failure.told());
                Failure { kind: Kind::Refused, ..failure.clone().saying(said) }
            }
            Problem::NotStored { uid, why } => {
                let key = self.config.names.written(FETCH_BUFFER.name);
                let said = message!(MailboxNotStored, uid = uid.to_string(), key = key, why = why);
                Failure::own(Step::Storage, Kind::Storage, said)
            }
            _ => return None,
        })
    }

    /// The problems that the server or the connection is the reason for.
    fn server_problem(&self, problem: Problem, moved_to: &mut Option<String>) -> Failure {
        let settle = |kind, said| Failure::own(Step::Settle, kind, said);
        match problem {
            Problem::Failed(failure) => failure,
            Problem::Refused { step, line } | Problem::Throttled { step, line } => {
                if_throttled(Failure::new(step, Kind::Refused, line))
            }
            Problem::FolderRefused { folder, line } => {
                self.of_folder(Failure::new(Step::Folders, Kind::Refused, line), Some(folder), moved_to)
            }
            Problem::ChangeRefused { folder, line } => {
                let refused = if_throttled(Failure::new(Step::Settle, Kind::Refused, line));
                self.of_folder(refused, folder, moved_to)
            }
            Problem::TargetIsInbox { key, folder } => {
                let said = message!(MailboxTargetIsInbox, key = &key, folder = folder);
                Failure::own(Step::Folders, Kind::Configuration, said).key(key)
            }
            Problem::ChangedDuringFetch { before, now } => {
                let (before, now) = (before.to_string(), now.to_string());
                let said = message!(MailboxUidvalidityChanged, before = before, now = now);
                Failure::own(Step::Select, Kind::Stale, said).retry(Retry::Later)
            }
            Problem::DecisionsVoid { before, now, messages: mails, kept_in } => {
                let (before, now) = (before.to_string(), now.to_string());
                let said = match kept_in {
                    None => message!(MailboxDecisionsVoid, before = before, now = now, mails = mails),
                    Some(path) => message!(
                        MailboxDecisionsVoidKept,
                        before = before,
                        now = now,
                        mails = mails,
                        path = path
                    ),
                };
                settle(Kind::Stale, said).retry(Retry::Later)
            }
            Problem::NoEffect { messages, line } => {
                settle(Kind::Refused, message!(MailboxNoEffect, mails = messages, line = line))
                    .retry(Retry::Later)
            }
            Problem::NothingFound { exists } => {
                Failure::own(Step::Search, Kind::Protocol, message!(MailboxNothingFound, mails = exists))
            }
            Problem::Unrecognisable { uid, line } => {
                settle(Kind::Refused, message!(MailboxUnrecognisable, uid = uid.to_string(), line = line))
            }
            Problem::NothingToCompare { uid } => {
                settle(Kind::Refused, message!(MailboxNothingToCompare, uid = uid.to_string()))
            }
            Problem::CopyInDoubt { uid, folder } => {
                settle(Kind::Refused, message!(MailboxCopyInDoubt, uid = uid.to_string(), folder = folder))
            }
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
            OBJECT_ID => object_id(&self.config),
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
        let failure = |problem: Problem| self.failure(problem, worked_before).shown();
        match report {
            Report::Inherited { messages } => {
                log.info(message!(LogInherited, user = user, mails = messages));
            }
            Report::Damaged { records } => log.warning(message!(LogDamaged, user = user, records = records)),
            Report::Oddity(oddity) => {
                let failure = failure(Problem::Failed(oddity));
                log.warning(message!(LogOddity, user = user, failure = failure));
            }
            Report::NoDirectory => {
                log.warning(message!(LogNoDirectory, user = user, key = SERVER_HOME.name));
            }
            Report::JournalFailed { failure: why, unlocked } => {
                let why = failure(Problem::Failed(why));
                log.warning(match unlocked {
                    true => message!(LogJournalAndLockFailed, user = user, failure = why),
                    false => message!(LogJournalFailed, user = user, failure = why),
                });
            }
            Report::JournalWorks => log.info(message!(LogJournalWorks, user = user)),
            Report::JournalHangs => log.warning(message!(LogJournalHangs, user = user)),
            Report::SetAside(problem) => {
                log.warning(message!(LogSetAside, user = user, failure = failure(problem)));
            }
            Report::Waiting(problem) => {
                log.warning(message!(LogWaiting, user = user, failure = failure(problem)));
            }
            Report::Failed(problem) => {
                log.warning(message!(LogFailed, user = user, failure = failure(problem)));
            }
            Report::DecisionsVoid(problem) => {
                log.warning(message!(LogDecisionsVoid, user = user, failure = failure(problem)));
            }
            Report::Reconnecting(problem) => {
                log.info(message!(LogReconnecting, user = user, failure = failure(problem)));
            }
            report => self.report_rare(log, report, worked_before),
        }
    }

    fn report_rare(&self, log: &Log, report: Report, worked_before: bool) {
        let user = &self.config.user;
        match report {
            Report::DecisionVoid(uid) => {
                log.warning(message!(LogDecisionVoid, user = user, uid = uid.to_string()));
            }
            Report::Throttled { problem, seconds } => {
                let observed = Arg::Shown(self.failure(problem, worked_before).observed);
                log.info(message!(LogThrottled, user = user, observed = observed, seconds = seconds));
            }
            Report::Vanished { messages } => {
                let folder = &self.config.folders.inbox;
                log.warning(message!(LogVanished, user = user, mails = messages, folder = folder));
            }
            Report::OnlyMarked => log.warning(message!(LogOnlyMarked, user = user)),
            Report::NotRead { minutes, failures, problem } => log.warning(message!(
                LogNotRead,
                user = user,
                minutes = minutes,
                failures = failures,
                failure = self.failure(problem, worked_before).shown(),
            )),
            Report::BatchSize(size) => log.info(message!(LogBatchSize, user = user, mails = size)),
            Report::ClosedEarly { messages, journal: true } => {
                log.info(message!(LogClosedEarly, user = user, mails = messages));
            }
            Report::ClosedEarly { messages, journal: false } => {
                log.warning(message!(LogClosedEarlyLost, user = user, mails = messages));
            }
            _ => {}
        }
    }
}
