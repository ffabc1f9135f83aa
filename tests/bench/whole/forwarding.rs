//! A backlog to Kafka, against the client library alone.

use std::time::Instant;

use crate::{
    Plan, backlog, jars,
    limits::BareProducer,
    machine,
    service::{Pace, Service, watch},
    table::{Row, Target, median},
};

pub fn measure(plan: &Plan, kafka: &str) -> Vec<Row> {
    let bare = "rdkafka in a loop: the same records to the same topics, told the same";
    let mut at_least_once =
        Row::new("forwarding, 60 topics, at least once", "ev/s", bare, Target::AtLeast(0.8));
    let mut exactly_once =
        Row::new("forwarding, exactly once", "ev/s", "at least once", Target::AtLeast(0.85));
    let records = backlog::records();
    let size: usize = records.iter().map(|record| record.value.len()).sum();
    let (mut cpu, mut cpu_bare) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        println!("forwarding, round {}", round + 1);
        let folder = tempfile::tempdir_in(&plan.folder).unwrap();
        let events = backlog::fill(folder.path(), plan.batch);
        let producer = BareProducer::new(kafka);
        producer.send(&records, records.len()); // connections, metadata
        let (began, before) = (Instant::now(), machine::cpu(std::process::id()));
        producer.send(&records, events as usize);
        let limit = events as f64 / began.elapsed().as_secs_f64();
        let used = machine::cpu(std::process::id()) - before;
        cpu_bare.push(used.as_secs_f64() * 1e6 / events as f64);
        drop(producer);

        let mut service = Service::start(folder.path(), kafka, &[]).unwrap();
        let pace = watch(&mut service, events);
        cpu.push(pace.cpu);
        at_least_once.add(pace.rate, limit);
        drop((service, folder));

        match once(plan, kafka) {
            Ok(once) => exactly_once.add(once.rate, pace.rate),
            Err(said) => exactly_once.note = format!("not available: {}", said.trim()),
        }
    }
    at_least_once.note = format!(
        "{} bytes a value; an event costs the service {:.1} us of a core, the loop {:.1} us; Kafka's own \
         perf test, one topic, for information: {}",
        size / records.len(),
        median(&cpu),
        median(&cpu_bare),
        perf_test(plan, kafka),
    );
    vec![at_least_once, exactly_once]
}

fn once(plan: &Plan, kafka: &str) -> Result<Pace, String> {
    let folder = tempfile::tempdir_in(&plan.folder).unwrap();
    let events = backlog::fill(folder.path(), plan.batch);
    let delivery = [("KAFKA__DELIVERY", "exactly-once")];
    let mut service = Service::start(folder.path(), kafka, &delivery)?;
    Ok(watch(&mut service, events))
}

/// What Kafka's own tool says of records of 500 bytes to one topic.
fn perf_test(plan: &Plan, kafka: &str) -> String {
    let (topic, count) = (backlog::topics().next().unwrap(), (plan.batch / 500).to_string());
    let server = format!("bootstrap.servers={kafka}");
    let said = jars::tool(
        "org.apache.kafka.tools.ProducerPerformance",
        &[
            ["--topic", topic.as_str()].as_slice(),
            &["--num-records", &count, "--record-size", "500", "--throughput", "-1"],
            &["--producer-props", &server, "acks=all", "linger.ms=5", "batch.size=1000000"],
        ]
        .concat(),
    );
    let last = said.lines().last().unwrap_or_default();
    last.split(", ").take(2).collect::<Vec<_>>().join(", ")
}
