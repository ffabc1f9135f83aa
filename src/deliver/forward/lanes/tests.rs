use super::{
    super::tests::{at, clock, place, slot, topics},
    *,
};

fn hold(topic: TopicId, sequence: u64) -> Hold<'static> {
    Hold { topic, from: at(sequence), why: "not now", alone_before: None }
}

#[test]
fn the_main_lane_passes_what_a_held_topic_covers_and_a_held_lane_what_is_not_its_topics() {
    let place = place();
    let now = clock();
    let mut topics = topics(&place);
    let [dead, a, b] = ["dead", "a", "b"].map(|name| topics.enter(name));
    let mut lanes = Lanes::new(&place.spool, at(1), dead, 2, &place.metrics);
    assert!(!lanes.passes(MAIN_LANE, Some(a), at(3)));
    lanes.hold(hold(a, 2), &mut topics, now(0));
    assert!(lanes.passes(MAIN_LANE, Some(a), at(3)) && !lanes.passes(MAIN_LANE, Some(b), at(3)));
    let own = lanes.held(a).unwrap().lane().id();
    assert!(lanes.passes(own, Some(b), at(3)) && !lanes.passes(own, Some(a), at(3)));
    assert!(!topics.is_ready(a), "it is asked about before its next record");
}

#[test]
fn what_is_acknowledged_ahead_is_passed_until_every_lane_of_its_topic_has_left_it_behind() {
    let place = place();
    let now = clock();
    let mut topics = topics(&place);
    let [dead, a] = ["dead", "a"].map(|name| topics.enter(name));
    let mut lanes = Lanes::new(&place.spool, at(1), dead, 2, &place.metrics);
    lanes.hold(hold(a, 2), &mut topics, now(0));
    lanes.acked_ahead_mut().insert(at(4), Some(a));
    lanes.acked_ahead_mut().insert(at(5), None);
    lanes.main_mut().rewind(at(9));
    lanes.forget_behind();
    assert!(lanes.acked_ahead().contains(at(4)), "its own lane begins before it");
    assert!(!lanes.acked_ahead().contains(at(5)));
    lanes.close(a);
    lanes.forget_behind();
    assert!(!lanes.acked_ahead().contains(at(4)));
}

/// A `topic-limit` event may be one of the topic.
#[test]
fn what_was_settled_without_a_known_topic_is_passed_by_the_lane_of_a_topic_that_is_held_later() {
    let place = place();
    let now = clock();
    let mut topics = topics(&place);
    let [dead, a] = ["dead", "a"].map(|name| topics.enter(name));
    let mut lanes = Lanes::new(&place.spool, at(1), dead, 2, &place.metrics);
    lanes.acked_ahead_mut().insert(at(5), None);
    lanes.hold(hold(a, 2), &mut topics, now(0));
    lanes.main_mut().rewind(at(9));
    lanes.forget_behind();
    let own = lanes.held(a).unwrap().lane().id();
    assert!(lanes.passes(own, Some(a), at(5)), "it is a dead letter already");
}

#[test]
fn beyond_the_limit_of_held_topics_the_main_lane_rests_unless_single_records_can_show_what_is_wrong()
 {
    let place = place();
    let now = clock();
    let mut topics = topics(&place);
    let [dead, a, b] = ["dead", "a", "b"].map(|name| topics.enter(name));
    let mut lanes = Lanes::new(&place.spool, at(1), dead, 1, &place.metrics);
    lanes.hold(hold(a, 2), &mut topics, now(0));
    assert!(lanes.may_hold(hold(a, 3), &mut topics, now(0)), "it is held already");
    let singly = Hold { alone_before: Some(at(7)), ..hold(b, 3) };
    assert!(!lanes.may_hold(singly, &mut topics, now(0)));
    assert!(!lanes.pauses().is_paused(now(0)));
    assert!(!lanes.may_hold(hold(b, 3), &mut topics, now(0)));
    assert!(lanes.pauses().is_paused(now(0)) && !lanes.pauses().is_paused(now(60)));
    assert!(
        lanes.are_left(at(2)),
        "a lane that has nothing to read before the main one does not count"
    );
}

#[test]
fn a_held_topic_that_failed_is_reported_once() {
    let place = place();
    let now = clock();
    let mut topics = topics(&place);
    let [dead, a] = ["dead", "a"].map(|name| topics.enter(name));
    let mut lanes = Lanes::new(&place.spool, at(1), dead, 2, &place.metrics);
    lanes.hold(hold(a, 2), &mut topics, now(0));
    lanes.report(hold(a, 2), &topics);
    assert_eq!(place.metrics.holds.with_label_values(&["leads"]).get(), 1);
    assert_eq!(place.metrics.held_topics.with_label_values(&["leads"]).get(), 1);
    assert_eq!(lanes.close_all().len(), 1);
    assert_eq!(place.metrics.held_topics.with_label_values(&["leads"]).get(), 0);
}

#[test]
fn what_the_main_lane_settles_of_a_held_topic_is_not_sent_again_by_the_topics_lane() {
    let place = place();
    let now = clock();
    let mut topics = topics(&place);
    let [dead, a] = ["dead", "a"].map(|name| topics.enter(name));
    let mut lanes = Lanes::new(&place.spool, at(1), dead, 2, &place.metrics);
    let token = lanes.next_token(MAIN_LANE).unwrap();
    lanes.push(MAIN_LANE, slot(a, 3, now(0)));
    assert!(lanes.owes(Some(a), None) && !lanes.owes(Some(a), Some(at(3))));
    lanes.hold(hold(a, 2), &mut topics, now(0));
    assert!(!lanes.are_disjoint(), "the main lane owes what the topic's lane covers");
    assert_eq!(lanes.settle(token).unwrap().position, at(3));
    assert!(lanes.acked_ahead().contains(at(3)) && lanes.are_idle());
}
