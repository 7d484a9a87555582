//! The engine: a mailbox that is read and settled, whatever happens to its connections.
//!
//! Callers and one thread of the mailbox's own (the [`worker`]) share a [`State`]. The worker alone talks to the network; a
//! caller leaves its wishes in the state and waits there, so that [`Mailbox::close`] ends its wait at once whatever the
//! network does.

#[cfg(test)]
mod answering;
mod decisions;
#[cfg(test)]
mod dialogue_tests;
mod health;
mod journal;
#[cfg(test)]
mod journal_tests;
mod lock;
mod message;
mod pipeline;
mod place;
#[cfg(test)]
mod renewal_tests;
mod run;
#[cfg(test)]
mod settling_tests;
mod signal;
mod spool;
#[cfg(test)]
mod trouble_tests;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use roaring::RoaringBitmap;

use crate::config::keys::SERVER_HOME;
use crate::config::mailbox_values;
use crate::config::{Authentication, MailboxConfig, OAuth2, wrong_folder};
use crate::failure::{Failure, Kind, Result, Step};
use crate::imap::folders::Folders;
use crate::imap::limits::Times;
use crate::log::Log;
use crate::net::{Cancel, Trust, no_thread};
use crate::text::{Circumstances, MOVED_TO, explain};
use crate::token::{self, Expiry};
use crate::words::counted;

pub(crate) use decisions::targets;
pub use health::{Grade, Health, STATUS, Status};
pub use message::{Body, Message, MessageId, Outcome};
pub(crate) use place::obstacle;
pub use place::{Abandoned, abandoned, place};
pub use spool::TemporaryFile;

use decisions::{Action, Decided, Decisions};
use health::Record;
use journal::{Found, Journal, Pending};
use lock::Lock;
use place::{Identity, Place};
use run::{Held, Run};
use signal::Signal;
use worker::Worker;

/// An open mailbox. Clones are the same mailbox; when the last one goes, it is closed.
#[derive(Clone)]
pub struct Mailbox {
    owner: Arc<Owner>,
}

/// What may be done with a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    /// EXAMINE: nothing is changed on the server, nothing can be settled.
    ReadOnly,
}

/// One fetch of a mailbox; the next one ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchId(pub u64);

impl Mailbox {
    /// Touches no network.
    pub fn open(config: MailboxConfig, trust: Trust, access: Access, log: Log) -> Result<Mailbox> {
        Self::open_within(Times::default(), config, trust, access, log)
    }

    /// The same for a server that may take only so long; what is shorter than the default is for tests.
    pub fn open_within(
        times: Times,
        config: MailboxConfig,
        trust: Trust,
        access: Access,
        log: Log,
    ) -> Result<Mailbox> {
        if access == Access::ReadWrite && !config.debug {
            log.info(format!(
                "{}: mail that has been handled will be deleted (cmsbs.bounce.debug is not true)",
                config.user
            ));
        }
        let shared = Arc::new(Shared {
            record: health::record(&config),
            place: Place::of(&config).filter(|_| access == Access::ReadWrite),
            config,
            times,
            trust,
            access,
            log,
            cancel: Cancel::default(),
            state: Mutex::default(),
            for_callers: Signal::default(),
            for_worker: Signal::default(),
        });
        Ok(Mailbox { owner: Arc::new(Owner { shared }) })
    }

