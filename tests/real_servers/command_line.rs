//! `um-imap-oauth2 fetch`, from its arguments to its exit code.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Account, Flow, Relay, as_served, children, corpus, mails, mails_in, server, tree};

#[test]
fn each_mail_becomes_a_file_and_everything_stays_as_it_was() {
    let corpus = corpus();
    let account = Account::new().with_mails(&corpus);
    let run = Run::new(&account);
    let (files, on_server) = (tree(account.um_home()), account.mail_paths());
    let output = run.fetch(&[]);
    assert_eq!(output.code(), 0, "{output:?}");

    assert_eq!(account.mail_paths(), on_server);
    assert_eq!(tree(account.um_home()), files);
    let validity = run.uid_validity();
    for (number, mail) in corpus.iter().enumerate() {
        let file =
            fs::read(run.out.join(format!("{validity}-{}.eml", number + 1))).expect("a file for each mail");
        assert!(file == as_served(mail), "mail {number} differs");
    }
    assert_eq!(children(&run.out).len(), corpus.len(), "nothing else is there");
    assert!(output.out.contains(&format!("{} mails", corpus.len())), "{output:?}");
    account.holds_no_secret(&output.err);
}

#[test]
fn the_token_request_goes_through_the_proxy_of_the_environment() {
    let account = Account::new().with_mails(&mails(1));
    let run = Run::new(&account);
    // Nothing listens there.
    let through = |no_proxy| {
        let mut command = run.command(&[]);
        Ended::of(
            command.env("HTTPS_PROXY", "http://127.0.0.1:1").env("NO_PROXY", no_proxy).output().unwrap(),
        )
    };
    let output = through("");
    assert_ne!(output.code(), 0);
    assert!(output.err.contains("127.0.0.1:1"), "{output:?}");
    assert_eq!(through("localhost").code(), 0);
}

#[test]
fn a_secret_that_was_replaced_meanwhile_is_read_again() {
    let endpoint = server("UM_TEST_TOKEN_URI");
    let port = endpoint.split([':', '/']).nth(4).unwrap();
    let relay = Relay::to(port, Flow::StallAfter(0));
    let uri = endpoint.replace(port, &relay.port.to_string());
    let account = Account::new().with_mails(&mails(2)).with("cmsbs.mail.imap.oauth2.accessTokenUri", &uri);
    let account = account.with("cmsbs.mail.imap.oauth2.clientSecret", "wrong");
    let run = Run::new(&account);
    let child = run.start(&[]);
    while relay.connections.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    // It has read the wrong one, and the endpoint has not answered yet.
    let account = account.with("cmsbs.mail.imap.oauth2.clientSecret", &server("UM_TEST_SECRET"));
    account.um_home();
    relay.set(Flow::Free);
    let output = Ended::of(child.wait_with_output().unwrap());
    assert!(output.out.contains("2 mails"), "{output:?}");
    assert!(relay.connections.load(Ordering::SeqCst) >= 2, "{output:?}");
}

#[test]
fn nobody_else_can_read_what_was_written() {
    let account = Account::new().with_mails(&mails(2));
    let run = Run::new(&account);
    run.fetch(&[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&run.out), 0o700);
    assert!(children(&run.out).iter().all(|file| mode(file) == 0o600));
}

#[test]
fn the_same_mails_can_be_fetched_again_into_the_same_directory_and_no_other_file_is_overwritten() {
    let account = Account::new().with_mails(&mails(2));
    let run = Run::new(&account);
    assert_eq!(run.fetch(&[]).code(), 0);
    assert_eq!(run.fetch(&["--settle", "keep"]).code(), 0);
    let file = children(&run.out).remove(0);
    fs::write(&file, "something else").unwrap();
    let output = run.fetch(&["--settle", "handled"]);
    assert_eq!(output.code(), 2, "{output:?}");
    assert!(output.err.contains("Step:        storage"), "{output:?}");
    assert!(output.err.contains(&file.display().to_string()), "{output:?}");
    assert_eq!(fs::read(&file).unwrap(), b"something else");
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let uid: usize = name.rsplit('-').next().unwrap().parse().unwrap();
    let left = account.on_disk("");
    assert!(
        left.iter().any(|mail| mail.octets == mails(2)[uid - 1].as_bytes()),
        "not settled without its file"
    );
}

#[test]
fn settled_mail_is_where_the_outcome_leads() {
    for (outcome, debug, folder) in [
        ("unrecognised", "false", Some(".error")),
        ("hardbounce", "true", Some(".debug")),
        ("handled", "false", None),
        ("keep", "false", Some("")),
    ] {
        let account = Account::new().with("cmsbs.bounce.debug", debug).with_mails(&mails(250));
        let run = Run::new(&account);
        let output = run.fetch(&["--settle", outcome]);
        assert_eq!(output.code(), 0, "{output:?}");
        assert_eq!(children(&run.out).len(), 250);
        let folders = account.folders();
        assert_eq!(
            folders.keys().map(String::as_str).collect::<Vec<_>>(),
            Vec::from_iter(folder),
            "{outcome}"
        );
        assert!(folders.values().all(|mails| mails.len() == 250));
        assert!(output.out.contains(&format!("250 settled as {outcome}")), "{output:?}");
    }
}

