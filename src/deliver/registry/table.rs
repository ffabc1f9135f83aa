//! The wanted schemas, the state of each, and the next due question. Pure: time is an argument.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use prometheus::IntGauge;

use super::{ask::NoId, ask::NoIdKind};
use crate::{
    deliver::schema::{Answer, Format, SchemaId, SchemaState, Wanted},
    observe::metrics::Metrics,
    runtime::retry::Retry,
};

/// Shortest and longest pause before a failed question is repeated.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Longest pause of all questions while the registry answers none.
const AWAY_PAUSE: Duration = Duration::from_secs(5);

/// Questions in flight; one while the registry does not answer.
pub(super) const MAX_QUESTIONS: usize = 8;

/// The short name of a schema on the disk: its text would be long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub subject: Arc<str>,
    pub format: Format,
    pub sha256: [u8; 32],
}

impl Name {
    pub fn of(wanted: &Wanted) -> Self {
        let sha256 = digest::digest(&digest::SHA256, wanted.text.as_bytes());
        let sha256 = sha256.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Self { subject: wanted.subject.clone(), format: wanted.format, sha256 }
    }
}

struct Entry {
    name: Name,
    answer: Answer,
    /// The registry itself has given the id in the life of this process.
    is_confirmed: bool,
    is_asked: bool,
    due: Instant,
    retry: Retry,
    /// The kind of refusal that was logged last.
    reported: Option<NoIdKind>,
}

pub(super) struct Table {
    limit: usize,
    entries: BTreeMap<Wanted, Entry>,
    /// Ids from the disk, and those found since.
    kept: BTreeMap<Name, SchemaId>,
    asked: usize,
    /// The last question had no answer at all, for this reason.
    away: Option<Arc<str>>,
    /// No question is put before this time, while the registry is away.
    not_before: Option<Instant>,
    pauses: Retry,
    missing: IntGauge,
}

/// Effects of an answer, beyond the answer itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// The ids on the disk are out of date.
    pub must_save: bool,
    /// The registry went away, or came back.
    pub is_away: Option<bool>,
    /// A refusal that was not logged yet, and whether a cached id stays in use.
    pub refusal: Option<(NoId, bool)>,
    /// The schema was refused, and has an id now.
    pub is_well_again: bool,
    /// The cached id and the one that replaces it.
    pub replaced: Option<(SchemaId, SchemaId)>,
}

impl Table {
    pub fn new(limit: usize, kept: BTreeMap<Name, SchemaId>, metrics: &Metrics) -> Self {
        Self {
            limit,
            entries: BTreeMap::new(),
            kept,
            asked: 0,
            away: None,
            not_before: None,
            pauses: Retry::new(FIRST_PAUSE, AWAY_PAUSE),
            missing: metrics.schemas_missing.clone(),
        }
    }

    /// Returns the place of the answer, and whether there is a new question.
    pub fn want(&mut self, wanted: Wanted) -> (Answer, bool) {
        if let Some(entry) = self.entries.get(&wanted) {
            return (entry.answer.clone(), false);
        }
        let answer = Answer::pending();
        if self.entries.len() >= self.limit {
            let text = format!(
                "the schema of subject `{}` would be one more than kafka.schema_registry.limit allows: raise the limit, \
                 and restart the service",
                wanted.subject
            );
            answer.set(SchemaState::Unavailable(text.into()));
            return (answer, false);
        }
        let name = Name::of(&wanted);
        if let Some(id) = self.kept.get(&name) {
            answer.set(SchemaState::Known(*id));
        } else if let Some(why) = &self.away {
            answer.set(SchemaState::Unavailable(why.clone()));
        }
        let entry = Entry {
            name,
            answer: answer.clone(),
            is_confirmed: false,
            is_asked: false,
            due: Instant::now(),
            retry: Retry::new(FIRST_PAUSE, LONGEST_PAUSE),
            reported: None,
        };
        self.entries.insert(wanted, entry);
        self.show();
        (answer, true)
    }

