//! Lets every system call of the mailbox directory fail, one at a time, kills the process at each, and takes the power away.
//!
//! `WORKDIR_POWER_LOSSES=n` tries n losses of power at each of them (`make faults-of-files`).

#[path = "simulation/disk.rs"]
#[allow(dead_code, reason = "the simulator uses more of it")]
mod disk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::{Fault, HOME, MemoryDisk, MemoryProcess};
use um_imap_oauth2::engine::record::{
    Action, Copy, FileEvent, FileWork, Found, Identity, Mark, Pending, Record, Seq, Target,
};
use um_imap_oauth2::imap::uids::{Uid, UidValidity};
use um_imap_oauth2::workdir::{Files, MailboxName};

type Key = (UidValidity, Uid);
type State = BTreeMap<Key, Pending>;

/// What may be in the journal, as far as a caller can tell.
#[derive(Debug, Clone, Default)]
struct Model {
    /// It survives a loss of power.
    durable: State,
    /// They survive a kill.
    written: Vec<Record>,
    /// They were given to the journal, which failed.
    attempted: Vec<Record>,
    /// Each may have replaced everything.
    rewrites: Vec<State>,
    /// They were removed by an empty rewrite, and may be back after a loss of power.
    ghosts: Vec<Pending>,
}

impl Model {
    /// What the engine knows.
    fn now(&self) -> State {
        fold(&self.durable, self.written.iter().chain(&self.attempted))
    }

    fn check_kill(&self, found: &State) {
        let mut allowed: Vec<State> = (0..=self.attempted.len())
            .map(|count| fold(&self.durable, self.written.iter().chain(&self.attempted[..count])))
            .collect();
        allowed.extend(self.rewrites.iter().cloned());
        assert!(allowed.contains(found), "after a kill: {found:#?}\n{self:#?}");
    }

    fn check_power(&self, found: &State) {
        let consistent = self.keys(found).all(|key| {
            let own = |record: &&Record| touches(record, key);
            let records: Vec<_> = self.written.iter().chain(&self.attempted).filter(own).collect();
            let before = self.durable.iter().filter(|(other, _)| **other == key);
            let before: State = before.map(|(key, pending)| (*key, pending.clone())).collect();
            // Any of them may be missing.
            let mut states = (0u32..1 << records.len()).map(|choice| {
                let chosen = records.iter().enumerate().filter(|(at, _)| choice & (1 << at) != 0);
                fold(&before, chosen.map(|(_, record)| *record)).remove(&key)
            });
            let found = found.get(&key);
            states.any(|state| state.as_ref() == found)
                || found.is_some_and(|found| {
                    self.ghosts.iter().any(|ghost| {
                        (ghost.uid_validity, ghost.uid, &ghost.action)
                            == (found.uid_validity, found.uid, &found.action)
                    })
                })
        });
        assert!(consistent || self.rewrites.contains(found), "after a loss of power: {found:#?}\n{self:#?}");
    }

    fn keys<'a>(&'a self, found: &'a State) -> impl Iterator<Item = Key> {
        let later = self.written.iter().chain(&self.attempted);
        self.durable
            .keys()
            .chain(found.keys())
            .copied()
            .chain(later.flat_map(keys))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

fn keys(record: &Record) -> Vec<Key> {
    match record {
        Record::Decided { uid_validity, uid, .. } => vec![(*uid_validity, *uid)],
        Record::Copying { uid_validity, uids, .. }
        | Record::Copied { uid_validity, uids }
        | Record::Done { uid_validity, uids } => uids.iter().map(|uid| (*uid_validity, *uid)).collect(),
    }
}

fn touches(record: &Record, key: Key) -> bool {
    keys(record).contains(&key)
}

fn fold<'a>(state: &State, records: impl IntoIterator<Item = &'a Record>) -> State {
    let mut state = state.clone();
    for record in records {
        if let Record::Decided { uid_validity, uid, identity, action } = record.clone() {
            let copy = Copy::NotSent;
            state.insert((uid_validity, uid), Pending { uid_validity, uid, identity, action, copy });
            continue;
        }
        for key in keys(record) {
            match record {
                Record::Done { .. } => drop(state.remove(&key)),
                _ => {
                    if let Some(pending) = state.get_mut(&key) {
                        pending.copy = match record {
                            Record::Copying { target, .. } => Copy::Sent(*target),
                            _ => Copy::Done,
                        };
                    }
                }
            }
        }
    }
    state
}

