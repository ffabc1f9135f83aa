//! Against real faults of the machines around the service: brokers that are killed, frozen and
//! restarted, a network that fails, a disk that is full, a clock that jumps. Senders push all the
//! while, and at the end whatever was acknowledged is on its topic, a dead letter, or in quarantine.
//!
//! `TEST_LONG=1` makes more rounds of it and lets troubles last longer.

#[path = "../support/mod.rs"]
mod support;

// The set-up of tests/kafka.
#[path = "../kafka/admin.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod admin;
#[path = "../kafka/broker.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod broker;
#[path = "../kafka/consumers.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod consumers;
#[path = "../kafka/jars.rs"]
mod jars;
#[path = "../kafka/ledger.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod ledger;

mod clusters;
mod load;
mod proxy;
mod senders;
mod volume;

// The tests.
mod broker_dies;
mod clock;
mod cluster;
mod disk;
mod hangs;
mod network;
mod one_topic;
mod slow;

/// Whether there is time for more.
fn is_long() -> bool {
    std::env::var_os("TEST_LONG").is_some()
}
