//! Events that are sent to their topics once more, from what is kept of them: what `millrace replay` and the API of
//! the admin listener have in common.
//!
//! An event is decoded and routed by the configuration of today, has the `ce_id` that it had, and has to pass the test
//! of its recipients again.

pub(crate) mod body;
pub(crate) mod letters;
pub(crate) mod player;
pub(crate) mod quarantined;
pub(crate) mod recipients;
pub(crate) mod sender;
pub(crate) mod shown;
