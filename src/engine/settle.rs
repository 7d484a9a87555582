//! Decisions become changes on the server.

use std::time::Duration;

use super::copy::CopyStage;
use super::decisions::{Batch, Step as BatchStep};
use super::effect::{Ask, Change, Effect, Report};
use super::input::{Answer, Status};
use super::problem::Problem;
use super::record::{Action, Copy, Record, Seq};
use super::{Engine, Purpose};
use crate::failure::Step;
use crate::imap::commands::Flag;
use crate::imap::uids::{Uid, UidSet};

/// Makes the problem of an answer "not now".
pub(super) fn unavailable(step: Step, time: Option<Duration>, answer: &Answer) -> Problem {
    let line = answer.line.clone();
    match time {
        Some(_) => Problem::Throttled { step, line },
        None => {
            let failure = crate::failure::Failure::new(step, crate::failure::Kind::Refused, line);
            Problem::Failed(failure.retry(crate::failure::Retry::Later))
        }
    }
}

impl Engine {
    /// Sends the next command for the decisions. Returns whether one was sent.
    pub(super) fn settlement(&mut self) -> bool {
        if self.settings.read_only || !self.claim.allows_changes() || self.comparison.is_busy() {
            return false;
        }
        if self.waiting_change.is_some() {
            return self.send_waiting_change();
        }
        // One batch at a time: another one could need the same look into its target.
        if self.decisions.under_way.is_some() || self.copy_check.is_some() {
            return false;
        }
        let size = self.batch_size.now();
        self.decisions.verify_due(size, self.now);
        if !self.decisions.unverified.is_empty() {
            return self.verification();
        }
        if !self.decisions.uncertain_copies.is_empty() {
            return self.check_copies();
        }
        if self.proof_is_due() {
            return self.in_flight() == 0 && self.prove();
        }
        let Some(batch) = self.decisions.next_due(size, self.now) else { return false };
        self.send_batch(batch)
    }

