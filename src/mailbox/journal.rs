//! The journal: what was decided and is not yet done on the server, in a file that outlives the process.
//!
//! A decision is a line that is written before `settle` returns, so that it survives the end of the process, and that is on
//! the disk before the server is told, at latest after [`SYNC_AFTER`], so that only a loss of power can take the last ones.
//! What the server has done is crossed out by another line, and where nothing is left to do the file shrinks to its header.
//!
//! ```text
//! 6ce2b1f0a3d49c77 {"journal":{"version":1,"host":"outlook.office365.com","port":993,"user":"b@example.com","folder":"INBOX"}}
//! 0d1e7c55b2a8f613 {"decided":{"uid_validity":14,"uid":7,"received":1706778007000,"action":{"move":"debug"}}}
//! 5d0c3f6b9a71e2c8 {"copied":{"uid_validity":14,"uids":[7]}}
//! 93b0aa1c4e2f5d68 {"done":{"uid_validity":14,"uids":[7]}}
//! ```
//!
//! `copied` is there only where the server has no MOVE: what was copied is not copied again. A process that is killed in the
//! round trip between COPY and this line leaves a second copy; none is ever missing, for nothing is deleted before.
//!
//! In front of each line stands the beginning of its SHA-256. No content of a mail and no recipient's address is in it. A UID
//! alone is not to be trusted: the date beside it is compared with the server's before anything is done (see
//! [`Decisions::unverified`](super::decisions::Decisions)).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::imap::limits;

use super::decisions::{Action, Decided, Decisions};
use super::place::{Identity, Place, hex};

/// The open journal of one mailbox. Whoever has it holds the mailbox's lock.
pub(super) struct Journal {
    place: Place,
    /// The first line of the file.
    header: Vec<u8>,
    /// Octets in the file.
    length: u64,
    /// Octets that it had when only what is pending was in it.
    compact: u64,
    /// New decisions are written.
    writes: bool,
    synced: Arc<Synced>,
}

/// What an earlier process left.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Decided, and not known to be done.
    pub pending: Vec<Pending>,
    /// Under which that was decided.
    pub uid_validity: Option<u32>,
    /// What was odd about the file.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub mail: Decided,
    pub action: Action,
    /// It is in the target already, and only to be deleted.
    pub copied: bool,
}

impl Journal {
    /// Opens the journal, or begins one. Where it is not wanted (`writes` is false), one that holds something is carried out
    /// all the same; `None`: there is none.
    pub(super) fn open(place: &Place, identity: &Identity, writes: bool) -> Result<(Option<Journal>, Found)> {
        let failed = |error: io::Error| place.failed(JOURNAL, &error);
        let mut file = match if writes { place.open_or_create(JOURNAL) } else { place.open(JOURNAL) } {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !writes => {
                return Ok((None, Found::default()));
            }
            Err(error) => return Err(failed(error)),
        };
        let header = line(&Record::Journal(Header { version: VERSION, identity: identity.clone() }));
        let mut found = Found::default();
        let length = match read(&mut BufReader::new(&file), &header) {
            Ok(Contents { pending, uid_validity, whole, broken }) => {
                if broken > 0 {
                    found.warnings.push(format!(
                        "{}: {broken} records are damaged; what they said is not known any more",
                        place.path(JOURNAL).display()
                    ));
                }
                found.pending = pending;
                found.uid_validity = uid_validity;
                whole
            }
            Err(Unusable::Io(error)) => return Err(failed(error)),
            Err(Unusable::Strange(why)) => {
                drop(file);
                let aside = set_aside(place).map_err(failed)?;
                found.warnings.push(format!(
                    "{}: {why}; it counts for nothing and was renamed to {aside}",
                    place.path(JOURNAL).display()
                ));
                file = place.create(JOURNAL).map_err(failed)?;
                0
            }
        };
        if !writes && found.pending.is_empty() {
            return Ok((None, found));
        }
        let mut journal = Journal {
            place: place.clone(),
            length,
            compact: length,
            writes,
            synced: Arc::new(Synced::new(file)),
            header,
        };
        journal.begin(length).map_err(failed)?;
        Ok((Some(journal), found))
    }

