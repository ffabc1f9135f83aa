//! Lead states: changes of leads that the activities of a delivery report, as items behind the delivery's own.
//!
//! `topics.lead_state` asks for them. [`append`] is a pure function of the decoded items, so that each reading of a
//! delivery gives the same items at the same places: they are behind its own ones, so these have the places that they
//! have without, and the option may be changed at any start. From there on they go the way of any event.
//!
//! - **New Lead (12)**: a record, `created`.
//! - **Change Data Value (13)**: a record, `changed`, with the new value of the attribute. Those of one lead that follow
//!   one another in a delivery, with no other state of that lead between them, are one record.
//! - **Merge Leads (32)**: a tombstone for each losing lead, which points to the surviving one, and a record for that
//!   lead, `merged`. The activity is the surviving lead's; the losing ones are in its attribute `Merge IDs`, as
//!   `"[1,2]"`. Which lead the primary attribute means is published nowhere, so it is not asked: a tombstone for the
//!   wrong lead would delete it.
//! - **Delete Lead (37)**: a tombstone.
//!
//! An activity of these whose lead or content cannot be read gives no state, and a reason ([`REASONS`]) instead; its
//! own event is delivered as ever. Only the event's value is read, so that data kept out of a record of its topic is in
//! none of these either.

mod activity;

use std::collections::{HashMap, HashSet};

use self::activity::{Activity, Kind};
use crate::{
    deliver::decode::MAX_EVENTS,
    event::{Decoded, Event, LeadChange, LeadState, Part, Word},
};

pub use activity::MAX_MERGED;

/// Reasons for which an activity gives no state.
pub const REASONS: [&str; 8] = [
    activity::NO_LEAD,
    activity::NO_ATTRIBUTES,
    activity::AMBIGUOUS,
    activity::NO_ATTRIBUTE_NAME,
    activity::NO_NEW_VALUE,
    activity::NO_MERGE_IDS,
    activity::UNREADABLE_MERGE_IDS,
    TOO_MANY_STATES,
];

/// More than [`MAX_MERGED`] leads in an activity, or [`MAX_EVENTS`] states of a delivery.
const TOO_MANY_STATES: &str = "too-many";

/// Appends the states of those of `items`, all of one delivery, that the source takes; `missing` gets the reason of
/// each state that could not be made.
pub fn append<'a>(
    items: &mut Vec<Decoded<'a>>,
    missing: &mut Vec<&'static str>,
    is_taken: impl Fn(&Event<'a>) -> bool,
) {
    let mut states = States::default();
    for event in items.iter().flatten() {
        let Some(kind) = Kind::of(event).filter(|_| is_taken(event)) else { continue };
        if let Err(reason) = states.add(event, kind) {
            missing.push(reason);
        }
    }
    let first = items.last().map_or(0, |last| match last {
        Ok(event) => event.index + 1,
        Err(refused) => refused.index + 1,
    });
    items.extend((first..).zip(states.made).map(|(index, made)| Ok(made.event(index))));
}

/// A state, and the parts of its record's key and kind.
struct Made<'a> {
    of: Of<'a>,
    state: LeadState<'a>,
}

/// The fields that all states of one activity share.
#[derive(Clone)]
struct Of<'a> {
    munchkin_id: std::borrow::Cow<'a, str>,
    activity_type_id: Option<i64>,
}

impl<'a> Made<'a> {
    fn event(self, index: u32) -> Event<'a> {
        let Self { of: Of { munchkin_id, activity_type_id }, state } = self;
        let key = Word::joined(&[&munchkin_id, &state.lead_id]);
        Event::of_lead_state(index, munchkin_id, activity_type_id, key, state)
    }
}

#[derive(Default)]
struct States<'a> {
    made: Vec<Made<'a>>,
    /// By key: the record of a lead that a further change may still go into.
    open: HashMap<String, usize>,
}

impl<'a> States<'a> {
    fn add(&mut self, event: &Event<'a>, kind: Kind) -> Result<(), &'static str> {
        let Activity { lead, field, losing } = Activity::read(event, kind)?;
        let Some(munchkin_id) = event.munchkin_id.clone() else { return Err(activity::NO_LEAD) };
        if losing.len() > MAX_MERGED || self.made.len() + losing.len() >= MAX_EVENTS {
            return Err(TOO_MANY_STATES);
        }
        let of = Of { munchkin_id, activity_type_id: event.activity_type_id };
        let part = Part { field, ..part(event) };
        match kind {
            Kind::Changed => self.change(of, lead, part),
            Kind::Created => self.push(of, lead, LeadChange::Created, part),
            Kind::Deleted => self.push(of, lead, LeadChange::Deleted, part),
            Kind::Merged => {
                for loser in &losing {
                    let change = LeadChange::MergedInto { surviving: lead.clone() };
                    self.push(of.clone(), loser.clone(), change, part.clone());
                }
                self.push(of, lead, LeadChange::Merged { losing }, part);
            }
        }
        Ok(())
    }

    /// Adds a state, and closes the lead's earlier record for further changes.
    fn push(&mut self, of: Of<'a>, lead_id: String, change: LeadChange, part: Part<'a>) {
        self.open.remove(&key(&of, &lead_id));
        self.made.push(Made { of, state: LeadState { lead_id, change, parts: vec![part] } });
    }

    fn change(&mut self, of: Of<'a>, lead_id: String, part: Part<'a>) {
        let place = *self.open.entry(key(&of, &lead_id)).or_insert(self.made.len());
        match self.made.get_mut(place) {
            Some(made) => made.state.parts.push(part),
            None => {
                let state = LeadState { lead_id, change: LeadChange::Changed, parts: vec![part] };
                self.made.push(Made { of, state });
            }
        }
    }
}

fn key(of: &Of<'_>, lead_id: &str) -> String {
    format!("{}:{lead_id}", of.munchkin_id)
}

fn part<'a>(event: &Event<'a>) -> Part<'a> {
    let attributes = &event.attributes;
    Part {
        index: event.index,
        id: attributes.id.clone(),
        source: attributes.source.clone(),
        r#type: attributes.r#type.clone(),
        time: attributes.time.clone(),
        field: None,
        original: event.original,
    }
}

/// Removes repeats and keeps the order.
fn distinct(ids: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

#[cfg(test)]
mod tests;
