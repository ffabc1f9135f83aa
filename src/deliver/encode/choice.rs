//! Choices of the form of records: value, envelope, and timestamp, for all topics, for a
//! source, or for the topics of a pattern.

use std::sync::Arc;

use super::flat::Shapes;

/// The form of a record's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueForm {
    /// The event's data, byte for byte.
    #[default]
    Data,
    /// One JSON object of scalars ([`super::flat`]).
    Flat,
}

impl ValueForm {
    pub const ALL: [Self; 2] = [Self::Data, Self::Flat];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Flat => "flat",
        }
    }
}

/// The envelope of a flat value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Surrounding {
    #[default]
    None,
    /// The `schema` and `payload` of Kafka Connect's JSON converter.
    Connect,
}

impl Surrounding {
    pub const ALL: [Self; 2] = [Self::None, Self::Connect];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Connect => "connect",
        }
    }
}

/// The time in a record's timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamp {
    /// When the record is handed to the Kafka client.
    #[default]
    Produced,
    /// The event's time, as in `ce_time`. An event without a certain time, one from before 1970, and one from
    /// after its delivery was received has the time of its delivery.
    Event,
    /// When its delivery was received.
    Received,
}

impl Timestamp {
    pub const ALL: [Self; 3] = [Self::Produced, Self::Event, Self::Received];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Produced => "produced",
            Self::Event => "event",
            Self::Received => "received",
        }
    }

    /// Milliseconds since 1970, or `None` if the client chooses. `time` is the event's in RFC 3339, `received` the
    /// time of its delivery, as far as that is known.
    pub fn of(self, time: Option<&str>, received: Option<u64>) -> Option<i64> {
        let received = received.and_then(|millis| i64::try_from(millis).ok());
        match self {
            Self::Produced => None,
            Self::Received => received,
            Self::Event => {
                let instant = time.and_then(|text| text.parse::<jiff::Timestamp>().ok());
                let millis = instant.map(|instant| instant.as_millisecond());
                let is_right =
                    |millis: &i64| *millis >= 0 && received.is_none_or(|at| *millis <= at);
                millis.filter(is_right).or(received)
            }
        }
    }
}

/// The form of one topic's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub value: ValueForm,
    pub envelope: Surrounding,
    pub timestamp: Timestamp,
}

/// A choice with open fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartialChoice {
    pub value: Option<ValueForm>,
    pub envelope: Option<Surrounding>,
    pub timestamp: Option<Timestamp>,
}

impl PartialChoice {
    /// Fills the open fields from `other`.
    pub fn over(self, other: Choice) -> Choice {
        Choice {
            value: self.value.unwrap_or(other.value),
            envelope: self.envelope.unwrap_or(other.envelope),
            timestamp: self.timestamp.unwrap_or(other.timestamp),
        }
    }
}

/// Names of topics: a `*` stands for any characters, also for none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

impl Pattern {
    /// `None` if no topic can have this name.
    pub fn new(text: &str) -> Option<Self> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-*".contains(c);
        (!text.is_empty() && text.chars().all(legal)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, topic: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| topic.strip_prefix(first)) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }

    /// Order of preference: a name without a `*` first, then the pattern with the most fixed characters.
    fn rank(&self) -> (bool, std::cmp::Reverse<usize>) {
        let stars = self.0.matches('*').count();
        (stars > 0, std::cmp::Reverse(self.0.len() - stars))
    }
}

/// The choices for all topics of a source.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    of_others: Choice,
    /// The preferred one first.
    patterns: Vec<(Pattern, Choice)>,
    /// Present if any value is flat.
    shapes: Option<Arc<Shapes>>,
}

impl Choices {
    /// `of_others` is for the topics of none of the `patterns`. Of several patterns that match a topic's name, only the
    /// one with the most fixed characters counts. `shapes` is called where a value is flat.
    pub fn new(
        of_others: Choice,
        patterns: impl IntoIterator<Item = (Pattern, PartialChoice)>,
        shapes: impl FnOnce() -> Shapes,
    ) -> Self {
        let resolved =
            |(pattern, choice): (Pattern, PartialChoice)| (pattern, choice.over(of_others));
        let mut patterns: Vec<_> = patterns.into_iter().map(resolved).collect();
        patterns.sort_by(|(one, _), (two, _)| (one.rank(), one).cmp(&(two.rank(), two)));
        let mut all = patterns.iter().map(|(_, choice)| *choice).chain([of_others]);
        let is_flat = all.any(|choice| choice.value == ValueForm::Flat);
        Self { of_others, patterns, shapes: is_flat.then(|| Arc::new(shapes())) }
    }

