//! A provider whose tokens are signed: which keys it has at the moment, and whether one of them has
//! signed a token.
//!
//! - Keys are used for at most [`KEPT`] and looked up again from [`REFRESHED`] on, while there are
//!   tokens to check. A provider that is down is noticed by nobody in between: whoever holds a token
//!   goes on delivering. There is a bound because a key that was withdrawn must not be trusted for as
//!   long as somebody can keep us from the provider; it is a day because a sender's queue lasts for
//!   seven, so nothing is lost.
//! - A token that names a key which is not in the set has the set looked up once more, at most once
//!   in [`UNKNOWN_PAUSE`]: in between nobody can tell whether that key is new, so the answer is
//!   "undecided" and not "no". Whoever names known keys notices nothing of a flood.
//! - There is one look-up at a time. It is a task of its own, which no sender ends by hanging up.
//! - What the provider sends is bounded: in bytes, in time, and in keys.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    claims::{Expected, Voucher},
    discovery::KeysAt,
    flaw::{Denial, Flaw},
    jwt::Jwt,
    key_set::KeySet,
};
use crate::{
    ingest::authenticate::moment::Moment, observe::metrics::Metrics, runtime::fetch::Client,
    source::SourceName,
};

/// How long keys are used without the provider saying that they still are its.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// From this age on they are looked up again.
const REFRESHED: Duration = Duration::from_secs(10 * 60);

/// Until the next look-up after the last one began: for want of any key, for a key that is not in
/// the set, and because of the set's age. The first is longer than a look-up takes.
const PAUSE: Duration = Duration::from_secs(6);
const UNKNOWN_PAUSE: Duration = Duration::from_secs(10);
const REFRESH_PAUSE: Duration = Duration::from_secs(60);

/// A look-up in all, discovery included. Shorter than the senders wait.
const WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Provider {
    expected: Expected,
    keys: Arc<Keys>,
}

struct Keys {
    at: KeysAt,
    client: Client,
    source: SourceName,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    last: Option<LookUp>,
    /// Whether the look-up that landed last had failed.
    is_failing: bool,
}

struct Known {
    keys: Arc<KeySet>,
    /// When the look-up that brought them began.
    since: Instant,
}

struct LookUp {
    began: Instant,
    failed: Option<String>,
    /// Its other end goes with the look-up.
    ended: watch::Receiver<()>,
}

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
            state: Mutex::default(),
        };
        Self { expected, keys: Arc::new(keys) }
    }

    /// Has the keys looked up, so that the first delivery does not wait for them.
    pub fn prepare(&self, now: Instant) {
        self.keys.begin(&mut self.keys.state.lock(), now);
    }

    pub async fn check(&self, jwt: &Jwt<'_>, now: Moment) -> Result<(), Denial> {
        match jwt.algorithm() {
            Some(Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) => {}
            _ => return Err(Flaw::Algorithm.into()),
        }
        let claims = match self.keys.current(now.instant).await.map(|keys| from(&keys, jwt))? {
            // The set may have changed.
            Err(Flaw::UnknownKey) => from(&*self.keys.looked_up_after(now.instant).await?, jwt)?,
            other => other?,
        };
        Ok(self.expected.check(&claims, Voucher::Signature, now.unix_seconds)?)
    }
}

