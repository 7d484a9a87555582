//! One reader for one mailbox: a lock on a file, which ends with the process that holds it.
//!
//! It keeps apart all who use one work directory: Universal Messenger, a second one by mistake, the command line. It cannot
//! see a reader on another machine, one with another work directory, or another mail program.
//!
//! # A reader that was forgotten
//! A web application that ends without closing its mailbox leaves a lock that its own process holds. Its successor, which has
//! another class loader and so another copy of this library, is refused. It cannot take the lock over: seen from there, a
//! forgotten mailbox is like one that waits for its next poll, and after any time-out that one could wake up and read beside
//! its successor. The lock ends when the garbage collector finds the forgotten `BounceMailbox`, whose `Cleaner` closes it. The
//! failure says so, with the command that runs the collector.

use super::disk::{self, DiskFile};
use super::owner::Process;
use super::protected::Protected;
use crate::failure::{Failure, Kind, Result, Step};
use crate::message;
use crate::text::Said;

/// Holds the mailbox as long as it exists.
#[derive(Debug)]
pub(super) struct Lock(Box<dyn DiskFile>);

impl Lock {
    /// Takes the lock. Fails with [`Kind::Busy`] if another reader has it, in this process or in another one.
    pub(super) fn take(directory: &Protected, process: &Process) -> Result<Self> {
        let failed = |error| directory.failed(LOCK, &error);
        for _ in 0..ATTEMPTS {
            let file = match directory.open_file(LOCK).map_err(failed)? {
                Some(file) => file,
                None => match directory.create_file(LOCK) {
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                    file => file.map_err(failed)?,
                },
            };
            if !disk::retried(|| file.try_lock()).map_err(failed)? {
                return Err(busy(directory, process));
            }
            // It may have been removed before it was locked. Then the next reader would lock another file.
            if directory.has(LOCK, file.as_ref()).map_err(failed)? {
                return Ok(Self(file));
            }
        }
        Err(failed(std::io::Error::other(Said(message!(LockUnstable)))))
    }

    /// Says whether the next reader would find this lock.
    pub(super) fn is_in_place(&self, directory: &Protected) -> std::io::Result<bool> {
        directory.has(LOCK, self.0.as_ref())
    }

    /// Names the reader. Without its name it is only harder to find.
    pub(super) fn write_owner(directory: &Protected, process: &Process) -> Option<Failure> {
        // Such a value is made of strings and numbers: writing it as JSON cannot fail.
        let json = serde_json::to_string(process).unwrap_or_default() + "\n";
        let written = directory.replace_file(OWNER, 0o600, json.as_bytes(), false);
        written.err().map(|error| directory.failed(OWNER, &error))
    }

    /// Removes the reader's name. The lock must still be held: later the name could be the next reader's.
    pub(super) fn remove_owner(directory: &Protected) {
        // A name without a lock misleads nobody.
        let _ = disk::remove_if_there(directory.directory(), OWNER);
    }
}

fn busy(directory: &Protected, process: &Process) -> Failure {
    let file = directory.open_file(OWNER).ok().flatten();
    let json = file.and_then(|file| disk::read_up_to(file.as_ref(), OWNER_OCTETS).ok());
    let owner = json.and_then(|json| serde_json::from_slice::<Process>(&json).ok());
    let path = directory.path().join(LOCK);
    let path = path.display();
    match owner {
        Some(owner) if owner.is(process) => this_process(&owner, &path.to_string()),
        Some(Process { program, pid, host, since, .. }) => {
            let said = message!(
                LockHeldBy,
                pid = pid.to_string(),
                program = program,
                host = host,
                since = since.to_string(),
                path = &path
            );
            Failure::own(Step::Call, Kind::Busy, said)
        }
        None => Failure::own(Step::Call, Kind::Busy, message!(LockHeld, path = &path)),
    }
}

fn this_process(owner: &Process, path: &str) -> Failure {
    let Process { pid, since, .. } = owner;
    let (pid, since) = (pid.to_string(), since.to_string());
    let said = message!(LockHeldByUs, pid = &pid, since = since, path = path);
    Failure::own(Step::Call, Kind::Busy, said).advised(message!(LockHeldByUsRemedy, pid = pid))
}

pub(super) const LOCK: &str = "lock";
const OWNER: &str = "owner";

/// Octets of the reader's name that are read.
const OWNER_OCTETS: usize = 4096;

/// How often the lock may be removed while it is taken.
const ATTEMPTS: u32 = 10;
