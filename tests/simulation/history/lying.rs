//! A disk that lies: it stores what is not synced in any order, spoils what it has stored, the files beside the segments
//! included, and cannot read some of it for a while or for ever. And a volume that is restored from an older snapshot,
//! while the cluster goes on from where it was.
//!
//! What is promised of it: what lies in damaged frames is in quarantine, and the label has its numbers; all else that
//! was acknowledged is delivered, and nothing else is. An operator does what an error says, and then a start goes on.
//! What was acknowledged behind a snapshot went with its volume; what is acknowledged after the restore is not lost.
//! In exactly-once delivery a start on the older volume may refuse, and then the operator begins with an empty one.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use fastrand::Rng;
use millrace::{
    deliver::{
        checkpoint::{Checkpoint, CheckpointError, CheckpointFile},
        forward::ForwardError,
    },
    source::SourceName,
    spool::{Delivered, Folder, OpenError, Spool, Writer, disk::Disk},
};
use uuid::Uuid;

use super::{Delivery, History, Senders};
use crate::{
    damage::{self, Harm, Spoilt},
    simulated_disk::SimulatedDisk,
};

/// How often a disk does harm in one history, and how many pages it cannot read at most: a reader that meets more of
/// them waits for an operator.
const MOST_HARM: usize = 12;
const MOST_UNREADABLE: usize = 6;

/// Openings that fail until one is given up. A bad sector is waited for ten times.
const OPENINGS: usize = 100;
/// Milliseconds between two of them.
const A_PAUSE: u64 = 2_000;

pub struct Lying {
    random: Rng,
    /// Frames that were spoilt, of each volume.
    spoilt: Vec<Spoilt>,
    harm: usize,
    unreadable: usize,
    /// This history has snapshots; then no small file is spoilt, since both at once promise nothing.
    restores: bool,
    /// The id of each spool, by its number: what an operator has a copy of.
    ids: BTreeMap<usize, Uuid>,
    /// The volume as it was, and its number.
    snapshot: Option<(SimulatedDisk, usize)>,
}

impl History {
    /// What the disk does comes from a random stream of its own.
    pub fn with_lying_disk(mut self, seed: u64) -> Self {
        assert_ne!(self.delivery, Delivery::Copied, "one volume");
        let mut random = Rng::with_seed(!seed ^ 5);
        self.disk.reorder();
        if random.bool() {
            (self.config.segment_size, self.config.size_limit) = (20_000, 200_000);
        }
        let restores = random.u8(..3) == 0;
        let (spoilt, ids, snapshot) = (vec![Spoilt::new()], BTreeMap::new(), None);
        self.lying =
            Some(Lying { random, spoilt, harm: 0, unreadable: 0, restores, ids, snapshot });
        self
    }

    /// What the disk does before the next step.
    pub(super) fn disk_lies(&mut self) {
        let Some(lying) = &mut self.lying else { return };
        let restores = lying.restores;
        match lying.random.u8(..100) {
            0..4 => self.harm_a_segment(),
            4 if restores => self.take_a_snapshot(),
            4 => self.harm_a_small_file(),
            5 if restores => self.restore(),
            5 | 6 => self.mend(),
            7..10 => self.loses_power(),
            _ => {}
        }
    }

    fn harm_a_segment(&mut self) {
        let directory = self.random_directory();
        let volume = self.volume;
        let Some(lying) = &mut self.lying else { return };
        let kinds = [Harm::Bits, Harm::Bits, Harm::Zeros, Harm::Misplaced, Harm::Unreadable];
        let kind = kinds[lying.random.usize(..kinds.len())];
        let is_too_much = kind == Harm::Unreadable && lying.unreadable == MOST_UNREADABLE;
        if is_too_much || lying.harm == MOST_HARM {
            return;
        }
        let (random, spoilt) = (&mut lying.random, &mut lying.spoilt[volume]);
        let Some(events) = damage::harm(&self.disk, &directory, random, kind, spoilt) else {
            return;
        };
        lying.harm += 1;
        lying.unreadable += usize::from(kind == Harm::Unreadable);
        tracing::debug!(?kind, ?events, "the disk does harm");
        self.books.bit_flipped(damage::Flip { events, heals: false });
        self.cluster.borrow_mut().may_repeat |= self.repeats();
        self.count(match kind {
            Harm::Bits => "bits flip",
            Harm::Zeros => "a page of zeros",
            Harm::Misplaced => "a page of another place",
            Harm::Unreadable => "a page that cannot be read",
        });
    }

