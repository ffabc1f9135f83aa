//! Recent rates and counts, from differences of the metrics' counters: no event pays for them.
//!
//! All counters are read every [`READ_INTERVAL`]. Each counter that ever counted keeps its totals of the last minute
//! by reading, of the last hour by minute, and of the last day by quarter of an hour. Labels are bounded, and so is
//! this.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prometheus::core::Collector;

use crate::observe::metrics::Metrics;

pub const READ_INTERVAL: Duration = Duration::from_secs(5);
/// Minutes of the last hour.
pub const HISTORY_MINUTES: usize = 60;
/// Readings of the last minute, with both ends.
const READINGS_IN_A_MINUTE: usize = 13;
const QUARTERS_IN_A_DAY: usize = 96;
const MINUTES_IN_A_QUARTER: u64 = 15;

/// Kind of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeriesKind {
    /// Requests, by source and outcome.
    Outcome,
    /// Refusals, by source and reason.
    Refusal,
    /// Events, by source and topic.
    Event,
    /// Dead letters, by source and reason. An event that went to quarantine counts with the dead letter that points to
    /// it.
    Dead,
    Repeat,
    /// Answers 200 that say how far a delivery is, by source and that word.
    Answer,
    /// Undelivered bytes of a source: a level, not a count.
    Backlog,
}

type Key = (SeriesKind, String, String);

#[derive(Default)]
pub struct Rates(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    began: Option<Instant>,
    /// Minutes since `began`.
    minute: u64,
    series: BTreeMap<Key, Series>,
    readings: VecDeque<Instant>,
}

/// Totals of one counter at past readings, the newest last.
#[derive(Clone, Default)]
struct Series {
    now: f64,
    readings: VecDeque<f64>,
    minutes: VecDeque<f64>,
    quarters: VecDeque<f64>,
}

/// Total, rate and history of the series that were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    pub total: f64,
    pub per_second: f64,
    pub last_minute: f64,
    pub last_day: f64,
    /// The oldest minute first; the last one is under way.
    pub minutes: Vec<f64>,
}

impl Rates {
    pub fn look(&self, metrics: &Metrics) {
        self.take(Instant::now(), read(metrics));
    }

    /// Takes the counts of now between two readings. Rates stay those between readings.
    pub fn catch_up(&self, metrics: &Metrics) {
        self.count(read(metrics));
    }

    fn count(&self, totals: BTreeMap<Key, f64>) {
        let mut inner = self.0.lock();
        for (key, total) in totals {
            inner.series.entry(key).or_default().now = total;
        }
    }

    fn take(&self, now: Instant, totals: BTreeMap<Key, f64>) {
        let mut inner = self.0.lock();
        let began = *inner.began.get_or_insert(now);
        let minute = now.duration_since(began).as_secs() / 60;
        let passed = minute
            .saturating_sub(inner.minute)
            .min(MINUTES_IN_A_QUARTER * QUARTERS_IN_A_DAY as u64);
        let quarters =
            (minute / MINUTES_IN_A_QUARTER).saturating_sub(inner.minute / MINUTES_IN_A_QUARTER);
        inner.minute = minute;
        inner.readings.push_back(now);
        if inner.readings.len() > READINGS_IN_A_MINUTE {
            inner.readings.pop_front();
        }
        let readings = inner.readings.len();
        for (key, total) in totals {
            inner.series.entry(key).or_default().now = total;
        }
        for series in inner.series.values_mut() {
            // Ends of minutes that went by: the best known total of then is that of the last reading.
            for _ in 0..passed.min(HISTORY_MINUTES as u64) {
                let last = series.readings.back().copied().unwrap_or_default();
                push(&mut series.minutes, last, HISTORY_MINUTES);
            }
            for _ in 0..quarters.min(QUARTERS_IN_A_DAY as u64) {
                let last = series.readings.back().copied().unwrap_or_default();
                push(&mut series.quarters, last, QUARTERS_IN_A_DAY);
            }
            push(&mut series.readings, series.now, readings);
        }
    }

