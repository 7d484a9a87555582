//! Whether a UID still names the message that was decided about.

use std::collections::BTreeMap;

use super::decisions::{Batch, Decided};
use super::effect::{Ask, Report};
use super::input::{Answer, Attributes, Status};
use super::problem::Problem;
use super::record::{Copy, Identity, Mark};
use super::{Engine, Purpose};
use crate::imap::uids::{Uid, UidSet};

/// Compares decisions with the messages on the server.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// A command for it is in flight.
    pub asking: bool,
    /// It is asked whether messages have gone that were changed.
    pub proving: bool,
    /// The server's answers so far, and how often each message was asked for.
    seen: BTreeMap<Uid, Seen>,
    /// The messages for which the server had no answer: they are gone, or it does not tell.
    silent: Option<(UidSet, String)>,
    /// Which of them are there.
    pub present: Option<Present>,
}

/// Asks which messages are in the folder.
#[derive(Debug, Clone)]
pub(super) struct Present {
    pub asked: UidSet,
    pub found: UidSet,
    /// A response to the SEARCH has come.
    pub answered: bool,
    /// SEARCH had no response, so FETCH is to name the messages.
    pub listing: bool,
}

impl Present {
    pub(super) fn new(asked: UidSet) -> Self {
        Self { asked, found: UidSet::new(), answered: false, listing: false }
    }

    /// Says whether the question is to be put in another way. No answer is not the answer "nothing", but some servers leave
    /// the line out if nothing matches.
    pub(super) fn is_open(&mut self, answer: &Answer) -> bool {
        answer.status == Status::Ok && !self.answered && !std::mem::replace(&mut self.listing, true)
    }
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The last two answers.
    now: Option<Identity>,
    before: Option<Identity>,
    size: Option<u64>,
    rounds: u8,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    Same,
    Other,
    /// There is nothing to compare.
    Unclear,
}

impl Comparison {
    pub(super) fn is_busy(&self) -> bool {
        self.asking || self.proving
    }

    pub(super) fn has_silent(&self) -> bool {
        self.silent.is_some()
    }
}

/// Compares a message with what the server says of the UID now.
pub(super) fn compare(decided: Identity, seen: Identity) -> Likeness {
    let dates = decided.received.zip(seen.received);
    if dates.is_some_and(|(decided, seen)| decided != seen) {
        return Likeness::Other;
    }
    match (decided.mark, seen.mark) {
        (Mark::Fields(decided), Mark::Fields(seen)) if decided == seen => Likeness::Same,
        (Mark::Fields(_), Mark::Fields(_)) | (Mark::Nothing, Mark::Fields(_)) => Likeness::Other,
        // A record of version 1 has the date only.
        (Mark::Unknown, _) if dates.is_some() => Likeness::Same,
        (Mark::Unknown | Mark::Nothing, _) | (Mark::Fields(_), _) => Likeness::Unclear,
    }
}

impl Engine {
    pub(super) fn forget_comparison(&mut self) {
        self.comparison = Comparison::default();
        self.searching = false;
        self.found_in_search = 0;
        self.unproven_since = None;
        self.copy_check = None;
        // Its batch is to be recognised first.
        self.waiting_change = None;
        self.gone.clear();
        self.copied.clear();
    }

    /// Asks for what the unverified messages are recognised by. Returns whether a command was sent.
    pub(super) fn verification(&mut self) -> bool {
        if let Some((silent, _)) = &self.comparison.silent {
            if self.in_flight() > 0 || self.searching {
                return false;
            }
            let asked = silent.clone();
            self.comparison.present = Some(Present::new(asked.clone()));
            self.comparison.asking = true;
            self.searching = true;
            self.ask(Ask::Present { uids: asked, undeleted: false }, Purpose::SilentPresent);
            return true;
        }
        let seen = |uid| self.comparison.seen.get(&uid);
        let mut uids = UidSet::new();
        for batch in &self.decisions.unverified {
            let open = |message: &&Decided| {
                seen(message.uid).is_none_or(|seen| seen.is_open((!batch.known).then_some(message.identity)))
            };
            uids.extend(batch.messages.iter().filter(open).map(|message| message.uid));
        }
        let uids = uids.take_front(usize::MAX);
        if uids.is_empty() {
            self.verify();
            return self.settlement();
        }
        for uid in uids.iter() {
            let seen = self.comparison.seen.entry(uid).or_insert(Seen {
                now: None,
                before: None,
                size: None,
                rounds: 0,
            });
            seen.before = seen.now.take().or(seen.before);
            seen.rounds += 1;
        }
        self.comparison.asking = true;
        self.ask(Ask::Headers(uids.clone()), Purpose::Headers { uids });
        true
    }

