//! The members of `data` from which an event's key and names are made.

use std::borrow::Cow;

use crate::{
    deliver::decode::{
        Undecodable, id,
        json::{Cursor, Name},
        met::Met,
        scalar::Scalar,
    },
    event::{Members, Stream, Word},
};

/// The top-level members of `data` that this module reads, as they are spelled.
#[derive(Clone, Copy, Default)]
pub(super) struct Data<'a> {
    munchkin_id: Option<&'a str>,
    lead_id: Option<&'a str>,
    activity_type_id: Option<&'a str>,
    component_type: Option<&'a str>,
    component_id: Option<&'a str>,
    /// A name of the above that stands twice.
    pub(super) twice: Option<&'a str>,
    /// All of them, if they are asked for and can be handed over.
    pub(super) members: Option<&'a Members<'a>>,
}

impl<'a> Data<'a> {
    /// Reads the object at the cursor; also returns its range of the body.
    pub(super) fn read(
        cursor: &mut Cursor<'a>,
        met: Option<&mut Met<'a>>,
    ) -> Result<(Self, &'a str), Undecodable> {
        match met {
            None => Self::read_with(cursor, |cursor, _| cursor.skip()),
            Some(met) => {
                met.begin();
                let (mut data, range) =
                    Self::read_with(cursor, |cursor, name| met.member(cursor, name))?;
                data.members = met.end();
                Ok((data, range))
            }
        }
    }

    /// The same; `take` takes each value.
    #[inline(always)]
    fn read_with(
        cursor: &mut Cursor<'a>,
        mut take: impl FnMut(&mut Cursor<'a>, Name<'a>) -> Result<&'a str, Undecodable>,
    ) -> Result<(Self, &'a str), Undecodable> {
        let mut data = Self::default();
        let range = cursor.object(|cursor, name| {
            let slot = match name.text().as_deref() {
                Some("munchkinId") => &mut data.munchkin_id,
                Some("leadId") => &mut data.lead_id,
                Some("activityTypeId") => &mut data.activity_type_id,
                Some("componentType") => &mut data.component_type,
                Some("componentId") => &mut data.component_id,
                _ => return take(cursor, name).map(drop),
            };
            if slot.replace(take(cursor, name)?).is_some() {
                data.twice = Some(name.quoted);
            }
            Ok(())
        })?;
        Ok((data, range))
    }

    pub(super) fn munchkin_id(&self) -> Option<Cow<'a, str>> {
        Scalar::of(self.munchkin_id).word().and_then(id::munchkin)
    }

    pub(super) fn activity_type_id(&self) -> Option<i64> {
        id::activity_type(&Scalar::of(self.activity_type_id).word()?)
    }

    /// `<munchkinId>:<leadId>`, `<munchkinId>:<componentType>:<componentId>` or `<munchkinId>`, by the
    /// stream and as far as the parts are there; `None` without a munchkin id.
    pub(super) fn key(&self, stream: Stream) -> Option<Word<'a>> {
        let munchkin_id = self.munchkin_id()?;
        let word = |spelled| Scalar::of(spelled).word();
        let parts = match stream {
            Stream::LeadActivity => {
                word(self.lead_id).map(|lead| Word::joined(&[&munchkin_id, &id::part(lead)]))
            }
            Stream::UserAudit => word(self.component_type)
                .zip(word(self.component_id))
                .map(|(kind, id)| Word::joined(&[&munchkin_id, &kind, &id::part(id)])),
            Stream::Notification | Stream::Observability | Stream::Other => None,
        };
        Some(parts.unwrap_or_else(|| munchkin_id.into()))
    }
}