#[test]
fn kept_and_read_mail_is_not_fetched_again() {
    let account = Account::new().with_mails(&mails(3));
    let run = Run::new(&account);
    assert_eq!(run.fetch(&["--settle", "keep_read"]).code(), 0);
    assert!(account.on_disk("").iter().all(|mail| mail.flags.contains('S')));
    assert!(run.fetch(&[]).out.contains("0 mails"));
}

#[test]
fn a_limit_leaves_the_rest_alone() {
    let account = Account::new().with_mails(&mails(30));
    let run = Run::new(&account);
    let output = run.fetch(&["--limit", "7", "--settle", "handled"]);
    assert_eq!(output.code(), 0, "{output:?}");
    assert_eq!((children(&run.out).len(), account.on_disk("").len()), (7, 23));
    assert_eq!(run.fetch(&["--limit", "0"]).code(), 2);
}

#[test]
fn json_tells_of_each_mail_and_sums_up() {
    let account = Account::new().with_mails(&mails(3));
    let run = Run::new(&account);
    let output = run.fetch(&["--json", "--settle", "handled"]);
    assert_eq!(output.code(), 0, "{output:?}");
    let lines = output.json();
    let (summary, told) = lines.split_last().expect("a summary");
    assert_eq!(told.len(), 3);
    for mail in told {
        assert_eq!(mail["uidvalidity"].to_string(), run.uid_validity());
        let number = mail["uid"].as_u64().unwrap() as usize;
        let octets = fs::read(mail["file"].as_str().unwrap()).unwrap();
        assert_eq!(octets, mails(3)[number - 1].as_bytes());
        assert_eq!(mail["octets"], octets.len());
        assert!(mail["flags"].is_array(), "{mail}");
        assert_eq!(mail["internal_date"], format!("09-Oct-2025 08:53:{:02} +0000", 19 + number));
    }
    let summary = &summary["summary"];
    assert_eq!((&summary["mails"], &summary["settled"]), (&3.into(), &3.into()));
    assert_eq!((&summary["outcome"], &summary["failure"]), (&"handled".into(), &Value::Null));
}

#[test]
fn a_failure_is_told_in_words_and_by_the_exit_code() {
    let secret = "cmsbs.mail.imap.oauth2.clientSecret";
    let account = Account::new().with(secret, "not~the/secret");
    let output = Run::new(&account).fetch(&["--json"]);
    assert_eq!(output.code(), 2, "{output:?}");
    for line in [
        "Step:        token",
        "Observed:    HTTP 401 invalid_client",
        &format!("Property:    {secret}"),
        "Cause: ",
        "Remedy: ",
    ] {
        assert!(output.err.lines().any(|told| told.starts_with(line)), "{line} is missing: {output:?}");
    }
    let failure = &output.json()[0]["summary"]["failure"];
    assert_eq!(
        (&failure["step"], &failure["key"], &failure["retry"]),
        (&"token".into(), &secret.into(), &false.into())
    );
    assert!(!output.err.contains("not~the") && !output.out.contains("not~the"), "{output:?}");

    let account = Account::new().with("cmsbs.mail.imap.port", "1");
    let output = Run::new(&account).fetch(&[]);
    assert_eq!(output.code(), 2, "{output:?}");
    let never = "never been read with these settings";
    assert!(output.err.contains("Step:        connect") && output.err.contains(never), "{output:?}");
    assert!(!output.err.contains("Retry: "), "{output:?}");
    assert_eq!(output.out, "");
}

#[test]
fn a_warning_has_an_exit_code_of_its_own() {
    let account = Account::speaking("NO_UIDPLUS").with_mails(&mails(2));
    let output = Run::new(&account).fetch(&["--settle", "handled"]);
    assert_eq!(output.code(), 1, "{output:?}");
    assert!(
        output.err.lines().any(|line| line.starts_with("warning: ") && line.contains("UIDPLUS")),
        "{output:?}"
    );
}

#[test]
fn german_is_spoken_too() {
    let account = Account::new().with("cmsbs.mail.imap.oauth2.clientSecret", "wrong");
    let run = Run::new(&account);
    let output = run.fetch(&["--lang", "de"]);
    assert_eq!(output.code(), 2, "{output:?}");
    assert!(output.err.contains("Schritt:     token") && output.err.contains("Abhilfe: "), "{output:?}");

    let nowhere = run.command(&["--lang", "de"]).env("cmsbs__mail__imap__port", "imaps").output().unwrap();
    let nowhere = Ended::of(nowhere);
    assert_eq!(nowhere.code(), 2, "{nowhere:?}");
    assert!(nowhere.err.contains("Umgebungsvariable cmsbs__mail__imap__port"), "{nowhere:?}");
    assert!(!nowhere.err.contains("lang"), "{nowhere:?}");
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let account = Account::new();
    let run = Run::new(&account);
    for arguments in [["--settle", "bounced"], ["--limit", "many"], ["--lang", "fr"]] {
        assert_eq!(run.fetch(&arguments).code(), 2);
    }
    assert!(!run.out.exists());
}

