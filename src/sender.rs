//! The sender: plays Marketo, so that the service can be shown, measured and tested without it.
//!
//! It knows the wire contract and nothing of the service's insides, and it believes nothing but
//! answers and what a consumer of the topics saw:
//!
//! - [`generator`] makes batches of activities as a subscription would, the same for the same seed.
//! - [`marketo`] is how a subscription behaves: its pace, its time-out, its tries and its pauses.
//! - [`player`] sends a subscription's batches at that pace, over [`http`] or anything else that
//!   takes a body and answers.
//! - [`statistics`] counts answers and keeps their times.
//! - [`ledger`] holds what was sent and acknowledged against what arrived: lost, repeated, order.
//!
//! How many subscriptions play, at which pace and for how long is the caller's: the demo plays
//! three, a benchmark sends as fast or as steadily as it wants.

pub mod event_id;
pub mod generator;
pub mod http;
pub mod ledger;
pub mod marketo;
pub mod player;
pub mod random;
pub mod statistics;

pub use event_id::EventId;
pub use generator::{Batch, Generator};
pub use http::{Answer, HttpPost, Post};
pub use ledger::{Ledger, Tally};
pub use marketo::{Pace, Rules, Step};
pub use player::{Attempt, play};
pub use statistics::Statistics;
