//! millrace: from Marketo Data Streams and Adobe I/O Events to Kafka, and nothing is lost on the way.
//!
//! The modules stand in the order in which an event meets them; `ARCHITECTURE.md` beside this file
//! has the bird's-eye view and the invariants.

// What can't fail says so by `expect`; tests may unwrap (.clippy.toml).
#![warn(clippy::unwrap_used)]

// The plain values that travel.
pub mod delivery;
pub mod event;
pub mod record;

// The front half: from the socket to the disk.
pub mod authenticate;
pub mod listen;
pub mod receive;
pub mod spool;

// The back half: from the disk to Kafka.
pub mod checkpoint;
pub mod dead_letter;
pub mod decode;
pub mod deduplicate;
pub mod encode;
pub mod forward;
pub mod kafka;
pub mod produce;
pub mod quarantine;
pub mod route;

// What surrounds the two halves.
pub mod admin;
pub mod cli;
pub mod config;
pub mod fetch;
pub mod journal;
pub mod metrics;
pub mod reload;
pub mod retry;
pub mod sender;
pub mod service;
pub mod shutdown;
pub mod traces;
