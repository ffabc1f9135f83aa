//! One history: a seeded sequence of appends, steps, faults, crashes and restarts of the real spools
//! and forwarders, with the oracle looking on.

mod commits;
mod conditions;
mod copies;
mod dead_letters;
mod directed;
mod endings;
mod forgotten;
mod lead_states;
mod left_out;
mod limit;
mod lying;
mod made_again;
mod one_too_many;
mod process;
mod replicas;
mod schemas;
mod slow;
mod switching;
mod trouble;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use millrace::{
    deliver::{
        decode::Fields,
        deduplicate,
        forward::{ForwardError, Forwarder, Now, Progress},
    },
    observe::metrics::Metrics,
    source::SourceName,
    spool::{AppendError, Config, Spool, Writer},
};

use self::{
    copies::Instance,
    left_out::{Excluded, Selections},
    lying::Lying,
    replicas::Replica,
};
use crate::{
    books::{Books, Saved},
    cluster::{Cluster, Producer},
    damage,
    fields::Ruled,
    oracle::{self, Seen},
    sender::{Batch, Fate, Sender},
    simulated_disk::SimulatedDisk,
    trace::Trace,
};

/// Rare things that happened, to show that the histories reach them.
pub type Counters = BTreeMap<&'static str, u64>;

const TOPICS: [&str; 4] = ["visitwebpage", "filloutform", "clicklink", "custom-100001"];
const STEPS: usize = 150;
/// Reading all topics takes longer than what happens between two looks at them.
const STEPS_A_CHECK: usize = 10;
pub const HOLD_AFTER: Duration = Duration::from_secs(2);
const HELD_TOPICS: usize = 3;
const QUARANTINE_AFTER: Duration = Duration::from_secs(5);
const RECORD_LIMIT: usize = 5_000;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Senders {
    /// One that never repeats, in front of a bridge that would not notice.
    One,
    /// Two that repeat what they and the other one have sent.
    TwoThatRepeat,
    /// The same, each in front of a replica of its own.
    TwoReplicas,
}

/// How a process delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    AtLeastOnce,
    ExactlyOnce,
    /// Exactly once, while the volume is copied, and two instances have one identity.
    Copied,
    /// Now in the one mode, now in the other.
    Switching,
}

/// What runs of one source between a start and a crash.
struct Process {
    writer: Writer,
    spool: Spool,
    forwarder: Forwarder<Producer>,
    /// The first delivery that this process took.
    began_at: u64,
}

pub struct History {
    random: Rng,
    disk: SimulatedDisk,
    config: Config,
    sources: Vec<SourceName>,
    cluster: Rc<RefCell<Cluster>>,
    sender: Sender,
    deduplicate: deduplicate::Settings,
    delivery: Delivery,
    /// The mode of the process that runs.
    exactly_once: bool,
    /// The mode of the one before it.
    exactly_once_before: Option<bool>,
    /// The last process had settled everything before it ended.
    has_settled_all: bool,
    /// Every volume of the history, which is one unless it is copied, and the number of the one that
    /// `disk` is.
    volumes: Vec<SimulatedDisk>,
    volume: usize,
    /// Each source is one of a replica of its own, which tells the other one what it has settled.
    are_replicas: bool,
    replicas: Vec<Replica>,
    /// What runs on another volume with the same spool.
    other: Option<Instance>,
    /// The ids of the spools, once they are made.
    spools: Vec<String>,
    /// One for each source, or none while nothing runs.
    processes: Vec<Process>,
    metrics: Metrics,
    books: Books,
    /// Of each volume.
    whole: BTreeMap<usize, damage::Whole>,
    /// Records that the sink holds at most, and bytes that may be on their way.
    queue: usize,
    window: usize,
    hold_after: Duration,
    /// How long one commit comes after the other at least.
    commit_interval: Duration,
    steps: usize,
    /// What `conditions.rs` has happens in this history.
    has_conditions: bool,
    /// What the sources take, and how that changes.
    selections: Selections,
    excluded: Vec<Excluded>,
    /// What the disk does, where it lies.
    lying: Option<Lying>,
    start: Instant,
    pub counters: Counters,
}

