//! The real service as a process, configured by its environment alone, that a test may kill and
//! start again on the same spool.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    http::Client,
    process::{self, Process},
    wait,
};

/// The service is up in a fraction of a second; this is for a busy machine.
const START: Duration = Duration::from_secs(30);

/// A command that goes on for so long hangs.
const TOOL_PATIENCE: Duration = Duration::from_secs(180);

/// Ticks a second in `/proc/<pid>/stat`, on Linux whatever the kernel's own are.
const TICKS: u64 = 100;

/// The token that the source `leads` accepts.
pub const TOKEN: &str = "a-token-of-the-tests";
/// Where the source `leads` takes deliveries.
pub const LEADS: &str = "/v1/leads";

/// The environment of a service with one source, `leads`, and what starts it (`prlimit` …).
#[derive(Clone, Debug)]
pub struct Settings(BTreeMap<String, String>, Vec<String>);

impl Settings {
    /// Topics begin with `prefix`, so that tests can share a broker.
    pub fn new(kafka: &str, prefix: &str) -> Self {
        Self(BTreeMap::new(), Vec::new())
            .set("KAFKA__BOOTSTRAP_SERVERS", kafka)
            .set("LISTEN__ADDRESS", "127.0.0.1:0")
            .set("ADMIN__ADDRESS", "127.0.0.1:0")
            .set("SPOOL__SIZE_LIMIT", "1GiB")
            .set("SPOOL__RESERVE", "66MiB")
            .set("TOPICS__NAME", format!("{prefix}.{{stream}}.{{type}}"))
            .set("TOPICS__DEAD_LETTER", format!("{prefix}.dead-letter"))
            .set("SOURCES__LEADS__KIND", "marketo-lead-activity")
            .set("SOURCES__LEADS__AUTH__TOKENS", TOKEN)
            .set("SHUTDOWN__DELAY", "100ms")
            .set("LOG__FORMAT", "json")
    }

    /// These variables and no others.
    pub fn exactly(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(environment.into_iter().collect(), Vec::new())
    }

    /// `key` is not set after all.
    #[allow(dead_code, reason = "tests of a Schema Registry begin with one that has it")]
    pub fn without(mut self, key: &str) -> Self {
        self.0.remove(&format!("MILLRACE_{key}"));
        self
    }

    /// A variable that is none of the service's own.
    pub fn environment(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// The service is started by this command, which has the service's own behind it.
    pub fn under(mut self, command: &[&str]) -> Self {
        self.1 = command.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// `key` without the prefix that all variables have.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.insert(format!("MILLRACE_{key}"), value.into());
        self
    }
}

pub struct Bridge {
    settings: Settings,
    spool: TempDir,
    running: Running,
    /// Every line of every process so far.
    log: Arc<Mutex<Vec<String>>>,
}

struct Running {
    process: Process,
    deliveries: SocketAddr,
    admin: SocketAddr,
    reader: Option<thread::JoinHandle<()>>,
}

impl Bridge {
    /// A service that says it is ready, on an empty spool.
    #[track_caller]
    pub fn start(settings: Settings) -> Self {
        Self::start_below(&std::env::temp_dir(), settings)
    }

    /// As [`Bridge::start`], with the spool in a new folder below `folder`.
    #[track_caller]
    pub fn start_below(folder: &Path, settings: Settings) -> Self {
        let spool = tempfile::Builder::new()
            .prefix("millrace-test-spool-")
            .tempdir_in(folder)
            .expect("a temporary folder can be made");
        let log = Arc::default();
        let running = run(&settings, spool.path(), &log);
        Self { settings, spool, running, log }
    }

    /// Where deliveries go. Another port after each start.
    pub fn deliveries(&self) -> SocketAddr {
        self.running.deliveries
    }

