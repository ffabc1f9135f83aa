//! `millrace drain`.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::Duration,
};

use millrace::{
    config::{self, Config},
    kafka::{Fault, MockCluster, Reader, Select},
    runtime::shutdown::{Phase, Shutdown},
    service::{self, DrainEnd, DrainError, StartError},
    spool::OpenError,
};

use crate::{
    folder::Folder,
    support::process::{self, Process},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A batch of Marketo's with one activity of each type.
fn batch(n: u64) -> Vec<u8> {
    let activity = |type_id: u64, name: &str| {
        format!(
            r#"{{"marketoGUID":"{n}-{type_id}","leadId":{n},"activityDate":"2026-03-02T09:59:58Z","activityTypeId":{type_id},"activityType":"{name}","attributes":[]}}"#
        )
    };
    let activities = [activity(3, "Click Link"), activity(10, "Open Email")].join(",");
    format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{activities}]}}"#).into_bytes()
}

const CLICKS: &str = "marketo.lead-activity.clicklink";
const OPENS: &str = "marketo.lead-activity.openemail";

fn environment(folder: &Folder, bootstrap: &str) -> BTreeMap<String, String> {
    let directory = folder.path().to_str().unwrap();
    [
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", bootstrap),
        ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
        ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
        ("MILLRACE_SPOOL__DIRECTORY", directory),
        ("MILLRACE_SPOOL__SIZE_LIMIT", "65MiB"),
        ("MILLRACE_SPOOL__RESERVE", "66MiB"),
        ("MILLRACE_SHUTDOWN__FLUSH", "2s"),
        ("MILLRACE_FORWARD__HOLD_AFTER", "1s"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn config(folder: &Folder, cluster: &MockCluster) -> Config {
    let environment = environment(folder, cluster.bootstrap());
    let mut config =
        config::load(None, environment).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.kafka.properties = cluster.properties();
    config
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.unwrap() })
}

/// How many records each topic has.
fn records(cluster: &MockCluster) -> BTreeMap<String, usize> {
    let kafka = config::Kafka {
        bootstrap_servers: cluster.bootstrap().into(),
        properties: BTreeMap::new(),
        queue_size: config::Kafka::QUEUE_SIZE,
        delivery: Default::default(),
    };
    let mut reader = Reader::open(&kafka, Select::Prefix("marketo.".into())).unwrap();
    let mut counts = BTreeMap::new();
    loop {
        let read = reader.read(10_000, Duration::from_millis(100)).unwrap();
        for record in &read {
            *counts.entry(record.topic.clone()).or_default() += 1;
        }
        if read.is_empty() && reader.is_at_end().unwrap() {
            return counts;
        }
    }
}

#[test]
fn everything_that_is_stored_reaches_its_topic_and_nothing_is_left() {
    let (folder, cluster) = (Folder::new(), MockCluster::start(1).unwrap());
    folder.append("leads", (1..=50).map(batch));
    folder.deliver("leads", "11.1", &[]);
    let mut first_and_last = Vec::new();
    let ended = block_on(service::drain(
        config(&folder, &cluster),
        Some(cluster.topic_maker(2)),
        Shutdown::new(),
        None,
        &mut |left| first_and_last.push(left[0].backlog.deliveries),
    ));
    assert_eq!(ended.unwrap(), DrainEnd::Empty);
    assert_eq!(first_and_last.first(), Some(&40));
    assert_eq!(first_and_last.last(), Some(&0));
    let expected = BTreeMap::from([(CLICKS.to_owned(), 39), (OPENS.to_owned(), 40)]);
    assert_eq!(records(&cluster), expected);
    let (_, all) = folder.inspect();
    assert_eq!(all["sources"][0]["undelivered"]["deliveries"], 0);
    assert_eq!(all["sources"][0]["low"], "51.0");
}

#[test]
fn a_held_topic_is_waited_for() {
    let (folder, cluster) = (Folder::new(), MockCluster::start(1).unwrap());
    folder.append("leads", (1..=10).map(batch));
    cluster.create_topic(CLICKS, 1).unwrap();
    cluster.create_topic(OPENS, 1).unwrap();
    cluster.fail_topic(CLICKS, Some(Fault::TopicAuthorizationFailed)).unwrap();
    let mut was_held = false;
    let ended = block_on(service::drain(
        config(&folder, &cluster),
        Some(cluster.topic_maker(1)),
        Shutdown::new(),
        None,
        &mut |left| {
            if left[0].held_topics > 0 && !was_held {
                was_held = true;
                assert!(left[0].backlog.deliveries > 0);
                cluster.fail_topic(CLICKS, None).unwrap();
            }
        },
    ));
    assert_eq!(ended.unwrap(), DrainEnd::Empty);
    assert!(was_held);
    let expected = BTreeMap::from([(CLICKS.to_owned(), 10), (OPENS.to_owned(), 10)]);
    assert_eq!(records(&cluster), expected);
}

#[test]
fn a_cluster_that_comes_late_is_waited_for() {
    let (folder, cluster) = (Folder::new(), MockCluster::start(1).unwrap());
    folder.append("leads", (1..=10).map(batch));
    cluster.take_away().unwrap();
    let mut looks = 0;
    let ended = block_on(service::drain(
        config(&folder, &cluster),
        Some(cluster.topic_maker(1)),
        Shutdown::new(),
        None,
        &mut |left| {
            looks += 1;
            if looks == 5 {
                assert_eq!(left[0].backlog.deliveries, 10);
                cluster.bring_back().unwrap();
            }
        },
    ));
    assert_eq!(ended.unwrap(), DrainEnd::Empty);
}

#[test]
fn being_told_to_stop_ends_it_and_keeps_what_is_left() {
    let (folder, cluster) = (Folder::new(), MockCluster::start(1).unwrap());
    folder.append("leads", (1..=10).map(batch));
    cluster.take_away().unwrap();
    let shutdown = Shutdown::new();
    let ended = block_on(service::drain(
        config(&folder, &cluster),
        Some(cluster.topic_maker(1)),
        shutdown.clone(),
        None,
        &mut |_| shutdown.advance(Phase::Closing),
    ));
    assert_eq!(ended.unwrap(), DrainEnd::Stopped);
    assert_eq!(folder.inspect().1["sources"][0]["undelivered"]["deliveries"], 10);
}

#[test]
fn a_folder_that_somebody_holds_is_refused() {
    let (folder, cluster) = (Folder::with(&[("leads", 1)]), MockCluster::start(1).unwrap());
    let _held = folder.open("leads");
    let ended = block_on(service::drain(
        config(&folder, &cluster),
        Some(cluster.topic_maker(1)),
        Shutdown::new(),
        None,
        &mut |_| panic!("nothing was opened"),
    ));
    let Err(DrainError::Start(StartError::Spool(OpenError::Locked { directory }))) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(directory, folder.path());
}

/// `millrace drain` as a process.
struct Drain {
    process: Process,
    errors: BufReader<std::process::ChildStderr>,
    text: String,
}

impl Drain {
    fn start(arguments: &[&str], environment: BTreeMap<String, String>) -> Self {
        let mut command: Command = process::tied(env!("CARGO_BIN_EXE_millrace"));
        command.arg("drain").args(arguments).env_clear().envs(environment);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = process::spawn(command);
        let errors = BufReader::new(process.child().stderr.take().unwrap());
        Self { process, errors, text: String::new() }
    }

    fn wait_for(&mut self, word: &str) {
        while !self.text.contains(word) {
            assert!(self.errors.read_line(&mut self.text).unwrap() > 0, "{}", self.text);
        }
    }

    fn end(mut self) -> (Option<i32>, String) {
        self.errors.read_to_string(&mut self.text).unwrap();
        (self.process.wait(PATIENCE).code(), self.text)
    }
}

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn the_process_ends_with_0_when_nothing_is_left() {
    let (folder, cluster) = (Folder::new(), MockCluster::start(1).unwrap());
    folder.append("leads", (1..=20).map(batch));
    for topic in [CLICKS, OPENS, "marketo.dead-letter"] {
        cluster.create_topic(topic, 1).unwrap();
    }
    let mut environment = environment(&folder, cluster.bootstrap());
    environment.insert("MILLRACE_TOPICS__CREATE".into(), "false".into());
    let (code, errors) = Drain::start(&[], environment).end();
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.ends_with("drained: nothing is left to forward\n"), "{errors}");
    assert_eq!(records(&cluster).values().sum::<usize>(), 40);
}

