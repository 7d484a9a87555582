//! A mail server with one mailbox, other clients, and faults.

use std::collections::BTreeMap;
use std::time::Duration;

use um_imap_oauth2::engine::effect::{Ask, Change};
use um_imap_oauth2::engine::input::{Answer, Attributes, CommandId, Event, Flags, FolderNumbers, Status};
use um_imap_oauth2::engine::record::{Identity, Mark};
use um_imap_oauth2::failure::{Failure, Kind, Step};
use um_imap_oauth2::imap::commands::Flag;
use um_imap_oauth2::imap::uids::{Uid, UidSet, UidValidity};

use crate::ledger::{Deed, Id, Ledger};
use crate::plan::{Knob, Plan};
use crate::random::Random;

pub const INBOX: &str = "INBOX";

#[derive(Debug, Clone)]
pub struct Message {
    pub id: Id,
    pub identity: Identity,
    pub octets: u64,
    pub seen: bool,
    pub deleted: bool,
    pub poison: Option<Poison>,
}

/// Why the server never delivers or changes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    NotNow,
    Throttle,
    No,
    Cut,
    /// It is delivered, but not changed.
    Fixed,
}

#[derive(Debug, Clone)]
pub struct Folder {
    pub uid_validity: u32,
    pub next: u32,
    pub messages: BTreeMap<u32, Message>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Ask(Ask),
    Change(Change),
}

/// Something that comes over the connection.
#[derive(Debug, Clone)]
pub enum Wire {
    Event(Event),
    Body {
        uid: u32,
        message: Message,
    },
    Cut(Failure),
    /// Nothing comes any more.
    Silence,
}

#[derive(Debug)]
pub struct Server {
    pub folders: BTreeMap<String, Folder>,
    pub random: Random,
    pub faults_left: u32,
    /// Faults happen.
    pub faulty: bool,
    /// The folder that our connection has selected.
    pub selected: String,
    /// Messages that other clients removed since our connection was last informed.
    pub expunged: u32,
    next_id: Id,
    clock: i64,
    validities: u32,
}

impl Server {
    pub fn new(plan: &Plan) -> Self {
        let mut server = Self {
            folders: BTreeMap::new(),
            random: Random::new(plan.seed, 2),
            faults_left: plan.get(Knob::Faults),
            faulty: true,
            selected: INBOX.to_owned(),
            expunged: 0,
            next_id: 0,
            clock: 1_700_000_000_000,
            validities: 100,
        };
        server.create(INBOX);
        server.create("Bounces");
        for _ in 0..plan.get(Knob::Messages) + plan.get(Knob::ManyMessages) {
            server.arrive(plan);
        }
        for _ in 0..plan.get(Knob::Poison) {
            let kinds = [Poison::NotNow, Poison::Throttle, Poison::No, Poison::Cut, Poison::Fixed];
            let kind = kinds[server.random.below(5) as usize];
            let at = server.random.below(server.inbox().messages.len() as u64) as usize;
            if let Some(message) = server.inbox_mut().messages.values_mut().nth(at) {
                message.poison = Some(kind);
            }
        }
        server
    }

    pub fn inbox(&self) -> &Folder {
        &self.folders[INBOX]
    }

    pub fn inbox_mut(&mut self) -> &mut Folder {
        self.folders.entry(INBOX.to_owned()).or_insert_with(|| Folder::new(1))
    }

    pub fn create(&mut self, name: &str) {
        self.validities += 1;
        self.folders.insert(name.to_owned(), Folder::new(self.validities));
    }

    /// Says whether a fault happens now, of those that this plan has.
    pub fn fault(&mut self, plan: &Plan, knob: Knob) -> bool {
        let happens =
            self.faulty && self.faults_left > 0 && plan.is(knob) && self.random.chance(plan.get(knob));
        self.faults_left -= u32::from(happens);
        happens
    }

    /// A new message comes in.
    pub fn arrive(&mut self, plan: &Plan) {
        let message = self.new_message(plan);
        self.inbox_mut().add(message);
    }

    fn new_message(&mut self, plan: &Plan) -> Message {
        self.next_id += 1;
        let id = self.next_id;
        self.clock += 1_000 * self.random.below(3) as i64;
        let mark = if self.random.chance(plan.get(Knob::Duplicates)) {
            Mark::Fields(self.random.below(3))
        } else if self.random.chance(plan.get(Knob::Markless)) {
            Mark::Nothing
        } else {
            Mark::Fields(1_000 + id)
        };
        let large = u64::from(plan.get(Knob::LargeKib)) * 1_024;
        let octets = if large > 0 && self.random.chance(200) {
            self.random.between(1, large)
        } else {
            self.random.between(500, 9_000)
        };
        let identity = Identity { received: Some(self.clock), mark };
        Message { id, identity, octets, seen: false, deleted: false, poison: None }
    }

