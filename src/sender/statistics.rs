//! Counts answers and records their times.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use super::http::Answer;

/// Times in microseconds with three significant digits, from 1 µs to a minute; longer ones count as a
/// minute.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

const LONGEST_MICROS: u64 = 60_000_000;

impl Times {
    pub fn new() -> Self {
        let times = Histogram::new_with_bounds(1, LONGEST_MICROS, 3)
            .expect("the bounds are constants of the right order");
        Self(times)
    }

    pub fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.clamp(1, LONGEST_MICROS));
    }

    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns the time within which `quantile` (0 to 1) of all were answered; `None` without any.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.value_at_quantile(quantile)))
    }

    pub fn longest(&self) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.max()))
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers and their times, as the sender saw them.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that got no answer: time-outs and broken connections.
    pub unanswered: u64,
    /// Times of the answers, whatever the status.
    pub times: Times,
}

impl Statistics {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn record(&mut self, answer: &Answer, elapsed: Duration) {
        match answer {
            Answer::Status(status) => {
                *self.statuses.entry(status.as_u16()).or_default() += 1;
                self.times.record(elapsed);
            }
            Answer::None(_) => self.unanswered += 1,
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.unanswered += other.unanswered;
        self.times.add(&other.times);
    }

    /// Returns the number of requests that were answered, whatever the status.
    pub fn answered(&self) -> u64 {
        self.times.count()
    }

    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        self.times.quantile(quantile)
    }

    pub fn longest(&self) -> Option<Duration> {
        self.times.longest()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn answers_are_counted_by_status_and_silence_apart() {
        let mut statistics = Statistics::new();
        statistics.record(&Answer::Status(StatusCode::OK), millis(1));
        statistics.record(&Answer::Status(StatusCode::OK), millis(2));
        statistics.record(&Answer::Status(StatusCode::SERVICE_UNAVAILABLE), millis(3));
        statistics.record(&Answer::None("timed out".into()), millis(20_000));
        assert_eq!(statistics.statuses, [(200, 2), (503, 1)].into());
        assert_eq!((statistics.answered(), statistics.unanswered), (3, 1));
    }

    #[test]
    fn quantiles_are_right_within_a_thousandth() {
        let mut statistics = Statistics::new();
        assert_eq!(statistics.quantile(0.5), None);
        for n in 1..=1000 {
            statistics.record(&Answer::Status(StatusCode::OK), millis(n));
        }
        let near = |quantile: f64, expected: u64| {
            let found = statistics.quantile(quantile).unwrap().as_secs_f64();
            let expected = millis(expected).as_secs_f64();
            assert!((found / expected - 1.0).abs() < 0.002, "{found} for {expected}");
        };
        near(0.5, 500);
        near(0.99, 990);
        near(1.0, 1000);
    }

    #[test]
    fn two_can_be_added() {
        let mut one = Statistics::new();
        let mut two = Statistics::new();
        one.record(&Answer::Status(StatusCode::OK), millis(1));
        two.record(&Answer::Status(StatusCode::OK), Duration::from_secs(3600));
        two.record(&Answer::None(String::new()), millis(1));
        one.add(&two);
        assert_eq!((one.statuses[&200], one.answered(), one.unanswered), (2, 2, 1));
        assert!(one.longest().unwrap() >= Duration::from_secs(59));
    }
}
