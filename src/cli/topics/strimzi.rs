//! The catalogue as KafkaTopic resources, for Strimzi's topic operator to make.
//!
//! A resource's name allows fewer characters than a topic's: lower-case letters, digits, `-` and
//! `.`, at most 253. For a topic's name that is not allowed, `spec.topicName` has it, and the resource's
//! name is a close one with a hash of the topic's, so that two topics stay two resources.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use super::catalogue::{Catalogue, Topic};
use crate::config::{self, Config};

/// The cluster and the namespace of the resources.
pub(super) struct Target<'a> {
    pub cluster: &'a str,
    pub namespace: Option<&'a str>,
}

/// Renders YAML, a document for each topic whose name is complete.
pub(super) fn resources(config: &Config, catalogue: &Catalogue, place: &Target<'_>) -> String {
    let one = |topic: &Topic| resource(&topic.name, &topic.made_with(&config.topics), place);
    catalogue.named().map(one).collect()
}

fn resource(topic: &str, topics: &config::Topics, place: &Target<'_>) -> String {
    let name = resource_name(topic);
    // Texts are written as JSON strings, which are valid YAML. Writing to a String cannot fail.
    let text = |text: &str| Value::from(text).to_string();
    let mut yaml = format!(
        "---\napiVersion: kafka.strimzi.io/v1\nkind: KafkaTopic\nmetadata:\n  name: {}\n",
        text(&name)
    );
    if let Some(namespace) = place.namespace {
        let _ = writeln!(yaml, "  namespace: {}", text(namespace));
    }
    let _ = write!(yaml, "  labels:\n    strimzi.io/cluster: {}\nspec:\n", text(place.cluster));
    let _ = writeln!(yaml, "  topicName: {}", text(topic));
    for (name, number) in
        [("partitions", topics.partitions), ("replicas", topics.replication_factor)]
    {
        if number > 0 {
            let _ = writeln!(yaml, "  {name}: {number}");
        }
    }
    if !topics.config.is_empty() {
        yaml.push_str("  config:\n");
        for (name, value) in &topics.config {
            let value = value.parse::<i64>().map_or_else(|_| text(value), |n| n.to_string());
            let _ = writeln!(yaml, "    {}: {value}", text(name));
        }
    }
    yaml
}

/// Returns the name of `topic`'s resource, by the rule of Kubernetes (a DNS subdomain).
fn resource_name(topic: &str) -> String {
    let is_label = |label: &str| {
        let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        label.chars().all(|c| alphanumeric(c) || c == '-')
            && label.starts_with(alphanumeric)
            && label.ends_with(alphanumeric)
    };
    if topic.split('.').all(is_label) {
        return topic.to_owned();
    }
    let labels = topic.split('.').map(|label| {
        let lower = label.to_ascii_lowercase().replace('_', "-");
        lower.trim_matches('-').to_owned()
    });
    let labels: Vec<_> = labels.filter(|label| !label.is_empty()).collect();
    let mut name = labels.join(".");
    if !name.is_empty() {
        name.push('-');
    }
    let hash = digest(&SHA256, topic.as_bytes());
    // A topic's name has at most 249 characters.
    name.truncate(253 - 8);
    for byte in &hash.as_ref()[..4] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_the_topics_name_where_kubernetes_takes_it() {
        for topic in ["marketo.lead-activity.clicklink", "all", "a.1"] {
            assert_eq!(resource_name(topic), topic);
        }
    }

    #[test]
    fn any_other_name_becomes_one_that_kubernetes_takes_and_stays_distinct() {
        let long = format!("A{}", "b_".repeat(124));
        let topics = ["marketo_leads", "Marketo.Leads", "marketo.leads-", "..a", "_", "__", &long];
        let mut names: Vec<_> = topics.iter().map(|topic| resource_name(topic)).collect();
        for name in &names {
            assert!((1..=253).contains(&name.len()), "{name}");
            assert_eq!(resource_name(name), *name, "a good name is left as it is");
        }
        assert!(names[0].starts_with("marketo-leads-"), "{names:?}");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), topics.len());
    }
}