    /// Sums the series that `wanted` takes, by kind, source and further label.
    pub fn sum(&self, wanted: impl Fn(SeriesKind, &str, &str) -> bool) -> Totals {
        let inner = self.0.lock();
        let mut late = Totals {
            total: 0.0,
            per_second: 0.0,
            last_minute: 0.0,
            last_day: 0.0,
            minutes: vec![0.0; HISTORY_MINUTES],
        };
        // The reading that is nearest to ten seconds ago.
        let back = inner.readings.len().saturating_sub(1).min(2);
        let since =
            inner.readings.len().checked_sub(1 + back).and_then(|at| inner.readings.get(at));
        let seconds =
            since.zip(inner.readings.back()).map(|(a, b)| b.duration_since(*a).as_secs_f64());
        for ((_, _, _), series) in inner.series.iter().filter(|((w, a, b), _)| wanted(*w, a, b)) {
            late.total += series.now;
            let before =
                series.readings.len().checked_sub(1 + back).map_or(0.0, |at| series.readings[at]);
            if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) {
                // Not `now`, which may be of later than the last reading.
                let last = series.readings.back().copied().unwrap_or_default();
                late.per_second += (last - before).max(0.0) / seconds;
            }
            let minute_ago = match series.readings.len() < inner.readings.len() {
                true => 0.0,
                false => series.readings.front().copied().unwrap_or(0.0),
            };
            let is_young = inner.readings.len() < READINGS_IN_A_MINUTE;
            late.last_minute += series.now - if is_young { 0.0 } else { minute_ago };
            let day = series.quarters.len() >= QUARTERS_IN_A_DAY;
            late.last_day += series.now - if day { series.quarters[0] } else { 0.0 };
            let ends = series.minutes.iter().chain([&series.now]);
            let first = (HISTORY_MINUTES + 1).saturating_sub(series.minutes.len() + 1);
            let mut before = 0.0;
            for (at, end) in ends.enumerate() {
                let place = (first + at).checked_sub(1);
                if let Some(place) = place.filter(|place| *place < HISTORY_MINUTES) {
                    late.minutes[place] += (end - before).max(0.0);
                }
                before = *end;
            }
        }
        late
    }

    /// Returns the values themselves at the ends of minutes, for a level.
    pub fn values(&self, wanted: impl Fn(SeriesKind, &str) -> bool) -> Vec<f64> {
        let inner = self.0.lock();
        let mut values = vec![0.0; HISTORY_MINUTES];
        for (_, series) in inner.series.iter().filter(|((w, a, _), _)| wanted(*w, a)) {
            let ends = series.minutes.iter().chain([&series.now]).rev();
            for (value, end) in values.iter_mut().rev().zip(ends) {
                *value += end;
            }
        }
        values
    }

    /// Returns the further labels that one source has ever counted.
    pub fn labels(&self, what: SeriesKind, source: &str) -> Vec<String> {
        let inner = self.0.lock();
        let all = inner.series.keys().filter(|(w, a, _)| *w == what && a == source);
        all.map(|(_, _, label)| label.clone()).collect()
    }

    /// Returns all pairs of a source and a further label that have ever counted.
    pub fn pairs(&self, what: SeriesKind) -> Vec<(String, String)> {
        let inner = self.0.lock();
        let all = inner.series.keys().filter(|(w, _, _)| *w == what);
        all.map(|(_, source, label)| (source.clone(), label.clone())).collect()
    }
}

fn push(ring: &mut VecDeque<f64>, value: f64, limit: usize) {
    ring.push_back(value);
    while ring.len() > limit {
        ring.pop_front();
    }
}

