//! A file system in memory whose calls fail, whose processes are killed, and whose power is lost.
//!
//! Every write, creation, renaming and removal is remembered until it is synced. At a loss of power any of those that are
//! remembered may be missing or torn, and those in directories may happen in another order. A sync of a file that fails proves
//! nothing, and neither does a later one for what was to be synced by it: the system may have forgotten that it is to be
//! written. Directories are not like that, because file systems stop when they cannot write their own records.

#[path = "nodes.rs"]
mod nodes;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use um_imap_oauth2::workdir::Process;
use um_imap_oauth2::workdir::disk::{Directory, Disk, DiskFile, FileKind, Metadata, Owner};

use nodes::{Certainty, Entries, EntryChange, File, FileChange, Node, settle_as};

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Inner>>);

/// A process that uses the disk.
#[derive(Debug, Clone)]
pub struct MemoryProcess {
    disk: MemoryDisk,
    alive: Arc<AtomicBool>,
    pid: u32,
}

/// A fault of one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails without any effect. A sync may have had a part of its effect.
    Error(i32),
    /// It fails after it has done its work.
    Late(i32),
    /// A write writes a part, and tells so. Other calls succeed.
    Short,
    /// A write writes a part, and fails at the next call. Other calls fail.
    Torn(i32),
    /// The process is killed before it.
    Kill,
}

#[derive(Debug, Default)]
struct Inner {
    nodes: HashMap<u64, Node>,
    last: u64,
    processes: u32,
    calls: u64,
    faults: BTreeMap<u64, Fault>,
}

/// The directory that is there at the beginning.
pub const HOME: &str = "/home";

const ROOT: u64 = 0;

impl MemoryDisk {
    /// Makes a disk with an empty directory [`HOME`].
    pub fn new() -> Self {
        let disk = Self::default();
        {
            let mut inner = disk.lock();
            inner.nodes.insert(ROOT, Node::Directory(Entries::default()));
            let home = inner.add(Node::Directory(Entries::default()));
            let Some(Node::Directory(root)) = inner.nodes.get_mut(&ROOT) else { unreachable!() };
            root.now.insert(HOME[1..].to_owned(), home);
            root.durable = root.now.clone();
        }
        disk
    }

    /// Starts a process.
    pub fn start(&self) -> MemoryProcess {
        let mut inner = self.lock();
        inner.processes += 1;
        MemoryProcess { disk: self.clone(), alive: Arc::new(AtomicBool::new(true)), pid: inner.processes }
    }

    /// Counts the system calls so far.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Lets the system call with this number have a fault.
    pub fn fault(&self, call: u64, fault: Fault) {
        self.lock().faults.insert(call, fault);
    }

    /// Takes back all faults that have not occurred yet.
    pub fn mend(&self) {
        self.lock().faults.clear();
    }

