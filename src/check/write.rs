//! A message of our own in folders of our own: written, moved, deleted, and the folders removed.
//!
//! Nothing else is touched: the folders have names that nobody else has, the message is addressed by its UID only, and a
//! folder is removed only while there is nothing in it but this message.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::SystemTime;

use super::server::{done, greet, readable, secret};
use super::{Notes, Run};
use crate::config::{MailboxConfig, keys};
use crate::failure::{Failure, Kind, Result, Step};
use crate::imap::commands::{Command, Flag};
use crate::imap::login::{Inbox, Login};
use crate::imap::session::Session;
use crate::imap::uids::UidSet;
use crate::message;
use crate::net::{Cancel, Trust};
use crate::token::AccessToken;
use chrono::{DateTime, Utc};

pub(super) fn test(
    run: &Run,
    config: &MailboxConfig,
    trust: &Trust,
    token: Option<&AccessToken>,
    notes: &mut Notes,
) -> Result<()> {
    let secret = secret(config, token).ok_or_else(|| Failure::internal("a login without a secret"))?;
    // Nobody else's: once something is made it is also removed, whoever has lost patience meanwhile.
    let greeted = greet(config, trust, &Cancel::default())?;
    let logged_in = greeted.log_in(&Login { user: &config.user, secret })?;
    let mut session = logged_in.select::<()>(&Inbox { name: &config.folders.inbox, read_only: true })?;
    let mut own = Own::new(config, &session);
    let result = own.go_through(run, &mut session, notes);
    let removed = own.remove(run, &mut session, notes);
    session.log_out();
    result.and(removed)
}

/// What is ours.
struct Own {
    inbox: String,
    /// The message's, without the angle brackets.
    message_id: String,
    /// To write to, and to move to.
    folders: [String; 2],
    /// Those of them that are there.
    made: Vec<String>,
    user: String,
}

impl Own {
    /// Beside the error folder: where that one can be made these can, too.
    fn new(config: &MailboxConfig, session: &Session<()>) -> Self {
        let random = || RandomState::new().build_hasher().finish();
        let id = format!("{:016x}{:016x}", random(), random());
        let error = session.folders.resolve(&config.folders.error).name;
        let parent = session.folders.separator.and_then(|separator| {
            error.rsplit_once(separator).map(|(parent, _)| format!("{parent}{separator}"))
        });
        let parent = parent.unwrap_or_default();
        Self {
            inbox: session.selected.name.clone(),
            folders: ["written", "moved"].map(|what| format!("{parent}um-imap-oauth2-check-{id}-{what}")),
            message_id: format!("{id}@um-imap-oauth2.invalid"),
            made: Vec::new(),
            user: config.user.clone(),
        }
    }

    fn go_through(&mut self, run: &Run, session: &mut Session<()>, notes: &mut Notes) -> Result<()> {
        let language = run.language;
        let [from, to] = self.folders.clone();
        for folder in [&from, &to] {
            let created = session.run(&Command::Create(folder.clone()), ())?;
            // Where this one can be made ours can, too.
            done(Step::Folders, &created).map_err(|failure| failure.key(keys::FOLDER_ERROR.name))?;
            self.made.push(folder.clone());
        }
        notes.see(message!(CheckFoldersCreated).in_language(language));

        done(Step::Settle, &session.append(&from, self.message().as_bytes(), ())?)?;
        let uid = self.uid(session, &from)?;
        notes.see(message!(CheckMessageWritten).in_language(language));

        if session.capabilities.r#move {
            done(Step::Settle, &session.run(&Command::Move(uid.clone(), to.clone()), ())?)?;
        } else {
            done(Step::Settle, &session.run(&Command::Copy(uid.clone(), to.clone()), ())?)?;
            self.delete(session, uid)?;
        }
        let uid = self.uid(session, &to)?;
        notes.see(message!(CheckMessageMoved).in_language(language));

        self.delete(session, uid)?;
        if session.capabilities.uidplus {
            let left = self.found(session)?;
            if !left.is_empty() {
                let said = message!(CheckStillThere, folder = to);
                return Err(Failure::own(Step::Settle, Kind::Refused, said));
            }
            notes.see(message!(CheckMessageDeleted).in_language(language));
        } else {
            notes.see(message!(CheckMessageMarked).in_language(language));
        }
        Ok(())
    }

    /// Selects `folder` and finds the message in it.
    fn uid(&self, session: &mut Session<()>, folder: &str) -> Result<UidSet> {
        done(Step::Select, &session.reselect(folder, false, ())?)?;
        let found = self.found(session)?;
        if found.len() != 1 {
            let said = message!(CheckMessageCount, folder = folder, count = found.len());
            return Err(Failure::own(Step::Search, Kind::Refused, said));
        }
        Ok(found)
    }

    fn found(&self, session: &mut Session<()>) -> Result<UidSet> {
        let (condition, found) =
            session.search(&Command::SearchHeader("Message-ID", self.message_id.clone()), ())?;
        done(Step::Search, &condition).map(|()| found)
    }

    fn delete(&self, session: &mut Session<()>, uid: UidSet) -> Result<()> {
        done(Step::Settle, &session.run(&Command::Store(uid.clone(), Flag::Deleted), ())?)?;
        if session.capabilities.uidplus {
            done(Step::Settle, &session.run(&Command::Expunge(uid), ())?)?;
        }
        Ok(())
    }

    /// Removes the folders that were made, unless something else lies in one.
    fn remove(&self, run: &Run, session: &mut Session<()>, notes: &mut Notes) -> Result<()> {
        let language = run.language;
        for folder in &self.made {
            let name = readable(folder);
            match self.remove_one(session, folder) {
                Ok(true) => notes.see(message!(CheckFolderRemoved, name = name).in_language(language)),
                Ok(false) => notes.warn(message!(CheckFolderInUse, name = name).in_language(language)),
                Err(failure) => {
                    notes.warn(message!(CheckFolderLeft, name = name).in_language(language));
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// False: there is something in it that is not ours.
    fn remove_one(&self, session: &mut Session<()>, folder: &str) -> Result<bool> {
        done(Step::Select, &session.reselect(&self.inbox, true, ())?)?;
        let (condition, counts) = session.counts(folder, ())?;
        done(Step::Folders, &condition)?;
        done(Step::Select, &session.reselect(folder, true, ())?)?;
        let ours = self.found(session)?.len();
        // Some servers do not delete the folder that is selected.
        done(Step::Select, &session.reselect(&self.inbox, true, ())?)?;
        if counts.messages != Some(ours) {
            return Ok(false);
        }
        let deleted = session.run(&Command::DeleteFolder(folder.to_owned()), ())?;
        done(Step::Folders, &deleted).map(|()| true)
    }

    /// RFC 5322, in US-ASCII.
    fn message(&self) -> String {
        let Self { user, message_id, .. } = self;
        let date = DateTime::<Utc>::from(SystemTime::now()).to_rfc2822();
        format!(
            "From: <{user}>\r\nTo: <{user}>\r\nDate: {date}\r\nMessage-ID: <{message_id}>\r\n\
             Subject: um-imap-oauth2 check\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\r\n\
             Written by `um-imap-oauth2 check --write`, which deletes it again. Nobody needs it.\r\n"
        )
    }
}