impl History {
    pub fn new(seed: u64, senders: Senders, delivery: Delivery) -> Self {
        let config = Config {
            directory: "/spool".into(),
            size_limit: 60_000,
            source_limits: Vec::new(),
            reserve: 0,
            reserve_held: 0,
            keep_delivered_age: Duration::ZERO,
            keep_delivered_size: 0,
            segment_size: 4_000,
        };
        let repeats = senders != Senders::One;
        let names: &[&str] = if repeats { &["leads", "adobe"] } else { &["leads"] };
        let sources: Vec<_> =
            names.iter().map(|name| SourceName::new(name).expect("a legal name")).collect();
        let disk = SimulatedDisk::new(seed ^ 3);
        Self {
            random: Rng::with_seed(seed),
            volumes: vec![disk.clone()],
            volume: 0,
            disk,
            are_replicas: senders == Senders::TwoReplicas,
            replicas: Vec::new(),
            other: None,
            spools: Vec::new(),
            config,
            sender: Sender::new(seed ^ 1, sources.clone(), repeats),
            deduplicate: deduplicate::Settings::OFF,
            delivery,
            exactly_once: false,
            exactly_once_before: None,
            has_settled_all: false,
            sources,
            cluster: Cluster::new(seed ^ 2),
            processes: Vec::new(),
            metrics: Metrics::new(),
            books: Books::default(),
            whole: BTreeMap::new(),
            queue: 24,
            window: 8_000,
            hold_after: HOLD_AFTER,
            commit_interval: Duration::from_millis(200),
            steps: STEPS,
            has_conditions: false,
            selections: Selections::default(),
            excluded: vec![None; names.len()],
            lying: None,
            start: Instant::now(),
            counters: Counters::new(),
        }
        .with_character(seed)
        .with_memory()
    }

    fn repeats(&self) -> bool {
        self.sources.len() > 1
    }

    /// How much is known of what came before: usually more than a history has.
    fn with_memory(mut self) -> Self {
        if self.repeats() {
            let (window, ids) = match self.random.u8(..8) {
                0 => (Duration::from_secs(3600), self.random.usize(1..100)),
                1 => (Duration::from_millis(self.random.u64(1..5_000)), 4_000),
                _ => (Duration::from_secs(3600), 4_000),
            };
            self.deduplicate = deduplicate::Settings { window, ids };
            let may_repeat = self.are_replicas || !self.has_memory_for_all();
            self.cluster.borrow_mut().may_repeat = may_repeat;
        }
        self
    }

    /// Whether no event of the whole history is forgotten.
    fn has_memory_for_all(&self) -> bool {
        self.deduplicate.ids == 4_000 && self.deduplicate.window == Duration::from_secs(3600)
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
        cluster.clients_grow_stale = seed % 10 == 7;
        drop(cluster);
        self
    }

    /// Runs to the end; panics where a promise is broken.
    pub fn run(&mut self) {
        self.start_process();
        for step in 0..self.steps {
            if self.delivery == Delivery::Copied {
                self.something_with_copies();
            }
            self.conditions_change();
            self.registry_goes_on();
            self.disk_lies();
            self.one_thing();
            self.trace_checkpoints();
            if step % STEPS_A_CHECK == 0 {
                self.check(false);
            }
        }
        if self.delivery == Delivery::Copied {
            self.one_goes_on();
        }
        if self.random.bool() {
            self.end_with_one_topic_in_trouble();
        }
        self.quiet_end();
    }

    /// From now on there are rules on fields, which hide something of each event.
    pub fn is_ruled(&mut self, ruled: Ruled) {
        self.sender.is_ruled(ruled);
    }

