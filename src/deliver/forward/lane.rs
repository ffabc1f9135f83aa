//! A lane: one pass over the spool. The main lane carries every topic that is not held; a held topic
//! comes back on a lane of its own (`held.rs`).

use super::window::{LaneId, Slot, Window};
use crate::spool::{Next, ReadError, Reader, StoredDelivery, position::Position};

pub(super) struct Lane {
    reader: Reader,
    next: Position,
    /// The delivery that `next` lies in, once it was read.
    current: Option<StoredDelivery>,
    window: Window,
}

impl Lane {
    /// `reader` may stand anywhere; it is moved to `from`.
    pub fn new(id: LaneId, mut reader: Reader, from: Position) -> Self {
        reader.seek(from.sequence);
        Self { reader, next: from, current: None, window: Window::new(id) }
    }

    pub fn id(&self) -> LaneId {
        self.window.lane()
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    pub fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    /// Its unsettled events.
    pub fn owed(&self) -> impl Iterator<Item = &Slot> {
        self.window.iter().filter(|slot| !slot.state.is_done())
    }

    /// The first event that this lane has not looked at.
    pub fn next(&self) -> Position {
        self.next
    }

    /// The oldest event of this lane that is not settled: everything before it is delivered.
    pub fn low(&self) -> Position {
        self.window.oldest().map_or(self.next, |slot| slot.position)
    }

    /// The delivery in which `next` lies, to be given back with [`Lane::park`] or left behind with
    /// [`Lane::pass`].
    pub fn take(&mut self) -> Result<Next, ReadError> {
        match self.current.take() {
            Some(delivery) => Ok(Next::Delivery(delivery)),
            None => self.reader.next(),
        }
    }

    /// Comes back to event `next` of `delivery` later.
    pub fn park(&mut self, delivery: StoredDelivery, next: u32) {
        self.next = Position { sequence: delivery.sequence, index: next };
        self.current = Some(delivery);
    }

    /// Goes on behind delivery (or damage) `sequence`.
    pub fn pass(&mut self, next_sequence: u64) {
        self.next = Position::start_of(next_sequence);
    }

    /// Lets the delivery at `sequence` be read once more: it could not be handled.
    pub fn read_again_from(&mut self, sequence: u64) {
        self.reader.seek(sequence);
    }

    /// Index of the first event of the delivery `sequence` that was not looked at yet.
    pub fn skip(&self, sequence: u64) -> u32 {
        if sequence == self.next.sequence { self.next.index } else { 0 }
    }

    /// Goes back (or forward) to `position` and forgets the records on their way.
    pub fn rewind(&mut self, position: Position) {
        self.window.clear();
        self.current = None;
        self.next = position;
        self.reader.seek(position.sequence);
    }
}
