//! The check of recipients against a slow one that has its own parser, its own tree and its own walk,
//! and against what the decoder makes of the same body.

use std::{collections::HashSet, fmt};

use millrace::deliver::decode::adobe::{NotOurs, Unnamed, check_recipients};
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::decode_adobe;

/// JSON with every member, also those that stand twice.
enum Tree {
    Other(String),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Other("null".into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Other(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Other(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}

/// What a recipient's value says.
#[derive(PartialEq)]
enum Says {
    Nothing,
    Ours,
    Foreign,
}

impl Tree {
    fn says(&self) -> Says {
        match self {
            Self::Text(text) if text.is_empty() => Says::Nothing,
            Self::Other(text) if text == "null" => Says::Nothing,
            Self::Text(text) | Self::Other(text) if OURS.contains(&text.as_str()) => Says::Ours,
            _ => Says::Foreign,
        }
    }

    /// Every recipient in here, however deep.
    fn all(&self, found: &mut Vec<Says>) {
        match self {
            Self::Text(_) | Self::Other(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.all(found)),
            Self::Object(members) => {
                for (name, value) in members {
                    if is_recipient(name) {
                        found.push(value.says());
                    }
                    value.all(found);
                }
            }
        }
    }

    /// Whether the event, or what is around it, names one of ours.
    fn names_us(&self) -> bool {
        let layers: Vec<_> =
            std::iter::successors(Some(self), |layer| layer.inner()).take(3).collect();
        let with =
            |wanted: &str| layers.iter().position(|layer| layer.has(|name, _| name == wanted));
        let event = with("specversion").or(with("type")).unwrap_or(layers.len() - 1);
        layers[..=event]
            .iter()
            .any(|layer| layer.has(|name, value| is_recipient(name) && value.says() == Says::Ours))
    }

    fn inner(&self) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        let wraps = |(name, value): &&(String, Self)| {
            (name == "event" || name == "body") && matches!(value, Self::Object(_))
        };
        members.iter().find(wraps).map(|(_, value)| value)
    }

    fn has(&self, wanted: impl Fn(&str, &Self) -> bool) -> bool {
        let Self::Object(members) = self else { return false };
        members.iter().any(|(name, value)| wanted(name, value))
    }
}

fn is_recipient(name: &str) -> bool {
    name.replace('_', "") == "recipientclientid"
        && (!name.contains('_') || name == "recipient_client_id")
}

const OURS: [&str; 3] = ["a", "a2", "17"];

/// Whether a body without observability is ours, by the slow way.
fn oracle(body: &str) -> bool {
    let Ok(tree) = serde_json::from_str::<Tree>(body) else { return false };
    let mut found = Vec::new();
    tree.all(&mut found);
    if found.contains(&Says::Foreign) {
        return false;
    }
    let elements = match &tree {
        Tree::List(items) => items.as_slice(),
        Tree::Object(_) => std::slice::from_ref(&tree),
        Tree::Text(_) | Tree::Other(_) => return false,
    };
    let is_object = |element: &&Tree| matches!(element, Tree::Object(_));
    let named = elements.iter().filter(|element| element.names_us()).count();
    let objects = elements.iter().filter(is_object).count();
    named == objects && (named > 0 || elements.is_empty())
}

/// Text in quotes, letters of which are escaped here and there.
fn quoted(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    let escapes = prop::collection::vec(prop::bool::weighted(0.05), 20);
    (prop::sample::select(texts), escapes).prop_map(|(text, escapes)| {
        let spell = |(letter, escaped): (char, &bool)| match escaped {
            true => format!("\\u{:04x}", letter as u32),
            false => letter.to_string(),
        };
        let letters: String = text.chars().zip(escapes.iter().cycle()).map(spell).collect();
        format!("\"{letters}\"")
    })
}

const NAMES: &[&str] = &[
    "recipientclientid",
    "recipientclientid",
    "recipient_client_id",
    "RecipientClientId",
    "recipientclientid_",
    "event",
    "event",
    "body",
    "data",
    "x",
    "type",
    "source",
    "specversion",
];

/// Foreign ones are rare enough that some bodies are ours.
fn scalar() -> impl Strategy<Value = String> {
    let text = quoted(&["a", "a", "a", "a2", "a", "a2", "a", "b", ""]);
    let other = prop::sample::select(vec!["17", "null", "17", "18", "true", " 17 "]);
    prop_oneof![8 => text, 1 => other.prop_map(str::to_owned)]
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (quoted(NAMES), value).prop_map(|(name, value)| format!("{name}:{value}"));
    prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn json() -> impl Strategy<Value = String> {
    scalar().prop_recursive(5, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3);
        let list = list.prop_map(|items| format!("[{}]", items.join(" , ")));
        prop_oneof![3 => object(inner), 1 => list]
    })
}

/// An element that names us somewhere in its envelope, most of the time.
fn element() -> impl Strategy<Value = String> {
    let envelopes = prop::sample::select(vec![
        r#"{"recipientclientid":"a","x":?}"#,
        r#"{"x":?,"recipient_client_id":"a2","specversion":"1.0","type":"t","source":"s"}"#,
        r#"{"event":{"body":{"type":"t","source":"s","data":?}},"recipientclientid":"a"}"#,
        r#"{"event":{"body":{"type":"t","source":"s","recipientclientid":"a","y":?}}}"#,
        r#"{"type":"t","source":"s","RecipientClientId":?,"recipient_client_id":"a"}"#,
        r#"{"type":"t","source":"s","event":{"recipientclientid":"a","z":?}}"#,
        r#"{"event":{"type":"t","source":"s"},"body":{"recipientclientid":"a","z":?}}"#,
        "?",
    ]);
    (envelopes, json()).prop_map(|(envelope, inside)| envelope.replace('?', &inside))
}

fn body() -> impl Strategy<Value = String> {
    let batch = prop::collection::vec(element(), 0..4);
    prop_oneof![element(), batch.prop_map(|batch| format!("[{}]", batch.join(",")))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn the_check_and_a_slow_one_agree_and_the_decoder_reads_the_recipients_that_were_checked(
        body in body(),
    ) {
        let ours: HashSet<_> = OURS.map(str::to_owned).into();
        let checked = check_recipients(body.as_bytes(), &ours, Unnamed::Refused);
        prop_assert_eq!(checked.is_ok(), oracle(&body), "{:?}", checked);
        if checked.is_err() {
            return Ok(());
        }
        for event in decode_adobe(body.as_bytes()).unwrap().iter().flatten() {
            let named: Vec<_> = event
                .attributes
                .extensions
                .iter()
                .filter(|(name, _)| name == "recipientclientid")
                .map(|(_, id)| &**id)
                .collect();
            prop_assert!(matches!(named[..], [id] if OURS.contains(&id)), "{:?}", named);
        }
    }

    #[test]
    fn a_byte_that_is_changed_lets_no_foreign_recipient_pass(
        body in body(),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"{}[],:\"\\ 1abx".to_vec()),
    ) {
        let mut bytes = body.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        let ours: HashSet<_> = OURS.map(str::to_owned).into();
        let checked = check_recipients(text.as_bytes(), &ours, Unnamed::Refused);
        // The slow one parses less: names that are no Unicode.
        if checked.is_ok() && serde_json::from_str::<Tree>(&text).is_ok() {
            prop_assert!(oracle(&text), "{}", text);
        }
        let decoded = decode_adobe(text.as_bytes()).map(drop);
        match checked {
            Err(NotOurs::Unreadable(error)) => prop_assert_eq!(decoded, Err(error)),
            _ => prop_assert_eq!(decoded, Ok(())),
        }
    }
}
