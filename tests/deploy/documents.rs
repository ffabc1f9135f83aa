//! The Kafka user of the README, as Strimzi would look at it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    support::documents::{self, MANIFESTS},
    tools::{repository, run, tool, yaml},
};

/// Holds `resource` against a schema of tests/deploy/schemas.
#[track_caller]
pub fn expect_valid(kind: &str, resources: &[Value]) {
    let program = "import json, jsonschema, sys\n\
        schema = json.load(open(sys.argv[1]))\n\
        for resource in json.load(sys.stdin): jsonschema.validate(resource, schema)";
    let schema = repository(&format!("tests/deploy/schemas/{kind}.json")).display().to_string();
    let resources = Value::from(resources.to_vec()).to_string();
    run(tool("python"), ["-c", program, &schema], &resources).expect_fine(kind);
}

#[test]
fn the_kafka_user_is_one_that_strimzi_takes_and_may_do_what_the_access_list_says() {
    let blocks = documents::blocks();
    let [(document, text)] = MANIFESTS else { panic!("one manifest") };
    let user = yaml(&documents::the(&blocks, document, text).text);
    expect_valid("KafkaUser", &user);
    let acls = user[0]["spec"]["authorization"]["acls"].as_array().expect("a list").iter();
    let mut of_user = BTreeSet::new();
    for acl in acls {
        let resource = &acl["resource"];
        let pattern = resource["patternType"].as_str().unwrap_or("literal");
        for operation in acl["operations"].as_array().expect("a list") {
            of_user.insert(words([
                &resource["type"],
                &resource["name"],
                &json!(pattern),
                operation,
            ]));
        }
    }

    let commands = &documents::the(&blocks, "README.md", "kafka-acls.sh").text;
    let mut of_commands = BTreeSet::new();
    for command in commands.replace("\\\n", " ").lines() {
        let typed: Vec<_> = command.split_whitespace().collect();
        let behind = |option: &'static str| {
            let pairs = typed.windows(2).filter(move |pair| pair[0] == option);
            pairs.map(|pair| pair[1])
        };
        let pattern = if command.contains("prefixed") { "prefix" } else { "literal" };
        for (kind, option) in [("topic", "--topic"), ("group", "--group")] {
            for name in behind(option) {
                of_commands.extend(behind("--operation").map(|operation| {
                    words([&json!(kind), &json!(name), &json!(pattern), &json!(operation)])
                }));
            }
        }
    }
    assert_eq!(of_user, of_commands);
}

fn words(words: [&Value; 4]) -> [String; 4] {
    words.map(|word| word.as_str().expect("a word").to_owned())
}
