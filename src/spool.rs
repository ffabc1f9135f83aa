//! The spool.
pub mod position;
