//! Commands on folders.

use super::session::{Done, Selected, Session, Stop, ok};
use super::syntax::{Args, folder_name, matches};
use crate::store::{Folder, Mailbox, SYSTEM_FLAGS};

impl Session {
    pub(super) fn namespace(&mut self) -> Done {
        let dialect = &self.shared.dialect;
        let prefix = match dialect.separator {
            Some(separator) if dialect.inbox_only => format!("INBOX{separator}"),
            _ => String::new(),
        };
        let line = format!("NAMESPACE ((\"{prefix}\" {})) NIL NIL", self.separator());
        self.untagged(&line)?;
        ok("NAMESPACE")
    }

    pub(super) fn select(&mut self, args: &mut Args, command: &str) -> Done {
        let name = args.folder()?;
        args.end()?;
        self.selected = None;
        let read_only = command == "EXAMINE";
        let found = self.mailbox(|mailbox| {
            let folder = mailbox.folder(&name)?;
            let unseen = (&folder.uids - folder.flagged("\\Seen")).min();
            let unseen = unseen.map(|uid| folder.uids.rank(uid));
            Some((folder.id, folder.uids.clone(), folder.uid_validity, folder.uid_next, unseen))
        });
        let Some((folder, view, uid_validity, uid_next, unseen)) = found else {
            return Ok(("NO", format!("{name} doesn't exist.")));
        };
        let flags = SYSTEM_FLAGS.join(" ");
        self.untagged(&format!("{} EXISTS", view.len()))?;
        self.untagged("0 RECENT")?;
        self.untagged(&format!("FLAGS ({flags})"))?;
        let permanent = if read_only { "" } else { &flags };
        self.untagged(&format!("OK [PERMANENTFLAGS ({permanent})] Permanent flags"))?;
        if let Some(number) = unseen {
            self.untagged(&format!("OK [UNSEEN {number}] Is the first unseen message"))?;
        }
        self.untagged(&format!("OK [UIDVALIDITY {uid_validity}] UIDVALIDITY value"))?;
        self.untagged(&format!("OK [UIDNEXT {uid_next}] The next unique identifier value"))?;
        self.selected = Some(Selected { folder, read_only, view });
        let access = if read_only { "READ-ONLY" } else { "READ-WRITE" };
        Ok(("OK", format!("[{access}] {command} completed.")))
    }

    pub(super) fn create(&mut self, args: &mut Args) -> Done {
        let name = args.folder()?;
        args.end()?;
        let dialect = &self.shared.dialect;
        let separator = dialect.separator;
        let name = separator.map_or(name.as_str(), |separator| name.trim_end_matches(separator)).to_owned();
        let below_inbox = separator
            .is_some_and(|separator| name.to_ascii_uppercase().starts_with(&format!("INBOX{separator}")));
        if name.is_empty() || (dialect.inbox_only && !below_inbox) {
            return Ok(("NO", "CREATE failed. The folder cannot be made at this level.".into()));
        }
        let made = self.mailbox(|mailbox| {
            if mailbox.folder(&name).is_some() {
                return false;
            }
            for (at, _) in separator.iter().flat_map(|separator| name.match_indices(*separator)) {
                if mailbox.folder(&name[..at]).is_none() {
                    mailbox.create(name[..at].into());
                }
            }
            mailbox.create(name.clone());
            true
        });
        if made { ok("CREATE") } else { Ok(("NO", "Mailbox already exists.".into())) }
    }

    pub(super) fn delete(&mut self, args: &mut Args) -> Done {
        let name = args.folder()?;
        args.end()?;
        let separator = self.shared.dialect.separator;
        let deleted = self.mailbox(|mailbox| {
            let folder = mailbox.folder(&name)?;
            let id = folder.id;
            if folder.name == "INBOX" || has_children(mailbox, &folder.name, separator) {
                return Some(false);
            }
            mailbox.folders.retain(|folder| folder.id != id);
            Some(true)
        });
        match deleted {
            Some(true) => ok("DELETE"),
            Some(false) => Ok(("NO", "DELETE failed.".into())),
            None => Ok(("NO", format!("{name} doesn't exist."))),
        }
    }

