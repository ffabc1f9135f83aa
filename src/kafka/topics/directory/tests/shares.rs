//! Sources share the limit of topics.

use super::*;

/// Asks for each of `names`, for a source, and makes the topics that may be made.
fn make(directory: &mut Directory, source: usize, names: &str, now: Instant) -> Vec<String> {
    let topics: Vec<_> = names.chars().map(|name| format!("marketo.{name}")).collect();
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    let there: Vec<_> = directory.counted.iter().cloned().collect();
    let there: Vec<_> = there.iter().map(String::as_str).collect();
    let made = ask_for(directory, source, &topics, &there, now);
    for topic in &made {
        directory.made(topic, Made::Created, now);
        directory.is_there(topic, 3);
    }
    made
}

#[test]
fn a_source_that_invents_types_leaves_each_other_one_its_part_of_the_limit() {
    let now = Instant::now();
    let mut directory = directory(true, 12);
    directory.divide_among(3);
    assert_eq!(make(&mut directory, 0, "abcdefghijkl", now).len(), 8, "in one request");
    assert!(make(&mut directory, 0, "m", now).is_empty(), "one after the other");
    assert_eq!(directory.state(0, "marketo.m", now), (TopicState::OverLimit, false));
    assert_eq!(make(&mut directory, 1, "nop", now).len(), 2);
    assert_eq!(make(&mut directory, 2, "q", now).len(), 1);
    assert_eq!(make(&mut directory, 2, "rs", now).len(), 1);
    assert_eq!(directory.counted(), 12);
}

#[test]
fn what_exists_counts_against_no_source_and_what_it_leaves_is_divided() {
    let now = Instant::now();
    let mut directory = directory(true, 8);
    directory.divide_among(2);
    list(&mut directory, &["marketo.a", "marketo.b", "marketo.c", "marketo.d", "marketo.e"], now);
    assert!(make(&mut directory, 0, "abcde", now).is_empty());
    assert_eq!(make(&mut directory, 0, "xyz", now).len(), 2);
    assert_eq!(make(&mut directory, 1, "uvw", now).len(), 1);
    assert_eq!(directory.counted(), 8);
}

#[test]
fn the_last_topics_go_to_the_sources_that_had_none() {
    let now = Instant::now();
    let mut directory = directory(true, 8);
    directory.divide_among(2);
    assert_eq!(make(&mut directory, 0, "abcd", now).len(), 4);
    // Other processes have made some meanwhile.
    list(&mut directory, &["marketo.e", "marketo.f", "marketo.g"], now);
    directory.counted.extend(names(&["marketo.a", "marketo.b", "marketo.c", "marketo.d"]));
    assert!(make(&mut directory, 0, "h", now).is_empty());
    assert_eq!(make(&mut directory, 1, "h", now).len(), 1);
}

#[test]
fn a_topic_that_is_one_too_many_for_one_source_is_made_for_another() {
    let now = Instant::now();
    let mut directory = directory(true, 8);
    directory.divide_among(2);
    make(&mut directory, 0, "abcdefgh", now);
    assert_eq!(directory.state(0, "marketo.h", now), (TopicState::OverLimit, false));
    assert_eq!(directory.state(1, "marketo.h", now), (TopicState::Pending, true));
    assert_eq!(make(&mut directory, 1, "", now).len(), 1);
    assert_eq!(directory.state(0, "marketo.h", now), (TopicState::Ready, false), "it is there now");
}
