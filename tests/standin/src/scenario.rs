//! What a stand-in is to be: a tenant, its mailboxes, the dialect of the server, and the faults. Plain data, readable as JSON
//! (README.md describes the format with an example of each fault).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// The application (client) ID that a default scenario knows.
pub const CLIENT_ID: &str = "5a7d1c3e-0b42-4f6e-9c11-2d8e6f304a10";
/// Its secret: shaped like Entra's, with characters that a form must percent-encode.
pub const CLIENT_SECRET: &str = "s3cr~t/+=&% %Q8";
/// The tenant that a default scenario has.
pub const TENANT: &str = "0f9c2b7a-6d1e-4c58-8e5b-93a4d7c61f02";
/// The mailbox that a default scenario has.
pub const USER: &str = "bounces@example.com";

/// A tenant with its mailboxes and what goes wrong in it. The default is one that works: one client, one empty mailbox.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// The tenant's id, as it stands in the token URL.
    pub tenant: String,
    /// Further names of the tenant that the token URL may carry.
    pub tenant_names: Vec<String>,
    pub clients: Vec<Client>,
    pub token: Token,
    pub mailboxes: Vec<Mailbox>,
    pub dialect: Dialect,
    pub tls: Tls,
    pub faults: Vec<Fault>,
}

/// An app registration and what Exchange knows of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    pub id: String,
    /// The secrets that are good.
    pub secrets: Vec<String>,
    /// Secrets that were good once (`AADSTS7000222`).
    pub expired_secrets: Vec<String>,
    /// `x5t` or `x5t#S256` of the certificates that were uploaded. None: any assertion of the right shape is good.
    pub thumbprints: Option<Vec<String>>,
    /// The issuers whose assertions are taken as a federated credential.
    pub federated_issuers: Vec<String>,
    /// What a token says in `roles`.
    pub roles: Vec<String>,
    /// Whether Exchange has a service principal for it (`New-ServicePrincipal`).
    pub service_principal: bool,
}

/// How tokens are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Token {
    /// How long a token is good, in seconds. Entra's is a random 60 to 90 minutes.
    pub lifetime_seconds: u64,
    /// What the answer says in `expires_in`: any JSON; null leaves it out; "lifetime" (the default) is the truth.
    pub expires_in: Value,
    /// What the answer says in `refresh_in`, in seconds.
    pub refresh_in: Option<u64>,
    /// How far the endpoint's clock is ahead, in seconds (`Date`, `iat`, `timestamp`).
    pub clock_offset_seconds: i64,
    /// How many octets of filler the token carries, to make it as long as real ones.
    pub filler: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mailbox {
    pub user: String,
    /// Whoever may log in with a password (`LOGIN`, `AUTHENTICATE PLAIN`). None: basic authentication is blocked.
    pub password: Option<String>,
    /// The client ids that have a permission on it (`Add-MailboxPermission`). None: every client.
    pub permitted: Option<Vec<String>>,
    /// `Set-CASMailbox -ImapEnabled`.
    pub imap_enabled: bool,
    /// Sessions past this are "authenticated but not connected".
    pub connections: usize,
    pub uid_validity: u32,
    /// Whether it has Exchange's folders beside the ones listed (Drafts, Sent Items, …).
    pub default_folders: bool,
    pub folders: Vec<Folder>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Folder {
    /// Levels separated by `/`, whatever the dialect's separator is.
    pub name: String,
    pub uid_validity: Option<u32>,
    /// The UID of the first mail; 1 if left out.
    pub first_uid: Option<u32>,
    pub mails: Vec<Mail>,
    /// Every `*.eml` of a directory in the order of their names, after `mails`.
    pub directory: Option<PathBuf>,
    /// Mails that are made when they are asked for, after the others.
    pub generate: Option<Generate>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// The mail as text; each line end becomes CRLF.
    pub text: Option<String>,
    /// Its octets in base64.
    pub base64: Option<String>,
    /// A file with it. A LF without CR becomes CRLF, unless `exact`.
    pub file: Option<PathBuf>,
    pub exact: bool,
    /// Its octets, for scenarios that are written in Rust.
    #[serde(skip)]
    pub bytes: Option<Vec<u8>>,
    pub flags: Vec<String>,
    /// As in IMAP: `02-Jan-2026 10:00:00 +0000`.
    pub internal_date: Option<String>,
    /// The server cannot convert it: `OK FETCH completed.` without data.
    pub undeliverable: bool,
}

/// Mails that are a function of their number.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Generate {
    pub count: u32,
    /// Octets of each.
    pub size: usize,
    /// Each how many-th mail is a large one; 0: none.
    pub large_every: u32,
    pub large_size: usize,
    /// Each how many-th mail is `\Seen`; 0: none.
    pub seen_every: u32,
}

