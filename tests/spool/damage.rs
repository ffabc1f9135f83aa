//! Sealed segments that are not what they were, and how the reader tells.

use std::{path::Path, sync::Arc};

use millrace::{
    deliver::quarantine::Quarantine,
    spool::{Config, Next, ReadError, disk::Disk, position::Position},
};

use crate::{
    simulated_disk::{Chances, SimulatedDisk},
    support::*,
};

/// Six deliveries in two segments of three; the frames' ends in the first.
fn two_segments() -> (SimulatedDisk, Vec<u8>, [usize; 3]) {
    two_segments_of(200)
}

/// The same with bodies of this length.
fn two_segments_of(length: usize) -> (SimulatedDisk, Vec<u8>, [usize; 3]) {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    let ends = [1, 2, 3].map(|n| {
        append(&mut writer, body(n, length)).unwrap();
        disk.content(&segment(1)).len()
    });
    append_series(&mut writer, 4..7, length);
    assert_eq!(segments(&disk), [1, 4]);
    disk.lose_power();
    let bytes = disk.content(&segment(1));
    (disk, bytes, ends)
}

#[test]
fn any_flipped_bit_costs_the_delivery_it_hit_and_is_reported_exactly() {
    let (_, _, ends) = two_segments();
    let overhead = ends[1] - ends[0] - 200;
    // In frames of such a length one bit more in it leads exactly to a later frame.
    for length in [200, 256 - overhead] {
        any_flipped_bit_is_reported_exactly(length);
    }
}

fn any_flipped_bit_is_reported_exactly(length: usize) {
    let (disk, bytes, ends) = two_segments_of(length);
    let (_writer, spool) = open(&disk);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        disk.set_content(&segment(1), flipped);
        let (deliveries, damages) = read_all(&mut spool.reader(1));
        if bit / 8 < 64 {
            assert!(damages.is_empty() && deliveries.len() == 6, "header bit {bit}: {damages:?}");
            continue;
        }
        let hit = 1 + ends.iter().filter(|end| **end <= bit / 8).count();
        assert_eq!(deliveries.len(), 5, "bit {bit}: {damages:?}");
        assert!(deliveries.iter().all(|(n, read)| *read == body(*n, length)));
        let [damage] = &damages[..] else { panic!("bit {bit}: {damages:?}") };
        let from = if hit == 1 { 64 } else { ends[hit - 2] } as u64;
        assert_eq!((damage.from, damage.to), (from, ends[hit - 1] as u64), "bit {bit}");
        assert_eq!(damage.first_sequence..damage.next_sequence, hit as u64..hit as u64 + 1);
        assert_eq!(damage.segment, segment(1));
    }
}

#[test]
fn a_segment_cut_short_anywhere_is_reported_with_all_its_missing_numbers() {
    let (disk, bytes, ends) = two_segments();
    for length in 0..bytes.len() {
        disk.set_content(&segment(1), bytes[..length].to_vec());
        let (_writer, spool) = open(&disk);
        let (deliveries, damages) = read_all(&mut spool.reader(1));
        let whole = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(deliveries.len(), whole + 3, "{length} bytes");
        let [damage] = &damages[..] else { panic!("{length} bytes: {damages:?}") };
        assert_eq!(damage.first_sequence..damage.next_sequence, whole as u64 + 1..4);
        disk.kill();
    }
}

#[test]
fn a_missing_segment_is_reported_with_its_numbers() {
    for (missing, numbers) in [(1, 1..4), (4, 4..7)] {
        let disk = SimulatedDisk::new(1);
        let (mut writer, _) = open(&disk);
        append_series(&mut writer, 1..10, 200);
        assert_eq!(segments(&disk), [1, 4, 7]);
        disk.kill();
        disk.vanish(&segment(missing));
        let (_writer, spool) = open(&disk);
        let (deliveries, damages) = read_all(&mut spool.reader(1));
        assert_eq!(deliveries.len(), 6);
        let [damage] = &damages[..] else { panic!("{damages:?}") };
        assert_eq!(damage.first_sequence..damage.next_sequence, numbers);
        assert_eq!(damage.pieces().count(), 0);
    }
}

