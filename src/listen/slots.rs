//! Places for connections (`listen.connections`), and who gives way when they run out.
//!
//! A full house of strangers must not shut a sender out: when there is no place, the connection that
//! has gone longest without proving who it is loses its own to the newcomer. One on which a sender
//! has authenticated is never taken. So thousands of slow connections push each other out, while a
//! sender, whose head comes right after its connection, is long proved by then.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::activity::Activity;

/// How many connections that were told to go may still be there, beyond the limit.
pub(super) const LEAVING: usize = 256;

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

    /// A place for a connection, held until the [`Slot`] goes; `None` when nobody can give way.
    pub fn take(&self, activity: &Arc<Activity>) -> Option<Slot> {
        let mut places = self.0.lock();
        if places.taken >= self.0.limit {
            if places.taken >= self.0.limit + LEAVING {
                return None;
            }
            places.oldest_stranger()?.evict();
        }
        let id = places.next;
        places.next += 1;
        places.taken += 1;
        places.strangers.insert(id, activity.clone());
        Some(Slot { slots: self.0.clone(), id })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn oldest_stranger(&mut self) -> Option<Arc<Activity>> {
        loop {
            let (_, activity) = self.strangers.pop_first()?;
            if !activity.is_proven() {
                return Some(activity);
            }
        }
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
    use tokio::time::Instant;

    use super::*;

    fn activity() -> Arc<Activity> {
        Arc::new(Activity::new(Instant::now()))
    }

    #[test]
    fn a_place_that_was_left_is_given_again() {
        let slots = Slots::new(1);
        drop(slots.take(&activity()));
        assert!(slots.take(&activity()).is_some());
    }

    #[test]
    fn the_oldest_stranger_gives_way_and_proven_senders_never_do() {
        let slots = Slots::new(3);
        let (sender, old, young) = (activity(), activity(), activity());
        let held: Vec<_> = [&sender, &old, &young].map(|a| slots.take(a).unwrap()).into();
        sender.prove();
        let newcomer = slots.take(&activity());
        assert!(newcomer.is_some());
        assert!(!slots.0.lock().strangers.values().any(|a| Arc::ptr_eq(a, &old)));
        assert!(slots.0.lock().strangers.values().any(|a| Arc::ptr_eq(a, &young)));
        drop(held);
    }

    #[test]
    fn a_house_full_of_senders_has_no_place() {
        let slots = Slots::new(2);
        let senders = [activity(), activity()];
        let _held = senders.each_ref().map(|a| slots.take(a).unwrap());
        senders.iter().for_each(|a| a.prove());
        assert!(slots.take(&activity()).is_none());
    }

    #[test]
    fn those_who_were_told_to_go_are_bounded_too() {
        let slots = Slots::new(2);
        let strangers: Vec<_> = (0..10 + LEAVING).map_while(|_| slots.take(&activity())).collect();
        assert_eq!(strangers.len(), 2 + LEAVING);
    }
}
