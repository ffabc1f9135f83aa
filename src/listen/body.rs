//! Reads a request's body: never more of it than the limits say, never longer than the deadline,
//! and never more of all bodies at once than the budget.
//!
//! The budget is taken before the memory is, and given back when the [`Body`]'s [`Reservation`] goes:
//! the receiver keeps it until the spool has the bytes. A length that was declared is reserved at
//! once, so that bodies in flight can't starve each other half-way; a body without one grows in
//! steps. One that needs more than the whole budget (its wire form and its inflated form together)
//! gets all of it, alone: a limit that is below the budget can always be reached.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{
    inflate::{Coding, NotInflated, inflate},
    reply::Outcome,
};
use crate::{config::Listen, delivery::UnixMillis};

/// Budget is counted in these many bytes.
const UNIT: u64 = 1024;

/// A body of unknown length grows by this many bytes.
const STEP: u64 = 256 * 1024;

/// What bodies may be. Clones share the budget.
#[derive(Clone)]
pub struct Limits {
    wire: u64,
    inflated: u64,
    budget: Budget,
}

impl Limits {
    pub fn new(config: &Listen) -> Self {
        Self {
            wire: config.body_limit,
            inflated: config.body_limit_inflated,
            budget: Budget::new(config.body_budget),
        }
    }
}

/// A whole body, its content-coding taken off if that could be done.
pub struct Body {
    pub bytes: Bytes,
    /// Whether `bytes` are still in the coding that `Content-Encoding` says.
    pub still_coded: bool,
    /// When the last byte came.
    pub received_at: UnixMillis,
    pub received: Instant,
    pub reservation: Reservation,
}

/// Reads all of `body`. The error is the outcome to answer with.
pub async fn read<B>(
    headers: &HeaderMap,
    body: B,
    limits: &Limits,
    deadline: Instant,
) -> Result<Body, Outcome>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let mut reservation = limits.budget.reserve();
    let wire = read_wire(headers, body, limits, deadline, &mut reservation).await?;
    let (received, received_at) = (Instant::now(), unix_millis(SystemTime::now()));
    let finished = |bytes: Bytes, still_coded, reservation| Body {
        bytes,
        still_coded,
        received_at,
        received,
        reservation,
    };
    match Coding::of(headers) {
        Coding::Identity => Ok(finished(wire.into(), false, reservation)),
        Coding::Unknown => Ok(finished(wire.into(), true, reservation)),
        coding => {
            let limit = limits.inflated;
            let (runtime, mine) = (Handle::current(), wire.len() as u64);
            // Large bodies take milliseconds, and bombs more: not on a thread that serves others.
            let work = move || {
                let mut grow = |bytes| {
                    runtime.block_on(reservation.grow_to(mine.saturating_add(bytes), deadline))
                };
                match inflate(coding, &wire, limit, &mut grow) {
                    Ok(inflated) => Ok((inflated, false, reservation)),
                    Err(NotInflated::Corrupt) => Ok((wire, true, reservation)),
                    Err(NotInflated::TooLarge) => Err(Outcome::InflatedTooLarge),
                    Err(NotInflated::NoRoom(outcome)) => Err(outcome),
                }
            };
            let done = tokio::task::spawn_blocking(work).await.map_err(|_| Outcome::Internal)?;
            let (bytes, still_coded, mut reservation) = done?;
            reservation.shrink_to(bytes.capacity() as u64);
            Ok(finished(bytes.into(), still_coded, reservation))
        }
    }
}

async fn read_wire<B>(
    headers: &HeaderMap,
    mut body: B,
    limits: &Limits,
    deadline: Instant,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, Outcome>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let declared = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limits.wire) {
        return Err(Outcome::BodyTooLarge);
    }
    let mut wire = Vec::new();
    if let Some(length) = declared {
        reservation.grow_to(length, deadline).await?;
        // Touched as bytes come, so that a length that was only declared costs no memory.
        wire.reserve_exact(length as usize);
    }
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| Outcome::BodyTimeout)?;
        let Some(frame) = frame else { break };
        // Trailers are of no interest.
        let Ok(piece) = frame.map_err(|_| Outcome::BodyBroken)?.into_data() else { continue };
        let needed = (wire.len() + piece.len()) as u64;
        if needed > limits.wire {
            return Err(Outcome::BodyTooLarge);
        }
        if needed > wire.capacity() as u64 {
            let capacity = (needed.next_multiple_of(STEP)).min(limits.wire);
            reservation.grow_to(capacity, deadline).await?;
            wire.reserve_exact(capacity as usize - wire.len());
        }
        wire.extend_from_slice(&piece);
    }
    // An HTTP/1 body that ends early is an error above; this is for whatever else may carry one.
    if declared.is_some_and(|length| length != wire.len() as u64) {
        return Err(Outcome::BodyBroken);
    }
    Ok(wire)
}

fn unix_millis(time: SystemTime) -> UnixMillis {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes of bodies that may be in memory at once.
#[derive(Clone)]
struct Budget {
    free: Arc<Semaphore>,
    total: u32,
}

impl Budget {
    fn new(bytes: u64) -> Self {
        let total = units(bytes).max(1);
        Self { free: Arc::new(Semaphore::new(total as usize)), total }
    }

    fn reserve(&self) -> Reservation {
        Reservation { budget: self.clone(), held: Vec::new(), units: 0 }
    }
}

/// A part of the budget, given back when dropped.
pub struct Reservation {
    budget: Budget,
    held: Vec<OwnedSemaphorePermit>,
    units: u32,
}

impl Reservation {
    /// Waits for room until `deadline`, first come, first served.
    async fn grow_to(&mut self, bytes: u64, deadline: Instant) -> Result<(), Outcome> {
        let wanted = units(bytes).min(self.budget.total);
        let more = wanted.saturating_sub(self.units);
        if more == 0 {
            return Ok(());
        }
        let permit = timeout_at(deadline, self.budget.free.clone().acquire_many_owned(more)).await;
        // The semaphore is never closed.
        self.held.push(permit.map_err(|_| Outcome::OverBudget)?.map_err(|_| Outcome::Internal)?);
        self.units += more;
        Ok(())
    }

    fn shrink_to(&mut self, bytes: u64) {
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
