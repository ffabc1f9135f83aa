//! Every way in which the last segment can be left behind.

use std::{io::ErrorKind, path::Path};

use millrace::spool::{Next, disk::Disk, position::Position};

use crate::{
    simulated_disk::{Call, SimulatedDisk},
    support::*,
};

/// Three deliveries in one segment, the process gone: the disk and where the frames end.
fn three() -> (SimulatedDisk, Vec<u8>, [usize; 3]) {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    let ends = [1, 2, 3].map(|n| {
        append(&mut writer, body(n, 20)).unwrap();
        disk.content(&segment(1)).len()
    });
    disk.lose_power();
    let bytes = disk.content(&segment(1));
    (disk, bytes, ends)
}

#[test]
fn a_torn_tail_is_cut_at_the_last_whole_frame_wherever_it_is_torn() {
    let (disk, bytes, ends) = three();
    for length in 0..bytes.len() {
        disk.set_content(&segment(1), bytes[..length].to_vec());
        let (mut writer, spool) = open(&disk);
        let whole = ends.iter().filter(|end| **end <= length).count() as u64;
        assert_eq!(spool.durable_end(), whole + 1, "cut to {length} bytes");
        assert_reads_series(&spool, 1..whole + 1, 20);
        append_series(&mut writer, whole + 1..whole + 3, 20);
        assert_reads_series(&spool, 1..whole + 3, 20);
        assert_eq!(segments(&disk), [1]);
        disk.lose_power();
        assert_reads_series(&open(&disk).1, 1..whole + 3, 20);
        disk.kill();
    }
}

#[test]
fn any_flipped_bit_in_the_last_segment_is_reported_and_costs_no_other_delivery() {
    let (disk, bytes, ends) = three();
    let extent = Path::new("/spool/leads.extent");
    let begun = disk.content(extent);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        disk.set_content(&segment(1), flipped);
        disk.set_content(extent, begun.clone());
        let (mut writer, spool) = open(&disk);
        assert_eq!(spool.durable_end(), 4, "bit {bit}");
        let hit = if bit / 8 < 64 { 0 } else { 1 + ends.iter().filter(|e| **e <= bit / 8).count() };
        let expected: Vec<_> = (1..4).filter(|n| *n != hit as u64).collect();

        let (deliveries, damages) = read_all(&mut spool.reader(1));
        let read: Vec<_> = deliveries.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(read, expected, "bit {bit}");
        assert!(deliveries.iter().all(|(n, read)| *read == body(*n, 20)));
        if hit > 0 {
            let [damage] = &damages[..] else { panic!("bit {bit}: {damages:?}") };
            let from = if hit == 1 { 64 } else { ends[hit - 2] } as u64;
            assert_eq!((damage.from, damage.to), (from, ends[hit - 1] as u64), "bit {bit}");
            assert_eq!(damage.first_sequence..damage.next_sequence, hit as u64..hit as u64 + 1);
        }
        // And it goes on behind it, now and after the next start.
        append_series(&mut writer, 4..6, 20);
        for spool in [spool, {
            disk.lose_power();
            open(&disk).1
        }] {
            let (deliveries, damages) = read_all(&mut spool.reader(1));
            assert_eq!(deliveries.len() + damages.len(), 5, "bit {bit}");
        }
        disk.kill();
        for generation in segments(&disk).into_iter().skip(1) {
            disk.vanish(&segment(generation));
        }
    }
}

#[test]
fn a_tail_of_zeros_is_cut() {
    let (disk, mut bytes, _) = three();
    bytes.extend([0; 300]);
    disk.set_content(&segment(1), bytes.clone());
    let (mut writer, spool) = open(&disk);
    assert_eq!(spool.durable_end(), 4);
    append_series(&mut writer, 4..5, 20);
    assert_reads_series(&spool, 1..5, 20);
}

