//! One rule: its field, its events, and its action.

use super::{Encoding, HmacKey};
use crate::{event::Stream, source::SourceName};

/// A rule of `[fields]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name in the configuration.
    pub name: String,
    pub target: Target,
    /// Empty for all.
    pub sources: Vec<SourceName>,
    /// Empty for all.
    pub types: Vec<TypePattern>,
    pub action: Action,
}

/// The change of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is removed.
    Drop,
    /// Its value is [`super::MASK`].
    Mask,
    /// Its value is the HMAC-SHA256 of the original value.
    Hmac(HmacKey, Encoding),
}

impl Action {
    /// Rank of the action: of two rules on one field the stricter one counts.
    pub(super) fn strictness(&self) -> u8 {
        match self {
            Self::Drop => 2,
            Self::Mask => 1,
            Self::Hmac(..) => 0,
        }
    }
}

/// Effect of a rule on a field of all events, or of those of one type, for schemas. The later variant counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It may be text, or its original type.
    MayBeText,
    /// It is text.
    Text,
    /// It is missing.
    Absent,
}

/// The field of a rule. Names are folded: letters and digits alone, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Member by member, from the top of the event's data. An array stands for each of its elements, and an element
    /// with a `name` is found by it: `attributes.Client IP Address`.
    Path(Vec<String>),
    /// A name at any depth: an element of `attributes`, a member of the data, and an attribute of the
    /// CloudEvent except those that CloudEvents itself needs.
    Attribute(String),
}

/// The reason why a text names no field that may be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("which has no letter and no digit in one of its names")]
    Nameless,
    #[error(
        "which the event's {0} is made of: without it records would lose their order or their identity"
    )]
    Needed(&'static str),
}

/// Members that decoding reads at the top of the data, and their use.
const NEEDED_MEMBERS: [(&str, &str); 8] = [
    ("munchkinid", "key and topic"),
    ("leadid", "key"),
    ("componentid", "key"),
    ("componenttype", "key"),
    ("marketoguid", "id"),
    ("activitytypeid", "type"),
    ("activitytype", "type"),
    ("activitydate", "time"),
];

/// Attributes of the envelope that no rule by name reaches.
pub(super) const OF_THE_ENVELOPE: [&str; 9] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "datacontenttype",
    "dataschema",
    "eventid",
    "recipientclientid",
];

/// Attributes of the envelope whose names no attribute of Marketo's can have.
const OF_CLOUD_EVENTS: [&str; 5] =
    ["specversion", "datacontenttype", "dataschema", "eventid", "recipientclientid"];

impl Target {
    /// Names with dots between them.
    pub fn path(text: &str) -> Result<Self, TargetError> {
        let names: Vec<_> = text.split('.').map(folded).collect();
        if names.iter().any(String::is_empty) {
            return Err(TargetError::Nameless);
        }
        if let [one] = &names[..] {
            needed(one)?;
        }
        Ok(Self::Path(names))
    }

    /// The name of an attribute.
    pub fn attribute(text: &str) -> Result<Self, TargetError> {
        let name = folded(text);
        if name.is_empty() {
            return Err(TargetError::Nameless);
        }
        needed(&name)?;
        if OF_CLOUD_EVENTS.contains(&&*name) {
            return Err(TargetError::Needed("CloudEvent"));
        }
        Ok(Self::Attribute(name))
    }

    /// Whether it names the member of the data with the name `written`, or (with `is_attribute`) an element of
    /// `attributes`.
    pub(super) fn names(&self, written: &str, is_attribute: bool) -> bool {
        match self {
            Self::Attribute(name) => is_called(written, name),
            Self::Path(names) => match (&names[..], is_attribute) {
                ([name], false) => is_called(written, name),
                ([name], true) => name == ATTRIBUTES,
                ([first, name], true) => first == ATTRIBUTES && is_called(written, name),
                _ => false,
            },
        }
    }
}

/// The folded name of the member with the attributes.
pub(super) const ATTRIBUTES: &str = "attributes";

fn needed(name: &str) -> Result<(), TargetError> {
    match NEEDED_MEMBERS.iter().find(|(needed, _)| *needed == name) {
        Some((_, what)) => Err(TargetError::Needed(what)),
        None => Ok(()),
    }
}

