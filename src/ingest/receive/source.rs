//! One configured source: its authentication, and the store in which its deliveries become durable.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::request::Parts;
use tokio::time::{Instant, timeout_at};

use super::AdobeIo;
use crate::{
    config,
    delivery::{Authenticated, Delivery},
    ingest::{
        authenticate::{
            Admission, Gate, Proof, Refusal,
            reason::{Reason, Why},
        },
        listen::{body::Body, reply::Outcome},
    },
    source::SourceName,
    spool::{AppendError, Spool},
};

/// A store that makes deliveries durable: a spool in production; tests use one that waits.
pub trait Store: Send + Sync + 'static {
    /// Stores a delivery, and resolves with its sequence number once it is durable.
    fn append(&self, delivery: Authenticated) -> Append<'_>;

    /// Returns whether all of a durable delivery is settled. Waits for that at most `within`, and not at all where it
    /// cannot be expected in that time. The wait takes nothing from the pools that senders share, and ends when the
    /// future is dropped.
    fn is_settled(&self, sequence: u64, within: Duration) -> Settles<'_>;
}

/// Resolves with the sequence number of a durable delivery, or with the error why it was not stored.
pub type Append<'a> = Pin<Box<dyn Future<Output = Result<u64, AppendError>> + Send + 'a>>;

/// Resolves with whether a delivery is settled.
pub type Settles<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

impl Store for Spool {
    fn append(&self, delivery: Authenticated) -> Append<'_> {
        Box::pin(self.append(delivery))
    }

    fn is_settled(&self, sequence: u64, within: Duration) -> Settles<'_> {
        Box::pin(self.is_settled(sequence, within))
    }
}

/// How far a 200 says that the delivery is, where its source has `answer = "delivered"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is on the disk.
    Stored,
    /// It is on the disk, and Kafka has all of it that goes there.
    Delivered,
}

impl Said {
    pub const ALL: [Self; 2] = [Self::Delivered, Self::Stored];

    /// Returns its word in the header and in the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Delivered => "delivered",
        }
    }
}

/// One configured source.
pub struct Source {
    pub name: SourceName,
    pub gate: Gate,
    /// The recipients and the validation of a source of kind `adobe-io`.
    pub adobe: Option<AdobeIo>,
    pub store: Arc<dyn Store>,
    /// Whether a 200 waits for Kafka.
    pub answer: config::Answer,
}

impl Source {
    /// Authenticates by the head, which may leave the proof to a signature over the body.
    pub(super) async fn admit(
        &self,
        head: &Parts,
        deadline: Instant,
    ) -> Result<Admission, Outcome> {
        let slow = |_| Outcome::Undecided {
            why: Why::new(Reason::CheckSlow, "it took too long to find out"),
        };
        Ok(timeout_at(deadline, self.gate.admit(head)).await.map_err(slow)??)
    }

    /// Completes the proof once the body is there.
    pub(super) async fn prove(
        &self,
        admission: Admission,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Proof, Outcome> {
        match admission {
            Admission::Proven(proof) => Ok(proof),
            Admission::Signed(signed) => {
                let proof = timeout_at(deadline, signed.prove(body, Instant::now().into())).await;
                let slow = || Outcome::Undecided {
                    why: Why::new(Reason::CheckSlow, "keys came too slowly"),
                };
                Ok(proof.map_err(|_| slow())??)
            }
        }
    }

    /// Stores the delivery, and resolves when it is durable. Storing goes on if this future is dropped.
    pub(super) async fn append(
        &self,
        headers: Vec<(String, String)>,
        body: Body,
        proof: Proof,
        deadline: Instant,
    ) -> Result<u64, Outcome> {
        let delivery = Delivery {
            source: self.name.clone(),
            received_at: body.received_at,
            headers,
            body: body.bytes,
        };
        let store = self.store.clone();
        let reservation = body.reservation;
        // A task of its own: it outlives a sender that hangs up, and keeps the body's part of the budget until the end.
        let append = tokio::spawn(async move {
            let result = store.append(Authenticated::new(delivery, proof)).await;
            drop(reservation);
            result
        });
        match timeout_at(deadline, append).await {
            Ok(Ok(Ok(sequence))) => Ok(sequence),
            Ok(Ok(Err(refused))) => Err(refused.into()),
            Ok(Err(_panicked)) => Err(Outcome::Internal),
            Err(_elapsed) => Err(Outcome::SpoolSlow),
        }
    }

    /// Waits for Kafka, if the source asks for it, and returns how far the answer says that the durable delivery is.
    pub(super) async fn says(&self, sequence: u64, deadline: Instant) -> Option<Said> {
        let config::Answer::Delivered { within } = self.answer else { return None };
        let settled = timeout_at(deadline, self.store.is_settled(sequence, within)).await;
        Some(if settled.unwrap_or(false) { Said::Delivered } else { Said::Stored })
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadCredentials { challenge, why } => Self::BadCredentials { challenge, why },
            Refusal::BadToken { why } => Self::BadToken { why },
            Refusal::Undecided { why } => Self::Undecided { why },
        }
    }
}

impl From<AppendError> for Outcome {
    fn from(refused: AppendError) -> Self {
        match refused {
            AppendError::Full { spool, limit } => Self::SpoolFull { key: limit.key(&spool) },
            AppendError::Poisoned { .. } => Self::Poisoned,
            AppendError::Closed { .. } => Self::Closing,
            AppendError::SetAside { .. } => Self::SetAside,
            AppendError::TooLarge { .. } => Self::SpoolTooLarge,
        }
    }
}
