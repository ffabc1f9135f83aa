//! How each topic is made: one of events by the configuration, the others as their purpose needs it.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use crate::config;

/// Settings of the topic of checkpoints: the last one of each spool is enough, and a start reads the part
/// that is not compacted yet.
const CHECKPOINTS: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

pub(in crate::kafka) const COMPRESSION: &str = "compression.type";

/// Shortest retention of the topic of ids: a reader may be behind.
const SHORTEST_KEPT: Duration = Duration::from_secs(3600);

/// Returns the number of partitions, the number of replicas and the settings that `topic` is made with.
pub fn made_as<'a>(topics: &'a config::Topics, topic: &str) -> Cow<'a, config::Topics> {
    if topic == topics.checkpoints {
        let settings = CHECKPOINTS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        return with(topics, 1, settings.into());
    }
    if topics.ids.as_deref() == Some(topic) {
        return with(topics, 1, of_ids(topics));
    }
    if topics.lead_state.as_deref() == Some(topic) {
        // The last state of each lead is enough.
        let mut settings = topics.config.clone();
        settings.insert("cleanup.policy".into(), "compact".into());
        return with(topics, topics.partitions, settings);
    }
    Cow::Borrowed(topics)
}

fn with(
    topics: &config::Topics,
    partitions: i32,
    config: BTreeMap<String, String>,
) -> Cow<'_, config::Topics> {
    Cow::Owned(config::Topics { partitions, config, ..topics.clone() })
}

/// It is kept by time alone, for as long as repeats are recognised.
fn of_ids(topics: &config::Topics) -> BTreeMap<String, String> {
    let kept = topics.ids_kept.max(SHORTEST_KEPT).as_millis();
    let settings = [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", kept.to_string()),
        ("segment.bytes", "67108864".into()),
        // So that the broker refuses a record that is huge once it is decompressed: readers have no limit for gzip.
        (COMPRESSION, "uncompressed".into()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).into()
}
