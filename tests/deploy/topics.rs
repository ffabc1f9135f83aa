//! What `millrace topics` prints for other programs, held against their own schemas.

use std::process::Command;

use serde_json::Value;

use crate::{
    documents::expect_valid,
    tools::{repository, run, tool, yaml},
};

fn topics(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command
        .env_clear()
        .env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "one:9092,two:9092")
        .env("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity")
        .env("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2")
        .env("MILLRACE_SOURCES__IO__KIND", "adobe-io")
        .env("MILLRACE_SOURCES__IO__AUTH__CLIENT_IDS", "us")
        .envs(settings.iter().map(|(key, value)| (format!("MILLRACE_{key}"), value)));
    run(command, ["topics"].iter().chain(arguments), "").expect_fine("millrace topics")
}

/// Validates the document against AsyncAPI's own JSON Schema, resolves every reference, and validates
/// each example against the schemas of its message.
const VALIDATE: &str = r##"
import json, jsonschema, sys
specification, documents = json.load(open(sys.argv[1])), json.load(sys.stdin)

def resolve(document, node):
    if isinstance(node, list):
        return [resolve(document, one) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        return resolve(document, target)
    return {name: resolve(document, value) for name, value in node.items()}

validator = jsonschema.validators.validator_for(specification)(specification)
for document in documents:
    for error in validator.iter_errors(document):
        sys.exit(f"{error.json_path}: {error.message[:500]}")
    for operation in document["operations"].values():
        resolve(document, operation)
    examples = 0
    for channel in resolve(document, document["channels"]).values():
        for message in channel["messages"].values():
            for example in message["examples"]:
                jsonschema.validate(example["headers"], message["headers"])
                jsonschema.validate(example["payload"], message["payload"])
                examples += 1
    print(examples)
"##;

#[test]
fn the_asyncapi_document_is_valid_and_its_examples_are_what_its_schemas_say() {
    let packages = run(Command::new(repository("tests/setup/node-packages")), [""; 0], "");
    let packages = packages.expect_fine("tests/setup/node-packages");
    let specification =
        format!("{}/node_modules/@asyncapi/specs/schemas/3.0.0.json", packages.trim());
    let made_with = [
        ("TOPICS__PARTITIONS", "6"),
        ("TOPICS__REPLICATION_FACTOR", "3"),
        ("TOPICS__CONFIG__RETENTION_MS", "604800000"),
        ("TOPICS__CONFIG__CLEANUP_POLICY", "delete"),
        ("TOPICS__CONFIG__MIN_INSYNC_REPLICAS", "2"),
    ];
    let others = [("TOPICS__MODE", "structured"), ("TOPICS__NAME", "{stream}.{munchkin_id}")];
    let documents = [
        topics(&["--format", "asyncapi"], &made_with),
        topics(&["--format", "asyncapi", "--activity-type", "100001"], &others),
    ];
    let input = format!("[{}]", documents.join(","));
    let checked = run(tool("python"), ["-c", VALIDATE, &specification], &input);
    let counts: Vec<usize> = checked
        .expect_fine("AsyncAPI")
        .lines()
        .map(|count| count.parse().expect("a number"))
        .collect();
    assert!(counts.len() == 2 && counts.iter().all(|count| *count > 90), "{counts:?}");
}

#[test]
fn the_kafka_topics_are_ones_that_strimzi_takes() {
    let settings = [
        ("TOPICS__NAME", "Marketo_{stream}.{type}"),
        ("TOPICS__PARTITIONS", "6"),
        ("TOPICS__CONFIG__RETENTION_MS", "604800000"),
        ("TOPICS__CONFIG__CLEANUP_POLICY", "delete"),
    ];
    let arguments = ["--format", "strimzi", "--cluster", "my-cluster", "--namespace", "kafka"];
    for settings in [&settings[..], &[]] {
        let resources = yaml(&topics(&arguments, settings));
        expect_valid("KafkaTopic", &resources);
        let names = |path: &str| -> Vec<&Value> {
            let mut names: Vec<_> = resources.iter().filter_map(|r| r.pointer(path)).collect();
            names.sort_by_key(|name| name.to_string());
            names.dedup();
            names
        };
        assert!(resources.len() > 90);
        for path in ["/metadata/name", "/spec/topicName"] {
            assert_eq!(names(path).len(), resources.len(), "{path}: all differ");
        }
    }
}
