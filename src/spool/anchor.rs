//! Anchors: checks that a path still leads to the folder that it led to at the start.
//!
//! A volume may go away for a moment, and a folder may be moved or replaced, while the process runs. A path
//! then leads to nothing, or to another folder: below a mount point, for example. Files missing there are no
//! loss, and files written there are lost. So each path-based call after the start checks first whether the
//! folders on the way are the ones of the start (device and inode), and fails where they are not. No folder
//! of a source is made a second time.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::disk::{Disk, DiskFile, FileId, FileInfo, Lock};
use crate::source::UnixMillis;

/// A path, and the file or folder that it led to at the start.
#[derive(Clone, Debug)]
pub struct Anchor {
    path: PathBuf,
    id: Option<FileId>,
}

/// Whether a path still leads to the same file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    Same,
    Gone,
    Another,
}

impl Anchor {
    pub fn of(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: disk.info(path)?.id })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn look(&self, disk: &dyn Disk) -> io::Result<Stands> {
        match disk.info(&self.path) {
            Ok(info) if info.id == self.id => Ok(Stands::Same),
            Ok(_) => Ok(Stands::Another),
            Err(error) if is_gone(&error) => Ok(Stands::Gone),
            Err(error) => Err(error),
        }
    }

    /// Fails unless the path leads to the same folder. The error has the kind `Other`: `NotFound` would be taken for a
    /// missing file.
    pub fn check(&self, disk: &dyn Disk) -> io::Result<()> {
        match self.look(disk)? {
            Stands::Same => Ok(()),
            Stands::Gone => Err(self.is_not_the_same("is gone")),
            Stands::Another => Err(self.is_not_the_same("is another one")),
        }
    }

    fn is_not_the_same(&self, what: &str) -> io::Error {
        let path = self.path.display();
        io::Error::other(format!("{path} {what} since the start: is the volume mounted?"))
    }
}

/// A disk on which calls below an anchored folder fail when that folder is gone, or replaced.
#[derive(Clone, Debug)]
pub struct AnchoredDisk {
    disk: Arc<dyn Disk>,
    anchors: Arc<Mutex<Vec<Anchor>>>,
}

impl AnchoredDisk {
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, anchors: Arc::default() }
    }

    /// Checks `anchor` from now on.
    pub fn hold(&self, anchor: Anchor) {
        let mut anchors = self.anchors.lock();
        anchors.retain(|held| held.path != anchor.path);
        anchors.push(anchor);
    }

    fn check(&self, path: &Path) -> io::Result<()> {
        let on_the_way: Vec<_> = {
            let anchors = self.anchors.lock();
            anchors.iter().filter(|anchor| path.starts_with(&anchor.path)).cloned().collect()
        };
        on_the_way.iter().try_for_each(|anchor| anchor.check(&*self.disk))
    }

    /// Checks before the call, so that nothing is made elsewhere; and after it, so that its outcome counts only for
    /// the folder of the start.
    fn at<T>(&self, path: &Path, call: impl FnOnce(&dyn Disk) -> io::Result<T>) -> io::Result<T> {
        self.check(path)?;
        let outcome = call(&*self.disk);
        self.check(path)?;
        outcome
    }
}

impl Disk for AnchoredDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.at(path, |disk| disk.create_new(path))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.at(path, |disk| disk.open_to_read(path))
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.at(path, |disk| disk.open_to_write(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at(to, |disk| disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.at(path, |disk| disk.remove(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.at(path, |disk| disk.create_dir(path))
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.at(directory, |disk| disk.sync_dir(directory))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.at(directory, |disk| disk.list(directory))
    }

    fn info(&self, path: &Path) -> io::Result<FileInfo> {
        self.at(path, |disk| disk.info(path))
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        self.at(path, |disk| disk.available_space(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.at(path, |disk| disk.lock(path))
    }

    fn now(&self) -> UnixMillis {
        self.disk.now()
    }
}

pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns the identity of an open file, for later checks that its name still leads to it; a name that is gone
/// already is noticed then. `None`, with a warning, where such checks are impossible: the file system has no such
/// number, or another one for the name than for the open file, as some network file systems do.
pub fn id_to_watch(disk: &dyn Disk, file: &dyn DiskFile, path: &Path) -> Option<FileId> {
    let id = file.id().ok().flatten();
    let named = disk.info(path).map(|info| info.id);
    let id = id.filter(|id| named.is_err() || matches!(named, Ok(named) if named == Some(*id)));
    if id.is_none() {
        let path = path.display();
        tracing::warn!(%path, "the file system reports no file identity; removal of this file goes unnoticed");
    }
    id
}
