//! The lines of a journal.
//!
//! ```text
//! 6ce2b1f0a3d49c77 {"journal":{"version":2,"host":"outlook.office365.com","port":993,"user":"b@example.com","folder":"INBOX"}}
//! 6ce2b1f0a3d49c77 {"journal":{"version":2,"host":"outlook.office365.com","port":993,"user":"b@example.com","folder":"INBOX"}}
//! 0d1e7c55b2a8f613 {"decided":{"uid_validity":14,"uid":7,"received":1706778007000,"mark":{"fields":42},"action":{"move":"debug"}}}
//! 41aa02c4d66b0e9f {"copying":{"uid_validity":14,"uids":[7],"target":{"uid_validity":3,"next":100}}}
//! 5d0c3f6b9a71e2c8 {"copied":{"uid_validity":14,"uids":[7]}}
//! 93b0aa1c4e2f5d68 {"done":{"uid_validity":14,"uids":[7]}}
//! ```
//!
//! In front of each line stands the beginning of its SHA-256. That of a record is taken over the name of the mailbox and the
//! record, so a record proves by itself to which mailbox it belongs, and is read without a header. The header is there twice;
//! it names the mailbox for people and for `drain`. A record ends with its last brace, so the end of a line may be damaged
//! without any harm.
//!
//! Version 1 had one header, no `copying` and no `mark`, and its checksums are taken over the record only.
//!
//! No content of a message and no address of a recipient is in it: a mark is a hash.

use std::fmt;

use memchr::{memchr, memmem};
use ring::digest::{Context, SHA256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::name::{MailboxName, hex};
use crate::engine::record::Record;

/// Writes and reads the lines of one mailbox's journal.
#[derive(Clone)]
pub(super) struct Lines {
    name: MailboxName,
    key: Context,
}

/// A line that is whole.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    Header(Header),
    Record(Record),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub version: u32,
    #[serde(flatten)]
    pub name: MailboxName,
}

impl fmt::Debug for Lines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Lines").field(&self.name).finish()
    }
}

impl Lines {
    pub(super) fn new(name: &MailboxName) -> Self {
        let mut key = Context::new(&SHA256);
        key.update(name.hash().as_ref());
        Self { name: name.clone(), key }
    }

    pub(super) fn name(&self) -> &MailboxName {
        &self.name
    }

    /// Returns the beginning of a new journal.
    pub(super) fn headers(&self) -> Vec<u8> {
        let header = self.header(VERSION);
        [header.as_slice(), header.as_slice()].concat()
    }

    fn header(&self, version: u32) -> Vec<u8> {
        let mut line = Vec::new();
        push(&mut line, &unkeyed(), &AnyHeader::Journal(Header { version, name: self.name.clone() }));
        line
    }

    /// Says whether a process was killed while it wrote the first header.
    pub(super) fn is_torn_header(&self, octets: &[u8]) -> bool {
        [self.header(1), self.headers()].iter().any(|header| header.starts_with(octets))
    }

    /// Adds a record, in as many lines as that takes.
    pub(super) fn push(&self, octets: &mut Vec<u8>, record: &Record) {
        let mut push = |record: &Record| push(octets, &self.key, record);
        match record {
            Record::Decided { .. } => push(record),
            Record::Copying { uid_validity, uids, target } => uids.chunks(UIDS).for_each(|uids| {
                let (uid_validity, target) = (*uid_validity, *target);
                push(&Record::Copying { uid_validity, uids: uids.to_vec(), target });
            }),
            Record::Copied { uid_validity, uids } => uids.chunks(UIDS).for_each(|uids| {
                push(&Record::Copied { uid_validity: *uid_validity, uids: uids.to_vec() });
            }),
            Record::Done { uid_validity, uids } => uids.chunks(UIDS).for_each(|uids| {
                push(&Record::Done { uid_validity: *uid_validity, uids: uids.to_vec() });
            }),
        }
    }

    /// Reads the line at the beginning of these octets, and tells its length with its end. Records of version 1 are taken if
    /// `version1`.
    pub(super) fn parse(&self, octets: &[u8], version1: bool) -> Option<(Line, usize)> {
        let (sum, rest) = octets.split_at_checked(CHECKSUM)?;
        let json = rest.strip_prefix(b" ").filter(|_| sum.iter().all(u8::is_ascii_hexdigit))?;
        // In nearly all cases the line ends where it seems to.
        let line = memchr(b'\n', json).and_then(|end| json.get(..end));
        if let Some(line) = line
            && let Some(parsed) = self.parse_json(sum, line, version1)
        {
            return Some((parsed, CHECKSUM + 1 + line.len() + 1));
        }
        let json = first_value(json)?;
        let parsed = self.parse_json(sum, json, version1)?;
        Some((parsed, CHECKSUM + 1 + json.len()))
    }

    fn parse_json(&self, sum: &[u8], json: &[u8], version1: bool) -> Option<Line> {
        if checksum(&self.key, json).as_bytes() == sum {
            return parse(json).map(Line::Record);
        }
        if checksum(&unkeyed(), json).as_bytes() != sum {
            return None;
        }
        if let Some(AnyHeader::Journal(header)) = parse(json) {
            return Some(Line::Header(header));
        }
        parse(json).filter(|_| version1).map(Line::Record)
    }
}

/// Reads a header, whichever mailbox it is of.
pub(super) fn parse_header(octets: &[u8]) -> Option<Header> {
    let (sum, rest) = octets.split_at_checked(CHECKSUM)?;
    let json = first_value(rest.strip_prefix(b" ")?)?;
    if checksum(&unkeyed(), json).as_bytes() != sum {
        return None;
    }
    parse(json).map(|AnyHeader::Journal(header)| header)
}

/// Returns the length of what cannot be a line: up to the next beginning of one.
pub(super) fn next_line(octets: &[u8]) -> usize {
    let from = CHECKSUM + 1;
    let found = octets.get(from..).and_then(|later| memmem::find(later, b" {"));
    found.map_or(octets.len(), |at| at + from - CHECKSUM)
}

/// Returns the object with which these octets begin, up to its last brace.
fn first_value(octets: &[u8]) -> Option<&[u8]> {
    if octets.first() != Some(&b'{') {
        return None;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, octet) in octets.iter().take(LINE).enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return octets.get(..=at);
                }
            }
            _ => {}
        }
    }
    None
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnyHeader {
    Journal(Header),
}

fn push(octets: &mut Vec<u8>, key: &Context, value: &impl Serialize) {
    // Such a value is made of strings and numbers: writing it as JSON cannot fail.
    let json = serde_json::to_string(value).unwrap_or_default();
    octets.extend_from_slice(checksum(key, json.as_bytes()).as_bytes());
    octets.push(b' ');
    octets.extend_from_slice(json.as_bytes());
    octets.push(b'\n');
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

pub(super) fn unkeyed() -> Context {
    Context::new(&SHA256)
}

pub(super) fn checksum(key: &Context, json: &[u8]) -> String {
    let mut context = key.clone();
    context.update(json);
    hex(context.finish().as_ref().split_at(CHECKSUM / 2).0)
}

pub(super) const VERSION: u32 = 2;

/// Hexadecimal digits in front of a line.
pub(super) const CHECKSUM: usize = 16;

/// UIDs in one line.
const UIDS: usize = 200;

/// Octets of a line at most. A folder's name has to fit into a command, and JSON makes at most six octets of one.
pub(super) const LINE: usize = 512 << 10;
