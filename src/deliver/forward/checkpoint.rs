//! Saving how far it is done (I5): the checkpoint never passes an event that is not settled, those of
//! held topics included.
//!
//! Exactly-once delivery commits it with the events instead, and saves what was committed
//! (`transaction.rs`).

use std::time::Duration;

use super::{ForwardError, Forwarder, Now};
use crate::{
    deliver::checkpoint::{Checkpoint, Held},
    kafka::produce::Sink,
};

/// How long the checkpoint may lag behind what is settled.
const INTERVAL: Duration = Duration::from_millis(250);

impl<S: Sink> Forwarder<S> {
    /// What would be saved now; in exactly-once delivery what is committed.
    pub fn position(&self) -> Checkpoint {
        if let Some(transaction) = &self.transaction {
            return transaction.committed.clone();
        }
        let main_low = self.main.low();
        let held = self.held.iter().filter(|(_, held)| !held.is_back(main_low));
        let held = held.map(|(topic, held)| Held {
            topic: self.topics.get(*topic).name.clone(),
            position: self.low_behind_put_back(&held.lane),
        });
        Checkpoint {
            low: self.low_behind_put_back(&self.main),
            held: held.collect(),
            // What another mode has written.
            writer: None,
            // What another mode has passed, and still waits.
            refused: self.unsettled_put_back(),
            ..self.saved.clone()
        }
    }

    /// Writes the checkpoint if it changed, and lets the spool remove what lies behind it. The order
    /// matters: what is behind a checkpoint must be known by its id after a crash, and what is behind
    /// one that is not durable may still be needed.
    pub fn save_checkpoint(&mut self, now: Now) -> Result<(), ForwardError> {
        if self.transaction.is_some() {
            return self.save_committed(now);
        }
        debug_assert!(self.every_event_has_one_lane(), "the main lane owes what it would pass");
        self.saved_at = Some(now.instant);
        self.forget_what_is_behind();
        let mut checkpoint = self.position();
        for id in self.over_limit.ids_passed_by(&checkpoint) {
            self.claims.settled(Some(id));
        }
        self.claims.save(now.unix);
        if checkpoint != self.saved {
            checkpoint.written_at = now.unix;
            checkpoint.number += 1;
            checkpoint.stored = self.spool.durable_end();
            self.checkpoint.store(&checkpoint)?;
            self.saved = checkpoint;
        }
        self.over_limit.keep_ahead_of(&self.saved);
        // Now and then also when nothing moved: delivered segments go by their age.
        self.spool.delivered(self.saved.lowest());
        Ok(())
    }

    pub(super) fn save_checkpoint_now_and_then(&mut self, now: Now) -> Result<(), ForwardError> {
        let due = self.saved_at.is_none_or(|at| now.instant >= at + INTERVAL);
        if due { self.save_checkpoint(now) } else { Ok(()) }
    }

    /// The main lane passes what a held topic's lane covers, so it must owe none of it.
    fn every_event_has_one_lane(&self) -> bool {
        let mut undone = self.main.window.iter().filter(|slot| !slot.state.is_done());
        undone.all(|slot| {
            let held = slot.belongs_to.and_then(|topic| self.held.get(&topic));
            held.is_none_or(|held| !held.covers(slot.position))
        })
    }

    pub(super) fn forget_what_is_behind(&mut self) {
        let (low, held) = (self.main.low(), &self.held);
        self.settled_ahead.keep(|position, topic| {
            position >= low || held.get(&topic).is_some_and(|held| position >= held.lane.low())
        });
    }
}
