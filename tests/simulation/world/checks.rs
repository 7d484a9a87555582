//! What must be true after every step, and at the end.

use super::*;

impl World<'_> {
    pub(super) fn check_change(&mut self, change: &Change, durable: Durable) {
        let Some(process) = &self.process else { return };
        let uid_validity = process.uid_validity;
        if durable.synced().is_none() {
            let hangs =
                process.file_given.is_some_and(|since| self.now.since(since) >= Duration::from_secs(10));
            let none = !self.settings.directory || !self.settings.journal || process.journal_lost;
            if !(hangs || none || process.engine.facts().journal.is_some()) {
                self.ledger.violated(format!("{change:?} is sent without a journal that works"));
            }
            if let Change::Copy(uids, _) = change {
                uids.iter().for_each(|uid| self.ledger.copies_unrecorded((uid_validity, uid.get())));
            }
            return;
        }
        if process.files.replaced || !self.settings.journal {
            return;
        }
        let holds = |uid: Uid| {
            self.disk.synced.iter().any(|record| match record {
                Record::Decided { uid_validity: under, uid: decided, .. } => {
                    under.get() == uid_validity && *decided == uid
                }
                _ => false,
            })
        };
        if let Some(uid) = change.uids().iter().find(|uid| !holds(*uid)) {
            let what = format!("{change:?} is sent before the decision about UID {uid} is on the disk");
            return self.ledger.violated(what);
        }
        if let Change::Copy(uids, _) = change {
            let noted = |uid: &Uid| {
                self.disk.synced.iter().any(|record| match record {
                    Record::Copying { uids, .. } => uids.contains(uid),
                    _ => false,
                })
            };
            if let Some(uid) = uids.iter().find(|uid| !noted(uid)) {
                self.ledger.violated(format!("UID {uid} is copied before that is on the disk"));
            }
        }
    }

    pub(super) fn check(&mut self) {
        self.check_bounds();
        self.check_waits();
        if let Some(since) = self.finishing {
            if self.process.as_ref().is_some_and(|process| process.closing.is_none()) && self.is_done() {
                self.finished = true;
                self.check_end();
            } else if self.now.since(since) > LONGEST_END {
                let pending = self.process.as_ref().map(|process| process.engine.pending());
                self.ledger.violated(format!("not everything is carried out: {pending:?} are pending"));
            }
        }
    }

    /// A fetch that ends well has delivered everything that it found, where nothing else can take messages away.
    pub(super) fn check_whole_fetch(&mut self, at: usize) {
        let disturbed = [
            Knob::Callers,
            Knob::Foreign,
            Knob::Recreations,
            Knob::ValidityChanges,
            Knob::Late,
            // A fetch that has begun ends well if the server asks to be left alone for long.
            Knob::Throttle,
            Knob::ConnectFails,
            // What an earlier process left may be known only when the fetch is under way.
            Knob::DiskHangs,
            Knob::DiskFails,
        ];
        if disturbed.iter().any(|knob| self.plan.is(*knob)) {
            return;
        }
        let Some(caller) = self.process.as_ref().and_then(|process| process.callers.get(at)) else { return };
        let (found, came, set_aside) = (caller.found, caller.came, caller.set_aside);
        if came + set_aside < found {
            self.ledger.violated(format!("of {found} messages {came} came, and {set_aside} were set aside"));
        }
    }

    pub(super) fn check_bounds(&mut self) {
        let Some(process) = &self.process else { return };
        let (in_flight, octets) = process.engine.load();
        if in_flight > self.settings.pipeline {
            self.ledger.violated(format!("{in_flight} commands are in flight"));
        }
        let kept: usize = process.kept.values().map(|kept| kept.memory).sum();
        if kept > self.settings.buffer || octets > 2 * self.settings.buffer {
            self.ledger
                .violated(format!("{kept} octets are buffered, {octets} with those that are reserved"));
        }
    }

    pub(super) fn check_waits(&mut self) {
        let Some(process) = &self.process else { return };
        for caller in &process.callers {
            let Some((_, waiting, since)) = caller.waiting else { continue };
            let longest = match waiting {
                Waiting::Settle(_) => Duration::from_millis(1_001),
                _ => LONGEST_CALL,
            };
            if self.now.since(since) > longest {
                return self.ledger.violated(format!("{waiting:?} waits since {since}"));
            }
        }
        if let Some(since) = process.closing
            && self.now.since(since) > self.settings.close + Duration::from_millis(1)
        {
            self.ledger.violated(format!("closing lasts since {since}"));
        }
    }

    /// Says whether the callers have got and decided everything, and all of it is carried out.
    pub(super) fn is_done(&self) -> bool {
        let Some(process) = &self.process else { return false };
        process
            .callers
            .first()
            .is_some_and(|caller| caller.waiting.is_none() && caller.held.is_empty() && caller.idle >= 2)
    }

    /// Faults have stopped, and callers have settled everything: nothing may be left.
    pub(super) fn check_end(&mut self) {
        let inbox = self.server.inbox().clone();
        let unseen_only = self.settings.unseen_only;
        for (uid, message) in &inbox.messages {
            let decision = self.ledger.decisions.get(&message.id);
            let decision =
                decision.filter(|decision| decision.place == (inbox.uid_validity, *uid) && !decision.void);
            let shown = !(message.deleted || unseen_only && message.seen);
            let unclear = message.identity.mark == Mark::Nothing
                || self.plan.is(Knob::NoMove) && self.plan.is(Knob::FoldersLost);
            let left = match action(message.id, "Bounces") {
                Some(Action::Move(_) | Action::Delete) => shown,
                Some(Action::MarkSeen) => {
                    decision.is_some_and(|decision| decision.promised && !decision.shown_again)
                        && !message.seen
                }
                None => false,
            };
            if left && !unclear {
                let what = format!("message {} at UID {uid} is left: {decision:?}", message.id);
                return self.ledger.violated(what);
            }
            if shown && !unclear && !self.ledger.delivered.contains(&message.id) && decision.is_none() {
                return self
                    .ledger
                    .violated(format!("message {} at UID {uid} was never delivered", message.id));
            }
        }
        let unclear =
            inbox.messages.values().filter(|message| message.identity.mark == Mark::Nothing).count() as u64;
        let pending = self.process.as_ref().map_or(0, |process| process.engine.pending());
        if pending > unclear && !(self.plan.is(Knob::NoMove) && self.plan.is(Knob::FoldersLost)) {
            self.ledger.violated(format!("{pending} decisions are pending at the end"));
        }
    }
}
