//! A disk that takes everything and keeps nothing, for what an append costs without one.

use std::{
    io::{self, IoSlice},
    path::Path,
    sync::Arc,
};

use millrace::{
    source::UnixMillis,
    spool::disk::{Disk, DiskFile, FileInfo, Lock},
};

#[derive(Debug)]
pub struct Nowhere;

impl Disk for Nowhere {
    fn create_new(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(Self))
    }

    fn open_to_read(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn open_to_write(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn info(&self, _: &Path) -> io::Result<FileInfo> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn available_space(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn lock(&self, _: &Path) -> io::Result<Lock> {
        Ok(Lock::new(()))
    }

    fn now(&self) -> UnixMillis {
        1_772_445_600_000
    }
}

impl DiskFile for Nowhere {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }
}
