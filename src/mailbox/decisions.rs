//! What was decided about mails and not yet done on the server.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use roaring::RoaringBitmap;

use crate::config::{MailboxConfig, keys};
use crate::failure::Failure;
use crate::imap::commands::{Command, Flag};
use crate::imap::limits;
use crate::imap::session::Capabilities;

use super::message::Outcome;

/// What is to be done with a mail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// To this folder, as it is configured.
    Move(String),
    Delete,
    MarkSeen,
}

impl Action {
    /// What an outcome means with this configuration; `None`: nothing at all.
    pub(super) fn of(outcome: Outcome, config: &MailboxConfig) -> Option<Action> {
        let folders = &config.folders;
        let own = match outcome {
            Outcome::HardBounce => &folders.hardbounce,
            Outcome::SoftBounce => &folders.softbounce,
            Outcome::AutoRespond => &folders.autorespond,
            Outcome::Unsubscribe => &folders.unsubscribe,
            Outcome::Spam => &folders.spam,
            Outcome::Handled => &None,
            Outcome::Unrecognised => return Some(Action::Move(folders.error.clone())),
            Outcome::Keep => return None,
            Outcome::KeepRead => return Some(Action::MarkSeen),
        };
        Some(if config.debug {
            Action::Move(own.as_ref().unwrap_or(&folders.debug).clone())
        } else {
            Action::Delete
        })
    }
}

/// The folders to which outcomes lead with this configuration, each with the property that names it.
pub(crate) fn targets(config: &MailboxConfig) -> Vec<(String, &str)> {
    let folders = &config.folders;
    let mut targets = vec![(&keys::FOLDER_ERROR, Some(&folders.error))];
    if config.debug {
        targets.extend([
            (&keys::FOLDER_DEBUG, Some(&folders.debug)),
            (&keys::FOLDER_HARDBOUNCE, folders.hardbounce.as_ref()),
            (&keys::FOLDER_SOFTBOUNCE, folders.softbounce.as_ref()),
            (&keys::FOLDER_AUTORESPOND, folders.autorespond.as_ref()),
            (&keys::FOLDER_UNSUBSCRIBE, folders.unsubscribe.as_ref()),
            (&keys::FOLDER_SPAM, folders.spam.as_ref()),
        ]);
    }
    let name = |key: &keys::Key| config.names.written(key.name);
    targets.into_iter().filter_map(|(key, folder)| Some((name(key), folder?.as_str()))).collect()
}

/// One mail that something was decided about. Its internal date tells whether a UID still means the same mail after a
/// reconnect: on Exchange Online a mailbox that was made anew can have the UIDVALIDITY of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decided {
    pub uid: u32,
    /// In milliseconds since 1970; `None` where the server wrote no date.
    pub received: Option<i64>,
}

/// Mails with the same action, at most [`limits::CHANGE`], and how far the server has got.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub action: Action,
    pub mails: Vec<Decided>,
    /// What the server did already, where one command is not enough.
    pub step: Step,
    /// Its folder was created after the server had said that there is none.
    pub created: bool,
    /// How often the server said no to it.
    refusals: u32,
}

/// The commands of a batch, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// MOVE, COPY, or the only one.
    First,
    /// `\Deleted`, after COPY.
    Mark,
    /// `UID EXPUNGE`, after `\Deleted`.
    Expunge,
}

impl Batch {
    fn new(action: Action, mails: Vec<Decided>) -> Self {
        Self { action, mails, step: Step::First, created: false, refusals: 0 }
    }

    pub(super) fn uids(&self) -> RoaringBitmap {
        self.mails.iter().map(|mail| mail.uid).collect()
    }

    /// The command to send now. `folder` is the target's name on the server.
    pub(super) fn command(&self, capabilities: Capabilities, folder: &str) -> Command {
        let uids = self.uids();
        match (self.step, &self.action) {
            (Step::Expunge, _) => Command::Expunge(uids),
            (Step::Mark, _) | (Step::First, Action::Delete) => Command::Store(uids, Flag::Deleted),
            (Step::First, Action::MarkSeen) => Command::Store(uids, Flag::Seen),
            (Step::First, Action::Move(_)) if capabilities.r#move => Command::Move(uids, folder.to_owned()),
            (Step::First, Action::Move(_)) => Command::Copy(uids, folder.to_owned()),
        }
    }

    /// What comes after the command that the server has just done; `None`: the batch is done.
    pub(super) fn next_step(&self, capabilities: Capabilities) -> Option<Step> {
        let expunge = capabilities.uidplus.then_some(Step::Expunge);
        match (self.step, &self.action) {
            (Step::First, Action::Move(_)) if !capabilities.r#move => Some(Step::Mark),
            (Step::First, Action::Delete) | (Step::Mark, _) => expunge,
            _ => None,
        }
    }
}

