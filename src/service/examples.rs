//! Examples of what senders send: a body for each known type of event, as its sender writes it.
//!
//! Ids, types and members are the published ones; values are made up. Types beyond these lists are
//! valid, and get topics by the same rules.

use std::time::SystemTime;

use uuid::Uuid;

use crate::{
    config::SourceConfig,
    deliver::{
        decode::{
            Catalog,
            naming::{self, FIRST_CUSTOM_ID},
        },
        encode::flat::{ActivityType, AttributeType, Kind, published_types},
    },
    source::SourceKind,
};

/// Placeholder for custom activities whose ids are not given.
pub(crate) const SOME_CUSTOM_ID: i64 = 100_001;
/// Placeholder for Marketo instances whose ids are not given.
pub(crate) const SOME_MUNCHKIN_ID: &str = "999-XYZ-000";

/// Ids that only the operator knows.
pub(crate) struct Ids<'a> {
    pub activity_types: &'a [i64],
    pub munchkin_ids: &'a [String],
}

/// One body with one event.
pub(crate) struct Example {
    /// The type's name in Marketo's documentation.
    pub name: String,
    /// Whether it stands for every custom activity whose id is not given.
    pub any_custom: bool,
    pub body: String,
}

impl Example {
    /// Returns the body with fresh ids and a given time, so that it is a repeat of no other.
    pub fn fresh(&self, id: Uuid, time: SystemTime) -> String {
        let time = humantime::format_rfc3339_seconds(time).to_string();
        let id = id.to_string();
        let own_id = Uuid::new_v4().to_string();
        self.body.replace(OWN_ID, &own_id).replace(ID, &id).replace(TIME, &time)
    }
}

/// Returns an example of every type that `source` is known to send, for each instance that `ids` names, or else the
/// source itself.
pub(crate) fn examples(source: &SourceConfig, ids: &Ids<'_>) -> Vec<Example> {
    let some = [SOME_MUNCHKIN_ID.to_owned()];
    let own = source.selection.munchkin_ids.as_slice();
    let own = if own.is_empty() { some.as_slice() } else { own };
    let munchkin_ids = if ids.munchkin_ids.is_empty() { own } else { ids.munchkin_ids };
    munchkin_ids.iter().flat_map(|munchkin_id| of_instance(source, ids, munchkin_id)).collect()
}

