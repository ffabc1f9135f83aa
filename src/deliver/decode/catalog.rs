//! The activity types: the CloudEvents type and the event type of each `activityTypeId`.
//!
//! The id decides; names drift between documents and languages and are asked only for an id
//! that is not listed here. The built-in list has the types that Adobe names for its streams and
//! the few that only the REST API names; ids that it lacks are valid.
//!
//! Both forms of an activity are named by this list. Adobe I/O's form has a type already: it is replaced where its name
//! is another name of a listed type, or where the name is unknown and the id is listed. So both forms meet under one
//! type, also where configuration gave it a name of its own.

mod documented;

use std::{borrow::Cow, collections::BTreeMap};

use self::documented::{DOCUMENTED, OTHER_NAMES};
use super::naming::{self, CUSTOM_ACTIVITY, FIRST_CUSTOM_ID};
use crate::event::Word;

/// The two names of an activity's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityType<'a> {
    /// The CloudEvents type, e.g. `com.adobe.platform.marketo.activity.standard.clicklink`.
    pub ce_type: Cow<'a, str>,
    /// Its last part in the form that topics have, e.g. `clicklink`.
    pub event_type: Word<'a>,
}

impl ActivityType<'_> {
    fn standard(name: &str) -> ActivityType<'static> {
        let ce_type = naming::standard_activity(name);
        let (_, event_type) = naming::classify(&ce_type, None);
        let event_type = event_type.into_owned().into();
        ActivityType { ce_type: ce_type.into(), event_type }
    }

    fn borrowed(&self) -> ActivityType<'_> {
        ActivityType {
            ce_type: Cow::Borrowed(&self.ce_type),
            event_type: Word::Piece(&self.event_type),
        }
    }
}

/// Configuration of one id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// The name, as `Click Link`; the type is made from it by Adobe's rule. `None` keeps the one
    /// that is listed.
    pub name: Option<String>,
    /// Other names under which activities without a listed id mean the same type.
    pub aliases: Vec<String>,
}

/// A mistake in an override.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    #[error(
        "activity type {id}: only ids from 1 to 99999 can be named; 100000 and more are custom \
         activities and always called custom-<id>, as Adobe's events tell them apart by id alone"
    )]
    NotAStandardId { id: i64 },
    #[error("activity type {id}: `{name}` has no letter or digit for a topic name")]
    NotAName { id: i64, name: String },
    #[error("activity type {id} is not built in: give it a name in addition to its aliases")]
    NoName { id: i64 },
    #[error("activity type {id}: an alias is empty")]
    EmptyAlias { id: i64 },
    #[error("activity type {id}: the alias `{alias}` is already used by activity type {other}")]
    AliasTaken { id: i64, alias: String, other: i64 },
}

