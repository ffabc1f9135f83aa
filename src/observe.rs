//! Everything that an operator sees: the admin port, metrics and traces.

pub mod admin;
pub mod api;
pub mod console;
pub mod metrics;
pub mod push;
pub mod traces;