/// Where the server differs from Exchange Online.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    pub sasl_ir: bool,
    #[serde(rename = "move")]
    pub move_: bool,
    pub uidplus: bool,
    pub literal_plus: bool,
    pub idle: bool,
    pub namespace: bool,
    pub imap4rev2: bool,
    /// Between the levels of a folder's name; null: no levels.
    pub separator: Option<char>,
    /// Folders can only be made below the inbox.
    pub inbox_only: bool,
    /// `[COPYUID …]` after a MOVE as a line of its own, without `* OK`.
    pub bare_copyuid: bool,
    /// The default folders in this language: `en` or `de`.
    pub language: String,
    /// A refused XOAUTH2 gets this in a challenge first, as Google and Dovecot do it. Exchange sends none.
    pub challenge: Option<String>,
    /// Octets of a command line (literals not counted) past which it is refused.
    pub max_command_line: usize,
    /// `RFC822.SIZE` is the truth.
    pub exact_size: bool,
    /// Capabilities that are advertised as well.
    pub more_capabilities: Vec<String>,
    /// The text of the greeting.
    pub greeting: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The common name of the CA.
    pub issuer: String,
    pub imap: Certificate,
    pub token: Certificate,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    #[default]
    Valid,
    Expired,
    NotYetValid,
    /// For another host's name.
    OtherHost,
    /// Of a CA that `ca_pem` does not contain.
    UnknownIssuer,
}

/// What goes wrong: when, and what is done then.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `connect`, `greeting`, a command (`UID FETCH`), `*` (any command), `token connect`, `token`.
    pub on: String,
    /// Only commands whose line contains this, in any case.
    #[serde(default)]
    pub containing: Option<String>,
    /// Only on the how many-th connection (to this server), from 1.
    #[serde(default)]
    pub connection: Option<u32>,
    /// The how many-th time that all of the above is so, from 1.
    #[serde(default = "one")]
    pub nth: u32,
    /// How many times from then on; 0: always.
    #[serde(default = "one")]
    pub times: u32,
    /// In this order. Without `answer` or `carry_out` among them the command is not carried out.
    #[serde(rename = "do")]
    pub actions: Vec<Action>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Carry the command out and send its ordinary answer. At `connect`: go on.
    Answer,
    /// Carry the command out and send nothing.
    CarryOut,
    /// These characters, `{tag}` being the command's tag.
    Send(String),
    /// These octets.
    SendBase64(String),
    WaitMs(u64),
    /// From here on: so many octets at a time, so many milliseconds between.
    Drip {
        octets: usize,
        every_ms: u64,
    },
    /// After so many further octets: end the connection without a goodbye (FIN, no TLS close).
    CutAfter(u64),
    /// … with a RST.
    ResetAfter(u64),
    /// … or go silent and leave it open.
    StallAfter(u64),
    /// … or pause.
    WaitAfter {
        octets: u64,
        ms: u64,
    },
    /// … or change the lowest bit of the octet that follows.
    FlipAfter(u64),
    Cut,
    Reset,
    Stall,
    /// End it in order (TLS close, FIN).
    Close,
    /// In the answer that follows, within this fault: each of these texts becomes the other.
    Replace {
        find: String,
        with: String,
    },
    /// Something happens to the mailbox at this moment.
    Change(Change),
    /// Token endpoint: this HTTP answer.
    Respond {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: Value,
    },
    /// Token endpoint: the error of Entra with this code (`AADSTS7000222`).
    Refuse(String),
    /// Token endpoint: the ordinary answer, with these members of its JSON set (null removes one).
    Grant(BTreeMap<String, Value>),
    /// Token endpoint: the ordinary answer, with a token whose claims are changed so (null removes one).
    Claims(BTreeMap<String, Value>),
}

