//! An in-process stand-in for Entra ID's token endpoint and an Exchange Online IMAP server, over TLS on the loopback interface,
//! with faults that are scripts. For tests and the demo; it shares no code with what it tests.
//!
//! - `scenario`: what it is to be, as data
//! - `shared`, `fault`, `wire`: what connections have in common, what goes wrong, and the octets
//! - `entra`: the token endpoint
//! - `imap`: the IMAP server
//! - `store`, `generated`: the mailboxes
//! - `pki`: certificates

mod entra;
mod fault;
mod generated;
mod imap;
mod pki;
pub mod scenario;
mod shared;
mod store;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use generated::mail as generated_mail;
pub use scenario::{Change, Fault, Scenario};
pub use shared::{Counters, From, Line, TokenRequest};

use crate::pki::Ca;
use crate::scenario::{CLIENT_ID, CLIENT_SECRET, USER};
use crate::shared::{Shared, locked};

/// A stand-in that runs until it is dropped.
pub struct Standin {
    shared: Arc<Shared>,
    imap_port: u16,
    starttls_port: u16,
    token_port: u16,
    tenant: String,
    ca_pem: String,
    ca_file: tempfile::NamedTempFile,
    listeners: Vec<JoinHandle<()>>,
}

/// A mail as it lies in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMail {
    pub uid: u32,
    /// In alphabetical order.
    pub flags: Vec<String>,
    /// As in IMAP.
    pub internal_date: String,
    pub bytes: Vec<u8>,
}

impl Standin {
    /// Starts one on free ports.
    ///
    /// # Errors
    /// When a file that the scenario names cannot be read, or no port or certificate can be had.
    pub fn start(scenario: Scenario) -> io::Result<Self> {
        let ca = Ca::new(&scenario.tls.issuer).map_err(io::Error::other)?;
        let tls = [ca.server(scenario.tls.imap)?, ca.server(scenario.tls.token)?];
        let ca_file = tempfile::Builder::new().prefix("um-standin-ca-").suffix(".pem").tempfile()?;
        std::fs::write(ca_file.path(), ca.pem())?;
        let store = store::Store::new(&scenario.mailboxes, &scenario.dialect)?;
        let tokens = entra::Tokens::new(&scenario);
        let faults = fault::Faults::new(scenario.faults);
        let shared = Arc::new(Shared::new(scenario.dialect, tls, store, tokens, faults));
        let mut standin = Self {
            shared,
            imap_port: 0,
            starttls_port: 0,
            token_port: 0,
            tenant: scenario.tenant,
            ca_pem: ca.pem().to_owned(),
            ca_file,
            listeners: Vec::new(),
        };
        standin.imap_port = standin.listen(|shared, socket| imap::serve(shared, socket, true))?;
        standin.starttls_port = standin.listen(|shared, socket| imap::serve(shared, socket, false))?;
        standin.token_port = standin.listen(entra::serve)?;
        Ok(standin)
    }

