//! The formats on the disk over time: a folder that version 1 has left (`formats/v1`) is opened and
//! everything in it delivered, and a folder that a later version has written into is refused, unchanged.
//!
//! [`make`] made `formats/v1`, and a test holds what it makes today against what the folder means. After
//! a change of a format `MILLRACE_WRITE_FORMATS=tests/tools/formats/v2` keeps the next one; the earlier
//! ones stay, with their tests.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use millrace::{
    config::{self, Config},
    deliver::{dead_letter::DeadLetter, quarantine::Quarantine},
    kafka::{Fault, MockCluster, Reader, Select},
    runtime::shutdown::{Phase, Shutdown},
    service::{self, DrainEnd, DrainError},
    source::Origin,
    spool::disk::RealDisk,
};

use crate::folder::{FIRST_AT, Folder, position, source};

const PATIENCE: Duration = Duration::from_secs(60);

const CLICKS: &str = "marketo.lead-activity.clicklink";
const OPENS: &str = "marketo.lead-activity.openemail";
const AUDITS: &str = "marketo.user-audit.email";

/// What is repeated is known however old the folder is.
const LONG: &str = "36500d";

fn activity(n: u64, kind: (u64, &str)) -> String {
    let (type_id, name) = kind;
    format!(
        r#""activityDate":"2026-03-02T09:59:58Z","activityTypeId":{type_id},"activityType":"{name}","attributes":[{{"name":"N","value":"é {n}"}}]}}"#
    )
}

const CLICK: (u64, &str) = (3, "Click Link");
const OPEN: (u64, &str) = (10, "Open Email");

/// A batch of Marketo's with two activities.
fn batch(n: u64) -> Vec<u8> {
    let activities = [CLICK, OPEN].map(|kind| {
        format!(r#"{{"marketoGUID":"{n}-{}","leadId":{n},{}"#, kind.0, activity(n, kind))
    });
    format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{}]}}"#, activities.join(","))
        .into_bytes()
}

fn audit_data(n: u64) -> String {
    format!(
        r#"{{"componentId":{n},"componentType":"Email","eventAction":"approve","munchkinId":"999-XYZ-000"}}"#
    )
}

/// A delivery of Adobe I/O's with one wrapped event.
fn audit(n: u64) -> Vec<u8> {
    let data = audit_data(n);
    format!(
        r#"{{"eventid":"audit-{n}","event":{{"body":{{"specversion":"1.0","type":"com.adobe.platform.marketo.audit.user.email","source":"urn:mlm","time":"2026-03-02T10:00:02Z","datacontenttype":"application/json","data":{data}}}}},"recipientclientid":"0123456789abcdef0123456789abcdef"}}"#
    )
    .into_bytes()
}

/// Topic, key, id and value.
type Record = (String, String, String, String);

