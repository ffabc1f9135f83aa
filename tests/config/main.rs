//! The configuration and the command line, from outside. A table of contents:

mod adobe;
mod check;
mod default_toml;
mod environment;
mod files;
mod given;
mod kafka;
mod mistakes;
mod oauth;
mod round_trip;
mod rules;
mod secrets;
mod tls;
