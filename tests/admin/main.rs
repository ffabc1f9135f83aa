//! The API of the admin listener, against the real program with a Kafka that is away: what was refused and why is seen
//! in the log, in the metric and in the API, each answer is as the document describes it, and strangers get nothing.

mod access;
mod advice;
mod answers;
mod banners;
#[path = "../support/authority.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod issued;
mod keys_in_use;
mod log_lines;
mod oauth;
#[path = "../support/played.rs"]
mod played;
mod reasons;
#[path = "../front/adobe/signer.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod signer;
mod signing_in;
mod slow_readers;
mod support;
#[path = "../support/wait.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod wait;
