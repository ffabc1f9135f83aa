//! The console in a real browser, against the real service and a real broker.
//!
//! - `pages`: what each page shows of traffic, refusals, dead letters and an outage; live, and without scripts
//! - `sending`: a replay from click to topic, a test delivery, and who may not
//! - `harmless`: scripts in what strangers send, 10,000 dead letters
//! - `reach`: 320 pixels, the keyboard alone, axe-core in both themes
//! - `pictures`: screenshots, for `tests/console/pictures` (it writes them to a folder)

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

mod browser;
mod stage;

// The tests.
mod harmless;
mod pages;
mod pictures;
mod reach;
mod sending;
