//! The learnt size of a batch, in a file of its own. Without it the size is learnt again.

use std::io;

use serde::{Deserialize, Serialize};

use super::disk;
use super::line::{CHECKSUM, checksum, unkeyed};
use super::protected::Protected;

/// Reads the size. Returns `None` if there is none or the file is damaged.
pub(super) fn read(directory: &Protected) -> Option<u16> {
    let file = directory.open_file(BATCH_SIZE).ok()??;
    let line = disk::read_up_to(file.as_ref(), OCTETS).ok()?;
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(CHECKSUM)?;
    let json = json.strip_prefix(b" ").filter(|json| checksum(&unkeyed(), json).as_bytes() == sum)?;
    let BatchSize { batch_size } = serde_json::from_slice(json).ok()?;
    Some(batch_size).filter(|&size| size > 0)
}

pub(super) fn write(directory: &Protected, batch_size: u16) -> io::Result<()> {
    let json = serde_json::to_string(&BatchSize { batch_size })?;
    let line = format!("{} {json}\n", checksum(&unkeyed(), json.as_bytes()));
    directory.replace_file(BATCH_SIZE, 0o600, line.as_bytes(), false)
}

#[derive(Serialize, Deserialize)]
struct BatchSize {
    batch_size: u16,
}

const BATCH_SIZE: &str = "batch-size";
const OCTETS: usize = 256;
