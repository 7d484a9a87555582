//! The real file system, on Unix. All calls are relative to open directories, so nobody can put a link between two of them.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Uid};
use rustix::fs::{fchmod, fchown, fstat, mkdirat, openat, readlinkat, renameat, statat, unlinkat};

use super::disk::{Directory, Disk, DiskFile, FileKind, Metadata, Owner, Rights, not_a};
use super::owner::Process;
use crate::message;
use crate::text::Said;

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn directory(&self, path: &Path) -> io::Result<Box<dyn Directory>> {
        let above = walk(&std::path::absolute(path)?)?;
        match openat(&above, c".", READ | OFlags::DIRECTORY, Mode::empty()) {
            // Directories can be made in it all the same.
            Err(rustix::io::Errno::ACCESS) => Ok(Box::new(RealDirectory { fd: above, readable: false })),
            directory => Ok(Box::new(RealDirectory { fd: directory?, readable: true })),
        }
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        Ok(metadata(&rustix::fs::stat(path)?))
    }

    fn process(&self) -> Process {
        Process::current()
    }
}

/// Opens the directories of an absolute path, one in the other.
fn walk(path: &Path) -> io::Result<OwnedFd> {
    let mut here = openat(rustix::fs::CWD, c"/", SEARCH, Mode::empty())?;
    let mut left: VecDeque<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        let found = statat(&here, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if metadata(&found).kind != FileKind::Link {
            here = openat(&here, &name, SEARCH | OFlags::NOFOLLOW, Mode::empty())?;
            continue;
        }
        links += 1;
        if links > LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = trusted_link(&here, &name, &found)?;
        if target.is_absolute() {
            here = openat(rustix::fs::CWD, c"/", SEARCH, Mode::empty())?;
        }
        for name in names(&target).into_iter().rev() {
            left.push_front(name);
        }
    }
    Ok(here)
}

fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

/// Reads a link that only root or this user can have put there.
fn trusted_link(directory: &OwnedFd, name: &OsStr, link: &Stat) -> io::Result<PathBuf> {
    let above = fstat(directory)?;
    let user = rustix::process::geteuid().as_raw();
    let ours = |stat: &Stat| stat.st_uid == 0 || stat.st_uid == user;
    let writable = above.st_mode & 0o022 != 0 && above.st_mode & 0o1000 == 0;
    if !ours(link) || !ours(&above) || writable {
        let why = message!(LinkOfOther, name = Path::new(name).display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, Said(why)));
    }
    let target = readlinkat(directory, name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}

#[derive(Debug)]
struct RealDirectory {
    fd: OwnedFd,
    /// Its entries can be listed and synced.
    readable: bool,
}

impl Directory for RealDirectory {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        // Opening some devices has an effect, so it is looked at first, and again when it is open.
        regular(self.metadata_of(name)?)?;
        let file = openat(&self.fd, name, WRITE | OFlags::NONBLOCK, Mode::empty())?;
        regular(metadata(&fstat(&file)?))?;
        Ok(Box::new(RealFile(file.into())))
    }

    fn create(&self, name: &str, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let mode = Mode::from_raw_mode(mode as _);
        let file = openat(&self.fd, name, WRITE | OFlags::CREATE | OFlags::EXCL, mode)?;
        restore_mode(&file, mode)?;
        Ok(Box::new(RealFile(file.into())))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        if self.readable { Ok(rustix::fs::fsync(&self.fd)?) } else { Ok(()) }
    }

    fn create_directory(&self, name: &str) -> io::Result<Box<dyn Directory>> {
        mkdirat(&self.fd, name, Mode::RWXU)?;
        let directory = openat(&self.fd, name, READ | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        // Another user may have put another one there meanwhile; that one is not changed.
        if fstat(&directory)?.st_uid == rustix::process::geteuid().as_raw() {
            restore_mode(&directory, Mode::RWXU)?;
        }
        Ok(Box::new(RealDirectory { fd: directory, readable: true }))
    }

    fn open_directory(&self, name: &str) -> io::Result<Box<dyn Directory>> {
        let found = self.metadata_of(name)?.kind;
        if found != FileKind::Directory {
            return Err(not_a(found, message!(KindDirectory)));
        }
        let directory = openat(&self.fd, name, READ | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Box::new(RealDirectory { fd: directory, readable: true }))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            // None of ours is like that.
            if let Ok(name) = String::from_utf8(name)
                && ![".", ".."].contains(&name.as_str())
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata(&fstat(&self.fd)?))
    }

    fn metadata_of(&self, name: &str) -> io::Result<Metadata> {
        Ok(metadata(&statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn give_to(&self, owner: Owner) -> io::Result<()> {
        give(&self.fd, owner)
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write(&self, position: u64, octets: &[u8]) -> io::Result<usize> {
        self.0.write_at(octets, position)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata(&fstat(&self.0)?))
    }

    fn give_to(&self, owner: Owner) -> io::Result<()> {
        give(&self.0, owner)
    }
}

/// Undoes what the umask has taken away.
fn restore_mode(file: impl AsFd, mode: Mode) -> io::Result<()> {
    if Mode::from_raw_mode(fstat(&file)?.st_mode) != mode {
        fchmod(file, mode)?;
    }
    Ok(())
}

fn give(file: impl AsFd, owner: Owner) -> io::Result<()> {
    Ok(fchown(file, Some(Uid::from_raw(owner.user)), Some(Gid::from_raw(owner.group)))?)
}

fn regular(metadata: Metadata) -> io::Result<()> {
    match metadata.kind {
        FileKind::Regular => Ok(()),
        other => Err(not_a(other, message!(KindFile))),
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between platforms")]
fn metadata(stat: &Stat) -> Metadata {
    let kind = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::RegularFile => FileKind::Regular,
        rustix::fs::FileType::Directory => FileKind::Directory,
        rustix::fs::FileType::Symlink => FileKind::Link,
        _ => FileKind::Special,
    };
    Metadata {
        kind,
        id: (stat.st_dev as u64, stat.st_ino as u64),
        links: stat.st_nlink as u64,
        length: stat.st_size as u64,
        rights: Some(Rights {
            owner: Owner { user: stat.st_uid, group: stat.st_gid },
            mode: stat.st_mode as u32 & 0o7777,
        }),
    }
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);
const WRITE: OFlags = OFlags::RDWR.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// To pass through a directory takes no right to read it.
#[cfg(target_os = "linux")]
const SEARCH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const SEARCH: OFlags = READ.union(OFlags::DIRECTORY);

/// Links in one path, as Linux counts them.
const LINKS: u32 = 40;
