//! Reads a request's body: at most as many bytes as the limits allow, at most until the deadline, and at most
//! as much of all bodies at once as the budget.
//!
//! Memory is reserved from the budget (`budget.rs`) before it is taken: first for the head and the request's own
//! overhead, and then for the body as it comes, whatever length was announced. A body that is inflated grows
//! while there is room. Once there is none it gives back all of its inflated part, is measured, and waits for
//! exactly the bytes that it needs: so no body holds a part of them while it waits for the rest.

use std::{sync::Arc, thread, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use hyper::body::Frame;
use prometheus::IntGauge;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    budget::{Budget, NoRoomNow, Reservation},
    inflate::{Coding, NotInflated, inflate, measure},
    reply::Outcome,
    shares::Party,
};
use crate::{config::Listen, source::UnixMillis};

/// First capacity of a body's memory, if the body may be as large; then it doubles.
const FIRST_CAPACITY: u64 = 16 * 1024;

/// Bytes of a request beside its head and its body: its task, and the HTTP library's memory for it.
const REQUEST_OVERHEAD: u64 = 4 * 1024;

/// The sender of a body, as far as its head shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodySender {
    /// A sender that has proved that it is one of this source.
    Known(Party),
    /// Not known yet: the body has to prove its sender. It gives way when the budget runs out.
    Stranger,
}

impl BodySender {
    fn party(self) -> Party {
        match self {
            Self::Known(party) => party,
            Self::Stranger => Party::STRANGERS,
        }
    }
}

/// Limits of bodies, and their budget. Clones share the budget.
#[derive(Clone)]
pub struct Limits {
    wire: u64,
    inflated: u64,
    budget: Budget,
    /// How many bodies of a party are inflated at the same time: the processor is shared, too.
    inflating: Arc<[Semaphore]>,
}

impl Limits {
    /// Returns these limits for bodies of at most `wire` bytes.
    pub fn at_most(&self, wire: u64) -> Self {
        Self { wire: wire.min(self.wire), ..self.clone() }
    }

    /// Makes limits with a budget of its own for strangers' bodies, counted in the same metric as this one.
    pub fn apart(&self, config: &Listen) -> Self {
        Self::shared(config, 0, self.budget.used())
    }

    /// Makes limits with a share of the budget for each of so many sources. `used` shows how much of it is in memory.
    pub fn shared(config: &Listen, sources: usize, used: &IntGauge) -> Self {
        let at_once = thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        Self {
            wire: config.body_limit,
            inflated: config.body_limit_inflated,
            budget: Budget::new(config.body_budget, sources, used),
            inflating: (0..=sources).map(|_| Semaphore::new(at_once)).collect(),
        }
    }
}

/// A whole body as it came over the wire, which is what a signature covers.
pub struct WireBody {
    pub bytes: Bytes,
    /// When the last byte came.
    pub received: Instant,
    received_at: UnixMillis,
    from: BodySender,
    pub reservation: Reservation,
}

/// A whole body, without its content-coding if that could be decoded.
pub struct Body {
    pub bytes: Bytes,
    /// Whether `bytes` are still in the coding that `Content-Encoding` names.
    pub still_coded: bool,
    /// When the last byte came.
    pub received_at: UnixMillis,
    pub reservation: Reservation,
}

/// Reads all of `body` and does not inflate it, since its sender may still turn out to be a stranger, and a
/// stranger's bomb is never inflated. The error is the outcome to answer with.
pub async fn read<B>(
    headers: &HeaderMap,
    body: B,
    limits: &Limits,
    from: BodySender,
    deadline: Instant,
) -> Result<WireBody, Outcome>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let mut reservation = limits.budget.reserve(from.party());
    let wire = read_wire(headers, body, limits, deadline, &mut reservation).await?;
    reservation.set_complete();
    Ok(WireBody {
        bytes: wire.into(),
        received: Instant::now(),
        received_at: unix_millis(SystemTime::now()),
        from,
        reservation,
    })
}

/// Result of an attempt to inflate a body.
enum Inflated {
    Done(Body),
    /// There was no room: the inflated body is this many bytes.
    Needs(u64, Parts),
}

/// Input of an attempt to inflate a body.
struct Parts {
    coding: Coding,
    wire: Bytes,
    received_at: UnixMillis,
    reservation: Reservation,
    limit: u64,
    /// Bytes reserved before anything was inflated.
    before: u64,
}

