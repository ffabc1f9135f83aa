//! Topics are made and compared, with a cluster that lags or does not answer.

use super::*;

fn of(settings: &[(&str, &str)]) -> Settings {
    settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// A cluster whose controller does not answer.
struct Silent {
    requests: usize,
}

impl Ask for Silent {
    fn shown(&mut self, _: &[String]) -> Result<HashMap<String, TopicInfo>, InspectError> {
        Ok(HashMap::new())
    }

    fn settings(&mut self, _: &[String]) -> HashMap<String, Result<Settings, NoSettings>> {
        HashMap::new()
    }

    fn make(&mut self, names: &[String]) -> Vec<(String, Made)> {
        self.requests += 1;
        names.iter().map(|name| (name.clone(), Made::NoAnswer("silence".into()))).collect()
    }
}

#[test]
fn a_controller_that_does_not_answer_is_asked_once_however_many_topics_there_are() {
    let mut silent = Silent { requests: 0 };
    let names: Vec<_> = (0..5 * TOPICS_PER_REQUEST).map(|n| format!("t.{n}")).collect();
    let topics = config::Topics::default();
    let ensured = ensure(&mut silent, &topics, &names, Duration::from_secs(60)).unwrap();
    assert_eq!(silent.requests, 1);
    let refused = Ensured::Refused("silence".into());
    assert!(ensured.len() == names.len() && ensured.values().all(|it| *it == refused));
}

/// A cluster that has `topics` and shows them after a number of questions.
struct Lagging {
    topics: Vec<&'static str>,
    shown_after: usize,
    settings_after: usize,
}

impl Ask for Lagging {
    fn shown(&mut self, names: &[String]) -> Result<HashMap<String, TopicInfo>, InspectError> {
        if self.shown_after > 0 {
            self.shown_after -= 1;
            return Ok(HashMap::new());
        }
        let there = names.iter().filter(|name| self.topics.contains(&name.as_str()));
        let info = TopicInfo::Exists { partitions: 1, replicas: 1, leaderless: 0 };
        let topic = |name: &String| (name.clone(), info.clone());
        Ok(there.map(topic).collect())
    }

    fn settings(&mut self, names: &[String]) -> HashMap<String, Result<Settings, NoSettings>> {
        let known = self.settings_after == 0;
        self.settings_after = self.settings_after.saturating_sub(usize::from(!names.is_empty()));
        let settings = || if known { Ok(Settings::new()) } else { Err(NoSettings::NotThereYet) };
        names.iter().map(|name| (name.clone(), settings())).collect()
    }

    fn make(&mut self, names: &[String]) -> Vec<(String, Made)> {
        let made = |name: &String| match self.topics.contains(&name.as_str()) {
            true => (name.clone(), Made::Exists),
            false => (name.clone(), Made::Created),
        };
        names.iter().map(made).collect()
    }
}

fn ensured(mut cluster: Lagging, patience: Duration) -> Vec<(String, Ensured)> {
    let names = ["made.before".to_owned(), "new".to_owned()];
    let topics = config::Topics::default();
    let ensured = ensure(&mut cluster, &topics, &names, patience).unwrap();
    let mut ensured: Vec<_> = ensured.into_iter().collect();
    ensured.sort_by(|(a, _), (b, _)| a.cmp(b));
    ensured
}

#[test]
fn a_topic_that_was_made_a_moment_ago_is_looked_for_until_it_is_shown() {
    let topics = vec!["made.before"];
    let lagging = Lagging { topics, shown_after: 2, settings_after: 1 };
    let ensured = ensured(lagging, Duration::from_secs(60));
    let as_wanted = ("made.before".to_owned(), Ensured::AsWanted);
    assert_eq!(ensured, [as_wanted, ("new".to_owned(), Ensured::Made)]);
}

#[test]
fn a_topic_that_is_never_shown_lacks_a_permission_once_the_patience_is_over() {
    let topics = vec!["made.before"];
    let lagging = Lagging { topics, shown_after: usize::MAX, settings_after: 0 };
    let ensured = ensured(lagging, Duration::ZERO);
    let Ensured::Refused(why) = &ensured[0].1 else { panic!("{ensured:?}") };
    assert!(why.contains("needs Describe and Create"), "{why}");
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
    let compacted =
        config::Topics { config: [("cleanup.policy".into(), "compact".into())].into(), ..topics };
    assert_eq!(differences(&compacted, 1, 2, &settings), []);
}
