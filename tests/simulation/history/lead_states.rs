//! Histories with `topics.lead_state`, and their oracle: each state is what a fold over the events of its delivery
//! says, none is missing, they come in order, and the last record of a lead is the last state that it had.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::History;
use crate::{
    cluster::{DEAD_LETTERS, STATES, Stored},
    sender::Life,
};

/// A state that is made of the events of one delivery.
#[derive(Debug)]
struct Expected {
    /// Of the delivery, and of the state in it.
    ordinal: (u64, usize),
    source: usize,
    lead: u8,
    word: &'static str,
    parts: Vec<String>,
    losing: Vec<u8>,
    surviving: Option<u8>,
}

impl Expected {
    fn ce_id(&self) -> String {
        format!("{}:{}", self.parts.last().expect("a part"), self.lead)
    }

    /// `changed_to` is in JSON.
    fn value(&self, changed_to: &Value) -> Value {
        let type_id = match self.word {
            "created" => 12,
            "changed" => 13,
            _ => 32,
        };
        let mut value = json!({
            "munchkin_id": "M", "lead_id": self.lead.to_string(), "state": self.word,
            "activity_id": self.parts.last(), "activity_type_id": type_id, "activity_time": null,
        });
        match self.word {
            "changed" => {
                let parts = self.parts.iter().map(|id| (id.clone(), changed_to.clone()));
                value["changed"] = Value::Object(parts.collect());
            }
            "merged" => {
                value["merged"] = self.losing.iter().map(ToString::to_string).collect();
            }
            _ => {}
        }
        value
    }
}

impl History {
    /// The same, in which leads live, and their states are sent.
    pub fn with_lead_states(mut self) -> Self {
        self.sender.send_lives();
        self
    }

    pub(super) fn random_topic_of_lives(&mut self) -> String {
        match self.random.u8(..8) {
            0 => DEAD_LETTERS.into(),
            1..4 => STATES.into(),
            4 => "sim.lead-activity.changedatavalue".into(),
            5 => "sim.lead-activity.mergeleads".into(),
            6 => "sim.lead-activity.deletelead".into(),
            _ => "sim.lead-activity.newlead".into(),
        }
    }

    /// What the deliveries so far make, told by a rule of its own.
    fn expected(&self) -> Vec<Expected> {
        let mut all = Vec::new();
        for (source, delivery, ids) in &self.sender.delivered {
            let first = all.len();
            let push = |all: &mut Vec<Expected>, lead, word, id: &str| {
                all.push(Expected {
                    ordinal: (*delivery, all.len() - first),
                    source: *source,
                    lead,
                    word,
                    parts: vec![id.to_owned()],
                    losing: Vec::new(),
                    surviving: None,
                });
            };
            for id in ids {
                let Some(Life { lead, type_id, losing }) = &self.sender.sent[id].life else {
                    continue;
                };
                match type_id {
                    12 => push(&mut all, *lead, "created", id),
                    37 => push(&mut all, *lead, "deleted", id),
                    13 => {
                        let mut own = all[first..].iter_mut().filter(|state| state.lead == *lead);
                        match own.next_back().filter(|state| state.word == "changed") {
                            Some(state) => state.parts.push(id.clone()),
                            None => push(&mut all, *lead, "changed", id),
                        }
                    }
                    32 => {
                        for other in losing {
                            push(&mut all, *other, "merged-into", id);
                            all.last_mut().expect("it was pushed").surviving = Some(*lead);
                        }
                        push(&mut all, *lead, "merged", id);
                        all.last_mut().expect("it was pushed").losing = losing.clone();
                    }
                    _ => {}
                }
            }
        }
        all
    }

    pub(super) fn check_lead_states(&mut self, drained: bool) {
        let expected = self.expected();
        let records: Vec<Stored> = self.cluster.borrow().records(STATES).cloned().collect();
        for record in &records {
            let word =
                record.header("ce_type").and_then(|of| of.strip_prefix("millrace.lead-state."));
            let word = word.expect("a type of a state");
            let is_null = record.value.is_empty();
            assert_eq!(is_null, matches!(word, "merged-into" | "deleted"), "{record:?}");
        }
        if self.repeats() {
            self.check_states_that_may_repeat(&expected, &records, drained);
        } else {
            self.check_states(&expected, &records, drained);
        }
        if drained {
            let word = |record: &Stored| record.header("ce_type").unwrap_or_default().to_owned();
            let many =
                |record: &Stored| record.value.windows(6).filter(|it| *it == b"event-").count() > 2;
            for (what, times) in [
                ("state of a lead", records.len()),
                (
                    "tombstone of a deleted lead",
                    records.iter().filter(|it| word(it).ends_with("deleted")).count(),
                ),
                (
                    "tombstone of a merged lead",
                    records.iter().filter(|it| word(it).ends_with("merged-into")).count(),
                ),
                ("changes in one state", records.iter().filter(|it| many(it)).count()),
            ] {
                *self.counters.entry(what).or_default() += times as u64;
            }
        }
    }

