//! What an operator sees: the admin port, metrics and traces.

pub mod admin;
pub mod metrics;
pub mod push;
pub mod traces;
