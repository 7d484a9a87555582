//! Knows which mailboxes this process has open for writing, with or without a work directory.
//!
//! Two mailboxes of one process without a work directory, or with two different ones, have no lock in common. Each copy of the
//! library has its own list: a second class loader in the JVM brings a second copy, and only a lock keeps those apart.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use once_cell::sync::Lazy;

use super::name::MailboxName;
use crate::failure::{Failure, Kind, Result, Step};
use crate::message;

/// Keeps other readers of this process away as long as it exists.
#[derive(Debug)]
pub struct Reader(MailboxName);

/// Notes that this process reads a mailbox. Fails with [`Kind::Busy`] if it does so already.
pub fn register(name: &MailboxName) -> Result<Reader> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if open.insert(name.clone()) {
        return Ok(Reader(name.clone()));
    }
    let MailboxName { user, folder, .. } = name;
    let said = message!(MailboxOpenAlready, user = user, folder = folder);
    Err(Failure::own(Step::Call, Kind::Busy, said).advised(message!(MailboxOpenAlreadyRemedy)))
}

impl Drop for Reader {
    fn drop(&mut self) {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

static OPEN: Lazy<Mutex<HashSet<MailboxName>>> = Lazy::new(Mutex::default);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_has_one_reader_until_that_one_ends() {
        let name = |folder: &str| MailboxName {
            host: "readers".into(),
            port: 993,
            user: "u".into(),
            folder: folder.into(),
        };
        let first = register(&name("INBOX")).unwrap();
        let _other = register(&name("Spam")).unwrap();
        assert_eq!(register(&name("INBOX")).unwrap_err().kind, Kind::Busy);
        drop(first);
        register(&name("INBOX")).unwrap();
    }
}
