//! Lock and journal: who may change the mailbox, and what an earlier process left.

use super::effect::{Effect, Report};
use super::problem::Problem;
use super::record::{FileEvent, FileWork, Found, Pending, Record, Seq};
use super::{Engine, journal};
use crate::failure::{Failure, Kind, Step};
use crate::imap::uids::UidValidity;
use crate::message;

/// Whether this reader has the mailbox.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Claim {
    None,
    Asked,
    Held,
    /// It is asked whether lock and journal are still there.
    Checked,
    /// Lock or journal cannot be had: the mailbox works without them.
    Without(Failure),
}

impl Claim {
    /// Says whether messages may be changed.
    pub(super) fn allows_changes(&self) -> bool {
        matches!(self, Claim::Held | Claim::Checked | Claim::Without(_))
    }

    /// Says whether lock and journal are known to be held. Without them each call tries again.
    pub(super) fn is_decided(&self) -> bool {
        *self == Claim::Held
    }
}

impl Engine {
    pub(super) fn ask_for_claim(&mut self) {
        let next = match self.claim {
            Claim::Asked | Claim::Checked => return,
            Claim::Held => Claim::Checked,
            Claim::None | Claim::Without(_) => Claim::Asked,
        };
        self.claim = next;
        self.effects.push(Effect::Files(FileWork::Claim));
    }

    pub(super) fn file_event(&mut self, event: FileEvent) {
        match event {
            FileEvent::Claimed(found) => self.claimed(found),
            FileEvent::StillClaimed => {
                self.claim = Claim::Held;
                self.mend_journal();
                self.claim_answered(None);
            }
            FileEvent::Busy(failure) => {
                self.claim = Claim::None;
                self.journal.turn_off();
                let problem = Problem::Failed(failure);
                self.lost_claim(&problem);
                self.claim_answered(Some(&problem));
            }
            FileEvent::Unavailable(failure) => self.unavailable(failure),
            FileEvent::Written(seq) => {
                self.journal.wrote(seq, self.now);
                self.journal_answers();
            }
            FileEvent::Synced(seq) => {
                if self.journal.synced(seq, self.now) {
                    (self.journal_problem, self.journal_hangs) = (None, None);
                    self.report(Report::JournalWorks);
                }
                // Work is done in order: what was void before is kept by now, or cannot be.
                self.report_void();
                self.journal_answers();
            }
            FileEvent::Failed(failure) => {
                self.journal_hangs = None;
                self.journal.failed();
                self.journal_failed(failure, false);
            }
            FileEvent::Gone(failure) => {
                self.journal.failed();
                self.report(Report::Oddity(failure));
                self.claim = Claim::Asked;
                self.effects.push(Effect::Files(FileWork::Claim));
            }
            FileEvent::VoidKept(path) => {
                if let Some(Problem::DecisionsVoid { kept_in, .. }) = &mut self.unkept {
                    *kept_in = Some(path);
                }
                self.report_void();
            }
            FileEvent::VoidNotKept(failure) => {
                self.report(Report::Oddity(failure));
                self.report_void();
            }
        }
    }

    /// Lock and journal are ours.
    fn claimed(&mut self, found: Found) {
        let first = self.journal.is_off();
        self.claim = Claim::Held;
        self.journal_hangs = None;
        if found.damaged > 0 {
            self.report(Report::Damaged { records: found.damaged });
        }
        for oddity in found.oddities {
            self.report(Report::Oddity(oddity));
        }
        if let Some(size) = found.batch_size {
            self.batch_size.learnt(size);
        }
        let had_none = self.journal_problem.take().is_some();
        // Work that was given before may still be done, and change what was found.
        let behind = self.journal.is_behind();
        if self.settings.journal || !found.pending.is_empty() {
            self.journal.opened(found.pending.len() as u64);
        }
        self.journal.keeps_decisions = self.settings.journal;
        if !self.settings.directory && self.settings.journal && first {
            self.journal.turn_off();
            self.report(Report::NoDirectory);
        } else if had_none {
            self.report(Report::JournalWorks);
        }
        self.take_over(found.pending, behind);
        self.claim_answered(None);
    }

