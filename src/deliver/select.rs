//! Which events of a source are brought to Kafka: those of its instances, what it includes, and not what it excludes.
//!
//! What is left out is dealt with: it gets no record, no dead letter and no id among the known ones, and the checkpoint
//! passes it. So what is decided here depends on the event and the configuration alone: a lane that comes to an event
//! once more leaves it out once more, and a second source that takes the event finds its id free. What can't be read is
//! no event, and becomes a dead letter whatever is written here.

use super::encode::choice::Pattern;
use crate::event::{Event, Stream};

/// Why an event is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeftOut {
    /// It is of an instance that the source does not take.
    Instance,
    /// There are includes, and none of them names it.
    NotIncluded,
    /// Its stream is excluded.
    Stream,
    /// Its type is.
    Type,
    /// The id of its activity type is.
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

    /// The key below `sources.<name>` that says so.
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

/// Names events: by any of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub streams: Vec<Stream>,
    /// Of the word in topics, or of the whole CloudEvents type.
    pub types: Vec<Pattern>,
    pub activity_type_ids: Vec<i64>,
}

impl Named {
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.types.is_empty() && self.activity_type_ids.is_empty()
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

/// What a source takes. By default all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ids of instances, in capital letters; of all instances if there is none.
    pub munchkin_ids: Vec<String>,
    /// Everything if it names nothing.
    pub include: Named,
    pub exclude: Named,
}

impl Selection {
    /// Whether nothing is ever left out.
    pub fn is_all(&self) -> bool {
        self.munchkin_ids.is_empty() && self.include.is_empty() && self.exclude.is_empty()
    }

    /// Why the event is left out, if it is. One that names no instance is of any.
    pub fn leaves_out(&self, event: &Event<'_>) -> Option<LeftOut> {
        let instance = event.munchkin_id.as_deref().filter(|_| !self.munchkin_ids.is_empty());
        if let Some(instance) = instance
            && !self.munchkin_ids.iter().any(|taken| taken.eq_ignore_ascii_case(instance))
        {
            return Some(LeftOut::Instance);
        }
        if let Some(why) = self.exclude.find(event) {
            return Some(why);
        }
        let is_included = self.include.is_empty() || self.include.find(event).is_some();
        (!is_included).then_some(LeftOut::NotIncluded)
    }
}

/// Whether Marketo calls an instance so: `999-XYZ-000`.
pub fn is_munchkin_id(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut next = |is: fn(&u8) -> bool| {
        parts.next().is_some_and(|part| part.len() == 3 && part.as_bytes().iter().all(is))
    };
    next(u8::is_ascii_digit)
        && next(u8::is_ascii_alphabetic)
        && next(u8::is_ascii_digit)
        && parts.next().is_none()
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
        event.munchkin_id = Some("999-xyz-000".into());
        assert_eq!(of(&["999-XYZ-000"]).leaves_out(&event), None);
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

    #[test]
    fn a_munchkin_id_has_the_form_that_marketo_gives_it() {
        for text in ["999-XYZ-000", "123-abc-456"] {
            assert!(is_munchkin_id(text), "{text}");
        }
        for text in
            ["", "999-XYZ", "999XYZ000", "999-XYZ-0000", "XYZ-999-000", "999-XYZ-000-", "99é-XYZ-0"]
        {
            assert!(!is_munchkin_id(text), "{text}");
        }
    }
}
