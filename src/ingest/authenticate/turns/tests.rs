use std::{net::IpAddr, pin::pin, task::Context};

use super::*;

const NO_REST: Duration = Duration::ZERO;

fn caller(address: [u8; 4], connection: usize) -> Caller {
    Caller { address: Some(IpAddr::from(address)), connection }
}

/// Puts a request into the queue; it waits for as long as the receiver is not dropped.
fn push(queue: &mut Queue, caller: Caller) -> (u64, oneshot::Receiver<()>) {
    let (grant, granted) = oneshot::channel();
    let id = queue.next;
    let network = caller.network();
    queue.next += 1;
    queue.waiting.push(Waiting { id, network, connection: caller.connection, granted: grant });
    (id, granted)
}

fn empty() -> Queue {
    Queue { free: 0, waiting: Vec::new(), next: 0 }
}

/// Counts the turns until the request `id` has one, while the crowd replaces each request that had its turn.
fn turns_until(queue: &mut Queue, id: u64, crowd: impl Fn(u64) -> Caller) -> usize {
    for turn in 1..10_000 {
        if queue.choose().is_some_and(|chosen| chosen.id == id) {
            return turn;
        }
        let caller = crowd(queue.next);
        drop(push(queue, caller));
    }
    panic!("it never has a turn")
}

#[test]
fn a_crowd_in_one_network_takes_no_more_turns_than_one_client_elsewhere() {
    let mut queue = empty();
    for connection in 0..300 {
        drop(push(&mut queue, caller([192, 0, 2, connection as u8], connection)));
    }
    let of_the_crowd = |number: u64| caller([192, 0, 2, number as u8], number as usize);
    let mut turns = 0;
    for _ in 0..20 {
        let (quiet, _end) = push(&mut queue, caller([203, 0, 113, 1], 1));
        turns += turns_until(&mut queue, quiet, of_the_crowd);
    }
    // Two are expected for each; one in line behind the crowd would need 300.
    assert!(turns < 20 * 8, "{turns}");
}

#[test]
fn a_connection_with_many_requests_has_no_more_than_another_one_of_its_network() {
    let mut queue = empty();
    for _ in 0..300 {
        drop(push(&mut queue, caller([192, 0, 2, 1], 1)));
    }
    let mut turns = 0;
    for _ in 0..20 {
        let (quiet, _end) = push(&mut queue, caller([192, 0, 2, 1], 2));
        turns += turns_until(&mut queue, quiet, |_| caller([192, 0, 2, 1], 1));
    }
    assert!(turns < 20 * 8, "{turns}");
}

#[test]
fn among_many_networks_each_turn_is_a_chance_and_the_last_to_come_has_the_same_one() {
    let network = |number: u64| caller([10, (number % 50) as u8, 0, 1], number as usize);
    let mut queue = empty();
    for number in 0..100 {
        drop(push(&mut queue, network(number)));
    }
    let mut turns = 0;
    for _ in 0..40 {
        let (quiet, _end) = push(&mut queue, caller([203, 0, 113, 1], 1));
        turns += turns_until(&mut queue, quiet, network);
    }
    // 51 networks: 51 turns are expected for each, with a deviation of 8 for the mean of 40.
    let mean = turns / 40;
    assert!((15..150).contains(&mean), "{mean}");
}

#[test]
fn beyond_the_limit_the_largest_network_loses_and_no_other() {
    let mut queue = empty();
    let (quiet, _end) = push(&mut queue, caller([203, 0, 113, 1], 1));
    for connection in 0..3 * MAX_WAITING {
        drop(push(&mut queue, caller([192, 0, 2, 1], connection)));
        queue.push_out();
    }
    assert_eq!(queue.waiting.len(), MAX_WAITING);
    assert!(queue.waiting.iter().any(|waiting| waiting.id == quiet));
}

#[tokio::test]
async fn no_more_turns_are_out_than_there_are_and_a_waiting_request_is_not_overtaken() {
    let turns = Turns::new(2, NO_REST);
    let first = turns.take().unwrap();
    let second = turns.take().unwrap();
    assert!(turns.take().is_none());
    let mut waiting = pin!(turns.wait(Caller::default()));
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    drop(first);
    assert!(turns.take().is_none(), "it is the other one's");
    let third = waiting.await;
    drop((second, third));
    assert!(turns.take().is_some());
}

#[tokio::test]
async fn a_request_that_ends_keeps_no_turn() {
    let turns = Turns::new(1, NO_REST);
    let only = turns.take().unwrap();
    let mut context = Context::from_waker(std::task::Waker::noop());
    {
        let mut before = pin!(turns.wait(Caller::default()));
        assert!(before.as_mut().poll(&mut context).is_pending());
    }
    {
        let mut granted = pin!(turns.wait(Caller::default()));
        assert!(granted.as_mut().poll(&mut context).is_pending());
        drop(only);
    }
    assert!(turns.take().is_some(), "the turn of a request that ended is free again");
}

#[tokio::test]
async fn a_turn_lasts_at_least_for_its_rest() {
    let rest = Duration::from_millis(50);
    let turns = Turns::new(1, rest);
    let began = Instant::now();
    drop(turns.take());
    assert!(turns.take().is_none());
    let _second = turns.wait(Caller::default()).await;
    assert!(began.elapsed() >= rest);
}
