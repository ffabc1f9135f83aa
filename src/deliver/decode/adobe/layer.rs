//! The objects of an envelope, read in one pass and left as they are spelled: its shape is known only when all of it
//! was seen.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::data::Data;
use crate::deliver::decode::{
    MAX_EVENTS, Undecodable,
    json::{Cursor, offset},
    met::Met,
    naming,
    scalar::Scalar,
};
use crate::event::Stream;

/// Limit of members in one object, beyond which its element is refused: each would be a header.
pub(super) const MAX_MEMBERS: usize = 100;

/// Limit of nested objects: the outermost one, that in its `event`, and that in the `body` of it.
pub(super) const MAX_LAYERS: usize = 3;

/// One element of a body, well-formed, not yet understood.
pub(super) struct Element<'a> {
    pub(super) original: &'a str,
    /// `None` if it is no object.
    pub(super) layer: Option<Layer<'a>>,
}

/// One object of an envelope.
#[derive(Default)]
pub(super) struct Layer<'a> {
    /// In the order in which they stand, without those whose name is no Unicode.
    pub(super) members: SmallVec<[Member<'a>; 12]>,
    /// By [`Known`], the place in `members` plus one; 0 if it is missing.
    known: [u8; Known::Body as usize + 1],
    /// The members of `data`, if it is an object.
    pub(super) data: Option<Data<'a>>,
    pub(super) inner: Option<Inner<'a>>,
    /// A name that stands twice.
    pub(super) twice: Option<&'a str>,
    pub(super) too_many: bool,
}

pub(super) struct Member<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) spelled: &'a str,
    pub(super) known: Option<Known>,
}

/// Attributes of CloudEvents itself, and members that wrap an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Specversion,
    Id,
    Source,
    Type,
    Time,
    Datacontenttype,
    Dataschema,
    Subject,
    Data,
    DataBase64,
    Event,
    Body,
}

impl Known {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "specversion" => Self::Specversion,
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Type,
            "time" => Self::Time,
            "datacontenttype" => Self::Datacontenttype,
            "dataschema" => Self::Dataschema,
            "subject" => Self::Subject,
            "data" => Self::Data,
            "data_base64" => Self::DataBase64,
            "event" => Self::Event,
            "body" => Self::Body,
            _ => return None,
        })
    }
}

/// The object in a member that may wrap the event.
pub(super) struct Inner<'a> {
    /// Its place in `members`.
    pub(super) at: usize,
    pub(super) layer: Box<Layer<'a>>,
}

/// All elements of a body.
pub(super) fn elements(body: &str) -> Result<Vec<Element<'_>>, Undecodable> {
    let mut elements = Vec::new();
    each(body, |_, cursor| {
        elements.push(Element::read(cursor, None)?);
        Ok(())
    })?;
    Ok(elements)
}

/// Calls `read` at each element of a body, with its place: one object, or an array.
/// The first byte decides which. `read` must take exactly the element. After an error the elements already read
/// must be dropped.
pub(super) fn each<'a>(
    body: &'a str,
    mut read: impl FnMut(u32, &mut Cursor<'a>) -> Result<(), Undecodable>,
) -> Result<(), Undecodable> {
    let mut cursor = Cursor::new(body);
    let mut count = 0;
    match cursor.peek() {
        Some(b'{') => read(0, &mut cursor)?,
        Some(b'[') => cursor.array(|cursor| {
            if count as usize == MAX_EVENTS {
                let error = format!("more than {MAX_EVENTS} events in one body");
                return Err(Undecodable::new("too-many-events", error));
            }
            read(count, cursor)?;
            count += 1;
            Ok(())
        })?,
        _ => {
            let at = offset(body, cursor.skip()?);
            cursor.end()?;
            let error = format!("expected an object or an array of objects at byte {at}");
            return Err(Undecodable::new("not-an-object", error));
        }
    }
    cursor.end()
}

impl<'a> Element<'a> {
    pub(super) fn read(
        cursor: &mut Cursor<'a>,
        met: Option<&mut Met<'a>>,
    ) -> Result<Self, Undecodable> {
        if cursor.peek() != Some(b'{') {
            return Ok(Self { original: cursor.skip()?, layer: None });
        }
        let mut layer = Layer::default();
        let original = layer.read(cursor, 1, met)?;
        Ok(Self { original, layer: Some(layer) })
    }
}

impl<'a> Layer<'a> {
    /// Reads the object at the cursor into this empty one; returns its range. In place, since a
    /// layer is large and each move of one costs time.
    fn read(
        &mut self,
        cursor: &mut Cursor<'a>,
        depth: usize,
        mut met: Option<&mut Met<'a>>,
    ) -> Result<&'a str, Undecodable> {
        cursor.object(|cursor, member| {
            let Some(name) = member.text() else { return cursor.skip().map(drop) };
            let is_object = cursor.peek() == Some(b'{');
            let known = Known::of(&name);
            let (spelled, data, inner) = match known {
                Some(Known::Data) if is_object => {
                    let (data, range) = Data::read(cursor, met.as_deref_mut())?;
                    (range, Some(data), None)
                }
                Some(Known::Event | Known::Body) if is_object && depth < MAX_LAYERS => {
                    let mut inner = Box::<Self>::default();
                    let range = inner.read(cursor, depth + 1, met.as_deref_mut())?;
                    (range, None, Some(inner))
                }
                _ => (cursor.skip()?, None, None),
            };
            self.add(Member { name, spelled, known }, member.quoted, data, inner);
            Ok(())
        })
    }

    fn add(
        &mut self,
        member: Member<'a>,
        quoted: &'a str,
        data: Option<Data<'a>>,
        inner: Option<Box<Self>>,
    ) {
        if self.members.len() == MAX_MEMBERS {
            self.too_many = true;
        } else if self.has(&member) {
            self.twice = Some(quoted);
        } else {
            self.data = data.or(self.data.take());
            if let Some(layer) = inner {
                let at = self.members.len();
                // The first one wins.
                self.inner.get_or_insert(Inner { at, layer });
            }
            self.members.push(member);
            if let Some(known) = self.members.last().and_then(|member| member.known) {
                self.known[known as usize] = self.members.len() as u8; // at most MAX_MEMBERS
            }
        }
    }

    fn has(&self, member: &Member<'_>) -> bool {
        match member.known {
            Some(known) => self.known(known).is_some(),
            None => self.members.iter().any(|it| it.known.is_none() && it.name == member.name),
        }
    }

    /// The value of a known member, as it is spelled.
    pub(super) fn known(&self, known: Known) -> Option<&'a str> {
        let place = usize::from(self.known[known as usize]).checked_sub(1)?;
        Some(self.members[place].spelled)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|member| member.name == name).map(|member| member.spelled)
    }

    /// This layer and those inside it, from the outside in.
    pub(super) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |layer| Some(&*layer.inner.as_ref()?.layer))
    }
}

/// The CloudEvent among an element's objects: the outermost one with a `specversion`, or else
/// with a `type`.
pub(super) fn cloud_event<'e, 'a>(outermost: &'e Layer<'a>) -> Option<&'e Layer<'a>> {
    let with = |known| outermost.all().find(|layer| layer.known(known).is_some());
    with(Known::Specversion).or_else(|| with(Known::Type))
}

/// Whether the CloudEvent in `outermost` is of the observability stream.
pub(super) fn is_observability(outermost: &Layer<'_>) -> bool {
    let spelled = cloud_event(outermost).and_then(|event| event.known(Known::Type));
    let ce_type = Scalar::of(spelled).text();
    ce_type.is_some_and(|text| naming::classify(&text, None).0 == Stream::Observability)
}
