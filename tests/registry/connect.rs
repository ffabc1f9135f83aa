//! Kafka Connect in standalone mode, with Debezium's JDBC sink.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    http::Client,
    ports,
    process::{self, Process},
    wait,
};

/// It starts in 10 s on idle cores.
const START: Duration = Duration::from_secs(240);

/// As the file has them.
pub type Properties = String;

pub struct Connect {
    port: u16,
    folder: TempDir,
    names: Vec<String>,
    process: Process,
}

impl Connect {
    /// A worker with `connectors`. A name is the group of a connector's consumers: another one begins at the beginning.
    #[track_caller]
    pub fn start(brokers: &str, connectors: &[(&str, Properties)]) -> Self {
        let folder = tempfile::Builder::new().prefix("millrace-test-connect-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let port = ports::free();
        let worker = [
            ("bootstrap.servers", brokers.to_owned()),
            ("listeners", format!("http://127.0.0.1:{port}")),
            ("offset.storage.file.filename", folder.path().join("offsets").display().to_string()),
            // Every connector names its own.
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter".into()),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter".into()),
            ("plugin.discovery", "only_scan".into()),
            ("consumer.metadata.max.age.ms", "1000".into()),
            ("offset.flush.interval.ms", "2000".into()),
        ];
        let worker = worker.iter().fold(String::new(), |mut text, (key, value)| {
            writeln!(text, "{key}={value}").expect("text can be appended to");
            text
        });
        write(&folder, "worker.properties", &worker);
        let mut files = vec!["worker.properties".to_owned()];
        for (name, properties) in connectors {
            files.push(format!("{name}.properties"));
            let named = properties.replacen("name=marketo", &format!("name={name}"), 1);
            write(&folder, &format!("{name}.properties"), &named);
        }
        let process = run(&folder, &files);
        let names = connectors.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut connect = Self { port, folder, names, process };
        wait::until("connectors that run", START, || {
            assert!(connect.process.ended().is_none(), "{}", connect.log());
            let is_running =
                |name: &String| connect.states(name).is_some_and(|it| it == ["RUNNING", "RUNNING"]);
            connect.names.iter().all(is_running)
        });
        connect
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Of the connector and of its tasks.
    fn states(&self, name: &str) -> Option<Vec<String>> {
        let mut client = Client::new(([127, 0, 0, 1], self.port).into());
        let answer = client.get(&format!("/connectors/{name}/status")).ok()?;
        let status: Value = serde_json::from_slice(&answer.body).ok()?;
        let tasks = status["tasks"].as_array()?.iter();
        let all = std::iter::once(&status["connector"]).chain(tasks);
        Some(all.filter_map(|it| it["state"].as_str().map(str::to_owned)).collect())
    }

    /// Panics where a task has failed.
    #[track_caller]
    pub fn assert_well(&self) {
        let mut states = self.names.iter().filter_map(|name| self.states(name)).flatten();
        assert!(!states.any(|state| state == "FAILED"), "{}", self.log());
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().filter(|line| !line.contains(" INFO ")).collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    }
}

fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).expect("a temporary file can be written");
}

fn run(folder: &TempDir, files: &[String]) -> Process {
    let Some(jars) = env::var_os("TEST_CONNECT_JARS") else {
        panic!(
            "these tests need Kafka Connect: run them with `tests/run registry`, which fetches it"
        );
    };
    let log = File::create(folder.path().join("log")).expect("a log can be made");
    let setup = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/setup/log4j2.xml");
    let mut command = process::tied("java");
    command
        .args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
        .arg(PathBuf::from(jars).join("*"))
        .arg(format!("-Dlog4j2.configurationFile={}", setup.display()))
        .arg("org.apache.kafka.connect.cli.ConnectStandalone")
        .args(files)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log can be shared"))
        .stderr(log);
    process::spawn(command)
}
