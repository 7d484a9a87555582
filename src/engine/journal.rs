//! The engine's side of the journal: what is written, what is on the disk, and what may be told to the server.

use std::time::Duration;

use super::effect::{Durable, Effect};
use super::record::{FileWork, Record, Seq};
use super::time::Time;

/// Follows the journal by its numbers. It never waits.
#[derive(Debug, Default)]
pub(super) struct Journal {
    state: State,
    /// New decisions are written. Otherwise only what an earlier process left is crossed out.
    pub keeps_decisions: bool,
    last: Seq,
    written: Seq,
    synced: Seq,
    sync_asked: Seq,
    /// Nothing before this number counts: the journal is another file, and what it lacks is on its way.
    base: Seq,
    /// When the oldest decision was recorded that nobody has asked to be brought to the disk.
    unsynced: Option<Time>,
    /// When the oldest work was given whose end was not reported.
    unanswered: Option<Time>,
    /// Records since the journal held only what is pending.
    grown: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Off,
    On,
    /// Nothing that was written counts. A rewrite is under way if it is set.
    Broken {
        rewrite: Option<Seq>,
    },
}

impl Journal {
    pub(super) fn is_on(&self) -> bool {
        self.state == State::On
    }

    pub(super) fn is_off(&self) -> bool {
        self.state == State::Off
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self.state, State::Broken { .. })
    }

    /// Says whether work was given whose end was not reported.
    pub(super) fn is_behind(&self) -> bool {
        self.written < self.last || self.synced < self.sync_asked
    }

    /// Lock and journal are held. It has this many pending decisions, and all of it is on the disk.
    pub(super) fn opened(&mut self, pending: u64) {
        self.state = State::On;
        self.unanswered = None;
        (self.written, self.synced, self.sync_asked) = (self.last, self.last, self.last);
        self.grown = pending;
    }

    pub(super) fn turn_off(&mut self) {
        self.unanswered = None;
        self.unsynced = None;
        self.state = State::Off;
    }

    /// Adds a record. Returns the number up to which the journal must be written for it; 0 if nothing is written.
    pub(super) fn add(&mut self, record: Record, now: Time, effects: &mut Vec<Effect>) -> Seq {
        // After a rewrite that is under way, records follow it.
        if !matches!(self.state, State::On | State::Broken { rewrite: Some(_) }) {
            return Seq::default();
        }
        self.last.0 += 1;
        self.grown += 1;
        self.unanswered.get_or_insert(now);
        if matches!(record, Record::Decided { .. }) {
            self.unsynced.get_or_insert(now);
        }
        effects.push(Effect::Files(FileWork::Append { seq: self.last, records: vec![record] }));
        self.last
    }

    /// Replaces everything in the journal.
    pub(super) fn rewrite(&mut self, records: Vec<Record>, now: Time, effects: &mut Vec<Effect>) {
        self.last.0 += 1;
        self.grown = records.len() as u64;
        self.unsynced = None;
        self.unanswered.get_or_insert(now);
        self.sync_asked = self.last;
        if self.is_broken() {
            self.state = State::Broken { rewrite: Some(self.last) };
        }
        effects.push(Effect::Files(FileWork::Rewrite { seq: self.last, records }));
    }

    /// The journal lacks what was decided before: the rewrite that was just asked for brings it.
    pub(super) fn lacks_everything(&mut self) {
        self.base = self.last;
    }

    /// Says whether a rewrite is worth its cost while this many decisions are pending.
    pub(super) fn is_overgrown(&self, pending: u64) -> bool {
        self.state == State::On && (pending == 0 && self.grown > 0 || self.grown > GROWN.max(2 * pending))
    }

    /// Says whether a broken journal can be tried again.
    pub(super) fn wants_rewrite(&self) -> bool {
        self.state == State::Broken { rewrite: None }
    }

    /// Returns the number of the last record.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    pub(super) fn is_written(&self, seq: Seq) -> bool {
        self.state != State::On || self.written >= seq.max(self.base)
    }

    /// Returns the permission to tell the server what is recorded up to `seq`. Otherwise asks for it; the server may be told
    /// when [`Journal::synced`] was called, or when the disk has not answered for [`PATIENCE`].
    pub(super) fn durable(&mut self, seq: Seq, now: Time, effects: &mut Vec<Effect>) -> Option<Durable> {
        if self.state != State::On || self.hangs(PATIENCE, now) {
            return Some(Durable(None));
        }
        let seq = seq.max(self.base);
        if self.synced >= seq {
            return Some(Durable(Some(self.synced)));
        }
        if self.sync_asked < seq {
            self.sync(now, effects);
        }
        None
    }

    /// Brings decisions to the disk that were recorded a while ago, so that a loss of power takes the last ones only.
    pub(super) fn sync_in_time(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.sync_at().is_some_and(|time| time <= now) {
            self.sync(now, effects);
        }
    }

    pub(super) fn sync_at(&self) -> Option<Time> {
        self.unsynced.filter(|_| self.state == State::On).map(|since| since + SYNC_AFTER)
    }

    fn sync(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.unsynced = None;
        self.sync_asked = self.last;
        self.unanswered.get_or_insert(now);
        effects.push(Effect::Files(FileWork::Sync { seq: self.last }));
    }

    /// Says whether work was given this long ago and nothing was heard since.
    pub(super) fn hangs(&self, limit: Duration, now: Time) -> bool {
        self.unanswered.is_some_and(|since| now.since(since) >= limit)
    }

    pub(super) fn hangs_at(&self, limit: Duration) -> Option<Time> {
        self.unanswered.map(|since| since + limit)
    }

    pub(super) fn wrote(&mut self, seq: Seq, now: Time) {
        self.written = self.written.max(seq);
        self.heard(now);
    }

    /// Notes what is on the disk. Returns whether a broken journal works again.
    pub(super) fn synced(&mut self, seq: Seq, now: Time) -> bool {
        self.written = self.written.max(seq);
        self.synced = self.synced.max(seq);
        self.heard(now);
        let mended = matches!(self.state, State::Broken { rewrite: Some(rewrite) } if rewrite <= seq);
        if mended {
            self.state = State::On;
        }
        mended
    }

    /// Nothing after the last report counts.
    pub(super) fn failed(&mut self) {
        self.unsynced = None;
        self.unanswered = None;
        self.state = State::Broken { rewrite: None };
    }

    fn heard(&mut self, now: Time) {
        let outstanding = self.state != State::Off && self.is_behind();
        self.unanswered = outstanding.then_some(now);
    }
}

/// Records that may be crossed out before the journal is written anew: some 4 MB.
const GROWN: u64 = 40_000;

/// A decision is brought to the disk within this time, if nothing asks for it before.
const SYNC_AFTER: Duration = Duration::from_millis(100);

/// How long a change waits for a disk that does not answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
