//! The engine and the command line against a real IMAP server and a real token endpoint: `make test`, or
//! `tests/servers/with-servers cargo test --test real_servers`.

#![cfg(unix)]

mod check;
mod command_line;
mod connections;
mod cut_everywhere;
mod failures;
mod folders;
mod health;
mod journal;
mod kills;
mod reading;
mod rotation;
mod secrets;
mod settling;
mod support;
