//! Does the file work of one mailbox.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch_size;
use super::disk::Disk;
use super::journal::{self, JOURNAL, Journal, Opened};
use super::line::Lines;
use super::lock::Lock;
use super::name::MailboxName;
use super::protected::{self, Protected};
use super::status;
use crate::engine::record::{FileEvent, FileWork, Found, Record, Seq};
use crate::failure::{Failure, Kind, Result, Step};
use crate::message;
use crate::text::Id;

/// The files of one mailbox. Each call may take as long as the file system wants.
#[derive(Debug)]
pub struct Files {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    lines: Lines,
    /// New decisions are to be written down.
    journal_wanted: bool,
    held: Option<Held>,
}

/// A directory whose lock this reader has.
#[derive(Debug)]
struct Held {
    directory: Protected,
    lock: Lock,
    journal: State,
}

#[derive(Debug)]
enum State {
    /// There is none, and none is wanted.
    Absent,
    Open(Journal),
    /// Nothing in it is trusted before it is replaced.
    Broken,
}

impl Files {
    /// Prepares for the work. No file is touched before [`FileWork::Claim`].
    pub fn new(disk: Arc<dyn Disk>, directory: &Path, name: &MailboxName, journal_wanted: bool) -> Self {
        Self { disk, path: directory.to_owned(), lines: Lines::new(name), journal_wanted, held: None }
    }

    /// Does the work, and returns what became of it. While the mailbox is not claimed, or the journal waits for
    /// [`FileWork::Rewrite`] after a failure, records are not written and nothing is returned for them.
    pub fn perform(&mut self, work: FileWork) -> Vec<FileEvent> {
        match work {
            FileWork::Claim => self.claim(),
            FileWork::Append { seq, records } => self.append(seq, &records),
            FileWork::Sync { seq } => self.sync(seq),
            FileWork::Rewrite { seq, records } => self.rewrite(seq, &records),
            FileWork::KeepVoid { records } => self.keep_void(&records),
            FileWork::KeepBatchSize(size) => {
                if let Some(Held { directory, .. }) = self.held_in_place() {
                    // Without the file the size is learnt again.
                    let _ = batch_size::write(directory, size);
                }
                Vec::new()
            }
            FileWork::Release => {
                self.held = None;
                Vec::new()
            }
        }
    }

    /// Writes `status.json`.
    pub fn write_status(&self, json: &str) -> Result<()> {
        status::write(self.disk.as_ref(), &self.path, json)
    }

    fn claim(&mut self) -> Vec<FileEvent> {
        if self.held.is_some() {
            return match self.gone() {
                Some(failure) => self.lose(failure),
                None => vec![FileEvent::StillClaimed],
            };
        }
        self.claim_again().unwrap_or_else(|failure| {
            vec![match failure.kind {
                Kind::Busy => FileEvent::Busy(failure),
                _ => FileEvent::Unavailable(failure),
            }]
        })
    }

    fn claim_again(&mut self) -> Result<Vec<FileEvent>> {
        let directory = Protected::make(self.disk.as_ref(), &self.path)?;
        let process = self.disk.process();
        let lock = Lock::take(&directory, &process)?;
        let opened = Journal::open(&directory, &self.lines, self.journal_wanted);
        let Opened { journal, pending, damaged, mut oddities } =
            opened.map_err(|error| directory.failed(JOURNAL, &error))?;
        oddities.extend(Lock::write_owner(&directory, &process));
        let batch_size = batch_size::read(&directory);
        let mut events = vec![FileEvent::Claimed(Found { pending, damaged, oddities, batch_size })];
        let journal = match journal {
            None => State::Absent,
            Some(Ok(journal)) => State::Open(journal),
            Some(Err(error)) => {
                events.push(FileEvent::Failed(directory.failed(JOURNAL, &error)));
                State::Broken
            }
        };
        self.held = Some(Held { directory, lock, journal });
        Ok(events)
    }

