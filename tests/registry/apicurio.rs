//! A Schema Registry that a test may kill, freeze and bring back. What it was told survives that: it is in a file.

use std::{env, fs::File, path::PathBuf, process::Stdio, time::Duration};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{
    http::Client,
    ports,
    process::{self, Process},
    wait,
};

/// It starts in 10 s on idle cores.
const START: Duration = Duration::from_secs(240);

pub struct Registry {
    port: u16,
    folder: TempDir,
    process: Process,
}

impl Registry {
    #[track_caller]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("millrace-test-registry-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let port = ports::free();
        let process = run(port, &folder);
        let registry = Self { port, folder, process };
        registry.wait_until_ready();
        registry
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where Confluent's API is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Where its own API is, for clients of its own.
    pub fn native_url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/registry/v2", self.port)
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = run(self.port, &self.folder);
        self.wait_until_ready();
    }

    /// SIGSTOP: its connections stay open, and nothing answers.
    pub fn freeze(&mut self) {
        self.process.signal(Signal::STOP);
    }

    pub fn thaw(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// A request with a body of JSON; the status and the answer.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut client = Client::new(([127, 0, 0, 1], self.port).into());
        let headers = ["content-type: application/vnd.schemaregistry.v1+json".to_owned()];
        let path = format!("/apis/ccompat/v7{path}");
        let answer = client.request(method, &path, &headers, body.as_bytes());
        let answer = answer.expect("the registry answers");
        (answer.status, answer.text())
    }

    fn wait_until_ready(&self) {
        let address = ([127, 0, 0, 1], self.port).into();
        wait::until("a schema registry that answers", START, || {
            let answer = Client::new(address).get("/apis/ccompat/v7/subjects");
            answer.is_ok_and(|answer| answer.status == 200)
        });
    }
}

fn run(port: u16, folder: &TempDir) -> Process {
    let Some(place) = env::var_os("TEST_SCHEMA_REGISTRY") else {
        panic!(
            "these tests need a Schema Registry: run them with `tests/run registry`, which fetches it"
        );
    };
    let place = PathBuf::from(place);
    let is_runner = |path: &PathBuf| path.to_string_lossy().ends_with("-runner.jar");
    let mut files = place.read_dir().expect("the folder is there").flatten().map(|it| it.path());
    let runner = files.find(is_runner).expect("the folder has the runner");
    let log = File::create(folder.path().join("log")).expect("a log can be made");
    let database = folder.path().join("database");
    let mut command = process::tied("java");
    command
        .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-jar"])
        .arg(runner)
        .current_dir(folder.path())
        .env("QUARKUS_HTTP_HOST", "127.0.0.1")
        .env("QUARKUS_HTTP_PORT", port.to_string())
        // Without the delay nothing that was answered is lost by a kill.
        .env(
            "REGISTRY_DATASOURCE_URL",
            format!("jdbc:h2:file:{};WRITE_DELAY=0", database.display()),
        )
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log can be shared"))
        .stderr(log);
    process::spawn(command)
}
