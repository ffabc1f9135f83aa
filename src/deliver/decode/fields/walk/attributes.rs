//! Attributes: objects in an array, each with a name of its own, as `{"name": …, "dataType": …, "value": …}`.

use smallvec::SmallVec;

use super::{Live, Place, Walk, behind};
use crate::deliver::decode::{
    Undecodable,
    fields::{
        Action, Rule,
        edit::Span,
        rule::is_called,
        strictest::{Strictest, stricter},
    },
    json::{Cursor, Name},
    scalar::Scalar,
};

impl<'a, 'r> Walk<'a, 'r, '_> {
    /// Reads an object in an array, which may have a name of its own. `true` if it is to be dropped.
    pub(super) fn element(
        &mut self,
        cursor: &mut Cursor<'a>,
        live: &Live<'r>,
        place: Place,
    ) -> Result<bool, Undecodable> {
        let own = self.changed.at(self.at(cursor.rest()) - self.base);
        let mut members = SmallVec::<[(Name<'a>, &'a str); 4]>::new();
        cursor.object(|cursor, name| {
            members.push((name, cursor.skip()?));
            Ok(())
        })?;
        let is = |name: &Name<'a>, known: &str| name.text().is_some_and(|it| is_called(&it, known));
        let names = members.iter().filter(|(name, _)| is(name, "name"));
        let names: SmallVec<[_; 1]> =
            names.map(|(_, spelled)| Scalar::of(Some(spelled)).text()).collect();
        let is_odd = names.is_empty() || names.iter().any(Option::is_none);
        if place == Place::Attributes && is_odd && self.looks_into_attributes(live) {
            self.hold(self.first, "an element of `attributes` has no name that is text");
        }
        // If it has two names, either may match.
        let is_called_so = |name: &str| names.iter().flatten().any(|it| is_called(it, name));
        let mut found = self.by_name.iter().strictest(|(_, name)| is_called_so(name));
        let of_value = names.iter().flatten().find_map(|name| self.changed_by(name));
        if let Some(rule) = of_value {
            found = stricter(found, rule);
        }
        let (ends, within) = behind(live, is_called_so);
        if let Some(rule) = ends.map_or(found, |rule| stricter(found, rule)) {
            return Ok(self.attribute(rule, &members));
        }
        let is_named = !is_odd;
        let around = self.about;
        self.about = own.or(around);
        let mut spans = SmallVec::<[Span; 4]>::new();
        for (name, spelled) in &members {
            let mut cursor = Cursor::new(spelled);
            let is_own = is_named && ["name", "datatype", "value"].iter().any(|it| is(name, it));
            let is_dropped = if is_own {
                // Rules by name do not apply to the members that make an attribute; a rule by path may.
                self.own_member(&mut cursor, *name, live, &within)?
            } else {
                self.member(&mut cursor, *name, live, Place::Data)?
            };
            let range = self.at(name.quoted)..self.range(spelled).end;
            spans.push(Span { range, is_dropped });
        }
        self.about = around;
        self.edits.drop_of(&spans);
        Ok(false)
    }

    /// Reads `name`, `dataType` or `value` of an attribute that no rule names.
    fn own_member(
        &mut self,
        cursor: &mut Cursor<'a>,
        name: Name<'a>,
        live: &Live<'r>,
        within: &Live<'r>,
    ) -> Result<bool, Undecodable> {
        let text = name.text().unwrap_or_default();
        let (ends, mut next) = behind(live, |name| is_called(&text, name));
        if let Some(rule) = ends {
            let spelled = cursor.skip()?;
            return Ok(self.apply(rule, spelled));
        }
        if is_called(&text, "value") {
            next.extend(within.iter().copied());
        }
        self.value(cursor, &next, Place::Data)?;
        Ok(false)
    }

    /// Applies a rule to an attribute: to all of it but its name. Its data type becomes that of the new value.
    fn attribute(&mut self, rule: &Rule, members: &[(Name<'a>, &'a str)]) -> bool {
        if rule.action == Action::Drop {
            return true;
        }
        for (name, spelled) in members {
            let Some(text) = name.text() else {
                self.hold(rule, "a name is no Unicode");
                return false;
            };
            if is_called(&text, "name") {
                continue;
            }
            let range = self.range(spelled);
            if !is_called(&text, "datatype") {
                self.edits.change(&rule.action, spelled, range);
            } else if !["\"string\"", "\"text\"", "null"].contains(spelled) {
                self.edits.replace(range, "\"string\"");
            }
        }
        false
    }
}
