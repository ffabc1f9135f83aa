//! A disk in memory that does what real ones do on bad days, the same way for the same seed.
//!
//! It keeps two worlds: what running processes see, and what is on stable storage. `sync_data` and
//! `sync_dir` carry one into the other; [`SimulatedDisk::lose_power`] throws the first away and keeps
//! of what was not synced a random part: whole writes, beginnings of writes torn at any byte, pieces
//! out of the middle, names or no names. [`SimulatedDisk::kill`] ends the process only: the page
//! cache stays. Either way open files and locks of the old process are dead.
//!
//! A failed `sync_data` behaves as Linux does: some of the bytes arrive, the rest is forgotten and a
//! later sync says yes without them. A failed `sync_dir` leaves the names unsynced.
//!
//! Faults come by chance ([`Chances`]) or to order ([`SimulatedDisk::fail_next`]).

#![allow(dead_code, reason = "every test that includes this module uses another part of it")]

mod file;
mod random;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use millrace::spool::disk::{Disk, DiskFile, FileInfo, Lock};

use self::file::FileData;
pub use self::random::Random;

/// Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    sync_gate: Condvar,
}

/// Faults by chance, in percent of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chances {
    pub short_write: u64,
    pub write_fails: u64,
    pub sync_fails: u64,
    pub read_fails: u64,
}

/// What can be made to fail, or is noted in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Create,
    Read,
    Write,
    SetLength,
    SyncData,
    SyncDir,
    Rename,
    Remove,
}

#[derive(Debug)]
struct World {
    random: Random,
    now: u64,
    /// Processes so far; handles of earlier ones are dead.
    process: u64,
    files: Vec<FileData>,
    names: BTreeMap<PathBuf, Node>,
    stable_names: BTreeMap<PathBuf, Node>,
    /// Changes of names that are not synced, in order.
    unsynced: Vec<(PathBuf, NameChange)>,
    locks: BTreeSet<PathBuf>,
    capacity: u64,
    chances: Chances,
    to_order: Vec<(Call, io::ErrorKind)>,
    syncs_held: bool,
    syncs_waiting: usize,
    log: Vec<(Call, PathBuf)>,
    opened: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(Node),
    Remove,
    RenameTo(PathBuf, Node),
}

impl SimulatedDisk {
    pub fn new(seed: u64) -> Self {
        let world = World {
            random: Random::new(seed),
            now: 1_770_000_000_000,
            process: 0,
            files: Vec::new(),
            names: BTreeMap::from([(PathBuf::from("/"), Node::Directory)]),
            stable_names: BTreeMap::from([(PathBuf::from("/"), Node::Directory)]),
            unsynced: Vec::new(),
            locks: BTreeSet::new(),
            capacity: u64::MAX,
            chances: Chances::default(),
            to_order: Vec::new(),
            syncs_held: false,
            syncs_waiting: 0,
            log: Vec::new(),
            opened: Vec::new(),
        };
        Self(Arc::new(Shared { world: Mutex::new(world), sync_gate: Condvar::new() }))
    }

    /// The process dies; what it wrote stays in the page cache.
    pub fn kill(&self) {
        let mut world = self.world();
        world.process += 1;
        world.locks.clear();
    }

    /// The machine dies: of what was not synced a random part is left.
    pub fn lose_power(&self) {
        let mut world = self.world();
        world.process += 1;
        world.locks.clear();
        let World { random, files, unsynced, stable_names, .. } = &mut *world;
        for (path, change) in unsynced.drain(..) {
            if random.percent(50) {
                apply(stable_names, &path, &change);
            }
        }
        for file in files {
            file.lose_power(random);
        }
        // A name in a directory that is not there is nowhere.
        let all = world.stable_names.clone();
        world
            .stable_names
            .retain(|path, _| path.ancestors().skip(1).all(|parent| all.contains_key(parent)));
        world.names = world.stable_names.clone();
    }

    /// Bytes that the volume holds in all.
    pub fn set_capacity(&self, bytes: u64) {
        self.world().capacity = bytes;
    }

    /// Bytes on the volume now.
    pub fn used(&self) -> u64 {
        self.world().used()
    }

