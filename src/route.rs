//! Which topic an event goes to: a template, filled in.
//!
//! `marketo.{stream}.{type}` with the placeholders [`PLACEHOLDERS`]. Whatever the sender put into an
//! event, the name is one that Kafka accepts: characters outside `[a-zA-Z0-9._-]` of a value become
//! `-` (case is kept: topic names differ by case, and so do munchkin ids as they are written), an
//! empty or missing value is `none`, and a name of more than [`NAME_LIMIT`] characters is cut and
//! ends in a hash of the whole, so that two long names stay two topics.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::{delivery::SourceName, event::Event};

/// The longest name that Kafka accepts.
pub const NAME_LIMIT: usize = 249;

/// What a template may hold beside literal characters.
pub const PLACEHOLDERS: [&str; 5] =
    ["{stream}", "{type}", "{source}", "{munchkin_id}", "{activity_type_id}"];

/// Why a text is no template. Positions are bytes from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the template is empty: expected text and {}", allowed())]
    Empty,
    #[error("`{placeholder}` at {position} is unknown: expected one of {}", allowed())]
    UnknownPlaceholder { position: usize, placeholder: String },
    #[error("`{{` at {position} is never closed: expected one of {}", allowed())]
    Unclosed { position: usize },
    #[error(
        "`{character}` at {position} can't be part of a topic's name: expected letters, digits, `.`, `_`, `-` and {}",
        allowed()
    )]
    IllegalCharacter { position: usize, character: char },
    #[error("`{name}` can't be the name of a topic")]
    Reserved { name: String },
    #[error("{length} characters of text leave no room: a topic's name has at most {NAME_LIMIT}")]
    TooLong { length: usize },
}

fn allowed() -> String {
    PLACEHOLDERS.join(", ")
}

/// Names topics after one template.
#[derive(Clone, Debug)]
pub struct Router {
    parts: Vec<Part>,
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
            [Part::Literal(_)] if length <= NAME_LIMIT => Ok(Self { parts }),
            _ if length >= NAME_LIMIT => Err(TemplateError::TooLong { length }),
            _ => Ok(Self { parts }),
        }
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
        buffer
    }

    /// What every topic of this template begins with; empty when it begins with a placeholder.
    pub fn literal_prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            _ => "",
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
    buffer.extend(value.chars().map(|c| if is_legal(c) { c } else { '-' }));
}

/// Cuts a name of legal (so single-byte) characters to the limit, a hash of the whole at its end.
fn shorten(name: &mut String) {
    let hash = Sha256::digest(name.as_bytes());
    name.truncate(NAME_LIMIT - 1 - 16);
    name.push('-');
    for byte in &hash[..8] {
        write!(name, "{byte:02x}").expect("a String takes any text");
    }
}
