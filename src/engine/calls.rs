//! Calls, and what they wait for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::claim::Claim;
use super::decisions::Decided;
use super::effect::{Begun, Effect, Reply};
use super::input::{Call, CallId, FetchId};
use super::problem::Problem;
use super::record::{Action, Identity, Record, Seq};
use super::time::Time;
use super::window::{Kept, has_room};
use super::{Delivered, Engine, FetchPhase, Phase};
use crate::imap::uids::{Uid, UidSet, UidValidity};

/// Calls that have no reply yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub waiting: BTreeMap<CallId, Waiting>,
}

#[derive(Debug)]
pub(super) enum Waiting {
    /// Lock and journal must be held first.
    Claim {
        call: Call,
        since: Time,
    },
    /// The server must say which messages there are.
    Fetch(FetchId),
    Next(FetchId),
    /// The journal must hold the decision.
    Settle {
        seq: Seq,
        since: Time,
    },
    /// These messages must be settled on the server.
    Flush(UidSet),
}

impl Calls {
    pub(super) fn flushes(&self) -> bool {
        self.waiting.values().any(|waiting| matches!(waiting, Waiting::Flush(_)))
    }

    fn next_timer(&self) -> Option<Time> {
        let times = self.waiting.values().filter_map(|waiting| match waiting {
            Waiting::Claim { since, .. } => Some(*since + CLAIM),
            Waiting::Settle { since, .. } => Some(*since + WRITE),
            _ => None,
        });
        times.min()
    }
}

impl Engine {
    pub(super) fn call(&mut self, id: CallId, call: Call) {
        if self.phase != Phase::Open {
            return self.refuse(id, &call, Problem::Closed);
        }
        match call {
            Call::Fetch | Call::Flush | Call::Pending if !self.settings.read_only => {
                // A fetch looks whether lock and journal are still there.
                if call == Call::Fetch || !self.claim.is_decided() {
                    self.ask_for_claim();
                    self.calls.waiting.insert(id, Waiting::Claim { call, since: self.now });
                } else {
                    self.claimed_call(id, call);
                }
            }
            Call::Fetch | Call::Flush | Call::Pending => self.claimed_call(id, call),
            Call::Next(fetch) => self.next(id, fetch),
            Call::Settle { uid_validity, uid, action } => self.settle(id, uid_validity, uid, action),
        }
    }

    /// Answers the calls that waited for lock and journal.
    pub(super) fn claim_answered(&mut self, problem: Option<&Problem>) {
        let claims = self.calls.waiting.iter().filter_map(|(id, waiting)| match waiting {
            Waiting::Claim { call, .. } => Some((*id, call.clone())),
            _ => None,
        });
        // A fetch among them ends older calls.
        for (id, call) in claims.collect::<Vec<_>>() {
            self.calls.waiting.remove(&id);
            let Some(problem) = problem else {
                self.claimed_call(id, call);
                continue;
            };
            if call == Call::Fetch {
                self.history.asked(self.now);
                self.fetch_failed(problem);
            }
            self.refuse(id, &call, problem.clone());
        }
    }

    fn claimed_call(&mut self, id: CallId, call: Call) {
        match call {
            Call::Fetch => self.begin_fetch(id),
            Call::Flush => {
                if self.decisions.is_empty() && self.inherited.is_empty() && self.unkept.is_none() {
                    let result = self.void.take().map_or(Ok(()), Err);
                    return self.reply(id, Reply::Flush(result));
                }
                self.decisions.make_due(self.now);
                let mut uids = self.decisions.uids();
                uids.extend(self.inherited.iter().map(|pending| pending.uid));
                self.calls.waiting.insert(id, Waiting::Flush(uids));
            }
            Call::Pending => {
                let result = match &self.claim {
                    Claim::Without(failure) if self.settings.directory => {
                        Err(Problem::Failed(failure.clone()))
                    }
                    _ => Ok(self.pending()),
                };
                self.reply(id, Reply::Pending(result));
            }
            Call::Next(_) | Call::Settle { .. } => {}
        }
    }

    fn begin_fetch(&mut self, id: CallId) {
        self.end_older_fetch();
        self.fetch.id.0 += 1;
        self.fetch.phase = FetchPhase::Requested;
        self.resumable = None;
        let discarded = self.queue.clear();
        self.discard(discarded);
        self.decisions.make_due(self.now);
        self.calls.waiting.insert(id, Waiting::Fetch(self.fetch.id));
    }

    /// Callers of an older fetch learn that a newer one has begun.
    fn end_older_fetch(&mut self) {
        for (id, waiting) in std::mem::take(&mut self.calls.waiting) {
            match waiting {
                Waiting::Fetch(_) => self.reply(id, Reply::Fetch(Err(Problem::NewerFetch))),
                Waiting::Next(_) => self.reply(id, Reply::Next(Err(Problem::NewerFetch))),
                waiting => {
                    self.calls.waiting.insert(id, waiting);
                }
            }
        }
    }

