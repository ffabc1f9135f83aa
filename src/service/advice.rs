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
mod tests;
