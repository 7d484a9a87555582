//! How many messages are asked for at a time: as many as there is memory for.

use std::collections::VecDeque;

use super::input::Placement;
use super::progress::FetchProgress;
use super::record::Mark;
use crate::imap::uids::{Uid, UidSet};

/// Messages that have arrived and that no caller has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buffered {
    /// Octets in memory.
    pub octets: usize,
    /// Messages in files.
    pub files: usize,
}

impl Buffered {
    /// Says where a message of this size is to be put, beside what is buffered.
    pub fn placement(self, octets: u64, buffer: usize) -> Placement {
        let free = buffer.saturating_sub(self.octets) as u64;
        if octets <= free && octets <= large(buffer) {
            Placement::Memory
        } else if self.files < FILES {
            Placement::File
        } else {
            Placement::PassOver
        }
    }
}

impl FetchProgress {
    /// Returns the messages to fetch now: those that fit in the free part of the buffer. Small batches would cost a round trip
    /// each, so a quarter of the buffer must be free. A large message goes to the disk instead, one at a time.
    pub(super) fn next_bodies(
        &mut self,
        buffered: Buffered,
        buffer: usize,
        decided: &UidSet,
    ) -> Option<UidSet> {
        if !self.first_asked {
            self.first_asked = true;
            self.waiting.subtract(decided);
            let uids = self.waiting.take_front(FIRST);
            uids.iter().for_each(|uid| self.ask(uid, ASSUMED as usize));
            return (!uids.is_empty()).then_some(uids);
        }
        // The sizes that are on their way come before any other answer.
        if self.sizing.is_some() && self.sized.len() < FEW / 2 {
            return None;
        }
        let taken = buffered.octets + self.reserved;
        let free = buffer.saturating_sub(taken);
        let idle = self.asked.is_empty() && buffered.octets == 0;
        if !has_room(taken, buffer) && !idle {
            return None;
        }
        let batch = self.choose(Choice { free, idle, files: buffered.files, buffer }, decided);
        // The messages for which the command line is too long go back.
        let mut rest: UidSet = batch.iter().map(|(uid, _)| *uid).collect();
        let uids = rest.take_front(usize::MAX);
        for (uid, size) in batch.into_iter().rev().filter(|(uid, _)| rest.contains(*uid)) {
            self.answered(uid);
            self.sized.push_front((uid, size));
        }
        (!uids.is_empty()).then_some(uids)
    }

    fn choose(&mut self, choice: Choice, decided: &UidSet) -> Vec<(Uid, u64)> {
        let Choice { free, idle, files, buffer } = choice;
        // Dovecot works on two commands at once. If they had the same size, they would end together and leave it idle.
        let limit = free - free / 4;
        let (mut batch, mut octets) = (Vec::new(), 0);
        while let Some(&(uid, size)) = self.sized.front() {
            if decided.contains(uid) {
                self.sized.pop_front();
                continue;
            }
            // A message that goes to a file takes no memory, but a connection for a while. One that failed may fail again.
            let to_file = size > large(buffer);
            let alone = to_file || self.retry.contains(uid);
            let reserved = if to_file { 0 } else { size as usize };
            if to_file && (files > 0 || self.large.is_some()) {
                break;
            }
            let full = alone || octets + reserved > limit || batch.len() == BATCH;
            if !batch.is_empty() && full || reserved > free && !idle {
                break;
            }
            self.sized.pop_front();
            batch.push((uid, size));
            octets += reserved;
            self.ask(uid, reserved);
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
        batch
    }

    /// Returns the messages to ask the size of now, when few are left whose size is known.
    pub(super) fn next_sizes(&mut self, decided: &UidSet) -> Option<UidSet> {
        if self.sizing.is_some() || self.sized.len() > FEW {
            return None;
        }
        self.waiting.subtract(decided);
        let uids = self.waiting.take_front(self.window);
        if uids.is_empty() {
            return None;
        }
        self.window = WINDOW;
        self.sizing = Some(uids.clone());
        Some(uids)
    }

    /// Notes a size that was asked for.
    pub(super) fn size(&mut self, uid: Uid, size: u64) {
        if self.sizing.as_mut().is_some_and(|sizing| sizing.remove(uid)) {
            self.ask_later(uid, size);
        }
    }

    /// Asks for a message of about this size later. On Exchange it is an estimate; a little memory is kept beyond it.
    pub(super) fn ask_later(&mut self, uid: Uid, size: u64) {
        self.sized.push_back((uid, size.saturating_add(size / 8).saturating_add(OF_A_MESSAGE as u64)));
    }
}

struct Choice {
    free: usize,
    idle: bool,
    files: usize,
    buffer: usize,
}

/// A message that waits for the caller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub uid: Uid,
    pub received: Option<i64>,
    pub mark: Mark,
    /// Octets of memory; `None` if the message is in a file.
    pub memory: Option<usize>,
}

