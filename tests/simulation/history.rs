//! One history: a seeded sequence of appends, steps, faults, crashes and restarts of the real spool
//! and forwarder, with the oracle looking on.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use millrace::{
    checkpoint::{Checkpoint, CheckpointFile},
    decode::Rules,
    delivery::{SourceKind, SourceName},
    encode::Mode,
    forward::{Forwarder, Now, Parts, Settings},
    metrics::Metrics,
    quarantine::Quarantine,
    route::Router,
    spool::{AppendError, Config, Folder, Spool, Writer},
};

use crate::{
    books::Books,
    cluster::{Cluster, DEAD_LETTERS, Producer, Trouble},
    damage,
    oracle::{self, Seen},
    sender::Sender,
    simulated_disk::{Call, SimulatedDisk},
};

/// Rare things that happened, to show that the histories reach them.
pub type Counters = BTreeMap<&'static str, u64>;

const TOPICS: [&str; 4] = ["visitwebpage", "filloutform", "clicklink", "custom-100001"];
const STEPS: usize = 150;
/// Reading all topics takes longer than what happens between two looks at them.
const STEPS_A_CHECK: usize = 10;
/// Steps within which a quiet end must drain everything.
const QUIET_STEPS: usize = 5_000;
const HOLD_AFTER: Duration = Duration::from_secs(2);
const RECORD_LIMIT: usize = 5_000;

/// What runs between a start and a crash.
struct Process {
    writer: Writer,
    spool: Spool,
    forwarder: Forwarder<Producer>,
}

pub struct History {
    random: Rng,
    disk: SimulatedDisk,
    config: Config,
    source: SourceName,
    cluster: Rc<RefCell<Cluster>>,
    sender: Sender,
    process: Option<Process>,
    books: Books,
    /// Records that the sink holds at most, and bytes that may be on their way.
    queue: usize,
    window: usize,
    steps: usize,
    start: Instant,
    pub counters: Counters,
}

impl History {
    pub fn new(seed: u64) -> Self {
        let config = Config {
            directory: "/spool".into(),
            size_limit: 60_000,
            reserve: 0,
            keep_delivered_age: Duration::ZERO,
            keep_delivered_size: 0,
            segment_size: 4_000,
        };
        let source = SourceName::new("leads").expect("a legal name");
        Self {
            random: Rng::with_seed(seed),
            disk: SimulatedDisk::new(seed ^ 3),
            config,
            sender: Sender::new(seed ^ 1, source.clone()),
            source,
            cluster: Cluster::new(seed ^ 2),
            process: None,
            books: Books::default(),
            queue: 24,
            window: 8_000,
            steps: STEPS,
            start: Instant::now(),
            counters: Counters::new(),
        }
        .with_character(seed)
    }

    /// Histories differ in what their machines are like, not only in what happens to them.
    fn with_character(mut self, seed: u64) -> Self {
        let random = &mut self.random;
        if random.bool() {
            self.queue = random.usize(8..60);
            self.window = random.usize(1_000..40_000);
        }
        if random.u8(..10) == 0 {
            self.steps *= 4;
        }
        let mut cluster = self.cluster.borrow_mut();
        if random.u8(..4) == 0 {
            cluster.fatal_per_mille = random.u16(..100);
        }
        if random.u8(..4) == 0 {
            cluster.limit = random.usize(1..5);
        }
        // Not drawn, so that the other seeds go on meaning what they meant.
        if seed % 10 == 3 {
            cluster.secrets_per_mille = 50;
        }
        drop(cluster);
        self
    }

    /// Runs to the end; panics where a promise is broken.
    pub fn run(&mut self) {
        self.start_process();
        for step in 0..self.steps {
            self.one_thing();
            if step % STEPS_A_CHECK == 0 {
                self.check(false);
            }
        }
        if self.random.bool() {
            self.end_with_one_topic_in_trouble();
        }
        self.quiet_end();
    }

    fn count(&mut self, what: &'static str) {
        *self.counters.entry(what).or_default() += 1;
    }

    fn one_thing(&mut self) {
        match self.random.u8(..100) {
            0..25 => self.append(),
            25..75 => self.step(),
            75..80 => {
                let time = Duration::from_millis(self.random.u64(..4_000));
                self.pass_time(time);
            }
            80..84 => self.toggle_cluster(),
            84..91 => self.toggle_topic(),
            91..93 => self.toggle_permission(),
            93..95 => self.disk_fails(),
            95..96 => self.flip_a_bit(),
            96..98 => self.crash(),
            _ => self.restart(),
        }
    }

