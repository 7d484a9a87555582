//! What callers and threads of a mailbox share: the engine, and the effects that wait to be performed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Authentication, MailboxConfig};
use crate::engine::effect::{Effect, Reply, Report};
use crate::engine::input::{Call, CallId, CommandId, Input};
use crate::engine::record::FileWork;
use crate::engine::time::Time;
use crate::engine::{Engine, problem::Problem};
use crate::failure::{Failure, Kind, Result, Step, panicked};
use crate::imap::commands::Command;
use crate::imap::limits::{self, Times};
use crate::imap::uids::Uid;
use crate::log::Log;
use crate::message;
use crate::net::{Cancel, Trust, no_thread};
use crate::token::Expiry;

use super::connect::Connector;
use super::files::{self, FileWorker};
use super::message::Message;
use super::signal::Signal;
use super::wording::Wording;
use super::{commands, health, network};

pub(super) struct Shared {
    pub config: MailboxConfig,
    pub read_only: bool,
    pub times: Times,
    pub trust: Trust,
    pub log: Log,
    pub wording: Wording,
    pub connector: Arc<dyn Connector>,
    core: Mutex<Core>,
    /// A reply has come, or a thread has ended.
    for_callers: Signal,
    /// There is work for the network thread.
    for_network: Signal,
    /// There is work for the file thread.
    for_files: Signal,
}

/// Everything that changes.
pub(super) struct Core {
    pub engine: Engine,
    /// Messages that wait for a caller.
    pub messages: HashMap<Uid, Message>,
    /// The message that the engine is told of, until it says whether to keep it.
    arriving: Option<Message>,
    replies: BTreeMap<CallId, Reply>,
    last_call: u64,
    pub network_work: VecDeque<NetworkWork>,
    pub file_work: VecDeque<FileWork>,
    /// `status.json` is to be written now, or at this time.
    status_due: Option<Instant>,
    /// Mail was looked for, so there is something to write into `status.json`.
    pub asked: bool,
    /// The connection in use, or being made. Its number changes with each.
    pub link: u64,
    cancel: Cancel,
    network: Thread,
    files: Thread,
    /// When the network thread wakes up by itself.
    network_wakes: Option<Time>,
    worker: Option<Box<dyn FileWorker>>,
    /// A thread has panicked; nothing works any more.
    pub broken: Option<Failure>,
    /// The configured login with a newer credential.
    pub renewed: Option<Authentication>,
    /// What the server wants the administrator to see, on this connection or the last one (RFC 9051 §7.1).
    pub alerts: Vec<String>,
    /// The end of the credential in use, and when that was looked up.
    pub credential: Option<(Instant, Option<Expiry>)>,
    closing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    NotStarted,
    Running,
    Stopped,
}

#[derive(Debug)]
pub(super) enum NetworkWork {
    Connect { link: u64 },
    Send { link: u64, id: CommandId, command: Command },
    LogOut,
    Disconnect,
    Stop,
}

