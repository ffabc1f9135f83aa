#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../simulated_disk/mod.rs"]
mod simulated_disk;

#[path = "../checkpoints.rs"]
mod checkpoints;

fuzz_target!(|input: &[u8]| checkpoints::run(input));