#[test]
fn a_segment_that_vanishes_while_the_spool_is_open_is_reported_too() {
    let (disk, ..) = two_segments();
    let (_writer, spool) = open(&disk);
    disk.vanish(&segment(1));
    let (deliveries, damages) = read_all(&mut spool.reader(2));
    assert_eq!(deliveries.len(), 3);
    assert_eq!(damages[0].first_sequence..damages[0].next_sequence, 2..4);
}

#[test]
fn a_copy_of_a_segment_under_another_name_yields_no_delivery() {
    let (disk, bytes, _) = two_segments();
    disk.set_content(&segment(4), bytes);
    let (_writer, spool) = open(&disk);
    let (deliveries, damages) = read_all(&mut spool.reader(1));
    assert_eq!(deliveries.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(damages.len(), 1);
}

#[test]
fn a_frame_that_stands_there_twice_is_given_out_once() {
    let (disk, bytes, ends) = two_segments();
    let (_writer, spool) = open(&disk);
    let first = &bytes[64..ends[0]];
    let doubled = [&bytes[..ends[1]], first, &bytes[ends[1]..ends[2] - first.len()]].concat();
    disk.set_content(&segment(1), doubled);
    let (deliveries, damages) = read_all(&mut spool.reader(1));
    assert_eq!(deliveries.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2, 4, 5, 6]);
    let [damage] = &damages[..] else { panic!("{damages:?}") };
    assert_eq!(damage.first_sequence..damage.next_sequence, 3..4);

    let longer = [&bytes[..ends[1]], first, &bytes[ends[1]..]].concat();
    disk.kill();
    disk.set_content(&segment(1), longer);
    let (_writer, spool) = open(&disk);
    let (deliveries, damages) = read_all(&mut spool.reader(1));
    assert_eq!(deliveries.len(), 6);
    let [damage] = &damages[..] else { panic!("{damages:?}") };
    assert_eq!((damage.from, damage.to), (ends[1] as u64, (ends[1] + first.len()) as u64));
    assert_eq!(damage.first_sequence, damage.next_sequence, "bytes to spare, no number missing");
}

#[test]
fn a_copy_of_later_frames_in_the_place_of_earlier_ones_hides_none_that_is_whole() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    append_series(&mut writer, 1..10, 10);
    let bytes = disk.content(&segment(1));
    let length = (bytes.len() - 64) / 9;
    assert_eq!(64 + 9 * length, bytes.len(), "nine frames of one length in one segment");
    disk.lose_power();
    let (_writer, spool) = open(&disk);
    let frame = |n: usize| 64 + (n - 1) * length;
    // Of whole frames, and of one and a half, from the beginning of a frame, and from the middle.
    for (from, to, copied) in [
        (frame(2), frame(4), 2..4),
        (frame(2), frame(3) + length / 2, 2..4),
        (frame(2) + 20, frame(4) + 20, 2..5),
        (frame(2) + 20, frame(3) + 40, 2..4),
    ] {
        let mut misplaced = bytes.clone();
        let later = frame(7) - frame(2);
        misplaced.copy_within(from + later..to + later, from);
        disk.set_content(&segment(1), misplaced);
        let (deliveries, damages) = read_all(&mut spool.reader(1));
        let numbers: Vec<_> = deliveries.iter().map(|(number, _)| *number).collect();
        let expected: Vec<_> = (1..10).filter(|number| !copied.contains(number)).collect();
        assert_eq!(numbers, expected, "{damages:?}");
        let [damage] = &damages[..] else { panic!("{damages:?}") };
        assert_eq!(damage.first_sequence..damage.next_sequence, copied);
        assert_eq!(damage.from..damage.to, frame(2) as u64..frame(copied.end as usize) as u64);
    }
}

#[test]
fn a_body_that_looks_like_a_frame_is_not_taken_for_one() {
    let (disk, bytes, ends) = two_segments();
    let frame = bytes[ends[1]..ends[2]].to_vec();
    let other = SimulatedDisk::new(2);
    let (mut writer, spool) = open(&other);
    let mut nested = b"xx".to_vec();
    nested.extend(&frame); // a valid frame of sequence 3 inside delivery 1
    append(&mut writer, nested).unwrap();
    append(&mut writer, body(2, 10)).unwrap();
    let end = other.content(&segment(1)).len();
    let mut damaged = other.content(&segment(1));
    damaged[66] ^= 1; // and delivery 1's checksum is gone
    other.set_content(&segment(1), damaged);
    let (deliveries, damages) = read_all(&mut spool.reader(1));
    assert_eq!(deliveries, [(2, body(2, 10))], "{damages:?} of {end}");
    drop(disk);
}

