//! Topic names: a template such as `marketo.{stream}.{type}`, filled in for each event.
//!
//! The placeholders are those of [`Part`]. The name is one that Kafka accepts, whatever a sender wrote into the event:
//! characters outside `[a-zA-Z0-9._-]` of a value become `-` (case is kept: topic names differ by case, and so do
//! munchkin ids as they are written), an empty or missing value is `none`, and a name of more than [`NAME_LIMIT`]
//! characters is cut and ends in a hash of the whole, so that two long names stay two topics. A name that is one of the
//! program's own topics (its checkpoints, dead letters, lead states, ids, test deliveries) gets a `-` behind it: a sender chooses types,
//! and must not write there.

use std::fmt::{self, Write};

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    event::{Event, Stream},
    source::SourceName,
};

/// The longest name that Kafka accepts.
pub const NAME_LIMIT: usize = 249;

/// A mistake in a template. Positions are bytes from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("it is empty")]
    Empty,
    #[error("`{placeholder}` at {position} is not a known placeholder")]
    UnknownPlaceholder { position: usize, placeholder: String },
    #[error("the brace at {position} is never closed")]
    Unclosed { position: usize },
    #[error("`{character}` at {position} is not allowed in a topic name")]
    IllegalCharacter { position: usize, character: char },
    #[error("`{name}` is not a valid topic name")]
    Reserved { name: String },
    #[error(
        "{length} characters of fixed text are too many: a topic name has at most {NAME_LIMIT}"
    )]
    TooLong { length: usize },
}

/// Whether Kafka takes `name` as the name of a topic.
pub fn is_topic_name(name: &str) -> bool {
    (1..=NAME_LIMIT).contains(&name.len()) && name.chars().all(is_legal) && !is_reserved(name)
}

/// Names topics after one template.
#[derive(Clone)]
pub struct Router {
    parts: Vec<Part>,
    /// Topics that no event goes to.
    own: Vec<String>,
}

/// Shows the template alone. A checkpoint keeps this text as the routing of its events, and another name of one of our
/// own topics changes the topic of no event.
impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("parts", &self.parts).finish()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Stream,
    Type,
    Source,
    MunchkinId,
    ActivityTypeId,
}

impl Part {
    fn placeholder(spelled: &str) -> Option<Self> {
        Some(match spelled {
            "{stream}" => Self::Stream,
            "{type}" => Self::Type,
            "{source}" => Self::Source,
            "{munchkin_id}" => Self::MunchkinId,
            "{activity_type_id}" => Self::ActivityTypeId,
            _ => return None,
        })
    }
}

impl Router {
    pub fn new(template: &str) -> Result<Self, TemplateError> {
        if template.is_empty() {
            return Err(TemplateError::Empty);
        }
        let mut parts = Vec::new();
        let mut position = 0;
        while position < template.len() {
            let rest = &template[position..];
            let length = if rest.starts_with('{') {
                let end = rest.find('}').ok_or(TemplateError::Unclosed { position })? + 1;
                let placeholder = &rest[..end];
                parts.push(Part::placeholder(placeholder).ok_or_else(|| {
                    TemplateError::UnknownPlaceholder { position, placeholder: placeholder.into() }
                })?);
                end
            } else {
                let literal = &rest[..rest.find('{').unwrap_or(rest.len())];
                if let Some((at, character)) = literal.char_indices().find(|(_, c)| !is_legal(*c)) {
                    let position = position + at;
                    return Err(TemplateError::IllegalCharacter { position, character });
                }
                parts.push(Part::Literal(literal.into()));
                literal.len()
            };
            position += length;
        }
        let length =
            parts.iter().map(|part| if let Part::Literal(l) = part { l.len() } else { 0 }).sum();
        match parts.as_slice() {
            [Part::Literal(name)] if is_reserved(name) => {
                Err(TemplateError::Reserved { name: name.clone() })
            }
            [Part::Literal(_)] if length <= NAME_LIMIT => Ok(Self { parts, own: Vec::new() }),
            // A placeholder adds at least one character.
            _ if length >= NAME_LIMIT => Err(TemplateError::TooLong { length }),
            _ => Ok(Self { parts, own: Vec::new() }),
        }
    }

