//! The name of a column as it stands in JSON, between the value before it and its own.

/// Bytes that are copied at once: a copy of a fixed size is a few instructions.
const WIDTH: usize = 40;

/// `","name":"`, with all that may be wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    whole: Box<str>,
    /// The same with zeros behind it, where it is short enough.
    padded: Option<Box<[u8; WIDTH + Before::First as usize]>>,
}

/// The kind of text before a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// A text, which has no quote at its end yet.
    Text,
    /// Another value.
    Value,
    /// Nothing: it is the first of its object.
    First,
}

impl Label {
    /// The label of a name that needs no escapes.
    pub fn new(name: &str) -> Self {
        let whole = format!("\",\"{name}\":\"").into_boxed_str();
        let mut padded = Box::new([0; WIDTH + Before::First as usize]);
        let is_short = whole.len() <= WIDTH;
        if is_short {
            padded[..whole.len()].copy_from_slice(whole.as_bytes());
        }
        Self { whole, padded: is_short.then_some(padded) }
    }

    /// Writes the name behind what is in `out`; before a text with the text's first quote.
    pub fn write(&self, before: Before, is_text: bool, out: &mut Vec<u8>) {
        let start = before as usize;
        let end = self.whole.len() - usize::from(!is_text);
        let wide = self.padded.as_deref().and_then(|padded| padded[start..].first_chunk::<WIDTH>());
        match wide {
            Some(wide) => {
                let at = out.len();
                out.extend_from_slice(wide);
                out.truncate(at + end - start);
            }
            None => out.extend_from_slice(&self.whole.as_bytes()[start..end]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_what_stands_around_it_wants() {
        for name in ["id", "a_name_of_30_bytes_and_some_more", &"long_".repeat(12)] {
            let label = Label::new(name);
            for (before, is_text, expected) in [
                (Before::First, true, format!("{{\"{name}\":\"")),
                (Before::First, false, format!("{{\"{name}\":")),
                (Before::Value, true, format!("{{,\"{name}\":\"")),
                (Before::Text, false, format!("{{\",\"{name}\":")),
            ] {
                let mut out = b"{".to_vec();
                label.write(before, is_text, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }
}
