//! The calls that a process makes: [`Disk`] and [`DiskFile`] on the simulated world.

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard},
};

use millrace::spool::disk::{Disk, DiskFile, FileId, FileInfo, Lock};

use super::{
    Call, SimulatedDisk,
    file::FileData,
    world::{NameChange, Node, World, apply},
};

impl SimulatedDisk {
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
            Node::Directory => FileInfo { length: 0, written_at: 0, is_dir: true, id: None },
            Node::File(file) => FileInfo {
                length: world.files[*file].bytes().len() as u64,
                written_at: world.files[*file].written_at(),
                is_dir: false,
                id: Some(file_id(*file)),
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
        let length = world.readable(self.file, offset, length)?;
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut world = self.alive()?;
        let mut bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        let there = offset as usize..offset as usize + bytes.len();
        if world.files[self.file].bytes().get(there) == Some(&bytes[..]) {
            // What is there already, and for a failing write is no other. It takes no chance, so that a seed of the time before
            // anything was written anew still means the same history.
            world.ordered(Call::Write)?;
            let now = world.now;
            world.files[self.file].write(offset as usize, &bytes, now);
            world.note(Call::Write, &self.path);
            return Ok(bytes.len());
        }
        world.trouble(Call::Write)?;
        let short_write = world.chances.short_write;
        if bytes.len() > 1 && world.random.percent(short_write) {
            let shorter = world.random.below(bytes.len() as u64 - 1) + 1;
            bytes.truncate(shorter as usize);
        }
        let length = world.files[self.file].bytes().len() as u64;
        let room = world.capacity.saturating_sub(world.used());
        let most = length.saturating_add(room).saturating_sub(offset);
        if most == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        bytes.truncate(most.min(bytes.len() as u64) as usize);
        let now = world.now;
        world.files[self.file].write(offset as usize, &bytes, now);
        world.note(Call::Write, &self.path);
        world.writes_back();
        Ok(bytes.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut world = self.alive()?;
        world.trouble(Call::SetLength)?;
        let now = world.now;
        world.files[self.file].set_length(length as usize, now);
        world.free_behind(self.file, length);
        world.note(Call::SetLength, &self.path);
        world.writes_back();
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.alive()?;
        world.syncs_waiting += 1;
        self.disk.0.sync_gate.notify_all();
        let held = |world: &mut World| world.syncs_held && world.syncs_let_pass == 0;
        world = self.disk.0.sync_gate.wait_while(world, held).unwrap();
        world.syncs_let_pass = world.syncs_let_pass.saturating_sub(1);
        world.syncs_waiting -= 1;
        self.disk.0.sync_gate.notify_all();
        let outcome = world.trouble(Call::SyncData);
        let World { random, files, reorders, .. } = &mut *world;
        match outcome {
            Ok(()) => files[self.file].sync(),
            Err(_) if *reorders => files[self.file].store_some_pages(random),
            Err(_) => files[self.file].fail_to_sync(random),
        }
        world.note(Call::SyncData, &self.path);
        outcome
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.alive()?.files[self.file].bytes().len() as u64)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let world = self.alive()?;
        if world.capacity.saturating_sub(world.used()) < length {
            return Err(io::ErrorKind::StorageFull.into());
        }
        drop(world);
        self.set_len(length)
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(file_id(self.file)))
    }
}

fn file_id(file: usize) -> FileId {
    FileId { device: 1, number: file as u64 }
}