    pub fn set_chances(&self, chances: Chances) {
        self.world().chances = chances;
    }

    /// The next such call fails; several calls of this queue up.
    pub fn fail_next(&self, call: Call, error: io::ErrorKind) {
        self.world().to_order.push((call, error));
    }

    pub fn no_more_faults(&self) {
        let mut world = self.world();
        world.to_order.clear();
        world.chances = Chances::default();
        world.capacity = u64::MAX;
    }

    pub fn advance_clock(&self, millis: u64) {
        self.world().now += millis;
    }

    /// From now on `sync_data` doesn't return until [`SimulatedDisk::release_syncs`].
    pub fn hold_syncs(&self) {
        self.world().syncs_held = true;
    }

    /// Blocks until a sync is being held; panics if none comes.
    pub fn wait_for_held_sync(&self) {
        let waiting = |world: &mut World| world.syncs_waiting == 0;
        let long = Duration::from_secs(20);
        let (world, outcome) =
            self.0.sync_gate.wait_timeout_while(self.world(), long, waiting).unwrap();
        drop(world);
        assert!(!outcome.timed_out(), "nobody syncs");
    }

    pub fn release_syncs(&self) {
        self.world().syncs_held = false;
        self.0.sync_gate.notify_all();
    }

    /// The calls that changed something since the last time this was asked.
    pub fn take_log(&self) -> Vec<(Call, PathBuf)> {
        std::mem::take(&mut self.world().log)
    }

    /// The files that were opened since the last time this was asked.
    pub fn take_opened(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.world().opened)
    }

    /// The file as processes see it.
    pub fn content(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.files[world.file(path).expect("the file exists")].bytes().to_vec()
    }

    /// Puts `bytes` there, on stable storage too, as if it had always been so.
    pub fn set_content(&self, path: &Path, bytes: Vec<u8>) {
        let mut world = self.world();
        let file = world.file(path).expect("the file exists");
        world.files[file].replace(bytes);
    }

    /// Removes the name behind everybody's back.
    pub fn vanish(&self, path: &Path) {
        let mut world = self.world();
        world.names.remove(path);
        world.stable_names.remove(path);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A test that fails while it holds the disk must not make every destructor fail too.
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        let file = world.file(path)?;
        world.opened.push(path.to_owned());
        Ok(self.handle(&world, file, path))
    }

    fn handle(&self, world: &World, file: usize, path: &Path) -> Arc<dyn DiskFile> {
        let (disk, process) = (self.clone(), world.process);
        Arc::new(Handle { disk, process, file, path: path.to_owned() })
    }
}

impl World {
    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(file)) => Ok(*file),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn change_name(&mut self, path: &Path, change: NameChange) {
        apply(&mut self.names, path, &change);
        self.unsynced.push((path.to_owned(), change));
    }

    fn used(&self) -> u64 {
        let files = self.names.values().filter_map(|node| match node {
            Node::File(file) => Some(self.files[*file].bytes().len() as u64),
            Node::Directory => None,
        });
        files.sum()
    }

    /// Fails if that was ordered, or by chance.
    fn trouble(&mut self, call: Call) -> io::Result<()> {
        if let Some(at) = self.to_order.iter().position(|(ordered, _)| *ordered == call) {
            return Err(self.to_order.remove(at).1.into());
        }
        let chance = match call {
            Call::Read => self.chances.read_fails,
            Call::Write => self.chances.write_fails,
            Call::SyncData | Call::SyncDir => self.chances.sync_fails,
            _ => 0,
        };
        if self.random.percent(chance) { Err(input_output_error()) } else { Ok(()) }
    }

    fn note(&mut self, call: Call, path: &Path) {
        self.log.push((call, path.to_owned()));
    }
}

