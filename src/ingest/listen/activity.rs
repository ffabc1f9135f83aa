//! The state of a connection, shared by its socket (which sees bytes), its requests, and the watch
//! that ends it when it takes up a slot for nothing.
//!
//! - The head of a request has `header_timeout` from its first byte; the first one of a connection
//!   has it from the connection's beginning.
//! - A connection on which a delivery was accepted, or a client authenticated, or which a trusted proxy opened,
//!   may then be idle for `idle`; a stranger's only for `header_timeout`.
//! - A request that is being served is not watched here: it has a deadline of its own.
//!
//! HTTP/2 heads are not timed one by one, because a ping looks like the beginning of one; the first
//! and the third rule, and being idle, hold for it as well.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Version;
use tokio::{sync::Notify, time::Instant};

use super::{connection_limit::Membership, shares::Party};

/// Timeouts of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub header_timeout: Duration,
    pub idle: Duration,
}

/// Reason for which a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// The head did not come whole in time.
    Head,
    /// No request for too long; the connection ends in order.
    Idle,
    /// Its slot went to a newer connection.
    Evicted,
}

pub struct Activity {
    born: Instant,
    /// Milliseconds from `born`, plus one; 0 is none.
    head_began: AtomicU64,
    /// As `head_began`.
    idle_since: AtomicU64,
    in_flight: AtomicUsize,
    /// Requests whose head came whole.
    requests: AtomicU64,
    /// Requests whose answer the service has given to the HTTP library.
    answered: AtomicU64,
    received: AtomicBool,
    http2: AtomicBool,
    proven: AtomicBool,
    /// Whether it counts as a source's connection under the limit of connections.
    kept: AtomicBool,
    membership: OnceLock<Membership>,
    oversized: AtomicBool,
    has_to_end: AtomicBool,
    evicted: Notify,
}

impl Activity {
    pub fn new(now: Instant) -> Self {
        Self {
            born: now,
            head_began: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            received: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            membership: OnceLock::new(),
            oversized: AtomicBool::new(false),
            has_to_end: AtomicBool::new(false),
            evicted: Notify::new(),
        }
    }

    pub fn born(&self) -> Instant {
        self.born
    }

    /// Notes bytes that the socket received.
    pub fn bytes_came(&self, bytes: &[u8], now: Instant) {
        if !self.received.swap(true, SeqCst) && bytes.starts_with(b"PRI ") {
            self.http2.store(true, SeqCst);
        }
        if self.in_flight.load(SeqCst) == 0 {
            let _ = self.head_began.compare_exchange(0, self.stamp(now), SeqCst, SeqCst);
        }
    }

    /// Notes that a head came whole; the request lasts until the guard is dropped.
    pub fn request(self: &std::sync::Arc<Self>, version: Version) -> InFlight {
        self.in_flight.fetch_add(1, SeqCst);
        self.requests.fetch_add(1, SeqCst);
        self.head_began.store(0, SeqCst);
        if version == Version::HTTP_2 {
            self.http2.store(true, SeqCst);
        }
        InFlight(self.clone())
    }

    /// Counts an answer that is about to be given to the HTTP library.
    pub fn answers(&self) {
        self.answered.fetch_add(1, SeqCst);
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(SeqCst)
    }

    /// Notes that the client has authenticated: the connection may be idle for longer.
    pub fn prove(&self) {
        self.proven.store(true, SeqCst);
    }

    pub(super) fn counted_as(&self, membership: Membership) {
        // Set once: a connection takes one slot.
        let _ = self.membership.set(membership);
    }

    /// Notes that a delivery has passed every check: the connection counts as one of `party`, and keeps its slot as
    /// far as the share of `party` goes. Of several sources behind one proxy the first counts.
    pub fn belongs_to(&self, party: Party) {
        self.prove();
        if !self.kept.load(SeqCst)
            && let Some(membership) = self.membership.get()
            && membership.keep(party)
        {
            self.kept.store(true, SeqCst);
        }
    }

    /// Notes that another connection of a known sender took its place in the share.
    pub(super) fn is_kept_no_more(&self) {
        self.kept.store(false, SeqCst);
    }

