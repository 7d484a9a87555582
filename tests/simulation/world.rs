//! Plays one history: the real engine against a server, a disk, callers and the passing of time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use um_imap_oauth2::engine::effect::{Ask, Change, Durable, Effect, Reply, Report};
use um_imap_oauth2::engine::input::{
    Arrival, Call, CallId, CommandId, Connected, Event, Input, Placement, Stored,
};
use um_imap_oauth2::engine::problem::Problem;
use um_imap_oauth2::engine::record::{Action, FileEvent, FileWork, Mark, Record};
use um_imap_oauth2::engine::time::Time;
use um_imap_oauth2::engine::window::OF_A_MESSAGE;
use um_imap_oauth2::engine::{Engine, History, Settings};
use um_imap_oauth2::failure::{Failure, Kind, Step};
use um_imap_oauth2::imap::folders::Folders;
use um_imap_oauth2::imap::session::Capabilities;
use um_imap_oauth2::imap::uids::{Uid, UidValidity};

use crate::callers::{Act, Caller, Handle, Waiting, action};
use crate::disk::MemoryDisk;
use crate::files::{Disk, DiskFaults, Files};
use crate::ledger::Ledger;
use crate::plan::{Knob, Plan};
use crate::random::Random;
use crate::real::RealFiles;
use crate::server::{Command, INBOX, Message, Server, Wire};

mod calls;
mod checks;
mod connection;
mod effects;

/// Something that happens at a time.
#[derive(Debug)]
enum Happening {
    Connect { process: u64, link: u64 },
    Serve { link: u64 },
    Deliver { link: u64, wire: Wire },
    Late(Vec<Command>),
    Files { process: u64 },
    Caller { process: u64, caller: usize },
    Arrival,
    Foreign,
    Fault(Knob),
    Start,
    FaultsEnd,
}

/// The connection.
#[derive(Debug)]
struct Link {
    number: u64,
    commands: VecDeque<(CommandId, Command)>,
    serving: bool,
    /// When the last octet comes of what was sent so far.
    last: Time,
    silent: bool,
}

/// A message that the driver keeps for a caller.
#[derive(Debug)]
struct Kept {
    handle: Handle,
    memory: usize,
}

struct Process {
    number: u64,
    engine: Engine,
    files: Files,
    link: Option<Link>,
    kept: HashMap<u32, Kept>,
    arriving: Option<(u32, Kept)>,
    uid_validity: u32,
    callers: Vec<Caller>,
    last_call: u64,
    closing: Option<Time>,
    /// The thread of the files answers again at this time.
    files_busy: bool,
    file_given: Option<Time>,
    /// The journal holds what is promised, as far as the engine was told.
    journal_lost: bool,
    stopped: bool,
}

pub struct World<'a> {
    pub plan: &'a Plan,
    pub now: Time,
    queue: BTreeMap<(Time, u64), Happening>,
    scheduled: u64,
    random: Random,
    disk_random: Random,
    caller_random: Random,
    pub server: Server,
    pub disk: Disk,
    pub ledger: Ledger,
    process: Option<Process>,
    processes: u64,
    links: u64,
    settings: Settings,
    faults: bool,
    finishing: Option<Time>,
    finished: bool,
    idle_timers: u32,
    pub steps: u64,
    pub trace: Option<Vec<String>>,
}

/// The longest that a call may wait, whatever happens: commands that hang one after the other, each to its limit.
const LONGEST_CALL: Duration = Duration::from_secs(3_600);
/// How long the world takes at most to carry out everything once faults have stopped.
const LONGEST_END: Duration = Duration::from_secs(4 * 3_600);

