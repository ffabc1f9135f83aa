//! The choice among several rules on one field.

use super::Rule;

/// The stricter of `found` and `rule`; of equally strict ones the first.
pub(super) fn stricter<'r>(found: Option<&'r Rule>, rule: &'r Rule) -> Option<&'r Rule> {
    match found {
        Some(found) if found.action.strictness() >= rule.action.strictness() => Some(found),
        _ => Some(rule),
    }
}

/// The strictest of the fitting rules; of equally strict ones the first.
pub(super) trait Strictest<'r> {
    fn strictest(self, fits: impl Fn(&(&'r Rule, &'r str)) -> bool) -> Option<&'r Rule>;
}

impl<'r, 'i, I: Iterator<Item = &'i (&'r Rule, &'r str)>> Strictest<'r> for I
where
    'r: 'i,
{
    fn strictest(self, fits: impl Fn(&(&'r Rule, &'r str)) -> bool) -> Option<&'r Rule> {
        self.filter(|it| fits(it)).fold(None, |found, (rule, _)| stricter(found, rule))
    }
}
