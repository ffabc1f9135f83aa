//! Reads a request's body: never more of it than the limits say, never longer than the deadline,
//! and never more of all bodies at once than the budget.
//!
//! The memory is paid for from the budget (`budget.rs`) before it is taken. A length that was declared is
//! reserved at once, so that bodies in flight can't starve each other half-way; a body without one
//! grows in steps.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use super::{
    budget::{Budget, Reservation},
    inflate::{Coding, NotInflated, inflate},
    reply::Outcome,
};
use crate::{config::Listen, delivery::UnixMillis};

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
