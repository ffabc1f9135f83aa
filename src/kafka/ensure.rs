//! Makes missing topics and compares the others with the configuration, once, for `millrace topics --create`.
//! Existing topics are not changed.
//!
//! A broker shows a topic some time after the controller has made it. So a topic that is said to exist
//! and is not shown is looked for until the patience is over, and only then a permission is missing.

use std::{
    collections::{HashMap, HashSet},
    fmt, thread,
    time::{Duration, Instant},
};

use crate::config;

use super::{
    inspect::{
        InspectError, Inspector, TopicInfo,
        settings::{NoSettings, Settings, settings},
    },
    topics::{AdminMaker, Made, TopicMaker, made_as},
};

/// Result for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    Made,
    AsWanted,
    /// It exists, with other settings than it would be made with, or with settings that forbid to write.
    Differs(Vec<Difference>),
    /// It could not be made, or could not be looked at; the text names the remedy.
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

/// Topics in one request: a broker makes each partition's files before it answers.
const TOPICS_PER_REQUEST: usize = 20;
/// Time for the cluster's first answer: as much as `check --connect` allows.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two attempts to make topics that the cluster could not make just now.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Makes sure that each of `names` exists with the settings of `topics`; one result for each, in order. The
/// cluster may take `patience` for each later answer, and as long again until it shows the new topics.
pub fn ensure_topics(
    kafka: &config::Kafka,
    topics: &config::Topics,
    names: &[String],
    patience: Duration,
) -> Result<Vec<(String, Ensured)>, InspectError> {
    let maker = AdminMaker::new(kafka, topics).map_err(|error| {
        InspectError::Config(format!("cannot start the thread of the admin client: {error}"))
    })?;
    let mut cluster = Asked { kafka, topics, maker, patience, is_first: true };
    let mut ensured = ensure(&mut cluster, topics, names, patience)?;
    let take = |name: &String| {
        let unknown = || Ensured::Refused(format!("topic `{name}`: the cluster did not answer"));
        (name.clone(), ensured.remove(name).unwrap_or_else(unknown))
    };
    Ok(names.iter().map(take).collect())
}

/// Questions to a cluster.
trait Ask {
    /// The topics among `names` that it shows.
    fn shown(&mut self, names: &[String]) -> Result<HashMap<String, TopicInfo>, InspectError>;
    /// The settings of each of `names`.
    fn settings(&mut self, names: &[String]) -> HashMap<String, Result<Settings, NoSettings>>;
    /// Makes `names` in one request.
    fn make(&mut self, names: &[String]) -> Vec<(String, Made)>;
}

struct Asked<'a> {
    kafka: &'a config::Kafka,
    topics: &'a config::Topics,
    maker: AdminMaker,
    patience: Duration,
    /// Whether nothing was asked yet.
    is_first: bool,
}

impl Ask for Asked<'_> {
    fn shown(&mut self, names: &[String]) -> Result<HashMap<String, TopicInfo>, InspectError> {
        let Some(first) = names.first() else { return Ok(HashMap::new()) };
        let inspector = Inspector::new(self.kafka, Some(self.topics))?;
        // The first question also looks at the addresses that the cluster names.
        match std::mem::take(&mut self.is_first) {
            true => inspector.reach(first, self.patience.min(FIRST_ANSWER_TIMEOUT))?,
            false => inspector.first_answer(first, self.patience, &mut || Ok(()))?,
        };
        inspector.shown(names, self.patience)
    }

    fn settings(&mut self, names: &[String]) -> HashMap<String, Result<Settings, NoSettings>> {
        settings(self.kafka, names, self.patience.min(FIRST_ANSWER_TIMEOUT))
    }

    fn make(&mut self, names: &[String]) -> Vec<(String, Made)> {
        self.maker.make(names)
    }
}

