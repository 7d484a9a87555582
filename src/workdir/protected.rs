//! A mailbox directory that nobody else may write, and files in it.
//!
//! Everything that is made there belongs to the owner of the directory above it: a command that root runs leaves nothing
//! that Universal Messenger cannot open. Nothing that is there already is ever given away, because another user could have
//! put something else in its place.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{self, Directory, Disk, DiskFile, FileKind, Metadata, Owner, Rights, if_there, not_a};
use crate::failure::{Failure, Kind, Result, Step};
use crate::message;
use crate::text::Said;

/// An open mailbox directory.
#[derive(Debug)]
pub(super) struct Protected {
    directory: Box<dyn Directory>,
    path: PathBuf,
    owner: Option<Owner>,
    /// Whose rights the process has.
    user: Option<u32>,
}

impl Protected {
    /// Opens the directory, and makes it if it is missing. So is the work directory in which it lies. What that lies in must
    /// be there: an installation without it wants no files.
    pub(super) fn make(disk: &dyn Disk, path: &Path) -> Result<Self> {
        Self::reach(disk, path, true)?.ok_or_else(|| failed(path, &io::ErrorKind::NotFound.into()))
    }

    /// Opens the directory. Returns `None` if it is missing.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Option<Self>> {
        Self::reach(disk, path, false)
    }

    fn reach(disk: &dyn Disk, path: &Path, make: bool) -> Result<Option<Self>> {
        let user = disk.process().user;
        let (Some(work_path), Some(name)) = (path.parent(), utf8_name(path)) else {
            return Err(failed(path, &io::ErrorKind::InvalidInput.into()));
        };
        let Some((work, above)) = work_directory(disk, work_path, user, make)? else { return Ok(None) };
        let within = |error: io::Error| failed(work_path, &error);
        let work_rights = checked(work.as_ref(), above, work_path, user)?;
        let opened = if_there(work.open_directory(name)).map_err(|error| failed(path, &error))?;
        let directory = match opened {
            Some(directory) => directory,
            None if !make => return Ok(None),
            None => made(work.as_ref(), name, work_rights, user).map_err(within)?,
        };
        if make {
            // An earlier process may have been killed after it made the directory.
            work.sync().map_err(within)?;
        }
        let rights = checked(directory.as_ref(), work_rights, path, user)?;
        let owner = rights.map(|rights| rights.owner);
        Ok(Some(Self { directory, path: path.to_owned(), owner, user }))
    }

    pub(super) fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether the path still leads to this directory.
    pub(super) fn is_in_place(&self, disk: &dyn Disk) -> io::Result<bool> {
        let found = if_there(disk.metadata(&self.path))?;
        Ok(found.is_some_and(|found| found.kind == FileKind::Directory)
            && found.map(|found| found.id) == Some(self.directory.metadata()?.id))
    }

    /// Says whether an open file still has its name.
    pub(super) fn has(&self, name: &str, file: &dyn DiskFile) -> io::Result<bool> {
        let open = file.metadata()?;
        let named = if_there(self.directory.metadata_of(name))?;
        Ok(open.links > 0 && named.is_some_and(|named| named.id == open.id))
    }

    /// Opens a file that nobody else can have written. Returns `None` if it is missing.
    pub(super) fn open_file(&self, name: &str) -> io::Result<Option<Box<dyn DiskFile>>> {
        let Some(file) = if_there(self.directory.open(name))? else { return Ok(None) };
        let Metadata { links, rights, .. } = file.metadata()?;
        if links == 0 {
            return Ok(None);
        }
        let refused = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, Said(why)));
        if let Some(Rights { owner, mode }) = rights {
            let users = [Some(0), self.user, self.owner.map(|owner| owner.user)];
            if !users.contains(&Some(owner.user)) {
                return refused(message!(FileOfOther, owner = owner.user.to_string()));
            }
            if links > 1 {
                return refused(message!(FileLinked));
            }
            if mode & OTHERS_WRITE != 0 {
                let path = self.path.join(name);
                return refused(message!(FileForOthers, path = path.display()));
            }
        }
        Ok(Some(file))
    }

    /// Creates a file for the owner of the directory only.
    pub(super) fn create_file(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.create_with(name, 0o600)
    }

    fn create_with(&self, name: &str, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let file = self.directory.create(name, mode)?;
        if let Some(owner) = self.owner
            && self.user == Some(0)
            && owner.user != 0
        {
            file.give_to(owner)?;
        }
        Ok(file)
    }

    /// Replaces a small file at once: a reader sees the old or the new one, and no part of either.
    pub(super) fn replace_file(&self, name: &str, mode: u32, octets: &[u8], durable: bool) -> io::Result<()> {
        self.must_be_regular(name)?;
        let new = format!("{name}.new");
        disk::remove_if_there(self.directory(), &new)?;
        let file = self.create_with(&new, mode)?;
        disk::write_all(file.as_ref(), 0, octets)?;
        if durable {
            file.sync()?;
        }
        drop(file);
        self.directory.rename(&new, name)?;
        if durable { self.directory.sync() } else { Ok(()) }
    }

    /// Fails if something else than a regular file has this name.
    pub(super) fn must_be_regular(&self, name: &str) -> io::Result<()> {
        match if_there(self.directory.metadata_of(name))?.map(|found| found.kind) {
            None | Some(FileKind::Regular) => Ok(()),
            Some(other) => Err(not_a(other, message!(KindFile))),
        }
    }

    /// Returns the rights for a file that is meant for all who may enter the directory.
    pub(super) fn readable_mode(&self) -> io::Result<u32> {
        let mode = self.directory.metadata()?.rights.map_or(0, |rights| rights.mode);
        let group = if mode & 0o010 != 0 { 0o040 } else { 0 };
        let others = if mode & 0o001 != 0 { 0o004 } else { 0 };
        Ok(0o600 | group | others)
    }

    pub(super) fn failed(&self, name: &str, error: &io::Error) -> Failure {
        failed(&self.path.join(name), error)
    }
}

