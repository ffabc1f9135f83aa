//! Changes of fields: an activity names a lead's field, and has its values in members with other names.
//!
//! *Change Data Value* says `Email Address` in `primaryAttributeValue`, *Change Program Member Data* in the attribute `Attribute
//! Name`, and the earlier and the new value stand in `Old Value` and `New Value`. An operator who masks `Email Address`
//! means these values too. So a rule by name that names the changed field is a rule on them, in that object and in the
//! objects below.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::{
    Rule,
    rule::{ATTRIBUTES, is_called},
    strictest::{Strictest, stricter},
};
use crate::deliver::decode::{Undecodable, json::Cursor, scalar::Scalar};

/// Names by which an activity names the field that it is about: a member, or an attribute.
const FIELD_NAME_MEMBERS: [&str; 2] = ["primaryattributevalue", "attributename"];

/// Names of the field's values.
const FIELD_VALUE_MEMBERS: [&str; 3] = ["newvalue", "oldvalue", "changevalue"];

/// Whether `name` is that of a value whose field is named elsewhere.
pub(super) fn is_value(name: &str) -> bool {
    FIELD_VALUE_MEMBERS.iter().any(|value| is_called(name, value))
}

/// Objects about a field which a rule names, by their offset in the element.
#[derive(Default)]
pub(super) struct Changed<'r>(HashMap<usize, &'r Rule>);

impl<'r> Changed<'r> {
    /// Finds the objects in `element`, for its rules by name. Unreadable parts have none: the walk reports them.
    pub fn of(by_name: &[(&'r Rule, &'r str)], element: &str) -> Self {
        let mut found = Self::default();
        if !by_name.is_empty() {
            let mut finder = Finder { by_name, element, found: &mut found.0 };
            // Objects found before the error do no harm.
            let _ = finder.value(&mut Cursor::new(element), &mut None);
        }
        found
    }

    /// The rule on the values in the object at this offset of the element.
    pub fn at(&self, start: usize) -> Option<&'r Rule> {
        self.0.get(&start).copied()
    }
}

struct Finder<'a, 'r, 'f> {
    by_name: &'f [(&'r Rule, &'r str)],
    element: &'a str,
    found: &'f mut HashMap<usize, &'r Rule>,
}

impl<'a, 'r> Finder<'a, 'r, '_> {
    /// Reads the value at the cursor; `around` is the rule of the object whose attributes it is.
    fn value(
        &mut self,
        cursor: &mut Cursor<'a>,
        around: &mut Option<&'r Rule>,
    ) -> Result<(), Undecodable> {
        match cursor.peek() {
            Some(b'{') => self.object(cursor, around),
            Some(b'[') => cursor.array(|cursor| self.value(cursor, around)),
            _ => cursor.skip().map(drop),
        }
    }

    fn object(
        &mut self,
        cursor: &mut Cursor<'a>,
        around: &mut Option<&'r Rule>,
    ) -> Result<(), Undecodable> {
        let start = cursor.rest().as_ptr().addr() - self.element.as_ptr().addr();
        let mut own = None;
        let mut is_name = false;
        let mut values = SmallVec::<[&'a str; 1]>::new();
        cursor.object(|cursor, name| {
            let name = name.text().unwrap_or_default();
            let is = |known: &str| is_called(&name, known);
            if cursor.peek() == Some(b'"') {
                let spelled = cursor.skip()?;
                if FIELD_NAME_MEMBERS.iter().any(|known| is(known)) {
                    own = self.naming(own, spelled);
                } else if is("name") {
                    let text = Scalar::of(Some(spelled)).text().unwrap_or_default();
                    is_name |= FIELD_NAME_MEMBERS.iter().any(|known| is_called(&text, known));
                } else if is("value") {
                    values.push(spelled);
                }
                return Ok(());
            }
            match is(ATTRIBUTES) {
                true => self.value(cursor, &mut own),
                false => self.value(cursor, &mut None),
            }
        })?;
        for value in values.iter().filter(|_| is_name) {
            *around = self.naming(*around, value);
        }
        if let Some(rule) = own {
            self.found.insert(start, rule);
        }
        Ok(())
    }

    /// Returns `found`, or a stricter rule on the field that the text `spelled` names.
    fn naming(&self, found: Option<&'r Rule>, spelled: &str) -> Option<&'r Rule> {
        let text = Scalar::of(Some(spelled)).text();
        let text = text.as_deref().unwrap_or(spelled);
        match self.by_name.iter().strictest(|(_, name)| is_called(text, name)) {
            Some(rule) => stricter(found, rule),
            None => found,
        }
    }
}