/// What others, or the server itself, do to a mailbox. Without `user`: the first one.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    Deliver {
        user: Option<String>,
        folder: String,
        mail: Mail,
    },
    /// These mails vanish: `3:5,9`.
    Expunge {
        user: Option<String>,
        folder: String,
        uids: String,
    },
    Flag {
        user: Option<String>,
        folder: String,
        uids: String,
        flag: String,
    },
    UidValidity {
        user: Option<String>,
        folder: String,
        value: u32,
    },
    DeleteFolder {
        user: Option<String>,
        folder: String,
    },
    /// Permission withdrawn, or granted.
    Permitted {
        user: Option<String>,
        clients: Option<Vec<String>>,
    },
    ImapEnabled {
        user: Option<String>,
        value: bool,
    },
    /// Every token issued so far ends now, and the sessions with it.
    ExpireTokens,
    /// The client has these secrets from now on.
    Secrets {
        client: Option<String>,
        values: Vec<String>,
    },
}

impl Scenario {
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// Reads a scenario; paths in it are relative to the file's directory.
    pub fn from_file(path: &Path) -> std::io::Result<Self> {
        let text = std::fs::read_to_string(path).map_err(named(path))?;
        let mut scenario = Self::from_json(&text).map_err(std::io::Error::other).map_err(named(path))?;
        let base = path.parent().unwrap_or(Path::new(""));
        for folder in scenario.mailboxes.iter_mut().flat_map(|mailbox| &mut mailbox.folders) {
            for path in
                folder.mails.iter_mut().filter_map(|mail| mail.file.as_mut()).chain(folder.directory.as_mut())
            {
                *path = base.join(&*path);
            }
        }
        Ok(scenario)
    }

    /// The default with these mails in the inbox, byte for byte.
    pub fn with_mails(mails: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut scenario = Self::default();
        scenario.inbox().mails.extend(mails.into_iter().map(Mail::from));
        scenario
    }

    /// The default with so many generated mails in the inbox.
    pub fn generated(count: u32) -> Self {
        let mut scenario = Self::default();
        scenario.inbox().generate = Some(Generate { count, ..Generate::default() });
        scenario
    }

    /// The first mailbox's inbox.
    ///
    /// # Panics
    /// Without a mailbox.
    pub fn inbox(&mut self) -> &mut Folder {
        let folders = &mut self.mailboxes[0].folders;
        let at = folders.iter().position(|folder| folder.name.eq_ignore_ascii_case("INBOX")).unwrap_or_else(
            || {
                folders.push(Folder { name: "INBOX".into(), ..Folder::default() });
                folders.len() - 1
            },
        );
        &mut folders[at]
    }

    /// Adds a fault, written as in a scenario file.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    pub fn with_fault(mut self, fault: Value) -> Self {
        self.faults.push(serde_json::from_value(fault).expect("a fault as README.md describes it"));
        self
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            tenant: TENANT.into(),
            tenant_names: Vec::new(),
            clients: vec![Client::default()],
            token: Token::default(),
            mailboxes: vec![Mailbox::default()],
            dialect: Dialect::default(),
            tls: Tls::default(),
            faults: Vec::new(),
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self {
            id: CLIENT_ID.into(),
            secrets: vec![CLIENT_SECRET.into()],
            expired_secrets: Vec::new(),
            thumbprints: None,
            federated_issuers: Vec::new(),
            roles: vec!["IMAP.AccessAsApp".into()],
            service_principal: true,
        }
    }
}

impl Default for Token {
    fn default() -> Self {
        Self {
            lifetime_seconds: 3599,
            expires_in: "lifetime".into(),
            refresh_in: None,
            clock_offset_seconds: 0,
            filler: 900,
        }
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            user: USER.into(),
            password: None,
            permitted: None,
            imap_enabled: true,
            connections: 16,
            uid_validity: 14,
            default_folders: true,
            folders: Vec::new(),
        }
    }
}

impl From<Vec<u8>> for Mail {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: Some(bytes), ..Self::default() }
    }
}

impl Default for Generate {
    fn default() -> Self {
        Self { count: 0, size: 5600, large_every: 0, large_size: 0, seen_every: 0 }
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            sasl_ir: true,
            move_: true,
            uidplus: true,
            literal_plus: true,
            idle: true,
            namespace: true,
            imap4rev2: false,
            separator: Some('/'),
            inbox_only: false,
            bare_copyuid: false,
            language: "en".into(),
            challenge: None,
            max_command_line: 10_240,
            exact_size: false,
            more_capabilities: Vec::new(),
            greeting: None,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            issuer: "Stand-in Root CA".into(),
            imap: Certificate::default(),
            token: Certificate::default(),
        }
    }
}

fn one() -> u32 {
    1
}

/// Which file it was that could not be read.
pub(crate) fn named(path: &Path) -> impl Fn(std::io::Error) -> std::io::Error {
    move |error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
