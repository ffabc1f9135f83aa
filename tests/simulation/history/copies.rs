//! Two instances with one identity: the volume is copied while its process runs, or an instance that was
//! thought dead comes back. One of them goes on, wherever its events are; the other one stops for good,
//! and what it alone has taken in stays in its spool.

use millrace::{
    deliver::{checkpoint::CheckpointError, forward::ForwardError},
    observe::metrics::Metrics,
};

use super::{Delivery, History, Process, Senders};
use crate::simulated_disk::{Call, SimulatedDisk};

/// What is on another volume with the same spool, and what runs there.
pub(super) struct Instance {
    volume: usize,
    disk: SimulatedDisk,
    processes: Vec<Process>,
    metrics: Metrics,
    /// It was told that another one goes on.
    has_stopped: bool,
}

/// Rounds within which one of two instances that both have something to do must stop: a minute, since topics in
/// trouble that ask by turns in exactly-once delivery are left alone for twenty seconds.
const ROUNDS: usize = 300;

impl History {
    pub(super) fn something_with_copies(&mut self) {
        match (self.random.u8(..40), self.other.as_ref().map(|other| other.has_stopped)) {
            (0..2, None | Some(true)) => {
                self.copy_the_volume();
                if self.random.bool() {
                    self.swap();
                    self.start_process();
                }
            }
            (0, Some(false)) => self.dies_for_a_while(),
            (1..12, Some(false)) => self.change_instance(),
            (12, Some(true)) => self.start_one_that_has_stopped(),
            _ => {}
        }
    }

    /// As a snapshot or a program that copies files does it; an instance of it starts now or later.
    fn copy_the_volume(&mut self) {
        let disk = self.disk.copy();
        if self.random.bool() {
            disk.lose_power();
        }
        let volume = self.volumes.len();
        self.volumes.push(disk.clone());
        self.books.copied(self.volume, volume);
        // A bit that flipped before is wrong in the copy too, where the next one must be told from it.
        let whole = self.whole.get(&self.volume).cloned().unwrap_or_default();
        self.whole.insert(volume, whole);
        tracing::debug!(self.volume, volume, "copied");
        self.count("volume copied");
        let (processes, metrics) = (Vec::new(), Metrics::new());
        self.other = Some(Instance { volume, disk, processes, metrics, has_stopped: false });
    }

    /// What happens next happens to the other one.
    fn change_instance(&mut self) {
        self.swap();
        if self.processes.is_empty() && self.random.u8(..3) == 0 {
            self.start_process();
        }
    }

    fn swap(&mut self) {
        let other = self.other.as_mut().expect("the volume was copied");
        std::mem::swap(&mut self.volume, &mut other.volume);
        std::mem::swap(&mut self.disk, &mut other.disk);
        std::mem::swap(&mut self.processes, &mut other.processes);
        std::mem::swap(&mut self.metrics, &mut other.metrics);
    }

    fn dies_for_a_while(&mut self) {
        self.end_processes();
        match self.random.bool() {
            true => self.disk.kill(),
            false => self.disk.lose_power(),
        }
        self.count("instance away for a while");
        self.change_instance();
    }

    /// The process ends: another one has its spool. What happens next happens to that one.
    pub(super) fn stops_for_good(&mut self, error: &ForwardError) {
        if self.lying.is_some() {
            return self.begins_anew(error);
        }
        tracing::debug!(self.volume, %error, "stops for good");
        let what = match error {
            ForwardError::Fenced { .. } if !self.processes.is_empty() => "stopped while it ran",
            ForwardError::Fenced { .. } => "stopped when it started",
            ForwardError::AheadOfSpool { .. } => "older copy refused",
            error => panic!("nobody can go on: {error}"),
        };
        self.count(what);
        self.end_processes();
        self.disk.kill();
        let others = self.other.iter().filter(|other| !other.has_stopped).count();
        assert_eq!(others, 1, "nobody goes on: {error}");
        self.set_stopped(true);
        self.swap();
    }

    /// A supervisor's restart: it does not run again, unless the disk would not take why it stopped; then
    /// it may be the other one's turn to stop.
    fn start_one_that_has_stopped(&mut self) {
        self.swap();
        self.count("stopped instance started once more");
        match self.try_to_start() {
            Err(error) => {
                tracing::debug!(self.volume, %error, "started once more");
                if matches!(error, ForwardError::Checkpoint(CheckpointError::Fenced { .. })) {
                    self.count("start behind a fence");
                }
                self.processes.clear();
                self.disk.kill();
                self.swap();
            }
            Ok(()) => {
                self.set_stopped(false);
                self.count("stopped instance goes on after all");
            }
        }
    }

    /// Whether the instance to which things happen now has stopped for good; it is the other one next.
    fn set_stopped(&mut self, stopped: bool) {
        (0..self.sources.len())
            .for_each(|source| self.books.set_stopped(self.number_of(source), stopped));
        if let Some(other) = &mut self.other {
            other.has_stopped = stopped;
        }
    }