    /// Another client does something.
    pub fn foreign(&mut self, ledger: &mut Ledger) -> String {
        let at = self.random.below(self.inbox().messages.len() as u64) as usize;
        let choice = self.random.below(6);
        let Some((&uid, message)) = self.inbox_mut().messages.iter_mut().nth(at) else {
            return "nothing".into();
        };
        let id = message.id;
        match choice {
            0 => message.seen = true,
            1 => {
                message.seen = false;
                ledger.shown_again(id);
            }
            2 => message.deleted = true,
            3 => {
                message.deleted = false;
                ledger.shown_again(id);
            }
            4 => {
                self.inbox_mut().messages.remove(&uid);
                self.expunged += 1;
            }
            _ => {
                // Moved away and back: another UID.
                if let Some(message) = self.inbox_mut().messages.remove(&uid) {
                    self.expunged += 1;
                    self.inbox_mut().add(message);
                }
            }
        }
        format!("action {choice} on message {id}, UID {uid}")
    }

    /// UIDVALIDITY changes; the messages stay, with other UIDs.
    pub fn change_validity(&mut self, ledger: &mut Ledger) {
        ledger.all_void();
        self.validities += 1;
        let inbox = std::mem::replace(self.inbox_mut(), Folder::new(0));
        let skipped = self.random.below(3) as u32;
        *self.inbox_mut() = Folder { next: 1 + skipped, ..Folder::new(self.validities) };
        inbox.messages.into_values().for_each(|message| _ = self.inbox_mut().add(message));
    }

    /// The mailbox is made again: other messages have the UIDs of the old ones, and even their dates.
    pub fn recreate(&mut self, plan: &Plan) {
        let old = std::mem::take(&mut self.inbox_mut().messages);
        for (uid, message) in old {
            if self.random.chance(200) {
                // A few stay as they were.
                self.inbox_mut().messages.insert(uid, message);
                continue;
            }
            let mut new = self.new_message(plan);
            if self.random.chance(600) {
                new.identity.received = message.identity.received;
            }
            self.inbox_mut().messages.insert(uid, new);
        }
    }

    pub fn uid_validity(&self) -> u32 {
        self.inbox().uid_validity
    }

    /// Carries out a command. The last item is its end.
    pub fn serve(&mut self, plan: &Plan, ledger: &mut Ledger, id: CommandId, command: &Command) -> Vec<Wire> {
        let cut = || Wire::Cut(Failure::new(Step::Fetch, Kind::Network, "the server closed the connection"));
        if self.fault(plan, Knob::CutBefore) {
            return vec![cut()];
        }
        if self.fault(plan, Knob::Hang) {
            if self.random.chance(500) {
                self.execute(plan, ledger, command);
            }
            return vec![Wire::Silence];
        }
        let elsewhere = match command {
            Command::Change(_) => true,
            Command::Ask(ask) => matches!(
                ask,
                Ask::Search { .. }
                    | Ask::AllFlags
                    | Ask::Present { .. }
                    | Ask::Sizes(_)
                    | Ask::Bodies(_)
                    | Ask::Headers(_)
            ),
        };
        if self.selected != INBOX && elsewhere {
            ledger.violated(format!("{command:?} while {} is selected", self.selected));
        }
        let (mut wires, answer) = match self.refusal(plan, command) {
            Some(answer) => {
                let partly = matches!(command, Command::Change(_)) && self.fault(plan, Knob::EffectWithoutOk);
                if partly {
                    self.execute(plan, ledger, command);
                }
                (Vec::new(), Some(answer))
            }
            None => self.execute(plan, ledger, command),
        };
        self.changes_of_others(&mut wires);
        if self.fault(plan, Knob::CutAfter) {
            return vec![cut()];
        }
        let Some(answer) = answer else {
            wires.push(cut());
            return wires;
        };
        if self.fault(plan, Knob::CutInside) {
            wires.truncate(self.random.below(wires.len() as u64 + 1) as usize);
            wires.push(cut());
            return wires;
        }
        wires.push(Wire::Event(Event::Done(id, answer)));
        if self.fault(plan, Knob::CutAnswered) {
            wires.push(cut());
        }
        wires
    }

