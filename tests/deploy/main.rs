//! What deploy/ has for operators, looked at by the programs that will read it: Helm, Kubernetes' own
//! schemas, Prometheus, systemd, a linter of Dockerfiles, and millrace itself. `tests/run deploy` brings
//! them (tests/setup/deploy-tools).
//!
//! - `chart`: the manifests that the chart makes of several files of values (tests/deploy/values)
//! - `drain`: among these, the Jobs for retained volumes
//! - `examples`: the examples of the chart's README, rendered
//! - `values`: what it refuses, and that each value is documented and does something
//! - `configuration`: that its variables are ones that the program takes, with the meaning they had
//! - `console`: that nothing from outside reaches the admin port, and that it asks for a token
//! - `watching`: alerts, dashboard and runbook, against what the service really exports
//! - `dashboard`: the dashboard by Grafana's own types (tests/setup/dashboard-schema)
//! - `image`: Dockerfile, compose and the binary's libraries
//! - `container`: the Dockerfile's own steps, and what they make run as the chart runs it
//! - `unit`: the systemd unit
//! - `topics`: what `millrace topics` prints for AsyncAPI's tools and for Strimzi
//! - `quotes`: that the runbook quotes what the program says
//! - `documents`: the manifest of the README

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod dockerfile;
mod program;
mod render;
mod tools;

mod chart;
mod configuration;
mod console;
mod container;
mod dashboard;
mod documents;
mod drain;
mod examples;
mod image;
mod quotes;
mod topics;
mod unit;
mod values;
mod watching;
