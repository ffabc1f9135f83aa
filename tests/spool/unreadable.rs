//! Sectors that the disk does not give back: what is waited for, what is passed by, and what it costs.

use std::{ops::Range, path::Path, sync::Arc};

use bytes::Bytes;
use millrace::{
    deliver::quarantine::Quarantine,
    spool::{
        Config, Damage, Next, Reader, Spool, Writer,
        viewer::{Seen, Viewer},
    },
};

use crate::{simulated_disk::SimulatedDisk, support::*};

const LENGTH: usize = 900;
const SECTOR: u64 = 4096;
/// Milliseconds between two tries.
const PAUSE: u64 = 2_000;

/// Forty deliveries in a sealed segment, of which few lie on one sector, and one in the next; where
/// each frame of the first segment begins, and the last one ends.
struct Place {
    disk: SimulatedDisk,
    _writer: Writer,
    spool: Spool,
    borders: Vec<u64>,
}

impl Place {
    fn new() -> Self {
        let disk = SimulatedDisk::new(1);
        let config = Config { segment_size: 36_000, ..config() };
        let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
        let mut borders = vec![64];
        for n in 1.. {
            append(&mut writer, body(n, LENGTH)).unwrap();
            if segments(&disk).len() == 2 {
                return Self { disk, _writer: writer, spool, borders };
            }
            borders.push(disk.content(&segment(1)).len() as u64);
        }
        unreachable!("a segment ends")
    }

    fn spoil(&self, bytes: Range<u64>) {
        self.disk.spoil(&segment(1), bytes);
    }

    fn end(&self) -> u64 {
        *self.borders.last().unwrap()
    }

    /// How many deliveries the first segment holds.
    fn count(&self) -> u64 {
        self.borders.len() as u64 - 1
    }

    /// The frames that lie on `bytes`: their bytes, and their sequences.
    fn hit(&self, bytes: Range<u64>) -> (Range<u64>, Range<u64>) {
        let first = self.borders.iter().rposition(|border| *border <= bytes.start).unwrap();
        let behind = self.borders.iter().position(|border| *border >= bytes.end);
        let behind = behind.unwrap_or(self.borders.len() - 1);
        (self.borders[first]..self.borders[behind], first as u64 + 1..behind as u64 + 1)
    }
}

/// Reads to the end, however often reading fails: deliveries, damage, and how often that was.
fn read_patiently(
    disk: &SimulatedDisk,
    reader: &mut Reader,
) -> (Vec<(u64, Bytes)>, Vec<Damage>, usize) {
    let (mut deliveries, mut damages, mut failures) = (Vec::new(), Vec::new(), 0);
    let mut expected = reader.next_sequence();
    loop {
        match reader.next() {
            Ok(Next::Delivery(stored)) => {
                assert_eq!(stored.sequence, expected);
                expected += 1;
                deliveries.push((stored.sequence, stored.delivery.body));
            }
            Ok(Next::Damage(damage)) => {
                assert_eq!(damage.first_sequence, expected);
                expected = damage.next_sequence;
                damages.push(damage);
            }
            Ok(Next::CaughtUp) => return (deliveries, damages, failures),
            Err(error) => {
                assert!(error.is_worth_retrying(), "{error}");
                failures += 1;
                disk.advance_clock(PAUSE);
                assert!(failures < 1000, "{error}");
            }
        }
    }
}

