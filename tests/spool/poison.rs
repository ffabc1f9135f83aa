//! Failed syncs and writes: nothing is acknowledged any more.

use std::{
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use millrace::{
    observe::metrics::Metrics,
    spool::{
        AppendError, Config, Folder, SpoolState,
        disk::{Disk, DiskFile, FileInfo, Lock},
        position::Position,
    },
};

use crate::{
    simulated_disk::{Call, SimulatedDisk},
    support::*,
};

fn assert_poisoned(outcome: Result<u64, AppendError>) {
    assert!(matches!(outcome, Err(AppendError::Poisoned { .. })), "{outcome:?}");
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..3, 100);
    disk.fail_next(Call::SyncData, ErrorKind::Other);
    assert_poisoned(append(&mut writer, body(3, 100)));
    disk.take_log();
    for n in 4..6 {
        assert_poisoned(append(&mut writer, body(n, 100)));
    }
    assert!(disk.take_log().is_empty(), "it does not touch the disk any more");
    assert_eq!(spool.state(), SpoolState::Poisoned);
    assert_reads_series(&spool, 1..3, 100);
    disk.lose_power();
    let (_writer, spool) = open(&disk);
    let (deliveries, _) = read_all(&mut spool.reader(1));
    assert_eq!(deliveries[..2], [(1, body(1, 100)), (2, body(2, 100))]);
}

#[test]
fn every_sync_of_a_roll_that_fails_poisons() {
    for call in [Call::SyncData, Call::SyncDir] {
        let disk = SimulatedDisk::new(1);
        let (mut writer, spool) = open(&disk);
        append_series(&mut writer, 1..4, 200);
        disk.fail_next(call, ErrorKind::Other);
        assert_poisoned(append(&mut writer, body(4, 200)));
        assert_eq!(spool.state(), SpoolState::Poisoned, "{call:?}");
        disk.lose_power();
        let (mut writer, spool) = open(&disk);
        assert_eq!(spool.durable_end(), 4, "{call:?}");
        append_series(&mut writer, 4..5, 200);
        assert_reads_series(&spool, 1..5, 200);
    }
}

#[test]
fn a_failed_write_poisons() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _spool) = open(&disk);
    append_series(&mut writer, 1..3, 100);
    disk.fail_next(Call::Write, ErrorKind::Other);
    assert_poisoned(append(&mut writer, body(3, 100)));
}

#[test]
fn a_group_that_is_being_synced_while_the_spool_is_poisoned_is_not_acknowledged() {
    let disk = SimulatedDisk::new(1);
    let config = Config { keep_delivered_age: Duration::ZERO, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..9, 200);
    disk.advance_clock(1);
    disk.hold_syncs();
    std::thread::scope(|scope| {
        let append = scope.spawn(|| append(&mut writer, body(9, 200)));
        disk.wait_for_held_sync();
        disk.fail_next(Call::SyncDir, ErrorKind::Other);
        spool.delivered(Position::start_of(9)); // removes a segment, and cannot sync that
        let state = spool.state();
        disk.release_syncs();
        assert_eq!(state, SpoolState::Poisoned);
        assert_poisoned(append.join().unwrap());
    });
    assert_eq!(spool.durable_end(), 9);
}

#[test]
fn poison_shows_in_the_metrics() {
    let disk = SimulatedDisk::new(1);
    let metrics = Metrics::new();
    let folder = Folder::open(Arc::new(disk.clone()), &config()).unwrap();
    let (mut writer, _spool) = folder.spool(&source(), None, &metrics, None).unwrap();
    let line = "millrace_spool_poisoned{source=\"leads\"}";
    assert!(metrics.render().contains(&format!("{line} 0")));
    disk.fail_next(Call::SyncData, ErrorKind::Other);
    assert_poisoned(append(&mut writer, "{}"));
    assert!(metrics.render().contains(&format!("{line} 1")));
}

#[test]
fn all_who_wait_hear_of_it_and_so_do_those_who_come_later() {
    let disk = SimulatedDisk::new(1);
    let (writer, spool) = open(&disk);
    let thread = writer.spawn().unwrap();
    disk.hold_syncs();
    block_on(async {
        let mut waiting: Vec<_> =
            (0..20).map(|n| Box::pin(spool.append(delivery(body(n, 200))))).collect();
        for one in &mut waiting {
            enqueue(one).await;
        }
        disk.fail_next(Call::SyncData, ErrorKind::Other);
        disk.release_syncs();
        for one in waiting {
            assert_poisoned(one.await);
        }
        assert_poisoned(spool.append(delivery("{}")).await);
    });
    assert_eq!(spool.state(), SpoolState::Poisoned);
    thread.join().unwrap();
}

#[test]
fn a_panic_of_the_writer_poisons() {
    #[derive(Debug)]
    struct Panics(SimulatedDisk);
    impl Disk for Panics {
        fn create_new(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
            panic!("as ordered by this test")
        }
        fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
            self.0.open_to_read(path)
        }
        fn open_to_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
            self.0.open_to_write(path)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            self.0.remove(path)
        }
        fn create_dir(&self, path: &Path) -> io::Result<()> {
            self.0.create_dir(path)
        }
        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            self.0.sync_dir(path)
        }
        fn list(&self, path: &Path) -> io::Result<Vec<String>> {
            self.0.list(path)
        }
        fn info(&self, path: &Path) -> io::Result<FileInfo> {
            self.0.info(path)
        }
        fn available_space(&self, path: &Path) -> io::Result<u64> {
            self.0.available_space(path)
        }
        fn lock(&self, path: &Path) -> io::Result<Lock> {
            self.0.lock(path)
        }
        fn now(&self) -> u64 {
            self.0.now()
        }
    }

    let disk = SimulatedDisk::new(1);
    drop(open(&disk)); // identity and folders are there; the first segment is not
    let folder = Folder::open(Arc::new(Panics(disk)), &config()).unwrap();
    let (writer, spool) = folder.spool(&source(), None, &Metrics::new(), None).unwrap();
    let thread = writer.spawn().unwrap();
    assert_poisoned(block_on(spool.append(delivery("{}"))));
    assert!(thread.join().is_err());
    assert_eq!(spool.state(), SpoolState::Poisoned);
}
