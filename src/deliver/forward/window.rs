//! The window: the records of one lane that the sink has and that are not settled, in the order of the spool.
//!
//! Its oldest unsettled slot is how far the lane is delivered. Slots settle in any order and leave
//! from the front, so every everyday operation is constant time and allocates nothing.

use std::{collections::VecDeque, time::Instant};

use super::{refusal::TOPIC_LIMIT, topics::TopicId};
use crate::{
    deliver::deduplicate::{Identity, RestsOn},
    event::Stream,
    kafka::produce::Token,
    source::UnixMillis,
    spool::position::Position,
};

/// Bits of a token that count slots; the bits above name the lane.
const INDEX_BITS: u32 = 40;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

/// Memory of the client library for a record and its headers, beside their bytes; counted so that many small records
/// cannot outgrow the configured queue.
pub(super) const RECORD_OVERHEAD: usize = 1024;

/// Limit of events in a lane's window, settled ones behind an unsettled one included: they
/// take memory, and a crash repeats them.
pub(super) const MAX_SLOTS: usize = 1 << 18;

/// One event on its way.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub position: Position,
    /// The topic of its record: the dead-letter topic for a dead letter.
    pub topic: TopicId,
    /// The event's own topic; none for an undecodable element and for a topic that is not known.
    pub belongs_to: Option<TopicId>,
    /// The id to be remembered once the slot is settled; none for an event that is never a repeat.
    pub identity: Option<Identity>,
    /// For a passed-over repeat: the event that it rests on.
    pub rests_on: Option<RestsOn>,
    /// Bytes that it takes in the sink's queue, [`RECORD_OVERHEAD`] included.
    pub size: usize,
    pub since: Instant,
    /// When its delivery was received; 0 where that is not known any more.
    pub received_at: UnixMillis,
    /// The total of answers by which it should have had its own (`pace.rs`).
    pub turn: u64,
    pub carries: Carries,
    pub state: State,
    /// The error, kept for the case that its dead letter has to be written again.
    pub error: Option<Box<str>>,
}

impl Slot {
    /// Whether the event may be one of `topic`'s. A name over the limit of topics is not
    /// remembered, so an event refused for that may belong to any topic that was made since.
    pub fn may_belong_to(&self, topic: TopicId) -> bool {
        match self.belongs_to {
            Some(own) => own == topic,
            None => self.is_over_limit(),
        }
    }

    pub fn is_over_limit(&self) -> bool {
        matches!(self.carries, Carries::DeadLetter { reason: TOPIC_LIMIT, .. })
    }
}

/// Content of a slot's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    /// An event of this stream; or a lead's state, which counts as none.
    Event(Option<Stream>),
    /// A dead letter, with the reason that metrics count; or only a pointer to quarantine.
    DeadLetter { reason: &'static str, pointer: bool },
}

impl Carries {
    pub fn is_event(self) -> bool {
        matches!(self, Self::Event(_))
    }

    /// The reason of a dead letter.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Event(_) => None,
            Self::DeadLetter { reason, .. } => Some(reason),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The sink has it.
    Outstanding,
    /// The sink gave it back; it must be sent again.
    Failed,
    /// Refused: it is to become a dead letter, or to go to quarantine.
    Refused,
    /// Delivered, dead-lettered or in quarantine.
    Settled,
    /// Not delivered here: the lane of its held topic reads it again.
    Left,
}

impl State {
    /// Whether the lane may pass it.
    pub fn is_done(self) -> bool {
        match self {
            Self::Outstanding | Self::Failed | Self::Refused => false,
            Self::Settled | Self::Left => true,
        }
    }
}

/// The lane of a slot; never reused while one of its tokens may be outstanding.
pub(super) type LaneId = u16;

#[derive(Debug)]
pub(super) struct Window {
    lane: LaneId,
    slots: VecDeque<Slot>,
    /// The index of the front slot; counts on for ever and wraps within `INDEX_MASK`.
    front: usize,
    /// Bytes of all unsettled slots.
    bytes: usize,
}

impl Window {
    pub fn new(lane: LaneId) -> Self {
        Self::starting_at(lane, 0)
    }

    fn starting_at(lane: LaneId, front: usize) -> Self {
        Self { lane, slots: VecDeque::new(), front, bytes: 0 }
    }

    /// The token that the next pushed slot will have.
    pub fn next_token(&self) -> Token {
        self.token_at(self.slots.len())
    }

    fn token_at(&self, offset: usize) -> Token {
        let index = self.front.wrapping_add(offset) & INDEX_MASK;
        (usize::from(self.lane) << INDEX_BITS) | index
    }

    pub fn lane(&self) -> LaneId {
        self.lane
    }

    pub fn push(&mut self, slot: Slot) {
        if !slot.state.is_done() {
            self.bytes += slot.size;
        }
        self.slots.push_back(slot);
    }

