//! One fetch: which mails it has still to ask for, and how many of them at a time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use roaring::RoaringBitmap;

use crate::failure::Failure;
use crate::imap::uid_set;

use super::message::OF_A_MESSAGE;

/// One fetch, from its SEARCH to its last mail.
#[derive(Clone)]
pub(super) struct Run {
    pub fetch: u64,
    pub stage: Stage,
    /// Found, and nothing known of them.
    pub waiting: RoaringBitmap,
    /// Being asked for their size.
    pub sizing: Option<RoaringBitmap>,
    /// Their size is known; the next to be fetched.
    pub sized: VecDeque<(u32, u64)>,
    /// Being fetched, and the room that is kept for each.
    asked: BTreeMap<u32, usize>,
    /// The sum of that.
    kept: usize,
    /// The one of them that will go to a file.
    large: Option<u32>,
    /// The server answered without the mail, once: each of them alone, for the others may be sound.
    retry: RoaringBitmap,
    /// At which a connection was lost, or of which the server tells no size: asked for when no other mail is left, each with
    /// nothing else in flight, and how often a connection was lost at it then.
    suspects: BTreeMap<u32, u32>,
    /// Were asked for alone.
    tried: RoaringBitmap,
    /// The server answered without the mail again, and with what line last: these mails are gone, or it cannot deliver them.
    pub silent: RoaringBitmap,
    pub silent_line: String,
    /// Which of them are there is being asked, and which are.
    pub doubted: Option<(RoaringBitmap, RoaringBitmap)>,
    /// The server has told which mails there are.
    pub begun: bool,
    /// The first mails were asked for, without waiting for their sizes.
    first: bool,
    /// Mails whose sizes are asked for the next time.
    window: usize,
    /// Connections that were lost since a mail came.
    pub losses: u32,
    /// Since when there are losses.
    pub trouble: Option<Instant>,
    /// Mails that cannot be handed out, and why the last one cannot.
    pub set_aside: (u64, Option<Failure>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// On a session that was idle the server is to look for new mail first.
    New,
    /// It does; Dovecot shows the mail to a SEARCH that comes after the answer, not to one that comes before.
    Looking,
    /// Wants its SEARCH.
    Ready,
    Searching,
    Fetching,
}

impl Run {
    pub(super) fn new(fetch: u64) -> Self {
        Self {
            fetch,
            stage: Stage::New,
            waiting: RoaringBitmap::new(),
            sizing: None,
            sized: VecDeque::new(),
            asked: BTreeMap::new(),
            kept: 0,
            large: None,
            retry: RoaringBitmap::new(),
            suspects: BTreeMap::new(),
            tried: RoaringBitmap::new(),
            silent: RoaringBitmap::new(),
            silent_line: String::new(),
            doubted: None,
            begun: false,
            first: false,
            window: FIRST_WINDOW,
            losses: 0,
            trouble: None,
            set_aside: (0, None),
        }
    }

    /// Every mail was handed over, or set aside.
    pub(super) fn is_over(&self) -> bool {
        self.is_asked_out() && self.suspects.is_empty() && self.silent.is_empty() && self.doubted.is_none()
    }

    /// The server has answered for every mail but those at which it broke down.
    fn is_asked_out(&self) -> bool {
        self.stage == Stage::Fetching
            && self.waiting.is_empty()
            && self.sizing.is_none()
            && self.sized.is_empty()
            && self.asked.is_empty()
    }

    /// The mails of which is to be asked now whether they are there at all.
    pub(super) fn next_doubts(&mut self, decided: &RoaringBitmap) -> Option<RoaringBitmap> {
        self.silent -= decided;
        if !self.is_asked_out() || self.silent.is_empty() || self.doubted.is_some() {
            return None;
        }
        let uids = uid_set::take_front(&mut self.silent, usize::MAX);
        self.doubted = Some((uids.clone(), RoaringBitmap::new()));
        Some(uids)
    }

