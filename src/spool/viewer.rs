//! A spool as it stands on the disk, for somebody who does not hold it.
//!
//! Takes no lock and writes nothing, so a service can be at work in the same folder: a segment that
//! it removes, begins or lets grow meanwhile is no error. What is seen may be a moment ahead of what
//! is synced. The end of the segment that is being written is looked at once more before anything
//! is said about it, and a write that never ended is told from damage as recovery tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    StoredDelivery, anchor,
    damage::Damage,
    disk::{self, Disk, DiskFile},
    error::{OpenError, ReadError},
    extent::ExtentFile,
    frame,
    identity::IdentityFile,
    reader, recovery, retention,
    segment::{self, HEADER_LENGTH, NoHeader},
    tail,
    walk::{End, Range, Step, Unreadable, Walk, WalkError},
};
use crate::source::{SourceName, UnixMillis};

/// The sources that have a spool in `directory` (`spool.directory`), or had one and it is missing, in the
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

/// The sources that have a spool in `directory` (`spool.directory`), in the order of their names.
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

/// One source's spool, seen from outside.
#[derive(Debug)]
pub struct Viewer {
    disk: Arc<dyn Disk>,
    source: SourceName,
    /// The folder of the segments.
    segments: PathBuf,
    id: Option<Uuid>,
    extent: ExtentFile,
}

/// A segment as its name and the directory describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub path: PathBuf,
    pub first_sequence: u64,
    /// Where the next segment begins; `None` for the last one, which may be growing.
    pub next_sequence: Option<u64>,
    /// Bytes, header included.
    pub length: u64,
    /// When it was last written.
    pub written_at: UnixMillis,
}

impl Segment {
    /// Bytes of its deliveries: all but the header.
    pub fn frames_length(&self) -> u64 {
        self.length.saturating_sub(HEADER_LENGTH)
    }
}

/// Where a delivery's frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePosition {
    /// Names the segment.
    pub first_sequence: u64,
    /// Bytes from its beginning.
    pub offset: u64,
    pub received_at: UnixMillis,
}

impl Viewer {
    /// `directory` is `spool.directory`. Reads the identity and nothing else.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        source: &SourceName,
    ) -> Result<Self, OpenError> {
        let folder = directory.join(source.as_str());
        let segments = folder.join("segments");
        let extent = ExtentFile::of(directory, source);
        let generations = recovery::generations(&*disk, &segments)
            .map_err(|error| or_gone(error, &*disk, &segments, &extent))?;
        let identity = IdentityFile {
            disk: &*disk,
            path: &folder.join("identity"),
            segments: &segments,
            generations: &generations,
        };
        let id = identity.read()?.map(|found| found.spool);
        Ok(Self { disk, source: source.clone(), segments, id, extent })
    }

    /// `None` when nothing was ever stored.
    pub fn id(&self) -> Option<Uuid> {
        self.id
    }

    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// The segments there are, oldest first.
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

    /// Whether a later version of this program has written a segment. One that can't be read, or whose
    /// header is damaged, is not told from here.
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

    /// The last segment that was begun and the number behind all that it can have held, if it is not there.
    pub fn missing_end(&self) -> Result<Option<(PathBuf, u64)>, OpenError> {
        // The note first: a segment is there before it is noted.
        let extent = self.extent.read(&*self.disk)?.filter(|extent| Some(extent.spool) == self.id);
        let last = recovery::generations(&*self.disk, &self.segments)?.last().copied();
        let missing = extent.filter(|extent| last.is_none_or(|last| last < extent.segment));
        Ok(missing.map(|it| (segment::path(&self.segments, it.segment), it.behind())))
    }

    /// Finds deliveries by following the frames' heads, without looking at checksums. What lies
    /// behind damage is not found, and neither is what was removed.
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
        // One that is being begun has no header yet.
        let is_begun = segment.next_sequence.is_none() && length <= HEADER_LENGTH;
        let to = length.min(HEADER_LENGTH);
        let range = Range { from: 0, to, first, next: first };
        let header = match reader::has_header_of(&*file, &path, self.id) {
            Ok(false) if length > 0 && is_begun => Some(Seen::Unfinished { from: 0, to }),
            Ok(false) if length > 0 => {
                Some(Seen::Damage(Damage::new(path.clone(), range, file.clone())))
            }
            Ok(_) => None,
            // The frames need only the name. If there is more that can't be read, that comes next.
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
        Ok(Some(Scan { source, path, file, walk, end, header, offset: HEADER_LENGTH }))
    }
}

/// A folder that is not there, though something was stored in it once.
fn or_gone(error: OpenError, disk: &dyn Disk, segments: &Path, extent: &ExtentFile) -> OpenError {
    let is_missing = matches!(&error, OpenError::Io { error, .. } if anchor::is_gone(error));
    if is_missing && disk.info(extent.path()).is_ok() {
        return OpenError::Gone { segments: segments.to_owned(), extent: extent.path().to_owned() };
    }
    error
}

/// Goes through one segment and checks every frame.
#[derive(Debug)]
pub struct Scan {
    source: SourceName,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    walk: Walk,
    end: End,
    /// What is to be said of the header.
    header: Option<Seen>,
    offset: u64,
}

