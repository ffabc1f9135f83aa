//! The objects of the API ([`OPENAPI_DOCUMENT`](super::OPENAPI_DOCUMENT)): the service fills them, and the console's
//! pages, `millrace top`, `tap` and `send` read them.
//!
//! Unknown members are passed over, and missing ones are empty: the service may be of another version than the program
//! that asks it. A test compares the service's answers with the document, to the last member.

mod access;
mod dead_letter;
mod delivery;
mod status;
mod words;

pub use self::{
    access::{Access, Problem, Session},
    dead_letter::{DeadLetter, DeadLetters, Replay, ReplayResult, Replays, Unreadable},
    delivery::{Body, Deliveries, Delivery, DeliveryDetail, Event, TestDelivery, Undecodable},
    status::{
        Backlog, Banner, Held, History, Kafka, Others, Rates, Refused, Source, Status, Topic,
        Tries, WayIn,
    },
    words::{EventWord, OutcomeWord, ReasonWord, Words},
};

/// Milliseconds since 1970.
pub type Time = u64;
