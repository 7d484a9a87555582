//! Every entry of the catalogue of explanations, from the bytes that a server sends to what the command line and the Java
//! wrapper say, in English and in German. `cases.toml` has the cases.

#![cfg(target_os = "linux")]

mod driver;
mod german;
mod peer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use um_imap_oauth2::config::{self, Language};
use um_imap_oauth2::imap::limits::Times;
use um_imap_oauth2::log::Log;
use um_imap_oauth2::mailbox::{Access, Mailbox, Parts};
use um_imap_oauth2::net::{Anchors, Trust};
use um_imap_oauth2::text::{Entry, entries};
use um_standin::scenario::USER;
use um_standin::{Scenario, Standin};

use driver::Driver;
use peer::Peer;

#[test]
fn every_entry_is_produced_or_cannot_be() {
    let Cases { case, not_here } = cases();
    let produced: BTreeSet<_> = case.iter().map(|case| case.id.as_str()).collect();
    let excused: BTreeSet<_> = not_here.iter().map(|entry| entry.id.as_str()).collect();
    assert!(not_here.iter().all(|entry| !entry.reason.is_empty()));
    assert!(case.iter().flat_map(|case| &case.said).all(|said| !said.from.is_empty()));
    assert_eq!(produced.intersection(&excused).collect::<Vec<_>>(), [] as [&&str; 0]);
    let all: BTreeSet<_> = entries().iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(produced.union(&excused).copied().collect::<BTreeSet<_>>(), all);
}

#[test]
fn check_and_java_name_the_cause_of_every_entry() {
    let only = std::env::var("UM_TEST_ENTRY").ok();
    let cases = cases().case;
    let namespaces = namespaces();
    if !namespaces {
        eprintln!("no namespaces can be made here (unshare, ip): what needs them is left out");
    }
    let possible = |run: &Run| namespaces || run.case.inside.is_none();
    let wanted = |run: &Run| only.as_ref().is_none_or(|id| run.case.id == *id);
    let mut runs: Vec<_> =
        cases.iter().flat_map(Case::runs).filter(|[run, _]| possible(run) && wanted(run)).collect();
    // A JVM of its own takes the longest, so they are not the last to begin.
    runs.sort_by_key(|[run, _]| run.case.inside.is_some());
    let runs = Mutex::new(runs);
    let java = Driver::start(None);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = runs.lock().unwrap().pop();
                    // One after the other: a JVM opens a mailbox once.
                    let Some(languages) = next else { break };
                    for run in languages {
                        for (who, result) in run.go(&java) {
                            if let Err(problem) = result {
                                failed.lock().unwrap().push(run.failed(who, &problem));
                            }
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
    not_here: Vec<NotHere>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotHere {
    id: String,
    reason: String,
}

/// The members are explained in `cases.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    #[serde(default)]
    token: Vec<Answer>,
    /// Where the texts of `token` come from.
    #[serde(default)]
    #[allow(dead_code)]
    from: String,
    #[serde(default)]
    said: Vec<Said>,
    #[serde(default = "authenticate")]
    at: String,
    #[serde(default)]
    faults: Vec<String>,
    #[serde(default = "nothing")]
    standin: String,
    peer: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    inside: Option<String>,
    #[serde(default)]
    alone: bool,
    #[serde(default)]
    check: String,
    no_check: Option<String>,
    #[serde(default = "fetch")]
    java: String,
    no_java: Option<String>,
    #[serde(default)]
    own_jvm: bool,
    #[serde(default)]
    at_exchange: bool,
    limit_ms: Option<u64>,
}

/// A text that a server has sent, and who has reported it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    text: String,
    from: String,
}

/// What the token endpoint answers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Entra(String),
    Http { status: u16, headers: BTreeMap<String, String>, body: String },
}

fn cases() -> Cases {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogue/cases.toml");
    toml::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn nothing() -> String {
    "{}".to_owned()
}

fn authenticate() -> String {
    "AUTHENTICATE".to_owned()
}

fn fetch() -> String {
    "fetch".to_owned()
}

impl Case {
    /// Each in both languages.
    fn runs(&self) -> Vec<[Run<'_>; 2]> {
        let run = Run { case: self, answer: None, said: None, language: Language::English };
        let answers = self.token.iter().map(|answer| Run { answer: Some(answer), ..run });
        let said = self.said.iter().map(|said| Run { said: Some(said), ..run });
        let runs: Vec<_> = answers.chain(said).collect();
        let runs = if runs.is_empty() { vec![run] } else { runs };
        runs.into_iter().map(|run| [run, Run { language: Language::German, ..run }]).collect()
    }

    fn entry(&self) -> &'static Entry {
        entries().iter().find(|entry| entry.id == self.id).unwrap()
    }
}

