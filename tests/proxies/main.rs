//! The real service behind the real nginx and the real HAProxy, as `deploy/proxies` configures them.
//!
//! What a sender sees is what counts: a delivery that a proxy answers 502 comes again, and one that it answers 413
//! never does.

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod client;
mod idle;
mod proxy;
mod restart;
