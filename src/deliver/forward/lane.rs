//! A lane: one pass over the spool. The main lane carries every topic that is not held; a held topic
//! comes back on a lane of its own (`held.rs`).
//!
//! There may be many lanes of held topics (`forward.held_topics`), so each of them keeps little: no large delivery between
//! two turns, and nothing while its topic waits. It reads them again instead.

use super::{
    MAIN_LANE,
    window::{LaneId, Slot, Window},
};
use crate::spool::{Next, ReadError, Reader, StoredDelivery, position::Position};

/// Size of the largest body that the lane of a held topic keeps between two turns.
const MAX_KEPT: usize = 256 * 1024;

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
        if self.id() == MAIN_LANE || delivery.delivery.body.len() <= MAX_KEPT {
            self.current = Some(delivery);
        } else {
            self.reader.seek(delivery.sequence);
        }
    }

    /// Keeps nothing in memory for a while. The lane stays where it is.
    pub fn release(&mut self) {
        if let Some(delivery) = self.current.take() {
            self.reader.seek(delivery.sequence);
        }
        self.reader.release();
    }

    /// Goes on with delivery `next_sequence`, behind another one or behind damage. Damage may have cost no delivery, and lie
    /// in front of one in which the lane stands: it does not go back to that one's first event.
    pub fn pass(&mut self, next_sequence: u64) {
        self.next = self.next.max(Position::start_of(next_sequence));
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{
        super::tests::{Place, at, place},
        *,
    };
    use crate::{
        delivery::{Authenticated, Delivery},
        ingest::authenticate::proof::Proof,
    };

    fn store(place: &mut Place, size: usize) {
        let delivery = Delivery {
            source: place.spool.source().clone(),
            received_at: 1,
            headers: Vec::new(),
            body: Bytes::from(vec![b'x'; size]),
        };
        let group = [Authenticated::new(delivery, Proof::by_operator())];
        place.writer.append_group(&group).unwrap();
    }

    fn take(lane: &mut Lane) -> StoredDelivery {
        let Next::Delivery(delivery) = lane.take().unwrap() else { panic!("there is none") };
        delivery
    }

    #[test]
    fn damage_without_a_delivery_in_it_does_not_take_a_lane_back_to_events_that_it_has_passed() {
        let place = place();
        let middle = Position { sequence: 35, index: 2 };
        let mut lane = Lane::new(1, place.spool.reader(35), middle);
        lane.pass(35);
        assert_eq!((lane.next(), lane.skip(35)), (middle, 2));
        lane.pass(36);
        assert_eq!(lane.next(), at(36));
    }

    #[test]
    fn the_lane_of_a_held_topic_keeps_no_large_delivery_and_comes_back_to_the_same_event() {
        let mut place = place();
        store(&mut place, MAX_KEPT);
        store(&mut place, MAX_KEPT + 1);
        let mut main = Lane::new(MAIN_LANE, place.spool.reader(1), at(1));
        let mut held = Lane::new(1, place.spool.reader(1), at(1));
        for lane in [&mut main, &mut held] {
            let small = take(lane);
            lane.park(small, 7);
            assert!(lane.current.is_some());
            lane.release();
            assert!(lane.current.is_none());
            let small = take(lane);
            assert_eq!((small.sequence, lane.skip(small.sequence)), (1, 7));
            lane.pass(2);
            let large = take(lane);
            lane.park(large, 3);
        }
        assert!(main.current.is_some() && held.current.is_none());
        let large = take(&mut held);
        assert_eq!((large.sequence, large.delivery.body.len()), (2, MAX_KEPT + 1));
        assert_eq!(held.skip(large.sequence), 3);
    }
}
