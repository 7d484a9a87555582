//! Connections: when one is made, what its loss means, and when the server is left alone.

use std::collections::VecDeque;
use std::time::Duration;

use super::effect::{Ask, Effect, Report};
use super::input::{Answer, CommandId, Connected, Status};
use super::problem::Problem;
use super::settle::unavailable;
use super::time::Time;
use super::{Engine, FetchPhase, Phase, Purpose, Session};
use crate::failure::{Failure, Kind, Retry, Step};
use crate::imap::uids::{Uid, UidSet};

/// The connection.
#[derive(Debug)]
pub(super) enum Link {
    Down,
    Connecting,
    Up(Box<Session>),
}

impl Engine {
    pub(super) fn session(&self) -> Option<&Session> {
        match &self.link {
            Link::Up(session) => Some(session),
            Link::Down | Link::Connecting => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.link {
            Link::Up(session) => Some(session),
            Link::Down | Link::Connecting => None,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.session().map_or(0, |session| session.in_flight.len())
    }

    /// Sends a command that changes no message.
    pub(super) fn ask(&mut self, ask: Ask, purpose: Purpose) {
        let id = self.register(purpose);
        self.effects.push(Effect::Ask(id, ask));
    }

    pub(super) fn register(&mut self, purpose: Purpose) -> CommandId {
        self.last_command += 1;
        let id = CommandId(self.last_command);
        if let Some(session) = self.session_mut() {
            session.in_flight.push_back((id, purpose));
        }
        id
    }

    /// A new connection is there, with the inbox selected.
    pub(super) fn connected(&mut self, connected: Connected) {
        if !matches!(self.link, Link::Connecting) {
            return self.effects.push(Effect::Disconnect);
        }
        let Connected { uid_validity, exists, capabilities, folders, inbox } = connected;
        self.links += 1;
        self.decisions.link = self.links;
        let targets = if self.settings.read_only { Vec::new() } else { self.settings.targets.clone() };
        self.link = Link::Up(Box::new(Session {
            capabilities,
            folders,
            inbox,
            exists,
            in_flight: VecDeque::new(),
            folders_to_make: targets.into(),
            elsewhere: false,
        }));
        self.pipeline.connected();
        self.report(Report::Selected { uid_validity });
        self.selected(uid_validity);
    }

    /// The inbox is selected: on a new connection, or again after another folder.
    pub(super) fn selected(&mut self, now: crate::imap::uids::UidValidity) {
        let before = self.uid_validity.replace(now);
        self.restore_inherited(now);
        if let Some(before) = before.filter(|before| *before != now) {
            self.uid_validity_changed(before, now);
        }
        // SELECT has just told which messages there are, unless some are settled before SEARCH.
        let quiet = self.decisions.is_quiet(self.now);
        if let Some(progress) =
            self.progress.as_mut().filter(|progress| progress.stage == super::progress::Stage::New)
            && quiet
        {
            progress.stage = super::progress::Stage::Ready;
        }
    }

    fn uid_validity_changed(
        &mut self,
        before: crate::imap::uids::UidValidity,
        now: crate::imap::uids::UidValidity,
    ) {
        if !self.decisions.is_empty() {
            let records = self.decisions.records(before);
            self.decisions.clear();
            self.make_void(records, before, now);
        }
        self.forget_comparison();
        self.delivered.clear();
        self.unsure.clear();
        self.decided.clear();
        self.suspects.clear();
        self.highest = None;
        let begun = self.progress.as_ref().is_some_and(|progress| progress.begun);
        let untaken = !self.queue.is_empty();
        let problem = Problem::ChangedDuringFetch { before, now };
        if untaken {
            // All of them have come, but their UIDs mean nothing any more.
            let discarded = self.queue.clear();
            self.discard(discarded);
            self.fetch.phase = FetchPhase::Ended(Err(problem.clone()));
        }
        if begun {
            self.end_fetch(Err(problem));
        }
    }

    /// Makes the folders to which outcomes lead, before any message is delivered: an administrator learns at once that
    /// one cannot be made, and not when UM has counted the bounces. Returns whether there is something to wait for.
    pub(super) fn make_folders(&mut self) -> bool {
        let Some(session) = self.session_mut() else { return false };
        if session.in_flight.iter().any(|(_, purpose)| matches!(purpose, Purpose::MakeFolder { .. })) {
            return true;
        }
        while let Some((key, configured)) = session.folders_to_make.pop_front() {
            let folder = session.folders.resolve(&configured);
            if folder.name.eq_ignore_ascii_case(&session.inbox) {
                let problem = Problem::TargetIsInbox { key, folder: configured };
                self.effects.push(Effect::Disconnect);
                self.link_failed(problem, true);
                return true;
            }
            if !folder.exists {
                let name = folder.name;
                self.ask(Ask::Create(name.clone()), Purpose::MakeFolder { configured, name });
                return true;
            }
        }
        false
    }

    /// The server has answered the CREATE of a folder that the configuration names.
    pub(super) fn folder_made(&mut self, configured: String, name: String, answer: &Answer) {
        match answer.status {
            Status::Ok | Status::Exists => {
                if let Some(session) = self.session_mut() {
                    session.folders.names.push(name);
                }
                self.worked();
            }
            Status::NotNow(time) => self.give_up_session(unavailable(Step::Folders, time, answer)),
            _ => {
                let problem = Problem::FolderRefused { folder: configured, line: answer.line.clone() };
                self.give_up_session(problem);
            }
        }
    }

    /// Drops a connection that is of no use, and acts as if it had been lost for this reason.
    pub(super) fn give_up_session(&mut self, problem: Problem) {
        self.effects.push(Effect::Disconnect);
        self.link_failed(problem, true);
    }

    /// The login and the folders are in order.
    pub(super) fn worked(&mut self) {
        let ready = self.session().is_some_and(|session| session.folders_to_make.is_empty());
        if ready {
            self.history.worked_with = Some(self.settings.fingerprint);
        }
    }

    /// No connection could be made, or it was lost.
    pub(super) fn lost(&mut self, failure: Failure) {
        if matches!(self.link, Link::Down) {
            return;
        }
        let had_session = self.session().is_some();
        self.link_failed(Problem::Failed(failure), had_session);
    }

    /// Decides what a failure of the connection means: another one, or the end of the fetch.
    pub(super) fn link_failed(&mut self, problem: Problem, had_session: bool) {
        let suspect = self.suspect(&problem);
        self.suspects.extend(suspect);
        self.learn_batch_size(&problem);
        if self.in_flight() > 1 {
            self.pipeline.failed();
        }
        self.link = Link::Down;
        self.forget_comparison();
        self.decisions.connection_lost(Some(&problem), self.batch_size.now());
        let read: UidSet = self.delivered.keys().copied().chain(self.queue.uids()).collect();
        self.unsure.add(&read);
        if self.set_aside_at_cut(suspect, &problem) {
            return;
        }
        if problem.kind() == Some(Kind::Throttled) {
            let time = if let Retry::After(time) = problem.retry() { time } else { THROTTLED };
            self.throttled(time, problem);
            return;
        }
        if self.is_worth_another_try(&problem, had_session) {
            self.report(Report::Reconnecting(problem.clone()));
            let now = self.now;
            let pause = self.pause();
            if let Some(progress) = &mut self.progress {
                progress.troubled(now, problem);
            }
            self.not_before = Some(now + pause);
            return;
        }
        // A session ends with its token: decisions are carried out on another one.
        let again = had_session
            && self.progress.is_none()
            && problem.retry() != Retry::Never
            && !self.decisions.is_quiet(self.now);
        if again && !std::mem::replace(&mut self.reconnected_for_decisions, true) {
            return self.report(Report::Reconnecting(problem));
        }
        self.link_is_hopeless(problem, had_session);
    }

    fn link_is_hopeless(&mut self, problem: Problem, had_session: bool) {
        self.refused_credentials = problem.may_be_the_credentials();
        if self.refused_credentials && !had_session {
            self.resumable = self.progress.clone().filter(|progress| progress.begun);
        }
        let flushing = self.calls.flushes();
        self.fail_flushes(&problem);
        if self.progress.is_none() && !flushing {
            self.report(Report::Failed(problem.clone()));
        }
        self.end_fetch(Err(problem));
        self.not_before = Some(self.now + REST);
    }

    /// Sets the message aside at which the connection was lost while it was alone. Returns whether that ends the fetch.
    fn set_aside_at_cut(&mut self, suspect: Option<Uid>, problem: &Problem) -> bool {
        let Some(progress) = &mut self.progress else { return false };
        let given_up = progress.connection_lost(suspect);
        if let (true, Some(uid), Problem::Failed(failure)) = (given_up, suspect, problem) {
            self.set_aside(Problem::CutAt { uid, failure: failure.clone() });
        }
        let over = self.progress.as_ref().is_some_and(super::progress::FetchProgress::is_over);
        if given_up && over {
            self.end_fetch(Ok(()));
            return true;
        }
        false
    }

    /// Finds the message at which the connection was lost: the first that is missing of the oldest command, if that asked for
    /// messages. A server that says why it cannot answer now does not mean the message.
    fn suspect(&self, problem: &Problem) -> Option<Uid> {
        let progress = self.progress.as_ref()?;
        let speaks = match problem {
            Problem::Failed(failure) => crate::imap::backoff::says_unavailable(&failure.observed),
            _ => true,
        };
        if problem.kind() == Some(Kind::Throttled) || speaks {
            return None;
        }
        let asked = self.session()?.in_flight.iter().map_while(|(_, purpose)| match purpose {
            Purpose::Bodies { fetch, uids } if *fetch == progress.id => Some(uids),
            _ => None,
        });
        asked.filter_map(|uids| progress.first_missing(uids)).next()
    }

    /// Says whether to connect again for the fetch under way, rather than to end it.
    fn is_worth_another_try(&self, problem: &Problem, had_session: bool) -> bool {
        let Some(progress) = &self.progress else { return false };
        let (step, kind) = match problem {
            Problem::Failed(failure) => (Some(failure.step), Some(failure.kind)),
            problem => (None, problem.kind()),
        };
        // Settings that were good for this mailbox still are: the server is at fault, or somebody is at work there.
        let worked = step.is_none_or(|step| step > Step::Token)
            && matches!(kind, Some(Kind::Login | Kind::Refused))
            && self.worked_before();
        if problem.retry() == Retry::Never && !worked {
            return false;
        }
        // An account can be locked after a few wrong passwords.
        if kind == Some(Kind::Login) && self.settings.password {
            return progress.losses <= 2;
        }
        let recently =
            |since: Option<Time>| since.is_some_and(|since| self.now.since(since) < self.settings.patience);
        if progress.begun {
            return progress.trouble.is_none()
                || recently(progress.trouble.as_ref().map(|(since, _)| *since));
        }
        // A connection may have been idle for too long, its token may have ended, the server may have been restarted.
        recently(self.history.last_success)
            || had_session && progress.losses == 1
            || worked && progress.losses <= TRIES
    }

    /// Says whether the mailbox was read with the same settings.
    pub fn worked_before(&self) -> bool {
        self.history.worked_with == Some(self.settings.fingerprint)
    }

    /// The server asks to be left alone for this time.
    pub(super) fn throttled(&mut self, time: Duration, problem: Problem) {
        self.throttled_since.get_or_insert(self.now);
        self.report(Report::Throttled {
            problem: problem.clone(),
            seconds: time.as_secs_f64().round() as u64,
        });
        self.history.throttle(time, problem.clone(), self.now);
        let now = self.now;
        if let Some(progress) = &mut self.progress {
            progress.troubled(now, problem);
        }
        self.effects.push(Effect::WriteStatus);
    }

    /// Does nothing while the server asks to be left alone. Callers are not made to wait for long. Returns whether it is so.
    pub(super) fn leaves_alone(&mut self) -> bool {
        let Some((left, problem)) = self.history.throttled_for(self.now) else { return false };
        let problem = problem.clone();
        if self.in_flight() > 0 {
            return true;
        }
        if let Phase::Closing { .. } = self.phase {
            self.stop();
            return true;
        }
        let in_all = self.throttled_since.map_or(Duration::ZERO, |since| self.now.since(since));
        if left > WAITED_OUT || in_all > self.settings.throttled {
            // The next caller waits as long again.
            self.throttled_since = None;
            self.fail_flushes(&problem);
            if let Some(begun) = self.progress.as_ref().map(|progress| progress.begun) {
                self.end_fetch(if begun { Ok(()) } else { Err(problem) });
            }
        }
        true
    }

    /// Ends the fetch if nothing came since a failure for longer than the configured patience. A command in flight is given
    /// a little more time.
    pub(super) fn lose_patience(&mut self) {
        let Some((since, problem)) = self.progress.as_ref().and_then(|progress| progress.trouble.clone())
        else {
            return;
        };
        let waited = self.now.since(since);
        let busy = self.in_flight() > 0 || matches!(self.link, Link::Connecting);
        if waited < self.settings.patience || busy && waited < self.settings.patience + GRACE {
            return;
        }
        if busy {
            self.effects.push(Effect::Disconnect);
            self.link = Link::Down;
            self.forget_comparison();
            self.decisions.connection_lost(Some(&problem), self.batch_size.now());
            let read: UidSet = self.delivered.keys().copied().chain(self.queue.uids()).collect();
            self.unsure.add(&read);
            self.not_before = Some(self.now + REST);
        }
        self.end_fetch(Err(problem));
    }

    pub(super) fn link_timer(&self) -> Option<Time> {
        let patience =
            self.progress.as_ref().and_then(|progress| progress.trouble.as_ref()).map(|(since, _)| {
                let end = *since + self.settings.patience;
                if end > self.now { end } else { end + GRACE }
            });
        let throttled =
            self.history.throttled.as_ref().map(|(until, _)| *until).filter(|until| *until > self.now);
        let not_before = self.not_before.filter(|time| *time > self.now && matches!(self.link, Link::Down));
        patience.into_iter().chain(throttled).chain(not_before).min()
    }

    /// Returns the pause before the next connection: none, then growing ones, each up to half longer by chance, so that many
    /// readers do not come back at the same moment.
    fn pause(&mut self) -> Duration {
        let losses = self.progress.as_ref().map_or(0, |progress| progress.losses);
        let Some(doublings) = losses.checked_sub(2) else { return Duration::ZERO };
        let pause = SHORTEST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
        // SplitMix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        pause + pause.mul_f64((mixed >> 55) as f64 / 1024.0)
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After a connection that failed, decisions alone do not try another one before this.
const REST: Duration = Duration::from_secs(60);

/// A throttling server is waited for within a call if it asks for no more than this.
const WAITED_OUT: Duration = Duration::from_secs(60);

/// How long a throttling server is left alone that names no time.
pub(super) const THROTTLED: Duration = Duration::from_secs(30);

/// Connections that are tried if a login is refused that worked before.
const TRIES: u32 = 3;

/// How long a command in flight may go on after patience has ended.
const GRACE: Duration = Duration::from_secs(10);
