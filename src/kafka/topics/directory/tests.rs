mod shares;

use std::{collections::BTreeMap, time::Instant};

use super::{
    super::shares::{OVER_LIMIT_FOR, OVER_LIMIT_NAMES},
    *,
};
use crate::config;

fn directory(create: bool, limit: usize) -> Directory {
    let kafka = config::Kafka {
        bootstrap_servers: "b:9092".into(),
        properties: BTreeMap::new(),
        queue_size: 1,
        delivery: Default::default(),
    };
    let rules = Rules {
        create,
        limit,
        prefix: "marketo.".into(),
        dead_letter: "marketo.dead".into(),
        checkpoints: "marketo.checkpoints".into(),
        lead_state: None,
        ids: None,
    };
    Directory::new(rules, Advice::new(&kafka, None))
}

fn listing(topics: &[&str]) -> Listing {
    let led = |topic: &&str| ((*topic).to_owned(), Found::Led { partitions: 3 });
    Listing { topics: topics.iter().map(led).collect(), took: Duration::ZERO }
}

/// The answers about `due` of a cluster that has `there`.
fn answers(due: &[String], there: &[&str]) -> Answers {
    let answer = |topic: &String| match there.contains(&topic.as_str()) {
        true => (topic.clone(), Found::Led { partitions: 3 }),
        false => (topic.clone(), Found::Missing),
    };
    due.iter().map(answer).collect()
}

fn names(topics: &[&str]) -> Vec<String> {
    topics.iter().map(|topic| (*topic).to_owned()).collect()
}

/// Asks for each topic, and then the cluster, which has `there`; returns the topics to be made.
fn ask(directory: &mut Directory, topics: &[&str], there: &[&str], now: Instant) -> Vec<String> {
    ask_for(directory, 0, topics, there, now)
}

/// Does the same for one source.
fn ask_for(
    directory: &mut Directory,
    source: usize,
    topics: &[&str],
    there: &[&str],
    now: Instant,
) -> Vec<String> {
    for topic in topics {
        directory.state(source, topic, now);
    }
    let due = directory.take_due(now);
    let mut missing = directory.settle(&answers(&due, there), now);
    if directory.wants_listing() {
        missing.extend(list(directory, there, now));
    }
    missing
}

fn list(directory: &mut Directory, there: &[&str], now: Instant) -> Vec<String> {
    directory.begin_listing();
    directory.listed(&listing(there), now)
}

#[test]
fn a_topic_that_exists_is_ready_before_anybody_asks() {
    let now = Instant::now();
    let mut directory = directory(true, 10);
    list(&mut directory, &["marketo.a", "other"], now);
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Ready));
    assert_eq!(directory.known("other"), None);
}

#[test]
fn a_missing_topic_is_pending_then_made_then_ready_once_it_has_a_leader() {
    let now = Instant::now();
    let mut directory = directory(true, 10);
    assert_eq!(directory.state(0, "marketo.a", now), (TopicState::Pending, true));
    assert_eq!(directory.state(0, "marketo.a", now), (TopicState::Pending, false));
    assert_eq!(ask(&mut directory, &[], &[], now), names(&["marketo.a"]));
    directory.made("marketo.a", Made::Created, now);
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Pending));
    assert!(directory.take_due(now).is_empty(), "it is not looked up in a hot loop");

    let later = directory.next_due().unwrap();
    let due = directory.take_due(later);
    let leaderless = [("marketo.a".to_owned(), Found::Leaderless)].into();
    assert_eq!(due, names(&["marketo.a"]));
    assert!(directory.settle(&leaderless, later).is_empty());
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Pending));
    let later = directory.next_due().unwrap();
    assert!(ask(&mut directory, &[], &["marketo.a"], later).is_empty());
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Ready));
    assert_eq!(directory.next_due(), None);
}

#[test]
fn many_missing_topics_are_made_in_one_request() {
    let mut directory = directory(true, 10);
    let missing = ask(&mut directory, &["marketo.b", "marketo.a"], &[], Instant::now());
    assert_eq!(missing, names(&["marketo.a", "marketo.b"]));
}

#[test]
fn while_the_cluster_is_away_an_unknown_topic_is_pending() {
    let mut now = Instant::now();
    let mut directory = directory(false, 10);
    directory.state(0, "marketo.a", now);
    for _ in 0..50 {
        let due = directory.take_due(now);
        directory.unanswered(&due, now);
        assert_eq!(directory.known("marketo.a"), Some(TopicState::Pending));
        now = directory.next_due().unwrap();
    }
}

#[test]
fn without_creation_a_missing_topic_is_unavailable_until_it_is_made() {
    let now = Instant::now();
    let mut directory = directory(false, 10);
    assert!(ask(&mut directory, &["marketo.a"], &[], now).is_empty());
    let Some(TopicState::Unavailable(text)) = directory.known("marketo.a") else { panic!() };
    assert!(text.contains("topics.create is off"), "{text}");
    assert!(text.contains("kafka-topics.sh --bootstrap-server b:9092 --create"), "{text}");

    let later = directory.next_due().unwrap();
    let due = directory.take_due(later);
    directory.unanswered(&due, later);
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Unavailable(text)));
    let later = directory.next_due().unwrap();
    ask(&mut directory, &[], &["marketo.a"], later);
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Ready));
}

