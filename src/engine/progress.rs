//! One fetch: which messages are still to be asked for.

use std::collections::{BTreeMap, VecDeque};

use super::input::FetchId;
use super::problem::Problem;
use super::time::Time;
use super::verify::Present;
use super::window::{ASSUMED, Buffered, has_room, large};
use crate::imap::uids::{Uid, UidSet};

/// One fetch, from its SEARCH to its last message.
#[derive(Debug, Clone)]
pub(super) struct FetchProgress {
    pub id: FetchId,
    pub stage: Stage,
    /// Found, with an unknown size.
    pub waiting: UidSet,
    /// The server is asked for their sizes.
    pub sizing: Option<UidSet>,
    /// The next to be fetched, with their sizes.
    pub sized: VecDeque<(Uid, u64)>,
    /// Being fetched, with the octets that are reserved for each.
    pub asked: BTreeMap<Uid, usize>,
    /// The sum of the reserved octets.
    pub reserved: usize,
    /// The one of them that will go to a file.
    pub large: Option<Uid>,
    /// The server answered without these messages, once: each is asked for alone, for the others may be sound.
    pub retry: UidSet,
    /// The connection was lost at these messages, this often while nothing else was in flight; or the server told no size.
    /// They are asked for last, each with nothing else in flight.
    pub suspects: BTreeMap<Uid, u32>,
    /// Messages that were asked for alone.
    pub tried: UidSet,
    /// The server answered without these messages again: they are gone, or it cannot deliver them.
    pub silent: UidSet,
    pub silent_line: String,
    /// The server is asked which of them are there.
    pub doubted: Option<Present>,
    pub not_now: NotNow,
    /// Nothing else may be in flight: a failure would be the doing of these messages.
    pub exclusive: bool,
    /// The server has said which messages there are.
    pub begun: bool,
    /// The first messages were asked for, without waiting for their sizes.
    pub first_asked: bool,
    pub window: usize,
    /// A SEARCH without an answer was repeated.
    pub searched_again: bool,
    /// A response to the SEARCH has come.
    pub search_answered: bool,
    /// "Not now" was answered to this many commands in a row that ask for no message.
    pub postponed: u32,
    /// Connections that were lost since a message came.
    pub losses: u32,
    /// Since when nothing comes, and why.
    pub trouble: Option<(Time, Problem)>,
    /// Messages that cannot be delivered, and why not the last of them.
    pub set_aside: (u64, Option<Problem>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The session was idle: the server is to look for new messages first.
    New,
    /// It does. Dovecot shows them to a SEARCH that comes after the answer, not to one that comes before.
    Looking,
    /// SEARCH is to be sent.
    Ready,
    Searching,
    /// SEARCH named nothing though there are messages: the flags of all are read instead.
    Listing,
    Fetching,
}

/// Sets that the server answered with "not now".
#[derive(Debug, Clone, Default)]
pub(super) struct NotNow {
    /// Repeated as they were.
    again: VecDeque<Vec<(Uid, u64)>>,
    /// Messages that were in a repeated set.
    repeated: UidSet,
    /// Refused twice: narrowed down when all others have come.
    held_back: VecDeque<Vec<(Uid, u64)>>,
    /// The next message is asked for alone, to see whether the server delivers anything.
    probe: bool,
    /// The message that is asked for as a probe.
    probing: Option<Uid>,
    /// A message came since the last set was refused for the first time.
    others_come: bool,
    in_a_row: u32,
    pub line: String,
}

/// What "not now" means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It is too early to tell.
    Open,
    /// The server refuses this message while it delivers others.
    Message(Uid),
    /// The server refuses every message alike.
    Server,
}

impl FetchProgress {
    pub(super) fn new(id: FetchId) -> Self {
        Self {
            id,
            stage: Stage::New,
            waiting: UidSet::new(),
            sizing: None,
            sized: VecDeque::new(),
            asked: BTreeMap::new(),
            reserved: 0,
            large: None,
            retry: UidSet::new(),
            suspects: BTreeMap::new(),
            tried: UidSet::new(),
            silent: UidSet::new(),
            silent_line: String::new(),
            doubted: None,
            not_now: NotNow::default(),
            exclusive: false,
            begun: false,
            first_asked: false,
            window: super::window::FIRST_WINDOW,
            searched_again: false,
            search_answered: false,
            postponed: 0,
            losses: 0,
            trouble: None,
            set_aside: (0, None),
        }
    }

