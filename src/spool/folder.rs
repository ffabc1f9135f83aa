//! The spool folder: held by one process, with the limits that all its spools share.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Config, Delivered, Spool, Writer,
    anchor::{Anchor, AnchoredDisk, Stands},
    budget::{Budget, Total},
    disk::{self, Disk, Lock},
    error::OpenError,
    extent::{Extent, ExtentFile},
    identity::IdentityFile,
    noted::Noted,
    position::Position,
    read_retry::ReadRetry,
    recovery::{self, Known},
    reserve::{Reserve, ReservedDisk},
    retention,
    shared::Shared,
};
use crate::{observe::metrics::Metrics, source::SourceName};

/// `spool.directory`, locked for as long as this value or any spool in it lives.
pub struct Folder {
    /// The disk for segments; everything else is written to `reserved`.
    pub(super) disk: Arc<dyn Disk>,
    reserved: Arc<dyn Disk>,
    /// The disk below `reserved`, which checks the folders: a write goes to the folder of the start, or fails.
    anchored: AnchoredDisk,
    /// The file that the lock's name must lead to; `None` on a disk whose locks have no file.
    lock_anchor: Option<Anchor>,
    pub(super) reserve: Arc<Reserve>,
    pub(super) config: Config,
    /// Undelivered bytes of all spools, against `spool.size_limit`.
    pub(super) total: Total,
    /// Bytes of delivered segments of all spools, against `spool.keep_delivered.size`.
    pub(super) kept: Budget,
    spools: Mutex<Vec<Weak<Shared>>>,
    /// Places that could not be read when a spool was to be opened, until it is open.
    troubles: Mutex<BTreeMap<SourceName, ReadRetry>>,
    _lock: Lock,
}

