//! Edits of a body: ranges and their replacements. Every byte between them stays the sender's.

use std::{borrow::Cow, ops::Range};

use super::{Action, Came, MASK};

/// The edits of one body.
pub(super) struct Edits {
    came: Came,
    edits: Vec<(Range<usize>, Cow<'static, str>)>,
}

/// Range of a member or an element.
pub(super) struct Span {
    pub range: Range<usize>,
    pub is_dropped: bool,
}

impl Edits {
    pub fn new(came: Came) -> Self {
        Self { came, edits: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.edits.len()
    }

    pub fn truncate(&mut self, length: usize) {
        self.edits.truncate(length);
    }

    pub fn replace(&mut self, range: Range<usize>, text: impl Into<Cow<'static, str>>) {
        self.edits.push((range, text.into()));
    }

    /// Applies `action` to the value `spelled`, which stands at `range`. A `null` says nothing, and stays.
    pub fn change(&mut self, action: &Action, spelled: &str, range: Range<usize>) {
        debug_assert!(*action != Action::Drop, "what is dropped is a span");
        if spelled == "null" {
            return;
        }
        let (key, encoding) = match action {
            Action::Drop | Action::Mask => return self.replace(range, format!("\"{MASK}\"")),
            Action::Hmac(key, encoding) => (key, *encoding),
        };
        let text = match spelled.starts_with('"') {
            // Half a surrogate pair has no text: it is signed in its spelling.
            true => serde_json::from_str::<Cow<'_, str>>(spelled).unwrap_or(Cow::Borrowed(spelled)),
            false => Cow::Borrowed(spelled),
        };
        if self.came == Came::Screened && encoding.may_have_written(&text) {
            return;
        }
        self.replace(range, format!("\"{}\"", key.sign(text.as_bytes(), encoding)));
    }

    /// Removes the dropped ones of `spans`, neighbours in one object or array, each with one comma.
    pub fn drop_of(&mut self, spans: &[Span]) {
        let mut last_kept: Option<usize> = None;
        for (place, span) in spans.iter().enumerate() {
            if !span.is_dropped {
                last_kept = Some(span.range.end);
                continue;
            }
            let range = match (last_kept, spans.get(place + 1)) {
                // The comma before it, which stands behind the last one that is kept or dropped.
                (Some(_), _) => spans[place - 1].range.end..span.range.end,
                (None, Some(next)) => span.range.start..next.range.start,
                (None, None) => span.range.clone(),
            };
            self.replace(range, "");
        }
    }

    /// Returns `body` with all edits.
    pub fn applied_to(mut self, body: &[u8]) -> Cow<'_, [u8]> {
        if self.edits.is_empty() {
            return Cow::Borrowed(body);
        }
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut changed = Vec::with_capacity(body.len() + self.edits.len() * 64);
        let mut at = 0;
        for (range, text) in &self.edits {
            changed.extend_from_slice(&body[at..range.start]);
            changed.extend_from_slice(text.as_bytes());
            at = range.end;
        }
        changed.extend_from_slice(&body[at..]);
        changed.into()
    }
}
