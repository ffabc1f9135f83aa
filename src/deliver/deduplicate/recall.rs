//! Recall: the ids of all sources' files, in the order in which they were saved, into the index.
//!
//! Sources that are no longer configured are included: the one that a migration leaves behind has
//! delivered events that the other one may still send. An unreadable file is logged, counted and skipped:
//! its events may be delivered once more, and nothing waits for it.

use std::{
    io,
    path::{Path, PathBuf},
    vec,
};

use super::{
    Deduplicator,
    format::{self, Block, Contents},
    identity::Rule,
    index::{Index, Owner},
    sidecar,
};
use crate::{
    source::{SourceName, UnixMillis},
    spool::disk::{self, Disk},
};

/// A source that has, or may have, files of ids.
pub struct Source {
    pub name: SourceName,
    /// `<spool.directory>/<source>`
    pub folder: PathBuf,
}

/// The configured sources and those that have left ids, in the order of their names.
pub fn sources(disk: &dyn Disk, directory: &Path, configured: &[SourceName]) -> Vec<Source> {
    let names = disk.list(directory).unwrap_or_default();
    let has_ids = |name: &SourceName| {
        let folder = sidecar::folder_in(&directory.join(name.as_str()));
        disk.info(&folder).is_ok_and(|info| info.is_dir)
    };
    let left = names.iter().filter_map(|name| SourceName::new(name)).filter(has_ids);
    let mut names: Vec<_> = configured.iter().cloned().chain(left).collect();
    names.sort();
    names.dedup();
    let with_folder = |name: SourceName| Source { folder: directory.join(name.as_str()), name };
    names.into_iter().map(with_folder).collect()
}

/// Puts all saved ids into `index`.
pub fn fill(index: &mut Index, of: &Deduplicator, now: UnixMillis) {
    let mut files: Vec<_> =
        (0..).zip(&of.sources).map(|(n, source)| Files::of(n, source, of)).collect();
    // Blocks of all sources in the order of their times; each source's own are in order already.
    loop {
        let next = files.iter_mut().filter_map(|files| Some((files.next_at()?, files)));
        let Some((at, files)) = next.min_by_key(|(at, _)| *at) else { break };
        let Some(block) = files.blocks.next() else { break };
        if files.rule == Rule::WithoutType {
            index.expect_without_type(at.min(now));
        }
        for id in block.ids {
            // An id that was saved twice is known already; a time in the future counts as now.
            index.claim(id, Owner::settled_before(files.source), at.min(now));
        }
    }
    tracing::info!(ids = index.len(), "loaded the ids of delivered events");
}

/// One source's files, read one at a time.
struct Files<'a> {
    source: u32,
    of: &'a Deduplicator,
    name: &'a SourceName,
    folder: PathBuf,
    numbers: vec::IntoIter<u64>,
    blocks: vec::IntoIter<Block>,
    /// The rule of the blocks' ids.
    rule: Rule,
}

impl<'a> Files<'a> {
    fn of(source: u32, known: &'a Source, of: &'a Deduplicator) -> Self {
        let folder = sidecar::folder_in(&known.folder);
        let numbers = Vec::new().into_iter();
        let blocks = Vec::new().into_iter();
        let rule = Rule::WithType;
        let mut files = Self { source, of, name: &known.name, folder, numbers, blocks, rule };
        match sidecar::numbers(&*of.disk, &files.folder) {
            Ok(numbers) => files.numbers = numbers.into_iter(),
            Err(error) => files.passed_by(&files.folder, &error),
        }
        files
    }

    /// The time at which the next block was saved.
    fn next_at(&mut self) -> Option<UnixMillis> {
        loop {
            if let Some(block) = self.blocks.as_slice().first() {
                return Some(block.at);
            }
            let path = sidecar::path(&self.folder, self.numbers.next()?);
            match self.read(&path) {
                Ok(contents) => {
                    self.rule = contents.rule;
                    self.blocks = contents.blocks.into_iter();
                }
                Err(error) => self.passed_by(&path, &error),
            }
        }
    }

    fn read(&self, path: &Path) -> io::Result<Contents> {
        let bytes = disk::read_file(&*self.of.disk, path)?;
        let contents = format::read(&bytes, self.of.key.fingerprint()).map_err(io::Error::other)?;
        if contents.end < bytes.len() {
            let rest = bytes.len() - contents.end;
            self.passed_by(
                path,
                &format!("its last {rest} bytes are damaged or were never synced"),
            );
        }
        Ok(contents)
    }

    fn passed_by(&self, path: &Path, why: &dyn std::fmt::Display) {
        let source = self.name.as_str();
        self.of.metrics.deduplicate_unreadable.with_label_values(&[source]).inc();
        tracing::warn!(
            source, path = %path.display(), %why,
            "ids of delivered events cannot be read; repeats of these events are delivered again",
        );
    }
}
