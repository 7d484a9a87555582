//! The real file system, on Windows: files have the rights of their directory, and an open file keeps its name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::disk::{Directory, Disk, DiskFile, FileKind, Metadata, Owner, not_a};
use super::owner::Process;
use crate::message;

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn directory(&self, path: &Path) -> io::Result<Box<dyn Directory>> {
        directory(std::path::absolute(path)?, &fs::metadata(path)?)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        Ok(metadata(&fs::metadata(path)?))
    }

    fn process(&self) -> Process {
        Process::current()
    }
}

fn directory(path: PathBuf, found: &fs::Metadata) -> io::Result<Box<dyn Directory>> {
    match metadata(found).kind {
        FileKind::Directory => Ok(Box::new(RealDirectory(path))),
        other => Err(not_a(other, message!(KindDirectory))),
    }
}

#[derive(Debug)]
struct RealDirectory(PathBuf);

impl Directory for RealDirectory {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let found = self.metadata_of(name)?.kind;
        if found != FileKind::Regular {
            return Err(not_a(found, message!(KindFile)));
        }
        let file = options().custom_flags(OPEN_REPARSE_POINT).open(self.0.join(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn create(&self, name: &str, _mode: u32) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(options().create_new(true).open(self.0.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    /// NTFS keeps its directories in order by itself.
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn create_directory(&self, name: &str) -> io::Result<Box<dyn Directory>> {
        fs::create_dir(self.0.join(name))?;
        self.open_directory(name)
    }

    fn open_directory(&self, name: &str) -> io::Result<Box<dyn Directory>> {
        let path = self.0.join(name);
        let found = fs::symlink_metadata(&path)?;
        directory(path, &found)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        entries.filter_map(io::Result::transpose).collect()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata(&fs::metadata(&self.0)?))
    }

    fn metadata_of(&self, name: &str) -> io::Result<Metadata> {
        Ok(metadata(&fs::symlink_metadata(self.0.join(name))?))
    }

    fn give_to(&self, _owner: Owner) -> io::Result<()> {
        Ok(())
    }
}

/// Others may read and write the file while it is open, but not remove or rename it. So nobody can take the lock away.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).share_mode(SHARE_READ | SHARE_WRITE);
    options
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.seek_read(buffer, position)
    }

    fn write(&self, position: u64, octets: &[u8]) -> io::Result<usize> {
        self.0.seek_write(octets, position)
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
        Ok(metadata(&self.0.metadata()?))
    }

    fn give_to(&self, _owner: Owner) -> io::Result<()> {
        Ok(())
    }
}

/// An open file cannot lose its name here, so it needs no number by which to recognise it.
fn metadata(found: &fs::Metadata) -> Metadata {
    let kind = match found.file_type() {
        kind if kind.is_symlink() => FileKind::Link,
        kind if kind.is_dir() => FileKind::Directory,
        kind if kind.is_file() => FileKind::Regular,
        _ => FileKind::Special,
    };
    Metadata { kind, id: (0, 0), links: 1, length: found.len(), rights: None }
}

const SHARE_READ: u32 = 1;
const SHARE_WRITE: u32 = 2;
/// FILE_FLAG_OPEN_REPARSE_POINT: a link is opened itself, not what it leads to.
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