    /// The next question, if one is due and there may be one more.
    pub fn next(&mut self, now: Instant) -> Option<Wanted> {
        if !self.may_ask() || self.not_before.is_some_and(|moment| now < moment) {
            return None;
        }
        let is_due = |entry: &Entry| !entry.is_confirmed && !entry.is_asked && entry.due <= now;
        let due = self.entries.iter_mut().filter(|(_, entry)| is_due(entry));
        // The one that waited longest: a question that hangs must not keep the others from their turn.
        let (wanted, entry) = due.min_by_key(|(_, entry)| entry.due)?;
        entry.is_asked = true;
        self.asked += 1;
        Some(wanted.clone())
    }

    /// When the next question is due.
    pub fn next_due(&self) -> Option<Instant> {
        if !self.may_ask() {
            return None; // the answer on its way comes first
        }
        let open = self.entries.values().filter(|entry| !entry.is_confirmed && !entry.is_asked);
        let due = open.map(|entry| entry.due).min()?;
        Some(self.not_before.map_or(due, |moment| moment.max(due)))
    }

    fn may_ask(&self) -> bool {
        self.asked < if self.away.is_some() { 1 } else { MAX_QUESTIONS }
    }

    /// Makes each failed question due at once, for new credentials.
    pub fn ask_all_now(&mut self) {
        let now = Instant::now();
        for entry in self.entries.values_mut() {
            entry.due = entry.due.min(now);
            entry.retry.reset();
        }
        self.not_before = None;
    }

    pub fn answered(
        &mut self,
        wanted: &Wanted,
        answer: Result<SchemaId, NoId>,
        now: Instant,
    ) -> Change {
        self.asked = self.asked.saturating_sub(1);
        let mut change = Change::default();
        let is_away = matches!(&answer, Err(NoId { kind: NoIdKind::Away, .. }));
        change.is_away = (self.away.is_some() != is_away).then_some(is_away);
        match &answer {
            Err(no_id) if is_away => self.goes_away(&no_id.text, now),
            _ => self.is_there(now),
        }
        let Some(entry) = self.entries.get_mut(wanted) else { return change };
        entry.is_asked = false;
        match answer {
            Ok(id) => {
                let before = self.kept.insert(entry.name.clone(), id);
                change.must_save = before != Some(id);
                change.replaced =
                    before.filter(|before| before.number != id.number).map(|it| (it, id));
                change.is_well_again = entry.reported.take().is_some();
                entry.is_confirmed = true;
                entry.answer.set(SchemaState::Known(id));
            }
            Err(no_id) => {
                entry.due = now + entry.retry.next_delay();
                let is_known = entry.answer.id().is_some();
                if !is_known {
                    entry.answer.set(SchemaState::Unavailable(no_id.text.clone()));
                }
                // Each kind of refusal needs another action of the operator, so each is reported.
                if !is_away && entry.reported.replace(no_id.kind) != Some(no_id.kind) {
                    change.refusal = Some((no_id, is_known));
                }
            }
        }
        self.show();
        change
    }

    /// Gives the reason to all that still wait, so that no forwarder has to time out for itself.
    fn goes_away(&mut self, why: &Arc<str>, now: Instant) {
        self.away = Some(why.clone());
        self.not_before = Some(now + self.pauses.next_delay());
        for entry in self.entries.values() {
            if entry.answer.state() == SchemaState::Pending {
                entry.answer.set(SchemaState::Unavailable(why.clone()));
            }
        }
    }

    fn is_there(&mut self, now: Instant) {
        self.not_before = None;
        self.pauses.reset();
        if self.away.take().is_none() {
            return;
        }
        // Schemas that the registry refused keep their own pause.
        for entry in self.entries.values_mut().filter(|entry| entry.reported.is_none()) {
            entry.due = entry.due.min(now);
        }
    }

    /// Ids for the disk: first those that are wanted, then earlier ones, at most `most`.
    pub fn to_keep(&self, most: usize) -> Vec<(Name, SchemaId)> {
        let wanted: BTreeMap<_, _> = self.entries.values().map(|entry| (&entry.name, ())).collect();
        let (now, before): (Vec<_>, Vec<_>) =
            self.kept.iter().partition(|(name, _)| wanted.contains_key(name));
        let all = now.into_iter().chain(before).take(most);
        all.map(|(name, id)| (name.clone(), *id)).collect()
    }

    fn show(&self) {
        let without = self.entries.values().filter(|entry| entry.answer.id().is_none());
        self.missing.set(without.count() as i64);
    }
}