    /// The mail that is to be asked for now with nothing else in flight. Its size is not known: it can be a large one.
    pub(super) fn next_suspect(
        &mut self,
        held: Held,
        buffer: usize,
        decided: &RoaringBitmap,
    ) -> Option<RoaringBitmap> {
        self.suspects.retain(|uid, _| !decided.contains(*uid));
        if !self.is_asked_out() || !has_room(held.octets, buffer) || held.files > 0 {
            return None;
        }
        let (&uid, _) = self.suspects.iter().min_by_key(|&(_, lost)| lost)?;
        self.tried.insert(uid);
        self.ask(uid, ASSUMED as usize);
        Some([uid].into_iter().collect())
    }

    /// A suspect is under way, which is asked for when nothing else is. Nothing else may be in flight now: if the connection is
    /// lost, it is this mail's doing.
    pub(super) fn is_alone(&self) -> bool {
        self.asked.first_key_value().is_some_and(|(uid, _)| self.suspects.contains_key(uid))
    }

    /// These are asked for last, as far as they were found.
    pub(super) fn suspect(&mut self, uids: &RoaringBitmap) {
        let found = &self.waiting & uids;
        self.waiting -= &found;
        self.suspects.extend(found.into_iter().map(|uid| (uid, 0)));
    }

    /// The first of these mails that has not come.
    pub(super) fn first_missing(&self, uids: &RoaringBitmap) -> Option<u32> {
        uids.iter().find(|uid| self.asked.contains_key(uid))
    }

    /// The server has answered a FETCH of these mails with `line`: what has not come is asked for again, alone, and then
    /// doubted.
    pub(super) fn answered_without(&mut self, uids: &RoaringBitmap, line: &str) {
        for uid in uids {
            if self.answered(uid).is_none() {
                continue;
            }
            self.suspects.remove(&uid);
            if self.tried.contains(uid) {
                self.silence([uid], line);
            } else {
                self.retry.insert(uid);
                self.waiting.insert(uid);
            }
        }
    }

    /// A FETCH of these mails is to be sent again.
    pub(super) fn ask_again(&mut self, uids: &RoaringBitmap) {
        for uid in uids {
            if self.answered(uid).is_some() && !self.suspects.contains_key(&uid) {
                self.waiting.insert(uid);
            }
        }
    }

    /// The server has nothing for these mails, as `line` says.
    pub(super) fn silence(&mut self, uids: impl IntoIterator<Item = u32>, line: &str) {
        self.silent.extend(uids);
        line.clone_into(&mut self.silent_line);
    }

    /// Nobody knows yet which of them are there.
    pub(super) fn doubt_again(&mut self) {
        if let Some((asked, _)) = self.doubted.take() {
            self.silent |= asked;
        }
    }

    /// The mails to fetch now: what fits in the room that is left beside what is `held`. Small helpings would cost a round
    /// trip each, so there is none before a quarter of the buffer is free. A large mail takes room on the disk instead, so
    /// it waits until no other is there.
    pub(super) fn next_bodies(
        &mut self,
        held: Held,
        buffer: usize,
        decided: &RoaringBitmap,
    ) -> Option<RoaringBitmap> {
        if !self.first {
            self.first = true;
            self.waiting -= decided;
            let uids = uid_set::take_front(&mut self.waiting, FIRST);
            uids.iter().for_each(|uid| self.ask(uid, ASSUMED as usize));
            return (!uids.is_empty()).then_some(uids);
        }
        // The sizes that are on their way come before any other answer.
        if self.sizing.is_some() && self.sized.len() < FEW / 2 {
            return None;
        }
        let taken = held.octets + self.kept;
        let room = buffer.saturating_sub(taken);
        let idle = self.asked.is_empty() && held.octets == 0;
        if !has_room(taken, buffer) && !idle {
            return None;
        }
        // Dovecot works on two commands at once: had they the same size, they would end together, and then it had nothing to do.
        let helping = room - room / 4;
        let (mut uids, mut octets) = (RoaringBitmap::new(), 0);
        while let Some(&(uid, size)) = self.sized.front() {
            if decided.contains(uid) {
                self.sized.pop_front();
                continue;
            }
            // One that goes to a file takes no room, but a connection for a while; one that failed may fail again.
            let to_file = size > large(buffer);
            let alone = to_file || self.retry.contains(uid);
            let size = if to_file { 0 } else { size as usize };
            if to_file && (held.files > 0 || self.large.is_some()) {
                break;
            }
            if !uids.is_empty() && (alone || octets + size > helping || uids.len() == BATCH)
                || size > room && !idle
            {
                break;
            }
            self.sized.pop_front();
            uids.insert(uid);
            octets += size;
            self.ask(uid, size);
            if to_file {
                self.large = Some(uid);
            }
            if self.retry.contains(uid) {
                self.tried.insert(uid);
            }
            if alone {
                break;
            }
        }
        // What the command line has no place for goes back.
        let mut rest = uids;
        let uids = uid_set::take_front(&mut rest, usize::MAX);
        for uid in rest.iter().collect::<Vec<_>>().into_iter().rev() {
            let size = self.answered(uid).unwrap_or_default();
            self.sized.push_front((uid, size as u64));
        }
        (!uids.is_empty()).then_some(uids)
    }