#[derive(Clone, Copy)]
struct Run<'a> {
    case: &'a Case,
    answer: Option<&'a Answer>,
    said: Option<&'a Said>,
    language: Language,
}

/// What is observed must be this case's.
type Outcome = Result<(), String>;

impl Run<'_> {
    fn failed(&self, who: &str, problem: &str) -> String {
        let said = self.said.map(|said| format!(" ({}, from {})", said.text, said.from));
        let said = said.unwrap_or_default();
        format!("{} by {who} in {:?}{said}: {problem}", self.case.id, self.language)
    }

    fn go(&self, java: &Driver) -> Vec<(&'static str, Outcome)> {
        let case = self.case;
        if let Some(limit) = case.limit_ms {
            return vec![("the library", self.by_the_library(Duration::from_millis(limit)))];
        }
        let mut results = Vec::new();
        if case.no_check.is_none() {
            results.push(("check", self.by_check()));
        }
        if case.no_java.is_none() {
            results.push(("Java", self.by_java(java)));
        }
        assert!(!results.is_empty(), "{} is tested by nobody", case.id);
        results
    }

    fn by_check(&self) -> Outcome {
        let place = Place::new(self);
        let warning = self.case.check == "warning";
        let mut command = self.inside(&place, env!("CARGO_BIN_EXE_um-imap-oauth2"));
        command.args(["check", "--json", "--um-home"]).arg(place.um_home.path());
        command.args(self.case.check.split(' ').filter(|argument| argument.starts_with('-')));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let json: Value = serde_json::from_str(&text)
            .map_err(|_| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
        let steps = json["mailboxes"][0]["steps"].as_array().ok_or("no steps")?;
        self.is_in_one_language(&for_people(steps))?;
        if warning {
            let warnings: Vec<_> = steps.iter().map(|step| step["warnings"].to_string()).collect();
            return match warnings.iter().any(|warning| self.is_caused(warning)) {
                true => Ok(()),
                false => Err(format!("{warnings:?}")),
            };
        }
        let failure = steps.iter().map(|step| &step["failure"]).find(|failure| failure.is_object());
        let failure = failure.ok_or_else(|| format!("nothing failed: {text}"))?;
        self.is_it(failure["id"].as_str(), failure["cause"].as_str(), failure)
    }

    fn by_java(&self, java: &Driver) -> Outcome {
        let place = Place::new(self);
        let own = self.case.inside.is_some() || self.case.own_jvm;
        let own = own.then(|| Driver::start(Some(self.inside(&place, "java"))));
        let seen = own.as_ref().unwrap_or(java).ask(&self.case.java, place.um_home.path());
        self.is_in_one_language(&seen.text)?;
        self.is_it(Some(&seen.id), Some(&seen.cause), &seen.text)
    }

    fn by_the_library(&self, opening: Duration) -> Outcome {
        let place = Place::new(self);
        let nobody = |_: &str| None;
        let loaded = config::from_um_home_in(Some(self.language), place.um_home.path(), None, &nobody);
        let config = loaded.map_err(|failure| failure.to_string())?.config;
        let trust =
            Trust::new(Anchors::given(Vec::new()), config.ca_file.as_deref()).map_err(|f| f.to_string())?;
        let times = Times { opening, ..Times::default() };
        let access = Access::ReadWrite;
        let parts = Parts { times, ..Parts::of(&config, access) };
        let mailbox = Mailbox::open_with(parts, config, trust, access, Log::default());
        let failure = mailbox.and_then(|mailbox| mailbox.fetch()).err().ok_or("it worked")?;
        self.is_in_one_language(&failure.to_string())?;
        self.is_it(failure.id.as_deref(), Some(&failure.cause), &failure)
    }

    fn is_it(&self, id: Option<&str>, cause: Option<&str>, seen: &dyn std::fmt::Display) -> Outcome {
        if id == Some(self.case.id.as_str()) && cause.is_some_and(|cause| self.is_caused(cause)) {
            return Ok(());
        }
        Err(format!("{} instead of: {:#}", id.unwrap_or("nothing known"), seen))
    }

    fn is_in_one_language(&self, text: &str) -> Outcome {
        let english = match self.language {
            Language::English => Vec::new(),
            Language::German => german::english(text),
        };
        if english.is_empty() { Ok(()) } else { Err(format!("English: {english:?} in {text}")) }
    }

    /// Whether the entry's own words are in `text`, whatever its holes are filled with.
    fn is_caused(&self, text: &str) -> bool {
        let text = text.replace("\\\"", "\"");
        let mut rest = text.as_str();
        let words = self.case.entry().text(self.language).cause.clone();
        words.split('{').map(|part| part.split_once('}').map_or(part, |(_, words)| words)).all(|words| {
            let words = words.trim();
            match rest.find(words) {
                Some(at) => {
                    rest = &rest[at + words.len()..];
                    true
                }
                None => false,
            }
        })
    }

    /// The program, in the surroundings that the case needs.
    fn inside(&self, place: &Place, program: &str) -> Command {
        let mut command = match &self.case.inside {
            None => Command::new(program),
            Some(before) => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-root-user", "--mount"]);
                command.args(self.case.alone.then_some("--net"));
                command.args([
                    "sh",
                    "-ec",
                    &format!("{}; exec \"$0\" \"$@\"", place.filled(before)),
                    program,
                ]);
                command
            }
        };
        for variable in
            ["LC_ALL", "LC_MESSAGES", "LANG", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"]
        {
            command.env_remove(variable);
        }
        command
    }
}

