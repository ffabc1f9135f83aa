//! `topics.value`, `topics.envelope` and `topics.timestamp`, for all topics, below a source, and below a pattern in
//! `topics.values`: the form of records.

use std::collections::BTreeMap;

use super::{
    Config, SourceConfig,
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
};
use crate::deliver::{
    decode::Catalog,
    encode::{
        Mode,
        choice::{Choice, Choices, PartialChoice, Pattern, Surrounding, Timestamp, ValueForm},
        flat::{Scope, Shapes},
    },
};

/// Reads the form for all topics.
pub(super) fn read(reading: &mut Reading, section: &mut Section, choice: &mut Choice) {
    reading.set_choice(section, "value", &ValueForm::ALL, ValueForm::as_str, &mut choice.value);
    let envelope = &mut choice.envelope;
    reading.set_choice(section, "envelope", &Surrounding::ALL, Surrounding::as_str, envelope);
    let timestamp = &mut choice.timestamp;
    reading.set_choice(section, "timestamp", &Timestamp::ALL, Timestamp::as_str, timestamp);
}

/// Reads the form for some topics.
pub(super) fn read_partial(reading: &mut Reading, section: &mut Section) -> PartialChoice {
    PartialChoice {
        value: reading
            .optional_choice(section, "value", &ValueForm::ALL, ValueForm::as_str)
            .flatten(),
        envelope: reading
            .optional_choice(section, "envelope", &Surrounding::ALL, Surrounding::as_str)
            .flatten(),
        timestamp: reading
            .optional_choice(section, "timestamp", &Timestamp::ALL, Timestamp::as_str)
            .flatten(),
    }
}

/// Reads `topics.values.<pattern>`.
pub(super) fn read_patterns(
    reading: &mut Reading,
    topics: &mut Section,
) -> BTreeMap<Pattern, PartialChoice> {
    let mut patterns = BTreeMap::new();
    let mut section = reading.section(topics, "values");
    for name in section.names() {
        let mut one = reading.section(&mut section, &name);
        let key = one.key.clone();
        let choice = read_partial(reading, &mut one);
        reading.end(one);
        match Pattern::new(&name) {
            Some(pattern) => _ = patterns.insert(pattern, choice),
            None => {
                let remedy = "Write letters, digits, `.`, `_`, `-`, and `*` for any characters.";
                reading.mistakes.at(&key, "is no pattern for names of topics", remedy);
            }
        }
    }
    patterns
}

/// Returns the places where a form can be written: the key, the form as written there, and the resulting form.
fn places(config: &Config) -> Vec<(Key, PartialChoice, Choice)> {
    let all = config.topics.choice;
    let written = PartialChoice {
        value: Some(all.value),
        envelope: Some(all.envelope),
        timestamp: Some(all.timestamp),
    };
    let mut places = vec![(Key::new("topics"), written, all)];
    places.extend(config.sources.iter().map(|source| {
        let key = Key::of(&["sources", source.name.as_str()]);
        (key, source.choice, source.choice.over(all))
    }));
    places.extend(config.topics.values.iter().map(|(pattern, choice)| {
        let key = Key::of(&["topics", "values", pattern.as_str()]);
        (key, *choice, choice.over(all))
    }));
    places
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let places = places(config);
    let is_flat = |choice: &Choice| choice.value == ValueForm::Flat;
    let is_any_flat = places.iter().any(|(_, _, choice)| is_flat(choice));
    for (key, written, choice) in &places {
        if config.topics.mode == Mode::Structured && written.value == Some(ValueForm::Flat) {
            let problem = "is `flat`, and topics.mode is `structured`: a record's value would be the \
                           CloudEvent, which is not flat";
            let remedy = "Set topics.mode to `binary`, or take this away.";
            mistakes.at(&key.child("value"), problem, remedy);
        }
        // The envelope of all topics applies wherever a value is flat; a pattern without a value takes any source's.
        let is_of_source = key.segments().first().is_some_and(|first| first == "sources");
        let has_flat = match written.value {
            Some(value) if *key != Key::new("topics") => value == ValueForm::Flat,
            _ if is_of_source => is_flat(choice),
            _ => is_any_flat,
        };
        if written.envelope == Some(Surrounding::Connect) && !has_flat {
            let problem = "is `connect`, and the value is `data`, which has no schema";
            mistakes.at(&key.child("envelope"), problem, "Set value to `flat`, or take this away.");
        }
    }
}

impl Config {
    /// Whether a record of `source` may have a flat value.
    pub(super) fn has_flat_values(&self, source: &SourceConfig) -> bool {
        let of_source = source.choice.over(self.topics.choice);
        let of_patterns = self.topics.values.values().map(|choice| choice.over(of_source));
        of_patterns.chain([of_source]).any(|choice| choice.value == ValueForm::Flat)
    }

    /// Returns the forms of the records of `source`; `catalog` is the source's.
    pub fn choices(&self, source: &SourceConfig, catalog: &Catalog) -> Choices {
        let scope = Scope::of_template(&self.topics.name);
        Choices::new(source.choice.over(self.topics.choice), self.topics.values.clone(), || {
            let fields = self.fields.rules.of(&source.name);
            Shapes::new(scope, catalog, &source.described_types, &fields)
        })
    }
}
