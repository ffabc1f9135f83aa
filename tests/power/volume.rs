//! A volume under a process that loses what was not synced when the power is cut.
//!
//! `layer.c` keeps what is durable beside the volume. A cut makes a new volume of that, and of any part
//! of the rest that the test chooses: a disk may write bytes without a sync, too.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::support::batches::Random;

/// The part of the unsynced changes that a cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// Nothing at all.
    Lost,
    /// A random choice of the changed names, and of the pieces of each file.
    InPart,
}

/// Where a process is killed, with what it syncs there durable or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    Sync {
        is_durable: bool,
    },
    /// The sync of a directory.
    SyncOfNames {
        is_durable: bool,
    },
}

/// The losses of a cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Names that were made, replaced or removed, and are as before again.
    pub names: usize,
    /// Files that have not the bytes that the process saw.
    pub files: usize,
}

pub struct Volume {
    folder: TempDir,
    random: Random,
    /// The longest that a sync takes.
    slow: u32,
}

/// A file or a directory, by its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    is_dir: bool,
    inode: u64,
}

type Names = BTreeMap<String, Node>;

impl Volume {
    /// An empty volume. Syncs take up to `slow` microseconds.
    #[track_caller]
    pub fn new(seed: u64, slow: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("millrace-test-power-").tempdir();
        let volume = Self {
            folder: folder.expect("a temporary folder can be made"),
            random: Random(seed),
            slow,
        };
        fs::create_dir(volume.path()).expect("a temporary folder can be made");
        fs::write(volume.library(), layer()).expect("a temporary file can be written");
        volume.all_is_durable();
        volume
    }

    /// Where a process finds it.
    pub fn path(&self) -> PathBuf {
        // The layer compares it with paths that the kernel tells.
        let folder = self.folder.path().canonicalize().expect("the folder is there");
        folder.join("volume")
    }

