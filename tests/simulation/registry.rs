//! A seeded model of a Schema Registry: it goes away, refuses schemas for a while, gives ids late, and knows some of them at
//! once after a restart, as ids on the disk are.
//!
//! It draws from a random stream of its own, for a part of the histories: the others stay what they were before it was
//! there.

use std::{collections::BTreeMap, sync::Arc};

use fastrand::Rng;
use millrace::deliver::{
    decode::{Catalog, Fields},
    encode::{
        choice::{Choice, Choices, ValueForm},
        flat::{Scope, Shapes},
    },
    forward::Schemas,
    schema::{Answer, Format, IdPlace, SchemaId, SchemaIds, SchemaState, Wanted},
};
use parking_lot::Mutex;
use serde_json::Value;

pub struct Registry {
    choices: Choices,
    state: Mutex<State>,
}

struct State {
    random: Rng,
    is_away: bool,
    /// A subject that no id is given for until all is well.
    refused: Option<String>,
    /// Every subject comes to its id soon, but the one that is refused.
    is_well: bool,
    ids: BTreeMap<String, u32>,
    waiting: Vec<(Wanted, Answer)>,
    reached: BTreeMap<&'static str, u64>,
}

impl Registry {
    pub fn new(seed: u64, fields: &Fields) -> Arc<Self> {
        let choice = Choice { value: ValueForm::Flat, ..Choice::default() };
        let shapes = || Shapes::new(Scope::Type, &Catalog::builtin(), &[], fields);
        let state = State {
            random: Rng::with_seed(seed),
            is_away: false,
            refused: None,
            is_well: false,
            ids: BTreeMap::new(),
            waiting: Vec::new(),
            reached: BTreeMap::new(),
        };
        Arc::new(Self { choices: Choices::new(choice, [], shapes), state: Mutex::new(state) })
    }

    pub fn choices(&self) -> Choices {
        self.choices.clone()
    }

    /// What a forwarder gets its ids by.
    pub fn schemas(self: &Arc<Self>) -> Schemas {
        Schemas::new(self.clone(), self.choices(), (Format::JsonSchema, IdPlace::Value), true)
    }

    /// What changes between two steps of a history.
    pub fn goes_on(&self) {
        let mut state = self.state.lock();
        if !state.is_well {
            match state.random.u8(..40) {
                0 => state.is_away = !state.is_away,
                1 => {
                    let waiting: Vec<_> = state
                        .waiting
                        .iter()
                        .map(|(wanted, _)| wanted.subject.to_string())
                        .collect();
                    state.refused = state.random.choice(waiting);
                }
                2 => state.refused = None,
                _ => {}
            }
        }
        state.answer();
    }

    pub fn is_well(&self) {
        let mut state = self.state.lock();
        (state.is_away, state.refused, state.is_well) = (false, None, true);
    }

    /// Whether this topic is to be the one whose schema never gets an id.
    pub fn refuses_for_ever(&self, topic: &str) -> bool {
        let mut state = self.state.lock();
        let refuses = state.random.bool();
        if refuses {
            state.ids.remove(&subject(topic));
            state.refused = Some(subject(topic));
        }
        refuses
    }

    pub fn reached(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().reached.clone()
    }

    /// A record of `topic` has the id of its schema, and in its value what `sent` has, under the names of columns.
    pub fn check(&self, topic: &str, id: &str, value: &[u8], sent: &[u8]) {
        let (place, flat) = value.split_at(5);
        assert_eq!(place[0], 0, "the value of {id} begins as one with a schema does");
        let number = u32::from_be_bytes(place[1..].try_into().expect("four bytes"));
        assert_eq!(number, number_of(&subject(topic)), "the schema of {id} on {topic}");
        let flat: Value = serde_json::from_slice(flat).expect("a flat value is JSON");
        let sent: Value = serde_json::from_slice(sent).expect("what was sent is JSON");
        assert_eq!(flat["id"], id);
        let lead = sent["leadId"].as_str().expect("a lead has an id");
        for (column, expected) in [
            ("munchkin_id", &sent["munchkinId"]),
            ("lead_id", &Value::from(lead.parse::<i64>().expect("it is a number"))),
            ("activity_type_id", &sent["activityTypeId"]),
            ("text", &sent["text"]),
            ("data_id", &sent["id"]),
            ("secret", &sent["secret"]),
        ] {
            assert_eq!(&flat[column], expected, "{column} of {id}");
        }
    }
}

impl State {
    fn answer(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|(wanted, answer)| {
            let is_refused = self.refused.as_deref() == Some(&*wanted.subject);
            if self.is_away || is_refused {
                let (why, what) = match is_refused {
                    true => ("no", "schema refused for a while"),
                    false => ("away", "schema registry away"),
                };
                answer.set(SchemaState::Unavailable(why.into()));
                *self.reached.entry(what).or_default() += 1;
                return true;
            }
            if self.random.u8(..4) > 0 {
                return true;
            }
            let number = number_of(&wanted.subject);
            self.ids.insert(wanted.subject.to_string(), number);
            answer.set(SchemaState::Known(SchemaId { number, guid: None }));
            *self.reached.entry("schema id that came late").or_default() += 1;
            false
        });
        self.waiting = waiting;
    }
}

impl SchemaIds for Registry {
    fn want(&self, wanted: Wanted) -> Answer {
        let mut state = self.state.lock();
        let answer = Answer::pending();
        let known = state.ids.get(&*wanted.subject).copied();
        match known.filter(|_| state.random.bool()) {
            Some(number) => {
                *state.reached.entry("schema id from the disk").or_default() += 1;
                answer.set(SchemaState::Known(SchemaId { number, guid: None }));
            }
            None => state.waiting.push((wanted, answer.clone())),
        }
        answer
    }
}

fn subject(topic: &str) -> String {
    format!("{topic}-value")
}

/// Each subject has its own.
fn number_of(subject: &str) -> u32 {
    crc32c::crc32c(subject.as_bytes())
}
