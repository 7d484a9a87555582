//! The IMAP server, in the words of Exchange Online.

mod command;
mod fetch;
mod folders;
mod login;
mod messages;
mod mime;
mod search;
mod session;
mod syntax;

use std::net::TcpStream;
use std::sync::Arc;

use crate::fault::perform;
use crate::scenario::Action;
use crate::shared::{From as Side, Shared, locked};
use crate::wire::{Ended, Going, Wire};

use command::Command;
use session::{Done, Session, Stop, UNKNOWN, ok};
use syntax::Args;
pub(crate) use syntax::Set;

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

    fn accept(&mut self, tls: bool) -> Going {
        if !tls {
            return Ok(());
        }
        let config = self.shared.imap_tls.clone();
        self.wire.start_tls(&config)
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
        let name = command.name.as_str();
        if command.tag.is_empty() || !self.offers(name) {
            return Ok(("BAD", UNKNOWN.into()));
        }
        let connected = self.login.as_ref().is_some_and(|login| login.connected);
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
        self.execute(name, &mut Args(&command.args))
    }

    /// Returns whether the server knows the command, in whatever state.
    fn offers(&self, name: &str) -> bool {
        let dialect = &self.shared.dialect;
        match name {
            "MOVE" | "UID MOVE" => dialect.move_,
            "UID EXPUNGE" => dialect.uidplus,
            "IDLE" => dialect.idle,
            "NAMESPACE" => dialect.namespace,
            "STARTTLS" => !self.wire.is_tls(),
            _ => {
                let mut known = ANY_STATE.iter().chain(&BEFORE_LOGIN).chain(&AFTER_LOGIN).chain(&SELECTED);
                known.any(|known| *known == name)
            }
        }
    }

    fn execute(&mut self, name: &str, args: &mut Args) -> Done {
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
            "AUTHENTICATE" => self.authenticate(args),
            "LOGIN" => self.login(args),
            "ENABLE" => {
                self.untagged("ENABLED")?;
                ok("ENABLE")
            }
            "NAMESPACE" => self.namespace(),
            "SELECT" | "EXAMINE" => self.select(args, name),
            "CREATE" => self.create(args),
            "DELETE" => self.delete(args),
            "RENAME" => self.rename(args),
            "SUBSCRIBE" | "UNSUBSCRIBE" => self.subscribe(args, name),
            "LIST" | "LSUB" => self.list(args, name),
            "STATUS" => self.folder_status(args),
            "APPEND" => self.append(args),
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
            "SEARCH" | "UID SEARCH" => self.search(args, name == "UID SEARCH"),
            "FETCH" | "UID FETCH" => self.fetch(args, name == "UID FETCH"),
            "STORE" | "UID STORE" => self.store(args, name == "UID STORE"),
            _ => self.copy(args, name),
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
