//! I6 within the life of a process: a record that is on its way or acknowledged is not sent again.
//! Only what failed or was taken back may be.

use std::collections::{BTreeMap, BTreeSet};

use millrace::kafka::produce::{Outcome, Token};

use crate::cluster::Stored;

/// What a record is the record of: its topic, and its id or the position of a dead letter.
type Identity = (String, String);

#[derive(Clone, Default)]
pub struct SentOnce {
    on_its_way: BTreeMap<Token, Identity>,
    sent: BTreeSet<Identity>,
}

impl SentOnce {
    pub fn send(&mut self, token: Token, topic: &str, record: &Stored) {
        let id = record.header("ce_id").or_else(|| record.header("millrace-position"));
        let identity = (topic.to_owned(), id.expect("every record names its event").to_owned());
        assert!(self.sent.insert(identity.clone()), "{identity:?} is sent again without a reason");
        self.on_its_way.insert(token, identity);
    }

    pub fn answered(&mut self, token: Token, outcome: &Outcome) {
        let Some(identity) = self.on_its_way.remove(&token) else { return };
        if *outcome != Outcome::Delivered {
            self.sent.remove(&identity);
        }
    }
}
