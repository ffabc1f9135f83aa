//! Finds settings that are probably not intended. None of them is a mistake, since senders may send unknown types.
//!
//! Events of every known type go through the service's own decoding, selection and routing, as in the catalogue of
//! topics.

mod fields;
mod own_topics;

use std::collections::{BTreeMap, BTreeSet};

use self::fields::Names;
use super::examples::{Example, Ids, SOME_MUNCHKIN_ID, examples};
use crate::{
    config::{Config, SourceConfig, guess},
    deliver::{
        decode::{self, Catalog, Rules, naming::FIRST_CUSTOM_ID},
        encode::choice::{Choice, Pattern},
        route::Router,
        select::Named,
    },
    event::Stream,
    source::SourceName,
};

/// Names of types that are listed one by one.
const MAX_LISTED: usize = 12;

/// One known type of event, as a source would send it.
struct Known {
    stream: Stream,
    event_type: String,
    ce_type: String,
    activity_type_id: Option<i64>,
    is_taken: bool,
    topic: String,
    /// The topic by `topics.name` alone, which may be one of the program's own.
    named: String,
    choice: Choice,
    /// Whether it stands for every custom activity.
    any_custom: bool,
    names: Names,
}

/// Remarks about a configuration. Empty where it cannot be used anyway.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// One sentence for each setting that is probably not intended.
    pub doubts: Vec<String>,
    /// One sentence for each source that leaves events out: how much of the known types.
    pub selections: Vec<String>,
    /// One sentence for each rule on fields: the known fields that it covers.
    pub rules: Vec<String>,
}

impl Advice {
    pub fn of(config: &Config) -> Self {
        let first = config.sources.first();
        let sources = &config.sources;
        let rules = &config.fields.rules;
        let is_alike = |it: &SourceConfig| first.is_none_or(|first| it.choice == first.choice);
        // Such a configuration has nothing to remark on, and a start is spared the work.
        let is_plain = sources.iter().all(|source| source.selection.is_all() && is_alike(source));
        if is_plain && rules.is_empty() && !own_topics::may_be_met(config) {
            return Self::default();
        }
        let sources = known(config);
        let selects = sources.iter().filter(|(source, _)| !source.selection.is_all());
        let selections = selects.map(|(source, types)| selection(source, types)).collect();
        let mut doubts: Vec<_> =
            sources.iter().flat_map(|(source, types)| of_source(source, types)).collect();
        doubts.extend(disagreements(&sources));
        doubts.extend(own_topics::met(config, &sources));
        let mut advice = Self { doubts, selections, rules: Vec::new() };
        fields::advise(rules, &sources, &mut advice);
        advice
    }

    /// Writes all remarks to the log.
    pub fn log(&self) {
        for doubt in &self.doubts {
            tracing::warn!(doubt, "the configuration may not mean what it says");
        }
        for selection in &self.selections {
            tracing::info!(selection, "a source leaves events out");
        }
        for rule in &self.rules {
            tracing::info!(rule, "what a rule on fields covers");
        }
    }
}

fn of_source(source: &SourceConfig, types: &[Known]) -> Vec<String> {
    let name = &source.name;
    let selection = &source.selection;
    let mut found = Vec::new();
    for (list, named) in [("include", &selection.include), ("exclude", &selection.exclude)] {
        found.extend(unknown(&format!("sources.{name}.{list}"), named, types));
    }
    if !types.is_empty() && types.iter().all(|it| !it.is_taken) {
        found.push(format!(
            "sources.{name} takes none of the event types that are known: include and exclude below it leave \
             out all of them"
        ));
    }
    found
}

