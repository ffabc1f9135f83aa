//! Selection: the events of a source that go to Kafka, by instance, `include` and `exclude`.
//!
//! An event that is left out is finished: it gets no record, no dead letter and no id among the known ones, and the
//! checkpoint passes it. So the verdict depends on the event and the configuration alone: a lane that reads the event
//! again leaves it out again, and a second source that takes the event finds its id free. Text that cannot be decoded
//! is no event, and becomes a dead letter under every selection.
//!
//! An event that names no instance is taken, and one without an activity type is excluded by no id. But the data may
//! name one in a form that cannot be read ([`unreadable`]). Then it is unknown whether the event is wanted: it is not
//! sent, and not lost either, but becomes a dead letter ([`Doubt`]).

mod unreadable;

use super::encode::choice::Pattern;
use crate::event::{Decoded, Event, Refused, Stream};

/// Why an event is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeftOut {
    /// The source does not take the event's instance.
    Instance,
    /// There are includes, and none of them names the event.
    NotIncluded,
    /// Its stream is excluded.
    Stream,
    /// Its type is excluded.
    Type,
    /// The id of its activity type is excluded.
    Id,
}

impl LeftOut {
    pub const ALL: [Self; 5] =
        [Self::Instance, Self::NotIncluded, Self::Stream, Self::Type, Self::Id];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::NotIncluded => "not-included",
            Self::Stream => "stream",
            Self::Type => "type",
            Self::Id => "id",
        }
    }

    /// The key below `sources.<name>` that leaves the event out.
    pub fn key(self) -> &'static str {
        match self {
            Self::Instance => "munchkin_ids",
            Self::NotIncluded => "include",
            Self::Stream => "exclude.streams",
            Self::Type => "exclude.types",
            Self::Id => "exclude.activity_type_ids",
        }
    }
}

/// The id that a selection needs and that cannot be read in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The id of its instance.
    Instance,
    /// The id of its activity type.
    Id,
}

impl Doubt {
    /// The reason of the dead letter.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Instance => "unreadable-munchkin-id",
            Self::Id => "unreadable-activity-type-id",
        }
    }

    /// The error of the dead letter: the key that needs the id, and the form in which the id is expected.
    pub fn error(self) -> &'static str {
        match self {
            Self::Instance => {
                "munchkin_ids names the instances that are taken, and which one the event is of cannot be read: \
                 expected data that is a JSON object, with text in `munchkinId`"
            }
            Self::Id => {
                "activity_type_ids names types of activities, and which one the event has cannot be read: expected \
                 data that is a JSON object, with a whole number in `activityTypeId`"
            }
        }
    }

    fn member(self) -> &'static str {
        match self {
            Self::Instance => "munchkinId",
            Self::Id => "activityTypeId",
        }
    }
}

/// The decision of a selection about one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    LeftOut(LeftOut),
    Doubtful(Doubt),
}

/// Names of events; an event is named if one of the lists has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub streams: Vec<Stream>,
    /// Patterns for the word in topics, or for the whole CloudEvents type.
    pub types: Vec<Pattern>,
    pub activity_type_ids: Vec<i64>,
}

impl Named {
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.types.is_empty() && self.activity_type_ids.is_empty()
    }

    /// Whether it names types of activities, and the event may have one of them in a form that cannot be read.
    fn may_name(&self, event: &Event<'_>) -> bool {
        !self.activity_type_ids.is_empty()
            && event.stream == Stream::LeadActivity
            && event.activity_type_id.is_none()
            && unreadable::may_have(event, Doubt::Id.member())
    }

    fn find(&self, event: &Event<'_>) -> Option<LeftOut> {
        let id = event.activity_type_id;
        if self.streams.contains(&event.stream) {
            return Some(LeftOut::Stream);
        }
        if self.types.iter().any(|pattern| is_of_type(pattern, event)) {
            return Some(LeftOut::Type);
        }
        id.is_some_and(|id| self.activity_type_ids.contains(&id)).then_some(LeftOut::Id)
    }
}

/// Whether the pattern names the event's type.
fn is_of_type(pattern: &Pattern, event: &Event<'_>) -> bool {
    pattern.matches(&event.event_type) || pattern.matches(&event.attributes.r#type)
}

/// The events that a source takes; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ids of instances, in capital letters; empty for all instances.
    pub munchkin_ids: Vec<String>,
    /// Takes every event if it names nothing.
    pub include: Named,
    pub exclude: Named,
}

impl Selection {
    /// Whether nothing is ever left out.
    pub fn is_all(&self) -> bool {
        self.munchkin_ids.is_empty() && self.include.is_empty() && self.exclude.is_empty()
    }

    /// Why the event is left out, if it is.
    pub fn leaves_out(&self, event: &Event<'_>) -> Option<LeftOut> {
        match self.verdict(event) {
            Verdict::LeftOut(why) => Some(why),
            Verdict::Taken | Verdict::Doubtful(_) => None,
        }
    }

