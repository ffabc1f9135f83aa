//! Rules on fields, against a real broker: what a rule names is looked for everywhere, in the topics, in what the service
//! logs, answers and counts, and in what its commands print; the spool has it, and says so.

mod shown;

use std::{collections::BTreeSet, fs, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use self::shown::{is_clean_output, what_is_shown_is_clean};
use crate::{
    broker,
    consumers::{Record, read_topic, topics},
    support::bridge::{Bridge, LEADS, Settings, TOKEN},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What no reader may see. The address is in fields that are named, once for each form that an event can have.
const CANARY: &str = "canary-7f3a";
const EMAIL: &str = "canary-7f3a@example.com";
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// `printf %s canary-7f3a@example.com | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`
fn signed() -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, KEY.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, EMAIL.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn has_canary(bytes: &[u8]) -> bool {
    let base64 = BASE64_STANDARD.encode(CANARY);
    [CANARY.as_bytes(), &base64.as_bytes()[..12]]
        .iter()
        .any(|wanted| bytes.windows(wanted.len()).any(|window| window == *wanted))
}

#[track_caller]
fn is_clean(what: &str, bytes: &[u8]) {
    assert!(!has_canary(bytes), "{what} has the field: {}", String::from_utf8_lossy(bytes));
}

const ADOBE: &str = "/v1/adobe";

/// Two sources, rules, room for two topics beside those of dead letters and of states.
fn settings(address: &str, prefix: &str, key_file: &str) -> Settings {
    Settings::new(address, prefix)
        .set("SOURCES__ADOBE__KIND", "adobe-io")
        .set("SOURCES__ADOBE__AUTH__TOKENS", TOKEN)
        .set("SOURCES__ADOBE__AUTH__CLIENT_IDS", "us")
        .set("FIELDS__EMAIL__ATTRIBUTE", "Email Address")
        .set("FIELDS__EMAIL__ACTION", "hmac")
        .set("FIELDS__EMAIL__KEY_FILE", key_file)
        .set("FIELDS__VALUE__PATH", "primaryAttributeValue")
        .set("FIELDS__VALUE__ACTION", "mask")
        // Of a change it is the name of what has changed.
        .set("FIELDS__VALUE__TYPES", "clicklink,openemail")
        .set("FIELDS__NEW__ATTRIBUTE", "New Value")
        .set("FIELDS__NEW__ACTION", "hmac")
        .set("FIELDS__NEW__KEY_FILE", key_file)
        .set("FIELDS__NEW__TYPES", "changedatavalue")
        .set("FIELDS__OLD__ATTRIBUTE", "Old Value")
        .set("FIELDS__OLD__ACTION", "drop")
        .set("FIELDS__SUBJECT__ATTRIBUTE", "subject")
        .set("FIELDS__SUBJECT__ACTION", "drop")
        .set("TOPICS__LEAD_STATE", format!("{prefix}.lead-state"))
        .set("TOPICS__LIMIT", "2")
        .set("ADMIN__BODIES", "true")
        .set("LOG__FILTER", "trace")
}

/// Attributes with the field, spelled in several ways.
fn attributes() -> String {
    format!(
        r#""primaryAttributeValue":"{EMAIL}","attributes":[{{"name":"Link ID","dataType":"integer","value":12}},
        {{"name":"Email Address","dataType":"string","value":"{EMAIL}"}},
        {{"name":"\u0045mail\u0020address","value":"{EMAIL}"}},
        {{"name":"EMAIL  ADDRESS","value":{{"attributes":["{EMAIL}"]}},"old":["{EMAIL}"]}},
        {{"name":"More","value":{{"email_address":"{EMAIL}"}}}}]"#
    )
}

fn activity(id: &str, type_id: u32, members: &str) -> String {
    format!(r#"{{"marketoGUID":"{id}","leadId":7,"activityTypeId":{type_id},{members}}}"#)
}

fn legacy(activities: &[String]) -> String {
    format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{}]}}"#, activities.join(","))
}

fn adobe(id: &str, envelope: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.activity.standard.clicklink","source":"urn:s",
        "id":"{id}","recipientclientid":"us"{envelope},"data":{data}}}"#
    )
}

