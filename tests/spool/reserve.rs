//! The room that is held for what has to be written when the volume is full.

use std::{path::Path, sync::Arc};

use millrace::{
    deliver::checkpoint::{Checkpoint, CheckpointFile},
    observe::metrics::Metrics,
    spool::{
        AppendError, Config, Folder, Limit, Spool, Writer,
        disk::{self, Disk},
        position::Position,
    },
};

use crate::{simulated_disk::SimulatedDisk, support::*};

const HELD: u64 = 8000;

fn reserved() -> Config {
    Config { reserve_held: HELD, ..config() }
}

fn opened(disk: &SimulatedDisk) -> (Arc<Folder>, Writer, Spool) {
    let folder = Folder::open(Arc::new(disk.clone()), &reserved()).unwrap();
    let (writer, spool) = folder.spool(&source(), None, &Metrics::new(), None).unwrap();
    (folder, writer, spool)
}

fn checkpoint_of(folder: &Folder) -> CheckpointFile {
    CheckpointFile::new(folder.disk().clone(), Path::new("/spool/leads"))
}

fn at(spool: &Spool, low: u64) -> Checkpoint {
    Checkpoint { low: Position::start_of(low), ..Checkpoint::beginning(spool.id()) }
}

#[test]
fn on_a_volume_that_others_have_filled_the_checkpoint_and_a_quarantined_event_are_written() {
    let disk = SimulatedDisk::new(1);
    let (folder, mut writer, spool) = opened(&disk);
    append_series(&mut writer, 1..3, 200);
    disk.set_capacity(disk.used());
    assert!(matches!(
        append(&mut writer, body(3, 200)),
        Err(AppendError::Full { limit: Limit::Volume, .. })
    ));
    checkpoint_of(&folder).store(&at(&spool, 2)).unwrap();
    let frame = vec![b'x'; 6000];
    disk::write_atomically(&**folder.disk(), Path::new("/spool/leads/item"), &frame).unwrap();
    assert_eq!(checkpoint_of(&folder).load().unwrap(), Some(at(&spool, 2)));
}

#[test]
fn what_others_take_of_the_released_room_leaves_the_next_checkpoints_theirs() {
    let disk = SimulatedDisk::new(1);
    let (folder, mut writer, spool) = opened(&disk);
    append_series(&mut writer, 1..4, 200);
    for low in 2..4 {
        disk.set_capacity(disk.used());
        checkpoint_of(&folder).store(&at(&spool, low)).unwrap();
    }
    drop((folder, writer, spool));
    disk.lose_power();
    disk.set_capacity(disk.used());
    let (folder, _writer, spool) = opened(&disk);
    checkpoint_of(&folder).store(&at(&spool, 4)).unwrap();
    assert_eq!(checkpoint_of(&folder).load().unwrap(), Some(at(&spool, 4)));
}

#[test]
fn after_a_start_on_a_full_volume_too() {
    let disk = SimulatedDisk::new(1);
    let (folder, mut writer, spool) = opened(&disk);
    append_series(&mut writer, 1..3, 200);
    drop((folder, writer, spool));
    disk.lose_power();
    disk.set_capacity(disk.used());
    let (folder, _writer, spool) = opened(&disk);
    checkpoint_of(&folder).store(&at(&spool, 2)).unwrap();
}

#[test]
fn while_the_reserve_is_used_up_no_delivery_is_taken_and_it_is_taken_again_when_there_is_room() {
    let disk = SimulatedDisk::new(1);
    let (folder, mut writer, spool) = opened(&disk);
    append_series(&mut writer, 1..3, 200);
    disk.set_capacity(disk.used());
    checkpoint_of(&folder).store(&at(&spool, 2)).unwrap();
    assert!(!folder.has_reserve().unwrap());
    for _ in 0..3 {
        let outcome = append(&mut writer, body(3, 10));
        let is_reserve =
            matches!(outcome, Err(AppendError::Full { limit: Limit::Reserve { .. }, .. }));
        assert!(is_reserve, "{outcome:?}");
    }
    disk.set_capacity(disk.used() + 3 * HELD);
    append_series(&mut writer, 3..4, 10);
    assert!(folder.has_reserve().unwrap());
    disk.set_capacity(disk.used());
    checkpoint_of(&folder).store(&at(&spool, 3)).unwrap();
}

#[test]
fn what_the_reserve_holds_counts_as_free() {
    let disk = SimulatedDisk::new(1);
    disk.set_capacity(100_000);
    let (folder, _writer, _spool) = opened(&disk);
    let free = disk.available_space(Path::new("/spool")).unwrap();
    assert_eq!(folder.available_space().unwrap(), free + HELD);
}