    /// Looks for mail: the unread ones, or all of them (`cmsbs.bounce.processAll`). Connects where there is no connection,
    /// and returns when the server has told which mails there are. What was kept or never settled comes again.
    ///
    /// The fetch before it ends: its [`Mailbox::next`] fails from now on. Fails with [`Kind::Busy`] while another reader with
    /// the same work directory has the mailbox; from its first success on it is held until [`Mailbox::close`]. Where the work
    /// directory cannot be written, mail is read without lock and journal until it can.
    pub fn fetch(&self) -> Result<FetchId> {
        let shared = self.shared();
        let mut state = shared.usable()?;
        if let Err(failure) = shared.claim(&mut state) {
            // What the process knows of the mailbox is known of the reader who has it.
            shared.could_not_begin(state.kept_out.get_or_insert_default(), &failure);
            return Err(failure);
        }
        state.kept_out = None;
        state.fetch.id += 1;
        let id = state.fetch.id;
        state.fetch.phase = Phase::Requested;
        state.fetch.clear();
        state.decisions.make_due();
        shared
            .wake_worker(&mut state)
            .inspect_err(|failure| shared.could_not_begin(&mut shared.record(), failure))?;
        loop {
            if state.fetch.id != id {
                return Err(self.shared().explain(ended_by_newer()));
            }
            match &state.fetch.phase {
                Phase::Requested => state = shared.wait(state)?,
                Phase::Running => return Ok(FetchId(id)),
                Phase::Ended(result) => return result.clone().map(|()| FetchId(id)),
            }
        }
    }

    /// How many mails a fetch has found, of which some may be gone before they are handed out.
    pub fn found(&self, FetchId(id): FetchId) -> Result<u64> {
        let state = self.shared().usable()?;
        if state.fetch.id == id {
            Ok(state.fetch.found)
        } else {
            Err(self.shared().explain(ended_by_newer()))
        }
    }

    /// The next mail, in the order of their UIDs or nearly so; waits until it has arrived as a whole. `None`: there is no
    /// more.
    pub fn next(&self, FetchId(id): FetchId) -> Result<Option<Message>> {
        let shared = self.shared();
        let mut state = shared.usable()?;
        loop {
            if state.fetch.id != id {
                return Err(self.shared().explain(ended_by_newer()));
            }
            if let Some(message) = state.fetch.pop() {
                // After the end of the fetch nobody waits for room: a worker woken for each mail costs more than the mail.
                let ended = matches!(state.fetch.phase, Phase::Ended(_));
                if !ended && run::has_room(state.fetch.held.octets, shared.config.fetch.buffer) {
                    shared.for_worker.notify();
                }
                if state.decided.contains(message.id.uid) {
                    continue;
                }
                if shared.access == Access::ReadWrite {
                    let uid = message.id.uid;
                    let received_millis = message.received_millis;
                    state.open.insert(uid, Handed { received_millis, missed: false });
                    state.highest = state.highest.max(uid);
                }
                return Ok(Some(message));
            }
            if let Phase::Ended(result) = &state.fetch.phase {
                let result = result.clone().map(|()| None);
                state.decisions.make_due();
                shared.for_worker.notify();
                return result;
            }
            // See `Fetch::told`: what nobody was told of by then is looked for.
            let quiet = state.fetch.told.map(|told| (told + QUIET).saturating_duration_since(Instant::now()));
            state = match quiet.filter(|quiet| !quiet.is_zero()) {
                Some(quiet) => {
                    let state = shared.for_callers.wait_timeout(state, quiet);
                    shared.check(&state)?;
                    state
                }
                None => shared.wait(state)?,
            };
        }
    }

    /// What is to become of a mail. Returns when that is in the journal, where there is one; the server is told in batches, at
    /// latest after a second. The first settlement of a mail counts: false if there was one before.
    pub fn settle(&self, id: MessageId, outcome: Outcome) -> Result<bool> {
        self.decide(id, Action::of(outcome, &self.shared().config))
    }

    /// Moves a mail to `folder`, written as in UM's configuration: `.` separates levels. It is created where it is missing.
    /// [`Kind::Usage`] where a property would be refused for it: no server could ever do it.
    pub fn move_to(&self, id: MessageId, folder: &str) -> Result<bool> {
        let config = &self.shared().config;
        let usage = |observed| Failure::new(Step::Call, Kind::Usage, observed);
        let refusal = if let Some((what, remedy)) = wrong_folder(folder, config.language) {
            Some(usage(what).remedy(remedy))
        } else if same_folder(folder, &config.folders.inbox) {
            Some(usage(format!("a mail cannot be moved to {folder:?}: it is the inbox itself")))
        } else {
            None
        };
        match refusal {
            Some(refusal) => Err(self.shared().explain(refusal)),
            None => self.decide(id, Some(Action::Move(folder.to_owned()))),
        }
    }

