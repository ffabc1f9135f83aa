//! Durable intake at full speed, and its memory.

use std::path::Path;

use crate::{
    Plan,
    limits::{BareEndpoint, synced_writes},
    load::{Load, Report},
    machine,
    service::{Service, nowhere},
    table::{Row, Target, median},
};

/// Of about 150 KB and of about 2 KB.
const LARGE: u32 = 300;
const SMALL: u32 = 4;

/// Memory beside librdkafka's queue and the index, and what these are configured to.
const ALLOWANCE: f64 = 96.0;
pub const QUEUE: f64 = 64.0;
/// What `config/default.toml` says of a million ids, in MiB an id.
pub const INDEX_OF_ONE: f64 = 43.0e6 / 1e6 / MIB;
pub const MIB: f64 = 1_048_576.0;

pub fn measure(plan: &Plan, kafka: &str) -> Vec<Row> {
    let smaller = "the smaller of synced 1 MB writes and a bare hyper endpoint that stores nothing";
    let hyper = "a bare hyper endpoint that reads the same bodies and stores nothing";
    let mut large = Row::new("intake, 150 KB, Kafka away", "MB/s", smaller, Target::AtLeast(0.6));
    let mut behind =
        Row::new("intake, 150 KB, forwarder reading behind", "MB/s", smaller, Target::None);
    let mut small = Row::new("intake, 2 KB, Kafka away", "req/s", hyper, Target::AtLeast(0.5));
    let mut bytes = Row::new(
        "bytes written per byte received",
        "MB",
        "bytes of the bodies",
        Target::AtMost(1.05),
    );
    let mut memory = memory_row("resident memory at full load");
    let mut disks =
        Row::new("  synced 1 MB writes", "MB/s", "the bare endpoint, 150 KB", Target::None);
    let mut cores = Cores::default();
    let bare = BareEndpoint::start();
    for round in 0..plan.rounds {
        println!("intake, round {}", round + 1);
        let load = |to: &str, events| Load { to, rate: None, events, time: plan.time }.run();
        let disk = synced_writes(&plan.folder, 1_000_000, plan.time / 2) / 1e6;
        let before = machine::cpu(bare.process.id());
        let limit = load(&bare.url, LARGE);
        let bare_cpu = (machine::cpu(bare.process.id()) - before).as_secs_f64();
        cores.bare(&limit, bare_cpu);
        let limit_small = load(&bare.url, SMALL);
        disks.add(disk, limit.bytes_rate / 1e6);
        let smaller = disk.min(limit.bytes_rate / 1e6);

        let folder = tempfile::tempdir_in(&plan.folder).unwrap();
        let away = Service::start(folder.path(), &nowhere(), &[]).unwrap();
        let pid = away.process.id();
        let (before, written) = (machine::cpu(pid), machine::written(pid));
        let report = load(&away.url, LARGE);
        cores.service(&report, (machine::cpu(pid) - before).as_secs_f64());
        large.add(report.bytes_rate / 1e6, smaller);
        bytes.add((machine::written(pid) - written) as f64 / 1e6, report.bytes / 1e6);
        let report = load(&away.url, SMALL);
        cores.small.push(report.cores);
        small.add(report.rate, limit_small.rate);
        memory.add(machine::peak_memory(pid) as f64 / MIB, allowed(0.0));
        drop((away, folder));

        let folder = tempfile::tempdir_in(&plan.folder).unwrap();
        let there = with_kafka(folder.path(), kafka);
        behind.add(load(&there.url, LARGE).bytes_rate / 1e6, smaller);
        memory.add(machine::peak_memory(there.process.id()) as f64 / MIB, allowed(0.0));
    }
    large.note = cores.note();
    small.note = format!("the generator's share: {:.2} cores", median(&cores.small));
    behind.note = "prepared bodies repeat, so deduplication is off here: all is forwarded".into();
    memory.note = "of both rows with 150 KB; no ids are known, so the index is empty".into();
    vec![large, disks, behind, small, bytes, memory]
}

/// The service with a broker, delivering repeats too.
pub fn with_kafka(folder: &Path, kafka: &str) -> Service {
    Service::start(folder, kafka, &[("DEDUPLICATE__WINDOW", "0s")]).unwrap()
}

pub fn memory_row(what: &str) -> Row {
    let limit = "96 MiB, kafka.queue_size and the ids that are known";
    Row::new(what, "MiB", limit, Target::AtMost(1.0))
}

/// MiB that the service may have resident, with so many ids known.
pub fn allowed(ids: f64) -> f64 {
    ALLOWANCE + QUEUE + ids * INDEX_OF_ONE
}

/// Who took what of the cores.
#[derive(Default)]
struct Cores {
    generator: Vec<f64>,
    generator_bare: Vec<f64>,
    /// Microseconds a delivery.
    service: Vec<f64>,
    bare: Vec<f64>,
    small: Vec<f64>,
}

impl Cores {
    fn service(&mut self, report: &Report, cpu: f64) {
        self.generator.push(report.cores);
        self.service.push(cpu * 1e6 / report.requests);
    }

    fn bare(&mut self, report: &Report, cpu: f64) {
        self.generator_bare.push(report.cores);
        self.bare.push(cpu * 1e6 / report.requests);
    }

    fn note(&self) -> String {
        format!(
            "the generator's share: {:.2} cores ({:.2} against the bare endpoint); a delivery costs the \
             service {:.0} us of a core, the bare endpoint {:.0} us",
            median(&self.generator),
            median(&self.generator_bare),
            median(&self.service),
            median(&self.bare),
        )
    }
}