    /// The mails to ask the size of now, when few are left whose size is known.
    pub(super) fn next_sizes(&mut self, decided: &RoaringBitmap) -> Option<RoaringBitmap> {
        if self.sizing.is_some() || self.sized.len() > FEW {
            return None;
        }
        self.waiting -= decided;
        let uids = uid_set::take_front(&mut self.waiting, self.window);
        if uids.is_empty() {
            return None;
        }
        self.window = WINDOW;
        self.sizing = Some(uids.clone());
        Some(uids)
    }

    /// A size came.
    pub(super) fn size(&mut self, uid: u32, size: u64) {
        if self.sizing.as_mut().is_some_and(|sizing| sizing.remove(uid)) {
            self.ask_later(uid, size);
        }
    }

    /// A mail of about this size is to be asked for. On Exchange it is an estimate; a little room is kept beyond it.
    pub(super) fn ask_later(&mut self, uid: u32, size: u64) {
        self.sized.push_back((uid, size.saturating_add(size / 8).saturating_add(OF_A_MESSAGE as u64)));
    }

    /// Of these mails, which are there, the ones that did not come when they were asked for alone. Of the others the server
    /// has told no size only; they get their chance.
    pub(super) fn tried_in_vain(&mut self, there: &RoaringBitmap) -> RoaringBitmap {
        let untried = there - &self.tried;
        self.suspects.extend(untried.into_iter().map(|uid| (uid, 0)));
        there & &self.tried
    }

    /// A mail stays where it is.
    pub(super) fn set_aside(&mut self, why: Failure) {
        self.set_aside = (self.set_aside.0 + 1, Some(why));
    }

    pub(super) fn progress(&mut self) {
        self.losses = 0;
        self.trouble = None;
    }

    /// Asks for a mail, and keeps room for it.
    pub(super) fn ask(&mut self, uid: u32, octets: usize) {
        self.kept += octets;
        self.asked.insert(uid, octets);
    }

    /// The mail has come: whether it was asked for.
    pub(super) fn arrived(&mut self, uid: u32) -> bool {
        self.suspects.remove(&uid);
        self.answered(uid).is_some()
    }

    /// Nothing more will come of what was asked for: the room that was kept for it.
    fn answered(&mut self, uid: u32) -> Option<usize> {
        let octets = self.asked.remove(&uid)?;
        self.kept -= octets;
        self.large.take_if(|large| *large == uid);
        Some(octets)
    }

