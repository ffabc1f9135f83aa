//! The reader: reads deliveries back, in order, behind the writer.
//!
//! A reader sees only durable deliveries; any number of readers may read one spool at once. It returns
//! every sequence from its start on exactly once: as a delivery, or as part of a reported [`Damage`]. The
//! one exception are sequences that retention has removed, which were delivered: a reader that asks for
//! them begins at the oldest that is kept. A reader in a segment that is removed reads on (the open file
//! stays) and then goes to the next one.
//!
//! A missing segment is damage only in the folder in which the spool was opened (`anchor.rs`). While that
//! folder is gone, reading fails and is tried again; where another one stands, the spool is poisoned.
//!
//! Unreadable bytes are an error at first, which may pass; if they stay so, and are confined, they are damage
//! like any other (`read_retry.rs`, `walk/unreadable.rs`). All readers of the spool share the tries at them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    StoredDelivery,
    damage::Damage,
    disk::{self, DiskFile},
    error::ReadError,
    frame,
    ledger::{Beyond, Lookup, Mark},
    recovery,
    segment::{HEADER_LENGTH, NoHeader},
    shared::Shared,
    walk::{End, Frame, Range, Step, Walk, WalkError},
};

/// A reader of one spool, at a sequence number. Blocking.
pub struct Reader {
    shared: Arc<Shared>,
    next: u64,
    /// The open segment, and how far it may be read.
    open: Option<(Walk, End)>,
}

