//! Ids of what was committed just before a crash.
//!
//! Ids of delivered events are saved after the commit that delivers them, so a crash in between
//! leaves some unsaved although the topic of checkpoints has passed them. They are read from the
//! spool again, as far as the local file is behind: usually what one transaction holds.

use super::{Forwarder, Now, refuse, transaction::Start};
use crate::{
    checkpoint::Checkpoint,
    decode::decode,
    deduplicate::Claim,
    produce::Sink,
    spool::{Next, StoredDelivery, position::Position},
};

impl<S: Sink> Forwarder<S> {
    /// Claims for good what the topic has passed and the file has not.
    pub(super) fn remember_what_was_committed(&mut self, start: &Start, now: Now) {
        let (Some(begin), true) = (start.checkpoint(), start.found.is_some()) else { return };
        let file = start.file.clone().unwrap_or_else(|| Checkpoint::beginning(self.spool.id()));
        if begin == file || self.claims.are_off() {
            return;
        }
        let mut reader = self.spool.reader(file.lowest().sequence);
        while reader.next_sequence() <= begin.highest().sequence {
            match reader.next() {
                Ok(Next::Delivery(stored)) => self.remember_events(&stored, &file, &begin, now),
                Ok(Next::Damage(_)) => {}
                Ok(Next::CaughtUp) => break,
                Err(error) => {
                    tracing::warn!(
                        source = %self.spool.source(), %error,
                        "ids of events that were delivered last can't be read: a repeat of theirs is \
                         delivered again",
                    );
                    break;
                }
            }
        }
        self.claims.save(now.unix);
    }

    fn remember_events(
        &mut self,
        stored: &StoredDelivery,
        file: &Checkpoint,
        begin: &Checkpoint,
        now: Now,
    ) {
        let rules = self.rules.clone();
        let mut items = Vec::new();
        let delivery = &stored.delivery;
        let verdict =
            decode(self.settings.kind, &rules, &delivery.body, &delivery.headers, &mut items);
        if verdict.is_err() {
            return; // no event has an id there
        }
        for item in &items {
            let Ok(event) = item else { continue };
            let position = Position { sequence: stored.sequence, index: refuse::index_of(item) };
            let name = self.router.topic(self.spool.source(), event, &mut self.topic_name);
            let is_new =
                begin.has_passed(position, Some(name)) && !file.has_passed(position, Some(name));
            if is_new && let Claim::Granted(identity) = self.claims.claim(event, position, now.unix)
            {
                self.claims.settled(identity);
            }
        }
    }
}
