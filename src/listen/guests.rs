//! Strangers whose bodies are being read, and which of them give way when the budget runs out.
//!
//! Who signs a body is a stranger until all of it has come, so anybody may begin one. Therefore a
//! stranger pays for what came, not for what was announced; and when there is no room for somebody
//! else, whoever has brought least for the time that was taken goes first. So any number of bodies
//! that drip cost next to nothing, and a sender, whose body comes at once, is never the slowest.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Nobody is told to go who has not had this long: a body that was just begun has no rate yet.
const GRACE: Duration = Duration::from_millis(250);

/// The strangers of one budget; clones are the same.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<Mutex<House>>);

#[derive(Default)]
struct House {
    next: u64,
    present: BTreeMap<u64, Arc<Stay>>,
}

struct Stay {
    began: Instant,
    /// Bytes that came, and bytes of the budget that are taken.
    came: AtomicU64,
    held: AtomicU64,
    told_to_go: Notify,
}

/// One stranger's body, while it is being read.
pub(super) struct Guest {
    guests: Guests,
    id: u64,
    stay: Arc<Stay>,
}

impl Guests {
    pub fn enter(&self, now: Instant) -> Guest {
        let (came, held, told_to_go) = (AtomicU64::new(0), AtomicU64::new(0), Notify::new());
        let stay = Arc::new(Stay { began: now, came, held, told_to_go });
        let mut house = self.house();
        let id = house.next;
        house.next += 1;
        house.present.insert(id, stay.clone());
        Guest { guests: self.clone(), id, stay }
    }

    /// Tells the slowest to go, until `bytes` come free by it or nobody is left who had his time.
    /// Never `except`, on whose behalf it is.
    pub fn make_room(&self, bytes: u64, except: Option<&Guest>, now: Instant) {
        let mut house = self.house();
        let mut freed = 0;
        while freed < bytes {
            let had_time = house.present.iter().filter(|(id, stay)| {
                now.saturating_duration_since(stay.began) >= GRACE
                    && stay.held.load(SeqCst) > 0
                    && except.is_none_or(|guest| guest.id != **id)
            });
            let slowest = had_time.min_by_key(|(_, stay)| stay.bytes_a_second(now));
            let Some((&id, _)) = slowest else { return };
            let Some(stay) = house.present.remove(&id) else { return };
            freed += stay.held.load(SeqCst);
            stay.told_to_go.notify_one();
        }
    }

    fn house(&self) -> MutexGuard<'_, House> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stay {
    fn bytes_a_second(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.began).as_millis().max(1);
        let rate = u128::from(self.came.load(SeqCst)) * 1000 / millis;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

impl Guest {
    pub fn came(&self, bytes: u64) {
        self.stay.came.fetch_add(bytes, SeqCst);
    }

    pub fn holds(&self, bytes: u64) {
        self.stay.held.store(bytes, SeqCst);
    }

    /// Resolves when somebody else needs the room.
    pub async fn told_to_go(&self) {
        self.stay.told_to_go.notified().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.house().present.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_told(guest: &Guest) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(guest.told_to_go()).as_mut().poll(&mut context).is_ready()
    }

    fn guest(guests: &Guests, now: Instant, came: u64, held: u64) -> Guest {
        let guest = guests.enter(now);
        guest.came(came);
        guest.holds(held);
        guest
    }

    #[test]
    fn the_slowest_go_first_and_no_more_of_them_than_needed() {
        let (guests, now) = (Guests::default(), Instant::now());
        let quick = guest(&guests, now, 1000, 1000);
        let slow = guest(&guests, now, 10, 1000);
        let slowest = guest(&guests, now, 1, 1000);
        guests.make_room(1500, None, now + GRACE);
        assert_eq!([&quick, &slow, &slowest].map(is_told), [false, true, true]);
    }

    #[test]
    fn one_that_began_just_now_or_asks_itself_or_holds_nothing_stays() {
        let (guests, now) = (Guests::default(), Instant::now());
        let asking = guest(&guests, now, 0, 1000);
        let empty = guest(&guests, now, 0, 0);
        let new = guest(&guests, now + GRACE, 0, 1000);
        guests.make_room(1500, Some(&asking), now + GRACE);
        assert_eq!([&asking, &empty, &new].map(is_told), [false; 3]);
    }

    #[test]
    fn who_has_left_is_not_counted_on() {
        let (guests, now) = (Guests::default(), Instant::now());
        drop(guest(&guests, now, 0, 1000));
        let here = guest(&guests, now, 5, 1000);
        guests.make_room(1000, None, now + GRACE);
        assert!(is_told(&here));
    }
}
