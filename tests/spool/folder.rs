//! Lock, identity, foreign and newer files, and the real disk.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use millrace::{
    observe::metrics::Metrics,
    spool::{
        Config, Folder, OpenError, ReadError,
        disk::{self, Disk, RealDisk},
        position::Position,
    },
};

use crate::{
    simulated_disk::{Call, SimulatedDisk},
    support::*,
};

fn error(disk: &SimulatedDisk) -> OpenError {
    try_open(disk, &config(), None).err().expect("it must not open")
}

fn identity() -> PathBuf {
    "/spool/leads/identity".into()
}

#[test]
fn one_process_holds_the_folder_and_the_other_is_told_what_to_do() {
    let disk = SimulatedDisk::new(1);
    let (writer, spool) = open(&disk);
    let refused = error(&disk);
    assert!(matches!(refused, OpenError::Locked { .. }));
    assert!(refused.to_string().contains("/spool is in use by another process: stop that one"));
    drop((writer, spool));
    open(&disk);
}

#[test]
fn a_spool_is_opened_once_at_a_time() {
    let disk = SimulatedDisk::new(1);
    let folder = Folder::open(Arc::new(disk), &config()).unwrap();
    let metrics = Metrics::new();
    let first = folder.spool(&source(), None, &metrics, None).unwrap();
    let second = folder.spool(&source(), None, &metrics, None);
    assert!(matches!(second, Err(OpenError::AlreadyOpen { .. })));
    drop(first);
    folder.spool(&source(), None, &metrics, None).unwrap();
}

#[test]
fn a_spool_keeps_its_identity() {
    let disk = SimulatedDisk::new(1);
    let id = open(&disk).1.id();
    disk.lose_power();
    assert_eq!(open(&disk).1.id(), id);
    let text = String::from_utf8(disk.content(&identity())).unwrap();
    let covered = format!("{{\"version\":1,\"spool\":\"{id}\"");
    let sum = crc32c::crc32c(covered.as_bytes());
    assert_eq!(text, format!("{covered},\"checksum\":\"{sum:08x}\"}}\n"));
}

#[test]
fn segments_without_an_identity_or_with_a_damaged_one_are_refused() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    append(&mut writer, "{}").unwrap();
    disk.kill();
    let whole = disk.content(&identity());
    disk.set_content(&identity(), whole[..20].to_vec());
    assert!(matches!(error(&disk), OpenError::Identity { .. }));
    disk.vanish(&identity());
    assert!(matches!(error(&disk), OpenError::Identity { .. }));
}

#[test]
fn newer_formats_are_refused_and_nothing_is_touched() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    append(&mut writer, "{}").unwrap();
    disk.kill();

    let mut header = disk.content(&segment(1));
    header[8] = 2;
    let checksum = crc32c::crc32c(&header[..60]);
    header[60..64].copy_from_slice(&checksum.to_le_bytes());
    let ours = disk.content(&segment(1));
    disk.set_content(&segment(1), header.clone());
    disk.take_log();
    assert!(matches!(error(&disk), OpenError::NewerFormat { .. }));

    let mut frame = ours.clone();
    frame[64 + 26] = 2; // zstd
    let checksum = crc32c::crc32c(&[&1_u64.to_le_bytes(), &frame[72..]].concat());
    frame[68..72].copy_from_slice(&checksum.to_le_bytes());
    disk.set_content(&segment(1), frame);
    assert!(error(&disk).to_string().contains("codec 2"));
    disk.set_content(&segment(1), ours);

    let newer = r#"{"version":2,"id":7"#;
    let sum = crc32c::crc32c(newer.as_bytes());
    disk.set_content(&identity(), format!("{newer},\"checksum\":\"{sum:08x}\"}}").into());
    assert!(matches!(error(&disk), OpenError::NewerFormat { .. }));
    disk.set_content(&identity(), format!("{newer},\"checksum\":\"{:08x}\"}}", sum ^ 1).into());
    assert!(matches!(error(&disk), OpenError::Identity { .. }), "it may be any other number");
    let changes = disk.take_log();
    assert!(changes.iter().all(|(call, _)| *call == Call::SyncDir), "{changes:?}");
}

