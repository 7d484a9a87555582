//! Processes that are killed at any instant of fetch, settle and flush, and a ledger outside that knows what they were told.
//!
//! `UM_TEST_KILLS` kills in all (50 without it), three of five of a Rust process (this program itself), the others of a JVM
//! (`tests/kill/Victim.java`). Each process writes `H n` into the ledger when mail n was handed out and `S n` after `settle`
//! had returned. Afterwards each mail must be where it was decided, and no `H n` may follow an `S n`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use um_imap_oauth2::imap::limits::Times;
use um_imap_oauth2::mailbox::{Access, Outcome};

use crate::support::{Account, children};

#[test]
fn a_rust_process_that_is_killed_at_any_instant_loses_nothing_and_repeats_nothing() {
    let kills = kills() * 3 / 5;
    let program = |um_home: &Path, ledger: &Path| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "kills::victim", "--nocapture"]);
        command.env("UM_TEST_VICTIM_HOME", um_home).env("UM_TEST_VICTIM_LEDGER", ledger);
        command
    };
    kill_again_and_again("Rust", kills, Duration::from_millis(250), &program);
}

#[test]
fn a_jvm_that_is_killed_at_any_instant_loses_nothing_and_repeats_nothing() {
    let kills = kills() - kills() * 3 / 5;
    let classes = java_classes();
    let library = library();
    let program = |um_home: &Path, ledger: &Path| {
        let mut command = Command::new("java");
        command.arg(format!("-Dum.imap.oauth2.library={}", library.display()));
        command.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp"]).arg(classes.path()).arg("Victim");
        command.args([um_home, ledger]).arg(MOST.to_string());
        command
    };
    kill_again_and_again("JVM", kills, Duration::from_millis(1500), &program);
}

