//! A scan of one segment of a spool that another process may hold.

use std::{io, path::PathBuf, sync::Arc};

use crate::{
    source::SourceName,
    spool::{
        StoredDelivery,
        damage::Damage,
        disk::{self, DiskFile},
        error::ReadError,
        frame, reader, tail,
        walk::{End, Range, Step, Walk, WalkError},
    },
};

/// A scan of one segment, which checks every frame.
#[derive(Debug)]
pub struct Scan {
    pub(super) source: SourceName,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) walk: Walk,
    pub(super) end: End,
    /// Deliveries before it were durable once: where they are not, they are missing.
    pub(super) durable_to: u64,
    /// The header's damage, if it has any, to be reported first.
    pub(super) header: Option<Seen>,
    pub(super) offset: u64,
}

/// An entry of a segment.
#[derive(Debug)]
pub enum Seen {
    Delivery(StoredDelivery),
    /// A range that differs from what was written.
    Damage(Damage),
    /// Bytes `from..to` at the end of the last segment: a write that is not done, or was cut short by
    /// a crash. It was never acknowledged; the next start cuts it off.
    Unfinished {
        from: u64,
        to: u64,
    },
}

impl Scan {
    /// Returns the next entry; `None` at the end.
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
                            let from = frame.offset;
                            let to = self.offset;
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
                Ok(Step::End) if self.walk.expected() < self.durable_to => {
                    return Ok(Some(self.missing_end()));
                }
                Ok(Step::End) => return Ok(None),
                Err(error) => {
                    if let WalkError::Io { error, .. } = &error
                        && disk::is_unreadable(error)
                        && let Some(damage) = self.unreadable()?
                    {
                        return Ok(Some(damage));
                    }
                    let at = self.offset;
                    let expected = self.walk.expected();
                    let is_short = matches!(&error, WalkError::Io { error, .. }
                        if error.kind() == io::ErrorKind::UnexpectedEof);
                    if !(is_short && self.has_changed(at, expected)?) {
                        return Err(reader::failed(error, self.path.clone()));
                    }
                }
            }
        }
    }

    /// Returns the bytes of the segment that were scanned, header included.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the sequence behind the scanned part.
    pub fn next_sequence(&self) -> u64 {
        self.walk.expected()
    }

    /// Returns the deliveries that were at the end and are not there: the segment was cut.
    fn missing_end(&mut self) -> Seen {
        let at = self.offset;
        let range = Range { from: at, to: at, first: self.walk.expected(), next: self.durable_to };
        self.walk = Walk::new(self.file.clone(), self.walk.generation(), at, range.next);
        self.damage(range)
    }

    /// Returns unreadable bytes here as damage, if they are no more than a service would pass.
    fn unreadable(&mut self) -> Result<Option<Seen>, ReadError> {
        let found = self.walk.pass_unreadable(self.end);
        let found = found.map_err(|error| reader::failed(error, self.path.clone()))?;
        let Some(mut found) = found else { return Ok(None) };
        let range = &mut found.range;
        self.offset = range.to;
        if range.next == u64::MAX {
            // To the end of the last segment: how many deliveries were there is not known.
            range.next = range.first.max(self.durable_to);
            let generation = self.walk.generation();
            self.walk = Walk::new(self.file.clone(), generation, range.to, range.next);
        }
        let damage = Damage::unreadable(self.path.clone(), found, self.file.clone());
        Ok(Some(Seen::Damage(damage)))
    }

    /// Judges the broken end of the last segment; `None` when it has changed meanwhile.
    fn tail(&mut self, range: Range) -> Result<Option<Seen>, ReadError> {
        if self.has_changed(range.from, range.first)? {
            return Ok(None);
        }
        let generation = self.walk.generation();
        self.walk = Walk::new(self.file.clone(), generation, range.from, range.first);
        let behind = match tail::is_unfinished(&*self.file, generation, range) {
            Ok(true) if range.first >= self.durable_to => None,
            Ok(_) => {
                let behind = self.walk.behind_all(range.from, self.end);
                let behind = behind.map_err(|error| reader::failed(error, self.path.clone()))?;
                Some(behind.max(self.durable_to))
            }
            // Cut while it was being read.
            Err(error)
                if error.kind() == io::ErrorKind::UnexpectedEof
                    && self.has_changed(range.from, range.first)? =>
            {
                return Ok(None);
            }
            Err(error) => return Err(self.io(range.from, error)),
        };
        let next = behind.unwrap_or(range.first);
        self.walk = Walk::new(self.file.clone(), generation, range.to, next);
        Ok(Some(match behind {
            None => Seen::Unfinished { from: range.from, to: range.to },
            Some(_) => self.damage(Range { next, ..range }),
        }))
    }

    /// Returns whether the file has grown or was cut since its length was read; if so, the walk begins
    /// again at `offset`, where the frame `expected` should be.
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