impl Folder {
    /// Makes the folder if it is missing, and takes the lock.
    pub fn open(disk: Arc<dyn Disk>, config: &Config) -> Result<Arc<Self>, OpenError> {
        let directory = &config.directory;
        disk::make_directory(&*disk, directory).map_err(failed("making", directory))?;
        let lock_path = directory.join("lock");
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked { directory: directory.clone() },
            _ => failed("locking", &lock_path)(error),
        })?;
        let anchored = AnchoredDisk::new(disk.clone());
        anchored.hold(Anchor::of(&*disk, directory).map_err(failed("looking at", directory))?);
        let lock_anchor = Anchor::of(&*disk, &lock_path).ok();
        let on_disk: Arc<dyn Disk> = Arc::new(anchored.clone());
        let reserve = Reserve::new(on_disk.clone(), directory, config.reserve_held);
        let reserved = ReservedDisk { disk: on_disk, reserve: reserve.clone() };
        Ok(Arc::new(Self {
            disk,
            reserved: Arc::new(reserved),
            anchored,
            lock_anchor,
            reserve,
            config: config.clone(),
            total: Total::new(config.size_limit, &config.source_limits),
            kept: Budget::new(config.keep_delivered_size),
            spools: Mutex::default(),
            troubles: Mutex::default(),
            _lock: lock,
        }))
    }

    /// Opens or makes the spool of `source` and recovers its content. `delivered` is from the checkpoint; `None` when
    /// there is no checkpoint: then everything is undelivered. After an error that is worth retrying the caller tries
    /// again, after a pause: the tenth time a bad sector is damage.
    pub fn spool(
        self: &Arc<Self>,
        source: &SourceName,
        source_limit: Option<u64>,
        metrics: &Metrics,
        delivered: Option<Delivered>,
    ) -> Result<(Writer, Spool), OpenError> {
        if self.spools().iter().any(|open| open.source == *source) {
            return Err(OpenError::AlreadyOpen { spool: source.clone() });
        }
        self.reserve.begin();
        let disk = &*self.disk;
        let directory = self.source_directory(source);
        let segments = directory.join("segments");
        disk::make_directory(disk, &segments).map_err(failed("making", &segments))?;
        disk.sync_dir(&self.config.directory).map_err(failed("syncing", &self.config.directory))?;
        let generations = recovery::generations(disk, &segments)?;
        let path = directory.join("identity");
        let identity =
            IdentityFile { disk, path: &path, segments: &segments, generations: &generations };
        let found = identity.read_or_create()?;
        let id = found.spool;
        let extent_file = ExtentFile::of(&self.config.directory, source);
        let extent = extent_file.read(disk)?.filter(|extent| is_of(extent, id, source));
        let known = Known { delivered, extent };
        let (recovered, trouble) = {
            let mut troubles = self.troubles.lock();
            let trouble = troubles.entry(source.clone()).or_default();
            let recovered = recovery::recover(disk, &segments, &generations, id, known, trouble)
                .map_err(|error| identity.judge(error))?;
            // A place that the opening has waited for in vain is not waited for once more.
            (recovered, troubles.remove(source).unwrap_or_default())
        };
        identity.seal(found);
        let folders = [&directory, &segments]
            .map(|path| Anchor::of(disk, path).map_err(failed("looking at", path)));
        let [of_source, of_segments] = folders;
        let folders = [of_source?, of_segments?];
        self.anchored.hold(folders[0].clone());
        // Where no segment goes on, the end is behind numbers that deliveries may have had.
        let guessed_to = recovered.active.is_none().then(|| recovered.ledger.durable_end());
        let noted = Noted::new(extent_file, extent, guessed_to.unwrap_or(1));
        let shared = Arc::new(Shared::new(
            source.clone(),
            id,
            folders,
            self.clone(),
            source_limit,
            (recovered.ledger, trouble, noted),
            metrics,
        ));
        note_extent(&shared, extent, generations.last().copied());
        retention::set_low(&shared, delivered.map_or(Position::start_of(1), |at| at.lowest));
        self.register(&shared);
        let backlog = shared.backlog();
        tracing::info!(
            %source, spool = %id, undelivered = backlog.deliveries, bytes = backlog.bytes,
            "opened spool"
        );
        Ok(super::queue::connect(shared, recovered.active))
    }

    /// Returns `<spool.directory>/<source>`: identity, segments, checkpoint and quarantine of a source.
    pub fn source_directory(&self, source: &SourceName) -> PathBuf {
        self.config.directory.join(source.as_str())
    }

    /// Returns the disk for checkpoint, quarantine and ids: writes to it may use up the reserve.
    #[expect(clippy::misnamed_getters, reason = "the one that others are to have")]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.reserved
    }

    /// Returns whether another process may hold the folder as well, since the lock's name leads to another file or
    /// none.
    pub(super) fn has_lost_its_lock(&self) -> bool {
        let stands = self.lock_anchor.as_ref().map(|lock| lock.look(&*self.disk));
        matches!(stands, Some(Ok(Stands::Gone | Stands::Another)))
    }

    /// Returns whether the volume has at least `spool.reserve` left. Below that no source can accept.
    pub fn has_reserve(&self) -> io::Result<bool> {
        let is_held = self.reserve.take();
        Ok(is_held && self.available_space()? >= self.config.reserve)
    }

    /// Returns the free bytes of the volume, with those that the reserve holds.
    pub fn available_space(&self) -> io::Result<u64> {
        let available = self.disk.available_space(&self.config.directory)?;
        Ok(available.saturating_add(self.reserve.held()))
    }

    /// Returns the bytes of the volume that deliveries of all sources may still take.
    pub fn room_on_volume(&self) -> io::Result<u64> {
        Ok(self.available_space()?.saturating_sub(self.config.reserve))
    }

    /// Returns the bytes of `spool.size_limit` that are guaranteed to no source and not taken.
    pub fn room_in_common(&self) -> u64 {
        self.total.left()
    }

    /// Returns the open spools.
    pub(super) fn spools(&self) -> Vec<Arc<Shared>> {
        let spools = self.spools.lock();
        spools.iter().filter_map(Weak::upgrade).collect()
    }

    fn register(&self, shared: &Arc<Shared>) {
        let mut spools = self.spools.lock();
        spools.retain(|spool| spool.strong_count() > 0);
        spools.push(Arc::downgrade(shared));
    }
}

/// Returns whether the extent is that of this spool. If not, another one was here, which is logged.
fn is_of(extent: &Extent, spool: Uuid, source: &SourceName) -> bool {
    if extent.spool != spool {
        tracing::error!(
            %source, missing = %extent.spool, last_segment = extent.segment, found = %spool,
            "the folder of this source held another spool before, which is gone: was the folder removed or \
             replaced? What was acknowledged there and not delivered is where that folder is"
        );
    }
    extent.spool == spool
}

/// Notes the extent of a spool that has none yet, as those of an earlier version, or an older one.
fn note_extent(shared: &Shared, noted: Option<Extent>, last: Option<u64>) {
    let Some(last) = last else { return };
    if noted.is_none_or(|noted| noted.segment < last)
        && let Err(error) = shared.noted.begun(shared.disk(), shared.extent_at(last))
    {
        tracing::warn!(source = %shared.source, %error, "cannot record the last segment yet");
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Io { doing, path, error }
}
