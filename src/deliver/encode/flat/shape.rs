//! Shapes: the columns that all records of a topic have in common, and the column of each member and attribute.
//!
//! They follow from the catalogue alone (Marketo's published types, or the answer of its API in
//! `catalog.types_file`), never from the events so far: so two replicas have the same columns, and so has the service
//! after a restart.

use smol_str::SmolStr;

use super::{
    label::Label,
    lookup::Lookup,
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
    /// The name, as it stands in JSON.
    pub(super) label: Label,
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
    /// Places of the columns by their names.
    names: Lookup<usize>,
    /// The column of an activity's date.
    activity_date: Option<usize>,
    has_munchkin_id: bool,
    /// Columns by the sender's names of members.
    members: Lookup<Listed>,
    /// Places of the columns of attributes, by the names that the sender writes.
    attributes: Lookup<usize>,
    /// The same by these names as those of fields, for other spellings.
    snaked: Lookup<usize>,
    /// Schema for Kafka Connect, `{"type":"struct",…}`.
    connect: String,
}

/// A member that has a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub column: usize,
    /// It is the id of something, a number that senders write in several notations.
    pub is_id: bool,
}

/// Members with numeric ids.
const ID_MEMBERS: [&str; 3] = ["leadId", "activityTypeId", "componentId"];

/// The column of `activityDate`.
const ACTIVITY_DATE: &str = "activity_date";

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
        self.finish();
        self
    }

    fn finish(&mut self) {
        self.connect = super::connect::schema(&self.columns).to_string();
        self.has_munchkin_id = self.members.get("munchkinId").is_some();
    }

    fn column(&mut self, name: &str, kind: Kind, is_required: bool) -> usize {
        self.names.add(name, self.columns.len());
        let label = Label::new(name);
        self.columns.push(Column { name: name.into(), kind, is_required, label });
        if name == ACTIVITY_DATE {
            self.activity_date = Some(self.columns.len() - 1);
        }
        self.columns.len() - 1
    }

    fn member(&mut self, written: &str, kind: Kind, fields: &Of<'_>) {
        let Some(kind) = fields.kind(kind, (written, false)) else { return };
        if self.members.get(written).is_none() {
            let mut name = String::new();
            snake(written, &mut name);
            let column = self.column(&name, kind, false);
            self.members.add(written, Listed { column, is_id: ID_MEMBERS.contains(&written) });
        }
    }

    /// Adds an attribute of one more type. A name with two kinds is text.
    fn attribute(&mut self, attribute: &AttributeType, fields: &Of<'_>) {
        let Some(kind) = fields.kind(attribute.kind, (&attribute.name, true)) else { return };
        let mut snaked = String::new();
        snake(&attribute.name, &mut snaked);
        let column = match self.snaked.get(&snaked).copied() {
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
            if self.attributes.get(written).is_none() {
                let mut snaked = String::new();
                snake(written, &mut snaked);
                self.attributes.add(written, column);
                self.snaked.add(&snaked, column);
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

    /// Whether the munchkin id is among the members that have a column.
    pub(super) fn has_munchkin_id(&self) -> bool {
        self.has_munchkin_id
    }

    /// The column with this name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The column of an activity's date, where activities have one.
    pub(super) fn activity_date(&self) -> Option<usize> {
        self.activity_date
    }

    /// The column of the member that the sender calls `written`.
    pub(super) fn of_member(&self, written: &str) -> Option<Listed> {
        self.members.get(written).copied()
    }

    /// The same for an attribute.
    pub(super) fn of_attribute(&self, written: &str) -> Option<usize> {
        self.attributes.get(written).copied()
    }

    /// The column of an attribute in another spelling.
    pub(super) fn of_snake(&self, snaked: &str) -> Option<usize> {
        self.snaked.get(snaked).copied()
    }
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
    activities: Lookup<Shape>,
    /// Shapes of all other events, in the order of [`Stream::ALL`].
    streams: [Shape; 5],
    all: Shape,
}

impl Shapes {
    /// The shapes of topics of `scope`. `types` are described by the customer's own Marketo, and override the
    /// published ones. `catalog` gives their names in topics, and `fields` are the rules of the source.
    pub fn new(scope: Scope, catalog: &Catalog, types: &[ActivityType], fields: &Fields) -> Self {
        let mut activities = Lookup::<Shape>::default();
        let published = standard::types();
        let is_described = |id: i64| types.iter().any(|described| described.id == id);
        let published = published.iter().filter(|listed| !is_described(listed.id));
        for listed in types.iter().chain(published) {
            let Some(called) = catalog.activity_type(Some(listed.id), Some(&listed.name)) else {
                continue;
            };
            let event_type = Some(&*called.event_type);
            let of = Of { fields, stream: Some(Stream::LeadActivity), event_type };
            if activities.get(&called.event_type).is_none() {
                activities.add(&called.event_type, Shape::common(&[Stream::LeadActivity], &of));
            }
            let Some(shape) = activities.get_mut(&called.event_type) else { continue };
            listed.attributes.iter().for_each(|attribute| shape.attribute(attribute, &of));
        }
        activities.values_mut().for_each(Shape::finish);
        Self {
            scope,
            activities,
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