impl WireBody {
    /// Decodes the content-coding. A body that cannot be decoded is returned as it came.
    pub async fn inflated(
        self,
        headers: &HeaderMap,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Body, Outcome> {
        let Self { bytes: wire, received_at, from, reservation, .. } = self;
        let coding = Coding::of(headers);
        if matches!(coding, Coding::Identity | Coding::Unknown) {
            let still_coded = coding == Coding::Unknown;
            return Ok(Body { bytes: wire, still_coded, received_at, reservation });
        }
        let before = reservation.bytes();
        let mut parts =
            Parts { coding, wire, received_at, reservation, limit: limits.inflated, before };
        loop {
            let turn = limits.inflating[from.party().index()].acquire();
            let turn = timeout_at(deadline, turn).await.map_err(|_| Outcome::OverBudget)?;
            // Large bodies take milliseconds, and bombs more: not on a thread that serves other requests.
            let attempt = tokio::task::spawn_blocking(move || parts.inflate());
            let attempt = attempt.await.map_err(|_| Outcome::Internal)??;
            // A body that waits for room must not keep its turn.
            drop(turn);
            match attempt {
                Inflated::Done(body) => return Ok(body),
                Inflated::Needs(bytes, again) => {
                    parts = again;
                    let all = parts.before.saturating_add(bytes);
                    parts.reservation.grow_to(all, deadline).await?;
                    parts.limit = bytes;
                }
            }
        }
    }
}

impl Parts {
    fn inflate(mut self) -> Result<Inflated, Outcome> {
        let Self { coding, limit, before, .. } = self;
        let reservation = &mut self.reservation;
        let grow = &mut |bytes| reservation.try_to_grow_to(before.saturating_add(bytes));
        let (bytes, still_coded, held) = match inflate(coding, &self.wire, limit, grow) {
            Ok(inflated) => {
                let held = inflated.capacity() as u64;
                (inflated.into(), false, held)
            }
            Err(NotInflated::Corrupt) => (self.wire, true, before),
            Err(NotInflated::TooLarge) => return Err(Outcome::InflatedTooLarge),
            Err(NotInflated::NoRoom(NoRoomNow)) => return self.measured(),
        };
        self.reservation.shrink_to(held);
        let Self { received_at, reservation, .. } = self;
        Ok(Inflated::Done(Body { bytes, still_coded, received_at, reservation }))
    }

    /// Gives back the inflated part, and measures how many bytes the whole would be.
    fn measured(mut self) -> Result<Inflated, Outcome> {
        self.reservation.shrink_to(self.before);
        match measure::<NoRoomNow>(self.coding, &self.wire, self.limit) {
            Ok(bytes) => Ok(Inflated::Needs(bytes, self)),
            // Measuring keeps no memory, so corruption is found without room for the bytes before it.
            Err(NotInflated::Corrupt | NotInflated::NoRoom(NoRoomNow)) => {
                let Self { wire: bytes, received_at, reservation, .. } = self;
                Ok(Inflated::Done(Body { bytes, still_coded: true, received_at, reservation }))
            }
            Err(NotInflated::TooLarge) => Err(Outcome::InflatedTooLarge),
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
    let beside = REQUEST_OVERHEAD + length_of(headers);
    let mut capacity = declared.unwrap_or(0).min(FIRST_CAPACITY);
    reservation.grow_to(beside + capacity, deadline).await?;
    let mut wire = Vec::with_capacity(capacity as usize);
    loop {
        let Some(frame) = next_frame(&mut body, reservation, deadline).await? else {
            break;
        };
        // A frame that is not data is trailers, which are not used.
        let Ok(piece) = frame.into_data() else { continue };
        let needed = (wire.len() + piece.len()) as u64;
        if needed > limits.wire {
            return Err(Outcome::BodyTooLarge);
        }
        reservation.came(piece.len() as u64);
        if needed > capacity {
            let most = declared.unwrap_or(limits.wire).clamp(needed, limits.wire);
            capacity = needed.max(capacity * 2).max(FIRST_CAPACITY).min(most);
            reservation.grow_to(beside + capacity, deadline).await?;
            wire.reserve_exact(capacity as usize - wire.len());
        }
        wire.extend_from_slice(&piece);
    }
    // The library reports an HTTP/1 body that ends early as an error; this catches any other transport.
    if declared.is_some_and(|length| length != wire.len() as u64) {
        return Err(Outcome::BodyBroken);
    }
    Ok(wire)
}

/// Returns about how many bytes of memory the headers take.
fn length_of(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum()
}

/// Waits for the next frame, until the deadline or until this body has to give way.
async fn next_frame<B>(
    body: &mut B,
    reservation: &Reservation,
    deadline: Instant,
) -> Result<Option<Frame<Bytes>>, Outcome>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let frame = tokio::select! {
        biased;
        frame = timeout_at(deadline, body.frame()) => frame.map_err(|_| Outcome::BodyTimeout)?,
        () = reservation.evicted() => return Err(Outcome::OverBudget),
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
    use crate::observe::metrics::Metrics;

    const MIB: u64 = 1024 * 1024;

    fn gzip(body: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap().into()
    }

    /// Each body fits alone; all at once, their inflated parts would fill the budget.
    #[tokio::test]
    async fn compressed_bodies_that_need_more_than_there_is_take_turns() {
        let limits = Limits::shared(
            &Listen {
                body_limit: MIB,
                body_limit_inflated: 4 * MIB,
                body_budget: 6 * MIB,
                ..Listen::default()
            },
            1,
            &Metrics::new().body_budget_used_bytes,
        );
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, "gzip".parse().unwrap())]);
        let bytes = gzip(&vec![b' '; 4 * MIB as usize]);
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut bodies = JoinSet::new();
        for _ in 0..24 {
            let limits = limits.clone();
            let headers = headers.clone();
            let bytes = bytes.clone();
            bodies.spawn(async move {
                let from = BodySender::Known(Party::source(0));
                let body = http_body_util::Full::new(bytes);
                let body = read(&headers, body, &limits, from, deadline).await?;
                let body = body.inflated(&headers, &limits, deadline).await?;
                Ok::<_, Outcome>(body.bytes.len() as u64)
            });
        }
        while let Some(inflated) = bodies.join_next().await {
            assert_eq!(inflated.unwrap(), Ok(4 * MIB));
        }
    }
}
