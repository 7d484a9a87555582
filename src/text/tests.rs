//! The explanations of failures, and the texts that they are made from.

mod explanations;
mod field_guide;
mod sources;
pub(crate) mod texts;
mod wording;

use std::time::Duration;

use once_cell::sync::Lazy;

use super::explain::*;
use super::*;
use crate::config::keys::Names;
use crate::failure::{Failure, Kind, Retry, Step};

/// Values that a real mailbox could have.
fn value(hole: &str) -> Option<String> {
    let value = match hole {
        "server" => "outlook.office365.com",
        "port" => "993",
        "user" => "bounces@example.com",
        "security" => "true",
        "authentication" => "oauth2",
        "client_id" => "11111111-2222-3333-4444-555555555555",
        "scope" => "https://outlook.office.com/.default",
        "tenant" => "66666666-7777-8888-9999-000000000000",
        "login_host" => "login.microsoftonline.com",
        "login_port" => "443",
        "ca_file" => "/etc/ca.pem",
        "work_directory" => "/um/cmsbs-work/um-imap-oauth2",
        "tmp_directory" => "/um/tmp",
        "inbox" | "folder.inbox" => "INBOX",
        "folder.debug" => "debug",
        "folder.error" => "error",
        _ => return None,
    };
    Some(value.to_owned())
}

fn circumstances(worked_before: bool) -> Circumstances<'static> {
    static PRIMARY: Lazy<Names> = Lazy::new(Names::default);
    Circumstances { language: Language::English, names: &*PRIMARY, worked_before, values: &value }
}

fn found(failure: &Failure, circumstances: &Circumstances) -> &'static str {
    catalogue::best(failure, &Scene::of(failure, circumstances)).map_or("", |entry| &entry.id)
}

/// The kind that a room gives a failure which it knows no more about.
fn usual_kind(step: Step) -> Kind {
    match step {
        Step::Configuration => Kind::Configuration,
        Step::Resolve | Step::Connect | Step::Proxy => Kind::Network,
        Step::Tls => Kind::Tls,
        Step::Token => Kind::Token,
        Step::Greeting => Kind::Network,
        Step::Login => Kind::Login,
        Step::Folders | Step::Select | Step::Search | Step::Fetch | Step::Settle => Kind::Refused,
        Step::Storage => Kind::Storage,
        Step::Call => Kind::Protocol,
    }
}