    pub fn delete(&self, id: MessageId) -> Result<bool> {
        self.decide(id, Some(Action::Delete))
    }

    /// Returns when the server has done all that was decided before. Fails with what a changed UIDVALIDITY made void, once
    /// ([`Kind::Stale`]), or with what the server refused; that is tried again later, and its mails are not handed out
    /// meanwhile. What an earlier process left in the journal was decided before; so it can be [`Kind::Busy`] as a fetch.
    pub fn flush(&self) -> Result<()> {
        let shared = self.shared();
        let mut state = shared.usable()?;
        shared.claim(&mut state)?;
        if state.decisions.is_empty() {
            return state.stale.take().map_or(Ok(()), Err);
        }
        let mails = state.decisions.uids();
        let call = state.flushes.begin(mails);
        state.decisions.make_due();
        shared.wake_worker(&mut state)?;
        loop {
            if let Some(result) = state.flushes.result(call) {
                return result;
            }
            state = shared.wait(state)?;
        }
    }

    /// How the mailbox is doing. Touches no network.
    pub fn health(&self) -> Health {
        let shared = self.shared();
        shared.look_up_credential();
        let state = shared.lock();
        shared.health(&state)
    }

    /// Hands over the configured credential, read anew after a call failed by a failure that [may be the
    /// credential's](Failure::may_be_the_credentials). True: it is another one than was refused, and the call is worth
    /// repeating; a fetch that had begun goes on where it ended.
    pub fn renew(&self, fresh: &Authentication) -> bool {
        let shared = self.shared();
        let mut state = shared.lock();
        let Some(renewed) = state.authentication(&shared.config).renewed_by(fresh) else {
            // Another thread may have been faster.
            return !state.refused;
        };
        state.renewed = Some(renewed);
        state.refused = false;
        state.credential = None;
        // One that had not begun has told its caller so, who calls it again.
        if state.fetch.ended.as_ref().is_some_and(|run| run.fetch == state.fetch.id) {
            state.fetch.phase = Phase::Requested;
        }
        shared.for_worker.notify();
        true
    }

    /// How many settled mails the server has still to be told of, by this process or, with what the journal holds, by an
    /// earlier one. Touches no network. Can be [`Kind::Busy`] as a fetch, and [`Kind::Storage`] where the journal cannot be
    /// read.
    pub fn pending(&self) -> Result<u64> {
        let shared = self.shared();
        let mut state = shared.usable()?;
        shared.claim(&mut state)?;
        match &state.journal_trouble {
            Some(trouble) if state.journal.is_none() => Err(trouble.clone()),
            _ => Ok(state.decisions.len()),
        }
    }

    /// Ends every call at once, tells the server what was decided as far as that can be done in five seconds, and logs out.
    /// What could not be told is in the journal for the next time; without one it stays in the inbox and comes again. From any
    /// thread; a second call does nothing but wait for the first one's end.
    pub fn close(&self) {
        self.shared().close();
    }