fn selection(source: &SourceConfig, types: &[Known]) -> String {
    let name = &source.name;
    let all: BTreeSet<_> = types.iter().map(|it| it.event_type.as_str()).collect();
    let taken: BTreeSet<_> =
        types.iter().filter(|it| it.is_taken).map(|it| it.event_type.as_str()).collect();
    let left_out: Vec<_> = all.difference(&taken).copied().collect();
    let mut text =
        format!("sources.{name} takes {} of the {} known event types", taken.len(), all.len());
    let ids = &source.selection.munchkin_ids;
    if !ids.is_empty() {
        text += &format!(", of the instances {}", listed(ids.iter().map(String::as_str)));
    }
    if !left_out.is_empty() {
        text += &format!("; left out: {}", listed(left_out));
    }
    text
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let more = names.len().saturating_sub(MAX_LISTED);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Returns the types that the sources are known to send.
fn known(config: &Config) -> Vec<(&SourceConfig, Vec<Known>)> {
    let Ok(by_name) = Router::new(&config.topics.name) else { return Vec::new() };
    let Ok(router) = config.router() else { return Vec::new() };
    // Two sources can share topics of any instance that one of them names.
    let named = config.sources.iter().flat_map(|source| source.selection.munchkin_ids.clone());
    let mut munchkin_ids: BTreeSet<String> = named.collect();
    let names_all = config.sources.iter().all(|source| !source.selection.munchkin_ids.is_empty());
    if !names_all {
        munchkin_ids.insert(SOME_MUNCHKIN_ID.into());
    }
    let mut munchkin_ids: Vec<_> = munchkin_ids.into_iter().collect();
    if !config.topics.name.contains("{munchkin_id}") {
        // The topics do not depend on the instance: one that each source takes is enough.
        munchkin_ids.clear();
    }
    let mut found = Vec::new();
    for source in &config.sources {
        let Ok(catalog) = Catalog::with_overrides(source.activity_types.clone()) else { continue };
        let choices = config.choices(source, &catalog);
        let rules = Rules::from(catalog);
        let mut types = Vec::new();
        let ids = Ids { activity_types: &[], munchkin_ids: &munchkin_ids };
        for Example { body, any_custom, .. } in examples(source, &ids) {
            let mut events = Vec::new();
            let decoded = decode::decode(source.kind, &rules, body.as_bytes(), &[], &mut events);
            if decoded.is_err() {
                continue;
            }
            for event in events.iter().flatten() {
                let mut topic = String::new();
                router.topic(&source.name, event, &mut topic);
                let mut named = String::new();
                by_name.topic(&source.name, event, &mut named);
                let choice = choices.of(&topic);
                types.push(Known {
                    stream: event.stream,
                    event_type: event.event_type.to_string(),
                    ce_type: event.attributes.r#type.to_string(),
                    activity_type_id: event.activity_type_id,
                    is_taken: source.selection.leaves_out(event).is_none(),
                    topic,
                    named,
                    choice,
                    any_custom,
                    names: Names::of(source.kind, event),
                });
            }
        }
        found.push((source, types));
    }
    found
}

/// Returns names in a selection that match no known type.
fn unknown(key: &str, named: &Named, types: &[Known]) -> Vec<String> {
    let mut found = Vec::new();
    for pattern in &named.types {
        let is_it = |it: &Known| pattern.matches(&it.event_type) || pattern.matches(&it.ce_type);
        if types.iter().any(is_it) || is_of_custom(pattern) {
            continue;
        }
        let word = pattern.as_str();
        let guess = guess(word, types.iter().map(|it| it.event_type.as_str()));
        let guess = guess.map(|guess| format!(": did you mean `{guess}`?")).unwrap_or_default();
        found.push(format!(
            "{key}.types has `{word}`, which matches no type that this source is known to send{guess}"
        ));
    }
    for id in &named.activity_type_ids {
        if *id < FIRST_CUSTOM_ID && types.iter().all(|it| it.activity_type_id != Some(*id)) {
            found.push(format!(
                "{key}.activity_type_ids has {id}, which is no activity type that this source is known to send"
            ));
        }
    }
    found
}

/// Whether the pattern is meant for custom activities, whose ids are not known.
fn is_of_custom(pattern: &Pattern) -> bool {
    pattern.as_str().starts_with("custom-")
}

/// Finds sources that write different records to the same topics.
fn disagreements(sources: &[(&SourceConfig, Vec<Known>)]) -> Vec<String> {
    let mut by_topic: BTreeMap<&str, BTreeMap<&SourceName, Choice>> = BTreeMap::new();
    for (source, types) in sources {
        for it in types.iter().filter(|it| it.is_taken) {
            by_topic.entry(&it.topic).or_default().insert(&source.name, it.choice);
        }
    }
    // By pair of sources: the topics that they disagree about, with their choices for each.
    let mut pairs: BTreeMap<(&SourceName, &SourceName), Vec<(&str, Choice, Choice)>> =
        BTreeMap::new();
    for (topic, choices) in by_topic {
        let mut all = choices.into_iter();
        let Some((first, choice)) = all.next() else { continue };
        for (other, others) in all.filter(|(_, others)| *others != choice) {
            pairs.entry((first, other)).or_default().push((topic, choice, others));
        }
    }
    let mut found = Vec::new();
    for ((one, two), topics) in pairs {
        let (topic, of_one, of_two) = topics[0];
        let more = match topics.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let differ: Vec<_> = [
            ("value", of_one.value.as_str(), of_two.value.as_str()),
            ("envelope", of_one.envelope.as_str(), of_two.envelope.as_str()),
            ("timestamp", of_one.timestamp.as_str(), of_two.timestamp.as_str()),
        ]
        .into_iter()
        .filter(|(_, a, b)| a != b)
        .map(|(key, a, b)| format!("{key} is `{a}` and `{b}`"))
        .collect();
        found.push(format!(
            "sources {one} and {two} write to the same topics ({topic}{more}), and their records differ: {}. Set \
             the same for both, or put {{source}} into topics.name",
            differ.join(", ")
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the configuration of a legacy source `leads` and one of Adobe I/O, with these settings.
    pub(super) fn config(more: &[(&str, &str)]) -> Config {
        let environment = [
            ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "b:9092"),
            ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
            ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
            ("MILLRACE_SOURCES__IO__KIND", "adobe-io"),
            ("MILLRACE_SOURCES__IO__AUTH__CLIENT_IDS", "us"),
        ];
        let all = environment.iter().chain(more).copied();
        crate::config::load(None, all).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    pub(super) fn advice(config: &Config) -> Vec<String> {
        Advice::of(config).doubts
    }

    fn selections(config: &Config) -> Vec<String> {
        Advice::of(config).selections
    }

    #[test]
    fn a_plain_configuration_needs_no_advice() {
        assert_eq!((advice(&config(&[])), selections(&config(&[]))), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_matches_no_known_type_is_named_with_what_was_probably_meant() {
        let found = advice(&config(&[
            ("MILLRACE_SOURCES__LEADS__INCLUDE__TYPES", "clicklnk,open*,custom-100077"),
            ("MILLRACE_SOURCES__IO__EXCLUDE__ACTIVITY_TYPE_IDS", "3,99998,100077"),
        ]));
        let [id, word] = &found[..] else { panic!("{found:?}") };
        assert!(word.contains("sources.leads.include.types has `clicklnk`"), "{word}");
        assert!(word.ends_with("did you mean `clicklink`?"), "{word}");
        assert!(id.contains("sources.io.exclude.activity_type_ids has 99998"), "{id}");
    }

    #[test]
    fn a_source_that_takes_nothing_is_reported() {
        let found = advice(&config(&[("MILLRACE_SOURCES__LEADS__INCLUDE__STREAMS", "user-audit")]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("sources.leads takes none of the event types"), "{found:?}");
    }

    #[test]
    fn sources_that_share_topics_and_write_other_records_are_reported() {
        let flat = ("MILLRACE_SOURCES__LEADS__VALUE", "flat");
        let found = advice(&config(&[flat]));
        let [one] = &found[..] else { panic!("{found:?}") };
        assert!(one.starts_with("sources io and leads write to the same topics ("), "{one}");
        assert!(one.contains("value is `data` and `flat`"), "{one}");
        for apart in [
            ("MILLRACE_TOPICS__NAME", "m.{source}.{type}"),
            ("MILLRACE_SOURCES__IO__EXCLUDE__STREAMS", "lead-activity"),
            ("MILLRACE_SOURCES__IO__VALUE", "flat"),
        ] {
            assert_eq!(advice(&config(&[flat, apart])), [""; 0], "{apart:?}");
        }
        let instances = [
            flat,
            ("MILLRACE_TOPICS__NAME", "m.{munchkin_id}.{type}"),
            ("MILLRACE_SOURCES__LEADS__MUNCHKIN_IDS", "111-AAA-222"),
        ];
        assert_eq!(advice(&config(&instances)).len(), 1, "the other one takes any instance");
        let other = ("MILLRACE_SOURCES__IO__MUNCHKIN_IDS", "333-BBB-444");
        assert_eq!(advice(&config(&[&instances[..], &[other]].concat())), [""; 0]);
    }

    #[test]
    fn a_selection_says_how_much_it_takes() {
        let some = [
            ("MILLRACE_SOURCES__LEADS__EXCLUDE__TYPES", "clicklink"),
            ("MILLRACE_SOURCES__LEADS__MUNCHKIN_IDS", "111-AAA-222"),
        ];
        let found = selections(&config(&some));
        let [one] = &found[..] else { panic!("{found:?}") };
        let is_told = one.starts_with("sources.leads takes ")
            && one.ends_with("of the instances 111-AAA-222; left out: clicklink");
        assert!(is_told, "{one}");
    }

    /// Returns the configuration with one rule, which drops a field.
    fn with_rule(rule: &[(&str, &'static str)]) -> Config {
        let named =
            |(key, value): &(&str, &'static str)| (format!("MILLRACE_FIELDS__IP__{key}"), *value);
        let all: Vec<_> = rule.iter().chain(&[("ACTION", "drop")]).map(named).collect();
        config(&all.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>())
    }

    #[test]
    fn a_rule_on_fields_that_finds_nothing_known_is_reported_with_a_guess() {
        let ip = ("ATTRIBUTE", "Client IP Address");
        for (rule, key, meant) in [
            (&[ip, ("TYPES", "clicklnk")][..], "types has `clicklnk`", "clicklink"),
            (&[ip, ("TYPES", "lead-activty.*")], "types has `lead-activty.*`", "lead-activity.*"),
            (&[("ATTRIBUTE", "Client IP Adress")], "attribute names", "Client IP Address"),
            (&[("PATH", "attribute.Referrer URL")], "path begins with", "attributes"),
            (&[("PATH", "attributes.Refferrer URL")], "path names", "Referrer URL"),
            (&[("PATH", "primaryAttributeValu")], "path begins with", "primaryAttributeValue"),
        ] {
            let found = advice(&with_rule(rule));
            let [one] = &found[..] else { panic!("{rule:?}: {found:?}") };
            assert!(one.starts_with(&format!("fields.ip.{key}")), "{one}");
            assert!(one.ends_with(&format!("did you mean `{meant}`?")), "{one}");
        }
        let found = advice(&with_rule(&[("PATH", "attributes.Passport Number")]));
        assert_eq!(found.len(), 1, "a path is one place: {found:?}");
        let elsewhere = [("ATTRIBUTE", "Form Fields"), ("TYPES", "openemail")];
        let found = advice(&with_rule(&elsewhere));
        assert_eq!(found.len(), 1, "other types have it: {found:?}");
    }

    #[test]
    fn a_rule_on_fields_that_may_find_something_needs_no_advice() {
        for rule in [
            &[("ATTRIBUTE", "client_ip_address")][..],
            &[("ATTRIBUTE", "userId")],
            &[("ATTRIBUTE", "Form Fields"), ("TYPES", "fill*,lead-activity.custom-100077")],
            &[("ATTRIBUTE", "Shoe Size"), ("TYPES", "custom-100077")],
            &[("PATH", "attributes.Referrer URL"), ("TYPES", "clicklink")],
            &[("PATH", "attributes")],
            &[("PATH", "campaignId")],
            &[("ATTRIBUTE", "Passport Number")],
            &[("ATTRIBUTE", "Passport Number"), ("TYPES", "changedatavalue")],
            &[("PATH", "event action.what")],
        ] {
            assert_eq!(advice(&with_rule(rule)), [""; 0], "{rule:?}");
        }
    }

    #[test]
    fn each_rule_on_fields_says_what_it_covers() {
        let rule = [("ATTRIBUTE", "Client IP Address"), ("TYPES", "clicklink,openemail")];
        assert_eq!(
            Advice::of(&with_rule(&rule)).rules,
            ["fields.ip drops a field that 1 of the 2 known event types it is for has: clicklink"]
        );
        let changed = [("ATTRIBUTE", "Passport Number"), ("TYPES", "changedatavalue")];
        assert_eq!(
            Advice::of(&with_rule(&changed)).rules,
            [
                "fields.ip drops a field that 0 of the 1 known event types it is for has; and the values of changes of \
              a lead's field of that name"
            ]
        );
        let custom = [("ATTRIBUTE", "Shoe Size"), ("TYPES", "custom-*")];
        let rules = Advice::of(&with_rule(&custom)).rules;
        assert!(rules[0].contains("custom activities, of which no list says"), "{rules:?}");
    }
}
