//! One configured sender: who it is, and where its deliveries become durable.

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

/// Where deliveries become durable. A spool in production; tests hold one back.
pub trait Store: Send + Sync + 'static {
    /// Resolves with the sequence number once the delivery is durable.
    fn append(&self, delivery: Authenticated) -> Append<'_>;

    /// Whether all of a durable delivery is settled. Waits for that at most so long, and not at all where it cannot be
    /// expected; without a part of what senders share, and until the future is dropped.
    fn is_settled(&self, sequence: u64, within: Duration) -> Settles<'_>;
}

/// Ends with the sequence number of a durable delivery, or with why it was not stored.
pub type Append<'a> = Pin<Box<dyn Future<Output = Result<u64, AppendError>> + Send + 'a>>;

/// Ends with whether a delivery is settled.
pub type Settles<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

impl Store for Spool {
    fn append(&self, delivery: Authenticated) -> Append<'_> {
        Box::pin(self.append(delivery))
    }

    fn is_settled(&self, sequence: u64, within: Duration) -> Settles<'_> {
        Box::pin(self.is_settled(sequence, within))
    }
}

/// What a 200 says of the delivery, where its source has `answer = "delivered"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is on the disk.
    Stored,
    /// It is on the disk, and Kafka has all of it that goes there.
    Delivered,
}

impl Said {
    pub const ALL: [Self; 2] = [Self::Delivered, Self::Stored];

    /// The word of the header and of the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Delivered => "delivered",
        }
    }
}

/// One configured sender.
pub struct Source {
    pub name: SourceName,
    pub gate: Gate,
    /// What a source of kind `adobe-io` has beside its gate.
    pub adobe: Option<AdobeIo>,
    pub store: Arc<dyn Store>,
    /// How much a 200 says.
    pub answer: config::Answer,
}

impl Source {
    /// Whether the head says who it is, or that the body will.
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

    /// What is left to show once the body is there.
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

    /// Ends when the delivery is durable; goes on without us when we do not wait for it.
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
        // A task of its own: it outlives a sender that hangs up, and its part of the budget with it.
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

    /// What the answer says of the durable delivery, if more than that is wanted.
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
