//! The disk, as an interface of the calls that this program needs. The only file that uses `std::fs`.
//!
//! Everything durable (segments, identity, checkpoint, quarantine) goes through [`Disk`], so that a
//! simulation can put a disk underneath that loses unsynced bytes, runs full or fails. The methods
//! are thin: one call, one system call. Operations that need several calls in the right order
//! ([`write_atomically`], [`make_directory`]) are functions on top of the trait, so that the
//! simulation sees each step.
//!
//! Three rules of POSIX that the callers rely on and a simulated disk must honour: bytes survive a
//! power cut only after `sync_data`; a name (created, renamed, removed) only after `sync_dir` of its
//! directory; an open file can be read after its name is gone.

use std::{
    any::Any,
    fmt, fs,
    io::{self, IoSlice},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::source::UnixMillis;

/// A file system. All paths are absolute or relative to the process, as the caller gave them.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates an empty file, readable and writable. `AlreadyExists` when the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file, readable and writable, as it is.
    fn open_to_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Replaces `to` if it exists; atomic, durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes one directory whose parent exists. `AlreadyExists` when it is there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Returns when the names in it are on stable storage. An error that is a shortage ([`is_shortage`]) means that no
    /// sync was tried, so the names are not in doubt.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;
    /// Lists the names in a directory, in no order; names that are not UTF-8 are left out.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    fn info(&self, path: &Path) -> io::Result<FileInfo>;
    /// Returns the bytes that an unprivileged process can still write to the volume of `path`.
    fn available_space(&self, path: &Path) -> io::Result<u64>;
    /// Creates `path` if needed and holds it exclusively until the [`Lock`] is dropped or the
    /// process ends, and the folder in which it is as well. `WouldBlock` when another process has it.
    fn lock(&self, path: &Path) -> io::Result<Lock>;
    /// Returns the time by the clock of [`FileInfo::written_at`].
    fn now(&self) -> UnixMillis;
}

/// An open file; offsets are explicit, so that one handle serves several threads.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads up to `buffer.len()` bytes; 0 only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Does one write, which may be short; returns how many bytes of `pieces`, taken together, were written.
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Returns when the bytes and the length are on stable storage.
    fn sync_data(&self) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// Makes the file `length` bytes long, and takes the room for them on the volume.
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
    /// Returns which file it is; `None` where the file system does not say.
    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(None)
    }
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    pub length: u64,
    /// When its content last changed.
    pub written_at: UnixMillis,
    pub is_dir: bool,
    /// Which file has this name; `None` where the file system does not say.
    pub id: Option<FileId>,
}

/// Identity of a file, independent of its name. Two files have different ones as long as either is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    pub device: u64,
    pub number: u64,
}

/// A held lock, released when dropped.
pub struct Lock(
    #[expect(dead_code, reason = "held for what dropping it does")] Box<dyn Any + Send + Sync>,
);

impl Lock {
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// Reads until `buffer` is full or the file ends; returns the number of bytes.
pub fn read_full(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads a whole small file (identity, checkpoint).
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open_to_read(path)?;
    let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let filled = read_full(&*file, &mut bytes, 0)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// Writes all `pieces` from `offset` on, however short the single writes are. After an error the
/// file holds any part of them.
pub fn write_all_at(
    file: &dyn DiskFile,
    mut pieces: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut pieces, 0); // drops empty pieces at the front
    while !pieces.is_empty() {
        match file.write_at(pieces, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut pieces, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes `bytes` to `path` so that after a crash the file has either its old content or all of the new:
/// written aside (`<name>.aside`), synced, renamed, directory synced. One writer a path.
pub fn write_atomically(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file in a directory is needed"));
    };
    let mut aside = name.to_owned();
    aside.push(".aside");
    let aside = directory.join(aside);
    // Left behind by a crash before the rename; it is never read.
    match disk.remove(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create_new(&aside)?;
    write_all_at(&*file, &mut [IoSlice::new(bytes)], 0)?;
    file.sync_data()?;
    disk.rename(&aside, path)?;
    disk.sync_dir(directory)
}

/// Makes `path` and its missing parents. Durable when it returns: the parent of each level
/// is synced, also of one that existed (it may have been made right before a crash).
pub fn make_directory(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => return Ok(()), // the root
    };
    match disk.create_dir(path) {
        Ok(()) => disk.sync_dir(parent),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(disk, parent)?;
            disk.create_dir(path)?;
            disk.sync_dir(parent)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match disk.sync_dir(parent) {
                // Not ours (a mounted volume in a read-only image): it was made by another program.
                Err(error) if is_not_ours(&error) => Ok(()),
                outcome => outcome,
            }
        }
        Err(error) => Err(error),
    }
}

fn is_not_ours(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidInput)
}

/// Returns whether a write failed because there is no space. That passes; any other failed write does not.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Returns whether a call failed because the machine or the process is short of space, open files or memory. That
/// passes, and nothing was done.
pub fn is_shortage(error: &io::Error) -> bool {
    is_no_space(error) || is_out_of_files(error) || is_out_of_memory(error)
}

pub fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

pub fn is_out_of_memory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}