/// What a run has for itself: a stand-in and perhaps another peer, and a UM_HOME whose properties lead there.
struct Place {
    standin: Standin,
    peer: Option<Peer>,
    scratch: TempDir,
    um_home: TempDir,
}

impl Place {
    fn new(run: &Run) -> Self {
        let case = run.case;
        let standin = standin_of_its_own(run);
        let scratch = tempfile::tempdir().unwrap();
        let tunnel = case.at_exchange.then(|| "tunnel".to_owned());
        let peer = case
            .peer
            .as_ref()
            .or(tunnel.as_ref())
            .map(|peer| Peer::start(peer, standin.imap_port(), scratch.path()));
        let place = Self { standin, peer, scratch, um_home: tempfile::tempdir().unwrap() };
        for (name, content) in &case.files {
            fs::write(place.scratch.path().join(name), content).unwrap();
        }
        let conf = place.um_home.path().join("cmsbs-conf");
        fs::create_dir_all(&conf).unwrap();
        fs::create_dir_all(place.um_home.path().join("cmsbs-work")).unwrap();
        let file = conf.join("cmsbs.properties");
        fs::write(&file, place.properties(run)).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        // Whoever trusts the peer's certificate trusts the stand-in's, too.
        if let Ok(mut trusted) =
            fs::OpenOptions::new().append(true).open(place.scratch.path().join("peer.pem"))
        {
            trusted.write_all(place.standin.ca_pem().as_bytes()).unwrap();
        }
        place
    }

    fn properties(&self, run: &Run) -> String {
        let written = |key: &str| {
            let prefix = if key.starts_with("cmsbs.") { "" } else { "cmsbs.mail.imap." };
            format!("{prefix}{key}")
        };
        let mut properties = self.standin.properties();
        // So that what passes is not waited for.
        properties.insert(written("fetch.patience"), "1s".to_owned());
        properties.insert("cmsbs.bounce.processAll".to_owned(), "true".to_owned());
        if run.case.at_exchange {
            // The tunnel leads there whatever the port is, and no other mailbox of the JVM has the same one.
            let exchange = [
                ("server", "outlook.office365.com"),
                ("port", "{port}"),
                ("proxy", "http://127.0.0.1:{port}/"),
            ];
            properties.extend(exchange.map(|(key, value)| (written(key), self.filled(value))));
        }
        let language = if run.language == Language::English { "en" } else { "de" };
        properties.insert("cmsbs.lang".to_owned(), language.to_owned());
        properties.extend(run.case.set.iter().map(|(key, value)| (written(key), self.filled(value))));
        let line = |(key, value): (&String, &String)| format!("{key} = \"{value}\"\n");
        properties.iter().map(line).collect()
    }

    fn filled(&self, text: &str) -> String {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/src/token/fixtures");
        let tomorrow = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).date_naive();
        let tomorrow = tomorrow + chrono::TimeDelta::days(1);
        let port = self.peer.as_ref().map_or(0, |peer| peer.port);
        text.replace("{fixtures}", fixtures)
            .replace("{scratch}", &self.scratch.path().display().to_string())
            .replace("{port}", &port.to_string())
            .replace("{tomorrow}", &tomorrow.to_string())
            .replace("{token_host}", &format!("https://localhost:{}", self.standin.token_port()))
    }
}

