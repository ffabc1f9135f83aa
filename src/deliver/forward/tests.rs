//! Common parts of the owners' tests: a spool on the disk, settings, and a sink with prescribed answers.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Now, Settings,
    out::{Out, Trouble},
    source::{Source, SourceParts},
    topics::{TopicId, Topics},
    window,
};
use crate::{
    deliver::{
        decode::Rules,
        deduplicate::{self, Deduplicator},
        encode::{Mode, choice::Choices},
        in_force::InForce,
        quarantine::Quarantine,
        route::Router,
    },
    event::Stream,
    kafka::produce::{Commit, Failure, Outcome, SendError, Sink, Token, TopicState},
    observe::metrics::Metrics,
    record::Record,
    source::{SourceKind, SourceName},
    spool::{
        self, Folder, SEGMENT_SIZE, Spool, Writer,
        disk::{Disk, RealDisk},
        position::Position,
    },
};

/// Folder and spool of a test, without deliveries.
pub struct Place {
    pub spool: Spool,
    pub writer: Writer,
    pub metrics: Metrics,
    pub folder: tempfile::TempDir,
}

pub fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let config = spool::Config {
        directory: directory.path().into(),
        size_limit: 1 << 20,
        source_limits: vec![None],
        reserve: 0,
        reserve_held: 0,
        keep_delivered_age: Duration::ZERO,
        keep_delivered_size: 0,
        segment_size: SEGMENT_SIZE,
    };
    let metrics = Metrics::new();
    let folder = Folder::open(Arc::new(RealDisk), &config).unwrap();
    let source = SourceName::new("leads").unwrap();
    let (writer, spool) = folder.spool(&source, None, &metrics, None).unwrap();
    Place { spool, writer, metrics, folder: directory }
}

pub fn settings() -> Settings {
    Settings {
        kind: SourceKind::MarketoLeadActivity,
        mode: Mode::Binary,
        choices: Choices::default(),
        selections: InForce::default(),
        dead_letter_topic: "dead".into(),
        dead_letter_headers: Vec::new(),
        hold_after: Duration::from_secs(30),
        held_topics: 2,
        quarantine_after: Duration::from_secs(60),
        window_bytes: 1 << 20,
        transactions: None,
    }
}

pub fn topics(place: &Place) -> Topics {
    Topics::new(place.spool.source().clone(), place.metrics.clone())
}

/// A source whose quarantine is the folder `quarantine` of the place.
pub fn source(place: &Place) -> Source {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = place.folder.path();
    let names = [place.spool.source().clone()];
    let settings = deduplicate::Settings::default();
    let all = Deduplicator::open(disk.clone(), folder, settings, &names, &place.metrics);
    let router = Router::new("marketo.{source}").unwrap();
    Source::new(SourceParts {
        kind: SourceKind::MarketoLeadActivity,
        selections: InForce::default(),
        spool: place.spool.clone(),
        rules: Arc::new(Rules::default()),
        router,
        claims: all.claims(&names[0]),
        quarantine: Quarantine::new(disk, &folder.join("quarantine")),
        metrics: place.metrics.clone(),
    })
}

pub fn at(sequence: u64) -> Position {
    Position::start_of(sequence)
}

/// Returns a clock by seconds since its beginning.
pub fn clock() -> impl Fn(u64) -> Now {
    let start = Instant::now();
    move |seconds| Now { instant: start + Duration::from_secs(seconds), unix: seconds * 1000 }
}

pub fn slot(topic: TopicId, sequence: u64, now: Now) -> window::Slot {
    window::Slot {
        position: at(sequence),
        topic,
        belongs_to: Some(topic),
        identity: None,
        rests_on: None,
        size: window::RECORD_OVERHEAD,
        since: now.instant,
        received_at: now.unix,
        turn: 0,
        carries: window::Carries::Event(Some(Stream::Other)),
        state: window::State::Outstanding,
        error: None,
    }
}

/// A sink that gives prescribed answers.
pub struct Scripted {
    pub answers: VecDeque<Result<(), SendError>>,
    pub silence: Option<Duration>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self { answers: VecDeque::new(), silence: Some(Duration::ZERO) }
    }
}

impl Sink for Scripted {
    fn send(&mut self, _: &Record<'_>, _: Token) -> Result<(), SendError> {
        self.answers.pop_front().unwrap_or(Ok(()))
    }

    fn poll(&mut self, _: Duration, _: &mut Vec<(Token, Outcome)>) {}

    fn purge(&mut self) {}

    fn renew(&mut self, _: &dyn Fn() -> bool) -> Result<(), Failure> {
        Ok(())
    }

    fn commit(&mut self, _: &Record<'_>, _: Duration) -> Commit {
        Commit::Done
    }

    fn committed(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn topic(&mut self, _: &str) -> TopicState {
        TopicState::Ready
    }

    fn cluster_silence(&self) -> Option<Duration> {
        self.silence
    }

    fn record_limit(&self) -> usize {
        10_000
    }
}

pub fn out(sink: Scripted, place: &Place) -> Out<Scripted> {
    Out::new(sink, &settings(), &place.spool, &place.metrics)
}

#[test]
fn the_first_trouble_of_a_topic_is_the_one_that_counts() {
    let place = place();
    let mut out = out(Scripted::default(), &place);
    let topic = out.topics_mut().enter("a");
    out.topic_failed(topic, Trouble::passing("first"));
    out.topic_failed(topic, Trouble::passing("second"));
    assert!(out.has_failed());
    assert_eq!(out.take_failed()[&topic].why, "first");
    assert!(!out.has_failed());
}