    /// Takes the power away. All processes must be killed before. `below` returns a random number below its argument.
    pub fn lose_power(&self, below: &mut dyn FnMut(u64) -> u64) {
        let mut inner = self.lock();
        inner.faults.clear();
        let mut ids: Vec<_> = inner.nodes.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            match inner.nodes.get_mut(&id) {
                Some(Node::File(file)) => file.lose_power(below),
                Some(Node::Directory(entries)) => entries.lose_power(below),
                None => {}
            }
        }
        inner.collect();
    }

    /// Removes a directory or file with all that is in it, as another process does.
    pub fn remove(&self, path: &Path) {
        let mut inner = self.lock();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
        else {
            return;
        };
        let Ok(parent) = inner.find(parent) else { return };
        if let Ok(entries) = inner.entries(parent)
            && let Some(id) = entries.now.remove(name)
        {
            entries.unsynced.push(EntryChange::Remove(name.to_owned(), id));
            inner.unlink(id);
        }
    }

    /// Puts a file on the disk.
    pub fn put(&self, path: &Path, octets: &[u8]) {
        let process = self.start();
        let Some(parent) = path.parent().and_then(|parent| process.directory(parent).ok()) else { return };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let _ = parent.remove(name);
        if let Ok(file) = parent.create(name, 0o600) {
            let _ = file.write(0, octets).and_then(|_| file.sync()).and_then(|()| parent.sync());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, node: Node) -> u64 {
        self.last += 1;
        self.nodes.insert(self.last, node);
        self.last
    }

    fn entries(&mut self, id: u64) -> io::Result<&mut Entries> {
        match self.nodes.get_mut(&id) {
            Some(Node::Directory(entries)) => Ok(entries),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file(&mut self, id: u64) -> io::Result<&mut File> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn find(&mut self, path: &Path) -> io::Result<u64> {
        let mut here = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let name = name.to_str().unwrap_or_default();
                here = *self.entries(here)?.now.get(name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(here)
    }

    fn metadata(&self, id: u64) -> io::Result<Metadata> {
        let (kind, links, length) = match self.nodes.get(&id).ok_or(io::ErrorKind::NotFound)? {
            Node::File(file) => (FileKind::Regular, file.links, file.content.len() as u64),
            Node::Directory(_) => (FileKind::Directory, 1, 0),
        };
        Ok(Metadata { kind, id: (0, id), links, length, rights: None })
    }

    /// Notes that a name of a node is gone. All that is in a directory goes with it.
    fn unlink(&mut self, id: u64) {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => file.links -= 1,
            Some(Node::Directory(entries)) => {
                let removed = std::mem::take(&mut entries.now);
                let changes = removed.iter().map(|(name, id)| EntryChange::Remove(name.clone(), *id));
                entries.unsynced.extend(changes);
                removed.into_values().for_each(|id| self.unlink(id));
            }
            None => {}
        }
    }

    /// Removes what no directory leads to, and counts names again.
    fn collect(&mut self) {
        let mut links: HashMap<u64, u64> = HashMap::new();
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            *links.entry(id).or_default() += 1;
            if let Some(Node::Directory(entries)) = self.nodes.get(&id) {
                open.extend(entries.now.values());
            }
        }
        self.nodes.retain(|id, _| links.contains_key(id));
        for (id, links) in links {
            if let Some(Node::File(file)) = self.nodes.get_mut(&id) {
                file.links = links;
            }
        }
    }
}

impl MemoryProcess {
    /// Ends the process. Its locks are free, and its later calls fail.
    pub fn kill(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Makes a system call, or lets it fail.
    fn call<T>(&self, work: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let (mut inner, fault) = self.begin()?;
        match fault {
            None | Some(Fault::Short) => work(&mut inner),
            Some(Fault::Late(error)) => {
                work(&mut inner)?;
                Err(io::Error::from_raw_os_error(error))
            }
            Some(Fault::Error(error) | Fault::Torn(error)) => Err(io::Error::from_raw_os_error(error)),
            Some(Fault::Kill) => Err(self.killed()),
        }
    }

    fn begin(&self) -> io::Result<(MutexGuard<'_, Inner>, Option<Fault>)> {
        if !self.is_alive() {
            return Err(self.killed());
        }
        let mut inner = self.disk.lock();
        let call = inner.calls;
        inner.calls += 1;
        let fault = if inner.faults.is_empty() { None } else { inner.faults.remove(&call) };
        Ok((inner, fault))
    }

    fn killed(&self) -> io::Error {
        self.kill();
        io::Error::other("the process was killed")
    }
}

impl Disk for MemoryProcess {
    fn directory(&self, path: &Path) -> io::Result<Box<dyn Directory>> {
        let id = self.call(|inner| {
            let id = inner.find(path)?;
            inner.entries(id).map(|_| id)
        })?;
        Ok(Box::new(MemoryDirectory { process: self.clone(), id }))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.call(|inner| {
            let id = inner.find(path)?;
            inner.metadata(id)
        })
    }

    fn process(&self) -> Process {
        Process {
            program: "java".to_owned(),
            pid: self.pid,
            host: "simulated".to_owned(),
            since: "2026-01-01T00:00:00Z".to_owned(),
            started: None,
            user: None,
        }
    }
}

#[derive(Debug)]
struct MemoryDirectory {
    process: MemoryProcess,
    id: u64,
}

impl MemoryDirectory {
    fn opened(&self, id: u64) -> Box<dyn DiskFile> {
        Box::new(MemoryFile { process: self.process.clone(), id, lock: Arc::new(AtomicBool::new(false)) })
    }
}

impl Directory for MemoryDirectory {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.process.call(|inner| {
            let id = *inner.entries(self.id)?.now.get(name).ok_or(io::ErrorKind::NotFound)?;
            inner.file(id).map(|_| id)
        })?;
        Ok(self.opened(id))
    }

    fn create(&self, name: &str, _mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let id = self.process.call(|inner| {
            if inner.entries(self.id)?.now.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let id = inner.add(Node::File(File { links: 1, ..File::default() }));
            inner.entries(self.id)?.change(EntryChange::Add(name.to_owned(), id));
            Ok(id)
        })?;
        Ok(self.opened(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.process.call(|inner| {
            let entries = inner.entries(self.id)?;
            let id = *entries.now.get(from).ok_or(io::ErrorKind::NotFound)?;
            let replaced = entries.now.get(to).copied();
            entries.change(EntryChange::Rename(from.to_owned(), to.to_owned(), id));
            if let Some(replaced) = replaced {
                inner.unlink(replaced);
            }
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.process.call(|inner| {
            let entries = inner.entries(self.id)?;
            let id = *entries.now.get(name).ok_or(io::ErrorKind::NotFound)?;
            entries.change(EntryChange::Remove(name.to_owned(), id));
            inner.unlink(id);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.process.call(|inner| {
            inner.entries(self.id)?.sync();
            Ok(())
        })
    }

    fn create_directory(&self, name: &str) -> io::Result<Box<dyn Directory>> {
        let id = self.process.call(|inner| {
            if inner.entries(self.id)?.now.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let id = inner.add(Node::Directory(Entries::default()));
            inner.entries(self.id)?.change(EntryChange::Add(name.to_owned(), id));
            Ok(id)
        })?;
        Ok(Box::new(MemoryDirectory { process: self.process.clone(), id }))
    }

    fn open_directory(&self, name: &str) -> io::Result<Box<dyn Directory>> {
        let id = self.process.call(|inner| {
            let id = *inner.entries(self.id)?.now.get(name).ok_or(io::ErrorKind::NotFound)?;
            inner.entries(id).map(|_| id)
        })?;
        Ok(Box::new(MemoryDirectory { process: self.process.clone(), id }))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.process.call(|inner| Ok(inner.entries(self.id)?.now.keys().cloned().collect()))
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.process.call(|inner| inner.metadata(self.id))
    }

    fn metadata_of(&self, name: &str) -> io::Result<Metadata> {
        self.process.call(|inner| {
            let id = *inner.entries(self.id)?.now.get(name).ok_or(io::ErrorKind::NotFound)?;
            inner.metadata(id)
        })
    }

    fn give_to(&self, _owner: Owner) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    process: MemoryProcess,
    id: u64,
    /// True while this handle has the file locked.
    lock: Arc<AtomicBool>,
}

impl DiskFile for MemoryFile {
    fn read(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.process.call(|inner| {
            let content = &inner.file(self.id)?.content;
            let rest = content.get(position as usize..).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })
    }

    fn write(&self, position: u64, octets: &[u8]) -> io::Result<usize> {
        let (mut inner, fault) = self.process.begin()?;
        let half = octets.len().div_ceil(2);
        let written = match fault {
            None | Some(Fault::Late(_)) => octets.len(),
            Some(Fault::Short) => half,
            Some(Fault::Torn(error)) => {
                let next = inner.calls;
                inner.faults.insert(next, Fault::Error(error));
                half
            }
            Some(Fault::Error(error)) => return Err(io::Error::from_raw_os_error(error)),
            Some(Fault::Kill) => {
                inner.file(self.id)?.change(FileChange::Write(position, octets[..half].to_vec()));
                return Err(self.process.killed());
            }
        };
        inner.file(self.id)?.change(FileChange::Write(position, octets[..written].to_vec()));
        match fault {
            Some(Fault::Late(error)) => Err(io::Error::from_raw_os_error(error)),
            _ => Ok(written),
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.process.call(|inner| {
            inner.file(self.id)?.change(FileChange::Truncate(length));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let result = self.process.call(|inner| {
            inner.file(self.id)?.sync();
            Ok(())
        });
        if result.is_err()
            && let Ok(file) = self.process.disk.lock().file(self.id)
        {
            settle_as(&mut file.unsynced, Certainty::Doubtful);
        }
        result
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.process.call(|inner| {
            let file = inner.file(self.id)?;
            let other = |holder: &[Arc<AtomicBool>; 2]| {
                !Arc::ptr_eq(&holder[0], &self.lock) && holder.iter().all(|part| part.load(Ordering::Relaxed))
            };
            if file.locked.as_ref().is_some_and(other) {
                return Ok(false);
            }
            self.lock.store(true, Ordering::Relaxed);
            file.locked = Some([self.lock.clone(), self.process.alive.clone()]);
            Ok(true)
        })
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.process.call(|inner| inner.metadata(self.id))
    }

    fn give_to(&self, _owner: Owner) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.lock.store(false, Ordering::Relaxed);
    }
}
