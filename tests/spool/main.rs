//! The spool against a simulated disk: what is acknowledged is read back, whatever happens between.
//!
//! - `append`: durable before the answer, group commit, hanging up, closing
//! - `rolling`: segments and their names
//! - `recovery`: every way in which the last segment can be left behind
//! - `damage`: every flipped bit and every missing byte of sealed segments
//! - `unreadable`: sectors that the disk does not give back; `unreadable_end`: those of the last
//!   segment at a start
//! - `full`: limits, reserve and a full volume, and free again
//! - `short`: too few files, too little memory: full, and nothing more
//! - `in_place`: the folder under the process: segments removed, replaced, cut; and at the next start
//! - `cut`: a last segment that is cut while no process runs
//! - `reserve`: what is written when the volume is full
//! - `poison`: failed syncs and writes
//! - `retention`: delivered segments, the backlog's numbers
//! - `folder`: lock, identity, foreign and newer files, the real disk
//! - `history`: random histories of all of it, held against a model

#[path = "../simulated_disk/mod.rs"]
mod simulated_disk;
mod support;

mod append;
mod cut;
mod damage;
mod folder;
mod full;
mod history;
mod in_place;
mod poison;
mod recovery;
mod reserve;
mod retention;
mod rolling;
mod short;
mod unreadable;
mod unreadable_end;
