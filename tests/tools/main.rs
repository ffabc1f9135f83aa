//! The operator's tools: `millrace spool inspect`, `verify` and `export`, and `millrace drain`; and
//! files that are replaced under a running service. `oauth`: tokens over a restart. `formats`: a folder
//! of an earlier version, and of a later one. `top`, `send`: what is shown of a running service, whose admin API is
//! played; `top_live`: of a real one. `shown`: colours, help and the version. `set_aside`: what is wrong with the files of
//! one source. `starts`: starts that fail. `outage`: what the log says while Kafka is away. `cut`: the end of a spool is cut between
//! two starts.
//!
//! Real files in temporary folders; the real binary where exit codes, pipes and signals matter. Run one
//! test at a time (`tests/run tools` does): a process that another test is just starting has the spool's
//! lock too, until it becomes a program of its own.

#[path = "../support/mod.rs"]
mod support;

mod cut;
mod drain;
mod export;
mod folder;
mod formats;
mod inspect;
mod live;
mod oauth;
mod outage;
mod place;
mod replaced_files;
mod send;
mod set_aside;
mod shown;
mod starts;
mod top;
mod top_live;
mod verify;
