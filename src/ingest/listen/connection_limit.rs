//! The limit of connections (`listen.connections`), and which connection gives way at it.
//!
//! A connection begins as a stranger's. Once a delivery on it has passed every check it counts as that
//! source's, as far as the source has room: half of the limit is guaranteed to the sources together, and
//! another part is common. A quarter is always left to strangers, so a new connection is always accepted.
//!
//! At the limit a stranger's connection gives way to the new one: the oldest that is idle after an answer, whose
//! head has begun and does not end ([`GRACE_OF_A_HEAD`]), or that had time to authenticate ([`GRACE`]). While there
//! is none, new connections wait to be accepted.
//!
//! A further connection of a source that has no room takes the place of an idle one: of the source that is furthest
//! beyond its guarantee, or of its own. The idle one counts as a stranger's again, and stays as long as there is room.
//! So thousands of slow or idle connections push each other out, and no source takes the guarantee of another.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};

use tokio::time::Instant;

use super::{
    activity::Activity,
    shares::{Ledger, Party},
};

/// Returns how many connections that are ending may still be open beyond the limit.
pub(super) fn leaving(limit: usize) -> usize {
    (limit / 4).clamp(1, 256)
}

/// How long a new connection does not give way. A crowd that comes all at once would otherwise push a sender out
/// before its request was read.
pub(super) const GRACE: Duration = Duration::from_millis(250);

/// How long a connection does not give way once the first byte of a head has come: a sender writes all of it at once.
const GRACE_OF_A_HEAD: Duration = Duration::from_millis(50);

/// Pause before another look for room: a connection that is ending may have ended by then.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// The limit is reached; there may be room at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullUntil(pub Instant);

#[derive(Clone)]
pub struct ConnectionLimit(Arc<Inner>);

struct Inner {
    limit: usize,
    open: Mutex<Open>,
}

struct Open {
    count: usize,
    next: u64,
    /// Strangers' connections, by age. A connection that has to end is not in here.
    strangers: BTreeMap<u64, Arc<Activity>>,
    /// Connections that count as a source's.
    senders: BTreeMap<u64, (Party, Arc<Activity>)>,
    ledger: Ledger,
}

impl ConnectionLimit {
    pub fn new(limit: usize, sources: usize) -> Self {
        let strangers = (limit / 4).max(1);
        let each = (limit / 2).checked_div(sources).unwrap_or(0);
        let common = limit.saturating_sub(strangers + each * sources);
        // No guarantee and no common part: strangers have what the sources leave, which is at least their quarter.
        let ledger = Ledger::new(sources, 0, each as u64, common as u64, 0);
        let open = Open {
            count: 0,
            next: 0,
            strangers: BTreeMap::new(),
            senders: BTreeMap::new(),
            ledger,
        };
        Self(Arc::new(Inner { limit, open: Mutex::new(open) }))
    }

    /// Counts a new connection until the [`Slot`] is dropped.
    pub fn take(&self, activity: &Arc<Activity>, now: Instant) -> Result<Slot, FullUntil> {
        let mut open = self.0.open();
        if open.count >= self.0.limit {
            if open.count >= self.0.limit + leaving(self.0.limit) {
                // Evicted connections are ending, which takes a second at most.
                return Err(FullUntil(now + RETRY_PAUSE));
            }
            open.evict_stranger(now)?;
        }
        let id = open.next;
        open.next += 1;
        open.count += 1;
        open.strangers.insert(id, activity.clone());
        drop(open);
        activity.counted_as(Membership { limit: self.clone(), id });
        Ok(Slot { limit: self.0.clone(), id })
    }

    /// Ends one stranger's connection, since no file descriptor is left for a further one.
    pub fn give_back_one(&self, now: Instant) {
        // If none may be ended yet, the caller can only wait.
        let _ = self.0.open().evict_stranger(now);
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock()
    }
}

