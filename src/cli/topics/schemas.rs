//! JSON Schemas of the contents of records: only published members, and only facts that a consumer can rely
//! on. Members and attributes beyond these are valid, so no schema is closed.

use serde_json::{Map, Value, json};

use super::catalogue::{Event, Written};
use crate::{
    deliver::{
        decode::{Fields, fields::Effect},
        encode::Mode,
    },
    event::{LEAD_STATE_SOURCE, MERGED_INTO_HEADER, Stream},
};

/// Returns the schemas of events' data by name, after the rules on fields.
pub(super) fn data_schemas(fields: &Fields) -> Value {
    let mut schemas = published();
    // A rule for some sources does not hold for other sources of the same topic.
    let everywhere = fields.iter().filter(|rule| rule.sources.is_empty()).cloned().collect();
    let everywhere = Fields::new(everywhere);
    for stream in Stream::ALL {
        let schema = schemas.get_mut(name_of(stream));
        let members = schema.and_then(|it| it.get_mut("properties")?.as_object_mut());
        let Some(members) = members else { continue };
        members.retain(|name, schema| {
            let field = (name.as_str(), false);
            let somewhere = || fields.effect(stream, None, field).map(|_| Effect::MayBeText);
            match everywhere.effect(stream, None, field).or_else(somewhere) {
                Some(Effect::Absent) => return false,
                Some(Effect::Text) => schema["type"] = "string".into(),
                Some(Effect::MayBeText) => schema["type"] = json!([schema["type"], "string"]),
                None => {}
            }
            true
        });
    }
    schemas
}

fn published() -> Value {
    json!({
        "leadActivity": {
            "type": "object",
            "description": "A lead activity as Adobe I/O has it; Marketo's own push is brought into this form",
            "required": ["munchkinId"],
            "properties": {
                "munchkinId": munchkin_id(),
                "leadId": {"type": "string", "description": "A number, in quotes"},
                "activityDate": {"type": "string", "description": "RFC 3339, mostly"},
                "activityTypeId": {"type": "integer", "description": "100000 and more are custom activities"},
                "activityType": {"type": "string", "description": "Names drift; the id counts"},
                "activityLogItemId": {"type": "integer"},
                "primaryAttributeValueId": {"type": "integer"},
                "primaryAttributeValue": {"type": "string"},
                "attributes": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "dataType": {"type": "string"},
                            "value": {},
                        },
                    },
                },
            },
        },
        "userAudit": {
            "type": "object",
            "description": "An action of a user in Marketo",
            "required": ["munchkinId"],
            "properties": {
                "munchkinId": munchkin_id(),
                "componentId": {"type": "integer"},
                "componentType": {"type": "string"},
                "eventAction": {"type": "string"},
                "imsOrgId": {"type": "string"},
                "userId": {"type": "string"},
            },
        },
        "notification": {
            "type": "object",
            "description": "A notification from Marketo; its further members are not published",
            "required": ["munchkinId"],
            "properties": {"munchkinId": munchkin_id(), "componentType": {"type": "string"}},
        },
        "observability": {
            "type": "object",
            "description": "The state of Marketo's own ingestion; its further members are not published",
            "required": ["munchkinId"],
            "properties": {"munchkinId": munchkin_id()},
        },
        "other": {"description": "A type that is not known yet"},
    })
}

/// Returns the schema of a lead state's value, which is null in a tombstone.
pub(super) fn lead_state() -> Value {
    let text = |what: &str| json!({"type": ["string", "null"], "description": what});
    json!({
        "type": ["object", "null"],
        "description": "What the last activities of a lead's life say; null where the lead is gone. It is not the whole lead",
        "required": ["munchkin_id", "lead_id", "state", "activity_id"],
        "properties": {
            "munchkin_id": munchkin_id(),
            "lead_id": {"type": "string", "description": "As the key has it"},
            "state": {"enum": ["created", "changed", "merged"]},
            "activity_id": {"type": "string", "description": "The ce_id of the last activity that made it"},
            "activity_type_id": {"type": "integer", "enum": [12, 13, 32]},
            "activity_time": text("When that activity happened, RFC 3339; null where that is not certain"),
            "changed": {
                "type": "object",
                "description": "Of `changed`: the last new value of each attribute that this delivery has changed",
                "additionalProperties": true,
            },
            "merged": {
                "type": "array",
                "description": "Of `merged`: the leads that this one took over",
                "items": {"type": "string"},
            },
        },
    })
}

pub(super) fn lead_state_headers() -> Value {
    let named = |name: &str| format!("ce_{name}");
    let mut properties = Map::from_iter([
        ("ce_specversion".to_owned(), json!({"const": "1.0"})),
        ("ce_source".to_owned(), json!({"const": LEAD_STATE_SOURCE})),
        (
            "ce_type".to_owned(),
            json!({"enum": [
                "millrace.lead-state.created", "millrace.lead-state.changed", "millrace.lead-state.merged",
                "millrace.lead-state.merged-into", "millrace.lead-state.deleted",
            ]}),
        ),
    ]);
    for (name, what) in [
        ("content-type", "application/json; a tombstone has none"),
        ("ce_id", "The ce_id of the last activity, a colon and the lead"),
        ("ce_time", "When that activity happened, RFC 3339; absent where that is not certain"),
        (MERGED_INTO_HEADER, "Of a tombstone: the lead that took over"),
    ] {
        properties.insert(name.to_owned(), json!({"type": "string", "description": what}));
    }
    json!({"type": "object", "required": REQUIRED.map(named), "properties": properties})
}

