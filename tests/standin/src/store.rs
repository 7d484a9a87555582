//! The mailboxes: folders, UIDs, flags. Kept as sets of UIDs and runs of generated mails, so that a million mails take little.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roaring::RoaringBitmap;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

use crate::generated;
use crate::scenario::{self, Dialect, Generate, named};

pub(crate) struct Store {
    pub(crate) mailboxes: Vec<Mailbox>,
}

pub(crate) struct Mailbox {
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) permitted: Option<Vec<String>>,
    pub(crate) imap_enabled: bool,
    pub(crate) connections: usize,
    /// Sessions that are logged in.
    pub(crate) sessions: usize,
    pub(crate) uid_validity: u32,
    pub(crate) folders: Vec<Folder>,
    next_id: u64,
}

pub(crate) struct Folder {
    /// Stays when it is renamed, and is never given again.
    pub(crate) id: u64,
    /// With the dialect's separator.
    pub(crate) name: String,
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) uids: RoaringBitmap,
    pub(crate) subscribed: bool,
    flags: BTreeMap<String, RoaringBitmap>,
    /// By the first UID of each.
    runs: BTreeMap<u32, Run>,
}

/// What a mail is, without its place.
#[derive(Clone)]
pub(crate) enum Content {
    Stored(Arc<Stored>),
    Generated(Arc<Generate>, u32),
}

pub(crate) struct Stored {
    bytes: Vec<u8>,
    internal_date: i64,
    undeliverable: bool,
}

enum Run {
    Stored(Arc<Stored>),
    /// Mails `first`, `first + 1`, …
    Generated {
        spec: Arc<Generate>,
        first: u32,
        count: u32,
    },
}

impl Store {
    pub(crate) fn new(mailboxes: &[scenario::Mailbox], dialect: &Dialect) -> io::Result<Self> {
        let mailboxes =
            mailboxes.iter().map(|mailbox| Mailbox::new(mailbox, dialect)).collect::<io::Result<_>>()?;
        Ok(Self { mailboxes })
    }

    /// The place of a mailbox; without a user, of the first.
    pub(crate) fn find(&self, user: Option<&str>) -> Option<usize> {
        self.mailboxes
            .iter()
            .position(|mailbox| user.is_none_or(|user| mailbox.user.eq_ignore_ascii_case(user)))
    }
}

impl Mailbox {
    fn new(from: &scenario::Mailbox, dialect: &Dialect) -> io::Result<Self> {
        let mut mailbox = Self {
            user: from.user.clone(),
            password: from.password.clone(),
            permitted: from.permitted.clone(),
            imap_enabled: from.imap_enabled,
            connections: from.connections,
            sessions: 0,
            uid_validity: from.uid_validity,
            folders: Vec::new(),
            next_id: 0,
        };
        mailbox.create("INBOX".into());
        if from.default_folders && !dialect.inbox_only {
            let names = if dialect.language == "de" { DEFAULT_FOLDERS_DE } else { DEFAULT_FOLDERS_EN };
            for name in names {
                mailbox.create((*name).into());
            }
        }
        for folder in &from.folders {
            let name = match dialect.separator {
                Some(separator) => folder.name.replace('/', &separator.to_string()),
                None => folder.name.clone(),
            };
            if mailbox.folder(&name).is_none() {
                mailbox.create(name.clone());
            }
            if let Some(place) = mailbox.folder_mut(&name) {
                place.fill(folder)?;
            }
        }
        Ok(mailbox)
    }

    /// Makes a folder that is not there yet.
    pub(crate) fn create(&mut self, name: String) {
        self.next_id += 1;
        self.folders.push(Folder {
            id: self.next_id,
            name,
            uid_validity: self.uid_validity,
            uid_next: 1,
            uids: RoaringBitmap::new(),
            subscribed: true,
            flags: BTreeMap::new(),
            runs: BTreeMap::new(),
        });
        self.folders.sort_by_cached_key(|folder| folder.name.to_lowercase());
    }

    pub(crate) fn folder_mut(&mut self, name: &str) -> Option<&mut Folder> {
        self.folders.iter_mut().find(|folder| same_name(&folder.name, name))
    }

    pub(crate) fn by_id_mut(&mut self, id: u64) -> Option<&mut Folder> {
        self.folders.iter_mut().find(|folder| folder.id == id)
    }

