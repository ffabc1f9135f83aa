//! Forecasts when a source has no more room, from the growth of the backlogs.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::spool::Room;

/// Time over which the rate is computed: a burst is no trend.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Shortest time between two samples that are kept.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
/// Shortest history from which a rate is computed.
pub(super) const MIN_HISTORY: Duration = Duration::from_secs(60);

/// Samples of a backlog's size over the last minutes; bounded by [`WINDOW`] and [`SAMPLE_INTERVAL`].
#[derive(Default)]
struct BacklogGrowth(VecDeque<(Instant, u64)>);

impl BacklogGrowth {
    /// Returns the bytes per second by which a backlog of `bytes` now has grown over the window; 0 while it does not
    /// grow.
    pub fn rate(&mut self, now: Instant, bytes: u64) -> f64 {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
        let before = self.0.front().copied();
        if self.0.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= SAMPLE_INTERVAL)
        {
            self.0.push_back((now, bytes));
        }
        let Some((at, before)) = before else { return 0.0 };
        let passed = now.saturating_duration_since(at);
        match bytes.checked_sub(before) {
            Some(grown) if passed >= MIN_HISTORY => grown as f64 / passed.as_secs_f64(),
            _ => 0.0,
        }
    }
}

/// Returns the seconds until `room` is used up at `rate`: infinite where nothing uses it, 0 where nothing is left.
fn seconds(room: u64, rate: f64) -> f64 {
    match (room, rate) {
        (0, _) => 0.0,
        (_, rate) if rate <= 0.0 => f64::INFINITY,
        (room, rate) => room as f64 / rate,
    }
}

/// Returns the seconds until several sources have used up the `common` room. Each uses it once its own part
/// is used up: `parts` are the rest of each part, and the rate at which it is used.
fn seconds_of_common(parts: &[(u64, f64)], common: u64) -> f64 {
    let mut begins: Vec<_> =
        parts.iter().map(|(part, rate)| (seconds(*part, *rate), *rate)).collect();
    begins.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut at = 0.0;
    let mut together = 0.0;
    let mut left = common as f64;
    for (begins, rate) in begins.into_iter().filter(|(begins, _)| begins.is_finite()) {
        let taken = together * (begins - at);
        if taken >= left {
            break;
        }
        (at, left, together) = (begins, left - taken, together + rate);
    }
    match (left, together) {
        (left, _) if left <= 0.0 => 0.0,
        (_, together) if together <= 0.0 => f64::INFINITY,
        (left, together) => at + left / together,
    }
}

/// The backlog of one source, and its remaining room.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub source: String,
    /// Its undelivered bytes.
    pub bytes: u64,
    pub room: Room,
    /// Whether it has refused a delivery for lack of room, and has got no room since: the rest is less than a delivery.
    pub is_full: bool,
}

/// The remaining room of all sources together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// Bytes on the volume; `None` where it cannot be queried.
    pub volume: Option<u64>,
    /// The part of `spool.size_limit` that is guaranteed to no source.
    pub common: u64,
}

/// The time at which a source accepts no more deliveries, at the present rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Full {
    /// Infinite where the backlog does not grow.
    pub seconds: f64,
    pub of: Bound,
}

/// The limit that is reached then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Source,
    Volume,
    Total,
}

/// Returns the limit at which a full source has the least room.
fn least_room(room: &Room, left: Left) -> Bound {
    let rooms = [
        (room.own, Bound::Source),
        (left.volume.unwrap_or(u64::MAX), Bound::Volume),
        (room.guaranteed.saturating_add(left.common), Bound::Total),
    ];
    rooms.into_iter().min_by_key(|(room, _)| *room).map_or(Bound::Total, |(_, of)| of)
}

/// The growth of all backlogs, from sample to sample.
#[derive(Default)]
pub(super) struct Backlogs {
    total: BacklogGrowth,
    sources: BTreeMap<String, BacklogGrowth>,
}

