#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../simulated_disk/mod.rs"]
mod simulated_disk;

#[path = "../ids.rs"]
mod ids;

fuzz_target!(|input: &[u8]| ids::run(input));
