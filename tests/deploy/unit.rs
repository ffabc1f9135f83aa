//! The systemd unit.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    program::check,
    tools::{read, run},
};

/// As far as a service with a network and a disk can be shut in; 10 is one that is not.
const EXPOSURE: &str = "15";

/// The unit, with this build's binary, so that systemd finds it.
fn unit(folder: &Path) -> PathBuf {
    let unit = read("deploy/systemd/millrace.service");
    let unit = unit.replace("/usr/local/bin/millrace", env!("CARGO_BIN_EXE_millrace"));
    let file = folder.join("millrace.service");
    fs::write(&file, unit).expect("it can be written");
    file
}

#[test]
fn systemd_understands_the_unit() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = unit(folder.path());
    let verify = ["verify".as_ref(), file.as_os_str()];
    let verified = run(Command::new("systemd-analyze"), verify, "");
    assert!(verified.fine && !verified.errors.contains("millrace"), "{verified:?}");
}

#[test]
fn the_unit_is_shut_in() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = unit(folder.path());
    let file = file.to_str().expect("it is UTF-8");
    let threshold = format!("--threshold={EXPOSURE}");
    let arguments = ["security", "--offline=true", "--no-pager", &threshold, file];
    run(Command::new("systemd-analyze"), arguments, "").expect_fine("the exposure");
}

#[test]
fn the_unit_waits_longer_than_a_stop_takes() {
    let unit = read("deploy/systemd/millrace.service");
    let timeout = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let timeout: u32 = timeout.and_then(|t| t.strip_suffix('s')?.parse().ok()).expect("seconds");
    // shutdown.delay, listen.request_timeout and shutdown.flush.
    assert!(timeout > 5 + 8 + 10 + 5, "{timeout}");
}

#[test]
fn the_program_takes_the_environment_that_comes_with_the_unit() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let token = folder.path().join("token");
    fs::write(&token, "a-token\n").expect("it can be written");
    let token = token.to_str().expect("it is UTF-8");
    let text = read("deploy/systemd/environment");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let environment: Vec<_> = lines
        .map(|line| {
            let (name, value) = line.split_once('=').expect("each line is a variable");
            (name.to_owned(), value.replace("/etc/millrace/leads-tokens", token))
        })
        .collect();
    check(&environment).expect_fine("deploy/systemd/environment");
}
