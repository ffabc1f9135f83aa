//! The back half: from the spool to Kafka, each event to its topic.

pub mod checkpoint;
pub mod dead_letter;
pub mod decode;
pub mod deduplicate;
pub mod encode;
pub mod forward;
pub mod in_force;
pub mod quarantine;
pub mod registry;
pub mod route;
pub mod schema;
pub mod select;