    /// The name that the certificates are for.
    pub fn host(&self) -> &'static str {
        "localhost"
    }

    /// IMAP with TLS from the first octet.
    pub fn imap_port(&self) -> u16 {
        self.imap_port
    }

    /// IMAP that becomes TLS by STARTTLS.
    pub fn starttls_port(&self) -> u16 {
        self.starttls_port
    }

    pub fn token_port(&self) -> u16 {
        self.token_port
    }

    pub fn token_uri(&self) -> String {
        format!("https://localhost:{}/{}/oauth2/v2.0/token", self.token_port, self.tenant)
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A file with the CA's certificate, as long as the stand-in lives.
    pub fn ca_pem_path(&self) -> &Path {
        self.ca_file.path()
    }

    /// The properties by which Universal Messenger reads the mailbox of [`scenario::USER`] here, in English.
    pub fn properties(&self) -> BTreeMap<String, String> {
        let of_mailbox = [
            ("server", self.host().to_owned()),
            ("port", self.imap_port.to_string()),
            ("ssl", "true".to_owned()),
            ("user", USER.to_owned()),
            ("password", String::new()),
            ("authenticationMethod", "oauth2".to_owned()),
            ("oauth2.accessTokenUri", self.token_uri()),
            ("oauth2.clientId", CLIENT_ID.to_owned()),
            ("oauth2.clientSecret", CLIENT_SECRET.to_owned()),
            ("oauth2.scope", "https://outlook.office365.com/.default".to_owned()),
            ("ssl.caFile", self.ca_pem_path().display().to_string()),
        ];
        let of_mailbox = of_mailbox.map(|(key, value)| (format!("cmsbs.mail.imap.{key}"), value));
        of_mailbox.into_iter().chain([("cmsbs.lang".to_owned(), "en".to_owned())]).collect()
    }

    /// A fault that counts from now on.
    ///
    /// # Panics
    /// When it is not one that README.md describes.
    pub fn add_fault(&self, fault: serde_json::Value) {
        self.shared.faults.add(serde_json::from_value(fault).expect("a fault as README.md describes it"));
    }

    /// Does something to a mailbox, as others would.
    pub fn change(&self, change: &Change) {
        self.shared.change(change);
    }

    /// Every token issued so far ends now, and the sessions with it.
    pub fn expire_tokens(&self) {
        self.change(&Change::ExpireTokens);
    }

    /// Cuts every connection that is open.
    pub fn drop_connections(&self) {
        self.shared.drop_connections();
    }

    /// The folders of a mailbox, with the dialect's separator.
    pub fn folders(&self, user: &str) -> Vec<String> {
        let store = locked(&self.shared.store);
        let Some(place) = store.find(Some(user)) else { return Vec::new() };
        store.mailboxes[place].folders.iter().map(|folder| folder.name.clone()).collect()
    }

    /// The UIDs of a folder's mails; none where there is no such folder.
    pub fn uids(&self, user: &str, folder: &str) -> Vec<u32> {
        self.folder(user, folder, |folder| folder.uids.iter().collect()).unwrap_or_default()
    }

    pub fn count(&self, user: &str, folder: &str) -> u64 {
        self.folder(user, folder, |folder| folder.uids.len()).unwrap_or_default()
    }

    pub fn uid_validity(&self, user: &str, folder: &str) -> Option<u32> {
        self.folder(user, folder, |folder| folder.uid_validity)
    }

    pub fn mail(&self, user: &str, folder: &str, uid: u32) -> Option<StoredMail> {
        self.folder(user, folder, |folder| {
            let content = folder.content(uid)?;
            Some(StoredMail {
                uid,
                flags: folder.flags(uid),
                internal_date: store::date_time(content.internal_date()),
                bytes: content.bytes().into_owned(),
            })
        })?
    }

    /// All mails of a folder. Not for a million of them.
    pub fn mails(&self, user: &str, folder: &str) -> Vec<StoredMail> {
        self.uids(user, folder).into_iter().filter_map(|uid| self.mail(user, folder, uid)).collect()
    }

    pub fn counters(&self) -> Counters {
        locked(&self.shared.counters).clone()
    }

    /// What was said, in order, so far.
    pub fn transcript(&self) -> Vec<Line> {
        locked(&self.shared.transcript).clone()
    }

    /// The requests to the token endpoint so far, with the credentials in them.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        locked(&self.shared.token_requests).clone()
    }

    fn folder<T>(&self, user: &str, name: &str, work: impl FnOnce(&store::Folder) -> T) -> Option<T> {
        let store = locked(&self.shared.store);
        let place = store.find(Some(user))?;
        store.mailboxes[place].folder(name).map(work)
    }

    fn listen(&mut self, serve: fn(&Arc<Shared>, TcpStream)) -> io::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = self.shared.clone();
        let accept = move || {
            let mut connections: Vec<JoinHandle<()>> = Vec::new();
            while let Ok((socket, _)) = listener.accept() {
                if shared.stopped() {
                    break;
                }
                connections.retain(|connection| !connection.is_finished());
                let shared = shared.clone();
                let Some(id) = shared.register(&socket) else { continue };
                connections.push(std::thread::spawn(move || {
                    serve(&shared, socket);
                    shared.unregister(id);
                }));
            }
            for connection in connections {
                let _ = connection.join();
            }
        };
        self.listeners.push(std::thread::spawn(accept));
        Ok(port)
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.shared.stop();
        for port in [self.imap_port, self.starttls_port, self.token_port] {
            // Wakes the listener, which then sees that it is to stop.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
        for listener in self.listeners.drain(..) {
            let _ = listener.join();
        }
    }
}
