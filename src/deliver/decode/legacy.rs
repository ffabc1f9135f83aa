//! Marketo's own lead activity push: `{"munchkinId": …, "activities": [ … ]}`.
//!
//! Each activity becomes the event that Adobe I/O sends for the same activity, so that both forms
//! meet in one topic under one id: `ce_id` is `marketoGUID`, `ce_source`
//! [`naming::LEAD_ACTIVITY_SOURCE`], `ce_type` and event type come from the catalogue, `ce_time` is
//! `activityDate` by the rule that Adobe's `time` goes by (`time.rs`).
//!
//! Decisions of this module, where no published source says more:
//! - Only top-level members of the body and of an activity count, however their names are escaped.
//! - `null` and `""` are the same as absent. Without `leadId` the key is `<munchkinId>`.
//! - An activity's own `munchkinId` wins over the body's, and none is put in beside it. One that is neither text nor
//!   `null` is refused: it may name another instance than the body's.
//! - A name that this module reads and that stands twice makes the activity (or the body) ambiguous:
//!   it is refused, since consumers would disagree which one counts. Other names may repeat.
//! - A `marketoGUID` that is a number is taken as its spelling; an array or an object is refused,
//!   since taking it out would lose it.

mod activity;

use std::{borrow::Cow, ops::Range};

use super::{
    LegacyValue, MAX_EVENTS, Rules, Undecodable, id,
    json::{Cursor, is_space, offset},
    met::{self, Met},
    naming,
    scalar::Scalar,
    time,
};
use crate::event::{Attributes, Decoded, Event, Pieces, Refused, Stream, Word};
use activity::{Activity, Handing, Name};

/// The plain header that carries the munchkin id when the value stays as it came.
pub const MUNCHKIN_ID_HEADER: &str = "millrace-munchkin-id";

pub(super) fn decode<'a>(
    rules: &'a Rules,
    body: &'a str,
    members: Option<&'a met::Memory>,
    out: &mut Vec<Decoded<'a>>,
) -> Result<(), Undecodable> {
    let value = rules.legacy_value;
    let mut handing = members.map(|memory| Handing { met: Met::new(memory), value });
    let (munchkin_id, elements) = split(body, handing.as_mut())?;
    out.extend(elements.iter().zip(0..).map(|(element, index)| {
        event(rules, &munchkin_id, element, index).map_err(|(reason, error)| Refused {
            index,
            reason,
            error: format!("activity {index}: {error}"),
            key: element.key(&munchkin_id).map(Into::into),
            original: element.original.as_bytes(),
        })
    }));
    Ok(())
}

/// The body's munchkin id (it may stand behind the activities) and its activities.
fn split<'a>(
    body: &'a str,
    mut handing: Option<&mut Handing<'a>>,
) -> Result<(MunchkinId<'a>, Vec<Element<'a>>), Undecodable> {
    let mut cursor = Cursor::new(body);
    if cursor.peek() != Some(b'{') {
        cursor.skip()?;
        cursor.end()?;
        let error = "expected an object with `activities` at byte 0";
        return Err(Undecodable::new("not-an-object", error));
    }
    let mut munchkin_id = None;
    let mut activities = None;
    let mut flaw = None;
    cursor.object(|cursor, name| {
        let twice = match Name::of(name) {
            Some(Name::MunchkinId) => munchkin_id.replace(cursor.skip()?).is_some(),
            Some(Name::Activities) if cursor.peek() == Some(b'[') => {
                activities.replace(elements(cursor, handing.as_deref_mut())?).is_some()
            }
            Some(Name::Activities) => {
                let at = offset(body, cursor.skip()?);
                let error = format!("`activities` at byte {at} is not an array");
                flaw.get_or_insert(Undecodable::new("no-activities", error));
                false
            }
            _ => {
                cursor.skip()?;
                false
            }
        };
        if twice {
            let at = offset(body, name.quoted);
            let name = name.quoted;
            let error = format!("duplicate {name} at byte {at}");
            flaw.get_or_insert(Undecodable::new("duplicate-member", error));
        }
        Ok(())
    })?;
    cursor.end()?;
    match (flaw, activities) {
        (Some(flaw), _) => Err(flaw),
        (None, Some(activities)) => Ok((MunchkinId::new(munchkin_id), activities)),
        (None, None) => Err(Undecodable::new("no-activities", "the object has no `activities`")),
    }
}