    /// Returns this router with `own` topics, to which it sends no event.
    pub fn apart_from<'t>(self, own: impl IntoIterator<Item = &'t str>) -> Self {
        Self { own: own.into_iter().map(String::from).collect(), ..self }
    }

    /// The topic of `event`, written into `buffer`.
    pub fn topic<'b>(
        &self,
        source: &SourceName,
        event: &Event<'_>,
        buffer: &'b mut String,
    ) -> &'b str {
        buffer.clear();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => buffer.push_str(literal),
                Part::Stream => buffer.push_str(event.stream.as_str()),
                Part::Type => push_value(buffer, &event.event_type),
                Part::Source => buffer.push_str(source.as_str()),
                Part::MunchkinId => {
                    push_value(buffer, event.munchkin_id.as_deref().unwrap_or_default());
                }
                Part::ActivityTypeId => match event.activity_type_id {
                    Some(id) => write!(buffer, "{id}").expect("a String takes any text"),
                    None => push_value(buffer, ""),
                },
            }
        }
        if buffer.len() > NAME_LIMIT {
            shorten(buffer);
        } else if is_reserved(buffer) {
            // Only a value made of dots alone leads here.
            *buffer = buffer.replace('.', "-");
        }
        while self.own.contains(buffer) {
            buffer.push('-');
            if buffer.len() > NAME_LIMIT {
                shorten(buffer);
            }
        }
        buffer
    }

    /// Whether an event of one of `sources` may go to the topic `name`. A `true` may be wrong, a `false` is not: only
    /// the end of a shortened name is known.
    pub fn may_name<'s>(
        &self,
        name: &str,
        sources: impl Iterator<Item = &'s SourceName> + Clone,
    ) -> bool {
        let is_cut = name.len() == NAME_LIMIT && name.starts_with(self.literal_prefix());
        // The replacement for a name of dots alone has other characters.
        is_cut || may_be(&self.parts, name, sources)
    }

    /// The fixed text at the beginning of each topic of this template; empty when it begins with a placeholder.
    pub fn literal_prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            _ => "",
        }
    }
}

