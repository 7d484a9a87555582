//! Moves on a server without MOVE: whether the copies are in the target, before the originals are deleted.

use super::decisions::{Batch, Decided, Step as BatchStep};
use super::effect::{Ask, Report};
use super::input::{Answer, Attributes, Status};
use super::problem::Problem;
use super::record::{Copy, Identity, Mark, Target};
use super::{Engine, Purpose};
use crate::imap::uids::UidSet;

/// How far the look into the target of [`Decisions::copying`](super::Decisions::copying) has got.
#[derive(Debug)]
pub(super) enum CopyStage {
    /// COPY was answered with OK and without the copies' names: has the target grown by as many?
    Count,
    /// The answer to COPY was lost or a refusal: has the target grown at all?
    Status,
    /// It has: its new messages are to be read, with nothing else in flight.
    Examine(Target),
    Examining(Target),
    Reading {
        target: Target,
        copies: Vec<Found>,
        /// The server has told of any message: it names the last one if there is no newer one.
        answered: bool,
    },
    /// The inbox is selected again.
    Reselecting,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    identity: Identity,
    size: Option<u64>,
}

pub(super) fn target_of(answer: &Answer) -> Option<Target> {
    let uid_validity = answer.folder.uid_validity?;
    answer.folder.uid_next.map(|next| Target { uid_validity, next })
}

impl Engine {
    /// Looks into the target of a batch of which it is not known whether it was copied.
    pub(super) fn check_copies(&mut self) -> bool {
        if self.copy_check.is_some() {
            return false;
        }
        let Some(batch) = self.decisions.uncertain_copies.pop() else { return false };
        self.look_into_target(batch, CopyStage::Status);
        true
    }

    pub(super) fn look_into_target(&mut self, batch: Batch, stage: CopyStage) {
        let folder = self.target_folder(&batch);
        self.decisions.copying = Some(batch);
        self.copy_check = Some(stage);
        self.ask(Ask::Status(folder), Purpose::TargetAfter);
    }

    fn target_folder(&self, batch: &Batch) -> String {
        let configured = batch.folder().map_or("", String::as_str);
        self.session().map_or_else(String::new, |session| session.folders.resolve(configured).name)
    }

    /// The server has told UIDNEXT of the target.
    pub(super) fn target_counted(&mut self, answer: &Answer) {
        let now = target_of(answer).filter(|_| answer.status == Status::Ok);
        let stage = self.copy_check.take();
        let Some(batch) = self.decisions.copying.take() else { return };
        if let Some(CopyStage::Status) = stage {
            return self.target_compared(batch, now, answer);
        }
        let copies = batch.messages.len() as u32;
        let grown = match (batch.copy, now) {
            (Copy::Sent(before), Some(now)) if before.uid_validity == now.uid_validity => {
                now.next.get().checked_sub(before.next.get())
            }
            _ => None,
        };
        match grown {
            Some(0) => {
                let messages = u64::from(copies);
                self.report(Report::Waiting(Problem::NoEffect { messages, line: answer.line.clone() }));
                self.had_no_effect(Batch { copy: Copy::NotSent, ..batch }, &answer.line);
            }
            Some(grown) if grown >= copies => self.copies_made(batch),
            _ => self.decisions.uncertain_copies.push(batch),
        }
    }

    fn target_compared(&mut self, batch: Batch, now: Option<Target>, answer: &Answer) {
        let (Copy::Sent(before), Some(now)) = (batch.copy, now) else {
            if let Status::NotNow(_) = answer.status {
                let problem = super::settle::unavailable(crate::failure::Step::Settle, None, answer);
                return self.decisions.refused(Batch { unverified: true, ..batch }, problem, self.now);
            }
            return self.copy_in_doubt(batch);
        };
        // Some servers give an empty folder another UIDVALIDITY each time (GNU imap4d 3.15). No UID of it can have changed its
        // meaning if it never held a message.
        let before =
            if before.next.get() == 1 { Target { uid_validity: now.uid_validity, ..before } } else { before };
        if before.uid_validity != now.uid_validity || now.next < before.next {
            self.copy_in_doubt(batch);
        } else if now.next == before.next {
            let batch = Batch { copy: Copy::NotSent, step: BatchStep::First, ..batch };
            self.decisions.verified(batch, false, self.now);
        } else {
            self.decisions.copying = Some(batch);
            self.copy_check = Some(CopyStage::Examine(before));
        }
    }

    /// Selects the target, as soon as nothing else is in flight. Returns whether the connection is reserved for that.
    pub(super) fn examine_target(&mut self) -> bool {
        let Some(CopyStage::Examine(target)) = self.copy_check else {
            return self.session().is_some_and(|session| session.elsewhere);
        };
        if self.in_flight() > 0 {
            return true;
        }
        let folder = self.decisions.copying.as_ref().map(|batch| self.target_folder(batch));
        self.copy_check = Some(CopyStage::Examining(target));
        if let Some(session) = self.session_mut() {
            session.elsewhere = true;
        }
        self.ask(Ask::Examine(folder.unwrap_or_default()), Purpose::ExamineTarget);
        true
    }