/// The next entry of a spool.
#[derive(Debug)]
pub enum Next {
    Delivery(StoredDelivery),
    /// Sequences that are missing or cannot be read. Reported once; the reader is past them.
    Damage(Damage),
    /// Everything durable has been read.
    CaughtUp,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, from_sequence: u64) -> Self {
        Self { shared, next: from_sequence, open: None }
    }

    /// Returns the sequence that [`Reader::next`] will return or report next.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Goes to `sequence`, forwards or back.
    pub fn seek(&mut self, sequence: u64) {
        // Forwards within a segment the walk goes on from its place.
        let ahead = |end: &End| (self.next..end.sequence).contains(&sequence);
        if !self.open.as_ref().is_some_and(|(_, end)| ahead(end)) {
            self.open = None;
        }
        self.next = sequence;
    }

    /// Gives back the memory of its buffer. The next read fills it again.
    pub fn release(&mut self) {
        self.open = None;
    }

    /// Returns the next delivery or damage. After an error the reader has not moved.
    #[expect(clippy::should_implement_trait, reason = "it has no end, and it fails")]
    pub fn next(&mut self) -> Result<Next, ReadError> {
        loop {
            let Some((walk, end)) = &mut self.open else {
                match self.enter()? {
                    Some(next) => return Ok(next),
                    None => continue,
                }
            };
            match walk.step(*end) {
                Ok(Step::Frame(frame)) => {
                    let bytes = frame.offset..frame.offset + frame.bytes.len() as u64;
                    self.shared.was_read(walk.generation(), bytes);
                    if let Some(next) = self.hand_out(&frame) {
                        return Ok(next);
                    }
                }
                Ok(Step::Broken(range)) => {
                    if let Some(error) = unreadable_in(walk.file(), range) {
                        // A head led past it, and what is to be kept of it has to be read.
                        let (file, generation) = (walk.file().clone(), walk.generation());
                        *walk = Walk::new(file, generation, range.from, range.first);
                        if let Some(damage) = self.give_up(error)? {
                            return Ok(Next::Damage(damage));
                        }
                        continue;
                    }
                    self.shared.was_read(walk.generation(), range.from..range.to);
                    if let Some(damage) = self.report(range) {
                        return Ok(Next::Damage(damage));
                    }
                }
                Ok(Step::End) => {
                    let generation = walk.generation();
                    match self.shared.look(|ledger| ledger.beyond(generation, *end)) {
                        Beyond::More(further) => *end = further,
                        Beyond::NextSegment => self.open = None,
                        Beyond::Nothing => return Ok(Next::CaughtUp),
                    }
                }
                Err(error) => {
                    if let Some(damage) = self.give_up(error)? {
                        return Ok(Next::Damage(damage));
                    }
                }
            }
        }
    }

    /// Opens the segment that holds the next sequence, or returns what to report in its place.
    fn enter(&mut self) -> Result<Option<Next>, ReadError> {
        match self.shared.look(|ledger| ledger.place(self.next)) {
            Lookup::NotYet => Ok(Some(Next::CaughtUp)),
            Lookup::Removed { next } => {
                self.next = next;
                Ok(None)
            }
            Lookup::Missing { next } => {
                let segment = self.shared.segment_path(self.next);
                let io = |error| ReadError::Io { segment: segment.clone(), offset: 0, error };
                self.shared.check_folders().map_err(io)?;
                let damage = Damage::missing(segment, self.next, next);
                self.next = next;
                Ok(Some(Next::Damage(damage)))
            }
            Lookup::Segment { generation, mark, end } => self.open(generation, mark, end),
        }
    }

    fn open(&mut self, generation: u64, mark: Mark, end: End) -> Result<Option<Next>, ReadError> {
        let segment = self.shared.segment_path(generation);
        let io = |error| ReadError::Io { segment: segment.clone(), offset: 0, error };
        // Checked before and after the call: in a folder that is away for a moment nothing is missing.
        self.shared.check_folders().map_err(io)?;
        let opened = self.shared.disk().open_to_read(&segment);
        self.shared.check_folders().map_err(io)?;
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !self.shared.look(|ledger| ledger.holds(generation)) {
                    return Ok(None); // removed between looking it up and opening it
                }
                let damage = Damage::missing(segment, self.next, end.sequence);
                self.next = end.sequence;
                return Ok(Some(Next::Damage(damage)));
            }
            Err(error) => return Err(io(error)),
        };
        let header = has_header_of(&*file, &segment, Some(self.shared.id));
        if header.is_ok() {
            self.shared.was_read(generation, 0..HEADER_LENGTH);
        }
        if !header.or_else(|error| self.do_without_header(generation, error))? {
            // Nothing is lost: the frames need only the name.
            tracing::warn!(segment = %segment.display(), "damaged segment header");
        }
        self.open = Some((Walk::new(file, generation, mark.offset, mark.sequence), end));
        Ok(None)
    }

    fn hand_out(&mut self, frame: &Frame) -> Option<Next> {
        let (walk, _) = self.open.as_ref()?;
        let sequence = frame.head.sequence;
        self.shared.note(walk.generation(), Mark { sequence, offset: frame.offset });
        if sequence < self.next {
            return None; // on the way to the sequence that `seek` asked for
        }
        self.next = sequence + 1;
        match frame::decode(&frame.head, &frame.bytes, &self.shared.source) {
            Some(delivery) => Some(Next::Delivery(StoredDelivery { sequence, delivery })),
            None => {
                let from = frame.offset;
                let to = frame.offset + frame.bytes.len() as u64;
                let range = Range { from, to, first: sequence, next: sequence + 1 };
                Some(Next::Damage(self.damage(range)?))
            }
        }
    }

    /// Returns the damage to report; `None` if all of it lies before the next sequence.
    fn report(&mut self, range: Range) -> Option<Damage> {
        let from = self.part_to_report(range)?;
        Some(self.damage(range)?.seen_from(from))
    }

    /// From which number on the range is to be reported, if it is.
    fn part_to_report(&mut self, range: Range) -> Option<u64> {
        if range.first < self.next && range.next <= self.next {
            return None;
        }
        let from = self.next.max(range.first);
        self.next = range.next;
        Some(from)
    }

    /// Handles a walk that failed: returns the error as long as it may pass; then the damage to report, or `None` if
    /// that lies before the next sequence.
    fn give_up(&mut self, error: WalkError) -> Result<Option<Damage>, ReadError> {
        let segment = self.segment().unwrap_or_default();
        let Some((walk, end)) = self.open.as_mut() else { return Err(failed(error, segment)) };
        let generation = walk.generation();
        let offset = walk.offset();
        let is_unreadable =
            matches!(&error, WalkError::Io { error, .. } if disk::is_unreadable(error));
        if !(is_unreadable && self.shared.is_given_up(generation, offset)) {
            return Err(failed(error, segment));
        }
        let Some(found) =
            walk.pass_unreadable(*end).map_err(|error| failed(error, segment.clone()))?
        else {
            return Err(failed(error, segment));
        };
        let file = walk.file().clone();
        if self.shared.is_passed_first(generation, offset) {
            tracing::error!(
                source = %self.shared.source, segment = %segment.display(),
                from = found.range.from, to = found.range.to, holes = ?found.holes,
                "the disk cannot read a part of the spool, which is skipped: check the disk (kernel \
                 log, SMART values), and move the volume"
            );
        }
        let Some(from) = self.part_to_report(found.range) else { return Ok(None) };
        Ok(Some(Damage::unreadable(segment, found, file).seen_from(from)))
    }

    /// Treats an unreadable header like a damaged one, once it has failed often enough.
    fn do_without_header(&mut self, generation: u64, error: ReadError) -> Result<bool, ReadError> {
        match &error {
            ReadError::Io { error: io, .. }
                if disk::is_unreadable(io) && self.shared.is_given_up(generation, 0) =>
            {
                Ok(false)
            }
            _ => Err(error),
        }
    }

    fn damage(&self, range: Range) -> Option<Damage> {
        let (walk, _) = self.open.as_ref()?;
        Some(Damage::new(self.segment()?, range, walk.file().clone()))
    }

    fn segment(&self) -> Option<PathBuf> {
        self.open.as_ref().map(|(walk, _)| self.shared.segment_path(walk.generation()))
    }
}