    /// Names are the same in any case, as in Exchange.
    pub(crate) fn folder(&self, name: &str) -> Option<&Folder> {
        self.folders.iter().find(|folder| same_name(&folder.name, name))
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<&Folder> {
        self.folders.iter().find(|folder| folder.id == id)
    }
}

impl Folder {
    /// Adds a mail and returns its UID.
    pub(crate) fn add(&mut self, content: Content, flags: impl IntoIterator<Item = String>) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.uids.insert(uid);
        match content {
            Content::Stored(mail) => {
                self.runs.insert(uid, Run::Stored(mail));
            }
            Content::Generated(spec, n) => match self.runs.range_mut(..uid).next_back() {
                Some((&start, Run::Generated { spec: known, first, count }))
                    if Arc::ptr_eq(known, &spec) && start + *count == uid && *first + *count == n =>
                {
                    *count += 1;
                }
                _ => {
                    self.runs.insert(uid, Run::Generated { spec, first: n, count: 1 });
                }
            },
        }
        for flag in flags {
            self.set_flag(&flag, uid, true);
        }
        uid
    }

    pub(crate) fn deliver(&mut self, mail: &scenario::Mail) -> io::Result<u32> {
        let content = Content::Stored(Arc::new(Stored::new(mail)?));
        Ok(self.add(content, mail.flags.iter().cloned()))
    }

    /// Takes mails away for good.
    pub(crate) fn remove(&mut self, uids: &RoaringBitmap) {
        self.uids -= uids;
        for marked in self.flags.values_mut() {
            *marked -= uids;
        }
        for uid in uids {
            if let Some(Run::Stored(_)) = self.runs.get(&uid) {
                self.runs.remove(&uid);
            }
        }
    }

    pub(crate) fn set_flag(&mut self, flag: &str, uid: u32, on: bool) {
        let marked = self.flags.entry(canonical(flag)).or_default();
        if on {
            marked.insert(uid);
        } else {
            marked.remove(uid);
        }
    }

    pub(crate) fn clear_flags(&mut self, uid: u32) {
        for marked in self.flags.values_mut() {
            marked.remove(uid);
        }
    }

    pub(crate) fn content(&self, uid: u32) -> Option<Content> {
        if !self.uids.contains(uid) {
            return None;
        }
        let (&start, run) = self.runs.range(..=uid).next_back()?;
        match run {
            Run::Stored(mail) if start == uid => Some(Content::Stored(mail.clone())),
            Run::Generated { spec, first, count } if uid - start < *count => {
                Some(Content::Generated(spec.clone(), first + (uid - start)))
            }
            _ => None,
        }
    }

    pub(crate) fn flags(&self, uid: u32) -> Vec<String> {
        self.flags.iter().filter(|(_, marked)| marked.contains(uid)).map(|(flag, _)| flag.clone()).collect()
    }

    pub(crate) fn has_flag(&self, flag: &str, uid: u32) -> bool {
        self.flags.get(&canonical(flag)).is_some_and(|marked| marked.contains(uid))
    }

    /// The mails that have a flag.
    pub(crate) fn flagged(&self, flag: &str) -> RoaringBitmap {
        self.flags.get(&canonical(flag)).cloned().unwrap_or_default()
    }

    fn fill(&mut self, from: &scenario::Folder) -> io::Result<()> {
        self.uid_validity = from.uid_validity.unwrap_or(self.uid_validity);
        self.uid_next = from.first_uid.unwrap_or(self.uid_next);
        for mail in &from.mails {
            self.deliver(mail)?;
        }
        if let Some(directory) = &from.directory {
            let mut files: Vec<_> = std::fs::read_dir(directory)
                .map_err(named(directory))?
                .map(|entry| entry.map(|e| e.path()))
                .collect::<Result<_, _>>()?;
            files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
            files.sort();
            for file in files {
                self.deliver(&scenario::Mail { file: Some(file), ..scenario::Mail::default() })?;
            }
        }
        if let Some(spec) = from.generate.as_ref().filter(|spec| spec.count > 0) {
            let first_uid = self.uid_next;
            self.uids.insert_range(first_uid..first_uid + spec.count);
            self.uid_next += spec.count;
            self.runs.insert(
                first_uid,
                Run::Generated { spec: Arc::new(spec.clone()), first: 0, count: spec.count },
            );
            for n in (0..spec.count).filter(|n| generated::seen(spec, *n)) {
                self.set_flag("\\Seen", first_uid + n, true);
            }
        }
        Ok(())
    }
}

impl Content {
    pub(crate) fn new(bytes: Vec<u8>, internal_date: i64) -> Self {
        Self::Stored(Arc::new(Stored { bytes, internal_date, undeliverable: false }))
    }

    pub(crate) fn bytes(&self) -> std::borrow::Cow<'_, [u8]> {
        match self {
            Self::Stored(mail) => mail.bytes.as_slice().into(),
            Self::Generated(spec, n) => generated::mail(spec, *n).into(),
        }
    }

    /// Seconds since 1970.
    pub(crate) fn internal_date(&self) -> i64 {
        match self {
            Self::Stored(mail) => mail.internal_date,
            Self::Generated(_, n) => generated::arrived(*n),
        }
    }

    pub(crate) fn undeliverable(&self) -> bool {
        matches!(self, Self::Stored(mail) if mail.undeliverable)
    }
}