    /// Writes a decision down. Fails where it cannot be; then nothing is written any more until [`Journal::done`] finds
    /// nothing left to do.
    pub(super) fn decided(&mut self, uid_validity: u32, action: &Action, mail: Decided) -> Result<()> {
        if !self.writes {
            return Ok(());
        }
        let Decided { uid, received } = mail;
        let action = action.clone();
        self.append(&line(&Record::Decided { uid_validity, uid, received, action }), true)
    }

    /// The server has copied them to their target, from which on a MOVE only has to delete.
    pub(super) fn copied(&mut self, uid_validity: u32, uids: impl IntoIterator<Item = u32>) -> Result<()> {
        let uids = uids.into_iter().collect();
        self.append(&line(&Record::Copied { uid_validity, uids }), false)
    }

    /// The server has done it, or it is void. `left` is what is still to be done. True: it had failed before, and works
    /// again.
    pub(super) fn done(
        &mut self,
        uid_validity: u32,
        uids: impl IntoIterator<Item = u32>,
        left: &Decisions,
    ) -> Result<bool> {
        let had_failed = self.synced.lock().failed;
        if left.is_empty() {
            let begun = if had_failed { self.reopen() } else { self.clear() };
            begun.map_err(|error| self.failed(&error))?;
            return Ok(had_failed);
        }
        let uids: Vec<u32> = uids.into_iter().collect();
        for uids in uids.chunks(limits::CHANGE) {
            self.append(&line(&Record::Done { uid_validity, uids: uids.to_vec() }), false)?;
        }
        if !had_failed && self.length > GROWN && self.length > 2 * self.compact {
            self.rewrite(uid_validity, left)?;
        }
        Ok(false)
    }

    /// Another UIDVALIDITY: nothing in it counts any more. Returns the name under which it is kept.
    pub(super) fn void(&mut self) -> Result<String> {
        let begun = set_aside(&self.place).and_then(|aside| {
            self.synced.replace(self.place.create(JOURNAL)?);
            self.begin(0)?;
            Ok(aside)
        });
        begun.map_err(|error| self.failed(&error))
    }

    /// A new file with what is pending takes the place of the old one.
    pub(super) fn rewrite(&mut self, uid_validity: u32, left: &Decisions) -> Result<()> {
        self.write_anew(uid_validity, left).map_err(|error| self.failed(&error))
    }

    /// What brings it to the disk, for threads that do not have the journal.
    pub(super) fn synced(&self) -> Arc<Synced> {
        self.synced.clone()
    }

    /// It did not work: nothing is written any more.
    pub(super) fn failed(&self, error: &io::Error) -> Failure {
        let mut inner = self.synced.lock();
        inner.failed = true;
        inner.since = None;
        drop(inner);
        self.place.failed(JOURNAL, error)
    }

