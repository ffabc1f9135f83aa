//! The catalogue of records whose values have a schema in a registry.

use serde_json::Value;

use super::{ADOBE, NO_IDS, asyncapi, catalogue, config, json, topic};

#[test]
fn records_with_a_schema_registry_say_what_their_values_are() {
    for (format, place, expected, location) in [
        ("avro", "value", "application/avro", "payload"),
        ("avro", "header", "application/avro", "header"),
        ("json-schema", "value", "application/octet-stream", "payload"),
        ("json-schema", "header", "application/json", "header"),
    ] {
        let registry = [
            ("KAFKA__SCHEMA_REGISTRY__URL", "http://registry:8081"),
            ("KAFKA__SCHEMA_REGISTRY__FORMAT", format),
            ("KAFKA__SCHEMA_REGISTRY__ID", place),
            ("TOPICS__VALUE", "flat"),
        ];
        let config = config(&[&ADOBE, &registry]);
        let all = catalogue(&config, &NO_IDS);
        let name = "marketo.lead-activity.clicklink";
        let written = &topic(&all, name).events[0].record;
        let shown = json::headers(written);
        assert_eq!(shown["content-type"], expected, "{format} {place}");
        let came = (expected != "application/json").then_some("application/json");
        let kept = shown.get("millrace-datacontenttype").and_then(Value::as_str);
        assert_eq!(kept, came, "{format} {place}");
        assert_eq!(shown.contains_key("__value_schema_id"), place == "header", "{format} {place}");
        // The value as a reader's deserializer returns it.
        assert_eq!(json::value(written)["lead_id"], 4711, "{format} {place}");
        assert!(all.notes.iter().any(|note| note.contains("schema registry")), "{:?}", all.notes);
        let document = asyncapi::document(&config, &all);
        let message =
            &document["components"]["messages"][format!("{name}.lead-activity.clicklink")];
        assert_eq!(message["contentType"], expected, "{format} {place}");
        assert_eq!(message["headers"]["properties"]["content-type"]["const"], expected);
        assert_eq!(message["bindings"]["kafka"]["schemaIdLocation"], location);
    }
}
