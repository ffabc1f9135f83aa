//! Tokens that say nothing by themselves: the provider is asked about each (RFC 7662).
//!
//! What it says is kept for a while: that a token is good for as long as is configured, and never
//! beyond its expiry; that it is not for [`BAD_KEPT`] only, since a token may be newer than what the
//! provider's nodes know. At most [`AT_ONCE`] questions are open at a time; who finds no place among
//! them in time, and whoever asks while the provider is down, is told to come again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Url, header::ACCEPT};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{
    cache::{Digest, Verdicts},
    claims::{Claims, Expected, Voucher},
    flaw::{Denial, Flaw},
};
use crate::{
    authenticate::moment::Moment,
    config::{IntrospectionAuth, Secret},
    delivery::SourceName,
    fetch::{Client, Limits, Place},
    metrics::Metrics,
    reload::Current,
};

const BAD_KEPT: Duration = Duration::from_secs(10);

const AT_ONCE: usize = 16;

/// How long to wait for a place among them.
const PATIENCE: Duration = Duration::from_secs(3);

/// RFC 6749 has client ids and secrets encoded as in forms before they are put into `Basic`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');

pub(super) struct Introspection {
    url: Url,
    client_id: String,
    client_secret: Current<Secret>,
    good_kept: Duration,
    expected: Expected,
    client: Client,
    source: SourceName,
    metrics: Metrics,
    open: Semaphore,
    verdicts: Mutex<Verdicts>,
}

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
            open: Semaphore::new(AT_ONCE),
            verdicts: Mutex::new(Verdicts::new()),
        }
    }

    /// What we show to the provider, to be replaced.
    pub fn client_secret(&self) -> &Current<Secret> {
        &self.client_secret
    }

    pub async fn check(&self, token: &str, now: Moment) -> Result<(), Denial> {
        let digest = self.verdicts().digest(token);
        if let Some(known) = self.known(&digest, now) {
            return Ok(known?);
        }
        let place = tokio::time::timeout(PATIENCE, self.open.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(self.undecided("too many tokens are being asked about"));
        };
        // Somebody may have asked about the same one meanwhile.
        if let Some(known) = self.known(&digest, now) {
            return Ok(known?);
        }
        let asked = self.ask(token).await;
        let result = if asked.is_ok() { "ok" } else { "failed" };
        let labels = [self.source.as_str(), "introspection", result];
        self.metrics.identity_requests.with_label_values(&labels).inc();
        let answer = asked.map_err(|reason| self.undecided(&reason))?;
        let (verdict, until) = self.judge(answer, now);
        self.verdicts().keep(digest, verdict, until);
        Ok(verdict?)
    }

    fn known(&self, digest: &Digest, now: Moment) -> Option<Result<(), Flaw>> {
        self.verdicts().of(digest, now.instant)
    }

    /// The error is for a person.
    async fn ask(&self, token: &str) -> Result<Answer, String> {
        let encoded = |text: &str| utf8_percent_encode(text, FORM).to_string();
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
            status @ (401 | 403) => Err(format!("{status}: it does not know our own credentials")),
            status => Err(format!("it answers {status}")),
        }
    }

    /// The verdict, and until when it holds.
    fn judge(&self, answer: Answer, now: Moment) -> (Result<(), Flaw>, Instant) {
        let bad_until = now.instant + BAD_KEPT;
        if !answer.active {
            return (Err(Flaw::Inactive), bad_until);
        }
        let Ok(claims) = serde_json::from_value::<Claims>(answer.claims.into()) else {
            return (Err(Flaw::Malformed), bad_until);
        };
        if let Err(flaw) = self.expected.check(&claims, Voucher::Provider, now.unix_seconds) {
            return (Err(flaw), bad_until);
        }
        // Within what is configured; an expiry that no clock can hold is beyond it, too.
        let left =
            claims.exp.map(|exp| exp - now.unix_seconds as f64 + self.expected.leeway as f64);
        let left = left.map(|left| left.clamp(0.0, self.good_kept.as_secs_f64()));
        let kept = left.map_or(self.good_kept, Duration::from_secs_f64);
        (Ok(()), now.instant + kept)
    }

    fn undecided(&self, reason: &str) -> Denial {
        Denial::Undecided(format!("introspection at {}: {reason}", Place::of(&self.url)))
    }

    fn verdicts(&self) -> MutexGuard<'_, Verdicts> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
