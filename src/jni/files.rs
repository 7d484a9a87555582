//! The files of large mails by number, each until Java has no use for it any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::sync::Lazy;

use crate::failure::{Failure, Kind, Result, Step};
use crate::mailbox::TemporaryFile;
use crate::message;
use crate::text::Arg;

/// Keeps the file and returns its number, which is never 0.
pub(super) fn keep(file: TemporaryFile) -> i64 {
    let mut files = files();
    files.last += 1;
    let number = files.last;
    files.open.insert(number, Arc::new(file));
    number
}

/// Up to `length` octets from `position` on; none at the end.
pub(super) fn read(number: i64, position: i64, length: i32) -> Result<Vec<u8>> {
    let file = files().open.get(&number).cloned().ok_or_else(|| {
        Failure::own(Step::Call, Kind::Closed, message!(MailIsClosed)).advised(message!(MailIsClosedRemedy))
    })?;
    let (Ok(position), Ok(length)) = (u64::try_from(position), usize::try_from(length)) else {
        let said = message!(MailNoPart, length = length.to_string(), position = position.to_string());
        return Err(Failure::own(Step::Call, Kind::Usage, said));
    };
    let failed =
        |error: Arg| Failure::own(Step::Storage, Kind::Storage, message!(MailTemporaryFile, error = error));
    let mut octets = Vec::new();
    octets.try_reserve_exact(length.min(PIECE)).map_err(|error| failed(error.to_string().into()))?;
    octets.resize(length.min(PIECE), 0);
    let read = file.read_at(&mut octets, position).map_err(|error| failed((&error).into()))?;
    octets.truncate(read);
    Ok(octets)
}

/// The file is gone, and with it the room that it takes. An unknown number is nobody's file.
pub(super) fn release(number: i64) {
    files().open.remove(&number);
}

#[derive(Default)]
struct Files {
    last: i64,
    open: HashMap<i64, Arc<TemporaryFile>>,
}

fn files() -> MutexGuard<'static, Files> {
    static FILES: Lazy<Mutex<Files>> = Lazy::new(Mutex::default);
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Octets that are read at once.
const PIECE: usize = 64 * 1024;
