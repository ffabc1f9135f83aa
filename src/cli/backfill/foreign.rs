//! Events of the journal that are not meant for us: which of them there were.

use std::collections::HashSet;

use crate::{
    cli::{journal::Element, text},
    deliver::decode::adobe::{Unnamed, check_recipients},
    source::SourceName,
};

/// How many are named one by one.
const NAMED: usize = 20;

/// Characters of a position in the journal.
const SHOWN: usize = 100;

/// The test of recipients, and what did not pass it.
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

    /// Whether `element` may be delivered. What may not is remembered.
    pub fn passes(&mut self, element: &Element) -> bool {
        let checked = check_recipients(&element.bytes, &self.client_ids, Unnamed::Allowed);
        let Err(not_ours) = checked else { return true };
        self.count += 1;
        if self.named.len() < NAMED {
            let position = element.position.chars().filter(|c| !c.is_control()).take(SHOWN);
            let (position, reason): (String, _) = (position.collect(), not_ours.reason());
            self.named.push(format!("position {position}: {not_ours} ({reason})"));
        }
        false
    }

    /// Empty when all of them were ours.
    pub fn describe(&self) -> String {
        if self.count == 0 {
            return String::new();
        }
        let mut told: String =
            self.named.iter().map(|event| format!("not delivered: {event}\n")).collect();
        let events = text::counted(self.count, "event was", "events were");
        told += &format!(
            "{events} not delivered, not being known to be for sources.{}.auth.client_ids or for \
             journal.client_id: the journal keeps each for seven days\n",
            self.source
        );
        told
    }
}