#[test]
fn numbers_that_a_damaged_tail_may_have_carried_are_not_given_again() {
    let (disk, mut bytes, ends) = three();
    // The last two frames: heads readable, bodies gone.
    for end in &ends[1..] {
        bytes[end - 1] ^= 1;
    }
    disk.set_content(&segment(1), bytes);
    let (mut writer, spool) = open(&disk);
    assert_eq!(append(&mut writer, body(4, 20)).unwrap(), 4);
    assert_eq!(segments(&disk), [1, 4]);
    let (deliveries, damages) = read_all(&mut spool.reader(1));
    assert_eq!(deliveries.len(), 2);
    let [damage] = &damages[..] else { panic!("{damages:?}") };
    assert_eq!(damage.first_sequence..damage.next_sequence, 2..4);
    let kept: Vec<u8> = damage.pieces().flat_map(|piece| piece.unwrap()).collect();
    assert_eq!(kept, disk.content(&segment(1))[ends[0]..]);
}

#[test]
fn a_segment_whose_beginning_was_interrupted_is_begun_again() {
    for length in 0..64 {
        let disk = SimulatedDisk::new(1);
        let (mut writer, _) = open(&disk);
        append_series(&mut writer, 1..3, 600);
        disk.lose_power();
        assert_eq!(segments(&disk), [1, 2]);
        let header = disk.content(&segment(2))[..length].to_vec();
        disk.set_content(&segment(2), header);
        let (mut writer, spool) = open(&disk);
        assert_eq!(spool.durable_end(), 2);
        assert!(disk.content(&segment(2)).starts_with(b"MILLRACE"));
        assert_eq!(append(&mut writer, body(2, 600)).unwrap(), 2);
        disk.lose_power();
        assert_reads_series(&open(&disk).1, 1..3, 600);
    }
}

#[test]
fn whole_frames_of_a_killed_process_are_synced_before_they_count() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let (mut writer, _) = open(&disk);
        append_series(&mut writer, 1..2, 20);
        let before = disk.content(&segment(1)).len();
        append_series(&mut writer, 2..3, 20);
        // Back to the moment before the second sync: the bytes are in the page cache only.
        let bytes = disk.content(&segment(1));
        disk.set_content(&segment(1), bytes[..before].to_vec());
        disk.kill();
        let file = disk.open_to_write(&segment(1)).unwrap();
        file.write_at(&[std::io::IoSlice::new(&bytes[before..])], before as u64).unwrap();
        disk.kill();
        let (_writer, spool) = open(&disk);
        assert_eq!(spool.durable_end(), 3);
        disk.lose_power();
        assert_reads_series(&open(&disk).1, 1..3, 20);
    }
}

#[test]
fn what_a_failed_sync_left_in_memory_alone_is_on_the_disk_before_it_counts() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let (mut writer, _) = open(&disk);
        append_series(&mut writer, 1..2, 20);
        disk.fail_next(Call::SyncData, ErrorKind::Other);
        append(&mut writer, body(2, 20)).unwrap_err();
        disk.kill();
        let (_writer, spool) = open(&disk);
        assert_eq!(spool.durable_end(), 3, "the page cache has it");
        disk.lose_power();
        assert_reads_series(&open(&disk).1, 1..3, 20);
    }
}

#[test]
fn a_volume_without_space_for_what_is_there_already_is_opened_nevertheless() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    append_series(&mut writer, 1..4, 20);
    disk.kill();
    disk.fail_next(Call::Write, ErrorKind::StorageFull);
    assert_reads_series(&open(&disk).1, 1..4, 20);
}

#[test]
fn a_start_opens_the_last_segment_and_that_of_the_low_position_only() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    append_series(&mut writer, 1..100, 200);
    let last = *segments(&disk).last().unwrap();
    disk.kill();
    disk.take_opened();
    let low = Some(Position::start_of(50));
    let (_writer, spool) = try_open(&disk, &config(), low).unwrap();
    assert_eq!(spool.durable_end(), 100);
    let identity = Path::new("/spool/leads/identity").to_owned();
    let extent = Path::new("/spool/leads.extent").to_owned();
    assert_eq!(disk.take_opened(), [identity, extent, segment(last), segment(49)]);
}