    fn next(&mut self, id: CallId, fetch: FetchId) {
        if fetch != self.fetch.id {
            return self.reply(id, Reply::Next(Err(Problem::NewerFetch)));
        }
        if let Some(kept) = self.pop() {
            self.deliver(id, kept);
        } else if let FetchPhase::Ended(result) = &self.fetch.phase {
            let result = result.clone().map(|()| None);
            self.decisions.make_due(self.now);
            self.made_due = true;
            self.reply(id, Reply::Next(result));
        } else {
            self.calls.waiting.insert(id, Waiting::Next(fetch));
        }
    }

    /// Takes the next message that was not decided about meanwhile.
    fn pop(&mut self) -> Option<Kept> {
        let mut decided = Vec::new();
        let kept = loop {
            match self.queue.pop() {
                Some(kept) if self.decided.contains(kept.uid) => decided.push(kept.uid),
                kept => break kept,
            }
        };
        self.discard(decided);
        kept
    }

    fn deliver(&mut self, id: CallId, kept: Kept) {
        if !self.settings.read_only {
            let identity = Identity { received: kept.received, mark: kept.mark };
            self.delivered.insert(kept.uid, Delivered { identity, missed: false });
            self.highest = self.highest.max(Some(kept.uid));
        }
        self.reply(id, Reply::Next(Ok(Some(kept.uid))));
    }

    /// Gives messages to the callers that wait for them. They are not woken for each: messages that come within
    /// [`QUIET`] are delivered together.
    pub(super) fn deliver_waiting(&mut self) {
        let quiet = self.fetch.delivered_at.is_some_and(|at| self.now.since(at) < QUIET);
        let ended = matches!(self.fetch.phase, FetchPhase::Ended(_));
        if self.queue.is_empty() && !ended
            || quiet && !ended && has_room(self.queue.buffered.octets, self.settings.buffer)
        {
            return;
        }
        let callers: Vec<CallId> = self
            .calls
            .waiting
            .iter()
            .filter_map(|(id, waiting)| {
                matches!(waiting, Waiting::Next(fetch) if *fetch == self.fetch.id).then_some(*id)
            })
            .collect();
        for id in callers {
            if self.queue.is_empty() && !ended {
                break;
            }
            self.fetch.delivered_at = Some(self.now);
            self.calls.waiting.remove(&id);
            self.next(id, self.fetch.id);
        }
    }

    /// Tells callers of a fetch that the server has said which messages there are, or how the fetch ended.
    pub(super) fn answer_fetches(&mut self) {
        let result = match &self.fetch.phase {
            FetchPhase::Requested => return,
            FetchPhase::Running => Ok(()),
            FetchPhase::Ended(result) => result.clone(),
        };
        let begun = Begun { fetch: self.fetch.id, found: self.fetch.found };
        let callers: Vec<CallId> = self
            .calls
            .waiting
            .iter()
            .filter_map(|(id, waiting)| {
                matches!(waiting, Waiting::Fetch(fetch) if *fetch == self.fetch.id).then_some(*id)
            })
            .collect();
        for id in callers {
            self.calls.waiting.remove(&id);
            self.reply(id, Reply::Fetch(result.clone().map(|()| begun)));
        }
    }

