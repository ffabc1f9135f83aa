//! A soak: mixed load, faults and restarts for minutes or for a night, and nothing may grow.
//!
//! Two services share a broker. One is never restarted; the other one delivers exactly once and is stopped or killed in
//! every cycle (stopped before Kafka is killed). A cycle is load with one fault or none (Kafka frozen, Kafka killed, connections reset and a line cut); in its
//! end the senders rest, all is delivered, and memory, descriptors, threads, bytes and files of each service are measured.
//! A regression over these samples, those of the first third left out, tells what grows (`judge.rs`); the test fails with
//! the series and its slope.
//!
//! `SOAK_SECONDS` is how long it takes: by default a minute, which shows that the soak itself works and has too few samples to judge, and
//! with `TEST_LONG=1` an hour. `SOAK_SECONDS=54000 tests/run soak` takes a night.

#[path = "../support/mod.rs"]
mod support;

// The set-up of tests/kafka and tests/faults.
#[path = "../kafka/broker.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod broker;
#[path = "../kafka/consumers.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod consumers;
#[path = "../kafka/jars.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod jars;
#[path = "../faults/proxy.rs"]
#[allow(dead_code, reason = "tests/faults uses the rest")]
mod proxy;

mod judge;
mod samples;
mod senders;

// The test.
mod nothing_grows;
