//! Adobe I/O's public keys, by the paths that its deliveries name.
//!
//! Keys from Adobe's host are cached (`public_keys/cache.rs` has the limits). A fetch is a task of its own, so that
//! all requests waiting for it get its result even if the one that began it hangs up. Keys that have proved
//! deliveries of ours are renewed ahead of their end and kept for the next process (`public_keys/kept.rs`). Keys
//! from a folder are read for every delivery, so that a changed file counts at once.
//!
//! A key that cannot be had is [`Unavailable`]: that says nothing about the delivery, which the sender may repeat.

mod cache;
mod kept;
mod key;
mod origin;
mod path;

use std::{
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::watch;

use self::{
    cache::{Answer, Asked, Cache, Fetch, Vouched},
    kept::KeyFile,
    origin::Origin,
};
use super::{
    bucket::Bucket,
    caller::Caller,
    moment::Moment,
    turns::{Turn, Turns},
};
use crate::{observe::metrics::Metrics, runtime::fetch::Client, spool::disk::Disk};

pub use self::{
    cache::MAX_KEY_AGE,
    key::{NotAKey, PublicKey},
    path::KeyPath,
};

/// Results of a fetch, for metrics.
const FETCH_RESULTS: [&str; 5] = ["fetched", "not-there", "not-a-key", "not-fetched", "unreadable"];

/// Time between two looks for proven keys that are to be renewed.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(60);

/// Log lines at once about strangers' paths.
const LINES_AT_ONCE: u32 = 5;
/// Time after which one more such line is written.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Reason for which a key cannot be had now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("the public key does not exist")]
    NotThere,
    #[error("the content is not a public RSA key of at least 2048 bits")]
    NotAKey,
    #[error("{reason}")]
    NotFetched { is_worth_retrying: bool, reason: String },
    #[error("the public key's file cannot be read: {0}")]
    Unreadable(String),
    /// A flood, or a mistake.
    #[error("too many requests for unknown keys at the same time")]
    TooManyUnknown,
    /// The sender names a place that no key is fetched from.
    #[error("the key's path is not one that keys are fetched from")]
    ForeignPath,
}

impl Unavailable {
    /// Returns whether another fetch in a few seconds may help.
    fn is_worth_retrying(&self) -> bool {
        match self {
            Self::NotFetched { is_worth_retrying, .. } => *is_worth_retrying,
            Self::Unreadable(_) | Self::TooManyUnknown => true,
            Self::NotThere | Self::NotAKey | Self::ForeignPath => false,
        }
    }

    /// Returns its word in metrics.
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

/// Access to the keys. Clones share the cache.
#[derive(Clone)]
pub struct PublicKeys(Arc<Shared>);

struct Shared {
    origin: Origin,
    cache: Mutex<Cache>,
    /// Changes with the end of each fetch.
    fetched: watch::Sender<()>,
    lines: Mutex<Bucket>,
    /// The file that keeps keys for the next process.
    file: OnceLock<Mutex<KeyFile>>,
    is_unwritten: AtomicBool,
    metrics: Metrics,
}

/// The request that asks for a key.
pub(super) struct Asker<'a> {
    /// Turns for fetches of unproven paths.
    pub turns: &'a Turns,
    pub caller: Caller,
    /// Whether it may wait for its turn. A request whose body is in memory does not.
    pub may_wait: bool,
}

impl PublicKeys {
    /// Fetches keys from the host of `base`.
    pub fn of_host(client: Client, base: Url, metrics: &Metrics) -> Self {
        Self::new(Origin::Host { client, base }, metrics)
    }

    /// Reads keys from files below `folder`, at the same paths (`<folder>/prod/keys/….pem`).
    pub fn in_folder(folder: PathBuf, metrics: &Metrics) -> Self {
        Self::new(Origin::Folder(folder), metrics)
    }

    fn new(origin: Origin, metrics: &Metrics) -> Self {
        for result in FETCH_RESULTS {
            metrics.key_fetches.with_label_values(&[result]);
        }
        Self(Arc::new(Shared {
            origin,
            cache: Mutex::new(Cache::new()),
            fetched: watch::Sender::new(()),
            lines: Mutex::new(Bucket::new(LINES_AT_ONCE, LINE_INTERVAL)),
            file: OnceLock::new(),
            is_unwritten: AtomicBool::new(false),
            metrics: metrics.clone(),
        }))
    }

    /// Takes over the keys that an earlier process has kept in `directory`, and keeps them there from
    /// now on. Blocks for as long as it takes to read one small file.
    pub fn keep_in(&self, disk: Arc<dyn Disk>, directory: &Path, now: Moment) {
        let Origin::Host { base, .. } = &self.0.origin else { return };
        let file = KeyFile::new(disk, directory, base.to_string(), now);
        self.0.cache.lock().remember(file.read(), now.instant);
        // Set once: a service has one spool folder.
        let _ = self.0.file.set(Mutex::new(file));
    }

