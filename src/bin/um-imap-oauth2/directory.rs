//! Where `fetch` writes to.

use std::fs::{DirBuilder, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use um_imap_oauth2::config::{Language, open_regular};
use um_imap_oauth2::failure::{Failure, Kind, Result, Step};
use um_imap_oauth2::mailbox::{Body, MessageId};
use um_imap_oauth2::message;
use um_imap_oauth2::text::Message;

/// A directory in which each file under a mail's name is a whole mail, whatever happens while it is written.
pub struct Directory {
    path: PathBuf,
    /// A file that was stored outlives a power failure.
    durable: bool,
    language: Language,
}

impl Directory {
    /// Makes it where it is missing, for its owner only.
    pub fn open(path: &Path, durable: bool, language: Language) -> Result<Self> {
        let directory = Self { path: path.to_owned(), durable, language };
        let missing = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let missing: Vec<_> = missing.collect();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(|error| directory.failed(path, &error))?;
        if durable {
            for made in missing {
                directory.sync_entries(parent(made))?;
            }
            // Whoever can remove or exchange a file here could make the only copy of a message vanish.
            if let Some(foreign) = foreign(path).map_err(|error| directory.failed(path, &error))? {
                return Err(directory.refused(&foreign));
            }
        }
        Ok(directory)
    }

    /// Writes `<uidvalidity>-<uid>.eml` for its owner only. A file of this name with the same content is fine, with any other
    /// one it is left alone, and that is a failure.
    pub fn store(&self, id: MessageId, body: Body) -> Result<PathBuf> {
        let path = self.path.join(format!("{}-{}.eml", id.uid_validity, id.uid));
        let file = self.written(body).map_err(|error| self.failed(&path, &error))?;
        match file.persist_noclobber(&path) {
            Ok(_) => {}
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                if !same_content(refused.file.path(), &path).map_err(|error| self.failed(&path, &error))? {
                    return Err(self.occupied(&path));
                }
                // The one that is there may not have reached the disk.
                refused.file.persist(&path).map_err(|refused| self.failed(&path, &refused.error))?;
            }
            Err(refused) => return Err(self.failed(&path, &refused.error)),
        }
        if self.durable {
            self.sync_entries(&self.path)?;
        }
        Ok(path)
    }

    /// The mail in a file that has no mail's name yet.
    fn written(&self, body: Body) -> io::Result<NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(&self.path)?;
        match body {
            Body::Memory(octets) => file.write_all(&octets)?,
            Body::File(mut octets, _) => {
                io::copy(&mut octets, &mut file)?;
            }
        }
        if self.durable {
            file.as_file().sync_all()?;
        }
        Ok(file)
    }

    /// That a file is in a directory outlives a power failure only with this (fsync(2), "NOTES").
    #[cfg(unix)]
    fn sync_entries(&self, directory: &Path) -> Result<()> {
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| self.failed(directory, &error))
    }

    /// NTFS keeps its directories in order by itself.
    #[cfg(not(unix))]
    fn sync_entries(&self, _directory: &Path) -> Result<()> {
        Ok(())
    }

    /// The catalogue knows of Universal Messenger's directories only, and this is none of them.
    fn failed(&self, path: &Path, error: &io::Error) -> Failure {
        use io::ErrorKind::{
            AlreadyExists, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        let to = self.path.display();
        let cause = match error.kind() {
            StorageFull | QuotaExceeded => message!(FetchDirectoryFull, directory = to),
            PermissionDenied | ReadOnlyFilesystem => message!(FetchDirectoryDenied, directory = to),
            AlreadyExists | NotADirectory => message!(FetchDirectoryIsFile, directory = to),
            _ => message!(FetchDirectoryUnwritable, directory = to),
        };
        let said = message!(FileFailed, path = path.display(), error = error.to_string());
        self.failure(said, &cause, &message!(FetchDirectoryRemedy))
    }

    fn failure(&self, said: Message, cause: &Message, remedy: &Message) -> Failure {
        Failure::own(Step::Storage, Kind::Storage, said).explained_by(cause, remedy, self.language)
    }

    fn refused(&self, foreign: &Foreign) -> Failure {
        let Foreign { path, owner, mode, account } = foreign;
        let path = path.display();
        let (command, said) = match owner {
            Some(owner) => (
                format!("chown {account} '{path}'"),
                message!(
                    FetchDirectoryForeign,
                    path = &path,
                    owner = owner.to_string(),
                    account = account.to_string()
                ),
            ),
            None => (
                format!("chmod go-w '{path}'"),
                message!(FetchDirectoryOpen, path = &path, mode = format!("{mode:o}")),
            ),
        };
        let remedy = message!(FetchDirectoryUnsafeRemedy, command = command);
        self.failure(said, &message!(FetchDirectoryUnsafeCause), &remedy)
    }

    fn occupied(&self, path: &Path) -> Failure {
        let said = message!(FetchFileOccupied, path = path.display());
        self.failure(said, &message!(FetchFileOccupiedCause), &message!(FetchFileOccupiedRemedy))
    }
}

