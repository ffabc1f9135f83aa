use super::{
    super::tests::{Scripted, at, clock, out, place, settings},
    *,
};

struct Bench {
    lanes: Lanes,
    out: Out<Scripted>,
    queue: DeadLetterQueue,
    _place: super::super::tests::Place,
}

fn bench(most: usize) -> Bench {
    let place = place();
    let mut out = out(Scripted::default(), &place);
    let dead = out.topics_mut().enter("dead");
    Bench {
        lanes: Lanes::new(&place.spool, at(9), dead, 2, &place.metrics),
        queue: DeadLetterQueue::new(dead, most, &settings(), &place.spool, &place.metrics),
        out,
        _place: place,
    }
}

fn refused(sequence: u64, topic: Option<&str>) -> Refused {
    let reason = "refused".into();
    let error = "never".into();
    Refused { position: at(sequence), topic: topic.map(Into::into), reason, error }
}

#[test]
fn refused_events_wait_for_a_while_of_an_answering_cluster_and_then_go_to_quarantine() {
    let Bench { lanes, mut out, mut queue, _place } = bench(10);
    let now = clock();
    out.watch_cluster(now(0));
    queue.failed("not now", &lanes, &out, now(0));
    assert!(queue.is_failing() && queue.rests(out.topics(), now(0)));
    assert_eq!(queue.stay(&lanes, &out, now(60)), Stay::Waits);
    assert_eq!(queue.stay(&lanes, &out, now(61)), Stay::Quarantine);
    queue.arrived(out.topics());
    assert!(!queue.is_failing());
    assert_eq!(queue.stay(&lanes, &out, now(61)), Stay::Waits);
}

#[test]
fn beyond_their_room_they_go_to_quarantine_and_while_the_cluster_is_away_their_lanes_wait() {
    let Bench { lanes, out, mut queue, _place } = bench(1);
    let now = clock();
    queue.push(Waiting::new(0, "refused", "never".into(), Stage::DeadLetter));
    assert_eq!(queue.stay(&lanes, &out, now(0)), Stay::Quarantine);
    let sink = Scripted { silence: None, ..Scripted::default() };
    let away = super::super::tests::out(sink, &_place);
    assert_eq!(queue.stay(&lanes, &away, now(0)), Stay::NoRoom);
}

#[test]
fn what_was_put_back_is_named_until_it_is_settled_and_holds_no_lane_back() {
    let Bench { mut lanes, mut out, mut queue, _place } = bench(10);
    let now = clock();
    let put_back = [refused(3, Some("a")), refused(2, None)];
    queue.put_back(&put_back, &mut lanes, out.topics_mut(), now(0));
    assert_eq!(queue.len(), 2);
    let named = queue.unsettled_put_back(&lanes, out.topics());
    assert_eq!(named.iter().map(|it| it.position).collect::<Vec<_>>(), [at(2), at(3)]);
    assert_eq!((lanes.main().low(), queue.low_of(lanes.main())), (at(3), at(9)));
    let first = queue.pop().unwrap();
    assert!(first.must_reclaim);
    lanes.settle(first.token);
    let left = queue.take_put_back(&mut lanes, out.topics());
    assert_eq!(left, [refused(2, None)]);
    assert!(lanes.are_idle());
}

#[test]
fn a_checkpoint_names_those_that_wait_with_so_much_of_their_errors() {
    let Bench { mut lanes, mut out, mut queue, _place } = bench(10);
    queue.put_back(&[refused(2, Some("a"))], &mut lanes, out.topics_mut(), clock()(0));
    let named = queue.named(3, &lanes, out.topics());
    assert_eq!(named, [Refused { error: "nev".into(), ..refused(2, Some("a")) }]);
}