    fn changes_of_others(&mut self, wires: &mut Vec<Wire>) {
        if self.selected == INBOX {
            if self.expunged > 0 {
                wires.push(Wire::Event(Event::Expunged(std::mem::take(&mut self.expunged))));
            }
            wires.push(Wire::Event(Event::Exists(self.inbox().messages.len() as u32)));
        }
    }

    /// Says whether the server refuses the command for a reason of its own.
    fn refusal(&mut self, plan: &Plan, command: &Command) -> Option<Answer> {
        let back_off = Duration::from_millis(self.random.between(100, 40_000));
        if self.fault(plan, Knob::Throttle) {
            return Some(answer(Status::NotNow(Some(back_off)), "NO Request is throttled."));
        }
        if self.fault(plan, Knob::NotNow) {
            return Some(answer(Status::NotNow(None), "NO Server Unavailable. 15"));
        }
        if self.fault(plan, Knob::Refuse) {
            return Some(answer(Status::No, "NO It cannot be done."));
        }
        if self.fault(plan, Knob::Bad) {
            return Some(answer(Status::Bad, "BAD Command Error. 10"));
        }
        let poison = self.poison_of(command)?;
        match poison {
            Poison::Throttle => {
                Some(answer(Status::NotNow(Some(Duration::from_secs(1))), "NO Request is throttled."))
            }
            Poison::NotNow => Some(answer(Status::NotNow(None), "NO [UNAVAILABLE] Not now.")),
            _ => Some(answer(Status::No, "NO This message cannot be changed.")),
        }
    }

    /// Returns what stands against changing these messages.
    fn poison_of(&self, command: &Command) -> Option<Poison> {
        let (uids, fetching) = match command {
            Command::Change(change) => (change.uids(), false),
            Command::Ask(Ask::Bodies(uids)) => (uids, true),
            Command::Ask(_) => return None,
        };
        if !self.faulty || self.selected != INBOX {
            return None;
        }
        let poisons = self.inbox().of(uids).filter_map(|(_, message)| message.poison);
        poisons.into_iter().find(|poison| match poison {
            Poison::NotNow | Poison::Throttle => true,
            Poison::Fixed => !fetching,
            Poison::No | Poison::Cut => false,
        })
    }

    /// Returns what comes, and the answer; none if the connection is lost.
    fn execute(
        &mut self,
        plan: &Plan,
        ledger: &mut Ledger,
        command: &Command,
    ) -> (Vec<Wire>, Option<Answer>) {
        match command {
            Command::Ask(ask) => self.look(plan, ask),
            Command::Change(change) => self.change(plan, ledger, change),
        }
    }

    fn look(&mut self, plan: &Plan, ask: &Ask) -> (Vec<Wire>, Option<Answer>) {
        let done = Some(answer(Status::Ok, "OK done"));
        match ask {
            Ask::Noop => (Vec::new(), done),
            Ask::Search { unseen } => {
                let found = self.selected_folder().messages.iter();
                let found = found.filter(|(_, message)| !(message.deleted || *unseen && message.seen));
                let found: UidSet = found.filter_map(|(uid, _)| Uid::new(*uid)).collect();
                (self.search_answer(plan, &found), done)
            }
            Ask::Present { uids, undeleted } => {
                let found = self.selected_folder().of(uids);
                let found = found.filter(|(_, message)| !(*undeleted && message.deleted));
                let found: UidSet = found.filter_map(|(uid, _)| Uid::new(uid)).collect();
                (self.search_answer(plan, &found), done)
            }
            Ask::AllFlags => {
                let messages = self.selected_folder().messages.iter();
                (messages.map(|(uid, message)| attributes(*uid, message, false, false, true)).collect(), done)
            }
            Ask::Sizes(uids) => (self.sizes(plan, uids), done),
            Ask::Bodies(uids) => self.bodies(uids),
            Ask::Headers(uids) => {
                let wires = self
                    .selected_folder()
                    .of(uids)
                    .map(|(uid, message)| attributes(uid, message, true, true, false))
                    .collect();
                (self.spoil_headers(plan, wires), done)
            }
            Ask::HeadersFrom(first) => {
                let messages = self.selected_folder().messages.iter();
                // `first:*` names the last message even if its UID is smaller (RFC 9051 §9, seq-range).
                let last = self.selected_folder().messages.keys().next_back().copied();
                let messages = messages.filter(|(uid, _)| **uid >= first.get() || Some(**uid) == last);
                let wires =
                    messages.map(|(uid, message)| attributes(*uid, message, true, true, false)).collect();
                (self.spoil_headers(plan, wires), done)
            }
            Ask::Status(name) => (Vec::new(), Some(self.numbers(plan, name))),
            Ask::Examine(name) | Ask::Select(name) => self.select(plan, name),
            Ask::Create(name) => {
                let exists = self.folders.contains_key(name);
                if !exists {
                    self.create(name);
                }
                (Vec::new(), Some(answer(if exists { Status::Exists } else { Status::Ok }, "CREATE")))
            }
        }
    }