/// Not a test: the program that is killed. Keep in step with `tests/kill/Victim.java`.
#[test]
fn victim() {
    let (Some(um_home), Some(ledger)) =
        (std::env::var_os("UM_TEST_VICTIM_HOME"), std::env::var_os("UM_TEST_VICTIM_LEDGER"))
    else {
        return;
    };
    let opened = Account::open_home(Path::new(&um_home), Times::default(), Access::ReadWrite).unwrap();
    let mut ledger = OpenOptions::new().append(true).open(ledger).unwrap();
    let mut write = |line: String| ledger.write_all(line.as_bytes()).unwrap();
    loop {
        let fetch = opened.fetch().unwrap();
        let mut count = 0;
        while count < MOST
            && let Some(mail) = opened.one_of(fetch)
        {
            let number = number(&mail.octets);
            write(format!("H {number}\n"));
            thread::sleep(Duration::from_millis(number as u64 % 2));
            let settled = match decision(number) {
                Decision::Outcome(outcome) => opened.settle(mail.id, outcome),
                Decision::Move => opened.move_to(mail.id, "by hand"),
                Decision::Delete => opened.delete(mail.id),
            };
            assert!(settled.unwrap());
            write(format!("S {number}\n"));
            if number.is_multiple_of(25) {
                opened.flush().unwrap();
            }
            count += 1;
            thread::sleep(Duration::from_millis(1 - number as u64 % 2));
        }
        opened.flush().unwrap();
        if count == 0 {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

enum Decision {
    Outcome(Outcome),
    Move,
    Delete,
}

fn decision(number: usize) -> Decision {
    Decision::Outcome(match number % 8 {
        0 => Outcome::Unrecognised,
        1 => Outcome::HardBounce,
        2 => return Decision::Move,
        3 => return Decision::Delete,
        4 => Outcome::KeepRead,
        5 => Outcome::Spam,
        6 => Outcome::Handled,
        _ => Outcome::SoftBounce,
    })
}

/// The folder on disk to which that leads; `None`: deleted.
fn destination(number: usize) -> Option<&'static str> {
    match number % 8 {
        0 => Some(".error"),
        2 => Some(".by hand"),
        3 => None,
        4 => Some(""),
        5 => Some(".spam"),
        _ => Some(".debug"),
    }
}

type Program<'a> = &'a dyn Fn(&Path, &Path) -> Command;

/// `start`: about what a process needs until it hands out its first mail.
fn kill_again_and_again(name: &str, kills: usize, start: Duration, program: Program) {
    let mut seen = Seen::default();
    let mut left = kills;
    while left > 0 {
        let now = left.min(KILLS_PER_MAILBOX);
        left -= now;
        // Every third mailbox is on a server without MOVE, where a kill may leave a copy twice.
        let without_move = (left / KILLS_PER_MAILBOX) % 3 == 1;
        let account = if without_move { Account::speaking("NO_MOVE") } else { Account::new() };
        let account = account.with("cmsbs.bounce.debug", "true").with("cmsbs.mail.imap.folder.spam", "spam");
        let account = account.with_mails(&(1..=MAILS).map(mail).collect::<Vec<_>>());
        season(&account, now, start, program, without_move, &mut seen);
    }
    println!("{name}: {kills} kills, {seen:?}");
}

/// What was seen, to tell whether the kills came when there was something to break.
#[derive(Debug, Default)]
struct Seen {
    mails: usize,
    handed_out: usize,
    /// Kills after which the journal had something to carry out.
    kills_with_work_left: usize,
    /// Mails that were decided when the process was killed, but not yet done by the server, as far as the journal knows.
    carried_out_later: usize,
    handed_out_and_not_settled: usize,
    torn_records: usize,
    more_than_once_in_the_target: usize,
}

/// Kills so many processes that read one mailbox, and looks where the mails are.
fn season(
    account: &Account,
    kills: usize,
    start: Duration,
    program: Program,
    without_move: bool,
    seen: &mut Seen,
) {
    let home = account.um_home();
    let ledger = home.join("ledger");
    File::create(&ledger).unwrap();
    for _ in 0..kills {
        let process = Process::start(program(home, &ledger), home);
        if random(2) == 0 {
            thread::sleep(start.mul_f64(random(1000) as f64 / 1000.0));
        } else {
            process.wait_for_a_line(&ledger);
            thread::sleep(Duration::from_micros(random(150_000)));
        }
        process.kill();
        look_at_the_journal(home, seen);
    }
    finish(account, Process::start(program(home, &ledger), home), &ledger);
    look_at_the_mails(account, &ledger, without_move, seen);
}

/// Lets one process alone until everything is done.
fn finish(account: &Account, process: Process, ledger: &Path) {
    let open = || account.on_disk("").iter().filter(|mail| !mail.flags.contains('S')).count();
    let mut last = (usize::MAX, 0, Instant::now());
    loop {
        let now = (open(), fs::metadata(ledger).unwrap().len());
        if now.0 == 0 {
            break;
        }
        if now != (last.0, last.1) {
            last = (now.0, now.1, Instant::now());
        }
        assert!(
            last.2.elapsed() < Duration::from_secs(180),
            "{} mails are left, and nothing happens: {}",
            now.0,
            process.said()
        );
        thread::sleep(Duration::from_millis(20));
    }
    process.kill();
}

/// Fails if a mail is not where it was decided.
fn look_at_the_mails(account: &Account, ledger: &Path, without_move: bool, seen: &mut Seen) {
    let (handed_out, settled) = read_ledger(ledger, seen);
    let mut places: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for folder in account.folder_names().into_iter().chain([String::new()]) {
        for on_disk in account.on_disk(&folder) {
            let number = number(&on_disk.octets);
            assert_eq!(on_disk.octets, mail(number), "mail {number} was changed");
            let read = if folder.is_empty() && on_disk.flags.contains('S') { " (read)" } else { "" };
            places.entry(number).or_default().push(format!("{folder}{read}"));
        }
    }
    for number in 1..=MAILS {
        assert!(handed_out.contains(&number) && settled.contains(&number), "mail {number} is lost");
        let mut found = places.remove(&number).unwrap_or_default();
        if without_move && found.len() > 1 {
            seen.more_than_once_in_the_target += 1;
            found.dedup();
        }
        let expected = destination(number).map(|folder| match folder {
            "" => " (read)".to_owned(),
            folder => folder.to_owned(),
        });
        assert_eq!(found, Vec::from_iter(expected), "mail {number}");
    }
    seen.mails += MAILS;
}

/// Which mails were handed out and which settled; fails where one was handed out after it was settled.
fn read_ledger(ledger: &Path, seen: &mut Seen) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let (mut handed_out, mut settled) = (BTreeSet::new(), BTreeSet::new());
    for line in fs::read_to_string(ledger).unwrap().lines() {
        let (what, number) = line.split_once(' ').unwrap();
        let number: usize = number.parse().unwrap();
        if what == "S" {
            settled.insert(number);
            continue;
        }
        assert!(!settled.contains(&number), "mail {number} was settled, and handed out again");
        seen.handed_out += 1;
        if !handed_out.insert(number) {
            seen.handed_out_and_not_settled += 1;
        }
    }
    // A process that is killed between `settle` and its line leaves a mail that no ledger knows to be settled.
    settled.extend(handed_out.iter());
    (handed_out, settled)
}

fn look_at_the_journal(home: &Path, seen: &mut Seen) {
    let folders = children(&home.join("cmsbs-work/um-imap-oauth2"));
    let Some(text) = folders.iter().find_map(|folder| fs::read_to_string(folder.join("journal")).ok()) else {
        return;
    };
    let mut pending = BTreeSet::new();
    for line in text.lines().skip(1) {
        let Ok(json) = serde_json::from_str::<serde_json::Value>(line.split_once(' ').unwrap_or_default().1)
        else {
            seen.torn_records += 1;
            continue;
        };
        if let Some(uid) = json["decided"]["uid"].as_u64() {
            pending.insert(uid);
        }
        for uid in json["done"]["uids"].as_array().into_iter().flatten() {
            pending.remove(&uid.as_u64().unwrap());
        }
    }
    seen.kills_with_work_left += usize::from(!pending.is_empty());
    seen.carried_out_later += pending.len();
}

struct Process {
    child: Child,
    errors: PathBuf,
}

impl Process {
    fn start(mut command: Command, home: &Path) -> Self {
        let errors = home.join("victim.log");
        let log = File::create(&errors).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.spawn().unwrap(), errors }
    }

    /// Until it has handed out a mail.
    fn wait_for_a_line(&self, ledger: &Path) {
        let length = || fs::metadata(ledger).unwrap().len();
        let (before, begun) = (length(), Instant::now());
        // Where nothing is left to hand out, there comes none.
        while length() == before && begun.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it had ended by itself: {}", self.said());
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }
}

