//! Keeps account of each message, outside of the engine, and says when a promise is broken.
//!
//! These promises are checked:
//!
//! - A message is changed only as a caller decided about just this message, by its true identity. Two messages with the same
//!   header fields and date are one to everybody who cannot see more, and so they are here. A journal of version 1 knows
//!   the date only.
//! - A decision that `settle` has accepted is in the journal at that moment, unless health says that the journal does not
//!   work. It is not delivered again by this process, and by no later one unless the disk lost its record: what was not
//!   synced at a loss of power, or what a failing disk or a removed directory took away. A process that cannot open the
//!   journal says so, and knows nothing of it.
//! - A decision may be dropped only if UIDVALIDITY changed or the UID names another message.
//! - The server may say OK and do nothing, or do it and not say so. Both only delay the decision.
//! - OK to a STORE of `\Seen` is believed: a message that stays unread can be read again.
//! - A COPYUID is believed. No server of this model names messages in it that it did not move.
//! - Once faults stop, every message is delivered, and every decision is carried out: moved once, or copied once and at most
//!   once more if the server has no MOVE, not counting those of which a broken journal could not take note. Left over may be those that cannot be recognised after a lost connection, having no
//!   header fields, and copies of such messages.

use std::collections::{BTreeMap, HashSet};

use um_imap_oauth2::engine::record::{Action, Identity, Mark};

/// A message, for ever. UIDs are only names.
pub type Id = u64;

/// Where a message stood when it was decided about.
pub type Place = (u32, u32);

#[derive(Debug, Clone)]
pub struct Decision {
    pub action: Action,
    pub place: Place,
    pub identity: Identity,
    /// The process in which it was decided.
    pub process: u64,
    /// The journal is to hold it.
    pub promised: bool,
    /// UIDVALIDITY changed or the mailbox was made again since.
    pub void: bool,
    /// Somebody else changed the message in a way that shows it again.
    pub shown_again: bool,
    pub moved: u32,
    pub copied: u32,
    /// Copies that count no more: nothing reminded a later process of them.
    pub forgotten: u32,
    pub seen: bool,
    pub deleted: bool,
    pub expunged: bool,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub decisions: BTreeMap<Id, Decision>,
    /// A decision on its way: the call has no reply yet.
    pub asked: BTreeMap<(Id, Place), Decision>,
    pub delivered: HashSet<Id>,
    pub deliveries: u64,
    pub violation: Option<String>,
}

/// What our connection did to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Move,
    Copy,
    Seen,
    Deleted,
    Expunge,
}

impl Ledger {
    pub fn violated(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert(what.into());
    }

    /// A decision was asked for; it may take effect before the call returns.
    pub fn decide(&mut self, id: Id, action: Action, place: Place, identity: Identity, process: u64) {
        let decision = Decision {
            action,
            place,
            identity,
            process,
            promised: false,
            void: false,
            shown_again: false,
            moved: 0,
            copied: 0,
            forgotten: 0,
            seen: false,
            deleted: false,
            expunged: false,
        };
        self.asked.insert((id, place), decision);
    }

    /// `settle` has returned for this message.
    pub fn answered(&mut self, id: Id, place: Place, accepted: bool, promised: bool) {
        let Some(asked) = self.asked.remove(&(id, place)) else { return };
        if asked.void && self.decisions.contains_key(&id) {
            return;
        }
        if let Some(decision) = self.decisions.get_mut(&id).filter(|decision| decision.place == asked.place) {
            // Decided before, and delivered again rightly.
            if accepted {
                decision.promised = promised;
                (decision.process, decision.shown_again) = (asked.process, false);
                decision.forgotten = decision.copied;
            }
            return;
        }
        if accepted {
            // Copies that were made while the message had another UID are still copies of it.
            let copied = self.decisions.get(&id).map_or(0, |before| before.copied) + asked.copied;
            let forgotten = copied - asked.copied;
            self.decisions.insert(id, Decision { promised, copied, forgotten, ..asked });
        }
    }

    /// The process has ended with calls on their way: their decisions may hold or not.
    pub fn process_ended(&mut self) {
        for ((id, _), asked) in std::mem::take(&mut self.asked) {
            self.decisions.entry(id).or_insert(asked);
        }
        for decision in self.decisions.values_mut().filter(|decision| !decision.promised) {
            decision.forgotten = decision.copied;
        }
    }

