//! The keys that Adobe I/O signs with, by the paths that its deliveries name.
//!
//! From Adobe's host they are cached, see `public_keys/cache.rs` for how long and how many; a fetch is
//! a task of its own, so that it ends for all who wait for it when the one who began it hangs up. From
//! a folder they are read for every delivery, so that a file that was changed counts at once.
//!
//! Whatever is in the way of a key is [`Unavailable`]: it says nothing about the delivery, which may
//! come again.

mod cache;
mod key;
mod origin;
mod path;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use reqwest::Url;

use self::{
    cache::{Answer, Asked, Cache, Landing},
    origin::Origin,
};
use crate::{fetch::Client, metrics::Metrics};

pub use self::{
    cache::CACHED,
    key::{NotAKey, PublicKey},
    path::KeyPath,
};

/// What may become of a fetch, for metrics.
const FETCHES: [&str; 5] = ["fetched", "not-there", "not-a-key", "not-fetched", "unreadable"];

/// Why a key can't be had now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("there is no such key")]
    NotThere,
    #[error("what is there is no public RSA key of at least 2048 bits")]
    NotAKey,
    #[error("{reason}")]
    NotFetched { is_worth_retrying: bool, reason: String },
    #[error("its file can't be read: {0}")]
    Unreadable(String),
    /// A flood, or a mistake.
    #[error("too many unknown keys were asked for in a short time")]
    TooManyUnknown,
    /// The sender names a place that no key is fetched from.
    #[error("a key's path is none that keys are fetched from")]
    ForeignPath,
}

impl Unavailable {
    /// Whether it is worth while to ask again in a few seconds.
    fn is_worth_retrying(&self) -> bool {
        match self {
            Self::NotFetched { is_worth_retrying, .. } => *is_worth_retrying,
            Self::Unreadable(_) | Self::TooManyUnknown => true,
            Self::NotThere | Self::NotAKey | Self::ForeignPath => false,
        }
    }

    /// The word for it in metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::NotThere => "not-there",
            Self::NotAKey => "not-a-key",
            Self::NotFetched { .. } => "not-fetched",
            Self::Unreadable(_) => "unreadable",
            Self::TooManyUnknown => "too-many-unknown",
            Self::ForeignPath => "foreign-path",
        }
    }
}

/// Clones share what is known.
#[derive(Clone)]
pub struct PublicKeys(Arc<Shared>);

struct Shared {
    origin: Origin,
    cache: Mutex<Cache>,
    metrics: Metrics,
}

impl PublicKeys {
    /// From the host of `base`.
    pub fn of_host(client: Client, base: Url, metrics: &Metrics) -> Self {
        Self::new(Origin::Host { client, base }, metrics)
    }

    /// From files below `folder`, at the same paths (`<folder>/prod/keys/….pem`).
    pub fn in_folder(folder: PathBuf, metrics: &Metrics) -> Self {
        Self::new(Origin::Folder(folder), metrics)
    }

    fn new(origin: Origin, metrics: &Metrics) -> Self {
        let (cache, metrics) = (Mutex::new(Cache::new()), metrics.clone());
        for result in FETCHES {
            metrics.key_fetches.with_label_values(&[result]);
        }
        Self(Arc::new(Shared { origin, cache, metrics }))
    }

    /// The key at `path`, at most `age` old.
    pub async fn key(
        &self,
        path: &KeyPath,
        age: Duration,
        now: Instant,
    ) -> Result<Arc<PublicKey>, Unavailable> {
        if matches!(self.0.origin, Origin::Folder(_)) {
            return self.0.read(path).await.map(Arc::new);
        }
        // What a fetch has brought is young enough by the same clock; a third round would be a fetch
        // that ended without a word, because the process does.
        for _ in 0..2 {
            let Asked { answer, fetch } = self.0.cache().ask(path, age, now);
            if let Some(landing) = fetch {
                let shared = self.0.clone();
                tokio::spawn(async move { shared.fetch(landing).await });
            }
            match answer {
                Answer::Key(key) => return Ok(key),
                Answer::Unavailable(why) => return Err(why),
                Answer::Wait(mut flight) => {
                    let _ = flight.wait_for(|ended| *ended).await;
                }
            }
        }
        let reason = "the fetch was given up".to_owned();
        Err(Unavailable::NotFetched { is_worth_retrying: true, reason })
    }
}

impl Shared {
    async fn fetch(&self, landing: Landing) {
        let result = self.read(&landing.path).await;
        match &result {
            Ok(_) => tracing::info!(path = %landing.path, "a public key was fetched"),
            Err(why) => tracing::warn!(path = %landing.path, reason = %why, "no public key"),
        }
        self.cache().landed(landing, result);
    }

    async fn read(&self, path: &KeyPath) -> Result<PublicKey, Unavailable> {
        let result = self.origin.read(path).await;
        let label = result.as_ref().map_or_else(Unavailable::label, |_| "fetched");
        self.metrics.key_fetches.with_label_values(&[label]).inc();
        result
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
