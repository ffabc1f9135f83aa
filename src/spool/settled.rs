//! How far the deliveries of one spool are settled, and the requests that wait for that.
//!
//! The forwarder reports each move ([`Settled::passed`]); requests whose source has `answer = "delivered"` ask
//! ([`Settled::ask`]). The checkpoint follows a quarter of a second later, so a restart cannot begin from this: it is
//! kept in memory alone.
//!
//! Promises:
//! - **Settled means all of it.** A delivery counts as settled only once each of its events, and each event before
//!   it, is in its final place: the lowest unsettled event holds up all behind it.
//! - **A wait has an end.** No request waits behind a long backlog, or while the forwarder does not move; and after a
//!   wait in vain the next requests are answered at once, until the delivery that was waited for is settled.
//! - **It costs nothing where no request waits**: the forwarder stores a number, and reads another one.
//! - **Waits are bounded** by [`MAX_DELIVERIES_BEHIND`]: no request waits for a delivery further behind, and each
//!   delivery has one wait.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

use crate::source::UnixMillis;

/// Unsettled deliveries before the awaited one; behind more of them no request waits: the backlog comes first.
pub const MAX_DELIVERIES_BEHIND: u64 = 1024;

/// Milliseconds within which a delivery must have been settled for the forwarder to count as moving, unless it had
/// nothing to settle.
const MOVED_WITHIN: UnixMillis = 1000;

pub(super) struct Settled {
    /// All deliveries before it are settled.
    end: AtomicU64,
    /// When `end` moved last, or when the first delivery came after all had been settled.
    moved_at: AtomicU64,
    /// The last delivery that was waited for in vain.
    given_up: AtomicU64,
    /// Number of waits, a copy that is read without the lock. Changed while `waiting` is locked.
    count: AtomicUsize,
    /// Waits by delivery; each is sent whether its delivery is settled.
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<bool>>>,
}

/// State of a delivery.
pub(super) enum Asked<'a> {
    Settled,
    /// Not settled, and not expected soon: a wait makes no sense.
    NotSoon,
    Soon(Wait<'a>),
}

/// A wait for a delivery, until it is dropped.
pub(super) struct Wait<'a> {
    settled: &'a Settled,
    sequence: u64,
    told: oneshot::Receiver<bool>,
}

impl Settled {
    /// Begins with all deliveries before `end` settled, by an earlier process.
    pub fn new(end: u64) -> Self {
        Self {
            end: AtomicU64::new(end),
            moved_at: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Returns the sequence number before which all deliveries are settled.
    pub fn end(&self) -> u64 {
        self.end.load(SeqCst)
    }

    /// Notes that deliveries from `sequence` on are durable. If none was outstanding, the forwarder's time begins now.
    pub fn stored(&self, sequence: u64, now: UnixMillis) {
        if self.end() >= sequence {
            self.moved_at.store(now, SeqCst);
        }
    }

    /// Notes that all deliveries before `end` are settled. Never goes back.
    pub fn passed(&self, end: u64, now: UnixMillis) {
        if end <= self.end() {
            return;
        }
        self.moved_at.store(now, SeqCst);
        self.end.store(end, SeqCst);
        // A request that begins to wait is counted before it reads the end, so one of the two sees the other.
        if self.count.load(SeqCst) > 0 {
            self.tell(|waiting| {
                let behind = waiting.split_off(&end);
                std::mem::replace(waiting, behind)
            });
        }
    }

    pub fn ask(&self, sequence: u64, now: UnixMillis) -> Asked<'_> {
        let end = self.end();
        if sequence < end {
            return Asked::Settled;
        }
        let is_in_vain = self.given_up.load(SeqCst) >= end;
        let is_far = sequence - end > MAX_DELIVERIES_BEHIND;
        // The lowest unsettled delivery is waited for in any case: it has nothing before it.
        let stands_still =
            sequence > end && now.saturating_sub(self.moved_at.load(SeqCst)) > MOVED_WITHIN;
        if is_in_vain || is_far || stands_still {
            return Asked::NotSoon;
        }
        let (teller, told) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        waiting.insert(sequence, teller);
        self.count.store(waiting.len(), SeqCst);
        drop(waiting);
        let wait = Wait { settled: self, sequence, told };
        // It may have been settled just before it was counted: then `passed` did not see the wait.
        if sequence < self.end() { Asked::Settled } else { Asked::Soon(wait) }
    }

    /// Notes a wait in vain, and ends the waits for all deliveries behind it, which would be in vain too.
    fn give_up(&self, sequence: u64) {
        self.given_up.fetch_max(sequence, SeqCst);
        self.tell(|waiting| waiting.split_off(&sequence));
    }

    /// Ends the waits that `take` removes, and sends each whether its delivery is settled.
    fn tell(
        &self,
        take: impl FnOnce(
            &mut BTreeMap<u64, oneshot::Sender<bool>>,
        ) -> BTreeMap<u64, oneshot::Sender<bool>>,
    ) {
        let mut waiting = self.waiting.lock();
        let told = take(&mut waiting);
        self.count.store(waiting.len(), SeqCst);
        drop(waiting);
        let end = self.end();
        for (sequence, teller) in told {
            // A dropped wait needs no answer.
            let _ = teller.send(sequence < end);
        }
    }

    /// Counts the waits.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.count.load(SeqCst)
    }
}