#[test]
fn a_foreign_segment_is_refused() {
    let (ours, other) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    for disk in [&ours, &other] {
        let (mut writer, _) = open(disk);
        append_series(&mut writer, 1..5, 200);
        disk.kill();
    }
    let own_first = ours.content(&segment(1));
    ours.set_content(&segment(1), other.content(&segment(1)));
    let (_writer, spool) = open(&ours);
    let foreign = spool.reader(1).next().unwrap_err();
    assert!(matches!(foreign, ReadError::Foreign { .. }) && !foreign.is_worth_retrying());
    ours.kill();
    ours.set_content(&segment(1), own_first);
    ours.set_content(&segment(4), other.content(&segment(4)));
    assert!(matches!(error(&ours), OpenError::Foreign { .. }));
}

#[test]
fn it_works_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { directory: folder.path().join("a/b"), ..config() };
    let metrics = Metrics::new();
    {
        let open = Folder::open(Arc::new(RealDisk), &config).unwrap();
        assert!(open.has_reserve().unwrap());
        let (mut writer, spool) = open.spool(&source(), None, &metrics, None).unwrap();
        // More pieces than one system call takes.
        let group: Vec<_> = (1..1500).map(|n| delivery(body(n, 20))).collect();
        assert_eq!(writer.append_group(&group).unwrap().len(), 1499);
        assert_reads_series(&spool, 1..1500, 20);
        append_series(&mut writer, 1500..1520, 300);
        assert_reads_series(&spool, 1500..1520, 300);
        let second = Folder::open(Arc::new(RealDisk), &config);
        assert!(matches!(second, Err(OpenError::Locked { .. })));
    }
    let open = Folder::open(Arc::new(RealDisk), &config).unwrap();
    let low = Position::start_of(1510);
    let (writer, spool) = open.spool(&source(), None, &metrics, Some(low.into())).unwrap();
    assert_eq!(spool.undelivered().deliveries, 10);
    let thread = writer.spawn().unwrap();
    assert_eq!(block_on(spool.append(delivery(Bytes::from_static(b"{}")))).unwrap(), 1520);
    spool.close();
    thread.join().unwrap();
    assert!(
        metrics.render().contains("millrace_spool_undelivered_deliveries{source=\"leads\"} 11")
    );
}

#[test]
fn an_atomic_write_leaves_the_old_or_the_new() {
    let path = Path::new("/spool/checkpoint");
    for seed in 0..200 {
        let disk = SimulatedDisk::new(seed);
        disk::make_directory(&disk, Path::new("/spool")).unwrap();
        disk::write_atomically(&disk, path, b"old").unwrap();
        // Anything may fail on the way; whatever did, one of the two is there.
        disk.set_chances(crate::simulated_disk::Chances {
            write_fails: 20,
            sync_fails: 30,
            short_write: 50,
            ..Default::default()
        });
        let written = disk::write_atomically(&disk, path, b"brand new");
        disk.lose_power();
        disk.no_more_faults();
        let found = disk::read_file(&disk, path).unwrap();
        match written {
            Ok(()) => assert_eq!(found, b"brand new"),
            Err(_) => assert!(found == b"old" || found == b"brand new", "{found:?}"),
        }
        disk::write_atomically(&disk, path, b"again").unwrap();
    }
    let real = tempfile::tempdir().unwrap();
    let path = real.path().join("x/y/checkpoint");
    disk::make_directory(&RealDisk, path.parent().unwrap()).unwrap();
    disk::write_atomically(&RealDisk, &path, b"1").unwrap();
    disk::write_atomically(&RealDisk, &path, b"2").unwrap();
    assert_eq!(disk::read_file(&RealDisk, &path).unwrap(), b"2");
    assert_eq!(RealDisk.list(path.parent().unwrap()).unwrap(), ["checkpoint"]);
}
