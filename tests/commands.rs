//! The command line where the configuration, its arguments or its output are of no use: what it says, where, and how it ends.

#![cfg(target_os = "linux")]

#[path = "catalogue/german.rs"]
mod german;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tempfile::TempDir;
use um_imap_oauth2::text::{Id, Language, entries};
use um_standin::Standin;
use um_standin::scenario::USER;

#[test]
fn a_refused_mailbox_is_told_in_the_one_language_of_its_file() {
    for (language, label, other) in [("en", "Observed:", "Beobachtet:"), ("de", "Beobachtet:", "Observed:")] {
        let home = Home::of(&format!("cmsbs.lang = {language}\n{REFUSED}"));
        for command in ["status", "token", "fetch", "drain"] {
            let ran = home.run(command, &[]);
            assert_eq!(ran.code, 2, "{ran:?}");
            let said = ran.out.clone() + &ran.err;
            assert!(said.contains(label) && !said.contains(other), "{command}: {ran:?}");
            assert_eq!(said.contains("The entry is missing."), language == "en", "{command}: {ran:?}");
            assert_eq!(said.contains("primäre"), language == "de" && command == "status", "{ran:?}");
        }
    }
}

#[test]
fn without_properties_the_language_of_the_environment_is_spoken() {
    let nowhere = Home::of("");
    fs::remove_dir_all(nowhere.0.path().join("cmsbs-conf")).unwrap();
    for command in ["config", "setup", "token", "fetch", "drain"] {
        let output = nowhere.command(command, &[]).env("cmsbs__lang", "EN").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("Observed:") && said.contains("UM_HOME is the directory"), "{command}: {said}");
        let said = nowhere.run(command, &[]).err;
        assert!(said.contains("Beobachtet:") && said.contains("UM_HOME ist das"), "{command}: {said}");
    }
}

#[test]
fn each_command_explains_the_same_failure_alike() {
    let home = Home::of("cmsbs.lang = en\n");
    fs::remove_file(home.0.path().join("cmsbs-conf/cmsbs.properties")).unwrap();
    let said = ["config", "setup", "token", "fetch", "drain"]
        .map(|command| home.run(command, &["--lang", "en"]).err);
    assert!(
        said[0].contains("\nCause:       The file or directory in the message does not exist.\n"),
        "{said:?}"
    );
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
}

#[test]
fn setup_marks_what_config_finds() {
    let home = Home::of(
        "cmsbs.lang = en\n\
         cmsbs.mail.imap.server = outlook.office.com\n\
         cmsbs.mail.imap.port = 993\n\
         cmsbs.mail.imap.ssl = true\n\
         cmsbs.mail.imap.user = bounces\n\
         cmsbs.mail.imap.authenticationMethod = oauth2\n\
         cmsbs.mail.imap.oauth2.accessTokenUri = https://login.microsoftonline.com/common/oauth2/token\n\
         cmsbs.mail.imap.oauth2.clientId = client_id\n\
         cmsbs.mail.imap.oauth2.clientCertificate = nowhere.pem\n",
    );
    let config = home.run("config", &[]);
    assert_eq!(config.code, 2, "{config:?}");
    let setup = home.run("setup", &[]);
    assert_eq!(setup.code, 1, "{setup:?}");
    for found in [
        "is not a mail server for IMAP",
        "is not an e-mail address",
        "stands for all tenants",
        "older token endpoint (v1)",
        "nowhere.pem cannot be read",
    ] {
        assert!(config.out.contains(found), "{found} is not in {config:?}");
        assert!(setup.err.contains(found), "{found} is not in {setup:?}");
    }
    assert!(config.out.contains("still contains a placeholder"), "{config:?}");
    assert!(setup.out.contains("-AppId <client_id>"), "{setup:?}");
}