    fn append(&mut self) {
        let batches: Vec<_> = (0..self.random.usize(1..4)).map(|_| self.sender.batch()).collect();
        let ids: Vec<_> = batches.iter().map(|batch| batch.ids.clone()).collect();
        let group: Vec<_> = batches.into_iter().map(|batch| batch.delivery).collect();
        let Some(process) = &mut self.process else { return };
        match process.writer.append_group(&group) {
            Ok(sequences) => {
                tracing::debug!(?ids, ?sequences, "acknowledged");
                for (ids, sequence) in ids.iter().zip(sequences) {
                    self.books.acknowledged(ids, sequence);
                }
            }
            Err(AppendError::Full { .. }) => self.count("spool full"),
            Err(AppendError::Poisoned { .. }) => {
                self.count("poison");
                self.crash();
            }
            Err(error) => panic!("an append: {error}"),
        }
    }

    fn step(&mut self) {
        let patience = Duration::from_millis(self.random.u64(..20));
        let now = self.now();
        let Some(process) = &mut self.process else { return };
        if let Err(error) = process.forwarder.step(now, patience) {
            tracing::debug!(%error, "a step failed");
            self.count("step failed");
        }
    }

    fn pass_time(&mut self, time: Duration) {
        self.cluster.borrow_mut().now += time;
    }

    fn toggle_cluster(&mut self) {
        let mut cluster = self.cluster.borrow_mut();
        cluster.away = !cluster.away;
        cluster.away_since = cluster.now;
        drop(cluster);
        self.count("cluster away or back");
    }

    /// A topic of the sender's, now and then the one of dead letters.
    fn random_topic(&mut self) -> String {
        let topic = format!("sim.lead-activity.{}", TOPICS[self.random.usize(..TOPICS.len())]);
        if self.random.u8(..8) == 0 { DEAD_LETTERS.into() } else { topic }
    }

    fn toggle_topic(&mut self) {
        let topic = self.random_topic();
        let trouble = if self.random.bool() { Trouble::Failing } else { Trouble::Hanging };
        let mut cluster = self.cluster.borrow_mut();
        if cluster.troubles.remove(&topic).is_none() {
            cluster.troubles.insert(topic, trouble);
        }
        drop(cluster);
        self.count("topic in trouble or back");
    }

    fn toggle_permission(&mut self) {
        let topic = format!("sim.lead-activity.{}", TOPICS[self.random.usize(..TOPICS.len())]);
        let mut cluster = self.cluster.borrow_mut();
        if !cluster.forbidden.remove(&topic) {
            cluster.forbidden.insert(topic);
        }
        drop(cluster);
        self.count("creation forbidden or allowed");
    }

    fn disk_fails(&mut self) {
        use std::io::ErrorKind::{Other, StorageFull};
        let (call, error, what) = match self.random.u8(..6) {
            0 => (Call::SyncData, Other, "a sync fails"),
            1 => (Call::Write, Other, "a write fails"),
            2 => (Call::Write, StorageFull, "no space for a write"),
            3 => (Call::Read, Other, "a read fails"),
            4 => (Call::SyncDir, Other, "a directory's sync fails"),
            _ => (Call::Create, StorageFull, "no space for a file"),
        };
        tracing::debug!(what, "the disk");
        self.disk.fail_next(call, error);
        self.count(what);
    }

    /// In a segment that is not written any more: the spool can't know before it reads.
    fn flip_a_bit(&mut self) {
        let directory = self.config.directory.join(self.source.as_str());
        if let Some(spoilt) = damage::flip_a_bit(&self.disk, &directory, &mut self.random) {
            tracing::debug!(?spoilt, "a bit flips");
            self.books.spoilt(spoilt);
            self.count("a bit flips");
        }
    }

    /// The process or the whole machine dies.
    fn crash(&mut self) {
        self.process = None;
        if self.random.bool() {
            tracing::debug!("killed");
            self.disk.kill();
            self.count("killed");
        } else {
            tracing::debug!("power lost");
            self.disk.lose_power();
            self.count("power lost");
        }
        self.start_process();
    }

    /// A clean stop and a start: nothing is repeated by it.
    fn restart(&mut self) {
        let now = self.now();
        if let Some(mut process) = self.process.take() {
            for _ in 0..5 {
                if let Ok(true) = process.forwarder.finish(now, Duration::from_millis(5)) {
                    break;
                }
            }
            let _ = process.forwarder.save_checkpoint(now);
        }
        self.count("restart");
        self.start_process();
    }

