//! Plays one history: the real engine against a server, a disk, callers and the passing of time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use um_imap_oauth2::engine::effect::{Ask, Change, Durable, Effect, Reply, Report};
use um_imap_oauth2::engine::input::{
    Arrival, Call, CallId, CommandId, Connected, Event, Input, Placement, Stored,
};
use um_imap_oauth2::engine::problem::Problem;
use um_imap_oauth2::engine::record::{Action, FileWork, Mark, Record};
use um_imap_oauth2::engine::time::Time;
use um_imap_oauth2::engine::window::OF_A_MESSAGE;
use um_imap_oauth2::engine::{Engine, History, Settings};
use um_imap_oauth2::failure::{Failure, Kind, Step};
use um_imap_oauth2::imap::folders::Folders;
use um_imap_oauth2::imap::session::Capabilities;
use um_imap_oauth2::imap::uids::{Uid, UidValidity};

use crate::callers::{Act, Caller, Handle, Waiting, action};
use crate::files::{Disk, DiskFaults, Files};
use crate::ledger::Ledger;
use crate::plan::{Knob, Plan};
use crate::random::Random;
use crate::server::{Command, INBOX, Message, Server, Wire};

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
            self.ledger.answered(message.id, true, true);
        }
        self.disk.synced = self.disk.written.clone();
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
            }
            Knob::ValidityChanges => {
                self.server.change_validity(&mut self.ledger);
                self.cut("the mailbox was changed");
            }
            Knob::Recreations => {
                self.server.recreate(self.plan);
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
    }

    fn kill(&mut self) {
        if let Some(process) = self.process.take() {
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
        self.process = Some(Process {
            number,
            engine: Engine::new(self.settings.clone(), history),
            files: Files::default(),
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

    // Calls.

    fn caller_acts(&mut self, number: u64, at: usize) {
        let Some(process) = self.process.as_mut().filter(|process| process.number == number) else { return };
        let Some(caller) = process.callers.get_mut(at).filter(|caller| caller.waiting.is_none()) else {
            return;
        };
        if process.closing.is_some() {
            return;
        }
        match caller.act(self.plan, &mut self.caller_random) {
            Act::Finished => {}
            Act::Rest(milliseconds) => {
                self.schedule(milliseconds, Happening::Caller { process: number, caller: at })
            }
            Act::Call(call, waiting) => {
                process.last_call += 1;
                let id = CallId(process.last_call);
                caller.waiting = Some((id, waiting, self.now));
                if let (Waiting::Settle(handle), Call::Settle { action: Some(action), .. }) =
                    (&waiting, &call)
                {
                    let place = (handle.uid_validity, handle.uid);
                    self.ledger.decide(handle.id, action.clone(), place, handle.identity, number);
                }
                self.note(|| format!("caller {at}: {call:?}"));
                self.handle(Input::Call(id, call));
                let abandons = self.faults && self.caller_random.chance(self.plan.get(Knob::Abandons));
                if abandons && !matches!(waiting, Waiting::Settle(_)) {
                    self.abandon(number, at, id);
                }
            }
        }
    }

    fn abandon(&mut self, number: u64, at: usize, id: CallId) {
        let Some(process) = self.process.as_mut() else { return };
        let Some(caller) = process.callers.get_mut(at) else { return };
        if caller.waiting.is_some_and(|(waiting, ..)| waiting == id) {
            caller.waiting = None;
            self.note(|| format!("caller {at}: does not wait any more"));
            self.handle(Input::Abandon(id));
            self.schedule(100, Happening::Caller { process: number, caller: at });
        }
    }

    fn replied(&mut self, id: CallId, reply: &Reply) {
        let promises = self.promises();
        let Some(process) = &mut self.process else { return };
        let number = process.number;
        let found = process
            .callers
            .iter_mut()
            .enumerate()
            .find(|(_, caller)| caller.waiting.is_some_and(|(waiting, ..)| waiting == id));
        let Some((at, caller)) = found else { return };
        let Some((_, waiting, _)) = caller.waiting.take() else { return };
        match (reply, waiting) {
            (Reply::Settle(result), Waiting::Settle(handle)) => {
                let accepted = matches!(result, Ok(true));
                let place = (handle.uid_validity, handle.uid);
                let decided = self.ledger.asked.contains_key(&handle.id);
                if accepted && decided && promises && !self.disk.holds(place.0, place.1) {
                    let done = self
                        .server
                        .inbox()
                        .messages
                        .get(&place.1)
                        .is_none_or(|message| message.id != handle.id);
                    if !done {
                        self.ledger.violated(format!(
                            "settle of message {} returned before it was written",
                            handle.id
                        ));
                    }
                }
                self.ledger.answered(handle.id, accepted, promises);
            }
            (Reply::Next(Ok(Some(uid))), Waiting::Next) => {
                let Some(kept) = process.kept.remove(&uid.get()) else {
                    return self.ledger.violated(format!("UID {uid} was delivered, but is not kept"));
                };
                let handle = kept.handle;
                // An older message with this name cannot be told from it any more.
                process.callers.iter_mut().for_each(|caller| {
                    caller
                        .held
                        .retain(|held| (held.uid_validity, held.uid) != (handle.uid_validity, handle.uid));
                });
                process.callers[at].held.push(handle);
                let settles = matches!(action(handle.id, "Bounces"), Some(Action::Move(_) | Action::Delete));
                if settles || !self.ledger.delivered.contains(&handle.id) {
                    process.callers[at].last_fetch += 1;
                }
                let place = (handle.uid_validity, handle.uid);
                self.ledger.delivered(handle.id, place, number, self.settings.unseen_only, promises);
            }
            _ => {}
        }
        let Some(process) = &mut self.process else { return };
        let pause = process.callers[at].replied(reply, &mut self.caller_random);
        self.schedule(pause, Happening::Caller { process: number, caller: at });
    }

    /// Says whether a decision that is accepted now is in the journal, as far as its users are told.
    fn promises(&self) -> bool {
        let Some(process) = &self.process else { return false };
        self.settings.directory
            && self.settings.journal
            && !process.journal_lost
            && process.engine.facts().journal.is_none()
    }

    // The connection.

    fn connect(&mut self, number: u64, link: u64) {
        let Some(process) = self.process.as_mut().filter(|process| process.number == number) else { return };
        if process.link.as_ref().is_none_or(|open| open.number != link) {
            return;
        }
        if self.server.fault(self.plan, Knob::ConnectFails) {
            let failures = [
                Failure::new(Step::Connect, Kind::Network, "connection refused"),
                Failure::new(Step::Login, Kind::Login, "NO AUTHENTICATE failed."),
                Failure::new(Step::Token, Kind::Token, "AADSTS7000222"),
                Failure::new(Step::Select, Kind::Refused, "NO It cannot be selected."),
                Failure::new(Step::Login, Kind::Throttled, "NO Request is throttled.")
                    .retry(um_imap_oauth2::failure::Retry::After(Duration::from_secs(20))),
            ];
            let failure = failures[self.random.below(5) as usize].clone();
            if let Some(process) = &mut self.process {
                process.link = None;
            }
            self.note(|| format!("S: {failure}"));
            return self.handle(Input::Lost(failure));
        }
        INBOX.clone_into(&mut self.server.selected);
        self.server.expunged = 0;
        let names = self.server.folders.keys().cloned().collect();
        let connected = Connected {
            uid_validity: UidValidity::new(self.server.uid_validity()).unwrap_or_else(|| unreachable!()),
            exists: self.server.inbox().messages.len() as u32,
            capabilities: Capabilities {
                r#move: !self.plan.is(Knob::NoMove),
                uidplus: !self.plan.is(Knob::NoUidplus),
            },
            folders: Folders { separator: Some('/'), names, junk: None },
            inbox: INBOX.to_owned(),
        };
        self.note(|| {
            format!(
                "S: connection {link}, UIDVALIDITY {}, {} messages",
                connected.uid_validity, connected.exists
            )
        });
        self.handle(Input::Connected(connected));
    }

    fn send(&mut self, id: CommandId, command: Command) {
        self.note(|| format!("C: {} {command:?}", id.0));
        let delay = self.random.below(30);
        let Some(link) = self.process.as_mut().and_then(|process| process.link.as_mut()) else {
            return self.ledger.violated(format!("a command without a connection: {command:?}"));
        };
        link.commands.push_back((id, command));
        if !link.serving && !link.silent {
            link.serving = true;
            let link = link.number;
            self.schedule(delay, Happening::Serve { link });
        }
    }

    fn serve(&mut self, number: u64) {
        let slowness = self.plan.get(Knob::Slowness);
        let Some(link) = self.process.as_mut().and_then(|process| process.link.as_mut()) else { return };
        if link.number != number || link.silent {
            return;
        }
        let Some((id, command)) = link.commands.pop_front() else {
            link.serving = false;
            return;
        };
        let wires = self.server.serve(self.plan, &mut self.ledger, id, &command);
        let Some(link) = self.process.as_mut().and_then(|process| process.link.as_mut()) else { return };
        let mut time = link.last.max(self.now);
        let step =
            Duration::from_millis(self.random.below(1 + u64::from(slowness) / (1 + wires.len() as u64)));
        let mut scheduled = Vec::new();
        for wire in wires {
            time = time + step;
            if let Wire::Silence = wire {
                link.silent = true;
                let failure = Failure::new(Step::Fetch, Kind::Timeout, "the server does not answer");
                scheduled.push((time + command_time(&command), Wire::Cut(failure)));
            } else {
                link.silent |= matches!(wire, Wire::Cut(_));
                scheduled.push((time, wire));
            }
        }
        link.last = time;
        let silent = link.silent;
        for (time, wire) in scheduled {
            self.schedule_at(time, Happening::Deliver { link: number, wire });
        }
        if !silent {
            self.schedule_at(time, Happening::Serve { link: number });
        }
    }

    fn deliver(&mut self, number: u64, wire: Wire) {
        let Some(process) = &mut self.process else { return };
        if process.link.as_ref().is_none_or(|link| link.number != number) {
            return;
        }
        match wire {
            Wire::Event(event) => {
                self.note(|| format!("S: {event:?}"));
                self.handle(Input::Session(event));
            }
            Wire::Body { uid, message } => self.deliver_body(uid, message),
            Wire::Cut(failure) => {
                process.link = None;
                self.note(|| format!("S: *** {failure}"));
                self.handle(Input::Lost(failure));
            }
            Wire::Silence => {}
        }
    }

    fn deliver_body(&mut self, uid: u32, message: Message) {
        self.note(|| format!("S: UID {uid} is message {}, {} octets", message.id, message.octets));
        let file_fails = self.server.fault(self.plan, Knob::FileFails);
        let Some(process) = &mut self.process else { return };
        let octets = message.octets as usize + OF_A_MESSAGE;
        let stored = match process.engine.placement(octets as u64) {
            Placement::Memory => Stored::Memory(octets),
            Placement::File if file_fails => Stored::Failed("ENOSPC".into()),
            Placement::File => Stored::File,
            Placement::PassOver => Stored::PassedOver(message.octets),
        };
        let memory = if let Stored::Memory(octets) = stored { octets } else { 0 };
        let handle =
            Handle { id: message.id, uid_validity: process.uid_validity, uid, identity: message.identity };
        process.arriving = Some((uid, Kept { handle, memory }));
        let uid = Uid::new(uid).unwrap_or_else(|| unreachable!());
        self.handle(Input::Session(Event::Arrived(Arrival { uid, identity: message.identity, stored })));
        if let Some(process) = &mut self.process {
            process.arriving = None;
        }
    }

    // Files.

    fn give_files(&mut self, work: FileWork) {
        self.note(|| format!("disk: {work:?}"));
        let Some(process) = &mut self.process else { return };
        process.files.work.push_back(work);
        process.file_given.get_or_insert(self.now);
        if !std::mem::replace(&mut process.files_busy, true) {
            self.schedule_files();
        }
    }

    fn schedule_files(&mut self) {
        let Some(process) = &self.process else { return };
        let number = process.number;
        let hangs = self.server.fault(self.plan, Knob::DiskHangs);
        let delay = if hangs {
            [2_000, 8_000, 15_000, 700_000][self.disk_random.below(4) as usize]
        } else {
            self.disk_random.below(1 + u64::from(self.plan.get(Knob::DiskSlow)))
        };
        self.schedule(delay, Happening::Files { process: number });
    }

    fn work_on_files(&mut self, number: u64) {
        let faults = DiskFaults {
            fails: self.server.fault(self.plan, Knob::DiskFails),
            busy: self.server.fault(self.plan, Knob::Busy),
        };
        let Some(process) = self.process.as_mut().filter(|process| process.number == number) else { return };
        let event = process.files.perform(&mut self.disk, faults, &mut self.disk_random);
        process.file_given = (!process.files.work.is_empty()).then_some(self.now);
        process.files_busy = !process.files.work.is_empty();
        if process.files_busy {
            self.schedule_files();
        }
        self.take_losses();
        if let Some(event) = event {
            self.note(|| format!("disk: {event:?}"));
            if let Some(process) = &mut self.process {
                use um_imap_oauth2::engine::record::FileEvent;
                match event {
                    FileEvent::Claimed(_) | FileEvent::Synced(_) => {
                        process.journal_lost = process.files.replaced
                    }
                    FileEvent::Failed(_)
                    | FileEvent::Gone(_)
                    | FileEvent::Unavailable(_)
                    | FileEvent::Busy(_) => {
                        process.journal_lost = true;
                    }
                    _ => {}
                }
            }
            self.handle(Input::Files(event));
        }
    }

    // The engine.

    fn handle(&mut self, input: Input) {
        self.steps += 1;
        let is_timer = input == Input::Timer;
        let Some(process) = &mut self.process else { return };
        let effects = process.engine.handle(input, self.now);
        if !effects.is_empty() || !is_timer {
            self.idle_timers = 0;
        }
        for effect in effects {
            self.perform(effect);
        }
        if self.process.as_ref().is_some_and(|process| process.stopped) {
            self.reopen();
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect => self.begin_connecting(),
            Effect::Disconnect | Effect::LogOut => {
                self.note(|| format!("C: {effect:?}"));
                if let Some(link) = self.process.as_mut().and_then(|process| process.link.take()) {
                    self.leave(link);
                }
            }
            Effect::Ask(id, ask) => self.send(id, Command::Ask(ask)),
            Effect::Change(id, change, durable) => {
                self.check_change(&change, durable);
                self.send(id, Command::Change(change));
            }
            Effect::Keep(uid) => {
                if let Some(process) = &mut self.process
                    && let Some((arrived, kept)) = process.arriving.take()
                {
                    let doubled = process.kept.insert(arrived, kept).is_some();
                    if doubled || arrived != uid.get() {
                        self.ledger.violated(format!("UID {uid} is kept twice"));
                    }
                }
            }
            Effect::Discard(uids) => {
                if let Some(process) = &mut self.process {
                    uids.iter().for_each(|uid| _ = process.kept.remove(&uid.get()));
                }
            }
            Effect::Reply(id, reply) => {
                self.note(|| format!("reply {}: {reply:?}", id.0));
                self.replied(id, &reply);
            }
            Effect::Files(work) => self.give_files(work),
            Effect::Report(report) => self.reported(&report),
            Effect::WriteStatus => {}
            Effect::Stop => {
                if let Some(process) = &mut self.process {
                    process.stopped = true;
                }
            }
        }
    }

    fn begin_connecting(&mut self) {
        self.note(|| "C: connects".into());
        self.links += 1;
        let number = self.links;
        let delay = self.random.between(1, 300);
        let Some(process) = &mut self.process else { return };
        if process.link.is_some() {
            return self.ledger.violated("two connections at once");
        }
        process.link = Some(Link {
            number,
            commands: VecDeque::new(),
            serving: false,
            last: Time::default(),
            silent: false,
        });
        let process = process.number;
        self.schedule(delay, Happening::Connect { process, link: number });
    }

    fn reported(&mut self, report: &Report) {
        self.note(|| format!("log: {report:?}"));
        if let Report::Selected { uid_validity } = report
            && let Some(process) = &mut self.process
        {
            process.uid_validity = uid_validity.get();
        }
    }

    /// The mailbox was closed: opens it again in the same process of the system.
    fn reopen(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.note(|| "--- closed".into());
        self.ledger.process_ended();
        if let Some(link) = process.link {
            self.ledger.violated(format!("connection {} outlives its mailbox", link.number));
        }
        if let Some((id, waiting, _)) = process.callers.iter().find_map(|caller| caller.waiting) {
            self.ledger.violated(format!("call {id:?} {waiting:?} outlives its mailbox"));
        }
        // The thread of the files may go on for a while.
        let mut files = process.files;
        let left = self.disk_random.below(files.work.len() as u64 + 1);
        for _ in 0..left {
            files.perform(&mut self.disk, DiskFaults::default(), &mut self.disk_random);
        }
        self.begin_process(process.engine.history().clone());
    }

    // Checks.

    fn check_change(&mut self, change: &Change, durable: Durable) {
        let Some(process) = &self.process else { return };
        let uid_validity = process.uid_validity;
        if durable.synced().is_none() {
            let hangs =
                process.file_given.is_some_and(|since| self.now.since(since) >= Duration::from_secs(10));
            let none = !self.settings.directory || !self.settings.journal || process.journal_lost;
            if !(hangs || none || process.engine.facts().journal.is_some()) {
                self.ledger.violated(format!("{change:?} is sent without a journal that works"));
            }
            if let Change::Copy(uids, _) = change {
                uids.iter().for_each(|uid| self.ledger.copies_unrecorded((uid_validity, uid.get())));
            }
            return;
        }
        if process.files.replaced || !self.settings.journal {
            return;
        }
        let holds = |uid: Uid| {
            self.disk.synced.iter().any(|record| match record {
                Record::Decided { uid_validity: under, uid: decided, .. } => {
                    under.get() == uid_validity && *decided == uid
                }
                _ => false,
            })
        };
        if let Some(uid) = change.uids().iter().find(|uid| !holds(*uid)) {
            let what = format!("{change:?} is sent before the decision about UID {uid} is on the disk");
            return self.ledger.violated(what);
        }
        if let Change::Copy(uids, _) = change {
            let noted = |uid: &Uid| {
                self.disk.synced.iter().any(|record| match record {
                    Record::Copying { uids, .. } => uids.contains(uid),
                    _ => false,
                })
            };
            if let Some(uid) = uids.iter().find(|uid| !noted(uid)) {
                self.ledger.violated(format!("UID {uid} is copied before that is on the disk"));
            }
        }
    }

    fn check(&mut self) {
        self.check_bounds();
        self.check_waits();
        if let Some(since) = self.finishing {
            if self.process.as_ref().is_some_and(|process| process.closing.is_none()) && self.is_done() {
                self.finished = true;
                self.check_end();
            } else if self.now.since(since) > LONGEST_END {
                let pending = self.process.as_ref().map(|process| process.engine.pending());
                self.ledger.violated(format!("not everything is carried out: {pending:?} are pending"));
            }
        }
    }

    fn check_bounds(&mut self) {
        let Some(process) = &self.process else { return };
        let (in_flight, octets) = process.engine.load();
        if in_flight > self.settings.pipeline {
            self.ledger.violated(format!("{in_flight} commands are in flight"));
        }
        let kept: usize = process.kept.values().map(|kept| kept.memory).sum();
        if kept > self.settings.buffer || octets > 2 * self.settings.buffer {
            self.ledger
                .violated(format!("{kept} octets are buffered, {octets} with those that are reserved"));
        }
    }

    fn check_waits(&mut self) {
        let Some(process) = &self.process else { return };
        for caller in &process.callers {
            let Some((_, waiting, since)) = caller.waiting else { continue };
            let longest = match waiting {
                Waiting::Settle(_) => Duration::from_millis(1_001),
                _ => LONGEST_CALL,
            };
            if self.now.since(since) > longest {
                return self.ledger.violated(format!("{waiting:?} waits since {since}"));
            }
        }
        if let Some(since) = process.closing
            && self.now.since(since) > self.settings.close + Duration::from_millis(1)
        {
            self.ledger.violated(format!("closing lasts since {since}"));
        }
    }

    /// Says whether the callers have got and decided everything, and all of it is carried out.
    fn is_done(&self) -> bool {
        let Some(process) = &self.process else { return false };
        process
            .callers
            .first()
            .is_some_and(|caller| caller.waiting.is_none() && caller.held.is_empty() && caller.idle >= 2)
    }

    /// Faults have stopped, and callers have settled everything: nothing may be left.
    fn check_end(&mut self) {
        let inbox = self.server.inbox().clone();
        let unseen_only = self.settings.unseen_only;
        for (uid, message) in &inbox.messages {
            let decision = self.ledger.decisions.get(&message.id);
            let decision =
                decision.filter(|decision| decision.place == (inbox.uid_validity, *uid) && !decision.void);
            let shown = !(message.deleted || unseen_only && message.seen);
            let unclear = message.identity.mark == Mark::Nothing
                || self.plan.is(Knob::NoMove) && self.plan.is(Knob::FoldersLost);
            let left = match action(message.id, "Bounces") {
                Some(Action::Move(_) | Action::Delete) => shown,
                Some(Action::MarkSeen) => {
                    decision.is_some_and(|decision| decision.promised && !decision.shown_again)
                        && !message.seen
                }
                None => false,
            };
            if left && !unclear {
                let what = format!("message {} at UID {uid} is left: {decision:?}", message.id);
                return self.ledger.violated(what);
            }
            if shown && !unclear && !self.ledger.delivered.contains(&message.id) && decision.is_none() {
                return self
                    .ledger
                    .violated(format!("message {} at UID {uid} was never delivered", message.id));
            }
        }
        let unclear =
            inbox.messages.values().filter(|message| message.identity.mark == Mark::Nothing).count() as u64;
        let pending = self.process.as_ref().map_or(0, |process| process.engine.pending());
        if pending > unclear && !(self.plan.is(Knob::NoMove) && self.plan.is(Knob::FoldersLost)) {
            self.ledger.violated(format!("{pending} decisions are pending at the end"));
        }
    }
}

fn process_hangs(process: &Option<Process>) -> bool {
    process.as_ref().is_some_and(|process| process.files_busy)
}

fn network(why: &str) -> Failure {
    Failure::new(Step::Fetch, Kind::Network, why)
}

fn command_time(command: &Command) -> Duration {
    Duration::from_secs(match command {
        Command::Ask(Ask::Search { .. }) => 300,
        Command::Ask(Ask::Noop) => 30,
        _ => 120,
    })
}

/// Says whether a decision may wait for ever because its message cannot be recognised.
pub fn is_unclear(problem: &Problem) -> bool {
    matches!(problem, Problem::NothingToCompare { .. } | Problem::CopyInDoubt { .. })
}