    /// Where deliveries go, and where health and metrics are.
    #[allow(dead_code, reason = "for commands that are told where the service is")]
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.running.deliveries, self.running.admin)
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.running.process.id()
    }

    /// What its threads together have taken of the processors so far.
    #[allow(dead_code, reason = "tests/faults counts it")]
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()));
        let stat = stat.expect("Linux has /proc, and the service runs");
        // The name, in parentheses, may hold anything; behind it the twelfth and the thirteenth field are times.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a time"));
        Duration::from_millis(ticks.sum::<u64>() * 1000 / TICKS)
    }

    pub fn client(&self) -> Client {
        Client::new(self.running.deliveries)
    }

    pub fn admin(&self) -> Client {
        Client::new(self.running.admin)
    }

    /// The folder `spool.directory`.
    pub fn spool(&self) -> &Path {
        self.spool.path()
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        self.running.process.kill();
    }

    /// SIGTERM: a clean stop begins.
    pub fn terminate(&mut self) {
        self.running.process.signal(Signal::TERM);
    }

    /// SIGSTOP: its connections stay open, and nothing answers.
    #[allow(dead_code, reason = "tests of exactly-once delivery freeze it")]
    pub fn freeze(&mut self) {
        self.running.process.signal(Signal::STOP);
    }

    /// SIGCONT: as if nothing had been.
    #[allow(dead_code, reason = "tests of exactly-once delivery freeze it")]
    pub fn thaw(&mut self) {
        self.running.process.signal(Signal::CONT);
    }

    /// What the process ended with, if it has.
    #[allow(dead_code, reason = "tests of exactly-once delivery fence it")]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.running.process.ended()
    }

    /// Another setting from the next start on.
    #[allow(dead_code, reason = "tests of exactly-once delivery switch between the modes")]
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings = self.settings.clone().set(key, value);
    }

    /// Another service, on a copy of this one's spool.
    #[allow(dead_code, reason = "tests of exactly-once delivery copy it")]
    #[track_caller]
    pub fn start_on_a_copy(&self) -> Self {
        let spool = tempfile::Builder::new().prefix("millrace-test-spool-").tempdir();
        let spool = spool.expect("a temporary folder can be made");
        let from = format!("{}/.", self.spool.path().display());
        let copied = Command::new("cp").arg("-a").arg(from).arg(spool.path()).status();
        assert!(copied.expect("cp can be started").success(), "the spool can be copied");
        let log = Arc::default();
        let running = run(&self.settings, spool.path(), &log);
        Self { settings: self.settings.clone(), spool, running, log }
    }

    /// Waits for a stop that was asked for.
    #[track_caller]
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        self.running.process.wait(patience)
    }

    /// Starts it again on the same spool, with the same settings.
    #[track_caller]
    pub fn restart(&mut self) {
        self.running.process.kill();
        self.running = run(&self.settings, self.spool.path(), &self.log);
    }

    /// The status of `/readyz`; `None` when nobody answers.
    pub fn readiness(&self) -> Option<u16> {
        self.admin().get("/readyz").ok().map(|answer| answer.status)
    }

    /// The sum of all series of a metric whose labels contain each of `labels` (`reason="x"`).
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let answer = self.admin().get("/metrics").expect("the service gives its metrics");
        let text = answer.text();
        text.lines()
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && labels.iter().all(|label| line.contains(label))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until the service itself says that nothing is left to deliver.
    #[track_caller]
    pub fn wait_until_drained(&self, patience: Duration) {
        wait::until("a drained spool", patience, || {
            self.metric("millrace_spool_undelivered_deliveries", &[]) == 0.0
        });
    }

    /// Every file below the spool's folder whose name ends with `ending`.
    pub fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.spool.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().ends_with(ending) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// Runs another command of the program beside the service, as it is configured.
    pub fn tool(&self, arguments: &[&str]) -> Output {
        self.tool_with(&[], arguments)
    }

    /// The same with other settings.
    pub fn tool_with(&self, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
        let settings =
            settings.iter().fold(self.settings.clone(), |s, (key, value)| s.set(key, *value));
        let child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(arguments)
            .env_clear()
            .envs(&settings.0)
            .env("MILLRACE_SPOOL__DIRECTORY", self.spool.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(child.wait_with_output()));
        end.recv_timeout(TOOL_PATIENCE)
            .unwrap_or_else(|_| {
                let _ = kill_process(pid, Signal::KILL);
                panic!("millrace {} does not end", arguments.join(" "));
            })
            .expect("its output can be read")
    }

    /// The most memory that was ever resident, in bytes.
    pub fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Every line that the service has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no reader of the log panics").clone()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if thread::panicking() {
            // What it said last is in its pipe; its end ends the reader.
            self.running.process.kill();
            if let Some(reader) = self.running.reader.take() {
                let _ = reader.join();
            }
            let log = self.log();
            eprintln!("the end of the service's log:");
            for line in &log[log.len().saturating_sub(60)..] {
                eprintln!("  {line}");
            }
        }
    }
}

#[track_caller]
fn run(settings: &Settings, spool: &Path, log: &Arc<Mutex<Vec<String>>>) -> Running {
    let program = env!("CARGO_BIN_EXE_millrace").to_owned();
    let mut words = settings.1.iter().chain([&program]);
    let mut command = process::tied(words.next().unwrap_or(&program));
    command.args(words);
    // Nothing of the developer's environment, so that it is the settings that are tested.
    command
        .arg("serve")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(&settings.0)
        .env("MILLRACE_SPOOL__DIRECTORY", spool)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut process = process::spawn(command);
    let stderr = process.child().stderr.take().expect("it is piped");
    let before = log.lock().expect("no reader of the log panics").len();
    let reader = thread::spawn({
        let log = Arc::clone(log);
        move || keep_lines(stderr, &log)
    });
    let start = Instant::now();
    let (deliveries, admin) = wait::until_some("the service to listen", 2 * START, || {
        let lines = log.lock().expect("no reader of the log panics")[before..].to_vec();
        let addresses = listener(&lines, "deliveries").zip(listener(&lines, "admin"));
        if addresses.is_none() && (reader.is_finished() || start.elapsed() > START) {
            panic!("the service does not listen ({:?}):\n{}", process.ended(), lines.join("\n"));
        }
        addresses
    });
    wait::until("a service that is ready", START, || {
        Client::new(admin).get("/readyz").is_ok_and(|answer| answer.status == 200)
    });
    Running { process, deliveries, admin, reader: Some(reader) }
}

fn keep_lines(stderr: impl Read, log: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        log.lock().expect("no reader of the log panics").push(line);
    }
}

/// Where the service says that it listens:
/// `{…,"message":"listening","listener":"admin","address":"127.0.0.1:41234",…}`
fn listener(lines: &[String], name: &str) -> Option<SocketAddr> {
    let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .find(|line| line["message"] == "listening" && line["listener"] == name)
        .and_then(|line| line["address"].as_str()?.parse().ok())
}
