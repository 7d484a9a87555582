//! What callers do, and what they get.

use super::*;

impl World<'_> {
    pub(super) fn caller_acts(&mut self, number: u64, at: usize) {
        let Some(process) = self.process.as_mut().filter(|process| process.number == number) else { return };
        let Some(caller) = process.callers.get_mut(at).filter(|caller| caller.waiting.is_none()) else {
            return;
        };
        if process.closing.is_some() {
            return;
        }
        match caller.act(self.plan, &mut self.caller_random) {
            Act::Finished => {}
            Act::Rest(milliseconds) => {
                self.schedule(milliseconds, Happening::Caller { process: number, caller: at })
            }
            Act::Call(call, waiting) => {
                process.last_call += 1;
                let id = CallId(process.last_call);
                caller.waiting = Some((id, waiting, self.now));
                if let (Waiting::Settle(handle), Call::Settle { action: Some(action), .. }) =
                    (&waiting, &call)
                {
                    let place = (handle.uid_validity, handle.uid);
                    self.ledger.decide(handle.id, action.clone(), place, handle.identity, number);
                }
                self.note(|| format!("caller {at}: {call:?}"));
                self.handle(Input::Call(id, call));
                let abandons = self.faults && self.caller_random.chance(self.plan.get(Knob::Abandons));
                if abandons && !matches!(waiting, Waiting::Settle(_)) {
                    self.abandon(number, at, id);
                }
            }
        }
    }

    pub(super) fn abandon(&mut self, number: u64, at: usize, id: CallId) {
        let Some(process) = self.process.as_mut() else { return };
        let Some(caller) = process.callers.get_mut(at) else { return };
        if caller.waiting.is_some_and(|(waiting, ..)| waiting == id) {
            caller.waiting = None;
            self.note(|| format!("caller {at}: does not wait any more"));
            self.handle(Input::Abandon(id));
            self.schedule(100, Happening::Caller { process: number, caller: at });
        }
    }

    pub(super) fn replied(&mut self, id: CallId, reply: &Reply) {
        let promises = self.promises();
        let Some(process) = &mut self.process else { return };
        let number = process.number;
        let found = process
            .callers
            .iter_mut()
            .enumerate()
            .find(|(_, caller)| caller.waiting.is_some_and(|(waiting, ..)| waiting == id));
        let Some((at, caller)) = found else { return };
        let Some((_, waiting, _)) = caller.waiting.take() else { return };
        match (reply, waiting) {
            (Reply::Settle(result), Waiting::Settle(handle)) => {
                let accepted = matches!(result, Ok(true));
                let place = (handle.uid_validity, handle.uid);
                let decided = self.ledger.asked.contains_key(&(handle.id, place));
                if accepted && decided && promises && !self.disk.holds(place.0, place.1) {
                    let done = self
                        .server
                        .inbox()
                        .messages
                        .get(&place.1)
                        .is_none_or(|message| message.id != handle.id);
                    if !done {
                        self.ledger.violated(format!(
                            "settle of message {} returned before it was written",
                            handle.id
                        ));
                    }
                }
                self.ledger.answered(handle.id, place, accepted, promises);
            }
            (Reply::Next(Ok(Some(uid))), Waiting::Next) => {
                let Some(kept) = process.kept.remove(&uid.get()) else {
                    return self.ledger.violated(format!("UID {uid} was delivered, but is not kept"));
                };
                let handle = kept.handle;
                // An older message with this name cannot be told from it any more.
                process.callers.iter_mut().for_each(|caller| {
                    caller
                        .held
                        .retain(|held| (held.uid_validity, held.uid) != (handle.uid_validity, handle.uid));
                });
                process.callers[at].held.push(handle);
                let settles = matches!(action(handle.id, "Bounces"), Some(Action::Move(_) | Action::Delete));
                if settles || !self.ledger.delivered.contains(&handle.id) {
                    process.callers[at].last_fetch += 1;
                }
                let place = (handle.uid_validity, handle.uid);
                self.ledger.delivered(handle.id, place, number, self.settings.unseen_only, promises);
            }
            (Reply::Next(Ok(None)), Waiting::Next) => self.check_whole_fetch(at),
            _ => {}
        }
        let Some(process) = &mut self.process else { return };
        let pause = process.callers[at].replied(reply, &mut self.caller_random);
        self.schedule(pause, Happening::Caller { process: number, caller: at });
    }

    /// Says whether a decision that is accepted now is in the journal, as far as its users are told.
    pub(super) fn promises(&self) -> bool {
        let Some(process) = &self.process else { return false };
        self.settings.directory
            && self.settings.journal
            && !process.journal_lost
            && process.engine.facts().journal.is_none()
    }
}
