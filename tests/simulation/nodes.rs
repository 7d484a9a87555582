//! Files and directories in memory, with what is not on the disk yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[derive(Debug)]
pub enum Node {
    File(File),
    Directory(Entries),
}

#[derive(Debug, Default)]
pub struct File {
    pub content: Vec<u8>,
    pub durable: Vec<u8>,
    /// Each with whether it is certain.
    pub unsynced: Vec<(FileChange, Certainty)>,
    pub links: u64,
    /// By a handle that is open, and a process that lives.
    pub locked: Option<[Arc<AtomicBool>; 2]>,
}

#[derive(Debug, Default)]
pub struct Entries {
    pub now: BTreeMap<String, u64>,
    pub durable: BTreeMap<String, u64>,
    pub unsynced: Vec<EntryChange>,
}

#[derive(Debug, Clone)]
pub enum FileChange {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Debug, Clone)]
pub enum EntryChange {
    Add(String, u64),
    Remove(String, u64),
    Rename(String, String, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    New,
    /// It was to be synced in vain.
    Doubtful,
    Certain,
}

impl File {
    pub fn lose_power(&mut self, below: &mut dyn FnMut(u64) -> u64) {
        self.locked = None;
        for (change, certainty) in std::mem::take(&mut self.unsynced) {
            let fate = if certainty == Certainty::Certain { 0 } else { below(4) };
            match change {
                _ if fate == 1 => {}
                FileChange::Write(at, octets) if fate == 2 => {
                    // One part of it, and sometimes the length of the whole.
                    let from = below(octets.len() as u64 + 1) as usize;
                    let to = from + below((octets.len() - from) as u64 + 1) as usize;
                    if below(2) == 0 {
                        let length = self.durable.len().max(at as usize + octets.len());
                        self.durable.resize(length, 0);
                    }
                    FileChange::Write(at + from as u64, octets[from..to].to_vec()).apply(&mut self.durable);
                }
                change => change.apply(&mut self.durable),
            }
        }
        self.content.clone_from(&self.durable);
    }

    pub fn change(&mut self, change: FileChange) {
        change.apply(&mut self.content);
        self.unsynced.push((change, Certainty::New));
    }

    pub fn sync(&mut self) {
        if self.unsynced.iter().all(|(_, certainty)| *certainty != Certainty::Doubtful) {
            for (change, _) in self.unsynced.drain(..) {
                change.apply(&mut self.durable);
            }
        } else {
            settle_as(&mut self.unsynced, Certainty::Certain);
        }
    }
}

impl FileChange {
    pub fn apply(&self, content: &mut Vec<u8>) {
        match self {
            FileChange::Write(at, octets) if !octets.is_empty() => {
                let (at, end) = (*at as usize, *at as usize + octets.len());
                content.resize(content.len().max(end), 0);
                content[at..end].copy_from_slice(octets);
            }
            FileChange::Write(..) => {}
            FileChange::Truncate(length) => content.resize(*length as usize, 0),
        }
    }
}

impl Entries {
    pub fn lose_power(&mut self, below: &mut dyn FnMut(u64) -> u64) {
        let changes = std::mem::take(&mut self.unsynced);
        let mut kept = Vec::new();
        for change in changes {
            if below(2) == 0 {
                let at = kept.len() - below(kept.len() as u64 + 1).min(below(4)) as usize;
                kept.insert(at, change);
            }
        }
        for change in kept {
            change.apply(&mut self.durable);
        }
        self.now.clone_from(&self.durable);
    }

    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    pub fn change(&mut self, change: EntryChange) {
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }
}

impl EntryChange {
    pub fn apply(&self, entries: &mut BTreeMap<String, u64>) {
        match self {
            EntryChange::Add(name, id) => {
                entries.insert(name.clone(), *id);
            }
            EntryChange::Remove(name, id) => {
                if entries.get(name) == Some(id) {
                    entries.remove(name);
                }
            }
            EntryChange::Rename(from, to, id) => {
                if entries.get(from) == Some(id) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *id);
            }
        }
    }
}

/// Changes those that are new.
pub fn settle_as(changes: &mut [(FileChange, Certainty)], certainty: Certainty) {
    for (_, before) in changes {
        if *before == Certainty::New {
            *before = certainty;
        }
    }
}
