//! Reads a bounce mailbox for Universal Messenger: OAuth2 access tokens by the client-credentials grant, IMAP with SASL XOAUTH2.
//!
//! Data goes one way, and a module uses only modules before it:
//!
//! | module | from → to |
//! | --- | --- |
//! | [`text`] | every sentence that a user sees; failures → cause and remedy |
//! | [`config`] | UM's files and keys → `MailboxConfig` |
//! | [`net`] | deadline, cancellation, TLS → a `Stream` |
//! | [`token`] | client credentials → an `AccessToken`, cached for the whole process |
//! | [`imap`] | a `Stream` → a session with a selected inbox, and its commands |
//! | [`engine`] | the rules: what has happened → what is to be done. No thread, socket, file, lock or clock |
//! | [`workdir`] | the mailbox directory: lock, journal, `status.json` |
//! | [`mailbox`] | the public API, and the threads that do what the engine wants |
//! | [`check`] | the step-by-step test of a mailbox |
//!
//! This API serves the command line and the Java wrapper. It is not stable.

pub mod check;
pub mod config;
pub mod engine;
pub mod failure;
pub mod imap;
pub mod jni;
pub mod log;
pub mod mailbox;
pub mod net;
pub mod sanitize;
pub mod text;
pub mod token;
pub mod words;
pub mod workdir;