    fn decide(&self, id: MessageId, action: Option<Action>) -> Result<bool> {
        let shared = self.shared();
        let mut state = shared.usable()?;
        let refuse = |kind, observed: String| Err(shared.explain(Failure::new(Step::Call, kind, observed)));
        if shared.access == Access::ReadOnly {
            return refuse(
                Kind::Usage,
                "a mailbox that was opened for reading only cannot be changed".into(),
            );
        }
        if state.uid_validity != Some(id.uid_validity) {
            return match state.uid_validity {
                Some(now) => refuse(
                    Kind::Stale,
                    format!("the mailbox has UIDVALIDITY {now}; the mail was read under {}", id.uid_validity),
                ),
                None => refuse(Kind::Usage, "no mail of this mailbox was handed out yet".into()),
            };
        }
        let Some(Handed { received_millis: received, .. }) = state.open.remove(&id.uid) else {
            // Lower numbers were handed out, and settled if they are not open.
            return if id.uid <= state.highest {
                Ok(false)
            } else {
                refuse(Kind::Usage, format!("UID {} was not handed out", id.uid))
            };
        };
        state.decided.insert(id.uid);
        if let Some(action) = action {
            let mail = Decided { uid: id.uid, received };
            shared.write_down(&mut state, id.uid_validity, &action, mail);
            let unsure = state.unsure.contains(id.uid);
            state.decisions.add(action, mail, unsure);
            shared.for_worker.notify();
        }
        Ok(true)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }
}

/// The last of these closes the mailbox.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

struct Shared {
    config: MailboxConfig,
    times: Times,
    trust: Trust,
    access: Access,
    log: Log,
    cancel: Cancel,
    /// What is known of the mailbox, also by others that have it open or had.
    record: Arc<Mutex<Record>>,
    /// Where it may write.
    place: Option<Place>,
    state: Mutex<State>,
    /// Something has changed for those who wait in a call.
    for_callers: Signal,
    /// Something has changed for the worker.
    for_worker: Signal,
}

/// What callers and worker share.
#[derive(Default)]
struct State {
    fetch: Fetch,
    decisions: Decisions,
    flushes: Flushes,
    /// That of the mails handed out.
    uid_validity: Option<u32>,
    /// Mails that were handed out and not settled.
    open: BTreeMap<u32, Handed>,
    /// What was read on a connection that is lost: whether a UID still means the same mail is not known.
    unsure: RoaringBitmap,
    /// What was decided about since the last SEARCH: it is not handed out, even if that found it.
    decided: RoaringBitmap,
    /// The highest UID that was handed out.
    highest: u32,
    /// The mailbox is this reader's, and the journal open, as far as there is to be one.
    claimed: bool,
    /// How it goes for this one as long as the mailbox is another reader's.
    kept_out: Option<Record>,
    lock: Option<Lock>,
    journal: Option<Journal>,
    /// Why there is no lock or journal, though there should be.
    journal_trouble: Option<Failure>,
    /// Decisions were void because UIDVALIDITY had changed; the next flush says so.
    stale: Option<Failure>,
    /// Since when the fetch under way gets nothing because of connections that fail, and how the last one did.
    outage: Option<(Instant, Failure)>,
    /// Since when it is being closed.
    closing: Option<Instant>,
    /// It is closed, and the next reader may have it.
    closed: bool,
    worker: Life,
    /// The worker has panicked; nothing works any more.
    broken: Option<Failure>,
    /// The configured login with a newer credential.
    renewed: Option<Authentication>,
    /// The end of the credential in use, and when that was looked up.
    credential: Option<(Instant, Option<Expiry>)>,
    /// The credential in use was refused.
    refused: bool,
}

impl State {
    fn authentication<'a>(&'a self, config: &'a MailboxConfig) -> &'a Authentication {
        self.renewed.as_ref().unwrap_or(&config.authentication)
    }
}

/// A mail that was handed out.
#[derive(Debug, Clone, Copy)]
struct Handed {
    received_millis: Option<i64>,
    /// A later SEARCH has not found it: it is gone, or somebody has read it.
    missed: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Unborn,
    Alive,
    Over,
}

/// The fetch that callers see.
#[derive(Default)]
struct Fetch {
    id: u64,
    phase: Phase,
    /// Mails that have arrived and were not taken.
    ready: VecDeque<Message>,
    /// What they take.
    held: Held,
    /// How many mails the server has told of.
    found: u64,
    /// When callers were last told of one. For [`QUIET`] after that they are not, so that they are not woken for each, but
    /// look by themselves at its end.
    told: Option<Instant>,
    /// What a refused login has ended in its middle; with another credential it goes on.
    ended: Option<Run>,
}

