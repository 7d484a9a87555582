//! The mailbox directory as the engine sees it: work goes in, events come out.

use std::collections::VecDeque;

use um_imap_oauth2::engine::record::{Copy, FileEvent, FileWork, Found, Pending, Record, Seq};
use um_imap_oauth2::failure::{Failure, Kind, Step};

use crate::disk::MemoryDisk;
use crate::ledger::Place;
use crate::random::Random;
use crate::real::{RealFiles, directory};

/// What survives a process.
#[derive(Debug, Default)]
pub struct Disk {
    /// What a kill leaves.
    pub written: Vec<Record>,
    /// What a loss of power leaves at least.
    pub synced: Vec<Record>,
    pub batch_size: Option<u16>,
    /// Places of decisions whose records the disk lost since this was last asked.
    pub lost: Vec<Place>,
    /// The real code runs over this one.
    pub memory: Option<MemoryDisk>,
    /// Since the last claim, something happened after which records may be missing.
    pub uncertain: bool,
    /// The real code has lost what it must not lose.
    pub broken: Option<String>,
}

/// Faults of the next call.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFaults {
    pub fails: bool,
    pub busy: bool,
}

/// The directory as one process has it open.
#[derive(Debug, Default)]
pub struct Files {
    pub work: VecDeque<FileWork>,
    pub claimed: bool,
    pub broken: bool,
    pub last: Seq,
    /// The directory was removed or replaced.
    pub replaced: bool,
    pub real: Option<RealFiles>,
}

impl Disk {
    /// Takes the power away: any part of what was not synced may be there.
    pub fn lose_power(&mut self, random: &mut Random) {
        if let Some(memory) = &self.memory {
            memory.lose_power(&mut |limit| random.below(limit));
            // What was synced must be there when the journal is read again.
            let crossed_out = self.written.iter().filter(|record| matches!(record, Record::Done { .. }));
            let left = self.synced.iter().chain(crossed_out).cloned().collect();
            return self.keep(left);
        }
        let common =
            self.written.iter().zip(&self.synced).take_while(|(written, synced)| written == synced).count();
        let left = if common == self.synced.len() {
            let more = random.below((self.written.len() - common) as u64 + 1) as usize;
            self.written[..common + more].to_vec()
        } else if random.chance(500) {
            self.synced.clone()
        } else {
            self.written.clone()
        };
        self.keep(left);
        self.synced = self.written.clone();
    }

    /// The directory is removed, and another one made.
    pub fn remove(&mut self) {
        if let Some(memory) = &self.memory {
            memory.remove(&directory());
            self.uncertain = true;
        }
        self.keep(Vec::new());
        self.synced.clear();
        self.batch_size = None;
    }

    pub fn keep(&mut self, left: Vec<Record>) {
        let before = std::mem::replace(&mut self.written, left);
        let places = |records: &[Record]| -> Vec<Place> {
            let pending = pending(records).into_iter();
            pending.map(|pending| (pending.uid_validity.get(), pending.uid.get())).collect()
        };
        let kept = places(&self.written);
        self.lost.extend(places(&before).into_iter().filter(|place| !kept.contains(place)));
    }

    /// Says whether the decision about a UID is recorded, done or not.
    pub fn holds(&self, uid_validity: u32, uid: u32) -> bool {
        self.written.iter().filter_map(place).any(|place| place == (uid_validity, uid))
    }
}

/// Says which message was decided about, if the record is a decision.
fn place(record: &Record) -> Option<Place> {
    match record {
        Record::Decided { uid_validity, uid, .. } => Some((uid_validity.get(), uid.get())),
        _ => None,
    }
}

/// Reads the journal.
pub fn pending(records: &[Record]) -> Vec<Pending> {
    let mut pending: Vec<Pending> = Vec::new();
    for record in records {
        match record {
            Record::Decided { uid_validity, uid, identity, action } => {
                pending.retain(|old| (old.uid_validity, old.uid) != (*uid_validity, *uid));
                pending.push(Pending {
                    uid_validity: *uid_validity,
                    uid: *uid,
                    identity: *identity,
                    action: action.clone(),
                    copy: Copy::NotSent,
                });
            }
            Record::Copying { uid_validity, uids, target } => {
                for old in pending
                    .iter_mut()
                    .filter(|old| old.uid_validity == *uid_validity && uids.contains(&old.uid))
                {
                    old.copy = Copy::Sent(*target);
                }
            }
            Record::Copied { uid_validity, uids } => {
                for old in pending
                    .iter_mut()
                    .filter(|old| old.uid_validity == *uid_validity && uids.contains(&old.uid))
                {
                    old.copy = Copy::Done;
                }
            }
            Record::Done { uid_validity, uids } => {
                pending.retain(|old| old.uid_validity != *uid_validity || !uids.contains(&old.uid));
            }
        }
    }
    pending
}

