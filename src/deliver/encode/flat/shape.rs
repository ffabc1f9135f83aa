//! Shapes: the columns that all records of a topic have in common, and the column of each member and attribute.
//!
//! They follow from the catalogue alone (Marketo's published types, or the answer of its API in
//! `catalog.types_file`), never from the events so far: so two replicas have the same columns, and so has the service
//! after a restart.

use std::collections::HashMap;

use smol_str::SmolStr;

use super::{
    name::snake,
    standard,
    types::{ActivityType, AttributeType},
    value::Kind,
};
use crate::{
    deliver::decode::{Catalog, Fields, fields::Effect},
    event::{Event, Stream},
};

/// A listed field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: SmolStr,
    pub kind: Kind,
    /// Whether each record has a value.
    pub is_required: bool,
    /// `"name":`, ready for JSON.
    pub(super) member: Box<str>,
}

/// Places of the columns that each shape begins with.
pub(super) const ID: usize = 0;
pub(super) const SOURCE: usize = 1;
pub(super) const TYPE: usize = 2;
pub(super) const TIME: usize = 3;
pub(super) const MUNCHKIN_ID: usize = 4;

/// The columns of a topic's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    columns: Vec<Column>,
    /// Filter of the columns' names.
    names: Glance,
    /// The column of an activity's date.
    activity_date: Option<usize>,
    /// Columns by the sender's names of members.
    members: Vec<(SmolStr, usize)>,
    attributes: Vec<Listed>,
    /// Filter of attribute names, in all listed spellings.
    attribute_names: Glance,
    /// Schema for Kafka Connect, `{"type":"struct",…}`.
    connect: String,
}

/// An attribute that has a column.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    /// The sender's name.
    name: SmolStr,
    /// The sender's name in the form of fields, which finds other spellings.
    snake: SmolStr,
    column: usize,
}

/// The column of `activityDate`.
const ACTIVITY_DATE: &str = "activity_date";

/// A filter of names, by their lengths and ends: most other names are excluded without a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Glance([u64; 4]);

impl Glance {
    fn place(name: &str) -> (usize, u64) {
        let bytes = name.as_bytes();
        let first = bytes.first().copied();
        let last = bytes.last().copied();
        let mixed = usize::from(first.unwrap_or(0)) * 7
            + usize::from(last.unwrap_or(0)) * 31
            + bytes.len() * 67;
        (mixed / 64 % 4, 1 << (mixed % 64))
    }

    fn add(&mut self, name: &str) {
        let (word, bit) = Self::place(name);
        self.0[word] |= bit;
    }

    /// `false` if it was never added.
    fn may_have(&self, name: &str) -> bool {
        let (word, bit) = Self::place(name);
        self.0[word] & bit != 0
    }
}

/// Members of activities of every type.
const ACTIVITY: &[(&str, Kind)] = &[
    ("leadId", Kind::Integer),
    ("activityTypeId", Kind::Integer),
    ("activityType", Kind::Text),
    ("activityDate", Kind::DateTime),
    ("activityLogItemId", Kind::Integer),
    ("campaignId", Kind::Integer),
    ("primaryAttributeValueId", Kind::Integer),
    ("primaryAttributeValue", Kind::Text),
];

const AUDIT: &[(&str, Kind)] = &[
    ("componentId", Kind::Integer),
    ("componentType", Kind::Text),
    ("eventAction", Kind::Text),
    ("imsOrgId", Kind::Text),
    ("user", Kind::Integer),
    ("userId", Kind::Text),
];

const NOTIFICATION: &[(&str, Kind)] = &[
    ("componentType", Kind::Text),
    ("subType", Kind::Text),
    ("eventAction", Kind::Text),
    ("imsOrgId", Kind::Text),
];

/// Published names of members that events of `stream` have.
pub fn members(stream: Stream) -> impl Iterator<Item = &'static str> {
    published(stream).iter().map(|(name, _)| *name)
}

fn published(stream: Stream) -> &'static [(&'static str, Kind)] {
    match stream {
        Stream::LeadActivity => ACTIVITY,
        Stream::UserAudit => AUDIT,
        Stream::Notification => NOTIFICATION,
        Stream::Observability | Stream::Other => &[],
    }
}