    /// Takes over what an earlier process left. The journal is to hold that and what was decided here without it. `behind`: it
    /// may come to hold less.
    fn take_over(&mut self, mut pending: Vec<Pending>, behind: bool) {
        let found = pending.len();
        let current = self.uid_validity;
        // A message that was decided about here may be done already.
        pending
            .retain(|pending| Some(pending.uid_validity) != current || !self.decided.contains(pending.uid));
        if !pending.is_empty() {
            self.report(Report::Inherited { messages: pending.len() as u64 });
        }
        let known = |old: &Pending| {
            pending.iter().any(|new| (new.uid_validity, new.uid) == (old.uid_validity, old.uid))
        };
        // The journal is another file, and no connection was made since an older one was read.
        let mut older = std::mem::take(&mut self.inherited);
        older.retain(|old| !known(old));
        let differs = behind || !self.decisions.is_empty() || pending.len() < found || !older.is_empty();
        older.append(&mut pending);
        self.inherited = older;
        if let Some(current) = current {
            self.restore_inherited(current);
        }
        if differs {
            self.rewrite_journal();
            self.journal.lacks_everything();
        }
    }

    /// The UIDVALIDITY of the mailbox is known: what was decided under it is carried out, the rest is void.
    pub(super) fn restore_inherited(&mut self, current: UidValidity) {
        let inherited = std::mem::take(&mut self.inherited);
        let (valid, void): (Vec<_>, Vec<_>) =
            inherited.into_iter().partition(|pending| pending.uid_validity == current);
        for pending in &valid {
            // Neither delivered from now on, nor settled again if it was.
            self.decided.insert(pending.uid);
            self.delivered.remove(&pending.uid);
        }
        self.decisions.restore(valid);
        if let Some(before) = void.first().map(|pending| pending.uid_validity) {
            let records = void.iter().map(|pending| Record::Decided {
                uid_validity: pending.uid_validity,
                uid: pending.uid,
                identity: pending.identity,
                action: pending.action.clone(),
            });
            self.make_void(records.collect(), before, current);
        }
    }

    /// Decisions under another UIDVALIDITY cannot be carried out. They are kept aside for the administrator.
    pub(super) fn make_void(&mut self, records: Vec<Record>, before: UidValidity, now: UidValidity) {
        let messages =
            records.iter().filter(|record| matches!(record, Record::Decided { .. })).count() as u64;
        self.unkept = Some(Problem::DecisionsVoid { before, now, messages, kept_in: None });
        if self.journal.is_on() {
            self.effects.push(Effect::Files(FileWork::KeepVoid { records }));
            self.rewrite_journal();
        } else {
            self.report_void();
        }
    }

    fn report_void(&mut self) {
        if let Some(void) = self.unkept.take() {
            self.void = Some(void.clone());
            self.report(Report::DecisionsVoid(void));
        }
    }

    pub(super) fn rewrite_journal(&mut self) {
        let mut records = self.uid_validity.map(|now| self.decisions.records(now)).unwrap_or_default();
        records.extend(self.inherited.iter().flat_map(|pending| {
            let Pending { uid_validity, uid, identity, action, copy } = pending.clone();
            let copy = match copy {
                super::record::Copy::NotSent => None,
                super::record::Copy::Sent(target) => {
                    Some(Record::Copying { uid_validity, uids: vec![uid], target })
                }
                super::record::Copy::Done => Some(Record::Copied { uid_validity, uids: vec![uid] }),
            };
            [Record::Decided { uid_validity, uid, identity, action }].into_iter().chain(copy)
        }));
        self.journal.rewrite(records, self.now, &mut self.effects);
    }

    fn unavailable(&mut self, failure: Failure) {
        let unlocked = !matches!(self.claim, Claim::Without(_));
        self.claim = Claim::Without(failure.clone());
        self.journal_hangs = None;
        self.journal.turn_off();
        self.journal_failed(failure, unlocked);
        self.claim_answered(None);
    }

