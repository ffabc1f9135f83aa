//! A provider whose tokens are signed: its keys of the moment, and the check that one of them has signed a token.
//!
//! - Keys are used for at most [`MAX_KEY_AGE`] and looked up again from [`REFRESH_AGE`] on, while there are
//!   tokens to check. While a provider is down, senders with a token go on delivering in between. There is a bound
//!   because a withdrawn key must not be trusted for as long as an attacker can keep us from the provider; it is a
//!   day because a sender's queue lasts for seven, so nothing is lost.
//! - A token that names a key which is not in the set causes one more look-up, at most once in [`UNKNOWN_PAUSE`]:
//!   in between it is not known whether that key is new, so the answer is "undecided" and not "no". Tokens that
//!   name known keys are not affected by a flood.
//! - There is one look-up at a time. It is a task of its own, which no sender ends by hanging up.
//! - The provider's answer is bounded: in bytes, in time, and in keys.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;

use super::{
    claims::{Expected, Voucher},
    discovery::KeysAt,
    flaw::{Denial, Flaw},
    jwt::Jwt,
    key_set::KeySet,
};
use crate::{
    ingest::authenticate::{
        moment::Moment,
        reason::Reason,
        refresh::{Fetch, Refreshed},
    },
    observe::metrics::Metrics,
    runtime::fetch::Client,
    source::SourceName,
};

/// How long keys are used without another look-up that confirms them.
const MAX_KEY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Age from which keys are looked up again.
const REFRESH_AGE: Duration = Duration::from_secs(10 * 60);

/// Time from one look-up to the next while there are no keys. Longer than a look-up takes.
const RETRY_PAUSE: Duration = Duration::from_secs(6);
/// Time from one look-up to the next for a key that is not in the set.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(10);
/// Time from one look-up to the next because of the set's age.
const REFRESH_PAUSE: Duration = Duration::from_secs(60);

/// Timeout of a look-up with its discovery. Shorter than the senders wait.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Provider {
    expected: Expected,
    keys: Arc<Keys>,
}

struct Keys {
    at: KeysAt,
    client: Client,
    source: SourceName,
    metrics: Metrics,
    set: Mutex<KeysOfProvider>,
}

type KeysOfProvider = Refreshed<KeySet, String>;

impl Provider {
    pub fn new(
        at: KeysAt,
        expected: Expected,
        client: Client,
        source: &SourceName,
        metrics: &Metrics,
    ) -> Self {
        for result in ["ok", "failed"] {
            metrics.identity_requests.with_label_values(&[source.as_str(), "keys", result]);
        }
        let keys = Keys {
            at,
            client,
            source: source.clone(),
            metrics: metrics.clone(),
            set: Mutex::new(Refreshed::new(None)),
        };
        Self { expected, keys: Arc::new(keys) }
    }

    /// Starts the first look-up, so that the first delivery does not wait for it.
    pub fn prepare(&self, now: Instant) {
        self.keys.begin(&mut self.keys.set.lock(), now);
    }

    pub async fn check(&self, jwt: &Jwt<'_>, now: Moment) -> Result<(), Denial> {
        match jwt.algorithm() {
            Some(Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) => {}
            _ => return Err(Flaw::Algorithm.into()),
        }
        let claims =
            match self.keys.current(now.instant).await.map(|keys| signed_claims(&keys, jwt))? {
                // The provider may have added the key since the last look-up.
                Err(Flaw::UnknownKey) => {
                    signed_claims(&*self.keys.looked_up_after(now.instant).await?, jwt)?
                }
                other => other?,
            };
        Ok(self.expected.check(&claims, Voucher::Signature, now.unix_seconds)?)
    }
}