impl Shape {
    /// The columns that all events of `streams` have, after the rules `fields`.
    fn common(streams: &[Stream], fields: &Of<'_>) -> Self {
        let mut shape = Self::default();
        for (name, is_required) in [("id", true), ("source", true), ("type", true)] {
            shape.column(name, Kind::Text, is_required);
        }
        shape.column("time", Kind::DateTime, false);
        shape.member("munchkinId", Kind::Text, fields);
        for stream in streams {
            published(*stream).iter().for_each(|(name, kind)| shape.member(name, *kind, fields));
        }
        shape
    }

    fn finished(mut self) -> Self {
        self.connect = super::connect::schema(&self.columns).to_string();
        self
    }

    fn column(&mut self, name: &str, kind: Kind, is_required: bool) -> usize {
        let member = format!("\"{name}\":").into();
        self.columns.push(Column { name: name.into(), kind, is_required, member });
        self.names.add(name);
        if name == ACTIVITY_DATE {
            self.activity_date = Some(self.columns.len() - 1);
        }
        self.columns.len() - 1
    }

    fn member(&mut self, written: &str, kind: Kind, fields: &Of<'_>) {
        let Some(kind) = fields.kind(kind, (written, false)) else { return };
        if self.members.iter().all(|(known, _)| known != written) {
            let mut name = String::new();
            snake(written, &mut name);
            let column = self.column(&name, kind, false);
            self.members.push((written.into(), column));
        }
    }

    /// Adds an attribute of one more type. A name with two kinds is text.
    fn attribute(&mut self, attribute: &AttributeType, fields: &Of<'_>) {
        let Some(kind) = fields.kind(attribute.kind, (&attribute.name, true)) else { return };
        let mut snaked = String::new();
        snake(&attribute.name, &mut snaked);
        let known = self.attributes.iter().find(|listed| listed.snake == snaked);
        let column = match known.map(|listed| listed.column) {
            Some(column) => {
                if self.columns[column].kind != kind {
                    self.columns[column].kind = Kind::Text;
                }
                column
            }
            None => {
                let mut name = snaked.clone();
                if self.find(&name).is_some() || name == super::OTHERS {
                    name.insert_str(0, "attribute_");
                }
                if self.find(&name).is_some() {
                    return;
                }
                self.column(&name, kind, false)
            }
        };
        for written in [Some(&attribute.name), attribute.api_name.as_ref()].into_iter().flatten() {
            if self.attributes.iter().all(|listed| listed.name != *written) {
                let mut snaked = String::new();
                snake(written, &mut snaked);
                self.attribute_names.add(written);
                self.attribute_names.add(&snaked);
                self.attributes.push(Listed {
                    name: written.as_str().into(),
                    snake: snaked.into(),
                    column,
                });
            }
        }
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The schema for Kafka Connect's JSON converter.
    pub fn connect_schema(&self) -> &str {
        &self.connect
    }

    /// The column with this name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        if !self.names.may_have(name) {
            return None;
        }
        self.columns.iter().position(|column| column.name == name)
    }

    /// The column of an activity's date, where activities have one.
    pub(super) fn activity_date(&self) -> Option<usize> {
        self.activity_date
    }

    /// The column of the member with the sender's name `written`. `next` is its probable place.
    pub(super) fn of_member(&self, written: &str, next: &mut usize) -> Option<usize> {
        let at = position(&self.members, *next, |(name, _)| name == written)?;
        *next = at + 1;
        Some(self.members[at].1)
    }

    /// The column of an attribute, like [`Shape::of_member`]: senders write them in one order.
    pub(super) fn of_attribute(&self, written: &str, next: &mut usize) -> Option<usize> {
        if !self.attribute_names.may_have(written) {
            return None;
        }
        let at = position(&self.attributes, *next, |listed| listed.name == written)?;
        *next = at + 1;
        Some(self.attributes[at].column)
    }

    /// The column of an attribute in another spelling.
    pub(super) fn of_snake(&self, snaked: &str) -> Option<usize> {
        if !self.attribute_names.may_have(snaked) {
            return None;
        }
        self.attributes.iter().find(|listed| listed.snake == snaked).map(|listed| listed.column)
    }
}