    fn append(&mut self, seq: Seq, records: &[Record]) -> Vec<FileEvent> {
        let Some(Held { journal: State::Open(journal), .. }) = &mut self.held else { return Vec::new() };
        match journal.append(&self.lines, records) {
            Ok(()) => vec![FileEvent::Written(seq)],
            Err(error) => self.distrust(&error),
        }
    }

    fn sync(&mut self, seq: Seq) -> Vec<FileEvent> {
        let Some(Held { journal: State::Open(journal), .. }) = &self.held else { return Vec::new() };
        if let Err(error) = journal.sync() {
            return self.distrust(&error);
        }
        // Later than the sync, so that little time is left before the server is told.
        match self.gone() {
            Some(failure) => self.lose(failure),
            None => vec![FileEvent::Synced(seq)],
        }
    }

    fn rewrite(&mut self, seq: Seq, records: &[Record]) -> Vec<FileEvent> {
        // The journal may already be another reader's.
        if let Some(failure) = self.gone() {
            return self.lose(failure);
        }
        let Some(held) = &mut self.held else { return Vec::new() };
        let written = match &mut held.journal {
            State::Open(journal) if records.is_empty() => journal.clear(),
            state => {
                *state = State::Broken;
                let replaced = Journal::replace(&held.directory, &self.lines, records);
                replaced.map(|journal| *state = State::Open(journal))
            }
        };
        match written {
            Ok(()) => vec![FileEvent::Written(seq), FileEvent::Synced(seq)],
            Err(error) => self.distrust(&error),
        }
    }

    fn keep_void(&mut self, records: &[Record]) -> Vec<FileEvent> {
        if let Some(failure) = self.gone() {
            let mut events = self.lose(failure.clone());
            events.push(FileEvent::VoidNotKept(failure));
            return events;
        }
        let Some(Held { directory, .. }) = &self.held else {
            let failure = Failure::own(Step::Storage, Kind::Storage, message!(VoidNotKept));
            return vec![FileEvent::VoidNotKept(failure)];
        };
        vec![match journal::keep_void(directory, &self.lines, records) {
            Ok(path) => FileEvent::VoidKept(path),
            Err(error) => FileEvent::VoidNotKept(directory.failed("journal.void1", &error)),
        }]
    }

    /// Stops using the journal after a failure.
    fn distrust(&mut self, error: &io::Error) -> Vec<FileEvent> {
        let Some(held) = &mut self.held else { return Vec::new() };
        held.journal = State::Broken;
        vec![FileEvent::Failed(held.directory.failed(JOURNAL, error))]
    }

    /// Lets go of files that are not the ones under their names any more.
    fn lose(&mut self, failure: Failure) -> Vec<FileEvent> {
        self.held = None;
        vec![FileEvent::Gone(failure)]
    }

    fn held_in_place(&self) -> Option<&Held> {
        self.held.as_ref().filter(|_| self.gone().is_none())
    }

    /// Says why the next reader would not find what this one holds.
    fn gone(&self) -> Option<Failure> {
        let held = self.held.as_ref()?;
        match held.is_in_place(self.disk.as_ref()) {
            Ok(None) => None,
            Ok(Some(what)) => {
                let said = message!(DirectoryReplaced, path = self.path.display(), what = what.message());
                Some(Failure::own(Step::Storage, Kind::Storage, said))
            }
            Err(error) => Some(protected::failed(&self.path, &error)),
        }
    }
}

impl Held {
    /// Returns which of the files is not there any more.
    fn is_in_place(&self, disk: &dyn Disk) -> io::Result<Option<Id>> {
        if !self.directory.is_in_place(disk)? {
            return Ok(Some(Id::PartDirectory));
        }
        if !self.lock.is_in_place(&self.directory)? {
            return Ok(Some(Id::PartLock));
        }
        match &self.journal {
            State::Open(journal) if !journal.is_in_place(&self.directory)? => Ok(Some(Id::PartJournal)),
            _ => Ok(None),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The name in a lock that was replaced is another reader's.
        if self.lock.is_in_place(&self.directory).unwrap_or(false) {
            Lock::remove_owner(&self.directory);
        }
    }
}