    /// Renews proven keys from time to time for as long as they are in use. Within a runtime.
    pub fn renew_in_background(&self) {
        let keys = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            while let Some(shared) = keys.upgrade() {
                Self(shared).renew(Instant::now());
                tokio::time::sleep(RENEWAL_INTERVAL).await;
            }
        });
    }

    /// Begins the fetches of proven keys that are due, and a write that failed before. Within a runtime.
    pub fn renew(&self, now: Instant) {
        for fetch in self.0.cache.lock().due(now) {
            self.fetch(Some(fetch), None);
        }
        self.0.write();
    }

    /// Returns the key at `path`, at most `age` old, and fetches it if necessary.
    pub(super) async fn key(
        &self,
        path: &KeyPath,
        age: Duration,
        now: Instant,
        asker: &Asker<'_>,
    ) -> Result<Arc<PublicKey>, Unavailable> {
        if matches!(self.0.origin, Origin::Folder(_)) {
            return self.0.read(path).await.map(Arc::new);
        }
        let came = tokio::time::Instant::now();
        let mut fetched = self.0.fetched.subscribe();
        let mut turn = pin!(asker.turns.wait(asker.caller));
        let mut had_a_turn = false;
        let mut waits = 0;
        // The key of a fetch is young enough by the same clock. A fetch that ends without a key or an error was
        // dropped, because the process ends.
        while waits < 2 {
            let now = now + came.elapsed();
            let Asked { answer, fetch } = self.0.cache.lock().ask(path, age, now);
            self.fetch(fetch, None);
            match answer {
                Answer::Key(key) => return Ok(key),
                Answer::Unavailable(why) => return Err(why),
                Answer::Wait(in_flight) => {
                    // A fetch is under way, so no turn is needed: a granted one is given back for other requests.
                    turn.set(asker.turns.wait(asker.caller));
                    in_flight.ended().await;
                    waits += 1;
                }
                Answer::Turn if had_a_turn => break,
                Answer::Turn => {
                    let turn = match asker.may_wait {
                        false => Some(asker.turns.take().ok_or(Unavailable::TooManyUnknown)?),
                        true => tokio::select! {
                            turn = &mut turn => Some(turn),
                            // Another request may have fetched this key.
                            _ = fetched.changed() => None,
                        },
                    };
                    had_a_turn = turn.is_some();
                    if let Some(turn) = turn {
                        let fetch = self.0.cache.lock().begin(path, now + came.elapsed());
                        self.fetch(fetch, Some(turn));
                    }
                }
            }
        }
        let reason = "the fetch was given up".to_owned();
        Err(Unavailable::NotFetched { is_worth_retrying: true, reason })
    }

    /// Returns the key at `path`, if it is cached.
    pub(super) fn cached(&self, path: &KeyPath, now: Instant) -> Option<Arc<PublicKey>> {
        let (key, fetch) = self.0.cache.lock().cached(path, now)?;
        self.fetch(fetch, None);
        Some(key)
    }

    /// Returns whether keys are local files, which are read in no time and not cached.
    pub(super) fn are_local(&self) -> bool {
        matches!(self.0.origin, Origin::Folder(_))
    }

    /// Trusts the key of `path`, which has proved a delivery that was meant for us, and `beside`, the path of the
    /// other key that it names.
    pub(super) fn vouch(&self, path: &KeyPath, beside: Option<&KeyPath>, now: Instant) {
        if self.are_local() {
            return;
        }
        let Vouched { is_news, fetch } = self.0.cache.lock().vouch(path, beside, now);
        self.fetch(fetch, None);
        if is_news {
            self.0.is_unwritten.store(true, SeqCst);
            self.0.write();
        }
    }

    /// Runs a fetch as a task of its own; a turn lasts for as long.
    fn fetch(&self, fetch: Option<Fetch>, turn: Option<Turn>) {
        let Some(fetch) = fetch else { return };
        let shared = self.0.clone();
        tokio::spawn(async move {
            shared.fetch(fetch).await;
            drop(turn);
        });
    }
}

impl Shared {
    async fn fetch(self: &Arc<Self>, fetch: Fetch) {
        let result = self.read(&fetch.path).await;
        self.log(&fetch, &result);
        let is_news = self.cache.lock().end(fetch, result);
        self.fetched.send_replace(());
        if is_news {
            self.is_unwritten.store(true, SeqCst);
            self.write();
        }
    }

    /// Logs the result of a fetch; for strangers' paths at a bounded rate.
    fn log(&self, fetch: &Fetch, result: &Result<PublicKey, Unavailable>) {
        let mut lines = self.lines.lock();
        let is_shown = fetch.is_trusted || lines.take(Instant::now());
        match result {
            _ if !is_shown => tracing::debug!(path = %fetch.path, "a key was asked for"),
            Ok(_) => tracing::info!(path = %fetch.path, "public key fetched"),
            Err(why) => {
                tracing::warn!(path = %fetch.path, reason = %why, "no public key available")
            }
        }
    }

    async fn read(&self, path: &KeyPath) -> Result<PublicKey, Unavailable> {
        let result = self.origin.read(path).await;
        let label = result.as_ref().map_or_else(Unavailable::label, |_| "fetched");
        self.metrics.key_fetches.with_label_values(&[label]).inc();
        result
    }

    /// Writes the keys to be kept, if they changed, on a thread that may wait for the disk.
    fn write(self: &Arc<Self>) {
        if self.file.get().is_none() || !self.is_unwritten.load(SeqCst) {
            return;
        }
        let shared = self.clone();
        tokio::task::spawn_blocking(move || {
            let Some(file) = shared.file.get() else { return };
            // The lock is held over the write: each writer writes the latest keys.
            let mut file = file.lock();
            if shared.is_unwritten.swap(false, SeqCst) {
                let kept = shared.cache.lock().kept();
                let is_written = file.write(&kept);
                shared.is_unwritten.fetch_or(!is_written, SeqCst);
            }
        });
    }
}
