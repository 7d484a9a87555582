//! What is known of a mailbox, however often it is opened.

use std::time::Duration;

use super::problem::Problem;
use super::time::Time;

/// Outlives the engine: the driver keeps it for the next one of the same mailbox in this process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// When the server last did what a fetch asked for.
    pub last_success: Option<Time>,
    /// Since when the mailbox is asked for without success.
    pub asked: Option<Time>,
    /// When the log was last told that nothing can be read.
    reported: Option<Time>,
    pub failures: u32,
    pub failing_since: Option<Time>,
    pub failure: Option<Problem>,
    /// How long to leave the server alone, and what it said.
    pub throttled: Option<(Time, Problem)>,
    /// Messages that the last fetch could not deliver, and why not the last of them.
    pub set_aside: (u64, Option<Problem>),
    /// The settings with which the mailbox was read.
    pub worked_with: Option<u64>,
    /// The number of messages that the server can change with one command, as far as it was learnt.
    pub batch_size: Option<u16>,
}

impl History {
    pub(super) fn progress(&mut self, now: Time) {
        self.last_success = Some(now);
    }

    pub(super) fn asked(&mut self, now: Time) {
        self.asked.get_or_insert(now);
    }

    pub(super) fn succeeded(&mut self, set_aside: (u64, Option<Problem>), now: Time) {
        self.progress(now);
        (self.asked, self.reported, self.failing_since, self.failure) = (None, None, None, None);
        self.failures = 0;
        self.set_aside = set_aside;
    }

    /// Counts a fetch that failed. Returns for how many minutes nothing could be read, at most once an hour.
    pub(super) fn failed(&mut self, problem: &Problem, now: Time) -> Option<u64> {
        self.failures += 1;
        self.failing_since.get_or_insert(now);
        self.failure = Some(problem.clone());
        let since = now.since(self.asked.max(self.last_success)?);
        if since < HOUR || self.reported.is_some_and(|reported| now.since(reported) < HOUR) {
            return None;
        }
        self.reported = Some(now);
        Some(since.as_secs() / 60)
    }

    /// Leaves the server alone for this time. A longer time that it asked for before is not shortened.
    pub(super) fn throttle(&mut self, time: Duration, problem: Problem, now: Time) {
        let until = now + time;
        if self.throttled.as_ref().is_none_or(|(before, _)| *before < until) {
            self.throttled = Some((until, problem));
        }
    }

    /// Returns how long the server is still to be left alone, and what it said.
    pub fn throttled_for(&self, now: Time) -> Option<(Duration, &Problem)> {
        let (until, problem) = self.throttled.as_ref()?;
        (*until > now).then(|| (until.since(now), problem))
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_read_for_an_hour_is_reported_once_an_hour() {
        let problem = Problem::Closed;
        let minute = |minutes: u64| Time(Duration::from_secs(60 * minutes));
        let mut history = History::default();
        history.asked(minute(0));
        assert_eq!(history.failed(&problem, minute(1)), None);
        assert_eq!(history.failed(&problem, minute(120)), Some(120));
        assert_eq!(history.failed(&problem, minute(121)), None);
        assert_eq!(history.failed(&problem, minute(180)), Some(180));
        history.succeeded((0, None), minute(181));
        assert_eq!((history.failed(&problem, minute(182)), history.failures), (None, 1));
    }

    #[test]
    fn a_longer_time_that_the_server_asked_for_is_not_shortened_by_a_later_one() {
        let mut history = History::default();
        history.throttle(HOUR, Problem::Closed, Time::default());
        history.throttle(Duration::from_secs(1), Problem::Closed, Time::default());
        assert!(history.throttled_for(Time::default()).is_some_and(|(left, _)| left == HOUR));
    }
}