    /// Says whether every message was delivered or set aside.
    pub(super) fn is_over(&self) -> bool {
        self.is_asked_out()
            && self.suspects.is_empty()
            && self.silent.is_empty()
            && self.doubted.is_none()
            && self.not_now.is_empty()
    }

    /// Says whether the server has answered for every message but those that are asked for last.
    pub(super) fn is_asked_out(&self) -> bool {
        self.stage == Stage::Fetching
            && self.waiting.is_empty()
            && self.sizing.is_none()
            && self.sized.is_empty()
            && self.asked.is_empty()
    }

    /// Says whether the commands in flight must be answered before the next one is sent.
    pub(super) fn is_exclusive(&self) -> bool {
        self.exclusive && !self.asked.is_empty()
    }

    /// Says whether the next command must be alone in flight.
    pub(super) fn wants_exclusive(&self) -> bool {
        !self.not_now.again.is_empty() || self.not_now.probe
    }

    /// Drops messages that were decided about since they were found: nothing waits for them any more.
    pub(super) fn forget_decided(&mut self, decided: &UidSet) {
        if self.waiting.intersects(decided) {
            self.waiting.subtract(decided);
        }
        while self.sized.front().is_some_and(|(uid, _)| decided.contains(*uid)) {
            self.sized.pop_front();
        }
        self.suspects.retain(|uid, _| !decided.contains(*uid));
        self.not_now.forget(decided);
        self.silent.subtract(decided);
    }

    /// Takes the messages of which is to be asked now whether they are there at all.
    pub(super) fn next_doubts(&mut self) -> Option<UidSet> {
        if !self.is_asked_out() || self.silent.is_empty() || self.doubted.is_some() {
            return None;
        }
        let asked = self.silent.take_front(usize::MAX);
        self.doubted = Some(Present::new(asked.clone()));
        Some(asked)
    }

    /// Returns the messages that are to be asked for now with nothing else in flight: those at which something went wrong
    /// before, when no others are left.
    pub(super) fn next_alone(&mut self, buffered: Buffered, buffer: usize) -> Option<UidSet> {
        if !has_room(buffered.octets, buffer) || buffered.files > 0 || !self.asked.is_empty() {
            return None;
        }
        if let Some(set) = self.not_now.again.pop_front() {
            return Some(self.ask_exclusively(set, buffer));
        }
        if self.not_now.probe
            && let Some((uid, size)) = self.take_probe()
        {
            self.not_now.probe = false;
            self.not_now.probing = Some(uid);
            return Some(self.ask_exclusively(vec![(uid, size)], buffer));
        }
        if !self.is_asked_out() {
            return None;
        }
        if let Some(set) = self.not_now.held_back.pop_front() {
            return Some(self.ask_exclusively(set, buffer));
        }
        let (&uid, _) = self.suspects.iter().min_by_key(|&(_, lost)| lost)?;
        // Its size is not known: it may be a large message.
        Some(self.ask_exclusively(vec![(uid, ASSUMED)], buffer))
    }

    /// Takes the message that shows whether the server delivers any: one of those that were not refused, if there is one.
    fn take_probe(&mut self) -> Option<(Uid, u64)> {
        if let Some(next) = self.sized.pop_front() {
            return Some(next);
        }
        if let Some(uid) = self.waiting.first() {
            self.waiting.remove(uid);
            return Some((uid, ASSUMED));
        }
        let set = self.not_now.held_back.iter_mut().find(|set| set.len() > 1)?;
        Some(set.remove(0))
    }

