//! Makes topics that are missing and compares those that exist with what was wanted, once, for
//! `millrace topics --create`. Nothing that exists is changed.

use std::{
    collections::HashMap,
    fmt, thread,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
    config::RDKafkaLogLevel,
    error::RDKafkaErrorCode as Code,
};

use crate::config;

use super::{
    errors, probe,
    probe::ProbeError,
    properties,
    topics::{AdminMaker, Made, TopicMaker},
};

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    Made,
    AsWanted,
    /// It exists, and is not as it would be made; or in a way that records can't be written.
    Differs(Vec<Difference>),
    /// It could not be made, or could not be looked at; the text says what to do.
    Refused(String),
}

/// Displays as `partitions: 1, wanted 6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: String,
    pub is: String,
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, wanted {}", self.what, self.is, self.wanted)
    }
}

/// Topics that are made in one request: a broker makes each partition's files before it answers.
const TOGETHER: usize = 20;
/// Between two tries to make what the cluster could not make just now.
const AGAIN: Duration = Duration::from_millis(500);

/// Sees to it that each of `names` is there, as `topics` has it; one answer for each, in order. The
/// cluster may take `patience` to answer at all, and as long again to make what is missing.
pub fn ensure_topics(
    kafka: &config::Kafka,
    topics: &config::Topics,
    names: &[String],
    patience: Duration,
) -> Result<Vec<(String, Ensured)>, ProbeError> {
    let found = probe::listing(kafka, patience)?;
    let (there, missing): (Vec<_>, Vec<_>) =
        names.iter().cloned().partition(|name| found.contains_key(name));
    let mut ensured = compare(kafka, topics, &there, &found, patience);
    ensured.extend(make(kafka, topics, missing, patience)?);
    let take = |name: &String| {
        let unknown = || Ensured::Refused(format!("topic `{name}`: the cluster did not answer"));
        (name.clone(), ensured.remove(name).unwrap_or_else(unknown))
    };
    Ok(names.iter().map(take).collect())
}

/// A topic that the cluster shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Topic { partitions: usize, replicas: usize },
    Trouble(String),
}

fn make(
    kafka: &config::Kafka,
    topics: &config::Topics,
    mut missing: Vec<String>,
    patience: Duration,
) -> Result<HashMap<String, Ensured>, ProbeError> {
    let mut ensured = HashMap::new();
    let mut maker = AdminMaker::new(kafka, topics)
        .map_err(|error| ProbeError::Config(format!("no thread for the admin client: {error}")))?;
    let end = Instant::now() + patience;
    let mut tried = false;
    while !missing.is_empty() {
        let mut again = Vec::new();
        for names in missing.chunks(TOGETHER) {
            for (name, made) in maker.make(names) {
                let result = match made {
                    Made::Created => Ensured::Made,
                    // A try that got no answer has made it.
                    Made::Exists if tried => Ensured::Made,
                    Made::Exists => Ensured::Refused(format!(
                        "topic `{name}` exists, or may not be made, and may not be seen: the \
                         principal needs Describe and Create on it"
                    )),
                    Made::NotYet(_) if Instant::now() < end => {
                        again.push(name);
                        continue;
                    }
                    Made::NotYet(why) | Made::Refused(why) => Ensured::Refused(why),
                };
                ensured.insert(name, result);
            }
        }
        missing = again;
        tried = true;
        if !missing.is_empty() {
            thread::sleep(AGAIN);
        }
    }
    Ok(ensured)
}

fn compare(
    kafka: &config::Kafka,
    topics: &config::Topics,
    there: &[String],
    found: &HashMap<String, Shown>,
    patience: Duration,
) -> HashMap<String, Ensured> {
    let settings = settings(kafka, there, patience);
    let one = |name: &String| {
        let ensured = match (found.get(name), settings.get(name)) {
            (Some(Shown::Topic { partitions, replicas }), Some(Ok(settings))) => {
                let differences = differences(topics, *partitions, *replicas, settings);
                if differences.is_empty() {
                    Ensured::AsWanted
                } else {
                    Ensured::Differs(differences)
                }
            }
            (Some(Shown::Trouble(trouble)), _) => Ensured::Refused(trouble.clone()),
            (_, Some(Err(why))) => Ensured::Refused(format!(
                "topic `{name}` is there, and its settings can't be compared: {why}"
            )),
            _ => Ensured::Refused(format!("topic `{name}`: the cluster did not answer")),
        };
        (name.clone(), ensured)
    };
    there.iter().map(one).collect()
}

/// A topic's settings in effect, under Kafka's own names.
type Settings = HashMap<String, String>;