fn elements<'a>(
    cursor: &mut Cursor<'a>,
    mut handing: Option<&mut Handing<'a>>,
) -> Result<Vec<Element<'a>>, Undecodable> {
    let mut elements = Vec::new();
    cursor.array(|cursor| {
        if elements.len() == MAX_EVENTS {
            let error = format!("more than {MAX_EVENTS} activities in one body");
            return Err(Undecodable::new("too-many-events", error));
        }
        elements.push(if cursor.peek() == Some(b'{') {
            let (activity, original) = Activity::read(cursor, handing.as_deref_mut())?;
            Element { original, activity: Some(activity) }
        } else {
            Element { original: cursor.skip()?, activity: None }
        });
        Ok(())
    })?;
    Ok(elements)
}

/// An element of `activities`, well-formed, not yet understood. `None`: it is no object.
struct Element<'a> {
    original: &'a str,
    activity: Option<Activity<'a>>,
}

/// A munchkin id as text and as it is spelled.
struct MunchkinId<'a> {
    text: Option<Cow<'a, str>>,
    spelled: &'a str,
}

impl<'a> MunchkinId<'a> {
    fn new(spelled: Option<&'a str>) -> Self {
        let text = Scalar::of(spelled).text().and_then(id::munchkin);
        Self { text, spelled: spelled.unwrap_or_default() }
    }
}

impl<'a> Element<'a> {
    fn munchkin_id(&self, of_body: &MunchkinId<'a>) -> Option<Cow<'a, str>> {
        let own = self.activity.as_ref().and_then(|activity| activity.munchkin_id);
        match Scalar::of(own) {
            Scalar::Absent => of_body.text.clone(),
            Scalar::Text(text) => id::munchkin(text).or_else(|| of_body.text.clone()),
            Scalar::Number(_) | Scalar::Unusable => None,
        }
    }

    /// `<munchkinId>:<leadId>`, `<munchkinId>` without a lead, none without a munchkin id.
    fn key(&self, of_body: &MunchkinId<'a>) -> Option<Word<'a>> {
        let munchkin_id = self.munchkin_id(of_body)?;
        let lead = Scalar::of(self.activity.as_ref().and_then(|activity| activity.lead_id)).word();
        Some(match lead {
            Some(lead) => Word::joined(&[&munchkin_id, &id::part(lead)]),
            None => munchkin_id.into(),
        })
    }
}

/// The event of an element, or the reason why there is none.
fn event<'a>(
    rules: &'a Rules,
    of_body: &MunchkinId<'a>,
    element: &Element<'a>,
    index: u32,
) -> Result<Event<'a>, (&'static str, String)> {
    let original = element.original;
    let Some(activity) = &element.activity else {
        return Err(("not-an-object", "expected an object".into()));
    };
    if let Some(name) = activity.twice {
        return Err(("duplicate-member", format!("{name} stands twice")));
    }
    if matches!(Scalar::of(activity.munchkin_id), Scalar::Number(_) | Scalar::Unusable) {
        return Err(("unusable-munchkin-id", "`munchkinId` of the activity is no text".into()));
    }
    let Some(munchkin_id) = element.munchkin_id(of_body) else {
        let error = "neither the activity nor the body has a `munchkinId` that is text";
        return Err(("missing-munchkin-id", error.into()));
    };
    if matches!(Scalar::of(activity.lead_id), Scalar::Unusable) {
        return Err(("unusable-lead-id", "`leadId` is neither a number nor text".into()));
    }
    let id = match Scalar::of(activity.guid) {
        Scalar::Absent => None,
        Scalar::Text(id) => Some(id),
        Scalar::Number(id) => Some(Cow::Borrowed(id)),
        Scalar::Unusable => {
            return Err(("unusable-guid", "`marketoGUID` is neither text nor a number".into()));
        }
    };
    let type_id = Scalar::of(activity.type_id).word().and_then(|id| id::activity_type(&id));
    let name = Scalar::of(activity.type_name).text();
    let Some(kind) = rules.catalog.activity_type(type_id, name.as_deref()) else {
        let error = "neither `activityTypeId` (a whole number) nor `activityType` (text) is there";
        return Err(("missing-activity-type", error.into()));
    };
    let mut headers = Vec::new();
    let value = match rules.legacy_value {
        LegacyValue::CloudEvent => value(original, activity, of_body),
        LegacyValue::AsReceived => {
            headers.push((MUNCHKIN_ID_HEADER, munchkin_id.clone()));
            Pieces::from(original.as_bytes())
        }
    };
    Ok(Event {
        index,
        stream: Stream::LeadActivity,
        event_type: kind.event_type,
        key: element.key(of_body),
        munchkin_id: Some(munchkin_id),
        activity_type_id: type_id,
        attributes: Attributes {
            id,
            source: Cow::Borrowed(naming::LEAD_ACTIVITY_SOURCE),
            r#type: kind.ce_type,
            time: Scalar::of(activity.date).text().and_then(time::to_rfc3339),
            datacontenttype: Some(Cow::Borrowed("application/json")),
            ..Attributes::default()
        },
        headers,
        value,
        original: original.as_bytes(),
        members: activity.members,
        lead_state: None,
    })
}

