//! Apache Kafka brokers that a test may kill, freeze and bring back.
//!
//! Each is a real process (KRaft, broker and controller in one) on ports of its own with a
//! throw-away folder. It ends with its handle, and with the test process whatever happens.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    consumers, jars,
    support::{
        ports,
        process::{self, Process},
        wait,
    },
};

/// A broker starts in 3 s on two idle cores; this is for busy ones.
const START: Duration = Duration::from_secs(240);

/// The address of a broker that all tests share which do it no harm: the user's own
/// (`TEST_KAFKA=host:port`) or one of ours.
#[track_caller]
pub fn shared() -> String {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    match env::var("TEST_KAFKA") {
        Ok(address) if !address.is_empty() => address,
        _ => SHARED.get_or_init(Broker::start).address(),
    }
}

/// What the names of a test's topics begin with, so that no other test, and no earlier run against
/// the same broker, has the same topics.
pub fn own_prefix(test: &str) -> String {
    format!("millrace-test-{}-{test}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

/// What a broker of a test may differ in.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Access control lists are looked at; without any, everybody may do everything.
    pub access_control: bool,
    /// There is a second address that asks for a password (SASL with SCRAM-SHA-512).
    pub passwords: bool,
    /// There are these addresses as well; not together with `passwords`.
    pub listeners: Vec<Listener>,
    /// Further broker settings, which win over ours.
    pub settings: Vec<(&'static str, String)>,
}

/// One more address that a broker listens on.
#[derive(Clone, Debug)]
pub struct Listener {
    /// In capitals.
    pub name: &'static str,
    /// `PLAINTEXT`, `SSL` or `SASL_PLAINTEXT`.
    pub protocol: &'static str,
    pub port: u16,
    /// Where those who come to this one are told that the broker is.
    pub advertised: String,
}

pub struct Broker {
    id: u32,
    port: u16,
    /// With [`Options::passwords`].
    guarded: u16,
    folder: TempDir,
    process: Process,
}

impl Broker {
    /// A broker of this test's own, which it may hurt.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&Options::default())
    }

    #[track_caller]
    pub fn start_with(options: &Options) -> Self {
        let mut broker = Self::launch(options);
        broker.wait_until_ready(1);
        broker
    }

    /// As [`Broker::start_with`], without waiting.
    #[track_caller]
    pub fn launch(options: &Options) -> Self {
        launch(1, options).pop().expect("one was asked for")
    }

    /// `host:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` where a password is asked for.
    pub fn guarded_address(&self) -> String {
        format!("127.0.0.1:{}", self.guarded)
    }

    /// From now on the topic has this setting.
    #[allow(dead_code, reason = "tests/faults has no topic of ids")]
    #[track_caller]
    pub fn set_topic(&self, topic: &str, setting: &str) {
        let address = self.address();
        let arguments = ["--bootstrap-server", &address, "--alter", "--add-config", setting];
        let of_topic = ["--entity-type", "topics", "--entity-name", topic];
        jars::tool("kafka.admin.ConfigCommand", &[&arguments[..], &of_topic].concat());
    }

    /// From now on new connections of `user` need this password. They have as much to compute for it as
    /// Kafka allows, so that a process may end meanwhile.
    #[track_caller]
    pub fn set_password(&self, user: &str, password: &str) {
        let (address, password) =
            (self.address(), format!("SCRAM-SHA-512=[iterations=16384,password={password}]"));
        let arguments = ["--bootstrap-server", &address, "--alter", "--add-config", &password];
        let of_user = ["--entity-type", "users", "--entity-name", user];
        jars::tool("kafka.admin.ConfigCommand", &[&arguments[..], &of_user].concat());
    }

    /// Producers with this `client.id` may send so many bytes a second.
    #[allow(dead_code, reason = "tests/faults slows producers down")]
    #[track_caller]
    pub fn set_quota(&self, client: &str, bytes_a_second: u64) {
        let (address, quota) = (self.address(), format!("producer_byte_rate={bytes_a_second}"));
        let arguments = ["--bootstrap-server", &address, "--alter", "--add-config", &quota];
        let of_client = ["--entity-type", "clients", "--entity-name", client];
        jars::tool("kafka.admin.ConfigCommand", &[&arguments[..], &of_client].concat());
    }

    #[allow(dead_code, reason = "tests/faults puts a proxy in front of it")]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL: no goodbye to anybody, and nothing flushed.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGSTOP: its connections stay open, and nothing answers.
    pub fn freeze(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT: as if nothing had been.
    pub fn thaw(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// The same broker again: same port, same data. Returns when clients are served.
    #[track_caller]
    pub fn restart(&mut self) {
        self.relaunch();
        self.wait_until_ready(1);
    }

    /// As [`Broker::restart`], without waiting.
    #[track_caller]
    pub fn relaunch(&mut self) {
        self.process.kill();
        self.process = run(self.folder.path());
    }

    /// Waits until it serves clients and knows of `brokers` brokers.
    #[track_caller]
    pub fn wait_until_ready(&mut self, brokers: usize) {
        let address = self.address();
        let log = log(self.folder.path());
        wait::until("a Kafka broker that answers", START, || {
            if let Some(status) = self.process.ended() {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(40)..].join("\n");
                panic!("broker {} ended ({status}); the end of its log:\n{tail}", self.id);
            }
            // kcat takes a second over a closed port.
            TcpStream::connect(&address).is_ok()
                && consumers::broker_count(&address) == Some(brokers)
        });
    }

    #[allow(dead_code, reason = "tests/faults takes brokers out of a cluster")]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Takes broker `id`, which is away, out of the cluster until it comes back by itself.
    #[allow(dead_code, reason = "tests/faults takes brokers out of a cluster")]
    #[track_caller]
    pub fn unregister(&self, id: u32) {
        let (address, id) = (self.address(), id.to_string());
        let arguments = ["unregister", "--bootstrap-server", &address, "--id", &id];
        jars::tool("org.apache.kafka.tools.ClusterTool", &arguments);
    }

    /// Nobody may write to `topic` until [`Broker::allow_writes`]; everything else is allowed. For
    /// a broker with access control.
    #[track_caller]
    pub fn deny_writes(&self, topic: &str) {
        // With any list at all on a topic, only what is allowed there is allowed.
        self.access(&["--add", "--allow-principal", "User:*", "--operation", "All"], topic);
        self.access(&["--add", "--deny-principal", "User:*", "--operation", "Write"], topic);
    }

    #[track_caller]
    pub fn allow_writes(&self, topic: &str) {
        self.access(
            &["--remove", "--force", "--deny-principal", "User:*", "--operation", "Write"],
            topic,
        );
    }

    #[track_caller]
    fn access(&self, change: &[&str], topic: &str) {
        let address = self.address();
        let mut arguments = vec!["--bootstrap-server", &address, "--topic", topic];
        arguments.extend(change);
        jars::tool("org.apache.kafka.tools.AclCommand", &arguments);
    }
}

/// Three brokers that replicate to each other: `min.insync.replicas=2`, replication factor 3.
pub struct Cluster {
    pub brokers: Vec<Broker>,
}

impl Cluster {
    #[track_caller]
    pub fn start() -> Self {
        let settings = ["min.insync.replicas", "transaction.state.log.min.isr"];
        let settings = settings.map(|name| (name, "2".to_owned())).to_vec();
        let mut brokers = launch(3, &Options { settings, ..Options::default() });
        for broker in &mut brokers {
            broker.wait_until_ready(3);
        }
        Self { brokers }
    }

    /// `host:port,host:port,host:port`
    pub fn addresses(&self) -> String {
        self.brokers.iter().map(Broker::address).collect::<Vec<_>>().join(",")
    }
}

#[track_caller]
fn launch(count: u32, options: &Options) -> Vec<Broker> {
    let ports: Vec<_> = (0..count).map(|_| (ports::free(), ports::free())).collect();
    let voters: Vec<_> =
        (1..).zip(&ports).map(|(id, (_, port))| format!("{id}@127.0.0.1:{port}")).collect();
    (1..)
        .zip(&ports)
        .map(|(id, &(port, controller))| {
            let folder = tempfile::Builder::new()
                .prefix("millrace-test-kafka-")
                .tempdir()
                .expect("a temporary folder can be made");
            let mut text = settings(id, port, controller, &voters, count, folder.path(), options);
            let guarded = if options.passwords { ports::free() } else { 0 };
            if options.passwords {
                text += &with_passwords(port, guarded, controller);
            }
            if !options.listeners.is_empty() {
                text += &with_listeners(port, controller, &options.listeners);
            }
            fs::write(settings_file(folder.path()), text).expect("a temporary file can be written");
            format(id, folder.path());
            Broker { id, port, guarded, process: run(folder.path()), folder }
        })
        .collect()
}

fn settings(
    id: u32,
    port: u16,
    controller: u16,
    voters: &[String],
    count: u32,
    folder: &Path,
    options: &Options,
) -> String {
    let replicas = count.min(3).to_string();
    let mut all = vec![
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", id.to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")),
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
        ("log.dirs", data(folder).display().to_string()),
        // A typo in a topic's name must fail, not make a topic.
        ("auto.create.topics.enable", "false".to_owned()),
        ("num.partitions", "3".to_owned()),
        ("default.replication.factor", replicas.clone()),
        ("offsets.topic.num.partitions", "1".to_owned()),
        ("offsets.topic.replication.factor", replicas.clone()),
        ("transaction.state.log.num.partitions", "1".to_owned()),
        ("transaction.state.log.replication.factor", replicas),
        ("transaction.state.log.min.isr", "1".to_owned()),
        // A transaction that is too old is given up at once, not within ten seconds.
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500".to_owned()),
        // Groups form at once, a lost broker is missed soon, and the heap may be small.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ("broker.session.timeout.ms", "6000".to_owned()),
        ("log.cleaner.dedupe.buffer.size", "4194304".to_owned()),
        ("log.index.size.max.bytes", "1048576".to_owned()),
    ];
    if options.access_control {
        let class = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        all.push(("authorizer.class.name", class.to_owned()));
        all.push(("allow.everyone.if.no.acl.found", "true".to_owned()));
    }
    all.extend(options.settings.iter().cloned());
    all.iter().fold(String::new(), |mut text, (key, value)| {
        writeln!(text, "{key}={value}").expect("text can be appended to");
        text
    })
}