    /// The directory does not answer: the mailbox works without it.
    pub(super) fn claim_hangs(&mut self) {
        let failure = Failure::own(Step::Storage, Kind::Storage, message!(DirectorySilent));
        if self.claim == Claim::Checked {
            self.claim = Claim::Held;
            self.journal_failed(failure, false);
            return self.claim_answered(None);
        }
        self.unavailable(failure);
    }

    /// Another reader has the mailbox, after this one had it: what is under way ends.
    fn lost_claim(&mut self, problem: &Problem) {
        self.fail_flushes(problem);
        if self.progress.is_some() {
            self.end_fetch(Err(problem.clone()));
        }
    }

    fn journal_failed(&mut self, failure: Failure, unlocked: bool) {
        if self.journal_problem.is_none() {
            self.report(Report::JournalFailed { failure: failure.clone(), unlocked });
        }
        self.journal_problem = Some(Problem::Failed(failure));
    }

    /// Tries a broken journal again.
    pub(super) fn mend_journal(&mut self) {
        if self.journal.wants_rewrite() && self.claim.allows_changes() {
            self.rewrite_journal();
        }
    }

    /// Notes that a disk that was slow has answered.
    fn journal_answers(&mut self) {
        if self.journal_hangs.is_some_and(|seq| self.journal.is_written(seq)) {
            self.journal_hangs = None;
            if self.journal.is_on() {
                self.journal_problem = None;
                self.report(Report::JournalWorks);
            }
        }
    }

    /// Notes that the disk has not answered for a second: callers do not wait for it any more.
    pub(super) fn notice_hanging_journal(&mut self) {
        let hangs = self.journal.hangs(super::calls::WRITE, self.now);
        if hangs || self.settle_waits(super::calls::WRITE) {
            self.do_not_wait_for_journal();
        }
    }

    /// Notes at the end that decisions are not written down.
    pub(super) fn note_unwritten(&mut self) {
        if self.settle_waits(std::time::Duration::ZERO) {
            self.do_not_wait_for_journal();
        }
    }

    fn do_not_wait_for_journal(&mut self) {
        if self.journal_hangs.is_some() || !self.journal.is_on() {
            return;
        }
        self.journal_hangs = Some(self.journal.last());
        let failure = Failure::own(Step::Storage, Kind::Storage, message!(JournalSilent));
        self.journal_problem = Some(Problem::Failed(failure));
        self.report(Report::JournalHangs);
    }

    /// Crosses messages out in the journal that are not among the decisions any more.
    pub(super) fn cross_out(&mut self, uids: &crate::imap::uids::UidSet) {
        let Some(uid_validity) = self.uid_validity else { return };
        if self.journal.is_broken() {
            return self.mend_journal();
        }
        if self.journal.is_overgrown(self.pending()) {
            return self.rewrite_journal();
        }
        let uids: Vec<_> = uids.iter().collect();
        for uids in uids.chunks(crate::imap::limits::CHANGE) {
            let record = Record::Done { uid_validity, uids: uids.to_vec() };
            self.journal.add(record, self.now, &mut self.effects);
        }
    }

    /// Records something about messages that are pending. Returns the number up to which it must be on the disk.
    pub(super) fn record(&mut self, record: Record) -> Seq {
        self.journal.add(record, self.now, &mut self.effects)
    }

    pub(super) fn journal_timer(&self) -> Option<super::Time> {
        let hanging = self
            .journal
            .hangs_at(super::calls::WRITE)
            .filter(|_| self.journal_hangs.is_none() && self.journal.is_on());
        let patience = self.journal.hangs_at(journal::PATIENCE);
        let patience = patience.filter(|time| self.waiting_change.is_some() && *time > self.now);
        hanging.into_iter().chain(patience).chain(self.journal.sync_at()).min()
    }
}

#[cfg(test)]
mod tests;
