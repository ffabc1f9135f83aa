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
mod tests;