/// What is in a segment.
#[derive(Debug)]
pub enum Seen {
    Delivery(StoredDelivery),
    /// What is there is not what was written.
    Damage(Damage),
    /// Bytes `from..to` at the end of the last segment: a write that is not done, or was cut short by
    /// a crash. Nobody was told that it is stored; the next start cuts it off.
    Unfinished {
        from: u64,
        to: u64,
    },
}

impl Scan {
    /// What comes next; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "it fails, and is not done then")]
    pub fn next(&mut self) -> Result<Option<Seen>, ReadError> {
        if let Some(header) = self.header.take() {
            return Ok(Some(header));
        }
        loop {
            match self.walk.step(self.end) {
                Ok(Step::Frame(frame)) => {
                    let sequence = frame.head.sequence;
                    self.offset = frame.offset + frame.bytes.len() as u64;
                    let seen = match frame::decode(&frame.head, &frame.bytes, &self.source) {
                        Some(delivery) => Seen::Delivery(StoredDelivery { sequence, delivery }),
                        None => {
                            let (from, to) = (frame.offset, self.offset);
                            self.damage(Range { from, to, first: sequence, next: sequence + 1 })
                        }
                    };
                    return Ok(Some(seen));
                }
                Ok(Step::Broken(range)) if range.next == u64::MAX => {
                    if let Some(seen) = self.tail(range)? {
                        self.offset = range.to;
                        return Ok(Some(seen));
                    }
                }
                Ok(Step::Broken(range)) => {
                    self.offset = range.to;
                    return Ok(Some(self.damage(range)));
                }
                Ok(Step::End) => return Ok(None),
                Err(error) => {
                    if let WalkError::Io { error, .. } = &error
                        && disk::is_unreadable(error)
                        && let Some(damage) = self.unreadable()?
                    {
                        return Ok(Some(damage));
                    }
                    let (at, expected) = (self.offset, self.walk.expected());
                    let is_short = matches!(&error, WalkError::Io { error, .. }
                        if error.kind() == io::ErrorKind::UnexpectedEof);
                    if !(is_short && self.has_changed(at, expected)?) {
                        return Err(reader::failed(error, self.path.clone()));
                    }
                }
            }
        }
    }

    /// Bytes of the segment that were looked at, header included.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The sequence behind what was looked at.
    pub fn next_sequence(&self) -> u64 {
        self.walk.expected()
    }

    /// What the disk can't read here, if it is no more than a service would pass by.
    fn unreadable(&mut self) -> Result<Option<Seen>, ReadError> {
        let found = self.walk.pass_unreadable(self.end);
        let found = found.map_err(|error| reader::failed(error, self.path.clone()))?;
        let Some(mut found) = found else { return Ok(None) };
        let range = &mut found.range;
        self.offset = range.to;
        if range.next == u64::MAX {
            // To the end of the last segment: nobody knows what was there.
            range.next = range.first;
            let generation = self.walk.generation();
            self.walk = Walk::new(self.file.clone(), generation, range.to, range.first);
        }
        let damage = Damage::unreadable(self.path.clone(), found, self.file.clone());
        Ok(Some(Seen::Damage(damage)))
    }

    /// What the broken end of the last segment is; `None` when it has changed meanwhile.
    fn tail(&mut self, range: Range) -> Result<Option<Seen>, ReadError> {
        if self.has_changed(range.from, range.first)? {
            return Ok(None);
        }
        let generation = self.walk.generation();
        self.walk = Walk::new(self.file.clone(), generation, range.from, range.first);
        let claim = match tail::is_unfinished(&*self.file, generation, range) {
            Ok(true) => None,
            Ok(false) => {
                let claim = self.walk.highest_claim(range.from, self.end);
                Some(claim.map_err(|error| reader::failed(error, self.path.clone()))?)
            }
            // Cut while we looked at it.
            Err(error)
                if error.kind() == io::ErrorKind::UnexpectedEof
                    && self.has_changed(range.from, range.first)? =>
            {
                return Ok(None);
            }
            Err(error) => return Err(self.io(range.from, error)),
        };
        let next = claim.map_or(range.first, |claim| claim.unwrap_or(range.first) + 1);
        self.walk = Walk::new(self.file.clone(), generation, range.to, next);
        Ok(Some(match claim {
            None => Seen::Unfinished { from: range.from, to: range.to },
            Some(_) => self.damage(Range { next, ..range }),
        }))
    }

    /// Whether the file has grown or was cut since its length was looked up; if so, the walk begins
    /// again at `offset`, where the frame `expected` is due.
    fn has_changed(&mut self, offset: u64, expected: u64) -> Result<bool, ReadError> {
        let length = self.file.len().map_err(|error| self.io(offset, error))?;
        let changed = length != self.end.offset;
        if changed {
            self.end.offset = length;
            self.walk = Walk::new(self.file.clone(), self.walk.generation(), offset, expected);
        }
        Ok(changed)
    }

    fn damage(&self, range: Range) -> Seen {
        Seen::Damage(Damage::new(self.path.clone(), range, self.file.clone()))
    }

    fn io(&self, offset: u64, error: io::Error) -> ReadError {
        ReadError::Io { segment: self.path.clone(), offset, error }
    }
}