pub(super) fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::own(Step::Storage, Kind::Storage, message!(FileFailed, path = path.display(), error = error))
}

type Opened = (Box<dyn Directory>, Option<Rights>);

/// Opens or makes the work directory. Returns the rights of the one above it, too.
fn work_directory(disk: &dyn Disk, path: &Path, user: Option<u32>, make: bool) -> Result<Option<Opened>> {
    let in_vain = |error: io::Error| failed(path, &error);
    let (Some(above_path), Some(name)) = (path.parent(), utf8_name(path)) else {
        return Err(in_vain(io::ErrorKind::InvalidInput.into()));
    };
    let above = match disk.directory(above_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(failed(above_path, &io::Error::new(error.kind(), Said(message!(DirectoryMissing)))));
        }
        above => above.map_err(|error| failed(above_path, &error))?,
    };
    let rights = above.metadata().map_err(|error| failed(above_path, &error))?.rights;
    let work = match if_there(disk.directory(path)).map_err(in_vain)? {
        Some(work) => work,
        None if !make => return Ok(None),
        None => made(above.as_ref(), name, rights, user).map_err(in_vain)?,
    };
    if make {
        above.sync().map_err(in_vain)?;
    }
    Ok(Some((work, rights)))
}

/// Makes a directory.
fn made(
    above: &dyn Directory,
    name: &str,
    rights: Option<Rights>,
    user: Option<u32>,
) -> io::Result<Box<dyn Directory>> {
    let made = match above.create_directory(name) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return above.open_directory(name),
        made => made?,
    };
    if let Some(Rights { owner, .. }) = rights
        && user == Some(0)
        && owner.user != 0
        // Another user may have put another one in its place.
        && made.metadata()?.rights.is_some_and(|rights| rights.owner.user == 0 && rights.mode == 0o700)
    {
        made.give_to(owner)?;
    }
    Ok(made)
}

/// Refuses a directory in which another user can put files.
fn checked(
    directory: &dyn Directory,
    above: Option<Rights>,
    path: &Path,
    user: Option<u32>,
) -> Result<Option<Rights>> {
    let rights = directory.metadata().map_err(|error| failed(path, &error))?.rights;
    let (Some(Rights { owner, mode }), Some(user)) = (rights, user) else { return Ok(rights) };
    // Root also works for the user to whom the directory above belongs.
    let root_for = above.map(|above| above.owner.user).filter(|_| user == 0);
    let path = path.display();
    let why = if ![Some(0), Some(user), root_for].contains(&Some(owner.user)) {
        let wanted = root_for.unwrap_or(user);
        let (owner, wanted) = (owner.user.to_string(), wanted.to_string());
        message!(DirectoryOfOther, path = &path, owner = owner, wanted = wanted)
    } else if mode & OTHERS_WRITE != 0 {
        message!(DirectoryForOthers, path = &path)
    } else {
        return Ok(rights);
    };
    Err(Failure::own(Step::Storage, Kind::Storage, why))
}

fn utf8_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

const OTHERS_WRITE: u32 = 0o022;