    /// The form of the records of `topic`.
    pub fn of(&self, topic: &str) -> Choice {
        let found = self.patterns.iter().find(|(pattern, _)| pattern.matches(topic));
        found.map_or(self.of_others, |(_, choice)| *choice)
    }

    /// The columns of flat values, where there are any.
    pub fn shapes(&self) -> Option<&Arc<Shapes>> {
        self.shapes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let matches = |pattern: &str, topic: &str| Pattern::new(pattern).unwrap().matches(topic);
        for (pattern, topic) in [
            ("marketo.*", "marketo."),
            ("marketo.*", "marketo.lead-activity.clicklink"),
            ("*", "anything"),
            ("*.clicklink", "marketo.lead-activity.clicklink"),
            ("m*.lead*.click*", "marketo.lead-activity.clicklink"),
            ("a*b*b", "abb"),
            ("exact", "exact"),
        ] {
            assert!(matches(pattern, topic), "{pattern} {topic}");
        }
        for (pattern, topic) in [
            ("marketo.*", "marketo"),
            ("exact", "exactly"),
            ("a*b", "abc"),
            ("a*b*b", "ab"),
            ("*.x.*", "a.y.b"),
        ] {
            assert!(!matches(pattern, topic), "{pattern} {topic}");
        }
        for text in ["", "a b", "{type}", "ä*"] {
            assert_eq!(Pattern::new(text), None, "{text}");
        }
    }

    #[test]
    fn the_pattern_with_the_most_fixed_characters_counts_alone() {
        let flat = PartialChoice { value: Some(ValueForm::Flat), ..PartialChoice::default() };
        let late = PartialChoice { timestamp: Some(Timestamp::Event), ..PartialChoice::default() };
        let pattern = |text| Pattern::new(text).unwrap();
        let all =
            [(pattern("m.*"), flat), (pattern("m.lead.*"), late), (pattern("m.lead.x"), flat)];
        let shapes =
            || Shapes::new(Default::default(), &Default::default(), &[], &Default::default());
        let choices = Choices::new(Choice::default(), all, shapes);
        let of = |topic| (choices.of(topic).value, choices.of(topic).timestamp);
        assert_eq!(of("m.audit"), (ValueForm::Flat, Timestamp::Produced));
        assert_eq!(of("m.lead.y"), (ValueForm::Data, Timestamp::Event));
        assert_eq!(of("m.lead.x"), (ValueForm::Flat, Timestamp::Produced));
        assert_eq!(of("other"), (ValueForm::Data, Timestamp::Produced));
    }

    #[test]
    fn an_odd_time_of_an_event_gives_way_to_the_time_of_its_delivery() {
        let received = Some(1_772_445_600_000); // 2026-03-02T10:00:00Z
        for (time, expected) in [
            (Some("2026-03-02T09:59:58.5-00:00"), 1_772_445_598_500),
            (Some("2026-03-02T10:00:00Z"), 1_772_445_600_000),
            (Some("2026-03-02T10:00:01Z"), 1_772_445_600_000),
            (Some("2126-03-02T10:00:00Z"), 1_772_445_600_000),
            (Some("1969-12-31T23:59:59.999Z"), 1_772_445_600_000),
            (Some("1970-01-01T00:00:00Z"), 0),
            (None, 1_772_445_600_000),
        ] {
            assert_eq!(Timestamp::Event.of(time, received), Some(expected), "{time:?}");
            assert_eq!(Timestamp::Received.of(time, received), Some(1_772_445_600_000));
            assert_eq!(Timestamp::Produced.of(time, received), None);
        }
        assert_eq!(Timestamp::Event.of(None, None), None);
    }
}
