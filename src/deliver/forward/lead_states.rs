//! The states of leads that one forwarder makes: where they go, and what is told of those that cannot be made.

use std::time::{Duration, Instant};

use super::Now;
use crate::{
    deliver::lead_state,
    event::{Decoded, Event},
    observe::metrics::Metrics,
    source::SourceName,
};

/// How long one line in the log about states that cannot be made stays alone.
const QUIET: Duration = Duration::from_secs(600);

pub(super) struct LeadStates {
    topic: String,
    /// Why states of the delivery that was decoded last are not made.
    missing: Vec<&'static str>,
    told: Option<Instant>,
    /// Memory for which parts of a state are no repeats.
    kept: Vec<bool>,
}

impl LeadStates {
    pub fn new(topic: String) -> Self {
        Self { topic, missing: Vec::new(), told: None, kept: Vec::new() }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn kept_mut(&mut self) -> &mut Vec<bool> {
        &mut self.kept
    }

    /// Of an event that the source does not take there is no state.
    pub fn append<'a>(
        &mut self,
        events: &mut Vec<Decoded<'a>>,
        is_taken: impl Fn(&Event<'a>) -> bool,
    ) {
        self.missing.clear();
        lead_state::append(events, &mut self.missing, is_taken);
    }

    /// Counts what could not be made of the delivery. A delivery is decoded each time that a lane comes to it, and
    /// finished once.
    pub fn tell_missing(&mut self, source: &SourceName, metrics: &Metrics, now: Now) {
        for reason in &self.missing {
            metrics.lead_states_missing.with_label_values(&[source.as_str(), reason]).inc();
        }
        let Some(reason) = self.missing.first() else { return };
        if self.told.is_none_or(|told| now.instant >= told + QUIET) {
            self.told = Some(now.instant);
            tracing::warn!(
                %source, reason,
                "no state of a lead could be made of an activity, which is delivered as ever; more such \
                 activities are only counted for a while (millrace_lead_states_missing_total)",
            );
        }
        self.missing.clear();
    }
}