fn state(found: Found) -> State {
    found.pending.into_iter().map(|pending| ((pending.uid_validity, pending.uid), pending)).collect()
}

fn records(state: &State) -> Vec<Record> {
    state.values().flat_map(Pending::records).collect()
}

fn validity(number: u32) -> UidValidity {
    UidValidity::new(number).unwrap()
}

fn uids(numbers: &[u32]) -> Vec<Uid> {
    numbers.iter().filter_map(|&number| Uid::new(number)).collect()
}

fn decided(uid: u32) -> Record {
    Record::Decided {
        uid_validity: validity(14 + uid / 10),
        uid: Uid::new(uid).unwrap(),
        identity: Identity { received: Some(i64::from(uid)), mark: Mark::Fields(u64::from(uid) << 40) },
        action: Action::Move("debug".into()),
    }
}

/// The work of an engine that settles, in both ways of moving, and voids.
fn script() -> Vec<FileWork> {
    let append = |records: Vec<Record>| FileWork::Append { seq: Seq(1), records };
    let sync = || FileWork::Sync { seq: Seq(1) };
    let rewrite = |records| FileWork::Rewrite { seq: Seq(1), records };
    let uid_validity = validity(14);
    let target = Target { uid_validity: validity(3), next: Uid::new(9).unwrap() };
    vec![
        FileWork::Claim,
        append(vec![decided(1)]),
        append(vec![decided(2), decided(3)]),
        sync(),
        append(vec![decided(4)]),
        FileWork::Claim,
        append(vec![Record::Copying { uid_validity, uids: uids(&[1, 2]), target }]),
        append(vec![decided(11)]),
        sync(),
        append(vec![Record::Copied { uid_validity, uids: uids(&[1]) }]),
        append(vec![Record::Done { uid_validity, uids: uids(&[1, 3]) }]),
        FileWork::KeepBatchSize(50),
        rewrite(vec![decided(2), decided(4), decided(11)]),
        append(vec![decided(5)]),
        sync(),
        FileWork::KeepVoid { records: vec![decided(11)] },
        rewrite(vec![]),
        append(vec![decided(6)]),
        append(vec![decided(7)]),
        sync(),
        append(vec![decided(8)]),
        FileWork::Release,
    ]
}

/// A disk, and a process that does its work.
struct World {
    disk: MemoryDisk,
    process: MemoryProcess,
    files: Files,
    model: Model,
}

fn name() -> MailboxName {
    MailboxName { host: "h".into(), port: 993, user: "u@example.com".into(), folder: "INBOX".into() }
}

fn directory() -> PathBuf {
    name().directory(&Path::new(HOME).join("work"))
}

fn start(disk: &MemoryDisk) -> (MemoryProcess, Files) {
    let process = disk.start();
    let files = Files::new(Arc::new(process.clone()), &directory(), &name(), true);
    (process, files)
}

impl World {
    fn new(disk: MemoryDisk, durable: State) -> Self {
        let (process, files) = start(&disk);
        Self { disk, process, files, model: Model { durable, ..Model::default() } }
    }

    /// Does all work, until the process is killed.
    fn run(&mut self) {
        for work in script() {
            if !self.perform(work) {
                return;
            }
        }
    }

