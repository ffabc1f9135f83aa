//! `millrace spool verify`.

use std::{
    fs::{self, OpenOptions},
    io::Write,
};

use crate::folder::{Ended, Folder, HEADER, body, flip, frame};

fn verify(folder: &Folder) -> Ended {
    let ended = folder.tool(&["verify"]);
    assert_eq!(ended.errors, "");
    ended
}

/// Expects exactly one line about damage, which ends with `text`.
#[track_caller]
fn assert_damage(folder: &Folder, text: &str) {
    let ended = verify(folder);
    assert_eq!(ended.code, 1, "{}", ended.out);
    let is_damage = |line: &&str| line.contains("DAMAGE") || line.contains("MISSING");
    let lines: Vec<_> = ended.out.lines().filter(is_damage).collect();
    assert_eq!(lines.len(), 1, "{}", ended.out);
    assert!(lines[0].ends_with(text), "{text} in\n{}", ended.out);
    assert!(ended.out.contains("1 damaged range"), "{}", ended.out);
}

fn append_bytes(path: &std::path::Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_whole_spool_is_said_to_be_whole() {
    let folder = Folder::with(&[("leads", 10), ("other", 1)]);
    let ended = verify(&folder);
    assert_eq!(ended.code, 0, "{}", ended.out);
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ended.out);
    let segments = folder.segments("leads").len();
    assert!(lines[0].starts_with(&format!("leads: {segments} segments, ")), "{}", ended.out);
    assert!(lines[0].ends_with("10 deliveries: all whole"), "{}", ended.out);
    assert!(lines[1].ends_with("1 delivery: all whole"), "{}", ended.out);
}

#[test]
fn a_flipped_bit_anywhere_in_a_frame_is_found_with_the_exact_range() {
    let folder = Folder::with(&[("leads", 10)]);
    let first = folder.segments("leads")[0].clone();
    let whole = fs::read(&first).unwrap();
    let length = frame("leads", 200);
    let (from, to) = (HEADER + length, HEADER + 2 * length);
    for offset in (from..to).step_by(7) {
        flip(&first, offset as usize);
        assert_damage(&folder, &format!("bytes {from}..{to}, sequences 2..3, undelivered"));
        fs::write(&first, &whole).unwrap();
    }
    assert_eq!(verify(&folder).code, 0);
}

#[test]
fn damage_in_what_was_delivered_is_told_as_such() {
    let folder = Folder::with(&[("leads", 10)]);
    folder.deliver("leads", "7.0", &[]);
    flip(&folder.segments("leads")[0], HEADER as usize + 100);
    assert_damage(
        &folder,
        "sequences 1..2, already delivered, unless it was removed from quarantine",
    );
    folder.deliver("leads", "7.0", &[("held", "1.0")]);
    assert_damage(&folder, "sequences 1..2, undelivered");
}

#[test]
fn a_damaged_header_is_found_and_costs_no_delivery() {
    let folder = Folder::with(&[("leads", 10)]);
    flip(&folder.segments("leads")[1], 20);
    assert_damage(&folder, "no delivery is lost by it");
    assert!(verify(&folder).out.contains("10 deliveries"));
}

#[test]
fn a_torn_tail_in_the_segment_being_written_is_no_damage() {
    let folder = Folder::with(&[("leads", 10)]);
    let last = folder.segments("leads").pop().unwrap();
    let whole = fs::read(&last).unwrap();
    let length = frame("leads", 200) as usize;
    let begin = whole.len() - length;
    for kept in [1, 31, 32, 33, 100, length - 1] {
        fs::write(&last, &whole[..begin + kept]).unwrap();
        let ended = verify(&folder);
        assert_eq!(ended.code, 0, "{kept} bytes: {}", ended.out);
        let range = format!("bytes {begin}..{}: a write that is not done", begin + kept);
        assert!(ended.out.contains(&range), "{kept} bytes: {}", ended.out);
        assert!(ended.out.contains("9 deliveries: all whole"), "{kept} bytes: {}", ended.out);
    }
}

