//! How to get at the cluster: it changes while the service runs, when a secret is replaced.
//!
//! librdkafka takes credentials when a client is made, so whoever holds a client looks now and then
//! whether the [`Access`] is still the one that it was made with, and makes a new one if not.

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

    /// Another number whenever there is something new.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// With the generation that it is of.
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
