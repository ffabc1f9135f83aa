use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::*;
use crate::observe::metrics::Metrics;

const KIB: u64 = 1024;
const ONE: fn() -> Party = || Party::source(0);
const OTHER: fn() -> Party = || Party::source(1);

/// A budget of 64 KiB: 4 guaranteed to strangers and 4 to their small bodies, 4 to each of two sources, 8 in each
/// reserve, 32 common.
fn budget() -> Budget {
    Budget::new(64 * KIB, 2, &Metrics::new().body_budget_used_bytes)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(100)
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn held(budget: &Budget, party: Party, kib: u64) -> Reservation {
    let mut reservation = budget.reserve(party);
    reservation.grow_to(kib * KIB, soon()).await.expect("there is room");
    reservation
}

#[tokio::test]
async fn an_exhausted_budget_refuses_at_the_deadline_and_gives_when_room_is_made() {
    let budget = budget();
    let (first, mut second) = (held(&budget, ONE(), 36).await, budget.reserve(ONE()));
    second.grow_to(8 * KIB, soon()).await.unwrap();
    assert_eq!(second.grow_to(9 * KIB, soon()).await, Err(Outcome::OverBudget));
    let (grown, ()) = tokio::join!(second.grow_to(40 * KIB, later()), async { drop(first) });
    grown.unwrap();
    drop(second);
    assert!(budget.pool().is_unused());
}

#[tokio::test]
async fn a_source_that_has_all_that_it_can_get_leaves_the_others_their_shares() {
    let budget = budget();
    let _greedy = [held(&budget, ONE(), 36).await, held(&budget, ONE(), 8).await];
    let mut next = budget.reserve(ONE());
    assert_eq!(next.grow_to(KIB, soon()).await, Err(Outcome::OverBudget));
    let _other = held(&budget, OTHER(), 4).await;
    let _stranger = held(&budget, Party::STRANGERS, 4).await;
}

#[tokio::test]
async fn strangers_never_get_the_last_of_the_common_part() {
    let budget = budget();
    // Their own 4, half of what is common, and their reserve.
    let _strangers =
        [held(&budget, Party::STRANGERS, 20).await, held(&budget, Party::STRANGERS, 8).await];
    let mut next = budget.reserve(Party::STRANGERS);
    assert_eq!(next.grow_to(KIB, soon()).await, Err(Outcome::OverBudget));
    let _sender = held(&budget, ONE(), 20).await;
}

#[tokio::test]
async fn what_needs_more_than_its_party_can_have_gets_all_of_that() {
    let budget = budget();
    let all = held(&budget, ONE(), 1000).await;
    assert_eq!(all.bytes(), 44 * KIB);
    assert_eq!(budget.reserve(ONE()).grow_to(1, soon()).await, Err(Outcome::OverBudget));
}

#[tokio::test]
async fn bodies_that_grow_in_steps_all_come_to_their_end_one_after_the_other() {
    let budget = budget();
    let bodies: Vec<_> = (0..32)
        .map(|_| {
            let budget = budget.clone();
            tokio::spawn(async move {
                let mut body = budget.reserve(ONE());
                for step in 1..=8 {
                    body.grow_to(step * KIB, later()).await?;
                    tokio::task::yield_now().await;
                }
                Ok::<_, Outcome>(())
            })
        })
        .collect();
    for body in bodies {
        assert_eq!(body.await.unwrap(), Ok(()));
    }
    assert!(budget.pool().is_unused());
}

#[tokio::test]
async fn bodies_that_hold_all_there_is_and_wait_for_more_go_on_one_after_the_other() {
    for party in [ONE(), Party::STRANGERS] {
        let budget = budget();
        let mut bodies = Vec::new();
        for _ in 0..3 {
            bodies.push(held(&budget, party, 8).await);
        }
        let mut ends = Vec::new();
        for mut body in bodies {
            ends.push(tokio::spawn(async move { body.grow_to(40 * KIB, later()).await }));
        }
        for end in ends {
            assert_eq!(end.await.unwrap(), Ok(()), "{party:?}");
        }
        assert!(budget.pool().is_unused());
    }
}

#[tokio::test]
async fn a_stranger_that_has_had_its_time_gives_way_to_a_sender_that_needs_the_room() {
    let budget = budget();
    let strangers = held(&budget, Party::STRANGERS, 24).await;
    let gives_way = async {
        strangers.evicted().await;
        drop(strangers);
    };
    let mut sender = budget.reserve(ONE());
    let (granted, ()) = tokio::join!(sender.grow_to(36 * KIB, later()), gives_way);
    assert_eq!(granted, Ok(()));
}

#[tokio::test]
async fn the_slowest_stranger_goes_first_and_none_once_it_is_known() {
    let budget = budget();
    let mut known = held(&budget, Party::STRANGERS, 8).await;
    known.belongs_to(OTHER());
    let (quick, slow) =
        (held(&budget, Party::STRANGERS, 10).await, held(&budget, Party::STRANGERS, 10).await);
    quick.came(16 * KIB);
    slow.came(1);
    let mut next = budget.reserve(Party::STRANGERS);
    let gives_way = async {
        tokio::select! {
            () = slow.evicted() => drop(slow),
            () = quick.evicted() => panic!("the quick one"),
            () = known.evicted() => panic!("the one that is known"),
        }
    };
    let (granted, ()) = tokio::join!(next.grow_to(10 * KIB, later()), gives_way);
    assert_eq!(granted, Ok(()));
}

#[tokio::test]
async fn a_slow_sender_is_left_alone_while_there_is_room_and_gives_way_to_another_source() {
    let budget = budget();
    let slow = held(&budget, ONE(), 36).await;
    slow.came(1);
    let much_later = Instant::now() + 10 * pool::GRACE_OF_SENDERS;
    let _small = held(&budget, OTHER(), 4).await;
    budget.pool().make_room(OTHER(), much_later);
    assert!(!is_evicted(&slow), "there was room");
    let mut other = budget.reserve(OTHER());
    let mut grows = Box::pin(other.grow_to(16 * KIB, later()));
    assert!(poll(&mut grows).is_pending());
    assert!(!is_evicted(&slow), "it has only begun");
    budget.pool().make_room(OTHER(), much_later);
    assert!(is_evicted(&slow));
    drop(slow);
    assert_eq!(grows.await, Ok(()));
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn is_evicted(body: &Reservation) -> bool {
    poll(&mut Box::pin(body.evicted())).is_ready()
}

#[tokio::test]
async fn a_reservation_shrinks_to_what_is_still_held() {
    let budget = budget();
    let mut some = held(&budget, ONE(), 12).await;
    some.shrink_to(4 * KIB);
    assert_eq!(some.bytes(), 4 * KIB);
    let all = held(&budget, ONE(), 40).await;
    drop((some, all));
    assert!(budget.pool().is_unused());
}

#[tokio::test]
async fn a_body_that_stops_waiting_leaves_nothing_behind() {
    let budget = budget();
    let first = held(&budget, ONE(), 44).await;
    let mut second = budget.reserve(ONE());
    let mut waits = Box::pin(second.grow_to(8 * KIB, later()));
    assert!(poll(&mut waits).is_pending());
    drop(waits);
    drop((first, second));
    assert!(budget.pool().is_unused());
}

/// A budget of 64 MiB, with large bodies of strangers that hold all they can get and wait for more.
async fn full_of_large_ones() -> (Budget, Vec<Reservation>) {
    let budget = Budget::new(1024 * 64 * KIB, 1, &Metrics::new().body_budget_used_bytes);
    let mut large = Vec::new();
    let mut reservation = budget.reserve(Party::STRANGERS);
    while reservation.try_to_grow_to(512 * KIB).is_ok() {
        large.push(std::mem::replace(&mut reservation, budget.reserve(Party::STRANGERS)));
    }
    assert!(large.len() > 30);
    (budget, large)
}

#[tokio::test]
async fn a_small_body_of_a_stranger_has_room_at_once_beside_large_ones_that_wait() {
    let (budget, mut large) = full_of_large_ones().await;
    let waits = large.iter_mut().map(|body| Box::pin(body.grow_to(30 * 1024 * KIB, later())));
    let mut waits: Vec<_> = waits.collect();
    waits.iter_mut().for_each(|it| assert!(poll(it).is_pending()));
    for _ in 0..32 {
        let mut small = budget.reserve(Party::STRANGERS);
        assert_eq!(poll(&mut Box::pin(small.grow_to(20 * KIB, later()))), Poll::Ready(Ok(())));
        assert_eq!(poll(&mut Box::pin(small.grow_to(64 * KIB, later()))), Poll::Ready(Ok(())));
    }
}

/// A body that grew out of the slice for small ones leaves all of that.
#[tokio::test]
async fn a_stranger_that_is_not_small_any_more_keeps_nothing_of_what_is_for_small_ones() {
    let (budget, mut large) = full_of_large_ones().await;
    let small = async |budget: &Budget| held(budget, Party::STRANGERS, 64).await;
    let mut first = small(&budget).await;
    large.truncate(large.len() - 1);
    first.grow_to(128 * KIB, later()).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..64 {
        all.push(small(&budget).await);
    }
    drop((first, all, large));
    assert!(budget.pool().is_unused());
}

#[tokio::test]
async fn among_strangers_that_wait_a_small_one_is_next_and_the_largest_gives_way_to_it() {
    let (budget, mut large) = full_of_large_ones().await;
    let mut filling = Vec::new();
    let mut next = budget.reserve(Party::STRANGERS);
    while next.try_to_grow_to(64 * KIB).is_ok() {
        filling.push(std::mem::replace(&mut next, budget.reserve(Party::STRANGERS)));
    }
    let largest = large.len() / 2;
    large[largest - 1].shrink_to(256 * KIB);
    large[largest].try_to_grow_to(768 * KIB).unwrap();
    drop(next);
    // None of them is past the grace by its time to send: they wait for each other.
    for body in large.iter().chain(&filling) {
        body.progress.waited(8 * pool::GRACE);
    }
    let mut older: Vec<_> = (0..2).map(|_| budget.reserve(Party::STRANGERS)).collect();
    let mut waits: Vec<_> =
        older.iter_mut().map(|it| Box::pin(it.grow_to(16 * 1024 * KIB, later()))).collect();
    waits.iter_mut().for_each(|it| assert!(poll(it).is_pending()));
    let mut next = budget.reserve(Party::STRANGERS);
    let mut small = Box::pin(next.grow_to(64 * KIB, later()));
    assert!(poll(&mut small).is_pending());
    let much_later = Instant::now() + 4 * pool::GRACE;
    budget.pool().make_room(Party::STRANGERS, much_later);
    let evicted: Vec<_> = (0..large.len()).filter(|n| is_evicted(&large[*n])).collect();
    assert_eq!(evicted, [largest]);
    assert!(filling.iter().all(|small| !is_evicted(small)));
    drop(large.remove(largest));
    assert_eq!(poll(&mut small), Poll::Ready(Ok(())));
}

#[tokio::test]
async fn a_small_stranger_comes_through_where_small_ones_that_trickle_hold_all_there_is() {
    let budget = Budget::new(1024 * 64 * KIB, 1, &Metrics::new().body_budget_used_bytes);
    let mut trickling = Vec::new();
    let mut next = budget.reserve(Party::STRANGERS);
    while next.try_to_grow_to(64 * KIB).is_ok() {
        next.came(1024);
        trickling.push(std::mem::replace(&mut next, budget.reserve(Party::STRANGERS)));
    }
    // Older, so that the reserve is for this one.
    let mut older = std::mem::replace(&mut next, budget.reserve(Party::STRANGERS));
    let mut waits = Box::pin(older.grow_to(16 * 1024 * KIB, later()));
    assert!(poll(&mut waits).is_pending());
    let mut small = Box::pin(next.grow_to(20 * KIB, later()));
    assert!(poll(&mut small).is_pending());
    budget.pool().make_room(Party::STRANGERS, Instant::now() + 4 * pool::GRACE);
    trickling.retain(|body| !is_evicted(body));
    assert_eq!(poll(&mut small), Poll::Ready(Ok(())));
}