/// What a change of a lead's address says.
fn change() -> String {
    format!(
        r#""primaryAttributeValue":"Email Address","attributes":[
        {{"name":"New Value","dataType":"string","value":"{EMAIL}"}},
        {{"name":"Old Value","dataType":"string","value":"old-{EMAIL}"}}]"#
    )
}

/// Deliveries with the field in every form. Five events of them reach a topic, and two make a lead's state.
fn deliveries() -> Vec<(&'static str, String)> {
    let attributes = attributes();
    let data =
        format!(r#"{{"munchkinId":"999-XYZ-000","leadId":"7","activityTypeId":3,{attributes}}}"#);
    let envelope = format!(r#","subject":"{EMAIL}","emailaddress":"{EMAIL}""#);
    let flat = adobe("a1", &envelope, &data);
    let wrapped =
        format!(r#"{{"eventid":"w1","event":{{"body":{}}}}}"#, adobe("a2", &envelope, &data));
    let text = serde_json::to_string(&data).unwrap();
    let base64 = BASE64_STANDARD.encode(EMAIL);
    let change = change();
    let of_change =
        format!(r#"{{"munchkinId":"999-XYZ-000","leadId":"7","activityTypeId":13,{change}}}"#);
    vec![
        (LEADS, legacy(&[activity("l1", 3, &attributes)])),
        (ADOBE, format!("[{flat}, {wrapped}]")),
        (LEADS, legacy(&[activity("l2", 13, &change)])),
        (ADOBE, adobe("a0", "", &of_change).replace("clicklink", "changedatavalue")),
        // A third type, for which there is no topic left.
        (LEADS, legacy(&[activity("l3", 10, &attributes)])),
        // Larger than a record.
        (
            LEADS,
            legacy(&[activity(
                "l4",
                3,
                &format!(r#"{attributes},"long":"{}""#, "y".repeat(2 << 20)),
            )]),
        ),
        // Held back: the field may be there, and no rule reaches it.
        (LEADS, legacy(&[activity("l5", 3, &format!(r#""attributes":"Email Address {EMAIL}""#))])),
        (
            LEADS,
            legacy(&[activity("l6", 3, &format!(r#""x":"{{\"Email Address\":\"{EMAIL}\"}}""#))]),
        ),
        (
            ADOBE,
            format!(
                "[{},{}]",
                adobe("a3", "", &text),
                adobe("a4", r#","datacontenttype":"text/plain""#, &text)
            ),
        ),
        (
            ADOBE,
            adobe("a5", "", "null")
                .replace(r#""data":null"#, &format!(r#""data_base64":"{base64}""#)),
        ),
        // No events.
        (LEADS, format!("this is no JSON: {EMAIL}")),
        (LEADS, legacy(&[format!("\"{EMAIL}\""), format!(r#"{{"leadId":7,{attributes}}}"#)])),
        (ADOBE, format!(r#"{{"recipientclientid":"us","unknown":{data}}}"#)),
        // A change that is held back makes no state.
        (LEADS, legacy(&[activity("l9", 13, &format!(r#""attributes":"New Value {EMAIL}""#))])),
    ]
}

/// Looks at every record of the test, and gives them by topic.
#[track_caller]
fn all_records(address: &str, prefix: &str) -> Vec<(String, Vec<Record>)> {
    let names: Vec<_> =
        topics(address).into_keys().filter(|name| name.starts_with(prefix)).collect();
    let read = |name: String| {
        let records = read_topic(address, &name);
        for record in &records {
            is_clean(&name, record.key.as_deref().unwrap_or_default());
            is_clean(&name, record.value.as_deref().unwrap_or_default());
            is_clean(&name, format!("{:?}", record.headers).as_bytes());
        }
        (name, records)
    };
    names.into_iter().map(read).collect()
}

/// Each text under the same key is the same HMAC, so that the topics can be joined by it.
#[track_caller]
fn the_states_have_what_the_events_have(states: &[Record]) {
    assert_eq!(states.len(), 2, "{states:?}");
    for state in states {
        let value: Value = serde_json::from_slice(state.value_bytes()).unwrap();
        assert_eq!(value["changed"]["Email Address"], signed(), "{value}");
        assert_eq!(state.key_text(), "999-XYZ-000:7");
    }
}

#[track_caller]
fn masked_is_found_nowhere(name: &str, form: &[(&str, &str)]) {
    let (address, prefix) = (broker::shared(), broker::own_prefix(name));
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    fs::write(&key_file, format!("{KEY}\n")).unwrap();
    let settings = settings(&address, &prefix, key_file.to_str().unwrap());
    let settings = form.iter().fold(settings, |settings, (key, value)| settings.set(key, *value));
    let bridge = Bridge::start(settings);
    let deliveries = deliveries();
    for (path, body) in &deliveries {
        let answer = bridge.client().deliver(path, TOKEN, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{body}");
        bridge.wait_until_drained(PATIENCE);
    }

    let records = all_records(&address, &prefix);
    let of = |ending: &str| {
        let found = records.iter().find(|(name, _)| name.ends_with(ending));
        &found.unwrap_or_else(|| panic!("no {ending} in {records:?}")).1[..]
    };
    assert_eq!(records.len(), 4, "two topics, the dead letters, and the states: {records:?}");
    let (clicks, changes) = (of(".clicklink"), of(".changedatavalue"));
    assert_eq!((clicks.len(), changes.len()), (3, 2), "{records:?}");
    for record in clicks.iter().chain(changes) {
        let value = String::from_utf8_lossy(record.value_bytes());
        assert!(value.contains(&signed()), "{value}");
        assert_eq!(record.key_text(), "999-XYZ-000:7");
    }
    clicks.iter().for_each(|it| assert!(String::from_utf8_lossy(it.value_bytes()).contains("***")));
    the_states_have_what_the_events_have(of(".lead-state"));
    let letters = read_topic(&address, &format!("{prefix}.dead-letter"));
    let mut reasons: Vec<_> = letters.iter().map(|it| it.header("millrace-reason")).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "field-rule",
            "field-rule",
            "field-rule",
            "field-rule",
            "field-rule",
            "field-rule",
            "missing-activity-type",
            "not-a-cloud-event",
            "not-an-object",
            "not-json",
            "too-large",
            "topic-limit",
        ]
    );
    for letter in &letters {
        let is_pointer = letter.headers.iter().any(|(name, _)| name == "millrace-quarantined");
        assert_eq!(is_pointer, letter.header("millrace-reason") != "topic-limit", "{letter:?}");
    }
    what_is_shown_is_clean(&bridge, &deliveries);

    // By the rules of today, whatever it was kept in.
    for from in [
        &["segments", "leads"][..],
        &["segments", "adobe"],
        &["dead-letters"],
        &["quarantine", "leads"],
    ] {
        let arguments = [&["replay"], from].concat();
        let dry = [&arguments[..], &["--dry-run"]].concat();
        for arguments in [dry, arguments] {
            is_clean_output("replay", &bridge.tool_with(&[("TOPICS__LIMIT", "9")], &arguments));
        }
    }
    let again = all_records(&address, &prefix);
    let third = again.iter().find(|(name, _)| name.ends_with(".openemail"));
    let (_, third) = third.expect("the replay has made the topic that was one too many");
    assert_eq!(third.len(), 2, "from its segment, and from its dead letter");
    let values: BTreeSet<_> = third.iter().map(Record::value_bytes).collect();
    assert_eq!(values.len(), 1, "what was signed once is not signed again");

    for source in ["leads", "adobe"] {
        let exported = bridge.tool(&["spool", "export", "--source", source]);
        assert!(has_canary(&exported.stdout), "the spool of {source} has deliveries as they came");
    }
    let help = bridge.tool(&["spool", "export", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout).replace('\n', " ");
    assert!(help.contains("no rule of `fields` is applied"), "the export says so: {help}");
    let kept =
        bridge.files(".bytes").into_iter().filter(|path| has_canary(&fs::read(path).unwrap()));
    assert!(kept.count() > 3, "and so has the quarantine what was held back");
}

#[test]
fn a_masked_field_is_found_nowhere_but_in_the_spool_and_in_quarantine() {
    masked_is_found_nowhere("fields-data", &[]);
}

#[test]
fn nor_where_values_are_flat() {
    let flat = [("TOPICS__VALUE", "flat"), ("TOPICS__ENVELOPE", "connect")];
    masked_is_found_nowhere("fields-flat", &flat);
}

#[test]
fn nor_in_structured_mode() {
    masked_is_found_nowhere("fields-structured", &[("TOPICS__MODE", "structured")]);
}
