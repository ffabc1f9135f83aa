//! The process of a history: it starts, stops, and dies.

use std::{sync::Arc, time::Duration};

use millrace::{
    checkpoint::{Checkpoint, CheckpointFile},
    decode::Rules,
    deduplicate::Deduplicator,
    delivery::{SourceKind, SourceName},
    encode::Mode,
    forward::{Forwarder, Parts, Settings, Start, Transactions},
    metrics::Metrics,
    produce::Sink,
    quarantine::Quarantine,
    route::Router,
    spool::Folder,
};

use super::{Delivery, HOLD_AFTER, History, Process, QUARANTINE_AFTER, RECORD_LIMIT};
use crate::{
    books::Saved,
    cluster::{DEAD_LETTERS, Producer},
    simulated_disk::SimulatedDisk,
};

impl History {
    /// What the process that ends has counted.
    pub(super) fn end_processes(&mut self) {
        let name = |source: usize| self.sources[source].as_str();
        let mut counted = Vec::new();
        for source in 0..self.sources.len() {
            for owner in 0..self.sources.len() {
                let duplicates =
                    self.metrics.duplicates.with_label_values(&[name(source), name(owner)]);
                let what = match source == owner {
                    true => "duplicate of the same source",
                    false => "duplicate of the other source",
                };
                counted.push((what, duplicates.get()));
            }
            let unsaved = self.metrics.deduplicate_unsaved.with_label_values(&[name(source)]).get();
            self.books.forgetful |= unsaved > 0;
            counted.push(("id not saved", unsaved));
            let unreadable = self.metrics.deduplicate_unreadable.with_label_values(&[name(source)]);
            counted.push(("file of ids not whole", unreadable.get()));
        }
        for source in 0..self.sources.len() {
            let count = |outcome| {
                self.metrics.transactions.with_label_values(&[name(source), outcome]).get()
            };
            counted.push(("transaction committed", count("committed")));
            counted.push(("commit found out later", count("committed-late")));
            counted.push(("transaction taken back", count("aborted")));
            let refused = self.metrics.dead_letters.with_label_values(&[name(source), "refused"]);
            counted.push(("refused event as a dead letter", refused.get()));
        }
        for (source, process) in self.processes.iter().enumerate() {
            let holds = self.metrics.holds.with_label_values(&[name(source)]).get();
            let are_back = process.forwarder.position().held.is_empty();
            counted.push(("topic held", holds));
            counted.push(("held topics back", u64::from(holds > 0 && are_back)));
        }
        for (what, times) in counted.into_iter().filter(|(_, times)| *times > 0) {
            *self.counters.entry(what).or_default() += times;
        }
        self.processes.clear();
    }

    /// The process or the whole machine dies.
    pub(super) fn crash(&mut self) {
        self.end_processes();
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
    pub(super) fn restart(&mut self) {
        let now = self.now();
        for process in &mut self.processes {
            for _ in 0..5 {
                if let Ok(true) = process.forwarder.finish(now, Duration::from_millis(5)) {
                    break;
                }
            }
            let _ = process.forwarder.save_checkpoint(now);
        }
        self.end_processes();
        self.count("restart");
        self.start_process();
    }

    pub(super) fn start_process(&mut self) {
        self.disk.no_more_faults();
        self.metrics = Metrics::new();
        let disk: Arc<SimulatedDisk> = Arc::new(self.disk.clone());
        let folder = Folder::open(disk.clone(), &self.config).expect("the folder opens");
        let directory = &self.config.directory;
        let deduplicator =
            Deduplicator::open(disk, directory, self.deduplicate, &self.sources, &self.metrics);
        let saved: Saved = self.sources.iter().map(|source| load(&folder, source)).collect();
        tracing::debug!(?saved, "start");
        let seen = self.look();
        self.books.nothing_is_passed(&saved, &seen, &self.sender.sent);
        match self.delivery {
            Delivery::AtLeastOnce => self.books.begin_at(&saved, &seen, &self.sender.sent),
            Delivery::ExactlyOnce => self.books.begin_without_repeats(&seen),
        }
        self.processes = saved
            .into_iter()
            .enumerate()
            .map(|(source, saved)| self.start_source(source, saved, &folder, &deduplicator))
            .collect();
    }

    fn start_source(
        &self,
        source: usize,
        saved: Option<Checkpoint>,
        folder: &Arc<Folder>,
        deduplicator: &Arc<Deduplicator>,
    ) -> Process {
        let source = &self.sources[source];
        let directory = folder.source_directory(source);
        let delivered = saved.as_ref().map(Checkpoint::delivered);
        let (writer, spool) =
            folder.spool(source, None, &self.metrics, delivered).expect("the spool opens");
        let settings = Settings {
            kind: SourceKind::MarketoLeadActivity,
            mode: Mode::Binary,
            dead_letter_topic: DEAD_LETTERS.into(),
            hold_after: HOLD_AFTER,
            held_topics: 3,
            quarantine_after: QUARANTINE_AFTER,
            window_bytes: self.window,
            transactions: (self.delivery == Delivery::ExactlyOnce).then(|| Transactions {
                topic: "checkpoints".into(),
                interval: Duration::from_millis(200),
            }),
        };
        let claims = deduplicator.claims(source);
        claims.recall(self.now().unix);
        let mut sink = Producer::new(self.cluster.clone(), self.queue, RECORD_LIMIT);
        let mut start = Start::from_file(saved.clone());
        if self.delivery == Delivery::ExactlyOnce {
            sink = sink.transactional(spool.id().to_string());
            sink.renew(&|| false).expect("the first renewal works");
            let end = spool.durable_end();
            start =
                Start::with_topic(saved, &mut sink, spool.id(), end).expect("a good checkpoint");
        }
        let now = self.now();
        let parts = Parts {
            spool: spool.clone(),
            sink,
            rules: Arc::new(Rules::default()),
            router: Router::new("sim.{stream}.{type}").expect("a legal template"),
            checkpoint: CheckpointFile::new(folder.disk().clone(), &directory),
            quarantine: Quarantine::new(folder.disk().clone(), &directory),
            claims,
            metrics: self.metrics.clone(),
        };
        Process { writer, spool, forwarder: Forwarder::new(settings, parts, &start, now) }
    }
}

impl History {
    /// The checkpoints on the topic, by source.
    pub(super) fn committed(&self) -> Saved {
        let cluster = self.cluster.borrow();
        let committed = self.processes.iter().map(|process| {
            let json = cluster.checkpoints.get(&process.spool.id().to_string())?;
            Some(serde_json::from_slice(json).expect("a checkpoint is whole"))
        });
        let mut committed: Saved = committed.collect();
        committed.resize(self.sources.len(), None);
        committed
    }
}

fn load(folder: &Folder, source: &SourceName) -> Option<Checkpoint> {
    let file = CheckpointFile::new(folder.disk().clone(), &folder.source_directory(source));
    file.load().expect("a checkpoint is whole")
}