    /// Variables of a process whose syncs the volume is to know.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let text = |path: PathBuf| path.display().to_string();
        [
            ("LD_PRELOAD", text(self.library())),
            ("POWER_VOLUME", text(self.path())),
            ("POWER_SHADOW", text(self.shadow(""))),
            ("POWER_SLOW", self.slow.to_string()),
        ]
    }

    /// The process is killed in its sync behind the next `pass`.
    #[track_caller]
    pub fn order_cut(&self, pass: usize, within: Within) {
        let (is_durable, directories_alone) = match within {
            Within::Sync { is_durable } => (is_durable, false),
            Within::SyncOfNames { is_durable } => (is_durable, true),
        };
        let order = format!("{pass} {} {}", u8::from(is_durable), u8::from(directories_alone));
        let [new, place] = ["cut.new", "cut"].map(|name| self.shadow(name));
        fs::write(&new, order)
            .and_then(|()| fs::rename(&new, &place))
            .expect("an order can be written");
    }

    /// The power is cut. No process uses the volume any more.
    #[track_caller]
    pub fn cut(&mut self, unsynced: Unsynced) -> Taken {
        let places = self.places();
        let [new, old] = ["new", "old"].map(|name| self.folder.path().join(name));
        let mut taken = Taken::default();
        self.rebuild(&self.path(), &new, unsynced, &places, &mut taken)
            .and_then(|()| fs::rename(self.path(), &old))
            .and_then(|()| fs::rename(&new, self.path()))
            .and_then(|()| fs::remove_dir_all(&old))
            .expect("a volume can be made of what is durable");
        self.all_is_durable();
        taken
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("layer.so")
    }

    fn shadow(&self, place: &str) -> PathBuf {
        self.folder.path().join("shadow").join(place)
    }

    /// Whatever is on the volume now is on stable storage.
    fn all_is_durable(&self) {
        let _ = fs::remove_dir_all(self.shadow(""));
        for place in ["files", "names", "graves"] {
            fs::create_dir_all(self.shadow(place)).expect("a temporary folder can be made");
        }
        self.keep(&self.path()).expect("a volume can be copied");
    }

    fn keep(&self, directory: &Path) -> io::Result<()> {
        let names = names_in(directory)?;
        let lines = names.iter().map(|(name, node)| {
            format!("{} {} {name}\n", if node.is_dir { 'd' } else { 'f' }, node.inode)
        });
        let inode = fs::metadata(directory)?.ino();
        fs::write(self.shadow("names").join(inode.to_string()), lines.collect::<String>())?;
        for (name, node) in &names {
            let path = directory.join(name);
            match node.is_dir {
                true => self.keep(&path)?,
                false => {
                    fs::copy(&path, self.shadow("files").join(node.inode.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// Where the bytes of each file are that the process saw, also of one without a name.
    fn places(&self) -> BTreeMap<u64, PathBuf> {
        let mut places = BTreeMap::new();
        let mut folders = vec![self.shadow("graves"), self.path()];
        while let Some(folder) = folders.pop() {
            for (name, node) in names_in(&folder).expect("a volume can be read") {
                match node.is_dir {
                    true => folders.push(folder.join(name)),
                    false => drop(places.insert(node.inode, folder.join(name))),
                }
            }
        }
        places
    }

    /// Makes `to` what is left of the directory `seen`.
    fn rebuild(
        &mut self,
        seen: &Path,
        to: &Path,
        unsynced: Unsynced,
        places: &BTreeMap<u64, PathBuf>,
        taken: &mut Taken,
    ) -> io::Result<()> {
        fs::create_dir(to)?;
        fs::set_permissions(to, fs::metadata(seen)?.permissions())?;
        let now = names_in(seen)?;
        let durable = self.durable_names(fs::metadata(seen)?.ino());
        let all: BTreeMap<_, _> = durable.iter().chain(&now).map(|(name, _)| (name, ())).collect();
        for name in all.into_keys() {
            let (before, after) = (durable.get(name), now.get(name));
            let is_kept =
                before == after || unsynced == Unsynced::InPart && self.random.below(2) == 0;
            taken.names += usize::from(!is_kept);
            let Some(node) = (if is_kept { after } else { before }) else { continue };
            if node.is_dir {
                // Directories stay where they were made.
                self.rebuild(&seen.join(name), &to.join(name), unsynced, places, taken)?;
                continue;
            }
            let place = &places[&node.inode];
            let seen = fs::read(place)?;
            let durable = self.durable_bytes(node.inode);
            let left = match unsynced {
                Unsynced::Lost => durable,
                Unsynced::InPart => left_of(&mut self.random, durable, &seen),
            };
            taken.files += usize::from(left != seen);
            fs::write(to.join(name), left)?;
            let found = fs::metadata(place)?;
            fs::set_permissions(to.join(name), found.permissions())?;
            fs::File::options().write(true).open(to.join(name))?.set_modified(found.modified()?)?;
        }
        Ok(())
    }

    /// None for a directory that was never synced.
    fn durable_names(&self, inode: u64) -> Names {
        let text = fs::read_to_string(self.shadow("names").join(inode.to_string()));
        let text = text.unwrap_or_default();
        let lines = text.lines().map(|line| {
            let mut words = line.splitn(3, ' ');
            let mut next = || words.next().expect("three words");
            let (kind, inode, name) = (next(), next(), next());
            let inode = inode.parse().expect("the number of an inode");
            (name.to_owned(), Node { is_dir: kind == "d", inode })
        });
        lines.collect()
    }

    /// None for a file that was never synced.
    fn durable_bytes(&self, inode: u64) -> Vec<u8> {
        fs::read(self.shadow("files").join(inode.to_string())).unwrap_or_default()
    }
}

/// The content that a disk may have of a file that was `durable` at its last sync and was written to since.
fn left_of(random: &mut Random, durable: Vec<u8>, seen: &[u8]) -> Vec<u8> {
    let mut left = durable;
    match random.below(4) {
        0 => {}
        1 => left = seen.to_vec(),
        // All up to some byte.
        2 => {
            let first = left.iter().zip(seen).take_while(|(left, seen)| left == seen).count();
            let end = first + random.below(seen.len() - first + 1);
            left.resize(left.len().max(end), 0);
            left[first..end].copy_from_slice(&seen[first..end]);
        }
        // The length, and some sectors or pages; the others hold what was there before, or nothing.
        _ => {
            left.resize(seen.len(), 0);
            let piece = if random.below(2) == 0 { 512 } else { 4096 };
            for (left, seen) in left.chunks_mut(piece).zip(seen.chunks(piece)) {
                if random.below(10) < 6 {
                    left.copy_from_slice(seen);
                }
            }
        }
    }
    left
}

fn names_in(directory: &Path) -> io::Result<Names> {
    let mut names = Names::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?; // of a link itself
        let name = entry.file_name().into_string().expect("names are text");
        names.insert(name, Node { is_dir: found.is_dir(), inode: found.ino() });
    }
    Ok(names)
}

/// The library, compiled once in a test process.
fn layer() -> &'static [u8] {
    static LIBRARY: OnceLock<Vec<u8>> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let library = folder.path().join("layer.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power/layer.c");
        let options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"];
        let output = Command::new("cc").args(options).arg(&library).arg(source).output();
        let output = output.expect("a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read(library).expect("a library was made")
    })
}
