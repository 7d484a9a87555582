//! Where a mailbox keeps what outlives the process: a folder of its own in the work directory.
//!
//! Whatever is made there belongs to whom the directory above it belongs to: a command that root runs leaves nothing that
//! Universal Messenger cannot open. Nothing that is there already is ever given away, for whoever may write there could
//! have put a link in its place.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::config::MailboxConfig;
use crate::failure::{Failure, Kind, Step};

use super::journal::{self, JOURNAL};
use super::lock::LOCK;

/// The mailbox's folder; `None` without a work directory.
///
/// Its name begins with the mailbox's, for whoever looks into the work directory, and ends with a hash of server, port,
/// user and inbox, in which two mailboxes differ.
pub fn place(config: &MailboxConfig) -> Option<PathBuf> {
    let Identity { host, port, user, folder } = Identity::of(config);
    let hash = digest(&SHA256, format!("{host}\0{port}\0{user}\0{folder}").as_bytes());
    let hash = hex(hash.as_ref().split_at(HASH).0);
    let readable: String = user
        .chars()
        .take(READABLE)
        .map(|c| if c.is_ascii_alphanumeric() || "@.-_".contains(c) { c } else { '_' })
        .collect();
    Some(config.work_directory.as_ref()?.join(format!("{readable}-{hash}")))
}

/// Why no lock and no journal could be there, as far as that shows without writing anything.
pub(crate) fn obstacle(config: &MailboxConfig) -> Option<String> {
    let place = Place::of(config)?;
    // The work directory is made in it.
    if let Some(above) =
        config.work_directory.as_deref().and_then(Path::parent).filter(|above| !above.is_dir())
    {
        return Some(format!("{}: there is no such directory", above.display()));
    }
    let files = [LOCK, JOURNAL].into_iter();
    let mut errors = files.filter_map(|name| Some((place.path(name), place.open(name).err()?)));
    let (path, error) = errors.find(|(_, error)| error.kind() != io::ErrorKind::NotFound)?;
    Some(format!("{}: {error}", path.display()))
}

/// Settled mails in the journal of a mailbox that nobody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    pub folder: PathBuf,
    /// How it is reached: `b@example.com/INBOX at outlook.office365.com:993`.
    pub mailbox: String,
    pub mails: usize,
}

/// What lies in the journals of the work directory beside those in the folders `known`: of mailboxes whose server, port, user or
/// inbox was another one when it was written. Reads only.
pub fn abandoned(work_directory: &Path, known: &[PathBuf]) -> io::Result<Vec<Abandoned>> {
    let entries = match fs::read_dir(work_directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        if !known.contains(&folder)
            && let Some((Identity { host, port, user, folder: inbox }, mails @ 1..)) = journal::look(&folder)
        {
            found.push(Abandoned { folder, mailbox: format!("{user}/{inbox} at {host}:{port}"), mails });
        }
    }
    found.sort_by(|one, other| one.folder.cmp(&other.folder));
    Ok(found)
}

/// Whose folder it is. Two folders of one mailbox on the server are two readers' business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub folder: String,
}

impl Identity {
    pub(super) fn of(config: &MailboxConfig) -> Self {
        let inbox = &config.folders.inbox;
        Self {
            host: config.server.to_ascii_lowercase(),
            port: config.port,
            user: config.user.to_lowercase(),
            // RFC 9051 §5.1
            folder: if inbox.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { inbox.clone() },
        }
    }
}

/// The folder, and what is done with the files in it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
}

impl Place {
    pub(super) fn of(config: &MailboxConfig) -> Option<Self> {
        Some(Self { folder: place(config)? })
    }

    /// Makes the folder, and the work directory where that is missing. What the work directory lies in must be there: an
    /// installation without it wants no files.
    pub(super) fn make(&self) -> io::Result<()> {
        for directory in self.folder.parent().into_iter().chain([self.folder.as_path()]) {
            make_directory(directory)?;
        }
        Ok(())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Opens a file, to read and to write.
    pub(super) fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path(name))
    }

    /// The same, where it is not there yet as by [`Place::create`].
    pub(super) fn open_or_create(&self, name: &str) -> io::Result<File> {
        let opened = match self.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(name),
            opened => return opened,
        };
        match opened {
            // Another one was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open(name),
            opened => opened,
        }
    }

    /// Makes a file that is not there yet, for its owner only.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        self.create_with(0o600, name)
    }

    /// The same for all to read.
    pub(super) fn create_readable(&self, name: &str) -> io::Result<File> {
        self.create_with(0o666, name)
    }

    /// Windows gives a file the rights of its directory.
    #[cfg_attr(not(unix), expect(unused_variables))]
    fn create_with(&self, mode: u32, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        let file = options.open(self.path(name))?;
        #[cfg(unix)]
        if let Some((uid, gid)) = other_owner(&fs::metadata(&self.folder)?, &file.metadata()?) {
            // Only root may.
            let _ = std::os::unix::fs::fchown(&file, Some(uid), Some(gid));
        }
        Ok(file)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Replaces what has the new name.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    /// That a file is in a directory, and its name, outlives a power failure only with this (fsync(2), "NOTES"). NTFS keeps its directories
    /// in order by itself.
    pub(super) fn sync_entries(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(&self.folder)?.sync_all() } else { Ok(()) }
    }

    pub(super) fn failed(&self, name: &str, error: &io::Error) -> Failure {
        Failure::new(Step::Storage, Kind::Storage, format!("{}: {error}", self.path(name).display()))
    }
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        created => created?,
    }
    #[cfg(unix)]
    if let Some(above) = path.parent()
        && let Some((uid, gid)) = other_owner(&fs::metadata(above)?, &fs::symlink_metadata(path)?)
    {
        let _ = std::os::unix::fs::lchown(path, Some(uid), Some(gid));
    }
    Ok(())
}

#[cfg(unix)]
fn other_owner(above: &fs::Metadata, made: &fs::Metadata) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    (above.uid() != made.uid()).then(|| (above.uid(), above.gid()))
}

/// Octets of the hash, and characters of the mailbox's name.
const HASH: usize = 6;
const READABLE: usize = 60;

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// The folder of a mailbox in `work`, made.
    pub(in crate::mailbox) fn place_in(work: &Path, folder: &str) -> Place {
        let place = Place { folder: work.join(folder) };
        place.make().unwrap();
        place
    }
}
