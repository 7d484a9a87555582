//! Mailboxes on the servers that `tests/servers/with-servers` starts, UM_HOMEs for them, and what lies on disk afterwards.

pub mod outcomes;
mod relay;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use um_imap_oauth2::config;
use um_imap_oauth2::failure::{Failure, Result};
use um_imap_oauth2::imap::limits::Times;
use um_imap_oauth2::log::{Level, Log};
use um_imap_oauth2::mailbox::{Access, FetchId, Mailbox, MessageId, Outcome, Parts};
use um_imap_oauth2::net::{Anchors, Trust};

pub use relay::{Fault, Flow, Harm, Relay, Way, silent_server};

/// A new mailbox on the test's servers, and a UM_HOME whose properties name it.
pub struct Account {
    pub user: String,
    maildir: PathBuf,
    um_home: TempDir,
    properties: Vec<(String, String)>,
}

impl Account {
    /// With the lines of the OAuth2 block of UM's manual, and the CA of the test's servers.
    pub fn new() -> Self {
        let client_id = guid();
        let user = format!("{client_id}@example.test");
        let properties = [
            ("cmsbs.startbounce", "true".to_owned()),
            ("cmsbs.mail.imap.server", "localhost".to_owned()),
            ("cmsbs.mail.imap.port", server("UM_TEST_IMAP_PORT")),
            ("cmsbs.mail.imap.ssl", "true".to_owned()),
            ("cmsbs.mail.imap.user", user.clone()),
            ("cmsbs.mail.imap.password", "".to_owned()),
            ("cmsbs.mail.imap.authenticationMethod", "oauth2".to_owned()),
            ("cmsbs.mail.imap.oauth2.accessTokenUri", server("UM_TEST_TOKEN_URI")),
            ("cmsbs.mail.imap.oauth2.clientId", client_id.clone()),
            ("cmsbs.mail.imap.oauth2.clientSecret", server("UM_TEST_SECRET")),
            ("cmsbs.mail.imap.oauth2.scope", "https://outlook.office.com/.default".to_owned()),
            ("cmsbs.mail.imap.oauth2.grantType", "client_credentials".to_owned()),
            ("cmsbs.mail.imap.oauth2.debug", "true".to_owned()),
            ("cmsbs.mail.imap.ssl.caFile", server("UM_TEST_CA")),
            ("cmsbs.lang", "en".to_owned()),
        ];
        Self {
            maildir: Path::new(&server("UM_TEST_DIR")).join("mail").join(&user),
            um_home: tempfile::tempdir().expect("a temporary directory"),
            properties: properties.map(|(key, value)| (key.to_owned(), value)).into(),
            user,
        }
    }

    /// On the server that differs from the standard one in one thing; see tests/servers/README.md.
    pub fn speaking(dialect: &str) -> Self {
        Self::new().with("cmsbs.mail.imap.port", &server(&format!("UM_TEST_IMAP_PORT_{dialect}")))
    }

    pub fn with(mut self, key: &str, value: &str) -> Self {
        self = self.without(key);
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, key: &str) -> Self {
        self.properties.retain(|(existing, _)| existing != key);
        self
    }

    /// With a password instead of tokens.
    pub fn with_password(self) -> Self {
        let oauth2 = ["accessTokenUri", "clientId", "clientSecret", "scope", "grantType", "debug"];
        let account = oauth2
            .iter()
            .fold(self, |account, key| account.without(&format!("cmsbs.mail.imap.oauth2.{key}")));
        account
            .with("cmsbs.mail.imap.authenticationMethod", "plain")
            .with("cmsbs.mail.imap.password", &server("UM_TEST_PASSWORD"))
    }

    /// The inbox, with `mails` as its unread ones. Their UIDs are 1, 2, 3 …
    pub fn with_mails<T: AsRef<[u8]>>(self, mails: &[T]) -> Self {
        self.fill("", None, mails);
        self
    }

