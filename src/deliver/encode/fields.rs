//! The flat fields of an event, in their order.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::flat::{
    name::snake,
    value::{Kind, Text, Value},
};
use crate::event::Event;

/// Names and values.
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// The members of an object, in their order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &RawValue>()? {
                    members.push((member.0.into(), member.1));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[derive(Deserialize)]
struct Attribute<'a> {
    name: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(rename = "dataType")]
    data_type: Option<String>,
}

impl<'a> Fields<'a> {
    /// Of an event whose data is `data`; `kind_of` says of which kind the schema has a field.
    pub fn of(
        id: &'a str,
        event: &'a Event<'_>,
        data: &'a [u8],
        kind_of: impl Fn(&str) -> Option<Kind>,
    ) -> Self {
        let attributes = &event.attributes;
        let mut fields = Self(Vec::with_capacity(32));
        fields.add("id", Value::plain(id));
        fields.add("source", Value::plain(&attributes.source));
        fields.add("type", Value::plain(&attributes.r#type));
        if let Some(time) = &attributes.time {
            fields.add("time", Value::plain(time));
        }
        let Ok(Members(members)) = serde_json::from_slice::<Members<'a>>(data) else {
            if let Ok(text) = std::str::from_utf8(data) {
                fields.add("data", Value::plain(text));
            }
            return fields;
        };
        for (name, value) in &members {
            let attributes = (name == "attributes")
                .then(|| serde_json::from_str::<Vec<Attribute<'a>>>(value.get()).ok())
                .flatten();
            match attributes {
                None => fields.read(name, value.get(), None, &kind_of),
                Some(attributes) => {
                    for Attribute { name, value, data_type } in attributes {
                        let value = value.map_or("null", RawValue::get);
                        fields.read(&name, value, data_type.as_deref(), &kind_of);
                    }
                }
            }
        }
        fields
    }

    fn read(
        &mut self,
        name: &str,
        spelled: &'a str,
        data_type: Option<&str>,
        kind_of: impl Fn(&str) -> Option<Kind>,
    ) {
        let mut field = String::new();
        snake(name, &mut field);
        let kind = kind_of(&field).or_else(|| data_type.map(Kind::of_data_type));
        let kind = kind.unwrap_or_else(|| Kind::of_json(spelled));
        let value = Value::read(kind, spelled).or_else(|| Value::read(Kind::Text, spelled));
        self.add(field, value.unwrap_or(Value::Null));
    }

    fn add(&mut self, name: impl Into<Cow<'a, str>>, value: Value<'a>) {
        let mut name = name.into();
        while self.0.iter().any(|(before, _)| *before == name) {
            name = format!("{name}_2").into();
        }
        self.0.push((name, value));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Appends one JSON object to `out`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        for (place, (name, value)) in self.0.iter().enumerate() {
            out.push(if place == 0 { b'{' } else { b',' });
            out.extend_from_slice(b"\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            match value {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Boolean(true) => out.extend_from_slice(b"true"),
                Value::Boolean(false) => out.extend_from_slice(b"false"),
                Value::Number(text) => out.extend_from_slice(text.as_bytes()),
                Value::Text(Text::Spelled(inner)) => {
                    out.push(b'"');
                    out.extend_from_slice(inner.as_bytes());
                    out.push(b'"');
                }
                Value::Text(Text::Plain(text)) => text_as_json(text, out),
                Value::Json(text) => text_as_json(text, out),
            }
        }
        out.push(b'}');
    }
}

fn text_as_json(text: &str, out: &mut Vec<u8>) {
    // Writing to memory can't fail.
    let _ = serde_json::to_writer(out, text);
}
