use super::{
    super::tests::{Scripted, clock, out, place, slot},
    *,
};
use crate::kafka::produce::Failure::{Fatal, Passing, Purged, Refused};

#[test]
fn a_failure_is_of_the_record_alone_only_where_no_other_of_its_topic_is_on_its_way_or_has_failed() {
    let place = place();
    let now = clock();
    let mut out = out(Scripted::default(), &place);
    let topic = out.topics_mut().enter("a");
    let slot = slot(topic, 1, now(0));
    out.sent(topic, slot.size);
    assert!(out.fails_alone(&slot));
    out.sent(topic, slot.size);
    assert!(!out.fails_alone(&slot));
    assert!(out.answered(&slot, &Outcome::Failed(Passing("not now".into())), now(1)));
    assert!(out.fails_alone(&slot));
    out.record_failed(&slot, Trouble::passing("not now"));
    assert!(!out.fails_alone(&slot), "the last one of a failed batch only looks alone");
}

#[test]
fn a_record_that_comes_back_is_no_answer_of_a_broker() {
    let place = place();
    let now = clock();
    let mut out = out(Scripted::default(), &place);
    let topic = out.topics_mut().enter("a");
    let slot = slot(topic, 1, now(0));
    for failure in [Purged, Fatal("gone".into())] {
        out.sent(topic, slot.size);
        assert!(!out.answered(&slot, &Outcome::Failed(failure), now(1)));
    }
    out.sent(topic, slot.size);
    assert!(out.answered(&slot, &Outcome::Failed(Refused("never".into())), now(1)));
    assert_eq!(out.topics().outstanding(), 0);
}

#[test]
fn a_record_is_overdue_after_the_patience_with_a_cluster_that_answers() {
    let place = place();
    let now = clock();
    let mut out = out(Scripted::default(), &place);
    let topic = out.topics_mut().enter("a");
    let slot = slot(topic, 1, now(0));
    assert!(!out.is_overdue(&slot, now(100)), "the cluster has said nothing yet");
    out.watch_cluster(now(0));
    assert!(!out.is_overdue(&slot, now(30)) && out.is_overdue(&slot, now(31)));
    let ages = out.ages([&slot].into_iter(), now(20));
    out.remember_ages(&ages);
    let again = Slot { since: now(20).instant, ..slot.clone() };
    assert!(out.is_overdue(&again, now(31)), "going back does not make it young");
    let failed = Slot { state: State::Failed, ..again };
    assert!(!out.is_overdue(&failed, now(31)) && out.was_overdue(&failed, now(31)));
}

#[test]
fn a_sink_that_was_renewed_has_nothing() {
    let place = place();
    let now = clock();
    let mut out = out(Scripted::default(), &place);
    let topic = out.topics_mut().enter("a");
    out.sent(topic, slot(topic, 1, now(0)).size);
    out.renew_later();
    out.replace_producer();
    out.nothing_outstanding();
    assert!(!out.must_renew() && out.topics().outstanding() == 0);
    assert_eq!(place.metrics.unanswered_records.with_label_values(&["leads"]).get(), 1);
    assert_eq!(place.metrics.producer_renewals.with_label_values(&["leads"]).get(), 1);
}
