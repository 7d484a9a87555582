//! The IMAP server: one session, in the words of Exchange Online.

mod fetch;
mod mime;
mod search;
mod syntax;

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roaring::RoaringBitmap;

use crate::entra::Issued;
use crate::fault::perform;
use crate::scenario::Action;
use crate::shared::{From as Side, Shared, locked};
use crate::store::{Content, Folder, Mailbox, SYSTEM_FLAGS, parse_date_time};
use crate::wire::{Ended, Going, Wire};

use search::Refused;
pub(crate) use syntax::Set;
use syntax::{Args, Unreadable, folder_name, matches, ranges};

/// Serves one connection to its end. Without `tls` it is plain and offers STARTTLS.
pub(crate) fn serve(shared: &Arc<Shared>, socket: TcpStream, tls: bool) {
    let connection = {
        let mut counters = locked(&shared.counters);
        counters.connections += 1;
        counters.connections
    };
    if let Ok(wire) = Wire::new(shared.clone(), socket) {
        let mut session =
            Session { shared: shared.clone(), wire, connection, login: None, selected: None, bad: 0 };
        let _ = session.run(tls);
        session.leave();
    }
}

struct Session {
    shared: Arc<Shared>,
    wire: Wire,
    connection: u32,
    login: Option<Login>,
    selected: Option<Selected>,
    /// Commands that were refused for the session's state, and logins.
    bad: u32,
}

struct Login {
    mailbox: usize,
    /// Else "authenticated but not connected".
    connected: bool,
    /// None: with a password.
    token: Option<Arc<Issued>>,
}

struct Selected {
    folder: u64,
    read_only: bool,
    /// The UIDs of the mails that the client knows of; their ranks are the sequence numbers.
    view: RoaringBitmap,
}

struct Command {
    tag: String,
    /// In upper case, with `UID ` before it.
    name: String,
    /// Literals stand in it as they were sent.
    args: Vec<u8>,
    /// Without literals and credentials.
    shown: String,
}