    pub fn delivered(&mut self, id: Id, place: Place, process: u64, unseen_only: bool, journal: bool) {
        self.deliveries += 1;
        self.delivered.insert(id);
        let Some(decision) = self.decisions.get(&id).filter(|decision| decision.place == place) else {
            return;
        };
        let only_read = decision.action == Action::MarkSeen && decision.seen && !unseen_only;
        if decision.void || decision.shown_again || only_read {
            return;
        }
        if decision.process == process || decision.promised && journal {
            let what =
                format!("message {id} at {place:?} was decided about and is delivered again: {decision:?}");
            self.violated(what);
        }
    }

    /// Our connection changes a message.
    pub fn change(&mut self, id: Id, place: Place, identity: Identity, deed: Deed, folder: &str) {
        let fits = |decision: &Decision| decision.fits(deed, folder);
        let own = [self.decisions.get_mut(&id), self.asked.get_mut(&(id, place))];
        if let Some(decision) = own.into_iter().flatten().find(|decision| fits(decision)) {
            if let Some(problem) = decision.did(deed) {
                self.violation.get_or_insert(format!("message {id}: {problem}: {decision:?}"));
            }
            return;
        }
        // Nobody could tell these two apart.
        let twin = |decision: &Decision| {
            let dates = decision.identity.received == identity.received;
            let marks = [identity.mark, Mark::Unknown].contains(&decision.identity.mark);
            decision.place == place && dates && marks && fits(decision)
        };
        let copied_twin = |decision: &Decision| {
            let marks = [identity.mark, Mark::Unknown].contains(&decision.identity.mark);
            decision.copied > 0 && marks && deed != Deed::Copy
        };
        if self.decisions.contains_key(&id) && self.decisions.values().any(copied_twin) {
            return;
        }
        let mut decisions = self.decisions.values_mut().chain(self.asked.values_mut());
        if let Some(decision) = decisions.find(|decision| twin(decision)) {
            decision.did(deed);
            return;
        }
        let known = self.decisions.get(&id);
        let what = format!(
            "{deed:?} of message {id} at {place:?} into {folder:?}, which was not decided: {known:?}"
        );
        self.violated(what);
    }

    /// The disk lost the record of a decision under this UID.
    pub fn record_lost(&mut self, place: Place) {
        for decision in self.decisions.values_mut().filter(|decision| decision.place == place) {
            decision.promised = false;
            decision.forgotten = decision.copied;
        }
    }

    /// A copy is about to be made that no journal knows of, because none works.
    pub fn copies_unrecorded(&mut self, place: Place) {
        for decision in self.decisions.values_mut().filter(|decision| decision.place == place) {
            decision.forgotten += 1;
        }
    }

    /// Everything that was decided means nothing any more.
    pub fn all_void(&mut self) {
        for decision in self.decisions.values_mut().chain(self.asked.values_mut()) {
            decision.void = true;
        }
    }

    pub fn shown_again(&mut self, id: Id) {
        let asked =
            self.asked.iter_mut().filter(|((asked, _), _)| *asked == id).map(|(_, decision)| decision);
        for decision in self.decisions.get_mut(&id).into_iter().chain(asked) {
            decision.shown_again = true;
        }
    }
}

impl Decision {
    fn fits(&self, deed: Deed, folder: &str) -> bool {
        match (&self.action, deed) {
            (Action::Move(wanted), Deed::Move | Deed::Copy) => wanted == folder,
            (Action::Move(_), Deed::Deleted | Deed::Expunge) => self.copied > 0,
            (Action::Delete, Deed::Deleted | Deed::Expunge) => true,
            (Action::MarkSeen, Deed::Seen) => true,
            _ => false,
        }
    }

    fn did(&mut self, deed: Deed) -> Option<&'static str> {
        match deed {
            Deed::Move => self.moved += 1,
            Deed::Copy => self.copied += 1,
            Deed::Seen => self.seen = true,
            Deed::Deleted => self.deleted = true,
            Deed::Expunge => self.expunged = true,
        }
        (self.copied > self.forgotten + 2).then_some("more than one surplus copy")
    }
}