/// Starts a stand-in on ports that no other had before: a JVM keeps tokens and what it knows of a mailbox by host and port,
/// and the system gives a port out again.
fn standin_of_its_own(run: &Run) -> Standin {
    static PORTS: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let standin = Standin::start(scenario(run)).unwrap();
        let mut ports = PORTS.lock().unwrap();
        let used = [standin.imap_port(), standin.token_port()].map(|port| !ports.insert(port));
        if used == [false, false] {
            return standin;
        }
    }
}

/// The case's own members over those of a mailbox with one mail in it.
fn scenario(run: &Run) -> Scenario {
    let inbox = json!({"name": "INBOX", "mails": [{"text": "Subject: a\n\nb\n"}]});
    let mut scenario = json!({"mailboxes": [{"user": USER, "folders": [inbox]}]});
    let own: Value = serde_json::from_str(&run.case.standin).unwrap();
    scenario.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    let long = "x".repeat(1 << 20);
    let fault = |fault: &String| serde_json::from_str(&fault.replace("{megabyte}", &long)).unwrap();
    let mut faults: Vec<Value> = run.case.faults.iter().map(fault).collect();
    faults.extend(
        run.answer.map(|answer| json!({"on": "token", "times": 0, "do": [{"respond": answer.response()}]})),
    );
    faults.extend(run.said.into_iter().flat_map(|said| said.faults(&run.case.at)));
    scenario["faults"] = faults.into();
    serde_json::from_value(scenario).unwrap()
}

impl Said {
    /// The command is answered with the text, whose lines a `|` separates, with a tag in those that begin with none.
    fn faults(&self, at: &str) -> Vec<Value> {
        let line = |line: &str| match line.starts_with(['*', '+']) || at == "greeting" {
            true => format!("{line}\r\n"),
            false => format!("{{tag}} {line}\r\n"),
        };
        let text: String = self.text.split('|').map(line).collect();
        let ends = self.text.contains("* BYE");
        let actions = if ends { json!([{"send": text}, "close"]) } else { json!([{"send": text}]) };
        let fault = |at: &str| json!({"on": at, "times": 0, "do": actions});
        match at {
            "SELECT" => vec![fault("SELECT"), fault("EXAMINE")],
            at => vec![fault(at)],
        }
    }
}

impl Answer {
    fn response(&self) -> Value {
        match self {
            Answer::Http { status, headers, body } => {
                json!({"status": status, "headers": headers, "body": body})
            }
            Answer::Entra(text) => {
                let (head, text) = text.split_once(": ").unwrap();
                let [status, error, code @ ..] = &head.split(' ').collect::<Vec<_>>()[..] else {
                    panic!("{head}")
                };
                let status: u16 = status.parse().unwrap();
                let Some(code) = code.first() else {
                    return json!({"status": status, "body": {"error": error}});
                };
                let ids = ("8e0f3c5d-2b1a-4d6f-9e7c-000000000001", "8e0f3c5d-2b1a-4d6f-9e7c-000000000002");
                let time = "2026-01-01 03:00:00Z";
                // Nobody is to wait for it within a call.
                let headers = if status == 429 { json!({"Retry-After": "3600"}) } else { json!({}) };
                json!({"status": status, "headers": headers, "body": {
                    "error": error,
                    "error_description": format!(
                        "AADSTS{code}: {text} Trace ID: {} Correlation ID: {} Timestamp: {time}", ids.0, ids.1
                    ),
                    "error_codes": [code.parse::<u32>().unwrap()],
                    "timestamp": time,
                    "trace_id": ids.0,
                    "correlation_id": ids.1,
                    "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
                }})
            }
        }
    }
}

/// What of the steps of `check` is for people.
fn for_people(steps: &[Value]) -> String {
    let mut texts = Vec::new();
    for step in steps {
        let failure = &step["failure"];
        texts.extend([&step["title"], &failure["observed"], &failure["cause"], &failure["remedy"]]);
        texts.extend([&step["seen"], &step["warnings"]].into_iter().filter_map(Value::as_array).flatten());
    }
    texts.into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// Whether this user of this machine may make what `inside` needs. In many containers nobody may.
fn namespaces() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["--user", "--map-root-user", "--mount", "--net", "ip", "link", "set", "lo", "up"]);
    probe.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Most of a run is waiting.
const AT_A_TIME: usize = 8;
