//! Text that may hold JSON: an attribute that a rule names can be in it, where no edit would reach it.

use std::borrow::Cow;

use super::{Rule, rule::folded, walk::finds};

/// The rule by name whose field may be in the text of the JSON string `spelled`.
pub(super) fn found<'r>(spelled: &str, by_name: &[(&'r Rule, &'r str)]) -> Option<&'r Rule> {
    if by_name.is_empty() || !may_be_json(spelled) {
        return None;
    }
    let text: Cow<'_, str> = match serde_json::from_str(spelled) {
        Ok(text) => text,
        // Half a surrogate pair: the spelling is searched.
        Err(_) => Cow::Borrowed(spelled),
    };
    match finds(by_name, &text) {
        Some(found) => found,
        // Nearly JSON, which a reader may take for JSON.
        None => {
            let folded = folded(&text);
            by_name.iter().find(|(_, name)| folded.contains(name)).map(|(rule, _)| *rule)
        }
    }
}

/// Whether the text begins like JSON with names in it, or with an escape.
pub(super) fn may_be_json(spelled: &str) -> bool {
    let is_blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let text = spelled.get(1..).unwrap_or_default().trim_start_matches(is_blank);
    text.starts_with(['{', '[', '\\'])
}
