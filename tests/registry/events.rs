//! An event of each type that Marketo and Adobe publish: activities with a value for each attribute, and what users did, what
//! Marketo notifies of, and what is observed.

use millrace::deliver::{
    decode::Catalog,
    encode::flat::{Kind, name::snake, published_types},
};
use serde_json::{Value, json};

/// What was sent, and what a reader has to see.
pub struct Sent {
    pub id: String,
    /// Its topic behind the prefix.
    pub topic: String,
    pub members: Vec<(String, Value)>,
}

/// A body of Marketo's own push with an activity of each type, and what it comes to. `round` makes the ids.
pub fn activities(round: usize) -> (Vec<u8>, Vec<Sent>) {
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
        let topic = format!("lead-activity.{event_type}");
        sent.push(Sent { id, topic, members });
    }
    let body = json!({"munchkinId": "999-XYZ-000", "activities": activities});
    (body.to_string().into_bytes(), sent)
}

/// The parts of Marketo that a user's change is an event of.
const AUDITED: [&str; 21] = [
    "Default Program",
    "Email",
    "Email Batch Program",
    "Email Template",
    "Engagement Program",
    "Event Program",
    "Folder",
    "Form",
    "Landing Page",
    "Landing Page Template",
    "List",
    "Login",
    "Marketing Folder",
    "Nurture Program",
    "Role",
    "Segment",
    "Segmentation",
    "Smart Campaign",
    "Smart List",
    "Snippet",
    "User",
];
const NOTIFICATIONS: [&str; 3] = ["campaign_abort", "campaign_failure", "web_services"];
const OBSERVED: [&str; 3] = ["metrics", "results", "status"];

/// A body of Adobe I/O's with an event of each type that is no activity, and what it comes to. `client` is its recipient.
pub fn others(round: usize, client: &str) -> (Vec<u8>, Vec<Sent>) {
    let (mut events, mut sent) = (Vec::new(), Vec::new());
    let mut add = |kind: String, topic: String, data: Value, members: Value| {
        let id = format!("{round}-{kind}");
        let source = if kind.starts_with("obs") { "urn:data_ingestion_service" } else { "urn:mlm" };
        events.push(json!({
            "specversion": "1.0", "type": format!("com.adobe.platform.marketo.{kind}"),
            "source": source, "id": id, "time": "2026-03-02T10:00:02.118Z",
            "datacontenttype": "application/json", "data": data, "recipientclientid": client,
        }));
        let Value::Object(mut members) = members else { panic!("members are an object") };
        members.insert("time".into(), json!("2026-03-02T10:00:02.118Z"));
        members.insert("munchkin_id".into(), json!("999-XYZ-000"));
        sent.push(Sent { id, topic, members: members.into_iter().collect() });
    };
    for (at, component) in AUDITED.into_iter().enumerate() {
        let name = component.to_lowercase().replace(' ', "");
        add(
            format!("audit.user.{name}"),
            format!("user-audit.{name}"),
            json!({
                "munchkinId": "999-XYZ-000", "componentId": 55 + at, "componentType": component,
                "eventAction": "approve", "imsOrgId": "X@AdobeOrg", "userId": "a@example.com",
            }),
            json!({
                "component_id": 55 + at, "component_type": component, "event_action": "approve",
                "ims_org_id": "X@AdobeOrg", "user_id": "a@example.com",
            }),
        );
    }
    for name in NOTIFICATIONS {
        add(
            format!("notification.{name}"),
            format!("notification.{}", name.replace('_', "-")),
            json!({
                "munchkinId": "999-XYZ-000", "componentType": name, "subType": "dailyQuota",
                "eventAction": {"dailyQuota": 50000, "serviceNames": ["a", "b"]},
            }),
            json!({
                "component_type": name, "sub_type": "dailyQuota",
                "event_action": r#"{"dailyQuota":50000,"serviceNames":["a","b"]}"#,
            }),
        );
    }
    for name in OBSERVED {
        add(
            format!("observability.{name}"),
            format!("observability.{name}"),
            json!({"munchkinId": "999-XYZ-000", "batches": 3, "share": 0.25, "isLate": false}),
            json!({"batches": 3, "share": 0.25, "is_late": false}),
        );
    }
    (Value::Array(events).to_string().into_bytes(), sent)
}
