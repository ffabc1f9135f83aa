//! A spool folder as a service leaves it, and the tools that look at it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use millrace::{
    cli::{self, Program},
    deliver::checkpoint::{Checkpoint, CheckpointFile, Held},
    delivery::{Authenticated, Delivery},
    ingest::authenticate::Proof,
    observe::metrics::Metrics,
    source::SourceName,
    spool::{self, OpenError, Spool, Writer, disk::RealDisk, position::Position},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::wait;

/// When the first delivery of each source came; each comes a second after the one before.
pub const FIRST_AT: u64 = 1_770_000_000_000;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Folder(TempDir);

/// How a tool ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    pub code: u8,
    pub out: String,
    pub errors: String,
}

pub fn source(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

pub fn delivery(source_name: &str, body: impl Into<Bytes>, received_at: u64) -> Authenticated {
    let delivery = Delivery {
        source: source(source_name),
        received_at,
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.into(),
    };
    Authenticated::new(delivery, Proof::by_operator())
}

/// A body of `length` bytes that says which it is.
pub fn body(n: u64, length: usize) -> Vec<u8> {
    let mut body = format!("{{\"n\":{n}}}").into_bytes();
    body.resize(length.max(body.len()), b' ');
    body
}

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Sources with this many deliveries of 200 bytes each, about three to a segment.
    pub fn with(sources: &[(&str, u64)]) -> Self {
        let folder = Self::new();
        for (name, count) in sources {
            folder.append(name, (1..=*count).map(|n| body(n, 200)));
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn config(&self) -> spool::Config {
        spool::Config {
            directory: self.path().into(),
            size_limit: u64::MAX,
            source_limits: Vec::new(),
            reserve: 0,
            reserve_held: 0,
            keep_delivered_age: Duration::MAX,
            keep_delivered_size: u64::MAX,
            segment_size: 1000,
        }
    }

    /// Opens the spool of `name` as a service does: with the lock, which the ends hold.
    pub fn open(&self, name: &str) -> (Writer, Spool) {
        // A program that another test starts has this process's locks, too, until its exec.
        let folder =
            wait::until_some("a lock that no child holds", PATIENCE, || match spool::Folder::open(
                Arc::new(RealDisk),
                &self.config(),
            ) {
                Err(OpenError::Locked { .. }) => None,
                outcome => Some(outcome.unwrap()),
            });
        let checkpoint = self.checkpoint_file(name).load().unwrap();
        let delivered = checkpoint.as_ref().map(Checkpoint::delivered);
        folder.spool(&source(name), None, &Metrics::new(), delivered).unwrap()
    }

    pub fn append<B: Into<Bytes>>(&self, name: &str, bodies: impl IntoIterator<Item = B>) {
        let (mut writer, spool) = self.open(name);
        for body in bodies {
            let received_at = FIRST_AT + (spool.durable_end() - 1) * 1000;
            writer.append_group(&[delivery(name, body, received_at)]).unwrap();
        }
    }

    /// Opens the spool of `name` and stops in order, as a service does.
    pub fn stop(&self, name: &str) {
        let (writer, spool) = self.open(name);
        spool.close();
        writer.run();
    }

    fn checkpoint_file(&self, name: &str) -> CheckpointFile {
        CheckpointFile::new(Arc::new(RealDisk), &self.path().join(name))
    }

    /// Everything before `low` is delivered, but for the held topics.
    pub fn deliver(&self, name: &str, low: &str, held: &[(&str, &str)]) {
        let spool = self.open(name).1.id();
        let held =
            held.iter().map(|(topic, at)| Held { topic: (*topic).into(), position: position(at) });
        let checkpoint = Checkpoint {
            low: position(low),
            held: held.collect(),
            written_at: FIRST_AT,
            ..Checkpoint::beginning(spool)
        };
        self.checkpoint_file(name).store(&checkpoint).unwrap();
    }

    /// The segments of `name`, oldest first.
    pub fn segments(&self, name: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join(name).join("segments")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// Every file below, with its bytes and the time of its last change.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let (mut found, mut folders) = (BTreeMap::new(), vec![self.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let (entry, path) = entry.map(|entry| (entry.metadata(), entry.path())).unwrap();
                let changed = entry.as_ref().unwrap().modified().unwrap();
                if entry.unwrap().is_dir() {
                    found.insert(path.clone(), (Vec::new(), changed));
                    folders.push(path);
                } else {
                    found.insert(path.clone(), (fs::read(&path).unwrap(), changed));
                }
            }
        }
        found
    }

    /// `millrace spool …` on this folder, in this process.
    pub fn tool(&self, arguments: &[&str]) -> Ended {
        let directory = self.path().to_str().unwrap();
        run(&[arguments, &["--directory", directory]].concat(), &[])
    }

    pub fn inspect(&self) -> (u8, Value) {
        let ended = self.tool(&["inspect", "--json"]);
        assert_eq!(ended.errors, "");
        (ended.code, serde_json::from_str(&ended.out).unwrap())
    }

    /// `millrace spool …` on this folder, as a process.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.arg("spool").args(arguments).arg("--directory").arg(self.path()).env_clear();
        command
    }
}

/// `millrace spool …`, in this process.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let program = Program {
        validate: &|_| panic!("a reading tool needs no Kafka"),
        probe: &|_| panic!("a reading tool needs no Kafka"),
        serve: &|_| panic!("a reading tool serves nothing"),
        drain: &|_, _, _| panic!("a reading tool drains nothing"),
    };
    let arguments = ["millrace", "spool"].iter().chain(arguments).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = cli::run(arguments, environment, &program, &mut out, &mut errors);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code, out: text(out), errors: text(errors) }
}

pub fn position(text: &str) -> Position {
    text.parse().unwrap()
}

/// Changes one bit of a file.
pub fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Bytes of the header of a segment.
pub const HEADER: u64 = 64;

/// Bytes of the frame of a delivery by [`delivery`].
pub fn frame(source: &str, body: usize) -> u64 {
    let headers = 3 + ":source".len() + source.len() + 3 + "content-type".len();
    (32 + headers + "application/json".len() + body) as u64
}
