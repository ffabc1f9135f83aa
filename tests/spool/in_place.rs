//! What others do to the folder under the process, and while it is away.

use std::path::Path;

use millrace::{
    observe::metrics::Metrics,
    spool::{
        AppendError, Delivered, Folder, OpenError, SpoolState,
        disk::{Disk, RealDisk},
        position::Position,
    },
};
use std::sync::Arc;

use crate::{simulated_disk::SimulatedDisk, support::*};

const EXTENT: &str = "/spool/leads.extent";
const IDENTITY: &str = "/spool/leads/identity";

fn restarted(disk: &SimulatedDisk) -> (millrace::spool::Writer, millrace::spool::Spool) {
    disk.kill();
    open(disk)
}

#[test]
fn a_segment_that_is_removed_while_it_is_written_is_put_back_before_the_next_answer() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..3, 200);
    disk.vanish(&segment(1));
    append_series(&mut writer, 3..4, 200);
    assert_eq!(spool.state(), SpoolState::Open);
    assert_reads_series(&spool, 1..4, 200);
    disk.lose_power();
    let (_writer, spool) = open(&disk);
    assert_reads_series(&spool, 1..4, 200);
}

#[test]
fn a_segment_that_is_removed_right_before_it_is_left_for_the_next_one_is_put_back() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..4, 200);
    disk.vanish(&segment(1));
    append_series(&mut writer, 4..6, 200);
    disk.lose_power();
    drop((writer, spool));
    let (_writer, spool) = open(&disk);
    assert_reads_series(&spool, 1..6, 200);
}

#[test]
fn a_segment_that_is_removed_before_a_stop_is_put_back() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..3, 200);
    disk.vanish(&segment(1));
    spool.close();
    writer.run();
    let (_writer, spool) = restarted(&disk);
    assert_reads_series(&spool, 1..3, 200);
}

#[test]
fn a_segment_that_is_replaced_by_another_file_is_put_back_and_the_other_one_is_kept() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _spool) = open(&disk);
    append_series(&mut writer, 1..3, 200);
    let older = disk.content(&segment(1))[..300].to_vec();
    disk.replace(&segment(1), older.clone());
    append_series(&mut writer, 3..4, 200);
    let (_writer, spool) = restarted(&disk);
    assert_reads_series(&spool, 1..4, 200);
    let kept = format!("{}.replaced", segment(1).display());
    assert_eq!(disk.content(Path::new(&kept)), older);
}

#[test]
fn a_segment_that_is_cut_under_the_process_poisons_and_the_next_start_says_what_is_gone() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..4, 200);
    let whole = disk.content(&segment(1)).len();
    disk.cut(&segment(1), whole / 2);
    assert!(matches!(append(&mut writer, body(4, 200)), Err(AppendError::Poisoned { .. })));
    assert_eq!(spool.state(), SpoolState::Poisoned);
    let (mut writer, spool) = restarted(&disk);
    append_series(&mut writer, 4..5, 200);
    let (deliveries, damages) = read_all(&mut spool.reader(1));
    assert_eq!(deliveries.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 4]);
    assert_eq!((damages[0].first_sequence, damages[0].next_sequence), (2, 4));
}

#[test]
fn a_last_segment_that_is_missing_at_the_start_is_damage_and_its_numbers_are_not_given_again() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _spool) = open(&disk);
    append_series(&mut writer, 1..6, 200);
    assert_eq!(segments(&disk), [1, 4]);
    disk.vanish(&segment(4));
    let (mut writer, spool) = restarted(&disk);
    let next = append(&mut writer, "{}").unwrap();
    assert!(next >= 6, "{next} may be one of the missing ones");
    let (deliveries, damages) = read_all(&mut spool.reader(1));
    assert_eq!(deliveries.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2, 3, next]);
    assert_eq!((damages[0].first_sequence, damages[0].next_sequence), (4, next));
    assert_eq!(damages.len(), 1);
}

#[test]
fn all_segments_missing_at_the_start_are_damage() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _spool) = open(&disk);
    append_series(&mut writer, 1..3, 200);
    disk.vanish(&segment(1));
    let (_writer, spool) = restarted(&disk);
    let (deliveries, damages) = read_all(&mut spool.reader(1));
    assert!(deliveries.is_empty());
    assert_eq!(damages[0].first_sequence, 1);
    assert!(damages[0].next_sequence >= 3);
}