/// Reads all counters that are above zero, and all levels.
fn read(metrics: &Metrics) -> BTreeMap<Key, f64> {
    let mut totals = BTreeMap::new();
    let mut take = |what, family: &dyn Collector, label: &str| {
        for family in family.collect() {
            for metric in family.get_metric() {
                let of = |name: &str| {
                    let pair = metric.get_label().iter().find(|pair| pair.name() == name);
                    pair.map(|pair| pair.value().to_owned()).unwrap_or_default()
                };
                let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
                if value > 0.0 || what == SeriesKind::Backlog {
                    let label = if label.is_empty() { String::new() } else { of(label) };
                    *totals.entry((what, of("source"), label)).or_default() += value;
                }
            }
        }
    };
    take(SeriesKind::Outcome, &metrics.deliveries, "outcome");
    take(SeriesKind::Refusal, &metrics.refusals, "reason");
    take(SeriesKind::Event, &metrics.events, "topic");
    take(SeriesKind::Dead, &metrics.dead_letters, "reason");
    take(SeriesKind::Repeat, &metrics.duplicates, "");
    take(SeriesKind::Answer, &metrics.answers, "answer");
    take(SeriesKind::Backlog, &metrics.spool_bytes, "");
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(n: f64) -> BTreeMap<Key, f64> {
        [((SeriesKind::Event, "leads".to_owned(), "a".to_owned()), n)].into()
    }

    /// The dead letter that points to quarantine and the item there are one event.
    #[test]
    fn a_dead_letter_whose_original_is_in_quarantine_is_counted_once() {
        let metrics = Metrics::default();
        metrics.quarantined.with_label_values(&["leads", "not-json"]).inc();
        metrics.dead_letters.with_label_values(&["leads", "not-json"]).inc();
        let rates = Rates::default();
        rates.look(&metrics);
        assert_eq!(rates.sum(|what, _, _| what == SeriesKind::Dead).total, 1.0);
    }

    #[test]
    fn rates_minutes_and_days_are_differences_of_totals() {
        let rates = Rates::default();
        let began = Instant::now();
        // One a second for two hours.
        for at in 0..=(2 * 3600 / 5) {
            rates.take(began + READ_INTERVAL * at, totals(f64::from(at) * 5.0));
        }
        let late = rates.sum(|what, source, _| what == SeriesKind::Event && source == "leads");
        assert_eq!(late.total, 7200.0);
        assert!((late.per_second - 1.0).abs() < 0.01, "{late:?}");
        assert!((late.last_minute - 60.0).abs() < 1.0, "{late:?}");
        assert_eq!(late.last_day, 7200.0);
        assert_eq!(late.minutes.len(), HISTORY_MINUTES);
        assert!(
            late.minutes[1..HISTORY_MINUTES - 1].iter().all(|n| (n - 60.0).abs() < 1.0),
            "{late:?}"
        );
        let total: f64 = late.minutes.iter().sum();
        assert!((3500.0..=3600.0).contains(&total), "{total}");
    }

    #[test]
    fn counts_are_those_of_now_and_rates_those_between_readings() {
        let rates = Rates::default();
        let began = Instant::now();
        rates.count(totals(2.0));
        assert_eq!(rates.sum(|_, _, _| true).last_day, 2.0, "before the first reading");
        for at in 0..=4 {
            rates.take(began + READ_INTERVAL * at, totals(f64::from(at) * 5.0));
        }
        rates.count(totals(27.0));
        let late = rates.sum(|_, _, _| true);
        assert_eq!((late.total, late.last_day, late.last_minute), (27.0, 27.0, 27.0));
        assert!((late.per_second - 1.0).abs() < 0.01, "{late:?}");
        assert_eq!(late.minutes.last(), Some(&27.0));
        // A quarter of an hour later these count as of before, once.
        rates.take(began + Duration::from_secs(900), totals(30.0));
        assert_eq!(rates.sum(|_, _, _| true).last_day, 30.0);
    }

    #[test]
    fn counts_of_more_than_a_day_ago_leave_the_day() {
        let rates = Rates::default();
        let began = Instant::now();
        rates.take(began, totals(5.0));
        for hour in 1..=26_u32 {
            rates.take(began + Duration::from_secs(3600) * hour, totals(6.0));
        }
        let late = rates.sum(|_, _, _| true);
        assert_eq!((late.last_day, late.last_minute, late.total), (0.0, 0.0, 6.0));
    }
}
