//! Whether Kafka answers, by the last result of each source's Kafka client.
//!
//! A client that has not tried yet, or waits for its first answer, has no result. So Kafka is called away only after a
//! connection has failed.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// Whether a broker answered, by source.
#[derive(Clone, Default)]
pub struct Contact(Arc<Mutex<BTreeMap<String, bool>>>);

impl Contact {
    /// Notes whether a client of `source` has a connection to a broker, or all its connections have failed.
    pub fn note(&self, source: &str, is_there: bool) {
        self.0.lock().insert(source.to_owned(), is_there);
    }

    /// Returns whether some client has tried, and none has a connection.
    pub fn is_lost(&self) -> bool {
        let sources = self.0.lock();
        !sources.is_empty() && sources.values().all(|is_there| !is_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_is_lost_when_it_was_tried_and_nothing_answers() {
        let contact = Contact::default();
        assert!(!contact.is_lost(), "nothing was tried");
        contact.note("leads", false);
        assert!(contact.is_lost());
        contact.note("audit", true);
        assert!(!contact.is_lost(), "one source has a connection");
        contact.note("audit", false);
        assert!(contact.is_lost());
    }
}