#[test]
fn seeking_past_damage_does_not_report_it() {
    let (disk, mut bytes, ends) = two_segments();
    bytes[ends[0] - 1] ^= 1;
    disk.set_content(&segment(1), bytes);
    let (_writer, spool) = open(&disk);
    let (deliveries, damages) = read_all(&mut spool.reader(2));
    assert_eq!(deliveries.len(), 5);
    assert!(damages.is_empty(), "{damages:?}");
}

#[test]
fn a_failed_read_can_be_tried_again_and_skips_nothing() {
    let (disk, ..) = two_segments();
    let (_writer, spool) = open(&disk);
    disk.set_chances(Chances { read_fails: 50, ..Default::default() });
    let mut reader = spool.reader(1);
    let (mut read, mut failed) = (Vec::new(), 0);
    loop {
        match reader.next() {
            Ok(Next::Delivery(stored)) => read.push(stored.sequence),
            Ok(Next::Damage(damage)) => panic!("{damage}"),
            Ok(Next::CaughtUp) => break,
            Err(error) => {
                assert!(error.is_worth_retrying(), "{error}");
                assert!(matches!(error, ReadError::Io { .. }));
                failed += 1;
            }
        }
    }
    assert_eq!(read, [1, 2, 3, 4, 5, 6]);
    assert!(failed > 0);
}

/// What is delivered is looked up by heads alone, and where they stand is remembered for readers. A number that is wrong
/// there must not lead one of them past whole frames.
#[test]
fn a_number_that_the_disk_spoils_behind_the_forwarder_leads_no_reader_past_what_is_whole() {
    let (disk, large) = (SimulatedDisk::new(1), Config { segment_size: 120_000, ..config() });
    let (mut writer, _) = try_open(&disk, &large, None).unwrap();
    let mut begins = Vec::new();
    for n in 1..=600 {
        begins.push(disk.info(&segment(1)).map_or(64, |info| info.length as usize));
        append(&mut writer, body(n, 200)).unwrap();
    }
    assert_eq!(segments(&disk).len(), 2, "a start reads only the last one");
    let bytes = disk.content(&segment(1));
    for hit in 200..320 {
        let mut spoilt = bytes.clone();
        spoilt[begins[hit - 1] + 8..][..8].copy_from_slice(&5u64.to_le_bytes());
        disk.kill();
        disk.set_content(&segment(1), bytes.clone());
        let (_writer, spool) = try_open(&disk, &large, Some(Position::start_of(2))).unwrap();
        disk.set_content(&segment(1), spoilt);
        let low = hit as u64 + 2;
        spool.delivered(Position::start_of(low));
        assert_reads_series(&spool, low..601, 200);
    }
}

/// A lane that began in the middle of a damaged range comes to a part of it. What is in quarantine is that of the whole.
#[test]
fn a_reader_that_comes_to_a_part_of_a_damaged_range_takes_nothing_from_what_is_kept_of_the_whole() {
    let (disk, mut bytes, ends) = two_segments();
    bytes[64..ends[1]].fill(0);
    disk.set_content(&segment(1), bytes);
    let (_writer, spool) = open(&disk);
    let quarantine = Quarantine::new(Arc::new(disk.clone()), Path::new("/spool/leads"));
    let label = |from| {
        let (_, damages) = read_all(&mut spool.reader(from));
        assert_eq!(damages[0].first_sequence..damages[0].next_sequence, from..3);
        let kept = quarantine.keep_damage(&source(), &damages[0], 0).unwrap();
        disk.content(&kept.path.with_extension("json"))
    };
    let whole = String::from_utf8(label(1)).unwrap();
    assert!(whole.contains("sequences 1..3"), "{whole}");
    assert_eq!(String::from_utf8(label(2)).unwrap(), whole);
}