    /// Does some work, and mends what fails. Returns whether the process lives.
    fn perform(&mut self, work: FileWork) -> bool {
        for event in self.files.perform(work.clone()) {
            match event {
                FileEvent::Claimed(found) => {
                    let found = state(found);
                    self.model.check_kill(&found);
                    // What was read is on the disk, unless a failure follows.
                    self.model = Model { durable: found, ..Model::default() };
                }
                FileEvent::StillClaimed | FileEvent::VoidKept(_) | FileEvent::VoidNotKept(_) => {}
                FileEvent::Written(_) => self.written(&work),
                FileEvent::Synced(_) => self.synced(&work),
                FileEvent::Failed(_) if self.process.is_alive() => {
                    self.attempt(&work);
                    self.must_work(FileWork::Rewrite { seq: Seq(1), records: records(&self.model.now()) });
                }
                FileEvent::Gone(_) | FileEvent::Unavailable(_) if self.process.is_alive() => {
                    self.attempt(&work);
                    let wanted = self.model.now();
                    self.must_work(FileWork::Claim);
                    self.must_work(FileWork::Rewrite { seq: Seq(1), records: records(&wanted) });
                }
                FileEvent::Busy(failure) => panic!("{failure}"),
                _ => self.attempt(&work),
            }
        }
        if !self.process.is_alive() && matches!(work, FileWork::Append { .. } | FileWork::Rewrite { .. }) {
            self.attempt(&work);
        }
        self.process.is_alive()
    }

    /// Only one call fails, so the next attempt works.
    fn must_work(&mut self, work: FileWork) {
        if !self.process.is_alive() {
            return;
        }
        let before = self.disk.calls();
        self.perform(work.clone());
        assert!(self.disk.calls() > before, "{work:?}");
        if !self.process.is_alive() {
            return;
        }
        if let FileWork::Rewrite { records, .. } = work {
            assert_eq!(self.model.now(), fold(&State::new(), &records), "a rewrite mends everything");
            assert!(self.model.attempted.is_empty());
        }
    }

    fn attempt(&mut self, work: &FileWork) {
        match work {
            FileWork::Append { records, .. } => self.model.attempted.extend(records.iter().cloned()),
            FileWork::Rewrite { records, .. } => self.model.rewrites.push(fold(&State::new(), records)),
            _ => {}
        }
    }

    fn written(&mut self, work: &FileWork) {
        if let FileWork::Append { records, .. } = work {
            self.model.written.extend(records.iter().cloned());
        }
    }

    fn synced(&mut self, work: &FileWork) {
        let ghosts = match work {
            FileWork::Rewrite { records, .. } if records.is_empty() => {
                let all = self.model.written.iter().filter(|record| matches!(record, Record::Decided { .. }));
                let all = fold(&self.model.durable, all).into_values();
                all.chain(std::mem::take(&mut self.model.ghosts)).collect()
            }
            _ => Vec::new(),
        };
        let durable = match work {
            FileWork::Rewrite { records, .. } => fold(&State::new(), records),
            _ => fold(&self.model.durable, &self.model.written),
        };
        self.model = Model { durable, ghosts, ..Model::default() };
    }

    /// Ends the process, and lets the next one look.
    fn end(self, power: Option<&mut Random>) {
        let Self { disk, process, files, model } = self;
        process.kill();
        drop(files);
        disk.mend();
        if let Some(random) = power {
            disk.lose_power(&mut |bound| random.below(bound));
            model.check_power(&next(&disk));
        } else {
            model.check_kill(&next(&disk));
        }
    }
}

/// Lets another process claim, twice: the second one finds what the first one found.
fn next(disk: &MemoryDisk) -> State {
    let claim = || {
        let (_, mut files) = start(disk);
        let mut events = files.perform(FileWork::Claim);
        match (events.pop(), events.pop()) {
            (Some(FileEvent::Claimed(found)), None) => state(found),
            other => panic!("{other:?}"),
        }
    };
    let found = claim();
    assert_eq!(claim(), found);
    found
}

