//! The files in which a source keeps the ids of its settled events: `<source>/ids/<number>.ids`.
//!
//! They are beside the segments and outlive them: a start reads these, and no bodies. Appended to
//! once a checkpoint at most, and synced before it. After any failure a file is left alone and the
//! next save begins another, since a sync that failed may succeed the next time without the bytes.
//! Files are removed when they are older than the window, or when newer ones hold more ids than the index
//! takes; at the latest, when a new one is begun.

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Settings,
    format::{self, HEADER_LENGTH, ID_LENGTH},
    identity::{Id, Key, Rule},
};
use crate::{
    source::UnixMillis,
    spool::disk::{self, Disk, DiskFile},
};

/// Size at which a file is followed by another: some 65,000 ids.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Number of files kept beside the one that is written: enough for every id of the index.
fn files_kept(ids: usize) -> usize {
    ids * ID_LENGTH / MAX_FILE_BYTES + 2
}

/// The folder of the files, in a source's folder.
pub fn folder_in(source: &Path) -> PathBuf {
    source.join("ids")
}

/// The numbers of the files in `folder`, the oldest first; none where there is no folder.
pub fn numbers(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<u64>> {
    let names = match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    let number = |name: &String| name.strip_suffix(".ids")?.parse().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

pub fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.ids"))
}

/// The writer of a source's ids.
pub struct Sidecar {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    settings: Settings,
    /// The key's fingerprint.
    key: u64,
    open: Option<Open>,
}

/// The file that is written.
struct Open {
    number: u64,
    /// The rule of all its ids.
    rule: Rule,
    file: Arc<dyn DiskFile>,
    length: usize,
}

impl Sidecar {
    /// `source` is the source's folder. Touches nothing before the first save.
    pub fn new(disk: Arc<dyn Disk>, source: &Path, settings: Settings, key: &Key) -> Self {
        let folder = folder_in(source);
        Self { disk, folder, settings, key: key.fingerprint(), open: None }
    }

    /// Saves `ids`, which were made by `rule`; durable when it returns.
    pub fn save(&mut self, rule: Rule, ids: &[Id], at: UnixMillis) -> io::Result<()> {
        // After an error `open` stays `None`, so that the next save begins another file.
        let mut open = match self.open.take() {
            Some(open) if open.length < MAX_FILE_BYTES && open.rule == rule => open,
            Some(other) => self.begin(rule, other.number + 1)?,
            None => self.resume(rule)?,
        };
        let mut bytes = Vec::with_capacity(ids.len() * ID_LENGTH + 2 * HEADER_LENGTH);
        let is_new = open.length == 0;
        if is_new {
            bytes.extend_from_slice(&format::header(self.key, rule));
        }
        format::add_block(&mut bytes, at, ids);
        disk::write_all_at(&*open.file, &mut [IoSlice::new(&bytes)], open.length as u64)?;
        open.file.sync_data()?;
        if is_new {
            self.disk.sync_dir(&self.folder)?;
        }
        open.length += bytes.len();
        self.open = Some(open);
        Ok(())
    }

    /// Continues the last file if it is whole and has room, and ids of this rule, so that a process that
    /// starts often does not leave many.
    fn resume(&mut self, rule: Rule) -> io::Result<Open> {
        disk::make_directory(&*self.disk, &self.folder)?;
        let last = numbers(&*self.disk, &self.folder)?.pop();
        let Some(last) = last else { return self.begin(rule, 1) };
        let path = path(&self.folder, last);
        let bytes = disk::read_file(&*self.disk, &path)?;
        let end = match format::read(&bytes, self.key) {
            Ok(contents) if contents.rule == rule => contents.end,
            _ => 0,
        };
        if end != bytes.len() || end >= MAX_FILE_BYTES {
            return self.begin(rule, last + 1);
        }
        Ok(Open { number: last, rule, file: self.disk.open_to_write(&path)?, length: end })
    }

    fn begin(&self, rule: Rule, number: u64) -> io::Result<Open> {
        if let Err(error) = self.remove_old(number) {
            tracing::warn!(folder = %self.folder.display(), %error, "cannot remove old event ids");
        }
        let file = self.disk.create_new(&path(&self.folder, number))?;
        Ok(Open { number, rule, file, length: 0 })
    }

    /// Removes files that are too old or too many. Their names need no sync: one that comes back is as old as it was.
    fn remove_old(&self, begun: u64) -> io::Result<()> {
        let mut numbers = numbers(&*self.disk, &self.folder)?;
        numbers.retain(|number| *number < begun);
        let too_many = numbers.len().saturating_sub(files_kept(self.settings.ids));
        for (nth, number) in numbers.into_iter().enumerate() {
            let path = path(&self.folder, number);
            let age = self.disk.now().saturating_sub(self.disk.info(&path)?.written_at);
            if nth < too_many || u128::from(age) > self.settings.window.as_millis() {
                self.disk.remove(&path)?;
            }
        }
        Ok(())
    }
}