/// The parts of a mailbox that reach outside.
pub(super) struct Outside {
    pub connector: Arc<dyn Connector>,
    pub files: Box<dyn FileWorker>,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "each is a field")]
    pub(super) fn new(
        config: MailboxConfig,
        read_only: bool,
        times: Times,
        trust: Trust,
        log: Log,
        wording: Wording,
        engine: Engine,
        outside: Outside,
    ) -> Self {
        let core = Core {
            engine,
            messages: HashMap::new(),
            arriving: None,
            replies: BTreeMap::new(),
            last_call: 0,
            network_work: VecDeque::new(),
            file_work: VecDeque::new(),
            status_due: None,
            asked: false,
            link: 0,
            cancel: Cancel::default(),
            network: Thread::NotStarted,
            files: Thread::NotStarted,
            network_wakes: None,
            worker: Some(outside.files),
            broken: None,
            renewed: None,
            alerts: Vec::new(),
            credential: None,
            closing: false,
        };
        Self {
            config,
            read_only,
            times,
            trust,
            log,
            wording,
            connector: outside.connector,
            core: Mutex::new(core),
            for_callers: Signal::default(),
            for_network: Signal::default(),
            for_files: Signal::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the engine and waits for its reply.
    pub(super) fn call(self: &Arc<Self>, call: Call) -> Result<Reply> {
        let mut core = self.lock();
        if let Some(broken) = &core.broken {
            return Err(broken.clone());
        }
        core.last_call += 1;
        let id = CallId(core.last_call);
        core.asked |= call == Call::Fetch;
        self.handle(&mut core, Input::Call(id, call));
        loop {
            if let Some(reply) = core.replies.remove(&id) {
                return Ok(reply);
            }
            if let Some(broken) = &core.broken {
                return Err(broken.clone());
            }
            core = self.wait_for_timer(core);
        }
    }

    /// Waits until something happens, and tells the engine when a time has come for which it waits.
    fn wait_for_timer<'a>(self: &'a Arc<Self>, core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        let timer = core.engine.next_timer();
        let mut core = match timer {
            None => self.for_callers.wait(core),
            Some(timer) => {
                let left = timer.since(now());
                if left.is_zero() { core } else { self.for_callers.wait_timeout(core, left) }
            }
        };
        if timer.is_some_and(|timer| timer <= now()) {
            self.handle(&mut core, Input::Timer);
        }
        core
    }

    /// Takes the message that a reply names.
    pub(super) fn take_message(&self, uid: Uid) -> Option<Message> {
        self.lock().messages.remove(&uid)
    }

    /// Tells the engine something, and performs what it wants done.
    pub(super) fn handle(self: &Arc<Self>, core: &mut Core, input: Input) {
        let effects = core.engine.handle(input, now());
        for effect in effects {
            self.perform(core, effect);
        }
        // A thread that sleeps longer than the engine wants is woken.
        let timer = core.engine.next_timer();
        if timer.is_some_and(|timer| core.network_wakes.is_none_or(|wakes| timer < wakes)) {
            self.for_network.notify();
        }
    }

    /// Tells the engine of a message that has arrived.
    pub(super) fn handle_arrival(self: &Arc<Self>, core: &mut Core, message: Option<Message>, input: Input) {
        core.arriving = message;
        self.handle(core, input);
        core.arriving = None;
        self.write_status(core, STATUS_PAUSE);
    }

    fn perform(self: &Arc<Self>, core: &mut Core, effect: Effect) {
        match effect {
            Effect::Connect => self.connect(core),
            Effect::Disconnect => {
                core.link += 1;
                core.cancel.cancel();
                self.network_work(core, NetworkWork::Disconnect);
            }
            Effect::LogOut => {
                core.link += 1;
                self.network_work(core, NetworkWork::LogOut);
            }
            Effect::Ask(id, ask) => {
                let (link, command) = (core.link, commands::ask(ask));
                self.network_work(core, NetworkWork::Send { link, id, command });
            }
            Effect::Change(id, change, _durable) => {
                let (link, command) = (core.link, commands::change(change));
                self.network_work(core, NetworkWork::Send { link, id, command });
            }
            Effect::Keep(uid) => {
                if let Some(message) = core.arriving.take() {
                    core.messages.insert(uid, message);
                }
            }
            Effect::Discard(uids) => uids.iter().for_each(|uid| _ = core.messages.remove(uid)),
            Effect::Reply(id, reply) => {
                core.replies.insert(id, reply);
                self.for_callers.notify();
            }
            Effect::Files(work) => self.file_work(core, work),
            Effect::Report(report) => {
                if let Report::Reconnecting(_) | Report::Waiting(_) = report {
                    self.write_status(core, STATUS_PAUSE);
                }
                let worked_before = core.engine.worked_before();
                self.wording.report(&self.log, report, worked_before);
            }
            Effect::WriteStatus => self.write_status(core, Duration::ZERO),
            Effect::Stop => {
                self.network_work(core, NetworkWork::Stop);
                if core.network == Thread::NotStarted {
                    core.network = Thread::Stopped;
                }
                self.for_callers.notify();
            }
        }
    }

    /// Shows texts that the server wants the administrator to see in the log, `health` and `status.json` (RFC 9051 §7.1).
    pub(super) fn show_alerts(self: &Arc<Self>, core: &mut Core, alerts: Vec<String>) {
        for alert in alerts {
            if core.alerts.len() < limits::LAST_LINES && !core.alerts.contains(&alert) {
                self.log.warning(message!(LogAlert, user = &self.config.user, alert = &alert));
                core.alerts.push(alert);
                self.write_status(core, STATUS_PAUSE);
            }
        }
    }

    fn connect(self: &Arc<Self>, core: &mut Core) {
        core.link += 1;
        core.cancel = Cancel::default();
        let link = core.link;
        if core.network == Thread::NotStarted {
            let shared = self.clone();
            let thread = thread::Builder::new().name("um-imap-oauth2".into());
            if let Err(error) = thread.spawn(move || shared.run(Role::Network)) {
                let failure = Failure::own(Step::Connect, Kind::Network, no_thread(&error));
                return self.handle(core, Input::Lost(failure));
            }
            core.network = Thread::Running;
        }
        self.network_work(core, NetworkWork::Connect { link });
    }

    fn network_work(&self, core: &mut Core, work: NetworkWork) {
        core.network_work.push_back(work);
        self.for_network.notify();
    }

    fn file_work(self: &Arc<Self>, core: &mut Core, work: FileWork) {
        let release = work == FileWork::Release;
        core.file_work.push_back(work);
        self.wake_files(core, release);
    }

    /// Has `status.json` written after this time.
    fn write_status(self: &Arc<Self>, core: &mut Core, after: Duration) {
        if core.asked {
            let due = Instant::now() + after;
            // Each message asks for it: the thread need not wake up for those that come before it is due.
            if core.status_due.is_none_or(|before| due < before) {
                core.status_due = Some(due);
                self.wake_files(core, false);
            }
        }
    }

    /// Starts the file thread if it is needed. Releasing needs none that has never worked.
    fn wake_files(self: &Arc<Self>, core: &mut Core, release: bool) {
        if core.files == Thread::NotStarted && release {
            core.files = Thread::Stopped;
            core.file_work.clear();
        }
        if core.files == Thread::NotStarted {
            let shared = self.clone();
            let thread = thread::Builder::new().name("um-imap-files".into());
            match thread.spawn(move || shared.run(Role::Files)) {
                Ok(_) => core.files = Thread::Running,
                Err(error) => {
                    core.file_work.clear();
                    let failure = Failure::own(Step::Storage, Kind::Storage, no_thread(&error));
                    let event = crate::engine::record::FileEvent::Unavailable(failure);
                    return self.handle(core, Input::Files(event));
                }
            }
        }
        self.for_files.notify();
    }

    /// Runs a thread of the mailbox. A panic ends the mailbox, not the process.
    fn run(self: Arc<Self>, role: Role) {
        let work = || match role {
            Role::Network => network::run(&self),
            Role::Files => files::run(&self),
        };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let mut core = self.lock();
        if let Err(panic) = ended {
            let failure = panicked(panic);
            core.broken = Some(failure.clone());
            // Reporting the panic may itself panic.
            let reported = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let failure = self.wording.failure(Problem::Failed(failure), false);
                core.broken = Some(failure.clone());
                self.log.error(message!(LogBroken, user = &self.config.user, failure = failure.shown()));
                core.cancel.cancel();
                self.write_status(&mut core, Duration::ZERO);
            }));
            if let Err(second) = reported {
                std::mem::forget(second);
            }
        }
        match role {
            Role::Network => core.network = Thread::Stopped,
            Role::Files => core.files = Thread::Stopped,
        }
        self.for_network.notify();
        self.for_files.notify();
        self.for_callers.notify();
    }

    /// Waits for the next work of the network thread; `None` if nothing is to be sent and the session may be read.
    pub(super) fn next_network_work(self: &Arc<Self>, reading: bool) -> Option<NetworkWork> {
        let mut core = self.lock();
        loop {
            if core.broken.is_some() {
                return Some(NetworkWork::Stop);
            }
            if let Some(work) = core.network_work.pop_front() {
                core.network_wakes = None;
                return Some(work);
            }
            if reading {
                return None;
            }
            let timer = core.engine.next_timer();
            core.network_wakes = timer.or(Some(NEVER));
            core = match timer.map(|timer| timer.since(now())) {
                None => self.for_network.wait(core),
                Some(Duration::ZERO) => core,
                Some(left) => self.for_network.wait_timeout(core, left),
            };
            if timer.is_some_and(|timer| timer <= now()) {
                self.handle(&mut core, Input::Timer);
            }
        }
    }

    /// Returns when the network thread must wake up from reading, after it has told the engine of a time that has come.
    pub(super) fn wake_time(self: &Arc<Self>) -> Instant {
        let mut core = self.lock();
        let timer = core.engine.next_timer();
        if timer.is_some_and(|timer| timer <= now()) {
            self.handle(&mut core, Input::Timer);
        }
        let left = core.engine.next_timer().map_or(LONGEST_READ, |timer| timer.since(now()));
        core.network_wakes = Some(now() + left);
        Instant::now() + left.clamp(SHORTEST_READ, LONGEST_READ)
    }

    /// Waits for the next work of the file thread; `None` at the end.
    pub(super) fn next_file_work(self: &Arc<Self>) -> Option<FileTask> {
        let mut core = self.lock();
        loop {
            if let Some(work) = core.file_work.pop_front() {
                return Some(FileTask::Work(work));
            }
            let due = core.status_due.map(|due| due.saturating_duration_since(Instant::now()));
            if due.is_some_and(|left| left.is_zero() || core.closing) {
                core.status_due = None;
                if core.engine.facts().trouble.is_some() && !core.closing {
                    // How an outage goes on is written down without anything happening.
                    core.status_due = Some(Instant::now() + STATUS_PAUSE);
                }
                return Some(FileTask::Status);
            }
            if core.broken.is_some() || core.closing && core.network == Thread::Stopped {
                return None;
            }
            core = match due {
                None => self.for_files.wait(core),
                Some(left) => self.for_files.wait_timeout(core, left),
            };
        }
    }

    pub(super) fn take_worker(&self) -> Option<Box<dyn FileWorker>> {
        self.lock().worker.take()
    }

    pub(super) fn cancel_of(&self, core: &Core) -> Cancel {
        core.cancel.clone()
    }

    /// Takes over another credential than the one that was refused. Returns whether it is another one.
    pub(super) fn renew(self: &Arc<Self>, fresh: &Authentication) -> bool {
        let mut core = self.lock();
        let Some(renewed) = core.authentication(&self.config).renewed_by(fresh) else {
            // Another thread may have been faster.
            return !core.engine.has_refused_credentials();
        };
        core.renewed = Some(renewed);
        core.credential = None;
        self.handle(&mut core, Input::Renewed);
        true
    }

    pub(super) fn report_unwritten_status(&self, failure: &Failure) {
        let user = &self.config.user;
        self.log.info(message!(LogStatusNotWritten, user = user, observed = failure.told()));
    }

    /// Begins to close the mailbox.
    pub(super) fn begin_close(self: &Arc<Self>) {
        let mut core = self.lock();
        if !std::mem::replace(&mut core.closing, true) {
            self.handle(&mut core, Input::Close);
        }
        self.for_files.notify();
    }

    /// Waits until both threads have ended, or until this time.
    pub(super) fn wait_closed(self: &Arc<Self>, until: Instant) {
        let mut core = self.lock();
        while core.network == Thread::Running || core.files == Thread::Running {
            let left = until.saturating_duration_since(Instant::now());
            // A disk that hangs must not hold up the caller.
            let files_hang = core.network != Thread::Running && core.engine.is_waiting_for_files();
            if left.is_zero() || files_hang {
                break;
            }
            let timer = core.engine.next_timer().map_or(left, |timer| timer.since(now()));
            core = self.for_callers.wait_timeout(core, left.min(timer.max(SHORTEST_READ)));
            self.handle(&mut core, Input::Timer);
        }
        core.cancel.cancel();
        health::keep(&self.config, core.engine.history());
    }
}

