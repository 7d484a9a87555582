//! The end of an open mailbox.

use super::effect::{Effect, Report};
use super::input::Input;
use super::link::Link;
use super::problem::Problem;
use super::record::FileWork;
use super::{Engine, FetchPhase, Phase};
use crate::imap::uids::UidSet;

impl Engine {
    /// Ends all calls, and carries out what was decided as far as there is time.
    pub(super) fn close(&mut self) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Closing { until: self.now + self.settings.close };
        self.decisions.make_due(self.now);
        let discarded = self.queue.clear();
        self.discard(discarded);
        self.delivered.clear();
        self.fetch.phase = FetchPhase::Ended(Err(Problem::Closed));
        self.end_calls();
        if !self.claim.allows_changes() || self.settings.read_only {
            self.stop();
        }
    }

    /// The mailbox is closed.
    pub(super) fn stop(&mut self) {
        match self.link {
            Link::Up(_) if self.in_flight() == 0 => self.effects.push(Effect::LogOut),
            Link::Up(_) | Link::Connecting => self.effects.push(Effect::Disconnect),
            Link::Down => {}
        }
        let messages = self.pending();
        if messages > 0 {
            let journal = self.journal.is_on() && self.journal_problem.is_none();
            self.report(Report::ClosedEarly { messages, journal });
        }
        self.end_calls();
        self.note_unwritten();
        self.phase = Phase::Closed;
        self.link = Link::Down;
        self.effects.push(Effect::WriteStatus);
        self.effects.push(Effect::Files(FileWork::Release));
        self.effects.push(Effect::Stop);
    }

    /// Lets go of the connection without a failure.
    pub(super) fn drop_link(&mut self) {
        self.link = Link::Down;
        self.forget_comparison();
        self.decisions.connection_lost(None, self.batch_size.now());
        let read: UidSet = self.delivered.keys().copied().chain(self.queue.uids()).collect();
        self.unsure.add(&read);
    }

    pub(super) fn handle_after_the_end(&mut self, input: Input) {
        match input {
            Input::Call(id, call) => self.call(id, call),
            Input::Connected(_) => self.effects.push(Effect::Disconnect),
            _ => {}
        }
    }
}