    /// Takes in what the server says of a message.
    pub(super) fn compare(&mut self, attributes: &Attributes) {
        self.compare_copy(attributes);
        if let Some(present) = self.comparison.present.as_mut().filter(|present| present.listing)
            && present.asked.contains(attributes.uid)
            && !attributes.flags.is_some_and(|flags| flags.deleted)
        {
            present.found.insert(attributes.uid);
        }
        let Some(identity) = attributes.identity else { return };
        if let Some(seen) = self.comparison.seen.get_mut(&attributes.uid)
            && self.comparison.asking
        {
            seen.now = Some(identity);
            seen.size = attributes.size.or(seen.size);
        }
    }

    /// The server has answered for these messages.
    pub(super) fn headers_answered(&mut self, uids: &UidSet, answer: &Answer) {
        self.comparison.asking = false;
        if let Status::NotNow(_) = answer.status {
            return self.headers_not_now(uids, answer);
        }
        let mut silent: UidSet = uids
            .iter()
            .filter(|uid| self.comparison.seen.get(uid).is_none_or(|seen| seen.now.is_none()))
            .collect();
        if !silent.is_empty() {
            // `NO Some of the requested messages no longer exist` is Exchange's way to refuse the others, too.
            let asked = silent.take_front(usize::MAX);
            self.comparison.seen.retain(|uid, _| !silent.contains(*uid));
            self.comparison.silent = Some((asked, answer.line.clone()));
        }
    }

    /// The question is put again once; then the messages wait.
    fn headers_not_now(&mut self, uids: &UidSet, answer: &Answer) {
        let repeated =
            uids.iter().any(|uid| self.comparison.seen.get(&uid).is_some_and(|seen| seen.rounds > 1));
        if repeated {
            self.comparison.seen.retain(|uid, _| !uids.contains(*uid));
            self.wait_unrecognised(uids, &answer.line);
        }
    }

    /// The server has said which of the silent messages are there.
    pub(super) fn silent_answered(&mut self, answer: &Answer) {
        self.searching = false;
        self.comparison.asking = false;
        let Some(mut present) = self.comparison.present.take() else { return };
        if present.is_open(answer) {
            self.comparison.asking = true;
            self.ask(Ask::Sizes(present.asked.clone()), Purpose::SilentPresent);
            self.comparison.present = Some(present);
            return;
        }
        if let Status::NotNow(Some(_)) = answer.status {
            return;
        }
        let Some((asked, line)) = self.comparison.silent.take() else { return };
        // A server that does not say must not be taken to say that they are gone.
        let there = if answer.status == Status::Ok { present.found } else { asked.clone() };
        let gone = asked.without(&there);
        self.comparison.seen.retain(|uid, _| !asked.contains(*uid));
        self.messages_gone(&gone);
        let known = self.decisions.unverified.iter().filter(|batch| batch.known);
        let known: UidSet = known.flat_map(|batch| &batch.messages).map(|message| message.uid).collect();
        for uid in there.common(&known).iter() {
            let identity = Identity { received: None, mark: Mark::Unknown };
            self.comparison
                .seen
                .insert(uid, Seen { now: Some(identity), before: None, size: None, rounds: 1 });
        }
        let there = there.without(&known);
        if !there.is_empty() {
            self.wait_unrecognised(&there, &line);
        }
    }