    fn append(&mut self, line: &[u8], is_decision: bool) -> Result<()> {
        let file = match self.synced.file(is_decision) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(()),
            Err(error) => return Err(self.failed(&error)),
        };
        if let Err(error) = (&*file).write_all(line) {
            // Half a line is no record; where it cannot be taken back, the reader does without it.
            let _ = cut(&file, self.length);
            return Err(self.failed(&error));
        }
        self.length += line.len() as u64;
        if is_decision {
            self.synced.written();
        }
        Ok(())
    }

    /// Only the header is left.
    fn clear(&mut self) -> io::Result<()> {
        self.synced.forget();
        self.begin(self.header.len() as u64)
    }

    /// Another try after a failure, with nothing but the header. The file is the one that is found under its name: what
    /// failed may have been a step between the old one's new name and the new one.
    fn reopen(&mut self) -> io::Result<()> {
        self.synced.replace(self.place.open_or_create(JOURNAL)?);
        self.begin(0)?;
        self.synced.lock().failed = false;
        Ok(())
    }

    /// Cuts the file after so many octets, and writes the header where it is missing.
    fn begin(&mut self, length: u64) -> io::Result<()> {
        let file = self.synced.current();
        cut(&file, length)?;
        self.length = length;
        if length == 0 {
            (&*file).write_all(&self.header)?;
            self.length = self.header.len() as u64;
            file.sync_data()?;
            self.place.sync_entries()?;
        }
        self.compact = self.length;
        Ok(())
    }

    fn write_anew(&mut self, uid_validity: u32, left: &Decisions) -> io::Result<()> {
        self.place.remove(NEW)?;
        let file = self.place.create(NEW)?;
        let mut octets = self.header.clone();
        for Pending { mail: Decided { uid, received }, action, copied } in left.pending() {
            octets.extend(line(&Record::Decided { uid_validity, uid, received, action }));
            if copied {
                octets.extend(line(&Record::Copied { uid_validity, uids: vec![uid] }));
            }
        }
        (&file).write_all(&octets)?;
        file.sync_data()?;
        self.place.rename(NEW, JOURNAL)?;
        self.synced.replace(file);
        self.length = octets.len() as u64;
        self.compact = self.length;
        self.place.sync_entries()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.synced.close();
    }
}

/// Brings the file to the disk: by its own thread in time, and by whoever wants to go on only then.
pub(super) struct Synced {
    inner: Mutex<Inner>,
    /// There is something to do for the thread.
    wake: Condvar,
}

struct Inner {
    file: Arc<File>,
    /// Decisions that were written.
    written: u64,
    /// Of these, those that are on the disk.
    synced: u64,
    /// Since when there is one that is not, and shall be.
    since: Option<Instant>,
    has_thread: bool,
    /// The thread could not bring it to the disk.
    error: Option<io::Error>,
    /// Nothing is written any more.
    failed: bool,
    closed: bool,
}

impl Synced {
    fn new(file: File) -> Self {
        let inner = Inner {
            file: Arc::new(file),
            written: 0,
            synced: 0,
            since: None,
            has_thread: false,
            error: None,
            failed: false,
            closed: false,
        };
        Self { inner: Mutex::new(inner), wake: Condvar::new() }
    }

