//! The configuration: a TOML file and the environment become each stage's own struct.
//!
//! It has two forms: the written one (`written`, a tree of texts that know where they came from) and
//! its meaning ([`Config`]). On the way from one to the other every mistake is collected with its key
//! in both spellings, unknown keys among them. Secrets are never shown: not in mistakes, not in
//! `Debug`, not in the effective configuration.
//!
//! - The environment alone is enough, and overrides the file. `MILLRACE_SPOOL__SIZE_LIMIT` is
//!   `spool.size_limit`; in the name of a source `_` stands for `-`.
//! - Every value of the environment is text until the leaf that it belongs to parses it.
//! - Secrets (`sources.*.auth.tokens`, those of `oauth`, any of `kafka.properties`) may also come from
//!   a file: `tokens_file`, `…_TOKENS_FILE`. Given in the environment, it overrides the file's `tokens` too.
//!
//! `config/default.toml` documents every key; a test holds it against this code.

mod admin;
mod adobe;
mod answer;
mod catalog;
mod deduplicate;
mod delivery;
mod effective;
mod environment;
mod fields;
mod file;
mod forward;
mod journal;
mod kafka;
mod layer;
mod leaf;
mod lines;
mod listen;
mod log;
mod login;
mod meaning;
mod mistake;
mod nearest;
mod oauth;
mod proxies;
mod purposes;
mod pushed_metrics;
mod quarantine;
mod reading;
mod registry;
mod reread;
mod secret;
mod security;
mod selection;
mod shutdown;
mod sources;
mod spool;
mod telemetry;
mod tls;
mod topics;
mod traces;
mod values;
mod volume;
mod ways_in;
mod written;

use std::{ffi::OsString, fmt, io, path::Path};

use reading::Reading;
use written::Written;

pub use crate::spool::Config as Spool;

pub use admin::{Admin, Console};
pub use adobe::{Adobe, AdobeAuth, ValidationUrl};
pub use answer::Answer;
pub use delivery::{Delivery, Guarantee};
pub use effective::Entry;
pub use fields::{FieldRules, KeyFile, hmac_key_again};
pub use forward::Forward;
pub use journal::Journal;
pub use kafka::{Kafka, is_a_choice};
pub use listen::Listen;
pub use log::{Log, LogFilter, LogFormat};
pub use login::{Authorities, Login, MSK_IAM, Msk, Oidc, is_of_login};
pub use mistake::{Key, Mistake, Mistakes, Place};
pub use nearest::nearest;
pub use oauth::{IntrospectionAuth, OAuth, OAuthAuth, is_trustworthy};
pub use purposes::Purpose;
pub use pushed_metrics::{MetricsCollector, PushedMetrics};
pub use quarantine::Quarantine;
pub use registry::{Credentials, Register, SchemaRegistry, SubjectBy};
pub use reread::{
    kafka as kafka_again, oauth as oauth_again, registry as registry_again, secret as secret_again,
    tokens as tokens_again,
};
pub use secret::Secret;
pub use selection::guess;
pub use shutdown::Shutdown;
pub use sources::{Auth, HeaderScheme, SourceConfig, TokenAuth};
pub use spool::least_reserve;
pub use tls::{CertificateAuth, Tls};
pub use topics::Topics;
pub use traces::Traces;
pub use volume::{fits, size_of_volume};
pub use ways_in::WayIn;

/// Everything the service needs to know; made by [`load`], never changed afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub listen: Listen,
    pub admin: Admin,
    pub spool: Spool,
    pub quarantine: Quarantine,
    pub kafka: Kafka,
    /// The registry for values that have a schema; a section of `kafka`.
    pub schema_registry: Option<SchemaRegistry>,
    pub topics: Topics,
    pub forward: Forward,
    pub fields: FieldRules,
    pub oauth: OAuth,
    pub adobe: Adobe,
    pub deduplicate: crate::deliver::deduplicate::Settings,
    /// In the order of their names; at least one.
    pub sources: Vec<SourceConfig>,
    pub shutdown: Shutdown,
    pub log: Log,
    /// Set by variables `OTEL_*` alone.
    pub traces: Traces,
    pub pushed_metrics: PushedMetrics,
}

