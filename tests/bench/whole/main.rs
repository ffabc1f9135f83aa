//! The whole thing against a real broker and the limits, in one run: `tests/bench/run`.
//!
//! The service, the load (`millrace simulate`), the bare endpoint and the broker are processes of
//! their own on this machine, and share its cores. A figure and its limit are measured in turns, round
//! by round; what counts is the median of the rounds' ratios.
//!
//! - `intake`: durable deliveries at full speed, and what is written for them
//! - `latency`: answers at a tenth of that
//! - `forwarding`: a backlog to Kafka, at least once and exactly once
//! - `values`: the same backlog as `data` and in each flat format, to the same broker
//! - `link`: what one produce request at a time costs, near and far
//! - `standing`: a large backlog: start-up, memory, what an event costs; the size of the program

#![allow(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

#[path = "../../support/mod.rs"]
mod support;

// The broker of tests/kafka.
#[path = "../../kafka/admin.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod admin;
#[path = "../../kafka/broker.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod broker;
#[path = "../../kafka/consumers.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod consumers;
#[path = "../../kafka/jars.rs"]
mod jars;

#[path = "../parts/bodies.rs"]
#[allow(dead_code, reason = "bench parts uses the rest")]
mod bodies;

mod arrival;
mod backlog;
mod console;
mod forwarding;
mod intake;
mod latency;
mod limits;
mod link;
mod load;
mod machine;
mod service;
mod standing;
mod table;
mod values;

use std::{path::PathBuf, time::Duration};

use self::{broker::Broker, table::Row};

/// How much is measured.
pub struct Plan {
    pub rounds: usize,
    /// Of one load.
    pub time: Duration,
    /// Of the backlogs that are forwarded whole, in bytes.
    pub batch: u64,
    /// Of the backlogs that stand, in bytes; the last is the one for start-up and memory.
    pub backlogs: Vec<u64>,
    /// On the disk that is measured.
    pub folder: PathBuf,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let value = |name: &str| {
        arguments.iter().skip_while(|argument| *argument != name).nth(1).map(String::as_str)
    };
    if has(limits::BARE_ENDPOINT) {
        return limits::bare_endpoint();
    }
    // `cargo test --benches` builds and starts this too, and wants no measurements.
    if !has("--bench") {
        println!("whole: to measure, run `tests/bench/run`");
        return;
    }
    let quick = has("--quick");
    let number = |name, usual| value(name).map_or(usual, |text| text.parse().expect("a number"));
    let gib = |text: &str| (text.parse::<f64>().expect("GiB") * f64::from(1 << 30)) as u64;
    let backlogs = value("--backlogs").unwrap_or(if quick { "0.5,2" } else { "1,10" });
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        rounds: number("--rounds", if quick { 2 } else { 5 }),
        time: Duration::from_millis(if quick { 1000 } else { 2500 }),
        batch: if quick { 100_000_000 } else { 300_000_000 },
        backlogs: backlogs.split(',').map(gib).collect(),
        folder: folder.path().to_owned(),
    };
    let machine = machine::describe();
    println!("{machine:#}");
    let only = value("--only").map(|text| text.split(',').collect::<Vec<_>>());
    let wanted = |part| only.as_ref().is_none_or(|only| only.contains(&part));

    let broker = Broker::start();
    let kafka = broker.address();
    backlog::topics().for_each(|topic| admin::create_topic(&kafka, &topic, 3));
    let settings = serde_json::json!({
        "quick": quick,
        "rounds": plan.rounds,
        "load_seconds": plan.time.as_secs_f64(),
        "connections": load::CONNECTIONS,
        "backlogs_bytes": plan.backlogs,
    });
    let mut rows: Vec<Row> = Vec::new();
    let parts: [(&str, Measure); 8] = [
        ("intake", intake::measure),
        ("latency", latency::measure),
        ("arrival", arrival::measure),
        ("console", console::measure),
        ("forwarding", forwarding::measure),
        ("values", values::measure),
        ("link", link::measure),
        ("standing", standing::measure),
    ];
    for (_, measure) in parts.into_iter().filter(|(part, _)| wanted(part)) {
        rows.extend(measure(&plan, &kafka));
        // What is measured is kept, whatever becomes of the rest.
        println!();
        table::print(&rows);
        if let Some(path) = value("--json") {
            let report = format!("{:#}\n", table::json(&machine, &settings, &rows));
            std::fs::write(path, report).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
}

type Measure = fn(&Plan, &str) -> Vec<Row>;