/// The activity types by id, and aliases of their names.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// In the order of the ids.
    types: Vec<(i64, ActivityType<'static>)>,
    /// Aliases of configuration, by name in lower case without spaces.
    aliases: BTreeMap<String, i64>,
    /// Adobe's names of the types, in the same spelling, also where configuration has another one.
    documented: BTreeMap<String, i64>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Catalog {
    /// The types that Adobe documents.
    pub fn builtin() -> Self {
        let types =
            DOCUMENTED.iter().map(|(id, name)| (*id, ActivityType::standard(name))).collect();
        let names = DOCUMENTED.iter().chain(OTHER_NAMES);
        let documented = names.map(|(id, name)| (naming::compact(name), *id)).collect();
        Self { types, aliases: BTreeMap::new(), documented }
    }

    /// Ids and names of the types that Adobe documents, in the order of the ids.
    pub fn documented() -> &'static [(i64, &'static str)] {
        DOCUMENTED
    }

    /// The types that Adobe documents, with `overrides` put over them or added; the last one of an
    /// id wins. All mistakes are returned, not just the first.
    pub fn with_overrides(
        overrides: impl IntoIterator<Item = (i64, Override)>,
    ) -> Result<Self, Vec<OverrideError>> {
        let mut catalog = Self::builtin();
        let mut errors = Vec::new();
        for (id, Override { name, aliases }) in overrides {
            if !(1..FIRST_CUSTOM_ID).contains(&id) {
                errors.push(OverrideError::NotAStandardId { id });
                continue;
            }
            let listed = catalog.types.binary_search_by_key(&id, |(id, _)| *id);
            match (name, listed) {
                (Some(name), _) if !is_name(&name) => {
                    errors.push(OverrideError::NotAName { id, name });
                }
                (Some(name), Ok(at)) => catalog.types[at].1 = ActivityType::standard(&name),
                (Some(name), Err(at)) => {
                    catalog.types.insert(at, (id, ActivityType::standard(&name)));
                }
                (None, Ok(_)) => {}
                (None, Err(_)) => errors.push(OverrideError::NoName { id }),
            }
            for alias in aliases {
                let compact = naming::compact(&alias);
                if compact.is_empty() {
                    errors.push(OverrideError::EmptyAlias { id });
                    continue;
                }
                match catalog.aliases.insert(compact, id) {
                    Some(other) if other != id => {
                        errors.push(OverrideError::AliasTaken { id, alias, other });
                    }
                    _ => {}
                }
            }
        }
        if errors.is_empty() { Ok(catalog) } else { Err(errors) }
    }

    /// The type of an activity with this `activityTypeId` and `activityType`; `None` when it has
    /// neither.
    ///
    /// A listed id decides alone. 100000 and more are `custom-<id>`. For other ids, and without an
    /// id, the name decides: as an alias, else by Adobe's rule. An unknown id without a name is
    /// `activity-<id>`.
    pub fn activity_type(&self, id: Option<i64>, name: Option<&str>) -> Option<ActivityType<'_>> {
        if let Some(listed) = id.and_then(|id| self.listed(id)) {
            return Some(listed);
        }
        if let Some(id) = id.filter(|id| *id >= FIRST_CUSTOM_ID) {
            return Some(ActivityType {
                ce_type: Cow::Borrowed(CUSTOM_ACTIVITY),
                event_type: naming::custom_event_type(id),
            });
        }
        match name.map(|name| (name, naming::compact(name))) {
            Some((name, compact)) if !compact.is_empty() => {
                let known = self.named(&compact);
                Some(known.unwrap_or_else(|| ActivityType::standard(name)))
            }
            _ => id.map(|id| ActivityType::standard(&format!("activity-{id}"))),
        }
    }

    /// The type that replaces Adobe I/O's type `ce_type` of an activity with this `activityTypeId`; `None` if it stays.
    pub fn other_type(&self, ce_type: &str, id: Option<i64>) -> Option<&str> {
        let name = naming::standard_name(ce_type)?;
        let by_id = id.and_then(|id| self.find(id));
        if by_id.is_some_and(|listed| listed.ce_type == ce_type) {
            return None;
        }
        let known = self.id_of(name).and_then(|id| self.find(id)).or(by_id)?;
        Some(&*known.ce_type).filter(|other| *other != ce_type)
    }

    /// The type with this name, in lower case without spaces.
    fn named(&self, compact: &str) -> Option<ActivityType<'_>> {
        self.id_of(compact).and_then(|id| self.listed(id))
    }

    fn id_of(&self, compact: &str) -> Option<i64> {
        self.aliases.get(compact).or_else(|| self.documented.get(compact)).copied()
    }

    fn find(&self, id: i64) -> Option<&ActivityType<'static>> {
        let at = self.types.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.types[at].1)
    }

    fn listed(&self, id: i64) -> Option<ActivityType<'_>> {
        self.find(id).map(ActivityType::borrowed)
    }
}

