//! How many messages the server can change with one command, as far as it was learnt.

use super::effect::{Effect, Report};
use super::problem::Problem;
use super::record::FileWork;
use super::{Engine, Purpose};
use crate::imap::limits;

/// Servers cut the connection at bulk changes of more messages than they like. Their number is not known; the one that worked
/// last is.
#[derive(Debug)]
pub(super) struct BatchSize {
    now: u16,
    /// Connections lost in a row at a change.
    cuts: u32,
    /// Full batches since the size was changed.
    successes: u32,
}

impl BatchSize {
    pub(super) fn new(learnt: Option<u16>) -> Self {
        let mut size = Self { now: LARGEST, cuts: 0, successes: 0 };
        if let Some(learnt) = learnt {
            size.learnt(learnt);
        }
        size
    }

    pub(super) fn now(&self) -> usize {
        usize::from(self.now)
    }

    /// Takes over what an earlier process learnt.
    pub(super) fn learnt(&mut self, size: u16) {
        self.now = size.clamp(1, LARGEST);
    }

    /// The connection was lost at a change of this many messages. Returns a smaller size when that repeats: one connection can
    /// be lost for another reason.
    pub(super) fn cut(&mut self, messages: usize) -> Option<u16> {
        self.cuts += 1;
        if self.cuts < 2 || messages <= 1 {
            return None;
        }
        let below = messages.min(self.now());
        let next = SIZES.into_iter().find(|size| usize::from(*size) < below)?;
        (self.now, self.cuts, self.successes) = (next, 0, 0);
        Some(next)
    }

    /// The server has changed this many messages. Returns a larger size that is worth a try, rarely.
    pub(super) fn succeeded(&mut self, messages: usize) -> Option<u16> {
        if messages < self.now() {
            return None;
        }
        self.cuts = 0;
        self.successes += 1;
        if self.now == LARGEST || self.successes < ENOUGH {
            return None;
        }
        let next = SIZES.into_iter().rev().find(|size| *size > self.now)?;
        (self.now, self.successes) = (next, 0);
        Some(next)
    }
}

impl Engine {
    pub(super) fn learn_batch_size(&mut self, problem: &Problem) {
        let changing = self
            .session()
            .is_some_and(|session| session.in_flight.iter().any(|(_, purpose)| *purpose == Purpose::Change));
        let messages = self.decisions.under_way.as_ref().map_or(0, |batch| batch.messages.len());
        if !changing || !matches!(problem, Problem::Failed(_)) {
            return;
        }
        if let Some(size) = self.batch_size.cut(messages) {
            self.report(Report::BatchSize(size));
            self.keep_batch_size(size);
        }
    }

    pub(super) fn batch_succeeded(&mut self, messages: usize) {
        if let Some(size) = self.batch_size.succeeded(messages) {
            self.keep_batch_size(size);
        }
    }

    fn keep_batch_size(&mut self, size: u16) {
        self.history.batch_size = Some(size);
        if self.claim.allows_changes() && self.settings.directory {
            self.effects.push(Effect::Files(FileWork::KeepBatchSize(size)));
        }
    }
}

const LARGEST: u16 = limits::CHANGE as u16;

/// The sizes that are tried.
const SIZES: [u16; 8] = [LARGEST, 100, 50, 25, 12, 6, 3, 1];

/// Full batches after which a larger one is tried.
const ENOUGH: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_lowered_when_a_cut_repeats_and_raised_rarely() {
        let mut size = BatchSize::new(None);
        assert_eq!((size.cut(200), size.succeeded(200), size.cut(200)), (None, None, None));
        assert_eq!((size.cut(200), size.now()), (Some(100), 100));
        assert_eq!((size.cut(40), size.cut(40)), (None, Some(25)));
        let raised = (0..ENOUGH).filter_map(|_| size.succeeded(25)).collect::<Vec<_>>();
        assert_eq!((raised, size.now()), (vec![50], 50));
        assert_eq!((0..ENOUGH).filter_map(|_| size.succeeded(10)).count(), 0, "small batches prove nothing");
    }

    #[test]
    fn a_learnt_size_is_kept_within_its_bounds() {
        assert_eq!(BatchSize::new(Some(0)).now(), 1);
        assert_eq!(BatchSize::new(Some(9_999)).now(), 200);
        assert_eq!(BatchSize::new(Some(50)).now(), 50);
    }
}
