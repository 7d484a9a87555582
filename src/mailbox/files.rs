//! The file thread: it alone touches the work directory, so a disk that hangs holds up nobody else.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::MailboxConfig;
use crate::engine::input::Input;
use crate::engine::record::{FileEvent, FileWork, Found};
use crate::failure::Result;
use crate::message;
use crate::text::Arg;
use crate::workdir::readers::{self, Reader};
use crate::workdir::{self, Abandoned, Files, MailboxName, RealDisk};

use super::shared::{FileTask, Shared};

/// Performs the engine's work in the mailbox's directory.
pub trait FileWorker: Send {
    /// Does one piece of work. May take as long as the disk does.
    fn perform(&mut self, work: FileWork) -> Vec<FileEvent>;

    /// Replaces `status.json` at once.
    fn write_status(&mut self, json: &str) -> Result<()>;
}

/// The usual worker: keeps other readers away, in this process and in others, and works in the mailbox's directory if there is
/// a work directory.
struct Worker {
    name: MailboxName,
    files: Option<Files>,
    reader: Option<Reader>,
}

impl FileWorker for Worker {
    fn perform(&mut self, work: FileWork) -> Vec<FileEvent> {
        if work == FileWork::Claim && self.reader.is_none() {
            match readers::register(&self.name) {
                Ok(reader) => self.reader = Some(reader),
                Err(failure) => return vec![FileEvent::Busy(failure)],
            }
        }
        let released = work == FileWork::Release;
        let events = match (&mut self.files, work) {
            (Some(files), work) => files.perform(work),
            (None, FileWork::Claim) => vec![FileEvent::Claimed(Found::default())],
            (None, _) => Vec::new(),
        };
        if released || events.iter().any(|event| matches!(event, FileEvent::Busy(_))) {
            self.reader = None;
        }
        events
    }

    fn write_status(&mut self, json: &str) -> Result<()> {
        self.files.as_ref().map_or(Ok(()), |files| files.write_status(json))
    }
}

/// Does nothing, for a mailbox that is only read.
struct Reading;

impl FileWorker for Reading {
    fn perform(&mut self, _: FileWork) -> Vec<FileEvent> {
        Vec::new()
    }

    fn write_status(&mut self, _: &str) -> Result<()> {
        Ok(())
    }
}

/// Returns the worker for a mailbox with this configuration.
pub(super) fn worker(config: &MailboxConfig, read_only: bool) -> Box<dyn FileWorker> {
    if read_only {
        return Box::new(Reading);
    }
    let name = MailboxName::of(config);
    let disk = Arc::new(RealDisk);
    let directory = config.work_directory.as_deref().map(|work| name.directory(work));
    let files = directory.map(|directory| Files::new(disk, &directory, &name, config.journal));
    Box::new(Worker { name, files, reader: None })
}

/// Returns the mailbox's directory; `None` without a work directory.
pub fn place(config: &MailboxConfig) -> Option<PathBuf> {
    Some(MailboxName::of(config).directory(config.work_directory.as_ref()?))
}

/// Says why no lock and no journal could be there, as far as that shows without writing anything.
pub(crate) fn obstacle(config: &MailboxConfig) -> Option<Arg> {
    // The work directory is made in it.
    if let Some(above) =
        config.work_directory.as_deref().and_then(Path::parent).filter(|above| !above.is_dir())
    {
        return Some(message!(FileFailed, path = above.display(), error = message!(DirectoryMissing)).into());
    }
    workdir::obstacle(&RealDisk, &place(config)?)
}

/// Looks for decisions in the journals of the work directory beside those in the directories `known`.
pub fn abandoned(work_directory: &Path, known: &[PathBuf]) -> io::Result<Vec<Abandoned>> {
    workdir::abandoned(&RealDisk, work_directory, known)
}

/// Runs until the mailbox is closed.
pub(super) fn run(shared: &Arc<Shared>) {
    let Some(mut worker) = shared.take_worker() else { return };
    let mut reported = false;
    while let Some(task) = shared.next_file_work() {
        match task {
            FileTask::Work(work) => {
                let events = worker.perform(work);
                let mut core = shared.lock();
                for event in events {
                    shared.handle(&mut core, Input::Files(event));
                }
            }
            FileTask::Status => {
                let written = worker.write_status(&shared.status_text());
                if let Err(failure) = written
                    && !std::mem::replace(&mut reported, true)
                {
                    shared.report_unwritten_status(&failure);
                }
            }
        }
    }
}
