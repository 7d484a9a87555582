//! Answers the driver's questions.

use super::input::{FetchId, Placement};
use super::time::Time;
use super::{Engine, Facts, History, Phase};

impl Engine {
    /// Says when an [`Input::Timer`] is needed if nothing else happens.
    pub fn next_timer(&self) -> Option<Time> {
        let closing = match self.phase {
            Phase::Open => None,
            Phase::Closing { until } => Some(until),
            Phase::Closed => return None,
        };
        let times = [
            closing,
            self.calls_timer(),
            self.journal_timer(),
            self.link_timer(),
            self.pause_until.filter(|until| *until > self.now),
            self.decisions_timer(),
        ];
        times.into_iter().flatten().min()
    }

    /// Says where a message of this size is to be put whose octets are about to come.
    pub fn placement(&self, octets: u64) -> Placement {
        self.queue.buffered.placement(octets, self.settings.buffer)
    }

    pub fn facts(&self) -> Facts<'_> {
        Facts {
            history: &self.history,
            trouble: self
                .progress
                .as_ref()
                .and_then(|progress| progress.trouble.as_ref())
                .map(|(since, why)| (*since, why)),
            pending: self.pending(),
            refusal: self.decisions.last_refusal(),
            journal: self.journal_problem.as_ref(),
            counters: self.counters,
        }
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    /// Says whether the credential in use was refused.
    pub fn has_refused_credentials(&self) -> bool {
        self.refused_credentials
    }

    /// Returns the number of decisions that are not carried out.
    pub fn pending(&self) -> u64 {
        self.decisions.len() + self.inherited.len() as u64
    }

    /// Returns the commands in flight and the octets that are buffered or reserved, for the simulator.
    pub fn load(&self) -> (usize, usize) {
        let reserved = self.progress.as_ref().map_or(0, |progress| progress.reserved);
        (self.in_flight(), self.queue.buffered.octets + reserved)
    }

    /// Returns the number of messages that a fetch has found; `None` if a newer one has begun.
    pub fn found_by(&self, fetch: FetchId) -> Option<u64> {
        (fetch == self.fetch.id).then_some(self.fetch.found)
    }

    /// Says whether the work directory does not answer.
    pub fn is_waiting_for_files(&self) -> bool {
        self.journal_hangs.is_some()
    }
}
