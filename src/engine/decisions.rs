//! Decisions that are not carried out on the server.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::problem::Problem;
use super::record::{Action, Copy, Identity, Mark, Pending, Record, Seq};
use super::time::Time;
use crate::imap::session::Capabilities;
use crate::imap::uids::{Uid, UidSet, UidValidity};

/// One message that was decided about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decided {
    pub uid: Uid,
    pub identity: Identity,
    /// The journal holds the decision when it is written up to here.
    pub seq: Seq,
    /// RFC822.SIZE, if the server was asked.
    pub size: Option<u64>,
    /// What the server said last, for records of version 1, which have none.
    pub mark: Mark,
}

impl Decided {
    pub(super) fn new(uid: Uid, identity: Identity, seq: Seq) -> Self {
        Self { uid, identity, seq, size: None, mark: Mark::Unknown }
    }

    /// Returns by what a copy of the message is recognised.
    pub(super) fn mark(&self) -> Mark {
        if self.identity.mark.is_unknown() { self.mark } else { self.identity.mark }
    }
}

/// Messages with the same action, and how far the server has got with them.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub action: Action,
    pub messages: Vec<Decided>,
    pub step: Step,
    pub copy: Copy,
    /// The folder was created after the server had said that there is none.
    pub created: bool,
    /// The messages are to be recognised before the batch is sent.
    pub unverified: bool,
    /// The messages were recognised on this connection, on which their UIDs keep their meaning.
    pub known: bool,
    /// Connections that were lost while the batch was under way.
    pub losses: u32,
    pub refusals: u32,
    /// "Not now" was answered to it, and it is repeated as it was.
    pub postponed: bool,
    /// The last refusal, while it is not known how much was done nevertheless.
    pub refusal: Option<Problem>,
    /// It had no effect on this connection and waits for the next one.
    pub on_next_link: Option<u64>,
}

/// The commands of a batch, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// MOVE, COPY, or the only one.
    First,
    /// `\Deleted`, after COPY.
    Mark,
    /// UID EXPUNGE, after `\Deleted`.
    Expunge,
}

impl Batch {
    pub(super) fn new(action: Action, messages: Vec<Decided>) -> Self {
        Self {
            action,
            messages,
            step: Step::First,
            copy: Copy::NotSent,
            created: false,
            unverified: false,
            known: false,
            losses: 0,
            refusals: 0,
            postponed: false,
            refusal: None,
            on_next_link: None,
        }
    }

    pub(super) fn uids(&self) -> UidSet {
        self.messages.iter().map(|message| message.uid).collect()
    }

    pub(super) fn seq(&self) -> Seq {
        self.messages.iter().map(|message| message.seq).max().unwrap_or_default()
    }

    pub(super) fn folder(&self) -> Option<&String> {
        match &self.action {
            Action::Move(folder) => Some(folder),
            Action::Delete | Action::MarkSeen => None,
        }
    }

    /// Returns the step after the one that the server has just done; `None` at the end.
    pub(super) fn next_step(&self, capabilities: Capabilities) -> Option<Step> {
        let expunge = capabilities.uidplus.then_some(Step::Expunge);
        match (self.step, &self.action) {
            (Step::First, Action::Move(_)) if !capabilities.r#move => Some(Step::Mark),
            (Step::First, Action::Delete) | (Step::Mark, _) => expunge,
            _ => None,
        }
    }

    /// Moves the messages of `uids` into a batch of their own; `None` if there are none.
    pub(super) fn split_off(&mut self, uids: &UidSet) -> Option<Batch> {
        let (taken, kept) = self.messages.iter().partition(|message| uids.contains(message.uid));
        self.messages = kept;
        let batch = Batch { messages: taken, ..self.clone() };
        (!batch.messages.is_empty()).then_some(batch)
    }

    fn halves(mut self) -> [Batch; 2] {
        let messages = self.messages.split_off(self.messages.len() / 2);
        [self.clone(), Batch { messages, ..self }]
    }
}