    pub(super) fn target_examined(&mut self, answer: &Answer) {
        let Some(CopyStage::Examining(target)) = self.copy_check.take() else { return };
        let same = answer.folder.uid_validity.is_none_or(|now| now == target.uid_validity);
        if answer.status != Status::Ok || !same {
            if let Some(batch) = self.decisions.copying.take() {
                self.copy_in_doubt(batch);
            }
            return self.reselect();
        }
        let answered = answer.folder.exists == Some(0);
        self.copy_check = Some(CopyStage::Reading { target, copies: Vec::new(), answered });
        self.ask(Ask::HeadersFrom(target.next), Purpose::ReadTarget);
    }

    /// Takes in a message of the target.
    pub(super) fn compare_copy(&mut self, attributes: &Attributes) {
        let Some(CopyStage::Reading { target, copies, answered }) = &mut self.copy_check else { return };
        let Some(identity) = attributes.identity else { return };
        *answered = true;
        if attributes.uid >= target.next && copies.len() < COPIES {
            copies.push(Found { identity, size: attributes.size });
        }
    }

    /// The new messages of the target are known: those of the batch among them are copies.
    pub(super) fn target_read(&mut self, answer: &Answer) {
        let Some(CopyStage::Reading { mut copies, answered, .. }) = self.copy_check.take() else { return };
        let Some(mut batch) = self.decisions.copying.take() else { return };
        if answer.status != Status::Ok || !answered {
            self.copy_in_doubt(batch);
            return self.reselect();
        }
        let (mut copied, mut doubtful) = (UidSet::new(), UidSet::new());
        for message in &batch.messages {
            if !matches!(message.mark(), Mark::Fields(_)) {
                doubtful.insert(message.uid);
            } else if let Some(at) = copies.iter().position(|copy| is_copy(message, copy)) {
                copies.swap_remove(at);
                copied.insert(message.uid);
            }
        }
        let left = batch.messages.iter().filter(|message| !copied.contains(message.uid));
        doubtful.extend(
            left.filter(|&message| copies.iter().any(|copy| is_like(message, copy)))
                .map(|message| message.uid),
        );
        if let Some(copied) = batch.split_off(&copied) {
            self.copies_made(copied);
        }
        if let Some(doubtful) = batch.split_off(&doubtful) {
            self.copy_in_doubt(doubtful);
        }
        if !batch.messages.is_empty() {
            let batch = Batch { copy: Copy::NotSent, step: BatchStep::First, ..batch };
            self.decisions.verified(batch, false, self.now);
        }
        self.reselect();
    }

    fn reselect(&mut self) {
        self.copy_check = Some(CopyStage::Reselecting);
        let inbox = self.session().map(|session| session.inbox.clone()).unwrap_or_default();
        self.ask(Ask::Select(inbox), Purpose::Reselect);
    }

    /// The inbox is selected again. Its messages may be others, as on a new connection.
    pub(super) fn reselected(&mut self, answer: &Answer) {
        self.copy_check = None;
        let (Status::Ok, Some(uid_validity)) = (answer.status, answer.folder.uid_validity) else {
            let line = answer.line.clone();
            return self.give_up_session(Problem::Refused { step: crate::failure::Step::Select, line });
        };
        if let Some(session) = self.session_mut() {
            session.elsewhere = false;
        }
        self.decisions.connection_lost(None, self.batch_size.now());
        let read: UidSet = self.delivered.keys().copied().chain(self.queue.uids()).collect();
        self.unsure.add(&read);
        self.selected(uid_validity);
    }

    fn copy_in_doubt(&mut self, batch: Batch) {
        let Some(first) = batch.messages.first() else { return };
        let folder = batch.folder().cloned().unwrap_or_default();
        let problem = Problem::CopyInDoubt { uid: first.uid, folder };
        self.report(Report::Waiting(problem.clone()));
        self.decisions.refused(Batch { unverified: true, ..batch }, problem, self.now);
    }
}

/// Some servers give a copy a date of its own, others estimate sizes: one of the two must agree.
fn is_copy(message: &Decided, copy: &Found) -> bool {
    let dates = message.identity.received.is_some() && message.identity.received == copy.identity.received;
    let sizes = message.size.is_some() && message.size == copy.size;
    message.mark() == copy.identity.mark && (dates || sizes)
}

/// Says whether it may be a copy although the server names other header fields: servers do not always answer alike.
fn is_like(message: &Decided, copy: &Found) -> bool {
    let dates = message.identity.received.is_some() && message.identity.received == copy.identity.received;
    dates && message.size.is_some() && message.size == copy.size
}

/// Messages of a target that are compared at most.
const COPIES: usize = 100_000;