#[test]
fn a_segment_that_is_only_begun_is_no_damage() {
    let folder = Folder::with(&[("leads", 3)]);
    let begun = folder.path().join("leads/segments/00000000000000000004.segment");
    for length in [0, 1, 63] {
        fs::write(&begun, &fs::read(&folder.segments("leads")[0]).unwrap()[..length]).unwrap();
        let ended = verify(&folder);
        assert_eq!(ended.code, 0, "{length} bytes: {}", ended.out);
        fs::remove_file(&begun).unwrap();
    }
}

#[test]
fn a_torn_tail_in_a_segment_that_is_done_is_damage() {
    let folder = Folder::with(&[("leads", 10)]);
    let first = folder.segments("leads")[0].clone();
    let whole = fs::read(&first).unwrap();
    fs::write(&first, &whole[..whole.len() - 1]).unwrap();
    let deliveries = (whole.len() as u64 - HEADER) / frame("leads", 200);
    let range = format!("sequences {deliveries}..{}, undelivered", deliveries + 1);
    assert_damage(&folder, &range);
}

#[test]
fn a_last_frame_of_full_length_that_went_bad_is_damage() {
    let folder = Folder::with(&[("leads", 10)]);
    let last = folder.segments("leads").pop().unwrap();
    let end = fs::metadata(&last).unwrap().len();
    flip(&last, end as usize - 1);
    let from = end - frame("leads", 200);
    assert_damage(&folder, &format!("bytes {from}..{end}, sequences 10..11, undelivered"));
}

#[test]
fn bytes_that_are_no_frame_at_the_end_are_damage_and_the_spool_s_own_writer_agrees() {
    let folder = Folder::with(&[("leads", 10)]);
    append_bytes(&folder.segments("leads").pop().unwrap(), &[7; 100]);
    // As many deliveries as 100 bytes have room for may have stood there, and their numbers are
    // never given again.
    assert_damage(&folder, "sequences 11..14, undelivered");
    folder.append("leads", [body(11, 200)]);
    assert_damage(&folder, "sequences 11..14, undelivered");
}

#[test]
fn a_segment_missing_in_the_middle_is_told_with_its_deliveries() {
    let folder = Folder::with(&[("leads", 10)]);
    let segments = folder.segments("leads");
    let number = |index: usize| -> u64 {
        segments[index].file_stem().unwrap().to_str().unwrap().parse().unwrap()
    };
    fs::remove_file(&segments[1]).unwrap();
    assert_damage(&folder, &format!("sequences {}..{}, undelivered", number(1), number(2)));
}

#[test]
fn missing_first_segments_are_damage_unless_they_were_delivered() {
    let folder = Folder::with(&[("leads", 10)]);
    let segments = folder.segments("leads");
    fs::remove_file(&segments[0]).unwrap();
    let first: u64 = segments[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert_damage(&folder, &format!("sequences 1..{first}, undelivered"));
    folder.deliver("leads", &format!("{first}.0"), &[]);
    assert_eq!(verify(&folder).code, 0);
}

#[test]
fn a_segment_of_another_spool_is_told_and_the_others_are_checked_all_the_same() {
    let folder = Folder::with(&[("leads", 10), ("other", 1)]);
    fs::copy(&folder.segments("other")[0], &folder.segments("leads")[0]).unwrap();
    let ended = verify(&folder);
    assert_eq!(ended.code, 1);
    for word in ["move it away", "1 segment could not be read", "other: 1 segment"] {
        assert!(ended.out.contains(word), "{word} in\n{}", ended.out);
    }
}

#[test]
fn a_newer_format_is_refused_and_not_taken_for_damage() {
    let folder = Folder::with(&[("leads", 10)]);
    let first = folder.segments("leads")[0].clone();
    let mut bytes = fs::read(&first).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&first, bytes).unwrap();
    let ended = verify(&folder);
    assert_eq!(ended.code, 1);
    assert!(
        ended.out.contains("newer format (format version 2, but this program reads 1)"),
        "{}",
        ended.out
    );
}