#[test]
fn a_sector_that_stays_unreadable_costs_what_lies_on_it_and_is_reported_exactly() {
    for at in (0..Place::new().end()).step_by(SECTOR as usize) {
        let place = Place::new();
        let sector = at..(at + SECTOR).min(place.end());
        place.spoil(sector.clone());
        let (bytes, sequences) = place.hit(sector.start.max(64)..sector.end);
        let (deliveries, damages, failures) =
            read_patiently(&place.disk, &mut place.spool.reader(1));
        assert!(failures >= 9, "it is waited for: {failures}");
        let [damage] = &damages[..] else { panic!("{at}: {damages:?}") };
        assert_eq!(damage.from..damage.to, bytes, "{damage}");
        assert_eq!(damage.first_sequence..damage.next_sequence, sequences, "{damage}");
        let hole = sector.start.max(64)..sector.end;
        assert_eq!(damage.unreadable, vec![hole], "{damage}");
        let lost = sequences.end - sequences.start;
        assert_eq!(deliveries.len() as u64, place.count() + 1 - lost);
        assert!(deliveries.iter().all(|(n, read)| *read == body(*n, LENGTH)));
    }
}

#[test]
fn a_read_that_fails_for_a_while_costs_nothing() {
    let place = Place::new();
    place.spoil(0..u64::MAX);
    let mut reader = place.spool.reader(1);
    for _ in 0..9 {
        assert!(reader.next().unwrap_err().is_worth_retrying());
        place.disk.advance_clock(PAUSE);
    }
    place.disk.mend();
    let (deliveries, damages, failures) = read_patiently(&place.disk, &mut reader);
    assert_eq!((deliveries.len() as u64, damages.len(), failures), (place.count() + 1, 0, 0));
}

/// A lane that is opened again and again, since another topic is in trouble, has a new reader each time.
#[test]
fn readers_that_come_and_go_count_their_tries_together_and_pass_a_bad_sector_by() {
    let place = Place::new();
    let sector = 2 * SECTOR..3 * SECTOR;
    place.spoil(sector.clone());
    let (_, sequences) = place.hit(sector);
    let try_once = || {
        let mut reader = place.spool.reader(sequences.start);
        place.disk.advance_clock(PAUSE);
        reader.next()
    };
    let failures = (0..100).take_while(|_| try_once().is_err()).count();
    assert_eq!(failures, 9, "it is waited for, and no longer");
    let (.., failures) = read_patiently(&place.disk, &mut place.spool.reader(1));
    assert_eq!(failures, 0, "and the next reader passes it by at once");

    place.disk.mend();
    let (deliveries, damages, _) = read_patiently(&place.disk, &mut place.spool.reader(1));
    assert_eq!((deliveries.len() as u64, damages.len()), (place.count() + 1, 0));
    place.spoil(2 * SECTOR..3 * SECTOR);
    let failures = (0..100).take_while(|_| try_once().is_err()).count();
    assert_eq!(failures, 9, "it was read meanwhile, and is waited for once more");
}

#[test]
fn many_readers_at_one_moment_do_not_shorten_the_wait_for_a_bad_sector() {
    let place = Place::new();
    place.spoil(2 * SECTOR..3 * SECTOR);
    let first = place.hit(2 * SECTOR..3 * SECTOR).1.start;
    assert!((0..100).all(|_| place.spool.reader(first).next().is_err()));
}

/// Lanes stand at different places, and each tries its own.
#[test]
fn readers_at_two_bad_sectors_in_turn_pass_both_by() {
    let disk = SimulatedDisk::new(1);
    let config = Config { segment_size: 36_000, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..100, LENGTH);
    let [first, second, ..] = segments(&disk)[..] else { panic!("there are two segments") };
    [first, second].iter().for_each(|it| disk.spoil(&segment(*it), 2 * SECTOR..3 * SECTOR));
    let meets = |from: u64| {
        let mut reader = spool.reader(from);
        loop {
            match reader.next() {
                Ok(Next::Delivery(_)) => {}
                Ok(Next::Damage(damage)) => return damage.next_sequence > from,
                Ok(Next::CaughtUp) => panic!("there is a bad sector"),
                Err(_) => return false,
            }
        }
    };
    for _ in 0..9 {
        assert!(!meets(first) && !meets(second));
        disk.advance_clock(PAUSE);
    }
    assert!(meets(first) && meets(second));
}

