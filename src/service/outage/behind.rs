//! The deliveries that were waiting when Kafka came back, until all of them are delivered.

use std::time::{Duration, Instant};

use crate::runtime::readable::{counted, length};

/// The progress of a source.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub source: String,
    /// The first delivery that is not settled.
    pub lowest: u64,
    /// The sequence after the last stored delivery.
    pub end: u64,
    /// Deliveries that are not settled.
    pub waiting: u64,
}

/// Sources that still have some of these deliveries.
#[derive(Debug, Default)]
pub(super) struct Behind(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    source: String,
    /// All of them are delivered once this sequence is reached.
    end: u64,
    deliveries: u64,
    since: Instant,
}

/// A source that has delivered all of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    source: String,
    deliveries: u64,
    took: Duration,
}

impl Behind {
    /// Notes the backlog; Kafka is back at `now`.
    pub fn at(progress: Vec<Progress>, now: Instant) -> Self {
        let waiting = progress.into_iter().filter(|it| it.waiting > 0);
        let one = |it: Progress| Waiting {
            source: it.source,
            end: it.end,
            deliveries: it.waiting,
            since: now,
        };
        Self(waiting.map(one).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns sources that are done by now, each once.
    pub fn delivered(&mut self, progress: &[Progress], now: Instant) -> Vec<Delivered> {
        let is_done = |waiting: &mut Waiting| {
            let now = progress.iter().find(|it| it.source == waiting.source);
            now.is_none_or(|it| it.lowest >= waiting.end)
        };
        let done = self.0.extract_if(.., is_done);
        done.map(|it| Delivered {
            source: it.source,
            deliveries: it.deliveries,
            took: now.saturating_duration_since(it.since),
        })
        .collect()
    }
}

impl Delivered {
    pub fn log(&self) {
        let Self { source, deliveries, took } = self;
        tracing::info!(
            source,
            deliveries,
            seconds = took.as_secs(),
            "the backlog of the outage is delivered: {} in {}",
            counted(*deliveries, "delivery", "deliveries"),
            length(*took),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(lowest: u64, end: u64) -> Vec<Progress> {
        vec![
            Progress { source: "leads".into(), lowest, end, waiting: end - lowest },
            Progress { source: "quiet".into(), lowest: 9, end: 9, waiting: 0 },
        ]
    }

    #[test]
    fn the_backlog_of_an_outage_is_reported_once_it_is_delivered_whatever_comes_meanwhile() {
        let began = Instant::now();
        let mut behind = Behind::at(progress(10, 52), began);
        let later = began + Duration::from_secs(7);
        assert_eq!(behind.delivered(&progress(51, 90), later), []);
        let leads =
            Delivered { source: "leads".into(), deliveries: 42, took: Duration::from_secs(7) };
        assert_eq!(behind.delivered(&progress(52, 95), later), [leads]);
        assert!(behind.is_empty());
        assert_eq!(behind.delivered(&progress(95, 95), later), [], "once");
    }
}