impl Open {
    fn evict_stranger(&mut self, now: Instant) -> Result<(), FullUntil> {
        let gives_way = |(_, activity): &(&u64, &Arc<Activity>)| {
            let had = |since: Instant, grace| now.saturating_duration_since(since) >= grace;
            // Idle after an answer: its request was checked, and did not make it a source's connection.
            activity.idle_since().is_some()
                || activity.head_since().is_some_and(|since| had(since, GRACE_OF_A_HEAD))
                || had(activity.born(), GRACE)
        };
        let oldest = self.strangers.iter().find(gives_way).map(|(id, _)| *id);
        if let Some(activity) = oldest.and_then(|id| self.strangers.remove(&id)) {
            activity.evict();
            return Ok(());
        }
        let soon = now + RETRY_PAUSE;
        // Without strangers, all connections beyond the sources' are ending already.
        let oldest = self.strangers.values().next();
        Err(FullUntil(oldest.map_or(soon, |activity| soon.min(activity.born() + GRACE))))
    }

    /// Makes `id` a connection of `party`, if there is room; returns whether it is one.
    fn keep(&mut self, id: u64, party: Party) -> bool {
        if !self.strangers.contains_key(&id) {
            return self.senders.contains_key(&id);
        }
        let has_room =
            self.ledger.take(party, 1) || (self.give_way_to(party) && self.ledger.take(party, 1));
        if !has_room {
            return false;
        }
        if let Some(activity) = self.strangers.remove(&id) {
            self.senders.insert(id, (party, activity));
        }
        true
    }

    /// Makes room for `party`: the longest idle connection of the source that is furthest beyond its guarantee becomes
    /// a stranger's.
    fn give_way_to(&mut self, party: Party) -> bool {
        let own = self.ledger.beyond(party);
        let others = self.ledger.parties().filter(|other| self.ledger.beyond(*other) > own + 1);
        let greediest = others.max_by_key(|other| self.ledger.beyond(*other)).unwrap_or(party);
        let idle = self.senders.iter().filter(|(_, (of, _))| *of == greediest);
        let idle = idle.filter_map(|(id, (_, activity))| Some((activity.idle_since()?, *id)));
        let Some((_, id)) = idle.min() else { return false };
        if let Some((_, activity)) = self.senders.remove(&id) {
            activity.is_kept_no_more();
            self.strangers.insert(id, activity);
        }
        self.ledger.give_back(greediest, 1);
        true
    }
}

/// The entry of a connection under the limit.
pub struct Membership {
    limit: ConnectionLimit,
    id: u64,
}

impl Membership {
    /// Makes it a connection of `party`, which does not give way to strangers; returns whether it is one.
    pub fn keep(&self, party: Party) -> bool {
        self.limit.0.open().keep(self.id, party)
    }
}

