//! What is wrong with the files of one source stops that source, and no other; and what lies on the disk
//! is for the service's user alone.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{
    bridge::{Bridge, LEADS, Settings, TOKEN},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(60);
const OTHER: &str = "/v1/other";
const BATCH: &[u8] = br#"{"munchkinId":"999-XYZ-000","activities":[]}"#;

fn two_sources() -> Settings {
    Settings::new("127.0.0.1:1", "unused")
        .set("SOURCES__OTHER__KIND", "marketo-lead-activity")
        .set("SOURCES__OTHER__AUTH__TOKENS", TOKEN)
}

fn status(bridge: &Bridge, path: &str) -> u16 {
    bridge.client().deliver(path, TOKEN, BATCH).unwrap().status
}

/// Breaks the folder of the source `leads` while the service is down; only its deliveries are refused.
#[track_caller]
fn only_leads_is_set_aside(what: &str, spoil: impl Fn(&Path)) {
    let mut bridge = Bridge::start(two_sources());
    assert_eq!((status(&bridge, LEADS), status(&bridge, OTHER)), (200, 200));
    bridge.kill();
    spoil(&bridge.spool().join("leads"));
    bridge.restart();
    assert_eq!(bridge.readiness(), Some(200), "{what}");
    assert_eq!((status(&bridge, LEADS), status(&bridge, OTHER)), (503, 200), "{what}");
    let wrong_token = bridge.client().deliver(LEADS, "wrong", BATCH).unwrap().status;
    assert_eq!(wrong_token, 401, "{what}: who may deliver is still asked");
    let gauge = |source: &str| {
        bridge.metric("millrace_source_set_aside", &[&format!("source=\"{source}\"")])
    };
    assert_eq!((gauge("leads"), gauge("other")), (1.0, 0.0), "{what}");
    let labels = ["source=\"leads\"", "outcome=\"set-aside\""];
    assert_eq!(bridge.metric("millrace_deliveries_total", &labels), 1.0, "{what}");
    assert!(bridge.log().iter().any(|line| line.contains("set aside")), "{what}");
    bridge.terminate();
    assert!(bridge.wait(PATIENCE).success(), "{what}");
}

#[test]
fn a_damaged_checkpoint_stops_its_own_source_and_no_other() {
    only_leads_is_set_aside("checkpoint", |leads| {
        fs::write(leads.join("checkpoint"), "{}\n00000000\n").unwrap();
    });
}

#[test]
fn a_damaged_identity_stops_its_own_source_and_no_other() {
    only_leads_is_set_aside("identity", |leads| fs::write(leads.join("identity"), "{}").unwrap());
}

#[test]
fn a_fenced_source_stops_alone() {
    only_leads_is_set_aside("fence", |leads| fs::write(leads.join("fenced"), "another").unwrap());
}

#[test]
fn a_folder_that_can_not_be_used_stops_its_own_source_and_no_other() {
    only_leads_is_set_aside("folder", |leads| {
        fs::rename(leads, leads.with_file_name("moved-away")).unwrap();
        fs::write(leads, "no folder").unwrap();
    });
}

#[test]
fn idle_strangers_leave_files_for_the_next_segment_however_few_there_are() {
    let settings = Settings::new("127.0.0.1:1", "unused")
        .set("SPOOL__SEGMENT_SIZE", "4KiB")
        .under(&["prlimit", "--nofile=700:700"]);
    let bridge = Bridge::start(settings);
    let strangers: Vec<_> = (0..800)
        .filter_map(|_| {
            let mut stranger = TcpStream::connect(bridge.deliveries()).ok()?;
            stranger.write_all(b"POST /v1/leads HTTP/1.1\r\n").ok()?;
            Some(stranger)
        })
        .collect();
    let stored = wait::until_some("64 stored deliveries", PATIENCE, {
        let (mut stored, bridge) = (0, &bridge);
        move || {
            let answer = bridge.client().deliver(LEADS, TOKEN, &[b' '; 2000]);
            stored += u32::from(answer.is_ok_and(|answer| answer.status == 200));
            (stored >= 64).then_some(stored)
        }
    });
    assert!(stored >= 64 && bridge.files(".segment").len() > 20, "many segments were begun");
    assert_eq!(bridge.metric("millrace_spool_poisoned", &[]), 0.0);
    drop(strangers);
}

#[test]
fn everything_on_the_disk_is_for_the_service_alone_and_no_core_is_dumped() {
    let bridge = Bridge::start(two_sources().under(&["sh", "-c", "umask 0; exec \"$@\"", "sh"]));
    assert_eq!(status(&bridge, LEADS), 200);
    let mut folders: Vec<PathBuf> =
        vec![bridge.spool().join("leads"), bridge.spool().join("other")];
    let mut files = vec![bridge.spool().join("lock"), bridge.spool().join("leads.extent")];
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", bridge.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