/// Inputs of one history. The longest that end need a tenth of it.
const MOST_STEPS: u64 = 30_000;

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan, trace: bool) -> Self {
        let mut random = Random::new(plan.seed, 3);
        let buffer = if plan.is(Knob::SmallBuffer) { 1 << 20 } else { 16 << 20 };
        let settings = Settings {
            read_only: false,
            unseen_only: plan.is(Knob::UnseenOnly),
            buffer,
            pipeline: if plan.is(Knob::NoPipeline) { 1 } else { 2 },
            patience: Duration::from_secs(if plan.is(Knob::Impatient) { 20 } else { 300 }),
            throttled: Duration::from_secs(600),
            close: Duration::from_secs(1),
            targets: vec![("cmsbs.bounce".into(), "Bounces".into()), ("cmsbs.other".into(), "Other".into())],
            directory: !plan.is(Knob::NoDirectory),
            journal: !plan.is(Knob::NoJournal),
            password: false,
            fingerprint: 7,
            seed: random.next(),
        };
        let mut world = Self {
            plan,
            now: Time::default(),
            queue: BTreeMap::new(),
            scheduled: 0,
            disk_random: Random::new(plan.seed, 4),
            caller_random: Random::new(plan.seed, 5),
            server: Server::new(plan),
            disk: Disk::default(),
            ledger: Ledger::default(),
            process: None,
            processes: 0,
            links: 0,
            settings,
            faults: true,
            finishing: None,
            finished: false,
            idle_timers: 0,
            steps: 0,
            trace: trace.then(Vec::new),
            random,
        };
        world.write_old_journal();
        world.schedule_plan();
        world
    }

    /// An older version has left decisions.
    fn write_old_journal(&mut self) {
        let uid_validity = self.server.uid_validity();
        let inbox = self.server.inbox().messages.clone();
        for (uid, message) in inbox {
            let Some(action) =
                action(message.id, "Bounces").filter(|_| self.random.chance(self.plan.get(Knob::Version1)))
            else {
                continue;
            };
            let identity =
                um_imap_oauth2::engine::record::Identity { mark: Default::default(), ..message.identity };
            let record = Record::Decided {
                uid_validity: UidValidity::new(uid_validity).unwrap_or_else(|| unreachable!()),
                uid: Uid::new(uid).unwrap_or_else(|| unreachable!()),
                identity,
                action: action.clone(),
            };
            self.disk.written.push(record);
            self.ledger.decide(message.id, action, (uid_validity, uid), identity, 0);
            self.ledger.answered(message.id, (uid_validity, uid), true, true);
        }
        self.disk.synced = self.disk.written.clone();
        if self.plan.is(Knob::RealFiles) {
            let memory = MemoryDisk::new();
            self.disk.memory = Some(memory.clone());
            let mut writer = RealFiles::new(&memory, true);
            let records = self.disk.written.clone();
            writer.write(records);
            writer.kill();
        }
    }

    fn schedule_plan(&mut self) {
        let end = u64::from(self.plan.get(Knob::Seconds)) * 1_000;
        self.schedule(0, Happening::Start);
        self.schedule(end, Happening::FaultsEnd);
        for _ in 0..self.plan.get(Knob::Arrivals) {
            let at = self.random.below(end);
            self.schedule(at, Happening::Arrival);
        }
        for _ in 0..self.plan.get(Knob::Foreign) {
            let at = self.random.below(end);
            self.schedule(at, Happening::Foreign);
        }
        for knob in [
            Knob::Kills,
            Knob::PowerLosses,
            Knob::Closes,
            Knob::FoldersLost,
            Knob::ValidityChanges,
            Knob::Recreations,
            Knob::DirectoryLost,
            Knob::Renewals,
        ] {
            for _ in 0..self.plan.get(knob) {
                // Most of a history is over soon, if nothing goes wrong.
                let span = if self.random.chance(500) { end.min(3_000) } else { end };
                let at = self.random.below(span);
                self.schedule(at, Happening::Fault(knob));
            }
        }
    }

    fn schedule(&mut self, milliseconds: u64, happening: Happening) {
        self.schedule_at(self.now + Duration::from_millis(milliseconds), happening);
    }

    fn schedule_at(&mut self, time: Time, happening: Happening) {
        self.scheduled += 1;
        self.queue.insert((time, self.scheduled), happening);
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>10}  {}", self.now.to_string(), line()));
        }
    }

    /// Plays until everything is carried out, or a promise is broken.
    pub fn play(&mut self) {
        while !self.finished && self.ledger.violation.is_none() {
            let timer = self.process.as_ref().and_then(|process| process.engine.next_timer());
            let next = self.queue.first_key_value().map(|(&(time, _), _)| time);
            let (Some(time), is_timer) = (match (timer, next) {
                (Some(timer), Some(next)) if timer <= next => (Some(timer), true),
                (Some(timer), None) => (Some(timer), true),
                (_, next) => (next, false),
            }) else {
                return self.ledger.violated("nothing happens any more");
            };
            self.now = self.now.max(time);
            if self.steps > MOST_STEPS * u64::from(1 + self.plan.get(Knob::ManyMessages) / 30) {
                return self.ledger.violated("it never ends");
            }
            if is_timer {
                self.idle_timers += 1;
                if self.idle_timers > 1_000 {
                    return self.ledger.violated("the timer fires again and again without an effect");
                }
                self.handle(Input::Timer);
            } else if let Some((_, happening)) = self.queue.pop_first() {
                self.happen(happening);
            }
            self.check();
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Connect { process, link } => self.connect(process, link),
            Happening::Serve { link } => self.serve(link),
            Happening::Deliver { link, wire } => self.deliver(link, wire),
            Happening::Late(commands) => {
                self.note(|| format!("S: carries out late {commands:?}"));
                self.server.serve_late(self.plan, &mut self.ledger, &commands);
            }
            Happening::Files { process } => self.work_on_files(process),
            Happening::Caller { process, caller } => self.caller_acts(process, caller),
            Happening::Arrival => self.server.arrive(self.plan),
            Happening::Foreign => {
                let what = self.server.foreign(&mut self.ledger);
                self.note(|| format!("another client: {what}"));
            }
            Happening::Fault(knob) if self.faults => self.fault(knob),
            Happening::Fault(_) => {}
            Happening::Start => self.start(),
            Happening::FaultsEnd => self.end_faults(),
        }
    }

    fn fault(&mut self, knob: Knob) {
        self.note(|| format!("*** {knob:?}"));
        match knob {
            Knob::Kills => self.kill(),
            Knob::PowerLosses => {
                self.kill();
                self.disk.lose_power(&mut self.disk_random);
                self.take_losses();
            }
            Knob::Closes => {
                if let Some(process) = self.process.as_mut().filter(|process| process.closing.is_none()) {
                    process.closing = Some(self.now);
                    self.handle(Input::Close);
                }
            }
            Knob::FoldersLost => {
                self.server.folders.remove("Bounces");
                if self.random.chance(500) {
                    self.server.create("Bounces");
                }
                if self.server.selected == "Bounces" {
                    self.cut("the selected folder was removed");
                }
            }
            Knob::ValidityChanges => {
                self.server.change_validity(&mut self.ledger);
                self.drop_late();
                self.cut("the mailbox was changed");
            }
            Knob::Recreations => {
                self.server.recreate(self.plan);
                self.drop_late();
                self.cut("the mailbox was made again");
            }
            Knob::DirectoryLost => {
                self.disk.remove();
                self.take_losses();
                if let Some(process) = &mut self.process {
                    process.files.replaced = true;
                    process.journal_lost = true;
                }
            }
            _ => self.handle(Input::Renewed),
        }
    }

    fn take_losses(&mut self) {
        for place in std::mem::take(&mut self.disk.lost) {
            self.ledger.record_lost(place);
        }
        if let Some(what) = self.disk.broken.take() {
            self.ledger.violated(what);
        }
    }

    fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            if let Some(real) = &process.files.real {
                real.kill();
            }
            self.ledger.process_ended();
            if let Some(link) = process.link {
                self.leave(link);
            }
            let pause = self.random.below(2_000);
            self.schedule(pause, Happening::Start);
        }
    }

    /// What is on its way to the server may be carried out later.
    fn leave(&mut self, link: Link) {
        let commands: Vec<Command> = link.commands.into_iter().map(|(_, command)| command).collect();
        if !commands.is_empty() && self.server.fault(self.plan, Knob::Late) {
            let delay = self.random.below(5_000);
            self.schedule(delay, Happening::Late(commands));
        }
    }

    /// Commands of older connections mean the mailbox that was there.
    fn drop_late(&mut self) {
        self.queue.retain(|_, happening| !matches!(happening, Happening::Late(_)));
    }

    fn cut(&mut self, why: &str) {
        let now = self.now;
        if let Some(link) = self.process.as_mut().and_then(|process| process.link.as_mut()) {
            link.silent = true;
            link.commands.clear();
            let number = link.number;
            self.queue.retain(|_, happening| {
                !matches!(happening, Happening::Deliver { .. } | Happening::Serve { .. })
            });
            self.schedule_at(now, Happening::Deliver { link: number, wire: Wire::Cut(network(why)) });
        }
    }

    fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.begin_process(History::default());
    }

    fn begin_process(&mut self, history: History) {
        self.processes += 1;
        let number = self.processes;
        self.note(|| format!("--- process {number}"));
        let callers = if self.finishing.is_some() { 1 } else { self.plan.get(Knob::Callers).max(1) };
        let callers: Vec<Caller> = (0..callers)
            .map(|_| Caller { thorough: self.finishing.is_some(), ..Caller::default() })
            .collect();
        for caller in 0..callers.len() {
            self.schedule(caller as u64 * 100, Happening::Caller { process: number, caller });
        }
        let real = self.disk.memory.as_ref().map(|memory| RealFiles::new(memory, self.settings.journal));
        self.process = Some(Process {
            number,
            engine: Engine::new(self.settings.clone(), history),
            files: Files { real, ..Files::default() },
            link: None,
            kept: HashMap::new(),
            arriving: None,
            uid_validity: 0,
            callers,
            last_call: 0,
            closing: None,
            files_busy: false,
            file_given: None,
            journal_lost: false,
            stopped: false,
        });
    }

    fn end_faults(&mut self) {
        self.note(|| "=== faults end".into());
        self.faults = false;
        self.server.faulty = false;
        self.finishing = Some(self.now);
        let Some(process) = &mut self.process else { return };
        let left = process.callers.split_off(1);
        for caller in &mut process.callers {
            (caller.thorough, caller.idle, caller.failed) = (true, 0, true);
        }
        let number = process.number;
        if let Some(caller) = process.callers.first()
            && caller.waiting.is_none()
        {
            self.schedule(0, Happening::Caller { process: number, caller: 0 });
        }
        for (id, ..) in left.into_iter().filter_map(|caller| caller.waiting) {
            self.handle(Input::Abandon(id));
        }
        let hangs = process_hangs(&self.process);
        if hangs {
            self.schedule(0, Happening::Files { process: number });
        }
    }
}

fn process_hangs(process: &Option<Process>) -> bool {
    process.as_ref().is_some_and(|process| process.files_busy)
}

fn network(why: &str) -> Failure {
    Failure::new(Step::Fetch, Kind::Network, why)
}

/// Says whether a decision may wait for ever because its message cannot be recognised.
pub fn is_unclear(problem: &Problem) -> bool {
    matches!(problem, Problem::NothingToCompare { .. } | Problem::CopyInDoubt { .. })
}