#[test]
fn a_refused_creation_is_unavailable_and_tried_again() {
    let now = Instant::now();
    let mut directory = directory(true, 10);
    ask(&mut directory, &["marketo.a"], &[], now);
    directory.made("marketo.a", Made::Refused("not allowed".into()), now);
    let refused = TopicState::Unavailable("not allowed".into());
    assert_eq!(directory.known("marketo.a"), Some(refused));
    let later = directory.next_due().unwrap();
    assert_eq!(ask(&mut directory, &[], &[], later), names(&["marketo.a"]));
}

#[test]
fn a_trouble_of_the_clusters_own_leaves_the_topic_pending() {
    let now = Instant::now();
    let mut directory = directory(true, 10);
    ask(&mut directory, &["marketo.a"], &[], now);
    directory.made("marketo.a", Made::NotYet("timed out".into()), now);
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Pending));
}

#[test]
fn existing_topics_count_and_one_more_than_the_limit_is_over_it() {
    let now = Instant::now();
    let mut directory = directory(true, 3);
    let listed = ["marketo.a", "marketo.b", "elsewhere"];
    let missing = ask(&mut directory, &["marketo.c", "marketo.d"], &listed, now);
    assert_eq!(missing, names(&["marketo.c"]));
    assert_eq!(directory.state(0, "marketo.d", now), (TopicState::OverLimit, false));
    directory.made("marketo.c", Made::Created, now);
    assert_eq!(directory.counted(), 3);
    // Existing topics are ready however many there are, and the dead-letter topic is exempt.
    let listed = ["marketo.a", "marketo.b", "marketo.c", "marketo.e"];
    let missing = ask(&mut directory, &["marketo.e", "marketo.dead"], &listed, now);
    assert_eq!(directory.known("marketo.e"), Some(TopicState::Ready));
    assert_eq!(missing, names(&["marketo.dead"]));
}

#[test]
fn a_topic_that_was_just_made_and_is_not_listed_yet_is_not_one_too_many() {
    let now = Instant::now();
    let mut directory = directory(true, 1);
    assert_eq!(ask(&mut directory, &["marketo.a"], &[], now), names(&["marketo.a"]));
    directory.made("marketo.a", Made::Created, now);
    let later = directory.next_due().unwrap();
    assert_eq!(ask(&mut directory, &["marketo.b"], &[], later), names(&["marketo.a"]));
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Pending));
    assert_eq!(directory.state(0, "marketo.b", later), (TopicState::OverLimit, false));
}

#[test]
fn a_topic_that_exists_already_and_is_not_listed_yet_leaves_no_room_for_one_more() {
    let now = Instant::now();
    let mut directory = directory(true, 1);
    assert_eq!(ask(&mut directory, &["marketo.a"], &[], now), names(&["marketo.a"]));
    // The first request to make it got no answer in time, and did make it.
    directory.made("marketo.a", Made::Exists, now);
    assert!(ask(&mut directory, &["marketo.b"], &[], now).is_empty());
    assert_eq!(directory.state(0, "marketo.b", now), (TopicState::OverLimit, false));
}

#[test]
fn a_topic_over_the_limit_is_looked_up_again_when_a_source_asks_later() {
    let now = Instant::now();
    let mut directory = directory(true, 1);
    ask(&mut directory, &["marketo.b"], &["marketo.a"], now);
    let later = now + OVER_LIMIT_FOR;
    assert_eq!(directory.state(0, "marketo.b", later), (TopicState::Pending, true));
    assert_eq!(ask(&mut directory, &[], &[], later), names(&["marketo.b"]));
}

#[test]
fn a_topic_deleted_meanwhile_is_made_again() {
    let now = Instant::now();
    let mut directory = directory(true, 10);
    list(&mut directory, &["marketo.a"], now);
    directory.mark_missing("marketo.a", now);
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Pending));
    assert_eq!(ask(&mut directory, &[], &[], now), names(&["marketo.a"]));
}

#[test]
fn reports_of_every_record_do_not_hurry_the_retries() {
    let now = Instant::now();
    let mut directory = directory(false, 10);
    ask(&mut directory, &["marketo.a"], &[], now);
    let due = directory.next_due();
    directory.mark_missing("marketo.a", now);
    assert_eq!(directory.next_due(), due);
    assert!(matches!(directory.known("marketo.a"), Some(TopicState::Unavailable(_))));
}

#[test]
fn a_topic_that_exists_but_is_not_shown_is_ready() {
    let now = Instant::now();
    let mut directory = directory(true, 10);
    ask(&mut directory, &["marketo.a"], &[], now);
    directory.made("marketo.a", Made::Exists, now);
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Ready));
}

