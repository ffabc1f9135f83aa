//! Compares rules on fields with the known fields: a mistyped rule finds nothing, and the field that it should hide
//! goes to Kafka. Custom activities and new types may have unknown fields, so all of this is doubt and no mistake.

use std::collections::{BTreeMap, BTreeSet};

use super::{Advice, Known, listed};
use crate::{
    config::{SourceConfig, guess},
    deliver::{
        decode::{
            Fields,
            fields::{Action, Rule, Target, TypePattern, folded},
        },
        encode::{flat::members, spell},
    },
    event::Event,
    source::SourceKind,
};

/// Folded names, each with one original spelling.
type Written = BTreeMap<String, String>;

/// The names that a type of event is known to have.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Names of members at the top of its data.
    members: Written,
    /// Names in `attributes`.
    attributes: Written,
    /// Names of extensions, outside its data.
    extensions: Written,
}

/// The folded name of the member with the attributes.
const ATTRIBUTES: &str = "attributes";

/// The folded name of the attribute with a changed field's new value.
const NEW_VALUE: &str = "newvalue";

/// Members of each attribute.
const OF_AN_ATTRIBUTE: [&str; 3] = ["name", "datatype", "value"];

impl Names {
    pub fn of(kind: SourceKind, event: &Event<'_>) -> Self {
        let mut names = Self::default();
        let mut buffer = Vec::new();
        names.read(spell(&event.value, &mut buffer));
        // There the rules apply to the sender's own bytes; around the data of a CloudEvent is its envelope.
        if kind == SourceKind::MarketoLeadActivity {
            names.read(event.original);
        }
        names.members.extend(members(event.stream).map(written));
        names.extensions =
            event.attributes.extensions.iter().map(|(name, _)| written(name)).collect();
        names
    }

    fn read(&mut self, data: &[u8]) {
        let data: serde_json::Value = serde_json::from_slice(data).unwrap_or_default();
        let Some(data) = data.as_object() else { return };
        self.members.extend(data.keys().map(|name| written(name)));
        let attributes = data.get(ATTRIBUTES).and_then(|it| it.as_array());
        let names = attributes.into_iter().flatten().filter_map(|it| it.get("name")?.as_str());
        self.attributes.extend(names.map(written));
    }

    /// Whether it may describe a change of a lead's field, with values beside the name: a rule by name covers these.
    fn may_be_a_change(&self) -> bool {
        self.attributes.contains_key(NEW_VALUE)
    }

    fn have(&self, target: &Target) -> bool {
        match target {
            Target::Attribute(name) => [&self.members, &self.attributes, &self.extensions]
                .iter()
                .any(|all| all.contains_key(name)),
            Target::Path(path) => match &path[..] {
                [first, name, ..] if first == ATTRIBUTES => {
                    self.attributes.contains_key(name) || OF_AN_ATTRIBUTE.contains(&name.as_str())
                }
                [first, ..] => self.members.contains_key(first),
                [] => false,
            },
        }
    }
}

fn written(name: &str) -> (String, String) {
    (folded(name), name.to_owned())
}

pub(super) fn advise(rules: &Fields, sources: &[(&SourceConfig, Vec<Known>)], advice: &mut Advice) {
    for rule in rules.iter() {
        let sources = sources.iter().filter(|(source, _)| rule.is_for_source(&source.name));
        let all: Vec<_> = sources.flat_map(|(_, types)| types).collect();
        advice.doubts.extend(unknown_types(rule, &all));
        let (custom, its): (Vec<&Known>, Vec<&Known>) = all
            .into_iter()
            .filter(|it| rule.is_for_type(it.stream, &it.event_type))
            .partition(|it| it.any_custom);
        let is_of_custom = rule.types.iter().any(|it| is_custom(it.as_str()));
        let finds = its.iter().any(|it| it.names.have(&rule.target));
        if !finds && !is_of_custom && !its.is_empty() {
            advice.doubts.extend(unknown_field(rule, &its));
        }
        advice.rules.push(coverage(rule, &its, is_of_custom || !custom.is_empty()));
    }
}