#[test]
fn the_first_line_of_status_says_why_a_mailbox_is_refused() {
    let ran = Home::of(&format!("cmsbs.lang = en\n{REFUSED}")).run("status", &["--listener", "nope"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let first = ran.out.lines().next().unwrap();
    assert!(first.starts_with("CRITICAL - nope: cmsbs.bounce"), "{first}");
}

#[test]
fn status_tells_monitoring_systems_in_one_line_that_it_can_tell_nothing() {
    let nowhere = Home::of("");
    fs::remove_dir_all(nowhere.0.path().join("cmsbs-conf")).unwrap();
    let ran = nowhere.run("status", &["--lang", "en"]);
    assert!(
        ran.out.contains("cmsbs.properties: No such file") && ran.out.contains("UM_HOME is the"),
        "{ran:?}"
    );
    let json: Value = serde_json::from_str(&nowhere.run("status", &["--json"]).out).unwrap();
    assert_eq!((&json[0]["level"], &json[0]["status"]), (&"unknown".into(), &Value::Null));

    let misused = nowhere.run("status", &["--max-age", "soon"]);
    assert!(misused.out.contains("'soon'") && misused.out.contains("--max-age"), "{misused:?}");
    let incomplete = Home::ran(&mut bare(&["--lang", "de", "status"]));
    assert!(incomplete.out.contains("--um-home <DIR>"), "{incomplete:?}");
    let wordy = nowhere.run("status", &["more", "--listener"]);
    for ran in [ran, misused, incomplete, wordy] {
        assert_eq!((ran.code, ran.err.as_str()), (3, ""), "{ran:?}");
        assert!(ran.out.starts_with("UNKNOWN - ") && ran.out.lines().count() == 1, "{ran:?}");
    }
    for (arguments, code) in
        [(&["status", "--help"] as &[&str], 0), (&["config"], 2), (&["--um-home", "status"], 2)]
    {
        assert_eq!(Home::ran(&mut bare(arguments)).code, code, "{arguments:?}");
    }
}

#[test]
fn the_worst_mailbox_is_the_first_one_of_status() {
    let listeners = "cmsbs.bounce.listeners = b a\n";
    let ran = Home::of(&(properties(&standin()) + listeners)).run("status", &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let headings: Vec<_> = ran.out.lines().filter(|line| !line.starts_with(' ')).collect();
    for (heading, start) in headings.iter().zip(["CRITICAL - b: ", "CRITICAL - a: ", "UNKNOWN - the primary"])
    {
        assert!(heading.starts_with(start), "{headings:?}");
    }
    assert_eq!(headings.len(), 3, "{headings:?}");
}

#[test]
fn no_text_of_status_is_taken_for_performance_data() {
    let home = Home::of(&format!("cmsbs.mail.imap.port = \"1|2\"\n{REFUSED}"));
    let text = home.run("status", &[]).out;
    assert!(text.contains("1¦2") && !text.contains('|'), "{text}");
    assert!(home.run("status", &["--json"]).out.contains("1|2"));
}

#[test]
fn prometheus_gets_a_line_for_each_figure_of_each_mailbox() {
    let standin = standin();
    let home = Home::of(&properties(&standin));
    let fetched = home.run("fetch", &["--settle", "keep"]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let listeners = properties(&standin) + "cmsbs.bounce.listeners = refused\n";
    fs::write(home.0.path().join("cmsbs-conf/cmsbs.properties"), listeners).unwrap();
    let ran = home.run("status", &["--prometheus"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let samples: Vec<_> = ran.out.lines().filter(|line| !line.starts_with('#')).collect();
    for sample in [
        "um_imap_oauth2_state{mailbox=\"primary\"} 0",
        "um_imap_oauth2_state{mailbox=\"refused\"} 2",
        "um_imap_oauth2_failures{mailbox=\"primary\"} 0",
        "um_imap_oauth2_pending_messages{mailbox=\"primary\"} 0",
    ] {
        assert!(samples.contains(&sample), "{sample} is not in {}", ran.out);
    }
    for sample in samples {
        let (name, value) = sample.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{sample}");
        let metric = name.split('{').next().unwrap();
        assert!(ran.out.contains(&format!("# TYPE {metric} gauge\n")), "{sample}");
    }
}

#[test]
fn manual_pages_and_completions_name_every_command() {
    let commands = ["check", "config", "drain", "fetch", "setup", "status", "token"];
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = Home::ran(&mut bare(&["document", &format!("completions.{shell}")]));
        assert!(commands.iter().all(|command| script.out.contains(command)), "{script:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().to_str().unwrap();
    let made = Home::ran(&mut bare(&["document", "man", "--to", to]));
    assert_eq!(made.out.lines().count(), commands.len() + 1, "{made:?}");
    for command in commands {
        let page = fs::read_to_string(directory.path().join(format!("um-imap-oauth2-{command}.1"))).unwrap();
        assert!(page.contains(&format!("um\\-imap\\-oauth2\\-{command}")), "{page}");
    }
    assert_eq!(Home::ran(&mut bare(&["document", "man"])).code, 2);
}

#[test]
fn a_work_directory_that_only_the_code_of_um_names_can_be_named_here_too() {
    let standin = standin();
    let home = Home::of(&properties(&standin));
    let work = home.0.path().join("elsewhere");
    let there = ["--work-directory", work.to_str().unwrap()];
    let fetched = home.run("fetch", &[&there as &[&str], &["--settle", "keep"]].concat());
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let known = home.run("status", &there);
    assert!(known.code == 0 && known.out.starts_with("OK - "), "{known:?}");
    assert_eq!(home.run("status", &[]).code, 3);
    assert_eq!(home.run("drain", &there).code, 0);
    // What is in its way is found where it is.
    fs::remove_dir_all(&work).unwrap();
    fs::write(&work, "").unwrap();
    let checked = home.run("check", &there);
    assert!(checked.out.contains("elsewhere"), "{checked:?}");
}

#[test]
fn one_mail_is_told_in_the_singular() {
    let standin = standin();
    let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
    let expires = format!("cmsbs.mail.imap.oauth2.clientSecretExpires = {today}\n");
    let home = Home::of(&(properties(&standin) + &expires));
    for (language, mail, day) in
        [("en", "1 mail, 31 bytes, in ", ", today ("), ("de", "1 Mail, 31 Bytes, in ", ", heute (")]
    {
        let fetched = home.run("fetch", &["--limit", "1", "--lang", language]);
        assert!(fetched.out.starts_with(mail), "{fetched:?}");
        let checked = home.run("check", &["--lang", language]);
        assert!(checked.out.contains(day), "{checked:?}");
    }
}

#[test]
fn where_mails_cannot_be_written_the_remedy_is_another_directory() {
    let standin = standin();
    let home = Home::of(&properties(&standin));
    let file = home.0.path().join("cmsbs-conf/cmsbs.properties");
    for to in [file.to_str().unwrap(), "/proc/mails"] {
        let ran = home.run("fetch", &["--to", to]);
        assert!([2, 3].contains(&ran.code), "{ran:?}");
        assert!(ran.err.contains("Remedy:      Specify another directory with --to"), "{ran:?}");
        assert!(!ran.err.contains("not known") && !ran.err.contains("cmsbs-work"), "{ran:?}");
    }
}

#[test]
fn a_mailbox_with_a_password_is_known_to_have_no_token() {
    let password = "cmsbs.mail.imap.authenticationMethod = password\ncmsbs.mail.imap.password = secret\n";
    let home = Home::of(&(properties(&standin()) + password));
    for (language, told) in [
        ("en", "test this mailbox with um-imap-oauth2 check"),
        ("de", "prüfen Sie dieses Postfach mit um-imap-oauth2 check"),
    ] {
        let ran = home.run("token", &["--lang", language]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(told), "{ran:?}");
        assert!(!ran.err.contains("not known") && !ran.err.contains("nicht bekannt"), "{ran:?}");
    }
}

#[test]
fn what_a_server_refuses_is_explained_once() {
    let standin = standin();
    let home = Home::of(&properties(&standin));
    let refusal = json!({"send": "{tag} NO [OVERQUOTA] Quota exceeded\r\n"});
    standin.add_fault(json!({"on": "UID MOVE", "times": 0, "do": [refusal]}));
    let fetched = home.run("fetch", &["--settle", "unrecognised"]);
    let drained = home.run("drain", &[]);
    for ran in [fetched, drained] {
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("Observed:    NO [OVERQUOTA] Quota exceeded"), "{ran:?}");
        for once in ["warning: ", "is full. No more bounces arrive"] {
            assert_eq!(ran.err.matches(once).count(), 1, "{ran:?}");
        }
    }
}

#[test]
fn an_interrupted_fetch_says_so() {
    let standin = standin();
    let home = Home::of(&properties(&standin));
    standin.add_fault(json!({"on": "UID FETCH", "times": 0, "do": ["stall"]}));
    for (arguments, said) in [(&[] as &[&str], "; interrupted\n"), (&["--lang", "de"], "; unterbrochen\n")] {
        let fetches = || standin.counters().commands.get("UID FETCH").copied().unwrap_or_default();
        let before = fetches();
        let mut command = home.command("fetch", arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while fetches() == before {
            thread::sleep(Duration::from_millis(1));
        }
        // A shell has kill built in; the command may be missing.
        assert!(
            Command::new("sh")
                .args(["-c", &format!("kill -TERM {}", child.id())])
                .status()
                .unwrap()
                .success()
        );
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().ends_with(said));
    }
}

#[test]
fn a_report_that_could_not_be_written_is_no_success() {
    let standin = standin();
    let home = Home::of(&properties(&standin));
    for (command, code) in
        [("check", 2), ("config", 2), ("setup", 2), ("status", 3), ("token", 2), ("fetch", 2), ("drain", 2)]
    {
        for arguments in [&[] as &[&str], &["--json"]] {
            if !arguments.is_empty() && ["setup", "drain"].contains(&command) {
                continue;
            }
            let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("it is always full");
            let output = home.command(command, arguments).stdout(full).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{command} {arguments:?}: {said}");
            for told in [
                "Observed:    standard output: No space left on device",
                "Cause:       The output could not be written",
                "Remedy:      Free up space where the output is written",
            ] {
                assert!(said.contains(told), "{command} {arguments:?}: {said}");
            }
        }
    }
}

#[test]
fn who_closes_the_pipe_has_read_enough() {
    let standin = standin();
    let home = Home::of(&properties(&standin));
    for command in ["check", "config", "setup", "status", "token", "fetch", "drain"] {
        let whole = home.run(command, &[]).code;
        let (code, said) = home.unread(command, &[]);
        assert_eq!(code, Some(whole), "{command}: {said}");
        assert!(!said.contains("standard output"), "{command}: {said}");
    }
}

#[test]
fn a_program_that_stops_reading_about_the_mails_is_told_so() {
    let standin = standin();
    let (code, said) = Home::of(&properties(&standin)).unread("fetch", &["--json"]);
    assert_eq!(code, Some(2), "{said}");
    for told in
        ["standard output: Broken pipe", "has stopped reading", "Let this program read the output to the end"]
    {
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn in_german_every_command_speaks_german_whatever_is_wrong() {
    let standin = standin();
    let works = properties(&standin) + "cmsbs.mail.imap.fetch.patience = 1s\n";
    let with = |line: &str| Home::of(&format!("{works}{line}\n"));
    let unconfigured = Home::of("");
    fs::remove_dir_all(unconfigured.0.path().join("cmsbs-conf")).unwrap();
    let mut english = Vec::new();
    for home in [
        with(""),
        with("cmsbs.bounce.debug = true\ncmsbs.mail.imap.oauth2.clientSecretExpires = 2020-02-29"),
        with("cmsbs.mail.imap.port = 1"),
        with("cmsbs.mail.imap.oauth2.clientSecret = another"),
        with("cmsbs.mail.imap.user = another@example.com"),
        with("cmsbs.mail.imap.folder.debug = INBOX\nno line\ncmsbs.mail.imap.protocol = pop3"),
        with("cmsbs.mail.imap.authenticationMethod = password\ncmsbs.mail.imap.password = \"secret"),
        with("cmsbs.bounce.listeners = a, b\ncmsbs.mail.imap.oauth2.clientCertificate = nowhere.pem"),
        Home::of(REFUSED),
        Home::of(IMPLAUSIBLE),
        unconfigured,
    ] {
        for command in COMMANDS {
            let ran = home.run(command, &["--lang", "de"]);
            english.extend(told_in_english(&(ran.out + &ran.err)).map(|text| format!("{command}: {text}")));
        }
    }
    assert!(english.is_empty(), "{english:#?}");
}

#[test]
fn in_german_the_help_and_wrong_arguments_are_german() {
    let mut english = Vec::new();
    let wrong: [&[&str]; 6] = [
        &[],
        &["--help"],
        &["nothing"],
        &["check"],
        &["check", "--um-home"],
        &["status", "--um-home", "x", "--max-age", "soon"],
    ];
    let help = COMMANDS.map(|command| [command, "--help"]);
    for arguments in wrong.into_iter().chain(help.iter().map(|arguments| &arguments[..])) {
        let ran = Home::ran(bare(arguments).args(["--lang", "de"]));
        english.extend(told_in_english(&(ran.out + &ran.err)).map(|text| format!("{arguments:?}: {text}")));
    }
    assert!(english.is_empty(), "{english:#?}");
}

#[test]
fn an_english_text_of_the_table_is_found_in_german_output() {
    let output = "  OK  Zielordner\n      test folders created\n    Get-CASMailbox \"a@b.example\"\n";
    assert_eq!(told_in_english(output).collect::<Vec<_>>(), ["test folders created"]);
    assert_eq!(told_in_english("Das ist the mailbox.").collect::<Vec<_>>(), ["ist the mailbox"]);
    assert_eq!(told_in_english("Führen Sie check --to the/file --is aus.").count(), 0);
}

/// The English of a text that should be German: words that only English has, and sentences of the table.
fn told_in_english(text: &str) -> impl Iterator<Item = String> {
    let prose = prose(text);
    let is_said =
        |sentence: &&String| prose.contains(sentence.as_str()) && !NAMES.contains(&sentence.as_str());
    let sentences = english_sentences().iter().filter(is_said);
    german::english(&prose).into_iter().chain(sentences.cloned()).collect::<Vec<_>>().into_iter()
}

/// The text without commands, options, paths, URLs and keys, which have no language.
fn prose(text: &str) -> String {
    let is_command = |line: &&str| {
        let line = line.trim_start().trim_start_matches('(');
        PROGRAMS.iter().any(|program| line.starts_with(program))
    };
    let is_word = |word: &&str| !word.starts_with(['-', '[']) && !word.contains(['/', '=', '_', '$', '@']);
    let lines = text.lines().filter(|line| !is_command(line)).flat_map(str::split_whitespace);
    lines.filter(is_word).collect::<Vec<_>>().join(" ")
}

/// The parts of several words between the values of the English texts that no German text has.
fn english_sentences() -> &'static [String] {
    static SENTENCES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let parts = |language: Language| {
            let explained = entries().iter().flat_map(move |entry| {
                let text = entry.text(language);
                [text.cause.clone(), text.remedy.clone()]
            });
            let texts = Id::ALL.iter().map(move |id| id.sentence(language).to_owned()).chain(explained);
            texts.flat_map(|text| {
                let parts = text.split(['{', '}', '\n', '`', '|']).map(prose);
                parts.filter(|part| part.contains(' ') && part.len() > 9).collect::<Vec<_>>()
            })
        };
        let german: Vec<_> = parts(Language::German).collect();
        let is_english = |part: &String| !german.iter().any(|text| text.contains(part));
        parts(Language::English).filter(is_english).collect()
    });
    &SENTENCES
}

const COMMANDS: [&str; 7] = ["config", "check", "setup", "status", "drain", "fetch", "token"];

/// A folder of the stand-in.
const NAMES: [&str; 1] = ["Junk Email"];

/// A line that begins so is a command to be copied.
const PROGRAMS: [&str; 11] = [
    "um-imap-oauth2",
    "openssl",
    "cat ",
    "chmod",
    "Connect-",
    "New-",
    "Get-",
    "Add-",
    "Set-",
    "Install-",
    "Remove-",
];

/// Everything that Microsoft's rules exclude.
const IMPLAUSIBLE: &str = "\
cmsbs.mail.imap.server = outlook.office.com
cmsbs.mail.imap.port = 143
cmsbs.mail.imap.ssl = true
cmsbs.mail.imap.user = bounces
cmsbs.mail.imap.authenticationMethod = oauth2
cmsbs.mail.imap.oauth2.accessTokenUri = https://login.microsoftonline.com/common/oauth2/token
cmsbs.mail.imap.oauth2.clientId = client_id
cmsbs.mail.imap.oauth2.clientCertificate = nowhere.pem
cmsbs.mail.imap.oauth2.scope = https://graph.microsoft.com/.default
";

/// A UM_HOME with these properties.
struct Home(TempDir);

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Home {
    fn of(properties: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        for directory in ["cmsbs-conf", "cmsbs-work"] {
            fs::create_dir(home.path().join(directory)).expect("it is new");
        }
        let file = home.path().join("cmsbs-conf/cmsbs.properties");
        fs::write(&file, properties).expect("cmsbs.properties");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
        Self(home)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        Self::ran(&mut self.command(command, arguments))
    }

    fn ran(command: &mut Command) -> Ran {
        let output = command.output().expect("it can be started");
        let text = |octets| String::from_utf8(octets).expect("UTF-8");
        let code = output.status.code().expect("it ended by itself");
        Ran { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Exit code and stderr where nobody reads stdout.
    fn unread(&self, command: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command(command, arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = bare(&[name, "--um-home"]);
        command.arg(self.0.path()).args(arguments);
        if name == "fetch" && !arguments.contains(&"--to") {
            command.arg("--to").arg(self.0.path().join("out"));
        }
        command
    }
}

fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_um-imap-oauth2"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["LC_ALL", "LC_MESSAGES", "LANG", "HTTPS_PROXY", "https_proxy", "UM_HOME"] {
        command.env_remove(variable);
    }
    command
}

/// Two mails for [`properties`].
fn standin() -> Standin {
    let mails =
        json!([{"text": "Message-ID: <a@example.net>\n\n"}, {"text": "Message-ID: <b@example.net>\n\n"}]);
    let mailboxes = json!([{"user": USER, "folders": [{"name": "INBOX", "mails": mails}]}]);
    Standin::start(serde_json::from_value(json!({"mailboxes": mailboxes})).unwrap()).expect("a stand-in")
}

fn properties(standin: &Standin) -> String {
    let lines = standin.properties().into_iter();
    lines.map(|(key, value)| format!("{key} = \"{value}\"\n")).collect()
}

/// The client id is missing.
const REFUSED: &str = "\
cmsbs.mail.imap.server = localhost
cmsbs.mail.imap.user = bounces@example.com
cmsbs.mail.imap.authenticationMethod = oauth2
cmsbs.mail.imap.oauth2.accessTokenUri = https://localhost/tenant/oauth2/v2.0/token
cmsbs.mail.imap.oauth2.clientSecret = secret
";
