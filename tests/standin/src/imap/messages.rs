//! Commands on the messages of a folder.

use std::time::{SystemTime, UNIX_EPOCH};

use roaring::RoaringBitmap;

use super::fetch;
use super::search::{self, Refused};
use super::session::{Done, Session, Stop, UNKNOWN, ok};
use super::syntax::{Args, Set, Unreadable, ranges};
use crate::store::{Content, parse_date_time};

impl Session {
    pub(super) fn append(&mut self, args: &mut Args) -> Done {
        let name = args.folder()?;
        args.space()?;
        let mut flags = Vec::new();
        if args.peek() == Some(b'(') {
            flags = args.flags()?;
            args.space()?;
        }
        let mut arrived = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        if args.peek() == Some(b'"') {
            arrived = parse_date_time(&args.text()?).ok_or(Unreadable)?;
            args.space()?;
        }
        let octets = args.literal()?;
        args.end()?;
        let added = self.mailbox(|mailbox| {
            let folder = mailbox.folder_mut(&name)?;
            Some((folder.uid_validity, folder.add(Content::new(octets.clone(), arrived), flags.clone())))
        });
        match added {
            None => Ok(("NO", format!("[TRYCREATE] {name} doesn't exist."))),
            Some((uid_validity, uid)) if self.shared.dialect.uidplus => {
                Ok(("OK", format!("[APPENDUID {uid_validity} {uid}] APPEND completed.")))
            }
            Some(_) => ok("APPEND"),
        }
    }

    pub(super) fn idle(&mut self) -> Done {
        self.wire.prompt("+ IDLE accepted, awaiting DONE command.")?;
        loop {
            if let Some(end) = self.wire.input().iter().position(|byte| *byte == b'\n') {
                let line = self.wire.take(end + 1);
                let done = line.trim_ascii().eq_ignore_ascii_case(b"DONE");
                return if done { ok("IDLE") } else { Ok(("BAD", UNKNOWN.into())) };
            }
            self.announce()?;
            self.wire.flush()?;
            self.wait()?;
        }
    }

    /// Takes away what is marked `\Deleted`, of these UIDs or of all.
    pub(super) fn expunge(&mut self, set: Option<&Set>, refuse: bool) -> Done {
        let Some(selected) = &self.selected else { return Err(Stop::Unreadable) };
        if selected.read_only {
            return if refuse { Ok(("NO", READ_ONLY.into())) } else { ok("EXPUNGE") };
        }
        let id = selected.folder;
        self.mailbox(|mailbox| {
            if let Some(folder) = mailbox.by_id_mut(id) {
                let mut gone = folder.flagged("\\Deleted");
                if let Some(set) = set {
                    gone &= set.uids(&folder.uids);
                }
                folder.remove(&gone);
            }
        });
        ok("EXPUNGE")
    }

    pub(super) fn search(&mut self, args: &mut Args, uid: bool) -> Done {
        let Some(selected) = &self.selected else { return Err(Stop::Unreadable) };
        let (id, view) = (selected.folder, selected.view.clone());
        let found = self.mailbox(|mailbox| {
            let folder = mailbox.by_id(id)?;
            Some(search::search(args, folder, &(&view & &folder.uids)))
        });
        let found = match found {
            None => RoaringBitmap::new(),
            Some(Ok(found)) => found,
            Some(Err(Refused::Unreadable)) => return Err(Stop::Unreadable),
            Some(Err(Refused::Charset)) => {
                return Ok(("NO", "[BADCHARSET (US-ASCII)] The specified charset is not supported.".into()));
            }
        };
        self.wire.put(b"* SEARCH")?;
        if uid {
            for uid in &found {
                self.wire.put(format!(" {uid}").as_bytes())?;
            }
        } else {
            for (at, uid) in view.iter().enumerate() {
                if found.contains(uid) {
                    self.wire.put(format!(" {}", at + 1).as_bytes())?;
                }
            }
        }
        self.wire.put(b"\r\n")?;
        ok("SEARCH")
    }

    pub(super) fn fetch(&mut self, args: &mut Args, uid: bool) -> Done {
        let wanted = self.wanted(args, uid)?;
        args.space()?;
        let items = fetch::items(args, uid)?;
        let Some(selected) = &self.selected else { return Err(Stop::Unreadable) };
        let (id, read_only) = (selected.folder, selected.read_only);
        let needs_content = items.iter().any(fetch::Item::needs_content);
        let sets_seen = !read_only && items.iter().any(fetch::Item::sets_seen);
        let has_flags = items.iter().any(|item| matches!(item, fetch::Item::Flags));
        let exact_size = self.shared.dialect.exact_size;
        let mut missing = false;
        for uid in &wanted {
            self.check_token()?;
            let number = self.number(uid);
            let data = self.mailbox(|mailbox| {
                let folder = mailbox.by_id_mut(id)?;
                let content = folder.content(uid)?;
                if needs_content && content.undeliverable() {
                    return Some(Vec::new());
                }
                let newly_seen = sets_seen && !folder.has_flag("\\Seen", uid);
                if newly_seen {
                    folder.set_flag("\\Seen", uid, true);
                }
                let mut data = fetch::data(&items, folder, uid, number, exact_size, &content);
                if newly_seen && !has_flags {
                    data.push(format!("FLAGS ({})", folder.flags(uid).join(" ")).into_bytes());
                }
                Some(data)
            });
            match data {
                None => missing = true,
                Some(data) if data.is_empty() => {}
                Some(data) => {
                    self.wire.put(format!("* {number} FETCH (").as_bytes())?;
                    for (at, item) in data.iter().enumerate() {
                        if at > 0 {
                            self.wire.put(b" ")?;
                        }
                        self.wire.put(item)?;
                    }
                    self.wire.put(b")\r\n")?;
                }
            }
        }
        if missing { Ok(("NO", GONE.into())) } else { ok("FETCH") }
    }