/// Returns the claims of a token that one of `keys` has signed.
fn signed_claims(keys: &KeySet, jwt: &Jwt<'_>) -> Result<super::claims::Claims, Flaw> {
    if keys.named_by(jwt).next().is_none() {
        return Err(Flaw::UnknownKey);
    }
    match jwt.claims(keys.named_by(jwt)) {
        // A token that names no key may be signed by a new one.
        Err(Flaw::Signature) if jwt.key_id().is_none() => Err(Flaw::UnknownKey),
        Err(Flaw::Signature)
            if keys.named_by(jwt).all(|k| Some(k.algorithm) != jwt.algorithm()) =>
        {
            Err(Flaw::Algorithm)
        }
        other => other,
    }
}

impl Keys {
    /// Returns the keys that may be used now, and waits for them if there are none yet.
    async fn current(self: &Arc<Self>, now: Instant) -> Result<Arc<KeySet>, Denial> {
        let in_flight = {
            let mut set = self.set.lock();
            if let Some(keys) = set.known(MAX_KEY_AGE, now).map(|known| known.value.clone()) {
                if set.known(REFRESH_AGE, now).is_none() && set.may_begin(REFRESH_PAUSE, now) {
                    self.begin(&mut set, now);
                }
                return Ok(keys);
            }
            if set.may_begin(RETRY_PAUSE, now) {
                self.begin(&mut set, now);
            }
            set.in_flight()
        };
        if let Some(in_flight) = in_flight {
            in_flight.ended().await;
        }
        let set = self.set.lock();
        let known = set.known(MAX_KEY_AGE, now).map(|known| known.value.clone());
        known.ok_or_else(|| self.unavailable(&set))
    }

    /// Returns keys that were looked up no earlier than `now`, when a token came.
    async fn looked_up_after(self: &Arc<Self>, now: Instant) -> Result<Arc<KeySet>, Denial> {
        let in_flight = {
            let mut set = self.set.lock();
            if let Some(known) = set.last_known().filter(|known| known.since >= now) {
                return Ok(known.value.clone());
            }
            if set.may_begin(UNKNOWN_PAUSE, now) {
                self.begin(&mut set, now);
            }
            let a_moment_ago = || self.undecided("its keys were looked up a moment ago");
            set.in_flight().ok_or_else(a_moment_ago)?
        };
        in_flight.ended().await;
        let set = self.set.lock();
        match (set.failure(), set.last_known()) {
            (None, Some(known)) => Ok(known.value.clone()),
            _ => Err(self.unavailable(&set)),
        }
    }

    fn begin(self: &Arc<Self>, set: &mut KeysOfProvider, now: Instant) {
        let fetch = set.begin(now);
        let keys = self.clone();
        tokio::spawn(async move {
            let found = tokio::time::timeout(LOOK_UP_TIMEOUT, keys.at.look_up(&keys.client)).await;
            let slow = || format!("{} s were not enough", LOOK_UP_TIMEOUT.as_secs());
            keys.end(&fetch, found.unwrap_or_else(|_| Err(slow())));
        });
    }

    fn end(&self, fetch: &Fetch, found: Result<KeySet, String>) {
        let result = if found.is_ok() { "ok" } else { "failed" };
        self.metrics
            .identity_requests
            .with_label_values(&[self.source.as_str(), "keys", result])
            .inc();
        let mut set = self.set.lock();
        match &found {
            Ok(_) if set.failure().is_some() => tracing::info!(
                source = %self.source, provider = %self.at,
                "the identity provider's keys are available again"
            ),
            Ok(_) => {}
            Err(reason) => tracing::warn!(
                source = %self.source, provider = %self.at, reason,
                has_keys = set.known(MAX_KEY_AGE, fetch.began()).is_some(),
                "cannot fetch the identity provider's keys"
            ),
        }
        set.end(fetch, found);
    }

    fn unavailable(&self, set: &KeysOfProvider) -> Denial {
        let failure = set.failure().map(String::as_str);
        self.undecided(failure.unwrap_or("its keys are not known yet"))
    }

    fn undecided(&self, reason: &str) -> Denial {
        let detail = format!("identity provider {}: {reason}", self.at);
        Denial::Undecided(Reason::ProviderUnavailable, detail)
    }
}