/// A directory that another account owns, or can write to.
struct Foreign {
    path: PathBuf,
    /// `None`: it is the mode that is wrong.
    owner: Option<u32>,
    mode: u32,
    account: u32,
}

/// Looks at the directory and all above it. In one with the sticky bit others cannot touch a directory of ours, but the
/// directory itself is never one of those.
#[cfg(unix)]
fn foreign(path: &Path) -> io::Result<Option<Foreign>> {
    use std::os::unix::fs::MetadataExt;

    const ROOT: u32 = 0;
    const WRITABLE_FOR_OTHERS: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let account = rustix::process::geteuid().as_raw();
    let real = path.canonicalize()?;
    for (above, directory) in real.ancestors().enumerate() {
        let data = directory.symlink_metadata()?;
        let mode = data.mode() & 0o7777;
        let is_ours = data.uid() == account || above > 0 && data.uid() == ROOT;
        let is_safe = mode & WRITABLE_FOR_OTHERS == 0 || above > 0 && mode & STICKY != 0;
        if !is_ours || !is_safe {
            let owner = (!is_ours).then_some(data.uid());
            return Ok(Some(Foreign { path: directory.to_owned(), owner, mode, account }));
        }
    }
    Ok(None)
}

/// Access control lists decide there, which are not looked at.
#[cfg(not(unix))]
fn foreign(_path: &Path) -> io::Result<Option<Foreign>> {
    Ok(None)
}

fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    // A link leads to a file of somebody else's, and a pipe would wait for its writer.
    if !other.symlink_metadata()?.is_file() {
        return Ok(false);
    }
    let (one, other) = (File::open(one)?, open_regular(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut other = BufReader::new(other).bytes();
    for octet in BufReader::new(one).bytes() {
        if Some(octet?) != other.next().transpose()? {
            return Ok(false);
        }
    }
    Ok(other.next().is_none())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Seek;

    use um_imap_oauth2::mailbox::TemporaryFile;

    use super::*;

    const ID: MessageId = MessageId { uid_validity: 7, uid: 42 };

    fn body(octets: &[u8]) -> Body {
        Body::Memory(octets.to_vec())
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_mail_is_written_octet_for_octet_from_memory_or_from_a_file() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(&home.path().join("a/b"), true, Language::English).unwrap();
        let path = directory.store(ID, body(b"a\0\r\xff")).unwrap();
        assert_eq!(path, home.path().join("a/b/7-42.eml"));
        assert_eq!(fs::read(path).unwrap(), b"a\0\r\xff");

        let mut file = TemporaryFile::new(None).unwrap();
        file.write_all(b"large").unwrap();
        file.rewind().unwrap();
        let path = directory.store(MessageId { uid: 43, ..ID }, Body::File(file, 5)).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"large");
        assert_eq!(names(&home.path().join("a/b")).len(), 2);
    }

    #[test]
    #[cfg(unix)]
    fn others_can_read_neither_directory_nor_file() {
        use std::os::unix::fs::PermissionsExt;

        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(&home.path().join("out"), false, Language::English).unwrap();
        let file = directory.store(ID, body(b"mail")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&home.path().join("out")), 0o700);
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    #[cfg(unix)]
    fn a_directory_in_which_others_can_write_is_refused_where_mail_is_settled() {
        use std::os::unix::fs::PermissionsExt;

        let home = tempfile::tempdir().unwrap();
        let real = home.path().canonicalize().unwrap();
        let out = real.join("above/out");
        fs::create_dir_all(&out).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for (path, mode) in [(out.as_path(), 0o1777), (&out, 0o770), (&real.join("above"), 0o777)] {
            set(path, mode);
            Directory::open(&out, false, Language::English).unwrap();
            let failure = Directory::open(&out, true, Language::English).err().unwrap();
            assert!(failure.observed.starts_with(&format!("{} can be written", path.display())), "{failure}");
            assert!(failure.remedy.contains(&format!("chmod go-w '{}'", path.display())), "{failure}");
            set(path, 0o755);
        }
        set(&real.join("above"), 0o1777);
        Directory::open(&out, true, Language::English).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_link_or_a_pipe_in_the_files_place_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(home.path(), false, Language::English).unwrap();
        let (file, elsewhere) = (home.path().join("7-42.eml"), home.path().join("elsewhere"));
        fs::write(&elsewhere, "mail").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert!(directory.store(ID, body(b"mail")).unwrap_err().observed.contains("7-42.eml"));
        fs::remove_file(&file).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        assert!(directory.store(ID, body(b"mail")).unwrap_err().observed.contains("7-42.eml"));
        assert_eq!(fs::read(&elsewhere).unwrap(), b"mail");
    }

    #[test]
    fn the_same_mail_can_be_stored_again_but_no_file_is_overwritten_with_another_one() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(home.path(), true, Language::English).unwrap();
        directory.store(ID, body(b"mail")).unwrap();
        directory.store(ID, body(b"mail")).unwrap();
        for other in [b"liam".as_slice(), b"mail and more", b""] {
            let failure = directory.store(ID, body(other)).unwrap_err();
            assert_eq!((failure.step, failure.kind), (Step::Storage, Kind::Storage));
            assert!(failure.observed.contains("7-42.eml"), "{failure}");
        }
        assert_eq!(fs::read(home.path().join("7-42.eml")).unwrap(), b"mail");
        assert_eq!(names(home.path()), ["7-42.eml"]);
    }

    #[test]
    fn what_cannot_be_written_is_a_failure_that_names_the_path() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let failure = Directory::open(&path, false, Language::German).err().unwrap();
            assert!(failure.observed.starts_with(&path.display().to_string()), "{failure}");
            assert!(failure.cause.contains("ist eine Datei") && failure.remedy.contains("--to"), "{failure}");
        }
    }

    #[test]
    fn each_failure_leads_to_the_directory_that_was_named() {
        let home = tempfile::tempdir().unwrap();
        for (language, causes) in [
            (
                Language::English,
                ["no space left in", "cannot write to", "cannot write to", "cannot be written to"],
            ),
            (
                Language::German,
                [
                    "kein Speicherplatz mehr",
                    "kann nicht in",
                    "kann nicht in",
                    "kann nicht geschrieben werden",
                ],
            ),
        ] {
            let directory = Directory::open(home.path(), false, language).unwrap();
            let errors = [
                io::ErrorKind::StorageFull,
                io::ErrorKind::PermissionDenied,
                io::ErrorKind::ReadOnlyFilesystem,
                io::ErrorKind::TimedOut,
            ];
            for (error, cause) in errors.into_iter().zip(causes) {
                let failure = directory.failed(home.path(), &error.into());
                assert!(failure.cause.contains(cause), "{failure}");
                assert!(failure.cause.contains(home.path().to_str().unwrap()), "{failure}");
                assert!(failure.remedy.contains("--to"), "{failure}");
            }
        }
    }
}