/// Searches from `next` to the end first, then from the beginning.
fn position<T>(all: &[T], next: usize, is_it: impl Fn(&T) -> bool) -> Option<usize> {
    let next = next.min(all.len());
    let behind = all[next..].iter().position(&is_it).map(|at| next + at);
    behind.or_else(|| all[..next].iter().position(&is_it))
}

/// The events of a topic, by the template of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Events of one type (`{stream}` and `{type}`): the type's own columns.
    #[default]
    Type,
    /// Events of one stream: the columns that all of them have. Attributes are among the others.
    Stream,
    /// All events.
    All,
}

impl Scope {
    /// The scope of a topic template.
    pub fn of_template(template: &str) -> Self {
        match (template.contains("{stream}"), template.contains("{type}")) {
            (true, true) => Self::Type,
            (true, false) => Self::Stream,
            (false, _) => Self::All,
        }
    }
}

/// The rules on fields for the events of a topic.
struct Of<'a> {
    fields: &'a Fields,
    stream: Option<Stream>,
    event_type: Option<&'a str>,
}

impl Of<'_> {
    /// The kind of a member's or an attribute's column; `None` if it has no column, since it is in no record.
    fn kind(&self, kind: Kind, field: (&str, bool)) -> Option<Kind> {
        let of = |stream| self.fields.effect(stream, self.event_type, field);
        let effect = match self.stream {
            Some(stream) => of(stream),
            None => Stream::ALL.into_iter().filter_map(of).max(),
        };
        match effect {
            Some(Effect::Absent) => None,
            Some(Effect::Text | Effect::MayBeText) => Some(Kind::Text),
            None => Some(kind),
        }
    }
}

/// The shapes of all topics.
#[derive(Clone, Debug)]
pub struct Shapes {
    scope: Scope,
    /// Shapes of lead activities, by event type.
    activities: HashMap<String, Shape>,
    /// Shapes of all other events, in the order of [`Stream::ALL`].
    streams: [Shape; 5],
    all: Shape,
}

impl Shapes {
    /// The shapes of topics of `scope`. `types` are described by the customer's own Marketo, and override the
    /// published ones. `catalog` gives their names in topics, and `fields` are the rules of the source.
    pub fn new(scope: Scope, catalog: &Catalog, types: &[ActivityType], fields: &Fields) -> Self {
        let mut activities = HashMap::<String, Shape>::new();
        let published = standard::types();
        let is_described = |id: i64| types.iter().any(|described| described.id == id);
        let published = published.iter().filter(|listed| !is_described(listed.id));
        for listed in types.iter().chain(published) {
            let Some(called) = catalog.activity_type(Some(listed.id), Some(&listed.name)) else {
                continue;
            };
            let event_type = Some(&*called.event_type);
            let of = Of { fields, stream: Some(Stream::LeadActivity), event_type };
            let new = || Shape::common(&[Stream::LeadActivity], &of);
            let shape = activities.entry(called.event_type.to_string()).or_insert_with(new);
            listed.attributes.iter().for_each(|attribute| shape.attribute(attribute, &of));
        }
        Self {
            scope,
            activities: activities.into_iter().map(|(name, it)| (name, it.finished())).collect(),
            streams: Stream::ALL.map(|stream| {
                let of = Of { fields, stream: Some(stream), event_type: None };
                Shape::common(&[stream], &of).finished()
            }),
            all: Shape::common(&Stream::ALL, &Of { fields, stream: None, event_type: None })
                .finished(),
        }
    }

    /// The shape of the event's topic.
    pub fn of(&self, event: &Event<'_>) -> &Shape {
        self.of_type(event.stream, &event.event_type)
    }

    /// The shape of the topic for a type of events.
    pub fn of_type(&self, stream: Stream, event_type: &str) -> &Shape {
        match (self.scope, stream) {
            (Scope::All, _) => &self.all,
            (Scope::Type, Stream::LeadActivity) => {
                self.activities.get(event_type).unwrap_or(&self.streams[0])
            }
            (Scope::Type | Scope::Stream, _) => &self.streams[stream as usize],
        }
    }
}
