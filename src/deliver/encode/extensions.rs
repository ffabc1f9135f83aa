//! Which extensions of an event a record has.

use crate::event::Attributes;

/// The extensions whose names CloudEvents allows.
pub(super) fn extensions<'a>(
    attributes: &'a Attributes<'_>,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let all = attributes.extensions.iter().map(|(name, value)| (&**name, &**value));
    all.filter(|(name, _)| is_legal(name))
}

/// Whether CloudEvents allows an attribute of that name.
fn is_legal(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