/// Returns whether a read failed because the medium does not return the bytes (or returns others than
/// were written, where the file system notices). It may pass: cables and paths come back.
pub fn is_unreadable(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::IO | Errno::BADMSG | Errno::UCLEAN))
}

/// The machine's own file system. Files and folders are made for the owner alone: bodies are
/// personal data.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// Pieces that the kernel takes in one write (`IOV_MAX`).
const PIECES_PER_WRITE: usize = 1024;

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        // Opening a FIFO of that name would wait for a writer; for files the flag has no effect.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(fs::OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(path)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let directory = fs::File::open(directory)?;
        // A failed sync leaves the names in doubt, also if it failed for lack of space: so it is not reported as a
        // shortage.
        directory.sync_all().map_err(|error| match is_shortage(&error) {
            true => io::Error::other(error),
            false => error,
        })
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn info(&self, path: &Path) -> io::Result<FileInfo> {
        let metadata = fs::metadata(path)?;
        Ok(FileInfo {
            length: metadata.len(),
            written_at: metadata.modified().map_or(0, unix_millis),
            is_dir: metadata.is_dir(),
            id: Some(id_of(&metadata)),
        })
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        let volume = rustix::fs::statvfs(path)?;
        Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.try_lock()?;
        // The file was removed and made again since it was opened: another process may hold the new one.
        if id_of(&file.metadata()?) != id_of(&fs::metadata(path)?) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Lock::new((file, lock_directory_of(path)?)))
    }

    fn now(&self) -> UnixMillis {
        unix_millis(SystemTime::now())
    }
}

#[derive(Debug)]
struct RealFile(fs::File);

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let pieces = &pieces[..pieces.len().min(PIECES_PER_WRITE)];
        Ok(rustix::io::pwritev(&self.0, pieces, offset)?)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let all = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.0, all, 0, length) {
            Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(self, length),
            allocated => Ok(allocated?),
        }
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(id_of(&self.0.metadata()?)))
    }
}

/// Locks the folder itself too: the lock file can be removed, and a second one be made.
fn lock_directory_of(path: &Path) -> io::Result<Option<fs::File>> {
    let Some(directory) = path.parent() else { return Ok(None) };
    let directory = fs::File::open(directory)?;
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        // Some network file systems cannot lock folders.
        Err(fs::TryLockError::Error(error)) => {
            tracing::debug!(%error, "the folder is locked by its lock file alone");
            Ok(None)
        }
    }
}

fn id_of(metadata: &fs::Metadata) -> FileId {
    FileId { device: metadata.dev(), number: metadata.ino() }
}

/// Allocates on file systems that support no other way.
fn write_zeros(file: &dyn DiskFile, length: u64) -> io::Result<()> {
    const PIECE: u64 = 64 * 1024;
    let zeros = vec![0; PIECE as usize];
    for offset in (0..length).step_by(PIECE as usize) {
        let piece = &zeros[..(length - offset).min(PIECE) as usize];
        write_all_at(file, &mut [IoSlice::new(piece)], offset)?;
    }
    Ok(())
}

fn unix_millis(time: SystemTime) -> UnixMillis {
    // A clock before 1970 is a broken clock; 0 makes everything look old, which loses nothing that
    // is undelivered.
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as UnixMillis)
}
