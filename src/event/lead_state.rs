//! What an activity says about the life of a lead: the derived item that becomes a record of the topic of lead states.
//!
//! It is plain values. `deliver::lead_state` makes it of the events of a delivery, `deliver::encode` writes its record.

use std::borrow::Cow;

use super::{Attributes, Event, Pieces, Stream, Word};

/// The CloudEvents source of states, which no sender's event has: what they are known by is hashed with one text more.
pub const LEAD_STATE_SOURCE: &str = "urn:millrace:lead-state";

/// The plain header of a tombstone that has the id of the lead which took over.
pub const MERGED_INTO_HEADER: &str = "millrace-merged-into";

/// The event type of states.
const EVENT_TYPE: &str = "lead-state";

/// The state of one lead, behind the events that it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadState<'a> {
    /// The lead that the record is about, as its key has it.
    pub lead_id: String,
    pub change: LeadChange,
    /// The activities that it is made of, in the order of the delivery; at least one, and the last one names it. A
    /// part that is a repeat is left out before the record is made.
    pub parts: Vec<Part<'a>>,
}

/// What happened to the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadChange {
    Created,
    /// Each part has the new value of one attribute.
    Changed,
    /// It took over these leads.
    Merged {
        losing: Vec<String>,
    },
    /// It went into another lead: a tombstone that points to it.
    MergedInto {
        surviving: String,
    },
    /// A tombstone.
    Deleted,
}

impl LeadChange {
    /// The word in the record and in its type.
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

/// One activity that a state is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its place in the delivery.
    pub index: u32,
    /// Its attributes: what it is known by.
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
    /// The new value of each attribute: the last one, in the place of the first.
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
    /// The item of a state, at this place of the delivery.
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

    /// The same state, made of those parts alone of which `is_kept` says so; `None` if there are none of them.
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
