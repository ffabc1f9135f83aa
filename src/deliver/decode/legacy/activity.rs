//! The members of an activity that the mapping reads, found in one pass and left as they are spelled.

use crate::{
    deliver::decode::{
        LegacyValue, Undecodable,
        json::{self, Cursor},
        met::Met,
        scalar::Scalar,
    },
    event::Members,
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
    /// The members of the event's value, if they are asked for and can be handed over; without a `munchkinId` that is put in.
    pub(super) members: Option<&'a Members<'a>>,
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

/// How members are handed over.
pub(super) struct Handing<'a> {
    pub(super) met: Met<'a>,
    pub(super) value: LegacyValue,
}

impl<'a> Handing<'a> {
    /// Takes the value of a member, and notes it as the event's value has it.
    fn take(
        &mut self,
        cursor: &mut Cursor<'a>,
        name: json::Name<'a>,
        known: Option<Name>,
    ) -> Result<&'a str, Undecodable> {
        let range = self.met.member(cursor, name)?;
        match (self.value, known) {
            (LegacyValue::CloudEvent, Some(Name::MarketoGuid)) => self.met.forget_last(),
            (LegacyValue::CloudEvent, Some(Name::LeadId)) => {
                if let Scalar::Number(number) = Scalar::of(Some(range)) {
                    self.met.last_is_text(number);
                }
            }
            _ => {}
        }
        Ok(range)
    }
}

impl<'a> Activity<'a> {
    /// Reads the object at the cursor; also returns its range of the body.
    pub(super) fn read(
        cursor: &mut Cursor<'a>,
        met: Option<&mut Handing<'a>>,
    ) -> Result<(Self, &'a str), Undecodable> {
        match met {
            None => Self::read_with(cursor, |cursor, _, _| cursor.skip()),
            Some(handing) => {
                handing.met.begin();
                let take = |cursor: &mut Cursor<'a>, name, known| handing.take(cursor, name, known);
                let (mut activity, range) = Self::read_with(cursor, take)?;
                activity.members = handing.met.end();
                Ok((activity, range))
            }
        }
    }

    /// The same; `take` takes each value.
    #[inline(always)]
    fn read_with(
        cursor: &mut Cursor<'a>,
        mut take: impl FnMut(
            &mut Cursor<'a>,
            json::Name<'a>,
            Option<Name>,
        ) -> Result<&'a str, Undecodable>,
    ) -> Result<(Self, &'a str), Undecodable> {
        let mut activity = Self::default();
        let range = cursor.object(|cursor, name| {
            let known = Name::of(name);
            let slot = match known {
                Some(Name::MunchkinId) => &mut activity.munchkin_id,
                Some(Name::LeadId) => &mut activity.lead_id,
                Some(Name::ActivityDate) => &mut activity.date,
                Some(Name::ActivityTypeId) => &mut activity.type_id,
                Some(Name::ActivityType) => &mut activity.type_name,
                Some(Name::MarketoGuid) => {
                    activity.guid_name = Some(name.quoted);
                    &mut activity.guid
                }
                Some(Name::Activities) | None => return take(cursor, name, known).map(drop),
            };
            if slot.replace(take(cursor, name, known)?).is_some() {
                activity.twice = Some(name.quoted);
            }
            Ok(())
        })?;
        Ok((activity, range))
    }
}
