//! A hash of what a history does: what is sent, answered, stored and checkpointed, in order. Two builds
//! whose hashes are the same do the same. Nothing in it differs from run to run of one seed: no UUID, no time.

use std::hash::{DefaultHasher, Hash, Hasher};

use millrace::{
    deliver::checkpoint::Checkpoint,
    kafka::produce::{Outcome, Token},
};

use crate::{books::Saved, cluster::Stored};

/// Off unless it is asked for: looking at the checkpoints takes time.
#[derive(Default)]
pub struct Trace(Option<On>);

struct On {
    hasher: DefaultHasher,
    checkpoints: Vec<String>,
}

impl Trace {
    pub fn on() -> Self {
        Self(Some(On { hasher: DefaultHasher::new(), checkpoints: Vec::new() }))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub fn hash(&self) -> Option<u64> {
        self.0.as_ref().map(|on| on.hasher.finish())
    }

    pub fn sent(&mut self, topic: &str, record: &Stored) {
        self.note(("sent", topic, name_of(record)));
    }

    pub fn settled(&mut self, token: Token, outcome: &Outcome) {
        self.note(("settled", token, *outcome == Outcome::Delivered));
    }

    pub fn stored(&mut self, topic: &str, record: &Stored) {
        self.note(("stored", topic, name_of(record)));
    }

    /// Each file's checkpoint, where it has changed.
    pub fn checkpointed(&mut self, saved: Saved) {
        let Some(on) = &mut self.0 else { return };
        let texts: Vec<_> =
            saved.iter().map(|saved| saved.as_ref().map_or(String::new(), text)).collect();
        if texts != on.checkpoints {
            ("checkpointed", &texts).hash(&mut on.hasher);
            on.checkpoints = texts;
        }
    }

    fn note(&mut self, what: impl Hash) {
        if let Some(on) = &mut self.0 {
            what.hash(&mut on.hasher);
        }
    }
}

fn name_of(record: &Stored) -> Option<&str> {
    record.header("ce_id").or_else(|| record.header("millrace-position"))
}

fn text(saved: &Checkpoint) -> String {
    let Checkpoint { low, held, refused, number, .. } = saved;
    // Without the sentence for people, which may be worded in another way.
    let refused: Vec<_> =
        refused.iter().map(|it| (it.position, it.topic.as_deref(), it.reason.as_str())).collect();
    format!("{low:?} {held:?} {refused:?} {number}")
}
