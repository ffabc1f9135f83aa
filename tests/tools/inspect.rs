//! `millrace spool inspect`.

use std::fs;

use crate::folder::{FIRST_AT, Folder, frame};

#[test]
fn the_backlog_counts_from_the_oldest_undelivered_delivery_held_topics_included() {
    let folder = Folder::with(&[("leads", 10)]);
    folder.deliver("leads", "8.2", &[("marketo.a", "5.1"), ("marketo.b", "6.0")]);
    let (code, all) = folder.inspect();
    assert_eq!(code, 0);
    let leads = &all["sources"][0];
    assert_eq!(leads["source"], "leads");
    assert_eq!((&leads["low"], &leads["lowest"]), (&"8.2".into(), &"5.1".into()));
    assert_eq!(leads["end"], 11);
    let undelivered = &leads["undelivered"];
    assert_eq!(undelivered["deliveries"], 6);
    assert_eq!(undelivered["bytes"], 6 * frame("leads", 200));
    assert_eq!(undelivered["oldest_received_at"], "2026-02-02T02:40:04.000Z");
    assert!(undelivered["oldest_age_ms"].as_u64().unwrap() > 0);
    let held = leads["held_topics"].as_array().unwrap();
    assert_eq!(held.len(), 2);
    assert_eq!(held[0]["topic"], "marketo.a");
    assert_eq!(held[1]["position"], "6.0");
    assert_eq!(held[1]["oldest_received_at"], "2026-02-02T02:40:05.000Z");
}

#[test]
fn what_the_tool_counts_is_what_the_spool_itself_counts() {
    for low in ["1.0", "2.3", "4.0", "7.1", "10.0", "11.0"] {
        let folder = Folder::with(&[("leads", 10)]);
        folder.deliver("leads", low, &[]);
        let own = folder.open("leads").1.undelivered();
        let (_, all) = folder.inspect();
        let undelivered = &all["sources"][0]["undelivered"];
        assert_eq!(undelivered["deliveries"], own.deliveries, "{low}");
        assert_eq!(undelivered["bytes"], own.bytes, "{low}");
        assert_eq!(undelivered["oldest_age_ms"].is_null(), own.oldest.is_none(), "{low}");
    }
}

#[test]
fn a_checkpoint_ahead_of_what_the_disk_kept_counts_as_the_spool_counts_it() {
    for low in ["15.0", "15.2"] {
        let folder = Folder::with(&[("leads", 10)]);
        folder.deliver("leads", low, &[]);
        let (_, all) = folder.inspect();
        let (writer, own) = folder.open("leads");
        let leads = &all["sources"][0];
        assert_eq!(leads["end"], own.durable_end(), "{low}");
        assert_eq!(leads["undelivered"]["deliveries"], own.undelivered().deliveries, "{low}");
        assert_eq!(leads["undelivered"]["bytes"], own.undelivered().bytes, "{low}");
        drop(writer);
    }
}

#[test]
fn segments_stand_with_their_sequences_and_whether_they_are_delivered() {
    let folder = Folder::with(&[("leads", 10)]);
    folder.deliver("leads", "5.0", &[]);
    let (_, all) = folder.inspect();
    let segments = all["sources"][0]["segments"].as_array().unwrap().clone();
    let files = folder.segments("leads");
    assert!(files.len() > 2);
    assert_eq!(segments.len(), files.len());
    let mut next = 1;
    for (segment, file) in segments.iter().zip(&files) {
        assert_eq!(segment["file"], file.to_str().unwrap());
        assert_eq!(segment["first_sequence"], next);
        assert_eq!(segment["bytes"], fs::metadata(file).unwrap().len());
        next = segment["next_sequence"].as_u64().unwrap();
        assert_eq!(segment["delivered"], next <= 5);
    }
    assert_eq!(next, 11);
    let delivered = segments.iter().filter(|segment| segment["delivered"] == true);
    let kept: u64 = delivered.map(|segment| segment["bytes"].as_u64().unwrap()).sum();
    assert!(kept > 0);
    assert_eq!(all["sources"][0]["kept_delivered_bytes"], kept);
}

