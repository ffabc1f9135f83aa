//! The two worlds of a simulated disk: what running processes see, and what is on stable storage.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{Call, Chances, Random, file::FileData};

#[derive(Clone, Debug)]
pub struct World {
    pub random: Random,
    pub now: u64,
    /// Processes so far; handles of earlier ones are dead.
    pub process: u64,
    pub files: Vec<FileData>,
    pub names: BTreeMap<PathBuf, Node>,
    pub stable_names: BTreeMap<PathBuf, Node>,
    /// Changes of names that are not synced, in order.
    pub unsynced: Vec<(PathBuf, NameChange)>,
    pub locks: BTreeSet<PathBuf>,
    pub capacity: u64,
    pub chances: Chances,
    pub to_order: Vec<(Call, Ordered)>,
    pub syncs_held: bool,
    pub syncs_let_pass: u32,
    pub syncs_waiting: usize,
    pub log: Vec<(Call, PathBuf)>,
    pub opened: Vec<PathBuf>,
    /// Sectors that went bad: of which file, and which bytes.
    pub unreadable: Vec<(usize, Range<u64>)>,
    /// Pages are stored when and in which order the disk likes, until they are synced.
    pub reorders: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    Directory,
    File(usize),
}

/// How a call is to fail.
#[derive(Clone, Copy, Debug)]
pub enum Ordered {
    Kind(io::ErrorKind),
    Errno(i32),
}

#[derive(Clone, Debug)]
pub enum NameChange {
    Put(Node),
    Remove,
    RenameTo(PathBuf, Node),
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
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
            syncs_let_pass: 0,
            syncs_waiting: 0,
            log: Vec::new(),
            opened: Vec::new(),
            unreadable: Vec::new(),
            reorders: false,
        }
    }

    /// Of what was not synced a random part becomes stable, and only that is left.
    pub fn forget_what_is_not_synced(&mut self) {
        let Self { random, files, unsynced, stable_names, reorders, .. } = self;
        for (path, change) in unsynced.drain(..) {
            if random.percent(50) {
                apply(stable_names, &path, &change);
            }
        }
        for file in files {
            match reorders {
                false => file.lose_power(random),
                true => {
                    if file.is_dirty() {
                        file.store_some_pages(random);
                    }
                    file.forget_the_rest();
                }
            }
        }
        // A name in a directory that is not there is nowhere.
        let all = stable_names.clone();
        stable_names
            .retain(|path, _| path.ancestors().skip(1).all(|parent| all.contains_key(parent)));
        self.names = stable_names.clone();
    }

    pub fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(file)) => Ok(*file),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub fn change_name(&mut self, path: &Path, change: NameChange) {
        apply(&mut self.names, path, &change);
        self.unsynced.push((path.to_owned(), change));
    }

    pub fn used(&self) -> u64 {
        let files = self.names.values().filter_map(|node| match node {
            Node::File(file) => Some(self.files[*file].bytes().len() as u64),
            Node::Directory => None,
        });
        files.sum()
    }

    /// Something was written: the disk may store a page of any file.
    pub fn writes_back(&mut self) {
        let Self { random, files, reorders, .. } = self;
        if *reorders && random.percent(25) {
            let mut dirty: Vec<_> = files.iter_mut().filter(|file| file.is_dirty()).collect();
            let chosen = random.below(dirty.len() as u64) as usize;
            if let Some(file) = dirty.get_mut(chosen) {
                file.write_back(random);
            }
        }
    }

    /// Fails if that was ordered.
    pub fn ordered(&mut self, call: Call) -> io::Result<()> {
        match self.to_order.iter().position(|(ordered, _)| *ordered == call) {
            Some(at) => Err(match self.to_order.remove(at).1 {
                Ordered::Kind(kind) => kind.into(),
                Ordered::Errno(errno) => io::Error::from_raw_os_error(errno),
            }),
            None => Ok(()),
        }
    }

    /// Fails if that was ordered, or by chance.
    pub fn trouble(&mut self, call: Call) -> io::Result<()> {
        self.ordered(call)?;
        let chance = match call {
            Call::Read => self.chances.read_fails,
            Call::Write => self.chances.write_fails,
            Call::SyncData | Call::SyncDir => self.chances.sync_fails,
            _ => 0,
        };
        if self.random.percent(chance) { Err(input_output_error()) } else { Ok(()) }
    }

    /// How many of `length` bytes from `offset` on a file gives back: as with a real one, those before
    /// a bad sector, and an error when there are none.
    pub fn readable(&self, file: usize, offset: u64, length: usize) -> io::Result<usize> {
        let end = offset + length as u64;
        let holes = self.unreadable.iter().filter(|(of, _)| *of == file);
        let hit = holes.filter(|(_, hole)| hole.start < end && offset < hole.end);
        match hit.map(|(_, hole)| hole.start).min() {
            None => Ok(length),
            Some(start) if start > offset => Ok((start - offset) as usize),
            Some(_) => Err(input_output_error()),
        }
    }

    /// What is written behind `length` from now on lies on other sectors.
    pub fn free_behind(&mut self, file: usize, length: u64) {
        for (of, hole) in &mut self.unreadable {
            if *of == file {
                *hole = hole.start.min(length)..hole.end.min(length);
            }
        }
    }

    pub fn note(&mut self, call: Call, path: &Path) {
        self.log.push((call, path.to_owned()));
    }
}

pub fn apply(names: &mut BTreeMap<PathBuf, Node>, path: &Path, change: &NameChange) {
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
fn input_output_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}
