use serde_json::{Value as Json, json};

use super::*;
use crate::{
    deliver::decode::{Catalog, Rules, decode},
    source::SourceKind,
};

fn shapes(scope: Scope) -> Shapes {
    let custom = r#"{"success":true,"result":[{"id":100001,"name":"Attended Webinar","attributes":[
        {"name":"Minutes","apiName":"mins","dataType":"integer"},{"name":"Rating","dataType":"float"}]}]}"#;
    Shapes::new(scope, &Catalog::builtin(), &types::read(custom).unwrap(), &Default::default())
}

fn all(
    kind: SourceKind,
    scope: Scope,
    body: &str,
    write: fn(&Flat<'_>, &mut Vec<u8>),
) -> Vec<Json> {
    let shapes = shapes(scope);
    let rules = Rules::default();
    let mut events = Vec::new();
    let mut flattener = Flattener::default();
    decode(kind, &rules, body.as_bytes(), &[], &mut events).unwrap();
    let flatten = |event: &_| {
        let Ok(event) = event else { panic!("{event:?}") };
        let event: &crate::event::Event<'_> = event;
        let mut out = Vec::new();
        let id = event.attributes.id.as_deref().unwrap_or("made");
        write(&flattener.flatten(shapes.of(event), id, event), &mut out);
        serde_json::from_slice(&out)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
    };
    events.iter().map(flatten).collect()
}

fn pushed(members: &str) -> Json {
    let body = format!(
        r#"{{"munchkinId":"9-X-0","activities":[{{"marketoGUID":"g","leadId":4711,"activityDate":"2026-03-02T09:59:58Z","activityTypeId":3,"activityType":"Click Link"{members}}}]}}"#
    );
    all(SourceKind::MarketoLeadActivity, Scope::Type, &body, json::write).remove(0)
}

fn adobe(ce_type: &str, more: &str, data: &str) -> Json {
    let body = format!(
        r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.{ce_type}","source":"urn:marketo_activity_stream","id":"g"{more},"data":{data},"recipientclientid":"c"}}"#
    );
    all(SourceKind::AdobeIo, Scope::Type, &body, json::write).remove(0)
}

/// `pushed` with `more` beside its own members.
fn with(more: Json) -> Json {
    let mut whole = json!({
        "id": "g", "source": "urn:marketo_activity_stream",
        "type": "com.adobe.platform.marketo.activity.standard.clicklink",
        "time": "2026-03-02T09:59:58Z", "munchkin_id": "9-X-0", "lead_id": 4711,
        "activity_type_id": 3, "activity_type": "Click Link",
        "activity_date": "2026-03-02T09:59:58Z",
    });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    whole
}

const ATTRIBUTES: &str = r#","attributes":[{"name":"Link ID","dataType":"object","value":12},
    {"name":"Webpage ID","dataType":"integer","value":"7"},{"name":"Client IP Address","value":null}]"#;

#[test]
fn both_forms_of_an_activity_have_the_same_value() {
    let expected = with(json!({"link_id": "12", "webpage_id": 7, "client_ip_address": null}));
    assert_eq!(pushed(ATTRIBUTES), expected);
    let data = format!(
        r#"{{"munchkinId":"9-X-0","leadId":"4711","activityDate":"2026-03-02T09:59:58Z","activityTypeId":3,"activityType":"Click Link"{ATTRIBUTES}}}"#
    );
    let time = r#","time":"2026-03-02T10:00:01Z","eventid":"e""#;
    assert_eq!(adobe("activity.standard.clicklink", time, &data), expected);
}

#[test]
fn what_is_not_of_its_kind_is_text_beside_it() {
    let members = r#","primaryAttributeValue":12,"attributes":[{"name":"Webpage ID","dataType":"integer","value":"soon"},
        {"name":"When","dataType":"datetime","value":"2026-03-02 10:00:00"},{"name":"N","dataType":"float","value":"1.50"}]"#;
    let expected = json!({"primary_attribute_value": "12", "webpage_id_text": "soon", "when_text": "2026-03-02 10:00:00", "n": 1.50});
    assert_eq!(pushed(members), with(expected));
    let odd = pushed(r#","activityLogItemId":1.5"#);
    assert_eq!(odd, with(json!({"activity_log_item_id_text": "1.5"})));
}

#[test]
fn names_that_meet_stay_apart_and_nothing_is_dropped() {
    let members = r#","id":5,"campaign":"c","Campaign":"d","lead_id":"x","attributes":[
        {"name":"Source","value":"s"},{"name":"Time","value":1},{"name":"Link-ID","value":"1"},{"name":"Link ID","value":"2","apiName":"l"},
        {"name":"Others","value":true},{"name":"campaign","value":{"a":[1, 2]}},{"name":"\u0041b","value":1e2},{"value":3},4]"#;
    let whole = r#"[
        {"name":"Source","value":"s"},{"name":"Time","value":1},{"name":"Link-ID","value":"1"},{"name":"Link ID","value":"2","apiName":"l"},
        {"name":"Others","value":true},{"name":"campaign","value":{"a":[1, 2]}},{"name":"\u0041b","value":1e2},{"value":3},4]"#;
    let expected = json!({
        "data_id": 5, "campaign": "c", "campaign_2": "d", "data_lead_id": "x", "attribute_source": "s",
        "attribute_time": 1, "link_id": "1", "link_id_2": "2", "link_id_api_name": "l",
        "attribute_others": true, "campaign_3": "{\"a\":[1, 2]}", "ab": 1e2, "attributes": whole,
    });
    assert_eq!(pushed(members), with(expected));
}