impl Disk for SimulatedDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.trouble(Call::Create)?;
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|parent| world.names.contains_key(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = world.files.len();
        let now = world.now;
        world.files.push(FileData::new(now));
        world.change_name(path, NameChange::Put(Node::File(file)));
        world.note(Call::Create, path);
        Ok(self.handle(&world, file, path))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.trouble(Call::Rename)?;
        let node = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        world.change_name(from, NameChange::RenameTo(to.to_owned(), node));
        world.note(Call::Rename, to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.file(path)?;
        world.trouble(Call::Remove)?;
        world.change_name(path, NameChange::Remove);
        world.note(Call::Remove, path);
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|parent| world.names.contains_key(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.change_name(path, NameChange::Put(Node::Directory));
        Ok(())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.trouble(Call::SyncDir)?;
        let World { unsynced, stable_names, .. } = &mut *world;
        unsynced.retain(|(path, change)| {
            let here = path.parent() == Some(directory);
            if here {
                apply(stable_names, path, change);
            }
            !here
        });
        world.note(Call::SyncDir, directory);
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let here = world.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(here.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn info(&self, path: &Path) -> io::Result<FileInfo> {
        let world = self.world();
        let node = world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(match node {
            Node::Directory => FileInfo { length: 0, written_at: 0, is_dir: true },
            Node::File(file) => FileInfo {
                length: world.files[*file].bytes().len() as u64,
                written_at: world.files[*file].written_at(),
                is_dir: false,
            },
        })
    }

    fn available_space(&self, _path: &Path) -> io::Result<u64> {
        let world = self.world();
        Ok(world.capacity.saturating_sub(world.used()))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut world = self.world();
        if !world.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let process = world.process;
        Ok(Lock::new(HeldLock { disk: self.clone(), process, path: path.to_owned() }))
    }

    fn now(&self) -> u64 {
        self.world().now
    }
}

struct HeldLock {
    disk: SimulatedDisk,
    process: u64,
    path: PathBuf,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let mut world = self.disk.world();
        if world.process == self.process {
            world.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct Handle {
    disk: SimulatedDisk,
    process: u64,
    file: usize,
    path: PathBuf,
}

impl Handle {
    /// The world, if the process that opened this file still lives.
    fn alive(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.disk.world();
        if world.process != self.process {
            return Err(io::Error::other("the process that opened this file is dead"));
        }
        Ok(world)
    }
}

impl DiskFile for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.alive()?;
        world.trouble(Call::Read)?;
        let bytes = world.files[self.file].bytes();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut world = self.alive()?;
        world.trouble(Call::Write)?;
        let mut bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        let short_write = world.chances.short_write;
        if bytes.len() > 1 && world.random.percent(short_write) {
            let shorter = world.random.below(bytes.len() as u64 - 1) + 1;
            bytes.truncate(shorter as usize);
        }
        let length = world.files[self.file].bytes().len() as u64;
        let room = world.capacity.saturating_sub(world.used());
        let most = (length + room).saturating_sub(offset);
        if most == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        bytes.truncate(most.min(bytes.len() as u64) as usize);
        let now = world.now;
        world.files[self.file].write(offset as usize, &bytes, now);
        world.note(Call::Write, &self.path);
        Ok(bytes.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut world = self.alive()?;
        world.trouble(Call::SetLength)?;
        let now = world.now;
        world.files[self.file].set_length(length as usize, now);
        world.note(Call::SetLength, &self.path);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.alive()?;
        world.syncs_waiting += 1;
        self.disk.0.sync_gate.notify_all();
        world = self.disk.0.sync_gate.wait_while(world, |world| world.syncs_held).unwrap();
        world.syncs_waiting -= 1;
        let outcome = world.trouble(Call::SyncData);
        let World { random, files, .. } = &mut *world;
        match outcome {
            Ok(()) => files[self.file].sync(),
            Err(_) => files[self.file].fail_to_sync(random),
        }
        world.note(Call::SyncData, &self.path);
        outcome
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.alive()?.files[self.file].bytes().len() as u64)
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, path: &Path, change: &NameChange) {
    match change {
        NameChange::Put(node) => {
            names.insert(path.to_owned(), *node);
        }
        NameChange::Remove => {
            names.remove(path);
        }
        NameChange::RenameTo(to, node) => {
            names.remove(path);
            names.insert(to.clone(), *node);
        }
    }
}

/// EIO: what a broken disk says.
pub fn input_output_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}