#[test]
fn a_spool_that_is_empty_needs_no_kafka() {
    let folder = Folder::new();
    let (code, errors) = Drain::start(&[], environment(&folder, NOBODY)).end();
    assert_eq!(code, Some(0), "{errors}");
}

#[test]
fn at_the_deadline_the_process_ends_with_1_and_says_what_is_left() {
    let folder = Folder::new();
    folder.append("leads", (1..=20).map(batch));
    folder.deliver("leads", "5.0", &[(CLICKS, "3.0")]);
    let drain = Drain::start(&["--deadline", "200ms"], environment(&folder, NOBODY));
    let (code, errors) = drain.end();
    assert_eq!(code, Some(1), "{errors}");
    let held = format!("topic {CLICKS} is held at 3.0");
    for word in ["leads: 18 deliveries left", &held[..], "not drained: the deadline has passed"] {
        assert!(errors.contains(word), "{word} in\n{errors}");
    }
}

#[test]
fn sigterm_ends_the_process_cleanly_with_what_is_left() {
    let folder = Folder::new();
    folder.append("leads", (1..=20).map(batch));
    let mut drain = Drain::start(&[], environment(&folder, NOBODY));
    drain.wait_for("opened spool");
    drain.process.signal(rustix::process::Signal::TERM);
    let (code, errors) = drain.end();
    assert_eq!(code, Some(1), "{errors}");
    for word in ["20 deliveries left", "not drained: stopped by a signal"] {
        assert!(errors.contains(word), "{word} in\n{errors}");
    }
}

