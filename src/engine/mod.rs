//! The rules: which messages are fetched when, what is changed on the server when, and what is never repeated.
//!
//! [`Engine::handle`] takes what has happened and returns what is to be done. The engine has no thread, socket, file, lock or
//! clock, and it never sees a message's octets: it knows UIDs, sizes and arrivals. So every history can be played in a test.
//!
//! | module | rules |
//! | --- | --- |
//! | `plan` | what is done now: connecting, and the next commands |
//! | `calls`, `close` | what callers wait for, and the end |
//! | `claim`, `journal` | lock and journal; nothing is told to the server before it is on the disk |
//! | `link` | connections: when one is made, what its loss means, when the server is left alone |
//! | `answers`, `queries` | where the server's answers go; the driver's questions |
//! | `fetch`, `progress`, `window` | which messages are asked for, and how many at a time |
//! | `decisions`, `settle`, `batch_size` | decisions become changes on the server |
//! | `verify`, `copy` | whether a UID still names the same message, whether a copy was made |

mod answers;
mod batch_size;
mod calls;
mod claim;
mod close;
mod copy;
mod decisions;
pub mod effect;
mod fetch;
mod history;
pub mod input;
mod journal;
mod link;
mod pipeline;
mod plan;
pub mod problem;
mod progress;
mod queries;
pub mod record;
mod settle;
pub mod time;
mod verify;
pub mod window;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::imap::folders::Folders;
use crate::imap::session::Capabilities;
use crate::imap::uids::{Uid, UidSet, UidValidity};

use batch_size::BatchSize;
use calls::Calls;
use claim::Claim;
use copy::CopyStage;
use decisions::Decisions;
use effect::{Change, Effect, Report};
pub use history::History;
use input::{CommandId, FetchId, Input};
use journal::Journal;
use link::Link;
use pipeline::Pipeline;
use problem::Problem;
use progress::FetchProgress;
use record::{Identity, Pending, Seq};
use time::Time;
use verify::Comparison;
use window::Queue;

/// What does not change while a mailbox is open.
#[derive(Debug, Clone)]
pub struct Settings {
    pub read_only: bool,
    /// Only messages without `\Seen` are fetched.
    pub unseen_only: bool,
    /// Octets of messages in memory.
    pub buffer: usize,
    /// Commands in flight.
    pub pipeline: usize,
    /// How long a fetch goes on without getting anything.
    pub patience: Duration,
    /// How long a server may ask, again and again, to be left alone, before a call ends by it.
    pub throttled: Duration,
    /// How long closing may take to carry out decisions.
    pub close: Duration,
    /// The folders to which outcomes lead, each with the property that names it.
    pub targets: Vec<(String, String)>,
    /// There is a work directory.
    pub directory: bool,
    /// Decisions are to be written to a journal.
    pub journal: bool,
    /// The login is by password.
    pub password: bool,
    /// A hash of what a login depends on.
    pub fingerprint: u64,
    /// Pauses differ by it.
    pub seed: u64,
}

