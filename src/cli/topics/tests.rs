mod with_a_registry;

use serde_json::Value;

use super::{
    asyncapi,
    catalogue::{Catalogue, Role, Topic},
    json,
    known::Ids,
    strimzi::{self, Target},
    tables, value_schemas,
};
use crate::config::{self, Config};

const NO_IDS: Ids<'static> = Ids { activity_types: &[], munchkin_ids: &[] };

const PUSH: [(&str, &str); 2] = [
    ("SOURCES__LEADS__KIND", "marketo-lead-activity"),
    ("SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
];
const ADOBE: [(&str, &str); 2] =
    [("SOURCES__IO__KIND", "adobe-io"), ("SOURCES__IO__AUTH__CLIENT_IDS", "us")];

fn config(settings: &[&[(&str, &str)]]) -> Config {
    let settings = settings.iter().copied().flatten();
    let variables = settings.map(|(key, value)| (format!("MILLRACE_{key}"), value.to_string()));
    let kafka = ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS".to_string(), "b:9092".to_string());
    config::load(None, variables.chain([kafka])).unwrap()
}

#[track_caller]
fn catalogue(config: &Config, ids: &Ids<'_>) -> Catalogue {
    Catalogue::new(config, ids).unwrap_or_else(|problem| panic!("{problem}"))
}

#[track_caller]
fn topic<'a>(catalogue: &'a Catalogue, name: &str) -> &'a Topic {
    let found = catalogue.topics.iter().find(|topic| topic.name == name);
    let all = || catalogue.topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>();
    found.unwrap_or_else(|| panic!("no {name} in {:?}", all()))
}

#[test]
fn a_topic_that_is_made_otherwise_than_the_others_says_how() {
    let ids = [("TOPICS__IDS", "ids"), ("TOPICS__PARTITIONS", "6")];
    let once = [("KAFKA__DELIVERY", "exactly-once")];
    let config = config(&[&PUSH, &ids, &once]);
    let all = catalogue(&config, &NO_IDS);
    let table = tables::catalogue(&config, &all);
    assert!(table.contains("\na topic that is made has 6 partitions, "), "{table}");
    for line in [
        "\nbut ids has 1 partition, the cluster's default number of replicas, cleanup.policy=delete, \
         compression.type=uncompressed, retention.ms=93600000, segment.bytes=67108864\n",
        "\nbut marketo.checkpoints has 1 partition, the cluster's default number of replicas, cleanup.policy=compact",
    ] {
        assert!(table.contains(line), "{line} in {table}");
    }
    let document = json::document(&config, &all);
    let of = |name: &str| {
        let topics = document["topics"].as_array().unwrap().iter();
        topics.clone().find(|topic| topic["name"] == name).unwrap()["when_made"].clone()
    };
    assert_eq!(of("ids")["partitions"], 1);
    assert_eq!(of("ids")["config"]["compression.type"], "uncompressed");
    assert_eq!(of("marketo.dead-letter"), Value::Null);
    assert_eq!(document["when_made"]["partitions"], 6);
}

#[test]
fn each_type_of_event_is_in_the_topic_that_the_service_would_choose() {
    let config = config(&[&PUSH, &ADOBE]);
    let all = catalogue(&config, &NO_IDS);
    for (name, ce_type, sources, key) in [
        ("lead-activity.clicklink", "activity.standard.clicklink", 2, "999-XYZ-000:4711"),
        (
            "lead-activity.enrichwithdata-com",
            "activity.standard.enrichwithdata.com",
            2,
            "999-XYZ-000:4711",
        ),
        ("user-audit.landingpage", "audit.user.landingpage", 1, "999-XYZ-000:Landing Page:55"),
        ("notification.campaign-abort", "notification.campaign_abort", 1, "999-XYZ-000"),
        ("observability.metrics", "observability.metrics", 1, "999-XYZ-000"),
        ("lead-activity.custom-{activityTypeId}", "activity.custom", 2, "999-XYZ-000:4711"),
    ] {
        let topic = topic(&all, &format!("marketo.{name}"));
        let [event] = topic.events.as_slice() else { panic!("{name}: {}", topic.events.len()) };
        assert_eq!(event.ce_type, format!("com.adobe.platform.marketo.{ce_type}"));
        assert_eq!(
            (event.sources.len(), event.record.key.as_deref()),
            (sources, Some(key)),
            "{name}"
        );
    }
    let last = all.topics.last().unwrap();
    assert_eq!((last.name.as_str(), last.role), ("marketo.dead-letter", Role::DeadLetters));
    // 68 documented activity types, the custom ones, 21 components, 3 + 3, dead letters.
    assert_eq!(all.topics.len(), 68 + 1 + 21 + 6 + 1);
}