    fn fields(&self) -> Fields {
        self.sender.ruled().map(Ruled::fields).unwrap_or_default()
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
            95..96 if self.repeats() && self.random.u8(..8) == 0 => self.flip_a_bit_of_ids(),
            95..96 if self.lying.is_none() => self.flip_a_bit(),
            95..96 => {}
            96..98 => self.crash(),
            _ => self.restart(),
        }
    }

    fn append(&mut self) {
        let source = self.random_source();
        let count = self.random.usize(1..4);
        let batches: Vec<_> = (0..count).map(|_| self.batch(source)).collect();
        let ids: Vec<_> = batches.iter().map(|batch| batch.ids.clone()).collect();
        let group: Vec<_> = batches.into_iter().map(|batch| batch.delivery).collect();
        let Some(process) = self.processes.get_mut(source) else { return };
        match process.writer.append_group(&group) {
            Ok(sequences) => {
                tracing::debug!(?ids, ?sequences, "acknowledged");
                let spool = self.number_of(source);
                for (ids, sequence) in ids.iter().zip(sequences) {
                    let left_out = |id: &str| self.sender.is_excluded(source, id);
                    self.books.acknowledged_but(ids, spool, sequence, left_out);
                }
            }
            Err(AppendError::Full { .. }) => self.count("spool full"),
            Err(AppendError::Poisoned { .. }) => {
                self.count("poison");
                let taken = |id: &&String| !self.sender.is_excluded(source, id);
                let taken: Vec<_> = ids.iter().flatten().filter(taken).cloned().collect();
                self.books.unanswered(&taken);
                self.crash();
            }
            Err(error) => panic!("an append: {error}"),
        }
    }

    /// Deliveries in which nothing is refused.
    fn append_without_refused(&mut self, deliveries: usize) {
        for _ in 0..deliveries {
            let batch = loop {
                let batch = self.batch(0);
                let fate = |id: &String| &self.sender.sent[id].fate;
                if batch.ids.iter().all(|id| matches!(fate(id), Fate::Topic { .. })) {
                    break batch;
                }
            };
            let sequences = self.processes[0].writer.append_group(&[batch.delivery]).expect("room");
            let spool = self.number_of(0);
            self.books.acknowledged(&batch.ids, spool, sequences[0]);
        }
    }

    fn random_source(&mut self) -> usize {
        if self.repeats() { self.random.usize(..self.sources.len()) } else { 0 }
    }

    fn batch(&mut self, source: usize) -> Batch {
        let again = self.repeats() && self.random.u8(..10) < 4;
        let again = again.then(|| self.sender.again(source)).flatten();
        again.unwrap_or_else(|| self.sender.batch(source))
    }

    fn step(&mut self) {
        let source = self.random_source();
        let patience = Duration::from_millis(self.random.u64(..20));
        let now = self.now();
        let Some(process) = self.processes.get_mut(source) else { return };
        let worked = process.forwarder.step(now, patience);
        self.replicas_go_on();
        let labels = [self.sources[source].as_str()];
        let waiting = self.metrics.dead_letters_waiting.with_label_values(&labels).get();
        if waiting > 0 {
            self.count("refused events wait for the dead-letter topic");
        }
        self.has_worked(worked);
    }

    /// A process whose step failed tries again, or stops.
    fn has_worked(&mut self, worked: Result<Progress, ForwardError>) {
        match worked {
            Ok(_) => {}
            Err(error) if error.is_final() => self.stops_for_good(&error),
            Err(error) => {
                tracing::debug!(%error, "a step failed");
                self.count("step failed");
            }
        }
    }

    fn pass_time(&mut self, time: Duration) {
        self.cluster.borrow_mut().now += time;
        if self.lying.is_some() {
            self.disk.advance_clock(time.as_millis() as u64);
        }
    }

    fn now(&self) -> Now {
        let elapsed = self.cluster.borrow().now;
        Now { instant: self.start + elapsed, unix: 1_700_000_000_000 + elapsed.as_millis() as u64 }
    }

    fn look(&self) -> Seen {
        let folders = self.folders().into_iter();
        let quarantines: Vec<_> =
            folders.map(|(disk, folder)| (disk, folder.join("quarantine"))).collect();
        oracle::look(&self.cluster.borrow(), &quarantines, &self.sender.sent, &self.books.healed)
    }

    /// The folders of all spools, in the order of their numbers.
    fn folders(&self) -> Vec<(SimulatedDisk, PathBuf)> {
        let folder = |source: &SourceName| self.config.directory.join(source.as_str());
        let volumes = self.volumes.iter();
        let of = |disk: &SimulatedDisk| {
            let disk = disk.clone();
            self.sources.iter().map(move |source| (disk.clone(), folder(source)))
        };
        volumes.flat_map(of).collect()
    }

    /// The number of this source's spool on the volume.
    fn number_of(&self, source: usize) -> usize {
        self.volume * self.sources.len() + source
    }

    /// What the files of all spools say.
    fn saved(&self) -> Saved {
        self.folders().iter().map(|(disk, folder)| oracle::checkpoint(disk, folder)).collect()
    }

    /// What has changed in the checkpoints' files.
    fn trace_checkpoints(&mut self) {
        if self.cluster.borrow().trace.is_on() {
            let saved = self.saved();
            self.cluster.borrow_mut().trace.checkpointed(saved);
        }
    }

    /// A hash of all that happened, if it was traced.
    pub fn trace_hash(&self) -> Option<u64> {
        self.cluster.borrow().trace.hash()
    }

    pub fn traced(self) -> Self {
        self.cluster.borrow_mut().trace = Trace::on();
        self
    }

    fn check(&mut self, drained: bool) {
        let seen = self.look();
        self.books.nothing_is_passed(&self.saved(), &seen, &self.sender.sent);
        self.books.nothing_is_passed(&self.committed(), &seen, &self.sender.sent);
        for (source, process) in self.processes.iter().enumerate() {
            let settled = process.began_at..process.spool.settled_end();
            let passed = self.books.is_where_it_stays(self.number_of(source), &settled, &seen);
            *self.counters.entry("event that an answer may call delivered").or_default() += passed;
        }
        let cluster = &self.cluster.borrow().counters.clone();
        let repeats = self.books.repeats(&seen, &self.sender.sent);
        let forgets = self.repeats() && (self.are_replicas || !self.has_memory_for_all());
        assert!(
            forgets || repeats.needless <= cluster.lost_acknowledgements as usize,
            "{repeats:?}, and {} acknowledgements were lost",
            cluster.lost_acknowledgements
        );
        if self.sender.has_lives() {
            self.check_lead_states(drained);
        }
        if drained {
            self.books.everything_arrived(&seen);
            if self.lying.is_some() {
                self.books.damage_is_named(&seen);
            }
            if self.repeats() {
                let forgotten = if forgets { repeats.needless } else { 0 };
                *self.counters.entry("repeat of what was forgotten").or_default() +=
                    forgotten as u64;
            }
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
                ("event that no rule can be applied to", seen.held_back),
            ];
            let of_transactions = [
                ("commit without an answer", cluster.lost_commits as usize),
                ("transaction given up by the cluster", cluster.timed_out_transactions as usize),
            ];
            let of_copies = [
                ("shut out by another instance", cluster.fenced as usize),
                ("event left behind with a stopped instance", self.books.left_behind(&seen)),
            ];
            let transactional = self.delivery == Delivery::ExactlyOnce;
            let copied = self.delivery == Delivery::Copied;
            let reached = reached
                .into_iter()
                .chain(transactional.then_some(of_transactions).into_iter().flatten())
                .chain(copied.then_some(of_copies).into_iter().flatten());
            let conditions = &self.cluster.borrow().conditions.reached;
            let conditions = conditions.iter().map(|(what, times)| (*what, *times as usize));
            let registry = self.reached_by_registry();
            for (what, times) in reached.chain(conditions).chain(registry) {
                *self.counters.entry(what).or_default() += times as u64;
            }
        }
    }
}