/// The rules of one open mailbox.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    now: Time,
    phase: Phase,
    link: Link,
    /// Connections so far.
    links: u64,
    last_command: u64,
    /// No connection is made before this time without a call for it.
    not_before: Option<Time>,
    /// Nothing is sent before this time.
    pause_until: Option<Time>,
    /// Since when the server has asked to be left alone without doing anything in between.
    throttled_since: Option<Time>,
    /// The connection was lost with decisions on it, and another one made at once.
    reconnected_for_decisions: bool,
    refused_credentials: bool,
    random: u64,
    pipeline: Pipeline,

    calls: Calls,
    fetch: Fetch,
    progress: Option<FetchProgress>,
    /// A fetch that a refused credential has ended, and that goes on with another one.
    resumable: Option<FetchProgress>,
    queue: Queue,
    /// A command whose answer is a list of UIDs is in flight; two could not be told apart.
    searching: bool,
    /// UIDs in the answer to the SEARCH in flight.
    found_in_search: u64,
    /// Messages in the answer to the FETCH of all flags.
    listed: u64,
    /// Messages at which something went wrong: the next fetch asks for them last.
    suspects: UidSet,
    reported_vanished: bool,

    uid_validity: Option<UidValidity>,
    /// Messages that were delivered and not settled.
    delivered: BTreeMap<Uid, Delivered>,
    highest: Option<Uid>,
    /// Messages that were read on a connection that is lost.
    unsure: UidSet,
    /// Messages that were decided about since the last SEARCH: they are not delivered, even if it found them.
    decided: UidSet,

    decisions: Decisions,
    /// They became due after it was planned what is done now.
    made_due: bool,
    batch_size: BatchSize,
    /// A change of the batch under way that waits for the disk.
    waiting_change: Option<(Change, Seq)>,
    /// Messages of the batch under way that left the folder, and that were copied.
    gone: UidSet,
    copied: UidSet,
    unproven_since: Option<Time>,
    proof_line: String,
    reported_marks: bool,
    comparison: Comparison,
    copy_check: Option<CopyStage>,

    claim: Claim,
    journal: Journal,
    /// The disk does not answer: up to this number, callers did not wait for their records.
    journal_hangs: Option<Seq>,
    journal_problem: Option<Problem>,
    /// What an earlier process left, until the mailbox's UIDVALIDITY is known.
    inherited: Vec<Pending>,
    /// Decisions became void, and it is not known yet in which file they are kept.
    unkept: Option<Problem>,
    /// Decisions became void; the next flush says so.
    void: Option<Problem>,

    history: History,
    counters: Counters,
    effects: Vec<Effect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closing { until: Time },
    Closed,
}

/// A connection with a selected inbox.
#[derive(Debug)]
struct Session {
    capabilities: Capabilities,
    folders: Folders,
    inbox: String,
    exists: u32,
    in_flight: VecDeque<(CommandId, Purpose)>,
    /// The folders of the configuration that were not looked at yet.
    folders_to_make: VecDeque<(String, String)>,
    /// Another folder than the inbox is selected.
    elsewhere: bool,
}

/// The reason for which a command was sent.
#[derive(Debug, Clone, PartialEq)]
enum Purpose {
    MakeFolder { configured: String, name: String },
    Noop { fetch: FetchId },
    Search { fetch: FetchId },
    AllFlags { fetch: FetchId },
    Sizes { fetch: FetchId },
    Bodies { fetch: FetchId, uids: UidSet },
    Doubts { fetch: FetchId },
    CreateTarget { name: String },
    TargetBefore,
    Change,
    ProveNoop,
    ProvePresent,
    Headers { uids: UidSet },
    SilentPresent,
    TargetAfter,
    ExamineTarget,
    ReadTarget,
    Reselect,
}

impl Purpose {
    fn fetch(&self) -> Option<FetchId> {
        match self {
            Purpose::Noop { fetch }
            | Purpose::Search { fetch }
            | Purpose::AllFlags { fetch }
            | Purpose::Sizes { fetch }
            | Purpose::Bodies { fetch, .. }
            | Purpose::Doubts { fetch } => Some(*fetch),
            _ => None,
        }
    }

    fn step(&self) -> crate::failure::Step {
        use crate::failure::Step;
        match self {
            Purpose::MakeFolder { .. } | Purpose::CreateTarget { .. } => Step::Folders,
            Purpose::Noop { .. } | Purpose::Search { .. } | Purpose::AllFlags { .. } => Step::Search,
            Purpose::Sizes { .. } | Purpose::Bodies { .. } | Purpose::Doubts { .. } => Step::Fetch,
            _ => Step::Settle,
        }
    }
}

/// The fetch that callers see.
#[derive(Debug)]
struct Fetch {
    id: FetchId,
    phase: FetchPhase,
    found: u64,
    /// When callers last got a message that they had waited for.
    delivered_at: Option<Time>,
}

#[derive(Debug)]
enum FetchPhase {
    Requested,
    Running,
    Ended(Result<(), Problem>),
}

