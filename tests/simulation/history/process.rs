//! The process of a history: it starts, stops, and dies.

use std::{sync::Arc, time::Duration};

use millrace::{
    deliver::{
        checkpoint::{Checkpoint, CheckpointFile},
        decode::Rules,
        deduplicate::Deduplicator,
        encode::Mode,
        forward::{ForwardError, Forwarder, Parts, Settings, Start, Transactions},
        in_force::{InForce, InForceFile},
        quarantine::Quarantine,
        route::Router,
    },
    kafka::produce::Sink,
    observe::metrics::Metrics,
    source::SourceKind,
    spool::{Folder, Spool, Writer},
};

use super::{Delivery, HELD_TOPICS, History, Process, QUARANTINE_AFTER, RECORD_LIMIT};
use crate::{
    books::Saved,
    cluster::{DEAD_LETTERS, Producer, STATES},
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
            counted.push(("instance stopped by another", count("fenced")));
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
        self.count_left_out();
        for (what, times) in self.counted_by_replicas() {
            *self.counters.entry(what).or_default() += times;
        }
        self.processes.clear();
        self.metrics = Metrics::new();
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
        self.stop_in_order();
        self.count("restart");
        if self.processes.is_empty() {
            self.start_process(); // else another one goes on
        }
    }

    pub(super) fn stop_in_order(&mut self) {
        let now = self.now();
        let (mut settled_all, mut fenced) = (true, None);
        for process in &mut self.processes {
            let mut finished = false;
            for _ in 0..5 {
                match process.forwarder.finish(now, Duration::from_millis(5)) {
                    Ok(true) => finished = true,
                    Ok(false) => continue,
                    Err(error) if error.is_final() => fenced = Some(error),
                    Err(_) => continue,
                }
                break;
            }
            let saved = process.forwarder.save_checkpoint(now).is_ok();
            settled_all &= finished && saved && process.forwarder.is_drained();
        }
        if let Some(error) = fenced {
            return self.stops_for_good(&error);
        }
        self.end_processes();
        self.has_settled_all = settled_all;
    }

    /// One that may not go on with its spool stops again.
    pub(super) fn start_process(&mut self) {
        if let Err(error) = self.try_to_start() {
            self.stops_for_good(&error);
        }
    }

    pub(super) fn try_to_start(&mut self) -> Result<(), ForwardError> {
        self.disk.no_more_faults();
        self.exactly_once = self.next_mode();
        self.selections_change();
        let quiet = self.cluster.borrow().quiet;
        if self.delivery == Delivery::Copied && !quiet && self.random.u8(..6) == 0 {
            self.dies_before_it_takes_over()?;
        }
        self.metrics = Metrics::new();
        let disk: Arc<SimulatedDisk> = Arc::new(self.disk.clone());
        let folder = Folder::open(disk.clone(), &self.config).expect("the folder opens");
        self.start_replicas(&disk);
        let directory = &self.config.directory;
        let deduplicator =
            Deduplicator::open(disk, directory, self.deduplicate, &self.sources, &self.metrics);
        let sources = self.sources.clone();
        let saved: Saved = sources.iter().map(|source| self.load(&folder, source)).collect();
        tracing::debug!(self.volume, self.exactly_once, ?saved, "start");
        let seen = self.look();
        self.books.nothing_is_passed(&self.saved(), &seen, &self.sender.sent);
        match self.delivery {
            Delivery::AtLeastOnce => {
                let saved = self.of_this_volume(&saved);
                self.books.begin_at(&saved, &seen, &self.sender.sent);
            }
            Delivery::ExactlyOnce | Delivery::Copied => self.books.begin_without_repeats(&seen),
            Delivery::Switching => self.begin_in_a_mode(&saved, &seen),
        }
        self.spools.clear();
        for (source, saved) in saved.into_iter().enumerate() {
            let replica = self.replicas.get(source).map(|replica| replica.deduplicator.clone());
            let deduplicator = replica.as_ref().unwrap_or(&deduplicator);
            let process = self.start_source(source, saved, &folder, deduplicator)?;
            self.spools.push(process.spool.id().to_string());
            self.processes.push(process);
        }
        Ok(())
    }

    /// What a start does before anything is taken in.
    fn open_source(
        &mut self,
        source: usize,
        saved: Option<&Checkpoint>,
        folder: &Arc<Folder>,
    ) -> Result<(Writer, Spool, CheckpointFile, InForce), ForwardError> {
        let selection = self.selection(source);
        let source = self.sources[source].clone();
        let directory = folder.source_directory(&source);
        let checkpoint = CheckpointFile::new(folder.disk().clone(), &directory);
        checkpoint.check_fence()?;
        let delivered = saved.map(Checkpoint::delivered);
        let (writer, spool) = self.open_spool(&source, delivered, folder);
        match self.exactly_once {
            true => checkpoint.writers().begin(saved, spool.durable_end())?,
            false => checkpoint.writers().begin_without_commits(saved, spool.durable_end())?,
        }
        let file = InForceFile::new(folder.disk().clone(), &directory);
        let in_force = file.begin(spool.id(), &selection, spool.durable_end(), saved)?;
        Ok((writer, spool, checkpoint, in_force))
    }

    /// Deliveries are taken while Kafka is waited for.
    pub(super) fn dies_before_it_takes_over(&mut self) -> Result<(), ForwardError> {
        self.exactly_once = true;
        let disk = Arc::new(self.disk.clone());
        let folder = Folder::open(disk, &self.config).expect("the folder opens");
        let saved = self.load(&folder, &self.sources[0].clone());
        let (mut writer, _spool, ..) = self.open_source(0, saved.as_ref(), &folder)?;
        let batch = self.batch(0);
        if let Ok(sequences) = writer.append_group(&[batch.delivery]) {
            tracing::debug!(?batch.ids, ?sequences, "acknowledged by one that dies");
            let left_out = |id: &str| self.sender.is_excluded(0, id);
            let spool = self.volume * self.sources.len();
            self.books.acknowledged_but(&batch.ids, spool, sequences[0], left_out);
            self.count("died before it took over");
        }
        self.disk.kill();
        Ok(())
    }

    fn start_source(
        &mut self,
        source: usize,
        saved: Option<Checkpoint>,
        folder: &Arc<Folder>,
        deduplicator: &Arc<Deduplicator>,
    ) -> Result<Process, ForwardError> {
        let (writer, spool, checkpoint, selections) =
            self.open_source(source, saved.as_ref(), folder)?;
        let replica = self.replicas.get(source);
        let source = &self.sources[source];
        let directory = folder.source_directory(source);
        let settings = Settings {
            kind: SourceKind::MarketoLeadActivity,
            mode: Mode::Binary,
            choices: self.choices(),
            selections,
            dead_letter_topic: DEAD_LETTERS.into(),
            dead_letter_headers: Vec::new(),
            hold_after: self.hold_after,
            held_topics: HELD_TOPICS,
            quarantine_after: QUARANTINE_AFTER,
            window_bytes: self.window,
            transactions: self.exactly_once.then(|| Transactions {
                topic: "checkpoints".into(),
                interval: self.commit_interval,
            }),
        };
        let claims = deduplicator.claims(source).watching_owners();
        let claims = match replica {
            Some(replica) => claims.telling(&replica.sharing, spool.id()),
            None => claims,
        };
        claims.recall(self.now().unix);
        let mut sink = Producer::new(self.cluster.clone(), self.queue, RECORD_LIMIT);
        if self.exactly_once {
            sink = sink.transactional(spool.id().to_string(), self.volume);
            sink.renew(&|| false).expect("the first renewal works");
        }
        let end = spool.durable_end();
        let now = self.now();
        let mut parts = Parts {
            spool: spool.clone(),
            sink,
            rules: Arc::new(Rules { fields: self.fields(), ..Rules::default() }),
            router: Router::new("sim.{stream}.{type}").expect("a legal template"),
            checkpoint,
            quarantine: Quarantine::new(folder.disk().clone(), &directory),
            claims,
            metrics: self.metrics.clone(),
        };
        let start = match self.exactly_once {
            true => Start::with_topic(saved, &mut parts, end)?,
            false => Start::from_file(saved),
        };
        let forwarder = self.with_schemas(Forwarder::new(settings, parts, &start, now));
        let forwarder = match self.sender.has_lives() {
            true => forwarder.with_lead_states(STATES.into()),
            false => forwarder,
        };
        Ok(Process { writer, spool, forwarder, began_at: end })
    }
}

impl History {
    /// These checkpoints, by the numbers of their spools.
    pub(super) fn of_this_volume(&self, saved: &Saved) -> Saved {
        let mut all = vec![None; self.volumes.len() * self.sources.len()];
        let first = self.number_of(0);
        all[first..first + saved.len()].clone_from_slice(saved);
        all
    }

    /// The last checkpoints on the topic that speak of each spool: of copies, those of the process that
    /// works there.
    pub(super) fn committed(&self) -> Saved {
        let cluster = self.cluster.borrow();
        let mut committed: Saved = vec![None; self.volumes.len() * self.sources.len()];
        for ((id, volume), json) in &cluster.committed {
            let Some(source) = self.spools.iter().position(|spool| spool == id) else { continue };
            let checkpoint = serde_json::from_slice(json).expect("a checkpoint is whole");
            committed[volume * self.sources.len() + source] = Some(checkpoint);
        }
        committed
    }
}
