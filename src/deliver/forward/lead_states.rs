//! The lead states of one forwarder: their topic, and the log line about states that cannot be made.

use std::time::{Duration, Instant};

use super::Now;
use crate::{
    deliver::lead_state,
    event::{Decoded, Event},
    observe::metrics::Metrics,
    source::SourceName,
};

/// Shortest time between two log lines about states that cannot be made.
const LOG_INTERVAL: Duration = Duration::from_secs(600);

pub(super) struct LeadStates {
    topic: String,
    /// Reasons of the missing states of the delivery that was decoded last.
    missing: Vec<&'static str>,
    logged_at: Option<Instant>,
    /// Reused memory: which parts of a state are no repeats.
    kept: Vec<bool>,
}

impl LeadStates {
    pub fn new(topic: String) -> Self {
        Self { topic, missing: Vec::new(), logged_at: None, kept: Vec::new() }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn kept_mut(&mut self) -> &mut Vec<bool> {
        &mut self.kept
    }

    /// Appends the states of a delivery; an event that the source does not take gives none.
    pub fn append<'a>(
        &mut self,
        events: &mut Vec<Decoded<'a>>,
        is_taken: impl Fn(&Event<'a>) -> bool,
    ) {
        self.missing.clear();
        lead_state::append(events, &mut self.missing, is_taken);
    }

    /// Counts and logs the missing states of the delivery. Called when it is finished, which happens once, while it is
    /// decoded each time that a lane comes to it.
    pub fn log_missing(&mut self, source: &SourceName, metrics: &Metrics, now: Now) {
        for reason in &self.missing {
            metrics.lead_states_missing.with_label_values(&[source.as_str(), reason]).inc();
        }
        let Some(reason) = self.missing.first() else { return };
        if self.logged_at.is_none_or(|logged_at| now.instant >= logged_at + LOG_INTERVAL) {
            self.logged_at = Some(now.instant);
            tracing::warn!(
                %source, reason,
                "no state of a lead could be made of an activity, which is delivered as ever; more such \
                 activities are only counted for a while (millrace_lead_states_missing_total)",
            );
        }
        self.missing.clear();
    }
}
