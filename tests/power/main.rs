//! Power cuts of the real service: `millrace serve` is killed at any moment, and of its volume only
//! what it had synced by then is left, or that and any part of the rest.
//!
//! A small library below the process (`layer.c`) keeps apart what would outlive a cut. Senders push all
//! the while, brokers are up, away and on their way back, and in the end each event that was answered
//! 200 is on its topic, or a dead letter, and none more often than README.md says.
//!
//! `TEST_LONG=1` makes 50 cuts in each mode of delivery; `POWER_SEED=<number>` has other ones.

#[path = "../support/mod.rs"]
mod support;

// The set-up of tests/kafka.
#[path = "../kafka/broker.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod broker;
#[path = "../kafka/consumers.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod consumers;
#[path = "../kafka/jars.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod jars;
#[path = "../kafka/ledger.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod ledger;

mod kafka;
mod senders;
mod volume;

// The tests.
mod cuts;
mod layer;
