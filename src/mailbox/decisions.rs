//! What was decided about mails and not yet done on the server.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::config::{MailboxConfig, keys};
use crate::failure::Failure;
use crate::imap::commands::{Command, Flag};
use crate::imap::limits;
use crate::imap::session::Capabilities;
use crate::imap::uids::Uid;

use super::journal::Pending;
use super::message::Outcome;

/// What is to be done with a mail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Nobody knows whether its mails are still the same: to be compared with the server's before it is sent.
    unsure: bool,
    /// How often the connection was lost while it was under way.
    lost: u32,
    /// How often the server said no to it.
    refusals: u32,
    /// What it said last, while nobody knows what it has done nevertheless.
    refusal: Option<Failure>,
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
        Self {
            action,
            mails,
            step: Step::First,
            created: false,
            unsure: false,
            lost: 0,
            refusals: 0,
            refusal: None,
        }
    }

    /// What is refused, or ends the connection, may be one mail of many.
    fn halves(mut self) -> [Batch; 2] {
        let mails = self.mails.split_off(self.mails.len() / 2);
        [self.clone(), Batch { mails, ..self }]
    }

    pub(super) fn uids(&self) -> RoaringBitmap {
        self.mails.iter().map(|mail| mail.uid).collect()
    }

    /// It is in the target already, and only to be deleted.
    pub(super) fn is_copied(&self) -> bool {
        matches!(self.action, Action::Move(_)) && self.step != Step::First
    }

    /// The command to send now. `folder` is the target's name on the server.
    pub(super) fn command(&self, capabilities: Capabilities, folder: &str) -> Command {
        let uids = self.uids().iter().filter_map(Uid::new).collect();
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
    /// By action, and whether they are to be compared with the server's mails first.
    new: BTreeMap<(Action, bool), New>,
    /// To be sent again: at once, or after a refusal later.
    waiting: VecDeque<Waiting>,
    /// Of which nobody knows what was done, because the connection was lost, the server said no, or the process was killed:
    /// to be compared with the server's mails first.
    pub unverified: Vec<Batch>,
    /// The batch that the server works on.
    pub under_way: Option<Batch>,
    /// Batches that the server refused since it last did one.
    refused_in_a_row: u32,
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
    /// `unsure`: the connection on which the mail was read is lost; on another one its UID can mean another mail.
    pub(super) fn add(&mut self, action: Action, mail: Decided, unsure: bool) {
        let new = || New { mails: Vec::new(), due: Instant::now() + AT_LATEST };
        self.new.entry((action, unsure)).or_insert_with(new).mails.push(mail);
    }

    /// What an earlier process left in the journal.
    pub(super) fn restore(&mut self, found: Vec<Pending>) {
        let mut groups: BTreeMap<(Action, bool), Vec<Decided>> = BTreeMap::new();
        for Pending { mail, action, copied } in found {
            groups.entry((action, copied)).or_default().push(mail);
        }
        for ((action, copied), mails) in groups {
            self.doubt_all(&action, if copied { Step::Mark } else { Step::First }, &mails);
        }
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
        self.unsettled().next().is_none()
    }

    /// The same of `mails`, which were decided before all others: where there is one of them in a batch, the first is.
    pub(super) fn is_settled_up_to(&self, mails: &RoaringBitmap) -> bool {
        !self.unsettled().any(|decided| begins_in(mails, decided))
    }

    /// What something is to be done with now.
    fn unsettled(&self) -> impl Iterator<Item = &Vec<Decided>> {
        let now = Instant::now();
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(move |waiting| waiting.refusal.is_none() || waiting.not_before <= now);
        let batches =
            self.unverified.iter().chain(&self.under_way).chain(waiting.map(|waiting| &waiting.batch));
        self.new.values().map(|new| &new.mails).chain(batches.map(|batch| &batch.mails))
    }

    /// Every mail in it.
    pub(super) fn pending(&self) -> impl Iterator<Item = Pending> {
        self.mails().flat_map(|(action, copied, mails)| {
            mails.iter().map(move |&mail| Pending { mail, action: action.clone(), copied })
        })
    }

    /// The mails in it, which must not be handed out again.
    pub(super) fn uids(&self) -> RoaringBitmap {
        self.mails().flat_map(|(_, _, mails)| mails).map(|mail| mail.uid).collect()
    }

    pub(super) fn len(&self) -> u64 {
        self.mails().map(|(_, _, mails)| mails.len() as u64).sum()
    }

    /// With what is to be done with them, and whether they are copied already.
    fn mails(&self) -> impl Iterator<Item = (&Action, bool, &Vec<Decided>)> {
        let batches = self.waiting.iter().map(|waiting| &waiting.batch);
        let batches = batches.chain(&self.unverified).chain(&self.under_way);
        let batches = batches.map(|batch| (&batch.action, batch.is_copied(), &batch.mails));
        self.new.iter().map(|((action, _), new)| (action, false, &new.mails)).chain(batches)
    }

    /// The server is told everything now, also what it refused before.
    pub(super) fn make_due(&mut self) {
        let now = Instant::now();
        self.new.values_mut().for_each(|new| new.due = now);
        self.waiting.iter_mut().for_each(|waiting| waiting.not_before = now);
    }

    /// Those of the decisions whose time has come that are to be compared with the server's mails become
    /// [`unverified`](Self::unverified).
    pub(super) fn doubt_due(&mut self) {
        let now = Instant::now();
        for ((action, unsure), new) in std::mem::take(&mut self.new) {
            if unsure && new.is_due(now) {
                self.doubt_all(&action, Step::First, &new.mails);
            } else {
                self.new.insert((action, unsure), new);
            }
        }
        for Waiting { batch, not_before, refusal } in std::mem::take(&mut self.waiting) {
            if batch.unsure && not_before <= now {
                self.unverified.push(Batch { unsure: false, ..batch });
            } else {
                self.waiting.push_back(Waiting { batch, not_before, refusal });
            }
        }
    }

    /// The next batch whose time has come, and come first: neither new decisions nor repeated refusals can hold up the others.
    /// The caller puts it under way.
    pub(super) fn next_due(&mut self) -> Option<Batch> {
        let now = Instant::now();
        let waiting = self.waiting.iter().enumerate().filter(|(_, waiting)| waiting.not_before <= now);
        let waiting = waiting.min_by_key(|(_, waiting)| waiting.not_before);
        let waiting = waiting.map(|(at, waiting)| (at, waiting.not_before));
        let new = self.new.iter().filter(|((_, unsure), new)| !unsure && new.is_due(now));
        let new = new.min_by_key(|(_, new)| new.due).map(|(key, new)| (key.clone(), new.due));
        if let Some((key, due)) = new
            && waiting.is_none_or(|(_, not_before)| due < not_before)
            && let Some(mut new) = self.new.remove(&key)
        {
            let rest = new.mails.split_off(new.mails.len().min(limits::CHANGE));
            let (action, _) = key.clone();
            if !rest.is_empty() {
                self.new.insert(key, New { mails: rest, ..new });
            }
            return Some(Batch::new(action, new.mails));
        }
        let (at, _) = waiting?;
        self.waiting.remove(at).map(|waiting| waiting.batch)
    }

    /// When [`Decisions::next_due`] will have something, if nothing is added.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let new = self.new.values().map(|new| new.due);
        self.waiting.iter().map(|waiting| waiting.not_before).chain(new).min()
    }

    /// The server said no, after it may have done a part: what is left of it is tried again, with growing pauses.
    pub(super) fn doubted(&mut self, batch: Batch, refusal: Failure) {
        self.unverified.push(Batch { refusal: Some(refusal), ..batch });
    }

    /// These mails are not there any more.
    pub(super) fn gone(&mut self, uids: &RoaringBitmap) {
        for batch in &mut self.unverified {
            let before = batch.mails.len();
            batch.mails.retain(|mail| !uids.contains(mail.uid));
            if batch.mails.len() < before {
                // It may have been for those.
                batch.refusal = None;
            }
        }
        self.unverified.retain(|batch| !batch.mails.is_empty());
    }

    /// Mails of an unverified batch are still there, and the same ones. `fewer`: others of it are not.
    pub(super) fn verified(&mut self, mut batch: Batch, fewer: bool) {
        match batch.refusal.take() {
            // It may have been refused for those.
            Some(refusal) if !fewer => {
                self.refused_in_a_row += 1;
                if batch.mails.len() > 1 && self.refused_in_a_row <= SPLITS {
                    batch.halves().into_iter().for_each(|half| self.again(half));
                } else {
                    self.refused(batch, refusal);
                }
            }
            _ => self.again(batch),
        }
    }

    /// The server has done a batch.
    pub(super) fn succeeded(&mut self) {
        self.refused_in_a_row = 0;
    }

    /// These mails of unverified batches are there, but the server does not say whether they are still the same: they are
    /// compared later.
    pub(super) fn unknown(&mut self, uids: &RoaringBitmap, refusal: &Failure) {
        for mut batch in std::mem::take(&mut self.unverified) {
            let (unknown, known) = batch.mails.iter().partition(|mail| uids.contains(mail.uid));
            let rest = Batch { mails: unknown, unsure: true, ..batch.clone() };
            batch.mails = known;
            if !rest.mails.is_empty() {
                self.refused(rest, refusal.clone());
            }
            if !batch.mails.is_empty() {
                self.unverified.push(batch);
            }
        }
    }

    /// The server said no, and did nothing of it: to be tried again, with growing pauses.
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

    /// The same of `mails`, which were decided before all others.
    pub(super) fn last_refusal_up_to(&self, mails: &RoaringBitmap) -> Option<&Failure> {
        let mut waiting = self.waiting.iter().rev().filter(|waiting| begins_in(mails, &waiting.batch.mails));
        waiting.find_map(|waiting| waiting.refusal.as_ref())
    }

    /// The connection is lost, as `failure` says: nobody knows what was done of what was under way. Where that happens again, it
    /// may be what the server cannot cope with: less of it is sent, and a mail at which it breaks down alone waits.
    pub(super) fn connection_lost(&mut self, failure: &Failure) {
        for ((action, _), new) in std::mem::take(&mut self.new) {
            self.doubt_all(&action, Step::First, &new.mails);
        }
        self.unverified.extend(self.waiting.drain(..).map(|waiting| waiting.batch));
        if let Some(mut batch) = self.under_way.take() {
            batch.lost += 1;
            if batch.lost > 1 && batch.mails.len() > 1 {
                self.unverified.extend(batch.halves());
            } else {
                batch.refusal = (batch.lost > 1).then(|| failure.clone());
                self.unverified.push(batch);
            }
        }
    }

    /// All of it is void.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn doubt_all(&mut self, action: &Action, step: Step, mails: &[Decided]) {
        let batches = mails.chunks(limits::CHANGE);
        let batches = batches.map(|mails| Batch { step, ..Batch::new(action.clone(), mails.to_vec()) });
        self.unverified.extend(batches);
    }
}