#[test]
fn the_process_says_what_to_stop_when_the_folder_is_held() {
    let folder = Folder::with(&[("leads", 1)]);
    let _held = folder.open("leads");
    let (code, errors) = Drain::start(&[], environment(&folder, NOBODY)).end();
    assert_eq!(code, Some(3), "{errors}");
    for word in [folder.path().to_str().unwrap(), "stop it (`millrace serve`", "SIGTERM"] {
        assert!(errors.contains(word), "{word} in\n{errors}");
    }
}

#[test]
fn a_source_that_is_not_configured_any_more_is_named_and_is_no_success() {
    let folder = Folder::with(&[("gone", 3)]);
    let (code, errors) = Drain::start(&[], environment(&folder, NOBODY)).end();
    assert_eq!(code, Some(1), "{errors}");
    for word in ["gone: 3 deliveries left", "add `sources.gone`"] {
        assert!(errors.contains(word), "{word} in\n{errors}");
    }
}

#[test]
fn a_mistake_in_the_configuration_ends_it_with_2() {
    let folder = Folder::new();
    let mut environment = environment(&folder, NOBODY);
    environment.insert("MILLRACE_SPOOL__RESERVE".into(), "some".into());
    let (code, errors) = Drain::start(&[], environment).end();
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("spool.reserve"), "{errors}");
}

#[test]
fn a_folder_that_needs_an_operator_ends_it_with_4() {
    let folder = Folder::with(&[("leads", 3)]);
    std::fs::write(folder.path().join("leads/identity"), "no identity").unwrap();
    let (code, errors) = Drain::start(&[], environment(&folder, NOBODY)).end();
    assert_eq!(code, Some(4), "{errors}");
    assert!(errors.contains("identity"), "{errors}");
}