impl Fetch {
    fn push(&mut self, message: Message) {
        self.held.octets += message.memory();
        self.held.files += usize::from(message.body.is_file());
        self.ready.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.ready.pop_front()?;
        self.held.octets -= message.memory();
        self.held.files -= usize::from(message.body.is_file());
        Some(message)
    }

    fn clear(&mut self) {
        self.ready.clear();
        self.held = Held::default();
    }
}

enum Phase {
    Requested,
    Running,
    Ended(Result<()>),
}

impl Default for Phase {
    fn default() -> Self {
        Phase::Ended(Ok(()))
    }
}

/// Calls of `flush` by number.
#[derive(Default)]
struct Flushes {
    last: u64,
    calls: BTreeMap<u64, Flush>,
}

struct Flush {
    /// What was decided before the call: it does not wait for what others decide meanwhile.
    mails: RoaringBitmap,
    /// How it ended.
    result: Option<Result<()>>,
}

impl Flushes {
    fn begin(&mut self, mails: RoaringBitmap) -> u64 {
        self.last += 1;
        self.calls.insert(self.last, Flush { mails, result: None });
        self.last
    }

    /// Once.
    fn result(&mut self, call: u64) -> Option<Result<()>> {
        let result = self.calls.get_mut(&call)?.result.take()?;
        self.calls.remove(&call);
        Some(result)
    }

    fn are_waiting(&self) -> bool {
        self.calls.values().any(|call| call.result.is_none())
    }

