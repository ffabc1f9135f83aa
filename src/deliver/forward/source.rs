//! One source of a forwarder: its spool, the decoding of its deliveries, the ids and topics of its events, and its
//! quarantine.
//!
//! Quarantine takes events that cannot be dead letters, and damaged ranges of the spool: they wait there for an
//! operator.

use std::sync::Arc;

use prometheus::IntCounterVec;

use super::{
    ForwardError, Now, Result,
    latency::Latency,
    lead_states::LeadStates,
    left_out::LeftOuts,
    refusal::{Originals, Refusal},
};
use crate::{
    deliver::{
        dead_letter::Quarantined,
        decode::{
            Memory, Rules, Undecodable,
            fields::{Came, Screened, screen},
            recycle,
        },
        deduplicate::{Attempt, Claim, Claims, Identity, RestsOn},
        in_force::InForce,
        quarantine::Quarantine,
        route::Router,
        select::LeftOut,
    },
    event::{Decoded, Event},
    observe::metrics::{Metrics, settled},
    source::{Origin, SourceKind, SourceName, UnixMillis},
    spool::{Damage, Spool, StoredDelivery, position::Position},
};

/// Limit of events whose memory is kept for the next delivery.
const MAX_EVENTS_KEPT: usize = 1024;

pub(super) struct Source {
    kind: SourceKind,
    spool: Spool,
    rules: Arc<Rules>,
    router: Router,
    claims: Claims,
    quarantine: Quarantine,
    left_out: LeftOuts,
    metrics: Metrics,
    latency: Latency,
    settled: settled::SourceResults,
    /// Origin, for dead letters, and time of receipt of the current delivery.
    origin: Origin,
    received_at: UnixMillis,
    /// Reused memory for the name of the next event's topic, and for the events of the next delivery.
    topic: String,
    events: Vec<Decoded<'static>>,
    /// The same for what decoding hands over beside them.
    members: Memory,
    /// Present where lead states are wanted.
    lead_states: Option<LeadStates>,
}

/// Parts of a [`Source`].
pub(super) struct SourceParts {
    pub kind: SourceKind,
    pub selections: InForce,
    pub spool: Spool,
    pub rules: Arc<Rules>,
    pub router: Router,
    pub claims: Claims,
    pub quarantine: Quarantine,
    pub metrics: Metrics,
}

impl Source {
    pub fn new(
        SourceParts { kind, selections, spool, rules, router, claims, quarantine, metrics }: SourceParts,
    ) -> Self {
        let latency = Latency::new(spool.source().as_str(), &metrics);
        let settled = metrics.settled.of(spool.source().as_str());
        Self {
            kind,
            spool,
            rules,
            router,
            claims,
            quarantine,
            left_out: LeftOuts::new(selections, metrics.left_out.clone()),
            latency,
            metrics,
            origin: Origin::Sender,
            received_at: 0,
            topic: String::new(),
            events: Vec::new(),
            members: Memory::default(),
            settled,
            lead_states: None,
        }
    }

    /// Sends lead states to `topic` from now on.
    pub fn with_lead_states(mut self, topic: String) -> Self {
        self.lead_states = Some(LeadStates::new(topic));
        self
    }

    pub fn name(&self) -> &SourceName {
        self.spool.source()
    }

    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The console's record of the last events.
    pub fn remembered(&self) -> &settled::SourceResults {
        &self.settled
    }

    pub fn origin(&self) -> Origin {
        self.origin
    }

    pub fn received_at(&self) -> UnixMillis {
        self.received_at
    }

    pub fn latency_mut(&mut self) -> &mut Latency {
        &mut self.latency
    }

    pub fn rules(&self) -> Arc<Rules> {
        self.rules.clone()
    }

    /// Makes a delivery that a lane has read the current one.
    pub fn come_to(&mut self, stored: &StoredDelivery) {
        self.come_back_to(stored);
        self.claims.come_from(self.origin);
    }

    /// Makes a delivery the current one again, for an event of it that still waits.
    pub fn come_back_to(&mut self, stored: &StoredDelivery) {
        self.origin = Origin::of(&stored.delivery.headers);
        self.received_at = stored.delivery.received_at;
    }

    /// Returns the memory for [`Source::decode`].
    pub fn take_memory<'b>(&mut self) -> Vec<Decoded<'b>> {
        recycle(std::mem::take(&mut self.events))
    }

    pub fn give_memory_back(&mut self, events: Vec<Decoded<'_>>) {
        if events.capacity() <= MAX_EVENTS_KEPT {
            self.events = recycle(events);
        }
    }

