//! `shutdown`: how long a clean stop may take.

use std::time::Duration;

use super::{
    leaf::DURATION,
    reading::{Reading, Section},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long requests are still taken after readiness went away.
    pub delay: Duration,
    /// How long the producers may go on sending what they hold.
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
