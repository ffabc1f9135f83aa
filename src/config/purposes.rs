//! Topics of one purpose each: what is written to one of them must not meet anything else.
//!
//! One list of them all, and one rule for each pair. Which events lead to one of them is for `service/advice` to tell,
//! which knows the events.

use super::{
    Config,
    admin::Admin,
    mistake::{Key, Mistakes},
    topics::Topics,
};
use crate::deliver::route::Router;

/// A topic of the configuration, and its purpose.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// The key that names it.
    pub key: &'static str,
    pub topic: &'a str,
    /// The records on it, in the plural.
    holds: &'static str,
    is_default: bool,
}

impl Config {
    /// Returns the topics that the program writes beside those of events.
    pub fn own_topics(&self) -> impl Iterator<Item = Purpose<'_>> {
        purposes(&self.topics, &self.admin)
    }
}

fn purposes<'a>(topics: &'a Topics, admin: &'a Admin) -> impl Iterator<Item = Purpose<'a>> {
    let (of_topics, of_admin) = (Topics::default(), Admin::default());
    let named = |key, topic: &'a String, holds, default: &str| {
        Some(Purpose { key, topic, holds, is_default: topic == default })
    };
    let optional = |key, topic: &'a Option<String>, holds| {
        topic.as_ref().map(|topic| Purpose { key, topic, holds, is_default: false })
    };
    [
        named("topics.dead_letter", &topics.dead_letter, "dead letters", &of_topics.dead_letter),
        named("topics.checkpoints", &topics.checkpoints, "checkpoints", &of_topics.checkpoints),
        optional("topics.lead_state", &topics.lead_state, "lead states"),
        optional("topics.ids", &topics.ids, "ids of settled events"),
        named("admin.test_topic", &admin.test_topic, "test deliveries", &of_admin.test_topic),
    ]
    .into_iter()
    .flatten()
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let topics = &config.topics;
    let events =
        Purpose { key: "topics.name", topic: &topics.name, holds: "events", is_default: false };
    let all: Vec<_> = [events].into_iter().chain(config.own_topics()).collect();
    for (number, one) in all.iter().enumerate() {
        for other in &all[..number] {
            apart(one, other, mistakes);
        }
    }
    let sources = config.sources.iter().map(|source| &source.name);
    if let Some(lead_state) = &topics.lead_state
        && *lead_state != topics.name
        && Router::new(&topics.name).is_ok_and(|it| it.may_name(lead_state, sources))
    {
        let problem = format!(
            "is `{lead_state}`, to which events may go by topics.name: lead states are on a compacted topic, where \
             the state of a lead deletes the events with the same key"
        );
        mistakes.at(
            &Key::new("topics.lead_state"),
            problem,
            "Choose a topic that no event goes to.",
        );
    }
}

/// Refuses two topics that are one, or that Kafka takes for one. The mistake is at the key that was set, where the other
/// one has its default.
fn apart(one: &Purpose<'_>, other: &Purpose<'_>, mistakes: &mut Mistakes) {
    let (wrong, other) = match one.is_default && !other.is_default && other.key != "topics.name" {
        true => (other, one),
        false => (one, other),
    };
    let separate = format!("{} and {} need a topic each", other.holds, wrong.holds);
    let problem = if wrong.topic == other.topic {
        format!("is `{}`, and so is {}: {separate}", wrong.topic, other.key)
    } else if wrong.topic.replace('.', "_") == other.topic.replace('.', "_") {
        format!(
            "is `{}`, and {} is `{}`: {separate}, and Kafka does not create a topic whose name differs from \
             another one's in `.` and `_` alone",
            wrong.topic, other.key, other.topic
        )
    } else {
        return;
    };
    let remedy = format!("Choose another topic for {} or for {}.", wrong.key, other.key);
    mistakes.at(&Key::new(wrong.key), problem, remedy);
}
