//! When waiting ends: a point in time, or somebody's call.

use std::fmt;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A point in (monotonic) time at which waiting ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// `limit` from now; a limit beyond what the clock can tell is a year.
    pub fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_add(limit).unwrap_or(now + YEAR))
    }

    /// This deadline, or `limit` from now if that is sooner.
    pub fn or_sooner(self, limit: Duration) -> Self {
        self.min(Self::after(limit))
    }

    /// The time that is left, never zero; [`io::ErrorKind::TimedOut`] when it is over.
    pub fn left(self) -> io::Result<Duration> {
        match self.0.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

/// Ends everything that is under way on the network for one mailbox, from any thread. Clones share it.
#[derive(Clone, Default)]
pub struct Cancel {
    state: Arc<State>,
}

impl Cancel {
    /// Shuts down every socket that was opened under it, so that a read that is blocked in another thread ends at once, and
    /// lets every later [`super::connect`] fail with [`crate::failure::Kind::Closed`]. There is no way back.
    pub fn cancel(&self) {
        let mut sockets = self.state.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.cancelled.store(true, Ordering::SeqCst);
        for socket in sockets.drain(..).filter_map(|socket| socket.upgrade()) {
            // It fails on a socket that is not connected any more.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::SeqCst)
    }

    /// Fails once it is cancelled.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.is_cancelled() {
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, Closed))
        } else {
            Ok(())
        }
    }

    /// Has `socket` shut down at [`Cancel::cancel`]; fails when that was called already.
    pub(super) fn watch(&self, socket: &Arc<TcpStream>) -> io::Result<()> {
        let mut sockets = self.state.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.push(Arc::downgrade(socket));
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn watched(&self) -> usize {
        self.state.sockets.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("cancelled", &self.is_cancelled()).finish()
    }
}

#[derive(Default)]
struct State {
    /// Written under the lock of `sockets`, so that no socket comes in between.
    cancelled: AtomicBool,
    sockets: Mutex<Vec<Weak<TcpStream>>>,
}

/// What an [`io::Error`] holds that is due to [`Cancel::cancel`].
#[derive(Debug, thiserror::Error)]
#[error("the mailbox was closed")]
pub(super) struct Closed;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