    fn ask_exclusively(&mut self, messages: Vec<(Uid, u64)>, buffer: usize) -> UidSet {
        self.exclusive = true;
        if let [(uid, _)] = messages[..] {
            self.tried.insert(uid);
        }
        for &(uid, size) in &messages {
            // A large message goes to a file.
            self.ask(uid, if size > large(buffer) { 0 } else { size as usize });
        }
        messages.into_iter().map(|(uid, _)| uid).collect()
    }

    /// Asks for those of the found messages last that went wrong in an earlier fetch.
    pub(super) fn suspect(&mut self, uids: &UidSet) {
        let found = self.waiting.common(uids);
        self.waiting.subtract(&found);
        self.suspects.extend(found.iter().map(|uid| (uid, 0)));
    }

    /// Returns the first of these messages that has not come.
    pub(super) fn first_missing(&self, uids: &UidSet) -> Option<Uid> {
        uids.iter().find(|uid| self.asked.contains_key(uid))
    }

    /// The server has answered a FETCH of these messages with `line`. Each that has not come is asked for again alone, and
    /// then doubted.
    pub(super) fn answered_without(&mut self, uids: &UidSet, line: &str) {
        for uid in uids.iter() {
            if self.answered(uid).is_none() {
                continue;
            }
            self.suspects.remove(&uid);
            if self.tried.contains(uid) {
                self.silence(&uid.into(), line);
            } else {
                self.retry.insert(uid);
                self.waiting.insert(uid);
            }
        }
    }

    /// The server has answered "not now" to a FETCH of these messages.
    pub(super) fn answered_not_now(&mut self, uids: &UidSet, line: &str) -> Verdict {
        let missing: Vec<(Uid, u64)> =
            uids.iter().filter_map(|uid| Some((uid, self.answered(uid)? as u64))).collect();
        let not_now = &mut self.not_now;
        let probed = not_now.probing.take();
        let Some(&(first, _)) = missing.first() else { return Verdict::Open };
        line.clone_into(&mut not_now.line);
        not_now.in_a_row += 1;
        let alone = missing.len() == 1;
        if !missing.iter().all(|(uid, _)| not_now.repeated.contains(*uid)) && probed.is_none() {
            not_now.repeated.extend(missing.iter().map(|(uid, _)| *uid));
            not_now.others_come = false;
            not_now.again.push_back(missing);
            return Verdict::Open;
        }
        if not_now.others_come {
            if alone {
                self.suspects.remove(&first);
                return Verdict::Message(first);
            }
            let second = missing.len().div_ceil(2);
            not_now.held_back.push_back(missing[..second].to_vec());
            not_now.held_back.push_back(missing[second..].to_vec());
            return if not_now.in_a_row > IN_A_ROW { Verdict::Server } else { Verdict::Open };
        }
        if probed.is_some() {
            // A second probe, if there is one, tells whether the first one was a refused message itself.
            not_now.held_back.push_back(missing);
            if not_now.in_a_row > PROBES {
                return Verdict::Server;
            }
        } else {
            not_now.held_back.push_back(missing);
        }
        not_now.probe = true;
        let others = !self.sized.is_empty() || !self.waiting.is_empty();
        if others || self.not_now.held_back.iter().any(|set| set.len() > 1) {
            Verdict::Open
        } else {
            Verdict::Server
        }
    }

    /// The server has nothing for these messages, as `line` says.
    pub(super) fn silence(&mut self, uids: &UidSet, line: &str) {
        self.silent.add(uids);
        line.clone_into(&mut self.silent_line);
    }

    /// It is not known yet which of the doubted messages are there.
    pub(super) fn doubt_again(&mut self) {
        if let Some(doubted) = self.doubted.take() {
            self.silent.add(&doubted.asked);
        }
    }

    /// Of these messages, which are there, returns those that did not come when they were asked for alone. Of the others the
    /// server has told no size only; they are asked for.
    pub(super) fn tried_without_success(&mut self, present: &UidSet) -> UidSet {
        let untried = present.without(&self.tried);
        self.suspects.extend(untried.iter().map(|uid| (uid, 0)));
        present.common(&self.tried)
    }

    pub(super) fn set_aside(&mut self, why: Problem) {
        self.set_aside = (self.set_aside.0 + 1, Some(why));
    }