/// Everything that is decided and not done.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    new: BTreeMap<Action, New>,
    /// To be sent again: at once, or after a refusal later.
    waiting: VecDeque<Waiting>,
    /// From before the connection was lost: to be compared with the server's mails first.
    pub unverified: Vec<Batch>,
    /// The batch that the server works on.
    pub under_way: Option<Batch>,
}

/// What was decided since the last batch with the same action.
#[derive(Debug)]
struct New {
    mails: Vec<Decided>,
    /// When the server is to be told at latest.
    due: Instant,
}

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    not_before: Instant,
    refusal: Option<Failure>,
}

impl Decisions {
    pub(super) fn add(&mut self, action: Action, mail: Decided) {
        let new = || New { mails: Vec::new(), due: Instant::now() + AT_LATEST };
        self.new.entry(action).or_insert_with(new).mails.push(mail);
    }

    /// Nothing is decided that is not done.
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty()
            && self.waiting.is_empty()
            && self.unverified.is_empty()
            && self.under_way.is_none()
    }

    /// Nothing is to be done on the server now; refused batches may wait for their time.
    pub(super) fn is_settled(&self) -> bool {
        self.new.is_empty()
            && self.unverified.is_empty()
            && self.under_way.is_none()
            && self
                .waiting
                .iter()
                .all(|waiting| waiting.refusal.is_some() && waiting.not_before > Instant::now())
    }

    /// The mails in it, which must not be handed out again.
    pub(super) fn uids(&self) -> RoaringBitmap {
        self.mails().flatten().map(|mail| mail.uid).collect()
    }

    pub(super) fn len(&self) -> u64 {
        self.mails().map(|mails| mails.len() as u64).sum()
    }

    fn mails(&self) -> impl Iterator<Item = &Vec<Decided>> {
        let batches = self.waiting.iter().map(|waiting| &waiting.batch);
        let batches = batches.chain(&self.unverified).chain(&self.under_way);
        self.new.values().map(|new| &new.mails).chain(batches.map(|batch| &batch.mails))
    }

    /// The server is told everything now, also what it refused before.
    pub(super) fn make_due(&mut self) {
        let now = Instant::now();
        self.new.values_mut().for_each(|new| new.due = now);
        self.waiting.iter_mut().for_each(|waiting| waiting.not_before = now);
    }

    /// The next batch whose time has come; the caller puts it under way.
    pub(super) fn next_due(&mut self) -> Option<Batch> {
        let now = Instant::now();
        let ready = |new: &New| new.due <= now || new.mails.len() >= limits::CHANGE;
        if let Some(action) = self.new.iter().find(|(_, new)| ready(new)).map(|(action, _)| action.clone())
            && let Some(mut new) = self.new.remove(&action)
        {
            let rest = new.mails.split_off(new.mails.len().min(limits::CHANGE));
            if !rest.is_empty() {
                self.new.insert(action.clone(), New { mails: rest, ..new });
            }
            return Some(Batch::new(action, new.mails));
        }
        let at = self.waiting.iter().position(|waiting| waiting.not_before <= now)?;
        self.waiting.remove(at).map(|waiting| waiting.batch)
    }

    /// When [`Decisions::next_due`] will have something, if nothing is added.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let new = self.new.values().map(|new| new.due);
        self.waiting.iter().map(|waiting| waiting.not_before).chain(new).min()
    }

    /// The server said no: to be tried again, with growing pauses.
    pub(super) fn refused(&mut self, mut batch: Batch, refusal: Failure) {
        let pause = FIRST_PAUSE.saturating_mul(1 << batch.refusals.min(16)).min(LONGEST_PAUSE);
        batch.refusals += 1;
        self.waiting.push_back(Waiting { batch, not_before: Instant::now() + pause, refusal: Some(refusal) });
    }

    /// To be sent at the next opportunity.
    pub(super) fn again(&mut self, batch: Batch) {
        self.waiting.push_back(Waiting { batch, not_before: Instant::now(), refusal: None });
    }

    /// What the server said to what waits for another try.
    pub(super) fn last_refusal(&self) -> Option<&Failure> {
        self.waiting.iter().rev().find_map(|waiting| waiting.refusal.as_ref())
    }

    /// The connection is lost: nobody knows what of it was done.
    pub(super) fn connection_lost(&mut self) {
        for (action, new) in std::mem::take(&mut self.new) {
            for mails in new.mails.chunks(limits::CHANGE) {
                self.unverified.push(Batch::new(action.clone(), mails.to_vec()));
            }
        }
        self.unverified.extend(self.waiting.drain(..).map(|waiting| waiting.batch));
        self.unverified.extend(self.under_way.take());
    }

    /// All of it is void.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A decision is told to the server within this time.
const AT_LATEST: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