fn begins_in(mails: &RoaringBitmap, decided: &[Decided]) -> bool {
    decided.first().is_some_and(|mail| mails.contains(mail.uid))
}

impl New {
    fn is_due(&self, now: Instant) -> bool {
        self.due <= now || self.mails.len() >= limits::CHANGE
    }
}

/// Batches that the server may refuse in a row and that are sent again in halves: one mail of it may be the reason. Where it
/// refuses everything, it is not asked more and more.
const SPLITS: u32 = 4;

/// A decision is told to the server within this time.
const AT_LATEST: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[test]
    fn what_was_to_be_told_first_is_told_first() {
        let mut decisions = Decisions::default();
        let mut next = 0;
        let mut decide = |decisions: &mut Decisions, action: Action, mails: u32| {
            for _ in 0..mails {
                next += 1;
                decisions.add(action.clone(), Decided { uid: next, received: None }, false);
            }
        };
        let old = |decisions: &mut Decisions| {
            decisions.waiting.iter_mut().for_each(|waiting| waiting.not_before -= FIRST_PAUSE);
        };
        decide(&mut decisions, Action::Delete, 1);
        decisions.make_due();
        let refused = decisions.next_due().unwrap();
        decisions.refused(refused, Failure::new(crate::failure::Step::Settle, Kind::Refused, "NO"));
        decide(&mut decisions, Action::MarkSeen, 200);
        // Its time has not come.
        assert_eq!(decisions.next_due().map(|batch| batch.action), Some(Action::MarkSeen));
        // A batch is full at any time.
        old(&mut decisions);
        decide(&mut decisions, Action::MarkSeen, 400);
        assert_eq!(decisions.next_due().map(|batch| batch.action), Some(Action::Delete));
        assert_eq!(decisions.next_due().map(|batch| batch.action), Some(Action::MarkSeen));
    }
}
