//! Dead letters on their topic: the newest, read at a request, and kept for the next one.
//!
//! Memory is bounded: [`MAX_LETTERS`] letters, and [`MAX_BODY_BYTES`] bytes of their bodies where these are shown. A
//! request waits at most [`READ_TIMEOUT`] for records that are not read yet; the next one goes on from there.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::delivery::{MAX_SHOWN_BYTES, body};
use crate::{
    config::Config,
    kafka::{Passed, ReadRecord, Reader, Select},
    observe::api::{self, Problem, objects},
    service::replay::{letters::Letter, shown::Shown},
};

/// Letters that are kept; as many of each partition are read at first.
const MAX_LETTERS: usize = 10_000;
/// Bytes of bodies that are kept.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Characters that are kept of a letter's reason and error text.
const MAX_TEXT_CHARS: usize = 512;
/// Places that are named where records cannot be read.
const MAX_UNREADABLE: usize = 20;
const READ_TIMEOUT: Duration = Duration::from_secs(4);
const RECORDS_PER_READ: usize = 500;
const POLL_TIMEOUT: Duration = Duration::from_millis(250);
/// After this time without a request the reader is replaced at the next one, and begins at the start.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct DeadLetters(Mutex<Option<Open>>);

struct Open {
    reader: Reader,
    letters: VecDeque<Kept>,
    bodies: usize,
    asked: Instant,
    shown: Shown,
    /// Places of records that cannot be read, the newest.
    unreadable: VecDeque<Passed>,
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
        question: &api::DeadLetterQuestion,
        bodies: bool,
    ) -> Result<objects::DeadLetters, Problem> {
        let open = self.0.try_lock_for(READ_TIMEOUT);
        let mut open =
            open.ok_or_else(|| Problem::new("too-many", "Another question reads the topic."))?;
        if open.as_ref().is_some_and(|it| it.asked.elapsed() > IDLE_TIMEOUT) {
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
        let reader = reader.of_newest(i64::try_from(MAX_LETTERS).unwrap_or(i64::MAX));
        Ok(Self {
            reader,
            letters: VecDeque::new(),
            bodies: 0,
            asked: Instant::now(),
            shown: Shown::by(config),
            unreadable: VecDeque::new(),
        })
    }

    /// Reads new records; returns whether these were all.
    fn read(&mut self, bodies: bool) -> Result<bool, String> {
        let end = Instant::now() + READ_TIMEOUT;
        loop {
            let records = self
                .reader
                .read(RECORDS_PER_READ, POLL_TIMEOUT)
                .map_err(|error| error.to_string())?;
            let passed = self.reader.take_passed();
            let is_none = records.is_empty() && passed.is_empty();
            self.unreadable.extend(passed);
            let surplus = self.unreadable.len().saturating_sub(MAX_UNREADABLE);
            self.unreadable.drain(..surplus);
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
        let text = |text: &str| text.chars().take(MAX_TEXT_CHARS).collect::<String>();
        let value = record.value.as_deref().unwrap_or_default();
        // One byte more than is shown, which marks it as cut.
        let cut = |value: &[u8]| value[..value.len().min(MAX_SHOWN_BYTES + 1)].to_vec();
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
        if self.letters.len() > MAX_LETTERS {
            let gone = self.letters.pop_front();
            self.bodies -= gone.and_then(|it| it.body).map_or(0, |body| body.len());
        }
        let mut oldest = 0;
        while self.bodies > MAX_BODY_BYTES && oldest < self.letters.len() {
            self.bodies -= self.letters[oldest].body.take().map_or(0, |body| body.len());
            oldest += 1;
        }
    }

    fn page(
        &self,
        question: &api::DeadLetterQuestion,
        complete: bool,
        problem: Option<String>,
    ) -> objects::DeadLetters {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let since = i64::try_from(question.since).unwrap_or(i64::MAX);
        let mut reasons = BTreeMap::new();
        let mut sources = BTreeMap::new();
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
        if let Some(before) = question.before {
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
            unreadable: self.unreadable.iter().map(describe).collect(),
        }
    }
}

fn describe(passed: &Passed) -> objects::Unreadable {
    objects::Unreadable {
        partition: passed.partition,
        offset: passed.offset,
        next: passed.next,
        why: passed.to_string(),
    }
}

impl Kept {
    fn place(&self) -> api::LetterPlace {
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
