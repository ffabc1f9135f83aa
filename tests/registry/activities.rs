//! An activity of each type that Marketo publishes, with a value for each attribute.

use millrace::deliver::{
    decode::Catalog,
    encode::flat::{Kind, name::snake, published_types},
};
use serde_json::{Value, json};

/// What was sent, and what a reader has to see.
pub struct Sent {
    pub id: String,
    /// The last part of its topic.
    pub event_type: String,
    pub members: Vec<(String, Value)>,
}

/// A body with an activity of each type, and what it comes to. `round` makes the ids.
pub fn all(round: usize) -> (Vec<u8>, Vec<Sent>) {
    let catalog = Catalog::default();
    let (mut activities, mut sent) = (Vec::new(), Vec::new());
    for listed in published_types() {
        let id = format!("{round}-{}", listed.id);
        let called = catalog.activity_type(Some(listed.id), Some(&listed.name));
        let event_type = called.expect("a published type has a name").event_type.to_string();
        let mut members = vec![
            ("lead_id".to_owned(), json!(4711)),
            ("activity_type_id".to_owned(), json!(listed.id)),
            ("activity_type".to_owned(), json!(listed.name)),
        ];
        let attributes = listed.attributes.iter().enumerate().map(|(at, attribute)| {
            let value = match attribute.kind {
                Kind::Text => json!(format!("text {at} \"ü\" 😀")),
                Kind::Integer => json!(9_007_199_254_740_993_i64 - at as i64),
                Kind::Number => json!(at as f64 + 0.25),
                Kind::Boolean => json!(at % 2 == 0),
                Kind::DateTime => json!("2026-03-02T09:59:58Z"),
                Kind::Date => json!("2026-03-02"),
            };
            let mut name = String::new();
            snake(&attribute.name, &mut name);
            members.push((name, value.clone()));
            json!({"name": attribute.name, "value": value})
        });
        let attributes: Vec<_> = attributes.collect();
        activities.push(json!({
            "marketoGUID": id, "leadId": 4711, "activityDate": "2026-03-02T09:59:58Z",
            "activityTypeId": listed.id, "activityType": listed.name, "attributes": attributes,
        }));
        sent.push(Sent { id, event_type, members });
    }
    let body = json!({"munchkinId": "999-XYZ-000", "activities": activities});
    (body.to_string().into_bytes(), sent)
}