    /// What was under way begins anew. The connection was lost `at` a mail, as far as that can be told: true where it was
    /// alone so often that it is to be set aside.
    pub(super) fn connection_lost(&mut self, at: Option<u32>) -> bool {
        let alone = self.is_alone();
        self.losses += 1;
        self.trouble.get_or_insert_with(Instant::now);
        if !self.begun {
            self.stage = Stage::New;
            self.waiting.clear();
        }
        self.doubt_again();
        self.waiting.extend(self.sizing.take().unwrap_or_default());
        let asked = std::mem::take(&mut self.asked).into_keys();
        self.waiting.extend(asked.filter(|uid| !self.suspects.contains_key(uid)));
        self.kept = 0;
        self.large = None;
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

/// What has arrived and nobody has taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    /// In memory.
    pub octets: usize,
    /// Mails in files.
    pub files: usize,
}

/// Whether there is room for another helping beside `held` octets.
pub(super) fn has_room(held: usize, buffer: usize) -> bool {
    buffer.saturating_sub(held) >= buffer / 4
}

/// A mail of more octets than this goes to a file: two of the largest others fill the buffer.
pub(super) fn large(buffer: usize) -> u64 {
    buffer as u64 / 2
}

/// Mails in files that may wait for the caller. No more than one is asked for as one, but the sizes of the first mails are
/// not known, and a server can tell wrong ones; what comes beyond is passed over and asked for again.
pub(super) const FILES: usize = FIRST;

/// The first mails are fetched without knowing their sizes, so that the caller has something to do soon.
const FIRST: usize = 8;

/// Connections that are lost at a mail while nothing else is in flight, before it is set aside. One can have ended at that
/// moment for another reason.
const LOST_ALONE: u32 = 2;

/// Octets of a mail whose size is not known; a bounce from Exchange Online has some 44,000.
pub(super) const ASSUMED: u64 = 64 * 1024;

/// Mails in one FETCH. At a round trip of 50 ms and bounces of 5.6 kB it is the buffer that limits.
const BATCH: u64 = 2_000;

/// Mails whose sizes are asked for at once. The last helping before a window's end is a small one, and a round trip is not hidden
/// behind it.
const WINDOW: usize = 16_000;

/// The same the first time, when the caller waits for what comes behind it.
const FIRST_WINDOW: usize = 4_000;

/// The next window is asked for when no more mails than this are left of the one before: a helping of small ones.
const FEW: usize = 2_000;

#[cfg(test)]
mod tests {
    use once_cell::sync::Lazy;

    use super::*;

    const BUFFER: usize = 1_000_000;
    static NONE: Lazy<RoaringBitmap> = Lazy::new(RoaringBitmap::new);

    /// A fetch of `mails` mails, the first of which were asked for and have come.
    fn run(mails: u32) -> Run {
        let mut run = Run::new(1);
        run.stage = Stage::Fetching;
        run.waiting = (1..=mails).collect();
        let first = run.next_bodies(Held::default(), BUFFER, &NONE).unwrap_or_default();
        first.iter().for_each(|uid| assert!(run.answered(uid).is_some()));
        run
    }

    fn sized(mut run: Run, size: impl Fn(u32) -> u64) -> Run {
        let uids = run.next_sizes(&NONE).unwrap_or_default();
        uids.iter().for_each(|uid| run.size(uid, size(uid)));
        run.sizing = None;
        run
    }

    fn held(octets: usize) -> Held {
        Held { octets, files: 0 }
    }

    #[test]
    fn the_first_mails_are_asked_for_without_their_sizes() {
        let mut run = Run::new(1);
        run.waiting = (1..=100).collect();
        assert_eq!(
            run.next_bodies(Held::default(), BUFFER, &NONE).map(|uids| uids.len()),
            Some(FIRST as u64)
        );
    }

    #[test]
    fn what_is_asked_for_fits_in_the_buffer_with_what_nobody_has_taken() {
        let mut run = sized(run(1_000), |_| 8_000);
        let mut room = 0;
        while let Some(uids) = run.next_bodies(held(100_000), BUFFER, &NONE) {
            room += 9_000 * uids.len() as usize;
            assert!(100_000 + room <= BUFFER, "{room}");
        }
        assert!(room > BUFFER / 2);
    }

    #[test]
    fn what_a_mail_takes_beside_its_octets_counts_too() {
        let mut run = sized(run(1_000), |_| 1);
        let uids = run.next_bodies(Held::default(), 100_000, &NONE).unwrap_or_default();
        let fit = 100_000 / OF_A_MESSAGE as u64;
        assert!((fit / 2..=fit * 3 / 4).contains(&uids.len()), "{} of {fit}", uids.len());
    }