/// Messages in the order in which callers get them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<Kept>,
    pub buffered: Buffered,
}

impl Queue {
    pub(super) fn push(&mut self, kept: Kept) {
        self.buffered.octets += kept.memory.unwrap_or_default();
        self.buffered.files += usize::from(kept.memory.is_none());
        self.messages.push_back(kept);
    }

    pub(super) fn pop(&mut self) -> Option<Kept> {
        let kept = self.messages.pop_front()?;
        self.buffered.octets -= kept.memory.unwrap_or_default();
        self.buffered.files -= usize::from(kept.memory.is_none());
        Some(kept)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Drops messages. Returns those that were there.
    pub(super) fn remove(&mut self, uids: &UidSet) -> Vec<Uid> {
        let (dropped, left) = self.messages.drain(..).partition(|kept| uids.contains(kept.uid));
        let dropped: VecDeque<Kept> = dropped;
        self.messages = left;
        for kept in &dropped {
            self.buffered.octets -= kept.memory.unwrap_or_default();
            self.buffered.files -= usize::from(kept.memory.is_none());
        }
        dropped.into_iter().map(|kept| kept.uid).collect()
    }

    pub(super) fn uids(&self) -> impl Iterator<Item = Uid> + '_ {
        self.messages.iter().map(|kept| kept.uid)
    }

    pub(super) fn clear(&mut self) -> Vec<Uid> {
        self.buffered = Buffered::default();
        self.messages.drain(..).map(|kept| kept.uid).collect()
    }
}

/// Says whether there is memory for another batch beside these octets.
pub(super) fn has_room(octets: usize, buffer: usize) -> bool {
    buffer.saturating_sub(octets) >= buffer / 4
}

/// A message of more octets than this goes to a file: two of the largest others fill the buffer.
pub(super) fn large(buffer: usize) -> u64 {
    buffer as u64 / 2
}

/// Octets of memory that a message takes beside its own: its fields, its place in a queue, and the allocator's.
pub const OF_A_MESSAGE: usize = 300;

/// Messages in files that may wait for the caller. No more than one is asked for as one, but the sizes of the first messages are
/// not known, and a server can tell wrong ones; a message beyond that is passed over and asked for again.
const FILES: usize = FIRST;

/// The first messages are fetched without knowing their sizes, so that the caller has something to do soon.
const FIRST: usize = 8;

/// Octets of a message whose size is not known; a bounce from Exchange Online has some 44,000.
pub(super) const ASSUMED: u64 = 64 * 1024;

/// Messages in one FETCH. At a round trip of 50 ms and bounces of 5.6 kB it is the buffer that limits.
const BATCH: usize = 2_000;

/// Messages whose sizes are asked for at once. The last batch before a window's end is a small one, and a round trip is not
/// hidden behind it.
const WINDOW: usize = 16_000;

/// The same for the first window, for which the caller waits.
pub(super) const FIRST_WINDOW: usize = 4_000;

/// The next window is asked for when no more messages than this are left of the one before.
const FEW: usize = 2_000;
