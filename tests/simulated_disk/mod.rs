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
//! A disk that [reorders](SimulatedDisk::reorder) writes pages of 4 KiB back when it likes: of what is not synced a later
//! page may be there and an earlier one not, also of another file, torn between two sectors, and the length may be any
//! that the file has had since its last sync.
//!
//! Faults come by chance ([`Chances`]), to order ([`SimulatedDisk::fail_next`]), or stay where they are
//! ([`SimulatedDisk::spoil`]).

#![allow(dead_code, reason = "every test that includes this module uses another part of it")]

mod calls;
mod file;
mod random;
mod world;

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use self::random::Random;
use millrace::spool::disk::Disk;

use self::world::{Ordered, World};

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

impl SimulatedDisk {
    pub fn new(seed: u64) -> Self {
        Self::with_world(World::new(seed))
    }

    fn with_world(world: World) -> Self {
        Self(Arc::new(Shared { world: Mutex::new(world), sync_gate: Condvar::new() }))
    }

    /// Another disk with all that is on this one now, in both worlds. Nobody has anything open there.
    pub fn copy(&self) -> Self {
        let copy = Self::with_world(self.world().clone());
        copy.kill();
        copy
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
        world.forget_what_is_not_synced();
    }

    /// From now on pages that are not synced are stored when and in which order the disk likes.
    pub fn reorder(&self) {
        self.world().reorders = true;
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
        self.world().to_order.push((call, Ordered::Kind(error)));
    }

    /// The same, with an error that only the operating system has a name for.
    pub fn fail_next_as(&self, call: Call, errno: i32) {
        self.world().to_order.push((call, Ordered::Errno(errno)));
    }

    /// Puts another file at `path` behind everybody's back, with these bytes.
    pub fn replace(&self, path: &Path, bytes: Vec<u8>) {
        self.vanish(path);
        let file = self.create_new(path).expect("its folder is there");
        file.set_len(0).expect("it was just made");
        self.set_content(path, bytes);
    }

    /// Cuts the file behind everybody's back.
    pub fn cut(&self, path: &Path, length: usize) {
        let mut bytes = self.content(path);
        bytes.truncate(length);
        self.set_content(path, bytes);
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

    /// From now on `sync_data` does not return until [`SimulatedDisk::release_syncs`].
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

    /// Lets the sync go that is being held, and holds the next one.
    pub fn let_a_sync_pass(&self) {
        let mut world = self.world();
        world.syncs_let_pass += 1;
        self.0.sync_gate.notify_all();
        let waiting = |world: &mut World| world.syncs_let_pass > 0;
        drop(self.0.sync_gate.wait_while(world, waiting).unwrap());
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

    /// These bytes cannot be read any more, by whatever process.
    pub fn spoil(&self, path: &Path, bytes: Range<u64>) {
        let mut world = self.world();
        let file = world.file(path).expect("the file exists");
        world.unreadable.push((file, bytes));
    }

    /// Every sector can be read again.
    pub fn mend(&self) {
        self.world().unreadable.clear();
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
}
