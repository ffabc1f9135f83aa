#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../simulated_disk/mod.rs"]
mod simulated_disk;

#[path = "../frames.rs"]
mod frames;

fuzz_target!(|input: &[u8]| frames::run(input));