/// How a command ends: OK, NO or BAD, and the text.
type Status = (&'static str, String);

/// Why a command has no status of its own.
enum Stop {
    Ended,
    Unreadable,
}

type Done<T = Status> = Result<T, Stop>;

impl Session {
    fn run(&mut self, tls: bool) -> Going {
        match self.shared.faults.due("connect", "", self.connection) {
            None => self.accept(tls)?,
            Some(actions) => {
                for action in actions {
                    match action {
                        Action::Answer => self.accept(tls)?,
                        other => perform(&self.shared, &mut self.wire, &other, "*")?,
                    }
                }
                if tls && !self.wire.is_tls() {
                    return self.wire.close();
                }
            }
        }
        let greeting = self.shared.dialect.greeting.clone().unwrap_or_else(|| GREETING.into());
        self.scripted("greeting", "", "*", |session| session.untagged(&format!("OK {greeting}")))?;
        self.wire.flush()?;
        loop {
            let command = self.read_command()?;
            let name = if command.name.is_empty() { "empty".into() } else { command.name.clone() };
            *locked(&self.shared.counters).commands.entry(name).or_default() += 1;
            self.shared.record(self.connection, Side::Client, command.shown.clone());
            self.scripted(&command.name, &command.shown, &command.tag, |session| session.handle(&command))?;
            self.wire.flush()?;
        }
    }

    /// Does the ordinary thing, or what a fault says.
    fn scripted(&mut self, on: &str, line: &str, tag: &str, ordinary: impl Fn(&mut Self) -> Going) -> Going {
        let Some(actions) = self.shared.faults.due(on, line, self.connection) else { return ordinary(self) };
        let mut replacements: Vec<(String, String)> = Vec::new();
        for action in actions {
            match action {
                Action::Answer if replacements.is_empty() => ordinary(self)?,
                Action::Answer | Action::CarryOut => {
                    self.wire.capture();
                    let result = ordinary(self);
                    let mut answer = self.wire.captured();
                    if matches!(action, Action::CarryOut) {
                        answer.clear();
                    }
                    for (find, with) in &replacements {
                        answer = replaced(&answer, find, with);
                    }
                    self.wire.put(&answer)?;
                    result?;
                }
                Action::Replace { find, with } => {
                    replacements.push((find.replace("{tag}", tag), with.replace("{tag}", tag)));
                }
                other => {
                    if let Action::Send(text) = &other {
                        let text = text.replace("{tag}", tag).trim_end().to_owned();
                        self.shared.record(self.connection, Side::Server, text);
                    }
                    perform(&self.shared, &mut self.wire, &other, tag)?;
                }
            }
        }
        Ok(())
    }

    fn handle(&mut self, command: &Command) -> Going {
        let (kind, text) = match self.status(command) {
            Ok(status) => status,
            Err(Stop::Unreadable) => ("BAD", "Command Argument Error. 11".into()),
            Err(Stop::Ended) => return Err(Ended),
        };
        if !QUIET.iter().any(|quiet| command.name.ends_with(quiet)) {
            self.announce()?;
        }
        let tag = if command.tag.is_empty() { "*" } else { &command.tag };
        self.line(&format!("{tag} {kind} {text}"))?;
        if self.bad >= MOST_BAD {
            self.untagged("BYE Connection closed. 14")?;
            return self.wire.close();
        }
        if command.name == "STARTTLS" && kind == "OK" {
            let tls = self.shared.imap_tls.clone();
            self.wire.start_tls(&tls)?;
        }
        if command.name == "LOGOUT" { self.wire.close() } else { Ok(()) }
    }

    fn status(&mut self, command: &Command) -> Done {
        let mut args = Args(&command.args);
        let dialect = &self.shared.dialect;
        let name = command.name.as_str();
        let offered = match name {
            "MOVE" | "UID MOVE" => dialect.move_,
            "UID EXPUNGE" => dialect.uidplus,
            "IDLE" => dialect.idle,
            "NAMESPACE" => dialect.namespace,
            "STARTTLS" => !self.wire.is_tls(),
            _ => true,
        };
        if command.tag.is_empty() || !offered {
            return Ok(("BAD", UNKNOWN.into()));
        }
        let connected = self.login.as_ref().is_some_and(|login| login.connected);
        let known = ANY_STATE.contains(&name)
            || BEFORE_LOGIN.contains(&name)
            || AFTER_LOGIN.contains(&name)
            || SELECTED.contains(&name);
        if !known {
            return Ok(("BAD", UNKNOWN.into()));
        }
        let in_state = ANY_STATE.contains(&name)
            || (BEFORE_LOGIN.contains(&name) && self.login.is_none())
            || (connected && AFTER_LOGIN.contains(&name))
            || (connected && self.selected.is_some() && SELECTED.contains(&name));
        if !in_state {
            self.bad += 1;
            let text = match &self.login {
                Some(login) if !login.connected => "User is authenticated but not connected.",
                _ => "Command received in Invalid state.",
            };
            return Ok(("BAD", text.into()));
        }
        match name {
            "CAPABILITY" => self.capability(),
            "NOOP" | "CHECK" => ok(name),
            "ID" => {
                self.untagged(
                    "ID (\"name\" \"Microsoft.Exchange.Imap4.Imap4Server\" \"version\" \"15.20\")",
                )?;
                ok("ID")
            }
            "LOGOUT" => {
                self.untagged("BYE Microsoft Exchange Server IMAP4 server signing off.")?;
                ok("LOGOUT")
            }
            "STARTTLS" => Ok(("OK", "Begin TLS negotiation now.".into())),
            "AUTHENTICATE" => self.authenticate(&mut args),
            "LOGIN" => self.login(&mut args),
            "ENABLE" => {
                self.untagged("ENABLED")?;
                ok("ENABLE")
            }
            "NAMESPACE" => self.namespace(),
            "SELECT" | "EXAMINE" => self.select(&mut args, name),
            "CREATE" => self.create(&mut args),
            "DELETE" => self.delete(&mut args),
            "RENAME" => self.rename(&mut args),
            "SUBSCRIBE" | "UNSUBSCRIBE" => self.subscribe(&mut args, name),
            "LIST" | "LSUB" => self.list(&mut args, name),
            "STATUS" => self.folder_status(&mut args),
            "APPEND" => self.append(&mut args),
            "IDLE" => self.idle(),
            "CLOSE" => {
                self.expunge(None, false)?;
                self.selected = None;
                ok("CLOSE")
            }
            "UNSELECT" => {
                self.selected = None;
                ok("UNSELECT")
            }
            "EXPUNGE" => self.expunge(None, true),
            "UID EXPUNGE" => {
                let set = args.set()?;
                args.end()?;
                self.expunge(Some(&set), true)
            }
            "SEARCH" | "UID SEARCH" => self.search(&mut args, name == "UID SEARCH"),
            "FETCH" | "UID FETCH" => self.fetch(&mut args, name == "UID FETCH"),
            "STORE" | "UID STORE" => self.store(&mut args, name == "UID STORE"),
            _ => self.copy(&mut args, name),
        }
    }

    fn capability(&mut self) -> Done {
        let dialect = &self.shared.dialect;
        let mut list = vec!["IMAP4", "IMAP4rev1"];
        list.extend(dialect.imap4rev2.then_some("IMAP4rev2"));
        if self.wire.is_tls() {
            list.extend(["AUTH=PLAIN", "AUTH=XOAUTH2"]);
        } else {
            list.extend(["LOGINDISABLED", "STARTTLS"]);
        }
        list.extend(dialect.sasl_ir.then_some("SASL-IR"));
        list.extend(dialect.uidplus.then_some("UIDPLUS"));
        list.extend(dialect.move_.then_some("MOVE"));
        list.extend(["ID", "UNSELECT"]);
        if self.login.is_some() {
            list.extend(["CLIENTACCESSRULES", "CLIENTNETWORKPRESENCELOCATION", "BACKENDAUTHENTICATE"]);
        }
        list.push("CHILDREN");
        list.extend(dialect.idle.then_some("IDLE"));
        list.extend(dialect.namespace.then_some("NAMESPACE"));
        list.extend(dialect.literal_plus.then_some("LITERAL+"));
        list.extend(dialect.more_capabilities.iter().map(String::as_str));
        let line = format!("CAPABILITY {}", list.join(" "));
        self.untagged(&line)?;
        ok("CAPABILITY")
    }

    fn authenticate(&mut self, args: &mut Args) -> Done {
        let mechanism = args.word()?.to_ascii_uppercase();
        if !self.wire.is_tls() || !matches!(mechanism.as_str(), "XOAUTH2" | "PLAIN") {
            return Ok(("NO", "AUTHENTICATE failed.".into()));
        }
        let response = if args.is_empty() {
            let line = self.challenge("+ ")?;
            if line == "*" {
                return Ok(("BAD", "The AUTH protocol exchange was canceled by the client.".into()));
            }
            line
        } else {
            args.space()?;
            if !self.shared.dialect.sasl_ir {
                return Err(Stop::Unreadable);
            }
            String::from_utf8_lossy(args.0).into_owned()
        };
        let Ok(octets) = STANDARD.decode(response.trim()) else {
            return Ok(("BAD", "Command Argument Error. 11".into()));
        };
        let text = String::from_utf8_lossy(&octets).into_owned();
        if mechanism == "PLAIN" {
            let mut parts = text.split('\0').skip(1);
            let (user, password) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            return self.log_in_with_password("AUTHENTICATE", user, password);
        }
        let field = |name: &str| text.split('\x01').find_map(|field| field.strip_prefix(name));
        let user = field("user=").unwrap_or_default();
        let token = field("auth=Bearer ").unwrap_or_default();
        if !text.ends_with("\x01\x01") {
            return self.refuse("AUTHENTICATE", None);
        }
        self.log_in_with_token(user, token)
    }

    fn login(&mut self, args: &mut Args) -> Done {
        let user = args.text()?;
        args.space()?;
        let password = args.text()?;
        args.end()?;
        if !self.wire.is_tls() {
            return Ok(("NO", "LOGIN failed.".into()));
        }
        self.log_in_with_password("LOGIN", &user, &password)
    }

    fn log_in_with_token(&mut self, user: &str, token: &str) -> Done {
        let issued = locked(&self.shared.tokens).known(token);
        let mailbox = locked(&self.shared.store).find(Some(user));
        match (issued, mailbox) {
            (Some(issued), Some(_)) if !issued.service_principal => {
                let error = format!("AuthFailed:LogonDenied-None-OAuthLog:AppId={}", issued.client);
                self.refuse("AUTHENTICATE", Some(&error))
            }
            (Some(issued), Some(mailbox)) if issued.for_imap => {
                self.enter(mailbox, Some(issued));
                ok("AUTHENTICATE")
            }
            _ => {
                if let Some(challenge) = self.shared.dialect.challenge.clone() {
                    self.challenge(&format!("+ {}", STANDARD.encode(challenge)))?;
                }
                self.refuse("AUTHENTICATE", None)
            }
        }
    }

    fn log_in_with_password(&mut self, command: &str, user: &str, password: &str) -> Done {
        let (mailbox, wanted) = {
            let store = locked(&self.shared.store);
            let mailbox = store.find(Some(user));
            (mailbox, mailbox.and_then(|mailbox| store.mailboxes[mailbox].password.clone()))
        };
        match (mailbox, wanted) {
            (Some(mailbox), Some(wanted)) if wanted == password => {
                self.enter(mailbox, None);
                ok(command)
            }
            (_, Some(_)) => self.refuse(command, None),
            _ => self.refuse(command, Some("AuthFailed:LogonDenied-BasicAuthBlocked")),
        }
    }

    fn enter(&mut self, mailbox: usize, token: Option<Arc<Issued>>) {
        let mut store = locked(&self.shared.store);
        let place = &mut store.mailboxes[mailbox];
        let permitted = match (&token, &place.permitted) {
            (Some(token), Some(permitted)) => permitted.contains(&token.client),
            _ => true,
        };
        let connected = permitted && place.imap_enabled && place.sessions < place.connections;
        if connected {
            place.sessions += 1;
        }
        locked(&self.shared.counters).logins += 1;
        self.login = Some(Login { mailbox, connected, token });
    }

    fn refuse(&mut self, command: &str, error: Option<&str>) -> Done {
        self.bad += 1;
        locked(&self.shared.counters).refused_logins += 1;
        let error = error.map(|error| format!(" Error=\"{error}\"")).unwrap_or_default();
        Ok(("NO", format!("{command} failed.{error}")))
    }

    /// Sends a continuation request and reads the line that answers it, which is a credential or nothing.
    fn challenge(&mut self, line: &str) -> Going<String> {
        self.wire.prompt(line)?;
        let answer = self.read_line(MAX_CREDENTIAL)?.unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        self.shared.record(self.connection, Side::Client, format!("{{{} octets}}", answer.len()));
        Ok(answer)
    }

    fn namespace(&mut self) -> Done {
        let dialect = &self.shared.dialect;
        let prefix = match dialect.separator {
            Some(separator) if dialect.inbox_only => format!("INBOX{separator}"),
            _ => String::new(),
        };
        let line = format!("NAMESPACE ((\"{prefix}\" {})) NIL NIL", self.separator());
        self.untagged(&line)?;
        ok("NAMESPACE")
    }

    fn select(&mut self, args: &mut Args, command: &str) -> Done {
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

    fn create(&mut self, args: &mut Args) -> Done {
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

    fn delete(&mut self, args: &mut Args) -> Done {
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

    fn rename(&mut self, args: &mut Args) -> Done {
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

    fn subscribe(&mut self, args: &mut Args, command: &str) -> Done {
        let name = args.folder()?;
        args.end()?;
        let found = self.mailbox(|mailbox| {
            let folder = mailbox.folder_mut(&name)?;
            folder.subscribed = command == "SUBSCRIBE";
            Some(())
        });
        if found.is_some() { ok(command) } else { Ok(("NO", format!("{name} doesn't exist."))) }
    }

    fn list(&mut self, args: &mut Args, command: &str) -> Done {
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

    fn folder_status(&mut self, args: &mut Args) -> Done {
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

    fn append(&mut self, args: &mut Args) -> Done {
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

    fn idle(&mut self) -> Done {
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
    fn expunge(&mut self, set: Option<&Set>, refuse: bool) -> Done {
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

    fn search(&mut self, args: &mut Args, uid: bool) -> Done {
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

    fn fetch(&mut self, args: &mut Args, uid: bool) -> Done {
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

    fn store(&mut self, args: &mut Args, uid: bool) -> Done {
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
    fn copy(&mut self, args: &mut Args, name: &str) -> Done {
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

    /// Tells the client what has come and gone in the folder since.
    fn announce(&mut self) -> Going {
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

    fn accept(&mut self, tls: bool) -> Going {
        if !tls {
            return Ok(());
        }
        let config = self.shared.imap_tls.clone();
        self.wire.start_tls(&config)
    }

    fn read_command(&mut self) -> Going<Command> {
        let limit = self.shared.dialect.max_command_line;
        let mut line = Vec::new();
        let mut shown = Vec::new();
        loop {
            let Some(piece) = self.read_line(limit.saturating_sub(shown.len()))? else {
                let (start, rest) = (first_word(&line), self.discard_line()?);
                let tag = if start.is_empty() { rest } else { start };
                self.shared.record(self.connection, Side::Client, format!("{tag} {{a line too long}}"));
                self.line(&format!("{tag} BAD Command Error. 10"))?;
                self.wire.flush()?;
                line.clear();
                shown.clear();
                continue;
            };
            line.extend_from_slice(&piece);
            let Some((length, waits)) = literal_length(&piece) else {
                shown.extend_from_slice(&piece);
                return Ok(Command::new(&line, &String::from_utf8_lossy(&shown)));
            };
            if length > MAX_LITERAL {
                self.untagged("BYE Connection closed. 14")?;
                return self.wire.close();
            }
            let marker = piece.iter().rposition(|byte| *byte == b'{').unwrap_or(0);
            shown.extend_from_slice(&piece[..marker]);
            shown.extend_from_slice(format!("{{{length} octets}}").as_bytes());
            if waits {
                self.wire.prompt("+ Ready for additional command text.")?;
            }
            while self.wire.input().len() < length {
                self.wait()?;
            }
            line.extend_from_slice(b"\r\n");
            line.extend(self.wire.take(length));
        }
    }

    /// A line without its end; None when it is longer than the limit, and is left where it is.
    fn read_line(&mut self, limit: usize) -> Going<Option<Vec<u8>>> {
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

    /// Throws a line away and says what it began with.
    fn discard_line(&mut self) -> Going<String> {
        let tag = first_word(&self.wire.input()[..self.wire.input().len().min(64)]);
        loop {
            let end = self.wire.input().iter().position(|byte| *byte == b'\n');
            let count = end.map_or(self.wire.input().len(), |end| end + 1);
            self.wire.take(count);
            if end.is_some() {
                return Ok(tag);
            }
            self.wait()?;
        }
    }

    /// Waits a moment for input.
    fn wait(&mut self) -> Going {
        self.check_token()?;
        self.wire.more().map(|_| ())
    }

    /// A session ends with its token.
    fn check_token(&mut self) -> Going {
        let token = self.login.as_ref().and_then(|login| login.token.as_ref());
        if token.is_some_and(|token| token.expired()) {
            self.wire.captured();
            self.untagged("BYE Session invalidated - AccessTokenExpired")?;
            return self.wire.close();
        }
        Ok(())
    }

    fn mailbox<T>(&self, work: impl FnOnce(&mut Mailbox) -> T) -> T {
        let place = self.login.as_ref().map_or(0, |login| login.mailbox);
        work(&mut locked(&self.shared.store).mailboxes[place])
    }

    fn leave(&mut self) {
        if let Some(Login { mailbox, connected: true, .. }) = self.login.take() {
            locked(&self.shared.store).mailboxes[mailbox].sessions -= 1;
        }
    }

    fn separator(&self) -> String {
        self.shared.dialect.separator.map_or("NIL".into(), |separator| format!("\"{separator}\""))
    }

    fn untagged(&mut self, text: &str) -> Going {
        self.line(&format!("* {text}"))
    }

    fn line(&mut self, line: &str) -> Going {
        let status = line.split(' ').nth(1).unwrap_or_default();
        if matches!(status, "OK" | "NO" | "BAD" | "BYE") {
            self.shared.record(self.connection, Side::Server, line.to_owned());
        }
        self.wire.put(line.as_bytes())?;
        self.wire.put(b"\r\n")
    }
}

impl Command {
    fn new(line: &[u8], shown: &str) -> Self {
        let word = |at: usize| {
            let rest = line.get(at..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
            (String::from_utf8_lossy(&rest[..end]).into_owned(), at + end + 1)
        };
        let (tag, mut at) = word(0);
        let (name, next) = word(at);
        let mut name = name.to_ascii_uppercase();
        at = next;
        if name == "UID" {
            let (second, next) = word(at);
            name = format!("UID {}", second.to_ascii_uppercase());
            at = next;
        }
        let shown = match name.as_str() {
            "AUTHENTICATE" | "LOGIN" => {
                let words: Vec<&str> = shown.splitn(4, ' ').collect();
                match words[..] {
                    [tag, command, first, secret] => {
                        format!("{tag} {command} {first} {{{} octets}}", secret.len())
                    }
                    _ => shown.to_owned(),
                }
            }
            _ => shown.to_owned(),
        };
        Self { tag, name, args: line.get(at..).unwrap_or_default().to_vec(), shown }
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

fn ok(command: &str) -> Done {
    Ok(("OK", format!("{} completed.", command.trim_start_matches("UID "))))
}

fn first_word(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).split(' ').next().unwrap_or_default().to_owned()
}

fn has_children(mailbox: &Mailbox, name: &str, separator: Option<char>) -> bool {
    let Some(separator) = separator else { return false };
    let below = format!("{name}{separator}");
    mailbox.folders.iter().any(|folder| folder.name.starts_with(&below))
}

/// The length of the literal that a line ends with the beginning of, and whether the client waits to be asked for it.
fn literal_length(line: &[u8]) -> Option<(usize, bool)> {
    let inner = line.strip_suffix(b"}")?;
    let start = inner.iter().rposition(|byte| *byte == b'{')?;
    let digits = std::str::from_utf8(&inner[start + 1..]).ok()?;
    match digits.strip_suffix('+') {
        Some(digits) => Some((digits.parse().ok()?, false)),
        None => Some((digits.parse().ok()?, true)),
    }
}

fn replaced(octets: &[u8], find: &str, with: &str) -> Vec<u8> {
    let find = find.as_bytes();
    let mut out = Vec::with_capacity(octets.len());
    let mut at = 0;
    while at < octets.len() {
        if !find.is_empty() && octets[at..].starts_with(find) {
            out.extend_from_slice(with.as_bytes());
            at += find.len();
        } else {
            out.push(octets[at]);
            at += 1;
        }
    }
    out
}

/// The name of the server follows in base64, as UTF-16.
const GREETING: &str =
    "The Microsoft Exchange IMAP4 service is ready. [UwBUAEEATgBEAEkATgAwADEALgBFAFgAQQBNAFAATABFAA==]";
const UNKNOWN: &str = "Command Error. 12";
const GONE: &str = "Some of the requested messages no longer exist.";
const READ_ONLY: &str = "[READ-ONLY] The folder was opened read-only.";

const ANY_STATE: [&str; 4] = ["CAPABILITY", "NOOP", "LOGOUT", "ID"];
const BEFORE_LOGIN: [&str; 3] = ["STARTTLS", "AUTHENTICATE", "LOGIN"];
const AFTER_LOGIN: [&str; 14] = [
    "ENABLE",
    "NAMESPACE",
    "SELECT",
    "EXAMINE",
    "CREATE",
    "DELETE",
    "RENAME",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "STATUS",
    "APPEND",
    "IDLE",
];
const SELECTED: [&str; 15] = [
    "CHECK",
    "CLOSE",
    "UNSELECT",
    "EXPUNGE",
    "UID EXPUNGE",
    "SEARCH",
    "UID SEARCH",
    "FETCH",
    "UID FETCH",
    "STORE",
    "UID STORE",
    "COPY",
    "UID COPY",
    "MOVE",
    "UID MOVE",
];
/// Commands whose answers carry no news of the folder (RFC 3501 §7.4.1).
const QUIET: [&str; 4] = ["FETCH", "STORE", "SEARCH", "CLOSE"];
/// The how many-th refusal on a connection ends it.
const MOST_BAD: u32 = 3;
const MAX_LITERAL: usize = 64 * 1024 * 1024;
const MAX_CREDENTIAL: usize = 64 * 1024;
