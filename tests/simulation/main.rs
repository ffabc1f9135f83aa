//! Simulation of the real spool and forwarder against a model of a cluster.
//!
//! `SIMULATION_SEED=7 cargo test --test simulation` replays one history;
//! `SIMULATION_SEEDS=100000` runs that many.

mod cluster;
mod history;
mod oracle;
mod sender;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use millrace::spool::{Config, disk::RealDisk};

fn run(seed: u64) -> history::Counters {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config {
        directory: folder.path().join("spool"),
        size_limit: 60_000,
        reserve: 0,
        keep_delivered_age: Duration::ZERO,
        keep_delivered_size: 0,
        segment_size: 4_000,
    };
    let mut history = history::History::new(seed, Arc::new(RealDisk), config);
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| history.run()));
    if let Err(panic) = result {
        eprintln!("SIMULATION_SEED={seed} replays this");
        std::panic::resume_unwind(panic);
    }
    history.counters
}

#[test]
fn no_history_breaks_a_promise() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => {
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).init();
            seed..seed + 1
        }
        None => 0..number("SIMULATION_SEEDS").unwrap_or(300),
    };
    let mut total = history::Counters::new();
    for seed in seeds {
        for (what, times) in run(seed) {
            *total.entry(what).or_default() += times;
        }
    }
    eprintln!("{total:#?}");
}