/// Whether a name leaves a character for the name of a topic.
fn is_name(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_alphanumeric()) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_type(catalog: &Catalog, id: Option<i64>, name: Option<&str>) -> Option<String> {
        catalog.activity_type(id, name).map(|kind| kind.event_type.into_owned())
    }

    #[test]
    fn the_list_is_sorted_and_no_two_ids_share_an_event_type() {
        let catalog = Catalog::builtin();
        assert!(catalog.types.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let names: std::collections::BTreeSet<_> =
            catalog.types.iter().map(|(_, kind)| kind.event_type.as_str()).collect();
        assert_eq!(names.len(), catalog.types.len());
    }

    #[test]
    fn the_id_decides_and_not_the_name() {
        let catalog = Catalog::builtin();
        let kind = catalog.activity_type(Some(3), Some("Lien cliqué")).unwrap();
        assert_eq!(kind.ce_type, "com.adobe.platform.marketo.activity.standard.clicklink");
        assert_eq!(kind.event_type, "clicklink");
        let updated = catalog.activity_type(Some(30), None).unwrap();
        assert_eq!(updated.event_type, "sfdcactivityupdated");
        let enrich = catalog.activity_type(Some(106), None).unwrap();
        assert_eq!(enrich.event_type, "enrichwithdata-com");
    }

    #[test]
    fn custom_activities_share_a_type_and_are_told_apart_by_id() {
        let catalog = Catalog::builtin();
        for id in [100_000, 100_001, i64::MAX] {
            let kind = catalog.activity_type(Some(id), Some("Click Link")).unwrap();
            assert_eq!(kind.ce_type, "com.adobe.platform.marketo.activity.custom");
            assert_eq!(*kind.event_type, *format!("custom-{id}"));
        }
    }

    #[test]
    fn an_unknown_id_is_named_after_its_name_or_else_its_number() {
        let catalog = Catalog::builtin();
        assert_eq!(event_type(&catalog, Some(99_999), Some("Fly Kite")).unwrap(), "flykite");
        assert_eq!(event_type(&catalog, Some(99_999), Some("  ")).unwrap(), "activity-99999");
        assert_eq!(event_type(&catalog, Some(99_999), None).unwrap(), "activity-99999");
        assert_eq!(event_type(&catalog, None, Some("Click Link")).unwrap(), "clicklink");
        assert_eq!(event_type(&catalog, None, Some("")), None);
        assert_eq!(event_type(&catalog, None, None), None);
    }

    #[test]
    fn configuration_renames_adds_and_aliases_types() {
        let named = |name: &str, aliases: &[&str]| Override {
            name: Some(name.into()),
            aliases: aliases.iter().map(ToString::to_string).collect(),
        };
        let clicked = Override { name: None, aliases: vec!["Lien cliqué".into()] };
        let catalog = Catalog::with_overrides([
            (19, named("Sync Lead", &["Sync to CRM"])),
            (150, named("Fly Kite", &[])),
            (3, clicked),
        ])
        .unwrap();
        assert_eq!(event_type(&catalog, Some(19), None).unwrap(), "synclead");
        assert_eq!(event_type(&catalog, Some(150), Some("Kite")).unwrap(), "flykite");
        assert_eq!(event_type(&catalog, None, Some("SYNC to crm")).unwrap(), "synclead");
        assert_eq!(event_type(&catalog, Some(3), None).unwrap(), "clicklink");
        assert_eq!(event_type(&catalog, None, Some("lien cliqué")).unwrap(), "clicklink");
    }

    #[test]
    fn a_type_of_adobe_io_is_the_listed_one_under_any_of_its_names() {
        let of = |catalog: &Catalog, name: &str, id| {
            let ce_type = naming::standard_activity(name);
            let other = catalog.other_type(&ce_type, id).map(str::to_owned).unwrap_or(ce_type);
            naming::standard_name(&other).unwrap().to_owned()
        };
        let catalog = Catalog::builtin();
        let linked = "filloutlinkedleadgenform";
        for id in [Some(147), None] {
            assert_eq!(of(&catalog, "Fill Out Linked Lead Gen Form", id), linked);
            assert_eq!(of(&catalog, "Fill Out LinkedIn Lead Gen Form", id), linked);
        }
        assert_eq!(of(&catalog, "Open Email", Some(10)), "openemail");
        assert_eq!(of(&catalog, "Opened the Email", Some(10)), "openemail", "names drift");
        assert_eq!(of(&catalog, "Open Email", Some(3)), "openemail", "a name that is known counts");
        assert_eq!(of(&catalog, "Fly Kite", Some(99_999)), "flykite");
        assert_eq!(of(&catalog, "Fly Kite", None), "flykite");
        assert_eq!(catalog.other_type(CUSTOM_ACTIVITY, Some(3)), None);
        assert_eq!(catalog.other_type("org.example.thing", Some(3)), None);
    }

    #[test]
    fn a_name_of_configuration_is_that_of_both_forms() {
        let named = Override { name: Some("Clicked".into()), aliases: vec!["Klick".into()] };
        let linked = Override { name: Some("LinkedIn".into()), aliases: vec![] };
        let catalog = Catalog::with_overrides([(3, named), (147, linked)]).unwrap();
        for name in ["Click Link", "Klick", "Clicked"] {
            let adobe = naming::standard_activity(name);
            let adobe = catalog.other_type(&adobe, Some(3)).unwrap_or(&adobe).to_owned();
            assert_eq!(adobe, naming::standard_activity("Clicked"), "{name}");
            assert_eq!(event_type(&catalog, Some(3), Some(name)).unwrap(), "clicked");
        }
        assert_eq!(event_type(&catalog, None, Some("Click Link")).unwrap(), "clicked");
        for name in ["Fill Out Linked Lead Gen Form", "Fill Out LinkedIn Lead Gen Form"] {
            assert_eq!(event_type(&catalog, None, Some(name)).unwrap(), "linkedin");
            let adobe = naming::standard_activity(name);
            let linkedin = naming::standard_activity("LinkedIn");
            assert_eq!(catalog.other_type(&adobe, None), Some(&*linkedin));
        }
    }

    #[test]
    fn all_overrides_that_make_no_sense_are_named() {
        let named = |name: &str, alias: &str| Override {
            name: Some(name.into()),
            aliases: vec![alias.into()],
        };
        let errors = Catalog::with_overrides([
            (100_001, named("Mine", "m")),
            (3, named(" ", " ")),
            (4, named("A", "same")),
            (5, named("B", "S a m e")),
            (150, Override { name: None, aliases: vec!["Kite".into()] }),
        ])
        .unwrap_err();
        assert_eq!(
            errors,
            [
                OverrideError::NotAStandardId { id: 100_001 },
                OverrideError::NotAName { id: 3, name: " ".into() },
                OverrideError::EmptyAlias { id: 3 },
                OverrideError::AliasTaken { id: 5, alias: "S a m e".into(), other: 4 },
                OverrideError::NoName { id: 150 },
            ]
        );
    }
}
