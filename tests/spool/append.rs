//! Durable before the answer, group commit, hanging up, closing.

use std::time::Duration;

use millrace::spool::{AppendError, Next, SpoolState, position::Position};

use crate::{
    simulated_disk::{Call, SimulatedDisk},
    support::*,
};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn what_is_appended_is_read_back_in_order() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    let group: Vec<_> = (1..=3).map(|n| delivery(body(n, 50))).collect();
    assert_eq!(writer.append_group(&group).unwrap(), [1, 2, 3]);
    append_series(&mut writer, 4..6, 50);
    assert_eq!(spool.durable_end(), 6);
    assert_reads_series(&spool, 1..6, 50);

    let Next::Delivery(first) = spool.reader(1).next().unwrap() else { panic!() };
    assert_eq!(first.delivery, delivery(body(1, 50)).into_delivery());
}

#[test]
fn the_answer_waits_for_the_sync() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..2, 20); // the segment is there: the held sync is the delivery's
    let thread = writer.spawn().unwrap();
    disk.hold_syncs();
    block_on(async {
        let mut append = Box::pin(spool.append(delivery("{}")));
        enqueue(&mut append).await;
        disk.wait_for_held_sync();
        assert!(is_pending(&mut append).await);
        assert_eq!(spool.durable_end(), 2);
        assert!(matches!(spool.reader(2).next().unwrap(), Next::CaughtUp));
        disk.release_syncs();
        assert_eq!(append.await.unwrap(), 2);
    });
    spool.close();
    thread.join().unwrap();
}

#[test]
fn what_waits_during_a_sync_shares_the_next_one() {
    let disk = SimulatedDisk::new(1);
    let config = millrace::spool::Config { segment_size: 1 << 20, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append(&mut writer, "{}").unwrap();
    let thread = writer.spawn().unwrap();
    disk.hold_syncs();
    block_on(async {
        let mut first = Box::pin(spool.append(delivery("{}")));
        enqueue(&mut first).await;
        disk.wait_for_held_sync();
        let mut others: Vec<_> =
            (0..100).map(|n| Box::pin(spool.append(delivery(body(n, 10))))).collect();
        for other in &mut others {
            enqueue(other).await;
        }
        disk.take_log();
        disk.release_syncs();
        assert_eq!(first.await.unwrap(), 2);
        for (other, expected) in others.into_iter().zip(3..) {
            assert_eq!(other.await.unwrap(), expected);
        }
    });
    let calls: Vec<_> = disk.take_log().into_iter().map(|(call, _)| call).collect();
    assert_eq!(calls, [Call::SyncData, Call::Write, Call::SyncData]);
    spool.close();
    thread.join().unwrap();
}

#[test]
fn a_sender_that_hangs_up_cancels_nothing() {
    let disk = SimulatedDisk::new(1);
    let (writer, spool) = open(&disk);
    let thread = writer.spawn().unwrap();
    disk.hold_syncs();
    block_on(async {
        let mut append = Box::pin(spool.append(delivery("{\"kept\":1}")));
        enqueue(&mut append).await;
        drop(append);
    });
    disk.release_syncs();
    assert!(spool.wait_for_more(1, LONG));
    let Next::Delivery(stored) = spool.reader(1).next().unwrap() else { panic!() };
    assert_eq!(stored.delivery.body, "{\"kept\":1}");
    spool.close();
    thread.join().unwrap();
}

#[test]
fn closing_finishes_what_is_queued_and_takes_no_more() {
    let disk = SimulatedDisk::new(1);
    let (writer, spool) = open(&disk);
    let thread = writer.spawn().unwrap();
    disk.hold_syncs();
    block_on(async {
        let mut queued: Vec<_> =
            (0..5).map(|n| Box::pin(spool.append(delivery(body(n, 10))))).collect();
        for one in &mut queued {
            enqueue(one).await;
        }
        spool.close();
        assert_eq!(spool.state(), SpoolState::Closed);
        let late = spool.append(delivery("{}")).await;
        assert!(matches!(late, Err(AppendError::Closed { .. })), "{late:?}");
        disk.release_syncs();
        for (one, expected) in queued.into_iter().zip(1..) {
            assert_eq!(one.await.unwrap(), expected);
        }
    });
    thread.join().unwrap();
    assert!(!spool.wait_for_more(6, LONG), "nothing more can come: no waiting");
}

#[test]
fn what_does_not_fit_into_a_frame_is_refused_alone() {
    let disk = SimulatedDisk::new(1);
    let (writer, spool) = open(&disk);
    let thread = writer.spawn().unwrap();
    block_on(async {
        let mut odd = delivery("{}").into_delivery();
        odd.headers.push(("x".repeat(300), String::new()));
        let odd = millrace::delivery::Authenticated::new(
            odd,
            millrace::ingest::authenticate::Proof::by_operator(),
        );
        assert!(matches!(spool.append(odd).await, Err(AppendError::TooLarge { .. })));
        assert_eq!(spool.append(delivery("{}")).await.unwrap(), 1);
    });
    spool.close();
    thread.join().unwrap();
}

#[test]
fn short_writes_are_finished() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed);
        let chances = crate::simulated_disk::Chances { short_write: 90, ..Default::default() };
        disk.set_chances(chances);
        let (mut writer, spool) = open(&disk);
        append_series(&mut writer, 1..20, 100);
        assert_reads_series(&spool, 1..20, 100);
    }
}

#[test]
fn several_readers_go_their_own_ways_behind_the_writer() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    let mut early = spool.reader(1);
    assert!(matches!(early.next().unwrap(), Next::CaughtUp));
    append_series(&mut writer, 1..40, 100);
    let mut late = spool.reader(30);
    assert_eq!(read_all(&mut early).0.len(), 39);
    assert_eq!(read_all(&mut late).0[0].0, 30);
    append_series(&mut writer, 40..41, 100);
    assert_eq!(read_all(&mut early).0, [(40, body(40, 100))]);
    assert_eq!(read_all(&mut late).0, [(40, body(40, 100))]);
    for sequence in (1..41).rev() {
        early.seek(sequence);
        assert_eq!(early.next_sequence(), sequence);
        let Next::Delivery(stored) = early.next().unwrap() else { panic!() };
        assert_eq!((stored.sequence, stored.delivery.body), (sequence, body(sequence, 100)));
    }
}

#[test]
fn bodies_larger_than_the_read_buffer_come_back_whole() {
    let disk = SimulatedDisk::new(1);
    let config = millrace::spool::Config { segment_size: 64 << 20, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    let lengths = [100, 1 << 20, (1 << 20) + 1, 5 << 20, 0, 700_000, 700_000];
    for (n, length) in (1..).zip(lengths) {
        append(&mut writer, body(n, length)).unwrap();
    }
    let (deliveries, damages) = read_all(&mut spool.reader(1));
    assert!(damages.is_empty());
    for ((n, length), (sequence, read)) in (1..).zip(lengths).zip(deliveries) {
        assert_eq!(sequence, n);
        assert!(read == body(n, length));
    }
}

#[test]
fn waiting_for_more_ends_with_more_or_with_the_time() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    assert!(!spool.wait_for_more(1, Duration::ZERO));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| spool.wait_for_more(1, LONG));
        append(&mut writer, "{}").unwrap();
        assert!(waiting.join().unwrap());
    });
    spool.delivered(Position::start_of(2));
    drop(writer);
    assert!(!spool.wait_for_more(2, LONG));
    assert_eq!(spool.state(), SpoolState::Closed);
}