/// Makes the disks at the beginning: empty, with a journal of version 1, and left by a killed process.
fn beginnings() -> [fn() -> World; 3] {
    [
        || World::new(MemoryDisk::new(), State::new()),
        || {
            let disk = MemoryDisk::new();
            drop(start(&disk).1.perform(FileWork::Claim));
            disk.put(&directory().join("journal"), include_bytes!("../src/workdir/testdata/journal-1"));
            let found = next(&disk);
            assert_eq!(found.len(), 3);
            disk.put(&directory().join("journal"), include_bytes!("../src/workdir/testdata/journal-1"));
            World::new(disk, found)
        },
        || {
            let mut world = World::new(MemoryDisk::new(), State::new());
            for work in script().into_iter().take(9) {
                world.perform(work);
            }
            world.process.kill();
            // All is on the disk.
            World::new(world.disk, world.model.now())
        },
    ]
}

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

fn power_losses() -> u64 {
    std::env::var("WORKDIR_POWER_LOSSES").map_or(1, |number| number.parse().unwrap())
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EINTR: i32 = 4;

const FAULTS: [Fault; 9] = [
    Fault::Kill,
    Fault::Error(EIO),
    Fault::Error(ENOSPC),
    Fault::Error(EINTR),
    Fault::Late(EIO),
    Fault::Late(EINTR),
    Fault::Short,
    Fault::Torn(EIO),
    Fault::Torn(ENOSPC),
];

#[test]
fn whichever_call_fails_nothing_is_lost_and_nothing_foreign_appears() {
    for begin in beginnings() {
        let mut world = begin();
        let first = world.disk.calls();
        world.run();
        let calls = world.disk.calls();
        assert!(calls > first + 50);
        world.end(None);
        for fault in FAULTS {
            for call in first..calls {
                let faulty = || {
                    let world = begin();
                    world.disk.fault(call, fault);
                    world
                };
                let mut world = faulty();
                world.run();
                world.end(None);
                for seed in 0..power_losses() {
                    let mut world = faulty();
                    world.run();
                    world.end(Some(&mut Random(seed + call * 1_000)));
                }
            }
        }
    }
}

#[test]
fn whenever_the_power_fails_what_was_synced_is_found_and_nothing_foreign() {
    for begin in beginnings() {
        for steps in 1..=script().len() {
            for seed in 0..power_losses() * 10 {
                let mut world = begin();
                for work in script().into_iter().take(steps) {
                    world.perform(work);
                }
                world.end(Some(&mut Random(seed)));
            }
        }
    }
}

/// A fault, a failed attempt to mend it, and the end.
#[test]
fn two_faults_in_a_row_lose_nothing() {
    let mut random = Random(7);
    for begin in beginnings() {
        for seed in 0..power_losses() * 300 {
            let mut world = begin();
            let first = world.disk.calls() + random.below(120);
            world.disk.fault(first, Fault::Error(EIO));
            world.disk.fault(first + 1 + random.below(20), Fault::Kill);
            world.run();
            world.end((seed % 2 == 0).then_some(&mut random));
        }
    }
}

#[test]
fn two_readers_never_have_one_mailbox() {
    let disk = MemoryDisk::new();
    let (_, mut first) = start(&disk);
    let (_, mut second) = start(&disk);
    assert!(matches!(first.perform(FileWork::Claim)[..], [FileEvent::Claimed(_)]));
    assert!(matches!(second.perform(FileWork::Claim)[..], [FileEvent::Busy(_)]));
    disk.remove(&directory());
    assert!(matches!(second.perform(FileWork::Claim)[..], [FileEvent::Claimed(_)]));
    assert!(matches!(first.perform(FileWork::Sync { seq: Seq(1) })[..], [FileEvent::Gone(_)]));
    assert!(matches!(first.perform(FileWork::Claim)[..], [FileEvent::Busy(_)]));
    drop(second);
    assert!(matches!(first.perform(FileWork::Claim)[..], [FileEvent::Claimed(_)]));
}
