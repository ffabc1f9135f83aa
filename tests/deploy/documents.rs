//! The Kafka user of the README, as Strimzi would look at it.

use std::collections::BTreeSet;

use serde_json::Value;

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
    let of_user: BTreeSet<_> = acls
        .flat_map(|acl| {
            let name = acl["resource"]["name"].as_str().expect("a name").to_owned();
            let operations = acl["operations"].as_array().expect("a list").clone();
            operations.into_iter().map(move |operation| {
                (name.clone(), operation.as_str().expect("a word").to_owned())
            })
        })
        .collect();

    let commands = &documents::the(&blocks, "README.md", "kafka-acls.sh").text;
    let commands = commands.replace("\\\n", " ");
    let of_commands: BTreeSet<_> = commands
        .lines()
        .flat_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let behind = |option: &str| {
                let pairs = words.windows(2).filter(|pair| pair[0] == option);
                pairs.map(|pair| pair[1].to_owned()).collect::<Vec<_>>()
            };
            let topic = behind("--topic").remove(0);
            behind("--operation")
                .into_iter()
                .map(move |operation| (topic.clone(), operation))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(of_user, of_commands);
}
