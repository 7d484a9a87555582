//! What is done now: connecting, and the next commands.

use super::link::Link;
use super::progress::FetchProgress;
use super::time::Time;
use super::{Effect, Engine, Phase, settle};

impl Engine {
    pub(super) fn decisions_timer(&self) -> Option<Time> {
        if self.decisions.is_empty() {
            return None;
        }
        let later = |time: &Time| *time > self.now;
        let next = self.decisions.next_time().filter(later);
        let link = self.decisions.next_link_time().filter(later);
        let unproven = self.unproven_since.map(|since| since + settle::PROVE_AFTER).filter(later);
        next.into_iter().chain(link).chain(unproven).min()
    }

    /// Acts on limits that were reached.
    pub(super) fn act_on_time(&mut self) {
        if self.pause_until.is_some_and(|until| until <= self.now) {
            self.pause_until = None;
        }
        self.journal.sync_in_time(self.now, &mut self.effects);
        self.notice_hanging_journal();
        self.give_up_claim();
        self.lose_patience();
        if let Phase::Closing { until } = self.phase
            && until <= self.now
        {
            self.stop();
        }
    }

    /// Does everything that can be done now.
    pub(super) fn plan(&mut self) {
        let closing = matches!(self.phase, Phase::Closing { .. });
        if closing {
            self.progress = None;
            if self.decisions.is_quiet(self.now) {
                return self.stop();
            }
        } else {
            self.begin_requested_fetch();
        }
        if self.leaves_alone() || self.pause_until.is_some() {
            return;
        }
        match self.link {
            Link::Down => self.connect_if_needed(closing),
            Link::Connecting => {}
            Link::Up(_) => {
                self.send_all();
                if matches!(self.link, Link::Down) && self.phase != Phase::Closed {
                    self.connect_if_needed(closing);
                }
            }
        }
    }

    fn connect_if_needed(&mut self, closing: bool) {
        if !self.settings.read_only && !self.claim.allows_changes() {
            return;
        }
        let rest = self.not_before.filter(|time| *time > self.now);
        let wanted = (self.calls.flushes() || closing) && !self.decisions.is_quiet(self.now);
        let fetch = self.progress.is_some();
        let due = !self.decisions.unverified.is_empty()
            || self.decisions.next_time().is_some_and(|time| time <= self.now)
            || self.decisions.next_link_time().is_some_and(|time| time <= self.now)
            || !self.inherited.is_empty() && self.calls.flushes();
        let inherited = !self.inherited.is_empty() && (self.calls.flushes() || closing);
        if wanted || inherited || (fetch || due) && rest.is_none() {
            self.not_before = None;
            self.link = Link::Connecting;
            self.effects.push(Effect::Connect);
        }
    }

    /// Sends commands as long as there are some and the pipeline has room.
    fn send_all(&mut self) {
        if self.make_folders() {
            return;
        }
        self.worked();
        while self.send_one() {}
        if self.session().is_none() {
            return;
        }
        if self.in_flight() == 0 && self.progress.as_ref().is_some_and(FetchProgress::is_over) {
            self.end_fetch(Ok(()));
            while self.send_one() {}
        }
        if self.changes_connection() {
            return;
        }
        if matches!(self.phase, Phase::Closing { .. }) && self.decisions.is_quiet(self.now) {
            self.stop();
        }
    }

    /// Sends the next command. Returns whether one was sent.
    fn send_one(&mut self) -> bool {
        let exclusive = self.progress.as_ref().is_some_and(FetchProgress::is_exclusive);
        let depth = if exclusive || self.comparison.proving { 1 } else { self.pipeline.depth() };
        if self.in_flight() >= depth || self.session().is_none() {
            return false;
        }
        if self.examine_target() {
            return false;
        }
        if self.settlement() {
            return true;
        }
        // Nothing may be in flight while it is asked which messages are still there.
        if self.comparison.present.is_some() || self.comparison.proving || self.wants_silence() {
            return false;
        }
        match self.fetching() {
            Some((ask, purpose)) => {
                self.ask(ask, purpose);
                true
            }
            None => false,
        }
    }

    /// Says whether the decisions need a moment with nothing in flight.
    fn wants_silence(&self) -> bool {
        self.decisions.under_way.is_none() && self.proof_is_due() || self.comparison.has_silent()
    }
}