    /// Messages of unverified batches are not there any more: nothing is left to do for them.
    fn messages_gone(&mut self, gone: &UidSet) {
        let mut done = UidSet::new();
        for batch in &mut self.decisions.unverified {
            if let Some(lost) = batch.split_off(gone) {
                done.add(&lost.uids());
                // The refusal may have been for those.
                batch.refusal = None;
            }
        }
        self.decisions.unverified.retain(|batch| !batch.messages.is_empty());
        if !done.is_empty() {
            self.done(&done);
        }
    }

    /// Messages are there, but the server does not tell what they are recognised by: their decisions wait.
    fn wait_unrecognised(&mut self, uids: &UidSet, line: &str) {
        for mut batch in std::mem::take(&mut self.decisions.unverified) {
            if let Some(unknown) = batch.split_off(uids)
                && let Some(first) = unknown.messages.first()
            {
                let problem = Problem::Unrecognisable { uid: first.uid, line: line.to_owned() };
                self.report(Report::Waiting(problem.clone()));
                self.decisions.refused(Batch { unverified: true, ..unknown }, problem, self.now);
            }
            if !batch.messages.is_empty() {
                self.decisions.unverified.push(batch);
            }
        }
    }

    /// All answers are there: decides for each message whether it is still the same.
    fn verify(&mut self) {
        let mut void = UidSet::new();
        for mut batch in std::mem::take(&mut self.decisions.unverified) {
            let before = batch.messages.len();
            let mut unclear = UidSet::new();
            let mut other = UidSet::new();
            for message in &mut batch.messages {
                let Some(seen) = self.comparison.seen.get(&message.uid) else { continue };
                message.size = seen.size;
                message.mark = seen.now.map_or(Mark::Unknown, |now| now.mark);
                match seen.likeness(message.identity) {
                    _ if batch.known => {}
                    Likeness::Same => {}
                    Likeness::Unclear => _ = unclear.insert(message.uid),
                    Likeness::Other => _ = other.insert(message.uid),
                }
            }
            batch.split_off(&other);
            void.add(&other);
            if let Some(unclear) = batch.split_off(&unclear)
                && let Some(first) = unclear.messages.first()
            {
                let problem = Problem::NothingToCompare { uid: first.uid };
                self.report(Report::Waiting(problem.clone()));
                self.decisions.refused(Batch { unverified: true, ..unclear }, problem, self.now);
            }
            if batch.messages.is_empty() {
                continue;
            }
            let fewer = batch.messages.len() < before;
            match batch.copy {
                Copy::Sent(_) => self.decisions.uncertain_copies.push(batch),
                _ => self.decisions.verified(batch, fewer, self.now),
            }
        }
        self.comparison.seen.clear();
        self.make_messages_void(&void);
    }

    /// These UIDs name other messages than those that were decided about. The decisions are void, and the messages are
    /// delivered like any other.
    fn make_messages_void(&mut self, uids: &UidSet) {
        if uids.is_empty() {
            return;
        }
        uids.iter().for_each(|uid| self.report(Report::DecisionVoid(uid)));
        // A message in the buffer from before the loss is the old one.
        let old = self.queue.remove(&uids.common(&self.unsure));
        self.discard(old);
        self.decided.subtract(uids);
        self.decisions.forget(uids.len() as usize);
        self.cross_out(uids);
    }
}

/// How often a message is asked for at most before it waits.
const ROUNDS: u8 = 4;

impl Seen {
    /// Says whether the message is to be asked for (again): the answer is missing, or names another message for the first time.
    /// `decided` is `None` if the UID is known to mean the same message.
    fn is_open(&self, decided: Option<Identity>) -> bool {
        match (self.now, decided) {
            (None, _) => true,
            (Some(now), Some(decided)) => {
                self.before.is_none() && self.rounds < ROUNDS && compare(decided, now) == Likeness::Other
            }
            (Some(_), None) => false,
        }
    }

    fn likeness(&self, decided: Identity) -> Likeness {
        let Some(now) = self.now else { return Likeness::Unclear };
        match compare(decided, now) {
            // A server that does not answer alike twice proves nothing.
            Likeness::Other if self.before != Some(now) => Likeness::Unclear,
            likeness => likeness,
        }
    }
}
