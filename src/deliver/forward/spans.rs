//! A span for each delivery on the main lane, from when it is read until nothing of it is on its way. Of
//! topics that are held it tells how many there are; their events come later.

use std::collections::VecDeque;

use crate::{
    observe::traces::{Span, Traces},
    source::UnixMillis,
    spool::{StoredDelivery, position::Position},
};

/// What a window of the smallest deliveries could open; those beyond it have none.
const LIMIT: usize = 1024;

#[derive(Default)]
pub(super) struct Spans {
    traces: Traces,
    /// By sequence number, oldest first, with the receipt of the delivery.
    open: VecDeque<(u64, UnixMillis, Span)>,
}

impl Spans {
    pub fn new(traces: Traces) -> Self {
        Self { traces, open: VecDeque::new() }
    }

    pub fn are_on(&self) -> bool {
        self.traces.are_on()
    }

    /// The main lane has found `events` in `stored`, `refused` of them dead letters. One that is read again
    /// has its span.
    pub fn begin(&mut self, stored: &StoredDelivery, events: usize, refused: usize) {
        let known = self.open.back().is_some_and(|(last, ..)| *last >= stored.sequence);
        if known || self.open.len() >= LIMIT {
            return;
        }
        let delivery = &stored.delivery;
        let mut span = self.traces.forwarding(delivery.source.as_str(), &delivery.headers);
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        span.set("millrace.position", stored.sequence.to_string());
        span.set("millrace.events", number(events));
        span.set("millrace.events.refused", number(refused));
        self.open.push_back((stored.sequence, delivery.received_at, span));
    }

    /// Everything before `low` is settled. `note` is given when the deliveries were received, and their traces.
    pub fn end_before(
        &mut self,
        low: Position,
        held_topics: usize,
        mut note: impl FnMut(UnixMillis, String),
    ) {
        while self.open.front().is_some_and(|(sequence, ..)| *sequence < low.sequence) {
            let Some((_, received_at, mut span)) = self.open.pop_front() else { return };
            if let Some(trace) = span.trace_id() {
                note(received_at, trace);
            }
            span.set("millrace.held_topics", i64::try_from(held_topics).unwrap_or(i64::MAX));
            span.set("millrace.settled", true);
        }
    }
}

/// A stop came first: they are delivered after the next start.
impl Drop for Spans {
    fn drop(&mut self) {
        for (.., span) in &mut self.open {
            span.set("millrace.settled", false);
        }
    }
}
