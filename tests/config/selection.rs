//! Which of a source's events are taken: `munchkin_ids`, `include` and `exclude`.

use millrace::{
    config::Config,
    deliver::{dead_letter::Convention, select::Selection},
    event::Stream,
};

use crate::given::{Folder, good};

const SOURCE: &str = "[kafka]\nbootstrap_servers = \"b:9092\"\n[sources.leads]\n\
                      kind = \"marketo-lead-activity\"\nauth.tokens = [\"hunter2\"]\n";

/// The configuration of a file, or its mistakes.
fn of(file: &str) -> Result<Config, String> {
    let folder = Folder::with(&[("config.toml", &format!("{SOURCE}{file}"))]);
    let none: [(&str, &str); 0] = [];
    millrace::config::load(Some(&folder.path("config.toml")), none).map_err(|it| it.to_string())
}

fn types(config: &Config) -> Vec<&str> {
    config.sources[0].selection.exclude.types.iter().map(|pattern| pattern.as_str()).collect()
}

#[test]
fn without_a_word_a_source_takes_everything() {
    assert_eq!(good(&[]).sources[0].selection, Selection::default());
    assert!(good(&[]).topics.dead_letter_headers.is_empty());
}

#[test]
fn a_file_and_the_environment_say_the_same() {
    let file = "munchkin_ids = [\"999-xyz-000\"]\nexclude.types = [\"click*\", \"click*\"]\n\
                exclude.activity_type_ids = [3, 100001]\ninclude.streams = [\"lead-activity\"]\n\
                [topics]\ndead_letter_headers = [\"spring\", \"connect\"]\n";
    let written = of(file).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let said = good(&[
        ("MILLRACE_SOURCES__LEADS__MUNCHKIN_IDS", "999-XYZ-000"),
        ("MILLRACE_SOURCES__LEADS__EXCLUDE__TYPES", "click*"),
        ("MILLRACE_SOURCES__LEADS__EXCLUDE__ACTIVITY_TYPE_IDS", "3, 100001"),
        ("MILLRACE_SOURCES__LEADS__INCLUDE__STREAMS", "Lead-Activity"),
        ("MILLRACE_TOPICS__DEAD_LETTER_HEADERS", "Spring,connect"),
    ]);
    for config in [&written, &said] {
        let selection = &config.sources[0].selection;
        assert_eq!(selection.munchkin_ids, ["999-XYZ-000"]);
        assert_eq!(types(config), ["click*"]);
        assert_eq!(selection.exclude.activity_type_ids, [3, 100_001]);
        assert_eq!(selection.include.streams, [Stream::LeadActivity]);
        assert_eq!(config.topics.dead_letter_headers, Convention::ALL);
    }
}

#[test]
fn every_mistake_says_what_to_write() {
    let file = "munchkin_ids = [\"999XYZ000\"]\ninclude.streams = [\"leadactivity\"]\n\
                include.types = [\"Click Link\"]\ninclude.activity_type_ids = [\"clicklink\"]\n\
                exclude.types = []\nexclude.colour = 1\n[topics]\ndead_letter_headers = [\"sprng\"]\n";
    let text = of(file).unwrap_err();
    for part in [
        "sources.leads.munchkin_ids (",
        "`999XYZ000`, which is no Munchkin id",
        "`999-XYZ-000`",
        "sources.leads.include.streams (",
        "Did you mean `lead-activity`?",
        "sources.leads.include.types (",
        "Did you mean `clicklink`?",
        "sources.leads.include.activity_type_ids (",
        "no id of an activity type",
        "sources.leads.exclude.types (",
        "is an empty list",
        "exclude.colour",
        "topics.dead_letter_headers (",
        "`sprng`, which is none of them",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_list_is_bounded() {
    let ids: Vec<_> = (1..=1001).map(|id| id.to_string()).collect();
    let text = of(&format!("exclude.activity_type_ids = [{}]\n", ids.join(","))).unwrap_err();
    assert!(text.contains("1001 entries"), "{text}");
}
