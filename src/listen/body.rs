//! Reads a request's body: never more of it than the limits say, never longer than the deadline,
//! and never more of all bodies at once than the budget.
//!
//! The memory is paid for from the budget (`budget.rs`) before it is taken. A length that a known sender
//! declared is reserved at once, so that bodies in flight can't starve each other half-way; a body
//! without one, and any of a stranger's, grows in steps.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use super::{
    budget::{Budget, Reservation},
    guests::Guest,
    inflate::{Coding, NotInflated, inflate},
    reply::Outcome,
};
use crate::{config::Listen, delivery::UnixMillis};

/// A body of unknown length grows by this many bytes.
const STEP: u64 = 256 * 1024;

/// A stranger's body begins with this many: a thousand of them take a quarter of the default budget.
const FIRST_STEP: u64 = 16 * 1024;

/// Who sends a body, as far as its head has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Somebody who has proved who they are.
    Known,
    /// Anybody: the body is what has to prove it. It gives way when the budget runs out.
    Stranger,
}

/// What bodies may be. Clones share the budget.
#[derive(Clone)]
pub struct Limits {
    wire: u64,
    inflated: u64,
    budget: Budget,
}

impl Limits {
    /// The same, for bodies of at most `wire` bytes.
    pub fn at_most(&self, wire: u64) -> Self {
        Self { wire: wire.min(self.wire), ..self.clone() }
    }

    pub fn new(config: &Listen) -> Self {
        Self {
            wire: config.body_limit,
            inflated: config.body_limit_inflated,
            budget: Budget::new(config.body_budget),
        }
    }
}

/// A whole body as it came over the wire: what a signature is over.
pub struct WireBody {
    pub bytes: Bytes,
    /// When the last byte came.
    pub received: Instant,
    received_at: UnixMillis,
    reservation: Reservation,
}

/// A whole body, its content-coding taken off if that could be done.
pub struct Body {
    pub bytes: Bytes,
    /// Whether `bytes` are still in the coding that `Content-Encoding` says.
    pub still_coded: bool,
    /// When the last byte came.
    pub received_at: UnixMillis,
    pub reservation: Reservation,
}

/// Reads all of `body` and leaves its content-coding alone, since whoever sent it may still turn out
/// to be a stranger, and a stranger's bomb is never inflated. The error is the outcome to answer with.
pub async fn read<B>(
    headers: &HeaderMap,
    body: B,
    limits: &Limits,
    from: From,
    deadline: Instant,
) -> Result<WireBody, Outcome>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let mut reservation = match from {
        From::Known => limits.budget.reserve(),
        From::Stranger => limits.budget.reserve_for_guest(),
    };
    let wire = read_wire(headers, body, limits, deadline, &mut reservation).await?;
    reservation.is_complete();
    Ok(WireBody {
        bytes: wire.into(),
        received: Instant::now(),
        received_at: unix_millis(SystemTime::now()),
        reservation,
    })
}

impl WireBody {
    /// Takes the content-coding off.
    pub async fn inflated(
        self,
        headers: &HeaderMap,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Body, Outcome> {
        let Self { bytes: wire, received_at, mut reservation, .. } = self;
        let finished =
            |bytes, still_coded, reservation| Body { bytes, still_coded, received_at, reservation };
        let coding = Coding::of(headers);
        if matches!(coding, Coding::Identity | Coding::Unknown) {
            return Ok(finished(wire, coding == Coding::Unknown, reservation));
        }
        let (limit, runtime, before) = (limits.inflated, Handle::current(), reservation.bytes());
        // Large bodies take milliseconds, and bombs more: not on a thread that serves others.
        let work = move || {
            let mut grow = |bytes| {
                runtime.block_on(reservation.grow_to(before.saturating_add(bytes), deadline))
            };
            let (bytes, still_coded, held) = match inflate(coding, &wire, limit, &mut grow) {
                Ok(inflated) => {
                    let held = inflated.capacity() as u64;
                    (inflated.into(), false, held)
                }
                Err(NotInflated::Corrupt) => (wire, true, before),
                Err(NotInflated::TooLarge) => return Err(Outcome::InflatedTooLarge),
                Err(NotInflated::NoRoom(outcome)) => return Err(outcome),
            };
            reservation.shrink_to(held);
            Ok((bytes, still_coded, reservation))
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| Outcome::Internal)?;
        let (bytes, still_coded, reservation) = done?;
        Ok(finished(bytes, still_coded, reservation))
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
    if let Some(length) = declared.filter(|_| reservation.guest().is_none()) {
        reservation.grow_to(length, deadline).await?;
        // Touched as bytes come, so that a length that was only declared costs no memory.
        wire.reserve_exact(length as usize);
    }
    loop {
        let Some(frame) = next_frame(&mut body, reservation.guest(), deadline).await? else {
            break;
        };
        // Trailers are of no interest.
        let Ok(piece) = frame.into_data() else { continue };
        let needed = (wire.len() + piece.len()) as u64;
        if needed > limits.wire {
            return Err(Outcome::BodyTooLarge);
        }
        if needed > wire.capacity() as u64 {
            let mut capacity = needed.next_multiple_of(STEP);
            if reservation.guest().is_some() {
                let doubled = needed.max(wire.capacity() as u64 * 2);
                capacity = doubled.next_multiple_of(FIRST_STEP).min(capacity);
            }
            let most = declared.unwrap_or(limits.wire).max(needed);
            let capacity = capacity.min(most).min(limits.wire);
            reservation.grow_to(capacity, deadline).await?;
            wire.reserve_exact(capacity as usize - wire.len());
        }
        wire.extend_from_slice(&piece);
        if let Some(guest) = reservation.guest() {
            guest.came(piece.len() as u64);
        }
    }
    // An HTTP/1 body that ends early is an error above; this is for whatever else may carry one.
    if declared.is_some_and(|length| length != wire.len() as u64) {
        return Err(Outcome::BodyBroken);
    }
    Ok(wire)
}

/// The next piece, if it comes in time and nobody needs the room more.
async fn next_frame<B>(
    body: &mut B,
    guest: Option<&Guest>,
    deadline: Instant,
) -> Result<Option<Frame<Bytes>>, Outcome>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let told_to_go = async {
        match guest {
            Some(guest) => guest.told_to_go().await,
            None => std::future::pending().await,
        }
    };
    let frame = tokio::select! {
        frame = timeout_at(deadline, body.frame()) => frame.map_err(|_| Outcome::BodyTimeout)?,
        () = told_to_go => return Err(Outcome::OverBudget),
    };
    frame.transpose().map_err(|_| Outcome::BodyBroken)
}

fn unix_millis(time: SystemTime) -> UnixMillis {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