/// Whether a pattern is meant for custom activities, whose ids are not known.
fn is_custom(pattern: &str) -> bool {
    pattern.rsplit('.').next().is_some_and(|it| it.starts_with("custom-"))
}

fn unknown_types(rule: &Rule, all: &[&Known]) -> Vec<String> {
    let mut names: BTreeSet<String> = all.iter().map(|it| it.event_type.clone()).collect();
    names.extend(all.iter().map(|it| format!("{}.{}", it.stream.as_str(), it.event_type)));
    names.extend(all.iter().map(|it| format!("{}.*", it.stream.as_str())));
    let is_known =
        |pattern: &TypePattern| all.iter().any(|it| pattern.matches(it.stream, &it.event_type));
    let unknown = rule.types.iter().filter(|it| !is_known(it) && !is_custom(it.as_str()));
    unknown
        .map(|pattern| {
            let word = pattern.as_str();
            let guess = guess(word, names.iter().map(String::as_str));
            format!(
                "fields.{}.types has `{word}`, which matches no type that the rule's sources are known to send{}",
                rule.name,
                meant(guess)
            )
        })
        .collect()
}

/// Whether the rule may name a field of leads, whose names are not known: its values are in changes of it.
fn covers_changes(rule: &Rule, its: &[&Known]) -> bool {
    matches!(rule.target, Target::Attribute(_)) && its.iter().any(|it| it.names.may_be_a_change())
}

/// Reports that no type has the field that the rule names, unless it is probably the name of a lead's field.
fn unknown_field(rule: &Rule, its: &[&Known]) -> Option<String> {
    let gathered = |of: fn(&Names) -> &Written| -> Written {
        its.iter().flat_map(|it| of(&it.names)).map(|(a, b)| (a.clone(), b.clone())).collect()
    };
    let members = gathered(|it| &it.members);
    let attributes = gathered(|it| &it.attributes);
    let (key, what, name, near) = match &rule.target {
        Target::Attribute(name) => {
            let mut near = members;
            near.extend(attributes);
            ("attribute", "names a field", name.as_str(), near)
        }
        Target::Path(path) => match &path[..] {
            [first, name, ..] if first == ATTRIBUTES => {
                ("path", "names an attribute", name.as_str(), attributes)
            }
            path => {
                let first = path.first().map(String::as_str).unwrap_or_default();
                let below = |(name, it): (String, String)| (name, format!("{ATTRIBUTES}.{it}"));
                let mut near: Written = attributes.into_iter().map(below).collect();
                near.extend(members);
                ("path", "begins with a member", first, near)
            }
        },
    };
    let guess = guess(name, near.keys().map(String::as_str)).map(|it| near[it].as_str());
    let but = match covers_changes(rule, its) {
        true => Some(" but changes of a lead's field of that name").filter(|_| guess.is_some())?,
        false => "",
    };
    Some(format!(
        "fields.{}.{key} {what} that no event it is for is known to have, so that it may hide nothing{but}{}",
        rule.name,
        meant(guess)
    ))
}

fn meant(guess: Option<&str>) -> String {
    guess.map(|guess| format!(": did you mean `{guess}`?")).unwrap_or_default()
}

fn coverage(rule: &Rule, its: &[&Known], with_custom: bool) -> String {
    let does = match rule.action {
        Action::Drop => "drops",
        Action::Mask => "masks",
        Action::Hmac(..) => "replaces by an HMAC",
    };
    let start = format!("fields.{} {does} a field", rule.name);
    let all: BTreeSet<_> = its.iter().map(|it| it.event_type.as_str()).collect();
    let covered = its.iter().filter(|it| it.names.have(&rule.target));
    let covered: BTreeSet<_> = covered.map(|it| it.event_type.as_str()).collect();
    if all.is_empty() && with_custom {
        return format!("{start} of custom activities, of which no list says what they have");
    }
    let count = covered.len();
    let mut text =
        format!("{start} that {count} of the {} known event types it is for has", all.len());
    if count > 0 {
        text += &format!(": {}", listed(covered));
    }
    if covers_changes(rule, its) {
        text += "; and the values of changes of a lead's field of that name";
    }
    if with_custom {
        text += "; in custom activities, wherever they have it";
    }
    text
}
