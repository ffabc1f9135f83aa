//! An event's data as the bytes that it is.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::event::{Coding, Pieces};

/// The bytes of an event's value, joined in `buffer` unless they are one piece already.
pub fn spell<'b>(value: &'b Pieces<'b>, buffer: &'b mut Vec<u8>) -> &'b [u8] {
    buffer.clear();
    match (value.coding(), value.as_slice()) {
        (_, []) => &[],
        (Coding::Plain, [whole]) => whole,
        (Coding::Plain, parts) => {
            buffer.reserve(value.size());
            parts.iter().for_each(|part| buffer.extend_from_slice(part));
            buffer
        }
        (Coding::JsonString, parts) => {
            buffer.extend_from_slice(text_of(parts).as_bytes());
            buffer
        }
        (Coding::Base64, parts) => {
            let decoded = STANDARD.decode_vec(text_of(parts), buffer);
            decoded.expect("it was decoded once, or it would be no event");
            buffer
        }
    }
}

/// The unescaped text of the JSON string in `parts`.
fn text_of(parts: &[&[u8]]) -> String {
    serde_json::from_slice(&parts.concat()).expect("it was read once, or it would be no event")
}
