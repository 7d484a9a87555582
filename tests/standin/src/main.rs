//! `um-standin [SCENARIO.json]`: starts a stand-in, prints where it is as one line of JSON, and runs until its standard input
//! is closed. Lines of standard input are requests; README.md lists them.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};
use um_standin::{Change, From, Scenario, Standin};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("um-standin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> std::io::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let scenario = match &arguments[..] {
        [] => Scenario::default(),
        [help] if help == "--help" || help == "-h" => {
            print!("{HELP}");
            return Ok(());
        }
        [path] if !path.as_encoded_bytes().starts_with(b"-") => Scenario::from_file(Path::new(path))?,
        _ => return Err(std::io::Error::other(format!("one scenario at most, and no options\n{HELP}"))),
    };
    let users: Vec<String> = scenario.mailboxes.iter().map(|mailbox| mailbox.user.clone()).collect();
    let credentials: Vec<Value> = scenario
        .clients
        .iter()
        .map(|client| json!({"id": client.id, "secret": client.secrets.first()}))
        .collect();
    let standin = Standin::start(scenario)?;
    print(&json!({
        "host": standin.host(),
        "imap_port": standin.imap_port(),
        "starttls_port": standin.starttls_port(),
        "token_port": standin.token_port(),
        "token_uri": standin.token_uri(),
        "ca_file": standin.ca_pem_path(),
        "clients": credentials,
        "users": users,
    }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match serde_json::from_str(&line) {
            Ok(request) => answer(&standin, &users, request),
            Err(error) => json!({"error": error.to_string()}),
        };
        print(&answer)?;
    }
    Ok(())
}

const HELP: &str = "\
Usage: um-standin [SCENARIO.json]

Starts a stand-in for Entra ID and Exchange Online, prints where it is as one line of JSON, and runs until its standard input
is closed. tests/standin/README.md tells what a scenario can hold and what can be asked.
";

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Folders,
    Counters,
    Transcript,
    Mails { user: String, folder: String },
    Mail { user: String, folder: String, uid: u32 },
    Change(Change),
    Fault(Value),
    DropConnections,
}

fn answer(standin: &Standin, users: &[String], request: Request) -> Value {
    match request {
        Request::Folders => users.iter().map(|user| (user.clone(), folders(standin, user))).collect(),
        Request::Counters => counters(standin),
        Request::Transcript => standin
            .transcript()
            .into_iter()
            .map(|line| {
                let from = if line.from == From::Client { "C" } else { "S" };
                json!({"connection": line.connection, "ms": line.at.as_millis() as u64, "from": from, "text": line.text})
            })
            .collect(),
        Request::Mails { user, folder } => {
            let uids = standin.uids(&user, &folder);
            json!({"uid_validity": standin.uid_validity(&user, &folder), "uids": uids})
        }
        Request::Mail { user, folder, uid } => match standin.mail(&user, &folder, uid) {
            Some(mail) => json!({
                "uid": mail.uid,
                "flags": mail.flags,
                "internal_date": mail.internal_date,
                "base64": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mail.bytes),
            }),
            None => Value::Null,
        },
        Request::Change(change) => {
            standin.change(&change);
            json!({})
        }
        Request::Fault(fault) => {
            if let Err(error) = serde_json::from_value::<um_standin::Fault>(fault.clone()) {
                return json!({"error": error.to_string()});
            }
            standin.add_fault(fault);
            json!({})
        }
        Request::DropConnections => {
            standin.drop_connections();
            json!({})
        }
    }
}

/// Returns the folders of a mailbox with the number of mails in each.
fn folders(standin: &Standin, user: &str) -> Value {
    let counted = |folder: String| {
        let count = standin.count(user, &folder);
        (folder, json!(count))
    };
    standin.folders(user).into_iter().map(counted).collect()
}

fn counters(standin: &Standin) -> Value {
    let counters = standin.counters();
    json!({
        "connections": counters.connections,
        "token_connections": counters.token_connections,
        "token_requests": counters.token_requests,
        "tokens_issued": counters.tokens_issued,
        "logins": counters.logins,
        "refused_logins": counters.refused_logins,
        "commands": counters.commands,
    })
}

fn print(value: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