/// Of different lengths, each with its number.
fn mail(number: usize) -> Vec<u8> {
    let mut mail = format!("Subject: {number}\r\nMessage-ID: <{number}@example.net>\r\n\r\n").into_bytes();
    mail.extend(format!("{number:08} ").repeat(number * 7919 % 900).into_bytes());
    mail.extend(b"\r\n");
    mail
}

fn number(mail: &[u8]) -> usize {
    let line = mail.split(|&octet| octet == b'\r').next().unwrap();
    std::str::from_utf8(line).unwrap().strip_prefix("Subject: ").unwrap().parse().unwrap()
}

fn kills() -> usize {
    std::env::var("UM_TEST_KILLS").map_or(50, |kills| kills.parse().expect("UM_TEST_KILLS is a number"))
}

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(()) % below
}

/// The library that Cargo has just built beside this program.
fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let library = program.ancestors().nth(2).unwrap().join("libum_imap_oauth2.so");
    assert!(library.is_file(), "{} is not there: run `cargo build` first", library.display());
    library
}

/// The wrapper and the program that is killed, compiled.
fn java_classes() -> TempDir {
    let classes = tempfile::tempdir().unwrap();
    let java = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/src/main");
    let package = "um/imap/oauth2";
    let sources = children(&java.join("java").join(package));
    let sources = sources.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "java"));
    let victim = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kill/Victim.java");
    let status = Command::new("javac")
        .args(["--release", "11", "-Xlint:all", "-Werror", "-d"])
        .arg(classes.path())
        .args(sources)
        .arg(victim)
        .status()
        .unwrap();
    assert!(status.success());
    let version = classes.path().join(package).join("version");
    fs::write(version, env!("CARGO_PKG_VERSION")).unwrap();
    classes
}

/// Mails that a process takes of one fetch at most.
const MOST: usize = 40;
const MAILS: usize = 600;
const KILLS_PER_MAILBOX: usize = 10;
