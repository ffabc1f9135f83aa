//! The members of `data` that an event's key and name are made of.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    decode::{naming, scalar::Scalar},
    event::Stream,
};

/// The top-level members of `data` that mean something to us, as they are spelled.
#[derive(Clone, Copy, Default)]
pub(super) struct Data<'a> {
    munchkin_id: Option<&'a str>,
    lead_id: Option<&'a str>,
    activity_type_id: Option<&'a str>,
    component_type: Option<&'a str>,
    component_id: Option<&'a str>,
    /// A name of the above that stands twice.
    pub(super) twice: Option<&'a str>,
}

impl<'a> Data<'a> {
    pub(super) fn munchkin_id(&self) -> Option<Cow<'a, str>> {
        Scalar::of(self.munchkin_id).word()
    }

    pub(super) fn activity_type_id(&self) -> Option<i64> {
        naming::activity_type_id(&Scalar::of(self.activity_type_id).word()?)
    }

    /// `<munchkinId>:<leadId>`, `<munchkinId>:<componentType>:<componentId>` or `<munchkinId>`, as the
    /// stream has it and as far as the parts are there; empty without a munchkin id.
    pub(super) fn key(&self, stream: Stream) -> Cow<'a, str> {
        let Some(munchkin_id) = self.munchkin_id() else { return Cow::Borrowed("") };
        let word = |spelled| Scalar::of(spelled).word();
        let parts = match stream {
            Stream::LeadActivity => {
                word(self.lead_id).map(|lead| [munchkin_id.as_ref(), &lead].join(":"))
            }
            Stream::UserAudit => word(self.component_type)
                .zip(word(self.component_id))
                .map(|(kind, id)| [munchkin_id.as_ref(), &kind, &id].join(":")),
            Stream::Notification | Stream::Observability | Stream::Other => None,
        };
        parts.map_or(munchkin_id, Cow::Owned)
    }
}

impl<'de> Deserialize<'de> for Data<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Data<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut data = Data::default();
                while let Some(quoted) = map.next_key::<&'de RawValue>()? {
                    let name = Scalar::of(Some(quoted.get())).text();
                    let slot = match name.as_deref() {
                        Some("munchkinId") => &mut data.munchkin_id,
                        Some("leadId") => &mut data.lead_id,
                        Some("activityTypeId") => &mut data.activity_type_id,
                        Some("componentType") => &mut data.component_type,
                        Some("componentId") => &mut data.component_id,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value::<&'de RawValue>()?.get()).is_some() {
                        data.twice = Some(quoted.get());
                    }
                }
                Ok(data)
            }
        }

        deserializer.deserialize_map(Members)
    }
}