    fn harm_a_small_file(&mut self) {
        let directory = self.random_directory();
        let Some(lying) = &mut self.lying else { return };
        let above = &self.config.directory;
        let extent = directory.with_extension("extent");
        let (path, what): (PathBuf, _) = match lying.random.u8(..6) {
            0 | 1 => (directory.join("checkpoint"), "a checkpoint is spoilt"),
            2 => (directory.join("writers"), "the file of writers is spoilt"),
            3 => (extent, "an extent is spoilt"),
            4 => (above.join("deduplicate.key"), "the key of the ids is spoilt"),
            _ => (directory.join("identity"), "an identity is spoilt"),
        };
        if damage::harm_small(&self.disk, &path, &mut lying.random) {
            tracing::debug!(what, "the disk");
            self.books.forgetful |= path.ends_with("deduplicate.key");
            self.count(what);
        }
    }

    /// The pages can be read again: what was passed by meanwhile comes late, or not at all.
    pub(super) fn mend(&mut self) {
        let volume = self.volume;
        let Some(lying) = &mut self.lying else { return };
        if lying.unreadable == 0 {
            return;
        }
        let events = damage::mend(&self.disk, &mut lying.spoilt[volume]);
        tracing::debug!(?events, "the disk can read again");
        self.books.healed.extend(events);
        self.count("pages that can be read again");
    }

    fn loses_power(&mut self) {
        self.end_processes();
        tracing::debug!("power lost, and pages are stored in any order");
        self.disk.lose_power();
        self.count("pages lost and kept in any order");
        self.start_process();
    }

    /// What a storage system does while the process runs: every file at one moment, with or without what is not synced.
    fn take_a_snapshot(&mut self) {
        let disk = self.disk.copy();
        let Some(lying) = &mut self.lying else { return };
        if lying.snapshot.is_some() {
            return;
        }
        if lying.random.bool() {
            disk.lose_power();
        }
        let volume = self.volumes.len();
        self.volumes.push(disk.clone());
        lying.spoilt.push(lying.spoilt[self.volume].clone());
        lying.snapshot = Some((disk, volume));
        for source in 0..self.sources.len() {
            self.books.copied(self.number_of(source), volume * self.sources.len() + source);
        }
        self.stop_volume(volume, true);
        tracing::debug!(self.volume, volume, "snapshot taken");
        self.count("snapshot taken");
    }

    /// The volume is lost, and the snapshot takes its place.
    fn restore(&mut self) {
        let Some((disk, volume)) = self.lying.as_mut().and_then(|lying| lying.snapshot.take())
        else {
            return;
        };
        tracing::debug!(self.volume, volume, "restored");
        self.end_processes();
        self.disk.kill();
        self.move_to(disk, volume);
        self.has_settled_all = false;
        self.books.forgetful |= self.repeats();
        self.cluster.borrow_mut().may_repeat |= self.repeats();
        // What was spoilt since then is whole in the snapshot, and comes late.
        self.books.is_restored();
        self.count("volume restored");
        self.start_process();
    }

    /// From now on this volume is the one; nothing comes from the one before.
    fn move_to(&mut self, disk: SimulatedDisk, volume: usize) {
        self.stop_volume(self.volume, true);
        (self.disk, self.volume) = (disk, volume);
        self.stop_volume(volume, false);
    }

    fn stop_volume(&mut self, volume: usize, stopped: bool) {
        let sources = self.sources.len();
        (0..sources).for_each(|source| self.books.set_stopped(volume * sources + source, stopped));
    }

    /// A start has refused the older volume: the operator begins with an empty one.
    pub(super) fn begins_anew(&mut self, error: &ForwardError) {
        let is_refused = matches!(
            error,
            ForwardError::Fenced { .. }
                | ForwardError::AheadOfSpool { .. }
                | ForwardError::Checkpoint(CheckpointError::Fenced { .. })
        );
        let was_restored = self.counters.contains_key("volume restored");
        let has_forgotten = self.counters.contains_key("the file of writers is spoilt");
        assert!(is_refused && (was_restored || has_forgotten), "no start goes on: {error}");
        tracing::debug!(%error, "older volume refused");
        self.end_processes();
        self.disk.kill();
        if !was_restored {
            // There is no other instance, and the operator knows: this one is the right one.
            for (disk, folder) in self.folders().into_iter().skip(self.number_of(0)) {
                if disk.info(&folder.join("fenced")).is_ok() {
                    disk.vanish(&folder.join("fenced"));
                }
            }
            self.count("fence removed by an operator");
            return self.start_process();
        }
        let disk = SimulatedDisk::new(self.volumes.len() as u64);
        disk.reorder();
        let volume = self.volumes.len();
        self.volumes.push(disk.clone());
        let Some(lying) = &mut self.lying else { return };
        lying.spoilt.push(Spoilt::new());
        self.move_to(disk, volume);
        self.books.forgetful |= self.repeats();
        self.has_settled_all = false;
        self.count("older volume refused");
        self.start_process();
    }

