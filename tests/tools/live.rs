//! The reading tools beside a spool at work: it is appended to in small pieces, cut back when there
//! is no space, cut into segments, delivered and removed while they look.

use std::{
    io::{self, IoSlice},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use millrace::{
    deliver::checkpoint::{Checkpoint, CheckpointFile},
    observe::metrics::Metrics,
    spool::{
        self, AppendError, Spool, Writer,
        disk::{Disk, DiskFile, FileInfo, Lock, RealDisk},
        position::Position,
    },
};

use crate::folder::{Folder, body, delivery, source};

/// Each tool looks at least this often, and until this many deliveries were written.
const ROUNDS: usize = 20;
const DELIVERIES: u64 = 3000;

#[test]
fn no_tool_minds_a_service_at_work_and_none_sees_damage() {
    let folder = Folder::new();
    let mut config = folder.config();
    config.keep_delivered_age = Duration::ZERO;
    let opened = spool::Folder::open(Arc::new(Piecemeal), &config).unwrap();
    let (mut writer, spool) = opened.spool(&source("leads"), None, &Metrics::new(), None).unwrap();
    store_checkpoint(&folder, &spool, 1);
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(1));
    thread::scope(|scope| {
        let _stop = StopAtTheEnd(&stop);
        let work = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let next = append(&mut writer, spool.durable_end());
                // As the forwarder does: the checkpoint first, then the segments.
                let low = next.saturating_sub(20).max(1);
                store_checkpoint(&folder, &spool, low);
                spool.delivered(Position::start_of(low));
                written.store(next, Ordering::Relaxed);
            }
        });
        let mut round = 0;
        while round < ROUNDS || written.load(Ordering::Relaxed) < DELIVERIES {
            round += 1;
            for tool in ["inspect", "verify", "export"] {
                let ended = folder.tool(&[tool]);
                let outcome = (ended.code, &ended.errors[..]);
                assert_eq!(outcome, (0, ""), "{tool}, round {round}: {}", ended.out);
            }
            assert!(!work.is_finished());
        }
    });
    let oldest = folder.segments("leads")[0].file_stem().unwrap().to_str().unwrap().to_owned();
    assert!(oldest.parse::<u64>().unwrap() > DELIVERIES / 2, "nothing was removed: {oldest}");
}

/// Lets the writer end even when an assertion fails.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A group of a few, of sizes that make segments of one frame and of several; the next sequence.
fn append(writer: &mut Writer, n: u64) -> u64 {
    let count = n % 4 + 1;
    loop {
        let group: Vec<_> = (n..n + count)
            .map(|n| delivery("leads", body(n, (n * 37 % 700) as usize), 1_770_000_000_000))
            .collect();
        match writer.append_group(&group) {
            Ok(_) => return n + count,
            Err(AppendError::Full { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn store_checkpoint(folder: &Folder, spool: &Spool, low: u64) {
    let low = Position::start_of(low);
    let checkpoint = Checkpoint { low, ..Checkpoint::beginning(spool.id()) };
    let file = CheckpointFile::new(Arc::new(Piecemeal), &folder.path().join("leads"));
    while file.store(&checkpoint).is_err() {}
}

/// The real disk, but that it writes a few bytes at a time, has no space now and then, and syncs
/// nothing: what others may see in between is what matters here.
#[derive(Debug)]
struct Piecemeal;

#[derive(Debug)]
struct PiecemealFile(Arc<dyn DiskFile>);

const PIECE: usize = 50;
/// Of the writes to all files together, so that headers meet it too.
const NO_SPACE_EVERY: u64 = 97;
static WRITES: AtomicU64 = AtomicU64::new(1);

fn piecemeal(file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
    Arc::new(PiecemealFile(file))
}

impl DiskFile for PiecemealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        if WRITES.fetch_add(1, Ordering::Relaxed).is_multiple_of(NO_SPACE_EVERY) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let piece = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
        self.0.write_at(&[IoSlice::new(&piece[..piece.len().min(PIECE)])], offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

impl Disk for Piecemeal {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.create_new(path).map(piecemeal)
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.open_to_read(path)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.open_to_write(path).map(piecemeal)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn sync_dir(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(directory)
    }

    fn info(&self, path: &Path) -> io::Result<FileInfo> {
        RealDisk.info(path)
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        RealDisk.available_space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        RealDisk.lock(path)
    }

    fn now(&self) -> u64 {
        RealDisk.now()
    }
}