    fn sizes(&mut self, plan: &Plan, uids: &UidSet) -> Vec<Wire> {
        let mut wires: Vec<Wire> = self
            .selected_folder()
            .of(uids)
            .map(|(uid, message)| attributes(uid, message, true, false, false))
            .collect();
        for wire in &mut wires {
            if let Wire::Event(Event::Attributes(attributes)) = wire
                && self.fault(plan, Knob::WrongSizes)
            {
                attributes.size = [Some(0), Some(200), Some(3_000_000), None][self.random.below(4) as usize];
            }
        }
        wires
    }

    fn selected_folder(&self) -> &Folder {
        self.folders.get(&self.selected).unwrap_or_else(|| self.inbox())
    }

    fn search_answer(&mut self, plan: &Plan, found: &UidSet) -> Vec<Wire> {
        if found.is_empty() && plan.is(Knob::QuietSearch) || self.fault(plan, Knob::NoSearchLine) {
            return Vec::new();
        }
        let uids = found.iter().map(|uid| Wire::Event(Event::Found(uid..=uid)));
        [Wire::Event(Event::SearchLine)].into_iter().chain(uids).collect()
    }

    fn bodies(&mut self, uids: &UidSet) -> (Vec<Wire>, Option<Answer>) {
        let mut wires = Vec::new();
        for (uid, message) in self.selected_folder().of(uids) {
            match message.poison.filter(|_| self.faulty) {
                Some(Poison::Cut) => return (wires, None),
                Some(Poison::No) => continue,
                _ => {}
            }
            if message.octets > 50_000 {
                wires.push(Wire::Event(Event::Progress));
            }
            wires.push(Wire::Body { uid, message: message.clone() });
        }
        let line = "OK FETCH";
        (wires, Some(answer(Status::Ok, line)))
    }

    fn spoil_headers(&mut self, plan: &Plan, mut wires: Vec<Wire>) -> Vec<Wire> {
        if self.fault(plan, Knob::NoHeaders) {
            return Vec::new();
        }
        for wire in &mut wires {
            if let Wire::Event(Event::Attributes(Attributes { identity: Some(identity), .. })) = wire
                && self.fault(plan, Knob::OddHeaders)
            {
                identity.mark = Mark::Fields(self.random.next());
            }
        }
        wires
    }

    fn numbers(&mut self, plan: &Plan, name: &str) -> Answer {
        let Some(folder) = self.folders.get(name) else {
            return answer(Status::NoFolder, "NO There is no such folder.");
        };
        let mut numbers = FolderNumbers {
            uid_validity: UidValidity::new(folder.uid_validity),
            uid_next: Uid::new(folder.next),
            exists: Some(folder.messages.len() as u32),
        };
        if self.fault(plan, Knob::NoNumbers) {
            numbers.uid_next = None;
        }
        Answer { folder: numbers, ..answer(Status::Ok, "OK") }
    }

    fn select(&mut self, plan: &Plan, name: &str) -> (Vec<Wire>, Option<Answer>) {
        let answer = self.numbers(plan, name);
        if answer.status == Status::Ok {
            name.clone_into(&mut self.selected);
            self.expunged = 0;
        }
        let exists = answer.folder.exists.map(|exists| Wire::Event(Event::Exists(exists)));
        (exists.into_iter().collect(), Some(answer))
    }