fn of_instance(source: &SourceConfig, ids: &Ids<'_>, munchkin_id: &str) -> Vec<Example> {
    let described = &*source.described_types;
    let mut found = Vec::new();
    let mut add = |name: String, any_custom, body| {
        found.push(Example { name, any_custom, body });
    };
    for Activity { id, name, any_custom } in activities(source, ids) {
        let body = match source.kind {
            SourceKind::MarketoLeadActivity => pushed(munchkin_id, id, name.as_deref(), described),
            SourceKind::AdobeIo => {
                let ce_type = if id >= FIRST_CUSTOM_ID {
                    naming::CUSTOM_ACTIVITY.to_owned()
                } else if let Some(name) = &name {
                    naming::standard_activity(name)
                } else {
                    continue; // Adobe's type is made of a name.
                };
                let data = activity(munchkin_id, id, name.as_deref(), described);
                flat(&ce_type, naming::LEAD_ACTIVITY_SOURCE, &data)
            }
        };
        let name = if any_custom { "any custom activity".into() } else { name.unwrap_or_default() };
        add(name, any_custom, body);
    }
    if source.kind == SourceKind::AdobeIo {
        for component in COMPONENTS {
            let ce_type = format!("{AUDIT}{}", naming::compact(component));
            add((*component).into(), false, wrapped(&ce_type, &audit(munchkin_id, component)));
        }
        for (kind, name) in NOTIFICATIONS {
            let ce_type = format!("{NOTIFICATION}{kind}");
            add((*name).into(), false, wrapped(&ce_type, &notification(munchkin_id, kind)));
        }
        for kind in OBSERVABILITY {
            let ce_type = format!("com.adobe.platform.marketo.observability.{kind}");
            let data = format!(r#"{{"munchkinId":"{munchkin_id}"}}"#);
            add((*kind).into(), false, flat(&ce_type, "urn:data_ingestion_service", &data));
        }
    }
    found
}

struct Activity {
    id: i64,
    name: Option<String>,
    any_custom: bool,
}

/// Returns the documented activity types, those that configuration adds, and those of `ids`, with the senders' names
/// for them: the catalogue maps a documented type to its configured name.
fn activities(source: &SourceConfig, ids: &Ids<'_>) -> Vec<Activity> {
    let configured = |id: i64| source.activity_types.get(&id)?.name.clone();
    let mut all: Vec<_> = Catalog::documented().iter().map(|(id, _)| *id).collect();
    all.extend(source.activity_types.keys().chain(ids.activity_types));
    all.extend(source.described_types.iter().map(|described| described.id));
    all.sort_unstable();
    all.dedup();
    let mut found: Vec<_> = all
        .into_iter()
        .map(|id| {
            let documented = Catalog::documented().iter().find(|(listed, _)| *listed == id);
            let name = match (documented, configured(id)) {
                (Some((_, name)), _) => Some((*name).to_owned()),
                (None, Some(configured)) => Some(configured),
                (None, None) => source
                    .described_types
                    .iter()
                    .find(|described| described.id == id)
                    .map(|described| described.name.clone()),
            };
            Activity { id, name, any_custom: false }
        })
        .collect();
    if ids.activity_types.iter().all(|id| *id < FIRST_CUSTOM_ID) {
        found.push(Activity { id: SOME_CUSTOM_ID, name: None, any_custom: true });
    }
    found
}

/// Returns Marketo's own push of one activity.
fn pushed(munchkin_id: &str, id: i64, name: Option<&str>, described: &[ActivityType]) -> String {
    let members = members(id, name, described);
    format!(
        r#"{{"munchkinId":"{munchkin_id}","activities":[{{"marketoGUID":"{ID}","leadId":4711,{members}}}]}}"#
    )
}

/// Returns the data of Adobe I/O's event of the same activity.
fn activity(munchkin_id: &str, id: i64, name: Option<&str>, described: &[ActivityType]) -> String {
    let members = members(id, name, described);
    format!(r#"{{"munchkinId":"{munchkin_id}","leadId":"4711",{members}}}"#)
}

fn members(id: i64, name: Option<&str>, described: &[ActivityType]) -> String {
    let name = serde_json::Value::from(name.unwrap_or("A custom activity"));
    format!(
        r#""activityDate":"{TIME}","activityTypeId":{id},"activityType":{name},"activityLogItemId":9001,"primaryAttributeValueId":12,"primaryAttributeValue":"an asset","attributes":[{}]"#,
        attributes(id, described).join(",")
    )
}

/// Returns the attributes of an activity of this type, as far as they are known: from the customer's Marketo, else
/// the published ones. Values are made up.
fn attributes(id: i64, described: &[ActivityType]) -> Vec<String> {
    let published = published_types();
    let mut known = described.iter().chain(&published);
    let Some(known) = known.find(|known| known.id == id) else {
        return Vec::new();
    };
    let attribute = |attribute: &AttributeType| {
        let (data_type, value) = match attribute.kind {
            Kind::Text => ("string", serde_json::Value::from(text_for(&attribute.name))),
            Kind::Integer => ("integer", 7.into()),
            Kind::Number => ("float", 1.5.into()),
            Kind::Boolean => ("boolean", true.into()),
            Kind::DateTime => ("datetime", TIME.into()),
            Kind::Date => ("date", "2026-03-02".into()),
        };
        let name = serde_json::Value::from(attribute.name.as_str());
        format!(r#"{{"name":{name},"dataType":"{data_type}","value":{value}}}"#)
    };
    known.attributes.iter().map(attribute).collect()
}

/// Returns a plausible value of an attribute of this name.
fn text_for(name: &str) -> &'static str {
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match name {
        "Client IP Address" => "198.51.100.7",
        "User Agent" => "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0",
        "Query Parameters" => "utm_source=newsletter",
        "Link ID" => "12",
        "Source" | "Merge Source" => "Web form fillout",
        "Reason" => "Changed by campaign Scoring.Behaviour",
        "Form Fields" => "a:0:{}",
        "Device" => "iPhone",
        "Platform" => "iOS",
        "Change Value" => "+5",
        "Merge IDs" => "[1000123,1000321]",
        _ if ends(&["URL", "Link"]) => "https://www.example.com/pricing",
        _ if ends(&["Email", "Recipient", "Sender", "by", "Owner", "User"]) => {
            "someone@example.com"
        }
        _ if ends(&["Status", "Stage", "Value"]) => "Engaged",
        _ if ends(&["ID", "IDs"]) => "00Q5e00000AbCdE",
        _ => "an example",
    }
}

fn audit(munchkin_id: &str, component: &str) -> String {
    format!(
        r#"{{"componentId":55,"componentType":"{component}","eventAction":"edit","munchkinId":"{munchkin_id}","imsOrgId":"0123456789ABCDEF@AdobeOrg","userId":"a@example.com"}}"#
    )
}

fn notification(munchkin_id: &str, kind: &str) -> String {
    format!(r#"{{"munchkinId":"{munchkin_id}","componentType":"{kind}"}}"#)
}

fn flat(ce_type: &str, source: &str, data: &str) -> String {
    format!(
        r#"{{"eventid":"{OWN_ID}","specversion":"1.0","type":"{ce_type}","source":"{source}","id":"{ID}","time":"{TIME}","datacontenttype":"application/json","data":{data},"recipientclientid":"{CLIENT}"}}"#
    )
}

fn wrapped(ce_type: &str, data: &str) -> String {
    format!(
        r#"{{"eventid":"{OWN_ID}","event":{{"body":{{"specversion":"1.0","type":"{ce_type}","source":"urn:mlm","time":"{TIME}","datacontenttype":"application/json","dataschema":"V2.0","data":{data}}}}},"recipientclientid":"{CLIENT}"}}"#
    )
}

pub(crate) const ID: &str = "0b5e1c86-6f0a-4b7e-9a55-7d9f3c2e1a04";
pub(crate) const OWN_ID: &str = "5d1c77aa-3e61-4c3e-8f0b-2f4f7a90b6d2";
pub(crate) const CLIENT: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const TIME: &str = "2026-03-02T09:59:58Z";
const AUDIT: &str = "com.adobe.platform.marketo.audit.user.";
const NOTIFICATION: &str = "com.adobe.platform.marketo.notification.";

const COMPONENTS: &[&str] = &[
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

const NOTIFICATIONS: &[(&str, &str)] = &[
    ("campaign_abort", "Campaign abort"),
    ("campaign_failure", "Campaign failure"),
    ("web_services", "Web services"),
];

const OBSERVABILITY: &[&str] = &["metrics", "results", "status"];
