//! Looks at work directories without writing anything.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, if_there, read_up_to};
use super::journal::JOURNAL;
use super::line::{self, Lines};
use super::lock::LOCK;
use super::name::MailboxName;
use super::protected::{Protected, failed};
use super::reader;
use crate::text::Arg;

/// Decisions in the journal of a mailbox that is not configured any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    pub directory: PathBuf,
    /// How it is reached: `b@example.com/INBOX at outlook.office365.com:993`.
    pub mailbox: String,
    pub messages: usize,
}

/// Looks for journals in the work directory beside those in the directories `known`: of mailboxes whose server, port, user or
/// inbox was another one when they were written.
pub fn abandoned(disk: &dyn Disk, work_directory: &Path, known: &[PathBuf]) -> io::Result<Vec<Abandoned>> {
    let Some(work) = if_there(disk.directory(work_directory))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for name in work.names()? {
        let directory = work_directory.join(&name);
        let file = || work.open_directory(&name)?.open(JOURNAL);
        if !known.contains(&directory)
            && let Ok(file) = file()
            && let Some((MailboxName { host, port, user, folder }, messages @ 1..)) = look(file.as_ref())
        {
            found.push(Abandoned {
                directory,
                mailbox: format!("{user}/{folder} at {host}:{port}"),
                messages,
            });
        }
    }
    found.sort_by(|one, other| one.directory.cmp(&other.directory));
    Ok(found)
}

/// Reads which mailbox's journal it is, and how many decisions are pending in it.
fn look(file: &dyn DiskFile) -> Option<(MailboxName, usize)> {
    let beginning = read_up_to(file, BEGINNING).ok()?;
    let mut left = beginning.as_slice();
    let name = loop {
        if left.is_empty() {
            return None;
        }
        if let Some(header) = line::parse_header(left) {
            break header.name;
        }
        left = left.get(line::next_line(left)..)?;
    };
    let contents = reader::read(file, &Lines::new(&name)).ok()?;
    contents.foreign.is_none().then_some((name, contents.pending.len()))
}

/// Says why no lock and no journal could be in a mailbox directory, as far as that shows without writing anything.
pub fn obstacle(disk: &dyn Disk, directory: &Path) -> Option<Arg> {
    let opened = match Protected::open(disk, directory) {
        Ok(opened) => opened?,
        Err(failure) => return Some(failure.told()),
    };
    [LOCK, JOURNAL].into_iter().find_map(|name| {
        let error = opened.open_file(name).err()?;
        Some(failed(&directory.join(name), &error).told())
    })
}

/// Octets in which the headers are.
const BEGINNING: usize = 64 << 10;
