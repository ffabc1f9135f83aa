//! A value that is replaced as a whole while others use it.

use std::sync::Arc;

use parking_lot::RwLock;

/// The current value, which clones share.
#[derive(Debug, Default)]
pub struct Current<T>(Arc<RwLock<T>>);

impl<T: Clone> Current<T> {
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(value)))
    }

    pub fn get(&self) -> T {
        self.0.read().clone()
    }

    pub fn set(&self, value: T) {
        *self.0.write() = value;
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