    /// Everything becomes well, and both have something to do.
    pub(super) fn one_goes_on(&mut self) {
        assert_eq!(self.delivery, Delivery::Copied);
        for _ in 0..ROUNDS {
            self.all_is_well();
            self.registry_goes_on();
            if self.processes.is_empty() {
                self.start_process();
            }
            let alone = self.other.as_ref().is_none_or(|other| other.has_stopped);
            if alone && !self.processes.is_empty() {
                return;
            }
            if alone {
                continue;
            }
            self.append();
            (0..20).for_each(|_| self.step());
            if self.other.as_ref().is_some_and(|other| !other.has_stopped) {
                self.swap();
            }
        }
        panic!("two instances go on with one spool");
    }
}

const FIRST: usize = 0;
const COPY: usize = 1;

/// A history in which nothing happens by itself: everything is delivered, and the volume is copied.
fn copied() -> History {
    let mut history = History::new(0, Senders::One, Delivery::Copied);
    (history.queue, history.window) = (1_000, 1 << 20);
    history.all_is_well();
    history.cluster.borrow_mut().limit = usize::MAX;
    history.start_process();
    history.take_in_and_deliver();
    history.copy_the_volume();
    history
}

impl History {
    fn take_in_and_deliver(&mut self) {
        (0..5).for_each(|_| self.append());
        self.drain();
    }

    /// Until this volume's process stops, or for long.
    fn steps_without_new_files(&mut self) {
        let volume = self.volume;
        for _ in 0..300 {
            for _ in 0..5 {
                self.disk.fail_next(Call::Create, std::io::ErrorKind::StorageFull);
            }
            self.pass_time(std::time::Duration::from_millis(300)); // a checkpoint is due each time
            self.step();
            if self.volume != volume {
                return;
            }
        }
        self.disk.no_more_faults();
    }

    fn times(&self, what: &str) -> u64 {
        self.counters.get(what).copied().unwrap_or(0)
    }
}

#[test]
fn an_instance_that_is_shut_out_stops_although_its_disk_does_not_take_why() {
    let mut history = copied();
    history.swap();
    history.start_process();
    history.take_in_and_deliver();
    history.swap();
    history.append();
    history.disk.fail_next(Call::Create, std::io::ErrorKind::StorageFull);
    for _ in 0..100 {
        history.step();
    }
    assert_eq!(history.times("stopped while it ran"), 1);
    assert_eq!(history.volume, COPY, "the other one goes on");
    history.take_in_and_deliver();
    history.check(true);
}

/// What it has committed is not in its file either, so that the step in which it finds the other one out tries to save.
#[test]
fn an_instance_that_is_shut_out_stops_although_its_disk_takes_no_checkpoint_in_the_same_step() {
    let mut history = History::new(0, Senders::One, Delivery::Copied);
    (history.queue, history.window) = (1_000, 1 << 20);
    history.all_is_well();
    history.cluster.borrow_mut().limit = usize::MAX;
    history.start_process();
    history.append_without_refused(1);
    history.drain();
    let before = history.look().on_topic.len();
    history.append_without_refused(5);
    history.steps_without_new_files();
    assert!(history.look().on_topic.len() > before, "more is committed");
    history.copy_the_volume();
    history.swap();
    history.start_process();
    history.take_in_and_deliver();
    history.swap();
    history.append_without_refused(1);
    history.steps_without_new_files();
    assert_eq!((history.times("stopped while it ran"), history.volume), (1, COPY));
    history.all_is_well();
    history.take_in_and_deliver();
    history.check(true);
}

#[test]
fn an_instance_that_starts_anew_while_another_one_goes_on_stops_and_passes_nothing_over() {
    let mut history = copied();
    history.swap();
    history.start_process();
    history.take_in_and_deliver();
    history.swap();
    // It has deliveries of its own at the same positions, and never heard of the other one.
    (0..20).for_each(|_| history.append());
    history.end_processes();
    history.disk.kill();
    history.start_process();
    assert_eq!(history.times("stopped when it started"), 1);
    assert_eq!(history.volume, COPY);
    history.take_in_and_deliver();
    history.check(true);
    assert!(history.times("event left behind with a stopped instance") > 0);

    // Until a person has removed the file that says why.
    history.start_one_that_has_stopped();
    assert_eq!((history.times("start behind a fence"), history.volume), (1, COPY));
    let (disk, folder) = history.folders()[FIRST].clone();
    disk.vanish(&folder.join("fenced"));
    history.start_one_that_has_stopped();
    assert_eq!((history.times("start behind a fence"), history.volume), (1, FIRST));
}

#[test]
fn an_older_copy_that_took_in_deliveries_before_it_could_take_over_passes_none_of_them_over() {
    let mut history = copied();
    history.take_in_and_deliver();
    history.swap();
    for _ in 0..20 {
        history.dies_before_it_takes_over().expect("nobody has stopped it");
    }
    history.start_process();
    assert_eq!(history.times("older copy refused"), 1);
    assert_eq!(history.volume, FIRST);
    history.take_in_and_deliver();
    history.check(true);
}
