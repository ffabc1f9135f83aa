//! The senders: play Marketo and Adobe I/O, so that the service can be shown, measured and tested
//! without them.
//!
//! They know the wire contract and nothing of the service's insides, and they trust only
//! answers and the records that a consumer of the topics read:
//!
//! - [`generator`] makes batches of activities as a Marketo subscription would, and
//!   [`adobe::events`] events as Adobe I/O would; the same seed makes the same ones.
//! - [`marketo`] and [`adobe`] are how the two behave: pace, time-out, tries, and what they do to a
//!   receiver that fails too often. Both are a [`player::Manner`].
//! - [`player`] plays one lane of either, over [`http`] or anything else that takes a body and
//!   answers; [`clock`] wakes it on time.
//! - [`statistics`] counts answers and keeps their times; [`account`] says what became of the deliveries,
//!   and what a real sender would have done.
//! - [`ledger`] compares the events sent and acknowledged with those that arrived: lost, repeated, order.
//!
//! The caller decides how many lanes play, at which pace and for how long.

pub mod account;
pub mod adobe;
pub mod clock;
pub mod delivery;
pub mod event_id;
pub mod generator;
pub mod http;
pub mod ledger;
pub mod marketo;
pub mod player;
pub mod prepared;
pub mod random;
pub mod statistics;

pub use account::{Account, Consequence};
pub use clock::Clock;
pub use delivery::{Delivery, Fate};
pub use event_id::EventId;
pub use generator::{Batch, Generator};
pub use http::{Answer, Endpoint, Post};
pub use ledger::{Ledger, Tally};
pub use player::{Act, Answered, Attempt, play};
pub use prepared::Prepared;
pub use statistics::{Statistics, Times};
