//! How many commands may be in flight.

/// A server that cannot cope with two commands at once answers BAD, or ends the connection. So does one that is sound, now
/// and then: an access token ends, the server is restarted. So after that there is one command at a time until the next fetch,
/// and for good only if it comes again and again before the server has shown that it copes.
pub(super) struct Pipeline {
    /// As it is configured.
    most: usize,
    now: usize,
    /// Answers on this connection that came while another command was in flight.
    coped: u32,
    /// How often in a row it went wrong.
    failures: u32,
}

impl Pipeline {
    pub(super) fn new(most: usize) -> Self {
        Self { most, now: most, coped: 0, failures: 0 }
    }

    pub(super) fn connected(&mut self) {
        self.coped = 0;
    }

    pub(super) fn fetch_begins(&mut self) {
        if self.failures < FAILURES {
            self.now = self.most;
        }
    }

    /// The server did what it was asked for, and has more to do.
    pub(super) fn coped(&mut self) {
        self.coped += 1;
        if self.coped >= ENOUGH {
            self.failures = 0;
        }
    }

    /// The server said BAD, or the connection was lost with more than one command in flight.
    pub(super) fn failed(&mut self) {
        if self.now > 1 && self.coped < ENOUGH {
            self.now = 1;
            self.failures += 1;
        }
    }

    /// Commands in flight at most.
    pub(super) fn depth(&self) -> usize {
        self.now
    }
}

/// A server that answers so many commands on one connection, each with another one in flight, copes with two.
const ENOUGH: u32 = 8;

/// After so many failures in a row the server is not tried with two commands again.
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
            // The next one is long.
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
        assert_eq!((off.depth(), off.failures), (1, 0));
    }
}