/// Everything that was decided and is not done.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    /// Not in a batch yet, by action; separate if they are to be recognised first.
    new: BTreeMap<(Action, bool), New>,
    /// To be sent again, at once or later.
    waiting: VecDeque<Waiting>,
    /// To be recognised before they are sent: the connection was lost, the server refused, or the process was killed.
    pub unverified: Vec<Batch>,
    /// COPY was sent, and its effect is to be looked up in the target.
    pub uncertain_copies: Vec<Batch>,
    /// The one of them whose target is looked at.
    pub copying: Option<Batch>,
    /// Answered with OK; whether the messages are gone is to be asked.
    pub unproven: Vec<Batch>,
    /// The batch that the server works on, or that waits for the journal.
    pub under_way: Option<Batch>,
    /// Batches that the server refused since it last did one.
    refused_in_a_row: u32,
    count: u64,
    /// The number of the connection in use.
    pub link: u64,
}

#[derive(Debug)]
struct New {
    messages: Vec<Decided>,
    /// The time by which the server is told.
    due: Time,
}

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    not_before: Time,
    refusal: Option<Problem>,
}

impl Decisions {
    pub(super) fn add(&mut self, action: Action, message: Decided, unverified: bool, now: Time) {
        let new = || New { messages: Vec::new(), due: now + AT_LATEST };
        self.new.entry((action, unverified)).or_insert_with(new).messages.push(message);
        self.count += 1;
    }