    /// The checkpoint of a source; one that is damaged is moved away, as the error says.
    pub(super) fn load(&mut self, folder: &Folder, source: &SourceName) -> Option<Checkpoint> {
        let directory = folder.source_directory(source);
        let file = CheckpointFile::new(folder.disk().clone(), &directory);
        match file.load() {
            Ok(checkpoint) => checkpoint,
            Err(CheckpointError::Damaged { path, .. }) if self.lying.is_some() => {
                self.disk.vanish(&path);
                self.has_settled_all = false;
                self.count("damaged checkpoint moved away");
                None
            }
            Err(error) => panic!("a checkpoint is whole: {error}"),
        }
    }

    /// The spool of a source, as soon as it can be opened, and once an operator has done what the error says.
    pub(super) fn open_spool(
        &mut self,
        source: &SourceName,
        delivered: Option<Delivered>,
        folder: &Arc<Folder>,
    ) -> (Writer, Spool) {
        let number = self.sources.iter().position(|it| it == source).expect("it is configured");
        let number = self.number_of(number);
        for _ in 0..OPENINGS {
            match folder.spool(source, None, &self.metrics, delivered) {
                Ok((writer, spool)) => {
                    if let Some(lying) = &mut self.lying {
                        lying.ids.insert(number, spool.id());
                    }
                    return (writer, spool);
                }
                Err(error) if self.lying.is_some() && error.is_worth_retrying() => {
                    self.count("opening tried again");
                    self.disk.advance_clock(A_PAUSE);
                }
                Err(OpenError::Identity { path, problem }) if self.lying.is_some() => {
                    // Where no segment tells which spool it is, a copy does.
                    let of_copy = self.lying.as_ref().and_then(|lying| lying.ids.get(&number));
                    let copy = of_copy.map(|id| format!("{{\"version\":1,\"spool\":\"{id}\"}}"));
                    let text = problem.split('`').nth(1).map(str::to_owned).or(copy);
                    let text = text.unwrap_or_else(|| panic!("{problem}"));
                    self.disk.set_content(&path, text.into_bytes());
                    self.count("identity written by an operator");
                }
                Err(error) => panic!("the spool opens: {error}"),
            }
        }
        panic!("the spool cannot be opened");
    }
}

/// A history in which nothing happens by itself, with a snapshot behind which more was delivered exactly once.
fn with_an_older_snapshot() -> History {
    let mut history = History::new(1, Senders::One, Delivery::ExactlyOnce).with_lying_disk(1);
    (history.queue, history.window, history.config.size_limit) = (1_000, 1 << 20, 1 << 20);
    history.all_is_well();
    history.cluster.borrow_mut().limit = usize::MAX;
    history.start_process();
    history.append_without_refused(5);
    history.drain();
    history.take_a_snapshot();
    history.append_without_refused(10);
    history.drain();
    history
}

fn ends_in_order(mut history: History) -> u64 {
    history.all_is_well();
    history.drain();
    history.check(true);
    history.counters.get("older volume refused").copied().unwrap_or(0)
}

#[test]
fn an_older_volume_is_refused_before_anything_is_delivered_from_it() {
    let mut history = with_an_older_snapshot();
    history.restore();
    assert_eq!(history.counters.get("older volume refused"), Some(&1));
    history.append_without_refused(20);
    assert_eq!(ends_in_order(history), 1);
}

/// What was taken in at least once, at the numbers of what was lost, is not what the topic of checkpoints has passed.
#[test]
fn an_older_volume_that_takes_in_deliveries_at_least_once_passes_none_of_them_over_in_the_other_mode()
 {
    let mut history = with_an_older_snapshot();
    history.delivery = Delivery::AtLeastOnce;
    history.restore();
    history.cluster.borrow_mut().away = true;
    history.append_without_refused(20);
    history.stop_in_order();
    history.cluster.borrow_mut().away = false;
    history.delivery = Delivery::ExactlyOnce;
    history.start_process();
    assert_eq!(history.counters.get("older volume refused"), Some(&1), "nothing is passed over");
    assert_eq!(ends_in_order(history), 1);
}