#[test]
fn custom_activities_and_instances_that_are_named_have_topics_with_names() {
    let config = config(&[&PUSH, &[("TOPICS__NAME", "m.{munchkin_id}.{type}")]]);
    let open = catalogue(&config, &NO_IDS);
    assert!(open.depends_on_munchkin_id());
    topic(&open, "m.{munchkinId}.custom-{activityTypeId}");
    assert_eq!(open.named().count(), 1, "the dead-letter topic alone");
    assert_eq!(open.notes.len(), 2);

    let munchkin_ids = ["1-A-1".to_owned(), "2-B-2".to_owned()];
    let ids = Ids { activity_types: &[100_007, 60_123], munchkin_ids: &munchkin_ids };
    let named = catalogue(&config, &ids);
    assert!(!named.depends_on_munchkin_id());
    for name in ["m.1-A-1.custom-100007", "m.2-B-2.clicklink", "m.2-B-2.acustomactivity"] {
        topic(&named, name);
    }
    assert_eq!(named.named().count(), 2 * 70 + 1);
    assert_eq!(named.notes, Vec::<String>::new());
}

#[test]
fn one_topic_a_stream_holds_all_of_its_types() {
    let config = config(&[&PUSH, &ADOBE, &[("TOPICS__NAME", "marketo.{stream}")]]);
    let all = catalogue(&config, &NO_IDS);
    let names: Vec<_> = all.topics.iter().map(|topic| topic.name.as_str()).collect();
    let expected = ["lead-activity", "notification", "observability", "user-audit", "dead-letter"];
    assert_eq!(names, expected.map(|name| format!("marketo.{name}")));
    assert_eq!(all.topics[0].events.len(), 69);
    let shown = tables::catalogue(&config, &all);
    assert!(shown.contains("69 types of lead-activity"), "{shown}");
}

#[test]
fn more_topics_than_the_limit_are_no_secret() {
    let config = config(&[&PUSH, &[("TOPICS__LIMIT", "10")]]);
    let notes = catalogue(&config, &NO_IDS).notes.join("\n");
    assert!(notes.contains("68 topics and topics.limit is 10"), "{notes}");
}

#[test]
fn json_has_a_record_as_it_will_be() {
    let config = config(&[&ADOBE]);
    let shown = json::document(&config, &catalogue(&config, &NO_IDS));
    let topics = shown["topics"].as_array().unwrap();
    let of = |name: &str| topics.iter().find(|topic| topic["name"] == name).unwrap();
    let event = &of("marketo.user-audit.email")["events"][0];
    assert_eq!(event["key"], "<munchkinId>:<componentType>:<componentId>");
    let record = &event["record"];
    assert_eq!(record["key"], "999-XYZ-000:Email:55");
    assert_eq!(record["headers"]["ce_source"], "urn:mlm");
    assert_eq!(record["headers"]["millrace-dataschema"], "V2.0");
    assert_eq!(record["value"]["componentType"], "Email");
    assert_eq!(of("marketo.dead-letter")["record"]["headers"]["millrace-position"], "42.0");
}