    /// Something went wrong. Trouble lasts from the first failure until something comes.
    pub(super) fn troubled(&mut self, now: Time, problem: Problem) {
        let since = self.trouble.as_ref().map_or(now, |(since, _)| *since);
        self.trouble = Some((since, problem));
    }

    pub(super) fn progressed(&mut self) {
        self.losses = 0;
        self.trouble = None;
        self.postponed = 0;
    }

    /// Asks for a message and reserves octets for it.
    pub(super) fn ask(&mut self, uid: Uid, octets: usize) {
        self.reserved += octets;
        self.asked.insert(uid, octets);
    }

    /// Notes that a message has come. Returns whether it was asked for.
    pub(super) fn arrived(&mut self, uid: Uid) -> bool {
        self.suspects.remove(&uid);
        self.not_now.arrived(uid);
        self.answered(uid).is_some()
    }

    /// Nothing more will come of what was asked for. Returns the octets that were reserved for it.
    pub(super) fn answered(&mut self, uid: Uid) -> Option<usize> {
        let octets = self.asked.remove(&uid)?;
        self.reserved -= octets;
        self.large.take_if(|large| *large == uid);
        self.exclusive &= !self.asked.is_empty();
        Some(octets)
    }

    /// Starts again with all that was under way. The connection was lost `at` a message, as far as that can be told. Returns
    /// whether it is to be set aside, because it was alone so often.
    pub(super) fn connection_lost(&mut self, at: Option<Uid>) -> bool {
        let alone = self.exclusive && self.asked.len() == 1;
        self.losses += 1;
        if !self.begun {
            self.stage = Stage::New;
            self.waiting.clear();
        }
        self.doubt_again();
        self.waiting.add(&self.sizing.take().unwrap_or_default());
        let asked = std::mem::take(&mut self.asked).into_keys();
        self.waiting.extend(asked.filter(|uid| !self.suspects.contains_key(uid)));
        self.not_now.connection_lost(&mut self.waiting);
        (self.reserved, self.large, self.exclusive) = (0, None, false);
        self.waiting.extend(std::mem::take(&mut self.sized).into_iter().map(|(uid, _)| uid));
        let Some(uid) = at else { return false };
        self.waiting.remove(uid);
        let lost = self.suspects.entry(uid).or_default();
        *lost += u32::from(alone);
        let given_up = *lost == LOST_ALONE;
        if given_up {
            self.suspects.remove(&uid);
        }
        given_up
    }
}

impl NotNow {
    fn is_empty(&self) -> bool {
        self.again.is_empty() && self.held_back.is_empty()
    }

    /// Returns all messages that are held back, for the next fetch to ask for them last.
    pub(super) fn messages(&self) -> UidSet {
        self.again.iter().chain(&self.held_back).flatten().map(|(uid, _)| *uid).collect()
    }

    fn forget(&mut self, decided: &UidSet) {
        for set in self.again.iter_mut().chain(&mut self.held_back) {
            set.retain(|(uid, _)| !decided.contains(*uid));
        }
        self.again.retain(|set| !set.is_empty());
        self.held_back.retain(|set| !set.is_empty());
    }

    fn arrived(&mut self, uid: Uid) {
        self.others_come = true;
        self.in_a_row = 0;
        self.probe = false;
        self.probing.take_if(|probing| *probing == uid);
    }

    /// Sets that are to be repeated are asked for like any other; sets that were refused twice stay held back.
    fn connection_lost(&mut self, waiting: &mut UidSet) {
        waiting.extend(self.again.drain(..).flatten().map(|(uid, _)| uid));
        self.probing = None;
        let held_back: UidSet = self.messages();
        waiting.subtract(&held_back);
    }
}

/// Connections that are lost at a message while nothing else is in flight, before it is set aside. One can have ended at that
/// moment for another reason.
const LOST_ALONE: u32 = 2;

/// Refusals in a row, with no message in between, after which the server is taken to refuse everything.
const IN_A_ROW: u32 = 10;

/// Refusals in a row, probes included, after which it is so if no message came at all.
const PROBES: u32 = 3;