/// The activity's bytes with the three edits of the mapping. At least the member with the
/// type is left, so a comma always follows the inserted member.
fn value<'a>(original: &'a str, activity: &Activity<'a>, of_body: &MunchkinId<'a>) -> Pieces<'a> {
    let bytes = original.as_bytes();
    let mut pieces = Pieces::default();
    if activity.munchkin_id.is_none() {
        pieces.push(b"{\"munchkinId\":");
        pieces.push(of_body.spelled.as_bytes());
        pieces.push(b",");
    } else {
        pieces.push(b"{");
    }
    let quote = match (activity.lead_id, Scalar::of(activity.lead_id)) {
        (Some(spelled), Scalar::Number(number)) => {
            let start = offset(original, spelled);
            Some((start..start + spelled.len(), number))
        }
        _ => None,
    };
    let cut = activity.guid_name.zip(activity.guid).map(|(name, value)| {
        let start = offset(original, name);
        let end = offset(original, value) + value.len();
        (member_and_comma(bytes, start, end), "")
    });
    let mut edits = [quote, cut];
    edits.sort_by_key(|edit| edit.as_ref().map(|(range, _)| range.start));
    let mut at = 1;
    for (range, quoted) in edits.into_iter().flatten() {
        pieces.push(&bytes[at..range.start]);
        if !quoted.is_empty() {
            pieces.push(b"\"");
            pieces.push(quoted.as_bytes());
            pieces.push(b"\"");
        }
        at = range.end;
    }
    pieces.push(&bytes[at..]);
    pieces
}

/// The range of the member from `start` to `end` and of one comma: the one behind it, or, for the
/// last member, the one before it.
fn member_and_comma(object: &[u8], start: usize, end: usize) -> Range<usize> {
    let behind = end + object[end..].iter().take_while(|byte| is_space(**byte)).count();
    if object[behind] == b',' {
        return start..behind + 1;
    }
    let space = object[..start].iter().rev().take_while(|byte| is_space(**byte)).count();
    match object[start - space - 1] {
        b',' => start - space - 1..end,
        _ => start..end,
    }
}
