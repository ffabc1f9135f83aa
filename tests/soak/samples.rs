//! What a service takes of its machine, measured again and again.

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

    /// A line for each series, without the samples before `warm` hours; the series that grow.
    pub fn judge(&self, warm: f64) -> Vec<String> {
        let mut growing = Vec::new();
        for (place, (name, unit, tolerance)) in SERIES.into_iter().enumerate() {
            let later = self.taken.iter().filter(|(hours, _)| *hours >= warm);
            let points: Vec<_> = later.map(|(hours, values)| (*hours, values[place])).collect();
            let name = format!("{}: {name}", self.service);
            let Some(trend) = trend(&points, tolerance) else {
                println!("{name:30} {} samples: too few to judge", points.len());
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
