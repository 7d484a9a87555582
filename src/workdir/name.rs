//! Which mailbox a directory belongs to.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::config::MailboxConfig;

/// Names a mailbox. Two folders of one mailbox on the server are two mailboxes here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MailboxName {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub folder: String,
}

impl MailboxName {
    pub fn of(config: &MailboxConfig) -> Self {
        let inbox = &config.folders.inbox;
        Self {
            host: config.server.to_ascii_lowercase(),
            port: config.port,
            user: config.user.to_lowercase(),
            // RFC 9051 §5.1
            folder: if inbox.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { inbox.clone() },
        }
    }

    /// Returns the mailbox directory. Its name begins with the user's, for people who look into the work directory, and ends
    /// with a hash in which two mailboxes differ.
    pub fn directory(&self, work_directory: &Path) -> PathBuf {
        let mut hash = hex(self.hash().as_ref());
        hash.truncate(HASH);
        let readable = |c: char| c.is_ascii_alphanumeric() || "@.-_".contains(c);
        let user: String =
            self.user.chars().take(READABLE).map(|c| if readable(c) { c } else { '_' }).collect();
        work_directory.join(format!("{user}-{hash}"))
    }

    pub(super) fn hash(&self) -> ring::digest::Digest {
        let Self { host, port, user, folder } = self;
        digest(&SHA256, format!("{host}\0{port}\0{user}\0{folder}").as_bytes())
    }
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Hexadecimal digits of the hash, and characters of the user's name.
const HASH: usize = 12;
const READABLE: usize = 60;