/// What is undelivered in the folder: each click once, though its topic was held; of the opened mails
/// those behind what was delivered, without the one that is repeated; and two of the audits.
fn undelivered() -> BTreeSet<Record> {
    let lead = |topic: &str, kind: (u64, &str), n: u64| {
        let value = format!(r#"{{"munchkinId":"999-XYZ-000","leadId":"{n}",{}"#, activity(n, kind));
        (topic.to_owned(), format!("999-XYZ-000:{n}"), format!("{n}-{}", kind.0), value)
    };
    let audit = |n: u64| {
        let key = format!("999-XYZ-000:Email:{n}");
        (AUDITS.to_owned(), key, format!("audit-{n}"), audit_data(n))
    };
    let clicks = (1..=12).map(|n| lead(CLICKS, CLICK, n));
    let opens = (9..=12).map(|n| lead(OPENS, OPEN, n));
    clicks.chain(opens).chain((5..=6).map(audit)).collect()
}

fn config(folder: &Folder, cluster: &MockCluster) -> Config {
    let directory = folder.path().to_str().unwrap();
    let environment = [
        ("KAFKA__BOOTSTRAP_SERVERS", cluster.bootstrap()),
        ("SOURCES__LEADS__KIND", "marketo-lead-activity"),
        ("SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
        ("SOURCES__EVENTS__KIND", "adobe-io"),
        ("SOURCES__EVENTS__AUTH__CLIENT_IDS", "0123456789abcdef0123456789abcdef"),
        ("SPOOL__DIRECTORY", directory),
        ("SPOOL__SIZE_LIMIT", "129MiB"),
        ("SPOOL__RESERVE", "66MiB"),
        ("DEDUPLICATE__WINDOW", LONG),
        ("FORWARD__HOLD_AFTER", "1s"),
    ]
    .map(|(key, value)| (format!("MILLRACE_{key}"), value.to_owned()));
    let config = config::load(None, environment);
    let mut config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.kafka.properties = cluster.properties();
    config
}

fn cluster() -> MockCluster {
    let cluster = MockCluster::start(1).unwrap();
    for topic in [CLICKS, OPENS, AUDITS, "marketo.dead-letter"] {
        cluster.create_topic(topic, 1).unwrap();
    }
    cluster
}

/// Drains until nothing is left or `stop` says so.
fn drain(
    folder: &Folder,
    cluster: &MockCluster,
    mut stop: impl FnMut() -> bool,
) -> Result<DrainEnd, DrainError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (shutdown, maker) = (Shutdown::new(), Some(cluster.topic_maker(1)));
    let (config, until) = (config(folder, cluster), shutdown.clone());
    let mut look = |_: &[service::Left]| {
        if stop() {
            shutdown.advance(Phase::Closing);
        }
    };
    let draining = service::drain(config, maker, until, None, &mut look);
    runtime.block_on(async { tokio::time::timeout(PATIENCE, draining).await.unwrap() })
}

/// A folder as a service leaves it that was killed: two sources, delivered and undelivered segments, a
/// held topic, ids of what was delivered, an item in quarantine, and a write that was cut short.
fn make(folder: &Folder) {
    let cluster = cluster();
    cluster.fail_topic(CLICKS, Some(Fault::TopicAuthorizationFailed)).unwrap();
    folder.append("leads", (1..=8).map(batch));
    folder.append("events", (1..=4).map(audit));
    let is_done = || {
        let sources = folder.inspect().1["sources"].clone();
        let of = |n: usize, what: &str| sources[n][what].as_str().unwrap_or_default().to_owned();
        let held = sources[1]["held_topics"].as_array().is_some_and(|held| held.len() == 1);
        held && of(0, "lowest") == "5.0" && of(1, "low") == "9.0"
    };
    assert_eq!(drain(folder, &cluster, is_done).unwrap(), DrainEnd::Stopped);

    folder.append("leads", (9..=12).map(batch).chain([batch(3)]));
    folder.append("events", (5..=6).map(audit));
    let (leads, key, original) = (source("leads"), Some(&b"999-XYZ-000:4"[..]), &b"{\"a\":1}"[..]);
    let letter = DeadLetter {
        reason: "too-large",
        error: "an example",
        source: &leads,
        origin: Origin::Sender,
        position: position("4.1"),
        original_topic: Some(OPENS),
        key,
        original,
    };
    let quarantine = Quarantine::new(Arc::new(RealDisk), &folder.path().join("leads"));
    quarantine.keep(&letter, FIRST_AT).unwrap();
    folder.append("leads", [batch(99)]);
    let last = folder.segments("leads").pop().unwrap();
    let length = fs::metadata(&last).unwrap().len();
    File::options().write(true).open(&last).unwrap().set_len(length - 7).unwrap();
}

/// A copy of the folder that version 1 has left.
fn version_1() -> Folder {
    let folder = Folder::new();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/formats/v1");
    copy(&kept, folder.path());
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Every record of every topic; a panic if one is there twice.
fn records(cluster: &MockCluster) -> BTreeSet<Record> {
    let kafka = config::Kafka {
        bootstrap_servers: cluster.bootstrap().into(),
        properties: Default::default(),
        queue_size: config::Kafka::QUEUE_SIZE,
        delivery: Default::default(),
    };
    let mut reader = Reader::open(&kafka, Select::Prefix("marketo.".into())).unwrap();
    let mut found = BTreeSet::new();
    loop {
        let read = reader.read(10_000, Duration::from_millis(100)).unwrap();
        if read.is_empty() && reader.is_at_end().unwrap() {
            return found;
        }
        for record in read {
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            let id = record.header("ce_id").unwrap_or("no event").to_owned();
            let key = text(record.key.as_deref());
            let record = (record.topic.clone(), key, id, text(record.value.as_deref()));
            assert!(found.insert(record.clone()), "twice: {record:?}");
        }
    }
}

#[track_caller]
fn assert_delivers_everything(folder: &Folder) {
    let quarantine = || {
        let mut snapshot = folder.snapshot();
        snapshot.retain(|path, _| path.to_str().unwrap().contains("/quarantine/"));
        snapshot
    };
    let before = quarantine();
    assert_eq!(before.len(), 2);
    let cluster = cluster();
    assert_eq!(drain(folder, &cluster, || false).unwrap(), DrainEnd::Empty);
    assert_eq!(records(&cluster), undelivered());
    assert_eq!(quarantine(), before);
}

#[test]
fn a_folder_of_version_1_is_opened_and_exactly_what_is_undelivered_is_delivered() {
    assert_delivers_everything(&version_1());
}

#[test]
fn what_is_written_today_means_what_version_1_meant() {
    let folder = Folder::new();
    make(&folder);
    if let Some(place) = std::env::var_os("MILLRACE_WRITE_FORMATS") {
        copy(folder.path(), Path::new(&place));
    }
    assert_delivers_everything(&folder);
}

#[test]
fn the_tools_read_a_folder_of_version_1_and_change_nothing() {
    let folder = version_1();
    let before = folder.snapshot();
    let (code, all) = folder.inspect();
    assert_eq!(code, 0, "{all}");
    let (events, leads) = (&all["sources"][0], &all["sources"][1]);
    assert_eq!((&events["low"], &events["end"]), (&"5.0".into(), &7.into()));
    assert_eq!((&leads["low"], &leads["end"]), (&"9.0".into(), &14.into()));
    assert_eq!(leads["lowest"], "1.0");
    assert_eq!(leads["held_topics"][0]["topic"], CLICKS);
    assert_eq!(folder.tool(&["verify"]).code, 0);
    assert_eq!(folder.tool(&["export"]).out.lines().count(), 13 + 6);
    assert!(folder.snapshot() == before);
}

#[test]
fn a_field_that_a_later_program_adds_to_a_checkpoint_is_passed_over() {
    let folder = version_1();
    rewrite_checkpoint(&folder, |json| json.replacen('{', r#"{"later":{"a":[1]},"#, 1));
    assert_delivers_everything(&folder);
}

/// The checkpoint of `leads`, its checksum made right again.
fn rewrite_checkpoint(folder: &Folder, change: impl Fn(&str) -> String) -> PathBuf {
    let path = folder.path().join("leads/checkpoint");
    let text = fs::read_to_string(&path).unwrap();
    let json = change(text.lines().next().unwrap());
    fs::write(&path, format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()))).unwrap();
    path
}

/// The file `name`, with its version at byte 8 one higher; the checksum of its first bytes, where there
/// is one behind them, made right again.
fn raise_version(path: PathBuf, checksum_at: Option<usize>) -> PathBuf {
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] += 1;
    if let Some(at) = checksum_at {
        let sum = crc32c::crc32c(&bytes[..at]).to_le_bytes();
        bytes[at..at + 4].copy_from_slice(&sum);
    }
    fs::write(&path, bytes).unwrap();
    path
}

/// What a later version may have written, by what it changes in a folder of this one.
type Change = fn(&Folder) -> PathBuf;

/// Each with the latest version of its format that this program reads.
const LATER: [(&str, u32, Change); 9] = [
    ("identity", 1, |folder| {
        let path = folder.path().join("leads/identity");
        let covered = r#"{"version":2,"surprise":true"#;
        let sum = crc32c::crc32c(covered.as_bytes());
        fs::write(&path, format!("{covered},\"checksum\":\"{sum:08x}\"}}\n")).unwrap();
        path
    }),
    ("extent", 1, |folder| {
        let path = folder.path().join("leads.extent");
        let json = r#"{"version":2,"surprise":true}"#;
        fs::write(&path, format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()))).unwrap();
        path
    }),
    ("checkpoint", 2, |folder| {
        rewrite_checkpoint(folder, |json| json.replace(r#""version":1"#, r#""version":3"#))
    }),
    ("writers", 1, |folder| {
        let path = folder.path().join("leads/writers");
        let json = r#"{"version":2,"surprise":true}"#;
        fs::write(&path, format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()))).unwrap();
        path
    }),
    ("selections", 1, |folder| {
        let path = folder.path().join("leads/selections");
        let json = r#"{"version":2,"surprise":true}"#;
        fs::write(&path, format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()))).unwrap();
        path
    }),
    ("first segment", 1, |folder| {
        raise_version(folder.segments("leads").first().unwrap().clone(), Some(60))
    }),
    ("last segment", 1, |folder| {
        raise_version(folder.segments("leads").last().unwrap().clone(), Some(60))
    }),
    ("ids", 1, |folder| {
        raise_version(folder.path().join("leads/ids/00000000000000000001.ids"), Some(28))
    }),
    ("the key of the ids", 1, |folder| {
        raise_version(folder.path().join("deduplicate.key"), Some(28))
    }),
];