#[test]
fn what_the_checkpoint_knows_to_have_been_durable_and_is_not_there_is_damage_and_never_cut() {
    // At the end of a frame, in the middle of one, and down to nothing; and zeros for the last frame.
    let frame = 200 + 32 + 32;
    for (keep, zeros) in
        [(64 + frame, 0), (64 + frame + 40, 0), (10, 0), (0, 0), (64 + frame, frame)]
    {
        let disk = SimulatedDisk::new(1);
        let (mut writer, spool) = open(&disk);
        append_series(&mut writer, 1..4, 200);
        drop((writer, spool));
        let mut bytes = disk.content(&segment(1));
        bytes.truncate(keep);
        bytes.resize(keep + zeros, 0);
        disk.kill();
        disk.set_content(&segment(1), bytes);
        let low = Position::start_of(1);
        let delivered = Delivered { lowest: low, highest: low, stored: 4 };
        let folder = Folder::open(Arc::new(disk.clone()), &config()).unwrap();
        let opened = folder.spool(&source(), None, &Metrics::new(), Some(delivered));
        let (mut writer, spool) = opened.unwrap();
        if keep > 64 {
            assert_eq!(disk.content(&segment(1)).len(), keep + zeros, "nothing is cut");
        }
        assert!(append(&mut writer, "{}").unwrap() >= 4, "{keep} {zeros}");
        let (_, damages) = read_all(&mut spool.reader(1));
        let end = damages.iter().map(|damage| damage.next_sequence).max();
        assert!(end >= Some(4), "{keep} {zeros}: {damages:?}");
    }
}

#[test]
fn a_damaged_note_of_the_last_segment_holds_up_nothing_and_a_later_one_is_refused() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _spool) = open(&disk);
    append_series(&mut writer, 1..3, 200);
    let good = disk.content(Path::new(EXTENT));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        disk.kill();
        disk.set_content(Path::new(EXTENT), bad);
        let (_writer, spool) = open(&disk);
        assert_reads_series(&spool, 1..3, 200);
    }
}

#[test]
fn an_identity_that_is_wrong_is_named_and_not_the_segment() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..3, 200);
    let id = spool.id();
    let good = disk.content(Path::new(IDENTITY));
    let plain = format!("{{\"version\":1,\"spool\":\"{id}\"}}");
    let digit = plain.find(&id.to_string()).unwrap();
    for file in [good, plain.clone().into_bytes()] {
        let mut bad = file;
        bad[digit] = if bad[digit] == b'1' { b'2' } else { b'1' };
        disk.kill();
        disk.set_content(Path::new(IDENTITY), bad);
        let Err(error) = try_open(&disk, &config(), None) else { panic!("it was opened") };
        assert!(matches!(error, OpenError::Identity { .. }), "{error}");
        assert!(error.to_string().contains(&plain), "{error}");
    }
    // What it advises works, and is sealed by the next start.
    disk.set_content(Path::new(IDENTITY), plain.into_bytes());
    let (_writer, spool) = restarted(&disk);
    assert_reads_series(&spool, 1..3, 200);
    assert!(String::from_utf8_lossy(&disk.content(Path::new(IDENTITY))).contains("checksum"));
}

#[test]
fn on_a_real_disk_a_folder_that_is_replaced_under_the_process_is_no_longer_answered_200() {
    let place = tempfile::tempdir().unwrap();
    let config = millrace::spool::Config { directory: place.path().join("spool"), ..config() };
    let folder = Folder::open(Arc::new(RealDisk), &config).unwrap();
    let (mut writer, spool) = folder.spool(&source(), None, &Metrics::new(), None).unwrap();
    append_series(&mut writer, 1..3, 200);
    let leads = config.directory.join("leads");
    let named = leads.join("segments/00000000000000000001.segment");
    std::fs::remove_file(&named).unwrap();
    append_series(&mut writer, 3..4, 200);
    assert!(named.exists() && RealDisk.info(&named).unwrap().length > 64 + 2 * 200);
    std::fs::rename(&leads, config.directory.join("moved-away")).unwrap();
    assert!(matches!(append(&mut writer, body(4, 200)), Err(AppendError::Poisoned { .. })));
    std::fs::create_dir_all(leads.join("segments")).unwrap();
    drop((writer, spool, folder));
    let folder = Folder::open(Arc::new(RealDisk), &config).unwrap();
    assert!(
        folder.spool(&source(), None, &Metrics::new(), None).is_ok(),
        "and it is said in the log"
    );
}

/// A spool on the machine's own disk, with deliveries in several segments.
struct OnRealDisk {
    place: tempfile::TempDir,
    folder: Arc<Folder>,
    writer: millrace::spool::Writer,
    spool: millrace::spool::Spool,
}

impl OnRealDisk {
    fn with_deliveries(numbers: std::ops::Range<u64>) -> Self {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(Arc::new(RealDisk), &Self::config(&place)).unwrap();
        let (mut writer, spool) = folder.spool(&source(), None, &Metrics::new(), None).unwrap();
        append_series(&mut writer, numbers, 200);
        Self { place, folder, writer, spool }
    }

