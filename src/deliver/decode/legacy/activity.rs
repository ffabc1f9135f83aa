//! The members of an activity that the mapping reads, found in one pass and left as they are spelled.

use crate::deliver::decode::{
    Undecodable,
    json::{self, Cursor},
};

/// The top-level members of an activity that this module reads, as they are spelled.
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
    /// `None` for all other names.
    pub(super) fn of(name: json::Name<'_>) -> Option<Self> {
        Self::plain(&name.text()?)
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

impl<'a> Activity<'a> {
    /// Reads the object at the cursor; also returns its range of the body.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<(Self, &'a str), Undecodable> {
        let mut activity = Self::default();
        let range = cursor.object(|cursor, name| {
            let slot = match Name::of(name) {
                Some(Name::MunchkinId) => &mut activity.munchkin_id,
                Some(Name::LeadId) => &mut activity.lead_id,
                Some(Name::ActivityDate) => &mut activity.date,
                Some(Name::ActivityTypeId) => &mut activity.type_id,
                Some(Name::ActivityType) => &mut activity.type_name,
                Some(Name::MarketoGuid) => {
                    activity.guid_name = Some(name.quoted);
                    &mut activity.guid
                }
                Some(Name::Activities) | None => return cursor.skip().map(drop),
            };
            if slot.replace(cursor.skip()?).is_some() {
                activity.twice = Some(name.quoted);
            }
            Ok(())
        })?;
        Ok((activity, range))
    }
}
