//! Against a real Schema Registry (Apicurio, by Confluent's API) and a real broker: flat values have a schema, a client that
//! is not ours reads and validates them, and a registry in trouble costs nothing but time. `tests/run registry` brings all
//! of it.

#[path = "../support/mod.rs"]
mod support;

// The set-up of tests/kafka.
#[path = "../kafka/admin.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod admin;
#[path = "../kafka/broker.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod broker;
#[path = "../kafka/consumers.rs"]
#[allow(dead_code, reason = "tests/kafka uses the rest")]
mod consumers;
#[path = "../kafka/jars.rs"]
mod jars;

mod apicurio;
mod connect;
mod events;
mod gate;
mod postgresql;
mod python;

// The tests.
mod flink;
mod read_back;
mod recipes;
mod refused;
mod sink;
mod trouble;
