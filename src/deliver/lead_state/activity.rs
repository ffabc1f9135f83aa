//! An activity of a lead's life: the fields of which a state is made.
//!
//! Attributes are `{"name": …, "value": …}` in the array `attributes`, in both senders' forms. Their names drift
//! between documents, so case does not count.

use std::borrow::Cow;

use super::distinct;
use crate::{
    deliver::decode::{id, json::Cursor},
    event::{Coding, Event, Stream},
};

/// The leads that one activity may merge; the guide for consumers says so.
pub const MAX_MERGED: usize = 1000;

pub(super) const NO_LEAD: &str = "no-lead";
pub(super) const NO_ATTRIBUTES: &str = "no-attributes";
pub(super) const AMBIGUOUS: &str = "ambiguous-attribute";
pub(super) const NO_ATTRIBUTE_NAME: &str = "no-attribute-name";
pub(super) const NO_NEW_VALUE: &str = "no-new-value";
pub(super) const NO_MERGE_IDS: &str = "no-merge-ids";
pub(super) const UNREADABLE_MERGE_IDS: &str = "unreadable-merge-ids";

/// The kinds of activities that states are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Created,
    Changed,
    Merged,
    Deleted,
}

impl Kind {
    /// Returns the kind by the id of the activity type: names are not reliable.
    pub fn of(event: &Event<'_>) -> Option<Self> {
        match event.activity_type_id? {
            _ if event.stream != Stream::LeadActivity => None,
            12 => Some(Self::Created),
            13 => Some(Self::Changed),
            32 => Some(Self::Merged),
            37 => Some(Self::Deleted),
            _ => None,
        }
    }
}

/// The content of an activity.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Activity {
    /// The lead's id, spelled as in the event's key.
    pub lead: String,
    /// For a change: the attribute, and its new value in JSON.
    pub field: Option<(String, String)>,
    /// For a merge: the losing leads.
    pub losing: Vec<String>,
}

impl Activity {
    pub fn read(event: &Event<'_>, kind: Kind) -> Result<Self, &'static str> {
        let lead = lead_of(event).ok_or(NO_LEAD)?;
        let mut field = None;
        let mut losing = Vec::new();
        match kind {
            Kind::Created | Kind::Deleted => {}
            Kind::Changed => field = Some(with_found(event, |found| found.change())?),
            Kind::Merged => {
                losing = with_found(event, |found| found.losing())?;
                losing.retain(|id| *id != lead);
                if losing.is_empty() {
                    return Err(NO_MERGE_IDS);
                }
            }
        }
        Ok(Self { lead, field, losing })
    }
}

/// The lead in the event's key, which is its munchkin id alone where it has none. A text that is not a number names no
/// lead: it cannot be distinguished from the leads that a merge lists.
fn lead_of(event: &Event<'_>) -> Option<String> {
    let key = event.key.as_deref()?;
    let lead = key.strip_prefix(event.munchkin_id.as_deref()?)?.strip_prefix(':')?;
    id::number(lead).map(Cow::into_owned)
}

/// Raw JSON of the members that are looked for in an event's value.
#[derive(Default)]
struct Found<'t> {
    primary: Option<&'t str>,
    name: Option<&'t str>,
    new: Option<&'t str>,
    has_old: bool,
    merge_ids: Option<&'t str>,
    has_attributes: bool,
    /// One of these members stands twice.
    is_ambiguous: bool,
}

fn with_found<T>(
    event: &Event<'_>,
    take: impl FnOnce(&Found<'_>) -> Result<T, &'static str>,
) -> Result<T, &'static str> {
    if event.value.coding() != Coding::Plain {
        return Err(NO_ATTRIBUTES);
    }
    let bytes = event.value.as_slice().concat();
    let text = std::str::from_utf8(&bytes).map_err(|_| NO_ATTRIBUTES)?;
    let found = Found::in_text(text).ok_or(NO_ATTRIBUTES)?;
    match found.is_ambiguous {
        true => Err(AMBIGUOUS),
        false => take(&found),
    }
}

impl<'t> Found<'t> {
    /// `None` where the text is no object.
    fn in_text(text: &'t str) -> Option<Self> {
        let mut found = Self::default();
        let mut cursor = Cursor::new(text);
        let read = cursor.object(|cursor, name| match name.text().as_deref() {
            Some("attributes") if cursor.peek() == Some(b'[') => {
                found.is_ambiguous |= found.has_attributes;
                found.has_attributes = true;
                cursor.array(|cursor| found.attribute(cursor))
            }
            Some("primaryAttributeValue") => {
                let value = cursor.skip()?;
                found.is_ambiguous |= found.primary.replace(value).is_some();
                Ok(())
            }
            _ => cursor.skip().map(drop),
        });
        read.is_ok().then_some(found)
    }

    fn attribute(
        &mut self,
        cursor: &mut Cursor<'t>,
    ) -> Result<(), crate::deliver::decode::Undecodable> {
        if cursor.peek() != Some(b'{') {
            return cursor.skip().map(drop);
        }
        let mut name = None;
        let mut value = None;
        let mut twice = false;
        cursor.object(|cursor, member| {
            let spelled = cursor.skip()?;
            twice |= match member.text().as_deref() {
                Some("name") => name.replace(spelled).is_some(),
                Some("value") => value.replace(spelled).is_some(),
                _ => false,
            };
            Ok(())
        })?;
        let name = name.and_then(text).unwrap_or_default().trim().to_ascii_lowercase();
        let place = match name.as_str() {
            "attribute name" => &mut self.name,
            "new value" => &mut self.new,
            "merge ids" => &mut self.merge_ids,
            "old value" => {
                self.has_old = true;
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.is_ambiguous |= place.replace(value.unwrap_or("null")).is_some() || twice;
        Ok(())
    }

    /// The attribute of the lead, and its new value. An attribute that was emptied may have an old value only.
    fn change(&self) -> Result<(String, String), &'static str> {
        if !self.has_attributes {
            return Err(NO_ATTRIBUTES);
        }
        let is_said = |name: &String| !name.trim().is_empty();
        let name = self.primary.and_then(text).filter(is_said);
        let name = name.or_else(|| self.name.and_then(text).filter(is_said));
        let name = name.ok_or(NO_ATTRIBUTE_NAME)?;
        match self.new {
            Some(new) => Ok((name, new.to_owned())),
            None if self.has_old => Ok((name, "null".to_owned())),
            None => Err(NO_NEW_VALUE),
        }
    }

    fn losing(&self) -> Result<Vec<String>, &'static str> {
        if !self.has_attributes {
            return Err(NO_ATTRIBUTES);
        }
        let spelled = self.merge_ids.filter(|spelled| *spelled != "null").ok_or(NO_MERGE_IDS)?;
        let ids = match spelled.starts_with('"') {
            true => text(spelled).ok_or(UNREADABLE_MERGE_IDS)?,
            false => spelled.to_owned(),
        };
        let ids = ids.trim();
        let inner =
            ids.strip_prefix('[').and_then(|ids| ids.strip_suffix(']')).unwrap_or(ids).trim();
        if inner.is_empty() {
            return Err(NO_MERGE_IDS);
        }
        let id = |part: &str| {
            let part = part.trim();
            let part = part.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(part);
            id::number(part).map(Cow::into_owned)
        };
        let ids: Option<Vec<_>> = inner.split(',').map(id).collect();
        ids.map(distinct).ok_or(UNREADABLE_MERGE_IDS)
    }
}

/// Unescapes a JSON string.
fn text(spelled: &str) -> Option<String> {
    serde_json::from_str(spelled).ok()
}
