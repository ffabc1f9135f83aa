//! Dead letters on their topic: the newest, read when somebody asks, and kept for the next question.
//!
//! What is kept is bounded: [`KEPT`] letters, and [`BODIES`] bytes of their bodies where these are shown. A question
//! waits [`WITHIN`] at most for what is not read yet; the next one goes on from there.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::delivery::{SHOWN, body};
use crate::{
    config::Config,
    kafka::{ReadRecord, Reader, Select},
    observe::api::{self, Problem, objects},
    service::replay::{letters::Letter, shown::Shown},
};

/// Letters that are kept; of each partition as many are read at first.
const KEPT: usize = 10_000;
/// Bytes of bodies that are kept.
const BODIES: usize = 16 * 1024 * 1024;
/// Characters of what a letter says in words.
const TEXT: usize = 512;
const WITHIN: Duration = Duration::from_secs(4);
const AT_ONCE: usize = 500;
const WAIT: Duration = Duration::from_millis(250);
/// After so long without a question the reader is closed with the next one, and begins again.
const IDLE: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct DeadLetters(Mutex<Option<Open>>);

struct Open {
    reader: Reader,
    letters: VecDeque<Kept>,
    bodies: usize,
    asked: Instant,
    shown: Shown,
}

struct Kept {
    partition: i32,
    offset: i64,
    at: i64,
    source: String,
    position: String,
    reason: String,
    error: String,
    topic: Option<String>,
    key: Option<String>,
    bytes: usize,
    quarantined: bool,
    body: Option<Vec<u8>>,
}

impl DeadLetters {
    pub fn answer(
        &self,
        config: &Config,
        question: &api::Letters,
        bodies: bool,
    ) -> Result<objects::DeadLetters, Problem> {
        let open = self.0.try_lock_for(WITHIN);
        let mut open =
            open.ok_or_else(|| Problem::new("too-many", "Another question reads the topic."))?;
        if open.as_ref().is_some_and(|it| it.asked.elapsed() > IDLE) {
            *open = None;
        }
        if open.is_none() {
            *open = Some(Open::new(config)?);
        }
        let Some(open) = open.as_mut() else {
            return Err(Problem::new("unavailable", "No reader."));
        };
        open.asked = Instant::now();
        let (complete, problem) = match open.read(bodies) {
            Ok(complete) => (complete, None),
            Err(problem) => (false, Some(problem)),
        };
        Ok(open.page(question, complete, problem))
    }
}

impl Open {
    fn new(config: &Config) -> Result<Self, Problem> {
        let topic = config.topics.dead_letter.clone();
        let reader = Reader::open(&config.kafka, Select::Topics(vec![topic]));
        let reader = reader.map_err(|error| Problem::new("unavailable", error.to_string()))?;
        let reader = reader.of_newest(i64::try_from(KEPT).unwrap_or(i64::MAX));
        Ok(Self {
            reader,
            letters: VecDeque::new(),
            bodies: 0,
            asked: Instant::now(),
            shown: Shown::by(config),
        })
    }

    /// Reads what is new; whether that was all.
    fn read(&mut self, bodies: bool) -> Result<bool, String> {
        let end = Instant::now() + WITHIN;
        loop {
            let records = self.reader.read(AT_ONCE, WAIT).map_err(|error| error.to_string())?;
            let is_none = records.is_empty();
            for record in &records {
                self.keep(record, bodies);
            }
            if is_none && self.reader.is_at_end().map_err(|error| error.to_string())? {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
        }
    }

    fn keep(&mut self, record: &ReadRecord, bodies: bool) {
        let Some(letter) = Letter::of(record) else { return };
        let text = |text: &str| text.chars().take(TEXT).collect::<String>();
        let value = record.value.as_deref().unwrap_or_default();
        // One byte more than is shown, so that it is known to be cut.
        let cut = |value: &[u8]| value[..value.len().min(SHOWN + 1)].to_vec();
        let body = match letter.is_pointer {
            _ if !bodies => None,
            true => Some(cut(value)),
            false => self.shown.original(&letter.kept(Uuid::nil(), value)).map(|it| cut(&it)),
        };
        self.bodies += body.as_ref().map_or(0, Vec::len);
        self.letters.push_back(Kept {
            partition: record.partition,
            offset: record.offset,
            at: record.at.unwrap_or_default(),
            source: letter.source.to_string(),
            position: letter.position.to_string(),
            reason: text(letter.reason),
            error: text(record.header("millrace-error").unwrap_or_default()),
            topic: record.header("millrace-original-topic").map(text),
            key: record.key.as_deref().map(|key| text(&String::from_utf8_lossy(key))),
            bytes: value.len(),
            quarantined: record.header("millrace-quarantined").is_some(),
            body,
        });
        if self.letters.len() > KEPT {
            let gone = self.letters.pop_front();
            self.bodies -= gone.and_then(|it| it.body).map_or(0, |body| body.len());
        }
        let mut oldest = 0;
        while self.bodies > BODIES && oldest < self.letters.len() {
            self.bodies -= self.letters[oldest].body.take().map_or(0, |body| body.len());
            oldest += 1;
        }
    }

    fn page(
        &self,
        question: &api::Letters,
        complete: bool,
        problem: Option<String>,
    ) -> objects::DeadLetters {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let since = i64::try_from(question.since).unwrap_or(i64::MAX);
        let (mut reasons, mut sources) = (BTreeMap::new(), BTreeMap::new());
        let mut found = Vec::new();
        for letter in self.letters.iter().filter(|it| it.at >= since) {
            let of_source = is(&question.source, &letter.source);
            let of_reason = is(&question.reason, &letter.reason);
            if of_source {
                *reasons.entry(letter.reason.clone()).or_insert(0_u64) += 1;
            }
            if of_reason {
                *sources.entry(letter.source.clone()).or_insert(0_u64) += 1;
            }
            if of_source && of_reason {
                found.push(letter);
            }
        }
        found.sort_unstable_by_key(|it| std::cmp::Reverse(it.place()));
        let matching = found.len();
        if let Some(before) = question.before.as_deref().and_then(place) {
            found.retain(|it| it.place() < before);
        }
        let has_more = found.len() > question.limit;
        found.truncate(question.limit);
        let next = found.last().filter(|_| has_more).map(|it| {
            let (at, partition, offset) = it.place();
            format!("{at}.{partition}.{offset}")
        });
        objects::DeadLetters {
            letters: found.iter().map(|it| it.describe()).collect(),
            matching: matching as u64,
            reasons,
            sources,
            known: self.letters.len() as u64,
            complete,
            problem,
            next,
        }
    }
}

/// What a page ends with.
fn place(text: &str) -> Option<(i64, i32, i64)> {
    let mut parts = text.split('.');
    let place =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(place)
}

impl Kept {
    fn place(&self) -> (i64, i32, i64) {
        (self.at, self.partition, self.offset)
    }

    fn describe(&self) -> objects::DeadLetter {
        objects::DeadLetter {
            partition: self.partition,
            offset: self.offset,
            at: u64::try_from(self.at).ok().filter(|at| *at > 0),
            source: self.source.clone(),
            position: self.position.clone(),
            reason: self.reason.clone(),
            error: self.error.clone(),
            original_topic: self.topic.clone(),
            key: self.key.clone(),
            bytes: self.bytes as u64,
            quarantined: self.quarantined,
            body: self.body.as_deref().map(body),
        }
    }
}
