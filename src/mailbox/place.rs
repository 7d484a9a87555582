//! Where a mailbox keeps what outlives the process: a folder of its own in the work directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use crate::config::MailboxConfig;

/// The mailbox's folder; `None` without a work directory.
///
/// Its name begins with the mailbox's, for whoever looks into the work directory, and ends with a hash of server, port,
/// user and inbox, in which two mailboxes differ.
pub fn place(config: &MailboxConfig) -> Option<PathBuf> {
    let inbox = &config.folders.inbox;
    let server = config.server.to_ascii_lowercase();
    let user = config.user.to_lowercase();
    let identity = format!("{server}\0{}\0{user}\0{inbox}", config.port);
    let hash = digest(&SHA256, identity.as_bytes());
    let hash: String = hash.as_ref().iter().take(HASH).map(|octet| format!("{octet:02x}")).collect();
    let readable: String = user
        .chars()
        .take(READABLE)
        .map(|c| if c.is_ascii_alphanumeric() || "@.-_".contains(c) { c } else { '_' })
        .collect();
    Some(config.work_directory.as_ref()?.join(format!("{readable}-{hash}")))
}

/// Makes the folder, and the work directory where that is missing. What the work directory lies in must be there: an
/// installation without it wants no files.
pub(super) fn make(place: &Path) -> io::Result<()> {
    for directory in place.parent().into_iter().chain([place]) {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Octets of the hash, and characters of the mailbox's name.
const HASH: usize = 6;
const READABLE: usize = 60;
