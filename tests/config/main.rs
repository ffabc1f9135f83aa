//! The configuration and the command line, from outside. A table of contents:

mod adobe;
mod all_at_once;
mod answer;
mod check;
mod default_toml;
mod environment;
mod fields;
mod files;
mod given;
mod kafka;
mod kafka_tokens;
mod mistakes;
mod oauth;
mod printed_again;
mod round_trip;
mod rules;
mod secrets;
mod selection;
mod stored;
mod tls;
mod values;
