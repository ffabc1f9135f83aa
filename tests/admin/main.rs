//! The API of the admin listener, against the real program with a Kafka that is away: what was refused and why is seen
//! in the log, in the metric and in the API, each answer is as the document describes it, and strangers get nothing.

mod access;
mod answers;
mod reasons;
mod support;
#[path = "../support/wait.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod wait;
