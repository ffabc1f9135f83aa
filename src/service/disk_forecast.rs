//! How fast a backlog grows, and so how long there is room for it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::spool::Room;

/// Over how long the rate is taken: a burst is no trend.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Looks that come sooner than this after the last one are not kept.
const APART: Duration = Duration::from_secs(10);
/// Before there is this much to go by, nothing is said.
pub(super) const LEAST: Duration = Duration::from_secs(60);

/// What a backlog was at each look of the last minutes; bounded by [`WINDOW`] and [`APART`].
#[derive(Default)]
struct BacklogGrowth(VecDeque<(Instant, u64)>);

impl BacklogGrowth {
    /// Bytes a second by which a backlog of `bytes` now has grown over the window; 0 while it does not grow.
    pub fn rate(&mut self, now: Instant, bytes: u64) -> f64 {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
        let before = self.0.front().copied();
        if self.0.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= APART) {
            self.0.push_back((now, bytes));
        }
        let Some((at, before)) = before else { return 0.0 };
        let passed = now.saturating_duration_since(at);
        match bytes.checked_sub(before) {
            Some(grown) if passed >= LEAST => grown as f64 / passed.as_secs_f64(),
            _ => 0.0,
        }
    }
}

/// Seconds until `room` is used up at `rate`: infinite where nothing uses it, 0 where nothing is left.
fn seconds(room: u64, rate: f64) -> f64 {
    match (room, rate) {
        (0, _) => 0.0,
        (_, rate) if rate <= 0.0 => f64::INFINITY,
        (room, rate) => room as f64 / rate,
    }
}

/// Seconds until several have used up what they have in `common`. Each takes of it once its own part
/// is used up: `parts` are what is left of each, and at what rate it is used.
fn seconds_of_common(parts: &[(u64, f64)], common: u64) -> f64 {
    let mut begins: Vec<_> =
        parts.iter().map(|(part, rate)| (seconds(*part, *rate), *rate)).collect();
    begins.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let (mut at, mut together, mut left) = (0.0, 0.0, common as f64);
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

/// What one source has, and may still take.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub source: String,
    /// Its undelivered bytes.
    pub bytes: u64,
    pub room: Room,
    /// It has refused a delivery for lack of room, and no room was made since: what is left is less than a delivery.
    pub is_full: bool,
}

/// What all sources together may still take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// Of the volume; `None` where it does not tell.
    pub volume: Option<u64>,
    /// Of `spool.size_limit`, what is guaranteed to no source.
    pub common: u64,
}

/// When a source takes no more deliveries, if it goes on as it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Full {
    /// Infinite where nothing grows.
    pub seconds: f64,
    pub of: Bound,
}

/// What is reached then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Source,
    Volume,
    Total,
}

/// Where a source that is full has the least room.
fn least_room(room: &Room, left: Left) -> Bound {
    let rooms = [
        (room.own, Bound::Source),
        (left.volume.unwrap_or(u64::MAX), Bound::Volume),
        (room.guaranteed.saturating_add(left.common), Bound::Total),
    ];
    rooms.into_iter().min_by_key(|(room, _)| *room).map_or(Bound::Total, |(_, of)| of)
}

/// How backlogs grow, from look to look.
#[derive(Default)]
pub(super) struct Backlogs {
    total: BacklogGrowth,
    sources: BTreeMap<String, BacklogGrowth>,
}

impl Backlogs {
    /// Looks, and says of each source, in their order, when it will be full.
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
            // It is full at its own limit, or with the volume, or once its part and what is common are used up.
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
        let (mut growth, began) = (BacklogGrowth::default(), Instant::now());
        assert_eq!(seconds(10_000, growth.rate(began, 1000)), f64::INFINITY);
        let rate = growth.rate(began + 10 * MINUTE, 2000);
        assert_eq!(seconds(10_000, rate), 6000.0);
        assert_eq!(seconds(0, rate), 0.0);
    }

    #[test]
    fn what_shrinks_or_stays_or_has_just_begun_is_never_full() {
        let (mut growth, began) = (BacklogGrowth::default(), Instant::now());
        for (passed, bytes) in [(0, 1000), (30, 9000), (120, 1000), (180, 500)] {
            let now = began + Duration::from_secs(passed);
            assert_eq!(seconds(10, growth.rate(now, bytes)), f64::INFINITY, "{passed}");
        }
    }

    #[test]
    fn what_is_common_is_used_by_each_once_its_own_part_is() {
        assert_eq!(seconds_of_common(&[(0, 1.0), (0, 1.0)], 100), 50.0);
        assert_eq!(seconds_of_common(&[(50, 1.0), (30, 0.0)], 100), 150.0);
        // One begins at 10, the other one at 20: 10 and then 2 * 45.
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
        let (mut growth, began) = (BacklogGrowth::default(), Instant::now());
        for second in 0..4000 {
            // It has grown by a byte a second in the first 2000, and not since.
            let now = began + Duration::from_secs(second);
            growth.rate(now, second.min(2000));
        }
        let now = began + Duration::from_secs(4000);
        assert_eq!(growth.rate(now, 2000), 0.0);
        assert!(growth.0.len() <= 91, "{}", growth.0.len());
    }
}
