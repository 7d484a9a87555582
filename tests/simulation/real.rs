//! The real code of the mailbox directory over a disk in memory, beside what it must have written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use um_imap_oauth2::engine::record::{FileEvent, FileWork, Found, Pending, Record, Seq};
use um_imap_oauth2::workdir::{Files, MailboxName};

use crate::disk::{Fault, HOME, MemoryDisk, MemoryProcess};
use crate::files::{Disk, DiskFaults, pending};
use crate::random::Random;

/// The directory as one process has it open.
#[derive(Debug)]
pub struct RealFiles {
    process: MemoryProcess,
    files: Files,
    /// Records of which it is not reported yet that they are written.
    given: Vec<(Seq, Vec<Record>)>,
    rewrites: Vec<(Seq, Vec<Record>)>,
    held: bool,
}

fn name() -> MailboxName {
    MailboxName { host: "h".into(), port: 993, user: "u@example.com".into(), folder: "INBOX".into() }
}

pub fn directory() -> PathBuf {
    name().directory(&Path::new(HOME).join("work"))
}

impl RealFiles {
    pub fn new(memory: &MemoryDisk, journal_wanted: bool) -> Self {
        let process = memory.start();
        let files = Files::new(Arc::new(process.clone()), &directory(), &name(), journal_wanted);
        Self { process, files, given: Vec::new(), rewrites: Vec::new(), held: false }
    }

    /// Writes a journal, as an earlier process did.
    pub fn write(&mut self, records: Vec<Record>) {
        self.files.perform(FileWork::Claim);
        self.files.perform(FileWork::Append { seq: Seq(1), records });
        self.files.perform(FileWork::Sync { seq: Seq(1) });
    }

    pub fn kill(&self) {
        self.process.kill();
    }

    /// Does a piece of work, and notes in `disk` what is written from now on.
    pub fn perform(
        &mut self,
        work: FileWork,
        memory: &MemoryDisk,
        disk: &mut Disk,
        faults: DiskFaults,
        random: &mut Random,
    ) -> Vec<FileEvent> {
        let other = (faults.busy && !self.held && work == FileWork::Claim).then(|| {
            let mut other = RealFiles::new(memory, true);
            other.files.perform(FileWork::Claim);
            other
        });
        if faults.fails {
            let kinds = [Fault::Error(5), Fault::Error(28), Fault::Late(5), Fault::Torn(28), Fault::Short];
            memory.fault(memory.calls() + random.below(6), kinds[random.below(5) as usize]);
        }
        let (given, rewrites) = (self.given.len(), self.rewrites.len());
        match &work {
            FileWork::Append { seq, records } => self.given.push((*seq, records.clone())),
            FileWork::Rewrite { seq, records } => self.rewrites.push((*seq, records.clone())),
            FileWork::Release => self.held = false,
            _ => {}
        }
        let events = self.files.perform(work);
        if events.is_empty() {
            // It is not written, and will never be.
            self.given.truncate(given);
            self.rewrites.truncate(rewrites);
        }
        memory.mend();
        if let Some(other) = other {
            other.kill();
        }
        for event in &events {
            self.note(event, disk);
        }
        events
    }

    fn note(&mut self, event: &FileEvent, disk: &mut Disk) {
        match event {
            FileEvent::Written(seq) => self.wrote(*seq, disk),
            FileEvent::Synced(seq) => {
                self.wrote(*seq, disk);
                disk.synced = disk.written.clone();
            }
            FileEvent::Claimed(found) => {
                self.held = true;
                disk.found(found);
            }
            FileEvent::Failed(_) | FileEvent::Gone(_) => {
                self.held &= !matches!(event, FileEvent::Gone(_));
                self.given.clear();
                self.rewrites.clear();
                disk.distrust();
            }
            FileEvent::Busy(_) | FileEvent::Unavailable(_) => self.held = false,
            _ => {}
        }
    }

    fn wrote(&mut self, seq: Seq, disk: &mut Disk) {
        for (_, records) in self.rewrites.extract_if(.., |(given, _)| *given <= seq) {
            disk.written = records;
        }
        for (_, records) in self.given.extract_if(.., |(given, _)| *given <= seq) {
            disk.written.extend(records);
        }
    }
}

impl Disk {
    /// Nothing is known of what was not synced.
    fn distrust(&mut self) {
        self.uncertain = true;
        let synced = self.synced.clone();
        self.keep(synced);
    }

    /// A process has read the journal: compares it with what it must hold.
    fn found(&mut self, found: &Found) {
        let missing = |pending: &Pending| {
            let place = (pending.uid_validity, pending.uid);
            !found.pending.iter().any(|found| (found.uid_validity, found.uid) == place)
        };
        let expected = pending(&self.written);
        let missing: Vec<_> = expected.iter().filter(|pending| missing(pending)).collect();
        if let Some(first) = missing.first().filter(|_| !self.uncertain) {
            self.broken = Some(format!("the journal has lost {first:?}"));
        }
        self.lost.extend(missing.iter().map(|pending| (pending.uid_validity.get(), pending.uid.get())));
        self.written = found.pending.iter().flat_map(Pending::records).collect();
        self.synced = self.written.clone();
        self.uncertain = false;
    }
}