    /// One sender: each event comes once, so all is known.
    fn check_states(&self, expected: &[Expected], records: &[Stored], drained: bool) {
        let by_id: BTreeMap<String, &Expected> =
            expected.iter().map(|state| (state.ce_id(), state)).collect();
        assert_eq!(by_id.len(), expected.len(), "ids of states are their own");
        let changed_to = serde_json::from_str(self.sender.changed_to(true)).expect("JSON");
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<u8, (u64, usize)> = BTreeMap::new();
        let mut highest: BTreeMap<u8, (u64, usize)> = BTreeMap::new();
        let hurt = |state: &Expected| state.parts.iter().any(|id| self.books.healed.contains(id));
        let hurt: BTreeSet<u8> = expected.iter().filter(|it| hurt(it)).map(|it| it.lead).collect();
        for record in records {
            let id = record.header("ce_id").expect("a state has an id");
            let state = by_id.get(id).unwrap_or_else(|| panic!("no event makes the state {id}"));
            assert_eq!(record.key, format!("M:{}", state.lead).as_bytes(), "the key of {id}");
            if !record.value.is_empty() {
                let value: Value = serde_json::from_slice(&record.value).expect("JSON");
                assert_eq!(value, state.value(&changed_to), "the value of {id}");
            }
            let surviving = record.header("millrace-merged-into").map(str::to_owned);
            assert_eq!(surviving, state.surviving.map(|lead| lead.to_string()), "of {id}");
            let is_first = seen.insert(id.to_owned());
            let highest = highest.entry(state.lead).or_default();
            let in_order = !is_first || state.ordinal > *highest || hurt.contains(&state.lead);
            assert!(in_order, "the state {id} comes too late");
            *highest = state.ordinal.max(*highest);
            last.insert(state.lead, state.ordinal);
        }
        if self.exactly_once {
            assert_eq!(seen.len(), records.len(), "a state is there twice");
        }
        if !drained {
            return;
        }
        for state in expected.iter().filter(|it| it.parts.iter().all(|id| self.books.is_whole(id)))
        {
            assert!(seen.contains(&state.ce_id()), "{state:?} is nowhere");
        }
        // What was acknowledged is all there, and nothing came out of turn: so the last is the last.
        for (lead, last) in last.iter().filter(|(lead, _)| !hurt.contains(lead)) {
            assert_eq!(*last, highest[lead], "the last record of lead {lead}");
        }
    }

    /// Senders that repeat: of an event that came more than once one state alone is made.
    fn check_states_that_may_repeat(
        &self,
        expected: &[Expected],
        records: &[Stored],
        drained: bool,
    ) {
        let mut made: BTreeMap<(String, u8), Vec<&Expected>> = BTreeMap::new();
        for state in expected {
            for part in &state.parts {
                made.entry((part.clone(), state.lead)).or_default().push(state);
            }
        }
        let mut seen: BTreeMap<(String, u8), usize> = BTreeMap::new();
        for record in records {
            let id = record.header("ce_id").expect("a state has an id");
            let (last, lead) = id.rsplit_once(':').expect("with its lead");
            let lead: u8 = lead.parse().expect("a lead");
            assert_eq!(record.key, format!("M:{lead}").as_bytes(), "the key of {id}");
            let parts = match serde_json::from_slice::<Value>(&record.value) {
                Ok(Value::Object(value)) if value.contains_key("changed") => {
                    value["changed"].as_object().expect("an object").keys().cloned().collect()
                }
                _ => vec![last.to_owned()],
            };
            assert!(parts.contains(&last.to_owned()), "{id} names a part of it");
            let of_one = made.get(&(last.to_owned(), lead)).expect("an event makes it");
            let is_of = |state: &&&Expected| parts.iter().all(|part| state.parts.contains(part));
            assert!(of_one.iter().find(is_of).is_some(), "{id}: {parts:?} are of one delivery");
            for part in parts {
                *seen.entry((part, lead)).or_default() += 1;
            }
        }
        let is_exact = self.exactly_once && self.has_memory_for_all() && !self.books.forgetful;
        for ((id, lead), times) in seen.iter().filter(|((id, _), _)| self.books.is_whole(id)) {
            assert!(!is_exact || *times == 1, "{id} is in {times} states of lead {lead}");
        }
        for ((id, lead), states) in made.iter().filter(|_| drained) {
            let is_due = self.books.is_whole(id) && states.iter().all(|it| it.source < 2);
            assert!(!is_due || seen.contains_key(&(id.clone(), *lead)), "{id} makes no state");
        }
    }
}