/// Returns why a part of `range` cannot be read, if that is so.
fn unreadable_in(file: &Arc<dyn DiskFile>, range: Range) -> Option<WalkError> {
    let damage = Damage::new(PathBuf::new(), range, file.clone());
    let error = damage.pieces().find_map(Result::err)?;
    disk::is_unreadable(&error).then_some(WalkError::Io { offset: range.from, error })
}

/// Turns a walk's error into one that names the segment.
pub(super) fn failed(error: WalkError, segment: PathBuf) -> ReadError {
    match error {
        WalkError::Io { offset, error } => ReadError::Io { segment, offset, error },
        WalkError::NotConfined { offset } => {
            let what = "more cannot be read than a few bad sectors; is the disk there, and whole?";
            ReadError::Io { segment, offset, error: io::Error::other(what) }
        }
        WalkError::UnknownCodec { offset, codec } => {
            ReadError::NewerFormat { segment, offset, found: format!("codec {codec}") }
        }
    }
}

/// Returns whether `file` begins with a header of this version and of the spool `id`; `false` when the header is
/// damaged.
pub(super) fn has_header_of(
    file: &dyn DiskFile,
    segment: &Path,
    id: Option<Uuid>,
) -> Result<bool, ReadError> {
    let segment = segment.to_owned();
    match recovery::read_header(file) {
        Ok(Ok(header)) => match id {
            Some(expected) if header.spool != expected => {
                Err(ReadError::Foreign { segment, found: header.spool, expected })
            }
            _ => Ok(true),
        },
        Ok(Err(NoHeader::Damaged)) => Ok(false),
        Ok(Err(NoHeader::Newer { version })) => {
            let found = super::segment::describe_version(version);
            Err(ReadError::NewerFormat { segment, offset: 0, found })
        }
        Err(error) => Err(ReadError::Io { segment, offset: 0, error }),
    }
}
