//! Answer times at a tenth of the highest load, on an open schedule.
//!
//! A tenth of what the spool takes in is about what can be forwarded on two cores with the broker, so that
//! with Kafka there the cores have no rest. How much of that is the disk's answer to busy cores is shown too.

use crate::{
    Plan,
    intake::with_kafka,
    limits::{beside_busy_cores, p99_of_synced_writes},
    load::Load,
    machine,
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
    let one_beside = "the same writes, while each core has a thread that never rests";
    let mut beside =
        Row::new("the same, Kafka there, against busy cores", "ms", one_beside, Target::None);
    let peak = peak(plan);
    let rate = Some(peak / 10.0);
    let (mut cores, mut late) = (Vec::new(), 0);
    let (mut busy_there, mut busy_away) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        println!("latency, round {}", round + 1);
        rest();
        let paced = || p99_of_synced_writes(&plan.folder, 150_000, peak / 10.0, plan.time * 2);
        let limit = paced().as_secs_f64() * 1000.0;
        let limit_beside = beside_busy_cores(paced).as_secs_f64() * 1000.0;
        let mut p99 = |service: &Service, busy: &mut Vec<f64>| {
            let load = |time| Load { to: &service.url, rate, events: EVENTS, time }.run();
            load(plan.time / 4); // connections are opened, topics made
            let (report, share) = machine::busy(|| load(plan.time * 2));
            busy.push(share);
            cores.push(report.cores);
            late += u32::from(report.is_limit);
            report.p99
        };
        let folder = tempfile::tempdir_in(&plan.folder).unwrap();
        let mut service = with_kafka(folder.path(), kafka);
        let with = p99(&service, &mut busy_there);
        service.drain();
        drop((service, folder));
        rest();
        let folder = tempfile::tempdir_in(&plan.folder).unwrap();
        let without = p99(&Service::start(folder.path(), &nowhere(), &[]).unwrap(), &mut busy_away);
        away.add(without, limit);
        there.add(with, limit);
        beside.add(with, limit_beside);
        ratio.add(without, with);
    }
    away.note = format!(
        "{:.0} deliveries a second of a peak of {peak:.0}; the generator's share: {:.2} cores; in {late} \
         of {} loads its own lateness was more than a tenth of the p99",
        peak / 10.0,
        median(&cores),
        cores.len(),
    );
    there.note = format!(
        "all cores were busy for {:.0} % of the time, and with Kafka away for {:.0} %",
        median(&busy_there) * 100.0,
        median(&busy_away) * 100.0,
    );
    vec![away, there, beside, ratio]
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
