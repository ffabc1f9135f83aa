//! Events that the source's selection leaves out: each is counted once, remembered for the console, and logged now and
//! then.
//!
//! An event that is left out is finished as soon as a lane has come to it: it is passed, as a repeat is. A repeat has
//! to be remembered for the lanes that go back, since ids are forgotten. An event that is left out has not: the verdict
//! is the same on each lane, each time and in each process (`in_force.rs`). The main lane comes to every event, so it
//! counts, and does not count again after it went back.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use prometheus::IntCounterVec;

use super::Now;
use crate::{
    deliver::{in_force::InForce, select::LeftOut},
    event::{Decoded, Event},
    source::SourceName,
    spool::position::Position,
};

/// Shortest time between two log lines of the same kind.
const LOG_INTERVAL: Duration = Duration::from_secs(600);

pub(super) struct LeftOuts {
    selections: InForce,
    counters: IntCounterVec,
    /// The last counted event.
    last: Option<Position>,
    /// Time of the last log line by kind, and how many events came since.
    logged: BTreeMap<LeftOut, (Instant, u64)>,
}

impl LeftOuts {
    pub fn new(selections: InForce, counters: IntCounterVec) -> Self {
        Self { selections, counters, last: None, logged: BTreeMap::new() }
    }

    /// Why the event of the delivery `sequence` is left out, if it is.
    pub fn why(&self, sequence: u64, event: &Event<'_>) -> Option<LeftOut> {
        self.selections.leaves_out(sequence, event)
    }

    /// Refuses each event of the delivery whose verdict depends on an id that cannot be read.
    pub fn refuse_doubtful(&self, sequence: u64, events: &mut [Decoded<'_>]) {
        self.selections.refuse_doubtful(sequence, events);
    }

    /// The main lane leaves out the event at `position`; `false` when it has done so before.
    pub fn note(
        &mut self,
        source: &SourceName,
        event: &Event<'_>,
        position: Position,
        why: LeftOut,
        now: Now,
    ) -> bool {
        if self.last.is_some_and(|last| position <= last) {
            return false;
        }
        self.last = Some(position);
        self.counters.with_label_values(&[source.as_str(), why.as_str()]).inc();
        self.log(source, event, position, why, now);
        true
    }

    fn log(
        &mut self,
        source: &SourceName,
        event: &Event<'_>,
        position: Position,
        why: LeftOut,
        now: Now,
    ) {
        let (at, events) = self.logged.get(&why).copied().unzip();
        let events = events.unwrap_or(0) + 1;
        if let Some(at) = at.filter(|at| now.instant < *at + LOG_INTERVAL) {
            self.logged.insert(why, (at, events));
            return;
        }
        self.logged.insert(why, (now.instant, 0));
        let munchkin_id = event.munchkin_id.as_deref().map(shown).unwrap_or_default();
        tracing::info!(
            %source,
            why = why.as_str(),
            events,
            last = %position,
            stream = event.stream.as_str(),
            r#type = &*event.event_type,
            activity_type_id = event.activity_type_id,
            munchkin_id,
            key = %format_args!("sources.{source}.{}", why.key()),
            "events are left out; the fields describe the last one",
        );
    }
}

/// Makes a munchkin id fit for the log: a sender may have written anything there.
fn shown(id: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '?' };
    id.chars().take(24).map(legal).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, clock, place},
        *,
    };
    use crate::event::{Attributes, Pieces, Stream};

    fn audit() -> Event<'static> {
        Event {
            index: 0,
            stream: Stream::UserAudit,
            event_type: "user".into(),
            munchkin_id: None,
            activity_type_id: None,
            key: None,
            attributes: Attributes::default(),
            headers: Vec::new(),
            value: Pieces::default(),
            original: b"",
            members: None,
            lead_state: None,
        }
    }

    #[test]
    fn what_is_left_out_is_counted_once_however_often_the_lane_goes_back() {
        let place = place();
        let now = clock();
        let source = place.spool.source().clone();
        let counters = place.metrics.left_out.clone();
        let mut left_out = LeftOuts::new(InForce::default(), counters.clone());
        let mut note =
            |sequence| left_out.note(&source, &audit(), at(sequence), LeftOut::Stream, now(0));
        assert_eq!([1, 3, 2, 3, 4].map(&mut note), [true, true, false, false, true]);
        assert_eq!(counters.with_label_values(&["leads", "stream"]).get(), 3);
    }

    #[test]
    fn the_log_tells_of_each_reason_at_once_and_then_every_ten_minutes() {
        let place = place();
        let now = clock();
        let source = place.spool.source().clone();
        let mut left_out = LeftOuts::new(InForce::default(), place.metrics.left_out.clone());
        let logged = |left_out: &LeftOuts, why| left_out.logged[&why];
        for (sequence, seconds, since) in [(1, 0, 0), (2, 1, 1), (3, 599, 2), (4, 600, 0)] {
            left_out.note(&source, &audit(), at(sequence), LeftOut::Stream, now(seconds));
            assert_eq!(logged(&left_out, LeftOut::Stream).1, since, "{seconds}");
        }
        left_out.note(&source, &audit(), at(5), LeftOut::Instance, now(601));
        assert_eq!(logged(&left_out, LeftOut::Instance).1, 0);
    }

    #[test]
    fn an_odd_munchkin_id_does_not_write_the_log() {
        assert_eq!(shown("999-XYZ-000"), "999-XYZ-000");
        assert_eq!(shown("a\nb\u{1b}[31m"), "a?b??31m");
        assert_eq!(shown(&"x".repeat(1000)).len(), 24);
    }
}