impl Backlogs {
    /// Takes a sample, and forecasts for each source, in their order, when it will be full.
    pub fn forecast(&mut self, now: Instant, sources: &[Taken], left: Left) -> Vec<Full> {
        let rate_of_all = self.total.rate(now, sources.iter().map(|it| it.bytes).sum());
        let volume = left.volume.map_or(f64::INFINITY, |room| seconds(room, rate_of_all));
        let rates = sources.iter().map(|it| {
            let growth = self.sources.entry(it.source.clone()).or_default();
            (it.room, growth.rate(now, it.bytes))
        });
        let rates: Vec<_> = rates.collect();
        let parts: Vec<_> = rates.iter().map(|(room, rate)| (room.guaranteed, *rate)).collect();
        let common = seconds_of_common(&parts, left.common);
        let one = |(room, rate): &(Room, f64)| {
            // It is full at its own limit, or with the volume, or once its guaranteed part and the common room are
            // used up.
            let bounds = [
                Full { seconds: seconds(room.own, *rate), of: Bound::Source },
                Full { seconds: volume, of: Bound::Volume },
                Full { seconds: seconds(room.guaranteed, *rate).max(common), of: Bound::Total },
            ];
            let [first, ..] = bounds;
            bounds.iter().fold(first, |a, b| if b.seconds < a.seconds { *b } else { a })
        };
        let forecast = |(taken, of): (&Taken, &(Room, f64))| match taken.is_full {
            true => Full { seconds: 0.0, of: least_room(&of.0, left) },
            false => one(of),
        };
        sources.iter().zip(&rates).map(forecast).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn room_for_ten_times_the_growth_of_ten_minutes_lasts_a_hundred() {
        let mut growth = BacklogGrowth::default();
        let began = Instant::now();
        assert_eq!(seconds(10_000, growth.rate(began, 1000)), f64::INFINITY);
        let rate = growth.rate(began + 10 * MINUTE, 2000);
        assert_eq!(seconds(10_000, rate), 6000.0);
        assert_eq!(seconds(0, rate), 0.0);
    }

    #[test]
    fn what_shrinks_or_stays_or_has_just_begun_is_never_full() {
        let mut growth = BacklogGrowth::default();
        let began = Instant::now();
        for (passed, bytes) in [(0, 1000), (30, 9000), (120, 1000), (180, 500)] {
            let now = began + Duration::from_secs(passed);
            assert_eq!(seconds(10, growth.rate(now, bytes)), f64::INFINITY, "{passed}");
        }
    }

    #[test]
    fn what_is_common_is_used_by_each_once_its_own_part_is() {
        assert_eq!(seconds_of_common(&[(0, 1.0), (0, 1.0)], 100), 50.0);
        assert_eq!(seconds_of_common(&[(50, 1.0), (30, 0.0)], 100), 150.0);
        // One source begins at 10, the other one at 20: 10 and then 2 * 45.
        assert_eq!(seconds_of_common(&[(20, 1.0), (10, 1.0)], 100), 65.0);
        assert_eq!(
            seconds_of_common(&[(1000, 1.0), (10, 1.0)], 100),
            110.0,
            "before the other one"
        );
        assert_eq!(seconds_of_common(&[(50, 0.0), (0, 0.0)], 100), f64::INFINITY);
        assert_eq!(seconds_of_common(&[(50, 1.0)], 0), 0.0);
    }

    #[test]
    fn only_the_last_minutes_count_however_often_one_looks() {
        let mut growth = BacklogGrowth::default();
        let began = Instant::now();
        for second in 0..4000 {
            // The backlog has grown by a byte a second in the first 2000, and not since.
            let now = began + Duration::from_secs(second);
            growth.rate(now, second.min(2000));
        }
        let now = began + Duration::from_secs(4000);
        assert_eq!(growth.rate(now, 2000), 0.0);
        assert!(growth.0.len() <= 91, "{}", growth.0.len());
    }
}
