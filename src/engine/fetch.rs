//! The fetch under way: the commands for it, and their answers.

use std::time::Duration;

use super::effect::{Ask, Effect, Report};
use super::input::{Answer, Arrival, Attributes, FetchId, Status, Stored};
use super::problem::Problem;
use super::progress::{FetchProgress, Stage, Verdict};
use super::verify::{Likeness, compare};
use super::window::{ASSUMED, Kept};
use super::{Delivered, Engine, FetchPhase, Purpose};
use crate::failure::Step;
use crate::imap::limits;
use crate::imap::uids::{Uid, UidSet};

impl Engine {
    /// Begins the fetch that a caller asked for, or goes on with one that a refused credential has ended.
    pub(super) fn begin_requested_fetch(&mut self) {
        if !matches!(self.fetch.phase, FetchPhase::Requested)
            || self.progress.as_ref().is_some_and(|progress| progress.id == self.fetch.id)
        {
            return;
        }
        // It is not known how a fetch in trouble would have ended.
        if let Some(older) = self.progress.take().filter(|older| older.begun && older.trouble.is_none()) {
            self.history.succeeded(older.set_aside, self.now);
        }
        let resumed = self.resumable.take().filter(|progress| progress.id == self.fetch.id);
        if resumed.is_some() {
            self.fetch.phase = FetchPhase::Running;
        }
        self.progress = Some(resumed.unwrap_or_else(|| FetchProgress::new(self.fetch.id)));
        self.pipeline.fetch_begins();
        self.history.asked(self.now);
        self.not_before = None;
    }

    /// Returns the next command for the fetch under way.
    pub(super) fn fetching(&mut self) -> Option<(Ask, Purpose)> {
        let in_flight = self.in_flight();
        let (buffered, buffer) = (self.queue.buffered, self.settings.buffer);
        let quiet = self.decisions.is_quiet(self.now);
        let decided = &self.decided;
        let progress = self.progress.as_mut()?;
        let fetch = progress.id;
        match progress.stage {
            // Decisions are carried out first, so that SEARCH does not find their messages again.
            Stage::New if quiet => {
                progress.stage = Stage::Looking;
                Some((Ask::Noop, Purpose::Noop { fetch }))
            }
            Stage::Ready if self.searching => None,
            Stage::Ready => {
                progress.stage = Stage::Searching;
                progress.search_answered = false;
                self.searching = true;
                Some((Ask::Search { unseen: self.settings.unseen_only }, Purpose::Search { fetch }))
            }
            Stage::New | Stage::Looking | Stage::Searching => None,
            Stage::Listing if in_flight == 0 => {
                progress.waiting.clear();
                self.listed = 0;
                Some((Ask::AllFlags, Purpose::AllFlags { fetch }))
            }
            Stage::Listing => None,
            Stage::Fetching => {
                progress.forget_decided(decided);
                if progress.wants_exclusive() && in_flight > 0 {
                    return None;
                }
                if in_flight == 0
                    && let Some(uids) = progress.next_alone(buffered, buffer)
                {
                    return Some((Ask::Bodies(uids.clone()), Purpose::Bodies { fetch, uids }));
                }
                if let Some(uids) = progress.next_bodies(buffered, buffer, decided) {
                    return Some((Ask::Bodies(uids.clone()), Purpose::Bodies { fetch, uids }));
                }
                if let Some(uids) = progress.next_sizes(decided) {
                    return Some((Ask::Sizes(uids), Purpose::Sizes { fetch }));
                }
                if in_flight > 0 || self.searching {
                    return None;
                }
                let uids = progress.next_doubts()?;
                self.searching = true;
                Some((Ask::Present { uids, undeleted: false }, Purpose::Doubts { fetch }))
            }
        }
    }

    /// A UID of a SEARCH response.
    pub(super) fn found(&mut self, first: Uid, last: Uid) {
        let exists = self.session().map_or(0, |session| u64::from(session.exists));
        if let Some(present) = &mut self.comparison.present {
            present.found.insert_range(first..=last);
            present.found.retain(&present.asked);
            return;
        }
        let Some(progress) = &mut self.progress else { return };
        if let Some(doubted) = &mut progress.doubted {
            let mut found = UidSet::new();
            found.insert_range(first..=last);
            found.retain(&doubted.asked);
            doubted.found.add(&found);
        } else if progress.stage == Stage::Searching {
            // A server that names more messages than there are, or than fit in memory, is believed so far.
            let limit = (exists + NEW).min(limits::UIDS);
            let count = u64::from(last.get() - first.get()) + 1;
            let taken = count.min(limit.saturating_sub(self.found_in_search));
            self.found_in_search += count;
            let end = taken.checked_sub(1).and_then(|more| Uid::new(first.get() + more as u32));
            if let Some(end) = end {
                progress.waiting.insert_range(first..=end);
            }
        }
    }

    pub(super) fn search_line(&mut self) {
        if let Some(present) = &mut self.comparison.present {
            present.answered = true;
        } else if let Some(progress) = &mut self.progress {
            match &mut progress.doubted {
                Some(doubted) => doubted.answered = true,
                None => progress.search_answered |= progress.stage == Stage::Searching,
            }
        }
    }