    fn start_process(&mut self) {
        self.disk.no_more_faults();
        let metrics = Metrics::new();
        let disk: Arc<SimulatedDisk> = Arc::new(self.disk.clone());
        let folder = Folder::open(disk.clone(), &self.config).expect("the folder opens");
        let directory = folder.source_directory(&self.source);
        let checkpoint = CheckpointFile::new(disk.clone(), &directory);
        let saved = checkpoint.load().expect("a checkpoint is whole");
        let delivered = saved.as_ref().map(Checkpoint::delivered);
        let (writer, spool) =
            folder.spool(&self.source, None, &metrics, delivered).expect("the spool opens");
        let settings = Settings {
            kind: SourceKind::MarketoLeadActivity,
            mode: Mode::Binary,
            dead_letter_topic: DEAD_LETTERS.into(),
            hold_after: HOLD_AFTER,
            held_topics: 3,
            window_bytes: self.window,
        };
        let parts = Parts {
            spool: spool.clone(),
            sink: Producer::new(self.cluster.clone(), self.queue, RECORD_LIMIT),
            rules: Arc::new(Rules::default()),
            router: Router::new("sim.{stream}.{type}").expect("a legal template"),
            checkpoint,
            quarantine: Quarantine::new(disk, &directory),
            metrics,
        };
        tracing::debug!(?saved, "start");
        let seen = self.look();
        self.books.nothing_is_passed(saved.as_ref(), &seen, &self.sender.sent);
        self.books.begin_at(saved.as_ref(), &seen, &self.sender.sent);
        let forwarder = Forwarder::new(settings, parts, saved);
        self.process = Some(Process { writer, spool, forwarder });
    }

    fn now(&self) -> Now {
        let elapsed = self.cluster.borrow().now;
        Now { instant: self.start + elapsed, unix: 1_700_000_000_000 + elapsed.as_millis() as u64 }
    }

    /// I8: everything becomes well but one topic, and what belongs elsewhere must arrive.
    fn end_with_one_topic_in_trouble(&mut self) {
        self.all_is_well();
        let topic = self.random_topic();
        let trouble = if self.random.bool() { Trouble::Failing } else { Trouble::Hanging };
        tracing::debug!(topic, ?trouble, "all is well but one topic");
        self.cluster.borrow_mut().troubles.insert(topic.clone(), trouble);
        self.step_until(|history, _| {
            history.books.missing(&history.look(), &history.sender.sent, &topic).is_empty()
        });
        let missing = self.books.missing(&self.look(), &self.sender.sent, &topic);
        assert!(missing.is_empty(), "{topic} is {trouble:?}, and that stops {missing:?}");
        self.check(false);
        self.count("all but one topic");
    }

    fn all_is_well(&mut self) {
        self.disk.no_more_faults();
        let mut cluster = self.cluster.borrow_mut();
        cluster.away = false;
        cluster.troubles.clear();
        cluster.forbidden.clear();
        cluster.fatal_per_mille = 0;
        cluster.quiet = true;
    }

    /// Steps through a time in which nothing new happens.
    fn step_until(&mut self, is_done: impl Fn(&Self, &Forwarder<Producer>) -> bool) {
        for steps in 0..QUIET_STEPS {
            self.pass_time(Duration::from_millis(100));
            let now = self.now();
            let process = self.process.as_mut().expect("a process runs");
            process.forwarder.step(now, Duration::from_millis(1)).expect("a quiet step works");
            let process = self.process.as_ref().expect("a process runs");
            if steps % 50 == 0 && is_done(self, &process.forwarder) {
                break;
            }
        }
    }

    /// Everything becomes well, and everything must arrive.
    fn quiet_end(&mut self) {
        self.all_is_well();
        self.crash();
        self.step_until(|_, forwarder| forwarder.is_drained());
        let process = self.process.as_ref().expect("a process runs");
        assert!(process.forwarder.is_drained(), "not drained: {:?}", process.forwarder.position());
        assert_eq!(process.spool.durable_end(), process.forwarder.next_sequence());
        self.check(true);
    }

    fn look(&self) -> Seen {
        let quarantine = self.config.directory.join(self.source.as_str()).join("quarantine");
        oracle::look(&self.cluster.borrow(), &self.disk, &quarantine, &self.sender.sent)
    }

    fn check(&mut self, drained: bool) {
        let seen = self.look();
        let directory = self.config.directory.join(self.source.as_str());
        let saved = oracle::checkpoint(&self.disk, &directory);
        self.books.nothing_is_passed(saved.as_ref(), &seen, &self.sender.sent);
        let cluster = &self.cluster.borrow().counters;
        let repeats = self.books.repeats(&seen);
        assert!(
            repeats.needless <= cluster.lost_acknowledgements as usize,
            "{repeats:?}, and {} acknowledgements were lost",
            cluster.lost_acknowledgements
        );
        if drained {
            self.books.everything_arrived(&seen);
            let reached = [
                ("damaged range in quarantine", seen.damaged_ranges),
                ("event in quarantine", seen.quarantined.len()),
                ("dead letter", seen.dead_lettered.len()),
                ("event on its topic", seen.on_topic.len()),
                ("repeat", repeats.all),
                ("purged", cluster.purged as usize),
                ("producer replaced", cluster.renewals as usize),
                ("refusal", cluster.refusals as usize),
                ("late acknowledgement", cluster.late_acknowledgements as usize),
                ("queue full", cluster.queue_full as usize),
                ("producer turned fatal", cluster.fatal as usize),
                ("secret replaced", cluster.secrets_replaced as usize),
                ("topic over the limit", cluster.over_limit as usize),
            ];
            for (what, times) in reached {
                *self.counters.entry(what).or_default() += times as u64;
            }
        }
    }
}
