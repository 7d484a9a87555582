//! One reader for one mailbox: a lock on a file in the work directory, which ends with the process that holds it.
//!
//! It keeps apart whoever uses the same work directory: Universal Messenger, a second one by mistake, the command line. It
//! cannot see a reader on another machine, one with another work directory (UM's slaves), or another mail program.
//!
//! The name of who holds it lies in a file beside the locked one: Windows lets nobody else read what is locked.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind, Result, Step};

use super::place::Place;

/// Holds the mailbox for as long as it exists.
#[derive(Debug)]
pub(super) struct Lock {
    place: Place,
    /// Locked until it is closed.
    _file: File,
}

impl Lock {
    /// Fails with [`Kind::Busy`] where another reader has it, in this process or in another one.
    pub(super) fn take(place: &Place) -> Result<Self> {
        let file = place.open_or_create(LOCK).map_err(|error| place.failed(LOCK, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(place)),
            Err(TryLockError::Error(error)) => return Err(place.failed(LOCK, &error)),
        }
        let lock = Self { place: place.clone(), _file: file };
        // The lock is what counts; without the name its owner is only harder to find.
        let _ = lock.write_name();
        Ok(lock)
    }

    fn write_name(&self) -> io::Result<()> {
        self.place.remove(OWNER)?;
        let owner = serde_json::to_string(&Owner::this_process())?;
        self.place.create(OWNER)?.write_all(format!("{owner}\n").as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock is free: afterwards it would be the next owner's.
        let _ = self.place.remove(OWNER);
    }
}

fn busy(place: &Place) -> Failure {
    let owner = fs::read(place.path(OWNER)).ok().and_then(|json| serde_json::from_slice::<Owner>(&json).ok());
    let observed = match owner {
        Some(Owner { program, pid, host, since }) => {
            format!("the lock is held by process {pid} ({program} on {host}, since {since})")
        }
        None => "the lock is held by another process".to_owned(),
    };
    let path = place.path(LOCK);
    Failure::new(Step::Call, Kind::Busy, format!("{observed}: {}", path.display()))
}

/// Who holds the lock.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    program: String,
    pid: u32,
    host: String,
    /// UTC
    since: String,
}

impl Owner {
    fn this_process() -> Self {
        let program = std::env::current_exe().ok();
        let program = program.as_deref().and_then(|path| path.file_name());
        let host = fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::env::var("COMPUTERNAME").map_err(|_| io::Error::from(ErrorKind::NotFound)));
        Self {
            program: program.map_or_else(|| "?".to_owned(), |name| name.to_string_lossy().into_owned()),
            pid: std::process::id(),
            host: host.map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned()),
            since: DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true),
        }
    }
}

pub(super) const LOCK: &str = "lock";
const OWNER: &str = "owner";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::place::testing::place_in;

    #[test]
    fn the_second_reader_is_told_who_the_first_one_is() {
        let directory = tempfile::tempdir().unwrap();
        let place = place_in(directory.path(), "one");
        let lock = Lock::take(&place).unwrap();
        let failure = Lock::take(&place).unwrap_err();
        assert_eq!((failure.step, failure.kind), (Step::Call, Kind::Busy));
        assert!(failure.observed.contains(&format!("process {} (", std::process::id())), "{failure}");
        drop(lock);
        drop(Lock::take(&place).unwrap());
    }

    #[test]
    fn another_folder_of_the_mailbox_has_another_reader() {
        let directory = tempfile::tempdir().unwrap();
        let _one = Lock::take(&place_in(directory.path(), "one")).unwrap();
        Lock::take(&place_in(directory.path(), "other")).unwrap();
    }

    #[test]
    fn files_that_a_kill_left_do_not_block_and_a_lost_name_does_not_matter() {
        let directory = tempfile::tempdir().unwrap();
        let place = place_in(directory.path(), "one");
        fs::write(place.path(LOCK), "").unwrap();
        fs::write(place.path(OWNER), "{\"pid\":1").unwrap();
        let lock = Lock::take(&place).unwrap();
        fs::remove_file(place.path(OWNER)).unwrap();
        assert_eq!(Lock::take(&place).unwrap_err().kind, Kind::Busy);
        drop(lock);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_no_other_reader() {
        let directory = tempfile::tempdir().unwrap();
        let place = place_in(directory.path(), "one");
        fs::create_dir(place.path(LOCK)).unwrap();
        assert_eq!(Lock::take(&place).unwrap_err().kind, Kind::Storage);
    }
}