    /// Removes from the body of a delivery the fields that no reader may see, by `rules`, this source's. No record is
    /// made of the body itself.
    pub fn screen<'a>(&mut self, rules: &Rules, stored: &'a StoredDelivery) -> Screened<'a> {
        let delivery = &stored.delivery;
        let screened =
            screen(self.kind, rules, &delivery.body, &delivery.headers, Came::FromSender);
        screened.with_memory(std::mem::take(&mut self.members))
    }

    /// A delivery that was screened is done.
    pub fn is_done_with(&mut self, screened: Screened<'_>) {
        self.members = screened.into_memory();
    }

    /// Decodes the events of a delivery with `rules`, this source's; lead states made of them follow.
    pub fn decode<'a>(
        &mut self,
        rules: &'a Rules,
        stored: &StoredDelivery,
        screened: &'a Screened<'_>,
        events: &mut Vec<Decoded<'a>>,
    ) -> Result<(), Undecodable> {
        let verdict = screened.decode(self.kind, rules, &stored.delivery.headers, events);
        self.left_out.refuse_doubtful(stored.sequence, events);
        if let Some(states) = &mut self.lead_states {
            // A body without events gives no states, and neither does an event that is not taken.
            let left_out = &self.left_out;
            states.append(events, |event| left_out.why(stored.sequence, event).is_none());
        }
        verdict
    }

    /// Notes that the delivery that was decoded last is finished.
    pub fn is_finished(&mut self, now: Now) {
        if let Some(states) = &mut self.lead_states {
            states.log_missing(self.spool.source(), &self.metrics, now);
        }
    }

    /// Whether the bytes of a refused element or body may leave this machine.
    pub fn originals(&self) -> Originals {
        match self.rules.fields.is_empty() {
            true => Originals::MayBeSent,
            false => Originals::StayHere,
        }
    }

    /// The name of an event's topic, to be given back with [`Source::give_topic_back`].
    pub fn take_topic(&mut self, event: &Event<'_>) -> String {
        let mut name = std::mem::take(&mut self.topic);
        match &self.lead_states {
            Some(states) if event.lead_state.is_some() => {
                name.clear();
                name.push_str(states.topic());
            }
            _ => _ = self.router.topic(self.spool.source(), event, &mut name),
        }
        name
    }

    pub fn give_topic_back(&mut self, name: String) {
        self.topic = name;
    }

    /// Why this source does not take the event of the delivery `sequence`, if it does not.
    pub fn leaves_out(&self, sequence: u64, event: &Event<'_>) -> Option<LeftOut> {
        // A lead state is made of events that are taken.
        if event.lead_state.is_some() {
            return None;
        }
        self.left_out.why(sequence, event)
    }

    /// Counts an event that is not taken, once the main lane has come to it.
    pub fn left_out(&mut self, event: &Event<'_>, position: Position, why: LeftOut, now: Now) {
        if self.left_out.note(self.spool.source(), event, position, why, now) {
            self.settled.left_out((position.sequence, position.index), why.key());
            self.claims.left_out();
        }
    }

    /// Claims the event at `position`. A granted claim is a promise to settle it. For a lead state some of whose parts
    /// are repeats, it also returns a state without those parts, to be sent instead.
    pub fn claim<'a>(
        &mut self,
        event: &Event<'a>,
        position: Position,
        now: Now,
    ) -> (Claim, Option<Box<Event<'a>>>) {
        let mut with_less = None;
        let claim = match (event.lead_state.as_deref(), &mut self.lead_states) {
            (Some(state), Some(states)) => {
                let kept = states.kept_mut();
                let claim = self.claims.claim_state(event, state, position, now.unix, kept);
                if kept.contains(&false) {
                    with_less = event.with_parts(|place| kept[place]).map(Box::new);
                }
                claim
            }
            _ => self.claims.claim(event, position, now.unix),
        };
        if claim.is_repeat() {
            self.settled.repeat((position.sequence, position.index));
        }
        (claim, with_less)
    }

    /// Whether a repeat that rests on this event has to be claimed again.
    pub fn is_released(&self, rests_on: RestsOn) -> bool {
        self.claims.is_released(rests_on)
    }

    /// Notes that an element of the delivery is no event.
    pub fn is_no_event(&self) {
        self.claims.none();
    }

    /// Notes that the event with this id is settled.
    pub fn settled(&mut self, id: Option<Identity>) {
        self.claims.settled(id);
    }

    /// Prepares the ids settled since the last save for a transaction that is about to be committed.
    pub fn prepare_ids(&mut self, attempt: Attempt, now: Now) {
        self.claims.prepare(attempt, now.unix);
    }

    /// Makes ids count as saved that were committed just before a crash.
    pub fn take_over_ids(&mut self, committed: Attempt, now: Now) {
        self.claims.take_over(committed, now.unix);
    }

    /// Forgets unsaved ids: their transaction was taken back.
    pub fn forget_unsaved_ids(&mut self) {
        self.claims.forget_unsaved();
    }

    pub fn save_ids(&mut self, now: Now) {
        self.claims.save(now.unix);
    }

    /// Reports that all of this source's own events before the delivery `end` are settled.
    pub fn is_settled_up_to(&mut self, end: u64) {
        let end = self.claims.settled_end(end);
        self.spool.settled(end);
    }

    /// Whether a repeat rests on an event that another source has to settle.
    pub fn rests_on_others(&mut self) -> bool {
        self.claims.rest_on_others()
    }

    /// Adds one to this source's counter with the label `what`.
    pub fn count(&self, counters: &IntCounterVec, what: &str) {
        self.count_by(counters, what, 1);
    }

    pub fn count_by(&self, counters: &IntCounterVec, what: &str, n: u64) {
        counters.with_label_values(&[self.name().as_str(), what]).inc_by(n);
    }

    /// Keeps the original of a refused event, and returns its file.
    pub fn quarantine(&self, refusal: &Refusal<'_>, now: Now) -> Result<Quarantined> {
        let letter = refusal.letter(self.name(), self.origin);
        let kept = self.quarantine.keep(&letter, now.unix).map_err(ForwardError::Quarantine)?;
        self.count(&self.metrics.quarantined, letter.reason);
        let Position { sequence, index } = letter.position;
        self.settled.quarantined((sequence, index), letter.reason);
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

    /// Keeps a range of the spool that cannot be read as deliveries: no event will come of it.
    pub fn quarantine_damage(&mut self, damage: &Damage, now: Now) -> Result<()> {
        self.claims.release(damage.first_sequence..damage.next_sequence, now.unix);
        let source = self.spool.source();
        let kept = self
            .quarantine
            .keep_damage(source, damage, now.unix)
            .map_err(ForwardError::Quarantine)?;
        self.metrics.spool_damage.with_label_values(&[source.as_str()]).inc();
        self.count(&self.metrics.quarantined, "damage");
        let what = match damage.from == damage.to {
            true => {
                "deliveries of the spool are missing: there are no bytes of them to copy to quarantine"
            }
            false => "range of the spool is damaged: bytes copied to quarantine",
        };
        let path = kept.path.display();
        tracing::error!(%source, %damage, %path, "{what}, events not delivered");
        Ok(())
    }
}

