//! How many commands may be in flight.

/// Limits the commands in flight.
///
/// A server that cannot cope with two commands at once answers BAD or ends the connection. A sound server does so too, now
/// and then: an access token ends, the server is restarted. So one command at a time is sent until the next fetch, and for
/// good only if it happens again and again before the server has shown that it copes.
#[derive(Debug)]
pub(super) struct Pipeline {
    configured: usize,
    now: usize,
    /// Answers on this connection that came while another command was in flight.
    coped: u32,
    failures_in_a_row: u32,
}

impl Pipeline {
    pub(super) fn new(configured: usize) -> Self {
        Self { configured, now: configured, coped: 0, failures_in_a_row: 0 }
    }

    pub(super) fn connected(&mut self) {
        self.coped = 0;
    }

    pub(super) fn fetch_begins(&mut self) {
        if self.failures_in_a_row < FAILURES {
            self.now = self.configured;
        }
    }

    /// The server answered OK with another command in flight.
    pub(super) fn coped(&mut self) {
        self.coped += 1;
        if self.coped >= ENOUGH {
            self.failures_in_a_row = 0;
        }
    }

    /// The server said BAD, or the connection was lost, with more than one command in flight.
    pub(super) fn failed(&mut self) {
        if self.now > 1 && self.coped < ENOUGH {
            self.now = 1;
            self.failures_in_a_row += 1;
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.now
    }
}

/// A server that answers this many commands on one connection, each with another one in flight, copes with two.
const ENOUGH: u32 = 8;

/// After this many failures in a row the server is not tried with two commands again.
const FAILURES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_ends_costs_the_pipeline_until_the_next_fetch_at_most() {
        let mut pipeline = Pipeline::new(2);
        for _ in 0..10 {
            pipeline.connected();
            pipeline.fetch_begins();
            assert_eq!(pipeline.depth(), 2);
            pipeline.coped();
            pipeline.failed();
            assert_eq!(pipeline.depth(), 1);
            pipeline.connected();
            pipeline.fetch_begins();
            (0..ENOUGH).for_each(|_| pipeline.coped());
            pipeline.failed();
            assert_eq!(pipeline.depth(), 2, "the server copes with two");
        }
    }

    #[test]
    fn a_server_that_never_copes_with_two_commands_gets_one_at_a_time() {
        let mut pipeline = Pipeline::new(2);
        for _ in 0..FAILURES {
            pipeline.connected();
            pipeline.fetch_begins();
            pipeline.coped();
            pipeline.failed();
            pipeline.failed();
        }
        pipeline.connected();
        pipeline.fetch_begins();
        assert_eq!(pipeline.depth(), 1);
        let mut off = Pipeline::new(1);
        off.failed();
        assert_eq!((off.depth(), off.failures_in_a_row), (1, 0));
    }
}
