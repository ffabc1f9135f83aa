//! The members of an activity that the mapping reads, found in one pass and left as they are spelled.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The top-level members of an activity that mean something to us, as they are spelled.
#[derive(Default)]
pub(super) struct Activity<'a> {
    pub(super) munchkin_id: Option<&'a str>,
    pub(super) lead_id: Option<&'a str>,
    pub(super) guid_name: Option<&'a str>,
    pub(super) guid: Option<&'a str>,
    pub(super) date: Option<&'a str>,
    pub(super) type_id: Option<&'a str>,
    pub(super) type_name: Option<&'a str>,
    /// A name of the above that stands twice.
    pub(super) twice: Option<&'a str>,
}

/// The names of members that this module reads.
#[derive(Clone, Copy)]
pub(super) enum Name {
    Activities,
    ActivityDate,
    ActivityType,
    ActivityTypeId,
    LeadId,
    MarketoGuid,
    MunchkinId,
}

impl Name {
    /// The name that is spelled so, in quotes; `None` for all that mean nothing here.
    pub(super) fn of(spelled: &str) -> Option<Self> {
        Self::plain(&spelled[1..spelled.len() - 1]).or_else(|| {
            if !spelled.contains('\\') {
                return None;
            }
            Self::plain(&serde_json::from_str::<String>(spelled).ok()?)
        })
    }

    fn plain(name: &str) -> Option<Self> {
        Some(match name {
            "activities" => Self::Activities,
            "activityDate" => Self::ActivityDate,
            "activityType" => Self::ActivityType,
            "activityTypeId" => Self::ActivityTypeId,
            "leadId" => Self::LeadId,
            "marketoGUID" => Self::MarketoGuid,
            "munchkinId" => Self::MunchkinId,
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for Activity<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Activity<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an activity")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut activity = Activity::default();
                while let Some(spelled) = map.next_key::<&'de RawValue>()? {
                    let slot = match Name::of(spelled.get()) {
                        Some(Name::MunchkinId) => &mut activity.munchkin_id,
                        Some(Name::LeadId) => &mut activity.lead_id,
                        Some(Name::ActivityDate) => &mut activity.date,
                        Some(Name::ActivityTypeId) => &mut activity.type_id,
                        Some(Name::ActivityType) => &mut activity.type_name,
                        Some(Name::MarketoGuid) => {
                            activity.guid_name = Some(spelled.get());
                            &mut activity.guid
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value::<&'de RawValue>()?.get()).is_some() {
                        activity.twice = Some(spelled.get());
                    }
                }
                Ok(activity)
            }
        }

        deserializer.deserialize_map(Members)
    }
}