fn failure(what: &str, kind: Kind) -> Failure {
    Failure::new(Step::Storage, kind, what)
}

impl Files {
    /// Does the next piece of work.
    pub fn perform(&mut self, disk: &mut Disk, faults: DiskFaults, random: &mut Random) -> Vec<FileEvent> {
        let Some(work) = self.work.pop_front() else { return Vec::new() };
        let (Some(real), Some(memory)) = (&mut self.real, disk.memory.clone()) else {
            return self.perform_as_model(work, disk, faults, random).into_iter().collect();
        };
        let events = real.perform(work, &memory, disk, faults, random);
        self.replaced &= !events.iter().any(|event| matches!(event, FileEvent::Gone(_)));
        events
    }

    fn perform_as_model(
        &mut self,
        work: FileWork,
        disk: &mut Disk,
        faults: DiskFaults,
        random: &mut Random,
    ) -> Option<FileEvent> {
        match work {
            FileWork::Claim => Some(self.claim(disk, faults)),
            FileWork::Append { seq, records } => self.append(disk, faults, random, seq, records),
            FileWork::Sync { seq } => self.sync(disk, faults, random, seq),
            FileWork::Rewrite { seq, records } => self.rewrite(disk, faults, seq, records),
            FileWork::KeepVoid { .. } if faults.fails => None,
            FileWork::KeepVoid { .. } => Some(FileEvent::VoidKept("void-1".into())),
            FileWork::KeepBatchSize(size) => {
                disk.batch_size = Some(size).filter(|_| !self.replaced).or(disk.batch_size);
                None
            }
            FileWork::Release => {
                self.claimed = false;
                None
            }
        }
    }

    fn claim(&mut self, disk: &mut Disk, faults: DiskFaults) -> FileEvent {
        if self.claimed && !self.replaced && !faults.fails {
            return FileEvent::StillClaimed;
        }
        if std::mem::take(&mut self.replaced) && self.claimed {
            (self.claimed, self.broken) = (false, true);
            return FileEvent::Gone(failure("the directory was replaced", Kind::Storage));
        }
        self.claimed = false;
        if faults.busy {
            return FileEvent::Busy(failure("held by another process", Kind::Busy));
        }
        if faults.fails {
            return FileEvent::Unavailable(failure("EIO", Kind::Storage));
        }
        (self.claimed, self.broken) = (true, false);
        // What was read is brought to the disk before anything is built on it.
        disk.synced = disk.written.clone();
        FileEvent::Claimed(Found {
            pending: pending(&disk.written),
            damaged: 0,
            oddities: Vec::new(),
            batch_size: disk.batch_size,
        })
    }

    fn append(
        &mut self,
        disk: &mut Disk,
        faults: DiskFaults,
        random: &mut Random,
        seq: Seq,
        records: Vec<Record>,
    ) -> Option<FileEvent> {
        if self.broken || !self.claimed || self.replaced {
            // A file without a name takes everything.
            return (self.replaced && !self.broken).then_some(FileEvent::Written(seq));
        }
        if faults.fails {
            self.broken = true;
            if random.chance(300) {
                disk.written.extend(records);
            }
            return Some(FileEvent::Failed(failure("ENOSPC", Kind::Storage)));
        }
        disk.written.extend(records);
        self.last = seq;
        Some(FileEvent::Written(seq))
    }

    fn sync(
        &mut self,
        disk: &mut Disk,
        faults: DiskFaults,
        random: &mut Random,
        seq: Seq,
    ) -> Option<FileEvent> {
        if self.broken || !self.claimed || self.replaced {
            return (self.replaced && !self.broken).then_some(FileEvent::Synced(seq));
        }
        if faults.fails {
            self.broken = true;
            if random.chance(500) {
                // The system forgets what it could not write.
                let synced = disk.synced.clone();
                disk.keep(synced);
            }
            return Some(FileEvent::Failed(failure("EIO", Kind::Storage)));
        }
        disk.synced = disk.written.clone();
        Some(FileEvent::Synced(seq))
    }

    fn rewrite(
        &mut self,
        disk: &mut Disk,
        faults: DiskFaults,
        seq: Seq,
        records: Vec<Record>,
    ) -> Option<FileEvent> {
        if !self.claimed || self.replaced {
            return self.replaced.then_some(FileEvent::Synced(seq));
        }
        if faults.fails {
            self.broken = true;
            return Some(FileEvent::Failed(failure("ENOSPC", Kind::Storage)));
        }
        disk.written = records;
        disk.synced = disk.written.clone();
        self.broken = false;
        self.last = seq;
        Some(FileEvent::Synced(seq))
    }
}
