//! Colliding topic names: Kafka takes names that differ only in `.` and `_` for one topic, since its metrics
//! write `_` for both. A broker refuses the second one as an invalid name and says which topic is the first,
//! but the library does not pass that on: so the neighbours of the name are looked up.

use std::{sync::Arc, time::Duration};

use rdkafka::ClientConfig;

use crate::config;

use super::{
    by_name::{self, Patience},
    cluster::Cluster,
    context::ready,
};

/// Limit of dots and underscores: a name with more has too many neighbours to look up.
const MAX_SEPARATORS: u32 = 6;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// The error for `topic`, which was refused as an invalid name.
pub(super) fn describe(kafka: &config::Kafka, client: &ClientConfig, topic: &str) -> String {
    let what = format!("cannot create topic `{topic}`");
    match existing(kafka, client, topic) {
        Some(other) => format!(
            "{what}: `{other}` exists, and Kafka takes names that differ in `.` and `_` alone for one \
             topic; give one of them another name (topics.name, topics.dead_letter, topics.ids, …)"
        ),
        None => format!(
            "{what}: its name is not accepted, perhaps because a topic exists whose name differs in `.` \
             and `_` alone; choose another name (topics.name, topics.dead_letter, topics.ids, …)"
        ),
    }
}

fn existing(kafka: &config::Kafka, client: &ClientConfig, topic: &str) -> Option<String> {
    let cluster = Arc::new(Cluster::new(""));
    let client = ready(kafka, client, &cluster).ok()?;
    let (answers, _) =
        by_name::ask(&client, &neighbours(topic), &mut Patience::of(ANSWER_TIMEOUT), |topic| {
            topic.is_some_and(|topic| topic.error().is_none())
        });
    answers.into_iter().find(|(_, exists)| *exists).map(|(name, _)| name)
}

/// All names that differ from `topic` only in `.` and `_`; none for a name with too many of them.
fn neighbours(topic: &str) -> Vec<String> {
    let places: Vec<_> = topic.match_indices(['.', '_']).map(|(place, _)| place).collect();
    let count = match u32::try_from(places.len()) {
        Ok(count @ ..=MAX_SEPARATORS) => 1_usize << count,
        _ => 0,
    };
    let neighbour = |choice: usize| {
        let mut name = topic.to_owned();
        for (n, place) in places.iter().enumerate() {
            let sign = if choice >> n & 1 == 0 { "." } else { "_" };
            name.replace_range(*place..=*place, sign);
        }
        name
    };
    (0..count).map(neighbour).filter(|name| name != topic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_differ_in_dots_and_underscores_alone() {
        assert_eq!(neighbours("a.b_c"), ["a.b.c", "a_b.c", "a_b_c"]);
        assert!(neighbours("abc").is_empty());
        assert!(neighbours(&"a.".repeat(50)).is_empty());
    }
}