    #[cfg(test)]
    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(SeqCst)
    }

    /// Returns since when it has been idle; `None` during a request, and before the first.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.in_flight.load(SeqCst) == 0 && self.requests.load(SeqCst) > 0;
        is_idle.then(|| self.instant(self.idle_since.load(SeqCst)))
    }

    pub fn is_proven(&self) -> bool {
        self.proven.load(SeqCst)
    }

    /// Returns when an HTTP/1 head began that has not ended. `None` over HTTP/2, where a client may wait for our
    /// settings.
    pub(super) fn head_since(&self) -> Option<Instant> {
        let stamp = self.head_began.load(SeqCst);
        let is_head = stamp > 0 && self.in_flight.load(SeqCst) == 0 && !self.http2.load(SeqCst);
        is_head.then(|| self.instant(stamp))
    }

    pub fn evict(&self) {
        self.has_to_end.store(true, SeqCst);
        self.evicted.notify_one();
    }

    #[cfg(test)]
    pub(super) fn is_evicted(&self) -> bool {
        self.has_to_end.load(SeqCst)
    }

    /// Notes that the library was about to refuse a head over the limit by itself.
    pub fn head_was_too_large(&self) {
        self.oversized.store(true, SeqCst);
    }

    pub fn had_too_large_a_head(&self) -> bool {
        self.oversized.load(SeqCst)
    }

    /// Returns whether the peer has sent bytes of HTTP/1.
    pub fn speaks_http1(&self) -> bool {
        self.received.load(SeqCst) && !self.http2.load(SeqCst)
    }

    /// Waits until the connection has to end.
    pub async fn overdue(&self, timeouts: Timeouts) -> Overdue {
        loop {
            let now = Instant::now();
            // A head that begins during this sleep is not overdue before the sleep ends.
            let mut until = now + timeouts.header_timeout;
            if let Some((due, why)) = self.due(timeouts) {
                if due <= now {
                    return why;
                }
                until = until.min(due);
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.evicted.notified() => return match self.idle_since() {
                    // No request is refused: the sender opens another connection for its next one.
                    Some(_) if self.is_proven() => Overdue::Idle,
                    _ => Overdue::Evicted,
                },
            }
        }
    }

    fn due(&self, timeouts: Timeouts) -> Option<(Instant, Overdue)> {
        if self.in_flight.load(SeqCst) > 0 {
            return None;
        }
        if self.requests.load(SeqCst) == 0 {
            return Some((self.born + timeouts.header_timeout, Overdue::Head));
        }
        let head_began = self.head_began.load(SeqCst);
        if head_began > 0 && !self.http2.load(SeqCst) {
            return Some((self.instant(head_began) + timeouts.header_timeout, Overdue::Head));
        }
        let idle = if self.is_proven() { timeouts.idle } else { timeouts.header_timeout };
        Some((self.instant(self.idle_since.load(SeqCst)) + idle, Overdue::Idle))
    }

    fn stamp(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.born).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }

    fn instant(&self, stamp: u64) -> Instant {
        self.born + Duration::from_millis(stamp.saturating_sub(1))
    }
}

/// A request that is being served.
pub struct InFlight(std::sync::Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.stamp(Instant::now()), SeqCst);
        self.0.head_began.store(0, SeqCst);
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const TIMEOUTS: Timeouts =
        Timeouts { header_timeout: Duration::from_secs(10), idle: Duration::from_secs(75) };

    fn due_after(activity: &Activity) -> Option<(u64, Overdue)> {
        let (due, why) = activity.due(TIMEOUTS)?;
        Some(((due - activity.born).as_secs(), why))
    }

    #[test]
    fn the_first_head_is_due_from_the_beginning_however_slowly_it_drips() {
        let born = Instant::now();
        let activity = Activity::new(born);
        assert_eq!(due_after(&activity), Some((10, Overdue::Head)));
        activity.bytes_came(b"P", born + Duration::from_secs(9));
        assert_eq!(due_after(&activity), Some((10, Overdue::Head)));
    }

    #[test]
    fn a_later_head_is_due_from_its_first_byte() {
        let born = Instant::now();
        let activity = Arc::new(Activity::new(born));
        drop(activity.request(Version::HTTP_11));
        activity.bytes_came(b"P", born + Duration::from_secs(30));
        activity.bytes_came(b"O", born + Duration::from_secs(35));
        assert_eq!(due_after(&activity), Some((40, Overdue::Head)));
    }

    #[test]
    fn only_a_proven_connection_may_be_idle_for_long() {
        let activity = Arc::new(Activity::new(Instant::now()));
        let request = activity.request(Version::HTTP_11);
        assert_eq!(due_after(&activity), None, "a request has a deadline of its own");
        drop(request);
        assert_eq!(due_after(&activity), Some((10, Overdue::Idle)));
        activity.prove();
        assert_eq!(due_after(&activity), Some((75, Overdue::Idle)));
    }

    #[test]
    fn pings_of_http_2_are_no_head_that_began() {
        let born = Instant::now();
        let activity = Arc::new(Activity::new(born));
        activity.bytes_came(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", born);
        assert!(!activity.speaks_http1());
        drop(activity.request(Version::HTTP_2));
        activity.prove();
        activity.bytes_came(b"ping", born + Duration::from_secs(60));
        assert_eq!(due_after(&activity), Some((75, Overdue::Idle)));
    }

    #[tokio::test]
    async fn an_evicted_connection_is_overdue_at_once() {
        let activity = Activity::new(Instant::now());
        activity.evict();
        assert_eq!(activity.overdue(TIMEOUTS).await, Overdue::Evicted);
    }

    #[tokio::test]
    async fn an_idle_connection_of_a_sender_ends_in_order_when_it_has_to_give_way() {
        let activity = Arc::new(Activity::new(Instant::now()));
        drop(activity.request(Version::HTTP_11));
        activity.prove();
        activity.evict();
        assert_eq!(activity.overdue(TIMEOUTS).await, Overdue::Idle);
    }
}
