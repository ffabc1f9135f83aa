//! Putting into quarantine, where things wait for a person: what can't be a dead letter, and what the
//! disk has spoilt.

use super::{ForwardError, Forwarder, Now, refuse::Letter};
use crate::{
    deliver::dead_letter::{DeadLetter, Quarantined},
    kafka::produce::Sink,
    spool::Damage,
};

impl<S: Sink> Forwarder<S> {
    /// `letter` goes to quarantine instead of the dead-letter topic.
    pub(super) fn keep(
        &mut self,
        letter: &DeadLetter<'_>,
        now: Now,
    ) -> Result<Letter, ForwardError> {
        self.quarantine(letter, now)?;
        Ok(Letter::Quarantined)
    }

    /// Keeps what `letter` is about, and says where.
    pub(super) fn quarantine(
        &mut self,
        letter: &DeadLetter<'_>,
        now: Now,
    ) -> Result<Quarantined, ForwardError> {
        let letter = &DeadLetter { origin: self.origin, ..*letter };
        let kept = self.quarantine.keep(letter, now.unix).map_err(ForwardError::Quarantine)?;
        let labels = [self.spool.source().as_str(), letter.reason];
        self.metrics.quarantined.with_label_values(&labels).inc();
        tracing::warn!(
            source = %letter.source,
            position = %letter.position,
            reason = letter.reason,
            error = letter.error,
            path = %kept.path.display(),
            "event written to quarantine",
        );
        Ok(kept)
    }

    /// A range of the spool that can't be read as deliveries: no event will come of it.
    pub(super) fn quarantine_damage(
        &mut self,
        damage: &Damage,
        now: Now,
    ) -> Result<(), ForwardError> {
        self.claims.release(damage.first_sequence..damage.next_sequence, now.unix);
        let source = self.spool.source();
        let kept = self
            .quarantine
            .keep_damage(source, damage, now.unix)
            .map_err(ForwardError::Quarantine)?;
        self.metrics.spool_damage.with_label_values(&[source.as_str()]).inc();
        self.metrics.quarantined.with_label_values(&[source.as_str(), "damage"]).inc();
        tracing::error!(
            %source,
            damage = %damage,
            path = %kept.path.display(),
            "range of the spool is damaged: bytes copied to quarantine, events not delivered",
        );
        Ok(())
    }
}
