//! The configuration: a TOML file and the environment become each stage's own struct.

mod secret;
mod stages;

pub use secret::Secret;
pub use stages::{
    Admin, Forward, HeaderScheme, Kafka, Listen, Log, LogFormat, Shutdown, SourceConfig, Spool,
    TokenAuth, Topics,
};

/// Everything the service needs to know; made by `load`, never changed afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub listen: Listen,
    pub admin: Admin,
    pub spool: Spool,
    pub kafka: Kafka,
    pub topics: Topics,
    pub forward: Forward,
    /// In the order of their names; at least one.
    pub sources: Vec<SourceConfig>,
    pub shutdown: Shutdown,
    pub log: Log,
}
