//! What several test binaries share: processes that do not outlive their test, the real service as
//! a process, a load balancer, an HTTP client, a played server, a sender's batches and a CloudEvents
//! SDK.
//!
//! Nothing here knows the service's insides: tests see it as a sender, a consumer and an operator
//! do.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod balancer;
pub mod batches;
pub mod bridge;
pub mod cloudevents;
pub mod documents;
pub mod http;
pub mod played;
pub mod ports;
pub mod process;
pub mod terminal;
pub mod wait;