fn settings(
    kafka: &config::Kafka,
    names: &[String],
    patience: Duration,
) -> HashMap<String, Result<Settings, String>> {
    let all = |why: &str| names.iter().map(|name| (name.clone(), Err(why.to_owned()))).collect();
    if names.is_empty() {
        return HashMap::new();
    }
    let mut native = properties::client(kafka);
    native.set_log_level(RDKafkaLogLevel::Emerg);
    let admin: AdminClient<DefaultClientContext> = match native.create() {
        Ok(admin) => admin,
        Err(error) => return all(&properties::describe(&error)),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => return all(&error.to_string()),
    };
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(patience));
    let described = match runtime.block_on(admin.describe_configs(&resources, &options)) {
        Ok(described) => described,
        Err(error) => return all(&properties::describe(&error)),
    };
    let read = |described: Result<rdkafka::admin::ConfigResource, Code>| match described {
        Ok(resource) => {
            let entries = resource.entries.into_iter();
            Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
        }
        Err(Code::TopicAuthorizationFailed) => {
            Err("the principal needs DescribeConfigs on it".to_owned())
        }
        Err(code) => Err(code.to_string()),
    };
    names.iter().cloned().zip(described.into_iter().map(read)).collect()
}

fn differences(
    topics: &config::Topics,
    partitions: usize,
    replicas: usize,
    settings: &Settings,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, is: &str, wanted: &str| {
        if is != wanted {
            differences.push(Difference {
                what: what.into(),
                is: is.into(),
                wanted: wanted.into(),
            });
        }
    };
    for (what, is, wanted) in [
        ("partitions", partitions, topics.partitions),
        ("replicas", replicas, topics.replication_factor),
    ] {
        if wanted > 0 {
            differ(what, &is.to_string(), &wanted.to_string());
        }
    }
    for (name, wanted) in &topics.config {
        differ(name, settings.get(name).map_or("unknown", String::as_str), wanted);
    }
    // What nobody asked for, and would be no good all the same.
    let policy = settings.get("cleanup.policy").map_or("", String::as_str);
    if !topics.config.contains_key("cleanup.policy") && policy.contains("compact") {
        differ("cleanup.policy", policy, "delete, or all but the last event of each key goes");
    }
    let least = settings.get("min.insync.replicas").and_then(|least| least.parse::<usize>().ok());
    if let Some(least) = least.filter(|least| *least > replicas) {
        let wanted = format!("at most {replicas}, its replicas, or nothing can be written");
        differ("min.insync.replicas", &least.to_string(), &wanted);
    }
    differences
}

/// What a code says of a topic that is shown with one; `None` where it is simply not there.
pub(super) fn trouble(name: &str, code: Code) -> Option<Shown> {
    let text = match code {
        code if errors::is_missing_topic(code) => return None,
        Code::TopicAuthorizationFailed => {
            format!("topic `{name}` may not be seen: the principal needs Describe on it")
        }
        code => format!("topic `{name}`: {code}"),
    };
    Some(Shown::Trouble(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> Settings {
        settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn shown(differences: &[Difference]) -> Vec<String> {
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_was_asked_for_is_compared_and_nothing_else() {
        let settings = of(&[("retention.ms", "1000"), ("cleanup.policy", "delete")]);
        let topics = config::Topics::default();
        assert_eq!(differences(&topics, 1, 1, &settings), []);
        let wanted = config::Topics {
            partitions: 6,
            replication_factor: 3,
            config: [("retention.ms".into(), "2000".into()), ("x".into(), "y".into())].into(),
            ..topics
        };
        assert_eq!(
            shown(&differences(&wanted, 1, 3, &settings)),
            ["partitions: 1, wanted 6", "retention.ms: 1000, wanted 2000", "x: unknown, wanted y"]
        );
    }

    #[test]
    fn a_topic_that_loses_events_or_can_not_be_written_differs_from_any_wish() {
        let settings = of(&[("cleanup.policy", "compact"), ("min.insync.replicas", "2")]);
        let topics = config::Topics::default();
        let found = shown(&differences(&topics, 1, 1, &settings));
        assert!(found[0].starts_with("cleanup.policy: compact, wanted delete"), "{found:?}");
        assert!(found[1].starts_with("min.insync.replicas: 2, wanted at most 1"), "{found:?}");
        assert_eq!(found.len(), 2);
        let compacted = config::Topics {
            config: [("cleanup.policy".into(), "compact".into())].into(),
            ..topics
        };
        assert_eq!(differences(&compacted, 1, 2, &settings), []);
    }
}
