//! Rules on fields over any body: what a rule names is in nothing that comes out.

use std::fmt;

use millrace::{
    deliver::decode::{
        Rules,
        fields::{Action, Came, Encoding, Fields, HmacKey, MASK, Rule, Target, folded, screen},
    },
    source::SourceKind,
};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

const NAMED: &str = "email";

pub fn run(input: &[u8]) {
    let Some((shape, body)) = input.split_first() else { return };
    let kind = match shape & 1 {
        0 => SourceKind::MarketoLeadActivity,
        _ => SourceKind::AdobeIo,
    };
    let key = HmacKey::new(&[7; 32]).expect("it is long enough");
    let action = match shape >> 1 & 3 {
        0 => Action::Drop,
        1 => Action::Mask,
        _ => Action::Hmac(key.clone(), Encoding::Hex),
    };
    let is_mask = action == Action::Mask;
    let is_drop = action == Action::Drop;
    let name = "r".to_owned();
    let target = Target::attribute("E-Mail").expect("it is a name");
    let rule = Rule { name, target, sources: Vec::new(), types: Vec::new(), action };
    let rules = Rules { fields: Fields::new(vec![rule]), ..Rules::default() };
    let screened = screen(kind, &rules, body, &[], Came::FromSender);
    let mut events = Vec::new();
    if screened.decode(kind, &rules, &[], &mut events).is_err() {
        return;
    }
    for event in events.iter().flatten() {
        // What is nested deeper than this reader goes is no concern of it.
        let Ok(value) = serde_json::from_slice::<Json>(event.original) else { continue };
        let found = value.named();
        for value in found {
            let is_hidden = match value {
                Json::Null => true,
                Json::Text(text) if is_mask => text == MASK,
                Json::Text(text) => !is_drop && text.len() == 64,
                _ => false,
            };
            assert!(is_hidden, "{}", String::from_utf8_lossy(event.original));
        }
    }
}

/// JSON with every member, those included that have one name.
enum Json {
    Null,
    Other,
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The values of all members with the name that the rule has.
    fn named(&self) -> Vec<&Json> {
        match self {
            Self::Array(all) => all.iter().flat_map(Self::named).collect(),
            Self::Object(all) => {
                let of =
                    |(name, value): &(String, Json)| folded(name) == NAMED && !value.is_empty();
                let here = all.iter().filter(|member| of(member)).map(|(_, value)| value);
                here.chain(all.iter().flat_map(|(_, value)| value.named())).collect()
            }
            _ => Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(All)
    }
}

struct All;

impl<'de> Visitor<'de> for All {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = all.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = all.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}