#[test]
fn an_audit_and_a_notification_have_their_id_and_time() {
    let data = r#"{"componentId":55,"componentType":"Email","eventAction":"approve","munchkinId":"9-X-0","userId":"a@example.com","new":[1]}"#;
    let audit = adobe("audit.user.email", r#","time":"2026-03-02 10:00:02-5:00""#, data);
    let base = json!({"id": "g", "source": "urn:marketo_activity_stream", "type": "com.adobe.platform.marketo.audit.user.email",
        "time": "2026-03-02T10:00:02-05:00", "munchkin_id": "9-X-0", "component_id": 55, "component_type": "Email",
        "event_action": "approve", "user_id": "a@example.com", "new": "[1]"});
    assert_eq!(audit, base);
    let data = r#"{"munchkinId":"9-X-0","eventAction":{"campaignId":1}}"#;
    let told = adobe("notification.campaign_abort", r#","time":"2026-03-02 10:00:02.118""#, data);
    assert_eq!(told["time_text"], "2026-03-02 10:00:02.118");
    assert_eq!((&told["time"], &told["event_action"]), (&Json::Null, &json!("{\"campaignId\":1}")));
}

#[test]
fn what_is_no_object_and_what_has_too_many_fields_is_one_text() {
    let data = |more: &str, data: &str| adobe("observability.metrics", more, data);
    assert_eq!(data("", "[1, 2]")["data"], "[1, 2]");
    assert_eq!(data("", "\"t\"")["data"], "t");
    assert_eq!(data(r#","datacontenttype":"text/plain""#, "\"{\\u0061}\"")["data"], "{a}");
    assert_eq!(data("", "null").get("data"), Some(&Json::Null));
    let many: Vec<_> = (0..=MAX_FIELDS).map(|n| format!("\"m{n}\":1")).collect();
    let many = format!("{{{}}}", many.join(","));
    let whole = data("", &many);
    assert_eq!((whole["data"].as_str(), whole.get("m0")), (Some(&*many), None));
    let body = r#"{"specversion":"1.0","type":"t","source":"s","id":"g","data_base64":"AP8="}"#;
    let base64 = all(SourceKind::AdobeIo, Scope::Type, body, json::write);
    assert_eq!(base64[0], json!({"id": "g", "source": "s", "type": "t", "data_base64": "AP8="}));
}

#[test]
fn connect_has_one_schema_for_a_topic_and_what_it_does_not_list_is_in_others() {
    let write: fn(&Flat<'_>, &mut Vec<u8>) = |flat, out| connect::write(flat, &mut Vec::new(), out);
    let body = r#"{"munchkinId":"9-X-0","activities":[
        {"marketoGUID":"a","activityTypeId":100001,"activityDate":"2026-03-02T10:00:00Z","attributes":[{"name":"mins","value":5},{"name":"New","value":1.50}]},
        {"marketoGUID":"b","activityTypeId":100001,"activityDate":"2026-03-02T10:00:00.0001Z","attributes":[{"name":"Rating","value":"\ud800"}]}]}"#;
    let records = all(SourceKind::MarketoLeadActivity, Scope::Type, body, write);
    assert_eq!(records[0]["schema"], records[1]["schema"]);
    let field = |name: &str| {
        let fields = records[0]["schema"]["fields"].as_array().unwrap();
        fields.iter().find(|field| field["field"] == name).unwrap().clone()
    };
    assert_eq!(field("minutes"), json!({"type": "int64", "optional": true, "field": "minutes"}));
    assert_eq!(field("rating")["type"], "double");
    assert_eq!(field("id")["optional"], false);
    assert_eq!(field("time")["name"], "org.apache.kafka.connect.data.Timestamp");
    let one = &records[0]["payload"];
    let two = &records[1]["payload"];
    assert_eq!((&one["minutes"], &one["time"]), (&json!(5), &json!(1_772_445_600_000_i64)));
    assert_eq!(one["others"], "{\"new\":1.50}");
    let others = r#"{"time":"2026-03-02T10:00:00.0001Z","activity_date":"2026-03-02T10:00:00.0001Z","rating_text":"\ud800"}"#;
    assert_eq!(two["others"], others);
}

#[test]
fn a_topic_of_a_stream_has_the_columns_that_all_of_its_types_have() {
    let shapes = shapes(Scope::Stream);
    let of = |event_type| shapes.of_type(crate::event::Stream::LeadActivity, event_type);
    assert_eq!(of("clicklink"), of("custom-100001"));
    assert_eq!(of("clicklink").find("webpage_id"), None);
    assert_eq!(Scope::of_template("marketo.{stream}"), Scope::Stream);
    assert_eq!(Scope::of_template("marketo.{stream}.{type}"), Scope::Type);
    assert_eq!(Scope::of_template("{type}"), Scope::All);
}
