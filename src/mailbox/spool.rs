//! The temporary files of large messages, and the limit on what all of them take.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::imap::limits;
use crate::message;
use crate::text::Said;

/// A file without a name, which nobody else can open. What it takes counts until it is dropped.
#[derive(Debug)]
pub struct TemporaryFile {
    file: File,
    room: Room,
}

impl TemporaryFile {
    /// Makes one in `directory`, by default the system's temporary one.
    pub fn new(directory: Option<&Path>) -> io::Result<Self> {
        Self::within(&ALL, directory)
    }

    fn within(budget: &'static Budget, directory: Option<&Path>) -> io::Result<Self> {
        let file = directory.map_or_else(tempfile::tempfile, tempfile::tempfile_in)?;
        Ok(Self { file, room: Room { budget, octets: 0 } })
    }

    /// Reads at a position, whatever other threads read.
    pub fn read_at(&self, octets: &mut [u8], position: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(&self.file, octets, position);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(&self.file, octets, position);
    }
}

impl Write for TemporaryFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.room.take(octets.len() as u64)?;
        self.file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for TemporaryFile {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.file.read(octets)
    }
}

impl Seek for TemporaryFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

/// What the temporary files of several mailboxes take and may take.
#[derive(Debug)]
struct Budget {
    taken: AtomicU64,
    limit: u64,
}

/// That of the process.
static ALL: Budget = Budget { taken: AtomicU64::new(0), limit: limits::TEMPORARY_FILES };

/// One file's part of the budget.
#[derive(Debug)]
struct Room {
    budget: &'static Budget,
    octets: u64,
}

impl Room {
    fn take(&mut self, more: u64) -> io::Result<()> {
        let fits = |taken: u64| taken.checked_add(more).filter(|taken| *taken <= self.budget.limit);
        let taken = self.budget.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map_err(|_| {
            let limit = self.budget.limit;
            io::Error::new(io::ErrorKind::QuotaExceeded, Said(message!(SpoolFull, most = limit)))
        })?;
        self.octets += more;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_together_take_no_more_than_the_limit() {
        static BUDGET: Budget = Budget { taken: AtomicU64::new(0), limit: 10 };
        let file = || TemporaryFile::within(&BUDGET, None).unwrap();
        let (mut one, mut other) = (file(), file());
        one.write_all(b"123456").unwrap();
        other.write_all(b"1234").unwrap();
        let error = other.write_all(b"5").unwrap_err();
        assert!(error.to_string().contains("more than 10 bytes"), "{error}");
        drop(one);
        other.write_all(b"567890").unwrap();
        drop(other);
        assert_eq!(BUDGET.taken.load(Ordering::Relaxed), 0);
    }
}
