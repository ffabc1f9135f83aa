//! Ids of schemas from a Schema Registry (Confluent's API), requested outside the forwarders' threads.
//!
//! A process has one, shared by all sources. [`Registry::want`] never blocks: a thread of its own asks the registry,
//! several subjects at a time, and puts each answer where all forwarders that wait for it read it. A registry that is
//! away, hangs or refuses costs only time: the reason stands in the answer, the forwarder holds the topic as any
//! topic in trouble, and the registry is asked again with growing pauses, without an end. While it does not
//! answer at all, it gets one question at a time.
//!
//! Ids are also kept on the disk (`kept.rs`). A kept id is used at once, so that a start with the registry away
//! delivers; it is confirmed in the background, since the registry may have been set up again from nothing.
//!
//! Why no client library: `schema_registry_converter` asks in the call that encodes, where a forwarder must not wait,
//! keeps refusals until it is made to forget them, and brings 69 crates (`decisions/0027-schema-registry.md`). Two
//! requests of JSON are all that is needed.

mod ask;
mod kept;
mod reach;
mod table;
mod worker;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::reach::reach;
use self::{ask::Asker, kept::IdFile, table::Table, worker::Worker};
use super::schema::{Answer, SchemaIds, Wanted};
use crate::{
    config,
    observe::metrics::Metrics,
    runtime::reload::{Current, Digest, Reload},
    spool::disk::Disk,
};

/// How long `drop` waits for the thread.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// The registry; dropping it ends its thread.
pub struct Registry {
    shared: Arc<Shared>,
    /// Closed when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

struct Shared {
    table: Mutex<Table>,
    asker: Current<Arc<Asker>>,
    wake: Notify,
    closing: AtomicBool,
}

impl Registry {
    /// Starts the thread. Ids are kept in `directory` on `disk`. Fails where certificates cannot be read.
    pub fn start(
        config: &config::SchemaRegistry,
        disk: Arc<dyn Disk>,
        directory: &Path,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, String> {
        let asker = Arc::new(Asker::new(config)?);
        let file = IdFile::new(disk, directory, config.url.to_string());
        let table = Table::new(config.limit, file.read(), metrics);
        let shared = Arc::new(Shared {
            table: Mutex::new(table),
            asker: Current::new(asker),
            wake: Notify::new(),
            closing: AtomicBool::new(false),
        });
        let worker = Worker::new(Arc::clone(&shared), file, metrics);
        let ended = spawn(worker).map_err(|error| error.to_string())?;
        Ok(Arc::new(Self { shared, ended: Mutex::new(ended) }))
    }

    /// Returns the reloader of secrets and certificates; `None` where no file is configured.
    pub fn renewing(&self, config: &config::SchemaRegistry) -> Option<Access> {
        // `start` has read the files before; a change since then is found at the first look.
        let certificates_read = Digest::of(&config.files().cloned().collect::<Vec<_>>());
        let shared = Arc::clone(&self.shared);
        let access = Access { config: config.clone(), certificates_read, shared };
        (!access.files().is_empty()).then_some(access)
    }
}

fn spawn(worker: Worker) -> io::Result<mpsc::Receiver<()>> {
    let (running, ended) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("schema-registry".into()).spawn(move || {
        runtime.block_on(worker.run());
        // A look-up of a host's name may hang: the process does not wait for it.
        runtime.shutdown_background();
        drop(running);
    })?;
    Ok(ended)
}

impl SchemaIds for Registry {
    fn want(&self, wanted: Wanted) -> Answer {
        let (answer, is_new) = self.shared.table.lock().want(wanted);
        if is_new {
            self.shared.wake.notify_one();
        }
        answer
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
        let _ = self.ended.get_mut().recv_timeout(STOP_TIMEOUT);
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Secrets and certificates of the registry's client, read again when their files change.
pub struct Access {
    config: config::SchemaRegistry,
    certificates_read: Digest,
    shared: Arc<Shared>,
}

impl Access {
    fn certificates(&self) -> Vec<PathBuf> {
        self.config.files().cloned().collect()
    }

    fn secret_file(&self) -> Option<PathBuf> {
        let (config::Credentials::Password { password: secret, .. }
        | config::Credentials::Token(secret)) = &self.config.credentials
        else {
            return None;
        };
        secret.file().map(Path::to_owned)
    }
}

impl Reload for Access {
    fn key(&self) -> &str {
        "kafka.schema_registry"
    }

    fn files(&self) -> Vec<PathBuf> {
        self.config.files().cloned().chain(self.secret_file()).collect()
    }

    fn reload(&mut self) -> Result<bool, String> {
        let now = config::registry_again(&self.config)?;
        let read = Digest::of(&self.certificates());
        if now == self.config && read == self.certificates_read {
            return Ok(false);
        }
        let asker = Asker::new(&now)?;
        self.shared.asker.set(Arc::new(asker));
        self.config = now;
        self.certificates_read = read;
        // New credentials may be granted schemas that were refused.
        self.shared.table.lock().ask_all_now();
        self.shared.wake.notify_one();
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
