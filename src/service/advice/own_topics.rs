//! Topics of the program's own that `topics.name` makes of known events too: the events go beside them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Known, listed};
use crate::{
    config::{Config, SourceConfig},
    deliver::route::Router,
};

/// Whether events of any type may lead to one of them.
pub(super) fn may_be_met(config: &Config) -> bool {
    let Ok(router) = Router::new(&config.topics.name) else { return false };
    let sources = || config.sources.iter().map(|source| &source.name);
    config.own_topics().any(|own| router.may_name(own.topic, sources()))
}

pub(super) fn met(config: &Config, sources: &[(&SourceConfig, Vec<Known>)]) -> Vec<String> {
    let mut found = Vec::new();
    for own in config.own_topics() {
        let mut instead: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for it in sources.iter().flat_map(|(_, types)| types) {
            if it.is_taken && it.named == own.topic && it.topic != own.topic {
                instead.entry(&it.topic).or_default().insert(&it.event_type);
            }
        }
        let (key, topic) = (own.key, own.topic);
        found.extend(instead.into_iter().map(|(instead, types)| {
            format!(
                "{key} is `{topic}`, and topics.name makes the same topic of events ({}): these events go to \
                 `{instead}`. Choose another topic for {key}",
                listed(types)
            )
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{advice, config};

    #[test]
    fn a_topic_of_our_own_that_known_events_would_go_to_is_reported() {
        for (key, topic) in [
            ("topics.ids", "marketo.lead-activity.clicklink"),
            ("topics.dead_letter", "marketo.user-audit.landingpage"),
            ("admin.test_topic", "marketo.lead-activity.clicklink"),
        ] {
            let variable = format!("MILLRACE_{}", key.to_uppercase().replace('.', "__"));
            let found = advice(&config(&[(&variable, topic)]));
            let [one] = &found[..] else { panic!("{key}: {found:?}") };
            let (_, event_type) = topic.rsplit_once('.').unwrap();
            let told = format!(
                "{key} is `{topic}`, and topics.name makes the same topic of events ({event_type}): these events go to \
                 `{topic}-`."
            );
            assert!(one.starts_with(&told), "{one}");
        }
        let by_source = [("MILLRACE_TOPICS__NAME", "marketo.{source}")];
        assert_eq!(advice(&config(&by_source)), [""; 0]);
        let ids = ("MILLRACE_TOPICS__IDS", "marketo.io");
        let found = advice(&config(&[by_source[0], ids]));
        assert!(
            found.len() == 1 && found[0].contains(" more): these events go to `marketo.io-`"),
            "{found:?}"
        );
        // No event is known to be called so; one that a sender invents goes beside the topic.
        assert_eq!(advice(&config(&[("MILLRACE_TOPICS__NAME", "marketo.{type}")])), [""; 0]);
    }
}
