//! The layer itself, by programs that every machine has: what they do not sync is lost, and what they
//! sync stays.

use std::{fs, path::Path, process::Command};

use crate::volume::{Unsynced, Volume};

/// Runs a script on the volume, as a program that is killed when it is done.
#[track_caller]
fn run(volume: &Volume, script: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", script]).current_dir(volume.path()).envs(volume.environment());
    let output = shell.output().expect("a shell can be started");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Names with contents, in order; a directory has none.
fn contents(folder: &Path) -> Vec<(String, Option<String>)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .expect("the volume is there")
        .map(|entry| {
            let path = entry.expect("the volume can be read").path();
            let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).ok())
        })
        .collect();
    found.sort();
    found
}

/// Runs each script and cuts the power after it; the files that are left in the end, as `name=content`.
#[track_caller]
fn left_of(scripts: &[&str]) -> Vec<String> {
    let mut volume = Volume::new(1, 0);
    for script in &scripts[..scripts.len() - 1] {
        run(&volume, script);
        volume.cut(Unsynced::Lost);
    }
    run(&volume, scripts[scripts.len() - 1]);
    volume.cut(Unsynced::Lost);
    let named = |(name, content): (String, Option<String>)| match content {
        Some(content) => format!("{name}={content}"),
        None => name,
    };
    contents(&volume.path()).into_iter().map(named).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_program_that_syncs_nothing_loses_its_write() {
    assert_eq!(left_of(&["printf written > file"]), NOTHING);
    assert_eq!(left_of(&["mkdir folder; printf written > folder/file; sync folder"]), NOTHING);
}

#[test]
fn a_program_that_syncs_the_file_alone_loses_its_name() {
    assert_eq!(left_of(&["printf written > file; sync file"]), NOTHING);
    assert_eq!(left_of(&["printf written > file; sync --data file"]), NOTHING);
}

#[test]
fn a_program_that_syncs_the_directory_alone_loses_the_bytes() {
    assert_eq!(left_of(&["printf written > file; sync ."]), ["file="]);
}

#[test]
fn a_program_that_syncs_both_loses_nothing() {
    assert_eq!(left_of(&["printf written > file; sync file; sync ."]), ["file=written"]);
    assert_eq!(left_of(&["printf written > file; sync .; sync --data file"]), ["file=written"]);
    let nested = "mkdir folder; sync .; printf written > folder/file; sync folder/file folder";
    assert_eq!(left_of(&[nested]), ["folder"]);
}

const A_FILE: &str = "printf old > file; sync file .";

#[test]
fn what_is_appended_overwritten_or_cut_after_a_sync_is_lost() {
    for change in ["printf more >> file", "printf new > file", "truncate --size=1 file"] {
        assert_eq!(left_of(&[A_FILE, change]), ["file=old"], "{change}");
        assert_eq!(left_of(&[&format!("{A_FILE}; {change}")]), ["file=old"], "{change}");
    }
    assert_eq!(left_of(&[A_FILE, "printf more >> file; sync file"]), ["file=oldmore"]);
    assert_eq!(left_of(&[A_FILE, "truncate --size=1 file; sync file"]), ["file=o"]);
}

#[test]
fn a_rename_and_a_removal_count_from_the_sync_of_the_directory_on() {
    let renamed = "printf new > aside; sync aside; mv aside file";
    assert_eq!(left_of(&[A_FILE, renamed]), ["file=old"]);
    assert_eq!(left_of(&[A_FILE, &format!("{renamed}; sync .")]), ["file=new"]);
    assert_eq!(left_of(&[A_FILE, "rm file"]), ["file=old"]);
    assert_eq!(left_of(&[A_FILE, "rm file; sync ."]), NOTHING);
}

#[test]
fn a_file_that_is_gone_and_comes_back_has_its_own_bytes_not_those_of_the_next_one() {
    // A file system gives the inode of a removed file to the next one.
    let next =
        "rm file; printf next > next; sync next; mv next other; printf more > more; sync more";
    assert_eq!(left_of(&[A_FILE, next]), ["file=old"]);
}

#[test]
fn of_what_is_not_synced_a_disk_may_have_written_any_part() {
    // Two pages and a bit, beside what is synced.
    let script = "printf old > file; sync file .; head --bytes=9000 /dev/zero | tr '\\0' n >> file; \
                  printf new > other";
    let (mut lengths, mut torn, mut others) = (Vec::new(), 0, 0);
    for seed in 1..=40 {
        let mut volume = Volume::new(seed, 0);
        run(&volume, script);
        volume.cut(Unsynced::InPart);
        let left = fs::read_to_string(volume.path().join("file")).expect("a synced file is there");
        assert!(left.starts_with("old"), "what is synced stays");
        lengths.push(left.len());
        torn += usize::from(left.contains('\0') && left.contains('n'));
        others += usize::from(volume.path().join("other").exists());
    }
    assert!(lengths.contains(&3), "nothing of it: {lengths:?}");
    assert!(lengths.contains(&9003), "all of it: {lengths:?}");
    assert!(lengths.iter().any(|length| (4..9003).contains(length)), "a part of it: {lengths:?}");
    assert!(torn > 0, "holes in it");
    assert!((1..40).contains(&others), "the name with and without: {others}");
}