    pub(super) fn store(&mut self, args: &mut Args, uid: bool) -> Done {
        let wanted = self.wanted(args, uid)?;
        args.space()?;
        let item = args.atom()?.to_ascii_uppercase();
        args.space()?;
        let flags = args.flags()?;
        args.end()?;
        let (item, silent) = match item.strip_suffix(".SILENT") {
            Some(item) => (item, true),
            None => (item.as_str(), false),
        };
        if !matches!(item, "FLAGS" | "+FLAGS" | "-FLAGS") {
            return Err(Stop::Unreadable);
        }
        let Some(selected) = &self.selected else { return Err(Stop::Unreadable) };
        if selected.read_only {
            return Ok(("NO", READ_ONLY.into()));
        }
        let id = selected.folder;
        let mut missing = false;
        for one in &wanted {
            let now = self.mailbox(|mailbox| {
                let folder = mailbox.by_id_mut(id).filter(|folder| folder.uids.contains(one))?;
                if item == "FLAGS" {
                    folder.clear_flags(one);
                }
                for flag in &flags {
                    folder.set_flag(flag, one, item != "-FLAGS");
                }
                Some(folder.flags(one).join(" "))
            });
            match now {
                None => missing = true,
                Some(_) if silent => {}
                Some(flags) => {
                    let number = self.number(one);
                    let shown_uid = if uid { format!(" UID {one}") } else { String::new() };
                    self.wire.put(format!("* {number} FETCH (FLAGS ({flags}){shown_uid})\r\n").as_bytes())?;
                }
            }
        }
        if missing { Ok(("NO", GONE.into())) } else { ok("STORE") }
    }

    /// COPY and MOVE, by UID or by number.
    pub(super) fn copy(&mut self, args: &mut Args, name: &str) -> Done {
        let wanted = self.wanted(args, name.starts_with("UID "))?;
        args.space()?;
        let target = args.folder()?;
        args.end()?;
        let moves = name.ends_with("MOVE");
        let command = if moves { "MOVE" } else { "COPY" };
        let Some(selected) = &self.selected else { return Err(Stop::Unreadable) };
        if moves && selected.read_only {
            return Ok(("NO", READ_ONLY.into()));
        }
        let id = selected.folder;
        let copied = self.mailbox(|mailbox| {
            let place = mailbox
                .folders
                .iter()
                .position(|folder| folder.name.to_lowercase() == target.to_lowercase())?;
            let source = mailbox.by_id(id)?;
            let there = &wanted & &source.uids;
            let mails: Vec<(Content, Vec<String>)> =
                there.iter().filter_map(|uid| Some((source.content(uid)?, source.flags(uid)))).collect();
            let target = &mut mailbox.folders[place];
            let new: Vec<u32> =
                mails.into_iter().map(|(content, flags)| target.add(content, flags)).collect();
            let uid_validity = target.uid_validity;
            if moves && let Some(source) = mailbox.by_id_mut(id) {
                source.remove(&there);
            }
            Some((uid_validity, there, new))
        });
        let Some((uid_validity, there, new)) = copied else {
            return Ok(("NO", format!("[TRYCREATE] {target} doesn't exist.")));
        };
        let missing = there.len() < wanted.len();
        let code = format!("[COPYUID {uid_validity} {} {}]", ranges(&there), ranges(new));
        let dialect = &self.shared.dialect;
        let mut before = String::new();
        if dialect.uidplus && moves {
            let bare = dialect.bare_copyuid;
            self.line(&if bare { code.clone() } else { format!("* OK {code}") })?;
        } else if dialect.uidplus {
            before = format!("{code} ");
        }
        if missing { Ok(("NO", GONE.into())) } else { Ok(("OK", format!("{before}{command} completed."))) }
    }

    /// The UIDs that a command's set names, as far as the client knows of them.
    fn wanted(&self, args: &mut Args, uid: bool) -> Done<RoaringBitmap> {
        let set = args.set()?;
        let Some(selected) = &self.selected else { return Err(Stop::Unreadable) };
        Ok(if uid { set.uids(&selected.view) } else { set.numbered(&selected.view)? })
    }

    /// The sequence number of a mail.
    fn number(&self, uid: u32) -> u64 {
        self.selected.as_ref().map_or(0, |selected| selected.view.rank(uid))
    }
}

const GONE: &str = "Some of the requested messages no longer exist.";

const READ_ONLY: &str = "[READ-ONLY] The folder was opened read-only.";
