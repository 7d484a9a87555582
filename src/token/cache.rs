//! The tokens of this process, one for each endpoint, client, scope and credential.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use once_cell::sync::Lazy;

use super::answer::Issued;
use super::{AccessToken, CANCEL_IS_SEEN_WITHIN, open, sleep};
use crate::failure::{Failure, Kind, Result, Retry, Step};
use crate::log::Log;
use crate::message;
use crate::net::{Cancel, Deadline};

/// SHA-256 over all that a token depends on.
pub(super) type Fingerprint = [u8; 32];

/// The place of the token that `fingerprint` stands for.
pub(super) fn slot(fingerprint: Fingerprint) -> Arc<Slot> {
    let mut slots = lock(&SLOTS);
    // What nobody uses and holds no valid token is of a configuration that is gone.
    slots.retain(|key, slot| *key == fingerprint || Arc::strong_count(slot) > 1 || slot.is_of_use());
    slots.entry(fingerprint).or_default().clone()
}

/// Why a token is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// There is none.
    Needed,
    /// There is one that is still valid.
    Early,
}

#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<State>,
}

impl Slot {
    /// The cached token, the outcome of the request under way, or that of `request`.
    pub(super) fn token(
        &self,
        deadline: Deadline,
        cancel: &Cancel,
        log: &Log,
        request: &dyn Fn(Urgency) -> Result<Issued>,
    ) -> Result<AccessToken> {
        loop {
            let mut state = lock(&self.state);
            let now = Instant::now();
            if let Some(kept) = &state.kept
                && (now < kept.renew || state.flight.is_some() && now < kept.end)
            {
                return Ok(kept.token.not_fresh());
            }
            let Some(flight) = state.flight.clone() else {
                let flight = InFlight { slot: self, flight: Arc::default() };
                state.flight = Some(flight.flight.clone());
                drop(state);
                return self.renew(&flight, deadline, cancel, log, request);
            };
            drop(state);
            if let Some(outcome) = flight.wait(deadline, cancel)? {
                return outcome;
            }
        }
    }

    pub(super) fn forget(&self, token: &AccessToken) {
        let mut state = lock(&self.state);
        if state.kept.as_ref().is_some_and(|kept| kept.token.is(token)) {
            state.kept = None;
        }
    }

    fn renew(
        &self,
        flight: &InFlight,
        deadline: Deadline,
        cancel: &Cancel,
        log: &Log,
        request: &dyn Fn(Urgency) -> Result<Issued>,
    ) -> Result<AccessToken> {
        let urgency = match self.valid() {
            Some(_) => Urgency::Early,
            None => Urgency::Needed,
        };
        let result = self.heed_the_endpoint(deadline, cancel).and_then(|()| request(urgency));
        let failure = match result {
            Ok(issued) => {
                let asked = issued.asked;
                let windows = Windows::of(issued.lifetime, issued.refresh_in);
                let token = AccessToken::new(issued.secret);
                let mut state = lock(&self.state);
                state.flight = None;
                state.throttled = None;
                state.kept = windows.map(|windows| Kept {
                    token: token.clone(),
                    renew: asked + windows.renew,
                    end: asked + windows.end,
                });
                flight.flight.end(Some(Ok(token.not_fresh())));
                return Ok(token);
            }
            Err(failure) => failure,
        };

        let mut state = lock(&self.state);
        state.flight = None;
        let now = Instant::now();
        if let Retry::After(wait) = failure.retry
            && state.throttled.as_ref().is_none_or(|throttled| throttled.until <= now)
        {
            state.throttled = Some(Throttled { until: now + wait, failure: failure.clone() });
        }
        // A call that was closed, had little time or trusts others says nothing to those who wait; they try themselves.
        let of_this_call =
            failure.kind == Kind::Closed || failure.step == Step::Tls || deadline.left().is_err();
        flight.flight.end((!of_this_call).then(|| Err(failure.clone())));
        match &mut state.kept {
            Some(kept) if now < kept.end && failure.kind != Kind::Closed => {
                let pause = match failure.retry {
                    Retry::After(wait) => wait.max(EARLY_PAUSE),
                    _ => EARLY_PAUSE,
                };
                kept.renew = now + pause;
                let left = (kept.end - now).as_secs();
                log.warning(message!(LogTokenNotRenewed, left = left, failure = failure.shown()));
                Ok(kept.token.not_fresh())
            }
            _ => Err(failure),
        }
    }