/// A name reduced to the characters that are compared.
pub fn folded(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether the folded form of `name` is `folded`.
pub(super) fn is_called(name: &str, folded: &str) -> bool {
    let counts = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
    counts.eq(folded.chars())
}

/// Types of events: `clicklink`, `custom-*`, or with their stream `lead-activity.*`. A `*` at the end stands for any
/// text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypePattern(String);

impl TypePattern {
    /// `None` if no type can have this name.
    pub fn new(text: &str) -> Option<Self> {
        let fixed = text.strip_suffix('*').unwrap_or(text);
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        let is_one = !text.is_empty() && fixed.bytes().all(legal);
        (is_one && fixed.matches('.').count() < 2).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, stream: Stream, event_type: &str) -> bool {
        let of_type = match self.0.split_once('.') {
            Some((of_stream, _)) if of_stream != stream.as_str() => return false,
            Some((_, of_type)) => of_type,
            None => &self.0,
        };
        match of_type.strip_suffix('*') {
            Some(beginning) => event_type.starts_with(beginning),
            None => event_type == of_type,
        }
    }
}

impl Rule {
    pub fn is_for_source(&self, source: &SourceName) -> bool {
        self.sources.is_empty() || self.sources.contains(source)
    }

    pub fn is_for_type(&self, stream: Stream, event_type: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|it| it.matches(stream, event_type))
    }

    /// The error of an event that is held back.
    pub(super) fn cannot(&self, why: &str) -> String {
        format!("the rule fields.{} cannot be applied: {why}", self.name)
    }

    /// Effect on its field in schemas; `None` if it is not certain.
    pub(super) fn effect(&self, stream: Stream, event_type: Option<&str>) -> Option<Effect> {
        let is_certain = match event_type {
            Some(event_type) if self.is_for_type(stream, event_type) => true,
            Some(_) => return None,
            None => self.types.is_empty(),
        };
        match (&self.action, is_certain) {
            (Action::Drop, true) => Some(Effect::Absent),
            (Action::Drop, false) => None,
            (Action::Mask | Action::Hmac(..), true) => Some(Effect::Text),
            (Action::Mask | Action::Hmac(..), false) => Some(Effect::MayBeText),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_types_and_with_its_stream_for_those_of_one() {
        let matches = |pattern: &str, stream, event_type: &str| {
            TypePattern::new(pattern).unwrap().matches(stream, event_type)
        };
        let lead = Stream::LeadActivity;
        for (pattern, event_type) in [
            ("*", "a"),
            ("clicklink", "clicklink"),
            ("custom-*", "custom-100001"),
            ("lead-activity.*", "a"),
        ] {
            assert!(matches(pattern, lead, event_type), "{pattern} {event_type}");
        }
        for (pattern, event_type) in [
            ("clicklink", "clicklinks"),
            ("custom-*", "clicklink"),
            ("user-audit.*", "a"),
            ("user-audit.a", "a"),
        ] {
            assert!(!matches(pattern, lead, event_type), "{pattern} {event_type}");
        }
        for text in ["", "A", "a*b", "a.b.c", "ä"] {
            assert_eq!(TypePattern::new(text), None, "{text}");
        }
    }

    #[test]
    fn what_key_id_type_and_time_are_made_of_is_no_target() {
        for text in
            ["leadId", "lead_id", "MUNCHKIN ID", "marketoGUID", "activityTypeId", "componentId"]
        {
            assert!(matches!(Target::path(text), Err(TargetError::Needed(_))), "{text}");
            assert!(matches!(Target::attribute(text), Err(TargetError::Needed(_))), "{text}");
        }
        assert!(Target::attribute("event_id").is_err());
        for text in ["", "a..b", "a.", "attributes.-"] {
            assert_eq!(Target::path(text), Err(TargetError::Nameless), "{text}");
        }
        let names = vec!["attributes".to_owned(), "leadid".to_owned()];
        assert_eq!(Target::path("attributes.Lead ID"), Ok(Target::Path(names)));
    }
}