#[test]
fn the_process_ends_with_0_or_1_and_shows_no_bar_where_there_is_no_terminal() {
    let folder = Folder::with(&[("leads", 10)]);
    let whole = folder.command(&["verify"]).output().unwrap();
    assert_eq!((whole.status.code(), &whole.stderr[..]), (Some(0), &b""[..]));
    flip(&folder.segments("leads")[0], 200);
    let damaged = folder.command(&["verify"]).output().unwrap();
    assert_eq!((damaged.status.code(), &damaged.stderr[..]), (Some(1), &b""[..]));
}

#[test]
fn a_frame_larger_than_the_buffer_is_checked_too() {
    let folder = Folder::new();
    folder.append("leads", [body(1, 3_000_000), body(2, 10)]);
    assert_eq!(verify(&folder).code, 0);
    flip(&folder.segments("leads")[0], 2_900_000);
    assert_damage(&folder, "sequences 1..2, undelivered");
}

#[test]
fn a_last_segment_that_is_gone_is_damage() {
    let folder = Folder::with(&[("leads", 9)]);
    folder.stop("leads");
    let last = folder.segments("leads").pop().unwrap();
    fs::remove_file(&last).unwrap();
    let ended = folder.tool(&["verify"]);
    assert_eq!(ended.code, 1, "{}", ended.out);
    let line = format!("{}, the last segment, is gone", last.display());
    assert!(ended.out.contains(&format!("DAMAGE {line}")), "{}", ended.out);
    assert!(ended.out.contains("sequences 7..10, and perhaps later ones"), "{}", ended.out);
    let seen = folder.tool(&["inspect"]);
    assert_eq!(seen.code, 1, "{}", seen.out);
    assert!(seen.out.contains(&line), "{}", seen.out);
}

#[test]
fn a_source_whose_folder_is_gone_is_named_by_every_tool() {
    for gone in ["leads", "leads/segments"] {
        let folder = Folder::with(&[("leads", 10), ("other", 1)]);
        fs::remove_dir_all(folder.path().join(gone)).unwrap();
        for tool in ["verify", "inspect", "export"] {
            let ended = folder.tool(&[tool]);
            assert_eq!(ended.code, 1, "{tool} without {gone}: {ended:?}");
            let said = ended.out + &ended.errors;
            assert!(said.contains("leads/segments is gone"), "{tool} without {gone}:\n{said}");
            assert!(said.contains("leads.extent"), "{tool} without {gone}:\n{said}");
        }
    }
}

#[test]
fn a_last_segment_that_was_cut_is_damage_with_the_missing_deliveries() {
    let folder = Folder::with(&[("leads", 9)]);
    folder.stop("leads");
    assert_eq!(verify(&folder).code, 0);
    let last = folder.segments("leads").pop().unwrap();
    let whole = fs::read(&last).unwrap();
    let frame = frame("leads", 200);
    let cuts = [(HEADER + 2 * frame, 9), (HEADER + frame + 40, 8), (HEADER + frame, 8)];
    for (length, lost) in cuts.into_iter().chain([(HEADER, 7), (10, 7), (0, 7)]) {
        fs::write(&last, &whole[..length as usize]).unwrap();
        assert_damage(&folder, &format!("sequences {lost}..10, undelivered"));
        let lost = format!("sequences {lost}..10");
        for tool in ["inspect", "export"] {
            let ended = folder.tool(&[tool]);
            let said = ended.out + &ended.errors;
            assert!(said.contains(&lost), "{tool}, {length} bytes:\n{said}");
        }
    }
    // The service says the same, and numbers go on behind them.
    folder.append("leads", [body(10, 200)]);
    assert_damage(&folder, "sequences 7..10, undelivered");
}