    /// Refuses each event whose verdict depends on an id that cannot be read.
    pub fn refuse_doubtful(&self, events: &mut [Decoded<'_>]) {
        if self.is_all() {
            return;
        }
        for item in events {
            let Ok(event) = item else { continue };
            if event.munchkin_id.is_some() && event.activity_type_id.is_some() {
                continue;
            }
            // No lead state comes here as doubtful: it is made of events that are taken.
            let Verdict::Doubtful(doubt) = self.verdict(event) else { continue };
            *item = Err(Refused {
                index: event.index,
                reason: doubt.reason(),
                error: format!("event {}: {}", event.index, doubt.error()),
                key: event.key.take().map(Into::into),
                original: event.original,
            });
        }
    }

    fn verdict(&self, event: &Event<'_>) -> Verdict {
        let takes_all_instances = self.munchkin_ids.is_empty();
        match event.munchkin_id.as_deref() {
            Some(id)
                if !takes_all_instances && !self.munchkin_ids.iter().any(|taken| taken == id) =>
            {
                return Verdict::LeftOut(LeftOut::Instance);
            }
            _ => {}
        }
        if let Some(why) = self.exclude.find(event) {
            return Verdict::LeftOut(why);
        }
        let is_included = self.include.is_empty() || self.include.find(event).is_some();
        if !is_included && !self.include.may_name(event) {
            return Verdict::LeftOut(LeftOut::NotIncluded);
        }
        let is_doubtful = !takes_all_instances
            && event.munchkin_id.is_none()
            && unreadable::may_have(event, Doubt::Instance.member());
        match () {
            () if is_doubtful => Verdict::Doubtful(Doubt::Instance),
            () if !is_included || self.exclude.may_name(event) => Verdict::Doubtful(Doubt::Id),
            () => Verdict::Taken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, Pieces};

    fn event(stream: Stream, event_type: &'static str, id: Option<i64>) -> Event<'static> {
        let of_stream = if stream == Stream::LeadActivity { "activity.standard" } else { "audit" };
        let ce_type = format!("com.adobe.platform.marketo.{of_stream}.{event_type}");
        Event {
            index: 0,
            stream,
            event_type: event_type.into(),
            munchkin_id: Some("999-XYZ-000".into()),
            activity_type_id: id,
            key: None,
            attributes: Attributes { r#type: ce_type.into(), ..Attributes::default() },
            headers: Vec::new(),
            value: Pieces::default(),
            original: b"",
            members: None,
            lead_state: None,
        }
    }

    fn click() -> Event<'static> {
        event(Stream::LeadActivity, "clicklink", Some(3))
    }

    fn audit() -> Event<'static> {
        event(Stream::UserAudit, "user", None)
    }

    fn types(patterns: &[&str]) -> Named {
        let types = patterns.iter().map(|text| Pattern::new(text).unwrap()).collect();
        Named { types, ..Named::default() }
    }

    fn of(include: Named, exclude: Named) -> Selection {
        Selection { munchkin_ids: Vec::new(), include, exclude }
    }

    #[test]
    fn without_a_word_everything_is_taken() {
        let all = Selection::default();
        assert!(all.is_all());
        assert_eq!([click(), audit()].map(|event| all.leaves_out(&event)), [None, None]);
    }

    #[test]
    fn events_of_other_instances_are_left_out_and_those_that_name_none_are_taken() {
        let mut event = click();
        let of = |ids: &[&str]| Selection {
            munchkin_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..Selection::default()
        };
        assert_eq!(of(&["111-AAA-222", "999-XYZ-000"]).leaves_out(&event), None);
        assert_eq!(of(&["111-AAA-222"]).leaves_out(&event), Some(LeftOut::Instance));
        event.munchkin_id = None;
        assert_eq!(of(&["111-AAA-222"]).leaves_out(&event), None);
    }

    #[test]
    fn an_exclude_leaves_out_by_stream_by_either_name_of_the_type_and_by_id() {
        let streams = Named { streams: vec![Stream::LeadActivity], ..Named::default() };
        let ids = Named { activity_type_ids: vec![3], ..Named::default() };
        let why = |exclude: Named| of(Named::default(), exclude).leaves_out(&click());
        assert_eq!(why(streams.clone()), Some(LeftOut::Stream));
        assert_eq!(why(types(&["click*"])), Some(LeftOut::Type));
        assert_eq!(why(types(&["com.adobe.*.clicklink"])), Some(LeftOut::Type));
        assert_eq!(why(types(&["click"])), None);
        assert_eq!(why(ids.clone()), Some(LeftOut::Id));
        for exclude in [streams, types(&["click*"]), ids] {
            assert_eq!(of(Named::default(), exclude).leaves_out(&audit()), None);
        }
    }

    #[test]
    fn of_includes_one_is_enough_and_an_exclude_wins() {
        let include = Named { streams: vec![Stream::UserAudit], ..types(&["click*"]) };
        let both = of(include.clone(), Named::default());
        assert_eq!([click(), audit()].map(|event| both.leaves_out(&event)), [None, None]);
        let open = event(Stream::LeadActivity, "openemail", Some(10));
        assert_eq!(both.leaves_out(&open), Some(LeftOut::NotIncluded));
        let without = of(include, types(&["*link"]));
        assert_eq!(without.leaves_out(&click()), Some(LeftOut::Type));
        assert_eq!(without.leaves_out(&audit()), None);
    }
}
