//! Access to the cluster: addresses and secrets, which change while the service runs when a secret is replaced.
//!
//! librdkafka takes credentials when a client is made, so each owner of a client checks now and then
//! whether the [`Access`] is still the one that it was made with, and makes a new client if not.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::config;

#[derive(Debug)]
pub(super) struct Access {
    generation: AtomicU64,
    kafka: Mutex<Arc<config::Kafka>>,
}

impl Access {
    pub fn new(kafka: &config::Kafka) -> Self {
        Self { generation: AtomicU64::new(0), kafka: Mutex::new(Arc::new(kafka.clone())) }
    }

    /// A number that changes with each new configuration.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The configuration, with its generation.
    pub fn get(&self) -> (u64, Arc<config::Kafka>) {
        let kafka = self.kafka.lock();
        (self.generation(), kafka.clone())
    }

    pub fn renew(&self, kafka: config::Kafka) {
        let mut current = self.kafka.lock();
        *current = Arc::new(kafka);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}
