//! Answer times at a tenth of the highest load, on an open schedule.

use crate::{
    Plan,
    intake::with_kafka,
    limits::p99_of_synced_writes,
    load::Load,
    service::{Service, nowhere},
    table::{Row, Target, median},
};

const EVENTS: u32 = 300;

pub fn measure(plan: &Plan, kafka: &str) -> Vec<Row> {
    let one = "p99 of one synced write of 150 KB, as many a second, from when it was due";
    let mut away =
        Row::new("answer p99 at a tenth of peak, Kafka away", "ms", one, Target::AtMost(3.0));
    let mut there =
        Row::new("answer p99 at a tenth of peak, Kafka there", "ms", one, Target::AtMost(3.0));
    let mut ratio =
        Row::new("answer p99, away against there", "ms", "Kafka there", Target::AtMost(1.1));
    let peak = peak(plan);
    let rate = Some(peak / 10.0);
    let (mut cores, mut late) = (Vec::new(), 0);
    for round in 0..plan.rounds {
        println!("latency, round {}", round + 1);
        rest();
        let limit = p99_of_synced_writes(&plan.folder, 150_000, peak / 10.0, plan.time * 2);
        let limit = limit.as_secs_f64() * 1000.0;
        let mut p99 = |service: &Service| {
            let load = |time| Load { to: &service.url, rate, events: EVENTS, time }.run();
            load(plan.time / 4); // connections are opened, topics made
            let report = load(plan.time * 2);
            cores.push(report.cores);
            late += u32::from(report.is_limit);
            report.p99
        };
        let folder = tempfile::tempdir_in(&plan.folder).unwrap();
        let mut service = with_kafka(folder.path(), kafka);
        let with = p99(&service);
        service.drain();
        drop((service, folder));
        rest();
        let folder = tempfile::tempdir_in(&plan.folder).unwrap();
        let without = p99(&Service::start(folder.path(), &nowhere(), &[]).unwrap());
        away.add(without, limit);
        there.add(with, limit);
        ratio.add(without, with);
    }
    away.note = format!(
        "{:.0} deliveries a second of a peak of {peak:.0}; the generator's share: {:.2} cores; in {late} \
         of {} loads its own lateness was more than a tenth of the p99",
        peak / 10.0,
        median(&cores),
        cores.len(),
    );
    vec![away, there, ratio]
}

/// What was written and removed before is not to be waited for by what is measured next.
fn rest() {
    rustix::fs::sync();
}

/// The highest load, in deliveries a second.
fn peak(plan: &Plan) -> f64 {
    let folder = tempfile::tempdir_in(&plan.folder).unwrap();
    let service = Service::start(folder.path(), &nowhere(), &[]).unwrap();
    Load { to: &service.url, rate: None, events: EVENTS, time: plan.time }.run().rate
}
