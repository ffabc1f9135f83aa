//! The viewer: reads a spool on the disk that another process may hold.
//!
//! Takes no lock and writes nothing, so a service can be at work in the same folder: a segment that it removes,
//! begins or extends meanwhile is no error. The view may be a moment ahead of the last sync. The end of the
//! segment that is being written is read a second time before it is reported, and an unfinished write is told
//! from damage as in recovery.

mod scan;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io, ops,
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

pub use self::scan::{Scan, Seen};
use super::{
    anchor,
    damage::Damage,
    disk::{self, Disk},
    error::{OpenError, ReadError},
    extent::{Extent, ExtentFile},
    identity::IdentityFile,
    reader, recovery, retention,
    segment::{self, HEADER_LENGTH, NoHeader},
    walk::{End, Range, Unreadable, Walk},
};
use crate::source::{SourceName, UnixMillis};

/// Lists the sources that have a spool in `directory` (`spool.directory`), or had one that is missing, in the
/// order of their names.
pub fn known_sources(disk: &dyn Disk, directory: &Path) -> Result<Vec<SourceName>, OpenError> {
    let mut known = sources(disk, directory)?;
    let io = |error| OpenError::Io { doing: "listing", path: directory.to_owned(), error };
    let names = disk.list(directory).map_err(io)?;
    known.extend(names.iter().filter_map(|name| ExtentFile::source(name)));
    known.sort();
    known.dedup();
    Ok(known)
}

/// Lists the sources that have a spool in `directory` (`spool.directory`), in the order of their names.
pub fn sources(disk: &dyn Disk, directory: &Path) -> Result<Vec<SourceName>, OpenError> {
    let io = |error| OpenError::Io { doing: "listing", path: directory.to_owned(), error };
    let names = disk.list(directory).map_err(io)?;
    let is_spool = |name: &SourceName| {
        let segments = directory.join(name.as_str()).join("segments");
        disk.info(&segments).is_ok_and(|info| info.is_dir)
    };
    let mut sources: Vec<_> =
        names.iter().filter_map(|name| SourceName::new(name)).filter(is_spool).collect();
    sources.sort();
    Ok(sources)
}

/// Reads the id from the identity of a source's spool whose segments are gone.
pub fn id_without_segments(
    disk: &dyn Disk,
    directory: &Path,
    source: &SourceName,
) -> Result<Option<Uuid>, OpenError> {
    let folder = directory.join(source.as_str());
    let path = &folder.join("identity");
    let segments = &folder.join("segments");
    let identity = IdentityFile { disk, path, segments, generations: &[] };
    Ok(identity.read()?.map(|found| found.spool))
}

/// A view of one source's spool.
#[derive(Debug)]
pub struct Viewer {
    disk: Arc<dyn Disk>,
    source: SourceName,
    /// The folder of the segments.
    segments: PathBuf,
    id: Option<Uuid>,
    extent: ExtentFile,
    /// The extent as it was when the viewer was opened, before the segments were listed: so all that it says was in
    /// them by then. `None` also where a later version has written it, which [`Viewer::check_versions`] tells.
    noted: Option<Extent>,
}

/// The last segment, which is missing.
pub struct MissingEnd {
    path: PathBuf,
    /// The deliveries that were certainly in it.
    known: ops::Range<u64>,
    /// The number behind all that it can have held.
    pub behind: u64,
}

impl fmt::Display for MissingEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, the last segment, is gone", self.path.display())?;
        let ops::Range { start, end } = self.known;
        match start < end {
            true => write!(f, " with sequences {start}..{end}, and perhaps later ones"),
            false => Ok(()),
        }
    }
}

/// A segment as its name and the directory describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub path: PathBuf,
    pub first_sequence: u64,
    /// The first sequence of the next segment; `None` for the last one, which may be growing.
    pub next_sequence: Option<u64>,
    /// Bytes, header included.
    pub length: u64,
    /// When it was last written.
    pub written_at: UnixMillis,
}

impl Segment {
    /// Returns the bytes of its deliveries: all but the header.
    pub fn frames_length(&self) -> u64 {
        self.length.saturating_sub(HEADER_LENGTH)
    }
}

/// The place of a delivery's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePosition {
    /// The segment, by its first sequence.
    pub first_sequence: u64,
    /// Bytes from its beginning.
    pub offset: u64,
    pub received_at: UnixMillis,
}