    pub fn lane_of(token: Token) -> LaneId {
        // The bits above `INDEX_BITS` are what `next_token` put there.
        (token >> INDEX_BITS) as LaneId
    }

    pub fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        let offset = (token & INDEX_MASK).wrapping_sub(self.front) & INDEX_MASK;
        self.slots.get_mut(offset)
    }

    pub fn get(&self, token: Token) -> Option<&Slot> {
        let offset = (token & INDEX_MASK).wrapping_sub(self.front) & INDEX_MASK;
        self.slots.get(offset)
    }

    /// Settles the slot: its event is delivered, a dead letter, or in quarantine.
    pub fn settle(&mut self, token: Token) {
        self.finish(token, State::Settled);
    }

    /// Leaves the slot's event to another lane.
    pub fn leave(&mut self, token: Token) {
        self.finish(token, State::Left);
    }

    /// Leaves the unsettled slots of which `is_meant` holds.
    pub fn take_out(&mut self, is_meant: impl Fn(&Slot) -> bool) {
        let slots = self.slots.iter().enumerate();
        let meant = slots.filter(|(_, slot)| !slot.state.is_done() && is_meant(slot));
        let tokens: Vec<_> = meant.map(|(offset, _)| self.token_at(offset)).collect();
        tokens.into_iter().for_each(|token| self.leave(token));
    }

    fn finish(&mut self, token: Token, state: State) {
        let Some(slot) = self.slot(token) else { return };
        if !slot.state.is_done() {
            slot.state = state;
            let size = slot.size;
            self.bytes -= size;
        }
        while self.slots.front().is_some_and(|slot| slot.state.is_done()) {
            self.slots.pop_front();
            self.front = (self.front + 1) & INDEX_MASK;
        }
    }

    /// Number of slots from the oldest unsettled one on, settled ones behind it included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The oldest unsettled slot: always the front one.
    pub fn oldest(&self) -> Option<&Slot> {
        self.slots.front()
    }

    /// The oldest slot that is neither settled nor merely waiting to become a dead letter.
    pub fn oldest_on_its_way(&self) -> Option<&Slot> {
        let mut slots = self.slots.iter();
        slots.find(|slot| !slot.state.is_done() && slot.state != State::Refused)
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of all unsettled slots.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// Forgets every slot, for a reader that goes back. Tokens are not reused.
    pub fn clear(&mut self) {
        self.front = self.front.wrapping_add(self.slots.len()) & INDEX_MASK;
        self.slots.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(sequence: u64) -> Slot {
        Slot {
            position: Position::start_of(sequence),
            topic: TopicId::default(),
            belongs_to: None,
            identity: None,
            rests_on: None,
            size: 10 + RECORD_OVERHEAD,
            since: Instant::now(),
            received_at: 0,
            turn: 0,
            carries: Carries::Event(Some(Stream::Other)),
            state: State::Outstanding,
            error: None,
        }
    }

    fn push(window: &mut Window, sequence: u64) -> Token {
        let token = window.next_token();
        window.push(slot(sequence));
        token
    }

    #[test]
    fn the_oldest_unsettled_slot_stands_in_front() {
        let mut window = Window::new(3);
        let tokens: Vec<_> = (1..=3).map(|sequence| push(&mut window, sequence)).collect();
        window.settle(tokens[1]);
        assert_eq!(window.oldest().unwrap().position, Position::start_of(1));
        window.settle(tokens[0]);
        assert_eq!(window.oldest().unwrap().position, Position::start_of(3));
        window.settle(tokens[2]);
        assert!(window.is_empty());
        assert_eq!(window.bytes(), 0);
    }

    #[test]
    fn tokens_survive_the_wrap_around_of_their_index() {
        let mut window = Window::starting_at(7, INDEX_MASK - 1);
        let tokens: Vec<_> = (1..=4).map(|sequence| push(&mut window, sequence)).collect();
        for (sequence, token) in (1..).zip(&tokens) {
            assert_eq!(Window::lane_of(*token), 7);
            assert_eq!(window.slot(*token).unwrap().position, Position::start_of(sequence));
        }
        for token in tokens {
            window.settle(token);
        }
        assert!(window.is_empty());
    }

    #[test]
    fn a_token_from_before_a_clear_names_nothing() {
        let mut window = Window::new(1);
        let old = push(&mut window, 1);
        window.clear();
        push(&mut window, 1);
        assert!(window.slot(old).is_none());
    }

    #[test]
    fn settling_twice_counts_once() {
        let mut window = Window::new(1);
        push(&mut window, 1);
        let second = push(&mut window, 2);
        window.settle(second);
        window.settle(second);
        assert_eq!(window.bytes(), 10 + RECORD_OVERHEAD);
    }
}
