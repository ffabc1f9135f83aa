//! Sends stored events to their topics once more: the part that `millrace replay` and the API of
//! the admin listener share.
//!
//! An event is decoded and routed by the current configuration, keeps its `ce_id`, and has to pass the test
//! of its recipients again. Events that its source no longer takes (`munchkin_ids`, `include`, `exclude`) are left out,
//! and reported.

pub(crate) mod body;
pub(crate) mod letters;
pub(crate) mod player;
pub(crate) mod quarantined;
pub(crate) mod recipients;
pub(crate) mod sender;
pub(crate) mod shown;