#[test]
fn an_asyncapi_document_has_a_channel_for_each_topic() {
    let more = [
        ("TOPICS__PARTITIONS", "6"),
        ("TOPICS__CONFIG__RETENTION_MS", "1000"),
        ("TOPICS__CONFIG__CLEANUP_POLICY", "compact,delete"),
        ("KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
    ];
    let config = config(&[&PUSH, &ADOBE, &more]);
    let all = catalogue(&config, &NO_IDS);
    let document = asyncapi::document(&config, &all);
    assert_eq!(document["channels"].as_object().unwrap().len(), all.topics.len());
    assert_eq!(document["servers"]["broker-1"]["protocol"], "kafka-secure");
    let channel = &document["channels"]["marketo.lead-activity.clicklink"];
    let expected = serde_json::json!({
        "topic": "marketo.lead-activity.clicklink",
        "partitions": 6,
        "topicConfiguration": {"retention.ms": 1000, "cleanup.policy": ["compact", "delete"]},
        "bindingVersion": "0.5.0",
    });
    assert_eq!(channel["bindings"]["kafka"], expected);
    let open = &document["channels"]["marketo.lead-activity.custom-activityTypeId"];
    assert!(open["parameters"]["activityTypeId"].is_object());
    assert_eq!(open["bindings"]["kafka"]["topic"], Value::Null);
    assert!(!document.to_string().contains("hunter2"));
}

#[test]
fn a_strimzi_resource_says_what_was_configured_and_leaves_the_rest_to_the_cluster() {
    let topics = [
        ("TOPICS__NAME", "Leads_1"),
        ("TOPICS__DEAD_LETTER", "dead"),
        ("TOPICS__PARTITIONS", "6"),
        ("TOPICS__CONFIG__RETENTION_MS", "1000"),
        ("TOPICS__CONFIG__CLEANUP_POLICY", "delete"),
    ];
    let config = config(&[&PUSH, &topics]);
    let all = catalogue(&config, &NO_IDS);
    let place = Target { cluster: "my-cluster", namespace: Some("kafka") };
    let yaml = strimzi::resources(&config, &all, &place);
    let resource = |name: &str, topic: &str| {
        format!(
            "---\napiVersion: kafka.strimzi.io/v1\nkind: KafkaTopic\nmetadata:\n  name: \"{name}\"\n  \
             namespace: \"kafka\"\n  labels:\n    strimzi.io/cluster: \"my-cluster\"\nspec:\n  \
             topicName: \"{topic}\"\n  partitions: 6\n  config:\n    \"cleanup.policy\": \"delete\"\n    \
             \"retention.ms\": 1000\n"
        )
    };
    let hash = &yaml[yaml.find("leads-1-").unwrap()..][..16];
    assert_eq!(yaml, resource(hash, "Leads_1") + &resource("dead", "dead"));
}

#[test]
fn exactly_once_delivery_has_a_topic_of_its_own_that_is_made_in_its_own_way() {
    let exactly = [("KAFKA__DELIVERY", "exactly-once"), ("TOPICS__PARTITIONS", "6")];
    let config = config(&[&PUSH, &exactly]);
    let all = catalogue(&config, &NO_IDS);
    assert_eq!(all.topics.last().unwrap().name, "marketo.checkpoints");
    let place = Target { cluster: "c", namespace: None };
    let yaml = strimzi::resources(&config, &all, &place);
    let (_, resource) = yaml.split_once("topicName: \"marketo.checkpoints\"\n").unwrap();
    assert!(
        resource.starts_with("  partitions: 1\n  config:\n    \"cleanup.policy\": \"compact\"\n"),
        "{resource}"
    );
    let document = asyncapi::document(&config, &all).to_string();
    assert!(!document.contains("marketo.checkpoints"), "it is internal");
}

#[test]
fn states_of_leads_have_a_compacted_topic_with_a_schema_and_examples_of_their_own() {
    let states = [("TOPICS__LEAD_STATE", "marketo.lead-state"), ("TOPICS__VALUE", "flat")];
    let config = config(&[&PUSH, &states]);
    let all = catalogue(&config, &NO_IDS);
    assert_eq!(all.topics.last().unwrap().role, Role::LeadStates);
    let place = Target { cluster: "c", namespace: None };
    let yaml = strimzi::resources(&config, &all, &place);
    let (_, resource) = yaml.split_once("topicName: \"marketo.lead-state\"\n").unwrap();
    assert!(resource.contains("\"cleanup.policy\": \"compact\""), "{resource}");
    let document = asyncapi::document(&config, &all);
    let message = &document["components"]["messages"]["marketo.lead-state.leadState"];
    let payloads: Vec<_> =
        message["examples"].as_array().unwrap().iter().map(|it| &it["payload"]).collect();
    assert_eq!(payloads.len(), 4, "{payloads:?}");
    assert_eq!(payloads[1]["changed"], serde_json::json!({"Lead Status": "MQL"}));
    assert!(payloads[2].is_null(), "a tombstone");
    assert_eq!(payloads[3]["merged"], serde_json::json!(["4712"]));
    let schema = &value_schemas::json_schemas(&config, &all)["marketo.lead-state"];
    let members = schema["properties"].as_object().unwrap();
    for payload in payloads.into_iter().filter_map(Value::as_object) {
        assert!(payload.keys().all(|name| members.contains_key(name)), "{payload:?}");
    }
}

#[test]
fn each_flat_topic_has_a_schema_that_its_example_keeps_to_and_lists_all_of_its_members() {
    let config = config(&[&PUSH, &ADOBE, &[("TOPICS__VALUE", "flat")]]);
    let all = catalogue(&config, &NO_IDS);
    let schemas = value_schemas::json_schemas(&config, &all);
    let avro = value_schemas::avro(&all);
    assert_eq!(value_schemas::without_avro(&all), 0);
    for topic in all.topics.iter().filter(|topic| topic.role == Role::Events) {
        let schema = &schemas[&topic.name];
        for event in &topic.events {
            let value: Value = serde_json::from_str(&event.record.value).unwrap();
            for (name, member) in value.as_object().unwrap() {
                let types = &schema["properties"][name]["type"];
                let is = |wanted: &Value| match wanted.as_str().unwrap() {
                    "string" => member.is_string(),
                    "integer" => member.is_i64(),
                    "number" => member.is_number(),
                    "boolean" => member.is_boolean(),
                    _ => member.is_null(),
                };
                let types = types.as_array().cloned().unwrap_or_else(|| vec![types.clone()]);
                assert!(types.iter().any(is), "{}: {name} {member} {schema}", topic.name);
            }
            assert!(value["id"].is_string() && value["time"].is_string(), "{value}");
        }
        let fields = avro[&topic.name]["fields"].as_array().unwrap();
        assert_eq!(fields.len(), schema["properties"].as_object().unwrap().len() + 1);
        assert_eq!(fields.last().unwrap()["name"], "others");
    }
    let clicks = &schemas["marketo.lead-activity.clicklink"]["properties"];
    assert_eq!(clicks["webpage_id"]["type"], serde_json::json!(["integer", "null"]));
    assert_eq!(avro["marketo.lead-activity.clicklink"]["name"], "clicklink");
    assert_eq!(avro["marketo.lead-activity.clicklink"]["namespace"], "marketo.lead_activity");
}

#[test]
fn a_topic_of_connect_has_the_schema_of_its_envelope_and_a_topic_of_data_the_one_of_its_data() {
    let flat = [("TOPICS__VALUE", "flat"), ("TOPICS__ENVELOPE", "connect")];
    let connect = config(&[&PUSH, &flat]);
    let all = catalogue(&connect, &NO_IDS);
    let schema = &value_schemas::json_schemas(&connect, &all)["marketo.lead-activity.clicklink"];
    let example = &topic(&all, "marketo.lead-activity.clicklink").events[0].record.value;
    let example: Value = serde_json::from_str(example).unwrap();
    assert_eq!(schema["properties"]["schema"]["const"], example["schema"]);

    let data = config(&[&PUSH, &ADOBE]);
    let all = catalogue(&data, &NO_IDS);
    let schemas = value_schemas::json_schemas(&data, &all);
    let members = &schemas["marketo.user-audit.email"]["properties"];
    assert_eq!(members["componentId"]["type"], "integer");
    assert_eq!(value_schemas::avro(&all), serde_json::json!({}));
    assert_eq!(value_schemas::without_avro(&all), 68 + 1 + 21 + 6);
}

#[test]
fn an_example_has_the_attributes_of_its_type() {
    let config = config(&[&PUSH]);
    let all = catalogue(&config, &NO_IDS);
    let names = |topic_name: &str| -> Vec<String> {
        let value = &topic(&all, topic_name).events[0].record.value;
        let value: Value = serde_json::from_str(value).unwrap();
        let attributes = value["attributes"].as_array().unwrap();
        attributes.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("marketo.lead-activity.addtonurture"), ["Track ID", "Track Name"]);
    assert!(names("marketo.lead-activity.clicklink").contains(&"Webpage ID".to_owned()));
}

#[test]
fn schemas_and_examples_know_what_rules_leave_of_a_field() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "k".repeat(32)).unwrap();
    let rules = [
        ("FIELDS__IP__ATTRIBUTE", "Client IP Address"),
        ("FIELDS__IP__ACTION", "drop"),
        ("FIELDS__LINK__PATH", "attributes.Link ID"),
        ("FIELDS__LINK__ACTION", "hmac"),
        ("FIELDS__LINK__KEY_FILE", key.to_str().unwrap()),
        ("FIELDS__VALUE__PATH", "primaryAttributeValueId"),
        ("FIELDS__VALUE__ACTION", "mask"),
        ("FIELDS__LOG__PATH", "activityLogItemId"),
        ("FIELDS__LOG__ACTION", "drop"),
    ];
    let name = "marketo.lead-activity.clicklink";
    let data = config(&[&PUSH, &rules]);
    let schema = &value_schemas::json_schemas(&data, &catalogue(&data, &NO_IDS))[name];
    assert!(schema["properties"]["activityLogItemId"].is_null(), "{schema}");
    assert_eq!(schema["properties"]["primaryAttributeValueId"]["type"], "string");
    assert_eq!(schema["properties"]["campaignId"], data_schema("campaignId"));

    let flat = config(&[&PUSH, &rules, &[("TOPICS__VALUE", "flat")]]);
    let all = catalogue(&flat, &NO_IDS);
    let [event] = topic(&all, name).events.as_slice() else { panic!("one type") };
    let value: Value = serde_json::from_str(&event.record.value).unwrap();
    assert!(value.get("client_ip_address").is_none(), "{value}");
    assert_eq!(value["link_id"].as_str().map(str::len), Some(64), "{value}");
    let schemas = [
        value_schemas::json_schemas(&flat, &all)[name].clone(),
        value_schemas::avro(&all)[name].clone(),
    ];
    for schema in schemas {
        let text = schema.to_string();
        assert!(
            !text.contains("client_ip_address") && !text.contains("activity_log_item_id"),
            "{text}"
        );
    }
    let shape = topic(&all, name).shape.as_ref().unwrap();
    let kind = |name: &str| shape.columns().iter().find(|it| it.name == name).map(|it| it.kind);
    use crate::deliver::encode::flat::Kind;
    assert_eq!(kind("link_id"), Some(Kind::Text));
    assert_eq!(kind("primary_attribute_value_id"), Some(Kind::Text));
    assert_eq!(kind("lead_id"), Some(Kind::Integer));
}

