//! What callers do: fetch, take messages, decide, now or later or never.

use um_imap_oauth2::engine::effect::Reply;
use um_imap_oauth2::engine::input::{Call, CallId, FetchId};
use um_imap_oauth2::engine::record::{Action, Identity};
use um_imap_oauth2::engine::time::Time;
use um_imap_oauth2::imap::uids::{Uid, UidValidity};

use crate::ledger::Id;
use crate::plan::{Knob, Plan};
use crate::random::Random;
use crate::world::is_unclear;

/// A message that a caller has.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    pub id: Id,
    pub uid_validity: u32,
    pub uid: u32,
    pub identity: Identity,
}

#[derive(Debug, Default)]
pub struct Caller {
    /// The call that has no reply yet.
    pub waiting: Option<(CallId, Waiting, Time)>,
    pub fetch: Option<FetchId>,
    pub held: Vec<Handle>,
    pub polls: u32,
    /// Settles everything at once, until nothing is left.
    pub thorough: bool,
    pub flushed: bool,
    /// Messages of the last fetch that are to leave the inbox, or that came for the first time.
    pub last_fetch: u64,
    /// Whole fetches in a row that brought nothing new, and whose flush went well.
    pub idle: u32,
    pub failed: bool,
    /// Messages that the server named for this fetch, those that came, and those that were set aside.
    pub found: u64,
    pub came: u64,
    pub set_aside: u64,
}

#[derive(Debug, Clone, Copy)]
pub enum Waiting {
    Fetch,
    Next,
    Settle(Handle),
    Flush,
}

/// What the caller does next.
#[derive(Debug)]
pub enum Act {
    Call(Call, Waiting),
    /// Comes back after this many milliseconds.
    Rest(u64),
    Finished,
}

/// Decides about a message, in the same way each time.
pub fn action(id: Id, target: &str) -> Option<Action> {
    match (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % 10 {
        0..=4 => Some(Action::Move(target.to_owned())),
        5 => Some(Action::Move("Other".to_owned())),
        6..=7 => Some(Action::Delete),
        8 => Some(Action::MarkSeen),
        _ => None,
    }
}

impl Caller {
    /// Chooses the next call.
    pub fn act(&mut self, plan: &Plan, random: &mut Random) -> Act {
        let late = if self.thorough { 0 } else { plan.get(Knob::LateSettles) };
        if !self.held.is_empty() && (self.fetch.is_none() || !random.chance(late)) {
            let at = random.below(self.held.len() as u64) as usize;
            let handle = self.held.swap_remove(at);
            if !self.thorough && random.chance(plan.get(Knob::NeverSettled)) {
                return Act::Rest(1);
            }
            let call = Call::Settle {
                uid_validity: UidValidity::new(handle.uid_validity).unwrap_or_else(|| unreachable!()),
                uid: Uid::new(handle.uid).unwrap_or_else(|| unreachable!()),
                action: action(handle.id, "Bounces"),
            };
            return Act::Call(call, Waiting::Settle(handle));
        }
        if let Some(fetch) = self.fetch {
            return Act::Call(Call::Next(fetch), Waiting::Next);
        }
        if !self.flushed && (self.thorough || random.chance(plan.get(Knob::Flushes))) {
            self.flushed = true;
            return Act::Call(Call::Flush, Waiting::Flush);
        }
        if !self.thorough && self.polls > plan.get(Knob::Polls) {
            return Act::Finished;
        }
        self.polls += 1;
        self.flushed = false;
        self.last_fetch = 0;
        self.failed = false;
        self.set_aside = 0;
        Act::Call(Call::Fetch, Waiting::Fetch)
    }

    /// Takes a reply. Returns the pause before the next call in milliseconds.
    pub fn replied(&mut self, reply: &Reply, random: &mut Random) -> u64 {
        match reply {
            Reply::Fetch(Ok(begun)) => {
                self.fetch = Some(begun.fetch);
                (self.found, self.came) = (begun.found, 0);
                0
            }
            Reply::Next(Ok(Some(_))) => {
                self.came += 1;
                random.below(20)
            }
            Reply::Fetch(Err(_)) | Reply::Next(_) => {
                self.fetch = None;
                self.failed |= !matches!(reply, Reply::Next(Ok(None)));
                random.between(100, 20_000)
            }
            Reply::Flush(result) => {
                self.failed |= result.as_ref().is_err_and(|problem| !is_unclear(problem));
                self.idle = if self.failed || self.last_fetch > 0 { 0 } else { self.idle + 1 };
                random.between(1_000, 60_000)
            }
            Reply::Settle(_) | Reply::Pending(_) => 0,
        }
    }
}
