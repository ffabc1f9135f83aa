//! The time from the receipt of a delivery to Kafka's acknowledgement of its events, under a moderate load.

use std::{path::Path, time::Duration};

use crate::{
    Plan,
    load::Load,
    service::Service,
    table::{Row, Target, median},
};

const EVENTS_A_SECOND: f64 = 1000.0;
const EVENTS: u32 = 10;

/// The longest p99 that is promised, in milliseconds. It is a bucket's edge of the service's own histogram.
const PROMISED: f64 = 25.0;

pub fn measure(plan: &Plan, kafka: &str) -> Vec<Row> {
    // In exactly-once delivery events wait while a transaction is committed, so nothing is promised there.
    let modes = [
        ("at least once", "at-least-once", Target::AtMost(1.0)),
        ("exactly once", "exactly-once", Target::None),
    ];
    modes
        .map(|(name, delivery, target)| {
            let what = format!("receipt to acknowledgement p99, 1,000 events a second, {name}");
            let mut row = Row::new(&what, "ms", "25 ms", target);
            let mut within = Vec::new();
            for round in 0..plan.rounds {
                println!("arrival, {name}, round {}", round + 1);
                let folder = tempfile::tempdir_in(&plan.folder).unwrap();
                match times(plan, folder.path(), kafka, delivery) {
                    Ok(times) => {
                        row.add(times.percentile(0.99), PROMISED);
                        within.push(times.share_within(PROMISED) * 100.0);
                    }
                    Err(said) => row.note = format!("not available: {}", said.trim()),
                }
            }
            if row.note.is_empty() {
                let within = median(&within);
                row.note = format!("{within:.2} % of the events within {PROMISED:.0} ms");
            }
            row
        })
        .into()
}

fn times(plan: &Plan, folder: &Path, kafka: &str, delivery: &str) -> Result<Times, String> {
    let mut service = Service::start(folder, kafka, &[("KAFKA__DELIVERY", delivery)])?;
    let rate = Some(EVENTS_A_SECOND / f64::from(EVENTS));
    let load = |time: Duration, url: &str| Load { to: url, rate, events: EVENTS, time }.run();
    let url = service.url.clone();
    load(plan.time, &url); // connections are opened, topics are looked up
    service.drain();
    let before = service.buckets("millrace_acknowledged_seconds");
    load(plan.time * 4, &url);
    service.drain();
    let after = service.buckets("millrace_acknowledged_seconds");
    let new = |((edge, after), (_, before)): ((f64, f64), (f64, f64))| (edge, after - before);
    Ok(Times(after.into_iter().zip(before).map(new).collect()))
}

/// A histogram: upper edges in seconds, with how many took no longer.
struct Times(Vec<(f64, f64)>);

impl Times {
    fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// In milliseconds; within a bucket times are taken for evenly spread, as PromQL does.
    fn percentile(&self, share: f64) -> f64 {
        let wanted = self.count() * share;
        let mut lower = (0.0, 0.0);
        for (edge, count) in &self.0 {
            if *count >= wanted {
                let within = (wanted - lower.1) / (count - lower.1).max(1.0);
                return (lower.0 + (edge - lower.0) * within) * 1000.0;
            }
            lower = (*edge, *count);
        }
        f64::INFINITY
    }

    fn share_within(&self, milliseconds: f64) -> f64 {
        let edge = milliseconds / 1000.0;
        let found = self.0.iter().find(|(it, _)| *it >= edge);
        found.map_or(0.0, |(_, count)| count / self.count())
    }
}