/// The claims of a token that one of `keys` has signed.
fn from(keys: &KeySet, jwt: &Jwt<'_>) -> Result<super::claims::Claims, Flaw> {
    if keys.named_by(jwt).next().is_none() {
        return Err(Flaw::UnknownKey);
    }
    match jwt.claims(keys.named_by(jwt)) {
        // Where none is named it may be a new one.
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
    /// The keys that may be used now.
    async fn current(self: &Arc<Self>, now: Instant) -> Result<Arc<KeySet>, Denial> {
        let mut ended = {
            let mut state = self.state.lock();
            if let Some((keys, age)) = state.usable(now) {
                if age >= REFRESHED && state.may_look_up(now, REFRESH_PAUSE) {
                    self.begin(&mut state, now);
                }
                return Ok(keys);
            }
            if state.may_look_up(now, PAUSE) {
                self.begin(&mut state, now);
            }
            state.last.as_ref().map(|look_up| look_up.ended.clone())
        };
        if let Some(ended) = &mut ended {
            let _ = ended.changed().await;
        }
        let state = self.state.lock();
        state.usable(now).map(|(keys, _)| keys).ok_or_else(|| self.unavailable(&state))
    }

    /// Keys that were looked up no earlier than a token came, at `now`.
    async fn looked_up_after(self: &Arc<Self>, now: Instant) -> Result<Arc<KeySet>, Denial> {
        let mut ended = {
            let mut state = self.state.lock();
            if let Some(known) = state.known.as_ref().filter(|known| known.since >= now) {
                return Ok(known.keys.clone());
            }
            if state.may_look_up(now, UNKNOWN_PAUSE) {
                self.begin(&mut state, now);
            }
            match &state.last {
                Some(look_up) if look_up.is_under_way() => look_up.ended.clone(),
                _ => return Err(self.undecided("its keys were looked up a moment ago")),
            }
        };
        let _ = ended.changed().await;
        let state = self.state.lock();
        match (&state.last, &state.known) {
            (Some(LookUp { failed: None, .. }), Some(known)) => Ok(known.keys.clone()),
            _ => Err(self.unavailable(&state)),
        }
    }

    fn begin(self: &Arc<Self>, state: &mut State, now: Instant) {
        let (landed, ended) = watch::channel(());
        state.last = Some(LookUp { began: now, failed: None, ended });
        let keys = self.clone();
        tokio::spawn(async move {
            let found = tokio::time::timeout(WITHIN, keys.at.look_up(&keys.client)).await;
            let slow = || format!("{} s were not enough", WITHIN.as_secs());
            keys.land(found.unwrap_or_else(|_| Err(slow())), now);
            drop(landed);
        });
    }

    fn land(&self, found: Result<KeySet, String>, began: Instant) {
        let result = if found.is_ok() { "ok" } else { "failed" };
        self.metrics
            .identity_requests
            .with_label_values(&[self.source.as_str(), "keys", result])
            .inc();
        let mut state = self.state.lock();
        match found {
            Ok(keys) => {
                state.known = Some(Known { keys: Arc::new(keys), since: began });
                if std::mem::take(&mut state.is_failing) {
                    tracing::info!(
                        source = %self.source, provider = %self.at,
                        "the identity provider's keys are there again"
                    );
                }
            }
            Err(reason) => {
                tracing::warn!(
                    source = %self.source, provider = %self.at, reason,
                    has_keys = state.usable(began).is_some(),
                    "the identity provider's keys could not be looked up"
                );
                state.is_failing = true;
                if let Some(last) = &mut state.last {
                    last.failed = Some(reason);
                }
            }
        }
    }

    fn unavailable(&self, state: &State) -> Denial {
        let failed = state.last.as_ref().and_then(|look_up| look_up.failed.as_deref());
        self.undecided(failed.unwrap_or("its keys are not known yet"))
    }

    fn undecided(&self, reason: &str) -> Denial {
        Denial::Undecided(format!("identity provider {}: {reason}", self.at))
    }
}

impl State {
    /// The keys, unless they are too old, and their age.
    fn usable(&self, now: Instant) -> Option<(Arc<KeySet>, Duration)> {
        let known = self.known.as_ref()?;
        let age = now.saturating_duration_since(known.since);
        (age < KEPT).then(|| (known.keys.clone(), age))
    }

    fn may_look_up(&self, now: Instant, pause: Duration) -> bool {
        self.last.as_ref().is_none_or(|last| {
            !last.is_under_way() && now.saturating_duration_since(last.began) >= pause
        })
    }
}

impl LookUp {
    fn is_under_way(&self) -> bool {
        self.ended.has_changed().is_ok()
    }
}