impl Stored {
    fn new(mail: &scenario::Mail) -> io::Result<Self> {
        let bytes = if let Some(bytes) = &mail.bytes {
            bytes.clone()
        } else if let Some(text) = &mail.text {
            with_crlf(text.as_bytes())
        } else if let Some(base64) = &mail.base64 {
            STANDARD.decode(base64).map_err(io::Error::other)?
        } else if let Some(file) = &mail.file {
            let bytes = std::fs::read(file).map_err(named(file))?;
            if mail.exact { bytes } else { with_crlf(&bytes) }
        } else {
            return Err(io::Error::other("a mail without text, base64 or file"));
        };
        let internal_date = match &mail.internal_date {
            Some(date) => {
                parse_date_time(date).ok_or_else(|| io::Error::other(format!("no date: {date}")))?
            }
            None => DEFAULT_ARRIVAL,
        };
        Ok(Self { bytes, internal_date, undeliverable: mail.undeliverable })
    }
}

/// RFC 3501 §9 `date-time`, without the quotes.
pub(crate) fn date_time(seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:2}-{}-{:04} {:02}:{:02}:{:02} +0000",
        at.day(),
        MONTHS[u8::from(at.month()) as usize - 1],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// RFC 3501 §9 `date-time`, in seconds since 1970.
pub(crate) fn parse_date_time(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let date = parse_date(words.next()?)?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u8>().ok());
    let time = Time::from_hms(clock.next()??, clock.next()??, clock.next()??).ok()?;
    let zone: i32 = words.next()?.parse().ok()?;
    let offset = UtcOffset::from_whole_seconds((zone / 100 * 60 + zone % 100) * 60).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_offset(offset).unix_timestamp())
}

/// RFC 3501 §9 `date`, without the quotes.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let day = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? as u8 + 1;
    Date::from_calendar_date(parts.next()?.parse().ok()?, Month::try_from(month).ok()?, day).ok()
}

/// System flags are the same in any case.
fn canonical(flag: &str) -> String {
    SYSTEM_FLAGS.iter().find(|known| known.eq_ignore_ascii_case(flag)).map_or(flag, |known| *known).into()
}

fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 40);
    let mut before = 0;
    for &byte in bytes {
        if byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        before = byte;
    }
    out
}

/// What Exchange allows to be set for good.
pub(crate) const SYSTEM_FLAGS: [&str; 6] =
    ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft", "$MDNSent"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const DEFAULT_FOLDERS_EN: &[&str] = &[
    "Archive",
    "Calendar",
    "Contacts",
    "Deleted Items",
    "Drafts",
    "Journal",
    "Junk Email",
    "Notes",
    "Outbox",
    "Sent Items",
    "Tasks",
];

const DEFAULT_FOLDERS_DE: &[&str] = &[
    "Archiv",
    "Aufgaben",
    "Entwürfe",
    "Gelöschte Elemente",
    "Gesendete Elemente",
    "Journal",
    "Junk-E-Mail",
    "Kalender",
    "Kontakte",
    "Notizen",
    "Postausgang",
];

/// 2026-01-02 10:00:00 UTC, for mails without a date of their own.
const DEFAULT_ARRIVAL: i64 = 1_767_348_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(generate: u32) -> Folder {
        let from = scenario::Mailbox {
            folders: vec![scenario::Folder {
                name: "INBOX".into(),
                generate: Some(Generate { count: generate, ..Generate::default() }),
                ..scenario::Folder::default()
            }],
            default_folders: false,
            ..scenario::Mailbox::default()
        };
        Mailbox::new(&from, &Dialect::default()).unwrap().folders.remove(0)
    }

    #[test]
    fn moving_generated_mails_in_order_keeps_one_run() {
        let inbox = folder(100_000);
        let mut target = folder(0);
        for uid in 1..=100_000 {
            target.add(inbox.content(uid).unwrap(), []);
        }
        assert_eq!(target.runs.len(), 1);
        assert_eq!(target.content(77_777).unwrap().bytes(), inbox.content(77_777).unwrap().bytes());
    }

    #[test]
    fn what_was_removed_is_gone_and_the_rest_keeps_its_uid() {
        let mut inbox = folder(10);
        let third = inbox.content(3).unwrap().bytes().into_owned();
        inbox.remove(&RoaringBitmap::from_iter([1, 2]));
        assert!(inbox.content(2).is_none());
        assert_eq!(inbox.content(3).unwrap().bytes(), third);
    }

    #[test]
    fn dates_survive_being_written_and_read() {
        let seconds = parse_date_time(" 2-Jan-2026 12:30:00 +0230").unwrap();
        assert_eq!(date_time(seconds), " 2-Jan-2026 10:00:00 +0000");
        assert_eq!(parse_date_time(&date_time(seconds)), Some(seconds));
    }
}
