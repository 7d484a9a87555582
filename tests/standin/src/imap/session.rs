//! One session: its state, and what each command needs of it.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::syntax::Unreadable;
use crate::entra::Issued;
use crate::shared::{From as Side, Shared, locked};
use crate::store::Mailbox;
use crate::wire::{Ended, Going, Wire};

pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) connection: u32,
    pub(super) login: Option<Login>,
    pub(super) selected: Option<Selected>,
    /// Commands that were refused for the session's state, and logins.
    pub(super) bad: u32,
}

pub(super) struct Login {
    pub(super) mailbox: usize,
    /// Else "authenticated but not connected".
    pub(super) connected: bool,
    /// None: with a password.
    pub(super) token: Option<Arc<Issued>>,
}

pub(super) struct Selected {
    pub(super) folder: u64,
    pub(super) read_only: bool,
    /// The UIDs of the mails that the client knows of; their ranks are the sequence numbers.
    pub(super) view: RoaringBitmap,
}

/// How a command ends: OK, NO or BAD, and the text.
pub(super) type Status = (&'static str, String);

/// Why a command has no status of its own.
pub(super) enum Stop {
    Ended,
    Unreadable,
}

pub(super) type Done<T = Status> = Result<T, Stop>;

impl Session {
    /// A line without its end; None when it is longer than the limit, and is left where it is.
    pub(super) fn read_line(&mut self, limit: usize) -> Going<Option<Vec<u8>>> {
        loop {
            let end = self.wire.input().iter().position(|byte| *byte == b'\n');
            match end {
                Some(end) if end <= limit + 1 => {
                    let mut line = self.wire.take(end + 1);
                    line.pop();
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    return Ok(Some(line));
                }
                None if self.wire.input().len() <= limit + 1 => self.wait()?,
                _ => return Ok(None),
            }
        }
    }

    /// Waits a moment for input.
    pub(super) fn wait(&mut self) -> Going {
        self.check_token()?;
        self.wire.more().map(|_| ())
    }

    /// A session ends with its token.
    pub(super) fn check_token(&mut self) -> Going {
        let token = self.login.as_ref().and_then(|login| login.token.as_ref());
        if token.is_some_and(|token| token.expired()) {
            self.wire.captured();
            self.untagged("BYE Session invalidated - AccessTokenExpired")?;
            return self.wire.close();
        }
        Ok(())
    }

    /// Tells the client what has come and gone in the folder since.
    pub(super) fn announce(&mut self) -> Going {
        let Some(Selected { folder, mut view, read_only }) = self.selected.take() else { return Ok(()) };
        let now = self
            .mailbox(|mailbox| mailbox.by_id(folder).map(|folder| folder.uids.clone()))
            .unwrap_or_default();
        if now != view {
            for uid in (&view - &now).iter().rev() {
                self.wire.put(format!("* {} EXPUNGE\r\n", view.rank(uid)).as_bytes())?;
            }
            view &= &now;
            if now.len() > view.len() {
                self.wire.put(format!("* {} EXISTS\r\n", now.len()).as_bytes())?;
            }
        }
        self.selected = Some(Selected { folder, view: now, read_only });
        Ok(())
    }

    pub(super) fn mailbox<T>(&self, work: impl FnOnce(&mut Mailbox) -> T) -> T {
        let place = self.login.as_ref().map_or(0, |login| login.mailbox);
        work(&mut locked(&self.shared.store).mailboxes[place])
    }

    pub(super) fn leave(&mut self) {
        if let Some(Login { mailbox, connected: true, .. }) = self.login.take() {
            locked(&self.shared.store).mailboxes[mailbox].sessions -= 1;
        }
    }

    pub(super) fn separator(&self) -> String {
        self.shared.dialect.separator.map_or("NIL".into(), |separator| format!("\"{separator}\""))
    }

    pub(super) fn untagged(&mut self, text: &str) -> Going {
        self.line(&format!("* {text}"))
    }

    pub(super) fn line(&mut self, line: &str) -> Going {
        let status = line.split(' ').nth(1).unwrap_or_default();
        if matches!(status, "OK" | "NO" | "BAD" | "BYE") {
            self.shared.record(self.connection, Side::Server, line.to_owned());
        }
        self.wire.put(line.as_bytes())?;
        self.wire.put(b"\r\n")
    }
}

impl From<Ended> for Stop {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

impl From<Unreadable> for Stop {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

pub(super) fn ok(command: &str) -> Done {
    Ok(("OK", format!("{} completed.", command.trim_start_matches("UID "))))
}

pub(super) const UNKNOWN: &str = "Command Error. 12";