impl Viewer {
    /// Opens the spool of `source` in `directory` (`spool.directory`). Reads only the identity.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        source: &SourceName,
    ) -> Result<Self, OpenError> {
        let folder = directory.join(source.as_str());
        let segments = folder.join("segments");
        let extent = ExtentFile::of(directory, source);
        let noted = extent.read(&*disk).ok().flatten();
        let generations = recovery::generations(&*disk, &segments)
            .map_err(|error| or_gone(error, &*disk, &segments, &extent))?;
        let identity = IdentityFile {
            disk: &*disk,
            path: &folder.join("identity"),
            segments: &segments,
            generations: &generations,
        };
        let id = identity.read()?.map(|found| found.spool);
        let noted = noted.filter(|noted| Some(noted.spool) == id);
        Ok(Self { disk, source: source.clone(), segments, id, extent, noted })
    }

    /// Returns the spool's id; `None` when nothing was ever stored.
    pub fn id(&self) -> Option<Uuid> {
        self.id
    }

    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// Lists the segments, oldest first.
    pub fn segments(&self) -> Result<Vec<Segment>, OpenError> {
        let generations = recovery::generations(&*self.disk, &self.segments)?;
        let nexts = generations.iter().skip(1).copied().map(Some).chain([None]);
        let mut found = Vec::with_capacity(generations.len());
        for (&first_sequence, next_sequence) in generations.iter().zip(nexts) {
            let path = segment::path(&self.segments, first_sequence);
            let (length, written_at) = match self.disk.info(&path) {
                Ok(info) => (info.length, info.written_at),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // just removed
                Err(error) => return Err(OpenError::Io { doing: "looking at", path, error }),
            };
            found.push(Segment { path, first_sequence, next_sequence, length, written_at });
        }
        Ok(found)
    }

    /// Fails if a later version of this program has written a segment. A segment that cannot be read, or whose header
    /// is damaged, passes.
    pub fn check_versions(&self) -> Result<(), OpenError> {
        self.extent.read(&*self.disk)?;
        for Segment { path, .. } in self.segments()? {
            let header =
                self.disk.open_to_read(&path).and_then(|file| recovery::read_header(&*file));
            if let Ok(Err(NoHeader::Newer { version })) = header {
                return Err(OpenError::NewerFormat {
                    path,
                    found: segment::describe_version(version),
                });
            }
        }
        Ok(())
    }

    /// Returns the segment that was begun last, if it is missing.
    pub fn missing_end(&self) -> Result<Option<MissingEnd>, OpenError> {
        // The note first: a segment is there before it is noted.
        let extent = self.extent.read(&*self.disk)?.filter(|extent| Some(extent.spool) == self.id);
        let last = recovery::generations(&*self.disk, &self.segments)?.last().copied();
        let missing = extent.filter(|extent| last.is_none_or(|last| last < extent.segment));
        Ok(missing.map(|it| MissingEnd {
            path: segment::path(&self.segments, it.segment),
            known: it.segment..it.durable_to(),
            behind: it.behind(),
        }))
    }

    /// Finds deliveries by following the frames' heads, without checking checksums. Deliveries behind damage are not
    /// found, and neither are removed ones.
    pub fn find(
        &self,
        segments: &[Segment],
        sequences: &BTreeSet<u64>,
    ) -> BTreeMap<u64, FramePosition> {
        let mut found = BTreeMap::new();
        for segment in segments {
            let first = segment.first_sequence;
            let last = segment.next_sequence.unwrap_or(u64::MAX);
            let mut wanted = sequences.range(first..last).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            let Ok(file) = self.disk.open_to_read(&segment.path) else { continue };
            let mut offset = HEADER_LENGTH;
            while let Some(&&sequence) = wanted.peek()
                && let Some(head) = retention::head_at(&*file, offset, segment.length)
            {
                if head.sequence >= sequence {
                    wanted.next();
                }
                if head.sequence == sequence {
                    let received_at = head.received_at;
                    found.insert(
                        sequence,
                        FramePosition { first_sequence: first, offset, received_at },
                    );
                }
                if head.sequence < sequence {
                    offset += head.frame_length();
                }
            }
        }
        found
    }

    /// Reads `segment` from its beginning; `None` when it was removed meanwhile.
    pub fn scan(&self, segment: &Segment) -> Result<Option<Scan>, ReadError> {
        let path = segment.path.clone();
        let file = match self.disk.open_to_read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ReadError::Io { segment: path, offset: 0, error }),
        };
        let io = |error| ReadError::Io { segment: path.clone(), offset: 0, error };
        let length = file.len().map_err(io)?;
        let first = segment.first_sequence;
        // A segment that is being begun has no header yet.
        let is_begun = segment.next_sequence.is_none() && length <= HEADER_LENGTH;
        let to = length.min(HEADER_LENGTH);
        let range = Range { from: 0, to, first, next: first };
        let header = match reader::has_header_of(&*file, &path, self.id) {
            Ok(false) if length > 0 && is_begun => Some(Seen::Unfinished { from: 0, to }),
            Ok(false) if length > 0 => {
                Some(Seen::Damage(Damage::new(path.clone(), range, file.clone())))
            }
            Ok(_) => None,
            // The frames can be read with the name alone. Further unreadable bytes are reported by the scan.
            Err(ReadError::Io { error, .. }) if disk::is_unreadable(&error) => {
                let hole = 0..to;
                let found = Unreadable { range, holes: vec![hole] };
                Some(Seen::Damage(Damage::unreadable(path.clone(), found, file.clone())))
            }
            Err(error) => return Err(error),
        };
        let end = End { offset: length, sequence: segment.next_sequence.unwrap_or(u64::MAX) };
        let walk = Walk::new(file.clone(), first, HEADER_LENGTH, first);
        let source = self.source.clone();
        let durable_to = self.durable_to(segment);
        Ok(Some(Scan { source, path, file, walk, end, durable_to, header, offset: HEADER_LENGTH }))
    }

    /// Returns the sequence number to which `segment` went at least.
    fn durable_to(&self, segment: &Segment) -> u64 {
        // If the last segment is missing, the note's end was in that one.
        let noted = self.noted.filter(|noted| {
            segment.next_sequence.is_none() && noted.segment <= segment.first_sequence
        });
        noted.map_or(segment.first_sequence, |noted| noted.durable_to())
    }
}

/// Turns a listing error into [`OpenError::Gone`] where the folder is missing and deliveries were stored in it once.
fn or_gone(error: OpenError, disk: &dyn Disk, segments: &Path, extent: &ExtentFile) -> OpenError {
    let is_missing = matches!(&error, OpenError::Io { error, .. } if anchor::is_gone(error));
    if is_missing && disk.info(extent.path()).is_ok() {
        return OpenError::Gone { segments: segments.to_owned(), extent: extent.path().to_owned() };
    }
    error
}