#[test]
fn the_partitions_of_a_topic_that_another_process_has_made_are_counted_soon() {
    let now = Instant::now();
    let mut directory = directory(true, 10);
    ask(&mut directory, &["marketo.a"], &[], now);
    directory.made("marketo.a", Made::Exists, now);
    assert_eq!(directory.partitions("marketo.a"), None);
    let soon = directory.next_due().expect("it is looked for");
    assert!(soon > now && directory.take_due(now).is_empty());
    let due = directory.take_due(soon);
    assert_eq!(due, names(&["marketo.a"]));
    assert!(directory.settle(&answers(&due, &[]), soon).is_empty(), "it is not made again");
    let later = directory.next_due().expect("it was not shown yet");
    let due = directory.take_due(later);
    directory.settle(&answers(&due, &["marketo.a"]), later);
    assert_eq!(directory.partitions("marketo.a"), Some(3));
    assert_eq!(directory.next_due(), None);
}

#[test]
fn without_a_prefix_only_what_was_asked_for_counts() {
    let now = Instant::now();
    let mut directory = directory(true, 2);
    directory.rules.prefix.clear();
    let listed = ["x", "y", "z", "a"];
    let missing = ask(&mut directory, &["a", "b", "c"], &listed, now);
    assert_eq!(missing, names(&["b"]));
    assert_eq!(directory.counted(), 1);
    assert_eq!(directory.state(0, "c", now).0, TopicState::OverLimit);
}

#[test]
fn a_topic_that_exists_waits_for_no_listing_and_a_missing_one_does() {
    let now = Instant::now();
    let mut directory = directory(true, 10);
    directory.state(0, "marketo.a", now);
    directory.state(0, "marketo.b", now);
    directory.state(0, "marketo.dead", now);
    let due = directory.take_due(now);
    let missing = directory.settle(&answers(&due, &["marketo.a"]), now);
    assert_eq!(missing, names(&["marketo.dead"]), "it does not count");
    assert_eq!(directory.known("marketo.a"), Some(TopicState::Ready));
    assert_eq!(directory.known("marketo.b"), Some(TopicState::Pending));
    assert!(directory.wants_listing());
    directory.begin_listing();
    directory.not_listed();
    assert!(directory.wants_listing() && directory.take_due(now).len() == 1);
    assert_eq!(list(&mut directory, &["marketo.a"], now), names(&["marketo.b"]));
}

#[test]
fn a_listing_counts_for_ten_times_as_long_as_it_took() {
    let now = Instant::now();
    let mut directory = directory(true, 10);
    directory.begin_listing();
    let took = Duration::from_secs(20);
    directory.listed(&Listing { took, ..listing(&[]) }, now);
    let late = now + 9 * took;
    directory.state(0, "marketo.a", late);
    let due = directory.take_due(late);
    assert_eq!(directory.settle(&answers(&due, &[]), late), names(&["marketo.a"]));
    let too_late = now + 10 * took;
    directory.state(0, "marketo.b", too_late);
    let due = vec!["marketo.b".to_owned()];
    assert!(directory.settle(&answers(&due, &[]), too_late).is_empty());
    assert!(directory.wants_listing());
}

#[test]
fn a_topic_that_is_made_while_the_listing_comes_goes_on_counting() {
    let now = Instant::now();
    let mut directory = directory(true, 1);
    directory.begin_listing();
    directory.state(0, "marketo.a", now);
    directory.settle(&answers(&names(&["marketo.a"]), &["marketo.a"]), now);
    directory.listed(&listing(&[]), now);
    assert_eq!(directory.counted(), 1);
    assert!(ask(&mut directory, &["marketo.b"], &["marketo.a"], now).is_empty());
    assert_eq!(directory.state(0, "marketo.b", now), (TopicState::OverLimit, false));
}

#[test]
fn a_topic_that_may_not_be_seen_is_tried_to_make_or_named_with_what_to_run() {
    let now = Instant::now();
    let hidden = || [("marketo.dead".to_owned(), Found::Hidden)].into();
    let mut creating = directory(true, 10);
    creating.state(0, "marketo.dead", now);
    assert_eq!(creating.settle(&hidden(), now), names(&["marketo.dead"]));
    let mut directory = directory(false, 10);
    directory.state(0, "marketo.dead", now);
    directory.settle(&hidden(), now);
    let Some(TopicState::Unavailable(text)) = directory.known("marketo.dead") else { panic!() };
    assert!(text.contains("not visible") && text.contains("kafka-acls.sh"), "{text}");
}

#[test]
fn names_over_the_limit_are_bounded() {
    let now = Instant::now();
    let mut directory = directory(true, 0);
    for n in 0..3 * OVER_LIMIT_NAMES {
        ask(&mut directory, &[&format!("marketo.{n}")], &[], now);
    }
    assert!(directory.shares.names_over_limit(0) <= OVER_LIMIT_NAMES);
    assert!(directory.entries.is_empty());
}
