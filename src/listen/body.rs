//! Reads a request's body: never more of it than the limits say, never longer than the deadline,
//! and never more of all bodies at once than the budget.
//!
//! The memory is paid for from the budget (`budget.rs`) before it is taken. A length that a known sender
//! declared is reserved at once, so that bodies in flight can't starve each other half-way; a body
//! without one, and any of a stranger's, grows in steps. One that is being inflated grows while there is room,
//! and waits for all that it may need once there is none.

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
    budget::{Budget, NoRoomNow, Reservation},
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
            let mut inflated = inflate(coding, &wire, limit, &mut |bytes| {
                reservation.try_to_grow_to(before.saturating_add(bytes))
            });
            if let Err(NotInflated::NoRoom(NoRoomNow)) = inflated {
                // Bodies that keep a part and wait for the rest would wait for each other: this one gives
                // its part back, and waits for all that it may need.
                reservation.shrink_to(before);
                let all = reservation.grow_to(before.saturating_add(limit), deadline);
                runtime.block_on(all)?;
                inflated = inflate(coding, &wire, limit, &mut |_| Ok(()));
            }
            let (bytes, still_coded, held) = match inflated {
                Ok(inflated) => {
                    let held = inflated.capacity() as u64;
                    (inflated.into(), false, held)
                }
                Err(NotInflated::Corrupt) => (wire, true, before),
                Err(NotInflated::TooLarge) => return Err(Outcome::InflatedTooLarge),
                Err(NotInflated::NoRoom(NoRoomNow)) => return Err(Outcome::OverBudget),
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

#[cfg(test)]
mod tests {
    use std::{io::Write, time::Duration};

    use flate2::{Compression, write::GzEncoder};
    use http::header::CONTENT_ENCODING;
    use tokio::task::JoinSet;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn gzip(body: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap().into()
    }

    /// Each would fit, one after the other; all at once they have parts that together fill the budget.
    #[tokio::test]
    async fn compressed_bodies_that_need_more_than_there_is_take_turns() {
        let limits = Limits { wire: MIB, inflated: 4 * MIB, budget: Budget::new(6 * MIB) };
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, "gzip".parse().unwrap())]);
        let bytes = gzip(&vec![b' '; 4 * MIB as usize]);
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut bodies = JoinSet::new();
        for _ in 0..24 {
            let (limits, headers, bytes) = (limits.clone(), headers.clone(), bytes.clone());
            bodies.spawn(async move {
                let reservation = limits.budget.reserve();
                let (received, received_at) = (Instant::now(), 0);
                let body = WireBody { bytes, received, received_at, reservation };
                let body = body.inflated(&headers, &limits, deadline).await?;
                Ok::<_, Outcome>(body.bytes.len() as u64)
            });
        }
        while let Some(inflated) = bodies.join_next().await {
            assert_eq!(inflated.unwrap(), Ok(4 * MIB));
        }
    }
}
