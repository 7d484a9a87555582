//! A mailbox that is read and settled, whatever happens to its connections.
//!
//! [`Mailbox`] is the public API. The rules are the [`engine`](crate::engine)'s; here are a thread that talks to the server
//! ([`network`]), a thread that writes to the work directory ([`files`]), and the callers. They share the engine and the effects
//! that it wants performed ([`shared`]). No lock is held while a thread waits for the network or a file.

#[cfg(test)]
mod answering;
#[cfg(test)]
mod changing_tests;
mod commands;
mod connect;
#[cfg(test)]
mod dialogue_tests;
mod files;
mod health;
#[cfg(test)]
mod journal_tests;
mod mark;
mod message;
mod network;
mod outcome;
#[cfg(test)]
mod panic_tests;
#[cfg(test)]
mod played;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod settling_tests;
mod shared;
mod signal;
mod spool;
#[cfg(test)]
mod trouble_tests;
mod wording;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::keys::BOUNCE_DEBUG;
use crate::config::{Authentication, MailboxConfig, wrong_folder};
use crate::engine::effect::Reply;
use crate::engine::input::Call;
use crate::engine::problem::Problem;
use crate::engine::record::Action;
use crate::engine::{Engine, Settings, input};
use crate::failure::{Failure, Kind, Result, Step};
use crate::imap::folders::Folders;
use crate::imap::limits::Times;
use crate::imap::uids::{Uid, UidValidity};
use crate::log::Log;
use crate::message;
use crate::net::Trust;

pub use crate::workdir::{Abandoned, STATUS};
pub use connect::{Connector, Network};
pub(crate) use files::obstacle;
pub use files::{FileWorker, abandoned, place};
pub use health::{Grade, Health, Status, was_read};
pub use message::{Body, Message, MessageId, Outcome};
pub(crate) use outcome::targets;
pub use spool::TemporaryFile;

use shared::{Outside, Shared};
use wording::Wording;

/// An open mailbox. Clones are the same mailbox; when the last one goes, it is closed.
#[derive(Clone)]
pub struct Mailbox {
    owner: Arc<Owner>,
}

/// Says what may be done with a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    /// EXAMINE: nothing is changed on the server, nothing can be settled.
    ReadOnly,
}

/// Names one fetch of a mailbox; the next one ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchId(pub u64);

/// What a mailbox uses of the world outside, and for how long it waits for it.
pub struct Parts {
    pub connector: Arc<dyn Connector>,
    /// Works in the directory of this mailbox.
    pub files: Box<dyn FileWorker>,
    pub times: Times,
}

impl Parts {
    /// Returns those that a mailbox with this configuration uses: the network and its work directory.
    pub fn of(config: &MailboxConfig, access: Access) -> Parts {
        Parts {
            connector: Arc::new(Network),
            files: files::worker(config, access == Access::ReadOnly),
            times: Times::default(),
        }
    }
}

impl Mailbox {
    /// Opens a mailbox. Touches no network and no file.
    pub fn open(config: MailboxConfig, trust: Trust, access: Access, log: Log) -> Result<Mailbox> {
        let parts = Parts::of(&config, access);
        Self::open_with(parts, config, trust, access, log)
    }

    /// Opens a mailbox with other parts than usual.
    pub fn open_with(
        parts: Parts,
        config: MailboxConfig,
        trust: Trust,
        access: Access,
        log: Log,
    ) -> Result<Mailbox> {
        let read_only = access == Access::ReadOnly;
        let log = log.speaking(config.language);
        if !read_only && !config.debug {
            let key = config.names.written(BOUNCE_DEBUG.name);
            log.info(message!(LogHandledIsDeleted, user = &config.user, key = key));
        }
        let settings = settings(&config, read_only, &parts.times);
        let engine = Engine::new(settings, health::history(&config));
        let wording = Wording::new(Arc::new(config.clone()));
        let outside = Outside { connector: parts.connector, files: parts.files };
        let shared = Shared::new(config, read_only, parts.times, trust, log, wording, engine, outside);
        Ok(Mailbox { owner: Arc::new(Owner { shared: Arc::new(shared) }) })
    }

    /// Looks for messages: the unread ones, or all of them (`cmsbs.bounce.processAll`). Connects if there is no connection,
    /// and returns when the server has said which messages there are. Messages that were kept or never settled come again.
    ///
    /// The fetch before it ends: its [`Mailbox::next`] fails from now on. Fails with [`Kind::Busy`] while another reader has
    /// the mailbox; from its first success on it is held until [`Mailbox::close`]. If the work directory cannot be written,
    /// messages are read without lock and journal until it can.
    pub fn fetch(&self) -> Result<FetchId> {
        match self.shared().call(Call::Fetch)? {
            Reply::Fetch(begun) => Ok(FetchId(self.explained(begun)?.fetch.0)),
            other => Err(unexpected(&other)),
        }
    }

    /// Returns the number of messages that a fetch has found. Some of them may be gone before they are delivered.
    pub fn found(&self, FetchId(id): FetchId) -> Result<u64> {
        let found = self.shared().lock().engine.found_by(input::FetchId(id));
        found.ok_or_else(|| self.failure(Problem::NewerFetch))
    }

    /// Waits for the next message, which has arrived as a whole, in the order of the UIDs or nearly so. `None` at the end.
    pub fn next(&self, FetchId(id): FetchId) -> Result<Option<Message>> {
        match self.shared().call(Call::Next(input::FetchId(id)))? {
            Reply::Next(next) => match self.explained(next)? {
                None => Ok(None),
                Some(uid) => {
                    let message = self.shared().take_message(uid);
                    message.map(Some).ok_or_else(|| Failure::internal("a message that was kept is missing"))
                }
            },
            other => Err(unexpected(&other)),
        }
    }