/// Whether `parts`, filled in, may spell `rest`.
fn may_be<'s>(
    parts: &[Part],
    rest: &str,
    sources: impl Iterator<Item = &'s SourceName> + Clone,
) -> bool {
    let Some((part, parts)) = parts.split_first() else { return rest.is_empty() };
    let begins = |text: &str| {
        let behind = rest.strip_prefix(text);
        behind.is_some_and(|behind| may_be(parts, behind, sources.clone()))
    };
    // Tries each length of the matching prefix, from 1: an empty value is written `none`.
    let made_of = |is_part: fn(u8) -> bool| {
        let length = rest.bytes().take_while(|byte| is_part(*byte)).count();
        (1..=length).any(|end| may_be(parts, &rest[end..], sources.clone()))
    };
    match part {
        Part::Literal(literal) => begins(literal),
        Part::Stream => Stream::ALL.iter().any(|stream| begins(stream.as_str())),
        Part::Type => {
            made_of(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        }
        Part::Source => sources.clone().any(|source| begins(source.as_str())),
        Part::MunchkinId => made_of(|byte| is_legal(char::from(byte))),
        Part::ActivityTypeId => {
            begins("none") || made_of(|byte| byte.is_ascii_digit() || byte == b'-')
        }
    }
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Names that Kafka refuses although their characters are legal.
fn is_reserved(name: &str) -> bool {
    matches!(name, "." | "..")
}

fn push_value(buffer: &mut String, value: &str) {
    if value.is_empty() {
        buffer.push_str("none");
    }
    if value.bytes().all(|byte| is_legal(char::from(byte))) {
        buffer.push_str(value);
    } else {
        buffer.extend(value.chars().map(|c| if is_legal(c) { c } else { '-' }));
    }
}

/// Cuts a name of legal (so single-byte) characters to the limit, a hash of the whole at its end.
fn shorten(name: &mut String) {
    let hash = digest(&SHA256, name.as_bytes());
    name.truncate(NAME_LIMIT - 1 - 16);
    name.push('-');
    for byte in &hash.as_ref()[..8] {
        write!(name, "{byte:02x}").expect("a String takes any text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, Pieces};

    fn event<'a>(munchkin_id: &'a str, event_type: &'a str) -> Event<'a> {
        Event {
            index: 0,
            stream: Stream::LeadActivity,
            event_type: event_type.into(),
            munchkin_id: Some(munchkin_id.into()),
            activity_type_id: Some(3),
            key: None,
            attributes: Attributes::default(),
            headers: Vec::new(),
            value: Pieces::default(),
            original: b"",
            members: None,
            lead_state: None,
        }
    }

    fn topic(template: &str, event: &Event<'_>) -> String {
        let source = SourceName::new("leads").unwrap();
        // The earlier content of the buffer does not matter.
        let mut buffer = "left over".to_string();
        Router::new(template).unwrap().topic(&source, event, &mut buffer).to_string()
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        let event = event("999-XYZ-000", "clicklink");
        assert_eq!(topic("marketo.{stream}.{type}", &event), "marketo.lead-activity.clicklink");
        assert_eq!(
            topic("{source}_{munchkin_id}.{activity_type_id}-x", &event),
            "leads_999-XYZ-000.3-x"
        );
        assert_eq!(topic("all", &event), "all");
    }

    #[test]
    fn what_a_sender_writes_can_not_make_an_illegal_name() {
        let mut event = event("9/ü\n{x}", "");
        assert_eq!(topic("m.{munchkin_id}.{type}", &event), "m.9----x-.none");
        event.munchkin_id = None;
        event.activity_type_id = None;
        assert_eq!(topic("m.{munchkin_id}.{activity_type_id}", &event), "m.none.none");
    }

    #[test]
    fn no_topic_is_called_dot_or_dot_dot() {
        assert_eq!(topic("{munchkin_id}", &event(".", "")), "-");
        assert_eq!(topic("{munchkin_id}", &event("..", "")), "--");
        assert_eq!(topic("{munchkin_id}.", &event(".", "")), "--");
        assert_eq!(topic("{munchkin_id}", &event("...", "")), "...");
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_and_stays_distinct() {
        let long = "m".repeat(NAME_LIMIT);
        assert_eq!(topic("{munchkin_id}", &event(&long, "")), long);
        let first = topic("a.{munchkin_id}.{type}", &event(&long, "one"));
        let second = topic("a.{munchkin_id}.{type}", &event(&long, "two"));
        assert_eq!((first.len(), second.len()), (NAME_LIMIT, NAME_LIMIT));
        assert_ne!(first, second);
        // The name must stay the same from release to release.
        assert!(first.ends_with("mmm-1745ba9a94ed457a"), "{first}");
        assert!(first.starts_with("a.mmm"));
    }

    #[test]
    fn a_mistake_in_a_template_is_named_with_its_place() {
        let error = |template: &str| Router::new(template).unwrap_err();
        assert_eq!(error(""), TemplateError::Empty);
        assert_eq!(
            error("marketo.{typ}"),
            TemplateError::UnknownPlaceholder { position: 8, placeholder: "{typ}".into() }
        );
        assert_eq!(error("m.{stream}.{type"), TemplateError::Unclosed { position: 11 });
        assert_eq!(
            error("m.{stream}}"),
            TemplateError::IllegalCharacter { position: 10, character: '}' }
        );
        assert_eq!(
            error("m/{stream}"),
            TemplateError::IllegalCharacter { position: 1, character: '/' }
        );
        assert_eq!(error(".."), TemplateError::Reserved { name: "..".into() });
        let long = "m".repeat(NAME_LIMIT);
        assert!(Router::new(&long).is_ok());
        let length = NAME_LIMIT;
        assert_eq!(error(&format!("{long}{{type}}")), TemplateError::TooLong { length });
        let length = NAME_LIMIT + 1;
        assert_eq!(error(&format!("{long}m")), TemplateError::TooLong { length });
        assert_eq!(error("marketo.{typ}").to_string(), "`{typ}` at 8 is not a known placeholder");
    }

    #[test]
    fn no_event_goes_to_a_topic_of_our_own_whatever_its_type_is_called() {
        let own = ["m.checkpoints", "m.checkpoints-"];
        let template = Router::new("m.{type}").unwrap();
        let routing = format!("{template:?}");
        let router = template.apart_from(own);
        let source = SourceName::new("leads").unwrap();
        let topic = |event_type| {
            router.topic(&source, &event("999-XYZ-000", event_type), &mut String::new()).to_owned()
        };
        assert_eq!(topic("checkpoints"), "m.checkpoints--");
        assert_eq!(topic("clicklink"), "m.clicklink");
        assert_eq!(format!("{router:?}"), routing, "checkpoints of before stay good");
    }

    #[test]
    fn a_topic_is_what_kafka_takes() {
        for name in ["marketo.dead-letter", "A_1", "...", &"a".repeat(NAME_LIMIT)] {
            assert!(is_topic_name(name), "{name}");
        }
        for name in ["", ".", "..", "a b", "ä", "{type}", &"a".repeat(NAME_LIMIT + 1)] {
            assert!(!is_topic_name(name), "{name}");
        }
    }

    #[test]
    fn a_name_that_events_may_have_is_told_from_one_that_none_has() {
        let sources = [SourceName::new("leads").unwrap()];
        let may = |template: &str| {
            Router::new(template).unwrap().may_name("marketo.lead-state", sources.iter())
        };
        for template in [
            "marketo.lead-state",
            "marketo.{type}",
            "{munchkin_id}",
            "marketo.{munchkin_id}",
            "marketo.{munchkin_id}-{type}",
            "{munchkin_id}.lead-state",
        ] {
            assert!(may(template), "{template}");
        }
        for template in [
            "marketo.{stream}.{type}",
            "marketo.{stream}",
            "marketo.{source}",
            "marketo.{activity_type_id}",
            "marketo",
            "marketo.lead-state.{type}",
            "{munchkin_id}.{stream}",
        ] {
            assert!(!may(template), "{template}");
        }
        let of_a_source = Router::new("x.{source}-{type}").unwrap();
        assert!(of_a_source.may_name("x.leads-a", sources.iter()));
        assert!(!of_a_source.may_name("x.others-a", sources.iter()));
        let long = "m".repeat(NAME_LIMIT);
        assert!(Router::new("m{type}").unwrap().may_name(&long, sources.iter()));
    }

    #[test]
    fn the_literal_prefix_is_what_all_topics_begin_with() {
        let prefix = |template: &str| Router::new(template).unwrap().literal_prefix().to_string();
        assert_eq!(prefix("marketo.{stream}.{type}"), "marketo.");
        assert_eq!(prefix("{source}.x"), "");
        assert_eq!(prefix("one"), "one");
    }
}