    /// Adds what an earlier process left.
    pub(super) fn restore(&mut self, pending: Vec<Pending>) {
        let mut groups: BTreeMap<(Action, String), (Copy, Vec<Decided>)> = BTreeMap::new();
        for Pending { uid, identity, action, copy, .. } in pending {
            let message = Decided::new(uid, identity, Seq::default());
            let group = groups.entry((action, format!("{copy:?}"))).or_insert((copy, Vec::new()));
            group.1.push(message);
            self.count += 1;
        }
        for ((action, _), (copy, messages)) in groups {
            let step = if copy == Copy::Done { Step::Mark } else { Step::First };
            self.verify_all(&action, step, copy, &messages, CHUNK);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets everything, since all of it is void.
    pub(super) fn clear(&mut self) {
        *self = Self { link: self.link, ..Self::default() };
    }

    /// Counts messages as done or void.
    pub(super) fn forget(&mut self, messages: usize) {
        self.count -= messages as u64;
    }

    /// Says whether nothing is to be done on the server now. Batches that were refused may wait for their time.
    pub(super) fn is_quiet(&self, now: Time) -> bool {
        self.active(now).next().is_none()
    }

    /// Says the same of these messages.
    pub(super) fn is_quiet_for(&self, uids: &UidSet, now: Time) -> bool {
        !self.active(now).any(|messages| messages.iter().any(|message| uids.contains(message.uid)))
    }

    /// Iterates over the messages with which something is to be done now.
    fn active(&self, now: Time) -> impl Iterator<Item = &Vec<Decided>> {
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(move |waiting| {
            (waiting.refusal.is_none() || waiting.not_before <= now)
                && waiting.batch.on_next_link != Some(self.link)
        });
        let batches = self.lists().chain(waiting.map(|waiting| &waiting.batch));
        self.new.values().map(|new| &new.messages).chain(batches.map(|batch| &batch.messages))
    }

    fn lists(&self) -> impl Iterator<Item = &Batch> {
        let lists = self.unverified.iter().chain(&self.uncertain_copies).chain(&self.unproven);
        lists.chain(&self.copying).chain(&self.under_way)
    }

    pub(super) fn uids(&self) -> UidSet {
        let batches = self.lists().chain(self.waiting.iter().map(|waiting| &waiting.batch));
        let messages = self.new.values().map(|new| &new.messages).chain(batches.map(|batch| &batch.messages));
        messages.flatten().map(|message| message.uid).collect()
    }

    /// Returns everything as records of the journal.
    pub(super) fn records(&self, uid_validity: UidValidity) -> Vec<Record> {
        let mut records = Vec::new();
        let decided = |action: &Action, message: &Decided| Record::Decided {
            uid_validity,
            uid: message.uid,
            identity: message.identity,
            action: action.clone(),
        };
        for ((action, _), new) in &self.new {
            records.extend(new.messages.iter().map(|message| decided(action, message)));
        }
        for batch in self.lists().chain(self.waiting.iter().map(|waiting| &waiting.batch)) {
            records.extend(batch.messages.iter().map(|message| decided(&batch.action, message)));
            let uids: Vec<Uid> = batch.messages.iter().map(|message| message.uid).collect();
            match batch.copy {
                Copy::NotSent => {}
                Copy::Sent(target) => records.push(Record::Copying { uid_validity, uids, target }),
                Copy::Done => records.push(Record::Copied { uid_validity, uids }),
            }
        }
        records
    }

    /// Makes everything due now, also what the server refused before.
    pub(super) fn make_due(&mut self, now: Time) {
        self.new.values_mut().for_each(|new| new.due = now);
        self.waiting.iter_mut().for_each(|waiting| waiting.not_before = now);
    }

    /// Moves those decisions whose time has come and that are to be recognised first to
    /// [`unverified`](Self::unverified).
    pub(super) fn verify_due(&mut self, size: usize, now: Time) {
        for ((action, unverified), new) in std::mem::take(&mut self.new) {
            if unverified && new.is_due(size, now) {
                self.verify_all(&action, Step::First, Copy::NotSent, &new.messages, size);
            } else {
                self.new.insert((action, unverified), new);
            }
        }
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.batch.unverified && waiting.not_before <= now {
                self.unverified.push(Batch { unverified: false, ..waiting.batch });
            } else {
                self.waiting.push_back(waiting);
            }
        }
    }

    /// Takes the next batch whose time has come, the one that has waited longest. Neither new decisions nor repeated
    /// refusals can hold up the others.
    pub(super) fn next_due(&mut self, size: usize, now: Time) -> Option<Batch> {
        let waiting = self.waiting.iter().enumerate();
        let ready = waiting.filter(|(_, waiting)| {
            waiting.not_before <= now && waiting.batch.on_next_link != Some(self.link)
        });
        let waiting = ready.min_by_key(|(_, waiting)| waiting.not_before);
        let waiting = waiting.map(|(at, waiting)| (at, waiting.not_before));
        let new = self.new.iter().filter(|((_, unverified), new)| !unverified && new.is_due(size, now));
        let new = new.min_by_key(|(_, new)| new.due).map(|(key, new)| (key.clone(), new.due));
        if let Some((key, due)) = new
            && waiting.is_none_or(|(_, not_before)| due < not_before)
            && let Some(mut new) = self.new.remove(&key)
        {
            let rest = new.messages.split_off(new.messages.len().min(size));
            let (action, _) = key.clone();
            if !rest.is_empty() {
                self.new.insert(key, New { messages: rest, ..new });
            }
            return Some(Batch::new(action, new.messages));
        }
        let (at, not_before) = waiting?;
        let mut batch = self.waiting.remove(at)?.batch;
        if batch.messages.len() > size {
            let rest = batch.messages.split_off(size);
            let rest = Batch { messages: rest, ..batch.clone() };
            self.waiting.push_back(Waiting { batch: rest, not_before, refusal: None });
        }
        Some(batch)
    }

    /// Says when [`Decisions::next_due`] or [`Decisions::verify_due`] will have something.
    pub(super) fn next_time(&self) -> Option<Time> {
        let new = self.new.values().map(|new| new.due);
        let waiting = self.waiting.iter().filter(|waiting| waiting.batch.on_next_link != Some(self.link));
        waiting.map(|waiting| waiting.not_before).chain(new).min()
    }

    /// Says when a batch is due that waits for another connection than this one.
    pub(super) fn next_link_time(&self) -> Option<Time> {
        let waiting = self.waiting.iter().filter(|waiting| waiting.batch.on_next_link == Some(self.link));
        waiting.map(|waiting| waiting.not_before).min()
    }

    /// Sends a batch at the next opportunity.
    pub(super) fn again(&mut self, batch: Batch, now: Time) {
        self.waiting.push_back(Waiting { batch, not_before: now, refusal: None });
    }

    /// Sends a batch after a growing pause.
    pub(super) fn refused(&mut self, mut batch: Batch, refusal: Problem, now: Time) {
        let pause = FIRST_PAUSE.saturating_mul(1 << batch.refusals.min(16)).min(LONGEST_PAUSE);
        batch.refusals += 1;
        self.waiting.push_back(Waiting { batch, not_before: now + pause, refusal: Some(refusal) });
    }

    /// Takes note that the messages of a batch are still there, and are the same. `fewer`: others of it are not.
    pub(super) fn verified(&mut self, mut batch: Batch, fewer: bool, now: Time) {
        match batch.refusal.take() {
            // The others may have been the reason for the refusal.
            Some(refusal) if !fewer => {
                self.refused_in_a_row += 1;
                if batch.messages.len() > 1 && self.refused_in_a_row <= SPLITS {
                    batch.halves().into_iter().for_each(|half| self.again(half, now));
                } else {
                    self.refused(batch, refusal, now);
                }
            }
            _ => self.again(batch, now),
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.refused_in_a_row = 0;
    }

    /// Returns the last refusal of a batch that waits.
    pub(super) fn last_refusal(&self) -> Option<&Problem> {
        self.waiting.iter().rev().find_map(|waiting| waiting.refusal.as_ref())
    }

    /// Returns the last refusal of a batch with one of these messages.
    pub(super) fn last_refusal_of(&self, uids: &UidSet) -> Option<&Problem> {
        let of = |waiting: &&Waiting| waiting.batch.messages.iter().any(|message| uids.contains(message.uid));
        self.waiting.iter().rev().filter(of).find_map(|waiting| waiting.refusal.as_ref())
    }

    /// The connection is lost: everything is to be recognised on the next one. Of the batch under way it is not known how
    /// much was done.
    pub(super) fn connection_lost(&mut self, problem: Option<&Problem>, size: usize) {
        for ((action, _), new) in std::mem::take(&mut self.new) {
            self.verify_all(&action, Step::First, Copy::NotSent, &new.messages, size);
        }
        // Pauses go on.
        for waiting in &mut self.waiting {
            let batch = &mut waiting.batch;
            (batch.unverified, batch.known, batch.on_next_link) = (true, false, None);
        }
        self.unverified.append(&mut self.unproven);
        self.unverified.append(&mut self.uncertain_copies);
        self.unverified.extend(self.copying.take());
        if let Some(mut batch) = self.under_way.take() {
            batch.losses += 1;
            if batch.losses > 1 && batch.messages.len() > 1 {
                self.unverified.extend(batch.halves());
            } else {
                batch.refusal = problem.filter(|_| batch.losses > 1).cloned();
                self.unverified.push(batch);
            }
        }
        self.unverified.iter_mut().for_each(|batch| batch.known = false);
    }

    fn verify_all(&mut self, action: &Action, step: Step, copy: Copy, messages: &[Decided], size: usize) {
        let batches = messages.chunks(size.max(1));
        let batch =
            |messages: &[Decided]| Batch { step, copy, ..Batch::new(action.clone(), messages.to_vec()) };
        self.unverified.extend(batches.map(batch));
    }
}

impl New {
    fn is_due(&self, size: usize, now: Time) -> bool {
        self.due <= now || self.messages.len() >= size
    }
}

/// Batches in a row that the server may refuse and that are then sent in halves: one message may be the reason. A server
/// that refuses everything is not asked more and more.
const SPLITS: u32 = 4;

/// The server is told of a decision within this time.
const AT_LATEST: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Messages of one batch that an earlier process left.
const CHUNK: usize = crate::imap::limits::CHANGE;