    /// Decides what becomes of a message. Returns when that is in the journal, if there is one; the server is told in batches,
    /// within a second. The first decision about a message counts: false if there was one before.
    pub fn settle(&self, id: MessageId, outcome: Outcome) -> Result<bool> {
        self.decide(id, outcome::action(outcome, &self.shared().config))
    }

    /// Moves a message to `folder`, written as in UM's configuration: `.` separates levels. It is created if it is missing.
    /// Fails with [`Kind::Usage`] if a property would be refused for it: no server could ever do it.
    pub fn move_to(&self, id: MessageId, folder: &str) -> Result<bool> {
        let config = &self.shared().config;
        let refusal = if let Some((what, remedy)) = wrong_folder(folder, config.language) {
            Some(Failure::new(Step::Call, Kind::Usage, what).remedy(remedy))
        } else if same_folder(folder, &config.folders.inbox) {
            Some(Failure::own(Step::Call, Kind::Usage, message!(MailboxMoveToInbox, folder = folder)))
        } else {
            None
        };
        match refusal {
            Some(refusal) => Err(self.failure(Problem::Failed(refusal))),
            None => self.decide(id, Some(Action::Move(folder.to_owned()))),
        }
    }

    pub fn delete(&self, id: MessageId) -> Result<bool> {
        self.decide(id, Some(Action::Delete))
    }

    /// Returns when the server has done all that was decided before. Fails with the decisions that a changed UIDVALIDITY made
    /// void, once ([`Kind::Stale`]), or with the server's refusal; that is tried again later, and its messages are not
    /// delivered meanwhile. Decisions that an earlier process left in the journal count, so it can be [`Kind::Busy`].
    pub fn flush(&self) -> Result<()> {
        match self.shared().call(Call::Flush)? {
            Reply::Flush(result) => self.explained(result),
            other => Err(unexpected(&other)),
        }
    }

    /// Says how the mailbox is doing. Touches neither network nor work directory.
    pub fn health(&self) -> Health {
        let shared = self.shared();
        shared.look_up_credential();
        let core = shared.lock();
        shared.health(&core)
    }

    /// Takes over the configured credential, read again after a call failed by a failure that [may be the
    /// credential's](Failure::may_be_the_credentials). Returns whether it is another one than was refused, so that the call is
    /// worth repeating; a fetch that had begun goes on where it ended.
    pub fn renew(&self, fresh: &Authentication) -> bool {
        self.shared().renew(fresh)
    }

    /// Counts the decisions that the server has still to be told of, those of an earlier process in the journal included.
    /// Touches no network. Fails with [`Kind::Busy`] as a fetch, and with [`Kind::Storage`] if the journal cannot be read.
    pub fn pending(&self) -> Result<u64> {
        match self.shared().call(Call::Pending)? {
            Reply::Pending(pending) => self.explained(pending),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends every call at once, carries out decisions as far as that can be done in five seconds, and logs out. The rest is in
    /// the journal for the next time; without one it stays in the inbox and comes again. May be called from any thread; a
    /// second call only waits for the first one's end.
    pub fn close(&self) {
        Self::close_all(std::slice::from_ref(self), CLOSE + LAST_WORDS);
    }

    /// Closes several mailboxes, all at the same time, and waits for them at most this long.
    pub fn close_all(mailboxes: &[Mailbox], limit: Duration) {
        let until = Instant::now() + limit;
        mailboxes.iter().for_each(|mailbox| mailbox.shared().begin_close());
        mailboxes.iter().for_each(|mailbox| mailbox.shared().wait_closed(until));
    }

    fn decide(&self, id: MessageId, action: Option<Action>) -> Result<bool> {
        let (Some(uid_validity), Some(uid)) = (UidValidity::new(id.uid_validity), Uid::new(id.uid)) else {
            return Err(self.failure(Problem::NothingDelivered));
        };
        match self.shared().call(Call::Settle { uid_validity, uid, action })? {
            Reply::Settle(result) => self.explained(result),
            other => Err(unexpected(&other)),
        }
    }

    fn explained<T>(&self, result: std::result::Result<T, Problem>) -> Result<T> {
        result.map_err(|problem| self.failure(problem))
    }

    fn failure(&self, problem: Problem) -> Failure {
        let shared = self.shared();
        let worked_before = shared.lock().engine.worked_before();
        shared.wording.failure(problem, worked_before)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }
}

/// The last of these closes the mailbox.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.begin_close();
        self.shared.wait_closed(Instant::now() + CLOSE + LAST_WORDS);
    }
}

fn settings(config: &MailboxConfig, read_only: bool, times: &Times) -> Settings {
    Settings {
        read_only,
        unseen_only: !config.process_all,
        buffer: config.fetch.buffer,
        pipeline: config.fetch.pipeline,
        patience: config.fetch.patience,
        throttled: times.throttled,
        close: CLOSE,
        targets: targets(config).into_iter().map(|(key, folder)| (key, folder.to_owned())).collect(),
        directory: config.work_directory.is_some(),
        journal: config.journal,
        password: matches!(config.authentication, Authentication::Password(_)),
        fingerprint: health::fingerprint(config),
        seed: shared::seed(),
    }
}

fn unexpected(reply: &Reply) -> Failure {
    Failure::internal(format!("a call got the reply of another: {reply:?}"))
}

/// Says whether the administrator means the same folder.
fn same_folder(one: &str, other: &str) -> bool {
    Folders::default().resolve(one).name.eq_ignore_ascii_case(&Folders::default().resolve(other).name)
}

/// How long closing may take to carry out decisions.
const CLOSE: Duration = Duration::from_secs(5);

/// How long it then waits for the threads, of which one is in a name look-up at worst.
const LAST_WORDS: Duration = Duration::from_millis(500);