    pub(super) fn rename(&mut self, args: &mut Args) -> Done {
        let from = args.folder()?;
        args.space()?;
        let to = args.folder()?;
        args.end()?;
        let separator = self.shared.dialect.separator;
        let renamed = self.mailbox(|mailbox| {
            if mailbox.folder(&from).is_none_or(|folder| folder.name == "INBOX")
                || mailbox.folder(&to).is_some()
            {
                return false;
            }
            for folder in &mut mailbox.folders {
                let below = folder.name.get(from.len()..).filter(|_| {
                    folder.name.get(..from.len()).is_some_and(|start| start.eq_ignore_ascii_case(&from))
                });
                if let Some(below) =
                    below.filter(|below| below.is_empty() || below.chars().next() == separator)
                {
                    folder.name = format!("{to}{below}");
                }
            }
            true
        });
        if renamed { ok("RENAME") } else { Ok(("NO", "RENAME failed.".into())) }
    }

    pub(super) fn subscribe(&mut self, args: &mut Args, command: &str) -> Done {
        let name = args.folder()?;
        args.end()?;
        let found = self.mailbox(|mailbox| {
            let folder = mailbox.folder_mut(&name)?;
            folder.subscribed = command == "SUBSCRIBE";
            Some(())
        });
        if found.is_some() { ok(command) } else { Ok(("NO", format!("{name} doesn't exist."))) }
    }

    pub(super) fn list(&mut self, args: &mut Args, command: &str) -> Done {
        let reference = args.folder()?;
        args.space()?;
        let pattern = args.folder()?;
        args.end()?;
        if pattern.is_empty() {
            let line = format!("{command} (\\Noselect) {} \"\"", self.separator());
            self.untagged(&line)?;
            return ok(command);
        }
        let pattern = format!("{reference}{pattern}");
        let separator = self.shared.dialect.separator;
        let found: Vec<(String, bool)> = self.mailbox(|mailbox| {
            let wanted = |folder: &&Folder| {
                matches(&pattern, &folder.name, separator) && (command == "LIST" || folder.subscribed)
            };
            let folders = mailbox.folders.iter().filter(wanted);
            folders
                .map(|folder| (folder.name.clone(), has_children(mailbox, &folder.name, separator)))
                .collect()
        });
        for (name, children) in found {
            let children = if children { "\\HasChildren" } else { "\\HasNoChildren" };
            let line = format!("{command} ({children}) {} {}", self.separator(), folder_name(&name));
            self.untagged(&line)?;
        }
        ok(command)
    }

    pub(super) fn folder_status(&mut self, args: &mut Args) -> Done {
        let name = args.folder()?;
        args.space()?;
        args.expect(b'(')?;
        let mut wanted = Vec::new();
        while !args.eat(b')') {
            if !wanted.is_empty() {
                args.space()?;
            }
            wanted.push(args.word()?.to_ascii_uppercase());
        }
        args.end()?;
        let found = self.mailbox(|mailbox| {
            let folder = mailbox.folder(&name)?;
            let value = |item: &String| match item.as_str() {
                "MESSAGES" => Some(folder.uids.len()),
                "RECENT" => Some(0),
                "UIDNEXT" => Some(folder.uid_next.into()),
                "UIDVALIDITY" => Some(folder.uid_validity.into()),
                "UNSEEN" => Some((&folder.uids - folder.flagged("\\Seen")).len()),
                _ => None,
            };
            Some(
                wanted
                    .iter()
                    .map(|item| Some(format!("{item} {}", value(item)?)))
                    .collect::<Option<Vec<_>>>(),
            )
        });
        match found {
            None => Ok(("NO", format!("{name} doesn't exist."))),
            Some(None) => Err(Stop::Unreadable),
            Some(Some(items)) => {
                self.untagged(&format!("STATUS {} ({})", folder_name(&name), items.join(" ")))?;
                ok("STATUS")
            }
        }
    }
}

fn has_children(mailbox: &Mailbox, name: &str, separator: Option<char>) -> bool {
    let Some(separator) = separator else { return false };
    let below = format!("{name}{separator}");
    mailbox.folders.iter().any(|folder| folder.name.starts_with(&below))
}
