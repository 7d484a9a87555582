//! Reads a journal of any version, however damaged it is.

use std::collections::HashMap;
use std::io;

use super::disk::{DiskFile, retried};
use super::line::{self, Line, Lines};
use crate::engine::record::{Copy, Pending, Record};
use crate::imap::uids::{Uid, UidValidity};
use crate::message;
use crate::text::Message;

/// What a journal says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// In the order in which they were decided.
    pub pending: Vec<Pending>,
    /// Places at which records are damaged.
    pub damaged: u64,
    /// Nothing but whole headers of the current version is in it.
    pub is_fresh: bool,
    /// It is not this mailbox's journal, for this reason.
    pub foreign: Option<Message>,
    /// No header is whole, though there are records.
    pub lost_header: bool,
}

/// Reads a journal from its beginning to its end.
pub(super) fn read(file: &dyn DiskFile, lines: &Lines) -> io::Result<Contents> {
    let mut input = Input { file, position: 0, buffer: Vec::new(), at: 0, ended: false };
    let mut reading = Reading::default();
    loop {
        input.fill()?;
        let octets = input.octets();
        if octets.is_empty() {
            break;
        }
        let taken = match lines.parse(octets, reading.version < Some(2)) {
            Some((line, length)) => {
                reading.line(line, lines);
                length
            }
            None => {
                let length = line::next_line(octets);
                if reading.is_empty() && input.is_whole() && lines.is_torn_header(octets) {
                    reading.torn_header = true;
                    break;
                }
                reading.skip(octets.get(..length).unwrap_or_default());
                length
            }
        };
        input.at += taken;
    }
    Ok(reading.end())
}

/// The octets of a file, some at a time.
struct Input<'a> {
    file: &'a dyn DiskFile,
    /// Of the end of the buffer.
    position: u64,
    buffer: Vec<u8>,
    /// Octets of the buffer that were read.
    at: usize,
    ended: bool,
}

impl Input<'_> {
    /// Reads until the longest line is in the buffer, or the rest of the file.
    fn fill(&mut self) -> io::Result<()> {
        while !self.ended && self.buffer.len() - self.at < line::LINE {
            self.buffer.drain(..self.at);
            self.at = 0;
            let before = self.buffer.len();
            self.buffer.resize(before + before.clamp(FEW, MANY), 0);
            let free = self.buffer.get_mut(before..).unwrap_or_default();
            let read = retried(|| self.file.read(self.position, free));
            let filled = *read.as_ref().unwrap_or(&0);
            self.buffer.truncate(before + filled);
            read?;
            self.ended = filled == 0;
            self.position += filled as u64;
        }
        Ok(())
    }

    fn octets(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Says whether nothing was read yet of a file that is in the buffer as a whole.
    fn is_whole(&self) -> bool {
        self.ended && self.position == self.buffer.len() as u64 && self.at == 0
    }
}

#[derive(Default)]
struct Reading {
    version: Option<u32>,
    headers: u32,
    records: u64,
    pending: Vec<Option<Pending>>,
    /// Positions in `pending`.
    index: HashMap<(UidValidity, Uid), usize>,
    damaged: u64,
    /// A damage whose end is not found yet, and its last octet.
    damage: Option<u8>,
    damaged_header: bool,
    torn_header: bool,
    foreign: Option<Message>,
}

impl Reading {
    fn is_empty(&self) -> bool {
        self.headers == 0 && self.records == 0 && self.damage.is_none()
    }

    fn line(&mut self, line: Line, lines: &Lines) {
        self.end_damage();
        match line {
            Line::Header(header) if header.name != *lines.name() => {
                self.foreign = Some(message!(JournalOfOther));
            }
            Line::Header(header) if header.version > line::VERSION => {
                self.foreign = Some(message!(
                    JournalVersion,
                    found = header.version.to_string(),
                    known = line::VERSION.to_string()
                ));
            }
            Line::Header(header) => {
                self.version = self.version.max(Some(header.version));
                self.headers += 1;
            }
            Line::Record(record) => {
                self.records += 1;
                self.record(record);
            }
        }
    }

    fn record(&mut self, record: Record) {
        match record {
            Record::Decided { uid_validity, uid, identity, action } => {
                self.remove(uid_validity, uid);
                self.index.insert((uid_validity, uid), self.pending.len());
                let copy = Copy::NotSent;
                self.pending.push(Some(Pending { uid_validity, uid, identity, action, copy }));
            }
            Record::Copying { uid_validity, uids, target } => {
                self.copy(uid_validity, uids, Copy::Sent(target))
            }
            Record::Copied { uid_validity, uids } => self.copy(uid_validity, uids, Copy::Done),
            Record::Done { uid_validity, uids } => {
                uids.into_iter().for_each(|uid| self.remove(uid_validity, uid));
            }
        }
    }

    fn copy(&mut self, uid_validity: UidValidity, uids: Vec<Uid>, copy: Copy) {
        for uid in uids {
            let at = self.index.get(&(uid_validity, uid));
            if let Some(Some(pending)) = at.and_then(|&at| self.pending.get_mut(at)) {
                pending.copy = copy;
            }
        }
    }

    fn remove(&mut self, uid_validity: UidValidity, uid: Uid) {
        let at = self.index.remove(&(uid_validity, uid));
        if let Some(pending) = at.and_then(|at| self.pending.get_mut(at)) {
            *pending = None;
        }
    }

    fn skip(&mut self, octets: &[u8]) {
        // Version 2 has two headers. What is damaged before the first record may be one of them.
        if self.records == 0 && self.headers < 2 && self.version != Some(1) {
            self.damaged_header = true;
            return;
        }
        self.damage = octets.last().copied();
    }

    fn end_damage(&mut self) {
        if self.damage.take().is_some() {
            self.damaged += 1;
        }
    }

    fn end(mut self) -> Contents {
        // A last line without an end is what a killed process leaves.
        if self.damage == Some(b'\n') {
            self.damaged += 1;
        }
        let torn = self.damage.is_some() || self.torn_header;
        let nothing = self.headers == 0 && self.records == 0;
        if nothing && self.damaged_header {
            self.foreign.get_or_insert_with(|| message!(JournalNoHeader));
        }
        Contents {
            pending: self.pending.into_iter().flatten().collect(),
            damaged: self.damaged,
            is_fresh: self.version == Some(line::VERSION)
                && (self.headers, self.records) == (2, 0)
                && self.damaged == 0
                && !torn
                && !self.damaged_header,
            foreign: self.foreign,
            lost_header: self.headers == 0 && self.records > 0,
        }
    }
}

/// Octets that are read at a time: few of a small file, many of a large one.
const FEW: usize = 2 << 10;
const MANY: usize = 256 << 10;
