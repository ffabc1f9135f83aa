//! millrace: from Marketo Data Streams and Adobe I/O Events to Kafka, and nothing is lost on the way.
//!
//! The modules stand in the order in which an event meets them; `ARCHITECTURE.md` beside this file
//! has the bird's-eye view and the invariants.

// Calls that cannot fail use `expect` and say why; tests may unwrap (.clippy.toml).
#![warn(clippy::unwrap_used)]

// The plain values that all stages share.
pub mod delivery;
pub mod event;
pub mod record;
pub mod source;

// The path of an event.
pub mod ingest;
pub mod spool;
// After the spool: from the disk to Kafka.
pub mod deliver;
pub mod kafka;

// The surroundings of the path.
pub mod cli;
pub mod config;
pub mod observe;
pub mod runtime;
pub mod sender;
pub mod service;
