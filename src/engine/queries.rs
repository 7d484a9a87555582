//! What the driver may ask the engine beside its effects.

use super::Engine;
use super::input::FetchId;

impl Engine {
    /// Returns the number of messages that a fetch has found; `None` if a newer one has begun.
    pub fn found_by(&self, fetch: FetchId) -> Option<u64> {
        (fetch == self.fetch.id).then_some(self.fetch.found)
    }

    /// Says whether the work directory does not answer.
    pub fn is_waiting_for_files(&self) -> bool {
        self.journal_hangs.is_some()
    }
}
