//! The front half over real sockets.
//!
//! - `answers`: each row of the table of outcomes
//! - `durable`: nothing is answered 200 before it is stored, and hanging up cancels nothing
//! - `following`: what a delivery is called from the answer to the spool
//! - `bodies`: content-codings, limits and the budget
//! - `slow`: heads and bodies that take their time
//! - `wire`: what only raw sockets do: pipelining, smuggling, broken heads
//! - `crowd`: more connections than there are places
//! - `subscription`: what the metrics say of a sender's view
//! - `tls`, `client_certificate`: TLS, its certificates and their renewal
//! - `oauth`: bearer tokens, against an identity provider that does as it is told, and our own tokens
//! - `http2`, `stop`, `health`, `secrets`: as they say
//! - `adobe`: signatures, keys, questions and recipients of Adobe I/O
//! - `spooled`: the real spool behind it
//! - `delivered`: answers that say that Kafka has a delivery
//! - `traces`: spans, and a collector in trouble

mod adobe;
mod answers;
mod authority;
mod bodies;
mod client_certificate;
mod crowd;
mod delivered;
mod durable;
mod following;
mod health;
mod http2;
#[path = "../support/authority.rs"]
mod issued;
mod oauth;
#[path = "../support/played.rs"]
mod played;
mod secrets;
mod slow;
mod spooled;
mod stop;
mod subscription;
mod support;
mod tls;
mod traces;
mod wire;