    fn waiting(&mut self) -> impl Iterator<Item = &mut Flush> {
        self.calls.values_mut().filter(|call| call.result.is_none())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a mailbox that is neither closed nor broken.
    fn usable(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        self.check(&state)?;
        Ok(state)
    }

    fn check(&self, state: &State) -> Result<()> {
        match &state.broken {
            Some(failure) => Err(failure.clone()),
            None if state.closing.is_some() => Err(self.explain(closed())),
            None => Ok(()),
        }
    }

    /// Waits until the state has changed. Fails when the mailbox is closed meanwhile.
    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>> {
        let state = self.for_callers.wait(state);
        self.check(&state)?;
        Ok(state)
    }

    /// A fetch has failed before the worker knew of it.
    fn could_not_begin(&self, record: &mut Record, failure: &Failure) {
        record.asked();
        if let Some(said) = record.failed(failure) {
            self.log.warning(format!("{}: {said}", self.config.user));
        }
    }

    fn wake_worker(self: &Arc<Self>, state: &mut State) -> Result<()> {
        if state.worker == Life::Unborn {
            let shared = self.clone();
            let thread = thread::Builder::new().name("um-imap-oauth2".into());
            let started = thread.spawn(move || Worker::new(shared).run());
            started.map_err(|error| {
                // It is the one that would connect.
                self.explain(Failure::new(Step::Connect, Kind::Network, no_thread(&error)))
            })?;
            state.worker = Life::Alive;
        }
        self.for_worker.notify();
        Ok(())
    }

    /// Takes the mailbox for this reader, with what an earlier one has left undone. Where lock and journal cannot be had, each
    /// call tries again.
    fn claim(&self, state: &mut State) -> Result<()> {
        let config = &self.config;
        if state.claimed {
            return Ok(());
        }
        let Some(place) = &self.place else {
            state.claimed = true;
            if self.access == Access::ReadWrite && config.journal {
                self.log.warning(format!(
                    "{}: there is no work directory ({} is not set), so a second reader of the mailbox would not be noticed, \
                     and after a crash the last second's decisions come again",
                    config.user,
                    SERVER_HOME.name
                ));
            }
            return Ok(());
        };
        if state.lock.is_none() {
            let made = place.make().map_err(|error| place.failed("", &error));
            match made.and_then(|()| Lock::take(place)) {
                Ok(lock) => state.lock = Some(lock),
                Err(failure) if failure.kind == Kind::Busy => return Err(self.explain(failure)),
                Err(failure) => {
                    self.journal_failed(state, failure);
                    return Ok(());
                }
            }
        }
        // Without the lock it could be another reader's.
        match Journal::open(place, &Identity::of(config), config.journal) {
            Ok((journal, found)) => {
                state.claimed = true;
                state.journal = journal;
                if state.journal_trouble.take().is_some() {
                    let (user, place) = (&config.user, place.path(""));
                    self.log.info(format!("{user}: lock and journal work now, in {}", place.display()));
                }
                self.take_over(state, found);
            }
            Err(failure) => self.journal_failed(state, failure),
        }
        Ok(())
    }

    /// What an earlier process left joins what was decided here before the journal could be opened; the journal is to hold
    /// both.
    fn take_over(&self, state: &mut State, Found { mut pending, uid_validity, warnings }: Found) {
        let user = &self.config.user;
        for warning in warnings {
            self.log.warning(format!("{user}: {warning}"));
        }
        if let (Some(before), Some(now)) = (uid_validity, state.uid_validity)
            && before != now
        {
            self.made_void(state, pending.len() as u64, before, now);
            pending.clear();
        }
        let found = pending.len();
        // It was handed out again, and what was decided then may be done already.
        pending.retain(|pending| !state.decided.contains(pending.mail.uid));
        let differs = !state.decisions.is_empty() || pending.len() < found;
        if !pending.is_empty() {
            self.log.info(format!(
                "{user}: {} earlier, and the server may not know it; it is told first",
                counted(pending.len() as u64, "mail was settled", "mails were settled")
            ));
            state.uid_validity = uid_validity;
        }
        for Pending { mail, .. } in &pending {
            // Neither handed out from now on, nor settled again if it was.
            state.decided.insert(mail.uid);
            state.open.remove(&mail.uid);
        }
        state.decisions.restore(pending);
        if let (true, Some(journal), Some(uid_validity)) = (differs, &mut state.journal, state.uid_validity)
            && let Err(failure) = journal.rewrite(uid_validity, &state.decisions)
        {
            self.journal_failed(state, failure);
        }
    }

    /// Another UIDVALIDITY: so many decisions of the journal, or of this process, cannot be told to the server any more.
    fn made_void(&self, state: &mut State, mails: u64, before: u32, now: u32) {
        let mut observed = format!(
            "UIDVALIDITY changed from {before} to {now}; {} could not be told to the server",
            counted(mails, "settled mail", "settled mails")
        );
        match state.journal.as_mut().map(|journal| journal.void()) {
            Some(Ok(aside)) => observed.push_str(&format!(" and are kept in {aside}")),
            Some(Err(failure)) => self.journal_failed(state, failure),
            None => {}
        }
        self.log.warning(format!("{}: {observed}", self.config.user));
        state.stale = Some(self.explain(Failure::new(Step::Settle, Kind::Stale, observed)));
    }

    /// A decision comes into the journal before anybody acts on it.
    fn write_down(&self, state: &mut State, uid_validity: u32, action: &Action, mail: Decided) {
        if let Some(journal) = &mut state.journal
            && let Err(failure) = journal.decided(uid_validity, action, mail)
        {
            self.journal_failed(state, failure);
        }
    }

    /// These mails are in their target, and only to be deleted.
    fn copied(&self, state: &mut State, uids: &RoaringBitmap) {
        if let (Some(journal), Some(uid_validity)) = (&mut state.journal, state.uid_validity)
            && let Err(failure) = journal.copied(uid_validity, uids)
        {
            self.journal_failed(state, failure);
        }
    }

    /// These mails are not among the decisions any more, which the journal is to know.
    fn cross_out(&self, state: &mut State, uids: &RoaringBitmap) {
        let (Some(journal), Some(uid_validity)) = (&mut state.journal, state.uid_validity) else { return };
        match journal.done(uid_validity, uids, &state.decisions) {
            Ok(true) => {
                state.journal_trouble = None;
                self.log.info(format!("{}: the journal can be written again", self.config.user));
            }
            Ok(false) => {}
            Err(failure) => self.journal_failed(state, failure),
        }
    }

    /// Returns when all that was decided is on the disk, as far as there is a journal.
    fn sync_journal(&self) {
        let synced = self.lock().journal.as_ref().map(Journal::synced);
        if let Some(Err(error)) = synced.map(|synced| synced.sync()) {
            let state = &mut *self.lock();
            if let Some(failure) = state.journal.as_ref().map(|journal| journal.failed(&error)) {
                self.journal_failed(state, failure);
            }
        }
    }

    /// Ends the calls of `flush` for whose mails there is nothing to do now.
    fn end_flushes(&self, state: &mut State) {
        let State { flushes, decisions, stale, .. } = state;
        let mut ended = false;
        for call in flushes.waiting().filter(|call| decisions.is_settled_up_to(&call.mails)) {
            let failure = stale.clone().or_else(|| decisions.last_refusal_up_to(&call.mails).cloned());
            call.result = Some(failure.map_or(Ok(()), Err));
            ended = true;
        }
        if ended {
            *stale = None;
            self.for_callers.notify();
        }
    }

    /// Ends all of them.
    fn fail_flushes(&self, state: &mut State, failure: &Failure) {
        for call in state.flushes.waiting() {
            call.result = Some(Err(failure.clone()));
        }
        self.for_callers.notify();
    }

    /// The mailbox works without the journal. That is said once.
    fn journal_failed(&self, state: &mut State, failure: Failure) {
        let failure = self.explain(failure);
        if state.journal_trouble.is_none() {
            let unlocked = if state.lock.is_none() {
                "a second reader of the mailbox would not be noticed, and "
            } else {
                ""
            };
            self.log.warning(format!(
                "{}: {unlocked}settled mail is not written down, so after a crash the last second's decisions come again: \
                 {failure}",
                self.config.user
            ));
        }
        state.journal_trouble = Some(failure);
    }

    fn close(&self) {
        let mut state = self.lock();
        if let Some(since) = state.closing {
            drop(self.wait_while(state, since + CLOSE + LAST_WORDS, |state| !state.closed));
            return;
        }
        state.closing = Some(Instant::now());
        state.decisions.make_due();
        state.fetch.ready.clear();
        state.open.clear();
        self.for_callers.notify();
        self.for_worker.notify();
        if !state.decisions.is_empty() {
            state = self.wait_for_worker(state, CLOSE);
        }
        self.cancel.cancel();
        state = self.wait_for_worker(state, LAST_WORDS);
        if !state.decisions.is_empty() {
            let (user, mails) =
                (&self.config.user, counted(state.decisions.len(), "settled mail", "settled mails"));
            let text = format!("{user}: closed before the server could be told of {mails}");
            if state.journal.is_some() && state.journal_trouble.is_none() {
                self.log.info(format!("{text}; they are in the journal for the next time"));
            } else {
                self.log.warning(format!("{text}; they stay in the inbox"));
            }
        }
        // The next reader may have it from now on.
        state.journal = None;
        state.lock = None;
        state.closed = true;
        self.for_callers.notify();
    }

    /// Until the worker has ended, or this time has passed.
    fn wait_for_worker<'a>(&'a self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.wait_while(state, Instant::now() + limit, |state| state.worker == Life::Alive)
    }