#[test]
fn two_holes_with_a_whole_frame_between_them_are_two_damages() {
    let place = Place::new();
    place.spoil(2 * SECTOR..3 * SECTOR);
    place.spoil(5 * SECTOR..6 * SECTOR);
    let (_, damages, _) = read_patiently(&place.disk, &mut place.spool.reader(1));
    let [one, two] = &damages[..] else { panic!("{damages:?}") };
    assert_eq!(one.from..one.to, place.hit(2 * SECTOR..3 * SECTOR).0);
    assert_eq!(two.from..two.to, place.hit(5 * SECTOR..6 * SECTOR).0);
}

#[test]
fn a_disk_that_gives_nothing_back_is_waited_for_and_nothing_is_passed_by() {
    let disk = SimulatedDisk::new(1);
    let config = Config { segment_size: 1 << 20, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..1300, LENGTH);
    assert_eq!(segments(&disk).len(), 2);
    disk.spoil(&segment(1), 0..u64::MAX);
    let mut reader = spool.reader(1);
    for _ in 0..100 {
        assert!(reader.next().unwrap_err().is_worth_retrying());
        assert_eq!(reader.next_sequence(), 1);
        disk.advance_clock(PAUSE);
    }
    disk.mend();
    let (deliveries, damages, failures) = read_patiently(&disk, &mut reader);
    assert_eq!((deliveries.len(), damages.len(), failures), (1299, 0, 0));
}

