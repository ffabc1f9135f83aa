//! How many bytes of bodies are in memory at once, over all connections (`listen.body_budget`).
//!
//! A [`Reservation`] is made before the memory is taken and given back when it goes: the receiver
//! keeps it until the spool has the bytes. One that needs more than the whole budget (its wire form
//! and its inflated form together) gets all of it, alone: a limit that is not above the budget can
//! always be reached. Where there is no room, strangers give way (`guests.rs`).

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until},
};

use super::{
    guests::{Guest, Guests},
    reply::Outcome,
};

/// Budget is counted in these many bytes.
const UNIT: u64 = 1024;

/// How often one who waits for room looks whether a stranger can give way by now.
const LOOK: Duration = Duration::from_millis(50);

/// Bytes of bodies that may be in memory at once.
#[derive(Clone)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    total: u32,
    guests: Guests,
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        let total = units(bytes).max(1);
        let free = Arc::new(Semaphore::new(total as usize));
        Self { free, total, guests: Guests::default() }
    }

    /// For a body whose sender is known: nothing takes its part away again.
    pub(super) fn reserve(&self) -> Reservation {
        Reservation { budget: self.clone(), held: Vec::new(), units: 0, guest: None }
    }

    /// For a body that a stranger sends.
    pub(super) fn reserve_for_guest(&self) -> Reservation {
        let guest = self.guests.enter(Instant::now());
        Reservation { guest: Some(guest), ..self.reserve() }
    }
}

/// Others have the room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoomNow;

/// A part of the budget, given back when dropped.
pub struct Reservation {
    budget: Budget,
    held: Vec<OwnedSemaphorePermit>,
    units: u32,
    /// While a stranger's body is being read.
    guest: Option<Guest>,
}

impl Reservation {
    pub(super) fn guest(&self) -> Option<&Guest> {
        self.guest.as_ref()
    }

    /// The body is whole: from now on its part is safe.
    pub(super) fn is_complete(&mut self) {
        self.guest = None;
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.units) * UNIT
    }

    /// Waits for room until `deadline`, first come, first served. Strangers give way for it, and one
    /// that was told to go gets nothing.
    pub(super) async fn grow_to(&mut self, bytes: u64, deadline: Instant) -> Result<(), Outcome> {
        let wanted = units(bytes).min(self.budget.total);
        let more = wanted.saturating_sub(self.units);
        if more == 0 {
            return Ok(());
        }
        let permit = self.room(more, deadline).await?;
        self.held.push(permit);
        self.units += more;
        if let Some(guest) = &self.guest {
            guest.holds(self.bytes());
        }
        Ok(())
    }

    /// The same without waiting.
    pub(super) fn try_to_grow_to(&mut self, bytes: u64) -> Result<(), NoRoomNow> {
        let wanted = units(bytes).min(self.budget.total);
        let more = wanted.saturating_sub(self.units);
        let permit =
            self.budget.free.clone().try_acquire_many_owned(more).map_err(|_| NoRoomNow)?;
        self.held.push(permit);
        self.units += more;
        Ok(())
    }

    async fn room(&self, more: u32, deadline: Instant) -> Result<OwnedSemaphorePermit, Outcome> {
        let free = &self.budget.free;
        let told_to_go = async {
            match &self.guest {
                Some(guest) => guest.told_to_go().await,
                None => std::future::pending().await,
            }
        };
        let (mut room, mut told_to_go) =
            (pin!(free.clone().acquire_many_owned(more)), pin!(told_to_go));
        loop {
            tokio::select! {
                biased;
                // The semaphore is never closed.
                permit = room.as_mut() => return permit.map_err(|_| Outcome::Internal),
                () = told_to_go.as_mut() => return Err(Outcome::OverBudget),
                () = sleep_until(deadline) => return Err(Outcome::OverBudget),
                () = self.look_for_room(more) => {}
            }
        }
    }

    /// Has strangers make room, and gives them a moment for it.
    async fn look_for_room(&self, more: u32) {
        let bytes = u64::from(more) * UNIT;
        self.budget.guests.make_room(bytes, self.guest.as_ref(), Instant::now());
        sleep(LOOK).await;
    }

    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let wanted = units(bytes);
        while self.units > wanted {
            let Some(mut last) = self.held.pop() else { return };
            let here = u32::try_from(last.num_permits()).unwrap_or(u32::MAX);
            let surplus = here.min(self.units - wanted);
            self.units -= surplus;
            drop(last.split(surplus as usize));
            if surplus < here {
                self.held.push(last);
            }
        }
    }
}

fn units(bytes: u64) -> u32 {
    // Four TiB of bodies in memory are beyond any limit worth having.
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[tokio::test]
    async fn an_exhausted_budget_refuses_at_the_deadline_and_gives_when_room_is_made() {
        let budget = Budget::new(8 * UNIT);
        let (mut first, mut second) = (budget.reserve(), budget.reserve());
        first.grow_to(6 * UNIT, soon()).await.unwrap();
        assert_eq!(second.grow_to(3 * UNIT, soon()).await, Err(Outcome::OverBudget));
        second.grow_to(2 * UNIT, soon()).await.unwrap();
        drop(first);
        second.grow_to(8 * UNIT, soon()).await.unwrap();
        drop(second);
        assert_eq!(budget.free.available_permits(), 8);
    }

    #[tokio::test]
    async fn what_needs_more_than_the_whole_budget_gets_all_of_it_alone() {
        let budget = Budget::new(8 * UNIT);
        let mut all = budget.reserve();
        all.grow_to(100 * UNIT, soon()).await.unwrap();
        assert_eq!(budget.free.available_permits(), 0);
        assert_eq!(budget.reserve().grow_to(1, soon()).await, Err(Outcome::OverBudget));
    }

    #[tokio::test]
    async fn a_stranger_that_has_had_its_time_gives_way_to_whoever_needs_the_room() {
        let budget = Budget::new(8 * UNIT);
        let later = || Instant::now() + Duration::from_secs(20);
        let mut stranger = budget.reserve_for_guest();
        stranger.grow_to(8 * UNIT, soon()).await.unwrap();
        let held = async {
            stranger.guest().unwrap().told_to_go().await;
            drop(stranger);
        };
        let mut sender = budget.reserve();
        let (granted, ()) = tokio::join!(sender.grow_to(2 * UNIT, later()), held);
        assert_eq!(granted, Ok(()));
        // Nobody gives way once the body is whole.
        let mut whole = budget.reserve_for_guest();
        whole.grow_to(6 * UNIT, soon()).await.unwrap();
        whole.is_complete();
        let wait = Instant::now() + Duration::from_millis(400);
        assert_eq!(budget.reserve().grow_to(1, wait).await, Err(Outcome::OverBudget));
    }

    #[tokio::test]
    async fn a_reservation_shrinks_to_what_is_still_held() {
        let budget = Budget::new(16 * UNIT);
        let mut some = budget.reserve();
        for units in [3, 7, 12] {
            some.grow_to(units * UNIT, soon()).await.unwrap();
        }
        some.shrink_to(4 * UNIT);
        assert_eq!(budget.free.available_permits(), 12);
        some.shrink_to(20 * UNIT);
        assert_eq!(budget.free.available_permits(), 12);
        some.shrink_to(0);
        assert_eq!(budget.free.available_permits(), 16);
    }
}