    #[test]
    fn a_mail_larger_than_half_the_buffer_comes_alone_takes_no_room_and_waits_until_no_other_is_there() {
        let mut run = sized(run(14), |uid| if uid == 10 || uid == 13 { BUFFER as u64 } else { 100 });
        let mut ask = |files| {
            let held = Held { octets: 0, files };
            let asked = std::iter::from_fn(|| run.next_bodies(held, BUFFER, &NONE));
            let asked: Vec<Vec<u32>> = asked.map(|uids| uids.iter().collect()).collect();
            assert!(run.kept < BUFFER / 2);
            asked.iter().flatten().for_each(|&uid| assert!(uid == 10 || run.arrived(uid)));
            asked
        };
        assert_eq!(ask(1), [vec![9]]);
        assert_eq!(ask(0), [vec![10], vec![11, 12]]);
        assert!(ask(0).is_empty(), "one is on its way");
        assert!(run.arrived(10));
        assert_eq!(run.next_bodies(Held { octets: 0, files: 1 }, BUFFER, &NONE), None, "nobody has taken it");
        assert_eq!(run.next_bodies(Held::default(), BUFFER, &NONE).and_then(|uids| uids.min()), Some(13));
    }

    #[test]
    fn nothing_more_is_asked_for_while_the_caller_takes_nothing() {
        let mut run = sized(run(100), |_| 8_000);
        assert_eq!(run.next_bodies(held(BUFFER), BUFFER, &NONE), None);
        assert!(run.next_bodies(held(BUFFER / 2), BUFFER, &NONE).is_some());
    }

    #[test]
    fn even_a_mail_that_fits_nowhere_is_asked_for_when_nothing_else_is_held() {
        let mut run = sized(run(9), |_| BUFFER as u64 / 2);
        assert!(run.next_bodies(Held::default(), BUFFER / 8, &NONE).is_some());
    }

    #[test]
    fn a_size_that_nobody_asked_for_changes_nothing() {
        let mut run = run(9);
        run.size(9, 100);
        assert!(run.sized.is_empty());
    }

    #[test]
    fn after_a_lost_connection_every_mail_that_has_not_come_is_waited_for_again() {
        let mut run = sized(run(100), |_| 8_000);
        let asked = run.next_bodies(Held::default(), BUFFER, &NONE).unwrap_or_default();
        let come = asked.min().unwrap_or_default();
        assert!(run.answered(come).is_some());
        run.begun = true;
        run.connection_lost(None);
        let mut expected: RoaringBitmap = (1 + FIRST as u32..=100).collect();
        expected.remove(come);
        assert_eq!((run.waiting, run.kept), (expected, 0));
    }

    #[test]
    fn a_mail_at_which_connections_are_lost_is_asked_for_last_and_given_up_when_it_was_alone_twice() {
        let mut run = sized(run(12), |_| 100);
        run.begun = true;
        assert!(run.next_bodies(Held::default(), BUFFER, &NONE).is_some() && !run.connection_lost(Some(10)));
        let mut run = sized(run, |_| 100);
        let others = run.next_bodies(Held::default(), BUFFER, &NONE).unwrap_or_default();
        assert_eq!(others.iter().collect::<Vec<_>>(), [9, 11, 12]);
        assert_eq!(run.next_suspect(Held::default(), BUFFER, &NONE), None, "the others come first");
        assert!(run.arrived(9) && run.arrived(12) && !run.connection_lost(Some(11)));
        let mut lost_at = |uid: u32| {
            let asked = run.next_suspect(Held::default(), BUFFER, &NONE).unwrap_or_default();
            assert_eq!(asked.iter().collect::<Vec<_>>(), [uid]);
            assert!(run.is_alone() && !run.is_over());
            run.connection_lost(run.first_missing(&asked))
        };
        assert_eq!([lost_at(10), lost_at(11), lost_at(10), lost_at(11)], [false, false, true, true]);
        assert!(run.is_over());
    }

    #[test]
    fn what_was_decided_meanwhile_is_not_asked_for() {
        let decided: RoaringBitmap = [1, 9, 10, 12].into_iter().collect();
        let mut run = sized(run(11), |_| 100);
        run.waiting.insert(12);
        let uids = run.next_bodies(Held::default(), BUFFER, &decided).unwrap_or_default();
        assert_eq!(uids.iter().collect::<Vec<_>>(), [11]);
        run.answered_without(&uids, "OK");
        assert_eq!(run.next_sizes(&[11, 12].into_iter().collect()), None);
        run.silence([9, 10], "OK");
        assert_eq!(run.next_doubts(&decided), None);
        assert!(run.is_over());
    }
}
