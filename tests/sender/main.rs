//! `millrace simulate` as a user meets it, against a server that follows a script.
//!
//! - `rules`: what becomes of deliveries, registrations and subscriptions, by what the server answers
//! - `load`: the schedule, the report, the command line
//! - `signature`: OpenSSL's command line and Adobe's own library verify what is signed
//! - `tls`: an https endpoint

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod load;
#[path = "../support/played.rs"]
mod played;
mod rules;
mod server;
mod signature;
mod simulate;
mod tls;
