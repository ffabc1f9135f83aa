//! Collects the journal's events that are for other recipients.

use std::collections::HashSet;

use crate::{
    cli::{journal::Element, text},
    deliver::decode::adobe::{Unnamed, check_recipients},
    source::SourceName,
};

/// Events that are reported one by one.
const MAX_NAMED: usize = 20;

/// Characters shown of a position in the journal.
const MAX_POSITION_CHARS: usize = 100;

/// Tests recipients, and remembers the events that did not pass.
pub(super) struct Foreign {
    source: SourceName,
    client_ids: HashSet<String>,
    named: Vec<String>,
    count: u64,
}

impl Foreign {
    pub fn new(source: SourceName, client_ids: HashSet<String>) -> Self {
        Self { source, client_ids, named: Vec::new(), count: 0 }
    }

    /// Whether `element` may be delivered; remembers it if not.
    pub fn passes(&mut self, element: &Element) -> bool {
        let checked = check_recipients(&element.bytes, &self.client_ids, Unnamed::Allowed);
        let Err(not_ours) = checked else { return true };
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            let position =
                element.position.chars().filter(|c| !c.is_control()).take(MAX_POSITION_CHARS);
            let position: String = position.collect();
            let reason = not_ours.reason();
            self.named.push(format!("position {position}: {not_ours} ({reason})"));
        }
        false
    }

    /// Reports the events that did not pass; empty when all did.
    pub fn describe(&self) -> String {
        if self.count == 0 {
            return String::new();
        }
        let mut report: String =
            self.named.iter().map(|event| format!("not delivered: {event}\n")).collect();
        let events = text::counted(self.count, "event was", "events were");
        report += &format!(
            "{events} not delivered, not being known to be for sources.{}.auth.client_ids or for \
             journal.client_id: the journal keeps each for seven days\n",
            self.source
        );
        report
    }
}
