//! Whether a series of measurements grows: by a regression with a confidence, not by eye.
//!
//! The slope is Theil and Sen's, the median of the slopes of all pairs of points: a third of the points may lie anywhere and
//! does not move it. Its confidence interval is Sen's, from the variance of Kendall's S, ties included. A series grows if even
//! the lower end of the interval means more growth, over the time that was measured, than is tolerated. So noise passes, and
//! a leak fails as soon as it stands out of the noise and of the tolerance; `Trend::sees` says how large it has to be for that.

/// 99 of 100, on both sides together.
const CONFIDENCE: f64 = 2.576;
/// With fewer points nothing is concluded.
pub const LEAST_POINTS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    pub points: usize,
    pub median: f64,
    /// In units of the series an hour, with the ends of its confidence interval.
    pub slope: f64,
    pub low: f64,
    pub high: f64,
    /// The growth over the time that was measured, at the lower end of the slope.
    pub grown: f64,
    pub tolerated: f64,
    /// The smallest growth an hour that would have failed, as far as the noise of this series goes.
    pub sees: f64,
}

impl Trend {
    pub fn grows(&self) -> bool {
        self.grown > self.tolerated
    }
}

/// How much growth over the time that is measured is taken for none: a share of the median, and at least
/// so many units.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub share: f64,
    pub least: f64,
}

/// The trend of `(hour, value)`; `None` for too few of them.
pub fn trend(points: &[(f64, f64)], tolerance: Tolerance) -> Option<Trend> {
    if points.len() < LEAST_POINTS {
        return None;
    }
    let mut slopes = Vec::new();
    for (place, (hour, value)) in points.iter().enumerate() {
        let later = points[place + 1..].iter().filter(|(later, _)| later > hour);
        slopes.extend(later.map(|(later, other)| (other - value) / (later - hour)));
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let values: Vec<_> = points.iter().map(|(_, value)| *value).collect();
    let width = CONFIDENCE * variance_of_s(&values).sqrt();
    let pairs = slopes.len() as f64;
    let at = |rank: f64| slopes[(rank.max(0.0) as usize).min(slopes.len() - 1)];
    let (low, high) = (at(((pairs - width) / 2.0).floor()), at(((pairs + width) / 2.0).ceil()));
    let (slope, median) = (median(slopes.clone()), median(values));
    let hours = points[points.len() - 1].0 - points[0].0;
    let tolerated = (tolerance.share * median.abs()).max(tolerance.least);
    let (grown, sees) = (low * hours, tolerated / hours + (slope - low));
    Some(Trend { points: points.len(), median, slope, low, high, grown, tolerated, sees })
}

/// The variance of Kendall's S when nothing but chance orders the values.
fn variance_of_s(values: &[f64]) -> f64 {
    let of = |count: usize| {
        let n = count as f64;
        n * (n - 1.0) * (2.0 * n + 5.0)
    };
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties = sorted.chunk_by(|a, b| a == b).map(|equal| of(equal.len()));
    (of(values.len()) - ties.sum::<f64>()) / 18.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

mod tests {
    use super::*;
    use crate::support::batches::Random;

    const TOLERANCE: Tolerance = Tolerance { share: 0.03, least: 1.0 };

    /// A point a minute, by `value` of the minute and of noise between -1 and 1.
    fn series(seed: u64, minutes: u32, value: impl Fn(f64, f64) -> f64) -> Vec<(f64, f64)> {
        let mut random = Random(seed);
        let mut noise = || random.below(2_000_001) as f64 / 1e6 - 1.0;
        (0..minutes).map(|n| (f64::from(n) / 60.0, value(f64::from(n), noise()))).collect()
    }

    #[track_caller]
    fn grows(points: &[(f64, f64)]) -> bool {
        trend(points, TOLERANCE).expect("enough points").grows()
    }

    #[test]
    fn a_flat_series_passes_however_noisy_it_is() {
        for seed in 1..=100 {
            for noise in [0.0, 1.0, 10.0, 60.0] {
                let points = series(seed, 60, |_, random| 100.0 + noise * random);
                assert!(!grows(&points), "seed {seed}, noise {noise}");
            }
        }
    }

    #[test]
    fn a_slow_leak_fails_although_noise_is_larger_than_what_leaks_in_a_minute() {
        for seed in 1..=100 {
            // A tenth in an hour, beneath noise of three hundredths.
            let points = series(seed, 60, |minute, random| 100.0 + minute / 6.0 + 3.0 * random);
            assert!(grows(&points), "seed {seed}");
        }
        for seed in 1..=3 {
            // In fifteen hours a much slower one, beneath more noise.
            let points = series(seed, 900, |minute, random| 100.0 + minute / 180.0 + 5.0 * random);
            assert!(grows(&points), "seed {seed}");
        }
    }

    #[test]
    fn one_descriptor_in_some_minutes_is_a_leak_and_one_more_in_all_is_none() {
        assert!(grows(&series(1, 60, |minute, _| 40.0 + (minute / 10.0).floor())));
        assert!(!grows(&series(1, 60, |minute, _| 40.0 + f64::from(minute > 30.0))));
    }

    #[test]
    fn what_rises_and_falls_again_is_no_leak() {
        // A spool that fills and is drained, and a heap that is now and then given back.
        assert!(!grows(&series(3, 60, |minute, random| 100.0 + 20.0 * (minute % 7.0) + random)));
        assert!(!grows(&series(3, 60, |minute, random| 100.0 - minute + random)));
    }

    #[test]
    fn a_few_points_far_away_change_nothing() {
        let odd = |minute: f64| if minute % 9.0 == 4.0 { 500.0 + 10.0 * minute } else { 100.0 };
        assert!(!grows(&series(4, 60, |minute, random| odd(minute) + random)));
    }

    #[test]
    fn the_slope_is_that_of_the_line_and_its_interval_has_it() {
        let points = series(5, 60, |minute, random| 100.0 + 12.0 * minute / 60.0 + random);
        let found = trend(&points, TOLERANCE).unwrap();
        assert!((found.slope - 12.0).abs() < 1.0, "{found:?}");
        assert!(found.low < 12.0 && 12.0 < found.high && found.high - found.low < 4.0, "{found:?}");
        let constant = trend(&series(5, 60, |_, _| 7.0), TOLERANCE).unwrap();
        assert_eq!((constant.slope, constant.low, constant.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_leak_that_the_judge_says_it_sees_is_seen() {
        let flat = series(6, 60, |_, random| 100.0 + 3.0 * random);
        let sees = trend(&flat, TOLERANCE).unwrap().sees;
        let leaks: Vec<_> =
            flat.iter().map(|(hour, value)| (*hour, value + 1.5 * sees * hour)).collect();
        assert!(grows(&leaks), "{sees} an hour");
    }

    #[test]
    fn of_too_few_points_nothing_is_concluded() {
        assert_eq!(trend(&series(7, 9, |minute, _| minute), TOLERANCE), None);
    }
}
