//! Places for connections (`listen.connections`), and who gives way when they run out.
//!
//! A full house of strangers must not shut a sender out: when there is no place, the connection that
//! has gone longest without proving who it is loses its own to the newcomer. One on which a sender
//! has authenticated is never taken. So thousands of slow connections push each other out, while a
//! sender, whose head comes right after its connection, is long proved by then: each has a moment for
//! that ([`CHANCE`]), and while nobody's is over, newcomers wait to be accepted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::activity::Activity;

/// How many connections that were told to go may still be there, beyond the limit.
pub(super) const LEAVING: usize = 256;

/// How long a place is safe. A crowd that comes all at once would otherwise push a sender out before
/// anybody has looked at what it sent.
pub(super) const CHANCE: Duration = Duration::from_millis(250);

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// Somebody can give way then.
    Until(Instant),
    /// Nobody can give way.
    Full,
}

#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    limit: usize,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    taken: usize,
    next: u64,
    /// By age; those that have proved themselves meanwhile are skipped.
    strangers: BTreeMap<u64, Arc<Activity>>,
}

impl Slots {
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner { limit, places: Mutex::default() }))
    }

    /// A place for a connection, held until the [`Slot`] goes.
    pub fn take(&self, activity: &Arc<Activity>, now: Instant) -> Result<Slot, NoPlace> {
        let mut places = self.0.lock();
        if places.taken >= self.0.limit {
            if places.taken >= self.0.limit + LEAVING {
                return Err(NoPlace::Full);
            }
            places.oldest_stranger(now)?.evict();
        }
        let id = places.next;
        places.next += 1;
        places.taken += 1;
        places.strangers.insert(id, activity.clone());
        Ok(Slot { slots: self.0.clone(), id })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn oldest_stranger(&mut self, now: Instant) -> Result<Arc<Activity>, NoPlace> {
        while let Some(oldest) = self.strangers.first_entry() {
            let safe_until = oldest.get().born() + CHANCE;
            if oldest.get().is_proven() {
                oldest.remove();
            } else if now < safe_until {
                return Err(NoPlace::Until(safe_until));
            } else {
                return Ok(oldest.remove());
            }
        }
        Err(NoPlace::Full)
    }
}

/// One connection's place.
pub struct Slot {
    slots: Arc<Inner>,
    id: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut places = self.slots.lock();
        places.taken -= 1;
        places.strangers.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity() -> Arc<Activity> {
        Arc::new(Activity::new(Instant::now()))
    }

    /// When everybody has had a chance.
    fn later() -> Instant {
        Instant::now() + CHANCE
    }

    #[test]
    fn a_place_that_was_left_is_given_again() {
        let slots = Slots::new(1);
        drop(slots.take(&activity(), Instant::now()));
        assert!(slots.take(&activity(), Instant::now()).is_ok());
    }

    #[test]
    fn the_oldest_stranger_gives_way_and_proven_senders_never_do() {
        let slots = Slots::new(3);
        let (sender, old, young) = (activity(), activity(), activity());
        let held: Vec<_> =
            [&sender, &old, &young].map(|a| slots.take(a, Instant::now()).ok().unwrap()).into();
        sender.prove();
        let newcomer = slots.take(&activity(), later());
        assert!(newcomer.is_ok());
        assert!(!slots.0.lock().strangers.values().any(|a| Arc::ptr_eq(a, &old)));
        assert!(slots.0.lock().strangers.values().any(|a| Arc::ptr_eq(a, &young)));
        drop(held);
    }

    #[test]
    fn whoever_just_came_keeps_a_place_for_a_moment_and_newcomers_wait() {
        let slots = Slots::new(1);
        let first = activity();
        let _held = slots.take(&first, first.born()).ok().unwrap();
        let just_before = first.born() + CHANCE - Duration::from_nanos(1);
        let refused = slots.take(&activity(), just_before).err();
        assert_eq!(refused, Some(NoPlace::Until(first.born() + CHANCE)));
        assert!(slots.take(&activity(), first.born() + CHANCE).is_ok());
    }

    #[test]
    fn a_house_full_of_senders_has_no_place() {
        let slots = Slots::new(2);
        let senders = [activity(), activity()];
        let _held = senders.each_ref().map(|a| slots.take(a, Instant::now()).ok().unwrap());
        senders.iter().for_each(|a| a.prove());
        assert_eq!(slots.take(&activity(), later()).err(), Some(NoPlace::Full));
    }

    #[test]
    fn those_who_were_told_to_go_are_bounded_too() {
        let slots = Slots::new(2);
        let places = (0..10 + LEAVING).map_while(|_| slots.take(&activity(), later()).ok());
        let strangers: Vec<_> = places.collect();
        assert_eq!(strangers.len(), 2 + LEAVING);
    }
}
