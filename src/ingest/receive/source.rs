//! One configured sender: who it is, and where its deliveries become durable.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::request::Parts;
use tokio::time::{Instant, timeout_at};

use super::AdobeIo;
use crate::{
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
}

/// Ends with the sequence number of a durable delivery, or with why it was not stored.
pub type Append<'a> = Pin<Box<dyn Future<Output = Result<u64, AppendError>> + Send + 'a>>;

impl Store for Spool {
    fn append(&self, delivery: Authenticated) -> Append<'_> {
        Box::pin(self.append(delivery))
    }
}

/// One configured sender.
pub struct Source {
    pub name: SourceName,
    pub gate: Gate,
    /// What a source of kind `adobe-io` has beside its gate.
    pub adobe: Option<AdobeIo>,
    pub store: Arc<dyn Store>,
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

    /// Ends when the delivery is durable; goes on without us when we don't wait for it.
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