    fn wait_while<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: Instant,
        condition: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        while condition(&state) && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            state = self.for_callers.wait_timeout(state, left);
        }
        state
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self, state: &State) -> Health {
        let mut health = match &state.kept_out {
            Some(record) => record.health(&self.config),
            None => self.record().health(&self.config),
        };
        health.pending = state.decisions.len();
        let outage = state.outage.as_ref().filter(|(since, _)| since.elapsed() >= OUTAGE);
        health.warnings.extend(outage.map(|(_, failure)| failure.clone()));
        health.warnings.extend(state.decisions.last_refusal().cloned());
        health.warnings.extend(state.journal_trouble.clone());
        let expiry = state.credential.and_then(|(_, expiry)| expiry);
        health.credential_ends = expiry.map(|expiry| expiry.last_day);
        health.warnings.extend(expiry.and_then(|expiry| self.near(&expiry)));
        if let Some(broken) = &state.broken {
            health.failure = Some(broken.clone());
        }
        health.state = if health.failure.is_some() {
            Grade::Failing
        } else if health.warnings.is_empty() {
            Grade::Well
        } else {
            Grade::Warning
        };
        health
    }

    /// Looks up the end of the credential once an hour. One that cannot be read is for the token request to complain of. Not
    /// under the lock, for nobody else is to wait until its file could be read.
    fn look_up_credential(&self) {
        self.look_up_credential_by(|oauth2| token::expiry(oauth2).ok().flatten());
    }

    fn look_up_credential_by(&self, expiry: impl FnOnce(&OAuth2) -> Option<Expiry>) {
        let authentication = {
            let state = self.lock();
            if state.credential.is_some_and(|(at, _)| at.elapsed() < LOOKED_UP) {
                return;
            }
            state.authentication(&self.config).clone()
        };
        let expiry = match &authentication {
            Authentication::OAuth2(oauth2) => expiry(oauth2),
            Authentication::Password(_) => None,
        };
        let mut state = self.lock();
        // It may not be the one in use any more.
        if state.authentication(&self.config).renewed_by(&authentication).is_none() {
            state.credential = Some((Instant::now(), expiry));
        }
    }

    /// What to say of a credential that ends soon.
    fn near(&self, expiry: &Expiry) -> Option<Failure> {
        let observed = expiry.near(DateTime::<Utc>::from(SystemTime::now()).date_naive())?;
        Some(self.explain(Failure::new(Step::Token, Kind::Token, observed).key(expiry.key().name)))
    }

    /// Adds cause and remedy.
    fn explain(&self, failure: Failure) -> Failure {
        self.explain_move(failure, None)
    }

    /// The same of a move to this folder, where no property names it.
    fn explain_move(&self, failure: Failure, folder: Option<&str>) -> Failure {
        let configured = mailbox_values(&self.config);
        let values = |hole: &str| match hole {
            MOVED_TO => folder.map(str::to_owned),
            hole => configured(hole),
        };
        let circumstances = Circumstances {
            language: self.config.language,
            names: &self.config.names,
            worked_before: self.record().worked_before(&self.config),
            values: &values,
        };
        explain(failure, &circumstances)
    }
}

/// Whether the administrator means the same folder.
fn same_folder(one: &str, other: &str) -> bool {
    Folders::default().resolve(one).name.eq_ignore_ascii_case(&Folders::default().resolve(other).name)
}

fn closed() -> Failure {
    Failure::new(Step::Call, Kind::Closed, "the mailbox is closed").remedy("Open it again.")
}

fn ended_by_newer() -> Failure {
    Failure::new(Step::Call, Kind::Usage, "a newer fetch of the mailbox has ended this one")
        .remedy("Go on with the newer one; what was not settled comes again in it.")
}

/// Mails that come within this time are handed out together.
const QUIET: Duration = Duration::from_millis(5);

/// A connection that is lost is usually there again within this time, and nobody needs to know.
const OUTAGE: Duration = Duration::from_secs(10);

/// How long closing may take to tell the server what was decided.
const CLOSE: Duration = Duration::from_secs(5);

/// How long it then waits for the worker, which is in a name look-up at worst.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long the credential's end counts as known: a file can be replaced.
const LOOKED_UP: Duration = Duration::from_secs(3600);