    /// Returns when everything that was written before is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        let now = Instant::now();
        let (file, written) = {
            let mut inner = self.lock();
            // A second fsync after one that failed says nothing (fsync(2), EIO).
            if let Some(error) = inner.error.take() {
                return Err(error);
            }
            if inner.failed || inner.synced >= inner.written {
                // Else the thread would come here again at once, and for ever.
                inner.since = None;
                return Ok(());
            }
            (inner.file.clone(), inner.written)
        };
        file.sync_data()?;
        let mut inner = self.lock();
        inner.synced = inner.synced.max(written);
        inner.since = (inner.synced < inner.written).then_some(now);
        Ok(())
    }

    /// Until the journal is closed.
    fn keep(&self) {
        let mut inner = self.lock();
        loop {
            let closed = inner.closed;
            let left = inner.since.map(|since| SYNC_AFTER.saturating_sub(since.elapsed()));
            inner = match left {
                Some(left) if closed || left.is_zero() => {
                    drop(inner);
                    let result = self.sync();
                    let mut inner = self.lock();
                    if let Err(error) = result {
                        inner.error = Some(error);
                        inner.since = None;
                    }
                    inner
                }
                Some(left) => self.wake.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
                None if closed => return,
                None => self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// The file to write to; none after a failure.
    fn file(self: &Arc<Self>, is_decision: bool) -> io::Result<Option<Arc<File>>> {
        let mut inner = self.lock();
        if inner.failed {
            return Ok(None);
        }
        if let Some(error) = inner.error.take() {
            return Err(error);
        }
        if is_decision && !inner.has_thread {
            let synced = self.clone();
            thread::Builder::new().name("um-imap-journal".into()).spawn(move || synced.keep())?;
            inner.has_thread = true;
        }
        Ok(Some(inner.file.clone()))
    }

    fn current(&self) -> Arc<File> {
        self.lock().file.clone()
    }

    /// A decision was written.
    fn written(&self) {
        let mut inner = self.lock();
        inner.written += 1;
        if inner.since.is_none() {
            inner.since = Some(Instant::now());
            self.wake.notify_one();
        }
    }

    /// The new file is on the disk with all that counts.
    fn replace(&self, file: File) {
        self.forget();
        self.lock().file = Arc::new(file);
    }

    /// Nothing that was written need come to the disk any more.
    fn forget(&self) {
        let mut inner = self.lock();
        inner.synced = inner.written;
        inner.since = None;
        inner.error = None;
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Journal(Header),
    Decided {
        uid_validity: u32,
        uid: u32,
        /// The internal date in milliseconds since 1970.
        received: Option<i64>,
        action: Action,
    },
    Copied {
        uid_validity: u32,
        uids: Vec<u32>,
    },
    Done {
        uid_validity: u32,
        uids: Vec<u32>,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    version: u32,
    #[serde(flatten)]
    identity: Identity,
}

#[derive(Debug, Default)]
struct Contents {
    pending: Vec<Pending>,
    uid_validity: Option<u32>,
    /// Octets up to the end of the last good record.
    whole: u64,
    /// Bad ones before that.
    broken: usize,
}

/// Why a file is not this mailbox's journal.
#[derive(Debug)]
enum Unusable {
    Strange(String),
    Io(io::Error),
}

fn read(input: &mut impl BufRead, header: &[u8]) -> std::result::Result<Contents, Unusable> {
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        (&mut *input).take(LINE).read_until(b'\n', line).map_err(Unusable::Io)
    };
    next(&mut line)?;
    if line != header {
        // The first process may have been killed while it wrote the header.
        return if header.starts_with(&line) {
            Ok(Contents::default())
        } else {
            Err(Unusable::Strange(what_else(&line)))
        };
    }
    let mut pending: BTreeMap<u32, (u32, Pending)> = BTreeMap::new();
    let mut contents = Contents { whole: header.len() as u64, ..Contents::default() };
    let (mut at, mut bad) = (contents.whole, 0);
    loop {
        let octets = next(&mut line)?;
        if octets == 0 {
            break;
        }
        at += octets as u64;
        match line.strip_suffix(b"\n").and_then(parse) {
            Some(Record::Decided { uid_validity, uid, received, action }) => {
                let mail = Decided { uid, received };
                pending.insert(uid, (uid_validity, Pending { mail, action, copied: false }));
            }
            Some(Record::Copied { uid_validity, uids }) => {
                for uid in uids {
                    if let Some((validity, pending)) = pending.get_mut(&uid)
                        && *validity == uid_validity
                    {
                        pending.copied = true;
                    }
                }
            }
            Some(Record::Done { uid_validity, uids }) => {
                for uid in uids {
                    if pending.get(&uid).is_some_and(|(validity, _)| *validity == uid_validity) {
                        pending.remove(&uid);
                    }
                }
            }
            Some(Record::Journal(_)) | None => {
                bad += 1;
                continue;
            }
        }
        contents.whole = at;
        contents.broken = bad;
    }
    contents.uid_validity = pending.values().next().map(|&(validity, _)| validity);
    if pending.values().any(|&(validity, _)| Some(validity) != contents.uid_validity) {
        return Err(Unusable::Strange("its records are of more than one UIDVALIDITY".to_owned()));
    }
    contents.pending = pending.into_values().map(|(_, pending)| pending).collect();
    Ok(contents)
}

/// Whose journal lies in `folder`, and how many mails are pending in it; `None`: nobody's that can be read.
pub(super) fn look(folder: &Path) -> Option<(Identity, usize)> {
    let mut input = BufReader::new(File::open(folder.join(JOURNAL)).ok()?);
    let mut header = Vec::new();
    (&mut input).take(LINE).read_until(b'\n', &mut header).ok()?;
    let Some(Record::Journal(Header { version: VERSION, identity })) =
        header.strip_suffix(b"\n").and_then(parse)
    else {
        return None;
    };
    let contents = read(&mut header.as_slice().chain(input), &header).ok()?;
    Some((identity, contents.pending.len()))
}

/// What a file is that does not begin with the header of this mailbox.
fn what_else(first: &[u8]) -> String {
    match first.strip_suffix(b"\n").and_then(parse) {
        Some(Record::Journal(Header { version, .. })) if version != VERSION => {
            format!("its version is {version}, not {VERSION}")
        }
        Some(Record::Journal(_)) => "it is another mailbox's".to_owned(),
        _ => "it has no header".to_owned(),
    }
}

fn line(record: &Record) -> Vec<u8> {
    // Such a record is made of strings and numbers: writing it as JSON cannot fail.
    let json = serde_json::to_string(record).unwrap_or_default();
    format!("{} {json}\n", checksum(json.as_bytes())).into_bytes()
}

/// A line without its end; `None` where it is damaged.
fn parse(line: &[u8]) -> Option<Record> {
    let (sum, json) = line.split_at_checked(CHECKSUM)?;
    let json = json.strip_prefix(b" ")?;
    if sum != checksum(json).as_bytes() {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(json: &[u8]) -> String {
    let mut sum = hex(digest(&SHA256, json).as_ref());
    sum.truncate(CHECKSUM);
    sum
}

/// What is written next follows these octets.
fn cut(mut file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length))?;
    Ok(())
}

/// Renames the file out of the way, and returns its new name; that is on the disk when the next file is begun. The oldest
/// of those that were renamed before goes.
fn set_aside(place: &Place) -> io::Result<String> {
    let name = |number: u32| format!("{JOURNAL}.void{number}");
    place.remove(&name(KEPT))?;
    for number in (1..KEPT).rev() {
        match place.rename(&name(number), &name(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    place.rename(JOURNAL, &name(1))?;
    Ok(place.path(&name(1)).display().to_string())
}

/// A decision is on the disk within twice this time.
const SYNC_AFTER: Duration = Duration::from_millis(100);

const VERSION: u32 = 1;
pub(super) const JOURNAL: &str = "journal";
/// The file that is to take its place.
const NEW: &str = "journal.new";

/// Files that are kept aside.
const KEPT: u32 = 3;

/// Hexadecimal digits in front of a line.
const CHECKSUM: usize = 16;

/// Octets from which on what is crossed out is thrown away: some 40,000 decisions.
const GROWN: u64 = 4 << 20;

/// Octets of a line at most. The longest one tells of 200 mails; names of users and folders are shorter.
const LINE: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::mailbox::place::testing::place_in;

    fn identity() -> Identity {
        Identity { host: "h".into(), port: 993, user: "u@example.com".into(), folder: "INBOX".into() }
    }

    fn place(directory: &Path) -> Place {
        place_in(directory, "u")
    }

    fn open(directory: &Path) -> (Journal, Found) {
        let (journal, found) = Journal::open(&place(directory), &identity(), true).unwrap();
        (journal.unwrap(), found)
    }

    fn mail(uid: u32) -> Decided {
        Decided { uid, received: Some(1_706_778_000_000 + i64::from(uid)) }
    }

    fn moved(folder: &str) -> Action {
        Action::Move(folder.into())
    }

    /// The names of all files of the mailbox.
    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory.join("u")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn pending(action: Action, mail: Decided) -> Pending {
        Pending { mail, action, copied: false }
    }

    fn deleted(uid: u32) -> Pending {
        pending(Action::Delete, mail(uid))
    }

    /// Decisions of which these are left.
    fn left(mails: impl IntoIterator<Item = u32>) -> Decisions {
        let mut left = Decisions::default();
        left.restore(mails.into_iter().map(deleted).collect());
        left
    }

    #[test]
    fn what_was_decided_and_not_done_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, found) = open(directory.path());
        assert_eq!((found.pending.len(), found.uid_validity), (0, None));
        journal.decided(14, &moved("Gelöscht \"x\"\n"), mail(1)).unwrap();
        journal.decided(14, &Action::Delete, mail(2)).unwrap();
        journal.decided(14, &Action::MarkSeen, Decided { uid: 3, received: None }).unwrap();
        journal.decided(14, &Action::Delete, mail(4)).unwrap();
        assert!(!journal.done(14, [2, 4], &left([1, 3])).unwrap());
        drop(journal);
        let (_, found) = open(directory.path());
        assert_eq!(
            found.pending,
            [
                pending(moved("Gelöscht \"x\"\n"), mail(1)),
                pending(Action::MarkSeen, Decided { uid: 3, received: None })
            ]
        );
        assert_eq!((found.uid_validity, found.warnings.len()), (Some(14), 0));
    }

    #[test]
    fn what_was_copied_is_known_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(directory.path());
        for uid in 1..=3 {
            journal.decided(14, &moved("debug"), mail(uid)).unwrap();
        }
        journal.copied(14, [1, 2]).unwrap();
        journal.done(14, [1], &left([2, 3])).unwrap();
        drop(journal);
        let (mut journal, found) = open(directory.path());
        let copied: Vec<_> = found.pending.iter().map(|pending| (pending.mail.uid, pending.copied)).collect();
        assert_eq!(copied, [(2, true), (3, false)]);
        // Also after the file was written anew.
        let mut decisions = Decisions::default();
        decisions.restore(found.pending.clone());
        journal.rewrite(14, &decisions).unwrap();
        assert_eq!(open(directory.path()).1.pending, found.pending);
    }

    #[test]
    #[cfg(unix)]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        open(directory.path());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&place(directory.path()).path(JOURNAL)), 0o600);
    }

    #[test]
    fn when_nothing_is_left_to_do_only_the_header_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = place(directory.path()).path(JOURNAL);
        let (mut journal, _) = open(directory.path());
        let header = fs::read(&path).unwrap();
        for uid in 1..=300 {
            journal.decided(14, &Action::Delete, mail(uid)).unwrap();
        }
        journal.done(14, 1..=300, &left([])).unwrap();
        assert_eq!(fs::read(&path).unwrap(), header);
        journal.decided(15, &Action::Delete, mail(7)).unwrap();
        drop(journal);
        assert_eq!(open(directory.path()).1.pending, [deleted(7)]);
    }

    #[test]
    fn wherever_a_crash_cuts_the_file_the_whole_records_count_and_writing_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = place(directory.path()).path(JOURNAL);
        let (mut journal, _) = open(directory.path());
        let header = fs::read(&path).unwrap().len();
        let mut ends = vec![header];
        for uid in 1..=3 {
            journal.decided(14, &Action::Delete, mail(uid)).unwrap();
            ends.push(fs::read(&path).unwrap().len());
        }
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, found) = open(directory.path());
            let records = ends.iter().filter(|&&end| end <= cut).count().saturating_sub(1);
            assert_eq!(found.pending.len(), records, "cut after {cut}");
            assert_eq!(found.warnings, [""; 0], "cut after {cut}");
            journal.decided(14, &Action::Delete, mail(9)).unwrap();
            drop(journal);
            let pending = open(directory.path()).1.pending;
            assert_eq!(pending.len(), records + 1, "cut after {cut}");
            assert_eq!(names(directory.path()), ["journal"]);
        }
    }

    #[test]
    fn a_damaged_record_does_not_take_the_others_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = place(directory.path()).path(JOURNAL);
        let (mut journal, _) = open(directory.path());
        for uid in 1..=3 {
            journal.decided(14, &Action::Delete, mail(uid)).unwrap();
        }
        drop(journal);
        let whole = fs::read(&path).unwrap();
        let second = whole.windows(8).position(|octets| octets == b"\"uid\":2,").unwrap();
        for octet in [b'7', 0, b'\n'] {
            let mut damaged = whole.clone();
            damaged[second + 6] = octet;
            fs::write(&path, damaged).unwrap();
            let found = open(directory.path()).1;
            assert_eq!(found.pending, [deleted(1), deleted(3)]);
            assert!(found.warnings[0].contains("damaged"), "{:?}", found.warnings);
        }
    }

    #[test]
    fn a_file_that_is_not_this_mailboxs_counts_for_nothing_and_is_kept_aside() {
        let own = line(&Record::Journal(Header { version: VERSION, identity: identity() }));
        let newer = line(&Record::Journal(Header { version: VERSION + 1, identity: identity() }));
        let identity = Identity { user: "v@example.com".into(), ..identity() };
        let other = line(&Record::Journal(Header { version: VERSION, identity }));
        let decided = |uid_validity| {
            let Decided { uid, received } = mail(uid_validity);
            line(&Record::Decided { uid_validity, uid, received, action: Action::Delete })
        };
        for (content, why) in [
            ([newer, decided(14)].concat(), "version is 2"),
            ([other, decided(14)].concat(), "another mailbox's"),
            (decided(14), "no header"),
            (b"\0".repeat(100_000), "no header"),
            (b"Dear diary".to_vec(), "no header"),
            ([own, decided(14), decided(15)].concat(), "more than one UIDVALIDITY"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            fs::write(place(directory.path()).path(JOURNAL), &content).unwrap();
            let (mut journal, found) = open(directory.path());
            assert_eq!((found.pending.len(), found.uid_validity), (0, None));
            assert!(found.warnings[0].contains(why), "{:?}", found.warnings);
            assert_eq!(names(directory.path()), ["journal", "journal.void1"]);
            assert_eq!(fs::read(place(directory.path()).path("journal.void1")).unwrap(), content);
            journal.decided(14, &Action::Delete, mail(1)).unwrap();
            assert_eq!(open(directory.path()).1.pending.len(), 1);
        }
    }

    #[test]
    fn the_last_three_files_are_kept_aside() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(directory.path());
        for uid_validity in 1..=5 {
            journal.decided(uid_validity, &Action::Delete, mail(uid_validity)).unwrap();
            journal.void().unwrap();
        }
        assert_eq!(names(directory.path()), ["journal", "journal.void1", "journal.void2", "journal.void3"]);
        let last = fs::read_to_string(place(directory.path()).path("journal.void1")).unwrap();
        assert!(last.contains("\"uid_validity\":5,"), "{last}");
        assert_eq!(open(directory.path()).1.pending, []);
    }

    #[test]
    fn one_that_grows_is_written_anew_with_what_is_left_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        let (mut journal, _) = open(directory.path());
        let long = moved(&"f".repeat(2_000));
        // One mail is never done.
        journal.decided(14, &Action::Delete, mail(1)).unwrap();
        let mut most = 0;
        for uid in 2..6_000 {
            journal.decided(14, &long, mail(uid)).unwrap();
            journal.done(14, [uid], &left([1])).unwrap();
            most = most.max(fs::metadata(place.path(JOURNAL)).unwrap().len());
        }
        assert!(most > GROWN / 2 && most < 2 * GROWN, "{most}");
        assert_eq!(names(directory.path()), ["journal"]);
        drop(journal);
        assert_eq!(open(directory.path()).1.pending, [deleted(1)]);
    }

    #[test]
    fn an_unwanted_journal_is_not_begun_and_one_that_holds_something_is_carried_out() {
        let directory = tempfile::tempdir().unwrap();
        let unwanted = || Journal::open(&place(directory.path()), &identity(), false).unwrap();
        assert!(unwanted().0.is_none());
        assert_eq!(names(directory.path()), [""; 0]);
        open(directory.path()).0.decided(14, &Action::Delete, mail(1)).unwrap();
        let (journal, found) = unwanted();
        let mut journal = journal.unwrap();
        assert_eq!(found.pending.len(), 1);
        journal.decided(14, &Action::Delete, mail(2)).unwrap();
        journal.done(14, [1], &left([])).unwrap();
        assert_eq!(open(directory.path()).1.pending, []);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn on_a_full_disk_it_fails_once_and_goes_on_when_everything_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(directory.path());
        journal.synced.replace(File::options().write(true).open("/dev/full").unwrap());
        let failure = journal.decided(14, &Action::Delete, mail(1)).unwrap_err();
        assert!(failure.observed.contains("No space left"), "{failure}");
        // Nothing more is written, and nothing more fails.
        journal.decided(14, &Action::Delete, mail(2)).unwrap();
        assert!(!journal.done(14, [1], &left([2])).unwrap());
        assert!(journal.done(14, [2], &left([])).unwrap(), "it works again");
        journal.decided(14, &Action::Delete, mail(3)).unwrap();
        assert_eq!(open(directory.path()).1.pending, [deleted(3)]);
    }

    #[test]
    fn one_that_works_again_is_the_one_that_the_next_process_finds() {
        let failures: [fn(&Place) -> io::Result<()>; 4] = [
            |_| Ok(()),
            |place| place.rename(JOURNAL, "journal.void1"),
            |place| place.rename(JOURNAL, "journal.void1").and_then(|()| place.create(JOURNAL).map(drop)),
            |place| place.create(NEW).and_then(|_| place.rename(NEW, JOURNAL)),
        ];
        for fails_after in failures {
            let directory = tempfile::tempdir().unwrap();
            let place = place(directory.path());
            let (mut journal, _) = open(directory.path());
            journal.decided(14, &Action::Delete, mail(1)).unwrap();
            fails_after(&place).unwrap();
            journal.failed(&io::Error::other("no descriptor is left"));
            assert!(journal.done(15, [], &left([])).unwrap());
            journal.decided(15, &Action::Delete, mail(7)).unwrap();
            drop(journal);
            assert_eq!(open(directory.path()).1.pending, [deleted(7)]);
            if let Ok(aside) = fs::read_to_string(place.path("journal.void1")) {
                assert!(aside.contains("\"uid\":1,"), "what is kept aside stays as it was: {aside}");
            }
        }
    }

    #[test]
    fn a_decision_comes_to_the_disk_by_itself_and_the_thread_ends_with_the_journal() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(directory.path());
        let synced = journal.synced();
        let state = || {
            let inner = synced.lock();
            (inner.written, inner.synced)
        };
        for uid in 1..=3 {
            journal.decided(14, &Action::Delete, mail(uid)).unwrap();
            let begin = Instant::now();
            while state().1 < u64::from(uid) && begin.elapsed() < Duration::from_secs(20) {
                thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(state(), (u64::from(uid), u64::from(uid)));
        }
        journal.decided(14, &Action::Delete, mail(4)).unwrap();
        synced.sync().unwrap();
        assert_eq!(state(), (4, 4), "before the server is told");
        drop(journal);
        ends(&synced);
    }

    /// The thread, which has the only other one.
    #[track_caller]
    fn ends(synced: &Arc<Synced>) {
        let begin = Instant::now();
        while Arc::strong_count(synced) > 1 && begin.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(Arc::strong_count(synced), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_failure_right_after_a_decision_leaves_nothing_to_do_for_the_thread_and_lets_it_end() {
        let directory = tempfile::tempdir().unwrap();
        let full = || Arc::new(File::options().write(true).open("/dev/full").unwrap());
        // The disk is full for the next decision; or what was written could not be brought to it (EINVAL).
        for next_is_written in [true, false] {
            let (mut journal, _) = open(directory.path());
            let synced = journal.synced();
            journal.decided(14, &Action::Delete, mail(1)).unwrap();
            synced.lock().file = full();
            if next_is_written {
                journal.decided(14, &Action::Delete, mail(2)).unwrap_err();
            } else {
                journal.failed(&synced.sync().unwrap_err());
            }
            assert_eq!(synced.lock().since, None);
            // One that was under way meanwhile.
            synced.lock().since = Some(Instant::now());
            drop(journal);
            ends(&synced);
        }
    }
}