#[test]
fn the_version_names_the_target() {
    let output = Command::new(BINARY).arg("--version").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    let expected = format!("um-imap-oauth2 {} ({}-", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    assert!(version.starts_with(&expected), "{version}");
}

#[test]
fn ctrl_c_ends_it_at_once_and_leaves_whole_files_and_what_was_settled() {
    let mails: Vec<_> =
        (0..40).map(|number| format!("Subject: {number}\r\n\r\n{}", "x".repeat(50_000))).collect();
    let relay = Relay::to(&server("UM_TEST_IMAP_PORT"), Flow::StallAfter(1_000_000));
    let account = Account::new().with("cmsbs.mail.imap.port", &relay.port.to_string()).with_mails(&mails);
    let run = Run::new(&account);
    let child = run.start(&["--settle", "handled", "--json"]);
    wait_until(|| children(&run.out).len() >= 10);
    let begun = Instant::now();
    signal(&child, "INT");
    // By now nothing more is read; the server's answers to what was decided come through.
    thread::sleep(Duration::from_millis(200));
    relay.set(Flow::Free);
    let output = Ended::of(child.wait_with_output().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(output.code(), 130, "{output:?}");
    assert!(!output.err.contains("Step:"), "{output:?}");
    let lines = output.json();
    let summary = &lines.last().expect("a summary")["summary"];
    assert_eq!(summary["interrupted"], true);
    let settled = usize::try_from(summary["settled"].as_u64().expect("a number")).unwrap();
    assert!(settled >= 5, "{summary}");
    wait_until(|| account.on_disk("").len() == mails.len() - settled);
    none_is_lost(&account, &run, &mails);
}

#[test]
fn a_kill_at_any_time_leaves_each_mail_on_the_server_or_in_a_whole_file() {
    let mails = corpus();
    for after in [1, 120, 300] {
        let account = Account::new().with_mails(&mails);
        let run = Run::new(&account);
        let mut child = run.start(&["--settle", "handled"]);
        wait_until(|| children(&run.out).len() >= after);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it was over before");
        none_is_lost(&account, &run, &mails);
    }
}

#[test]
fn whoever_stops_reading_the_output_ends_it_without_settling_what_was_not_told() {
    let account = Account::new().with_mails(&mails(500));
    let run = Run::new(&account);
    let mut child = run.start(&["--json", "--settle", "handled"]);
    drop(child.stdout.take());
    let output = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(output.code(), 2, "{output:?}");
    assert!(output.err.contains("standard output"), "{output:?}");
    assert_eq!(account.on_disk("").len(), 500);
}

/// Every mail lies in the inbox or, as a whole, in the directory.
#[track_caller]
fn none_is_lost<T: AsRef<[u8]>>(account: &Account, run: &Run, mails: &[T]) {
    let in_files: BTreeSet<_> = mails_in(run.out.to_str().unwrap()).into_iter().collect();
    let served: BTreeSet<_> = mails.iter().map(|mail| as_served(mail.as_ref())).collect();
    assert!(in_files.iter().all(|file| served.contains(file)), "a file is no whole mail");
    // The server may still be moving files about, and one is not seen meanwhile.
    wait_until(|| {
        let on_server: BTreeSet<_> = account.on_disk("").iter().map(|mail| mail.served()).collect();
        served.iter().all(|mail| on_server.contains(mail) || in_files.contains(mail))
    });
}

/// The command line on a mailbox, and a directory to write to that is not there yet.
struct Run {
    um_home: PathBuf,
    out: PathBuf,
    _temporary: TempDir,
}

impl Run {
    fn new(account: &Account) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Self {
            um_home: account.um_home().to_owned(),
            out: temporary.path().join("out"),
            _temporary: temporary,
        }
    }

    fn fetch(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["fetch", "--um-home"]).arg(&self.um_home).arg("--to").arg(&self.out).args(arguments);
        for variable in
            ["LC_ALL", "LC_MESSAGES", "LANG", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"]
        {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null());
        command
    }

    /// The one in the files' names.
    fn uid_validity(&self) -> String {
        let names: BTreeSet<_> = children(&self.out)
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_str()?.split_once('-')?.0.to_owned()))
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names.into_iter().next().unwrap_or_default()
    }
}

#[derive(Debug)]
struct Ended {
    status: std::process::ExitStatus,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |octets| String::from_utf8(octets).expect("UTF-8");
        Self { status: output.status, out: text(output.stdout), err: text(output.stderr) }
    }

    fn code(&self) -> i32 {
        self.status.code().expect("it ended by itself")
    }

    fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }
}

fn signal(child: &Child, name: &str) {
    // A shell has kill built in; the command may be missing.
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(sent.success());
}

#[track_caller]
fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it took too long");
        thread::sleep(Duration::from_millis(1));
    }
}

const BINARY: &str = env!("CARGO_BIN_EXE_um-imap-oauth2");
