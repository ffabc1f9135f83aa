//! A source of Adobe I/O's, over real sockets, with a key host of the test's own and with signatures
//! made by OpenSSL's command line.
//!
//! - `signatures`: which deliveries get in
//! - `keys`: what the key host has a say in, and what it has not
//! - `questions`: challenges and validation URLs
//! - `recipients`: whom events are meant for
//! - `strangers`: a sender beside crowds of them
//! - `service`: the same, as a configured service

mod connections;
mod key_host;
mod keys;
mod questions;
mod recipients;
mod rig;
mod service;
mod signatures;
mod signer;
mod strangers;
