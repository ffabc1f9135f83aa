//! Samples of the memory, descriptors, threads and disk that a service takes, and their trends.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Instant};

use crate::{
    judge::{Tolerance, Trend, trend},
    support::bridge::Bridge,
};

const MIB: f64 = 1024.0 * 1024.0;

/// Each series with its unit, and what is no growth of it.
const SERIES: [(&str, &str, Tolerance); 5] = [
    ("resident memory", "MiB", Tolerance { share: 0.05, least: 1.0 }),
    ("open descriptors", "", Tolerance { share: 0.02, least: 1.5 }),
    ("threads", "", Tolerance { share: 0.02, least: 1.5 }),
    ("spool on disk", "MiB", Tolerance { share: 0.05, least: 0.5 }),
    ("files of the spool", "", Tolerance { share: 0.05, least: 3.0 }),
];

/// The samples of one service: hours since the beginning, and a value of each series.
pub struct Samples {
    service: &'static str,
    began: Instant,
    taken: Vec<(f64, [f64; SERIES.len()])>,
}

impl Samples {
    pub fn of(service: &'static str) -> Self {
        Self { service, began: Instant::now(), taken: Vec::new() }
    }

    #[track_caller]
    pub fn take(&mut self, bridge: &Bridge) {
        let (bytes, files) = below(bridge.spool());
        let values = [
            resident(bridge.id()) / MIB,
            bridge.metric("process_open_fds", &[]),
            bridge.metric("process_threads", &[]),
            bytes / MIB,
            files,
        ];
        let hours = self.began.elapsed().as_secs_f64() / 3600.0;
        println!("{:8.0} s  {:10} {}", hours * 3600.0, self.service, shown(values));
        self.taken.push((hours, values));
    }

    /// A line for each series, without the samples before `warm` hours; the series that grow. A soak that is
    /// to conclude something complains of series with too few samples as well.
    pub fn judge(&self, warm: f64, concludes: bool) -> Vec<String> {
        let mut growing = Vec::new();
        for (place, (name, unit, tolerance)) in SERIES.into_iter().enumerate() {
            let later = self.taken.iter().filter(|(hours, _)| *hours >= warm);
            let points: Vec<_> = later.map(|(hours, values)| (*hours, values[place])).collect();
            let name = format!("{}: {name}", self.service);
            let Some(trend) = trend(&points, tolerance) else {
                let complaint = format!("{name:30} {} samples: too few to judge", points.len());
                println!("{complaint}");
                growing.extend(concludes.then_some(complaint));
                continue;
            };
            let Trend { points, median, slope, low, high, grown, tolerated, sees } = trend;
            let verdict = if trend.grows() { "GROWS" } else { "flat" };
            println!(
                "{name:30} {points:5} samples  median {median:8.2} {unit:3}  an hour {slope:+8.3} \
                 ({low:+.3} to {high:+.3})  grown {grown:+.2} of {tolerated:.2}  sees {sees:.2}  {verdict}"
            );
            if trend.grows() {
                growing.push(format!(
                    "{name} grows by {slope:.3} {unit} an hour ({low:.3} to {high:.3}), from a median of {median:.2}"
                ));
            }
        }
        growing
    }
}

fn shown(values: [f64; SERIES.len()]) -> String {
    let of = |(value, (name, unit, _)): (f64, (&str, &str, Tolerance))| {
        format!("{name} {value:.1}{}{unit}", if unit.is_empty() { "" } else { " " })
    };
    values.into_iter().zip(SERIES).map(of).collect::<Vec<_>>().join(", ")
}

/// As the kernel counts it.
#[track_caller]
fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let kibibytes = line.split_ascii_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    kibibytes.expect("a number") * 1024.0
}

/// Bytes that are allocated, and files, below a folder. Files come and go meanwhile.
fn below(folder: &Path) -> (f64, f64) {
    let (mut bytes, mut files) = (0.0, 0.0);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            let (more, others) = below(&entry.path());
            bytes += more;
            files += others;
        } else {
            bytes += found.blocks() as f64 * 512.0;
            files += 1.0;
        }
    }
    (bytes, files)
}

mod tests {
    use super::*;

    /// A sample every two minutes, for two hours.
    fn samples(values: impl Fn(f64) -> [f64; SERIES.len()]) -> Samples {
        let taken = (0..60).map(|place| (f64::from(place) / 30.0, values(f64::from(place))));
        Samples { service: "steady", began: Instant::now(), taken: taken.collect() }
    }

    #[test]
    fn the_series_that_grows_is_named_with_its_slope_and_the_others_are_not() {
        // A descriptor that is left open now and then.
        let leaking = samples(|place| [60.0 + place % 3.0, 40.0 + place / 5.0, 19.0, 8.0, 21.0]);
        let growing = leaking.judge(0.5, true);
        assert_eq!(growing.len(), 1, "{growing:?}");
        assert!(growing[0].starts_with("steady: open descriptors grows by 6.000"), "{growing:?}");
        let flat = samples(|place| [60.0 + place % 3.0, 40.0 + place % 5.0, 19.0, 8.0, 21.0]);
        assert_eq!(flat.judge(0.5, true), [""; 0]);
    }

    #[test]
    fn what_grows_before_the_service_is_warm_does_not_count() {
        let values = |place: f64| [(30.0 + place).min(60.0), 40.0, 19.0, 8.0, 21.0];
        assert_eq!(samples(values).judge(1.0, true), [""; 0]);
        assert_eq!(samples(values).judge(0.0, true).len(), 1);
    }

    #[test]
    fn a_soak_that_is_to_conclude_something_fails_with_too_few_samples() {
        let values = |_| [60.0, 40.0, 19.0, 8.0, 21.0];
        assert_eq!(samples(values).judge(1.8, true).len(), SERIES.len());
        assert_eq!(samples(values).judge(1.8, false), [""; 0]);
    }
}
