//! The process, the cluster behind it, and what the kernel knows about both.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use millrace::{
    config,
    kafka::{MockCluster, Reader, Select},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    shares, signer,
    support::bridge::{Bridge, Settings},
    target::Target,
};

const TOPIC: &str = "hostile.lead-activity.clicklink";
const DEAD_LETTERS: &str = "hostile.dead-letter";

pub struct Rig {
    pub bridge: Bridge,
    cluster: MockCluster,
    tls: Option<Arc<rustls::ClientConfig>>,
    _keys: TempDir,
}

/// Of the server, and a client's trust in it.
pub struct Certificate {
    folder: TempDir,
    client: Arc<rustls::ClientConfig>,
}

impl Certificate {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tls.crt"), made.cert.pem()).unwrap();
        fs::write(folder.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let client = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { folder, client: Arc::new(client) }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().into()
    }
}

impl Rig {
    /// A source `leads` of Marketo's and a source `events` of Adobe I/O's, with the limits that are the
    /// default.
    pub fn start(certificate: Option<&Certificate>) -> Self {
        Self::with(certificate, |settings| settings)
    }

    /// The same with other settings.
    pub fn with(
        certificate: Option<&Certificate>,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let cluster = MockCluster::start(1).unwrap();
        cluster.create_topic(TOPIC, 1).unwrap();
        cluster.create_topic(DEAD_LETTERS, 1).unwrap();
        let keys = tempfile::tempdir().unwrap();
        fs::create_dir_all(keys.path().join("prod/keys")).unwrap();
        fs::write(keys.path().join("prod/keys/pub-key-a.pem"), &signer::FIRST.public).unwrap();
        let mut settings = Settings::new(cluster.bootstrap(), "hostile")
            .set("TOPICS__CREATE", "false")
            .set("LISTEN__BODY_LIMIT_INFLATED", "16MiB")
            .set("ADOBE__KEYS_FOLDER", keys.path().to_str().unwrap())
            .set("SOURCES__EVENTS__KIND", "adobe-io")
            .set("SOURCES__EVENTS__AUTH__CLIENT_IDS", shares::CLIENT_ID)
            .under(&["prlimit", "--nofile=1024:"]);
        if let Some(certificate) = certificate {
            settings = settings
                .set("LISTEN__TLS__CERTIFICATE_FILE", certificate.path("tls.crt"))
                .set("LISTEN__TLS__KEY_FILE", certificate.path("tls.key"));
        }
        let settings = change(settings);
        let tls = certificate.map(|certificate| certificate.client.clone());
        Self { bridge: Bridge::start(settings), cluster, tls, _keys: keys }
    }

    pub fn target(&self) -> Target {
        Target::new(self.bridge.deliveries(), self.tls.clone())
    }

    /// The most memory that was ever resident, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.bridge.memory_peak()
    }

    /// How many files and sockets are open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    pub fn open_files_limit(&self) -> u64 {
        let limits = fs::read_to_string(self.proc("limits")).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.bridge.id())
    }

    pub fn refused(&self, reason: &str) -> f64 {
        let label = format!("reason=\"{reason}\"");
        self.bridge.metric("millrace_connections_refused_total", &[&label])
    }

    /// Every record of every topic: its id, and its value.
    pub fn records(&self) -> BTreeMap<(String, usize), Vec<u8>> {
        let kafka = config::Kafka {
            bootstrap_servers: self.cluster.bootstrap().into(),
            properties: BTreeMap::new(),
            queue_size: config::Kafka::QUEUE_SIZE,
            delivery: Default::default(),
        };
        let mut reader = Reader::open(&kafka, Select::Prefix("hostile.".into())).unwrap();
        let mut found = BTreeMap::new();
        loop {
            let read = reader.read(10_000, Duration::from_millis(100)).unwrap();
            if read.is_empty() && reader.is_at_end().unwrap() {
                return found;
            }
            for record in read {
                let id = record.headers.iter().find(|(name, _)| name == "ce_id");
                let id = id.map_or_else(
                    || record.topic.clone(),
                    |(_, id)| String::from_utf8_lossy(id).into_owned(),
                );
                found.insert((id, found.len()), record.value.unwrap_or_default());
            }
        }
    }

    /// How often each id is there; dead letters are none.
    pub fn ids(&self, records: &BTreeMap<(String, usize), Vec<u8>>) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (id, _) in records.keys().filter(|(id, _)| id != DEAD_LETTERS) {
            *counts.entry(id.clone()).or_default() += 1;
        }
        counts
    }
}

/// Raises this process's limit as far as it goes, which must be to `needed`; what it is then.
pub fn raise_open_files(needed: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        hard >= needed,
        "this test opens {needed} sockets, and the hard limit of open files is {hard}: raise it \
         (ulimit -Hn, LimitNOFILE=)"
    );
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    hard
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