/// Returns the published schema of a member of a lead activity.
fn data_schema(member: &str) -> Value {
    super::schemas::data_schemas(&Default::default())["leadActivity"]["properties"][member].clone()
}

#[test]
fn what_no_source_takes_is_not_listed_and_instances_that_are_named_have_topics_of_their_own() {
    let only_clicks: [(&str, &str); 3] = [
        ("SOURCES__LEADS__INCLUDE__TYPES", "clicklink"),
        ("SOURCES__IO__EXCLUDE__STREAMS", "lead-activity,observability"),
        ("SOURCES__IO__EXCLUDE__TYPES", "com.adobe.platform.marketo.audit.*"),
    ];
    let config_of = |more: &[(&str, &str)]| config(&[&PUSH, &ADOBE, &only_clicks, more]);
    let listed = |config: &Config| -> Vec<String> {
        let all = catalogue(config, &NO_IDS);
        let events = all.topics.iter().filter(|topic| topic.role == Role::Events);
        let names = events.map(|topic| topic.name.trim_start_matches("marketo.").to_owned());
        names.filter(|name| !name.starts_with("notification")).collect()
    };
    let config = config_of(&[]);
    assert_eq!(listed(&config), ["lead-activity.clicklink"]);
    let document = asyncapi::document(&config, &catalogue(&config, &NO_IDS)).to_string();
    assert!(document.contains("clicklink") && !document.contains("openemail"));
    let notes = catalogue(&config, &NO_IDS).notes;
    assert!(notes.iter().any(|note| note.contains("what source leads leaves out")), "{notes:?}");
    let instances = config_of(&[
        ("SOURCES__LEADS__MUNCHKIN_IDS", "111-AAA-222,333-BBB-444"),
        ("TOPICS__NAME", "{munchkin_id}.{type}"),
        ("SOURCES__IO__INCLUDE__STREAMS", "other"),
    ]);
    assert_eq!(listed(&instances), ["111-AAA-222.clicklink", "333-BBB-444.clicklink"]);
}
