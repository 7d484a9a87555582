//! A [`Stream`](crate::net::Stream) → a logged-in session with a selected mailbox, and the commands on it.
//!
//! The `imap` crate carries the dialogue up to SELECT ([`login`]), with a [`guard`] under it. From then on the stream is
//! ours: [`session`] keeps a queue of commands in flight and hands their answers out as events, which [`responses`] makes
//! of bytes without knowing a socket.

pub mod folders;
pub mod limits;
pub mod responses;
pub mod uid_set;
