//! The keys that Adobe I/O signs with, by the paths that its deliveries name.
//!
//! From Adobe's host they are cached, see `public_keys/cache.rs` for how long and how many; a fetch is
//! a task of its own, so that it ends for all who wait for it when the one who began it hangs up. Those
//! that have proved deliveries of ours are renewed ahead of their end and kept for the next process
//! (`public_keys/kept.rs`). From a folder they are read for every delivery, so that a file that was
//! changed counts at once.
//!
//! Whatever is in the way of a key is [`Unavailable`]: it says nothing about the delivery, which may
//! come again.

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
    cache::CACHED,
    key::{NotAKey, PublicKey},
    path::KeyPath,
};

/// What may become of a fetch, for metrics.
const FETCHES: [&str; 5] = ["fetched", "not-there", "not-a-key", "not-fetched", "unreadable"];

/// How often it is looked whether a proven key is to be renewed.
const RENEWAL: Duration = Duration::from_secs(60);

/// Lines about strangers' paths: so many at once, then one each.
const LINES_AT_ONCE: u32 = 5;
const LINES_EACH: Duration = Duration::from_secs(10);

/// Why a key cannot be had now.
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
    /// Changes with the end of each fetch.
    fetched: watch::Sender<()>,
    lines: Mutex<Bucket>,
    /// Where keys are kept for the next process.
    file: OnceLock<Mutex<KeyFile>>,
    is_unwritten: AtomicBool,
    metrics: Metrics,
}

/// Who asks for a key.
pub(super) struct Asker<'a> {
    /// Those of strangers, whose paths nothing speaks for.
    pub turns: &'a Turns,
    pub caller: Caller,
    /// Whether it may wait for its turn. A request whose body is in memory does not.
    pub may_wait: bool,
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
        for result in FETCHES {
            metrics.key_fetches.with_label_values(&[result]);
        }
        Self(Arc::new(Shared {
            origin,
            cache: Mutex::new(Cache::new()),
            fetched: watch::Sender::new(()),
            lines: Mutex::new(Bucket::new(LINES_AT_ONCE, LINES_EACH)),
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
                tokio::time::sleep(RENEWAL).await;
            }
        });
    }

    /// Begins what is due: fetches of proven keys, and a write that failed. Within a runtime.
    pub fn renew(&self, now: Instant) {
        for fetch in self.0.cache.lock().due(now) {
            self.fetch(Some(fetch), None);
        }
        self.0.write();
    }

    /// The key at `path`, at most `age` old.
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
        // What a fetch has brought is young enough by the same clock; a third fetch would be one that
        // ended without a result, because the process ends.
        while waits < 2 {
            let now = now + came.elapsed();
            let Asked { answer, fetch } = self.0.cache.lock().ask(path, age, now);
            self.fetch(fetch, None);
            match answer {
                Answer::Key(key) => return Ok(key),
                Answer::Unavailable(why) => return Err(why),
                Answer::Wait(in_flight) => {
                    // What comes of its own accord needs no turn; one that was granted meanwhile would
                    // be kept from others.
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
                            // Another request may have brought this very key.
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

    /// The key at `path`, if nothing has to be waited for.
    pub(super) fn at_hand(&self, path: &KeyPath, now: Instant) -> Option<Arc<PublicKey>> {
        let (key, fetch) = self.0.cache.lock().at_hand(path, now)?;
        self.fetch(fetch, None);
        Some(key)
    }

    /// Whether keys are looked up so quickly that there is nothing to have ready.
    pub(super) fn are_local(&self) -> bool {
        matches!(self.0.origin, Origin::Folder(_))
    }

    /// The key of `path` has proved a delivery that was meant for us, and `beside` is the path of the
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

    /// Does what was begun; a turn lasts for as long.
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

    /// Strangers have as many lines as an operator may want to read.
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

    /// Has what is unwritten written, on a thread that may wait for the disk.
    fn write(self: &Arc<Self>) {
        if self.file.get().is_none() || !self.is_unwritten.load(SeqCst) {
            return;
        }
        let shared = self.clone();
        tokio::task::spawn_blocking(move || {
            let Some(file) = shared.file.get() else { return };
            // One writer at a time, and each with the latest there is.
            let mut file = file.lock();
            if shared.is_unwritten.swap(false, SeqCst) {
                let kept = shared.cache.lock().kept();
                let is_written = file.write(&kept);
                shared.is_unwritten.fetch_or(!is_written, SeqCst);
            }
        });
    }
}