    /// Puts mails into a folder as it is called on disk (`.debug`; empty: the inbox). `flags` is that of Maildir; `None`:
    /// new to the server.
    pub fn fill<T: AsRef<[u8]>>(&self, folder: &str, flags: Option<&str>, mails: &[T]) {
        let directory = self.maildir.join(folder);
        for part in ["", "cur", "new", "tmp"] {
            let part = directory.join(part);
            if !part.is_dir() {
                fs::create_dir_all(&part).expect("a Maildir can be made");
                self.give(&part);
            }
        }
        self.give(&self.maildir);
        let present = self.paths(folder).len();
        for (number, mail) in mails.iter().enumerate() {
            let time = FIRST_TIME + (present + number) as u64;
            let name = format!("{time}.M{number}P1.test");
            let path = match flags {
                None => directory.join("new").join(name),
                Some(flags) => directory.join("cur").join(format!("{name}:2,{flags}")),
            };
            let file = fs::File::create(&path).expect("a mail can be made");
            fs::write(&path, mail).expect("a mail can be written");
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(time)).expect("a time");
            self.give(&path);
        }
    }

    /// UM_HOME with the properties as they are now.
    pub fn um_home(&self) -> &Path {
        let mut text = String::new();
        for (key, value) in &self.properties {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            text.push_str(&format!("{key} = \"{value}\"\n"));
        }
        // The encoding of UM's files.
        let latin1: Vec<u8> = text.chars().map(|c| u8::try_from(c).expect("ISO-8859-1")).collect();
        let directory = self.um_home.path().join("cmsbs-conf");
        fs::create_dir_all(&directory).expect("cmsbs-conf can be made");
        fs::create_dir_all(self.um_home.path().join("cmsbs-work")).expect("cmsbs-work can be made");
        let file = directory.join("cmsbs.properties");
        fs::write(&file, latin1).expect("cmsbs.properties can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("a mode");
        self.um_home.path()
    }

    pub fn open(&self) -> Opened {
        self.try_open(Access::ReadWrite).expect("the mailbox can be opened")
    }

    pub fn try_open(&self, access: Access) -> Result<Opened> {
        self.open_within(Times::default(), access)
    }

    /// With other limits on time than the product has.
    pub fn open_within(&self, times: Times, access: Access) -> Result<Opened> {
        Self::open_home(self.um_home(), times, access)
    }

    /// The mailbox that the properties in `um_home` describe.
    pub fn open_home(um_home: &Path, times: Times, access: Access) -> Result<Opened> {
        let config = config::from_um_home(um_home, None, &|_| None)?.config;
        let trust = Trust::new(Anchors::platform(), config.ca_file.as_deref())?;
        let log = Log::default();
        let parts = Parts { times, ..Parts::of(&config, access) };
        Ok(Opened { mailbox: Mailbox::open_with(parts, config, trust, access, log.clone())?, log })
    }

    /// What a fetch fails with.
    pub fn failure(&self) -> Failure {
        let opened = match self.try_open(Access::ReadWrite) {
            Ok(opened) => opened,
            Err(failure) => return failure,
        };
        let failure = opened.fetch().and_then(|fetch| opened.next(fetch).map(drop)).expect_err("a failure");
        self.holds_no_secret(&format!("{failure} {failure:?} {}", opened.said().join("\n")));
        failure
    }

    /// Of the servers' secrets none is in `text`.
    #[track_caller]
    pub fn holds_no_secret(&self, text: &str) {
        let mut secrets = vec![server("UM_TEST_SECRET"), server("UM_TEST_PASSWORD")];
        secrets.push(form_encoded(&secrets[0]));
        // The beginning of each JSON Web Token.
        secrets.push("eyJ".to_owned());
        for secret in secrets {
            assert!(!text.contains(&secret), "{secret} is in: {text}");
        }
    }

    /// The mails in a folder on disk, in the order of their names.
    pub fn on_disk(&self, folder: &str) -> Vec<OnDisk> {
        loop {
            let mut paths = self.paths(folder);
            paths.sort_by_key(|path| name(path));
            let mails: Option<_> = paths.iter().map(|path| OnDisk::of(path)).collect();
            // The server may be moving them about.
            if let Some(mails) = mails {
                return mails;
            }
        }
    }

    /// The folders that hold mail on disk (empty: the inbox), and the mails in each, as they are served and sorted.
    pub fn folders(&self) -> BTreeMap<String, Vec<Vec<u8>>> {
        let mut folders = BTreeMap::new();
        for folder in self.folder_names().into_iter().chain([String::new()]) {
            let mut mails: Vec<_> = self.on_disk(&folder).iter().map(OnDisk::served).collect();
            mails.sort();
            if !mails.is_empty() {
                folders.insert(folder, mails);
            }
        }
        folders
    }

    /// The folders beside the inbox, as they are called on disk.
    pub fn folder_names(&self) -> Vec<String> {
        let names = children(&self.maildir).into_iter().filter(|path| path.is_dir()).map(|path| name(&path));
        let mut names: Vec<_> = names.filter(|name| name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// The path of every mail on disk.
    pub fn mail_paths(&self) -> Vec<PathBuf> {
        let folders = self.folder_names().into_iter().chain([String::new()]);
        let mut paths: Vec<_> = folders.flat_map(|folder| self.paths(&folder)).collect();
        paths.sort();
        paths
    }

    fn paths(&self, folder: &str) -> Vec<PathBuf> {
        let directory = self.maildir.join(folder);
        ["cur", "new"].into_iter().flat_map(|part| children(&directory.join(part))).collect()
    }

    /// Under root, Dovecot works as the owner of the directory that holds the mailboxes.
    fn give(&self, path: &Path) {
        let mail = self.maildir.parent().expect("a Maildir is in a directory");
        let owner = fs::metadata(mail).expect("UM_TEST_DIR/mail");
        if fs::metadata(path).expect("what was just made").uid() != owner.uid() {
            chown(path, Some(owner.uid()), Some(owner.gid())).expect("root may give away");
        }
    }
}

/// A mailbox and what it has to say.
pub struct Opened {
    pub mailbox: Mailbox,
    pub log: Log,
}

impl Opened {
    /// Fetches everything.
    #[track_caller]
    pub fn read(&self) -> Vec<Mail> {
        let fetch = self.fetch().expect("a fetch");
        self.rest_of(fetch)
    }

    /// What is left of a fetch.
    #[track_caller]
    pub fn rest_of(&self, fetch: FetchId) -> Vec<Mail> {
        std::iter::from_fn(|| self.one_of(fetch)).collect()
    }

    #[track_caller]
    pub fn one_of(&self, fetch: FetchId) -> Option<Mail> {
        let message = self.next(fetch).expect("a mail or the end")?;
        let in_file = matches!(message.body, um_imap_oauth2::mailbox::Body::File(..));
        Some(Mail {
            id: message.id,
            received: message.received_millis,
            flags: message.flags,
            octets: message.body.into_bytes().expect("a body can be read"),
            in_file,
        })
    }

    /// Settles each mail of a fetch as `outcome` says, and tells the server.
    #[track_caller]
    pub fn settle_all(&self, outcome: impl Fn(&Mail) -> Outcome) {
        for mail in self.read() {
            assert!(self.settle(mail.id, outcome(&mail)).expect("it can be settled"));
        }
        self.flush().expect("the server does it");
    }

    /// Everything that was said since the last time, with its level.
    pub fn said(&self) -> Vec<String> {
        self.log.take().into_iter().map(|record| format!("{:?}: {}", record.level, record.text)).collect()
    }

    pub fn warnings(&self) -> Vec<String> {
        let records = self.log.take().into_iter().filter(|record| record.level >= Level::Warning);
        records.map(|record| record.text).collect()
    }
}

impl Deref for Opened {
    type Target = Mailbox;

    fn deref(&self) -> &Mailbox {
        &self.mailbox
    }
}

/// A mail as the mailbox hands it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub id: MessageId,
    pub flags: Vec<String>,
    pub received: Option<i64>,
    pub octets: Vec<u8>,
    /// It came in a temporary file.
    pub in_file: bool,
}

/// A mail in a Maildir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDisk {
    pub octets: Vec<u8>,
    /// Maildir's: `S` seen, `T` deleted.
    pub flags: String,
}

