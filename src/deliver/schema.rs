//! Schemas of records: the language, the id that a reader finds a schema by, and where a record has it.
//!
//! Plain values, and [`SchemaIds`], by which a forwarder asks for ids without naming any registry: asking never
//! blocks, and an id that is not there yet is no failure of the event. The production implementation speaks HTTP
//! (`deliver::registry`), the simulation's is a seeded model.

use std::{fmt, sync::Arc};

use parking_lot::RwLock;
use uuid::Uuid;

/// The language of schemas, which decides the form of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// The value is the flat JSON.
    #[default]
    JsonSchema,
    /// The value is Avro's binary form of it.
    Avro,
}

impl Format {
    pub const ALL: [Self; 2] = [Self::JsonSchema, Self::Avro];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonSchema => "json-schema",
            Self::Avro => "avro",
        }
    }
}

/// The place of the schema's id in a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdPlace {
    /// In front of the value: a byte 0, and the id in four bytes.
    #[default]
    Value,
    /// In the header [`ID_HEADER`]; the value stays as without a registry.
    Header,
}

impl IdPlace {
    pub const ALL: [Self; 2] = [Self::Value, Self::Header];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Header => "header",
        }
    }
}

/// The header of a record that has the id of its schema in a header.
pub const ID_HEADER: &str = "__value_schema_id";

/// The beginning of each reason for which a topic is held for want of its schema; the registry's own words follow.
pub const NO_SCHEMA: &str = "its schema is missing: ";

/// A registry's id of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaId {
    /// Unique in this registry.
    pub number: u32,
    /// Equal in every registry; only newer registries return it.
    pub guid: Option<Uuid>,
}

/// The longest form of an id: a byte and a UUID.
const MAX_ID_BYTES: usize = 17;

/// An id in the form that records have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spelled {
    bytes: [u8; MAX_ID_BYTES],
    length: usize,
}

impl Spelled {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl SchemaId {
    /// Returns the form for that place. In front of a value it is the byte 0 and the number, big-endian. In a header it
    /// is the byte 1 and the UUID, as Confluent's clients write it; without a UUID it is the byte 0 and the number
    /// there, too, which the same clients read.
    pub fn spell(&self, place: IdPlace) -> Spelled {
        let mut spelled = Spelled::default();
        match (place, self.guid) {
            (IdPlace::Header, Some(guid)) => {
                spelled.bytes[0] = 1;
                spelled.bytes[1..].copy_from_slice(guid.as_bytes());
                spelled.length = MAX_ID_BYTES;
            }
            (IdPlace::Header, None) | (IdPlace::Value, _) => {
                spelled.bytes[1..5].copy_from_slice(&self.number.to_be_bytes());
                spelled.length = 5;
            }
        }
        spelled
    }
}

/// State of the search for one schema's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    Known(SchemaId),
    /// Requested outside the caller's thread; look again later.
    Pending,
    /// The registry is away or refuses; it is asked again by itself, with backoff. The text names the subject, the
    /// reason and the remedy.
    Unavailable(Arc<str>),
}

/// A schema whose id is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    pub subject: Arc<str>,
    pub format: Format,
    pub text: Arc<str>,
}

/// The answer about one schema, read by all that wait for it. Clones share it.
#[derive(Clone)]
pub struct Answer(Arc<RwLock<SchemaState>>);

impl Answer {
    pub fn pending() -> Self {
        Self(Arc::new(RwLock::new(SchemaState::Pending)))
    }

    /// The id, once there is one.
    pub fn id(&self) -> Option<SchemaId> {
        match &*self.0.read() {
            SchemaState::Known(id) => Some(*id),
            _ => None,
        }
    }

    pub fn state(&self) -> SchemaState {
        self.0.read().clone()
    }

    pub fn set(&self, state: SchemaState) {
        *self.0.write() = state;
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.read().fmt(f)
    }
}

/// Finds the ids of schemas.
pub trait SchemaIds: Send + Sync {
    /// Begins to look for an id, and returns the place of the answer. Does not block. A schema is asked for once per
    /// subject, for all that want it.
    fn want(&self, wanted: Wanted) -> Answer;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_in_front_of_a_value_as_a_zero_and_four_bytes() {
        let guid = Some(Uuid::from_u128(7));
        for guid in [None, guid] {
            let id = SchemaId { number: 0x0102_0304, guid };
            assert_eq!(id.spell(IdPlace::Value).as_slice(), [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn an_id_stands_in_a_header_by_its_uuid_where_the_registry_tells_one() {
        let guid = Uuid::from_u128(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100);
        let id = SchemaId { number: 9, guid: Some(guid) };
        let spelled = id.spell(IdPlace::Header);
        assert_eq!(spelled.as_slice()[0], 1);
        assert_eq!(&spelled.as_slice()[1..], guid.as_bytes());
        let id = SchemaId { number: 9, guid: None };
        assert_eq!(id.spell(IdPlace::Header).as_slice(), [0, 0, 0, 0, 9]);
    }
}
