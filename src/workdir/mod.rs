//! The mailbox directory: what outlives the process.
//!
//! | file | content |
//! | --- | --- |
//! | `lock` | is locked by the one reader of the mailbox |
//! | `owner` | tells who that is; a file of its own, because Windows lets nobody read what is locked |
//! | `journal` | decisions that are not carried out; see [`line`] for its format |
//! | `journal.void1` … `3` | decisions that cannot be carried out any more, the newest first |
//! | `batch-size` | how many messages the server can change with one command |
//! | `status.json` | the health of the mailbox, for monitoring |
//!
//! [`Files`] does the work that the engine asks for. It has no thread and no clock, and reaches the files by a [`disk::Disk`].

mod batch_size;
pub mod disk;
mod files;
mod journal;
mod line;
mod lock;
mod name;
mod owner;
mod protected;
mod reader;
pub mod readers;
pub mod status;
mod survey;
#[cfg(test)]
mod tests;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub use files::Files;
pub use name::MailboxName;
pub use owner::Process;
pub use status::STATUS;
pub use survey::{Abandoned, abandoned, obstacle};
#[cfg(unix)]
pub use unix::RealDisk;
#[cfg(windows)]
pub use windows::RealDisk;
