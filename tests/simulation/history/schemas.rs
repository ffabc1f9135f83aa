//! Flat values whose schemas come from a registry: a topic whose schema has no id is held, and none else.

use fastrand::Rng;
use millrace::deliver::{encode::choice::Choices, forward::Forwarder};

use super::History;
use crate::{
    cluster::{DEAD_LETTERS, Producer},
    registry::Registry,
};

impl History {
    /// A quarter of the histories have flat values with schemas.
    pub fn with_registry(self, seed: u64) -> Self {
        if Rng::with_seed(seed ^ 4).u8(..4) == 0 {
            let registry = Registry::new(seed ^ 5, &self.fields());
            self.cluster.borrow_mut().registry = Some(registry);
        }
        self
    }

    pub(super) fn registry_goes_on(&self) {
        if let Some(registry) = &self.cluster.borrow().registry {
            registry.goes_on();
        }
    }

    pub(super) fn choices(&self) -> Choices {
        let cluster = self.cluster.borrow();
        cluster.registry.as_ref().map_or_else(Choices::default, |registry| registry.choices())
    }

    pub(super) fn with_schemas(&self, forwarder: Forwarder<Producer>) -> Forwarder<Producer> {
        match &self.cluster.borrow().registry {
            Some(registry) => forwarder.with_schemas(registry.schemas()),
            None => forwarder,
        }
    }

    pub(super) fn reached_by_registry(&self) -> Vec<(&'static str, usize)> {
        let cluster = self.cluster.borrow();
        let reached = cluster.registry.iter().flat_map(|registry| registry.reached());
        reached.map(|(what, times)| (what, times as usize)).collect()
    }

    /// Everything is well, but this topic's schema is refused from the next start on. `false`: that is not this
    /// history's end.
    pub(super) fn ends_without_a_schema(&mut self, topic: &str) -> bool {
        let registry = self.cluster.borrow().registry.clone();
        let Some(registry) = registry.filter(|_| topic != DEAD_LETTERS) else { return false };
        if !registry.refuses_for_ever(topic) {
            return false;
        }
        tracing::debug!(topic, "all is well but one topic's schema");
        self.crash();
        self.all_others_arrive(topic, "without a schema");
        self.count("all but one topic whose schema has no id");
        true
    }
}
