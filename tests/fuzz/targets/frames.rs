//! A spool whose segments hold anything, opened and read to its end.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../spoilt.rs"]
mod spoilt;

#[path = "../../simulated_disk/mod.rs"]
mod simulated_disk;

fuzz_target!(|input: &[u8]| match input.split_first() {
    Some((0..64, bytes)) => spoilt::any_bytes(bytes),
    Some((_, edits)) => spoilt::edited(edits),
    None => {}
});