#[test]
fn numbering_never_goes_back_behind_the_checkpoint() {
    let (disk, bytes, ends) = three();
    disk.set_content(&segment(1), bytes[..ends[0]].to_vec());
    let (mut writer, spool) =
        try_open(&disk, &config(), Some(Position { sequence: 3, index: 2 })).unwrap();
    assert_eq!(spool.durable_end(), 4);
    assert_eq!(spool.undelivered().bytes, 0);
    assert_eq!(append(&mut writer, body(4, 20)).unwrap(), 4);
    let mut reader = spool.reader(3);
    assert!(matches!(reader.next().unwrap(), Next::Damage(_)), "delivery 3 was not all delivered");
    assert!(matches!(reader.next().unwrap(), Next::Delivery(stored) if stored.sequence == 4));
}

#[test]
fn a_start_that_can_not_read_changes_nothing_and_the_next_one_succeeds() {
    let (disk, bytes, _) = three();
    disk.fail_next(Call::Read, ErrorKind::Other);
    assert!(try_open(&disk, &config(), None).is_err());
    assert_eq!(disk.content(&segment(1)), bytes);
    assert_reads_series(&open(&disk).1, 1..4, 20);
}

#[test]
fn files_of_other_names_are_left_alone() {
    let (disk, ..) = three();
    let stranger = Path::new(SEGMENTS).join("notes.txt");
    disk.create_new(&stranger).unwrap();
    assert_reads_series(&open(&disk).1, 1..4, 20);
    assert!(disk.info(&stranger).is_ok());
}

/// The second delivery was acknowledged, and power went in the middle of the next write; later its length goes bad.
#[test]
fn a_whole_frame_whose_length_goes_bad_is_not_cut_with_the_torn_write_behind_it() {
    let (disk, bytes, ends) = three();
    let torn = [&bytes[ends[1]..ends[2] - 5], &bytes[ends[1]..ends[1] + 10], &[0; 100], &[]];
    for (behind, byte, bit) in torn.iter().flat_map(|behind| {
        [24, 25, 28, 29, 30, 31]
            .into_iter()
            .flat_map(move |at| (0..8).map(move |bit| (behind, at, bit)))
    }) {
        let mut spoilt = [&bytes[..ends[1]], behind].concat();
        spoilt[ends[0] + byte] ^= 1 << bit;
        disk.kill();
        disk.set_content(&segment(1), spoilt);
        let (_writer, spool) = open(&disk);
        let (deliveries, damages) = read_all(&mut spool.reader(1));
        let what = format!("bit {bit} of byte {byte}, and {} bytes behind it", behind.len());
        assert_eq!(deliveries, [(1, body(1, 20))], "{what}");
        assert!(damages.iter().any(|damage| damage.first_sequence == 2), "{what}: {damages:?}");
        assert!(spool.durable_end() > 2, "{what}");
    }
}

/// A page of the last segment has what belongs elsewhere: how many deliveries it held, no head says.
#[test]
fn numbers_of_deliveries_that_are_gone_with_their_heads_are_not_given_again() {
    let (disk, bytes, ends) = three();
    for from in [64, ends[0], ends[1], ends[0] + 40, ends[1] + 40] {
        for filling in [0xa5, b'{'] {
            let mut spoilt = bytes.clone();
            spoilt[from..].fill(filling);
            disk.kill();
            disk.set_content(&segment(1), spoilt);
            let (mut writer, spool) = open(&disk);
            assert!(spool.durable_end() > 3, "from {from}: {}", spool.durable_end());
            let (deliveries, damages) = read_all(&mut spool.reader(1));
            let lost = 3 - deliveries.len() as u64;
            let reported: u64 = damages.iter().map(|it| it.next_sequence - it.first_sequence).sum();
            assert!(reported >= lost, "from {from}: {damages:?}");
            assert!(append(&mut writer, body(9, 20)).unwrap() > 3);
            disk.vanish(&segment(spool.durable_end() - 1));
        }
    }
}