#[derive(Debug, Clone, Copy)]
struct Delivered {
    identity: Identity,
    /// A later SEARCH has not found it: it is gone, or somebody has read it.
    missed: bool,
}

/// Counts since the mailbox was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub messages: u64,
    pub settled: u64,
}

/// How the mailbox is doing, beside its [`History`].
#[derive(Debug, Clone, PartialEq)]
pub struct Facts<'a> {
    pub history: &'a History,
    /// Since when nothing comes, and why.
    pub trouble: Option<(Time, &'a Problem)>,
    pub pending: u64,
    /// Why decisions wait.
    pub refusal: Option<&'a Problem>,
    pub journal: Option<&'a Problem>,
    pub counters: Counters,
}

impl Engine {
    pub fn new(settings: Settings, history: History) -> Self {
        Self {
            now: Time::default(),
            phase: Phase::Open,
            link: Link::Down,
            links: 0,
            last_command: 0,
            not_before: None,
            pause_until: None,
            throttled_since: None,
            reconnected_for_decisions: false,
            refused_credentials: false,
            random: settings.seed,
            pipeline: Pipeline::new(settings.pipeline),
            calls: Calls::default(),
            fetch: Fetch {
                id: FetchId::default(),
                phase: FetchPhase::Ended(Ok(())),
                found: 0,
                delivered_at: None,
            },
            progress: None,
            resumable: None,
            queue: Queue::default(),
            searching: false,
            found_in_search: 0,
            listed: 0,
            suspects: UidSet::new(),
            reported_vanished: false,
            uid_validity: None,
            delivered: BTreeMap::new(),
            highest: None,
            unsure: UidSet::new(),
            decided: UidSet::new(),
            decisions: Decisions::default(),
            made_due: false,
            batch_size: BatchSize::new(history.batch_size),
            waiting_change: None,
            gone: UidSet::new(),
            copied: UidSet::new(),
            unproven_since: None,
            proof_line: String::new(),
            reported_marks: false,
            comparison: Comparison::default(),
            copy_check: None,
            claim: Claim::None,
            journal: Journal::default(),
            journal_hangs: None,
            journal_problem: None,
            inherited: Vec::new(),
            unkept: None,
            void: None,
            history,
            counters: Counters::default(),
            effects: Vec::new(),
            settings,
        }
    }

    /// Takes one input and returns everything that is to be done for it, in this order.
    pub fn handle(&mut self, input: Input, now: Time) -> Vec<Effect> {
        self.now = self.now.max(now);
        if self.phase == Phase::Closed {
            self.handle_after_the_end(input);
            return std::mem::take(&mut self.effects);
        }
        match input {
            Input::Call(id, call) => self.call(id, call),
            Input::Abandon(id) => _ = self.calls.waiting.remove(&id),
            Input::Renewed => self.renewed(),
            Input::Close => self.close(),
            Input::Connected(connected) => self.connected(connected),
            Input::Lost(failure) => self.lost(failure),
            Input::Session(event) => self.session_event(event),
            Input::Files(event) => self.file_event(event),
            Input::Timer => {}
        }
        self.act_on_time();
        if self.phase != Phase::Closed {
            self.plan();
        }
        self.answer_fetches();
        self.deliver_waiting();
        // A caller at the end of a fetch makes its decisions due.
        if std::mem::take(&mut self.made_due) && self.phase != Phase::Closed {
            self.plan();
        }
        self.answer_settles();
        self.answer_flushes();
        std::mem::take(&mut self.effects)
    }

    fn report(&mut self, report: Report) {
        self.effects.push(Effect::Report(report));
    }

    /// Another credential is in use: a fetch that had begun goes on.
    fn renewed(&mut self) {
        self.refused_credentials = false;
        self.not_before = None;
        if self.resumable.as_ref().is_some_and(|progress| progress.id == self.fetch.id) {
            self.fetch.phase = FetchPhase::Requested;
        }
    }
}