#[test]
fn quarantined_items_are_counted_and_half_written_ones_are_not() {
    let folder = Folder::with(&[("leads", 1)]);
    let quarantine = folder.path().join("leads/quarantine");
    fs::create_dir(&quarantine).unwrap();
    for (name, text) in
        [("a.bytes", "12345"), ("a.json", "{}"), ("b.bytes", "1"), ("c.bytes.new", "")]
    {
        fs::write(quarantine.join(name), text).unwrap();
    }
    let (code, all) = folder.inspect();
    assert_eq!(code, 0);
    let found = &all["sources"][0]["quarantine"];
    assert_eq!((&found["items"], &found["bytes"]), (&1.into(), &5.into()));
}

#[test]
fn the_table_for_people_has_a_row_a_source_and_its_held_topics_and_segments() {
    let folder = Folder::with(&[("leads", 10), ("other", 1)]);
    folder.deliver("leads", "8.0", &[("marketo.a", "5.1")]);
    let ended = folder.tool(&["inspect"]);
    assert_eq!((ended.code, &ended.errors[..]), (0, ""));
    for word in ["undelivered", "delivered to 8.0, stored to 11", "marketo.a", "5.1", ".segment"] {
        assert!(ended.out.contains(word), "{word} in\n{}", ended.out);
    }
    for name in ["leads", "other"] {
        assert!(ended.out.lines().any(|line| line.starts_with(name)), "{}", ended.out);
    }
    let kept: Vec<_> = ended.out.lines().filter(|line| line.ends_with("partly")).collect();
    assert_eq!(kept.len(), 1, "{}", ended.out);
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_rest_is_shown_all_the_same() {
    let folder = Folder::with(&[("leads", 5), ("other", 2)]);
    fs::write(folder.path().join("leads/checkpoint"), "{}\n00000000\n").unwrap();
    let (code, all) = folder.inspect();
    assert_eq!(code, 1);
    let problems = all["sources"][0]["problems"].as_array().unwrap();
    assert!(problems[0].as_str().unwrap().contains("checksum does not match"), "{problems:?}");
    assert_eq!(all["sources"][0]["undelivered"]["deliveries"], 5);
    assert_eq!(all["sources"][1]["problems"].as_array().unwrap().len(), 0);
    assert_eq!(all["sources"][1]["undelivered"]["deliveries"], 2);
}

#[test]
fn that_another_instance_goes_on_is_told_with_what_to_do() {
    let folder = Folder::with(&[("leads", 5)]);
    fs::write(folder.path().join("leads/fenced"), "another instance goes on").unwrap();
    let (code, all) = folder.inspect();
    assert_eq!(code, 1);
    let problem = all["sources"][0]["problems"][0].as_str().unwrap();
    assert!(problem.contains("another instance goes on. If this"), "{problem}");
    assert_eq!(all["sources"][0]["undelivered"]["deliveries"], 5);
}

#[test]
fn a_lost_identity_is_told_with_what_to_do() {
    let folder = Folder::with(&[("leads", 5)]);
    fs::remove_file(folder.path().join("leads/identity")).unwrap();
    let ended = folder.tool(&["inspect"]);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("write `{\"version\":1,\"spool\":"), "{}", ended.out);
}

#[test]
fn the_time_of_the_first_delivery_is_the_one_that_the_tests_reckon_with() {
    let folder = Folder::with(&[("leads", 1)]);
    let (_, all) = folder.inspect();
    let expected = jiff::Timestamp::from_millisecond(FIRST_AT as i64).unwrap();
    let shown = all["sources"][0]["undelivered"]["oldest_received_at"].clone();
    assert_eq!(shown.as_str().unwrap().parse::<jiff::Timestamp>().unwrap(), expected);
}