fn munchkin_id() -> Value {
    json!({"type": "string", "description": "The Marketo instance, production or sandbox"})
}

pub(super) fn name_of(stream: Stream) -> &'static str {
    match stream {
        Stream::LeadActivity => "leadActivity",
        Stream::UserAudit => "userAudit",
        Stream::Notification => "notification",
        Stream::Observability => "observability",
        Stream::Other => "other",
    }
}

/// Returns the schema of a record's value, with everything that it refers to.
pub(super) fn whole(mode: Mode, event: &Event, fields: &Fields) -> Value {
    let data = data_schemas(fields)[name_of(event.stream)].clone();
    let mut schema = payload(mode, event);
    match mode {
        Mode::Binary => schema = data,
        Mode::Structured => schema["properties"]["data"] = data,
    }
    schema
}

/// Returns the schema of a record's value, which refers to its data's schema.
pub(super) fn payload(mode: Mode, event: &Event) -> Value {
    let data = json!({ "$ref": format!("#/components/schemas/{}", name_of(event.stream)) });
    match mode {
        Mode::Binary => data,
        Mode::Structured => {
            let plain = PLAIN.iter().map(|(name, what)| {
                (name.replace('-', ""), json!({"type": "string", "description": what}))
            });
            let attributes = properties(event).into_iter().chain(plain);
            let attributes = attributes.chain([("data".to_owned(), data)]);
            json!({
                "type": "object",
                "required": REQUIRED,
                "properties": attributes.collect::<Map<_, _>>(),
            })
        }
    }
}

/// Returns the schema of a record's headers.
pub(super) fn headers(mode: Mode, event: &Event) -> Value {
    let content_type = event.record.headers.iter().find(|(name, _)| name == "content-type");
    let content_type = content_type.map_or("application/json", |(_, value)| value);
    let mut all = Map::from_iter([("content-type".to_owned(), json!({"const": content_type}))]);
    let mut required = vec!["content-type".to_owned()];
    if mode == Mode::Binary {
        let named = |name: &str| format!("ce_{name}");
        let properties =
            properties(event).into_iter().filter(|(name, _)| name != "datacontenttype");
        all.extend(properties.map(|(name, schema)| (named(&name), schema)));
        required.extend(REQUIRED.iter().map(|name| named(name)));
    }
    for (name, what) in PLAIN.iter().chain(&TRACE) {
        all.insert((*name).to_owned(), json!({"type": "string", "description": what}));
    }
    json!({ "type": "object", "required": required, "properties": all })
}

/// Returns the schema of a dead letter's headers.
pub(super) fn dead_letter_headers(example: &Written) -> Value {
    let optional = |name: &str| name == "millrace-original-topic";
    let properties = DEAD_LETTER
        .iter()
        .chain(&TRACE)
        .map(|(name, what)| ((*name).to_owned(), json!({"type": "string", "description": what})));
    let required: Vec<_> =
        example.headers.iter().map(|(name, _)| name).filter(|name| !optional(name)).collect();
    json!({
        "type": "object",
        "required": required,
        "properties": properties.collect::<Map<_, _>>(),
    })
}

/// Attributes that CloudEvents requires.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

const PLAIN: &[(&str, &str)] = &[
    ("millrace-time", "A time that is no RFC 3339, or that SDKs cannot read, as it came"),
    ("millrace-dataschema", "A dataschema that is no URI, as it came"),
    ("millrace-ce-source", "A source that is no URI reference, as it came"),
    ("millrace-datacontenttype", "A datacontenttype that SDKs cannot read the data by, as it came"),
    ("millrace-specversion", "The version of CloudEvents that it came with, if not 1.0"),
];

/// Headers of events and of dead letters whose delivery had them.
const TRACE: [(&str, &str); 2] = [
    ("traceparent", "The trace that the delivery belongs to (W3C Trace Context)"),
    ("tracestate", "What comes with it"),
];

const DEAD_LETTER: &[(&str, &str)] = &[
    ("millrace-reason", "A short word for programs"),
    ("millrace-error", "A sentence for people"),
    ("millrace-source", "The source that it came by"),
    ("millrace-position", "Its place in the spool"),
    ("millrace-original-topic", "Where it would have gone, as far as that is known"),
    (
        "millrace-quarantined",
        "The value says where the original is: it is larger than a record may be, or no rule on fields could be applied",
    ),
];

/// Returns the schemas of the CloudEvents attributes.
fn properties(event: &Event) -> Map<String, Value> {
    let text = |what: &str| json!({"type": "string", "description": what});
    let id = match event.stream {
        Stream::LeadActivity => "The marketoGUID; the same through every source",
        _ => {
            "The event's own id, else Adobe's eventid, else one that is made of its place in the spool"
        }
    };
    let known = [
        ("specversion", json!({"const": "1.0"})),
        ("id", text(id)),
        ("source", json!({"type": "string", "examples": [event.ce_source]})),
        ("type", json!({"const": event.ce_type})),
        ("time", text("When it happened, RFC 3339; absent where that is not certain")),
        ("datacontenttype", text("The media type of the data")),
        ("dataschema", text("A URI")),
        ("subject", text("What the sender says")),
        ("eventid", text("Adobe's own id, where it is not the event's")),
        ("recipientclientid", text("The client id of the registration at Adobe I/O")),
    ];
    known.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
