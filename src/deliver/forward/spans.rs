//! A span for each delivery on the main lane, from its reading until nothing of it is on its way. Held topics' events
//! come later: the span has the number of such topics.

use std::collections::VecDeque;

use crate::{
    observe::traces::{Span, Traces},
    source::UnixMillis,
    spool::{StoredDelivery, position::Position},
};

/// Limit of open spans: as many as a window of the smallest deliveries opens.
const MAX_OPEN_SPANS: usize = 1024;

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

    /// Opens the span of `stored`, in which the main lane has found `events`, `refused` of them dead letters. A
    /// delivery that is read again keeps its span.
    pub fn begin(&mut self, stored: &StoredDelivery, events: usize, refused: usize) {
        let known = self.open.back().is_some_and(|(last, ..)| *last >= stored.sequence);
        if known || self.open.len() >= MAX_OPEN_SPANS {
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

    /// Ends the spans of deliveries before `low`, which are settled. `note` gets the times of receipt and the traces.
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

/// Marks the open spans as not settled: a stop came first, and the next start delivers them.
impl Drop for Spans {
    fn drop(&mut self) {
        for (.., span) in &mut self.open {
            span.set("millrace.settled", false);
        }
    }
}