impl Core {
    pub(super) fn authentication<'a>(&'a self, config: &'a MailboxConfig) -> &'a Authentication {
        self.renewed.as_ref().unwrap_or(&config.authentication)
    }
}

#[derive(Clone, Copy)]
enum Role {
    Network,
    Files,
}

pub(super) enum FileTask {
    Work(FileWork),
    /// Write `status.json`.
    Status,
}

/// Returns the time since the first use in this process.
pub(super) fn now() -> Time {
    Time(ORIGIN.elapsed())
}

/// Returns a number that differs from call to call, for pauses that are not to be the same in two mailboxes.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    static CALLS: AtomicU64 = AtomicU64::new(0);
    RandomState::new().build_hasher().finish() ^ CALLS.fetch_add(1, Ordering::Relaxed)
}

static ORIGIN: once_cell::sync::Lazy<Instant> = once_cell::sync::Lazy::new(Instant::now);

const NEVER: Time = Time(Duration::MAX);

/// The network thread looks at least and at most this often whether something else is to be done while it reads.
const LONGEST_READ: Duration = Duration::from_secs(3600);
const SHORTEST_READ: Duration = Duration::from_millis(1);

/// `status.json` is written at most this often while nothing of note happens.
const STATUS_PAUSE: Duration = Duration::from_secs(5);