impl OnDisk {
    /// `None`: it is not there any more.
    fn of(path: &Path) -> Option<Self> {
        let name = name(path);
        let flags = name.split_once(":2,").map(|(_, flags)| flags.to_owned()).unwrap_or_default();
        match fs::read(path) {
            Ok(octets) => Some(Self { octets, flags }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    pub fn served(&self) -> Vec<u8> {
        as_served(&self.octets)
    }
}

/// What Dovecot 2.3 sends for a file: a lone LF as CRLF, NUL as 0x80 (RFC 9051 §4.3), all else as it is.
pub fn as_served(file: &[u8]) -> Vec<u8> {
    let mut served = Vec::with_capacity(file.len() + file.len() / 32);
    let mut before = 0;
    for &octet in file {
        if octet == b'\n' && before != b'\r' {
            served.push(b'\r');
        }
        served.push(if octet == 0 { 0x80 } else { octet });
        before = octet;
    }
    served
}

/// The project's own mails, then the real ones where there are some, in the order of their names.
pub fn corpus() -> Vec<Vec<u8>> {
    let mut mails = mails_in(&server("UM_TEST_CORPUS"));
    assert!(mails.len() >= 600, "only {} mails in UM_TEST_CORPUS", mails.len());
    if let Ok(real) = std::env::var("UM_TEST_REAL_BOUNCES") {
        mails.extend(mails_in(&real));
    }
    mails
}

pub fn mails_in(directory: &str) -> Vec<Vec<u8>> {
    let mut paths = children(Path::new(directory));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a mail of the corpus")).collect()
}

/// Small mails that can be told apart.
pub fn mails(count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| format!("Subject: {number}\r\nMessage-ID: <{number}@example.net>\r\n\r\n{number}\r\n"))
        .collect()
}

/// What `with-servers` tells.
pub fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `make test`, or `tests/servers/with-servers cargo test`")
    })
}

pub fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.expect("a directory entry").path()).collect()
}

/// Every file and directory below one.
pub fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for path in children(&directory) {
            if path.is_dir() {
                directories.push(path.clone());
            }
            all.push(path);
        }
    }
    all.sort();
    all
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn guid() -> String {
    let random = || RandomState::new().hash_one(());
    let hex = format!("{:016x}{:016x}", random(), random());
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// `application/x-www-form-urlencoded`
fn form_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|octet| match octet {
        b' ' => "+".to_owned(),
        octet if octet.is_ascii_alphanumeric() || b"*-._".contains(&octet) => char::from(octet).to_string(),
        octet => format!("%{octet:02X}"),
    });
    encoded.collect()
}

/// Dovecot gives UIDs in the order of the times in the names.
pub const FIRST_TIME: u64 = 1_760_000_000;
