//! The Java program (`Driver.java`) that opens mailboxes and tells what came of it.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// A JVM that works on many mailboxes at a time.
pub struct Driver {
    jvm: Child,
    requests: Mutex<Option<ChildStdin>>,
    waiting: Arc<Mutex<HashMap<u32, mpsc::Sender<Seen>>>>,
    last: AtomicU32,
}

/// The exception, or what there is in its place.
pub struct Seen {
    pub id: String,
    pub cause: String,
    pub text: String,
}

impl Driver {
    /// By `command`, if it needs surroundings of its own.
    pub fn start(command: Option<Command>) -> Self {
        let mut command = command.unwrap_or_else(|| Command::new("java"));
        command.arg(format!("-Dum.imap.oauth2.library={}", library().display()));
        command.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp"]).arg(classes()).arg("Driver");
        let mut jvm = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(jvm.stdout.take().unwrap());
        let waiting: Arc<Mutex<HashMap<u32, mpsc::Sender<Seen>>>> = Arc::default();
        let asked = waiting.clone();
        thread::spawn(move || {
            for line in answers.lines().map_while(Result::ok) {
                let [number, id, cause, text] = &line.splitn(4, '\t').collect::<Vec<_>>()[..] else {
                    continue;
                };
                let asker = number.parse().ok().and_then(|number| asked.lock().unwrap().remove(&number));
                let [id, cause, text] = [id, cause, text].map(|text| text.to_string());
                asker.map(|asker| asker.send(Seen { id, cause, text }));
            }
            // Nobody waits for a JVM that has ended.
            asked.lock().unwrap().clear();
        });
        let requests = Mutex::new(jvm.stdin.take());
        Self { jvm, requests, waiting, last: AtomicU32::new(0) }
    }

    /// Has `action` done with the mailbox.
    pub fn ask(&self, action: &str, um_home: &Path) -> Seen {
        let number = self.last.fetch_add(1, Ordering::SeqCst);
        let (sender, answer) = mpsc::channel();
        self.waiting.lock().unwrap().insert(number, sender);
        let request = format!("{number}\t{action}\t{}\n", um_home.display());
        self.requests.lock().unwrap().as_mut().unwrap().write_all(request.as_bytes()).unwrap();
        let nothing = || Seen { id: "-".into(), cause: "-".into(), text: "no answer".into() };
        answer.recv_timeout(PATIENCE).unwrap_or_else(|_| nothing())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.requests.lock().unwrap().take());
        let _ = self.jvm.wait();
    }
}

/// The wrapper and the program, compiled once.
fn classes() -> &'static Path {
    static CLASSES: OnceLock<TempDir> = OnceLock::new();
    CLASSES.get_or_init(compiled).path()
}

fn compiled() -> TempDir {
    let classes = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = "um/imap/oauth2";
    let sources = fs::read_dir(root.join("java/src/main/java").join(package)).unwrap();
    let sources = sources.map(|entry| entry.unwrap().path());
    let sources = sources.filter(|path| path.extension().is_some_and(|ending| ending == "java"));
    let mut javac = Command::new("javac");
    javac.args(["--release", "11", "-encoding", "UTF-8", "-Xlint:all", "-Werror", "-d"]).arg(classes.path());
    let compiled = javac.args(sources).arg(root.join("tests/catalogue/Driver.java")).status().unwrap();
    assert!(compiled.success());
    fs::write(classes.path().join(package).join("version"), env!("CARGO_PKG_VERSION")).unwrap();
    classes
}

/// Cargo builds it together with this test, beside it.
fn library() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libum_imap_oauth2.so")
}

const PATIENCE: Duration = Duration::from_secs(120);
