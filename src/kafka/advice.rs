//! Advice for operators: command lines of Kafka's own tools that repair a topic.

use std::fmt::Write;

use crate::config;

use super::{properties, topics::made_as};

/// Knows the cluster and how topics are to be made; writes ready command lines.
#[derive(Clone, Debug)]
pub(super) struct Advice {
    /// `--bootstrap-server …`, and the file to authenticate with where that is needed.
    connection: String,
    principal: String,
    /// How topics are made.
    topics: Option<config::Topics>,
    transactional_id_prefix: String,
    /// The topics that are also read: those of ids, and of checkpoints with exactly-once delivery.
    read: Vec<String>,
}

impl Advice {
    pub(super) fn new(kafka: &config::Kafka, topics: Option<&config::Topics>) -> Self {
        let mut connection = format!("--bootstrap-server {}", kafka.bootstrap_servers);
        if properties::is_secured(kafka) {
            connection.push_str(" --command-config admin.properties");
        }
        let principal = properties::principal(kafka).unwrap_or("<this service's principal>");
        Self {
            connection,
            principal: format!("'User:{principal}'"),
            topics: topics.cloned(),
            transactional_id_prefix: kafka.delivery.transactional_id_prefix.clone(),
            read: topics.map(|topics| read_topics(kafka, topics)).unwrap_or_default(),
        }
    }

    /// The line that makes `topic` as this service would.
    pub(super) fn create(&self, topic: &str) -> String {
        let mut line = format!("kafka-topics.sh {} --create --topic '{topic}'", self.connection);
        let Some(topics) = &self.topics else { return line };
        let made = made_as(topics, topic);
        if made.partitions > 0 {
            let _ = write!(line, " --partitions {}", made.partitions);
        }
        if made.replication_factor > 0 {
            let _ = write!(line, " --replication-factor {}", made.replication_factor);
        }
        for (name, value) in &made.config {
            let _ = write!(line, " --config '{name}={value}'");
        }
        line
    }

    /// The line that gives `topic` these settings.
    pub(super) fn set(&self, topic: &str, settings: &[(&str, &str)]) -> String {
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!(
            "kafka-configs.sh {} --alter --entity-type topics --entity-name '{topic}' --add-config '{}'",
            self.connection,
            settings.join(",")
        )
    }

    /// The line that lets this service look at the settings of `topic`.
    pub(super) fn allow_settings(&self, topic: &str) -> String {
        self.allow("--operation DescribeConfigs", &format!("--topic '{topic}'"))
    }

    /// The line that lets this service use `topic`: write, and all other rights that writing needs. All in one line,
    /// so that no second missing right turns up after the first.
    pub(super) fn allow_write(&self, topic: &str) -> String {
        self.allow_topic("--operation Write --operation Describe", topic)
    }

    /// The line that lets this service have transactions, under the ids of all present and later spools.
    pub(super) fn allow_transactions(&self) -> String {
        let ids = match &*self.transactional_id_prefix {
            "" => "--transactional-id '*'".to_owned(),
            prefix => format!("--transactional-id '{prefix}' --resource-pattern-type prefixed"),
        };
        self.allow("--operation Write --operation Describe", &ids)
    }

    /// The line that lets this service make `topic` and then write to it.
    pub(super) fn allow_create(&self, topic: &str) -> String {
        self.allow_topic("--operation Create --operation Write --operation Describe", topic)
    }

    /// The line for a topic that this service cannot see: it may have to be made first.
    pub(super) fn allow_unseen(&self, topic: &str) -> String {
        let makes_topics = self.topics.as_ref().is_some_and(|topics| topics.create);
        if makes_topics { self.allow_create(topic) } else { self.allow_write(topic) }
    }

    fn allow_topic(&self, operations: &str, topic: &str) -> String {
        let resource = format!("--topic '{topic}'");
        match self.read.iter().any(|read| read == topic) {
            true => self.allow(&format!("--operation Read {operations}"), &resource),
            false => self.allow(operations, &resource),
        }
    }

    /// The line that lets this service write idempotently (needed up to Kafka 2.8).
    pub(super) fn allow_idempotent_write(&self) -> String {
        self.allow("--operation IdempotentWrite", "--cluster")
    }

    fn allow(&self, operations: &str, resource: &str) -> String {
        format!(
            "kafka-acls.sh {} --add --allow-principal {} {operations} {resource}",
            self.connection, self.principal
        )
    }
}

/// The topics that this service reads while it forwards, besides writing to them.
pub(super) fn read_topics(kafka: &config::Kafka, topics: &config::Topics) -> Vec<String> {
    let checkpoints = kafka.delivery.is_exactly_once().then_some(&topics.checkpoints);
    checkpoints.into_iter().chain(&topics.ids).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_name_the_cluster_the_topic_and_the_settings() {
        let kafka = config::Kafka {
            bootstrap_servers: "b1:9092,b2:9092".into(),
            properties: [
                ("sasl.username".into(), config::Secret::new("mill").unwrap()),
                ("security.protocol".into(), config::Secret::new("SASL_SSL").unwrap()),
            ]
            .into(),
            queue_size: 1,
            delivery: Default::default(),
        };
        let topics = config::Topics {
            partitions: 6,
            config: [("retention.ms".into(), "1000".into())].into(),
            ..config::Topics::default()
        };
        let advice = Advice::new(&kafka, Some(&topics));
        assert_eq!(
            advice.create("t"),
            "kafka-topics.sh --bootstrap-server b1:9092,b2:9092 --command-config admin.properties \
             --create --topic 't' --partitions 6 --config 'retention.ms=1000'"
        );
        assert_eq!(
            advice.allow_write("t"),
            "kafka-acls.sh --bootstrap-server b1:9092,b2:9092 --command-config admin.properties \
             --add --allow-principal 'User:mill' --operation Write --operation Describe --topic 't'"
        );
        let both = "--operation Create --operation Write --operation Describe --topic 't'";
        for line in [advice.allow_create("t"), advice.allow_unseen("t")] {
            assert!(line.ends_with(both), "{line}");
        }
        let ids = config::Topics { ids: Some("i".into()), ..topics.clone() };
        let advice = Advice::new(&kafka, Some(&ids));
        assert!(advice.create("i").ends_with(
            "--topic 'i' --partitions 1 --config 'cleanup.policy=delete' --config 'compression.type=uncompressed' \
             --config 'retention.ms=93600000' \
             --config 'segment.bytes=67108864'"
        ));
        let all = "--operation Read --operation Write --operation Describe --topic 'i'";
        assert!(advice.allow_write("i").ends_with(all), "{}", advice.allow_write("i"));
        assert!(!advice.allow_write("t").contains("Read"));
        let line = advice.create(&ids.checkpoints);
        assert!(line.contains("--partitions 1 --config 'cleanup.policy=compact'"), "{line}");
        assert!(!line.contains("retention.ms"), "{line}");
        let by_hand = config::Topics { create: false, ..topics };
        let advice = Advice::new(&kafka, Some(&by_hand));
        assert_eq!(advice.allow_unseen("t"), advice.allow_write("t"));
    }
}
