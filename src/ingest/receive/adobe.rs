//! Sources of Adobe I/O's: they answer challenges and validations, and check the recipient of each delivery.
//!
//! Adobe's keys and its client certificate are the same for all of its customers. So a good signature proves
//! that Adobe I/O sent a delivery, and not that it was meant for us: each customer may point a registration at our
//! address. Every event has to name one of our client ids and no other, unless its sender has a token of ours. A
//! body whose recipients cannot be read is not known to be ours, and is not stored: the signature covers no
//! header, so a stranger may have added a `Content-Encoding`.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, request::Parts};
use tokio::time::Instant;

use super::{Receiver, Source};
use crate::{
    deliver::decode::adobe::{CHALLENGE_LIMIT, NotOurs, Unnamed, check_recipients, validation_url},
    ingest::{
        authenticate::{
            caller::Caller,
            challenge::challenge,
            reason::{Reason, Why, masked},
            validation::{TooMany, Validation},
        },
        listen::{
            body::{self, Body, BodySender, WireBody},
            reply::Outcome,
        },
    },
};

/// Larger bodies take milliseconds to read: not on a thread that serves other requests.
const LARGE_BODY_BYTES: usize = 256 * 1024;

/// Detail for a `Content-Encoding` that the body could not be decoded by. No signature covers that header.
const STILL_CODED: &str = "the body is not in the coding that its Content-Encoding names, or that is \
                           not supported: look for what adds the header on the way";

pub struct AdobeIo {
    client_ids: Arc<HashSet<String>>,
    validation: Validation,
}

impl AdobeIo {
    pub fn new(client_ids: impl IntoIterator<Item = String>, validation: Validation) -> Self {
        Self { client_ids: Arc::new(client_ids.into_iter().collect()), validation }
    }

    /// Answers a GET with this query, if it carries a challenge.
    fn challenge(&self, query: &str) -> Option<Outcome> {
        challenge(query).map(|value| Outcome::Challenge { value })
    }

    /// Answers a POST of this address.
    async fn validation(&self, head: &Parts, url: &str) -> Outcome {
        let caller = head.extensions.get::<Caller>().copied().unwrap_or_default();
        match self.validation.asked(url, caller, Instant::now().into()).await {
            Ok(()) => Outcome::Validation,
            Err(TooMany) => Outcome::ValidationLater,
        }
    }

    /// Checks the recipients. A body that cannot be read is not known to be ours: any customer of Adobe's can have one
    /// signed.
    pub(super) async fn is_meant_for_us(&self, body: &Body) -> Result<(), Outcome> {
        if body.still_coded {
            let why = Why::new(Reason::RecipientCoded, STILL_CODED);
            return Err(Outcome::RecipientUnreadable { why });
        }
        if body.bytes.len() < LARGE_BODY_BYTES {
            return check(&body.bytes, &self.client_ids);
        }
        let bytes: Bytes = body.bytes.clone();
        let client_ids = self.client_ids.clone();
        let checked = tokio::task::spawn_blocking(move || check(&bytes, &client_ids));
        checked.await.map_err(|_| Outcome::Internal)?
    }
}

impl Source {
    /// Answers a request that asks whether this source is there.
    pub(super) fn probe<B>(&self, request: &Request<B>) -> Outcome {
        let challenge = (request.method() == Method::GET)
            .then(|| self.adobe.as_ref()?.challenge(request.uri().query()?))
            .flatten();
        challenge.unwrap_or(Outcome::Probe)
    }

    /// Answers a body that is a validation and no delivery; returns any other body. The validation's body is dropped
    /// before the wait for a turn, so that it holds no memory.
    pub(super) async fn question(&self, head: &Parts, body: WireBody) -> Result<Outcome, WireBody> {
        let Some(adobe) = &self.adobe else { return Err(body) };
        let Some(url) = validation_url(&body.bytes) else { return Err(body) };
        drop(body);
        Ok(adobe.validation(head, &url).await)
    }
}

impl Receiver {
    /// Answers a refused request that is a validation of Adobe I/O's: those come without credentials, in a small body.
    pub(super) async fn question<B>(
        &self,
        source: &Source,
        head: &Parts,
        body: B,
        deadline: Instant,
    ) -> Option<Outcome>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
    {
        source.adobe.as_ref()?;
        let limits = self.limits.at_most(CHALLENGE_LIMIT as u64);
        let body =
            body::read(&head.headers, body, &limits, BodySender::Stranger, deadline).await.ok()?;
        source.question(head, body).await.ok()
    }
}

fn check(body: &[u8], client_ids: &HashSet<String>) -> Result<(), Outcome> {
    check_recipients(body, client_ids, Unnamed::Refused).map_err(|not_ours| match not_ours {
        NotOurs::Foreign { index, name } => {
            let detail = format!("event {index} is for `{}`", masked(&name));
            Outcome::ForeignRecipient { why: Why::new(Reason::RecipientForeign, detail) }
        }
        NotOurs::Unnamed { .. } => {
            let why = Why::new(Reason::RecipientMissing, not_ours.to_string());
            Outcome::ForeignRecipient { why }
        }
        NotOurs::Unreadable(_) => {
            let detail = format!("{not_ours}: check whether a proxy changes request bodies");
            Outcome::RecipientUnreadable { why: Why::new(Reason::RecipientUnreadable, detail) }
        }
    })
}
