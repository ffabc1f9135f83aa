//! `forward`: settings for topics that make no progress.

use std::time::Duration;

use super::{
    leaf::{COUNT, DURATION, NONZERO_DURATION},
    reading::{Reading, Section},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Time without progress after which a topic is held, while the cluster answers.
    pub hold_after: Duration,
    /// Topics of one source that may be held at once; beyond that the source waits.
    pub held_topics: usize,
    /// Time for which refused events wait for a dead-letter topic that cannot be written.
    pub quarantine_after: Duration,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            hold_after: Duration::from_secs(30),
            held_topics: 64,
            quarantine_after: Duration::from_secs(300),
        }
    }
}

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Forward {
    let mut forward = Forward::default();
    let mut section = reading.section(root, "forward");
    let s = &mut section;
    reading.set(s, "hold_after", &NONZERO_DURATION, &mut forward.hold_after);
    reading.set(s, "held_topics", &COUNT, &mut forward.held_topics);
    reading.set(s, "quarantine_after", &DURATION, &mut forward.quarantine_after);
    reading.end(section);
    forward
}