    fn settle(&mut self, id: CallId, uid_validity: UidValidity, uid: Uid, action: Option<Action>) {
        let problem = match self.uid_validity {
            _ if self.settings.read_only => Some(Problem::ReadOnly),
            None => Some(Problem::NothingDelivered),
            Some(now) if now != uid_validity => {
                Some(Problem::OtherUidValidity { delivered: uid_validity, now })
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            return self.reply(id, Reply::Settle(Err(problem)));
        }
        let Some(Delivered { identity, .. }) = self.delivered.remove(&uid) else {
            // Lower numbers were delivered, and settled if they are not open.
            let known = self.highest.is_some_and(|highest| uid <= highest);
            return self
                .reply(id, Reply::Settle(if known { Ok(false) } else { Err(Problem::NotDelivered(uid)) }));
        };
        self.decided.insert(uid);
        let Some(action) = action else { return self.reply(id, Reply::Settle(Ok(true))) };
        let mut seq = Seq::default();
        if self.journal.keeps_decisions {
            let record = Record::Decided { uid_validity, uid, identity, action: action.clone() };
            seq = self.journal.add(record, self.now, &mut self.effects);
        }
        let message = Decided::new(uid, identity, seq);
        self.decisions.add(action, message, self.unsure.contains(uid), self.now);
        if self.journal_hangs.is_some() {
            self.journal_hangs = Some(seq);
        }
        if self.journal.is_written(seq) || self.journal_hangs.is_some() {
            self.reply(id, Reply::Settle(Ok(true)));
        } else {
            self.calls.waiting.insert(id, Waiting::Settle { seq, since: self.now });
        }
    }

    /// Says whether a call of `settle` has waited this long for its record.
    pub(super) fn settle_waits(&self, limit: Duration) -> bool {
        let late = |waiting: &Waiting| match waiting {
            Waiting::Settle { seq, since } => {
                self.now.since(*since) >= limit && !self.journal.is_written(*seq)
            }
            _ => false,
        };
        self.calls.waiting.values().any(late)
    }

    /// Answers the calls of `settle` whose record is written.
    pub(super) fn answer_settles(&mut self) {
        if !self.calls.waiting.values().any(|waiting| matches!(waiting, Waiting::Settle { .. })) {
            return;
        }
        for (id, waiting) in std::mem::take(&mut self.calls.waiting) {
            match waiting {
                Waiting::Settle { seq, since }
                    if self.journal.is_written(seq)
                        || self.journal_hangs.is_some()
                        || self.now.since(since) >= WRITE
                        || self.phase == Phase::Closed =>
                {
                    self.reply(id, Reply::Settle(Ok(true)));
                }
                waiting => {
                    self.calls.waiting.insert(id, waiting);
                }
            }
        }
    }

    /// Answers the calls of `flush` for whose messages nothing is to be done now.
    pub(super) fn answer_flushes(&mut self) {
        let mut answered = Vec::new();
        for (id, waiting) in &self.calls.waiting {
            if let Waiting::Flush(uids) = waiting
                && self.inherited.is_empty()
                && self.decisions.is_quiet_for(uids, self.now)
                && (self.unkept.is_none() || self.journal_hangs.is_some())
            {
                let problem = self.void.clone().or_else(|| self.decisions.last_refusal_of(uids).cloned());
                answered.push((*id, problem.map_or(Ok(()), Err)));
            }
        }
        for (id, result) in answered {
            self.void = None;
            self.calls.waiting.remove(&id);
            self.reply(id, Reply::Flush(result));
        }
    }

    pub(super) fn fail_flushes(&mut self, problem: &Problem) {
        for (id, waiting) in std::mem::take(&mut self.calls.waiting) {
            if let Waiting::Flush(_) = waiting {
                self.reply(id, Reply::Flush(Err(problem.clone())));
            } else {
                self.calls.waiting.insert(id, waiting);
            }
        }
    }

    /// Ends all calls when the mailbox is closed. Those of `settle` go on waiting for their record.
    pub(super) fn end_calls(&mut self) {
        for (id, waiting) in std::mem::take(&mut self.calls.waiting) {
            match waiting {
                Waiting::Claim { call, .. } => self.refuse(id, &call, Problem::Closed),
                Waiting::Fetch(_) => self.reply(id, Reply::Fetch(Err(Problem::Closed))),
                Waiting::Next(_) => self.reply(id, Reply::Next(Err(Problem::Closed))),
                Waiting::Flush(_) => self.reply(id, Reply::Flush(Err(Problem::Closed))),
                waiting @ Waiting::Settle { .. } => _ = self.calls.waiting.insert(id, waiting),
            }
        }
    }

    /// A claim that hangs is one that cannot be had.
    pub(super) fn give_up_claim(&mut self) {
        let waits = self.calls.waiting.values().any(
            |waiting| matches!(waiting, Waiting::Claim { since, .. } if self.now.since(*since) >= CLAIM),
        );
        if waits {
            self.claim_hangs();
        }
    }

    pub(super) fn calls_timer(&self) -> Option<Time> {
        let waits = |waiting: &Waiting| matches!(waiting, Waiting::Next(_));
        let quiet = self.fetch.delivered_at.map(|at| at + QUIET);
        let quiet = quiet.filter(|_| !self.queue.is_empty() && self.calls.waiting.values().any(waits));
        self.calls.next_timer().into_iter().chain(quiet).min()
    }

    fn refuse(&mut self, id: CallId, call: &Call, problem: Problem) {
        let reply = match call {
            Call::Fetch => Reply::Fetch(Err(problem)),
            Call::Next(_) => Reply::Next(Err(problem)),
            Call::Settle { .. } => Reply::Settle(Err(problem)),
            Call::Flush => Reply::Flush(Err(problem)),
            Call::Pending => Reply::Pending(Err(problem)),
        };
        self.reply(id, reply);
    }

    fn reply(&mut self, id: CallId, reply: Reply) {
        self.effects.push(Effect::Reply(id, reply));
    }

    pub(super) fn discard(&mut self, uids: Vec<Uid>) {
        if !uids.is_empty() {
            self.effects.push(Effect::Discard(uids));
        }
    }
}

/// Messages that come within this time are delivered together.
const QUIET: Duration = Duration::from_millis(5);

/// How long `settle` waits for its record to be written.
pub(super) const WRITE: Duration = Duration::from_secs(1);

/// How long a call waits for the lock and the journal.
const CLAIM: Duration = Duration::from_secs(10);
