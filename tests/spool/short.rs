//! Short of files, memory or space while a segment is begun or written: full, never poison.

use millrace::spool::{AppendError, Limit, SpoolState};

use crate::{
    simulated_disk::{Call, SimulatedDisk},
    support::*,
};

const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EACCES: i32 = 13;
const EDQUOT: i32 = 122;

/// The append is refused for now, and the next one is taken.
#[track_caller]
fn is_full_and_recovers(call: Call, errno: i32, expected: Limit) {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..4, 200); // the next one begins a segment
    disk.fail_next_as(call, errno);
    match append(&mut writer, body(4, 200)) {
        Err(AppendError::Full { limit, .. }) => assert_eq!(limit, expected, "{call:?} {errno}"),
        other => panic!("{call:?} {errno}: {other:?}"),
    }
    assert_eq!(spool.state(), SpoolState::Full);
    append_series(&mut writer, 4..6, 200);
    assert_eq!(spool.state(), SpoolState::Open);
    assert_reads_series(&spool, 1..6, 200);
    assert_eq!(segments(&disk), [1, 4]);
    disk.lose_power();
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 6..7, 200);
    assert_reads_series(&spool, 1..7, 200);
}

#[test]
fn short_of_files_or_memory_while_a_segment_begins_is_full_and_passes() {
    for call in [Call::Create, Call::Write, Call::SyncDir] {
        is_full_and_recovers(call, EMFILE, Limit::Files);
        is_full_and_recovers(call, ENFILE, Limit::Files);
        is_full_and_recovers(call, ENOMEM, Limit::Memory);
        is_full_and_recovers(call, EDQUOT, Limit::Volume);
    }
}

#[test]
fn a_folder_that_takes_no_new_file_is_refused_and_not_poisoned() {
    is_full_and_recovers(Call::Create, EACCES, Limit::Folder);
}

#[test]
fn a_name_that_an_earlier_try_left_behind_does_not_stop_the_next_one() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..4, 200);
    disk.fail_next_as(Call::Write, EMFILE);
    disk.fail_next_as(Call::Remove, EMFILE);
    assert!(matches!(append(&mut writer, body(4, 200)), Err(AppendError::Full { .. })));
    append_series(&mut writer, 4..6, 200);
    assert_reads_series(&spool, 1..6, 200);
}

#[test]
fn short_of_memory_while_a_frame_is_written_is_full_and_leaves_no_part_of_it() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..2, 200);
    let before = disk.content(&segment(1));
    disk.fail_next_as(Call::Write, ENOMEM);
    disk.fail_next_as(Call::SetLength, ENOMEM);
    assert!(matches!(append(&mut writer, body(2, 200)), Err(AppendError::Full { .. })));
    assert_eq!(disk.content(&segment(1)), before);
    append_series(&mut writer, 2..3, 200);
    assert_reads_series(&spool, 1..3, 200);
}