/// One connection under the limit.
pub struct Slot {
    limit: Arc<Inner>,
    id: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.limit.open();
        open.count -= 1;
        // `open` holds the connection's activity, and that holds `Membership`, a handle to `open`: removing the entry
        // breaks the cycle.
        open.strangers.remove(&self.id);
        if let Some((party, _)) = open.senders.remove(&self.id) {
            open.ledger.give_back(party, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    struct Connection {
        activity: Arc<Activity>,
        _slot: Slot,
    }

    /// A time at which all connections so far are past their grace.
    fn later() -> Instant {
        Instant::now() + GRACE
    }

    fn open(limit: &ConnectionLimit) -> Connection {
        let activity = Arc::new(Activity::new(Instant::now()));
        let slot = limit.take(&activity, later()).expect("there is room");
        Connection { activity, _slot: slot }
    }

    /// A connection with a delivery of `source` behind it.
    fn delivered(limit: &ConnectionLimit, source: usize) -> Connection {
        let connection = open(limit);
        let request = connection.activity.request(Version::HTTP_11);
        connection.activity.belongs_to(Party::source(source));
        drop(request);
        connection
    }

    fn evicted(connection: &Connection) -> bool {
        connection.activity.is_evicted()
    }

    #[test]
    fn a_connection_that_ended_makes_room() {
        let limit = ConnectionLimit::new(1, 1);
        drop(open(&limit));
        let first = open(&limit);
        assert!(!evicted(&first));
    }

    #[test]
    fn the_oldest_stranger_gives_way_and_senders_within_their_share_do_not() {
        let limit = ConnectionLimit::new(4, 1);
        let sender = delivered(&limit, 0);
        let strangers = [open(&limit), open(&limit), open(&limit)];
        let _newcomer = open(&limit);
        assert!(!evicted(&sender));
        assert_eq!(strangers.each_ref().map(evicted), [true, false, false]);
    }

    #[test]
    fn a_new_connection_is_safe_for_a_moment_and_the_next_one_waits() {
        let limit = ConnectionLimit::new(1, 1);
        let first = Arc::new(Activity::new(Instant::now()));
        let _held = limit.take(&first, first.born()).ok().unwrap();
        let second = Arc::new(Activity::new(Instant::now()));
        let just_before = first.born() + GRACE - Duration::from_nanos(1);
        let refused = limit.take(&second, just_before).err();
        assert_eq!(refused, Some(FullUntil(first.born() + GRACE)));
        assert!(limit.take(&second, first.born() + GRACE).is_ok());
    }

    #[test]
    fn a_stranger_that_had_its_answer_gives_way_at_once_and_before_an_older_one() {
        let limit = ConnectionLimit::new(2, 1);
        let take = || {
            let activity = Arc::new(Activity::new(Instant::now()));
            let slot = limit.take(&activity, activity.born()).expect("there is room");
            Connection { activity, _slot: slot }
        };
        let older = take();
        let answered = take();
        drop(answered.activity.request(Version::HTTP_11));
        let _newcomer = take();
        assert_eq!((evicted(&older), evicted(&answered)), (false, true));
    }

    #[test]
    fn a_head_that_began_and_does_not_end_has_less_time_than_a_connection_that_is_silent() {
        let limit = ConnectionLimit::new(2, 1);
        let silent = open(&limit);
        let began = open(&limit);
        let born = began.activity.born();
        began.activity.bytes_came(b"POST", born);
        let next = || limit.take(&Arc::new(Activity::new(born)), born + GRACE_OF_A_HEAD).ok();
        let first = next();
        let second = next();
        assert!(first.is_some() && second.is_none());
        assert_eq!((evicted(&silent), evicted(&began)), (false, true));
    }

    #[test]
    fn a_source_that_has_all_it_can_get_leaves_room_for_strangers_and_for_other_sources() {
        let limit = ConnectionLimit::new(16, 2);
        let mut greedy: Vec<_> = (0..16).map(|_| delivered(&limit, 0)).collect();
        let others: Vec<_> = (0..4).map(|_| delivered(&limit, 1)).collect();
        let kept = |of: &[Connection]| of.iter().filter(|one| one.activity.is_kept()).count();
        assert_eq!(
            (kept(&greedy), kept(&others)),
            (8, 4),
            "four guaranteed, and four that are common"
        );
        for _ in 0..64 {
            greedy.retain(|one| !evicted(one));
            greedy.push(delivered(&limit, 0));
        }
        assert_eq!(others.iter().filter(|one| evicted(one)).count(), 0);
        assert_eq!((kept(&greedy), kept(&others)), (8, 4));
    }

    #[test]
    fn a_source_beyond_its_share_gives_idle_connections_to_one_that_has_less() {
        let limit = ConnectionLimit::new(16, 2);
        let greedy: Vec<_> = (0..8).map(|_| delivered(&limit, 0)).collect();
        let others: Vec<_> = (0..6).map(|_| delivered(&limit, 1)).collect();
        assert!(others.iter().all(|one| one.activity.is_kept()));
        assert_eq!(greedy.iter().filter(|one| one.activity.is_kept()).count(), 6);
        assert!(greedy.iter().all(|one| !evicted(one)), "there is room for all of them");
    }

    #[test]
    fn connections_with_a_request_are_not_idle() {
        let limit = ConnectionLimit::new(8, 1);
        let busy: Vec<_> = (0..6)
            .map(|_| {
                let connection = open(&limit);
                let request = connection.activity.request(Version::HTTP_11);
                connection.activity.belongs_to(Party::source(0));
                (connection, request)
            })
            .collect();
        let next = delivered(&limit, 0);
        assert!(!next.activity.is_kept());
        assert!(busy.iter().all(|(connection, _)| connection.activity.is_kept()));
    }

    #[test]
    fn connections_that_have_to_end_are_bounded_too() {
        let limit = ConnectionLimit::new(8, 1);
        let open = || limit.take(&Arc::new(Activity::new(Instant::now())), later());
        let all: Vec<_> = (0..100).map_while(|_| open().ok()).collect();
        assert_eq!(all.len(), 8 + leaving(8));
        drop(all);
        assert!(open().is_ok());
    }
}