/// One more listener; of a setting that is given twice the later one counts.
fn with_passwords(port: u16, guarded: u16, controller: u16) -> String {
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{guarded},\
         CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{guarded}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,\
         CONTROLLER:PLAINTEXT\n\
         sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
    )
}

/// The same with listeners of a test's own.
fn with_listeners(port: u16, controller: u16, listeners: &[Listener]) -> String {
    let mut open = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
    let mut told = format!("PLAINTEXT://127.0.0.1:{port}");
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for Listener { name, protocol, port, advertised } in listeners {
        open += &format!(",{name}://127.0.0.1:{port}");
        told += &format!(",{name}://{advertised}");
        protocols += &format!(",{name}:{protocol}");
    }
    format!(
        "listeners={open}\nadvertised.listeners={told}\nlistener.security.protocol.map={protocols}\n"
    )
}

/// Formats a broker's data folder. Kafka's own tool does that once in a test process (a JVM start,
/// 1.5 s); the others get a copy in which only the names of node and folder differ.
#[track_caller]
fn format(id: u32, folder: &Path) {
    const FILES: [&str; 2] = ["meta.properties", "bootstrap.checkpoint"];
    static TEMPLATE: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| {
        let settings = settings_file(folder).display().to_string();
        let cluster = base64_uuid();
        jars::tool("kafka.tools.StorageTool", &["format", "-t", &cluster, "-c", &settings]);
        let files = FILES.map(|name| fs::read(data(folder).join(name)));
        files.map(|file| file.expect("a formatted folder has this file"))
    });
    let [meta, bootstrap] = template;
    let meta = String::from_utf8_lossy(meta);
    let meta: String = meta
        .lines()
        .map(|line| match line.split_once('=') {
            Some(("node.id", _)) => format!("node.id={id}\n"),
            Some(("directory.id", _)) => format!("directory.id={}\n", base64_uuid()),
            _ => format!("{line}\n"),
        })
        .collect();
    fs::create_dir_all(data(folder)).expect("a temporary folder can be made");
    for (name, bytes) in FILES.iter().zip([meta.as_bytes(), bootstrap]) {
        fs::write(data(folder).join(name), bytes).expect("a temporary file can be written");
    }
}

/// Kafka writes its ids as base64 without padding, and refuses those that begin with a dash (its
/// command line would take them for an option).
fn base64_uuid() -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    std::iter::repeat_with(|| URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4()))
        .find(|id| !id.starts_with('-'))
        .expect("an endless iterator")
}

fn run(folder: &Path) -> Process {
    let log = File::options().create(true).append(true).open(log(folder));
    let log = log.expect("a temporary file can be written");
    let mut command = jars::broker(&settings_file(folder));
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file handle can be cloned"))
        .stderr(log);
    process::spawn(command)
}

fn settings_file(folder: &Path) -> PathBuf {
    folder.join("broker.properties")
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn log(folder: &Path) -> PathBuf {
    folder.join("broker.log")
}
