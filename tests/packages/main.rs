//! What a release hands out, made here of this build and used as its users use it. `tests/run packages` brings what
//! it needs (tests/setup/package-tools, workflow-tools, debian); it needs root, since it installs packages in a small
//! Debian below a folder of its own.
//!
//! - `life`: the .deb and the .rpm are installed, started by the unit's own line, upgraded over an older one with a
//!   backlog in the spool, removed and purged
//! - `contents`: what is in both packages and in the archive, and that both have the same
//! - `source`: what `cargo package` packs
//! - `release`: version, notes and checksums of a release
//! - `documents`: SECURITY.md and UPGRADING.md, against what there is
//! - `workflows`: .github, with actionlint, schemas, and rules of ours
//!
//! The service has this test's own build, where a release has a release build. There is no running systemd, so
//! restarts by an upgrade are not seen here, and the host is a Debian: the scripts of the .rpm run, on the
//! files of no RPM distribution.

#[path = "../support/mod.rs"]
mod support;

mod installed;
mod made;
mod root;
mod tools;

mod contents;
mod documents;
mod life;
mod release;
mod source;
mod workflows;