    /// A FETCH response without a message: a size, flags, or something by which a message is recognised.
    pub(super) fn attributes(&mut self, attributes: Attributes) {
        self.compare(&attributes);
        let unseen_only = self.settings.unseen_only;
        let Some(progress) = &mut self.progress else { return };
        if let Some(doubted) = progress.doubted.as_mut().filter(|doubted| doubted.listing)
            && doubted.asked.contains(attributes.uid)
        {
            doubted.found.insert(attributes.uid);
        }
        if let (Stage::Listing, Some(flags)) = (progress.stage, attributes.flags) {
            self.listed += 1;
            if !(flags.deleted || unseen_only && flags.seen) && progress.waiting.len() < limits::UIDS {
                progress.waiting.insert(attributes.uid);
            }
        }
        if let Some(size) = attributes.size {
            progress.size(attributes.uid, size);
        }
    }

    /// Octets of an awaited message came.
    pub(super) fn octets_came(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress.trouble = None;
        }
    }

    /// A whole message came. Unsolicited and duplicate messages are ignored.
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        let Arrival { uid, identity, stored } = arrival;
        let Some(progress) = &mut self.progress else { return };
        if !progress.arrived(uid) {
            return;
        }
        let memory = match stored {
            Stored::PassedOver(octets) => return progress.ask_later(uid, octets),
            Stored::Failed(why) => {
                progress.progressed();
                return self.set_aside(Problem::NotStored { uid, why });
            }
            Stored::Memory(octets) => Some(octets),
            Stored::File => None,
        };
        progress.progressed();
        self.suspects.remove(uid);
        self.throttled_since = None;
        self.history.progress(self.now);
        if progress.id != self.fetch.id {
            return;
        }
        // Another message may have the name of one that a caller still has: that one cannot be decided about any more.
        let other = |delivered: &Delivered| compare(delivered.identity, identity) != Likeness::Same;
        if self.unsure.remove(uid) && self.delivered.get(&uid).is_some_and(other) {
            self.delivered.remove(&uid);
        }
        self.queue.push(Kept { uid, received: identity.received, mark: identity.mark, memory });
        self.counters.messages += 1;
        self.effects.push(Effect::Keep(uid));
    }

    pub(super) fn search_answered(&mut self, fetch: FetchId, answer: &Answer) {
        self.searching = false;
        let exists = self.session().map_or(0, |session| session.exists);
        self.found_in_search = 0;
        let Some(progress) = self.progress.as_mut().filter(|progress| progress.id == fetch) else { return };
        if answer.status != Status::Ok {
            let line = answer.line.clone();
            return self.give_up_session(Problem::Refused { step: Step::Search, line });
        }
        if !progress.search_answered && exists > 0 {
            // No answer is not the answer "nothing". Some servers leave the line out when nothing matches.
            progress.stage = if progress.searched_again { Stage::Listing } else { Stage::Ready };
            progress.searched_again = true;
            return;
        }
        self.messages_are_known();
    }

    pub(super) fn flags_listed(&mut self, fetch: FetchId, answer: &Answer) {
        let exists = self.session().map_or(0, |session| session.exists);
        if self.progress.as_ref().is_none_or(|progress| progress.id != fetch) {
            return;
        }
        if answer.status != Status::Ok {
            let line = answer.line.clone();
            return self.give_up_session(Problem::Refused { step: Step::Search, line });
        }
        if self.listed == 0 && exists > 0 {
            return self.give_up_session(Problem::NothingFound { exists });
        }
        self.messages_are_known();
    }

    /// The server has said which messages there are.
    fn messages_are_known(&mut self) {
        self.history.progress(self.now);
        self.decided = self.decisions.uids();
        let keep_read = !self.settings.unseen_only;
        let Some(progress) = &mut self.progress else { return };
        progress.waiting.subtract(&self.decided);
        let mut vanished = 0;
        for (uid, message) in &mut self.delivered {
            if !progress.waiting.contains(*uid) {
                vanished += u64::from(!std::mem::replace(&mut message.missed, true));
            }
        }
        if keep_read {
            // A message that is not there any more cannot be settled; one that was only read can.
            self.delivered.retain(|_, message| !message.missed);
        }
        progress.stage = Stage::Fetching;
        progress.begun = true;
        progress.progressed();
        if self.fetch.id == progress.id {
            // A later connection of the same fetch finds the rest.
            if matches!(self.fetch.phase, FetchPhase::Requested) {
                self.fetch.found = progress.waiting.len();
            }
            self.fetch.phase = FetchPhase::Running;
        }
        self.suspects.retain(&progress.waiting);
        let suspects = self.suspects.clone();
        progress.suspect(&suspects);
        if vanished > 0 {
            self.vanished(vanished);
        }
    }

    pub(super) fn sizes_answered(&mut self, fetch: FetchId, answer: &Answer) {
        let Some(progress) = self.progress.as_mut().filter(|progress| progress.id == fetch) else { return };
        let unanswered = progress.sizing.take().unwrap_or_default();
        if answer.status == Status::Ok {
            // A message that the answer does not name may be gone.
            progress.silence(&unanswered, &answer.line);
        } else {
            // Sizes are only hints.
            progress.sized.extend(unanswered.iter().map(|uid| (uid, ASSUMED)));
        }
    }

    pub(super) fn bodies_answered(&mut self, fetch: FetchId, uids: &UidSet, answer: &Answer) {
        if let Some(progress) = self.progress.as_mut().filter(|progress| progress.id == fetch) {
            progress.answered_without(uids, &answer.line);
        }
    }

    pub(super) fn doubts_answered(&mut self, fetch: FetchId, answer: &Answer) {
        self.searching = false;
        let Some(progress) = self.progress.as_mut().filter(|progress| progress.id == fetch) else { return };
        let Some(mut doubted) = progress.doubted.take() else { return };
        if doubted.is_open(answer) {
            let uids = doubted.asked.clone();
            progress.doubted = Some(doubted);
            return self.ask(Ask::Sizes(uids), Purpose::Doubts { fetch });
        }
        // A server that does not say must not be taken to say that they are gone.
        let mut present = if answer.status == Status::Ok { doubted.found } else { doubted.asked.clone() };
        // A message that was settled here since the question may be gone.
        let asked = doubted.asked.without(&self.decided);
        present.subtract(&self.decided);
        let line = progress.silent_line.clone();
        for uid in progress.tried_without_success(&present).iter() {
            self.set_aside(Problem::NotDeliverable { uid, line: line.clone() });
        }
        let vanished = asked.len() - present.len();
        if vanished > 0 {
            self.vanished(vanished);
        }
    }

    /// "Not now" is the answer to a command of the fetch. It is repeated once as it was.
    pub(super) fn fetch_not_now(&mut self, purpose: &Purpose, time: Option<Duration>, answer: &Answer) {
        if matches!(purpose, Purpose::Search { .. } | Purpose::Doubts { .. }) {
            self.searching = false;
            self.found_in_search = 0;
        }
        let fetch = purpose.fetch();
        let Some(progress) = self.progress.as_mut().filter(|progress| Some(progress.id) == fetch) else {
            return;
        };
        match purpose {
            Purpose::Noop { .. } => progress.stage = Stage::New,
            Purpose::Search { .. } | Purpose::AllFlags { .. } => {
                progress.stage = Stage::Ready;
                progress.waiting.clear();
            }
            Purpose::Sizes { .. } if progress.postponed > 0 => {
                {
                    let fetch = progress.id;
                    return self.sizes_answered(fetch, answer);
                };
            }
            Purpose::Sizes { .. } => progress.waiting.add(&progress.sizing.take().unwrap_or_default()),
            Purpose::Doubts { .. } => progress.doubt_again(),
            Purpose::Bodies { uids, .. } => {
                let verdict = progress.answered_not_now(uids, &answer.line);
                return self.judge(verdict, time, answer);
            }
            _ => return,
        }
        progress.postponed += 1;
        if progress.postponed > 1 && time.is_none() {
            self.give_up_session(super::settle::unavailable(Step::Search, None, answer));
        }
    }

    /// Acts on what "not now" to messages means.
    fn judge(&mut self, verdict: Verdict, time: Option<Duration>, answer: &Answer) {
        match verdict {
            Verdict::Open => {}
            Verdict::Message(uid) => {
                self.suspects.insert(uid);
                self.set_aside(Problem::NotNow { uid, line: answer.line.clone() });
            }
            Verdict::Server => {
                let problem = super::settle::unavailable(Step::Fetch, time, answer);
                self.end_fetch(Err(problem));
            }
        }
    }

    /// Leaves a message where it is. The next fetch tries it again.
    pub(super) fn set_aside(&mut self, why: Problem) {
        self.report(Report::SetAside(why.clone()));
        if let Some(progress) = &mut self.progress {
            progress.set_aside(why);
        }
    }

    /// Messages went that were delivered, or found by this fetch, and that were not settled here.
    fn vanished(&mut self, messages: u64) {
        if !std::mem::replace(&mut self.reported_vanished, true) {
            self.report(Report::Vanished { messages });
        }
    }

    /// Ends the fetch.
    pub(super) fn end_fetch(&mut self, result: Result<(), Problem>) {
        if let Some(progress) = self.progress.take() {
            self.suspects.add(&progress.not_now.messages());
            match &result {
                Ok(()) => self.history.succeeded(progress.set_aside, self.now),
                Err(problem) => self.fetch_failed(problem),
            }
            if progress.id == self.fetch.id {
                self.fetch.phase = FetchPhase::Ended(result);
            }
        }
        self.effects.push(Effect::WriteStatus);
    }

    pub(super) fn fetch_failed(&mut self, problem: &Problem) {
        if let Some(minutes) = self.history.failed(problem, self.now) {
            let failures = self.history.failures;
            self.report(Report::NotRead { minutes, failures, problem: problem.clone() });
        }
    }
}

/// Messages that may come in while the server searches.
const NEW: u64 = 10_000;