/// A configuration, and the values of its keys. Displays as TOML without the secrets, each line
/// with the origin of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub config: Config,
    /// Every key there is.
    pub entries: Vec<Entry>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        effective::write(&self.entries, f)
    }
}

/// Checks that a caller adds to the reading of texts.
pub struct Questions<'a> {
    /// Whether the Kafka client accepts the properties; connects to nothing. The error names the
    /// property that it rejects.
    pub kafka: &'a dyn Fn(&Kafka) -> Result<(), String>,
    /// The size in bytes of the volume that a folder is on ([`size_of_volume`]); `None` leaves the
    /// spool's limits as they are.
    pub volume: Option<SizeOfVolume<'a>>,
}

/// See [`Questions::volume`].
pub type SizeOfVolume<'a> = &'a dyn Fn(&Path) -> io::Result<u64>;

impl Questions<'_> {
    /// Checks nothing.
    pub const NONE: Self = Self { kafka: &|_| Ok(()), volume: None };
}

/// Returns the configuration of `file` (or of the file that `MILLRACE_CONFIG` names, or of none) and
/// `environment`, or all mistakes in it. Reads the files that these name, and nothing else.
pub fn load<K: Into<OsString>, V: Into<OsString>>(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (K, V)>,
) -> Result<Config, Mistakes> {
    load_with(file, environment, &Questions::NONE).map(|loaded| loaded.config)
}

/// As [`load`], with further checks, and with the values of all keys.
pub fn load_with<K: Into<OsString>, V: Into<OsString>>(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (K, V)>,
    questions: &Questions<'_>,
) -> Result<Loaded, Mistakes> {
    load_on(file, environment, questions, &|_| Vec::new())
}

/// Finds mistakes in the files and folders of the machine. Values that could not be read are at their
/// defaults in its argument; mistakes about them are dropped.
pub type OfMachine<'a> = &'a dyn Fn(&Config) -> Vec<Mistake>;

/// As [`load_with`], with the mistakes that `machine` finds among the others.
pub fn load_on<K: Into<OsString>, V: Into<OsString>>(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (K, V)>,
    questions: &Questions<'_>,
    machine: OfMachine<'_>,
) -> Result<Loaded, Mistakes> {
    let mut mistakes = Mistakes::default();
    let variables: Vec<(OsString, OsString)> =
        environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let traces = traces::read(&variables);
    let pushed_metrics = pushed_metrics::read(&variables);
    let mut environment = environment::read(variables, &mut mistakes);
    let file = file.or(environment.file.as_deref());
    let mut file = file.map(|path| file::read(path, &mut mistakes));
    let is_unread = matches!(file, Some(None));
    let mut file = file.take().flatten();
    for layer in file.iter_mut().chain([&mut environment.layer]) {
        layer::settle(layer, &mut mistakes);
    }

    let mut reading = Reading::new(Written::merge(file, environment.layer), mistakes);
    // Without the file, half the configuration is missing, and combinations of its values mean nothing.
    let alone = (&Questions { volume: None, ..*questions }, &|_: &Config| Vec::new());
    let config = match is_unread {
        true => meaning::read(&mut reading, alone.0, alone.1),
        false => meaning::read(&mut reading, questions, machine),
    };
    let Reading { mut mistakes, entries, written, .. } = reading;
    if is_unread {
        mistakes.forget_missing();
    }
    mistakes.locate(|key| written.place(key.segments()));
    match mistakes.is_empty() {
        true => Ok(Loaded { config: Config { traces, pushed_metrics, ..config }, entries }),
        false => Err(mistakes.of_log(config.log.format)),
    }
}