    fn config(place: &tempfile::TempDir) -> millrace::spool::Config {
        millrace::spool::Config { directory: place.path().join("spool"), ..config() }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.place.path().join("spool").join(below)
    }

    fn elsewhere(&self) -> std::path::PathBuf {
        self.place.path().join("elsewhere")
    }
}

#[test]
fn a_folder_that_is_away_for_a_while_is_waited_for_and_nothing_in_it_is_damage() {
    for below in ["leads/segments", "leads", ""] {
        let on = OnRealDisk::with_deliveries(1..8);
        let mut reader = on.spool.reader(1);
        std::fs::rename(on.path(below), on.elsewhere()).unwrap();
        for _ in 0..30 {
            assert!(reader.next().is_err(), "`{below}` is not there");
        }
        assert!(!on.path(below).exists(), "`{below}` is not made");
        std::fs::rename(on.elsewhere(), on.path(below)).unwrap();
        assert_eq!(on.spool.state(), SpoolState::Open);
        let (deliveries, damages) = read_all(&mut reader);
        assert_eq!((deliveries.len(), damages.len()), (7, 0), "`{below}`");
    }
}

#[test]
fn a_single_segment_that_is_missing_from_its_folder_is_damage() {
    let on = OnRealDisk::with_deliveries(1..8);
    std::fs::remove_file(on.path("leads/segments/00000000000000000001.segment")).unwrap();
    let (deliveries, damages) = read_all(&mut on.spool.reader(1));
    assert_eq!(deliveries.first().map(|(number, _)| *number), Some(4));
    assert_eq!((damages[0].first_sequence, damages[0].next_sequence), (1, 4));
}

#[test]
fn a_folder_that_another_one_stands_for_is_never_read_and_the_spool_is_poisoned() {
    for below in ["leads/segments", "leads"] {
        let on = OnRealDisk::with_deliveries(1..8);
        let mut reader = on.spool.reader(1);
        std::fs::rename(on.path(below), on.elsewhere()).unwrap();
        std::fs::create_dir_all(on.path("leads/segments")).unwrap();
        assert!(reader.next().is_err(), "`{below}`");
        assert_eq!(on.spool.state(), SpoolState::Poisoned, "`{below}`");
    }
}

#[test]
fn what_is_written_beside_the_spool_makes_no_folder_of_a_source_again() {
    let on = OnRealDisk::with_deliveries(1..3);
    let write = || {
        let nested = on.path("leads/quarantine");
        millrace::spool::disk::make_directory(&**on.folder.disk(), &nested)
    };
    let leads = on.path("leads");
    for gone in [leads, on.path("")] {
        std::fs::rename(&gone, on.elsewhere()).unwrap();
        assert!(write().is_err());
        assert!(!gone.exists());
        std::fs::create_dir(&gone).unwrap();
        assert!(write().is_err(), "another folder");
        assert_eq!(std::fs::read_dir(&gone).unwrap().count(), 0);
        std::fs::remove_dir(&gone).unwrap();
        std::fs::rename(on.elsewhere(), &gone).unwrap();
    }
    write().unwrap();
}

#[test]
fn a_segment_that_is_removed_while_it_is_begun_is_begun_again_before_the_first_answer() {
    // While its header is synced, while its name is noted, and while its first frame is synced.
    for syncs_before in 0..3 {
        let disk = SimulatedDisk::new(1);
        let (mut writer, spool) = open(&disk);
        disk.hold_syncs();
        let appending = std::thread::spawn(move || {
            append_series(&mut writer, 1..3, 200);
            writer
        });
        for _ in 0..syncs_before {
            disk.wait_for_held_sync();
            disk.let_a_sync_pass();
        }
        disk.wait_for_held_sync();
        disk.vanish(&segment(1));
        disk.release_syncs();
        drop((appending.join().unwrap(), spool));
        let (_writer, spool) = restarted(&disk);
        assert_reads_series(&spool, 1..3, 200);
    }
}

#[test]
fn a_folder_whose_lock_is_removed_is_opened_by_no_second_process_and_left_by_the_first() {
    let mut on = OnRealDisk::with_deliveries(1..4);
    std::fs::remove_file(on.path("lock")).unwrap();
    let second = Folder::open(Arc::new(RealDisk), &OnRealDisk::config(&on.place));
    assert!(matches!(second, Err(OpenError::Locked { .. })), "the folder is held as well");
    let answer = append(&mut on.writer, body(4, 900)); // begins a segment
    assert!(matches!(answer, Err(AppendError::Poisoned { .. })), "{answer:?}");
}