#[test]
fn holes_all_over_are_no_bad_sector_either() {
    let disk = SimulatedDisk::new(1);
    let config = Config { segment_size: 1 << 20, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    // Larger than what lies between two holes: no whole frame is left.
    append_series(&mut writer, 1..200, 9000);
    assert_eq!(segments(&disk).len(), 2);
    for n in 0..100 {
        disk.spoil(&segment(1), n * 2 * SECTOR..(n * 2 + 1) * SECTOR);
    }
    let mut reader = spool.reader(1);
    for _ in 0..100 {
        assert!(reader.next().unwrap_err().is_worth_retrying());
        disk.advance_clock(PAUSE);
    }
    assert_eq!(reader.next_sequence(), 1);
}

#[test]
fn quarantine_keeps_what_can_be_read_and_notes_what_can_not() {
    let place = Place::new();
    let hole = 2 * SECTOR..3 * SECTOR;
    place.spoil(hole.clone());
    let (_, damages, _) = read_patiently(&place.disk, &mut place.spool.reader(1));
    let damage = &damages[0];
    let quarantine = Quarantine::new(Arc::new(place.disk.clone()), Path::new("/spool/leads"));
    let kept = quarantine.keep_damage(&source(), damage, 0).unwrap();
    let bytes = place.disk.content(&kept.path);
    let mut expected =
        place.disk.content(&segment(1))[damage.from as usize..damage.to as usize].to_vec();
    expected[(hole.start - damage.from) as usize..(hole.end - damage.from) as usize].fill(0);
    assert_eq!(bytes, expected, "with zeros for the hole");
    let label = place.disk.content(&kept.path.with_extension("json"));
    let label: serde_json::Value = serde_json::from_slice(&label).unwrap();
    assert_eq!(label["unreadable"], serde_json::json!([[hole.start, hole.end]]));
    assert!(label["error"].as_str().unwrap().contains("cannot be read"), "{label}");
}

#[test]
fn a_range_of_which_a_part_has_healed_takes_no_other_ranges_place_in_quarantine() {
    let place = Place::new();
    let quarantine = Quarantine::new(Arc::new(place.disk.clone()), Path::new("/spool/leads"));
    let kept =
        [2 * SECTOR..4 * SECTOR, 2 * SECTOR..3 * SECTOR, 2 * SECTOR..4 * SECTOR].map(|holes| {
            place.disk.mend();
            place.spoil(holes);
            let (_, damages, _) = read_patiently(&place.disk, &mut place.spool.reader(1));
            let [damage] = &damages[..] else { panic!("{damages:?}") };
            (damage.from, quarantine.keep_damage(&source(), damage, 0).unwrap())
        });
    let [(from, all), (other, part), (_, again)] = kept;
    assert!(from == other && all.path != part.path && all.path == again.path, "{from} {other}");
    for item in [all, part] {
        assert_eq!(place.disk.content(&item.path).len() as u64, item.length);
        let label = place.disk.content(&item.path.with_extension("json"));
        let label: serde_json::Value = serde_json::from_slice(&label).unwrap();
        assert_eq!(label["length"], item.length);
    }
}

/// What somebody sees of the first segment who only looks: how many deliveries, and what damage.
fn look(place: &Place) -> (u64, Vec<Damage>) {
    let disk = Arc::new(place.disk.clone());
    let viewer = Viewer::open(disk, Path::new("/spool"), &source()).unwrap();
    let segments = viewer.segments().unwrap();
    let mut scan = viewer.scan(&segments[0]).unwrap().unwrap();
    let (mut deliveries, mut damages) = (0, Vec::new());
    while let Some(seen) = scan.next().unwrap() {
        match seen {
            Seen::Delivery(_) => deliveries += 1,
            Seen::Damage(damage) => damages.push(damage),
            Seen::Unfinished { .. } => panic!("a sealed segment"),
        }
    }
    (deliveries, damages)
}

#[test]
fn who_only_looks_is_told_at_once_and_sees_the_rest() {
    let place = Place::new();
    let hole = 2 * SECTOR..3 * SECTOR;
    place.spoil(hole.clone());
    let (bytes, sequences) = place.hit(hole.clone());
    let (deliveries, damages) = look(&place);
    let [damage] = &damages[..] else { panic!("{damages:?}") };
    assert_eq!((damage.from..damage.to, damage.unreadable[0].clone()), (bytes, hole));
    assert_eq!(deliveries, place.count() - (sequences.end - sequences.start));
}

#[test]
fn who_only_looks_sees_what_lies_behind_a_header_that_the_disk_can_not_read() {
    let place = Place::new();
    place.spoil(0..SECTOR);
    let (bytes, sequences) = place.hit(64..SECTOR);
    let (deliveries, damages) = look(&place);
    let [header, frames] = &damages[..] else { panic!("{damages:?}") };
    let all = 0..64;
    assert_eq!((header.from..header.to, &header.unreadable), (all.clone(), &vec![all]));
    assert_eq!(header.first_sequence, header.next_sequence, "no delivery is lost with it");
    assert_eq!(frames.from..frames.to, bytes);
    assert_eq!(deliveries, place.count() - (sequences.end - sequences.start));
}

/// The number in a head is wrong: the walk finds the next delivery by the length, and does not read this one's body.
#[test]
fn a_broken_head_that_leads_past_a_bad_sector_is_damage_of_which_the_rest_is_kept() {
    let disk = SimulatedDisk::new(1);
    let config = Config { segment_size: 36_000, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..2, 10_000);
    let second = disk.content(&segment(1)).len();
    append_series(&mut writer, 2..6, 10_000);
    let mut bytes = disk.content(&segment(1));
    bytes[second + 8..][..8].copy_from_slice(&1u64.to_le_bytes());
    disk.set_content(&segment(1), bytes);
    let sector = (second as u64 / SECTOR + 1) * SECTOR;
    disk.spoil(&segment(1), sector..sector + SECTOR);
    let (deliveries, damages, failures) = read_patiently(&disk, &mut spool.reader(1));
    assert_eq!(deliveries.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 3, 4, 5]);
    let [damage] = &damages[..] else { panic!("{damages:?}") };
    assert_eq!((damage.first_sequence, damage.next_sequence), (2, 3));
    let [hole] = &damage.unreadable[..] else { panic!("{damage}") };
    assert_eq!(*hole, sector..sector + SECTOR);
    assert!(damage.pieces().all(|piece| piece.is_ok()) && failures > 0);
}
