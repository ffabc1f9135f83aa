//! The reserve: room on the volume for writes that are needed when it is full, the checkpoint and events that go to
//! quarantine. Without them nothing is delivered, so nothing makes room.
//!
//! `spool.reserve` keeps deliveries away from the last bytes, but other programs on the volume do not know of it.
//! So a part of it is held by allocated files (`<spool.directory>/reserve.<number>`). When a write of ours finds
//! no space, one file is removed, which frees its bytes and its inode, and the write is tried again; then the next
//! file. One at a time, because other programs may take the freed bytes: the remaining files still carry later
//! checkpoints. As long as one is missing no delivery is accepted; the files are made again when the volume has
//! room for all missing ones and as much again.
//!
//! [`ReservedDisk`] is the disk for those writes. Segments are written to the disk as it is.

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use super::disk::{self, Disk, DiskFile, FileId, FileInfo, Lock};
use crate::source::UnixMillis;

/// Files of the reserve. Several, since a quarantined event takes two inodes, and a checkpoint one.
const RESERVE_FILES: u64 = 4;

/// The files that hold room on the volume.
#[derive(Debug)]
pub struct Reserve {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    /// Bytes in all; 0 holds none.
    size: u64,
    /// Whether all of it is held.
    is_held: AtomicBool,
    /// One thread takes or releases it at a time.
    changing: Mutex<()>,
}

impl Reserve {
    /// Makes it without any call to the disk.
    pub fn new(disk: Arc<dyn Disk>, directory: &Path, size: u64) -> Arc<Self> {
        Arc::new(Self {
            disk,
            directory: directory.to_owned(),
            size,
            is_held: AtomicBool::new(false),
            changing: Mutex::default(),
        })
    }

    /// Takes the reserve at the start. The service starts even without room, to deliver what is stored.
    pub fn begin(&self) {
        if !self.take() {
            tracing::warn!(
                directory = %self.directory.display(), bytes = self.size,
                "no space for spool.reserve; deliveries are refused until there is"
            );
        }
    }

    /// Returns the bytes of the volume that it holds.
    pub fn held(&self) -> u64 {
        if self.is_held.load(Relaxed) { self.size } else { 0 }
    }

    /// Takes the reserve again after it was released, if the volume has room; returns whether it is held.
    pub fn take(&self) -> bool {
        if self.is_held.load(Relaxed) {
            return true;
        }
        let _changing = self.changing.lock();
        let is_held = match self.allocate() {
            Ok(is_held) => is_held,
            Err(error) => {
                tracing::debug!(%error, "the reserve cannot be taken");
                self.remove_broken();
                false
            }
        };
        self.is_held.store(is_held, Relaxed);
        is_held
    }

    /// Removes one file for a write that found no space; returns whether there was one.
    fn release_one(&self) -> bool {
        let _changing = self.changing.lock();
        if self.is_held.swap(false, Relaxed) {
            tracing::warn!(
                directory = %self.directory.display(), bytes = self.size,
                "the volume is full: the reserve of the spool is used for checkpoint and quarantine, and \
                 no delivery is taken before there is room again"
            );
        }
        (0..RESERVE_FILES).rev().any(|number| self.remove(number))
    }

    fn allocate(&self) -> io::Result<bool> {
        let files = if self.size == 0 { 0 } else { RESERVE_FILES };
        let missing: Vec<_> = (0..files).filter(|number| !self.is_there(*number)).collect();
        let bytes = self.part() * missing.len() as u64;
        // As much again has to stay free: the reserve must not take room from the write that it was released for.
        if bytes > 0 && self.disk.available_space(&self.directory)? < bytes.saturating_mul(2) {
            return Ok(false);
        }
        for number in missing {
            let path = self.path(number);
            match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = self.disk.create_new(&path)?;
            file.allocate(self.part())?;
            file.sync_data()?;
        }
        Ok(true)
    }

    /// Returns whether this file is there and as large as it should be.
    fn is_there(&self, number: u64) -> bool {
        self.disk.info(&self.path(number)).is_ok_and(|info| info.length == self.part())
    }

    /// Removes files of another length.
    fn remove_broken(&self) {
        for number in (0..RESERVE_FILES).filter(|number| !self.is_there(*number)) {
            self.remove(number);
        }
    }

    /// Removes one file; returns whether it was there.
    fn remove(&self, number: u64) -> bool {
        let outcome = self.disk.remove(&self.path(number));
        if let Err(error) = &outcome
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "cannot remove a file of spool.reserve");
        }
        outcome.is_ok()
    }

    fn part(&self) -> u64 {
        self.size.div_ceil(RESERVE_FILES)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("reserve.{number}"))
    }

    /// Calls `call` again after each released file, as long as it fails because there is no space.
    fn retried<T>(&self, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match call() {
                Err(error) if disk::is_no_space(&error) && self.release_one() => {}
                outcome => return outcome,
            }
        }
    }
}

/// The disk for writes that may use up the reserve.
#[derive(Clone, Debug)]
pub struct ReservedDisk {
    pub disk: Arc<dyn Disk>,
    pub reserve: Arc<Reserve>,
}

#[derive(Debug)]
struct ReservedFile {
    file: Arc<dyn DiskFile>,
    reserve: Arc<Reserve>,
}

impl ReservedDisk {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(ReservedFile { file, reserve: self.reserve.clone() })
    }
}

impl Disk for ReservedDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.reserve.retried(|| self.disk.create_new(path)).map(|file| self.file(file))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_to_read(path)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_to_write(path).map(|file| self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.reserve.retried(|| self.disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.reserve.retried(|| self.disk.create_dir(path))
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.disk.sync_dir(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.disk.list(directory)
    }

    fn info(&self, path: &Path) -> io::Result<FileInfo> {
        self.disk.info(path)
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        self.disk.available_space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.disk.lock(path)
    }

    fn now(&self) -> UnixMillis {
        self.disk.now()
    }
}

impl DiskFile for ReservedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.reserve.retried(|| self.file.write_at(pieces, offset))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.reserve.retried(|| self.file.allocate(length))
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        self.file.id()
    }
}
