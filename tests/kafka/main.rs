//! Against a real Apache Kafka: what a sender posts is what a consumer reads, whatever happens in
//! between. `tests/run kafka` brings the broker; see `broker.rs` for how one is started and hurt.

#[path = "../support/mod.rs"]
mod support;

// The test set-up: brokers, and clients that are not ours.
mod admin;
mod broker;
mod consumers;
mod identity;
mod jars;
mod ledger;
mod slow_line;

// A played Adobe, for back-fill.
#[path = "../journal/adobe.rs"]
#[allow(dead_code, reason = "tests/journal plays more of it")]
mod adobe;
use support::played;

// The tests.
mod set_up;

mod advertised;
mod api_places;
mod backfill;
mod bridge_killed;
mod check_connect;
mod clean_stop;
mod cloudevents_sdk;
mod dead_letters;
mod delivered_answers;
mod deliveries_arrive;
mod documents;
mod exactly_once;
mod fields;
mod full_spool;
mod held_topic;
mod large_cluster;
mod lead_states;
mod left_out;
mod no_kafka;
mod once_tools;
mod outage;
mod payloads;
mod refusals;
mod repeats;
mod replaced_password;
mod replay;
mod replicas;
mod shares;
mod timestamps;
mod token_trouble;
mod tokens;
mod topics;
