//! The system calls that a mailbox directory needs, behind traits.
//!
//! Nothing in [`super`] touches a file in another way, so a test can let each call fail, or keep the files in memory and
//! take the power away.

use crate::message;
use crate::text::{Message, Said};
use std::fmt;
use std::io;
use std::path::Path;

use super::owner::Process;

/// A file system, and the process that uses it.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens a directory. A symbolic link in its path is followed only if nobody but root and this user can have made it.
    fn directory(&self, path: &Path) -> io::Result<Box<dyn Directory>>;

    /// Looks at what lies under a path. Symbolic links are followed.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Describes the running process.
    fn process(&self) -> Process;
}

/// An open directory. It stays the same one if another one gets its name.
///
/// All names are those of entries: they have no separator.
pub trait Directory: fmt::Debug + Send {
    /// Opens a regular file to read and write. Anything else fails without blocking, and no link is followed.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Creates a file with exactly these rights. Fails if the name is taken.
    fn create(&self, name: &str, mode: u32) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file. The new name may be taken by another one, which is replaced at once.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Brings all creations, renames and removals in this directory to the disk.
    fn sync(&self) -> io::Result<()>;

    /// Creates a directory for its owner only.
    fn create_directory(&self, name: &str) -> io::Result<Box<dyn Directory>>;

    /// Opens a directory in this one. No link is followed.
    fn open_directory(&self, name: &str) -> io::Result<Box<dyn Directory>>;

    /// Lists the names of all entries.
    fn names(&self) -> io::Result<Vec<String>>;

    fn metadata(&self) -> io::Result<Metadata>;

    /// Looks at an entry. No link is followed.
    fn metadata_of(&self, name: &str) -> io::Result<Metadata>;

    /// Gives the directory away, which only root may.
    fn give_to(&self, owner: Owner) -> io::Result<()>;
}

/// An open regular file.
pub trait DiskFile: fmt::Debug + Send {
    /// Reads from this position. Returns the number of octets read, 0 at the end.
    fn read(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes at this position. Returns the number of octets written, which may be fewer than given.
    fn write(&self, position: u64, octets: &[u8]) -> io::Result<usize>;

    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Brings content and length to the disk.
    fn sync(&self) -> io::Result<()>;

    /// Locks the file until it is closed. Returns whether nobody else has it locked.
    fn try_lock(&self) -> io::Result<bool>;

    fn metadata(&self) -> io::Result<Metadata>;

    /// Gives the file away, which only root may.
    fn give_to(&self, owner: Owner) -> io::Result<()>;
}

/// Describes a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    pub kind: FileKind,
    /// The same for two names of one file, different for two files that exist at the same time.
    pub id: (u64, u64),
    /// Names of the file; 0 after its removal.
    pub links: u64,
    pub length: u64,
    /// `None` if the system knows no owners of this kind (Windows).
    pub rights: Option<Rights>,
}

/// Says to whom a file belongs and who may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    pub owner: Owner,
    /// The last twelve bits of the mode.
    pub mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    Regular,
    Directory,
    Link,
    /// A FIFO, a socket or a device.
    Special,
}

impl FileKind {
    fn told(self) -> Message {
        match self {
            FileKind::Regular => message!(KindFile),
            FileKind::Directory => message!(KindDirectory),
            FileKind::Link => message!(KindLink),
            FileKind::Special => message!(KindSpecial),
        }
    }
}

/// Makes the error for something of the wrong kind under a name.
pub(super) fn not_a(found: FileKind, wanted: Message) -> io::Error {
    io::Error::other(Said(message!(KindWrong, found = found.told(), wanted = wanted)))
}

/// Writes all octets, in as many calls as that takes.
pub(super) fn write_all(file: &dyn DiskFile, mut position: u64, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        match retried(|| file.write(position, octets))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                position += written as u64;
                octets = octets.get(written..).unwrap_or_default();
            }
        }
    }
    Ok(())
}

/// Reads at most `limit` octets from the beginning of a file.
pub(super) fn read_up_to(file: &dyn DiskFile, limit: usize) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; limit];
    let mut filled = 0;
    while let Some(free) = octets.get_mut(filled..).filter(|free| !free.is_empty()) {
        match retried(|| file.read(filled as u64, free))? {
            0 => break,
            read => filled += read,
        }
    }
    octets.truncate(filled);
    Ok(octets)
}

/// Repeats a call that a signal interrupted.
pub(super) fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Returns `None` for a file that is not there.
pub(super) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file that may be missing.
pub(super) fn remove_if_there(directory: &dyn Directory, name: &str) -> io::Result<()> {
    if_there(directory.remove(name)).map(drop)
}