#[test]
fn a_later_format_is_refused_with_its_name_and_version_and_what_to_do_and_nothing_is_changed() {
    for (what, known, change) in LATER {
        let newer = format!("version {}", known + 1);
        let folder = version_1();
        let path = change(&folder);
        let path = path.to_str().unwrap();
        let before = folder.snapshot();
        let cluster = cluster();
        let refused = drain(&folder, &cluster, || false).unwrap_err().to_string();
        for word in [path, &newer, &format!("this program reads {known}")] {
            assert!(refused.contains(word), "{what}: {word} in {refused}");
        }
        let is_told_what_to_do = ["start the newer version again", "use the version that wrote it"]
            .map(|it| refused.contains(it));
        assert!(is_told_what_to_do.contains(&true), "{what}: {refused}");
        assert!(folder.snapshot() == before, "{what}: something was changed");
        for tool in ["inspect", "verify"] {
            let ended = folder.tool(&[tool]);
            assert_eq!(ended.code, 1, "{what}, {tool}: {}", ended.out);
            for word in [path, &newer] {
                assert!(ended.out.contains(word), "{what}, {tool}: {word} in\n{}", ended.out);
            }
        }
        assert!(folder.snapshot() == before, "{what}: a tool has changed something");
        assert!(records(&cluster).is_empty(), "{what}: something was delivered");
    }
}

#[test]
fn a_wrong_byte_where_a_version_stands_is_damage_and_the_start_goes_on_without_those_ids() {
    let folder = version_1();
    raise_version(folder.path().join("leads/ids/00000000000000000001.ids"), None);
    raise_version(folder.path().join("deduplicate.key"), None);
    let cluster = cluster();
    assert_eq!(drain(&folder, &cluster, || false).unwrap(), DrainEnd::Empty);
    assert!(records(&cluster).is_superset(&undelivered()));
}

#[test]
fn a_wrong_byte_in_the_version_of_an_identity_is_named_damage_and_stops_its_source_alone() {
    let folder = version_1();
    let path = folder.path().join("leads/identity");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(r#""version":1"#, r#""version":3"#)).unwrap();
    let cluster = cluster();
    let ended = drain(&folder, &cluster, || false).unwrap_err().to_string();
    assert!(ended.contains("leads") && ended.contains("damaged"), "{ended}");
    let topics: BTreeSet<_> = records(&cluster).into_iter().map(|record| record.0).collect();
    assert_eq!(topics, BTreeSet::from([AUDITS.to_owned()]), "the other source was drained");
}
