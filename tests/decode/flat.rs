//! Flat values of everything that is known to be sent: as values equal to what came, and valid by the schema that is
//! printed for them.

use std::collections::BTreeMap;

use millrace::{
    deliver::{
        decode::{Catalog, Rules, decode},
        encode::flat::{Flattener, Scope, Shapes, json, name::snake, schema},
    },
    event::{Event, Stream},
    sender::{
        adobe::{EventGenerator, Shapes as Bodies, Spelling},
        generator::Generator,
    },
    source::SourceKind,
};
use serde_json::Value;

fn flattened(shapes: &Shapes, flattener: &mut Flattener, event: &Event<'_>) -> Value {
    let mut out = Vec::new();
    let id = event.attributes.id.as_deref().unwrap_or("made");
    json::write(&flattener.flatten(shapes.of(event), id, event), &mut out);
    serde_json::from_slice(&out).expect("a flat value is JSON")
}

/// Whether `value` is what the schema of its column says; each other member is a scalar.
fn assert_valid(schema: &Value, value: &Value) {
    let object = value.as_object().expect("a flat value is an object");
    for required in schema["required"].as_array().unwrap() {
        assert!(object.contains_key(required.as_str().unwrap()), "{required} of {value}");
    }
    for (name, member) in object {
        let types = &schema["properties"][name]["type"];
        let types = if types.is_null() { &schema["additionalProperties"]["type"] } else { types };
        let is = |wanted: &Value| match wanted.as_str().unwrap() {
            "string" => member.is_string(),
            "integer" => member.is_i64() || member.is_u64(),
            "number" => member.is_number(),
            "boolean" => member.is_boolean(),
            "null" => member.is_null(),
            other => panic!("{other}"),
        };
        let is_right = types.as_array().map_or_else(|| is(types), |types| types.iter().any(is));
        assert!(is_right, "{name}: {member} is not {types}");
    }
}

/// A value as text, as a flat value may have it under another type.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Each member and attribute of the original is there, under its name or as text beside it, and nothing is made up.
fn assert_equal(data: &Value, flat: &Value, is_activity: bool) {
    let mut expected = BTreeMap::new();
    let mut put = |name: &str, value: &Value| {
        let mut snaked = String::new();
        snake(name, &mut snaked);
        expected.insert(snaked, value.clone());
    };
    for (name, value) in data.as_object().unwrap() {
        match (&**name, value) {
            ("attributes", Value::Array(attributes)) if is_activity => {
                for attribute in attributes {
                    put(attribute["name"].as_str().unwrap(), &attribute["value"]);
                }
            }
            _ => put(name, value),
        }
    }
    for (name, value) in &expected {
        let places = [format!("attribute_{name}"), name.clone(), format!("{name}_text")];
        let found = places.iter().find_map(|place| flat.get(place));
        let found = found.unwrap_or_else(|| panic!("{name} is missing in {flat}"));
        let is_same = match (value, found) {
            (Value::Object(_) | Value::Array(_), Value::String(json)) => {
                serde_json::from_str::<Value>(json).unwrap() == *value
            }
            _ => text(value) == text(found) || (text(value).is_empty() && found.is_null()),
        };
        assert!(is_same, "{name}: {value} became {found}");
    }
    let of_event = ["id", "source", "type", "time", "time_text"];
    let count = flat.as_object().unwrap().keys().filter(|key| !of_event.contains(&&***key)).count();
    assert_eq!(count, expected.len(), "{flat}");
}

fn check(kind: SourceKind, bodies: impl Iterator<Item = Vec<u8>>) -> BTreeMap<Stream, usize> {
    let (rules, mut flattener) = (Rules::default(), Flattener::default());
    let shapes = Shapes::new(Scope::Type, &Catalog::builtin(), &[], &Default::default());
    let mut types = BTreeMap::<_, usize>::new();
    let mut seen = std::collections::BTreeSet::new();
    for body in bodies {
        let mut events = Vec::new();
        decode(kind, &rules, &body, &[], &mut events).expect("a body of events");
        for event in events {
            let event = event.expect("an event");
            let flat = flattened(&shapes, &mut flattener, &event);
            assert_valid(&schema::json_schema(shapes.of(&event), "t"), &flat);
            let data: Value = serde_json::from_slice(&event.value.as_slice().concat()).unwrap();
            assert_equal(&data, &flat, event.stream == Stream::LeadActivity);
            assert_eq!(flat["type"], *event.attributes.r#type);
            if seen.insert((event.stream, event.event_type.to_string())) {
                *types.entry(event.stream).or_default() += 1;
            }
        }
    }
    types
}

#[test]
fn each_activity_that_the_generator_makes_is_equal_as_values_and_valid() {
    let mut generator = Generator::new(1, 7, 0);
    let batch = |_| generator.batch(500, 1_772_445_600_000).body.to_vec();
    let types = check(SourceKind::MarketoLeadActivity, (0..10).map(batch));
    assert!(types[&Stream::LeadActivity] > 25, "{types:?}");
}

#[test]
fn each_event_of_adobe_io_is_equal_as_values_and_valid() {
    let mut generator = EventGenerator::new(1, 7, 0, "c", Spelling::Joined, Bodies::Single);
    let body = |_| generator.next(1_772_445_600_000).body.to_vec();
    let types = check(SourceKind::AdobeIo, (0..3000).map(body));
    assert_eq!(
        (types[&Stream::UserAudit], types[&Stream::Notification], types[&Stream::Observability]),
        (7, 4, 3)
    );
}
