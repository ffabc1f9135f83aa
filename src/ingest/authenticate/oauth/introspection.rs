//! Introspection of opaque tokens: the provider is asked about each (RFC 7662).
//!
//! Verdicts are kept for a while: a good one for as long as is configured, and never beyond the token's expiry; a
//! bad one for [`BAD_VERDICT_KEPT`] only, since a token may be newer than the state of the provider's node.
//!
//! Few questions are open at a time. Tokens that were good before have places of their own ([`KNOWN_QUESTIONS`]),
//! and never wait behind a stranger's; unknown tokens take turns (`turns.rs`) at [`UNKNOWN_QUESTIONS`] places. A
//! request that gets no place in time, or comes while the provider is down, is undecided: its sender tries again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Url, header::ACCEPT};
use serde::Deserialize;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use super::{
    cache::Verdicts,
    claims::{Claims, Expected, Voucher},
    flaw::{Denial, Flaw},
};
use crate::{
    config::{IntrospectionAuth, Secret},
    ingest::authenticate::{
        caller::Caller,
        digest::Digest,
        moment::Moment,
        reason::Reason,
        turns::{Turn, Turns},
    },
    observe::metrics::Metrics,
    runtime::{
        fetch::{self, Client, Limits},
        reload::Current,
    },
    source::SourceName,
};

const BAD_VERDICT_KEPT: Duration = Duration::from_secs(10);

/// Open questions about tokens that were good before.
const KNOWN_QUESTIONS: usize = 8;
/// Open questions about other tokens.
const UNKNOWN_QUESTIONS: usize = 24;

/// How long a request waits for a place among the open questions: together with the provider's answer this is within
/// the time of a request, unless the provider is slow.
const PLACE_TIMEOUT: Duration = Duration::from_secs(6);

/// Characters to encode in `Basic`: RFC 6749 has client ids and secrets encoded as in forms.
const FORM_ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');

pub(super) struct Introspection {
    url: Url,
    client_id: String,
    client_secret: Current<Secret>,
    good_kept: Duration,
    expected: Expected,
    client: Client,
    source: SourceName,
    metrics: Metrics,
    known: Semaphore,
    strange: Turns,
    verdicts: Mutex<Verdicts>,
}

/// A place among the open questions, held until the answer.
enum HeldTurn<'a> {
    Known(#[expect(dead_code, reason = "held for what dropping it does")] Permit<'a>),
    Strange(#[expect(dead_code, reason = "held for what dropping it does")] Turn),
}

/// The semaphore is never closed.
type Permit<'a> = Result<SemaphorePermit<'a>, AcquireError>;

#[derive(Deserialize)]
struct Answer {
    active: bool,
    #[serde(flatten)]
    claims: serde_json::Map<String, serde_json::Value>,
}

impl Introspection {
    pub fn new(
        config: &IntrospectionAuth,
        expected: Expected,
        client: Client,
        source: &SourceName,
        metrics: &Metrics,
    ) -> Self {
        for result in ["ok", "failed"] {
            metrics.identity_requests.with_label_values(&[
                source.as_str(),
                "introspection",
                result,
            ]);
        }
        Self {
            url: config.url.clone(),
            client_id: config.client_id.clone(),
            client_secret: Current::new(config.client_secret.clone()),
            good_kept: config.keep,
            expected,
            client,
            source: source.clone(),
            metrics: metrics.clone(),
            known: Semaphore::new(KNOWN_QUESTIONS),
            strange: Turns::new(UNKNOWN_QUESTIONS, Duration::ZERO),
            verdicts: Mutex::new(Verdicts::new()),
        }
    }

    /// Returns this service's secret at the provider, which is replaced when its file changes.
    pub fn client_secret(&self) -> &Current<Secret> {
        &self.client_secret
    }

    pub async fn check(&self, token: &str, caller: Caller, now: Moment) -> Result<(), Denial> {
        let digest = self.verdicts.lock().digest(token);
        if let Some(known) = self.known(&digest, now) {
            return Ok(known?);
        }
        let place = tokio::time::timeout(PLACE_TIMEOUT, self.place(&digest, caller, now)).await;
        let Ok(_place) = place else {
            return Err(
                self.undecided(Reason::TokenTooMany, "too many tokens are being asked about")
            );
        };
        // Another request may have asked about the same token meanwhile.
        if let Some(known) = self.known(&digest, now) {
            return Ok(known?);
        }
        let asked = self.ask(token).await;
        let result = if asked.is_ok() { "ok" } else { "failed" };
        let labels = [self.source.as_str(), "introspection", result];
        self.metrics.identity_requests.with_label_values(&labels).inc();
        let answer =
            asked.map_err(|reason| self.undecided(Reason::ProviderUnavailable, &reason))?;
        let (verdict, until) = self.judge(answer, now);
        self.verdicts.lock().keep(digest, verdict, until);
        Ok(verdict?)
    }

    /// Waits for a place among the open questions.
    async fn place(&self, digest: &Digest, caller: Caller, now: Moment) -> HeldTurn<'_> {
        let was_good = self.verdicts.lock().was_good(digest, now.instant);
        if was_good {
            HeldTurn::Known(self.known.acquire().await)
        } else {
            HeldTurn::Strange(self.strange.wait(caller).await)
        }
    }

    fn known(&self, digest: &Digest, now: Moment) -> Option<Result<(), Flaw>> {
        self.verdicts.lock().of(digest, now.instant)
    }

    /// Asks the provider about a token. The error is for the log.
    async fn ask(&self, token: &str) -> Result<Answer, String> {
        let encoded = |text: &str| utf8_percent_encode(text, FORM_ENCODED).to_string();
        let request = self
            .client
            .request(Method::POST, self.url.clone())
            .basic_auth(encoded(&self.client_id), Some(encoded(self.client_secret.get().expose())))
            .header(ACCEPT, "application/json")
            .form(&[("token", token), ("token_type_hint", "access_token")])
            .build()
            .map_err(|_| "the question could not be put into a request")?;
        let answer =
            self.client.send(request, Limits::SMALL).await.map_err(|error| error.to_string())?;
        match answer.status.as_u16() {
            200 => serde_json::from_slice(&answer.body)
                .map_err(|_| "the answer does not say whether the token is active".into()),
            status @ (401 | 403) => {
                Err(format!("{status}: it rejects this service's client credentials"))
            }
            status => Err(format!("it answers {status}")),
        }
    }

    /// Returns the verdict on a token, and until when it holds.
    fn judge(&self, answer: Answer, now: Moment) -> (Result<(), Flaw>, Instant) {
        let bad_until = now.instant + BAD_VERDICT_KEPT;
        if !answer.active {
            return (Err(Flaw::Inactive), bad_until);
        }
        let Ok(claims) = serde_json::from_value::<Claims>(answer.claims.into()) else {
            return (Err(Flaw::Malformed), bad_until);
        };
        if let Err(flaw) = self.expected.check(&claims, Voucher::Provider, now.unix_seconds) {
            return (Err(flaw), bad_until);
        }
        // Clamped to the configured time, so that an expiry beyond any clock's range does no harm.
        let left =
            claims.exp.map(|exp| exp - now.unix_seconds as f64 + self.expected.leeway as f64);
        let left = left.map(|left| left.clamp(0.0, self.good_kept.as_secs_f64()));
        let kept = left.map_or(self.good_kept, Duration::from_secs_f64);
        (Ok(()), now.instant + kept)
    }

    fn undecided(&self, reason: Reason, detail: &str) -> Denial {
        let at = fetch::ShownUrl::of(&self.url);
        Denial::Undecided(reason, format!("introspection at {at}: {detail}"))
    }
}
