//! Ids of what was committed just before a crash.
//!
//! Ids of delivered events are saved after the commit that delivers them, so a crash in between
//! leaves some unsaved although the topic of checkpoints has passed them. They were prepared before
//! it. Reading them from the spool would be wrong: what this source passed over as a repeat of another
//! one's event is behind the checkpoint too, and the other one may still have to deliver it.

use super::{Forwarder, Now, start::Start};
use crate::{
    deliver::{checkpoint::Checkpoint, deduplicate::Attempt},
    kafka::produce::Sink,
};

impl<S: Sink> Forwarder<S> {
    /// Claims for good what was delivered with the checkpoint on the topic, if the file is behind it.
    pub(super) fn remember_what_was_committed(&mut self, start: &Start, now: Now) {
        let Some(Checkpoint { number, writer: Some(writer), .. }) = start.found else { return };
        if start.file.as_ref().is_none_or(|file| file.number < number) {
            self.claims.take_over(Attempt { number, writer }, now.unix);
        }
    }
}
