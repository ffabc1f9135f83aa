//! What records are: for all topics, for a source, for the topics of a pattern.

use millrace::{
    config::Config,
    deliver::{
        decode::Catalog,
        encode::choice::{Choice, Surrounding, Timestamp, ValueForm},
    },
};

use crate::given::{Folder, good, loaded};

const SOURCE: &str = "[kafka]\nbootstrap_servers = \"b:9092\"\n[sources.leads]\n\
                      kind = \"marketo-lead-activity\"\nauth.tokens = [\"hunter2\"]\n";

/// The configuration of a file, or its mistakes.
fn of(file: &str, types: &str) -> Result<Config, String> {
    let folder = Folder::with(&[("config.toml", ""), ("types.json", types)]);
    let file = format!("{SOURCE}{file}").replace("TYPES", &folder.text("types.json"));
    std::fs::write(folder.path("config.toml"), file).unwrap();
    let none: [(&str, &str); 0] = [];
    millrace::config::load(Some(&folder.path("config.toml")), none).map_err(|it| it.to_string())
}

fn choice(config: &Config, topic: &str) -> Choice {
    config.choices(&config.sources[0], &Catalog::builtin()).of(topic)
}

#[test]
fn without_a_word_records_are_as_ever() {
    let config = good(&[]);
    assert_eq!(choice(&config, "marketo.lead-activity.clicklink"), Choice::default());
    assert!(config.choices(&config.sources[0], &Catalog::builtin()).shapes().is_none());
}

#[test]
fn a_pattern_goes_over_the_source_and_the_source_over_all_topics() {
    let file = "value = \"flat\"\n[topics]\ntimestamp = \"received\"\n[topics.values.\"m.lead.*\"]\n\
                envelope = \"connect\"\n[topics.values.\"m.lead.x\"]\nvalue = \"data\"\ntimestamp = \"event\"\n";
    let config = of(file, "").unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let of = |topic| choice(&config, topic);
    let flat = Choice {
        value: ValueForm::Flat,
        envelope: Surrounding::None,
        timestamp: Timestamp::Received,
    };
    assert_eq!(of("m.audit"), flat);
    assert_eq!(of("m.lead.y"), Choice { envelope: Surrounding::Connect, ..flat });
    let one = Choice { value: ValueForm::Data, timestamp: Timestamp::Event, ..flat };
    assert_eq!(of("m.lead.x"), one);
}

#[test]
fn every_mistake_is_named_at_once_with_its_key_and_line() {
    let file = "value = \"flatt\"\n[topics]\nmode = \"structured\"\nvalue = \"flat\"\ntimestamp = \"soon\"\n\
                [topics.values.\"m {x}\"]\nvalue = \"flat\"\n[topics.values.\"m.*\"]\nvalue = \"data\"\nenvelope = \"connect\"\n\
                colour = 1\n[catalog]\ntypes_file = \"TYPES\"\n";
    let text = of(file, "{\"success\":false,\"errors\":[{\"message\":\"no token\"}]}").unwrap_err();
    for part in [
        "sources.leads.value (",
        "topics.value (",
        "`structured`",
        "topics.timestamp (",
        "is no pattern for names of topics",
        "`connect`, and the value is `data`",
        "colour",
        "catalog.types_file (",
        "says no: no token",
        "line 9", // of topics.value
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn an_envelope_of_all_topics_needs_a_flat_value_somewhere() {
    let text = of("[topics]\nenvelope = \"connect\"\n", "").unwrap_err();
    assert!(text.contains("topics.envelope ("), "{text}");
    assert!(of("value = \"flat\"\n[topics]\nenvelope = \"connect\"\n", "").is_ok());
}

#[test]
fn a_file_of_types_that_cannot_be_read_is_a_mistake() {
    let text = of("[catalog]\ntypes_file = \"/nowhere/types.json\"\n", "").unwrap_err();
    assert!(text.contains("/nowhere/types.json") && text.contains("cannot be read"), "{text}");
    let answer = r#"{"success":true,"result":[{"id":100001,"name":"A","attributes":[]}]}"#;
    let config = of("[catalog]\ntypes_file = \"TYPES\"\n", answer).unwrap();
    assert_eq!(config.sources[0].described_types[0].id, 100_001);
}

#[test]
fn the_effective_configuration_is_read_back() {
    let shown = loaded(None, &[("MILLRACE_TOPICS__VALUE", "FLAT")]).unwrap().to_string();
    assert!(shown.contains("value = \"flat\""), "{shown}");
}
