//! The thread of a mailbox: it connects, fetches ahead of the caller, and tells the server what was decided.
//!
//! It never waits for a caller while a command is in flight: a body is asked for only when there is room for it, and one
//! that turns out larger goes to a file or, where enough of those wait, is passed over for now. So the answers to all
//! commands in flight can always be read to their end, and a decision never waits behind a mail that nobody takes.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use roaring::RoaringBitmap;
use secrecy::ExposeSecret;

use crate::config::{Authentication, Security};
use crate::failure::{Failure, Kind, Result, Retry, Step, panicked};
use crate::imap::backoff::{backoff, is_unavailable, says_unavailable};
use crate::imap::commands::Command;
use crate::imap::login::{self, Inbox, Login, Opening, Secret, StartTls};
use crate::imap::responses::{self, Code, Condition, Response, Status};
use crate::imap::session::{Received, Session};
use crate::imap::tags::Tags;
use crate::imap::uids::{Uid, UidSet};
use crate::imap::{Transport, uid_set};
use crate::net::{self, Deadline};
use crate::token;

use super::decisions::{Action, Batch, Step as BatchStep, targets};
use super::message::{Incoming, Message, MessageId, received_millis};
use super::pipeline::Pipeline;
use super::run::{ASSUMED, FILES, Run, Stage, large};
use super::{Access, Life, Phase, QUIET, STATUS, Shared, State};

pub(super) struct Worker {
    shared: Arc<Shared>,
    session: Option<Session<Sent>>,
    /// The fetch under way.
    run: Option<Run>,
    /// A mail that is arriving: its octets come before the response that says whose they are.
    incoming: Option<Incoming>,
    /// What the server told of mails whose decisions are to be verified.
    dates: BTreeMap<u32, Seen>,
    /// Mails whose dates the server did not tell.
    refused_dates: Option<RefusedDates>,
    /// The server is being asked about what to compare with.
    comparing: bool,
    /// A connection was lost with decisions on it, and the next one made at once, since the server last did one.
    connected_again: bool,
    /// Mails at which connections were lost: the next fetch asks for the others first.
    suspects: RoaringBitmap,
    pipeline: Pipeline,
    /// No connection is tried before this time without somebody's asking.
    rest_until: Option<Instant>,
    /// Since when the server has asked to be left alone without doing anything in between.
    throttled_since: Option<Instant>,
    /// When `status.json` is to be brought up to date. Nobody's business before mail was looked for: what an earlier process
    /// has written is worth more.
    status_due: Option<Instant>,
    /// Mail was looked for.
    asked: bool,
    /// One warning is enough.
    warned_of_marks: bool,
    warned_of_status: bool,
    /// Fetches in which mails vanished that nobody had settled, and the last one of them.
    vanishing: (u32, u64),
}

/// What the server has of a mail, before a decision about it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing: it is gone.
    Nothing,
    Undated,
    /// In milliseconds since 1970.
    Dated(i64),
}

/// The server told nothing of these mails: they are gone, or Exchange cannot convert them. `NO Some of the requested messages no
/// longer exist` is its way to refuse the others, too.
struct RefusedDates {
    asked: RoaringBitmap,
    /// Those of them that SEARCH finds.
    present: RoaringBitmap,
    refusal: Failure,
}

/// What a command in flight was sent for.
enum Sent {
    Nothing,
    Noop {
        fetch: u64,
    },
    Search {
        fetch: u64,
    },
    Sizes {
        fetch: u64,
    },
    Bodies {
        fetch: u64,
        uids: RoaringBitmap,
    },
    /// Which of the mails are there that the server has nothing for.
    Doubts {
        fetch: u64,
    },
    Dates,
    Present,
    /// The step of the batch under way.
    Settle,
    /// The folder that the batch under way needs.
    Create(String),
}

impl Sent {
    fn step(&self) -> Step {
        match self {
            Sent::Nothing | Sent::Noop { .. } | Sent::Search { .. } => Step::Search,
            Sent::Sizes { .. } | Sent::Bodies { .. } | Sent::Doubts { .. } => Step::Fetch,
            Sent::Dates | Sent::Present | Sent::Settle => Step::Settle,
            Sent::Create(_) => Step::Folders,
        }
    }
}