    /// Sends the command that a batch needs now: its own, or one that must come before.
    fn send_batch(&mut self, batch: Batch) -> bool {
        let Some(session) = self.session() else { return false };
        let capabilities = session.capabilities;
        let folder = session.folders.resolve(batch.folder().map_or("", String::as_str));
        let is_move = matches!(batch.action, Action::Move(_)) && batch.step == BatchStep::First;
        if is_move && !folder.exists {
            self.decisions.under_way = Some(batch);
            self.ask(Ask::Create(folder.name.clone()), Purpose::CreateTarget { name: folder.name });
            return true;
        }
        if is_move && !capabilities.r#move && batch.copy == Copy::NotSent {
            self.decisions.under_way = Some(batch);
            self.ask(Ask::Status(folder.name), Purpose::TargetBefore);
            return true;
        }
        let uids = batch.uids();
        let change = match (batch.step, &batch.action) {
            (BatchStep::Expunge, _) => Change::Expunge(uids),
            (BatchStep::Mark, _) | (BatchStep::First, Action::Delete) => Change::Store(uids, Flag::Deleted),
            (BatchStep::First, Action::MarkSeen) => Change::Store(uids, Flag::Seen),
            (BatchStep::First, Action::Move(_)) if capabilities.r#move => Change::Move(uids, folder.name),
            (BatchStep::First, Action::Move(_)) => Change::Copy(uids, folder.name),
        };
        let seq = batch.seq();
        self.change(batch, change, seq)
    }

    /// Sends a change as soon as its decisions are on the disk. Returns whether it was sent now.
    pub(super) fn change(&mut self, batch: Batch, change: Change, seq: Seq) -> bool {
        self.decisions.under_way = Some(batch);
        self.waiting_change = Some((change, seq));
        self.send_waiting_change()
    }

    fn send_waiting_change(&mut self) -> bool {
        let Some((change, seq)) = self.waiting_change.take() else { return false };
        let Some(durable) = self.journal.durable(seq, self.now, &mut self.effects) else {
            self.waiting_change = Some((change, seq));
            return false;
        };
        let id = self.register(Purpose::Change);
        self.effects.push(Effect::Change(id, change, durable));
        true
    }

    /// The server says that these messages left the selected folder.
    pub(super) fn vanished_from_folder(&mut self, uids: &UidSet) {
        if let Some(batch) = &self.decisions.under_way
            && self.waiting_change.is_none()
        {
            self.gone.add(&uids.common(&batch.uids()));
        }
    }

    /// COPYUID names these messages as copied.
    pub(super) fn copies_named(&mut self, uids: &UidSet) {
        if let Some(batch) = &self.decisions.under_way {
            self.copied.add(&uids.common(&batch.uids()));
        }
    }

    /// The server has answered a change.
    pub(super) fn change_answered(&mut self, answer: &Answer) {
        let (gone, copied) = (std::mem::take(&mut self.gone), std::mem::take(&mut self.copied));
        let Some(batch) = self.decisions.under_way.take() else { return };
        match answer.status {
            Status::Ok => self.change_done(batch, &gone, &copied, answer),
            Status::NoFolder if !batch.created => {
                self.forget_folder(&batch);
                self.decisions.again(Batch { created: true, copy: Copy::NotSent, ..batch }, self.now);
            }
            Status::NotNow(_) if !batch.postponed => {
                // It may have done a part of it.
                self.decisions.unverified.push(Batch { postponed: true, known: true, ..batch });
            }
            _ => {
                let problem =
                    Problem::ChangeRefused { folder: batch.folder().cloned(), line: answer.line.clone() };
                self.report(Report::Waiting(problem.clone()));
                self.decisions.unverified.push(Batch {
                    refusal: Some(problem),
                    created: false,
                    known: true,
                    ..batch
                });
            }
        }
    }

    fn change_done(&mut self, mut batch: Batch, gone: &UidSet, copied: &UidSet, answer: &Answer) {
        let Some(capabilities) = self.session().map(|session| session.capabilities) else { return };
        self.decisions.succeeded();
        self.reconnected_for_decisions = false;
        self.batch_succeeded(batch.messages.len());
        if batch.step == BatchStep::First && matches!(batch.action, Action::Move(_)) && !capabilities.r#move {
            return self.copy_answered(batch, copied);
        }
        if let Some(step) = batch.next_step(capabilities) {
            batch.step = step;
            return self.decisions.again(batch, self.now);
        }
        if batch.action == Action::MarkSeen {
            return self.done(&batch.uids());
        }
        if !capabilities.uidplus && !capabilities.r#move && !std::mem::replace(&mut self.reported_marks, true)
        {
            self.report(Report::OnlyMarked);
        }
        if let Some(done) = batch.split_off(gone) {
            self.done(&done.uids());
        }
        if !batch.messages.is_empty() {
            self.unproven_since.get_or_insert(self.now);
            self.proof_line.clone_from(&answer.line);
            self.decisions.unproven.push(batch);
        }
    }

    /// Nothing is left to do for these messages.
    pub(super) fn done(&mut self, uids: &UidSet) {
        self.decisions.forget(uids.len() as usize);
        self.counters.settled += uids.len();
        self.cross_out(uids);
    }

    /// The server has answered the CREATE of the folder that the batch under way needs.
    pub(super) fn target_created(&mut self, name: String, answer: &Answer) {
        let Some(batch) = self.decisions.under_way.take() else { return };
        match answer.status {
            Status::Ok | Status::Exists => {
                if let Some(session) = self.session_mut() {
                    session.folders.names.push(name);
                }
                self.decisions.again(batch, self.now);
            }
            _ => {
                let folder = batch.folder().cloned().unwrap_or_default();
                let problem = Problem::FolderRefused { folder, line: answer.line.clone() };
                self.report(Report::Waiting(problem.clone()));
                self.decisions.refused(batch, problem, self.now);
            }
        }
    }

    fn forget_folder(&mut self, batch: &Batch) {
        let Some(session) = self.session_mut() else { return };
        if let Some(folder) = batch.folder() {
            let name = session.folders.resolve(folder).name;
            session.folders.names.retain(|existing| *existing != name);
        }
    }

    /// Says whether it is time to ask which messages are still there after changes that were answered with OK. Nothing else
    /// may be in flight then, so it is not done after each batch while messages are fetched.
    pub(super) fn proof_is_due(&self) -> bool {
        let Some(since) = self.unproven_since.filter(|_| !self.decisions.unproven.is_empty()) else {
            return false;
        };
        let messages: usize = self.decisions.unproven.iter().map(|batch| batch.messages.len()).sum();
        let fetching = self.progress.as_ref().is_some_and(|progress| progress.begun && !progress.is_over());
        !fetching || messages >= PROVE || self.now.since(since) >= PROVE_AFTER || self.calls.flushes()
    }

    fn prove(&mut self) -> bool {
        self.comparison.proving = true;
        self.ask(Ask::Noop, Purpose::ProveNoop);
        true
    }

    /// The server has looked at the folder again: asks which messages are still there.
    pub(super) fn prove_present(&mut self) {
        let uidplus = self.session().is_some_and(|session| session.capabilities.uidplus);
        let mut uids: UidSet = self
            .decisions
            .unproven
            .iter()
            .flat_map(|batch| &batch.messages)
            .map(|message| message.uid)
            .collect();
        let uids = uids.take_front(usize::MAX);
        if uids.is_empty() {
            self.comparison.proving = false;
            return;
        }
        self.comparison.present = Some(super::verify::Present::new(uids.clone()));
        self.searching = true;
        // Without UIDPLUS marked messages stay.
        self.ask(Ask::Present { uids, undeleted: !uidplus }, Purpose::ProvePresent);
    }

    /// The server has said which messages are still there.
    pub(super) fn proof_answered(&mut self, answer: &Answer) {
        self.searching = false;
        let Some(mut present) = self.comparison.present.take() else { return };
        if present.is_open(answer) {
            // Without UIDPLUS it is the mark that counts.
            let uidplus = self.session().is_some_and(|session| session.capabilities.uidplus);
            let ask = if uidplus { Ask::Sizes(present.asked.clone()) } else { Ask::AllFlags };
            self.ask(ask, Purpose::ProvePresent);
            self.comparison.present = Some(present);
            return;
        }
        self.comparison.proving = false;
        let known = answer.status == Status::Ok;
        let line = self.proof_line.clone();
        let mut still_there = 0;
        let mut done = UidSet::new();
        for mut batch in std::mem::take(&mut self.decisions.unproven) {
            let Some(mut asked) = batch.split_off(&present.asked) else {
                self.decisions.unproven.push(batch);
                continue;
            };
            if !batch.messages.is_empty() {
                self.decisions.unproven.push(batch);
            }
            if !known {
                let problem =
                    Problem::ChangeRefused { folder: asked.folder().cloned(), line: answer.line.clone() };
                self.decisions.refused(Batch { unverified: true, ..asked }, problem, self.now);
                continue;
            }
            if let Some(there) = asked.split_off(&present.found) {
                still_there += there.messages.len() as u64;
                self.had_no_effect(there, &line);
            }
            done.add(&asked.uids());
        }
        self.unproven_since = (!self.decisions.unproven.is_empty()).then_some(self.now);
        if !done.is_empty() {
            self.done(&done);
        }
        if still_there > 0 {
            self.report(Report::Waiting(Problem::NoEffect { messages: still_there, line }));
        }
    }

    /// The server answered OK and left the messages where they were: they wait for another connection.
    pub(super) fn had_no_effect(&mut self, batch: Batch, line: &str) {
        let problem = Problem::NoEffect { messages: batch.messages.len() as u64, line: line.to_owned() };
        let step = if batch.copy == Copy::Done { BatchStep::Mark } else { BatchStep::First };
        let batch = Batch { step, on_next_link: Some(self.links), ..batch };
        self.decisions.refused(batch, problem, self.now);
    }

    /// Decisions wait for another connection and nothing else is to be done: returns whether this one is given up for it.
    pub(super) fn changes_connection(&mut self) -> bool {
        let due = self.decisions.next_link_time().is_some_and(|time| time <= self.now);
        let idle = self.progress.is_none() && self.in_flight() == 0 && self.waiting_change.is_none();
        if due && idle {
            self.effects.push(Effect::LogOut);
            self.drop_link();
        }
        due && idle
    }

    /// Starts the commands of a batch that makes a copy: notes first which messages the target holds.
    pub(super) fn target_known(&mut self, answer: &Answer) {
        let Some(mut batch) = self.decisions.under_way.take() else { return };
        let target = super::copy::target_of(answer);
        if matches!(answer.status, Status::No | Status::NoFolder) && !batch.created {
            // It may have been removed: CREATE tells.
            self.forget_folder(&batch);
            return self.decisions.again(Batch { created: true, ..batch }, self.now);
        }
        let (Status::Ok, Some(target)) = (answer.status, target) else {
            let problem =
                Problem::ChangeRefused { folder: batch.folder().cloned(), line: answer.line.clone() };
            self.report(Report::Waiting(problem.clone()));
            let batch = Batch { unverified: true, created: false, ..batch };
            return self.decisions.refused(batch, problem, self.now);
        };
        let Some((session, uid_validity)) = self.session().zip(self.uid_validity) else { return };
        let folder = session.folders.resolve(batch.folder().map_or("", String::as_str)).name;
        batch.copy = Copy::Sent(target);
        let uids: Vec<Uid> = batch.messages.iter().map(|message| message.uid).collect();
        let seq = self.record(Record::Copying { uid_validity, uids, target });
        let change = Change::Copy(batch.uids(), folder);
        let seq = seq.max(batch.seq());
        self.change(batch, change, seq);
    }

    fn copy_answered(&mut self, mut batch: Batch, copied: &UidSet) {
        if let Some(named) = batch.split_off(copied) {
            self.copies_made(named);
        }
        if batch.messages.is_empty() {
            return;
        }
        // The server does not say which copies it made: its UIDNEXT tells whether they are there.
        self.look_into_target(batch, CopyStage::Count);
    }

    /// These messages are in their target, and only to be deleted.
    pub(super) fn copies_made(&mut self, batch: Batch) {
        let Some(uid_validity) = self.uid_validity else { return };
        let uids: Vec<Uid> = batch.messages.iter().map(|message| message.uid).collect();
        let seq = self.record(Record::Copied { uid_validity, uids });
        let mut batch = Batch { copy: Copy::Done, step: BatchStep::Mark, ..batch };
        batch.messages.iter_mut().for_each(|message| message.seq = message.seq.max(seq));
        self.decisions.again(batch, self.now);
    }
}

/// Messages whose changes are asked about together while others are fetched, and for how long the question can wait.
const PROVE: usize = 2_000;
pub(super) const PROVE_AFTER: Duration = Duration::from_secs(5);