impl Wait<'_> {
    /// Waits at most `time`, and returns whether the delivery is settled.
    pub async fn within(mut self, time: Duration) -> bool {
        match timeout(time, &mut self.told).await {
            Ok(told) => told.unwrap_or(false),
            Err(_elapsed) => {
                self.settled.give_up(self.sequence);
                self.sequence < self.settled.end()
            }
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waiting = self.settled.waiting.lock();
        waiting.remove(&self.sequence);
        self.settled.count.store(waiting.len(), SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(10);

    fn wait(settled: &Settled, sequence: u64, now: UnixMillis) -> Option<Wait<'_>> {
        match settled.ask(sequence, now) {
            Asked::Soon(wait) => Some(wait),
            Asked::Settled | Asked::NotSoon => None,
        }
    }

    fn is_not_soon(settled: &Settled, sequence: u64, now: UnixMillis) -> bool {
        matches!(settled.ask(sequence, now), Asked::NotSoon)
    }

    #[tokio::test]
    async fn a_delivery_is_settled_once_the_end_has_passed_it_and_not_when_it_has_reached_it() {
        let settled = Settled::new(1);
        settled.stored(1, 0);
        let mut one = pin!(wait(&settled, 1, 0).unwrap().within(LONG));
        let mut two = pin!(wait(&settled, 2, 0).unwrap().within(LONG));
        settled.passed(2, 10);
        assert!(one.as_mut().await);
        assert_eq!(settled.waiting(), 1);
        let is_pending = std::future::poll_fn(|cx| Poll::Ready(two.as_mut().poll(cx).is_pending()));
        assert!(is_pending.await);
        settled.passed(3, 20);
        assert!(two.await);
        assert!(matches!(settled.ask(2, 20), Asked::Settled));
        assert_eq!(settled.waiting(), 0);
    }

    #[tokio::test]
    async fn after_a_wait_in_vain_nothing_is_waited_for_until_that_delivery_is_settled() {
        let settled = Settled::new(5);
        settled.stored(5, 0);
        let first = wait(&settled, 5, 0).unwrap();
        let second = wait(&settled, 6, 0).unwrap();
        let (first, second) = tokio::join!(first.within(SHORT), second.within(LONG));
        assert!(!first && !second, "deliveries behind it are given up with it");
        assert!(is_not_soon(&settled, 5, 0) && is_not_soon(&settled, 7, 0));
        settled.passed(5, 0);
        assert!(is_not_soon(&settled, 7, 0), "that one is not settled yet");
        settled.passed(6, 0);
        assert!(wait(&settled, 7, 0).is_some());
    }

    #[test]
    fn behind_a_long_backlog_and_while_nothing_moves_nothing_is_waited_for() {
        let settled = Settled::new(1);
        settled.stored(1, 500);
        assert!(wait(&settled, 1 + MAX_DELIVERIES_BEHIND, 500).is_some());
        assert!(is_not_soon(&settled, 2 + MAX_DELIVERIES_BEHIND, 500));
        assert!(is_not_soon(&settled, 2, 500 + MOVED_WITHIN + 1));
        assert!(wait(&settled, 1, 500 + MOVED_WITHIN + 1).is_some(), "nothing is before it");
        settled.passed(2, 9000);
        assert!(wait(&settled, 4, 9000 + MOVED_WITHIN).is_some(), "it moves again");
        settled.stored(5, 99_000);
        assert!(is_not_soon(&settled, 5, 99_000), "others are before it");
        settled.passed(5, 100_000);
        settled.stored(5, 200_000);
        assert!(wait(&settled, 6, 200_000).is_some(), "all was settled when they came");
    }

    #[test]
    fn a_client_that_disconnects_ends_its_wait() {
        let settled = Settled::new(1);
        settled.stored(1, 0);
        let wait = wait(&settled, 1, 0).unwrap();
        assert_eq!(settled.waiting(), 1);
        drop(wait.within(LONG));
        assert_eq!(settled.waiting(), 0);
    }

    #[test]
    fn the_end_never_goes_back() {
        let settled = Settled::new(7);
        settled.passed(5, 0);
        assert_eq!(settled.end(), 7);
    }

    /// A request asks for each delivery while the forwarder passes it: no wait is overlooked by both.
    #[test]
    fn a_wait_that_begins_while_its_delivery_is_settled_is_not_overlooked() {
        let settled = Settled::new(1);
        let most = 20_000;
        std::thread::scope(|scope| {
            scope.spawn(|| (2..=most).for_each(|end| settled.passed(end, 0)));
            for sequence in 1..most {
                if let Some(mut wait) = wait(&settled, sequence, 0) {
                    while wait.told.try_recv() != Ok(true) {
                        std::hint::spin_loop();
                    }
                }
            }
        });
        assert_eq!((settled.end(), settled.waiting()), (most, 0));
    }
}
