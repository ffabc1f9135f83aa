//! Replicas: each source is one of its own, with an index, a key and files of ids that no other one has, and what they
//! tell each other by a topic is late, lost now and then, and not there at all for a while.

use std::sync::Arc;

use millrace::deliver::deduplicate::{Deduplicator, Scope, Sharing};

use super::History;
use crate::simulated_disk::SimulatedDisk;

/// One replica's part.
pub(super) struct Replica {
    pub sharing: Arc<Sharing>,
    pub deduplicator: Arc<Deduplicator>,
    /// How far it has read the topic.
    read: usize,
}

impl History {
    /// What the replicas of a new process have; none where the sources are those of one.
    pub(super) fn start_replicas(&mut self, disk: &Arc<SimulatedDisk>) {
        self.replicas.clear();
        if !self.are_replicas {
            return;
        }
        for (number, source) in self.sources.iter().enumerate() {
            let folder = std::path::PathBuf::from(format!("/replica-{number}"));
            let of_source = folder.join(source.as_str());
            millrace::spool::disk::make_directory(&**disk, &of_source).expect("it can be made");
            let (settings, metrics) = (self.deduplicate, &self.metrics);
            let names = std::slice::from_ref(source);
            let deduplicator = Deduplicator::open(disk.clone(), &folder, settings, names, metrics);
            let scope = Scope::of(&["sim.{stream}.{type}"]);
            let sharing = Sharing::new(&deduplicator, "ids", scope, 200, metrics);
            self.replicas.push(Replica { sharing, deduplicator, read: 0 });
        }
    }

    /// Notices go to the topic and come from it.
    pub(super) fn replicas_go_on(&mut self) {
        if self.replicas.is_empty() {
            return;
        }
        let now = self.now().unix;
        let mut cluster = self.cluster.borrow_mut();
        let quiet = cluster.quiet;
        if quiet {
            cluster.ids.hangs = false;
        } else if self.random.u8(..40) == 0 {
            cluster.ids.hangs ^= true;
            *self.counters.entry("topic of ids that hangs").or_default() += 1;
        }
        if cluster.away {
            return;
        }
        for Replica { sharing, read, .. } in &mut self.replicas {
            let is_late = cluster.ids.hangs || !quiet && self.random.u8(..3) == 0;
            while !is_late && let Some(notice) = sharing.take_next() {
                let is_sent = quiet || self.random.u8(..10) > 0;
                sharing.was_sent(notice.ids, is_sent);
                if is_sent {
                    cluster.ids.records.push(notice.value);
                }
            }
            let end = cluster.ids.records.len();
            let until = if quiet { end } else { self.random.usize(*read..=end) };
            for record in &cluster.ids.records[*read..until] {
                sharing.take_in(record, now);
            }
            *read = until;
        }
    }

    /// What the processes that end have counted of each other.
    pub(super) fn counted_by_replicas(&mut self) -> Vec<(&'static str, u64)> {
        if self.replicas.is_empty() {
            return Vec::new();
        }
        self.replicas.clear();
        let duplicates = |source: &str| {
            let of_another =
                self.metrics.duplicates.with_label_values(&[source, "another replica"]);
            of_another.get()
        };
        let duplicates = self.sources.iter().map(|source| duplicates(source.as_str())).sum();
        vec![
            ("duplicate of another replica", duplicates),
            ("id of another replica", self.metrics.shared_ids_read.get()),
            ("id that was told to none", self.metrics.shared_ids_unsent.get()),
        ]
    }
}