/// What to do next.
enum Turn {
    Exit,
    Connect,
    Send(Command, Sent),
    Receive,
    /// Until woken, or until this time.
    Wait(Option<Instant>),
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            pipeline: Pipeline::new(shared.config.fetch.pipeline),
            rest_until: None,
            throttled_since: None,
            status_due: None,
            asked: false,
            shared,
            session: None,
            run: None,
            incoming: None,
            suspects: RoaringBitmap::new(),
            dates: BTreeMap::new(),
            refused_dates: None,
            comparing: false,
            connected_again: false,
            warned_of_marks: false,
            warned_of_status: false,
            vanishing: (0, 0),
        }
    }

    /// Until the mailbox is closed. A panic ends the mailbox, not the process.
    pub(super) fn run(mut self) {
        self.shared.config.remember_secrets();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            while match self.turn() {
                Ok(go_on) => go_on,
                Err(failure) => self.failed(failure),
            } {}
        }));
        let shared = self.shared.clone();
        let mut state = shared.lock();
        if let Err(panic) = ended {
            let failure = panicked(panic);
            state.broken = Some(failure.clone());
            // What is broken can be what tells of it.
            let told = catch_unwind(AssertUnwindSafe(|| self.tell_of_the_end(&mut state, failure)));
            if let Err(second) = told {
                std::mem::forget(second);
            }
        }
        state.worker = Life::Over;
        shared.for_callers.notify();
    }

    /// To those who call, to the log, and to whoever reads `status.json`.
    fn tell_of_the_end(&mut self, state: &mut State, failure: Failure) {
        let failure = self.shared.explain(failure);
        state.broken = Some(failure.clone());
        self.shared.log.error(format!("{}: {failure}", self.shared.config.user));
        self.shared.record().failed(&failure);
        self.write_status_now(state);
    }

    /// False at the end.
    fn turn(&mut self) -> Result<bool> {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        let turn = self.plan(&mut state);
        let written = self.write_status(&state);
        if let Turn::Wait(until) = turn {
            drop(wait(&shared, state, until.into_iter().chain(written).min()));
            return Ok(true);
        }
        drop(state);
        match turn {
            Turn::Exit => {
                self.write_status_now(&shared.lock());
                if let Some(session) = self.session.take()
                    && !shared.cancel.is_cancelled()
                {
                    session.log_out();
                }
                return Ok(false);
            }
            Turn::Connect => self.connect()?,
            Turn::Send(command, sent) => {
                if matches!(sent, Sent::Settle) {
                    shared.sync_journal();
                }
                self.session()?.send(&command, sent)?;
            }
            Turn::Receive | Turn::Wait(_) => self.receive()?,
        }
        Ok(true)
    }

    /// Decides what to do next, and notes in the state what it will have done.
    fn plan(&mut self, state: &mut State) -> Turn {
        let closing = state.closing.is_some();
        if self.shared.cancel.is_cancelled() || closing && state.decisions.is_settled() {
            return Turn::Exit;
        }
        self.shared.end_flushes(state);
        let flushing = state.flushes.are_waiting();
        if closing {
            self.run = None;
        } else if matches!(state.fetch.phase, Phase::Requested)
            && self.run.as_ref().is_none_or(|run| run.fetch != state.fetch.id)
        {
            // In an outage nobody knows how it would have ended.
            if let Some(run) = self.run.take().filter(|run| run.begun && run.trouble.is_none()) {
                self.shared.record().succeeded(run.set_aside);
            }
            let ended = state.fetch.ended.take().filter(|run| run.fetch == state.fetch.id);
            if ended.is_some() {
                state.fetch.phase = Phase::Running;
            }
            self.run = Some(ended.unwrap_or_else(|| Run::new(state.fetch.id)));
            self.asked = true;
            self.pipeline.fetch_begins();
            self.shared.record().asked();
        }
        if let Some(turn) = self.leave_alone(state) {
            return turn;
        }
        let Some(session) = &self.session else {
            if self.run.is_some() || (flushing || closing) && !state.decisions.is_settled() {
                return Turn::Connect;
            }
            let next = if state.decisions.unverified.is_empty() {
                state.decisions.next_time()
            } else {
                Some(Instant::now())
            };
            let next = next.max(self.rest_until.filter(|_| next.is_some()));
            return if next.is_some_and(|next| next <= Instant::now()) {
                Turn::Connect
            } else {
                Turn::Wait(next)
            };
        };
        let in_flight = session.in_flight();
        let alone = self.run.as_ref().is_some_and(Run::is_alone);
        if in_flight < if alone { 1 } else { self.pipeline.depth() } {
            // The numbers in the answers to two SEARCHes cannot be told apart.
            let searches = self.refused_dates.is_some();
            let next = self.settlement(state).or_else(|| if searches { None } else { self.fetching(state) });
            if let Some((command, sent)) = next {
                return Turn::Send(command, sent);
            }
        }
        if in_flight > 0 {
            return Turn::Receive;
        }
        if self.run.as_ref().is_some_and(Run::is_over) {
            self.end_run(state, Ok(()));
        }
        // Comparing with the server's mails may have left nothing to do.
        self.shared.end_flushes(state);
        if closing && state.decisions.is_settled() {
            return self.plan(state);
        }
        Turn::Wait(state.decisions.next_time())
    }

    /// What to do while the server asks to be left alone: nothing, on the same connection. Callers are not made to wait for
    /// long.
    fn leave_alone(&mut self, state: &mut State) -> Option<Turn> {
        let (left, failure) =
            self.shared.record().throttled_for().map(|(left, failure)| (left, failure.clone()))?;
        if self.session.as_ref().is_some_and(|session| session.in_flight() > 0) {
            return Some(Turn::Receive);
        }
        if state.closing.is_some() {
            return Some(Turn::Exit);
        }
        let in_all = self.throttled_since.map_or(Duration::ZERO, |since| since.elapsed());
        if left > WAITED_OUT || in_all > self.shared.times.throttled {
            // Whoever calls next waits as long.
            self.throttled_since = None;
            let failure = failure.retry(Retry::After(left));
            self.shared.fail_flushes(state, &failure);
            if let Some(begun) = self.run.as_ref().map(|run| run.begun) {
                self.end_run(state, if begun { Ok(()) } else { Err(failure) });
            }
        }
        Some(Turn::Wait(Some(Instant::now() + left)))
    }

    /// The next command for what was decided.
    fn settlement(&mut self, state: &mut State) -> Option<(Command, Sent)> {
        let session = self.session.as_ref()?;
        if state.decisions.under_way.is_some() || self.comparing {
            return None;
        }
        state.decisions.doubt_due();
        if !state.decisions.unverified.is_empty() {
            if let Some(refused) = &self.refused_dates {
                self.comparing = session.in_flight() == 0;
                return self.comparing.then(|| (Command::Present(uids_of(&refused.asked)), Sent::Present));
            }
            let mut uids: RoaringBitmap = state
                .decisions
                .unverified
                .iter()
                .flat_map(|batch| &batch.mails)
                .map(|mail| mail.uid)
                .collect();
            uids -= self.dates.keys().copied().collect::<RoaringBitmap>();
            let uids = uid_set::take_front(&mut uids, usize::MAX);
            if uids.is_empty() {
                self.verify(state);
                return self.settlement(state);
            }
            self.dates.extend(uids.iter().map(|uid| (uid, Seen::Nothing)));
            self.comparing = true;
            return Some((Command::Dates(uids_of(&uids)), Sent::Dates));
        }
        let batch = state.decisions.next_due()?;
        let (command, sent) = self.batch_command(&batch)?;
        state.decisions.under_way = Some(batch);
        Some((command, sent))
    }

    /// The command that a batch needs now: its own, or the one that makes its folder.
    fn batch_command(&self, batch: &Batch) -> Option<(Command, Sent)> {
        let session = self.session.as_ref()?;
        #[cfg(debug_assertions)]
        assert_ne!(batch.action, Action::Move(PANIC.to_owned()));
        let folder = match &batch.action {
            Action::Move(folder) => session.folders.resolve(folder),
            _ => session.folders.resolve(""),
        };
        if matches!(batch.action, Action::Move(_)) && !folder.exists && batch.step == BatchStep::First {
            return Some((Command::Create(folder.name.clone()), Sent::Create(folder.name)));
        }
        Some((batch.command(session.capabilities, &folder.name), Sent::Settle))
    }

    /// The next command for the fetch under way.
    fn fetching(&mut self, state: &mut State) -> Option<(Command, Sent)> {
        let config = &self.shared.config;
        let run = self.run.as_mut()?;
        let fetch = run.fetch;
        match run.stage {
            // What was decided comes first, so that SEARCH does not find it again.
            Stage::New if state.decisions.is_settled() => {
                run.stage = Stage::Looking;
                Some((Command::Noop, Sent::Noop { fetch }))
            }
            Stage::Ready => {
                run.stage = Stage::Searching;
                Some((Command::Search { unseen: !config.process_all }, Sent::Search { fetch }))
            }
            Stage::New | Stage::Looking | Stage::Searching => None,
            Stage::Fetching => {
                if let Some(uids) = run.next_bodies(state.fetch.held, config.fetch.buffer, &state.decided) {
                    return Some((Command::Fetch(uids_of(&uids)), Sent::Bodies { fetch, uids }));
                }
                if let Some(uids) = run.next_sizes(&state.decided) {
                    return Some((Command::Sizes(uids_of(&uids)), Sent::Sizes { fetch }));
                }
                // The numbers in the answers to two of these cannot be told apart.
                if self.session.as_ref()?.in_flight() > 0 {
                    return None;
                }
                if let Some(uids) = run.next_suspect(state.fetch.held, config.fetch.buffer, &state.decided) {
                    return Some((Command::Fetch(uids_of(&uids)), Sent::Bodies { fetch, uids }));
                }
                Some((Command::Present(uids_of(&run.next_doubts(&state.decided)?)), Sent::Doubts { fetch }))
            }
        }
    }

    /// Connects, logs in, selects the inbox and makes the folders that the configuration names.
    fn connect(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let config = &shared.config;
        if let Some((fetch, losses)) = self.run.as_ref().map(|run| (run.fetch, run.losses)) {
            let until = Instant::now() + pause_before(losses);
            let mut state = shared.lock();
            while Instant::now() < until && state.closing.is_none() && state.fetch.id == fetch {
                let written = self.write_status(&state);
                state = wait(&shared, state, [Some(until), written].into_iter().flatten().min());
            }
        }
        shared.look_up_credential();
        let mut session = self.log_in()?;
        session.set_times(shared.times);
        for alert in session.take_alerts() {
            shared.log.warning(format!("{}: the mail server says: {alert}", config.user));
        }
        if shared.access == Access::ReadWrite {
            self.make_folders(&mut session)?;
        }
        let now = session.selected.uid_validity.get();
        let mut state = shared.lock();
        let before = state.uid_validity.replace(now);
        if let Some(before) = before.filter(|&before| before != now) {
            if !state.decisions.is_empty() {
                let mails = state.decisions.len();
                shared.made_void(&mut state, mails, before, now);
            }
            state.decisions.clear();
            state.open.clear();
            state.unsure.clear();
            state.decided.clear();
            state.highest = 0;
            self.suspects.clear();
            let begun = self.run.as_ref().is_some_and(|run| run.begun);
            let untaken = !state.fetch.ready.is_empty();
            if begun || untaken {
                let observed = format!("UIDVALIDITY changed from {before} to {now} during the fetch");
                let failure = Failure::new(Step::Select, Kind::Stale, observed).retry(Retry::Later);
                let result = Err(shared.explain(failure));
                if untaken {
                    // All have come, but their numbers mean nothing any more.
                    state.fetch.clear();
                    state.fetch.phase = Phase::Ended(result.clone());
                    shared.for_callers.notify();
                }
                if begun {
                    self.end_run(&mut state, result);
                }
            }
        }
        // SELECT has just told which mails there are, unless some are settled before SEARCH.
        if let Some(run) = self.run.as_mut().filter(|run| run.stage == Stage::New)
            && state.decisions.is_settled()
        {
            run.stage = Stage::Ready;
        }
        drop(state);
        shared.record().worked(config);
        self.pipeline.connected();
        self.session = Some(session);
        Ok(())
    }

    fn log_in(&self) -> Result<Session<Sent>> {
        let shared = &self.shared;
        let config = &shared.config;
        let deadline = Deadline::after(shared.times.opening);
        let trace = config.trace.then(|| shared.log.clone());
        let inbox = Inbox { name: &config.folders.inbox, read_only: shared.access == Access::ReadOnly };
        let attempt = |secret| {
            let stream = self.dial(deadline)?;
            let start_tls = (config.security == Security::StartTls)
                .then_some(StartTls { host: &config.server, trust: &shared.trust });
            let login = Login { user: &config.user, secret };
            let opening = Opening { start_tls, deadline, tags: Tags::random()?, trace: trace.clone() };
            login::open(stream, opening, &login, &inbox)
        };
        let authentication = shared.lock().authentication(config).clone();
        let oauth2 = match &authentication {
            Authentication::Password(password) => return attempt(Secret::Password(password.expose_secret())),
            Authentication::OAuth2(oauth2) => oauth2,
        };
        let (names, trust) = (&config.names, &shared.trust);
        let token = || token::access_token(oauth2, names, trust, deadline, &shared.cancel, &shared.log);
        let first = token()?;
        let opened = attempt(Secret::AccessToken(first.secret()));
        match opened {
            // A token from the cache may have been revoked: the refusal counts only for a fresh one.
            Err(failure) if failure.kind == Kind::Login && !first.is_fresh() => {
                token::forget(oauth2, &first);
                attempt(Secret::AccessToken(token()?.secret()))
            }
            opened => opened,
        }
        .inspect(|session| {
            if oauth2.debug {
                shared.log.info(format!(
                    "{}: logged in at {}:{}, inbox {} with UIDVALIDITY {}",
                    config.user,
                    config.server,
                    config.port,
                    session.selected.name,
                    session.selected.uid_validity
                ));
            }
        })
    }

    fn dial(&self, deadline: Deadline) -> Result<Box<dyn Transport>> {
        let config = &self.shared.config;
        #[cfg(test)]
        if let Some(peer) = crate::imap::scripted::dial(&config.server) {
            return Ok(peer);
        }
        let trust = (config.security == Security::Tls).then_some(&self.shared.trust);
        let (proxy, cancel) = (config.proxy.as_ref(), &self.shared.cancel);
        let stream = net::connect(&config.server, config.port, proxy, trust, deadline, cancel)?;
        Ok(Box::new(stream))
    }

    /// Makes the folders to which outcomes lead, before any mail is handed out: an administrator learns at once that one
    /// cannot be made, and not when UM has counted the bounces.
    fn make_folders(&self, session: &mut Session<Sent>) -> Result<()> {
        let config = &self.shared.config;
        for (key, configured) in targets(config) {
            let folder = session.folders.resolve(configured);
            if folder.name.eq_ignore_ascii_case(&session.selected.name) {
                let observed = format!("{key} = {configured:?} is the inbox itself");
                return Err(Failure::new(Step::Folders, Kind::Configuration, observed).key(key));
            }
            if !folder.exists {
                let condition = session.run(&Command::Create(folder.name.clone()), Sent::Nothing)?;
                created(session, &folder.name, &condition).map_err(|failure| failure.key(key))?;
            }
        }
        Ok(())
    }

    /// Takes in what the server sent next, and what came with it, up to the answer to a command.
    fn receive(&mut self) -> Result<()> {
        while !self.receive_one()? && self.session.as_ref().is_some_and(Session::has_input) {}
        Ok(())
    }

    /// Whether it was the answer to a command.
    fn receive_one(&mut self) -> Result<bool> {
        let session = self.session.as_mut().ok_or_else(|| Failure::internal("no session to read from"))?;
        match session.receive()? {
            Received::MessageStart { octets, .. } => {
                let state = self.shared.lock();
                let buffer = self.shared.config.fetch.buffer;
                let room = buffer.saturating_sub(state.fetch.held.octets) as u64;
                let in_memory = octets <= room && octets <= large(buffer);
                let directory = self.shared.config.tmp_directory.as_deref();
                self.incoming = Some(if in_memory || state.fetch.held.files < FILES {
                    Incoming::new(octets, in_memory, directory)
                } else {
                    Incoming::PassedOver(octets)
                });
            }
            Received::Message(octets) => {
                if let Some(incoming) = &mut self.incoming {
                    incoming.add(octets);
                }
            }
            Received::Uids(uids) => {
                let mut found = RoaringBitmap::new();
                found.insert_range(uids.start().get()..=uids.end().get());
                if let Some((asked, there)) = self.run.as_mut().and_then(|run| run.doubted.as_mut()) {
                    *there |= &*asked & &found;
                }
                if let Some(run) = self.run.as_mut().filter(|run| run.stage == Stage::Searching) {
                    run.waiting |= &found;
                }
                if let Some(refused) = &mut self.refused_dates {
                    refused.present |= found;
                }
            }
            Received::Data(Response::Fetch(fetch)) => self.fetched(fetch)?,
            Received::Data(_) => {}
            Received::Done(sent, condition) => {
                self.done(sent, &condition)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A FETCH response: sizes, dates, a mail, or something that nobody asked for.
    fn fetched(&mut self, fetch: responses::Fetch) -> Result<()> {
        let incoming = self.incoming.take();
        let Some(uid) = fetch.uid.map(Uid::get) else { return Ok(()) };
        if let Some(seen) = self.dates.get_mut(&uid)
            && fetch.message.is_none()
        {
            *seen = match (fetch.internal_date.as_deref().and_then(received_millis), *seen) {
                (Some(date), _) => Seen::Dated(date),
                (None, Seen::Nothing) => Seen::Undated,
                (None, before) => before,
            };
        }
        let Some(run) = &mut self.run else { return Ok(()) };
        let message = match fetch.message {
            None => {
                if let Some(size) = fetch.size {
                    run.size(uid, size);
                }
                return Ok(());
            }
            // The server has nothing for it; its tagged answer tells what becomes of it.
            Some(responses::Message::Absent) => return Ok(()),
            Some(responses::Message::Quoted(octets)) => Some(Incoming::Memory(octets)),
            Some(responses::Message::Streamed) => incoming,
        };
        // What was not asked for, or comes twice, is nobody's.
        let (Some(message), true) = (message, run.arrived(uid)) else { return Ok(()) };
        if let Incoming::PassedOver(octets) = message {
            run.ask_later(uid, octets);
            return Ok(());
        }
        run.progress();
        self.suspects.remove(uid);
        self.throttled_since = None;
        self.shared.record().progress();
        self.status_due.get_or_insert_with(|| Instant::now() + STATUS_PAUSE);
        let internal_date = fetch.internal_date.unwrap_or_default();
        let received_millis = received_millis(&internal_date);
        let mut state = self.shared.lock();
        state.outage = None;
        if state.fetch.id != run.fetch {
            return Ok(());
        }
        match message.finish() {
            Ok(body) => {
                let uid_validity =
                    state.uid_validity.ok_or_else(|| Failure::internal("a mail without UIDVALIDITY"))?;
                state.unsure.remove(uid);
                state.fetch.push(Message {
                    id: MessageId { uid_validity, uid },
                    flags: fetch.flags.unwrap_or_default(),
                    internal_date,
                    received_millis,
                    body,
                });
                if state.fetch.told.is_none_or(|told| told.elapsed() >= QUIET) {
                    state.fetch.told = Some(Instant::now());
                    self.shared.for_callers.notify();
                }
            }
            Err(why) => {
                let observed = format!(
                    "the mail with UID {uid} is larger than cmsbs.mail.imap.fetch.buffer allows in memory, and no \
                     temporary file could hold it: {why}"
                );
                set_aside(&self.shared, run, Failure::new(Step::Storage, Kind::Storage, observed));
            }
        }
        Ok(())
    }

    /// A command was answered.
    fn done(&mut self, sent: Sent, condition: &Condition) -> Result<()> {
        let ok = condition.status == Status::Ok;
        let shared = self.shared.clone();
        let state = &mut *shared.lock();
        if matches!(sent, Sent::Dates | Sent::Present) {
            self.comparing = false;
        }
        if !ok && let Some(time) = backoff(&condition.line) {
            let failure = shared.explain(Session::<Sent>::refused(sent.step(), condition));
            self.throttled(time, failure);
            self.not_now(state, sent);
            return Ok(());
        }
        if condition.status == Status::Bad {
            self.pipeline.failed();
        }
        if ok {
            self.throttled_since = None;
            if self.session.as_ref().is_some_and(|session| session.in_flight() > 0) {
                self.pipeline.coped();
            }
        } else if is_unavailable(condition) {
            return Err(Session::<Sent>::refused(sent.step(), condition).retry(Retry::Later));
        }
        match sent {
            Sent::Nothing => {}
            Sent::Noop { fetch } => {
                if let Some(run) = self.run.as_mut().filter(|run| run.fetch == fetch) {
                    run.stage = Stage::Ready;
                }
            }
            Sent::Search { fetch } => {
                let Some(run) = self.run.as_mut().filter(|run| run.fetch == fetch) else { return Ok(()) };
                if !ok {
                    return Err(Session::<Sent>::refused(Step::Search, condition));
                }
                shared.record().progress();
                state.decided = state.decisions.uids();
                run.waiting -= &state.decided;
                let mut vanished = false;
                for (_, mail) in state.open.iter_mut().filter(|(uid, _)| !run.waiting.contains(**uid)) {
                    vanished |= !std::mem::replace(&mut mail.missed, true);
                }
                if shared.config.process_all {
                    // A mail that is not there any more cannot be settled; one that was only read can.
                    state.open.retain(|_, mail| !mail.missed);
                }
                run.stage = Stage::Fetching;
                run.begun = true;
                run.progress();
                state.outage = None;
                if state.fetch.id == fetch {
                    // A later connection of the same fetch finds what is left.
                    if matches!(state.fetch.phase, Phase::Requested) {
                        state.fetch.found = run.waiting.len();
                    }
                    state.fetch.phase = Phase::Running;
                    shared.for_callers.notify();
                }
                self.suspects &= &run.waiting;
                run.suspect(&self.suspects);
                if vanished {
                    self.vanished(fetch);
                }
            }
            Sent::Sizes { fetch } => {
                if let Some(run) = self.run.as_mut().filter(|run| run.fetch == fetch) {
                    let unanswered = run.sizing.take().unwrap_or_default();
                    if !ok {
                        // Sizes are only hints. Where the answer is OK, what it does not name may be gone.
                        run.sized.extend(unanswered.iter().map(|uid| (uid, ASSUMED)));
                    } else {
                        run.silence(unanswered, &condition.line);
                    }
                }
            }
            Sent::Bodies { fetch, uids } => {
                if let Some(run) = self.run.as_mut().filter(|run| run.fetch == fetch) {
                    run.answered_without(&uids, &condition.line);
                }
            }
            Sent::Doubts { fetch } => {
                if let Some(run) = self.run.as_mut().filter(|run| run.fetch == fetch)
                    && let Some((asked, there)) = run.doubted.take()
                {
                    // Where the server does not say, nobody must believe that they are gone.
                    let there = if ok { there } else { asked.clone() };
                    // What was settled here since the question may be gone.
                    let (asked, there) = (asked - &state.decided, there - &state.decided);
                    for uid in run.tried_in_vain(&there) {
                        let line = &run.silent_line;
                        let observed = format!("the server did not deliver the mail with UID {uid}: {line}");
                        set_aside(&shared, run, Failure::new(Step::Fetch, Kind::Refused, observed));
                    }
                    if there.len() < asked.len() {
                        self.vanished(fetch);
                    }
                }
            }
            Sent::Dates => {
                let silent = self.dates.iter().filter(|(_, seen)| **seen == Seen::Nothing);
                let mut silent: RoaringBitmap = silent.map(|(&uid, _)| uid).collect();
                if !silent.is_empty() {
                    let asked = uid_set::take_front(&mut silent, usize::MAX);
                    self.dates.retain(|uid, _| !silent.contains(*uid));
                    let refusal = Session::<Sent>::refused(Step::Settle, condition);
                    self.refused_dates = Some(RefusedDates { asked, present: RoaringBitmap::new(), refusal });
                }
            }
            Sent::Present => {
                let Some(RefusedDates { asked, present, refusal }) = self.refused_dates.take() else {
                    return Ok(());
                };
                // Where the server does not say, nobody must believe that they are gone.
                let there = if ok { &asked & &present } else { asked.clone() };
                let gone = &asked - &there;
                state.decisions.gone(&gone);
                shared.cross_out(state, &gone);
                self.dates.retain(|uid, _| !asked.contains(*uid));
                if let Some(uid) = there.min() {
                    let observed = format!(
                        "the server does not tell the date of the mail with UID {uid}: {}",
                        refusal.observed
                    );
                    let refusal = self.refused(Failure { observed, ..refusal }, &Action::Delete);
                    state.decisions.unknown(&there, &refusal);
                }
            }
            Sent::Create(folder) => {
                let session = self.session.as_mut().ok_or_else(|| Failure::internal("no session"))?;
                let made = created(session, &folder, condition);
                let Some(batch) = state.decisions.under_way.take() else { return Ok(()) };
                match made {
                    Ok(()) => state.decisions.again(batch),
                    Err(failure) => {
                        let failure = self.refused(failure, &batch.action);
                        state.decisions.refused(batch, failure);
                    }
                }
            }
            Sent::Settle => {
                self.status_due.get_or_insert_with(|| Instant::now() + STATUS_PAUSE);
                let Some(mut batch) = state.decisions.under_way.take() else { return Ok(()) };
                let session = self.session.as_mut().ok_or_else(|| Failure::internal("no session"))?;
                if ok {
                    state.decisions.succeeded();
                    self.connected_again = false;
                    if let Some(step) = batch.next_step(session.capabilities) {
                        batch.step = step;
                        if step == BatchStep::Mark {
                            shared.copied(state, &batch.uids());
                        }
                        state.decisions.again(batch);
                    } else {
                        shared.cross_out(state, &batch.uids());
                        self.settled(&batch);
                    }
                } else if condition.code == Some(Code::TryCreate) && !batch.created {
                    batch.created = true;
                    if let Action::Move(folder) = &batch.action {
                        let name = session.folders.resolve(folder).name;
                        session.folders.names.retain(|existing| *existing != name);
                    }
                    state.decisions.again(batch);
                } else {
                    let failure = Session::<Sent>::refused(Step::Settle, condition);
                    let failure = self.refused(failure, &batch.action);
                    state.decisions.doubted(batch, failure);
                }
            }
        }
        Ok(())
    }

    /// Mails have gone that this fetch found, or an earlier one handed out, and that nobody settled here.
    fn vanished(&mut self, fetch: u64) {
        let (times, last) = &mut self.vanishing;
        if *last != fetch {
            *last = fetch;
            *times += 1;
            if *times == MANY_VANISHINGS {
                self.shared.log.warning(format!(
                    "{}: in {times} fetches mails have vanished from {} that were not settled here: somebody else reads the \
                     mailbox (a second Universal Messenger, a mail program, a rule), and bounces are lost or counted twice",
                    self.shared.config.user, self.shared.config.folders.inbox
                ));
            }
        }
    }

    /// A batch is done.
    fn settled(&mut self, batch: &Batch) {
        let marks = batch.action != Action::MarkSeen;
        let uidplus = self.session.as_ref().is_some_and(|session| session.capabilities.uidplus);
        let moves = self.session.as_ref().is_some_and(|session| session.capabilities.r#move);
        let moved = moves && matches!(batch.action, Action::Move(_));
        if marks && !uidplus && !moved && !self.warned_of_marks {
            self.warned_of_marks = true;
            self.shared.log.warning(format!(
                "{}: the server has no UIDPLUS, so nothing is expunged: settled mails stay in the inbox, marked \
                 \\Deleted, and are not read again; remove them with a mail program now and then",
                self.shared.config.user
            ));
        }
    }

    /// The server said no to a batch. Where a property names the folder, it is the one to look at.
    fn refused(&self, mut failure: Failure, action: &Action) -> Failure {
        let mut unnamed = None;
        if let Action::Move(folder) = action {
            let mut targets = targets(&self.shared.config).into_iter();
            failure.key = targets.find(|(_, name)| name == folder).map(|(key, _)| key);
            unnamed = Some(folder.as_str()).filter(|_| failure.key.is_none());
        }
        let failure = self.shared.explain_move(failure, unnamed);
        self.shared.log.warning(format!("{}: {failure}", self.shared.config.user));
        failure
    }

    /// All dates are there: what is still the same mail is sent again, what is gone is done. What could be another mail is
    /// left alone, and comes again.
    fn verify(&mut self, state: &mut State) {
        let mut over = RoaringBitmap::new();
        for mut batch in std::mem::take(&mut state.decisions.unverified) {
            let before = batch.mails.len();
            batch.mails.retain(|mail| {
                let why = match (self.dates.get(&mail.uid), mail.received) {
                    (None | Some(Seen::Nothing), _) => None,
                    (Some(Seen::Dated(now)), Some(received)) if *now == received => return true,
                    (Some(Seen::Dated(_)), Some(_)) => Some("is another mail than the one that was settled"),
                    (Some(_), _) => {
                        Some("has no date, so nobody can tell whether it is the mail that was settled")
                    }
                };
                if let Some(why) = why {
                    let user = &self.shared.config.user;
                    self.shared.log.warning(format!("{user}: UID {} {why}; it is left alone", mail.uid));
                }
                over.insert(mail.uid);
                false
            });
            let fewer = batch.mails.len() < before;
            if !batch.mails.is_empty() {
                state.decisions.verified(batch, fewer);
            }
        }
        self.dates.clear();
        self.shared.cross_out(state, &over);
    }

    /// What a failure means: a new connection, or the end of the fetch. False at the end of the worker.
    fn failed(&mut self, failure: Failure) -> bool {
        let shared = self.shared.clone();
        let session = self.session.take();
        let had_session = session.is_some();
        let suspect = session.as_ref().and_then(|session| self.suspect(session, &failure));
        self.suspects.extend(suspect);
        if session.is_some_and(|session| session.in_flight() > 1) {
            self.pipeline.failed();
        }
        self.incoming = None;
        self.dates.clear();
        self.refused_dates = None;
        self.comparing = false;
        let state = &mut *shared.lock();
        state.decisions.connection_lost(&shared.explain(failure.clone()));
        let read = state.open.keys().copied().chain(state.fetch.ready.iter().map(|message| message.id.uid));
        state.unsure.extend(read.collect::<RoaringBitmap>());
        if shared.cancel.is_cancelled() {
            self.write_status_now(state);
            return false;
        }
        if let Some(run) = &mut self.run
            && run.connection_lost(suspect)
            && let Some(uid) = suspect
        {
            let observed = format!(
                "the connection was lost at the mail with UID {uid}, each time that it was asked for: {}",
                failure.observed
            );
            set_aside(&shared, run, Failure { kind: Kind::Refused, observed, ..failure.clone() });
            if run.is_over() {
                self.end_run(state, Ok(()));
                return true;
            }
        }
        if failure.kind == Kind::Throttled {
            state.outage = None;
            let time = if let Retry::After(time) = failure.retry { time } else { THROTTLED };
            self.throttled(time, shared.explain(failure));
            if let Some(run) = &mut self.run {
                run.trouble = None;
            }
            return true;
        }
        if self.worth_another_try(&failure, had_session) {
            shared.log.info(format!("{}: {failure}; connecting again", shared.config.user));
            let since = state.outage.take().map_or_else(Instant::now, |(since, _)| since);
            state.outage = Some((since, shared.explain(failure)));
            self.status_due.get_or_insert_with(|| Instant::now() + STATUS_PAUSE);
            return true;
        }
        // A session ends with its token: what was decided is told on another one.
        let again = had_session
            && self.run.is_none()
            && failure.retry != Retry::Never
            && !state.decisions.is_settled();
        if again && !std::mem::replace(&mut self.connected_again, true) {
            shared.log.info(format!("{}: {failure}; connecting again", shared.config.user));
            return true;
        }
        state.refused = failure.may_be_the_credentials();
        if state.refused && !had_session {
            state.fetch.ended = self.run.clone().filter(|run| run.begun);
        }
        let failure = shared.explain(failure);
        let flushing = state.flushes.are_waiting();
        shared.fail_flushes(state, &failure);
        if self.run.is_none() && !flushing {
            shared.log.warning(format!("{}: {failure}", shared.config.user));
        }
        self.end_run(state, Err(failure));
        self.rest_until = Some(Instant::now() + REST);
        state.closing.is_none()
    }

    /// The mail at which the connection was lost: the first that is missing of the oldest command, if that was one for mails.
    /// A server that says why it cannot answer now does not mean the mail.
    fn suspect(&self, session: &Session<Sent>, failure: &Failure) -> Option<u32> {
        let run = self.run.as_ref()?;
        if failure.kind == Kind::Throttled || says_unavailable(&failure.observed) {
            return None;
        }
        let asked = session.contexts().map_while(|sent| match sent {
            Sent::Bodies { fetch, uids } if *fetch == run.fetch => Some(uids),
            _ => None,
        });
        asked.filter_map(|uids| run.first_missing(uids)).next()
    }

    /// The fetch is over for its caller too.
    fn end_run(&mut self, state: &mut State, result: Result<()>) {
        if let Some(run) = self.run.take() {
            let mut record = self.shared.record();
            match &result {
                Ok(()) => record.succeeded(run.set_aside),
                Err(failure) => {
                    if let Some(said) = record.failed(failure) {
                        self.shared.log.warning(format!("{}: {said}", self.shared.config.user));
                    }
                }
            }
            if run.fetch == state.fetch.id {
                state.fetch.phase = Phase::Ended(result);
            }
        }
        state.outage = None;
        self.status_due = Some(Instant::now());
        self.shared.for_callers.notify();
    }

    /// Whether to connect again for the fetch under way, rather than to tell its caller.
    fn worth_another_try(&self, failure: &Failure, had_session: bool) -> bool {
        let Some(run) = &self.run else { return false };
        let config = &self.shared.config;
        let record = self.shared.record();
        // The settings that were good for this mailbox still are: it is the server, or somebody is at work there.
        let worked = failure.step > Step::Token
            && matches!(failure.kind, Kind::Login | Kind::Refused)
            && record.worked_before(config);
        if failure.retry == Retry::Never && !worked {
            return false;
        }
        // An account can be locked after a few wrong passwords.
        if failure.kind == Kind::Login && matches!(config.authentication, Authentication::Password(_)) {
            return run.losses <= 2;
        }
        let recently =
            |since: Option<Instant>| since.is_some_and(|since| since.elapsed() < config.fetch.patience);
        if run.begun {
            return recently(run.trouble);
        }
        // A connection may have been idle for too long, its token may have ended, the server may have been restarted.
        recently(record.last_progress()) || had_session && run.losses == 1 || worked && run.losses <= TRIES
    }

    /// The server asks to be left alone for so long.
    fn throttled(&mut self, time: Duration, failure: Failure) {
        self.throttled_since.get_or_insert_with(Instant::now);
        let (user, seconds) = (&self.shared.config.user, time.as_secs_f32());
        self.shared.log.info(format!("{user}: {}; waiting {seconds:.0} s", failure.observed));
        self.shared.record().throttled(time, failure);
        self.status_due = Some(Instant::now());
    }

    /// The server did not do what it was asked for, and said that it will later.
    fn not_now(&mut self, state: &mut State, sent: Sent) {
        let fetch = match &sent {
            Sent::Noop { fetch }
            | Sent::Search { fetch }
            | Sent::Sizes { fetch }
            | Sent::Bodies { fetch, .. }
            | Sent::Doubts { fetch } => Some(*fetch),
            _ => None,
        };
        let run = self.run.as_mut().filter(|run| Some(run.fetch) == fetch);
        match (sent, run) {
            (Sent::Noop { .. }, Some(run)) => run.stage = Stage::New,
            (Sent::Search { .. }, Some(run)) => {
                run.stage = Stage::Ready;
                run.waiting.clear();
            }
            (Sent::Sizes { .. }, Some(run)) => run.waiting.extend(run.sizing.take().unwrap_or_default()),
            (Sent::Bodies { uids, .. }, Some(run)) => {
                run.ask_again(&uids);
            }
            (Sent::Doubts { .. }, Some(run)) => run.doubt_again(),
            (Sent::Dates, _) => self.dates.clear(),
            // To be asked again.
            (Sent::Present, _) => {}
            (Sent::Create(_), _) => {
                if let Some(batch) = state.decisions.under_way.take() {
                    state.decisions.again(batch);
                }
            }
            // It may have done a part of it.
            (Sent::Settle, _) => state.decisions.unverified.extend(state.decisions.under_way.take()),
            (_, _) => {}
        }
    }

    fn write_status_now(&mut self, state: &State) {
        self.status_due = Some(Instant::now());
        self.write_status(state);
    }

    /// Brings `status.json` up to date, if it is time to. When to come again.
    fn write_status(&mut self, state: &State) -> Option<Instant> {
        let place = self.shared.place.as_ref().filter(|_| self.asked)?;
        let due = self.status_due?;
        if due > Instant::now() {
            return Some(due);
        }
        // How an outage goes on is told without anything happening.
        self.status_due = state.outage.as_ref().map(|_| Instant::now() + STATUS_PAUSE);
        let written = place.make().and_then(|()| self.shared.health(state).write(place));
        if let Err(error) = written
            && !std::mem::replace(&mut self.warned_of_status, true)
        {
            self.shared.log.info(format!(
                "{}: {} cannot be written, so `um-imap-oauth2 status` will not know: {error}",
                self.shared.config.user,
                place.path(STATUS).display()
            ));
        }
        self.status_due
    }

    fn session(&mut self) -> Result<&mut Session<Sent>> {
        self.session.as_mut().ok_or_else(|| Failure::internal("no session to send to"))
    }
}

/// A folder was asked to be created: whether it is there now.
fn created(session: &mut Session<Sent>, folder: &str, condition: &Condition) -> Result<()> {
    let exists = condition.code == Some(Code::AlreadyExists)
        || condition.line.to_ascii_lowercase().contains("already exists");
    if condition.status == Status::Ok || exists {
        session.folders.names.push(folder.to_owned());
        Ok(())
    } else {
        Err(Session::<Sent>::refused(Step::Folders, condition))
    }
}

/// A mail stays where it is, and the next fetch tries it again.
fn set_aside(shared: &Shared, run: &mut Run, why: Failure) {
    let why = shared.explain(why);
    shared.log.warning(format!("{}: {why}", shared.config.user));
    run.set_aside(why);
}

/// The pause before the connection after so many losses: none, then growing ones, each up to half longer than the other, so
/// that many readers do not come back at the same moment.
fn pause_before(losses: u32) -> Duration {
    let Some(doublings) = losses.checked_sub(2) else { return Duration::ZERO };
    let pause = SHORTEST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
    let random = RandomState::new().build_hasher().finish() % 512;
    pause + pause.mul_f64(random as f64 / 1024.0)
}

/// The same UIDs in the type of the commands.
pub(super) fn uids_of(uids: &RoaringBitmap) -> UidSet {
    uids.iter().filter_map(Uid::new).collect()
}

fn wait<'a>(
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
    until: Option<Instant>,
) -> MutexGuard<'a, State> {
    match until {
        None => shared.for_worker.wait(state),
        Some(until) => {
            let left = until.saturating_duration_since(Instant::now());
            shared.for_worker.wait_timeout(state, left)
        }
    }
}

/// In debug builds a mail that is to be moved to this folder ends the worker: the tests have no other way to see what comes of
/// a panic in it.
#[cfg(debug_assertions)]
const PANIC: &str = "~panic of the worker~";

/// Once somebody may have deleted a mail by hand.
const MANY_VANISHINGS: u32 = 3;

const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After a connection that failed, decisions alone do not try another one before this.
const REST: Duration = Duration::from_secs(60);

/// What the server asks for is waited for within a call if it is no more than this.
const WAITED_OUT: Duration = Duration::from_secs(60);

/// Where nobody said for how long.
const THROTTLED: Duration = Duration::from_secs(30);

/// Connections that are tried where a login is refused that worked before, however long ago.
const TRIES: u32 = 3;

/// `status.json` is written at most this often while nothing of note happens.
const STATUS_PAUSE: Duration = Duration::from_secs(5);
