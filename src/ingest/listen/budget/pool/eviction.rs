//! Eviction: the choice of bodies that give way while others wait.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{Body, Class, Pool, class, is_small};
use crate::ingest::listen::shares::Party;

/// How long a stranger's new body does not give way: it has no rate yet.
pub const GRACE: Duration = Duration::from_millis(250);

/// How long a known sender's new body does not give way.
pub const GRACE_OF_SENDERS: Duration = Duration::from_secs(1);

/// Bytes a second below which a known sender is slow. While there is room it does not give way.
pub const SLOW: u64 = 32 * 1024;

/// Shortest time between two looks for bodies that can give way, for each of both classes.
const PAUSE: Duration = Duration::from_millis(5);

/// A body that may have to give way.
struct Candidate {
    id: u64,
    holds: u64,
    /// Bytes that it waits for itself, which are not wanted any more once it is gone.
    waits_for: u64,
}

impl Pool {
    /// Evicts slow bodies for the waiting bodies of `party`'s class.
    pub fn make_room(&mut self, party: Party, now: Instant) {
        let class = class(party);
        let looked = &mut self.looked[class as usize];
        let too_soon = looked.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        if too_soon || self.waiting[class as usize] == 0 {
            return;
        }
        *looked = Some(now);
        let lines = self.parties(class).map(|party| &self.lines[party.index()]);
        let wanted: u64 = lines.flat_map(BTreeMap::values).map(|waiter| waiter.more).sum();
        match class {
            Class::Strangers => {
                let freed = self.evict_large_strangers(now);
                self.evict_strangers(wanted.saturating_sub(freed), now);
            }
            Class::Senders => self.make_room_for_senders(wanted, now),
        }
    }

    fn make_room_for_senders(&mut self, wanted: u64, now: Instant) {
        let too_much = self.ledger.beyond(Party::STRANGERS);
        let freed = self.evict_strangers(wanted.min(too_much), now);
        self.evict_slow_senders(wanted.saturating_sub(freed), now);
    }

    /// Evicts strangers' largest bodies first, for the waiting small ones; counts bytes of bodies already evicted,
    /// which are about to come free.
    fn evict_large_strangers(&mut self, now: Instant) -> u64 {
        let line = &self.lines[Party::STRANGERS.index()];
        let small = line.values().filter(|waiter| is_small(waiter.turn));
        let wanted: u64 = small.map(|waiter| waiter.of_slice).sum();
        let coming_free: u64 = self.bodies.values().filter(|it| it.evicted).map(Body::holds).sum();
        let mut present = self.evictable(|party| party == Party::STRANGERS);
        // By age, not by time to send: large ones that wait for each other have no such time.
        present
            .retain(|(_, body)| body.holds() > self.slice.limit && body.progress.age(now) >= GRACE);
        present.sort_unstable_by_key(|(_, body)| Reverse(body.holds()));
        let candidate =
            |(id, body): (u64, &Body)| Candidate { id, holds: body.holds(), waits_for: 0 };
        let candidates = present.into_iter().map(candidate).collect();
        self.evict(candidates, wanted.saturating_sub(coming_free))
    }

    /// Evicts strangers' slowest bodies first, until `wanted` bytes come free; returns how many do.
    fn evict_strangers(&mut self, wanted: u64, now: Instant) -> u64 {
        let mut present = self.evictable(|party| party == Party::STRANGERS);
        present.retain(|(_, body)| body.progress.time(now) >= GRACE);
        present.sort_unstable_by_key(|(_, body)| body.progress.bytes_a_second(now));
        let candidate = |(id, body): (u64, &Body)| {
            let waits_for = self.lines[body.party.index()].get(&id).map_or(0, |waiter| waiter.more);
            Candidate { id, holds: body.holds(), waits_for }
        };
        let candidates = present.into_iter().map(candidate).collect();
        self.evict(candidates, wanted)
    }

    /// Evicts slow bodies, first of the source that is furthest beyond its guarantee.
    fn evict_slow_senders(&mut self, wanted: u64, now: Instant) {
        let mut present =
            self.evictable(|party| class(party) == Class::Senders && self.ledger.beyond(party) > 0);
        present.retain(|(id, body)| {
            body.progress.time(now) >= GRACE_OF_SENDERS
                && body.progress.bytes_a_second(now) < SLOW
                && !self.lines[body.party.index()].contains_key(id)
        });
        present.sort_unstable_by_key(|(_, body)| {
            (Reverse(self.ledger.beyond(body.party)), body.progress.bytes_a_second(now))
        });
        let candidate =
            |(id, body): (u64, &Body)| Candidate { id, holds: body.holds(), waits_for: 0 };
        let candidates = present.into_iter().map(candidate).collect();
        self.evict(candidates, wanted);
    }

    fn evictable(&self, of: impl Fn(Party) -> bool) -> Vec<(u64, &Body)> {
        let present = self
            .bodies
            .iter()
            .filter(|(_, body)| of(body.party) && !body.evicted && !body.progress.is_complete());
        present.map(|(id, body)| (*id, body)).collect()
    }

    /// Evicts in this order until `wanted` bytes come free; returns how many do.
    fn evict(&mut self, candidates: Vec<Candidate>, mut wanted: u64) -> u64 {
        let mut freed = 0;
        for Candidate { id, holds, waits_for } in candidates {
            if freed >= wanted {
                break;
            }
            freed += holds;
            wanted = wanted.saturating_sub(waits_for);
            if let Some(body) = self.bodies.get_mut(&id) {
                body.evicted = true;
                body.progress.evict();
            }
            self.stop_waiting(id);
        }
        freed
    }
}
