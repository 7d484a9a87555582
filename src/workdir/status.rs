//! `status.json`, which monitoring systems read.
//!
//! It has the rights of its directory: only the owner may read it in one that this library has made. An administrator who
//! wants a monitoring account to read it gives that account the right to enter the mailbox directory and those above it
//! (`chmod g+x`); the file follows when it is written next.

use std::path::Path;

use super::disk::Disk;
use super::protected::Protected;
use crate::failure::Result;

/// The name of the file in the mailbox directory.
pub const STATUS: &str = "status.json";

/// Replaces the file, and makes the mailbox directory if that is missing.
pub fn write(disk: &dyn Disk, directory: &Path, json: &str) -> Result<()> {
    let directory = Protected::make(disk, directory)?;
    let mode = directory.readable_mode();
    mode.and_then(|mode| directory.replace_file(STATUS, mode, json.as_bytes(), false))
        .map_err(|error| directory.failed(STATUS, &error))
}