/// Version of the reading of ids in topic names: raised where a delivery may now name other topics than before.
const ID_READING_VERSION: u32 = 2;

/// Returns a text that changes whenever events may be routed to other topics.
pub(super) fn routing(router: &Router, rules: &Rules) -> String {
    let text = format!("{router:?} {rules:?} {ID_READING_VERSION}");
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, clock, place, source},
        *,
    };

    fn quarantined(metrics: &Metrics) -> u64 {
        metrics.quarantined.with_label_values(&["leads", "not-json"]).get()
    }

    #[test]
    fn a_refused_body_is_counted_once_it_lies_in_quarantine_and_a_disk_without_it_is_an_error() {
        let place = place();
        let now = clock();
        let undecodable = Undecodable { reason: "not-json", error: "a comma is missing".into() };
        let refusal = Refusal::of_body(at(3), &undecodable, b"body", Originals::MayBeSent);
        let source = source(&place);
        let folder = place.folder.path().join("quarantine");
        std::fs::write(&folder, "in the way").unwrap();
        let failed = source.quarantine(&refusal, now(0));
        assert!(matches!(failed, Err(ForwardError::Quarantine(_))));
        assert_eq!(quarantined(&place.metrics), 0);
        std::fs::remove_file(&folder).unwrap();
        let kept = source.quarantine(&refusal, now(0)).unwrap();
        assert!(kept.path.starts_with(&folder) && kept.path.exists());
        assert_eq!(quarantined(&place.metrics), 1);
    }

    #[test]
    fn memory_is_kept_from_delivery_to_delivery_but_not_that_of_a_huge_one() {
        let mut source = source(&place());
        source.give_memory_back(Vec::with_capacity(MAX_EVENTS_KEPT));
        assert!(source.take_memory().capacity() >= MAX_EVENTS_KEPT);
        source.give_memory_back(Vec::with_capacity(MAX_EVENTS_KEPT + 1));
        assert_eq!(source.take_memory().capacity(), 0);
    }

    #[test]
    fn another_template_is_another_routing() {
        let rules = Rules::default();
        let named = |template| routing(&Router::new(template).unwrap(), &rules);
        assert_eq!(named("marketo.{type}"), named("marketo.{type}"));
        assert_ne!(named("marketo.{type}"), named("marketo.{stream}"));
    }
}