fn ensure(
    cluster: &mut impl Ask,
    topics: &config::Topics,
    names: &[String],
    patience: Duration,
) -> Result<HashMap<String, Ensured>, InspectError> {
    let mut found = cluster.shown(names)?;
    let (mut there, mut missing): (Vec<_>, Vec<_>) =
        names.iter().cloned().partition(|name| found.contains_key(name));
    let mut ensured = HashMap::new();
    let mut unanswered = HashSet::new();
    let end = Instant::now() + patience;
    loop {
        let is_over = Instant::now() >= end;
        let mut unseen = compare(cluster, topics, &there, &found, &mut ensured);
        let mut again = Vec::new();
        for (name, made) in make(cluster, &missing) {
            let result = match made {
                Made::Created => Ensured::Made,
                // An earlier attempt that got no answer has made it.
                Made::Exists if unanswered.contains(&name) => Ensured::Made,
                Made::Exists => {
                    unseen.push(name);
                    continue;
                }
                Made::NotYet(_) if !is_over => {
                    unanswered.insert(name.clone());
                    again.push(name);
                    continue;
                }
                Made::NotYet(why) | Made::NoAnswer(why) | Made::Refused(why) => {
                    Ensured::Refused(why)
                }
            };
            ensured.insert(name, result);
        }
        if unseen.is_empty() && again.is_empty() {
            return Ok(ensured);
        }
        if is_over {
            ensured.extend(unseen.into_iter().map(never_shown));
            return Ok(ensured);
        }
        thread::sleep(RETRY_PAUSE);
        found.extend(cluster.shown(&unseen)?);
        there = unseen;
        missing = again;
    }
}

/// Makes `names` in as many requests as it takes; after one without an answer no other is sent.
fn make(cluster: &mut impl Ask, names: &[String]) -> Vec<(String, Made)> {
    let mut all = Vec::new();
    for names in names.chunks(TOPICS_PER_REQUEST) {
        if let Some((_, silent @ Made::NoAnswer(_))) = all.last().cloned() {
            all.extend(names.iter().map(|name| (name.clone(), silent.clone())));
            continue;
        }
        all.extend(cluster.make(names));
    }
    all
}

fn never_shown(name: String) -> (String, Ensured) {
    let why = format!(
        "topic `{name}` is not visible, or the principal is not allowed to create it: it needs Describe \
         and Create on it"
    );
    (name, Ensured::Refused(why))
}

/// Adds the results for the topics of `there` that the cluster shows; returns those that it does not show,
/// or not on every broker yet.
fn compare(
    cluster: &mut impl Ask,
    topics: &config::Topics,
    there: &[String],
    found: &HashMap<String, TopicInfo>,
    ensured: &mut HashMap<String, Ensured>,
) -> Vec<String> {
    let (there, mut unseen): (Vec<_>, Vec<_>) =
        there.iter().cloned().partition(|name| found.contains_key(name));
    let settings = cluster.settings(&there);
    for name in there {
        let result = match (found.get(&name), settings.get(&name)) {
            (Some(TopicInfo::Trouble(trouble)), _) => Ensured::Refused(trouble.clone()),
            (Some(TopicInfo::Exists { partitions, replicas, .. }), Some(Ok(settings))) => {
                let wanted = made_as(topics, &name);
                let differences = differences(&wanted, *partitions, *replicas, settings);
                if differences.is_empty() {
                    Ensured::AsWanted
                } else {
                    Ensured::Differs(differences)
                }
            }
            (_, Some(Err(NoSettings::NotThereYet))) => {
                unseen.push(name);
                continue;
            }
            (_, Some(Err(NoSettings::Because(why)))) => Ensured::Refused(format!(
                "topic `{name}` exists, but its settings cannot be compared: {why}"
            )),
            _ => Ensured::Refused(format!("topic `{name}`: the cluster did not answer")),
        };
        ensured.insert(name, result);
    }
    unseen
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
    // Settings that were not configured, and make the topic useless all the same.
    let policy = settings.get("cleanup.policy").map_or("", String::as_str);
    if !topics.config.contains_key("cleanup.policy") && policy.contains("compact") {
        differ("cleanup.policy", policy, "delete, or all but the last event of each key goes");
    }
    let least = settings.get("min.insync.replicas").and_then(|least| least.parse::<usize>().ok());
    if let Some(least) = least.filter(|least| *least > replicas) {
        let wanted = format!(
            "at most {replicas}, its number of replicas; otherwise no record can be written"
        );
        differ("min.insync.replicas", &least.to_string(), &wanted);
    }
    differences
}

#[cfg(test)]
mod tests;