    /// Waits as long as the endpoint has told an earlier call to, or fails as that call did if there is not that much time.
    fn heed_the_endpoint(&self, deadline: Deadline, cancel: &Cancel) -> Result<()> {
        let Some(throttled) = lock(&self.state).throttled.clone() else { return Ok(()) };
        let rest = throttled.until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            Ok(())
        } else if deadline.left().is_ok_and(|left| rest < left) {
            sleep(rest, cancel)
        } else {
            Err(throttled.failure.retry(Retry::After(rest)))
        }
    }

    fn valid(&self) -> Option<AccessToken> {
        let state = lock(&self.state);
        let kept = state.kept.as_ref().filter(|kept| Instant::now() < kept.end);
        kept.map(|kept| kept.token.not_fresh())
    }

    fn is_of_use(&self) -> bool {
        let throttled =
            lock(&self.state).throttled.as_ref().is_some_and(|throttled| throttled.until > Instant::now());
        throttled || self.valid().is_some()
    }
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    flight: Option<Arc<Flight>>,
    throttled: Option<Throttled>,
}

/// By the monotonic clock: a jump of the wall clock neither ends a token nor prolongs it.
struct Kept {
    token: AccessToken,
    /// When a new one is asked for.
    renew: Instant,
    end: Instant,
}

#[derive(Clone)]
struct Throttled {
    until: Instant,
    failure: Failure,
}

/// How long after its request a token is renewed, and ends.
#[derive(Debug, PartialEq, Eq)]
struct Windows {
    renew: Duration,
    end: Duration,
}

impl Windows {
    /// None for a token that is not worth keeping.
    fn of(lifetime: Duration, refresh_in: Option<Duration>) -> Option<Self> {
        if lifetime.is_zero() {
            return None;
        }
        let due = lifetime - RENEWED_BEFORE_END.min(lifetime / 2);
        Some(Self { renew: refresh_in.map_or(due, |early| early.min(due)), end: lifetime })
    }
}

/// A request under way, for those who wait for it.
#[derive(Default)]
struct Flight {
    outcome: Mutex<Outcome>,
    ended: Condvar,
}

#[derive(Default)]
enum Outcome {
    #[default]
    Open,
    /// Each has to see for itself.
    Abandoned,
    Shared(Result<AccessToken>),
}

impl Flight {
    /// The first end counts.
    fn end(&self, result: Option<Result<AccessToken>>) {
        let mut outcome = lock(&self.outcome);
        if matches!(*outcome, Outcome::Open) {
            *outcome = result.map_or(Outcome::Abandoned, Outcome::Shared);
        }
        self.ended.notify_all();
    }

    /// None when it was abandoned.
    fn wait(&self, deadline: Deadline, cancel: &Cancel) -> Result<Option<Result<AccessToken>>> {
        let mut outcome = lock(&self.outcome);
        loop {
            match &*outcome {
                Outcome::Open => {}
                Outcome::Abandoned => return Ok(None),
                Outcome::Shared(result) => return Ok(Some(result.clone())),
            }
            open(cancel)?;
            let left = deadline
                .left()
                .map_err(|_| Failure::own(Step::Token, Kind::Timeout, message!(TokenSharedTimeout)))?;
            let waited = self.ended.wait_timeout(outcome, left.min(CANCEL_IS_SEEN_WITHIN));
            outcome = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Ends the flight whatever happens, also by a panic.
struct InFlight<'a> {
    slot: &'a Slot,
    flight: Arc<Flight>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.slot.state);
        if state.flight.as_ref().is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            state.flight = None;
        }
        drop(state);
        self.flight.end(None);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static SLOTS: Lazy<Mutex<HashMap<Fingerprint, Arc<Slot>>>> = Lazy::new(Mutex::default);

/// Microsoft's advice; a token that lives for less than ten minutes is renewed at half its time.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(5 * 60);
/// After an early renewal failed.
const EARLY_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(lifetime: u64, refresh_in: Option<u64>) -> Option<(u64, u64)> {
        Windows::of(Duration::from_secs(lifetime), refresh_in.map(Duration::from_secs))
            .map(|windows| (windows.renew.as_secs(), windows.end.as_secs()))
    }

    #[test]
    fn a_token_is_renewed_five_minutes_before_its_end_or_when_the_endpoint_says() {
        assert_eq!(windows(3600, None), Some((3300, 3600)));
        assert_eq!(windows(3600, Some(1800)), Some((1800, 3600)));
        assert_eq!(windows(3600, Some(3599)), Some((3300, 3600)), "never later than that");
        assert_eq!(windows(60, None), Some((30, 60)), "a short one is used for half its time");
        assert_eq!(windows(0, None), None);
    }

    #[test]
    fn a_flight_that_panics_does_not_leave_others_waiting() {
        let slot = Slot::default();
        let deadline = Deadline::after(Duration::from_secs(10));
        let ask = |request: &dyn Fn(Urgency) -> Result<Issued>| {
            slot.token(deadline, &Cancel::default(), &Log::default(), request)
        };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            std::panic::resume_unwind(Box::new(ask(&|_| std::panic::resume_unwind(Box::new(())))))
        }));
        assert!(panicked.is_err());
        let failure = ask(&|_| Err(Failure::new(Step::Token, Kind::Token, "asked again"))).unwrap_err();
        assert_eq!(failure.observed, "asked again");
    }
}
