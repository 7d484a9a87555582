//! The journal as a file that is written at its end, and replaced as a whole.
//!
//! After a call has failed, nothing in the file is trusted: the operating system may forget what it could not bring to the
//! disk, and a second `fsync` that succeeds then proves nothing (fsync(2), EIO). So the caller drops the value and writes a
//! new file with [`Journal::replace`]. For the same reason records that an earlier process left are written to a new file
//! before anything is added to them.

use std::io;

use super::disk::{self, DiskFile, remove_if_there};
use super::line::Lines;
use super::protected::Protected;
use super::reader::{self, Contents};
use crate::engine::record::{Pending, Record};
use crate::failure::Failure;
use crate::message;
use crate::text::Said;

/// An open journal in which everything can be trusted.
#[derive(Debug)]
pub(super) struct Journal {
    file: Box<dyn DiskFile>,
    /// Octets that are known to be in it.
    length: u64,
    /// Octets of its headers.
    headers: u64,
}

/// A journal that was looked for.
pub(super) struct Opened {
    /// `None` if there is none and none is wanted.
    pub journal: Option<io::Result<Journal>>,
    pub pending: Vec<Pending>,
    pub damaged: u64,
    pub oddities: Vec<Failure>,
}

impl Journal {
    /// Opens the journal. If it is not `wanted`, none is begun, but one that holds something is carried out.
    ///
    /// Fails if it cannot be read. If it cannot be written, what it says is returned nevertheless.
    pub(super) fn open(directory: &Protected, lines: &Lines, wanted: bool) -> io::Result<Opened> {
        let mut oddities = Vec::new();
        let file = directory.open_file(JOURNAL)?;
        let (mut contents, mut file) = match file {
            Some(file) => (reader::read(file.as_ref(), lines)?, Some(file)),
            None => (Contents::default(), None),
        };
        if let Some(why) = contents.foreign.take() {
            file = None;
            let aside = set_aside(directory)?;
            let why = message!(JournalForeign, why = why, aside = aside);
            oddities.push(directory.failed(JOURNAL, &io::Error::other(Said(why))));
            contents = Contents::default();
        }
        if contents.lost_header {
            let why = Said(message!(JournalHeaderDamaged));
            oddities.push(directory.failed(JOURNAL, &io::Error::other(why)));
        }
        let Contents { pending, damaged, is_fresh, .. } = contents;
        let journal = match file {
            _ if !wanted && pending.is_empty() => None,
            Some(file) if is_fresh => Some(Self::go_on(directory, lines, file)),
            file => {
                drop(file);
                let records: Vec<Record> = pending.iter().flat_map(Pending::records).collect();
                Some(Self::replace(directory, lines, &records))
            }
        };
        Ok(Opened { journal, pending, damaged, oddities })
    }

    /// Goes on with a file that has only headers.
    fn go_on(directory: &Protected, lines: &Lines, file: Box<dyn DiskFile>) -> io::Result<Self> {
        file.sync()?;
        directory.directory().sync()?;
        let headers = lines.headers().len() as u64;
        Ok(Self { file, length: headers, headers })
    }

    /// Puts a new file with these records in the place of the journal. Whenever the power fails, the old or the new one is
    /// found. No value of the old one may exist, because Windows does not replace an open file.
    pub(super) fn replace(directory: &Protected, lines: &Lines, records: &[Record]) -> io::Result<Self> {
        directory.must_be_regular(JOURNAL)?;
        remove_if_there(directory.directory(), NEW)?;
        let mut octets = lines.headers();
        let headers = octets.len() as u64;
        records.iter().for_each(|record| lines.push(&mut octets, record));
        let file = directory.create_file(NEW)?;
        disk::write_all(file.as_ref(), 0, &octets)?;
        file.sync()?;
        drop(file);
        directory.directory().rename(NEW, JOURNAL)?;
        directory.directory().sync()?;
        let file = directory.open_file(JOURNAL)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { file, length: octets.len() as u64, headers })
    }

    /// Adds records. Afterwards they survive the end of the process.
    pub(super) fn append(&mut self, lines: &Lines, records: &[Record]) -> io::Result<()> {
        let mut octets = Vec::new();
        records.iter().for_each(|record| lines.push(&mut octets, record));
        if let Err(error) = disk::write_all(self.file.as_ref(), self.length, &octets) {
            // Half a line is no record. If it cannot be taken back, the next reader passes over it.
            let _ = self.file.truncate(self.length);
            return Err(error);
        }
        self.length += octets.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Removes all records. This is not brought to the disk: if the power fails, some may be back, but they were carried out,
    /// and the engine compares each of them with the server. What is added later is synced together with this.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        disk::retried(|| self.file.truncate(self.headers))?;
        self.length = self.headers;
        Ok(())
    }

    /// Says whether the next process would find this file.
    pub(super) fn is_in_place(&self, directory: &Protected) -> io::Result<bool> {
        directory.has(JOURNAL, self.file.as_ref())
    }
}

/// Keeps records that count no more in a file beside the journal. Returns its path. The oldest of three goes.
pub(super) fn keep_void(directory: &Protected, lines: &Lines, records: &[Record]) -> io::Result<String> {
    let mut octets = lines.headers();
    records.iter().for_each(|record| lines.push(&mut octets, record));
    let void = void(1);
    let new = format!("{void}.new");
    remove_if_there(directory.directory(), &new)?;
    let file = directory.create_file(&new)?;
    disk::write_all(file.as_ref(), 0, &octets)?;
    file.sync()?;
    drop(file);
    make_way(directory)?;
    directory.directory().rename(&new, &void)?;
    directory.directory().sync()?;
    Ok(directory.path().join(void).display().to_string())
}

/// Renames the journal so that it is kept and does not count. Returns its new path.
fn set_aside(directory: &Protected) -> io::Result<String> {
    make_way(directory)?;
    directory.directory().rename(JOURNAL, &void(1))?;
    directory.directory().sync()?;
    Ok(directory.path().join(void(1)).display().to_string())
}

/// Frees the first of the names under which old records are kept.
fn make_way(directory: &Protected) -> io::Result<()> {
    for number in (1..KEPT).rev() {
        disk::if_there(directory.directory().rename(&void(number), &void(number + 1)))?;
    }
    Ok(())
}

fn void(number: u32) -> String {
    format!("{JOURNAL}.void{number}")
}

pub(super) const JOURNAL: &str = "journal";
/// The file that is to take its place.
const NEW: &str = "journal.new";

/// Files in which old records are kept.
const KEPT: u32 = 3;
