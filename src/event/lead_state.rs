//! The effect of an activity on a lead: the derived item that becomes a record of the topic of lead states.
//!
//! These are plain values. `deliver::lead_state` derives them from a delivery's events, `deliver::encode` writes the
//! record.

use std::borrow::Cow;

use super::{Attributes, Event, Pieces, Stream, Word};

/// The CloudEvents source of states, which no sender's event has: their identity is hashed with one more text.
pub const LEAD_STATE_SOURCE: &str = "urn:millrace:lead-state";

/// The plain header of a tombstone with the id of the lead that took over.
pub const MERGED_INTO_HEADER: &str = "millrace-merged-into";

/// The event type of all states.
const EVENT_TYPE: &str = "lead-state";

/// The state of one lead, placed behind the events that it is derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadState<'a> {
    /// The lead that the record is about, as in its key.
    pub lead_id: String,
    pub change: LeadChange,
    /// The activities that it is derived from, in the order of the delivery; at least one, and the last one gives the
    /// id. Repeats among them are removed before the record is made.
    pub parts: Vec<Part<'a>>,
}

/// The change of the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadChange {
    Created,
    /// Each part has the new value of one attribute.
    Changed,
    /// The lead took over these leads.
    Merged {
        losing: Vec<String>,
    },
    /// The lead was merged into another: a tombstone that points to it.
    MergedInto {
        surviving: String,
    },
    /// The lead was deleted: a tombstone.
    Deleted,
}

impl LeadChange {
    /// Returns the word in the record and in its type.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Merged { .. } => "merged",
            Self::MergedInto { .. } => "merged-into",
            Self::Deleted => "deleted",
        }
    }

    /// Whether the record has no value, which deletes its key where the topic is compacted.
    pub fn is_tombstone(&self) -> bool {
        matches!(self, Self::MergedInto { .. } | Self::Deleted)
    }
}

/// One activity that a state is derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its place in the delivery.
    pub index: u32,
    /// The attributes that identify the activity.
    pub id: Option<Cow<'a, str>>,
    pub source: Cow<'a, str>,
    pub r#type: Cow<'a, str>,
    pub time: Option<Cow<'a, str>>,
    /// An attribute of the lead and its new value, in JSON as the sender wrote it.
    pub field: Option<(String, String)>,
    /// The activity's own bytes, as they stand in the body.
    pub original: &'a [u8],
}

impl LeadState<'_> {
    /// Returns the new value of each attribute: the last value, at the place of the first.
    pub fn fields(&self) -> Vec<(&str, &str)> {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (name, value) in self.parts.iter().filter_map(|part| part.field.as_ref()) {
            let place = *places.entry(name.as_str()).or_insert(fields.len());
            match fields.get_mut(place) {
                Some(field) => field.1 = value,
                None => fields.push((name, value)),
            }
        }
        fields
    }
}

impl<'a> Event<'a> {
    /// Makes the item of a state, at this place of the delivery.
    pub fn of_lead_state(
        index: u32,
        munchkin_id: Cow<'a, str>,
        activity_type_id: Option<i64>,
        key: Word<'a>,
        state: LeadState<'a>,
    ) -> Self {
        let last = state.parts.last();
        let id = last.and_then(|part| part.id.as_deref());
        let id = id.map(|id| format!("{id}:{}", state.lead_id).into());
        let time = last.and_then(|part| part.time.clone());
        let is_tombstone = state.change.is_tombstone();
        let headers = match &state.change {
            LeadChange::MergedInto { surviving } => {
                vec![(MERGED_INTO_HEADER, surviving.clone().into())]
            }
            _ => Vec::new(),
        };
        Self {
            index,
            stream: Stream::LeadActivity,
            event_type: EVENT_TYPE.into(),
            munchkin_id: Some(munchkin_id),
            activity_type_id,
            key: Some(key),
            attributes: Attributes {
                id,
                source: LEAD_STATE_SOURCE.into(),
                r#type: format!("millrace.{EVENT_TYPE}.{}", state.change.as_str()).into(),
                time,
                datacontenttype: (!is_tombstone).then_some("application/json".into()),
                ..Attributes::default()
            },
            headers,
            value: Pieces::default(),
            members: None,
            original: last.map_or(&[], |part| part.original),
            lead_state: Some(Box::new(state)),
        }
    }

    /// Returns the state with only those parts for which `is_kept` is true; `None` if there are none.
    pub fn with_parts(&self, is_kept: impl Fn(usize) -> bool) -> Option<Self> {
        let state = self.lead_state.as_deref()?;
        let parts = state.parts.iter().enumerate().filter(|(place, _)| is_kept(*place));
        let parts: Vec<_> = parts.map(|(_, part)| part.clone()).collect();
        let key = self.key.clone().filter(|_| !parts.is_empty())?;
        let munchkin_id = self.munchkin_id.clone()?;
        let LeadState { lead_id, change, .. } = state;
        let state = LeadState { lead_id: lead_id.clone(), change: change.clone(), parts };
        Some(Self::of_lead_state(self.index, munchkin_id, self.activity_type_id, key, state))
    }
}