    fn change(&mut self, plan: &Plan, ledger: &mut Ledger, change: &Change) -> (Vec<Wire>, Option<Answer>) {
        let (uids, most) = (change.uids(), plan.get(Knob::BulkLimit) as usize);
        let uids: Vec<u32> = uids.iter().map(Uid::get).collect();
        let cut = most > 0 && uids.len() > most && self.faulty;
        let uids = if cut { &uids[..self.random.below(most as u64 + 1) as usize] } else { &uids[..] };
        if let Change::Move(_, folder) | Change::Copy(_, folder) = change
            && !self.folders.contains_key(folder)
        {
            return (Vec::new(), Some(answer(Status::NoFolder, "NO [TRYCREATE] There is no such folder.")));
        }
        if !matches!(change, Change::Store(_, Flag::Seen)) && self.fault(plan, Knob::NoEffect) {
            return (Vec::new(), Some(answer(Status::Ok, "OK done, or so")));
        }
        let changed: UidSet = uids
            .iter()
            .filter(|uid| self.change_one(ledger, **uid, change))
            .filter_map(|uid| Uid::new(*uid))
            .collect();
        let mut wires = Vec::new();
        let named = self.names(plan).then(|| changed.clone());
        match (change, named) {
            (Change::Move(..), Some(named)) => wires.push(Wire::Event(Event::Vanished(named))),
            (Change::Copy(..), Some(named)) => wires.push(Wire::Event(Event::Copied(named))),
            _ => {}
        }
        if matches!(change, Change::Move(..) | Change::Expunge(_)) && !changed.is_empty() {
            wires.push(Wire::Event(Event::Expunged(changed.len() as u32)));
        }
        (wires, (!cut).then(|| answer(Status::Ok, "OK done")))
    }

    /// Says whether COPYUID names the messages.
    fn names(&mut self, plan: &Plan) -> bool {
        !plan.is(Knob::NoUidplus)
            && !self.random.chance(plan.get(Knob::NoCopyUid))
            && !self.random.chance(plan.get(Knob::EmptyCopyUid))
    }

    fn change_one(&mut self, ledger: &mut Ledger, uid: u32, change: &Change) -> bool {
        let place = (self.uid_validity(), uid);
        let Some(message) = self.inbox_mut().messages.get_mut(&uid) else { return false };
        let (id, identity) = (message.id, message.identity);
        match change {
            Change::Move(_, folder) => {
                let message = self.inbox_mut().messages.remove(&uid);
                self.folders.get_mut(folder).zip(message).map(|(folder, message)| folder.add(message));
                ledger.change(id, place, identity, Deed::Move, folder);
            }
            Change::Copy(_, folder) => {
                let copy = message.clone();
                self.folders.get_mut(folder).map(|folder| folder.add(copy));
                ledger.change(id, place, identity, Deed::Copy, folder);
            }
            Change::Store(_, Flag::Seen) => {
                message.seen = true;
                ledger.change(id, place, identity, Deed::Seen, "");
            }
            Change::Store(_, Flag::Deleted) => {
                message.deleted = true;
                ledger.change(id, place, identity, Deed::Deleted, "");
            }
            Change::Expunge(_) if message.deleted => {
                self.inbox_mut().messages.remove(&uid);
                ledger.change(id, place, identity, Deed::Expunge, "");
            }
            Change::Expunge(_) => return false,
        }
        true
    }

    /// Carries out commands whose connection was lost.
    pub fn serve_late(&mut self, plan: &Plan, ledger: &mut Ledger, commands: &[Command]) {
        let selected = std::mem::replace(&mut self.selected, INBOX.to_owned());
        for command in commands.iter().filter(|command| matches!(command, Command::Change(_))) {
            self.execute(plan, ledger, command);
        }
        self.selected = selected;
    }
}

impl Folder {
    fn new(uid_validity: u32) -> Self {
        Self { uid_validity, next: 1, messages: BTreeMap::new() }
    }

    fn add(&mut self, message: Message) -> u32 {
        let uid = self.next;
        self.next += 1;
        self.messages.insert(uid, message);
        uid
    }

    /// Iterates over those of these messages that are there.
    fn of<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = (u32, &'a Message)> + 'a {
        uids.iter().filter_map(|uid| Some((uid.get(), self.messages.get(&uid.get())?)))
    }
}

pub fn answer(status: Status, line: &str) -> Answer {
    Answer { status, line: line.to_owned(), folder: FolderNumbers::default() }
}

fn attributes(uid: u32, message: &Message, size: bool, identity: bool, flags: bool) -> Wire {
    let uid = Uid::new(uid).unwrap_or_else(|| unreachable!("UIDs begin with 1"));
    Wire::Event(Event::Attributes(Attributes {
        uid,
        size: size.then_some(message.octets),
        identity: identity.then_some(message.identity),
        flags: flags.then_some(Flags { seen: message.seen, deleted: message.deleted }),
    }))
}
