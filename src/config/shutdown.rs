//! `shutdown`: the longest times of a clean stop.

use std::time::Duration;

use super::{
    leaf::DURATION,
    reading::{Reading, Section},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Time for which requests are still accepted after readiness is withdrawn.
    pub delay: Duration,
    /// Longest time for the producers to send their queued records.
    pub flush: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), flush: Duration::from_secs(10) }
    }
}

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Shutdown {
    let mut shutdown = Shutdown::default();
    let mut section = reading.section(root, "shutdown");
    reading.set(&mut section, "delay", &DURATION, &mut shutdown.delay);
    reading.set(&mut section, "flush", &DURATION, &mut shutdown.flush);
    reading.end(section);
    shutdown
}
