//! What all connections of a stand-in have in common.

use std::collections::{BTreeMap, HashMap};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use crate::entra::Tokens;
use crate::fault::Faults;
use crate::imap::Set;
use crate::scenario::{Change, Dialect};
use crate::store::{Folder, Mailbox, Store};

/// A line of the dialogue. Literals and credentials are `{5560 octets}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The how many-th connection to the IMAP server, from 1.
    pub connection: u32,
    /// Since the stand-in was started.
    pub at: Duration,
    pub from: From,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Client,
    /// Status lines only (tagged ones, and untagged OK, NO, BAD, BYE), and what a fault sends.
    Server,
}

/// A request to the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    pub at: Duration,
    pub path: String,
    /// The form, decoded.
    pub form: BTreeMap<String, String>,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// How often things were done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// To the IMAP server.
    pub connections: u32,
    /// To the token endpoint.
    pub token_connections: u32,
    pub token_requests: u32,
    pub tokens_issued: u32,
    pub logins: u32,
    pub refused_logins: u32,
    /// By name, as `UID FETCH`.
    pub commands: BTreeMap<String, u32>,
}

pub(crate) struct Shared {
    pub(crate) dialect: Dialect,
    pub(crate) imap_tls: Arc<ServerConfig>,
    pub(crate) token_tls: Arc<ServerConfig>,
    pub(crate) store: Mutex<Store>,
    pub(crate) tokens: Mutex<Tokens>,
    pub(crate) faults: Faults,
    pub(crate) counters: Mutex<Counters>,
    pub(crate) transcript: Mutex<Vec<Line>>,
    pub(crate) token_requests: Mutex<Vec<TokenRequest>>,
    pub(crate) started: Instant,
    sockets: Mutex<HashMap<u64, TcpStream>>,
    next_socket: AtomicU64,
    stopped: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        dialect: Dialect,
        [imap_tls, token_tls]: [Arc<ServerConfig>; 2],
        store: Store,
        tokens: Tokens,
        faults: Faults,
    ) -> Self {
        Self {
            dialect,
            imap_tls,
            token_tls,
            store: Mutex::new(store),
            tokens: Mutex::new(tokens),
            faults,
            counters: Mutex::default(),
            transcript: Mutex::default(),
            token_requests: Mutex::default(),
            started: Instant::now(),
            sockets: Mutex::default(),
            next_socket: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// Keeps a handle of a socket while a connection lasts, so that `stop` and `drop_connections` reach it.
    pub(crate) fn register(&self, socket: &TcpStream) -> Option<u64> {
        let handle = socket.try_clone().ok()?;
        let id = self.next_socket.fetch_add(1, Ordering::Relaxed);
        locked(&self.sockets).insert(id, handle);
        Some(id)
    }

    pub(crate) fn unregister(&self, id: u64) {
        locked(&self.sockets).remove(&id);
    }

    pub(crate) fn drop_connections(&self) {
        for socket in locked(&self.sockets).values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.drop_connections();
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Does something to a mailbox, as others would. A mailbox or folder that is not there is left alone.
    pub(crate) fn change(&self, change: &Change) {
        let folder = |user: &Option<String>, name: &str, work: &dyn Fn(&mut Folder)| {
            let mut store = locked(&self.store);
            if let Some(place) = store.find(user.as_deref())
                && let Some(folder) = store.mailboxes[place].folder_mut(name)
            {
                work(folder);
            }
        };
        let mailbox = |user: &Option<String>, work: &dyn Fn(&mut Mailbox)| {
            let mut store = locked(&self.store);
            if let Some(place) = store.find(user.as_deref()) {
                work(&mut store.mailboxes[place]);
            }
        };
        match change {
            Change::Deliver { user, folder: name, mail } => folder(user, name, &|folder| {
                let _ = folder.deliver(mail);
            }),
            Change::Expunge { user, folder: name, uids } => folder(user, name, &|folder| {
                if let Ok(set) = Set::parse(uids) {
                    folder.remove(&set.uids(&folder.uids));
                }
            }),
            Change::Flag { user, folder: name, uids, flag } => folder(user, name, &|folder| {
                if let Ok(set) = Set::parse(uids) {
                    for uid in set.uids(&folder.uids) {
                        folder.set_flag(flag, uid, true);
                    }
                }
            }),
            Change::UidValidity { user, folder: name, value } => {
                folder(user, name, &|folder| folder.uid_validity = *value);
            }
            Change::DeleteFolder { user, folder: name } => mailbox(user, &|mailbox| {
                let id = mailbox.folder(name).map(|folder| folder.id);
                mailbox.folders.retain(|folder| Some(folder.id) != id);
            }),
            Change::Permitted { user, clients } => {
                mailbox(user, &|mailbox| mailbox.permitted.clone_from(clients));
            }
            Change::ImapEnabled { user, value } => mailbox(user, &|mailbox| mailbox.imap_enabled = *value),
            Change::ExpireTokens => locked(&self.tokens).expire_all(),
            Change::Secrets { client, values } => locked(&self.tokens).set_secrets(client.as_deref(), values),
        }
    }

    pub(crate) fn record(&self, connection: u32, from: From, text: String) {
        let line = Line { connection, at: self.started.elapsed(), from, text };
        locked(&self.transcript).push(line);
    }
}

/// A mutex whose holder panicked is as good as any other here: the test has failed already.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
