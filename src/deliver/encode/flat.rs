//! `flat`: an event as one object of scalars, for tables, registries and stream processors.
//!
//! The rule, which `deploy/CONSUMING.md` has for consumers and which never changes silently:
//!
//! - First come `id`, `source`, `type` and `time` of the event (`ce_id`, …). A lead activity's `time` is its
//!   `activityDate`, so that Marketo's own form and Adobe I/O's give the same value. A time whose meaning is not
//!   certain is in `time_text` as it came; `activityDate` is in `activity_date_text` then.
//! - Each member of `data` is a field by its name in snake case ([`name`]), and each of a lead activity's `attributes`
//!   one by its own name: `link_id`.
//! - A field has a [`Kind`]. That of a listed one is the catalogue's ([`shape`]), else that of the attribute's
//!   `dataType`, else that of the value's JSON. Numbers keep the sender's digits. An object or an array is its JSON as
//!   text.
//! - A value that is not of its field's kind (`"soon"` where a number is due) is text in the field `<name>_text`.
//! - Names that would meet: a member with the name of a listed field gets `data_` before it, an attribute `attribute_`.
//!   A name that is still taken gets `_2`, `_3` and so on behind it, in the order in which the sender wrote them.
//! - Nothing is dropped: members and attributes that no list knows are fields too ([`Flat::others`]), members of an
//!   attribute beside `name`, `dataType` and `value` are `<attribute>_<member>`, and `attributes` that are not of that
//!   form are the field `attributes`, as JSON text.
//! - Data that is no JSON object, or one with more than [`MAX_FIELDS`] fields, is one field `data`, as text
//!   (`data_base64` where the sender wrote base64). So flattening refuses no event: a dead letter would take it out of
//!   its topic's order for something that a reader can still parse.
//!
//! [`Flat`] is what all writers of such values share: made of the members that decoding has met, or in one pass over the
//! data, with nothing copied. Fields are listed ones in
//! the order of the [`Shape`], which all records of a topic have in common, and others in the sender's order. A format
//! with a schema writes the listed ones as columns and the others as one text, `others`, in JSON ([`json::others`]).

pub mod avro;
pub mod connect;
pub mod json;
mod label;
mod lookup;
pub mod name;
mod names;
mod read;
pub mod schema;
pub mod shape;
mod standard;
pub mod types;
pub mod value;

use std::ops::Range;

use bumpalo::Bump;
use smallvec::SmallVec;

pub use self::{
    read::Flattener,
    shape::{Column, Scope, Shape, Shapes, members},
    standard::types as published_types,
    types::{ActivityType, AttributeType, TypesError},
    value::{Around, Kind, Text, Value},
};

/// Limit of fields, beyond which the data stays one text.
pub const MAX_FIELDS: usize = 1000;

/// The column for fields that a schema does not list: a JSON object of scalars, as text.
pub const OTHERS: &str = "others";

/// An event, field by field.
#[derive(Debug)]
pub struct Flat<'a> {
    shape: &'a Shape,
    /// One entry for each column of the shape.
    listed: &'a mut [Option<Value<'a>>],
    others: SmallVec<[Other<'a>; 8]>,
    /// The names of the others, one after the other.
    names: &'a mut String,
    known: &'a mut names::Names,
    around: Around<'a>,
}

/// A field that the shape does not list.
#[derive(Clone, Copy, Debug)]
struct Other<'a> {
    start: usize,
    end: usize,
    value: Value<'a>,
}

impl Other<'_> {
    /// Where its name is.
    fn name(&self) -> Range<usize> {
        self.start..self.end
    }
}

impl<'a> Flat<'a> {
    pub fn shape(&self) -> &'a Shape {
        self.shape
    }

    /// The columns of the shape in their order, each with its value of the column's kind; `None` where the event has
    /// none.
    pub fn listed(&self) -> impl Iterator<Item = (&'a Column, Option<Value<'a>>)> {
        self.shape.columns().iter().zip(self.listed.iter().copied())
    }

    /// Memory for what is made of its texts.
    pub fn memory(&self) -> &'a Bump {
        self.around.memory
    }

    /// The fields that the shape does not list, in the sender's order. No name is a column's, and none comes twice.
    pub fn others(&self) -> impl Iterator<Item = (&str, Value<'a>)> {
        self.others.iter().map(|other| (&self.names[other.name()], other.value))
    }
}

#[cfg(test)]
mod tests;
